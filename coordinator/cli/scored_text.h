/* scored_text.h -- a text that the big model scores, for the commands that measure by one: its ids, in windows of
 * --window, and the job that scores them. */
#ifndef COORDINATOR_CLI_SCORED_TEXT_H
#define COORDINATOR_CLI_SCORED_TEXT_H

#include "coordinator/runtime.h"

struct scored_text {
    int32_t *ids; /* owns */
    int n_ids;
};

/* Reads a text alone. */
int scored_text_read(struct scored_text *t, const char *path, const struct tokenizer *tokenizer, struct err *err);

/* Reads the text that the options name, and starts the workers with a slot for each window, up to --parallel. */
int scored_text_open(struct scored_text *t, struct runtime *s, struct err *err);
void scored_text_close(struct scored_text *t); /* zeroed is fine */

/* Under a plan; NULL: the one that big is served under. The caller closes *out. */
int scored_text_score(const struct scored_text *t, struct runtime *s, const char *plan, struct score **out,
                      struct err *err);

/* How many blocks the big model has, for plan_read. E_MODEL: it does not say. */
int scored_text_n_blocks(const struct runtime *s, int *out, struct err *err);

#endif
