/* plan_said.h -- a layout of the planner in words: what it is, why, who is on which rank, and as a command. Pure. */
#ifndef COORDINATOR_CLI_PLAN_SAID_H
#define COORDINATOR_CLI_PLAN_SAID_H

#include "coordinator/cli/options.h"
#include "coordinator/planner.h"

enum { PLAN_LINE = 8192 }; /* a name of each host */
struct plan_line {
    char text[PLAN_LINE];
};

/* The answer to the whole question: "do not distribute: one process on node1 is faster", or "two groups". The layouts
 * are ranked. */
struct plan_line plan_answer(const struct planner_input *in, const struct planner_layout list[], int n);
/* Under PLANNER_LATENCY: what more hosts would give the request. */
struct plan_line plan_more_hosts(const struct planner_input *in, const struct planner_layout *best);

struct plan_line plan_name(const struct planner_input *in, const struct planner_layout *l);
struct plan_line plan_why(const struct planner_input *in, const struct planner_layout *l);

struct plan_rank {
    const char *role;        /* coordinator, drafter, verifier; alone: all */
    int host;                /* of planner_input.hosts */
    int group, stage, shard; /* of a verifier; else -1 */
};
int plan_n_ranks(const struct planner_layout *l);
struct plan_rank plan_rank(const struct planner_layout *l, int i);

/* A line for a shell. program: what starts this one. */
struct plan_line plan_command(const struct planner_input *in, const struct planner_layout *l, const struct options *o,
                              const char *program);

#endif
