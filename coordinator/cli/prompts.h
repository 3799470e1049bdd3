/* prompts.h -- the texts that a run continues, from the command line, a file, standard input or JSON lines, as token
 * ids.
 *
 *   source ──read──▶ text ──chat template (unless --raw)──▶ ──tokenizer──▶ ids, checked against the context
 *
 * Standard input follows a prompt of the command line. Only rank 0 calls it: standard input is read once. A prompt
 * that is empty, unreadable or too long is E_USAGE, with the place and the numbers. If one of several prompts cannot
 * be answered, it keeps its error, and the others are answered. Each prompt has the settings of the options; a line of
 * JSON may replace some of them (row_options.h).
 */
#ifndef COORDINATOR_CLI_PROMPTS_H
#define COORDINATOR_CLI_PROMPTS_H

#include <stdio.h>

#include "coordinator/cli/options.h"
#include "coordinator/decode/seq.h"
#include "coordinator/text/tokenizer.h"

struct prompt { /* owns its strings */
    int32_t *ids;
    int n_ids;
    struct settings settings; /* borrow from what prompts_from borrows, and from stops */
    struct stops *stops;      /* of its own; NULL: none */
    char *name;               /* NULL: the input has none */
    char *solution;           /* "reference" of a line, or the first of its list; NULL: it has none */
    char *error;              /* with its place; NULL: it can be answered */
};

struct prompts { /* owns all */
    int n, n_good;
    struct prompt *items; /* [n]; n_good of them can be answered */
};

struct prompts_from {                  /* borrowed during prompts_read */
    const struct gguf *big;            /* for its chat template */
    const struct tokenizer *tokenizer; /* stays */
    const struct stops *stops;         /* of every prompt whose line has none of its own; stays */
    int n_ctx;                         /* the model's own; a prompt leaves room for one token in it, and in --ctx */
    FILE *in;                          /* standard input */
    FILE *notes;                       /* gets a line if there is no chat template to apply */
};

int prompts_read(struct prompts *out, const struct options *o, const struct prompts_from *from, struct err *err);
void prompts_free(struct prompts *p); /* zeroed is fine */

/* A prompt's name, or its number in the input where it has none. */
static inline const char *prompt_name(const struct prompt *p, int index, char number[16])
{
    if (p->name) return p->name;
    snprintf(number, 16, "%d", index);
    return number;
}
/* OK, or E_USAGE: how many could not be answered, and the error of the first. */
int prompts_refused(const struct prompts *p, struct err *err);

#endif
