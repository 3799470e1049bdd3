#include "simulator.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "proto/prefix_hash.h"
#include "worker/roles/drafting.h"
#include "worker/roles/drops.h"
#include "worker/roles/lead.h"
#include "worker/roles/lookup.h"

enum { ARENA = 1 << 18, HELD_AT_OPEN = 64 };

/* HELD_STAGE: the end of a pass in its first stage. HELD_PASS, HELD_DRAFT: of a pass; data: its tokens. HELD_LEADER: it
 * has waited long enough for drafts. */
enum held_kind { HELD_MESSAGE, HELD_STAGE, HELD_PASS, HELD_DRAFT, HELD_LEADER, HELD_EVENT };
struct held {
    uint64_t due_ns;
    enum held_kind kind;
    int from, to;
    int what, i;   /* what: of a message the tag, of a pass its tokens; i: of a pass the group */
    uint8_t *data; /* owns */
    size_t n_bytes;
};

struct leader { /* of a group of verifiers */
    int peer;
    struct slots slots;
    struct lead *lead;
    struct lookup lookup;
    bool in_pass;                  /* its own stage is */
    uint64_t free_ns[SHARDS_MOST]; /* when each stage has done what it has */
    uint64_t wakes_ns;
    uint32_t pass_rows, stage_us;   /* of its first stage */
    uint32_t last_rows;             /* of its last one, which answers */
    uint64_t pass_ns, ends_ns;      /* of the pass that begins: all its stages; when it is through them */
    struct token tokens[PASS_ROWS]; /* of it */
    int n_tokens;
    uint32_t n_tokens_sent;
    struct drops drops;
    uint64_t cut_ns[SLOTS_MOST]; /* when the stages hear of a slot's last Token */
    bool dropped[PASS_ROWS];     /* parts of the pass that begins */
};

struct draft_role { /* a drafter */
    int peer;
    struct slots slots;
    struct drafting drafting;
    uint64_t free_ns; /* when its work is done */
    bool in_pass;     /* texts that it runs ahead with, until then; what arrives meanwhile waits */
    uint32_t pass_us; /* what that takes */
    bool lost;
};

struct answers { /* to a part */
    struct verdict_row rows[PASS_ROWS];
    struct top tops[PASS_ROWS];
    float judged[PASS_ROWS][JUDGED_MOST];
    int32_t drafts[DRAFTS_MOST];
};

struct simulator {
    struct simulator_config c;
    struct spec *spec;
    struct leader leaders[GROUPS_MOST];
    struct draft_role drafters[DRAFTERS_MOST];
    struct net_link links[2 * MAX_PEERS]; /* to each peer, from each peer */

    uint64_t now_ns;
    struct held *held; /* [room] owns; the latest first, so that the next is the last */
    size_t n_held, room;

    struct wire_arena in, out;
    struct answers answers;
    struct simulator_counts counts;
};

/* ---- what is due later ---- */

/* Of two that are due at once the first one stays the first. */
static int hold(struct simulator *s, const struct held *h, struct err *err)
{
    if (s->n_held == s->room) {
        size_t room = s->room ? 2 * s->room : HELD_AT_OPEN;
        struct held *more = realloc(s->held, room * sizeof *more);
        if (!more) return err_set(err, E_LAYOUT, "out of memory");
        s->held = more;
        s->room = room;
    }
    size_t i = s->n_held++;
    for (; i > 0 && s->held[i - 1].due_ns <= h->due_ns; i--) s->held[i] = s->held[i - 1];
    s->held[i] = *h;
    return OK;
}

int simulator_at(struct simulator *s, uint64_t at_ns, int what, int i, struct err *err)
{
    return hold(s, &(struct held){.due_ns = at_ns, .kind = HELD_EVENT, .what = what, .i = i}, err);
}

static struct leader *leader_of(struct simulator *s, int peer)
{
    for (int i = 0; i < s->c.spec.n_groups; i++)
        if (s->leaders[i].peer == peer) return &s->leaders[i];
    return NULL;
}

static int n_drafters(const struct simulator *s)
{
    if (s->c.spec.drafter.kind != DRAFTER_LITTLE) return 0;
    return s->c.spec.drafter.n ? s->c.spec.drafter.n : 1;
}

static struct draft_role *drafter_of(struct simulator *s, int peer)
{
    int i = peer - s->c.spec.drafter.peer;
    return i >= 0 && i < n_drafters(s) ? &s->drafters[i] : NULL;
}

/* When all drafters are done. */
static uint64_t drafters_free_ns(const struct simulator *s)
{
    uint64_t ns = 0;
    for (int i = 0; i < n_drafters(s); i++)
        if (s->drafters[i].free_ns > ns) ns = s->drafters[i].free_ns;
    return ns;
}

static void count_bytes(struct simulator *s, int from, int to, size_t n_bytes)
{
    if (leader_of(s, to)) s->counts.bytes_up += n_bytes;
    if (leader_of(s, from)) s->counts.bytes_down += n_bytes;
}

/* The sender hands the message over when its computing is done. A link keeps the order of the calls, so an answer
 * that takes no computing waits for those of the pass in work. */
static int post(struct simulator *s, int from, int to, uint64_t leaves_ns, const struct message *m, struct err *err)
{
    const uint8_t *data;
    size_t n_bytes;
    bool back = to == PEER_COORDINATOR;
    int rc = wire_encode(&s->out, m, &data, &n_bytes, err);
    if (rc != OK) return rc;
    count_bytes(s, from, to, n_bytes);
    if (s->c.watch.departure) s->c.watch.departure(s->c.watch.arg, from, to, m);
    struct held h = {.kind = HELD_MESSAGE, .from = from, .to = to, .what = (int)m->tag, .n_bytes = n_bytes};
    h.due_ns = net_link_due(&s->links[2 * (back ? from : to) + back], leaves_ns, n_bytes);
    h.data = malloc(n_bytes + 1);
    if (!h.data) return err_set(err, E_LAYOUT, "out of memory");
    if (n_bytes) memcpy(h.data, data, n_bytes);
    rc = hold(s, &h, err);
    if (rc != OK) free(h.data);
    return rc;
}

static int post_verdict(struct simulator *s, int from, uint64_t leaves_ns, const struct verdict *v, struct err *err)
{
    return post(s, from, PEER_COORDINATOR, leaves_ns, &(struct message){.tag = TAG_VERDICT, .verdict = *v}, err);
}

static int post_draft(struct simulator *s, int from, uint64_t leaves_ns, const struct draft *d, struct err *err)
{
    return post(s, from, PEER_COORDINATOR, leaves_ns, &(struct message){.tag = TAG_DRAFT, .draft = *d}, err);
}

/* NULL: it is computed. */
static const char *why_failed(const struct simulator *s, int peer, uint32_t slot)
{
    return s->c.watch.fails ? s->c.watch.fails(s->c.watch.arg, peer, slot) : NULL;
}

/* ---- the verifiers ---- */

static size_t answer_rows(struct simulator *s, const struct part *part, const int32_t *ids)
{
    const struct simulator_models *m = &s->c.models;
    size_t n_wanted = 0;
    for (size_t i = 0; i < part->n_rows; i++) {
        const struct row *row = &part->rows[i];
        if (!row->wanted) continue;
        int n = (int)(part->at + i) + 1;
        int32_t next = m->big(m->arg, ids, n);
        float lp = m->lp(m->arg, ids, n, next), *judged = s->answers.judged[n_wanted];
        struct top *top = &s->answers.tops[n_wanted];
        for (size_t k = 0; k < row->n_judge; k++) judged[k] = m->lp(m->arg, ids, n, row->judge[k]);
        *top = (struct top){next, lp};
        s->answers.rows[n_wanted++] = (struct verdict_row){next, lp, judged, row->n_judge, top, row->n_top > 0};
    }
    return n_wanted;
}

/* A part of a pass, which is in its slot. One that follows a failed one in this pass fails too. */
static int compute_part(struct simulator *s, struct leader *l, const struct part *part, int i, struct err *err)
{
    const char *why = l->dropped[i] ? NULL : why_failed(s, l->peer, part->slot);
    if (part->at > slots_held(&l->slots, part->slot) && !l->dropped[i]) why = slots_error(&l->slots, part->slot);
    struct verdict v = {.job = part->job,
                        .slot = part->slot,
                        .round = part->round,
                        .at = part->at,
                        .prefix_hash = part->prefix_hash,
                        .status = why ? VERDICT_FAILED : VERDICT_OK,
                        .error = why,
                        .rows = s->answers.rows,
                        .computed_us = (uint32_t)(l->pass_ns / 1000),
                        .pass_rows = l->last_rows,
                        .drafts = s->answers.drafts};
    const struct slot *slot = &l->slots.slot[part->slot];
    if (l->dropped[i]) {
        v.status = VERDICT_GAP;
        v.held = drops_held(&l->drops, part);
    } else if (why) {
        slots_fail(&l->slots, part->slot, part->at, why);
        v.held = slots_held(&l->slots, part->slot);
    } else {
        v.held = part->at + (uint32_t)part->n_rows;
        v.n_rows = answer_rows(s, part, slot->ids);
        if (part->job == 0) v.n_drafts = drafts_of(part, s->answers.drafts);
    }
    struct token *token = &l->tokens[l->n_tokens];
    if (part->token && v.status == VERDICT_OK && token_of(part, v.rows, token)) {
        token->prefix_hash = slot->prefix_hash[token->at];
        token->number = ++l->n_tokens_sent;
        drops_note(&l->drops, &l->slots, token);
        l->cut_ns[part->slot] = l->ends_ns;
        l->n_tokens++;
    }
    return post_verdict(s, l->peer, l->ends_ns, &v, err);
}

static int wake_leader(struct simulator *s, struct leader *l, uint64_t at_ns, struct err *err)
{
    if (l->wakes_ns > s->now_ns && l->wakes_ns <= at_ns) return OK; /* and then it looks again */
    l->wakes_ns = at_ns;
    return hold(s, &(struct held){.due_ns = at_ns, .kind = HELD_LEADER}, err);
}

static uint64_t beside(const struct simulator *s, uint64_t ns, int n_rows)
{
    const struct simulator_costs *c = &s->c.costs;
    return c->beside ? (uint64_t)((double)ns * c->beside(c->arg, n_rows)) : ns;
}

/* A pass that begins now. */
static uint64_t pass_takes_ns(const struct simulator *s, int n_rows)
{
    uint64_t ns = s->c.costs.pass_ns(s->c.costs.arg, n_rows);
    return drafters_free_ns(s) > s->now_ns ? beside(s, ns, n_rows) : ns;
}

/* Rows that a stage computes which begins now: all, but for parts that it drops. */
static int rows_in_stage(const struct leader *l, const struct lead_step *step)
{
    int n = step->n_rows;
    for (size_t p = 0; p < step->n_parts; p++)
        if (l->dropped[p] && l->ends_ns >= l->cut_ns[step->parts[p].slot]) n -= (int)step->parts[p].n_rows;
    return n;
}

/* Each stage takes an equal share of the pass's time, one pass after the other. */
static void pass_stages(struct simulator *s, struct leader *l, const struct lead_step *step)
{
    int n_stages = s->c.n_stages ? s->c.n_stages : 1, n_rows = step->n_rows;
    uint64_t whole_ns = pass_takes_ns(s, n_rows);
    l->ends_ns = s->now_ns;
    l->pass_ns = 0;
    for (int i = 0; i < n_stages; i++) {
        if (l->free_ns[i] > l->ends_ns) l->ends_ns = l->free_ns[i];
        int n_left = i ? rows_in_stage(l, step) : n_rows;
        if (n_left < n_rows) whole_ns = n_left ? pass_takes_ns(s, n_left) : 0;
        n_rows = n_left;
        uint64_t ns = whole_ns * (uint64_t)(i + 1) / (uint64_t)n_stages - whole_ns * (uint64_t)i / (uint64_t)n_stages;
        l->pass_ns += ns;
        l->free_ns[i] = l->ends_ns += ns;
        if (!i) l->stage_us = (uint32_t)(ns / 1000);
    }
    l->last_rows = (uint32_t)n_rows;
    s->counts.n_dropped += (uint64_t)(step->n_rows - n_rows);
}

static int hold_pass(struct simulator *s, int i_group, struct err *err)
{
    struct leader *l = &s->leaders[i_group];
    size_t n_bytes = (size_t)l->n_tokens * sizeof *l->tokens;
    int rc = hold(s, &(struct held){.due_ns = l->free_ns[0], .kind = HELD_STAGE, .i = i_group}, err);
    struct held h = {.due_ns = l->ends_ns, .kind = HELD_PASS, .what = l->n_tokens, .i = i_group, .n_bytes = n_bytes};
    h.data = malloc(n_bytes + 1);
    if (!h.data) return err_set(err, E_LAYOUT, "out of memory");
    memcpy(h.data, l->tokens, n_bytes);
    if (rc == OK) rc = hold(s, &h, err);
    if (rc != OK) free(h.data);
    return rc;
}

/* Where a pass is due. Its answers are known at once, and leave when its time is over. */
static int begin_pass(struct simulator *s, int i_group, struct err *err)
{
    struct leader *l = &s->leaders[i_group];
    if (l->in_pass) return OK;
    uint64_t wait_us = lead_wait_us(l->lead, s->now_ns / 1000);
    if (wait_us == UINT64_MAX) return OK;
    uint64_t free_ns = s->c.spec.drafter.shares_cores ? drafters_free_ns(s) : 0;
    if (free_ns > s->now_ns) return wake_leader(s, l, free_ns, err);
    if (wait_us) return wake_leader(s, l, s->now_ns + wait_us * 1000, err);
    struct lead_step step = lead_next(l->lead, s->now_ns / 1000);
    int rc = OK;
    for (size_t i = 0; i < step.n_refused && rc == OK; i++)
        rc = post_verdict(s, l->peer, s->now_ns, &step.refused[i], err);
    if (rc != OK || !step.n_parts) return rc;
    for (size_t i = 0; i < step.n_parts; i++) {
        bool found = s->c.n_stages > 1 && !s->c.drops_nothing && drops_find(&l->drops, &step.parts[i], step.n_tokens);
        l->dropped[i] = drops_settle(&l->drops, &step.parts[i], found);
    }
    pass_stages(s, l, &step);
    l->pass_rows = (uint32_t)step.n_rows;
    s->counts.n_passes++;
    s->counts.pass_ns += l->pass_ns;
    s->counts.n_rows += (uint64_t)step.n_rows;
    l->in_pass = true;
    l->n_tokens = 0;
    for (size_t i = 0; i < step.n_parts && rc == OK; i++) rc = compute_part(s, l, &step.parts[i], (int)i, err);
    return rc == OK ? hold_pass(s, i_group, err) : rc;
}

static void end_stage(struct leader *l)
{
    l->in_pass = false;
    lead_note_pass(l->lead, (int)l->pass_rows, l->stage_us);
}

static int end_pass(struct simulator *s, const struct held *h, struct err *err)
{
    const struct token *tokens = (const void *)h->data;
    int rc = OK;
    for (int i = 0; i < h->what && rc == OK; i++)
        rc = lead_on_token(s->leaders[h->i].lead, &tokens[i], s->now_ns / 1000, err);
    return rc;
}

static int to_leader(struct simulator *s, struct leader *l, const struct message *m, struct err *err)
{
    struct draft draft;
    int rc;
    switch (m->tag) {
    case TAG_VERIFY: return lead_on_verify(l->lead, &m->verify, s->now_ns / 1000, err);
    case TAG_OPEN: return lead_on_open(l->lead, &m->open, err);
    case TAG_ACK: return lead_on_ack(l->lead, &m->ack, err);
    case TAG_CUT: return lead_on_cut(l->lead, &m->cut, err);
    default:
        rc = lookup_draft(&l->lookup, &m->ask, &draft, err); /* which takes no time beside passes */
        return rc == OK ? post_draft(s, l->peer, s->now_ns, &draft, err) : rc;
    }
}

/* ---- drafters ---- */

/* The pass that is over last. */
static const struct leader *last_in_pass(const struct simulator *s)
{
    const struct leader *last = &s->leaders[0];
    for (int i = 1; i < s->c.spec.n_groups; i++)
        if (s->leaders[i].ends_ns > last->ends_ns) last = &s->leaders[i];
    return last;
}

/* From now on, or from the end of the work before, a drafter works for so long. Returns how long that is. */
static uint64_t work(struct simulator *s, struct draft_role *d, uint64_t ns)
{
    const struct leader *pass = last_in_pass(s);
    uint64_t others_ns = s->c.spec.drafter.shares_cores ? drafters_free_ns(s) : 0;
    if (d->free_ns < others_ns) d->free_ns = others_ns;
    if (d->free_ns < s->now_ns) d->free_ns = s->now_ns;
    if (s->c.spec.drafter.shares_cores && d->free_ns < pass->ends_ns) d->free_ns = pass->ends_ns;
    if (pass->ends_ns > d->free_ns) ns = beside(s, ns, (int)pass->pass_rows);
    s->counts.draft_ns += ns;
    d->free_ns += ns;
    return ns;
}

/* What the pass of a text gives: an id, where one is asked for. True: *out is to be sent. */
static bool write_id(struct simulator *s, struct draft_role *d, uint32_t i_slot, struct draft *out)
{
    struct drafting_text *t = &d->drafting.texts[i_slot];
    const struct slot *text = &d->slots.slot[i_slot];
    bool writes = t->until > (uint32_t)text->len;
    float p;
    if (writes && t->n_fed == text->len) t->n_fed--; /* its answer was not asked for when it was fed */
    s->counts.n_drafter_rows += (uint64_t)(text->len - t->n_fed);
    t->n_fed = text->len;
    if (!writes) return drafting_rest(&d->drafting, i_slot, s->now_ns / 1000, out);
    int32_t id = s->c.models.little(s->c.models.arg, text->ids, text->len, &p);
    return drafting_take(&d->drafting, i_slot, id, p, s->now_ns / 1000, out);
}

static int begin_draft(struct simulator *s, struct draft_role *d, struct err *err)
{
    int n_read = 0, n_texts = d->drafting.n_active;
    if (d->in_pass || d->lost || !n_texts) return OK;
    for (int i = 0; i < d->slots.n; i++) {
        int n_behind = d->slots.slot[i].len - d->drafting.texts[i].n_fed;
        if (d->drafting.texts[i].active && n_behind > 1) n_read += n_behind - 1;
    }
    d->in_pass = true;
    d->pass_us = (uint32_t)(work(s, d, s->c.costs.draft_ns(s->c.costs.arg, n_texts, n_read, 1)) / 1000);
    return hold(s, &(struct held){.due_ns = d->free_ns, .kind = HELD_DRAFT, .to = d->peer}, err);
}

static int end_draft(struct simulator *s, struct draft_role *d, struct err *err)
{
    struct draft draft;
    int rc = OK;
    d->in_pass = false;
    for (uint32_t slot = 0; slot < (uint32_t)d->slots.n && rc == OK; slot++) {
        if (!d->drafting.texts[slot].active || !write_id(s, d, slot, &draft)) continue;
        draft.us = d->pass_us * (uint32_t)(draft.n_rows ? draft.n_rows : 1);
        rc = post_draft(s, d->peer, s->now_ns, &draft, err);
    }
    return rc;
}

static int ask_drafter(struct simulator *s, struct draft_role *role, const struct draft_ask *ask, struct err *err)
{
    struct drafting *d = &role->drafting;
    int peer = role->peer;
    struct draft draft;
    bool done = false;
    int rc = OK;
    if (drafting_end(d, ask->slot, s->now_ns / 1000, &draft)) rc = post_draft(s, peer, s->now_ns, &draft, err);
    if (rc == OK) drafting_copy(d, ask);
    if (rc == OK) rc = drafting_ask(d, ask, s->now_ns / 1000, &done, &draft, err);
    if (rc != OK) return rc;
    if (!done && why_failed(s, peer, ask->slot))
        done = drafting_fail(d, ask->slot, ask->at + (uint32_t)ask->n_ids, s->now_ns / 1000, &draft);
    if (done) return post_draft(s, peer, s->now_ns, &draft, err);
    if (ask->block) return OK; /* an id a pass */
    while (!write_id(s, role, ask->slot, &draft)) continue;
    uint64_t ns = s->c.costs.draft_ns(s->c.costs.arg, 1, (int)ask->n_ids, (int)draft.n_rows);
    draft.us = (uint32_t)(work(s, role, ns) / 1000);
    return post_draft(s, peer, role->free_ns, &draft, err);
}

/* One ask after the other; those that run ahead, an id of each a pass. */
static int to_drafter(struct simulator *s, struct draft_role *role, const struct message *m, struct err *err)
{
    struct drafting *d = &role->drafting;
    int peer = role->peer;
    struct draft draft;
    switch (m->tag) {
    case TAG_OPEN: return drafting_open(d, &m->open, err);
    case TAG_CUT:
        return drafting_cut(d, &m->cut, s->now_ns / 1000, &draft) ? post_draft(s, peer, s->now_ns, &draft, err) : OK;
    case TAG_DRAFT_ASK: return ask_drafter(s, role, &m->ask, err);
    default: return OK;
    }
}

/* ---- the coordinator ---- */

int simulator_step(struct simulator *s, const struct event *event, struct err *err)
{
    struct event now = *event;
    struct actions actions;
    now.now_ns = s->now_ns;
    if (now.kind == EVENT_DRAFTER_LOST) s->drafters[now.drafter].lost = true;
    int rc = spec_step(s->spec, &now, &actions, err);
    for (size_t i = 0; rc == OK && i < actions.n; i++) {
        const struct action *a = &actions.list[i];
        if (s->c.watch.action) s->c.watch.action(s->c.watch.arg, a);
        if (a->kind == ACTION_POST) rc = post(s, PEER_COORDINATOR, a->peer, s->now_ns, &a->message, err);
    }
    return rc;
}

static int to_coordinator(struct simulator *s, int from, const struct message *m, struct err *err)
{
    struct event e = {.kind = m->tag == TAG_DRAFT ? EVENT_DRAFT : EVENT_VERDICT};
    const struct leader *l = leader_of(s, from);
    if (l)
        e.group = (int)(l - s->leaders);
    else
        e.drafter = from - s->c.spec.drafter.peer;
    if (e.kind == EVENT_DRAFT)
        e.draft = &m->draft;
    else
        e.verdict = &m->verdict;
    return simulator_step(s, &e, err);
}

/* ---- the clock ---- */

static int arrive(struct simulator *s, struct held *h, struct err *err)
{
    struct message m;
    struct leader *l = leader_of(s, h->to);
    struct draft_role *d = drafter_of(s, h->to == PEER_COORDINATOR ? h->from : h->to);
    if (d && d->lost) return OK;
    if (d && h->to != PEER_COORDINATOR && d->in_pass) { /* it looks when the pass is over */
        struct held later = *h;
        later.due_ns = d->free_ns;
        int held = hold(s, &later, err);
        if (held == OK) h->data = NULL; /* it is in there */
        return held;
    }
    int rc = wire_decode(&s->in, h->what, h->data, h->n_bytes, &m, err);
    if (rc != OK) return rc;
    if (s->c.watch.arrival) s->c.watch.arrival(s->c.watch.arg, h->from, h->to, &m);
    if (h->to == PEER_COORDINATOR) return to_coordinator(s, h->from, &m, err);
    return l ? to_leader(s, l, &m, err) : to_drafter(s, d, &m, err);
}

static int happen(struct simulator *s, struct held *h, struct err *err)
{
    switch (h->kind) {
    case HELD_MESSAGE: return arrive(s, h, err);
    case HELD_STAGE: end_stage(&s->leaders[h->i]); return OK;
    case HELD_PASS: return end_pass(s, h, err);
    case HELD_DRAFT: return end_draft(s, drafter_of(s, h->to), err);
    case HELD_LEADER: return OK;
    default: return s->c.watch.event(s->c.watch.arg, h->what, h->i, err);
    }
}

/* A leader takes all that is there, then begins a pass. */
int simulator_run(struct simulator *s, struct err *err)
{
    int rc = OK;
    while (s->n_held && rc == OK) {
        struct held h = s->held[--s->n_held];
        s->now_ns = h.due_ns;
        rc = happen(s, &h, err);
        free(h.data);
        bool more = s->n_held && s->held[s->n_held - 1].due_ns == s->now_ns;
        for (int i = 0; i < s->c.spec.n_groups && rc == OK && !more; i++) rc = begin_pass(s, i, err);
        for (int i = 0; i < n_drafters(s) && rc == OK && !more; i++) rc = begin_draft(s, &s->drafters[i], err);
    }
    if (rc == OK && !spec_idle(s->spec)) rc = err_set(err, E_FAIL, "nothing moves, and not every text is done");
    return rc;
}

/* ---- open, close, looking inside ---- */

static void lay_links(struct simulator *s, int peer, enum role role)
{
    for (int from = 0; from < 2; from++) {
        uint64_t number = (uint64_t)(2 * peer + from);
        s->links[number] = (struct net_link){s->c.to[role], prefix_hash_mix(s->c.seed + number), 0, 0};
    }
}

static int open_leader(struct simulator *s, int i_group, struct err *err)
{
    const struct spec_config *c = &s->c.spec;
    const struct spec_group *g = &c->groups[i_group];
    struct leader *l = &s->leaders[i_group];
    const struct lead_config lead = {.slots = &l->slots,
                                     .max_rows = g->max_rows,
                                     .max_parts = s->c.max_parts,
                                     .drops_nothing = s->c.drops_nothing,
                                     .n_vocab = g->n_vocab};
    l->peer = g->peer;
    lay_links(s, g->peer, ROLE_VERIFIER);
    int rc = slots_init(&l->slots, g->n_slots, c->n_ctx, c->root, err);
    if (rc == OK) rc = lead_open(&l->lead, &lead, err);
    if (rc == OK) rc = drops_init(&l->drops, g->n_slots, err);
    if (rc == OK) rc = lookup_init(&l->lookup, g->n_slots, c->n_ctx, c->root, g->n_vocab, err);
    return rc;
}

static int open_drafter(struct simulator *s, int i, struct err *err)
{
    const struct spec_config *c = &s->c.spec;
    struct draft_role *d = &s->drafters[i];
    int n_slots = 0;
    for (int g = 0; g < c->n_groups; g++) n_slots += c->groups[g].n_slots;
    d->peer = c->drafter.peer + i;
    lay_links(s, d->peer, ROLE_DRAFTER);
    int rc = slots_init(&d->slots, layout_drafter_slots(n_drafters(s), 1, n_slots), c->n_ctx, c->root, err);
    return rc == OK ? drafting_init(&d->drafting, &d->slots, INT32_MAX, err) : rc;
}

int simulator_open(struct simulator **out, const struct simulator_config *config, struct err *err)
{
    struct simulator *s = calloc(1, sizeof *s);
    if (!s) return err_set(err, E_LAYOUT, "out of memory");
    s->c = *config;
    int rc = wire_arena_init(&s->in, ARENA, err);
    if (rc == OK) rc = wire_arena_init(&s->out, ARENA, err);
    for (int i = 0; i < config->spec.n_groups && rc == OK; i++) rc = open_leader(s, i, err);
    for (int i = 0; i < n_drafters(s) && rc == OK; i++) rc = open_drafter(s, i, err);
    if (rc == OK) rc = spec_open(&s->spec, &config->spec, err);
    for (int i = 0; rc == OK && i < config->spec.n_groups; i++) spec_set_link(s->spec, i, config->link);
    if (rc == OK)
        *out = s;
    else
        simulator_close(s);
    return rc;
}

void simulator_close(struct simulator *s)
{
    if (!s) return;
    while (s->n_held) free(s->held[--s->n_held].data);
    for (int i = 0; i < GROUPS_MOST; i++) {
        lead_close(s->leaders[i].lead);
        lookup_free(&s->leaders[i].lookup);
        slots_free(&s->leaders[i].slots);
        drops_free(&s->leaders[i].drops);
    }
    for (int i = 0; i < DRAFTERS_MOST; i++) {
        drafting_free(&s->drafters[i].drafting);
        slots_free(&s->drafters[i].slots);
    }
    spec_close(s->spec);
    wire_arena_free(&s->in);
    wire_arena_free(&s->out);
    free(s->held);
    free(s);
}

uint64_t simulator_now_ns(const struct simulator *s)
{
    return s->now_ns;
}

struct simulator_counts simulator_counts(const struct simulator *s)
{
    return s->counts;
}

struct slots *simulator_slots(struct simulator *s, int peer)
{
    struct leader *l = leader_of(s, peer);
    return l ? &l->slots : &drafter_of(s, peer)->slots;
}

/* ---- models that draw ---- */

static uint64_t drawn(const int32_t *ids, int n)
{
    return prefix_hash_next(prefix_hash_next(0, n > 1 ? ids[n - 2] : 0), ids[n - 1]);
}

static int32_t chance_big(void *arg, const int32_t *ids, int n)
{
    const struct simulator_chance *c = arg;
    return (int32_t)(drawn(ids, n) % (uint64_t)c->n_vocab);
}

static int32_t chance_little(void *arg, const int32_t *ids, int n, float *p)
{
    const struct simulator_chance *c = arg;
    bool right = (double)(prefix_hash_mix(drawn(ids, n) + 1) >> 11) * 0x1p-53 < c->p_right;
    *p = (float)c->p_right;
    return (chance_big(arg, ids, n) + !right) % c->n_vocab;
}

static float chance_lp(void *arg, const int32_t *ids, int n, int32_t id)
{
    const struct simulator_chance *c = arg;
    double p = chance_big(arg, ids, n) == id ? c->p_right : 1 - c->p_right;
    return (float)log(p > 1e-6 ? p : 1e-6);
}

struct simulator_models simulator_chance_models(struct simulator_chance *chance)
{
    return (struct simulator_models){chance_big, chance_little, chance_lp, chance};
}
