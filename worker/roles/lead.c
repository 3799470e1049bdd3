#include "worker/roles/lead_inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/rule.h"
#include "proto/suffix.h"
#include "worker/engine/engine_row.h"

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

static size_t first_wanted(const struct part *part)
{
    size_t first = 0;
    while (first < part->n_rows && !part->rows[first].wanted) first++;
    return first;
}

size_t drafts_of(const struct part *part, int32_t drafts[DRAFTS_MOST])
{
    size_t n = 0;
    for (size_t i = first_wanted(part); i < part->n_rows && part->rows[i].n_judge && n < DRAFTS_MOST; i++)
        drafts[n++] = part->rows[i].judge[0];
    return n;
}

bool token_of(const struct part *part, const struct verdict_row *answers, struct token *out)
{
    static const struct rule exact = {RULE_EXACT, 0};
    int32_t drafts[DRAFTS_MOST];
    size_t first = first_wanted(part), n = drafts_of(part, drafts);
    if (first == part->n_rows) return false;
    size_t kept = rule_first_bad(&exact, answers, drafts, n);
    if (first + kept == part->n_rows) kept--;
    *out = (struct token){.slot = part->slot,
                          .round = part->round,
                          .at = part->at + (uint32_t)(first + kept) + 1,
                          .id = answers[kept].next,
                          .job = part->job};
    return true;
}

/* ---- messages ---- */

static int check_slot(const struct lead *l, uint32_t slot, const char *what, struct err *err)
{
    if (slot < (uint32_t)l->c.slots->n) return OK;
    return err_set(err, E_PEER, "%s of slot %u, there are %d", what, slot, l->c.slots->n);
}

/* The queue gives back what the last step took. */
static void drop_taken(struct lead *l)
{
    l->first = (l->first + l->n_taken) % MAX_JOBS;
    l->n_queued -= l->n_taken;
    l->n_taken = 0;
}

bool lead_is_full(const struct lead *l, uint64_t now_us)
{
    return l->n_queued - l->n_taken == MAX_JOBS && lead_has_work(l, now_us);
}

int lead_on_verify(struct lead *l, const struct part *part, uint64_t now_us, struct err *err)
{
    l->rests_until_us = 0;
    drop_taken(l);
    if (l->n_queued == MAX_JOBS) return err_set(err, E_PEER, "more than %d parts at once", MAX_JOBS);
    if (!part->job) return err_set(err, E_PEER, "a Verify of job 0");
    int rc = part_check(part, l->c.max_rows, l->c.n_vocab, err);
    if (rc != OK) return rc;
    struct queued_part *q = lead_queue_at(l, l->n_queued++);
    q->part = *part;
    q->part.rows = q->rows;
    q->part.error = NULL; /* nor does it say what only a Pass says */
    q->part.dropped = false;
    snprintf(q->plan, sizeof q->plan, "%s", part->plan ? part->plan : "");
    q->part.plan = part->plan ? q->plan : NULL;
    q->came_us = now_us;
    for (size_t i = 0; i < part->n_rows; i++) {
        q->rows[i] = part->rows[i];
        q->rows[i].judge = q->judge[i];
        for (size_t k = 0; k < part->rows[i].n_judge; k++) q->judge[i][k] = part->rows[i].judge[k];
    }
    if (part->slot >= (uint32_t)l->c.slots->n) return OK; /* it is refused in its turn */
    struct self *s = &l->self[part->slot];
    s->n_queued++;
    s->lost = false; /* the coordinator knows */
    return OK;
}

/* What big wrote of the slot's last text goes to the memory of all slots. */
static void remember(struct lead *l, uint32_t slot)
{
    struct self *s = &l->self[slot];
    if (l->c.memory && s->n_prompt < s->n_final)
        suffix_memory_add(l->c.memory, l->c.slots->slot[slot].ids + s->n_prompt, (int)(s->n_final - s->n_prompt));
    s->n_prompt = UINT32_MAX;
}

/* It may go on from the end of the one before, as a conversation does: then no part says so (note_text). A part of it
 * may have come before its first Open. */
static void begin_text(struct lead *l, uint32_t slot)
{
    const struct self *s = &l->self[slot];
    if (s->n_prompt <= s->n_final) remember(l, slot);
}

int lead_on_open(struct lead *l, const struct open_slot *open, struct err *err)
{
    l->rests_until_us = 0;
    int rc = check_slot(l, open->slot, "an Open", err);
    if (rc != OK) return rc;
    if (open->n_end_ids > OPEN_END_IDS_MOST || open->n_top > MAX_TOP)
        return err_set(err, E_PEER, "an Open with %zu end ids and %u best ids", open->n_end_ids, open->n_top);
    if (open->draft_plan && open->draft_plan >= (uint32_t)l->c.drafts.n)
        return err_set(err, E_PEER, "an Open for plan %u of %d", open->draft_plan, l->c.drafts.n);
    struct self *s = &l->self[open->slot];
    if (!s->was_opened || open->text != s->open.text) {
        begin_text(l, open->slot);
        lead_begin_policy(l, s, open);
    }
    s->on = open->self_max > 0;
    s->was_opened = true;
    s->has_next = s->lost = s->knows = s->part.in_work = false;
    s->acked = s->hold_us = 0;
    s->job = 0;
    s->open = *open;
    if (open->n_end_ids) memcpy(s->end_ids, open->end_ids, open->n_end_ids * sizeof *open->end_ids);
    s->open.end_ids = s->end_ids;
    return OK;
}

int lead_on_ack(struct lead *l, const struct ack *ack, struct err *err)
{
    l->rests_until_us = 0;
    int rc = check_slot(l, ack->slot, "an Ack", err);
    if (rc != OK) return rc;
    struct self *s = &l->self[ack->slot];
    /* Of more than the slot holds, too: it may have lost ids, and be about to write them again. */
    if (s->on && ack->at > s->acked && ack->at <= (uint32_t)l->c.slots->n_ctx) s->acked = ack->at;
    s->hold_us = ack->hold_us;
    return OK;
}

int lead_on_cut(struct lead *l, const struct cut *cut, struct err *err)
{
    l->rests_until_us = 0;
    int rc = check_slot(l, cut->slot, "a Cut", err);
    if (rc == OK) {
        struct self *s = &l->self[cut->slot];
        s->on = s->has_next = s->lost = s->knows = false;
    }
    return rc;
}

bool lead_is_end(const struct self *s, int32_t id)
{
    for (size_t i = 0; i < s->open.n_end_ids; i++)
        if (s->end_ids[i] == id) return true;
    return false;
}

static bool ends(const struct self *s, const struct token *t)
{
    return lead_is_end(s, t->id) || t->at + 1 >= s->open.last_position;
}

/* The slot holds drafts where big writes otherwise. The part in work that goes on from them gives no Token, or one that
 * says nothing: later stages drop it (drops.h). */
static void drop_contradicted(struct lead *l, const struct token *t)
{
    const struct slot *slot = &l->c.slots->slot[t->slot];
    struct self *s = &l->self[t->slot];
    if (slot->len <= (int)t->at || slot->ids[t->at] == t->id) return;
    slots_cut(l->c.slots, t->slot, t->at);
    if (s->job_round == t->round && s->job_at >= t->at) s->job = 0;
    if (s->from > t->at) s->from = t->at;
}

int lead_on_token(struct lead *l, const struct token *t, uint64_t now_us, struct err *err)
{
    l->rests_until_us = 0;
    int rc = check_slot(l, t->slot, "a Token", err);
    if (rc != OK) return rc;
    if (t->id < 0 || t->id >= l->c.n_vocab)
        return err_set(err, E_PEER, "a Token with id %d, outside the vocabulary of %d", t->id, l->c.n_vocab);
    l->n_tokens = t->number;
    struct self *s = &l->self[t->slot];
    bool of_this_text = (int32_t)(t->round - s->open.round) >= 0;
    if (!s->on || !of_this_text) return OK;
    if (t->job == s->job) s->job = 0;
    if (!t->job) lead_note_part(s, t, now_us);
    bool follows = slots_check(l->c.slots, t->slot, t->at, t->prefix_hash, 0) == VERDICT_OK;
    if (!follows && t->job && s->knows && t->at > s->next.at) return OK; /* after a draft that big has contradicted */
    if (t->job && t->at > s->acked) s->acked = t->at; /* the coordinator has sent what stands before it */
    if (follows) lead_learn(l, t);
    if (follows) drop_contradicted(l, t);
    s->next = *t;
    s->next_us = now_us;
    s->lost = s->on && !follows && !s->n_queued;
    s->has_next = follows && !ends(s, t);
    s->knows = follows;
    if (follows && t->at > s->n_final) s->n_final = t->at;
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

/* Rows are copied before a pass computes any: what is to be copied must be there by then, and no row of the text that
 * it replaces may come later. */
static bool copies_inside(const struct lead *l, const struct part *part)
{
    for (size_t i = 0; part->from && i < l->step.n_parts; i++) {
        const struct part *other = &l->parts[i];
        if (other->slot == part->slot || (other->slot == part->from - 1 && other->at < part->at)) return true;
    }
    return false;
}

/* Whether the part applies: as it is, or else by a copy. */
static enum verdict_status check_part(const struct lead *l, const struct part *part, bool *copies)
{
    const struct slots *s = l->c.slots;
    enum verdict_status status = slots_check(s, part->slot, part->at, part->prefix_hash, part->n_rows);
    *copies = part->from && !part->plan && status != VERDICT_OK && status != VERDICT_FULL &&
              slots_check(s, part->from - 1, part->at, part->prefix_hash, part->n_rows) == VERDICT_OK;
    return *copies ? VERDICT_OK : status;
}

bool lead_has_another_plan(const struct lead *l, const char *plan)
{
    const char *its = l->step.n_parts ? l->parts[0].plan : plan;
    return (plan != NULL) != (its != NULL) || (plan && strcmp(plan, its));
}

void lead_refuse(struct lead *l, const struct part *part, enum verdict_status status, uint32_t held)
{
    l->refused[l->step.n_refused++] = (struct verdict){.job = part->job,
                                                       .slot = part->slot,
                                                       .round = part->round,
                                                       .at = part->at,
                                                       .prefix_hash = part->prefix_hash,
                                                       .status = status,
                                                       .held = held};
    if (status == VERDICT_FAILED) l->refused[l->step.n_refused - 1].error = slots_error(l->c.slots, part->slot);
}

/* A part that begins before big's next id comes late, for that is final: rows that say the same are skipped, their
 * answers are on the way. False: nothing else is left, or they say something else. */
bool lead_trim(const struct lead *l, struct part *part)
{
    const struct self *s = &l->self[part->slot];
    const struct slot *slot = &l->c.slots->slot[part->slot];
    size_t n_written = s->next.at - part->at; /* rows that were fed, and answered */
    for (size_t i = 0; i < part->n_rows && i <= n_written; i++)
        if (part->rows[i].id != (i < n_written ? slot->ids[part->at + i] : s->next.id)) return false;
    if (l->c.drops_nothing) return true;
    if (n_written >= part->n_rows) return false;
    part->at = s->next.at;
    part->prefix_hash = slot->prefix_hash[part->at];
    part->rows += n_written;
    part->n_rows -= n_written;
    return true;
}

bool lead_is_late(const struct lead *l, const struct part *part)
{
    if (part->slot >= (uint32_t)l->c.slots->n) return false;
    const struct self *s = &l->self[part->slot];
    bool holds = s->next.at <= slots_held(l->c.slots, part->slot);
    return s->on && s->knows && holds && part->at >= s->from && part->at <= s->next.at;
}

bool lead_must_wait(const struct lead *l, const struct part *part)
{
    return lead_is_late(l, part) && l->self[part->slot].part.in_work;
}

bool lead_has_room(const struct lead *l, size_t n_rows)
{
    bool more_parts = !l->c.max_parts || l->step.n_parts < (size_t)l->c.max_parts;
    return more_parts && n_rows <= (size_t)(l->c.max_rows - l->step.n_rows);
}

/* The last row judges a draft, and no more of the slot's wait: feed that draft too. */
static void feed_last(const struct lead *l, struct queued_part *q, struct part *part)
{
    const struct self *s = &l->self[part->slot];
    const struct row *last = &part->rows[part->n_rows - 1];
    uint32_t end = part->at + (uint32_t)part->n_rows;
    if (!s->on || s->n_queued || !last->n_judge || lead_is_end(s, last->judge[0])) return;
    if (end + 1 >= s->open.last_position || end >= (uint32_t)l->c.slots->n_ctx) return;
    if (!lead_has_room(l, part->n_rows + 1) || lead_rows_left(l, s) <= (int)part->n_rows) return;
    q->rows[q->part.n_rows] = (struct row){.id = last->judge[0], .wanted = true, .n_top = last->n_top};
    part->n_rows++;
}

/* A part that begins before the end of what is final, or in another slot, is of another text. */
static void note_text(struct lead *l, const struct part *part)
{
    struct self *s = &l->self[part->slot];
    size_t first = first_wanted(part);
    if (part->at < s->n_final || part->from) {
        remember(l, part->slot);
        s->n_final = part->at;
        if (s->n_counted > part->at) s->n_counted = part->at;
    }
    if (first < part->n_rows && s->n_prompt == UINT32_MAX) s->n_prompt = part->at + (uint32_t)first + 1;
}

void lead_join(struct lead *l, const struct part *part, bool is_shared)
{
    int32_t ids[PASS_ROWS_MOST];
    for (size_t i = 0; i < part->n_rows; i++) ids[i] = part->rows[i].id;
    note_text(l, part);
    if (part->from) slots_copy(l->c.slots, part->slot, part->from - 1, part->at);
    slots_apply(l->c.slots, part->slot, part->at, ids, part->n_rows);
    struct self *s = &l->self[part->slot];
    bool brings_token = s->on && first_wanted(part) < part->n_rows;
    *(is_shared ? &s->budget.used : &l->n_taken_whole) += (int)part->n_rows;
    s->last_pass = l->n_passes;
    s->last_part = ++l->n_parts;
    if (part->job && brings_token) {
        s->job = part->job;
        s->job_round = part->round;
        s->job_at = part->at;
        s->from = part->at + (uint32_t)first_wanted(part);
    }
    l->parts[l->step.n_parts] = *part;
    l->parts[l->step.n_parts++].token = brings_token;
    l->step.n_rows += (int)part->n_rows;
}

/* A refused part may be one that nobody misses, after a wrong draft: so if nothing else can make the slot go on, that
 * is said apart. */
static void note_refused(struct self *s)
{
    s->lost |= s->on && !s->has_next && !s->job && !s->part.in_work && !s->n_queued;
}

/* It may be in this pass, if it applies. */
static bool has_place(const struct lead *l, const struct part *part, bool is_shared)
{
    if (!lead_has_room(l, part->n_rows) || rewinds_inside(l, part) || lead_has_another_plan(l, part->plan))
        return false;
    if (copies_inside(l, part)) return false;
    if (!l->shares) return true;
    int left = is_shared ? lead_rows_left(l, &l->self[part->slot]) : l->n_whole - l->n_taken_whole;
    return (int)part->n_rows <= left;
}

/* False: it waits for a later pass. */
static bool take_part(struct lead *l, struct queued_part *q, uint64_t now_us)
{
    struct part part = q->part;
    bool is_there = part.slot < (uint32_t)l->c.slots->n, is_shared = lead_is_shared(l, &part);
    struct self *s = is_there ? &l->self[part.slot] : NULL;
    if (!l->shares && !has_place(l, &part, is_shared)) return false;
    bool copies;
    enum verdict_status status = check_part(l, &part, &copies);
    bool is_late = status == VERDICT_OK && lead_is_late(l, &part), is_new = !is_late || lead_trim(l, &part);
    if (l->shares && status == VERDICT_OK && is_new && !has_place(l, &part, is_shared)) return false;
    if (is_there) s->n_queued--;
    if (is_late && part.at == s->next.at) lead_learn_late(s, is_new);
    if (!is_new) {
        lead_refuse(l, &part, VERDICT_LATE, s->next.at + 1);
    } else if (status != VERDICT_OK) {
        lead_refuse(l, &part, status, slots_held(l->c.slots, part.slot));
        if (is_there) note_refused(s);
    } else {
        s->has_next = s->knows = false; /* it says what is next */
        if (!copies) part.from = 0;
        if (!l->step.n_parts) l->step.queued_us = (uint32_t)(now_us - q->came_us);
        feed_last(l, q, &part);
        lead_join(l, &part, is_shared);
    }
    return true;
}

/* The i-th goes before those that wait. */
static void move_to_taken(struct lead *l, size_t i)
{
    uint16_t its = l->order[(l->first + i) % MAX_JOBS];
    for (; i > l->n_taken; i--) l->order[(l->first + i) % MAX_JOBS] = l->order[(l->first + i - 1) % MAX_JOBS];
    l->order[(l->first + i) % MAX_JOBS] = its;
    l->n_taken++;
}

/* Takes parts in the order in which they came, until the pass is full. One that must wait lets those of other slots
 * pass; so do drafts of one slot, with all that follows them, where several share the pass. */
static void take_queued(struct lead *l, uint64_t now_us)
{
    bool stops = false; /* what is not shared keeps its order */
    for (size_t i = 0; i < l->n_queued; i++) {
        struct queued_part *q = lead_queue_at(l, i);
        struct self *s = q->part.slot < (uint32_t)l->c.slots->n ? &l->self[q->part.slot] : NULL;
        bool is_shared = lead_is_shared(l, &q->part), must_wait = (s && s->budget.waits) || lead_must_wait(l, &q->part);
        if (!must_wait && (is_shared || !stops) && take_part(l, q, now_us)) {
            move_to_taken(l, i);
            continue;
        }
        if (!l->shares && !must_wait) return;
        if (s) s->budget.waits = true;
        stops |= !is_shared && !must_wait;
    }
}

/* A part that waits for nothing but a pass. */
static bool has_part(const struct lead *l)
{
    bool waits[SLOTS_MOST] = {false};
    for (size_t i = l->n_taken; i < l->n_queued; i++) {
        const struct part *part = &lead_queue_at(l, i)->part;
        if (part->slot >= (uint32_t)l->c.slots->n) return true;
        if (!waits[part->slot] && !lead_must_wait(l, part)) return true;
        waits[part->slot] = true;
    }
    return false;
}

uint64_t lead_wait_us(const struct lead *l, uint64_t now_us)
{
    if (l->rests_until_us > now_us) {
        uint64_t rest_us = l->rests_until_us - now_us, self_us = lead_self_wait_us(l, now_us);
        return self_us < rest_us ? self_us : rest_us;
    }
    if (has_part(l)) return 0;
    for (int i = 0; i < l->c.slots->n; i++)
        if (l->self[i].lost) return 0;
    return lead_self_wait_us(l, now_us);
}

struct lead_step lead_next(struct lead *l, uint64_t now_us)
{
    drop_taken(l);
    l->step = (struct lead_step){.parts = l->parts, .refused = l->refused, .n_tokens = l->n_tokens};
    l->n_passes++;
    l->rests_until_us = 0;
    if (lead_budget_rows(l)) {
        take_queued(l, now_us);
        lead_take_ready(l, now_us);
    }
    if (l->shares && !l->step.n_parts && !l->step.n_refused) lead_rest(l, now_us);
    return l->step;
}

void lead_note_pass(struct lead *l, int n_rows, uint64_t us)
{
    pass_times_note(&l->times, n_rows, (double)us * 1e3);
}

/* ---- open, close ---- */

int lead_open(struct lead **out, const struct lead_config *config, struct err *err)
{
    struct lead *l = calloc(1, sizeof *l);
    if (l) {
        l->c = *config;
        l->self = calloc((size_t)config->slots->n, sizeof *l->self);
        for (int i = 0; l->self && i < config->slots->n; i++) l->self[i].n_prompt = UINT32_MAX;
        for (uint16_t i = 0; i < MAX_JOBS; i++) l->order[i] = i;
        l->queue = calloc(MAX_JOBS, sizeof *l->queue);
        l->text = calloc((size_t)config->slots->n_ctx, sizeof *l->text);
    }
    if (!l || !l->self || !l->queue || !l->text) {
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
    free(l->text);
    free(l);
}
