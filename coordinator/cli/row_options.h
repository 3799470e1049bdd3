/* row_options.h -- the options of one line of --prompts: those of the command line, and over them those of the line.
 *
 *     {"prompt": "Once upon a time", "temp": 0.7, "seed": 5, "stop": ["\n\n"], "max_tokens": 64}
 *
 * A key is the name of an option that a line may have (OF_ROWS), or one of its long aliases, with '_' for '-'. Ranges,
 * defaults, combinations and error sentences are those of the command line. null counts as no value, and so does a seed
 * of -1; stops replace the command line's. Other keys are left to the caller. */
#ifndef COORDINATOR_CLI_ROW_OPTIONS_H
#define COORDINATOR_CLI_ROW_OPTIONS_H

#include <jansson.h>

#include "coordinator/cli/option_table.h"

/* The option that a key of a row names; NULL: none. */
const struct option *row_option(const char *key);

/* The first key of a row that nothing reads and that is nearly one that is read, which goes to near; NULL: none. */
const char *row_misspelt(json_t *row, char near[WORD_ROOM]);

/* *out borrows from `run`, and its stops from the row if that has some. Values of the row have the origin FROM_ROW. */
int row_options(struct options *out, const struct options *run, json_t *row, struct err *err);

#endif
