/* perplexity.h -- the command `eval perplexity`: exp of the mean -ln p of a text's tokens under the big model, or
 * under a plan of it; and how often a plan's likeliest token is another one's. */
#ifndef COORDINATOR_CLI_PERPLEXITY_H
#define COORDINATOR_CLI_PERPLEXITY_H

#include "coordinator/runtime.h"

/* On return Quit was sent to every worker. */
int command_perplexity(const struct options *o, const struct launch *launch, struct err *err);

#endif
