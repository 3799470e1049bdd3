/* option_value.h -- an option's value as text, to and from its member of struct options. Pure. */
#ifndef COORDINATOR_CLI_OPTION_VALUE_H
#define COORDINATOR_CLI_OPTION_VALUE_H

#include <stdio.h>

#include "coordinator/cli/option_table.h"

/* Borrows `value` (NULL for a flag). E_USAGE: a wrong value. For OPTION_HELP nothing is set. */
int option_set(struct options *o, const struct option *option, const char *value, struct err *err);
/* Writes the value as option_set reads it; nothing for those that may have many, and OPTION_HELP. */
void option_put(const struct options *o, const struct option *option, FILE *to);

#endif
