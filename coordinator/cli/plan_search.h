/* plan_search.h -- the command `plan search`: which blocks the big model can best do without, by SLEB's greedy search
 * (2402.09025, algorithm 1): the block without which the calibration text is predicted best goes, then the next one
 * among those that are left.
 *
 * Each candidate is scored by the job's workers under a plan of its own (struct part). What was found is kept in a log
 * beside the result, from which --resume goes on.
 */
#ifndef COORDINATOR_CLI_PLAN_SEARCH_H
#define COORDINATOR_CLI_PLAN_SEARCH_H

#include "coordinator/runtime.h"

/* On return Quit was sent to every worker. */
int command_plan_search(const struct options *o, const struct launch *launch, struct err *err);

#endif
