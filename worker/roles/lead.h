/* lead.h -- what the leader of a group of verifiers decides: a pure state machine. Messages and results in, passes and
 * refusals out; no engine, no mailbox, no clock.
 *
 *   lead_on_verify ──▶ queue ──lead_next──▶ parts of many slots ──▶ all shards compute ──▶ verdicts
 *                               ▲                                                            │ big's next id
 *   lead_on_open, _ack, _cut    └────── self-start: rows that feed it ◀──lead_on_token───────┘
 *
 * Parts are taken in the order of their arrival, as many as fit into a pass. A part that does not apply is refused and
 * never computed. Two parts of one slot share a pass only if the second follows the end of the first.
 *
 * A part may begin with what another slot holds, so that no prompt is computed twice: copied, in the order of parts,
 * before the pass computes any row. It waits for the pass after the one that computes what it copies.
 *
 * Where several slots go on by themselves, in texts that are adaptive, what a pass takes is for all of them: each has
 * its next row, and rows of drafts go where they are the likeliest to give a token, as long as that is worth their time
 * (budget.h). The chance that a draft of a slot is right is learned from big's ids, and told by the match where it is
 * of earlier text; what a pass takes is measured.
 * Other drafts wait for a later pass: by then big's ids may have made them final, or have refused them without their
 * being computed. Where there are more rows than a pass takes, the slot that had none for the longest is the first. A
 * pass of nothing but drafts behind others that have no answer yet, as with several stages, begins only if it is worth
 * more than one of all slots' next rows; else the leader rests until a message comes.
 *
 * Self-start: between an Open that allows it and a Cut, a slot for which the coordinator has no part waiting goes on
 * with big's own next id, one row a pass, beside the rows of all others. So plain decoding takes no round trip for a
 * token. The coordinator gets the verdicts as those of job 0. A slot stops at an end id, at the text's last position,
 * and at `self_max` ids beyond those that the coordinator is known to have (by an Ack, or by a part that it sent). Once
 * big contradicts a draft, parts that go on from it are refused: the slot no longer holds what they follow. Those that
 * are under way are dropped by later stages (drops.h), and the slot goes on without waiting for their answers.
 *
 * Drafts of the coordinator that follow one another come in parts of which the last row judges an id, too. Where no
 * more of the slot wait, that id is fed as well, so the pass gives big's own id behind it. A slot whose drafts are
 * under way waits for them before a row of its own, as long as the Ack lets it: a pass with drafts gives more.
 *
 * Where the Open lets it, a slot drafts for itself, too: the row that feeds big's next id is followed by what followed
 * the text's end earlier (suffix.h), and each row judges the next one's id. So what big copies comes several ids a
 * pass, at no round trip. How many: what was right of the last draft and two more, as far as they are likely enough to
 * pay for their rows. They may come from elsewhere instead (lead_drafts), at a cost. An Open may let the slot go on
 * only while all its drafts are right: the coordinator sees from the verdict that it has stopped. What big wrote in a
 * slot goes to the memory of all slots, if there is one, when another text takes the slot.
 */
#ifndef WORKER_ROLES_LEAD_H
#define WORKER_ROLES_LEAD_H

#include <stdbool.h>

#include "proto/plan.h"
#include "proto/suffix.h"
#include "proto/wire.h"
#include "worker/roles/slots.h"

enum {
    PASS_ROWS = 128,      /* rows of a pass: enough that arithmetic, not reading weights, bounds a prompt */
    PASS_ROWS_MOST = 512, /* where a device asks for more */
    MAX_JOBS = 256        /* parts of the coordinator that wait or are being computed */
};

struct draft_order { /* for a text whose slot ends with big's next id */
    const struct open_slot *open;
    int most;
    float p_joint_min; /* end it with the id that brings the product of the probabilities below it (0: never) */
};

struct lead_text { /* of a slot that ends with big's next id */
    const struct open_slot *open;
    int n_own;          /* ids at its end that big wrote */
    uint64_t n_written; /* by big so far, in all texts */
};

/* Where a slot's own drafts come from, if not from earlier text. */
struct lead_drafts {
    /* Writes ids that may follow the text, says how long that took, and returns how many there are. */
    int (*write)(void *arg, const struct draft_order *order, int32_t *drafts, uint32_t *us);
    /* Called before each row of a slot's own: may look for a better way to draft. Returns how long that took; *cost: of
     * drafts from now on, if it changes (there is one plan then). NULL: it does not. */
    uint32_t (*look)(void *arg, const struct lead_text *text, double *cost);
    void *arg;
    int n; /* plans, of which an Open names one; 0: there is one way */
    /* Of each: of a drafted id over one of big's own, before any is measured. */
    double costs[DRAFT_PLANS_MOST];
};

struct lead_config {
    struct slots *slots;          /* borrowed: what the group holds when all passes so far are done */
    struct suffix_memory *memory; /* borrowed: of what big wrote in earlier texts; NULL: none */
    int max_rows;                 /* of a pass; at most PASS_ROWS_MOST */
    int max_parts;                /* of a pass; 0: as many as have room */
    struct lead_drafts drafts;    /* write NULL: of earlier text */
    bool drops_nothing; /* tests: what is known already is computed again, in vain; the text must be the same */
    uint32_t hold_us;   /* tests: a slot waits at least so long before a row of its own, whatever the Acks say */
    int n_vocab;
};

struct lead_step {            /* borrowed until the next lead_next or lead_on_verify */
    const struct part *parts; /* of the pass; their rows, in order, are its rows */
    size_t n_parts;
    int n_rows;
    uint32_t queued_us;            /* how long the oldest part has waited */
    uint32_t drafted_us;           /* what writing drafts for it took */
    uint32_t n_tokens;             /* the number of the last Token that it knows of */
    const struct verdict *refused; /* to be sent now */
    size_t n_refused;
};

struct lead;
int lead_open(struct lead **out, const struct lead_config *config, struct err *err);
void lead_close(struct lead *l); /* NULL is fine */

/* E_PEER: a message that no coordinator sends. */
int lead_on_verify(struct lead *l, const struct part *part, uint64_t now_us, struct err *err);
int lead_on_open(struct lead *l, const struct open_slot *open, struct err *err);
int lead_on_ack(struct lead *l, const struct ack *ack, struct err *err);
int lead_on_cut(struct lead *l, const struct cut *cut, struct err *err);
/* From the group's last, which has the answers (token_of). */
int lead_on_token(struct lead *l, const struct token *token, uint64_t now_us, struct err *err);

/* There is no room for another part of the coordinator before the next pass. */
bool lead_is_full(const struct lead *l, uint64_t now_us);
/* For how long there is nothing to do unless a message comes. 0: there is; UINT64_MAX: for ever. */
uint64_t lead_wait_us(const struct lead *l, uint64_t now_us);
static inline bool lead_has_work(const struct lead *l, uint64_t now_us)
{
    return lead_wait_us(l, now_us) == 0;
}
/* The next pass; its parts count as held by the slots from now on. It may be empty. */
struct lead_step lead_next(struct lead *l, uint64_t now_us);
/* How long the leader's stage took for a pass of so many rows of the served plan. */
void lead_note_pass(struct lead *l, int n_rows, uint64_t us);

/* What every shard checks of a part before it computes it. */
int part_check(const struct part *part, int max_rows, int n_vocab, struct err *err);
/* The drafts that a part's wanted rows judge, from the first of these on; returns how many. */
size_t drafts_of(const struct part *part, int32_t drafts[DRAFTS_MOST]);
/* Big's next id after the drafts that the exact rule keeps of a part: where its last row judges one too, and all are
 * right, the last of them. The caller sets prefix_hash. False: no row was wanted. */
bool token_of(const struct part *part, const struct verdict_row *answers, struct token *out);

#endif
