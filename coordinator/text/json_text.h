/* json_text.h -- JSON lines, and bytes of a model as a JSON string: each byte that is not UTF-8 becomes U+FFFD. */
#ifndef COORDINATOR_TEXT_JSON_TEXT_H
#define COORDINATOR_TEXT_JSON_TEXT_H

#include <jansson.h>
#include <stddef.h>
#include <stdio.h>

#include "proto/err.h"

/* A new reference; NULL when memory is out. */
json_t *json_text(const char *bytes, size_t n_bytes);

/* The value, or NULL if something could not be put into it: `lost` is the sum of what jansson's functions returned.
 * Takes the reference, and returns it. */
json_t *json_unless(int lost, json_t *value);

/* Writes a line (with JSON_INDENT in flags, several), completely or not at all; takes the reference. flags:
 * JSON_REAL_PRECISION(9) keeps every float, 17 every double. E_FAIL: line is NULL, no memory, or the write fails. */
int json_put_line(json_t *line, size_t flags, FILE *to, struct err *err);
int json_save_line(json_t *line, size_t flags, FILE *to, const char *path, struct err *err); /* to a file */

#endif
