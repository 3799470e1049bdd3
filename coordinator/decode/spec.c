#include "coordinator/decode/spec.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/decode/drafter_view.h"
#include "coordinator/decode/flights.h"
#include "proto/ngram.h"

enum {
    READ_USUAL = 16, /* ids that a drafter reads before a round; after more its time is no round's usual one */
    UNREAD = 4,      /* times what the drafter reads of a prompt: of a longer one it knows little */
    REACH_MORE = 2,
    REFUSED_MOST = 2 /* in a row, of a verify or an ask */
};

struct decode_slot {  /* a slot of a verification group, the drafter's beside it, and what both hold */
    int group, slot;  /* slot: of the group; the drafter's is the index among all */
    struct seq *seq;  /* NULL: free */
    uint64_t request; /* its number among all; the owner of its flights */
    int32_t *last;    /* [n_ctx] owns: the text that had it before */
    int n_last;
    uint64_t used;    /* when it was taken last, counted in requests */
    struct row *rows; /* [n_ctx] owns: what is being fed, by position */

    /* The verifier's side. */
    uint32_t round;       /* a draft and its verify */
    int held;             /* final ids whose rows it has once all that was sent is done */
    bool feeding;         /* more parts of this verify are to be sent */
    int n_read;           /* ids of a prompt whose rows it has answered */
    int n_refused;        /* in a row */
    uint64_t verify_ns;   /* when this verify began */
    uint32_t computed_us; /* on its parts so far */

    /* The drafter's side. */
    struct drafter_view drafter;
    bool rolled_back;      /* repo's rule: big writes the next token too */
    bool no_room;          /* for the text, at the drafter */
    bool drafter_unusable; /* that, or an id that the drafter does not know is in the text */

    bool looked_up;                /* this round's drafts are n-grams of the text */
    struct draft_policy policy;    /* of the drafter */
    struct draft_policy lookups;   /* of n-grams, which are tried where the drafter's says `unread` */
    int reach;                     /* of the next n-gram: as far as the last one was right, and REACH_MORE */
    struct draft_policy_round now; /* the round in work */
    uint64_t round_ns;             /* when it began */
};

struct verifiers {
    struct spec_group c;
    struct flights flights;
    struct decode_slot *slots; /* [c.n_slots] borrows, of all slots */
};

struct spec {
    struct spec_config c;
    struct verifiers groups[GROUPS_MOST];
    struct decode_slot *slots; /* [n_slots] owns: of all groups, one after the other */
    int n_slots, n_running;
    struct seq *first, *last; /* those that wait, in the order of their submission; last: where first is */
    uint64_t n_started;
    char *drafter_lost; /* owns: why; NULL: it is there */

    struct action *actions; /* [room] owns */
    size_t n_actions, room;
    bool no_memory; /* for the actions of this step */
    uint64_t now;
};

static const struct settings *settings_of(const struct decode_slot *p)
{
    return &p->seq->request.settings;
}

static bool is_lossy(const struct decode_slot *p)
{
    return settings_lossy(settings_of(p));
}

static struct verifiers *group_of(struct spec *s, const struct decode_slot *p)
{
    return &s->groups[p->group];
}

static uint32_t drafter_slot(const struct spec *s, const struct decode_slot *p)
{
    return (uint32_t)(p - s->slots);
}

/* A request that is to have drafts, where there is a drafter. */
static bool wants_drafter(const struct spec *s, const struct settings *settings)
{
    return s->c.drafter.peer != PEER_COORDINATOR && settings->drafting && settings->fallback <= 1;
}

static bool has_drafter(const struct spec *s, const struct settings *settings)
{
    return !s->drafter_lost && wants_drafter(s, settings);
}

static struct sampler sampler_at(const struct decode_slot *p, int offset)
{
    struct sampler sampler = settings_of(p)->sampler;
    sampler.offset = (uint32_t)offset;
    return sampler;
}

/* ---- actions ---- */

/* A step of one message has room; a step that ends many requests may need more. */
static struct action *act(struct spec *s, enum action_kind kind, struct seq *seq)
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

static void post_open(struct spec *s, const struct decode_slot *p)
{
    const struct settings *set = settings_of(p);
    int n_end_ids = set->n_end_ids < OPEN_END_IDS_MOST ? set->n_end_ids : OPEN_END_IDS_MOST;
    struct action *a = act(s, ACTION_POST, p->seq);
    a->peer = s->c.drafter.peer;
    a->message = (struct message){.tag = TAG_OPEN,
                                  .open = {.slot = drafter_slot(s, p),
                                           .n_ids = (uint32_t)s->c.drafter.n_proposed,
                                           .end_ids = set->end_ids,
                                           .n_end_ids = (size_t)n_end_ids,
                                           .last_position = (uint32_t)s->c.n_ctx}};
}

/* Row of position pos: those from the text's last id on are wanted, and judge the draft that follows. */
static struct row verify_row(const struct seq *q, int pos)
{
    bool wanted = pos >= q->n_ids - 1;
    return (struct row){.id = q->ids[pos],
                        .wanted = wanted,
                        .n_top = wanted ? (uint32_t)q->request.settings.n_top : 0,
                        .judge = &q->ids[pos + 1],
                        .n_judge = wanted && pos + 1 < q->n_ids + q->n_tail};
}

static void post_part(struct spec *s, struct decode_slot *p, int at, int n_rows)
{
    struct verifiers *g = group_of(s, p);
    struct seq *q = p->seq;
    struct action *a = act(s, ACTION_POST, q);
    for (int i = at; i < at + n_rows; i++) p->rows[i] = verify_row(q, i);
    struct part part = {.slot = (uint32_t)p->slot,
                        .round = p->round,
                        .at = (uint32_t)at,
                        .prefix_hash = q->prefix_hash[at],
                        .rows = p->rows + at,
                        .n_rows = (size_t)n_rows,
                        .sampler = sampler_at(p, 0)};
    struct flight *f = flights_add(&g->flights, &part, p->verify_ns);
    f->owner = p->request;
    f->n_text = q->n_ids;
    f->n_drafts = f->n_wanted ? q->n_tail : 0;
    memcpy(f->drafts, q->ids + q->n_ids, (size_t)f->n_drafts * sizeof *f->drafts);
    a->peer = g->c.peer;
    a->message = (struct message){.tag = TAG_VERIFY, .verify = part};
    if (q->state == SEQ_PROMPT) q->stats.n_prompt_rows += (uint32_t)n_rows;
}

/* Sends as many parts as may be out at once. Rows that want nothing go in parts of max_rows; the wanted ones stay
 * together in the last part. */
static void feed(struct spec *s, struct decode_slot *p)
{
    const struct verifiers *g = group_of(s, p);
    const struct seq *q = p->seq;
    int n_out_most = g->c.max_jobs / g->c.n_slots, max_rows = g->c.max_rows;
    while (p->feeding && flights_of_slot(&g->flights, (uint32_t)p->slot) < n_out_most) {
        int at = p->held, n = q->n_ids + q->n_tail - at;
        p->feeding = n > max_rows;
        if (p->feeding) n = q->n_ids - 1 - at < max_rows ? q->n_ids - 1 - at : max_rows;
        post_part(s, p, at, n);
        p->held = p->feeding ? at + n : q->n_ids - 1;
    }
}

/* What the verifier lacks of the text, then the drafts. */
static void post_verify(struct spec *s, struct decode_slot *p)
{
    p->verify_ns = s->now;
    p->computed_us = 0;
    p->feeding = true;
    feed(s, p);
}

/* ---- drafting ---- */

/* Tokens that may still come. Big's own always comes after drafts, but for lossy rules. */
static int tokens_left(const struct seq *q)
{
    return q->n_limit - q->n_ids - !settings_lossy(&q->request.settings);
}

static int most_drafts(const struct decode_slot *p)
{
    int left = tokens_left(p->seq), most = settings_of(p)->draft_max;
    return most < left ? most : left;
}

/* How many tokens to draft now. The drafter reads nothing before it is expected to pay, and after long silence not all
 * that it missed. */
static int draft_window(struct spec *s, struct decode_slot *p)
{
    const struct seq *q = p->seq;
    int window = draft_policy_window(&p->policy, most_drafts(p)), draft_ctx = settings_of(p)->draft_ctx;
    if (!has_drafter(s, settings_of(p)) || window < 1 || p->drafter_unusable || p->rolled_back) return 0;
    int n = q->n_ids - drafter_view_knows(&p->drafter);
    bool anew = p->drafter.base < 0 || (n > draft_ctx && !is_lossy(p));
    if (anew && n > draft_ctx) n = draft_ctx;
    if ((anew || n > READ_USUAL) && !draft_policy_reads(&p->policy, window, n, seq_n_generated(q), tokens_left(q)))
        return 0;
    if (anew) drafter_view_forget(&p->drafter, q->n_ids - n);
    for (int i = p->drafter.base + p->drafter.len; i < q->n_ids; i++)
        p->drafter_unusable |= q->ids[i] >= s->c.drafter.n_ids;
    return p->drafter_unusable ? 0 : window;
}

/* One message of it: ids [at, at + n_ids) of what the drafter is to know. */
static void post_ask_part(struct spec *s, struct decode_slot *p, int at, int n_ids, int until)
{
    struct drafter_view *d = &p->drafter;
    struct action *a = act(s, ACTION_POST, p->seq);
    a->peer = s->c.drafter.peer;
    a->message = (struct message){.tag = TAG_DRAFT_ASK,
                                  .ask = {.slot = drafter_slot(s, p),
                                          .round = p->round,
                                          .at = (uint32_t)at,
                                          .prefix_hash = d->prefix_hash[at],
                                          .ids = p->seq->ids + d->base + at,
                                          .n_ids = (size_t)n_ids,
                                          .until = (uint32_t)until,
                                          .p_min = settings_of(p)->fallback,
                                          .p_joint_min = draft_policy_chance(&p->policy, settings_of(p)->draft_max),
                                          .sampler = sampler_at(p, d->base)}};
    d->n_out++;
}

/* In as many messages as the ids need: all but the last only read. */
static void post_ask(struct spec *s, struct decode_slot *p, int window)
{
    struct drafter_view *d = &p->drafter;
    int n = p->seq->n_ids - d->base, at = d->len;
    drafter_view_hash(d, s->c.root, p->seq->ids, p->seq->n_ids);
    d->n_out_old += d->n_out;
    d->n_out = 0;
    d->round = p->round;
    for (; n - at > ASK_IDS; at += ASK_IDS) post_ask_part(s, p, at, ASK_IDS, at + ASK_IDS);
    post_ask_part(s, p, at, n - at, n + window);
    p->now.n_read = n - d->len - d->n_reused;
    p->now.measured &= p->now.n_read <= READ_USUAL;
    d->n_reused = 0;
    d->len = n;
    d->window = window;
    d->us = 0;
    d->sent_ns = s->now;
    p->seq->stats.n_asks++;
}

/* What big copies from a prompt that the drafter has not read, the drafter cannot know. N-grams do, and cost nothing to
 * draft. */
static bool look_up(struct decode_slot *p)
{
    struct seq *q = p->seq;
    int32_t ids[DRAFTS_MOST];
    int most = most_drafts(p);
    int window = p->policy.unread ? draft_policy_window(&p->lookups, most < p->reach ? most : p->reach) : 0;
    int n = window > 0 ? ngram_draft(q->ids, q->n_ids, ids, window) : 0;
    for (int i = 0; i < n; i++) seq_draft(q, ids[i]);
    q->stats.n_drafted += (uint32_t)n;
    return p->looked_up = n > 0;
}

static void next_round(struct spec *s, struct decode_slot *p)
{
    p->round++;
    p->round_ns = s->now;
    p->now = (struct draft_policy_round){.measured = true};
    seq_drop_tail(p->seq);
    int window = look_up(p) ? 0 : draft_window(s, p);
    if (window > 0)
        post_ask(s, p, window);
    else
        post_verify(s, p);
}

/* ---- requests come and go ---- */

static struct withheld withheld(const struct spec *s, const struct decode_slot *p)
{
    if (s->c.drafter.peer == PEER_COORDINATOR || !settings_of(p)->drafting || is_lossy(p)) return (struct withheld){0};
    if (s->drafter_lost) return (struct withheld){.why = WITHHELD_LOST};
    if (p->no_room) return (struct withheld){.why = WITHHELD_NO_ROOM};
    if (p->drafter_unusable) return (struct withheld){.why = WITHHELD_UNKNOWN_ID};
    bool nothing_found = s->c.drafter.prior.draft == 0 && p->seq->stats.n_asks && !p->seq->stats.n_drafted;
    return nothing_found ? (struct withheld){.why = WITHHELD_NO_REPEAT} : draft_policy_withheld(&p->policy);
}

static void end(struct spec *s, struct seq *q, enum seq_end how)
{
    q->end = how;
    seq_settle(q);
    act(s, ACTION_DONE, q);
}

/* The request leaves its slot, which keeps what the workers hold of the text. */
static void finish(struct spec *s, struct decode_slot *p, enum seq_end how)
{
    struct seq *q = p->seq;
    q->stats.n_pauses = (uint32_t)(p->policy.n_pauses + p->lookups.n_pauses);
    q->stats.withheld = withheld(s, p);
    if (how != SEQ_FAILED) draft_policy_learn(s->c.drafter.profile, &p->policy, seq_n_generated(q));
    memcpy(p->last, q->ids, (size_t)q->n_ids * sizeof *q->ids);
    p->n_last = q->n_ids;
    p->seq = NULL;
    s->n_running--;
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
    int n = 0, most = p->n_last < n_ids - 1 ? p->n_last : n_ids - 1; /* one row at least is fed: it is wanted */
    if (most > p->held) most = p->held;
    while (n < most && p->last[n] == ids[n]) n++;
    return n;
}

static void begin(struct spec *s, struct decode_slot *p, struct seq *q)
{
    const struct settings *set = &q->request.settings;
    int n = n_common(p, q->ids, q->n_ids);
    bool drafts = has_drafter(s, set), adaptive = drafts && set->adaptive && !settings_lossy(set);
    p->seq = q;
    p->request = p->used = ++s->n_started;
    q->group = p->group;
    q->slot = p->slot;
    q->stats.start_ns = s->now;
    p->round++;
    p->held = p->n_read = n;
    if (settings_lossy(set))
        drafter_view_forget(&p->drafter, -1);
    else
        drafter_view_keep(&p->drafter, n);
    p->drafter.n_lost = p->n_refused = 0;
    p->drafter_unusable = p->no_room = p->rolled_back = p->looked_up = false;
    p->now = (struct draft_policy_round){.measured = false};
    p->reach = REACH_MORE;
    bool unread = drafts && !settings_lossy(set) && q->n_prompt > UNREAD * set->draft_ctx;
    draft_policy_init(&p->policy, adaptive, unread, s->c.drafter.prior, s->c.drafter.profile);
    draft_policy_init(&p->lookups, adaptive, false, (struct cost_prior){0}, &(struct draft_profile){0});
    s->n_running++;
}

static int n_running(const struct verifiers *g)
{
    int n = 0;
    for (int i = 0; i < g->c.n_slots; i++) n += g->slots[i].seq != NULL;
    return n;
}

/* Whether a is the better place for a text: more of it is held there; else fewer requests run beside it; else its last
 * text is the older one. n: what each holds of the text. */
static bool is_better(struct spec *s, const struct decode_slot *a, int n_a, const struct decode_slot *b, int n_b)
{
    int load_a = n_running(group_of(s, a)), load_b = n_running(group_of(s, b));
    if (n_a != n_b) return n_a > n_b;
    return load_a != load_b ? load_a < load_b : a->used < b->used;
}

/* NULL: none is free. */
static struct decode_slot *choose_slot(struct spec *s, const struct request *r)
{
    struct decode_slot *best = NULL;
    int n_best = 0;
    for (struct decode_slot *p = s->slots; p < s->slots + s->n_slots; p++) {
        if (p->seq) continue;
        int n = n_common(p, r->prompt, r->n_prompt);
        if (best && !is_better(s, p, n, best, n_best)) continue;
        best = p;
        n_best = n;
    }
    return best;
}

static void start(struct spec *s, struct decode_slot *p, struct seq *q)
{
    const struct settings *set = &q->request.settings;
    if (seq_start(q, s->c.root, &q->why) != OK) {
        end(s, q, SEQ_FAILED);
        return;
    }
    begin(s, p, q);
    if (s->drafter_lost && settings_lossy(set) && wants_drafter(s, set)) {
        fail(s, p, E_PEER, s->drafter_lost);
        return;
    }
    if (has_drafter(s, set)) post_open(s, p);
    post_verify(s, p);
}

static void start_waiting(struct spec *s)
{
    for (struct decode_slot *p; s->first && (p = choose_slot(s, &s->first->request));) {
        struct seq *q = s->first;
        s->first = q->next;
        start(s, p, q);
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

/* ---- verdicts ---- */

static bool is_end(const struct settings *set, int32_t id)
{
    for (int i = 0; i < set->n_end_ids; i++)
        if (set->end_ids[i] == id) return true;
    return false;
}

/* Why the text ends with its last id, if it does. */
static enum seq_end end_of(const struct spec *s, const struct seq *q)
{
    const struct settings *set = &q->request.settings;
    if (is_end(set, q->ids[q->n_ids - 1])) return SEQ_END_ID;
    if (s->c.stops && set->stops && s->c.stops(set->stops, q)) return SEQ_STOP;
    if (q->n_ids < q->n_limit) return SEQ_RUNNING;
    return q->n_limit == s->c.n_ctx ? SEQ_CONTEXT : SEQ_LENGTH;
}

/* Where a text stands in a flight's rows: the row that follows its last id. False: the flight was of another text. */
static bool row_of_text(const struct flight *f, const struct seq *q, int *row)
{
    *row = q->n_ids - f->n_text; /* ids that have become final since it was sent */
    return *row <= f->n_drafts && !memcmp(q->ids + f->n_text, f->drafts, (size_t)*row * sizeof *f->drafts);
}

/* Commits what the rule keeps and one token of big's own, and no further than the text's end. The rows and drafts are
 * those behind the text. */
static enum seq_end commit(struct spec *s, struct decode_slot *p, const struct verdict_row *rows, const int32_t *drafts,
                           int n)
{
    struct seq *q = p->seq;
    const struct rule *rule = &settings_of(p)->rule;
    int kept = (int)rule_first_bad(rule, rows, drafts, (size_t)n), i = 0;
    enum seq_end how = SEQ_RUNNING;
    for (; i <= kept && how == SEQ_RUNNING; i++) {
        const struct verdict_row *row = &rows[i];
        bool drafted = i < kept;
        enum origin origin = drafted ? ORIGIN_DRAFT : i < n ? ORIGIN_CORRECTION : ORIGIN_BIG;
        seq_commit(q, drafted ? drafts[i] : row->next, drafted ? row->lp_judged[0] : row->lp_next, origin, row->top,
                   (int)row->n_top);
        p->now.p_target += exp((double)q->lp[q->n_ids - 1]);
        how = end_of(s, q);
    }
    int accepted = i <= kept ? i : kept; /* drafts that became text; the end may lie among them */
    bool rolled_back = i > kept && kept < n;
    q->stats.n_accepted += (uint32_t)accepted;
    q->stats.n_judged += (uint32_t)(accepted + rolled_back);
    q->stats.n_rollbacks += rolled_back;
    q->stats.n_taken_back += rolled_back ? (uint32_t)(n - kept) : 0;
    q->stats.last_ns = s->now;
    p->rolled_back = rolled_back && rule->kind == RULE_REPO;
    p->now.n_accepted = accepted;
    p->now.n_tokens = i;
    act(s, ACTION_TOKENS, q);
    return how;
}

/* The authors' code ends a text where the little model ends it, or fills it: big does not see that last draft. */
static void commit_unseen(struct spec *s, struct decode_slot *p)
{
    struct seq *q = p->seq;
    int n = q->n_tail;
    enum seq_end how = SEQ_RUNNING;
    for (int i = 0; i < n && how == SEQ_RUNNING; i++) {
        seq_commit(q, q->ids[q->n_ids], NAN, ORIGIN_DRAFT, NULL, 0);
        q->stats.n_accepted++;
        how = end_of(s, q);
    }
    q->stats.last_ns = s->now;
    act(s, ACTION_TOKENS, q);
    finish(s, p, how);
}

static void note_wait(struct seq *q, uint64_t waited_ns, uint64_t worked_us, uint64_t *worked_ns)
{
    uint64_t worked = worked_us * 1000;
    *worked_ns += worked;
    q->stats.wait_ns += waited_ns > worked ? waited_ns - worked : 0;
}

/* A refusal names what the verifier holds: send the rest again, at worst all of it. */
static int refused(struct spec *s, struct decode_slot *p, const struct verdict *v, struct err *err)
{
    if (v->status == VERDICT_FULL || ++p->n_refused > REFUSED_MOST)
        return err_set(err, E_PEER, "the verifier refuses slot %u at %u (status %d, holds %u)", v->slot, v->at,
                       v->status, v->held);
    bool holds_some = v->status == VERDICT_GAP && p->n_refused < REFUSED_MOST && v->held < (uint32_t)p->seq->n_ids;
    p->held = holds_some ? (int)v->held : 0;
    p->round++;
    p->now.measured = false;
    post_verify(s, p);
    return OK;
}

/* A policy learns from its own drafts. Of a round of the other's it sees the tokens go by. */
static void note_round(struct decode_slot *p)
{
    struct draft_policy *own = p->looked_up ? &p->lookups : &p->policy,
                        *other = p->looked_up ? &p->policy : &p->lookups;
    struct draft_policy_round seen = p->now;
    if (p->looked_up) p->reach = p->now.n_accepted + REACH_MORE;
    seen.measured &= p->now.n_drafted == 0;
    seen.n_drafted = seen.n_accepted = 0;
    draft_policy_note(own, &p->now);
    draft_policy_note(other, &seen);
}

static void note_verify(struct spec *s, struct decode_slot *p, const struct flight *f)
{
    struct seq *q = p->seq;
    note_wait(q, s->now - f->sent_ns, p->computed_us, &q->stats.verify_ns);
    if (q->state == SEQ_PROMPT) {
        q->stats.first_ns = s->now;
        p->policy.prompt_ns = (double)(s->now - q->stats.start_ns) / q->stats.n_prompt_rows;
        q->state = SEQ_DECODING;
    } else {
        q->stats.n_verifies++;
    }
}

/* The wanted rows of a verify, whose round may be over: they count where the text is the one that they were asked of. */
static void take_rows(struct spec *s, struct decode_slot *p, const struct flight *f, const struct verdict *v)
{
    struct seq *q = p->seq;
    bool now = f->round == p->round;
    int row;
    if (!row_of_text(f, q, &row)) return;
    if (!now) p->now = (struct draft_policy_round){.measured = false};
    p->n_refused = 0;
    note_verify(s, p, f);
    int n = f->n_drafts - row;
    enum seq_end how = commit(s, p, v->rows + row, f->drafts + row, n);
    p->held = now || p->held > q->n_ids - 1 ? q->n_ids - 1 : p->held;
    if (now) {
        p->now.n_drafted = n;
        p->now.ns = (double)(s->now - p->round_ns);
        if (n > 0 && !p->looked_up) p->drafter.n_reused = p->now.n_accepted;
    }
    if (how != SEQ_RUNNING) finish(s, p, how);
    if (!p->seq) {
        start_waiting(s);
        return;
    }
    note_round(p);
    next_round(s, p);
}

static int on_verdict(struct spec *s, int group, const struct verdict *v, struct err *err)
{
    struct verifiers *g = &s->groups[group];
    struct flight f;
    int rc = flights_land(&g->flights, v, &f, err);
    if (rc != OK) return rc;
    struct decode_slot *p = &g->slots[v->slot];
    bool its = p->seq && f.owner == p->request, now = its && f.round == p->round;
    if (now && v->status != VERDICT_OK) return refused(s, p, v, err);
    if (now) {
        p->computed_us += v->computed_us;
        p->n_read = (int)(v->at + f.n_rows);
    }
    /* An older round's rows are final too where nothing of the text hangs on when they come. */
    if (v->status == VERDICT_OK && f.n_wanted && (now || (its && !is_lossy(p)))) take_rows(s, p, &f, v);
    if (p->seq) feed(s, p); /* there is room for a part */
    return OK;
}

/* ---- drafts ---- */

/* The drafter lacks what this ask goes on from. It is told anew: at once where drafts are part of the method. */
static void ask_lost(struct spec *s, struct decode_slot *p, enum draft_end why)
{
    p->drafter.len = p->drafter.n_reused = 0;
    if (why == DRAFT_FULL) p->drafter_unusable = p->no_room = true;
    if (!is_lossy(p))
        post_verify(s, p);
    else if (++p->drafter.n_lost <= REFUSED_MOST && !p->drafter_unusable)
        post_ask(s, p, p->drafter.window);
    else
        fail(s, p, E_PEER, "the drafter refuses this text, and without it the text would be another");
}

/* The draft's ids that big knows are the tail. */
static void take_drafts(struct spec *s, struct decode_slot *p, const struct draft *d)
{
    struct seq *q = p->seq;
    const struct settings *set = settings_of(p);
    p->drafter.n_lost = 0;
    q->stats.n_windows += d->end == DRAFT_WINDOW;
    q->stats.n_joint_lows += d->end == DRAFT_JOINT_LOW;
    q->stats.n_lows += d->end == DRAFT_LOW;
    q->stats.n_ends += d->end == DRAFT_EOS;
    for (size_t i = 0; i < d->n_rows && d->rows[i].id >= 0 && d->rows[i].id < s->c.drafter.n_ids; i++)
        seq_draft(q, d->rows[i].id);
    q->stats.n_drafted += (uint32_t)q->n_tail;
    bool ends = q->n_tail && (is_end(set, q->ids[q->n_ids + q->n_tail - 1]) || q->n_ids + q->n_tail == q->n_limit);
    if (set->rule.kind == RULE_REPO && ends)
        commit_unseen(s, p);
    else
        post_verify(s, p);
}

static int on_draft(struct spec *s, const struct draft *d, struct err *err)
{
    struct decode_slot *p = d->slot < (uint32_t)s->n_slots ? &s->slots[d->slot] : NULL;
    struct drafter_view *view = p ? &p->drafter : NULL;
    if (p && view->n_out_old > 0 && d->round != view->round) return view->n_out_old--, OK;
    if (!p || view->n_out == 0 || d->round != view->round)
        return err_set(err, E_PEER, "a draft for slot %u (round %u), of which nothing was asked", d->slot, d->round);
    view->n_out--;
    if (!p->seq || view->round != p->round) return OK; /* its round is over */
    view->us += d->us;
    if (view->n_out > 0) return OK; /* a part is read, or refused: then the last one is, too */
    note_wait(p->seq, s->now - view->sent_ns, view->us, &p->seq->stats.draft_ns);
    p->now.draft_ns = view->us * 1e3;
    bool lost = d->end == DRAFT_STALE || d->end == DRAFT_GAP || d->end == DRAFT_FULL;
    if (d->n_rows > (lost ? 0 : (size_t)view->window))
        return err_set(err, E_PEER, "a draft of %zu tokens, %d asked", d->n_rows, view->window);
    if (!lost && (d->at != (uint32_t)view->len || d->prefix_hash != view->prefix_hash[view->len]))
        return err_set(err, E_PEER, "a draft for slot %u at %u, asked for at %d", d->slot, d->at, view->len);
    if (lost)
        ask_lost(s, p, d->end);
    else
        take_drafts(s, p, d);
    start_waiting(s); /* the request may be done */
    return OK;
}

/* Whoever waits for a draft goes on without; whose text would then be another ends. */
static int on_drafter_lost(struct spec *s, const char *why, struct err *err)
{
    if (s->drafter_lost) return OK;
    s->drafter_lost = strdup(why);
    if (!s->drafter_lost) return err_set(err, E_FAIL, "out of memory");
    for (struct decode_slot *p = s->slots; p < s->slots + s->n_slots; p++) {
        bool asked = p->seq && p->drafter.n_out > 0 && p->drafter.round == p->round;
        p->drafter.n_out = p->drafter.n_out_old = 0;
        if (!p->seq || !wants_drafter(s, settings_of(p))) continue;
        if (is_lossy(p))
            fail(s, p, E_PEER, why);
        else if (asked)
            post_verify(s, p);
    }
    start_waiting(s);
    return OK;
}

/* ---- steps ---- */

int spec_step(struct spec *s, const struct event *event, struct actions *out, struct err *err)
{
    int rc = OK;
    s->n_actions = 0;
    s->no_memory = false;
    s->now = event->now_ns;
    switch (event->kind) {
    case EVENT_SUBMIT: submit(s, event->seq); break;
    case EVENT_CANCEL: cancel(s, event->seq); break;
    case EVENT_DRAFT: rc = on_draft(s, event->draft, err); break;
    case EVENT_VERDICT: rc = on_verdict(s, event->group, event->verdict, err); break;
    case EVENT_DRAFTER_LOST: rc = on_drafter_lost(s, event->why, err); break;
    }
    *out = (struct actions){s->actions, s->n_actions};
    return rc == OK && s->no_memory ? err_set(err, E_FAIL, "no memory for %zu actions", s->room) : rc;
}

bool spec_idle(const struct spec *s)
{
    return !s->first && !s->n_running;
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
        /* A step posts at most max_jobs parts, and for each slot an Open, an ask in its parts, tokens and an end. */
        s->room = (size_t)n_jobs + (4 + (size_t)(config->n_ctx / ASK_IDS)) * (size_t)n_slots;
        s->actions = calloc(s->room, sizeof *s->actions);
        s->slots = calloc((size_t)n_slots, sizeof *s->slots);
        ok = s->actions && s->slots;
    }
    for (int i = 0, first = 0; ok && i < config->n_groups; first += config->groups[i++].n_slots)
        ok = group_init(s, i, first);
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
    free(s->drafter_lost);
    free(s->slots);
    free(s->actions);
    free(s);
}
