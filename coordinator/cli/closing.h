/* closing.h -- the lines below all answers: what they cost, which were cut, and which method chose texts that are not
 * the big model's greedy ones; with --stats a table. The lines follow each request's own settings. */
#ifndef COORDINATOR_CLI_CLOSING_H
#define COORDINATOR_CLI_CLOSING_H

#include <stdio.h>

#include "coordinator/cli/options.h"
#include "coordinator/cli/prompts.h"
#include "coordinator/decode/seq.h"

struct answers { /* borrowed */
    const struct options *o;
    const struct prompt *prompts;  /* [n] */
    const struct seq *const *seqs; /* [n]; NULL: it never had a token */
    int n;
};

void closing_put(const struct answers *a, uint64_t now_ns, bool interrupted, FILE *to);

#endif
