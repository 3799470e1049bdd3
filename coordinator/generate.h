/* generate.h -- the command `generate`: prompts in, big's own text out, with or without drafts. */
#ifndef COORDINATOR_GENERATE_H
#define COORDINATOR_GENERATE_H

#include "coordinator/session.h"

/* On return every worker has been told to quit. */
int command_generate(const struct options *o, const struct host *host, struct err *err);

#endif
