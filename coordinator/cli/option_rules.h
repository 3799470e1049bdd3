/* option_rules.h -- rules over several options: the method (which drafts stay), the defaults that depend on it, and
 * combinations that are refused. The command line is settled once; the options of a line of --prompts are laid over
 * it, and settled again (row_options.h). Pure. */
#ifndef COORDINATOR_CLI_OPTION_RULES_H
#define COORDINATOR_CLI_OPTION_RULES_H

#include "coordinator/cli/option_table.h"

/* Where the value of the option of this name comes from. */
enum value_origin option_origin(const struct options *o, const char *name);

/* Whether its command runs a sweep over values of options, with a synthetic pair. */
static inline bool options_sweep(const struct options *o)
{
    return o->command == CMD_BENCH_SPEC || o->command == CMD_SIMULATE;
}

/* Gives every option that was not given its default. */
int options_set_presets(struct options *o, struct err *err);

/* Called when the drafter is set. --accept and --temp both name the method: if they differ, the one of the higher
 * origin counts. Options that were not given get that method's defaults. E_USAGE: a contradiction. */
int options_settle(struct options *o, struct err *err);

/* Why an option with these needs has no effect, as the end of a sentence; NULL: it has an effect. */
const char *option_lacks(const struct options *o, enum option_needs needs);
/* Whether the answer of option_lacks may differ between lines of --prompts. */
bool option_depends_on_method(enum option_needs needs);

#endif
