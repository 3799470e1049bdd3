/* exit_rows.h -- hidden rows of drafted ids, as they leave the entries that the draft's plan shares with the served one
 * (worker/engine/other_plans.h): the pass that judges the drafts goes on with them, so nothing is computed twice.
 *
 * Of each slot the rows of one draft are held, one behind the other, all of one plan. They are found by position and by
 * the hash of the text up to their id, and dropped by any pass that feeds the slot: from then on its KV rows may be of
 * other ids. To be held is a permission, not a promise: a row that is not held is computed from the first entry, with
 * the same bits. Every shard of the first stage has them, and finds the same.
 */
#ifndef WORKER_ROLES_EXIT_ROWS_H
#define WORKER_ROLES_EXIT_ROWS_H

#include "proto/wire.h"

struct held_rows { /* of a slot: of the ids at positions at .. at + n - 1 */
    uint32_t at;
    int n;
    int plan;                              /* by which they were drafted */
    uint64_t prefix_hash[DRAFTS_MOST + 1]; /* before each of them, and behind the last */
};

struct exit_rows {
    int n_slots, n_embd;
    struct held_rows *slot; /* [n_slots] owns */
    float *x;               /* [n_slots, DRAFTS_MOST, n_embd] owns */
};

int exit_rows_init(struct exit_rows *r, int n_slots, int n_embd, struct err *err);
void exit_rows_free(struct exit_rows *r); /* zeroed is fine */

/* Holds the row of the part's one id, of a draft by a plan. A draft that is full holds no more. */
void exit_rows_keep(struct exit_rows *r, const struct part *part, int plan, const float *x);
/* How many of the part's first rows are held. */
int exit_rows_held(const struct exit_rows *r, const struct part *part);
/* The row of the id at `pos`, which is held. */
const float *exit_rows_at(const struct exit_rows *r, uint32_t slot, uint32_t pos);
void exit_rows_drop(struct exit_rows *r, uint32_t slot);

#endif
