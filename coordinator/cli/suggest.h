/* suggest.h -- the nearest name to a mistyped one. Pure. */
#ifndef COORDINATOR_CLI_SUGGEST_H
#define COORDINATOR_CLI_SUGGEST_H

#include <stddef.h>

/* The name, of n, that needs the fewest edits (insert, delete, replace, swap of neighbours), if these are few compared
 * with the length of `typed`; else NULL. Names may be NULL (skipped). */
const char *suggest(const char *typed, size_t n_typed, const char *const *names, size_t n);

#endif
