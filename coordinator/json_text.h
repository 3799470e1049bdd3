/* json_text.h -- bytes of a model as a JSON string: what is not UTF-8 becomes U+FFFD, one for each byte. */
#ifndef COORDINATOR_JSON_TEXT_H
#define COORDINATOR_JSON_TEXT_H

#include <jansson.h>
#include <stddef.h>

/* A new reference; NULL when memory is out. */
json_t *json_text(const char *bytes, size_t n_bytes);

#endif
