/* utf8.h -- where characters begin and end in bytes that may be broken.
 *
 * The tokenizer uses it to find which bytes are text; messages to show foreign names; streaming to find how many bytes
 * may be shown before the next id arrives, since an id may end inside a character. Strict: no overlong forms, no
 * surrogates, nothing above U+10FFFF. Never changes, copies or repairs anything.
 */
#ifndef PROTO_UTF8_H
#define PROTO_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* The length (1..4) of the character at s, and its code point; 0: valid so far, but the n bytes end inside it;
 * -1: no character begins here. */
int utf8_next(const char *s, size_t n, uint32_t *cp);

/* How many leading bytes may be shown now: all but the last bytes, up to 3, that a later byte may still complete. Bytes
 * that no later byte can complete are shown at once. */
size_t utf8_complete(const char *s, size_t n);

/* Writes the bytes of a character, and returns how many they are. */
size_t utf8_put(char out[4], uint32_t cp);

#endif
