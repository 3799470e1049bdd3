/* settings.h -- options as the settings of a request: what spec reads of them, and nothing else. Pure. */
#ifndef COORDINATOR_CLI_SETTINGS_H
#define COORDINATOR_CLI_SETTINGS_H

#include "coordinator/cli/options.h"
#include "coordinator/decode/seq.h"
#include "coordinator/text/tokenizer.h"

/* Borrows the tokenizer and the stops (NULL: none; those of o are not read). */
struct settings settings_of(const struct options *o, const struct tokenizer *t, const struct stops *stops);

#endif
