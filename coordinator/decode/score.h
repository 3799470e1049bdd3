/* score.h -- ln p of every id of a given text, under big. As pure as spec.h: a verdict in, messages out.
 *
 *   ids ── windows that begin anew ──▶ parts: rows that judge the id after them ──▶ Verdicts ──▶ lp
 *
 * The first n_before ids of each window are only read: every id that is scored has at least so many before it, as in
 * llama.cpp's perplexity (half of a window of 512). A window's parts go to one slot, in order; windows share the
 * slots.
 */
#ifndef COORDINATOR_DECODE_SCORE_H
#define COORDINATOR_DECODE_SCORE_H

#include <stdbool.h>

#include "proto/err.h"
#include "proto/wire.h"

struct score_config {
    const int32_t *ids;   /* [n_ids] borrowed */
    int n_ids;            /* at least a window */
    int window, n_before; /* 1 <= n_before < window; a rest at the end that is shorter than a window is not read */
    const char *plan;     /* that big is run under (proto/plan.h); NULL: the one it is served under. Borrowed */
    int n_slots, max_rows, max_jobs, n_vocab;
    uint64_t root;
};

struct score;
int score_open(struct score **out, const struct score_config *config, struct err *err);
void score_close(struct score *s);

/* The first call: verdict NULL. *messages: Verify, to the verifiers' leader; borrowed until the next call. E_PEER: a
 * verdict that answers no part, or a refusal. */
int score_step(struct score *s, const struct verdict *verdict, const struct message **messages, int *n_messages,
               struct err *err);

int score_n_windows(const struct score *s);
int score_n_done(const struct score *s); /* windows */
/* Once all windows are done: how many ids were scored, the sum of their ln p, and of its square. They are added in the
 * order of the text, so the bits do not depend on which slot had which window. */
void score_sum(const struct score *s, int *n, double *sum, double *sum_of_squares);
/* Big's own id in place of each that was scored, in the order of the text; borrowed until score_close. */
const int32_t *score_own_ids(const struct score *s);
/* The share of them that are also these, of another score of the same text. */
double score_agreement(const struct score *s, const int32_t *ids);

#endif
