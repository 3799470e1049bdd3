/* config.h -- options from the environment, and from a file of NAME = VALUE lines (inih).
 *
 *   file < environment < command line
 *
 * NAME is an option without its dashes (a flag's VALUE is yes or no), PILOTFISH_NAME its variable. options.c parses
 * the command line, then calls config_fill for what is still unset; config_fill calls back for each value that it
 * finds. `pilotfish config --show` prints the result as such a file, with where each value comes from.
 */
#ifndef COORDINATOR_CLI_CONFIG_H
#define COORDINATOR_CLI_CONFIG_H

#include "coordinator/cli/option_table.h"

/* Checks a value for p that comes from `origin`, and sets it, unless a higher origin has set p already. `value` is
 * borrowed for the call. */
typedef int config_take(void *arg, const struct option *p, const char *value, enum value_origin origin,
                        struct err *err);

/* The environment first, then the file (NULL: none). E_USAGE: a wrong name or value, with its place. Variables that
 * begin with PILOTFISH_ and name no option become notes. */
int config_fill(const char *path, config_take *take, void *arg, char **notes, struct err *err);

/* All options as a configuration file, each with its origin after a ';'; defaults are comments. path: the file that was
 * read, or NULL. The caller frees the text; NULL: no memory. */
char *config_text(const struct options *p, const char *path);

#endif
