/* plan_layouts.h -- the command `plan`: which hosts should compute what.
 *
 *   --hosts FILE, or measured ─┐
 *   sizes of the model files  ─┴─▶ planner.h ──the best few──▶ simulated ──▶ ranked, with reasons and commands
 *
 * What only the worker's side and the simulator know comes in as functions.
 */
#ifndef COORDINATOR_CLI_PLAN_LAYOUTS_H
#define COORDINATOR_CLI_PLAN_LAYOUTS_H

#include "coordinator/cli/options.h"
#include "coordinator/planner.h"

struct plan_sources { /* borrowed */
    int (*sizes)(void *arg, const char *path, bool little, struct planner_model *out, struct err *err);
    int (*simulate)(const struct planner_input *in, struct planner_layout *l, struct err *err); /* sets tokens_per_s */
    void *arg;
    const struct host *measured; /* [n_measured], of --measure */
    int n_measured;
    int rows_most, parts_most; /* see struct planner_input */
    const char *program;       /* what starts this one */
};

/* E_USAGE: the file of hosts. E_LAYOUT: the models fit nowhere. */
int command_plan(const struct options *o, const struct plan_sources *sources, struct err *err);

#endif
