/* json_text.h -- JSON lines, and bytes of a model as a JSON string: what is not UTF-8 becomes U+FFFD, one for each byte.
 */
#ifndef COORDINATOR_JSON_TEXT_H
#define COORDINATOR_JSON_TEXT_H

#include <jansson.h>
#include <stddef.h>
#include <stdio.h>

#include "proto/err.h"

/* A new reference; NULL when memory is out. */
json_t *json_text(const char *bytes, size_t n_bytes);

/* A line of a file of JSON lines; takes the reference. digits: of numbers that are not whole (9 give every float back,
 * 17 every double). E_FAIL: line is NULL, memory is out. */
int json_put_line(json_t *line, int digits, FILE *to, struct err *err);

#endif
