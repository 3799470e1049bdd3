/* read_text.h -- a whole stream in memory, as it is or as people mean it. */
#ifndef COORDINATOR_TEXT_READ_TEXT_H
#define COORDINATOR_TEXT_READ_TEXT_H

#include <stdio.h>

#include "proto/err.h"

/* "-" is standard input, `in`. *place names it in messages. E_USAGE where it does not open. */
int text_open(const char *path, FILE *in, FILE **out, const char **place, struct err *err);

/* *bytes is the caller's to free. E_USAGE on what cannot be read, or is far too long to be a prompt (/dev/zero). */
int text_read(FILE *f, const char *place, char **bytes, size_t *n_bytes, struct err *err);

/* What an editor of another system puts into a text goes, in place: a byte order mark, and the CR of a line's end.
 * The new length. */
size_t text_plain(char *text, size_t n_bytes);
/* Of a text's first bytes: E_USAGE where they are UTF-16. */
int text_check(const char *bytes, size_t n_bytes, const char *place, struct err *err);
/* All three. */
int text_read_plain(FILE *f, const char *place, char **bytes, size_t *n_bytes, struct err *err);

#endif
