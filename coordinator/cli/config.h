/* config.h -- where options come from beside the command line: the environment, and a file of NAME = VALUE lines
 * (inih).
 *
 *   file < environment < command line
 *
 * NAME is an option without its dashes (a flag's VALUE is yes or no), PILOTFISH_NAME its variable. Whoever parses fills
 * in what the line left open: config_fill calls options.c back for each value found. `pilotfish config --show` prints
 * what came of it, as such a file, with where each value is from.
 */
#ifndef COORDINATOR_CLI_CONFIG_H
#define COORDINATOR_CLI_CONFIG_H

#include "coordinator/cli/option_table.h"

/* Takes a value that p has from `origin`: checked, kept, or passed over where a higher one has set p already. `value`
 * is borrowed for the call. */
typedef int config_take(void *arg, const struct option *p, const char *value, enum value_origin origin,
                        struct err *err);

/* The environment first, then the file (NULL: none). E_USAGE: a name or a value that cannot be, with its place.
 * Variables that look like ours and are none become notes. */
int config_fill(const char *path, config_take *take, void *arg, char **notes, struct err *err);

/* All options as a configuration file, each with its origin behind a ';'; defaults are comments. path: the file that
 * was read, or NULL. The caller frees it; NULL when memory is out. */
char *config_text(const struct options *p, const char *path);

#endif
