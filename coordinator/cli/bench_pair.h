/* bench_pair.h -- the command `bench pair`: what drafts save, request by request.
 *
 * Each prompt is one request. It is timed as a whole, reading and writing, from its submission to its last token. The
 * big model alone and the big model with drafts take turns on it, so that both have the same minutes of a machine that
 * others use too; which one is first changes with each prompt. A short request is repeated, and the mean counts. What
 * the draft policy has learned (policy.h) is kept from request to request; the text of the request before is not.
 */
#ifndef COORDINATOR_CLI_BENCH_PAIR_H
#define COORDINATOR_CLI_BENCH_PAIR_H

#include "coordinator/runtime.h"

/* E_CHECK: drafts gave another text than big alone, though the rule promises the same. On return Quit was sent to every
 * worker. */
int command_bench_pair(const struct options *o, const struct launch *launch, struct err *err);

#endif
