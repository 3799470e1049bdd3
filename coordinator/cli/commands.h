/* commands.h -- the commands that need no worker: each does its work and returns an exit code, its cause in err. */
#ifndef COORDINATOR_CLI_COMMANDS_H
#define COORDINATOR_CLI_COMMANDS_H

#include "coordinator/cli/options.h"

/* Ids of a text, or the text of ids, by the vocabulary of a model file. */
int command_tokenize(const struct options *o, struct err *err);

/* What is in a model file. `runs` asks worker code whether it runs here: OK, or why not. */
int command_inspect(const struct options *o, int (*runs)(const char *path, struct err *err), struct err *err);

#endif
