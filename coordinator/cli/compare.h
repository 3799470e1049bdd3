/* compare.h -- the command `eval compare`: what a lossy setting costs in text, against big's own of the same
 * prompts. */
#ifndef COORDINATOR_CLI_COMPARE_H
#define COORDINATOR_CLI_COMPARE_H

#include "coordinator/runtime.h"

/* E_CHECK where a --min-... is not reached. On return every worker has been told to quit. */
int command_compare(const struct options *o, const struct launch *launch, struct err *err);

#endif
