/* pareto.h -- the command `eval pareto`: what plans (proto/plan.h) cost and what they are worth, on one text: the share
 * of the whole model's bytes that a token reads, perplexity, and how often the likeliest token is the whole model's.
 * Those on the frontier are marked: no other plan is as good in all three, and better in one.
 *
 * Plans are the lines of a file (--plans), each spelled as --plan, or an object of JSON whose "plan" is so, as in the
 * log of `plan search`; empty lines and those that begin with # are none. Each is scored as the plan of a text.
 */
#ifndef COORDINATOR_CLI_PARETO_H
#define COORDINATOR_CLI_PARETO_H

#include "coordinator/runtime.h"

/* On return Quit was sent to every worker. */
int command_pareto(const struct options *o, const struct launch *launch, struct err *err);

#endif
