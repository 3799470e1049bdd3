/* prompts.h -- what a run continues: texts from the command line, a file, standard input or JSON lines, as token ids.
 *
 *   source ──read──▶ text ──chat template (unless --raw)──▶ ──tokenizer──▶ ids, checked against the context
 *
 * Only rank 0 calls it: standard input is read once. A prompt that is empty, unreadable or too long is E_USAGE, with
 * the place and the numbers.
 */
#ifndef COORDINATOR_PROMPTS_H
#define COORDINATOR_PROMPTS_H

#include <stdio.h>

#include "coordinator/options.h"
#include "coordinator/tokenizer.h"

struct prompt {
    int32_t *ids;
    int n_ids;
};

struct prompts { /* owns all */
    int n;
    struct prompt *items; /* [n] */
    char **names;         /* [n]; NULL where the input gives none */
};

struct prompts_from {       /* borrowed during prompts_read */
    const struct gguf *big; /* for its chat template */
    const struct tokenizer *tokenizer;
    int n_ctx;   /* a prompt leaves room for one token */
    FILE *in;    /* standard input */
    FILE *notes; /* gets a line where there is no chat template to apply */
};

int prompts_read(struct prompts *out, const struct options *o, const struct prompts_from *from, struct err *err);
void prompts_free(struct prompts *p); /* zeroed is fine */

#endif
