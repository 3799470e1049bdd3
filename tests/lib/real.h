/* real.h -- real model files and golden rows for tests.
 *
 * Models are in the folder PILOTFISH_MODELS, or ./models, which scripts/fetch-model fills. One that is not there fails
 * the test and names the command that fetches it: nothing is skipped.
 */
#ifndef TESTS_LIB_REAL_H
#define TESTS_LIB_REAL_H

#include <jansson.h>

#include "proto/files/gguf.h"

/* `name` without ".gguf". */
void real_open(struct gguf *g, const char *name);

/* A vocabulary of scripts/fetch-data tokenizers, in the folder PILOTFISH_DATA or ./data. */
void real_vocabulary(struct gguf *g, const char *name);

/* The rows of tests/golden/<name>.jsonl as an array of objects, which the caller owns. */
json_t *real_golden(const char *name);

#endif
