/* misspelt.h -- the error for a word that is no option, or no command: it suggests the nearest name, two dashes in
 * place of one, or how to get here what the word means in other programs. Pure. */
#ifndef COORDINATOR_CLI_MISSPELT_H
#define COORDINATOR_CLI_MISSPELT_H

#include "coordinator/cli/option_table.h"

/* Both return E_USAGE. arg: with its dashes, and with what follows a '='. */
int misspelt_option(enum command command, const char *arg, struct err *err);
int misspelt_command(const char *word, struct err *err);

#endif
