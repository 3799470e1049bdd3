#include "coordinator/decode/spec_inside.h"

#include <assert.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    UNTIL_TIMED = 2, /* ids before the draft policy has the time of one */
    UNREAD = 4       /* times what the drafter reads of a prompt: of a longer one it has little */
};

/* ---- requests come and go ---- */

/* Why the leader found none. It does not say when its draft policy pauses. */
static enum withheld_why found_nothing(const struct spec *s, const struct decode_slot *p)
{
    const struct seq *q = p->seq;
    if (!leader_drafts(s, p) || !p->self || q->stats.n_drafted) return WITHHELD_NOT;
    return seq_n_generated(q) <= UNTIL_TIMED ? WITHHELD_SHORT : WITHHELD_NO_REPEAT;
}

/* By a plan, likewise. */
static enum withheld_why no_own_drafts(const struct spec *s, const struct decode_slot *p)
{
    enum withheld_why why = found_nothing(s, p);
    return why == WITHHELD_NO_REPEAT ? WITHHELD_UNPAID : why;
}

static struct withheld withheld(const struct spec *s, const struct decode_slot *p)
{
    if (s->c.drafter.kind == DRAFTER_NONE || !settings_of(p)->drafting || is_lossy(p)) return (struct withheld){0};
    if (s->c.drafter.kind == DRAFTER_SUFFIX) return (struct withheld){.why = found_nothing(s, p)};
    if (s->c.drafter.kind == DRAFTER_PLAN) return (struct withheld){.why = no_own_drafts(s, p)};
    if (s->drafter_lost[p->i_drafter]) return (struct withheld){.why = WITHHELD_LOST};
    if (p->unusable) return (struct withheld){.why = p->unusable};
    if (p->together && !p->seq->stats.n_asks) return (struct withheld){.why = WITHHELD_TOGETHER};
    return draft_policy_withheld(&p->policy);
}

/* The one that is left may have had no drafts because of the others. */
static void note_alone(struct spec *s)
{
    for (struct decode_slot *p = s->slots; p < s->slots + s->n_slots && s->n_running == 1; p++)
        if (p->seq && p->goes_on && p->together && p->self_left > 1) p->self_left = 1;
}

static void end(struct spec *s, struct seq *q, enum seq_end how)
{
    q->end = how;
    seq_settle(q);
    spec_act(s, ACTION_DONE, q);
}

/* The request leaves its slot, which keeps what the workers hold of the text. */
static void finish(struct spec *s, struct decode_slot *p, enum seq_end how)
{
    struct seq *q = p->seq;
    q->stats.n_pauses = (uint32_t)p->policy.n_pauses;
    q->stats.withheld = withheld(s, p);
    if (s->c.drafter.kind == DRAFTER_LITTLE)
        q->stats.choice = draft_policy_choice(&p->policy, settings_of(p)->draft_max);
    if (p->self) spec_cut_leader(s, p);
    if (p->early.on) spec_drop_early(p);
    if (s->c.drafter.kind == DRAFTER_LITTLE && p->drafter.n_out > 0) spec_cut_drafter(s, p);
    if (how != SEQ_FAILED) draft_policy_learn(group_of(s, p)->c.profile, &p->policy, seq_n_generated(q));
    memcpy(p->last, q->ids, (size_t)q->n_ids * sizeof *q->ids);
    p->seq = NULL;
    s->n_running--;
    note_alone(s);
    end(s, q, how);
}

static void fail(struct spec *s, struct decode_slot *p, int code, const char *why)
{
    err_set(&p->seq->why, code, "%s", why);
    finish(s, p, SEQ_FAILED);
}

/* The slot's new text keeps what the workers hold of the last one, as far as it begins alike: a conversation goes on,
 * prompts share a system message. The drafter begins anew for lossy rules: there the text depends on what it has read,
 * and that must not depend on who came before. */
static int n_common(const struct decode_slot *p, const int32_t *ids, int n_ids)
{
    int most = p->held < n_ids - 1 ? p->held : n_ids - 1; /* one row at least is fed: it is wanted */
    return n_alike(p->last, ids, most);
}

/* offer: what its group has of the text. */
static void begin(struct spec *s, struct decode_slot *p, struct seq *q, const struct source *offer)
{
    const struct settings *set = &q->request.settings;
    int n = set->fresh ? 0 : n_common(p, q->ids, q->n_ids);
    p->seq = q;
    bool drafts = has_drafter(s, p), adaptive = drafts && set->adaptive && !settings_lossy(set);
    p->request = ++s->n_started;
    q->group = p->group;
    q->slot = p->slot;
    q->stats.start_ns = s->now;
    p->round++;
    p->self = p->goes_on = p->ahead.on = false;
    p->early = (struct early){.policy = draft_policy_early_init()};
    p->n_plain = p->self_drafts = 0;
    p->held = p->n_read = n;
    p->copies_from = 0;
    p->source = !set->fresh && spec_is_worth(offer, n) ? *offer : (struct source){0};
    if (settings_lossy(set) || set->fresh)
        drafter_view_forget(&p->drafter, -1);
    else
        drafter_view_keep(&p->drafter, n);
    p->drafter.n_lost = p->n_refused = 0;
    p->unusable = WITHHELD_NOT;
    p->rolled_back = p->together = false;
    p->stake_ns = 0;
    p->gathers = false;
    p->now = (struct draft_policy_round){.measured = false};
    p->copies = (struct copies){.pause = DRAFT_PAUSE_FIRST};
    bool unread = drafts && !settings_lossy(set) && q->n_prompt > UNREAD * set->draft_ctx;
    draft_policy_init(&p->policy, adaptive, unread, s->c.drafter.prior, group_of(s, p)->c.profile);
    s->n_running++;
}

struct place {
    struct decode_slot *slot; /* NULL: none is free */
    int n;                    /* ids of the text that it holds */
    struct source offer;      /* what its group has of the text */
};

/* Requests that have the drafter; where the drafter is lost, or there is none, all are alike. */
static int n_drafted_for(const struct spec *s, int i_drafter)
{
    int n = 0;
    for (const struct decode_slot *p = s->slots; p < s->slots + s->n_slots && s->c.drafter.n > 1; p++)
        n += p->seq && p->i_drafter == i_drafter;
    return n;
}

/* Whether a is the better place for a text: its drafter is not lost; else more of the text is held there; else fewer
 * requests run beside it, in the group, then of the drafter; else more of it can be copied there; else its last text is
 * the older one. */
static bool is_better(struct spec *s, const struct place *a, const struct place *b)
{
    int load_a = n_running(group_of(s, a->slot)), load_b = n_running(group_of(s, b->slot));
    int drafts_a = n_drafted_for(s, a->slot->i_drafter), drafts_b = n_drafted_for(s, b->slot->i_drafter);
    bool lost_a = s->drafter_lost[a->slot->i_drafter], lost_b = s->drafter_lost[b->slot->i_drafter];
    if (lost_a != lost_b) return lost_b;
    if (a->n != b->n) return a->n > b->n;
    if (load_a != load_b) return load_a < load_b;
    if (drafts_a != drafts_b) return drafts_a < drafts_b;
    return a->offer.n != b->offer.n ? a->offer.n > b->offer.n : a->slot->request < b->slot->request;
}

static struct place choose_slot(struct spec *s, const struct request *r)
{
    struct source offers[GROUPS_MOST];
    struct place best = {0};
    for (int i = 0; i < s->c.n_groups; i++) offers[i] = spec_offer(&s->groups[i], r->prompt, r->n_prompt);
    for (struct decode_slot *p = s->slots; p < s->slots + s->n_slots; p++) {
        const struct place place = {p, p->seq ? 0 : n_common(p, r->prompt, r->n_prompt), offers[p->group]};
        if (!p->seq && (!best.slot || is_better(s, &place, &best))) best = place;
    }
    return best;
}

/* Ids that the leader writes before anything is decided: all, or until the draft policy has a token's time. */
static int first_self_run(const struct spec *s, const struct decode_slot *p)
{
    const struct settings *set = settings_of(p);
    if (!self_starts(s) || settings_lossy(set)) return 0;
    if (!has_drafter(s, p)) return INT_MAX;
    return set->adaptive ? UNTIL_TIMED : 0;
}

static void start(struct spec *s, const struct place *place, struct seq *q)
{
    const struct settings *set = &q->request.settings;
    struct decode_slot *p = place->slot;
    if (seq_start(q, s->c.root, &q->why) != OK) {
        end(s, q, SEQ_FAILED);
        return;
    }
    begin(s, p, q, &place->offer);
    const char *lost = s->drafter_lost[p->i_drafter];
    if (lost && settings_lossy(set) && wants_drafter(s, set)) {
        fail(s, p, E_PEER, lost);
        return;
    }
    int max_rows = group_of(s, p)->c.max_rows, most = q->n_limit - q->n_ids;
    if (set->draft_max < most) most = set->draft_max;
    if (settings_lossy(set) && has_drafter(s, p) && most >= max_rows) { /* fewer drafts: another text */
        char why[96];
        snprintf(why, sizeof why, "--max-rows %d: a draft of %d needs %d rows in one pass", max_rows, most, most + 1);
        fail(s, p, E_USAGE, why);
        return;
    }
    if (has_drafter(s, p) && s->c.drafter.kind == DRAFTER_LITTLE) spec_open_drafter(s, p);
    if (is_apart(s, p) || drafts_early(s, p)) spec_read_ahead(s, p); /* while big does */
    int n_self = first_self_run(s, p);
    bool goes_on = is_apart(s, p) || goes_on_beside(s, p); /* drafts will come beside it, or others' tokens */
    if (n_self > 1) spec_start_self(s, p, goes_on ? INT_MAX : n_self);
    p->self_left = n_self;
    spec_post_verify(s, p);
}

/* A lossy text is none without a drafter. Where those of the free slots are lost, it waits for a slot of another one's.
 */
static bool awaits_drafter(const struct spec *s, const struct seq *q, const struct place *place)
{
    const struct settings *set = &q->request.settings;
    if (!s->drafter_lost[place->slot->i_drafter] || !settings_lossy(set) || !wants_drafter(s, set)) return false;
    for (const struct decode_slot *p = s->slots; p < s->slots + s->n_slots; p++)
        if (!s->drafter_lost[p->i_drafter]) return true;
    return false;
}

static void start_waiting(struct spec *s)
{
    while (s->first && s->n_running < s->n_slots) {
        struct seq *q = s->first;
        const struct place place = choose_slot(s, &q->request);
        if (awaits_drafter(s, q, &place)) return;
        s->first = q->next;
        start(s, &place, q);
    }
}

static void queue(struct spec *s, struct seq *q)
{
    q->next = NULL;
    *(s->first ? &s->last->next : &s->first) = q;
    s->last = q;
}

static void submit(struct spec *s, struct seq *q)
{
    assert(q->state == SEQ_WAITING);
    queue(s, q);
    start_waiting(s);
}

static void cancel_waiting(struct spec *s, const struct seq *only)
{
    struct seq *q = s->first, *next;
    for (s->first = NULL; q; q = next) {
        next = q->next;
        if (only && q != only)
            queue(s, q);
        else
            end(s, q, SEQ_ABORTED);
    }
}

/* What is in flight is answered yet, and dropped. */
static void cancel(struct spec *s, const struct seq *only)
{
    cancel_waiting(s, only);
    for (struct decode_slot *p = s->slots; p < s->slots + s->n_slots; p++)
        if (p->seq && (!only || p->seq == only)) finish(s, p, SEQ_ABORTED);
    start_waiting(s);
}

/* ---- steps ---- */

/* A request that waits for a draft goes on without it; a request whose text would then differ ends. */
static int lose_drafter(struct spec *s, int i, const char *why, struct err *err)
{
    if (s->drafter_lost[i]) return OK;
    s->drafter_lost[i] = strdup(why);
    if (!s->drafter_lost[i]) return err_set(err, E_FAIL, "out of memory");
    for (struct decode_slot *p = s->slots; p < s->slots + s->n_slots; p++) {
        if (p->i_drafter != i) continue;
        bool asked = p->seq && p->drafter.n_out > 0 && p->drafter.round == p->round;
        p->drafter.n_out = p->drafter.n_out_old = 0;
        if (!p->seq || !wants_drafter(s, settings_of(p))) continue;
        if (is_lossy(p))
            fail(s, p, E_PEER, why);
        else if (p->ahead.on)
            spec_end_ahead(s, p, 1);
        else if (asked)
            spec_post_verify(s, p);
    }
    start_waiting(s);
    return OK;
}

static void go_on(struct spec *s, const struct taken *t)
{
    enum seq_end how = t->end;
    if (how == SEQ_RUNNING && t->committed) how = spec_next_round(s, t->slot);
    if (how == SEQ_RUNNING) return;
    finish(s, t->slot, how);
    start_waiting(s);
}

/* Prompts that had no room beside other texts, or wait for what they copy: a step may have changed that. */
static void feed_prompts(struct spec *s)
{
    for (struct decode_slot *p = s->slots; p < s->slots + s->n_slots; p++) {
        bool waits = p->seq && p->feeding && p->seq->state == SEQ_PROMPT;
        if (waits && (s->c.prompt_rows || p->source.slot)) spec_feed(s, p);
    }
}

int spec_step(struct spec *s, const struct event *event, struct actions *out, struct err *err)
{
    struct taken taken = {0};
    int rc = OK;
    s->n_actions = 0;
    s->no_memory = false;
    s->now = event->now_ns;
    switch (event->kind) {
    case EVENT_SUBMIT: submit(s, event->seq); break;
    case EVENT_CANCEL: cancel(s, event->seq); break;
    case EVENT_DRAFT: rc = spec_take_draft(s, event, &taken, err); break;
    case EVENT_VERDICT: rc = spec_take_verdict(s, event->group, event->verdict, &taken, err); break;
    case EVENT_DRAFTER_LOST: rc = lose_drafter(s, event->drafter, event->why, err); break;
    }
    if (rc == OK) go_on(s, &taken);
    if (rc == OK) feed_prompts(s);
    if (rc == OK) spec_post_gathered(s);
    *out = (struct actions){s->actions, s->n_actions};
    return rc == OK && s->no_memory ? err_set(err, E_FAIL, "no memory for %zu actions", s->room) : rc;
}

void spec_set_link(struct spec *s, int group, struct spec_link link)
{
    s->groups[group].link = link;
}

int spec_self_most(int self_max, uint64_t rtt_ns, double token_ns)
{
    enum { SPARE = 8, TOKEN_LEAST_NS = 1000000 }; /* one that is not known yet takes no less */
    if (self_max != SELF_MEASURED) return self_max;
    if (rtt_ns == 0) return SELF_MOST;
    double n = 2 * (double)rtt_ns / (token_ns > 0 ? token_ns : TOKEN_LEAST_NS) + SPARE;
    return n < SELF_LEAST ? SELF_LEAST : n > SELF_MOST ? SELF_MOST : (int)ceil(n);
}

bool spec_idle(const struct spec *s)
{
    return !s->first && !s->n_running;
}

bool spec_runs(const struct spec *s, int group)
{
    return n_running(&s->groups[group]) > 0;
}

/* With nothing sent and nothing asked, the leader is to go on by itself. */
bool spec_awaits_verdicts(const struct spec *s, int group)
{
    const struct verifiers *g = &s->groups[group];
    for (const struct decode_slot *p = g->slots; p < g->slots + g->c.n_slots; p++)
        if (p->seq && !p->gathers && (!p->drafter.n_out || flights_of_slot(&g->flights, (uint32_t)p->slot)))
            return true;
    return false;
}

bool spec_reading(const struct spec *s, int *n_read, int *n_ids)
{
    *n_read = *n_ids = 0;
    for (const struct decode_slot *p = s->slots; p < s->slots + s->n_slots; p++) {
        if (!p->seq || p->seq->state != SEQ_PROMPT) continue;
        *n_read += p->n_read < p->seq->n_prompt ? p->n_read : p->seq->n_prompt;
        *n_ids += p->seq->n_prompt;
    }
    return *n_ids > 0;
}

/* ---- open, close ---- */

static bool slot_init(struct decode_slot *p, int group, int slot, int n_ctx)
{
    *p = (struct decode_slot){.group = group, .slot = slot};
    p->rows = calloc((size_t)n_ctx, sizeof *p->rows);
    p->last = calloc((size_t)n_ctx, sizeof *p->last);
    return drafter_view_init(&p->drafter, n_ctx) && p->rows && p->last;
}

static bool group_init(struct spec *s, int group, int first)
{
    struct verifiers *g = &s->groups[group];
    struct err ignored;
    *g = (struct verifiers){.c = s->c.groups[group], .slots = s->slots + first};
    bool ok = flights_init(&g->flights, g->c.max_jobs, g->c.n_vocab, &ignored) == OK;
    for (int i = 0; ok && i < g->c.n_slots; i++) ok = slot_init(&g->slots[i], group, i, s->c.n_ctx);
    return ok;
}

/* Each slot has one for good: a text's drafter follows from its slot. */
static void share_drafters(struct spec *s)
{
    uint32_t n_of[DRAFTERS_MOST] = {0};
    s->c.drafter.n += !s->c.drafter.n;
    for (struct decode_slot *p = s->slots; p < s->slots + s->n_slots; p++) {
        p->i_drafter = layout_drafter_of(s->c.drafter.n, s->c.n_groups, p->group, p->slot);
        p->drafter_slot = n_of[p->i_drafter]++;
    }
}

int spec_open(struct spec **out, const struct spec_config *config, struct err *err)
{
    struct spec *s = calloc(1, sizeof *s);
    int n_jobs = 0, n_slots = 0;
    for (int i = 0; i < config->n_groups; i++)
        n_slots += config->groups[i].n_slots, n_jobs += config->groups[i].max_jobs;
    bool ok = s != NULL;
    if (ok) {
        s->c = *config;
        s->n_slots = n_slots;
        spec_begin_trials(s);
        /* A step posts at most max_jobs parts, and for each slot an Open, Acks or Cuts, an ask in its parts, tokens and
         * an end. */
        s->room = (size_t)n_jobs + (5 + (size_t)(config->n_ctx / ASK_IDS)) * (size_t)n_slots;
        s->actions = calloc(s->room, sizeof *s->actions);
        s->slots = calloc((size_t)n_slots, sizeof *s->slots);
        ok = s->actions && s->slots;
    }
    for (int i = 0, first = 0; ok && i < config->n_groups; first += config->groups[i++].n_slots)
        ok = group_init(s, i, first);
    if (ok) share_drafters(s);
    if (!ok) {
        spec_close(s);
        return err_set(err, E_FAIL, "no memory for %d sequences at once", n_slots);
    }
    *out = s;
    return OK;
}

void spec_close(struct spec *s)
{
    if (!s) return;
    for (int i = 0; s->slots && i < s->n_slots; i++) {
        free(s->slots[i].rows);
        free(s->slots[i].last);
        drafter_view_free(&s->slots[i].drafter);
    }
    for (int i = 0; i < s->c.n_groups; i++) flights_free(&s->groups[i].flights);
    for (int i = 0; i < DRAFTERS_MOST; i++) free(s->drafter_lost[i]);
    free(s->slots);
    free(s->actions);
    free(s);
}
