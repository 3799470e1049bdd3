/* utf8.h -- where characters begin and end in bytes that may be broken.
 *
 * The tokenizer asks which bytes are text and which are not; messages ask it of foreign names; streaming asks how many
 * bytes may be shown before the next id arrives, since an id may end inside a character. Strict: no overlong forms, no surrogates, nothing above U+10FFFF.
 * Never changes, copies or repairs anything.
 */
#ifndef PROTO_UTF8_H
#define PROTO_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* The length (1..4) of the character at s, and its code point; 0: valid so far, but the n bytes end inside it;
 * -1: no character begins here. */
int utf8_next(const char *s, size_t n, uint32_t *cp);

/* How many leading bytes may be shown now: all but a tail of up to 3 bytes that a later byte may still complete. Bytes
 * that nothing can repair are shown at once. */
size_t utf8_complete(const char *s, size_t n);

/* The bytes of a character, and how many they are. */
size_t utf8_put(char out[4], uint32_t cp);

#endif
