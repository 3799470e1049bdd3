/* keys.h -- the keys that requests must have, if any. */
#ifndef COORDINATOR_SERVE_KEYS_H
#define COORDINATOR_SERVE_KEYS_H

#include <stdbool.h>
#include <stddef.h>

#include "proto/err.h"

struct keys {    /* zeroed: none is needed */
    char **list; /* [n] owns */
    size_t n;
};

/* key, and the lines of a file; NULL: none. E_USAGE: the file cannot be read, or has none. */
int keys_read(struct keys *k, const char *key, const char *path, struct err *err);
void keys_free(struct keys *k);

/* Whether this value of the header Authorization (NULL: there is none) has one of them. Takes the same time for any
 * wrong key of a length. */
bool keys_allow(const struct keys *k, const char *authorization);

#endif
