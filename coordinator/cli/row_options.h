/* row_options.h -- the options of one line of --prompts: those of the command line, and over them what the line says
 * itself.
 *
 *     {"prompt": "Once upon a time", "temp": 0.7, "seed": 5, "stop": ["\n\n"], "max_tokens": 64}
 *
 * A key is the name of an option that a line may have (OF_ROWS), or one of its long aliases, with '_' for '-'. Ranges,
 * defaults and what goes together are those of the command line, and so are the sentences of errors. null is no value,
 * nor is a seed of -1; stops take the place of the command line's. Keys that are no such option are the caller's. */
#ifndef COORDINATOR_CLI_ROW_OPTIONS_H
#define COORDINATOR_CLI_ROW_OPTIONS_H

#include <jansson.h>

#include "coordinator/cli/option_table.h"

/* The option that a key of a row names; NULL: none. */
const struct option *row_option(const char *key);

/* *out borrows from `run`, its stops from the row where it has some. What the row says has the origin FROM_ROW. */
int row_options(struct options *out, const struct options *run, json_t *row, struct err *err);

#endif
