/* misspelt.h -- what is said of a word that names no option, or no command: the nearest name, one dash where there should
 * be two, or the way to the same end where other programs have it. Pure. */
#ifndef COORDINATOR_CLI_MISSPELT_H
#define COORDINATOR_CLI_MISSPELT_H

#include "coordinator/cli/option_table.h"

/* E_USAGE both. arg: with its dashes, and what stands behind a '='. */
int misspelt_option(enum command command, const char *arg, struct err *err);
int misspelt_command(const char *word, struct err *err);

#endif
