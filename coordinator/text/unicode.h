/* unicode.h -- what a tokenizer needs of Unicode beyond UTF-8 (utf8.h): NFC, and which characters are blanks or parts
 * of words. */
#ifndef COORDINATOR_TEXT_UNICODE_H
#define COORDINATOR_TEXT_UNICODE_H

#include <stdbool.h>
#include <stddef.h>

#include "proto/err.h"

/* Normalization form C of s; bytes that are no character stay. *out is malloc'd, or NULL: nothing changes. */
int unicode_nfc(const char *s, size_t n, char **out, size_t *n_out, struct err *err);

/* How many bytes of blanks s begins with (at_end: ends with). */
size_t unicode_blanks(const char *s, size_t n, bool at_end);

/* Whether the first character of s (at_end: the last) belongs to a word: \w of regular expressions. */
bool unicode_is_word(const char *s, size_t n, bool at_end);

#endif
