/* seq.h -- one sequence: its ids, their history, where each token came from, and what it cost.
 *
 *   WAITING ──seq_start──▶ PROMPT ──first verdict──▶ VERIFYING ◀──▶ DRAFTING
 *                             └───────────────┴──────────┴──seq_settle──▶ DONE   (end id, length, context full, stop)
 *
 * Memory for a whole text is there from its start to its end only: one that waits borrows its prompt, one that is done
 * keeps what it has written, until seq_drop.
 *
 * A sequence knows no messages and no clock: spec.c moves it. Only final ids are in it, in order; KV is derived from
 * them, so nothing is lost when a worker is.
 */
#ifndef COORDINATOR_DECODE_SEQ_H
#define COORDINATOR_DECODE_SEQ_H

#include <stdbool.h>
#include <stdint.h>

#include "coordinator/decode/policy.h"
#include "proto/err.h"
#include "proto/wire.h"

enum seq_state { SEQ_WAITING, SEQ_PROMPT, SEQ_VERIFYING, SEQ_DRAFTING, SEQ_DONE };
enum origin { ORIGIN_BIG, ORIGIN_DRAFT, ORIGIN_CORRECTION }; /* "big", "draft", "correction" */
enum seq_end { SEQ_RUNNING, SEQ_END_ID, SEQ_LENGTH, SEQ_CONTEXT, SEQ_ABORTED, SEQ_STOP };

struct seq_stats {
    uint64_t start_ns, first_ns, last_ns; /* start: handed over; first and last token final */
    uint64_t draft_ns, verify_ns;         /* as the workers report their computing */
    uint64_t wait_ns;                     /* between a message sent and its answer, less the computing: the network */
    uint32_t n_prompt_rows;               /* fed before the first token; fewer than ids where workers knew some */
    uint32_t n_verifies, n_asks;          /* parts with a wanted row after the prompt; asks to the drafter */
    uint32_t n_drafted, n_judged, n_accepted;
    uint32_t n_pauses;                  /* times the guard stopped drafting */
    uint32_t n_windows, n_joint_lows;   /* drafts that ended: full, in doubt (struct draft_ask: p_joint_min) */
    uint32_t n_lows, n_ends;            /* unsure of the next (fallback), with an end id */
    uint32_t n_rollbacks, n_taken_back; /* drafts cut short by big; drafted tokens taken back with that */
    struct withheld withheld;
};

struct seq {
    int index;             /* of the prompt in the input */
    int slot;              /* -1 while waiting */
    uint32_t seed, sample; /* of its noise (struct sampler) */
    enum seq_state state;
    enum seq_end end;
    int n_prompt, n_ids, n_limit; /* n_limit: n_ids never passes it */
    const int32_t *prompt;        /* [n_prompt] borrowed until it has started */
    int32_t *ids;                 /* [n_limit] owns; prompt first */
    uint64_t *prefix_hash;        /* [n_limit + 1] owns; prefix_hash[i]: history of the first i ids */
    float *lp;                    /* [n_limit] owns; ln p of each generated id, under big */
    uint8_t *origin;              /* [n_limit] owns; enum origin */
    struct top *top;              /* [n_limit, n_top] owns; NULL without --logprobs */
    int n_top;
    struct seq_stats stats;
};

struct seq_config {
    int index;
    const int32_t *prompt; /* borrowed */
    int n_prompt;
    int n_predict; /* tokens at most; 0: as far as the context goes */
    int n_ctx, n_top;
    uint32_t seed, sample;
};

/* Takes no memory yet. E_USAGE: an empty prompt, or one that fills the context. */
int seq_init(struct seq *s, const struct seq_config *config, struct err *err);
/* Memory for the text, and the prompt in it. root: the history of no ids. */
int seq_start(struct seq *s, uint64_t root, struct err *err);
/* No more ids will come: what was for them is given back. */
void seq_settle(struct seq *s);
/* Ids and all that belongs to them go, counts stay. */
void seq_drop(struct seq *s);
void seq_free(struct seq *s);            /* NULL and zeroed are fine */
void seqs_free(struct seq *seqs, int n); /* and the list; NULL is fine */

/* Makes an id final. n_ids < n_limit. top: n_top entries or NULL. */
void seq_commit(struct seq *s, int32_t id, float lp, enum origin origin, const struct top *top, int n_top);

static inline int seq_n_generated(const struct seq *s)
{
    return s->n_ids - s->n_prompt;
}

/* E_CHECK with the place unless they are the same text, ids and log-probabilities bit for bit. */
int seq_check(const struct seq *drafted, const struct seq *plain, struct err *err);

#endif
