/* option_rules.h -- what options say together: the method (which drafts stay), the defaults that go with it, and what
 * does not go together. The command line is settled once; a line of --prompts that has options of its own lays them
 * over it and is settled anew (row_options.h). Pure. */
#ifndef COORDINATOR_CLI_OPTION_RULES_H
#define COORDINATOR_CLI_OPTION_RULES_H

#include "coordinator/cli/option_table.h"

/* Where the value of the option of this name is from. */
enum value_origin option_origin(const struct options *o, const char *name);

/* Gives every option that was not given its default. */
int options_set_presets(struct options *o, struct err *err);

/* After the drafter is known. --accept and --temp both name the method: where they differ, the one of the higher
 * origin counts. What was not given has that method's default. E_USAGE: a contradiction, or, among the values of this
 * origin, one that the method does not read; those of a lower one may speak of methods that are not in use. */
int options_settle(struct options *o, enum value_origin origin, struct err *err);

/* What must be there for an option to have an effect, as the end of a sentence; NULL: it is. */
const char *option_lacks(const struct options *o, enum option_needs needs);
/* The method that alone reads such an option, as the end of a sentence; NULL: all do. */
const char *option_method(enum option_needs needs, enum accept *out);

#endif
