/* bench_spec.h -- the command `bench spec`: the sweep of spec_bench.h by the cluster as it is, over emulated networks.
 * One launch goes through all points. With --synthetic the workers' computing is timed waits (worker/engine/timed.h),
 * and there is no text; else the pair of --big and --little answers the prompts of --prompts.
 */
#ifndef COORDINATOR_CLI_BENCH_SPEC_H
#define COORDINATOR_CLI_BENCH_SPEC_H

#include "coordinator/runtime.h"

/* On return Quit was sent to every worker. */
int command_bench_spec(const struct options *o, const struct launch *launch, struct err *err);

#endif
