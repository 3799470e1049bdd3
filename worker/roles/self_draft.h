/* self_draft.h -- drafts that the big model writes itself, by plans of its own blocks (--draft-plan): on every shard of
 * the first stage, where these blocks are. Open, DraftAsk and the Pass of a draft say by which.
 *
 *   leader:  lead_next ─▶ self_draft_write ─▶ [id, position] ─Pass of a draft─▶ other shards: self_draft_step
 *   or:      DraftAsk ─▶ lookup_draft ─▶ self_draft_answer, likewise
 *                                    each shard runs the plan, and holds the row as it leaves what the plans share
 *   all:     the pass that judges ─▶ self_draft_pass: held rows go on behind what the plans share (exit_rows.h)
 *
 * With a search (--draft-plan swift) there is one, which may change from draft to draft: the leader tries others over
 * what big wrote last, in a bounded share of its time, and says in each Pass of a draft which plan it is by. Rows that
 * are held by another plan are dropped. A trial is a Pass of a draft with several rows; its K and V are put back as
 * they were:
 *
 *   leader:  lead_next ─▶ self_draft_look ─▶ swift_next ─▶ [ids of the text, their places] ─Pass─▶ other shards
 *
 * The drafts use the served plan's KV (other_plans.h), so they need no reading of the text. Errors of a number that is
 * not finite end a draft; big says what it finds when it judges.
 */
#ifndef WORKER_ROLES_SELF_DRAFT_H
#define WORKER_ROLES_SELF_DRAFT_H

#include "worker/roles/exit_rows.h"
#include "worker/roles/role.h"
#include "worker/roles/swift.h"

struct self_draft {
    struct worker *w; /* NULL: it does not draft */
    struct exit_rows held;
    float *x; /* [n_embd] of the id that is drafted from; owns */

    /* Of a pass. */
    int begins[PASS_ROWS_MOST], bad_entry[PASS_ROWS_MOST]; /* of each row: the entry at which it goes on */
    /* The rows that go through some entries, before others join them. */
    struct engine_row fresh[PASS_ROWS_MOST];
    int row_of[PASS_ROWS_MOST]; /* each one's in the pass */
    float *fresh_x;             /* [worker_pass_rows, n_embd] owns */
    int fresh_bad[PASS_ROWS_MOST];

    /* Of a search. */
    bool searches;
    struct swift *swift;           /* owns: the leader's */
    char plan[PART_PLAN_MOST + 1]; /* of the last draft, or the start */
    void *kept_kv;                 /* of SWIFT_ROWS positions; owns */
    uint64_t trials_ns, trial_ns;  /* that all took, and the last one */

    int rc; /* of a draft, with err: the worker cannot go on */
    struct err err;
};

/* Does nothing without a plan for drafts. After engine_load. */
int self_draft_open(struct self_draft *d, struct worker *w, struct err *err);
void self_draft_close(struct self_draft *d); /* zeroed is fine */

/* lead_config's write: the text ends with the id to draft from. */
int self_draft_write(void *self_draft, const struct draft_order *order, int32_t *drafts, uint32_t *us);
/* lead_config's look, with a search: tries another plan, if there is time for it. */
uint32_t self_draft_look(void *self_draft, const struct lead_text *text, double *cost);
/* The leader's search begins: self_draft_look may be called. way: as swift_config has it. */
int self_draft_search(struct self_draft *d, double way, struct err *err);
/* lookup_writer's write, for texts that ask: the slot must hold what stands before the last id, which is drafted from.
 * With a search nothing is drafted: such a text depends on its drafts. */
int self_draft_answer(void *self_draft, const struct draft_ask *ask, const struct slot *ids, int most,
                      struct draft_row *rows, enum draft_end *end);
/* Another shard: the leader's step. E_PEER: a message that no leader sends. */
int self_draft_step(struct self_draft *d, const struct pass *pass, struct err *err);

/* The pass over all of this stage's entries, as engine_pass does it; all->x is as they find it. */
int self_draft_pass(struct self_draft *d, const struct part *parts, size_t n_parts, struct engine_span *all,
                    const struct verdict_row **answers, struct err *err);

#endif
