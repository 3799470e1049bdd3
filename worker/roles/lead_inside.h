/* lead_inside.h -- the inside of lead: what its files share.
 *
 *   lead.c            messages, and which of the coordinator's parts are in a pass
 *     ├▶ lead_self.c     self-start: rows of the slots' own, and drafts behind them
 *     └▶ lead_budget.c   how many rows of it each slot gets, where several want some (budget.h)
 */
#ifndef WORKER_ROLES_LEAD_INSIDE_H
#define WORKER_ROLES_LEAD_INSIDE_H

#include "proto/budget.h"
#include "proto/policy.h"
#include "worker/roles/lead.h"

struct queued_part { /* a part that waits; its rows lie beside it */
    struct part part;
    struct row rows[PASS_ROWS_MOST + 1]; /* one more: see feed_last */
    int32_t judge[PASS_ROWS_MOST][JUDGED_MOST];
    char plan[PART_PLAN_MOST + 1];
    uint64_t came_us;
};

struct own_part { /* of a slot's own: feeds big's next id, then drafts, and judges them */
    bool in_work;
    uint32_t at;
    int n_drafts;
    uint32_t drafted_us;
    uint64_t begun_us;
    int32_t drafts[DRAFTS_MOST];
    struct row rows[DRAFTS_MOST + 1];
};

struct slot_budget { /* of a slot, in one pass */
    int least;       /* rows that it wants at least; 0: none */
    int more;        /* rows of drafts behind them */
    int n_before;    /* drafts before them that have no answer yet */
    double right;    /* the chance that a draft of them is right */
    uint32_t end;    /* position behind them all */
    int most, used;  /* rows that it may have, and has */
    bool own;        /* they are big's next id, and drafts that it writes by itself */
    bool has_last;   /* their last one judges an id, which may be fed, too */
    bool blocked;    /* what waits of it is not to be shared, or waits for the answer to its own part */
    bool waits;      /* the parts of it that are left wait for the next pass */
};

struct self { /* what a slot may write on by itself */
    bool on, was_opened;
    struct open_slot open; /* its end ids are the copy below */
    int32_t end_ids[OPEN_END_IDS_MOST];
    uint32_t acked; /* ids of the text that the coordinator has */
    int n_queued;   /* parts of the coordinator's for this slot */
    uint32_t job;   /* of the last that is in work, whose Token has not come; 0: none */
    uint32_t job_round, job_at;
    bool has_next; /* big's next id is known and not fed yet */
    bool knows;    /* ids up to `next` are final; those from `from` on were answered to the coordinator's last part, and
                 * after it to parts of the slot's own */
    uint32_t from;
    bool lost; /* it does not follow what the slot holds any more: the coordinator is to know */
    struct token next;
    uint64_t next_us; /* when it came */
    uint32_t hold_us;
    struct own_part part;
    struct draft_policy policy; /* for its drafts of this text */
    int reach;                  /* length of the next draft at most */
    uint32_t n_final;           /* ids of the slot's text that never change */
    uint32_t n_prompt;          /* those before big's first; UINT32_MAX: it is being read */
    uint32_t n_counted;         /* ids of the slot's text that are in n_written, or before them */
    double right;               /* the chance that a draft of this text is right, whoever wrote it */
    uint32_t last_pass;         /* that had a row of it */
    uint32_t last_part;         /* the number of its last part, among those of all slots */
    struct slot_budget budget;
};

struct lead {
    struct lead_config c;
    struct self *self;         /* [slots->n] owns */
    struct queued_part *queue; /* [MAX_JOBS] owns */
    int32_t *text;             /* [slots->n_ctx] owns: of the slot that is looked at */
    uint16_t order[MAX_JOBS];  /* in which they came: first .. first + n_queued - 1, modulo; those taken go first */
    size_t first, n_queued;
    struct pass_times times;    /* of this stage */
    uint32_t n_passes, n_parts; /* so far */
    uint32_t n_tokens;          /* the number of the last Token */
    uint64_t rests_until_us;    /* there is no pass until then, or until a message comes; 0: it does not rest */

    /* One step. */
    size_t n_taken;     /* of the queue, in the last step: their rows are borrowed until the next */
    int turn;           /* the slot that is the first to write by itself */
    uint64_t n_written; /* by big, in all slots that write by themselves */
    bool shares;        /* several slots share the pass */
    bool spares;        /* and it is full: rows that a slot which writes by itself has no use for go to the next */
    int n_spare;        /* such rows */
    int n_whole, n_taken_whole; /* rows that those may have which do not share, and have */
    struct part parts[PASS_ROWS_MOST];
    struct verdict refused[MAX_JOBS + SLOTS_MOST];
    struct lead_step step;
};

/* ---- lead.c ---- */

static inline struct queued_part *lead_queue_at(const struct lead *l, size_t i)
{
    return &l->queue[l->order[(l->first + i) % MAX_JOBS]];
}

/* A part that begins where big has written by itself already. */
bool lead_is_late(const struct lead *l, const struct part *part);
/* ... of which rows that say the same are skipped, their answers are on the way. False: nothing else is left, or they
 * say something else. */
bool lead_trim(const struct lead *l, struct part *part);
/* Until the slot's own part is done nobody knows what is final. */
bool lead_must_wait(const struct lead *l, const struct part *part);
/* It ends the slot's text. */
bool lead_is_end(const struct self *s, int32_t id);
/* In the pass, for a part of so many rows. */
bool lead_has_room(const struct lead *l, size_t n_rows);
/* A pass runs one plan. */
bool lead_has_another_plan(const struct lead *l, const char *plan);
/* Into the pass: the slot holds its rows from now on. They are of those that slots share, or taken whole. */
void lead_join(struct lead *l, const struct part *part, bool is_shared);
void lead_refuse(struct lead *l, const struct part *part, enum verdict_status status, uint32_t held);

/* ---- lead_self.c ---- */

/* Nothing is known yet of drafts in the slot's text, which `open` began. */
void lead_begin_policy(const struct lead *l, struct self *s, const struct open_slot *open);
/* The slot's own part is done, and what the draft policy learns from it is how long it took, and how many of its drafts
 * were right. How sure big was does not count; nor do, where drafts cost nothing, those far behind a wrong one: after a
 * long copy one wrong draft would be a reason to pause. */
void lead_note_part(struct self *s, const struct token *t, uint64_t now_us);
/* Whether it goes on by itself, but for parts of the coordinator's. */
bool lead_would_go_on(const struct self *s);
/* Ids that may follow big's next one and big's answer to it: as many as the Open, the text and the pass have room
 * for. */
int64_t lead_draft_room(const struct lead *l, const struct self *s, int n_others);
/* What followed the end of the slot's text earlier, with big's next id behind it, which the slot need not hold yet. */
struct suffix_draft lead_look_up(struct lead *l, uint32_t slot, int most);
/* How long until a slot goes on by itself; UINT64_MAX: for ever. */
uint64_t lead_self_wait_us(const struct lead *l, uint64_t now_us);
/* Where there is a pass, those that wait for drafts go on in it, too. One for which there is no room is the first next
 * time. */
void lead_take_ready(struct lead *l, uint64_t now_us);

/* ---- lead_budget.c ---- */

/* Before a pass: sets what each slot may have of it. Where fewer than two want rows there is no bound. False: there
 * should be no pass before a message comes. */
bool lead_budget_rows(struct lead *l);
/* Until a message comes, or a few passes' time is over: nobody waits for ever. */
void lead_rest(struct lead *l, uint64_t now_us);
/* Its rows are drafts that the leader may leave for a later pass. */
bool lead_is_shared(const struct lead *l, const struct part *part);
/* Rows of the pass that a slot may still have. */
int lead_rows_left(const struct lead *l, const struct self *s);
/* What a Token says of drafts that were fed before; before the slot drops any. */
void lead_learn(struct lead *l, const struct token *token);
/* A draft that big has answered already was right, or was not. */
void lead_learn_late(struct self *s, bool right);
void lead_forget(struct self *s); /* another text */

#endif
