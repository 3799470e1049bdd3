/* json_text.h -- JSON lines, and bytes of a model as a JSON string: what is not UTF-8 becomes U+FFFD, one for each
 * byte.
 */
#ifndef COORDINATOR_TEXT_JSON_TEXT_H
#define COORDINATOR_TEXT_JSON_TEXT_H

#include <jansson.h>
#include <stddef.h>
#include <stdio.h>

#include "proto/err.h"

/* A new reference; NULL when memory is out. */
json_t *json_text(const char *bytes, size_t n_bytes);

/* The value, or NULL where something could not be put into it: lost is what jansson's functions returned, added up.
 * Takes and gives the reference. */
json_t *json_unless(int lost, json_t *value);

/* A line of standard output, or more as the flags say, written at once or not at all; takes the reference. flags:
 * JSON_REAL_PRECISION(9) gives every float back, 17 every double. E_FAIL: line is NULL or memory is out, or nobody
 * takes the line. */
int json_put_line(json_t *line, size_t flags, FILE *to, struct err *err);

#endif
