/* sweep.h -- the command line of bench spec and simulate: options that have several values in turn, "0,10,40", "1-8",
 * "0-40:10". Every combination of the values of all of them is a point. Pure. */
#ifndef COORDINATOR_CLI_SWEEP_H
#define COORDINATOR_CLI_SWEEP_H

#include "coordinator/cli/option_table.h"

/* Takes a value of an option that is OF_SWEEPS: sets it to the first of its values. E_USAGE: one of them is wrong. */
int sweep_set(struct options *o, const struct option *option, const char *value, struct err *err);

/* Called when the line is read: what bench spec and simulate need, and what has no use there. A pair of models is not
 * looked at here. */
int sweep_settle(struct options *o, const char *command, struct err *err);

int sweep_n_points(const struct options *o);
/* The options at a point: with one value each. i_curve: which of synthetic's curves is meant. */
struct options sweep_point(const struct options *o, int i_point, int *i_curve);

#endif
