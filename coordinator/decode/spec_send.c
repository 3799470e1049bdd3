#include "coordinator/decode/spec_inside.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "proto/suffix.h"

enum {
    READ_USUAL = 16,  /* ids that a drafter reads before a round; after more its time is no round's usual one */
    AHEAD_MOST = 256, /* drafts that wait for their verdicts */
    PLAIN_MOST = 64,  /* ids that the leader writes by itself before drafts get a chance */
    BESIDE_MOST = 8   /* likewise where it would go on meanwhile */
};

/* ---- actions ---- */

/* A step of one message has room; a step that ends many requests may need more. */
struct action *spec_act(struct spec *s, enum action_kind kind, struct seq *seq)
{
    if (s->n_actions == s->room) {
        struct action *more = realloc(s->actions, 2 * s->room * sizeof *more);
        s->no_memory |= !more;
        if (more) s->actions = more, s->room *= 2;
        s->n_actions -= !more; /* the last one gives way: the step fails */
    }
    struct action *a = &s->actions[s->n_actions++];
    *a = (struct action){.kind = kind, .seq = seq};
    return a;
}

static void post_to_leader(struct spec *s, const struct decode_slot *p, struct message m)
{
    struct action *a = spec_act(s, ACTION_POST, p->seq);
    a->peer = group_of(s, p)->c.peer;
    a->message = m;
}

/* What ends a text, for drafter and leader. */
static struct open_slot open_with_ends(const struct settings *set)
{
    int n = set->n_end_ids < OPEN_END_IDS_MOST ? set->n_end_ids : OPEN_END_IDS_MOST;
    return (struct open_slot){.end_ids = set->end_ids, .n_end_ids = (size_t)n};
}

void spec_open_drafter(struct spec *s, const struct decode_slot *p)
{
    struct action *a = spec_act(s, ACTION_POST, p->seq);
    struct open_slot open = open_with_ends(settings_of(p));
    open.slot = drafter_slot(s, p);
    open.n_ids = (uint32_t)s->c.drafter.n_proposed;
    open.last_position = (uint32_t)s->c.n_ctx;
    a->peer = drafter_peer(s, p);
    a->message = (struct message){.tag = TAG_OPEN, .open = open};
}

void spec_start_self(struct spec *s, struct decode_slot *p, int n)
{
    p->self = true;
    p->goes_on = n == INT_MAX;
    p->self_left = n;
    p->self_round = p->round;
    p->self_begun = false;
    p->ahead.hold_us = 0;
    int n_drafts = leader_drafts(s, p);
    p->self_max = self_most(s, p);
    int most = n < p->self_max ? n : p->self_max;
    if (n_drafts > p->self_drafts) p->self_drafts = n_drafts;
    struct open_slot open = open_with_ends(settings_of(p));
    open.slot = (uint32_t)p->slot;
    open.last_position = (uint32_t)p->seq->n_limit;
    open.round = p->self_round;
    open.sampler = sampler_at(p, 0);
    open.n_top = (uint32_t)settings_of(p)->n_top;
    open.self_max = (uint32_t)most;
    open.draft_max = (uint32_t)n_drafts;
    open.adaptive = settings_of(p)->adaptive;
    open.text = (uint32_t)p->request;
    open.while_right = p->copies.running;
    open.draft_plan = (uint32_t)settings_of(p)->draft_plan;
    post_to_leader(s, p, (struct message){.tag = TAG_OPEN, .open = open});
}

void spec_cut_leader(struct spec *s, const struct decode_slot *p)
{
    post_to_leader(s, p, (struct message){.tag = TAG_CUT, .cut = {(uint32_t)p->slot, p->self_round}});
}

void spec_cut_drafter(struct spec *s, const struct decode_slot *p)
{
    struct action *a = spec_act(s, ACTION_POST, p->seq);
    a->peer = drafter_peer(s, p);
    a->message = (struct message){.tag = TAG_CUT, .cut = {drafter_slot(s, p), p->drafter.round}};
}

static void post_ack(struct spec *s, struct decode_slot *p)
{
    uint32_t at = (uint32_t)p->seq->n_ids;
    post_to_leader(s, p, (struct message){.tag = TAG_ACK, .ack = {(uint32_t)p->slot, at, p->ahead.hold_us}});
    p->acked = (int)at;
}

void spec_ack(struct spec *s, struct decode_slot *p)
{
    if (!p->goes_on) return; /* it writes as many as it was asked for */
    if (p->seq->n_ids - p->acked >= p->self_max / 4) post_ack(s, p);
}

void spec_hold(struct spec *s, struct decode_slot *p, double hold_ns)
{
    double us = hold_ns / 1000 < HOLD_US_MOST ? hold_ns / 1000 : HOLD_US_MOST, known = p->ahead.hold_us;
    if (us > 0 ? us > known * 0.8 && us < known * 1.25 : known == 0) return;
    p->ahead.hold_us = (uint32_t)us;
    post_ack(s, p);
}

static struct row verify_row(const struct seq *q, int pos, int n_text)
{
    bool wanted = pos >= n_text - 1;
    return (struct row){.id = q->ids[pos],
                        .wanted = wanted,
                        .n_top = wanted ? (uint32_t)q->request.settings.n_top : 0,
                        .judge = &q->ids[pos + 1],
                        .n_judge = wanted && pos + 1 < q->n_ids + q->n_tail};
}

void spec_post_part(struct spec *s, struct decode_slot *p, int at, int n_rows, int n_text)
{
    struct verifiers *g = group_of(s, p);
    struct seq *q = p->seq;
    struct action *a = spec_act(s, ACTION_POST, q);
    for (int i = at; i < at + n_rows; i++) p->rows[i] = verify_row(q, i, n_text);
    struct part part = {.slot = (uint32_t)p->slot,
                        .round = p->round,
                        .at = (uint32_t)at,
                        .prefix_hash = q->prefix_hash[at],
                        .rows = p->rows + at,
                        .n_rows = (size_t)n_rows,
                        .sampler = sampler_at(p, 0),
                        .from = p->copies_from};
    p->copies_from = 0;
    struct flight *f = flights_add(&g->flights, &part, p->verify_ns);
    f->owner = p->request;
    f->may_be_late = p->self && f->n_wanted;
    f->n_text = n_text;
    f->text_hash = q->prefix_hash[n_text];
    f->n_drafts = (int)f->n_judging;
    memcpy(f->drafts, q->ids + n_text, (size_t)f->n_drafts * sizeof *f->drafts);
    a->peer = g->c.peer;
    a->message = (struct message){.tag = TAG_VERIFY, .verify = part};
    if (q->state == SEQ_PROMPT) q->stats.n_prompt_rows += (uint32_t)n_rows;
}

/* Rows of a prompt that may be sent now. Where other texts are written, all prompts together have few rows under way:
 * no text waits long for its next token because a long prompt came. */
static int prompt_room(const struct spec *s, const struct verifiers *g, const struct decode_slot *p)
{
    int room = s->c.prompt_rows;
    bool beside = false;
    if (!room || room >= g->c.max_rows || p->seq->state != SEQ_PROMPT) return g->c.max_rows;
    for (int i = 0; i < g->c.n_slots; i++) beside |= g->slots[i].seq && g->slots[i].seq->state == SEQ_DECODING;
    if (!beside) return g->c.max_rows;
    for (size_t i = 0; i < g->flights.n; i++) {
        const struct flight *f = &g->flights.list[i];
        const struct decode_slot *of = &g->slots[f->slot];
        if (of->seq && of->request == f->owner && of->seq->state == SEQ_PROMPT) room -= (int)f->n_rows;
    }
    return room > 0 ? room : 0;
}

/* Rows that want nothing go in parts of max_rows, or of what a prompt has room for; the wanted ones stay together in
 * the last part. */
void spec_feed(struct spec *s, struct decode_slot *p)
{
    const struct verifiers *g = group_of(s, p);
    const struct seq *q = p->seq;
    int n_out_most = g->c.max_jobs / g->c.n_slots, most;
    while (p->feeding && flights_of_slot(&g->flights, (uint32_t)p->slot) < n_out_most &&
           (most = prompt_room(s, g, p)) > 0) {
        if (!spec_take_source(s, p)) return;                                 /* the part below says it */
        int at = p->held, n = q->n_ids + (p->ahead.on ? 0 : q->n_tail) - at; /* drafts ahead have parts of their own */
        p->feeding = n > most;
        if (p->feeding) n = q->n_ids - 1 - at < most ? q->n_ids - 1 - at : most;
        spec_post_part(s, p, at, n, q->n_ids);
        p->held = p->feeding ? at + n : q->n_ids - 1;
    }
}

/* What the verifier lacks of the text, then the drafts. */
void spec_post_verify(struct spec *s, struct decode_slot *p)
{
    p->verify_ns = s->now;
    p->computed_us = 0;
    p->feeding = true;
    spec_feed(s, p);
}

/* ---- drafting ---- */

/* Tokens that may still come behind n_ids. Big's own always comes after drafts, but for lossy rules. */
static int tokens_left(const struct seq *q, int n_ids)
{
    return q->n_limit - n_ids - !settings_lossy(&q->request.settings);
}

int spec_most_drafts(const struct spec *s, const struct decode_slot *p, int n_ids)
{
    int left = tokens_left(p->seq, n_ids), most = settings_of(p)->draft_max;
    int n_judged = s->groups[p->group].c.max_rows - 1; /* in one pass, at most */
    if (most > n_judged) most = n_judged;
    return most < left ? most : left;
}

static int most_drafts(const struct spec *s, const struct decode_slot *p, bool ahead)
{
    const struct settings *set = settings_of(p);
    int left = tokens_left(p->seq, p->seq->n_ids), most = set->draft_ahead < 0 ? AHEAD_MOST : set->draft_ahead;
    if (!ahead) return spec_most_drafts(s, p, p->seq->n_ids);
    return most < left ? most : left;
}

/* How many ids of the text the drafter lacks. It reads the last ones only, and begins anew, where that are many. */
static int n_lacking(const struct decode_slot *p, bool *anew)
{
    int n = p->seq->n_ids - drafter_view_held(&p->drafter), most = settings_of(p)->draft_ctx;
    *anew = p->drafter.first < 0 || (n > most && !is_lossy(p));
    return *anew && n > most ? most : n;
}

/* No ask says now what its view is a copy of; later that may be gone. */
static void drop_unsaid(struct decode_slot *p)
{
    if (p->drafter.from) drafter_view_forget(&p->drafter, -1);
}

/* False: an id of them is not in its vocabulary. */
static bool may_read(const struct spec *s, struct decode_slot *p, int n, bool anew)
{
    const struct seq *q = p->seq;
    if (anew) drafter_view_forget(&p->drafter, q->n_ids - n);
    for (int i = p->drafter.first + p->drafter.len; i < q->n_ids; i++)
        if (q->ids[i] >= s->c.drafter.n_ids) p->unusable = WITHHELD_UNKNOWN_ID;
    return !p->unusable;
}

/* The drafter reads nothing before it is expected to pay, and after long silence not all that it missed. */
int spec_draft_window(struct spec *s, struct decode_slot *p)
{
    const struct seq *q = p->seq;
    bool ahead = draft_policy_runs_ahead(&p->policy);
    int window = draft_policy_window(&p->policy, most_drafts(s, p, ahead));
    if (!has_drafter(s, p) || window < 1 || p->unusable || p->rolled_back) return 0;
    if (!ahead && !is_beside(s)) window = spec_budget_window(s, p, window);
    if (window < 1) return 0;
    bool anew;
    spec_view_other(s, p);
    int n = n_lacking(p, &anew), n_left = tokens_left(q, q->n_ids);
    window = spec_beside_window(s, p, window, n_left);
    bool reads = window > 0 &&
                 ((!anew && n <= READ_USUAL) || draft_policy_reads(&p->policy, window, n, seq_n_generated(q), n_left));
    if (reads && may_read(s, p, n, anew)) return window;
    p->stake_ns = 0;
    drop_unsaid(p);
    return 0;
}

/* One message of it: ids [at, at + n_ids) of what the drafter is to know. block: it gets the drafts by and by. */
static struct draft_ask *post_ask_part(struct spec *s, struct decode_slot *p, int at, int n_ids, int until, bool blocks)
{
    struct drafter_view *d = &p->drafter;
    struct action *a = spec_act(s, ACTION_POST, p->seq);
    a->peer = drafter_peer(s, p);
    a->message = (struct message){.tag = TAG_DRAFT_ASK,
                                  .ask = {.slot = drafter_slot(s, p),
                                          .round = p->round,
                                          .at = (uint32_t)at,
                                          .prefix_hash = d->prefix_hash[at],
                                          .ids = p->seq->ids + d->first + at,
                                          .n_ids = (size_t)n_ids,
                                          .until = (uint32_t)until,
                                          .p_min = settings_of(p)->fallback,
                                          .p_joint_min = draft_policy_chance(&p->policy, settings_of(p)->draft_max,
                                                                             p->ahead.on ? p->ahead.first : 0),
                                          .sampler = sampler_at(p, d->first),
                                          .block = blocks ? (uint32_t)draft_block(p) : 0,
                                          .from = d->from,
                                          .draft_plan = (uint32_t)settings_of(p)->draft_plan}};
    d->from = 0;
    d->n_out++;
    return &a->message.ask;
}

void spec_read_ahead(struct spec *s, struct decode_slot *p)
{
    bool anew;
    spec_view_other(s, p);
    int n = n_lacking(p, &anew);
    if (is_lossy(p) && n == settings_of(p)->draft_ctx) n--; /* it counts from its first ask, which has an id more */
    if (n > 0 && may_read(s, p, n, anew)) spec_post_ask(s, p, 0);
    drop_unsaid(p);
}

/* What comes of earlier rounds is old. */
static void begin_ask(struct drafter_view *d, uint32_t round)
{
    if (d->round == round) return;
    d->n_out_old += d->n_out;
    d->n_out = 0;
    d->round = round;
}

/* The tail's ids are the drafter's own: none is computed again. */
void spec_post_early_ask(struct spec *s, struct decode_slot *p, int window)
{
    struct drafter_view *d = &p->drafter;
    int n_tail = p->seq->n_tail, guess = d->len + n_tail;
    begin_ask(d, p->round + 1);
    struct draft_ask *ask = post_ask_part(s, p, d->len, n_tail, guess + 1 + window, true);
    ask->round = d->round;
    ask->p_min_from = (uint32_t)guess + 1;
    d->window = window;
    d->us = 0;
    d->sent_ns = s->now;
}

/* In as many messages as the ids need: all but the last only read. */
void spec_post_ask(struct spec *s, struct decode_slot *p, int window)
{
    struct drafter_view *d = &p->drafter;
    int n = p->seq->n_ids - d->first, at = d->len;
    drafter_view_hash(d, s->c.root, p->seq->ids, p->seq->n_ids);
    begin_ask(d, p->round);
    for (; n - at > ASK_IDS; at += ASK_IDS) post_ask_part(s, p, at, ASK_IDS, at + ASK_IDS, p->ahead.on);
    post_ask_part(s, p, at, n - at, n + window, p->ahead.on);
    p->now.n_read = n - d->len - d->n_reused;
    p->now.measured &= p->now.n_read <= READ_USUAL;
    d->n_reused = 0;
    d->len = n;
    d->window = window;
    d->us = 0;
    d->sent_ns = s->now;
    p->seq->stats.n_asks += window > 0 || !is_lossy(p); /* a lossy text has as many whether it is read ahead or not */
}

/* Where what ends the text came earlier, and more of what followed it is likely to come again than the drafter would
 * give, the leader goes on by itself. What big copies from a prompt that the drafter has not read, that cannot know. */
static bool copies(const struct spec *s, const struct decode_slot *p)
{
    const struct seq *q = p->seq;
    int32_t ids[DRAFTS_MOST];
    int most = most_drafts(s, p, false);
    if (!self_starts(s) || p->copies.left > 0 || !leader_drafts(s, p)) return false;
    struct suffix_draft d = suffix_draft(NULL, q->ids, q->n_ids, 0, ids, most);
    if (d.n == 0 || p->policy.unread) return d.n > 0;
    return draft_policy_prefers(&p->policy, most, d.n, (double)d.n_right);
}

static void end_copy(struct decode_slot *p)
{
    struct copies *c = &p->copies;
    if (!c->running) return;
    c->running = false;
    c->n_unpaid = c->paid ? 0 : c->n_unpaid + 1;
    if (c->paid) c->pause = DRAFT_PAUSE_FIRST;
    if (c->n_unpaid < UNPAID_MOST || !settings_of(p)->adaptive) return;
    c->n_unpaid = UNPAID_MOST / 2;
    c->left = c->pause;
    if (c->pause < DRAFT_PAUSE_MOST) c->pause *= 2;
}

/* Ids that will come plainly, before drafts are worth a thought again. */
static int plain_run(struct spec *s, const struct decode_slot *p)
{
    int n = p->policy.paused ? p->policy.left : p->n_plain;
    int most = self_most(s, p);
    if (n > most) n = most;
    return n < PLAIN_MOST ? n : PLAIN_MOST;
}

/* Several ids of big's own take one round trip: the leader writes all but the first by itself. */
static void post_plain(struct spec *s, struct decode_slot *p, int n, bool was_self)
{
    if (n > 1) {
        p->now.measured = false; /* the first has the round trip in it */
        spec_start_self(s, p, n);
    } else if (was_self) {
        spec_cut_leader(s, p);
    }
    spec_post_verify(s, p);
}

void spec_start_going_on(struct spec *s, struct decode_slot *p)
{
    spec_start_self(s, p, INT_MAX);
    spec_post_verify(s, p);
    p->now.measured = false; /* that answer has the round trip in it */
}

enum seq_end spec_next_round(struct spec *s, struct decode_slot *p)
{
    enum seq_end how = SEQ_RUNNING;
    p->policy.apart = is_apart(s, p);
    if (p->ahead.on && spec_stays_ahead(s, p)) return how;
    bool was_self = p->self, goes_on = p->self && p->goes_on && !p->copies.running; /* a copy that is over does not */
    if (p->self && p->self_left > 0) return how;
    p->self = p->goes_on = false;
    p->round++;
    p->round_ns = s->now;
    p->now = (struct draft_policy_round){.measured = true};
    p->policy.rtt_ns = (double)group_of(s, p)->link.rtt_ns;
    p->policy.bytes_ns = group_of(s, p)->link.bytes_ns;
    seq_drop_tail(p->seq);
    end_copy(p);
    bool beside = goes_on_beside(s, p);
    if (!(beside && goes_on) && copies(s, p)) { /* it copies as it goes on */
        p->copies.running = true;
        p->copies.paid = false;
        post_plain(s, p, INT_MAX, was_self);
        return how;
    }
    int window = spec_draft_window(s, p), n_plain = plain_run(s, p), run = n_plain > 0 ? n_plain : 1;
    bool ahead = draft_policy_runs_ahead(&p->policy), flows = ahead || beside;
    if (beside && run > BESIDE_MOST) run = BESIDE_MOST;
    if (p->early.on && spec_take_up_early(s, p, window, &how)) return how;
    bool gathers = window <= 0 && spec_gathers(s, p);
    if (goes_on && (window <= 0 || ahead) && !gathers) p->self = p->goes_on = true;
    if (window > 0 && ahead) {
        spec_run_ahead(s, p, window);
    } else if (gathers) {
        if (was_self) spec_cut_leader(s, p);
        p->gathers = true;
        p->now.measured = !p->policy.timed; /* its pass has the drafts of others: better than no time at all */
    } else if (p->goes_on) {
        p->self_left = run;
    } else if (window <= 0 && flows) {
        spec_start_going_on(s, p);
        p->self_left = run;
    } else if (window <= 0) {
        post_plain(s, p, is_lossy(p) ? 1 : n_plain, was_self);
    } else {
        if (was_self) spec_cut_leader(s, p);
        spec_post_ask(s, p, window);
    }
    return how;
}
