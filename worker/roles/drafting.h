/* drafting.h -- what a drafter was asked for, by slot: ids to read, drafts to write, and what of them was sent. Pure:
 * messages and little's next ids in, Drafts out; no clock, no model. role_drafter.c runs it with the little model, the
 * simulator with a function.
 *
 *   DraftAsk ─▶ drafting_ask ─▶ drafting_take, an id a pass ─▶ Draft: MORE, one for each block ...
 *      Cut ─▶ drafting_cut ──────────────────────────────────▶ Draft: WINDOW, LOW, EOS, JOINT_LOW or FAILED, the last
 *
 * Every ask is answered by exactly one last Draft. An ask that goes on with the drafter's own ids, of a round in which
 * it runs ahead, does not rewind it: no KV row is computed twice, no draft is sent twice.
 */
#ifndef WORKER_ROLES_DRAFTING_H
#define WORKER_ROLES_DRAFTING_H

#include "proto/wire.h"
#include "worker/roles/slots.h"

struct drafting_text { /* of a slot, and its ask */
    bool active;
    uint32_t round, at, until; /* at: the first drafted position that was not sent */
    uint32_t block;            /* rows of a Draft that is not the last; 0: there is none */
    float p_min, p_joint_min;
    uint32_t p_min_from; /* position from which p_min counts */
    double chance;       /* that all of the draft behind the ask's ids is right */
    struct sampler sampler;
    int n_fed;         /* ids of the slot whose KV rows are good; stays when the ask is done */
    float *p;          /* [n_ctx] owns; p[i]: probability of the drafted id at i */
    uint64_t start_us; /* of the ask, or of what comes after the last Draft */
    size_t n_end_ids;
    int32_t end_ids[OPEN_END_IDS_MOST];
    uint32_t last_position;
    int n_ids; /* ids below it may be proposed */
};

struct drafting {
    struct slots *slots;         /* borrowed */
    struct drafting_text *texts; /* [slots->n] owns */
    struct draft_row *rows;      /* [slots->n_ctx] owns: of the last Draft, until the next */
    int n_vocab, n_active;
};

int drafting_init(struct drafting *d, struct slots *slots, int n_vocab, struct err *err);
void drafting_free(struct drafting *d); /* zeroed is fine */

int drafting_open(struct drafting *d, const struct open_slot *open, struct err *err); /* E_PEER: none that is sent */

/* Each of these returns whether *out is to be sent. */

/* The ask in work of this slot ends: with its Cut, or because another one is here. */
bool drafting_cut(struct drafting *d, const struct cut *cut, uint64_t now_us, struct draft *out);
bool drafting_end(struct drafting *d, uint32_t slot, uint64_t now_us, struct draft *out);
/* The next id of the little model, and its probability, which joins the text or ends the draft. */
bool drafting_take(struct drafting *d, uint32_t slot, int32_t id, float p, uint64_t now_us, struct draft *out);
/* The row at pos could not be computed: it is as if the ask had ended before. */
bool drafting_fail(struct drafting *d, uint32_t slot, uint32_t pos, uint64_t now_us, struct draft *out);
/* An ask that has no more to write, and whose ids are all fed, is over. */
bool drafting_rest(struct drafting *d, uint32_t slot, uint64_t now_us, struct draft *out);

/* Before drafting_ask: if the ask does not apply, but would in the slot that it names, its slot gets that one's ids.
 * Returns how many KV rows the role is to copy from slot ask->from - 1. */
int drafting_copy(struct drafting *d, const struct draft_ask *ask);
/* A new ask, behind drafting_end. *refused: *out is to be sent. E_PEER: an ask that no coordinator sends. */
int drafting_ask(struct drafting *d, const struct draft_ask *ask, uint64_t now_us, bool *refused, struct draft *out,
                 struct err *err);

#endif
