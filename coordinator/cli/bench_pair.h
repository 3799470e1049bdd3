/* bench_pair.h -- the command `bench pair`: what drafts save, request by request.
 *
 * Each prompt is one request that counts whole, reading and writing, from the moment it is taken up to its last token.
 * Big alone and big with drafts take turns over it, so that both have the same minutes of a machine that others use
 * too; who is first changes from turn to turn. A short request is repeated, and the mean counts. What drafts have
 * taught (policy.h) goes from request to request; of the text before nothing is kept.
 */
#ifndef COORDINATOR_CLI_BENCH_PAIR_H
#define COORDINATOR_CLI_BENCH_PAIR_H

#include "coordinator/runtime.h"

/* E_CHECK where drafts gave another text than big alone, though the rule promises the same. On return every worker has
 * been told to quit. */
int command_bench_pair(const struct options *o, const struct launch *launch, struct err *err);

#endif
