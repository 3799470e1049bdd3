/* read_text.h -- reads a whole stream into memory, as it is, or without byte order mark and CR. */
#ifndef COORDINATOR_TEXT_READ_TEXT_H
#define COORDINATOR_TEXT_READ_TEXT_H

#include <stdio.h>

#include "proto/err.h"

/* "-" is standard input, `in`. *place names the stream in messages. E_USAGE: it does not open. */
int text_open(const char *path, FILE *in, FILE **out, const char **place, struct err *err);

/* The caller frees *bytes; behind them is room for a 0. E_USAGE: it cannot be read, or is far too long to be a text
 * (/dev/zero). */
int text_read(FILE *f, const char *place, char **bytes, size_t *n_bytes, struct err *err);

/* Removes, in place, what editors of other systems put into a text: a byte order mark, and the CR at a line's end.
 * Returns the new length. */
size_t text_plain(char *text, size_t n_bytes);
/* E_USAGE: the text's first bytes are UTF-16. */
int text_check(const char *bytes, size_t n_bytes, const char *place, struct err *err);
/* text_read, text_check and text_plain. */
int text_read_plain(FILE *f, const char *place, char **bytes, size_t *n_bytes, struct err *err);
/* text_open and text_read_plain, as a string. E_USAGE, too: there is a 0 in it. */
int text_read_string(const char *path, FILE *in, char **text, struct err *err);

#endif
