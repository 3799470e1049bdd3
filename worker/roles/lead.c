#include "worker/roles/lead.h"

#include <stdlib.h>
#include <string.h>

#include "proto/rule.h"
#include "worker/engine/engine_row.h"

struct queued_part { /* a part that waits; its rows lie beside it */
    struct part part;
    struct row rows[PASS_ROWS];
    int32_t judge[PASS_ROWS][JUDGED_MOST];
    uint64_t came_us;
};

struct self { /* what a slot may write on by itself */
    bool on;
    struct open_slot open; /* its end ids are the copy below */
    int32_t end_ids[OPEN_END_IDS_MOST];
    uint32_t acked; /* ids of the text that the coordinator has */
    int n_queued;   /* parts of the coordinator's for this slot */
    bool has_next;  /* big's next id is known and not fed yet */
    bool lost;      /* it does not follow what the slot holds any more: the coordinator is to know */
    struct token next;
    struct row row; /* that feeds it */
};

struct lead {
    struct lead_config c;
    struct self *self;         /* [slots->n] owns */
    struct queued_part *queue; /* [MAX_JOBS] owns: first .. first + n_queued - 1, modulo */
    size_t first, n_queued;

    /* One step. */
    size_t n_taken; /* of the queue, in the last step: their rows are borrowed until the next */
    struct part parts[PASS_ROWS];
    struct verdict refused[MAX_JOBS + SLOTS_MOST];
    struct lead_step step;
};

int part_check(const struct part *part, int max_rows, int n_vocab, struct err *err)
{
    if (part->n_rows < 1 || part->n_rows > (size_t)max_rows)
        return err_set(err, E_PEER, "a part of %zu rows, expected 1 to %d", part->n_rows, max_rows);
    for (size_t i = 0; i < part->n_rows; i++) {
        const struct row *row = &part->rows[i];
        if (row->n_top > MAX_TOP)
            return err_set(err, E_PEER, "a part that asks for the %u best ids, at most %d", row->n_top, MAX_TOP);
        bool bad = row->id < 0 || row->id >= n_vocab;
        for (size_t k = 0; k < row->n_judge; k++) bad |= row->judge[k] < 0 || row->judge[k] >= n_vocab;
        if (bad) return err_set(err, E_PEER, "a part with an id outside the vocabulary of %d", n_vocab);
    }
    return OK;
}

bool token_of(const struct part *part, const struct verdict_row *answers, struct token *out)
{
    static const struct rule exact = {RULE_EXACT, 0};
    int32_t drafts[DRAFTS_MOST];
    size_t first = 0, n = 0;
    while (first < part->n_rows && !part->rows[first].wanted) first++;
    if (first == part->n_rows) return false;
    for (size_t i = first; i < part->n_rows && part->rows[i].n_judge && n < DRAFTS_MOST; i++)
        drafts[n++] = part->rows[i].judge[0];
    size_t kept = rule_first_bad(&exact, answers, drafts, n);
    *out = (struct token){.slot = part->slot,
                          .round = part->round,
                          .at = part->at + (uint32_t)(first + kept) + 1,
                          .id = answers[kept].next,
                          .self = part->job == 0};
    return true;
}

/* ---- messages ---- */

static int check_slot(const struct lead *l, uint32_t slot, const char *what, struct err *err)
{
    if (slot < (uint32_t)l->c.slots->n) return OK;
    return err_set(err, E_PEER, "%s of slot %u, there are %d", what, slot, l->c.slots->n);
}

static struct queued_part *queue_at(struct lead *l, size_t i)
{
    return &l->queue[(l->first + i) % MAX_JOBS];
}

/* The queue gives back what the last step took. */
static void drop_taken(struct lead *l)
{
    l->first = (l->first + l->n_taken) % MAX_JOBS;
    l->n_queued -= l->n_taken;
    l->n_taken = 0;
}

bool lead_is_full(const struct lead *l)
{
    return l->n_queued - l->n_taken == MAX_JOBS;
}

int lead_on_verify(struct lead *l, const struct part *part, uint64_t now_us, struct err *err)
{
    drop_taken(l);
    if (l->n_queued == MAX_JOBS) return err_set(err, E_PEER, "more than %d parts at once", MAX_JOBS);
    if (!part->job) return err_set(err, E_PEER, "a Verify of job 0");
    int rc = part_check(part, l->c.max_rows, l->c.n_vocab, err);
    if (rc != OK) return rc;
    struct queued_part *q = queue_at(l, l->n_queued++);
    q->part = *part;
    q->part.rows = q->rows;
    q->part.error = NULL; /* nor does it say what only a leader says */
    q->came_us = now_us;
    for (size_t i = 0; i < part->n_rows; i++) {
        q->rows[i] = part->rows[i];
        q->rows[i].judge = q->judge[i];
        for (size_t k = 0; k < part->rows[i].n_judge; k++) q->judge[i][k] = part->rows[i].judge[k];
    }
    if (part->slot >= (uint32_t)l->c.slots->n) return OK; /* it is refused in its turn */
    struct self *s = &l->self[part->slot];
    s->n_queued++;
    s->has_next = s->lost = false; /* its own rows say what is next */
    return OK;
}

int lead_on_open(struct lead *l, const struct open_slot *open, struct err *err)
{
    int rc = check_slot(l, open->slot, "an Open", err);
    if (rc != OK) return rc;
    if (open->n_end_ids > OPEN_END_IDS_MOST || open->n_top > MAX_TOP)
        return err_set(err, E_PEER, "an Open with %zu end ids and %u best ids", open->n_end_ids, open->n_top);
    struct self *s = &l->self[open->slot];
    *s = (struct self){.on = open->self_max > 0, .open = *open, .n_queued = s->n_queued};
    if (open->n_end_ids) memcpy(s->end_ids, open->end_ids, open->n_end_ids * sizeof *open->end_ids);
    s->open.end_ids = s->end_ids;
    return OK;
}

int lead_on_ack(struct lead *l, const struct ack *ack, struct err *err)
{
    int rc = check_slot(l, ack->slot, "an Ack", err);
    if (rc != OK) return rc;
    struct self *s = &l->self[ack->slot];
    if (s->on && ack->at > s->acked && ack->at <= slots_held(l->c.slots, ack->slot) + 1) s->acked = ack->at;
    return OK;
}

int lead_on_cut(struct lead *l, const struct cut *cut, struct err *err)
{
    int rc = check_slot(l, cut->slot, "a Cut", err);
    if (rc == OK) {
        struct self *s = &l->self[cut->slot];
        s->on = s->has_next = s->lost = false;
    }
    return rc;
}

static bool ends(const struct self *s, const struct token *t)
{
    for (size_t i = 0; i < s->open.n_end_ids; i++)
        if (s->end_ids[i] == t->id) return true;
    return t->at + 1 >= s->open.last_position;
}

int lead_on_token(struct lead *l, const struct token *t, struct err *err)
{
    int rc = check_slot(l, t->slot, "a Token", err);
    if (rc != OK) return rc;
    if (t->id < 0 || t->id >= l->c.n_vocab)
        return err_set(err, E_PEER, "a Token with id %d, outside the vocabulary of %d", t->id, l->c.n_vocab);
    struct self *s = &l->self[t->slot];
    bool of_this_text = (int32_t)(t->round - s->open.round) >= 0;
    if (!s->on || !of_this_text || s->n_queued) return OK;
    if (!t->self && t->at > s->acked) s->acked = t->at; /* the coordinator has sent what stands before it */
    s->next = *t;
    s->lost = slots_check(l->c.slots, t->slot, t->at, t->prefix_hash, 0) != VERDICT_OK;
    s->has_next = !s->lost && !ends(s, t);
    return OK;
}

/* ---- a step ---- */

/* Two parts of one slot may share a pass only if the second goes on where the first ends. */
static bool rewinds_inside(const struct lead *l, const struct part *part)
{
    for (size_t i = 0; i < l->step.n_parts; i++)
        if (l->parts[i].slot == part->slot && part->at < l->parts[i].at + l->parts[i].n_rows) return true;
    return false;
}

static void refuse(struct lead *l, const struct part *part, enum verdict_status status)
{
    l->refused[l->step.n_refused++] = (struct verdict){.job = part->job,
                                                       .slot = part->slot,
                                                       .round = part->round,
                                                       .at = part->at,
                                                       .prefix_hash = part->prefix_hash,
                                                       .status = status,
                                                       .held = slots_held(l->c.slots, part->slot)};
    if (status == VERDICT_FAILED) l->refused[l->step.n_refused - 1].error = slots_error(l->c.slots, part->slot);
}

static void join(struct lead *l, const struct part *part)
{
    int32_t ids[PASS_ROWS];
    for (size_t i = 0; i < part->n_rows; i++) ids[i] = part->rows[i].id;
    slots_apply(l->c.slots, part->slot, part->at, ids, part->n_rows);
    l->parts[l->step.n_parts] = *part;
    l->parts[l->step.n_parts++].token = l->self[part->slot].on;
    l->step.n_rows += (int)part->n_rows;
}

static bool has_room(const struct lead *l, size_t n_rows)
{
    bool more_parts = !l->c.max_parts || l->step.n_parts < (size_t)l->c.max_parts;
    return more_parts && n_rows <= (size_t)(l->c.max_rows - l->step.n_rows);
}

/* Takes parts in the order in which they came, until the pass is full. */
static void take_queued(struct lead *l, uint64_t now_us)
{
    for (; l->n_taken < l->n_queued; l->n_taken++) {
        const struct queued_part *q = queue_at(l, l->n_taken);
        const struct part *part = &q->part;
        if (!has_room(l, part->n_rows) || rewinds_inside(l, part)) return;
        enum verdict_status status = slots_check(l->c.slots, part->slot, part->at, part->prefix_hash, part->n_rows);
        if (part->slot < (uint32_t)l->c.slots->n) l->self[part->slot].n_queued--;
        if (status != VERDICT_OK) {
            refuse(l, part, status);
            continue;
        }
        if (!l->step.n_parts) l->step.queued_us = (uint32_t)(now_us - q->came_us);
        join(l, part);
    }
}

/* It says what the slot holds, from where the coordinator must send. */
static void refuse_self(struct lead *l, uint32_t slot)
{
    struct self *s = &l->self[slot];
    const struct part part = {
        .slot = slot, .round = s->open.round, .at = s->next.at, .prefix_hash = s->next.prefix_hash};
    s->lost = false;
    enum verdict_status status = slots_check(l->c.slots, slot, part.at, part.prefix_hash, 1);
    if (status != VERDICT_OK) refuse(l, &part, status);
}

static bool is_ready(const struct self *s)
{
    return s->on && s->has_next && !s->n_queued && s->next.at + 1 - s->acked < s->open.self_max;
}

static void start_self(struct lead *l, uint32_t slot)
{
    struct self *s = &l->self[slot];
    const struct part part = {.slot = slot,
                              .round = s->open.round,
                              .at = s->next.at,
                              .prefix_hash = s->next.prefix_hash,
                              .rows = &s->row,
                              .n_rows = 1,
                              .sampler = s->open.sampler};
    s->row = (struct row){.id = s->next.id, .wanted = true, .n_top = s->open.n_top};
    s->has_next = false;
    s->lost = slots_check(l->c.slots, slot, part.at, part.prefix_hash, 1) != VERDICT_OK;
    if (!s->lost) join(l, &part);
}

bool lead_has_work(const struct lead *l)
{
    if (l->n_queued > l->n_taken) return true;
    for (int i = 0; i < l->c.slots->n; i++)
        if (l->self[i].lost || is_ready(&l->self[i])) return true;
    return false;
}

struct lead_step lead_next(struct lead *l, uint64_t now_us)
{
    drop_taken(l);
    l->step = (struct lead_step){.parts = l->parts, .refused = l->refused};
    take_queued(l, now_us);
    for (int i = 0; i < l->c.slots->n; i++) {
        if (is_ready(&l->self[i]) && has_room(l, 1)) start_self(l, (uint32_t)i);
        if (l->self[i].lost) refuse_self(l, (uint32_t)i);
    }
    return l->step;
}

/* ---- open, close ---- */

int lead_open(struct lead **out, const struct lead_config *config, struct err *err)
{
    struct lead *l = calloc(1, sizeof *l);
    if (l) {
        l->c = *config;
        l->self = calloc((size_t)config->slots->n, sizeof *l->self);
        l->queue = calloc(MAX_JOBS, sizeof *l->queue);
    }
    if (!l || !l->self || !l->queue) {
        lead_close(l);
        return err_set(err, E_LAYOUT, "out of memory");
    }
    *out = l;
    return OK;
}

void lead_close(struct lead *l)
{
    if (!l) return;
    free(l->self);
    free(l->queue);
    free(l);
}
