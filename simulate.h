/* simulate.h -- the command `simulate`: the sweep of spec_bench.h in virtual time, by the simulator, with a synthetic
 * pair; and the layouts of `plan`, with many texts at once.
 */
#ifndef SIMULATE_H
#define SIMULATE_H

#include "coordinator/cli/spec_bench.h"
#include "coordinator/planner.h"
#include "simulator.h"

/* Writes a text with the pair of the point's options, in a cluster of its own: a coordinator, a drafter beside it, and
 * one group of verifiers over the network. */
int simulate_text(const struct options *point, struct seq *s, struct draft_profile *profile,
                  struct simulator_counts *counts, struct trace *trace, struct err *err); /* trace may be NULL */

/* What the coordinator and the leaders make of a layout: sets its tokens_per_s. Groups are as fast as all are on
 * average. */
int simulate_layout(const struct planner_input *in, struct planner_layout *l, struct err *err);

int command_simulate(const struct options *o, struct err *err);

#endif
