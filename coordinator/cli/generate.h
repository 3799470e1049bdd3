/* generate.h -- the command `generate`: prompts in, big's own text out, with or without drafts. */
#ifndef COORDINATOR_CLI_GENERATE_H
#define COORDINATOR_CLI_GENERATE_H

#include "coordinator/runtime.h"

/* On return Quit was sent to every worker. */
int command_generate(const struct options *o, const struct launch *launch, struct err *err);

#endif
