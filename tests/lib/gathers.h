/* gathers.h -- gathers of every awkward shape, checked float by float: for shards as threads and as ranks alike. */
#ifndef TESTS_LIB_GATHERS_H
#define TESTS_LIB_GATHERS_H

#include "proto/err.h"
#include "worker/engine/collective.h"

/* Runs the table of gathers once; `round` salts the values, so that a stale one shows. Adds to *n_wrong. */
int gathers_run(struct collective *c, int round, int *n_wrong, struct err *err);

#endif
