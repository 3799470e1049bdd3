/* read_text.h -- a whole stream in memory. */
#ifndef COORDINATOR_READ_TEXT_H
#define COORDINATOR_READ_TEXT_H

#include <stdio.h>

#include "proto/err.h"

/* "-" is standard input, `in`. *place names it in messages. E_USAGE where it does not open. */
int text_open(const char *path, FILE *in, FILE **out, const char **place, struct err *err);

/* *bytes is the caller's to free. E_USAGE on what cannot be read, or is far too long to be a prompt (/dev/zero). */
int text_read(FILE *f, const char *place, char **bytes, size_t *n_bytes, struct err *err);

#endif
