/* closing.h -- what is said under all answers: what they cost, which were cut, and how those were chosen that are not the
 * big model's greedy texts; with --stats a table. What is said of one request is said by its own settings. */
#ifndef COORDINATOR_CLI_CLOSING_H
#define COORDINATOR_CLI_CLOSING_H

#include <stdio.h>

#include "coordinator/cli/options.h"
#include "coordinator/cli/prompts.h"
#include "coordinator/decode/seq.h"

struct answers { /* borrowed */
    const struct options *o;
    const struct prompt *prompts;  /* [n] */
    const struct seq *const *seqs; /* [n]; NULL: nothing of it was seen */
    int n;
};

void closing_put(const struct answers *a, uint64_t now_ns, bool interrupted, FILE *to);

#endif
