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
 * origin counts. What was not given has that method's default; what can be said in two ways is said in one. E_USAGE: a
 * contradiction. */
int options_settle(struct options *o, struct err *err);

/* Why an option with these needs has no effect, as the end of a sentence; NULL: it has one. */
const char *option_lacks(const struct options *o, enum option_needs needs);
/* It may be another for each line of --prompts. */
bool option_depends_on_method(enum option_needs needs);

#endif
