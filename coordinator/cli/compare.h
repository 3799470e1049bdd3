/* compare.h -- the command `eval compare`: how far the texts of a lossy setting are from big's own texts of the same
 * prompts. */
#ifndef COORDINATOR_CLI_COMPARE_H
#define COORDINATOR_CLI_COMPARE_H

#include "coordinator/runtime.h"

/* E_CHECK: a --min-... is not reached. On return Quit was sent to every worker. */
int command_compare(const struct options *o, const struct launch *launch, struct err *err);

#endif
