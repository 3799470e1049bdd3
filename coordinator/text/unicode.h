/* unicode.h -- what a tokenizer asks of Unicode beyond UTF-8 (utf8.h): NFC, and which characters are blanks or
 * words. */
#ifndef COORDINATOR_TEXT_UNICODE_H
#define COORDINATOR_TEXT_UNICODE_H

#include <stdbool.h>
#include <stddef.h>

#include "proto/err.h"

/* Normalization form C of s; bytes that are no character stay. *out is malloc'd, or NULL where nothing changes. */
int unicode_nfc(const char *s, size_t n, char **out, size_t *n_out, struct err *err);

/* How many of the bytes that s begins with (ends with, at_end) are blanks. */
size_t unicode_blanks(const char *s, size_t n, bool at_end);

/* The first character of s (the last, at_end) belongs to a word: \w of regular expressions. */
bool unicode_is_word(const char *s, size_t n, bool at_end);

#endif
