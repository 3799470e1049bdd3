/* counts.h -- what was served, summed; and as text for Prometheus. Pure.
 *
 * Every count of tokens and drafts is taken once, when an answer ends, from what its client's report is made of. So
 * counts are the sums of these reports, and of answers that ended without one; a prompt counts for each of its answers.
 */
#ifndef COORDINATOR_SERVE_COUNTS_H
#define COORDINATOR_SERVE_COUNTS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "coordinator/cli/options.h"
#include "coordinator/cli/stats.h"
#include "coordinator/decode/seq.h"
#include "coordinator/job.h"

enum { BUCKETS_MOST = 16, N_ENDS = SEQ_FAILED + 1 };

struct histogram {
    uint64_t n_in[BUCKETS_MOST + 1]; /* the last: above all bounds */
    double sum;
};

struct counts {               /* zeroed to begin with */
    uint64_t n_replies[6];    /* of HTTP, by the status's hundreds */
    uint64_t n_ended[N_ENDS]; /* answers, by enum seq_end */
    struct stats total;       /* of answers that ended */
    uint64_t n_cached;        /* ids of prompts that were not computed again */
    uint64_t n_drafted_by[DRAFT_PLANS_MOST], n_accepted_by[DRAFT_PLANS_MOST]; /* of total, by the big model's plans */
    struct histogram queue_s, first_s, token_s, between_s, whole_s;
};

struct counts_now { /* what is measured when it is asked for */
    const char *model;
    const struct options *o; /* for the names of plans */
    int n_running, n_waiting, n_slots;
    const struct job *job; /* for its workers; NULL: there is none yet */
    bool ready;
};

/* So many tokens of an answer have come, so long after those before. */
void counts_add_tokens(struct counts *c, int n, uint64_t between_ns);
/* An answer has ended. */
void counts_add(struct counts *c, const struct seq *s, uint64_t asked_ns, uint64_t now_ns);
void counts_put(const struct counts *c, const struct counts_now *now, FILE *to);
/* Of it what vLLM counts too, under its names, which clients that measure look for. promtool finds their colons wrong. */
void counts_put_vllm(const struct counts *c, const struct counts_now *now, FILE *to);

#endif
