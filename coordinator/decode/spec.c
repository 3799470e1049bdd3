#include "coordinator/decode/spec.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/decode/unanswered.h"
#include "proto/prefix_hash.h"
#include "proto/layout.h"
#include "proto/ngram.h"

enum {
    READ_USUAL = 16, /* ids that a drafter reads before a round; after more its time is no round's usual one */
    UNREAD = 4,      /* times what the drafter reads of a prompt: of a longer one it knows little */
    REACH_MORE = 2
};

struct lane {        /* a slot on every worker, and the sequence that has it */
    struct seq *seq; /* NULL: free */
    uint32_t round;  /* a draft and its verify; an answer of another round is dropped */
    int32_t *last;   /* [n_ctx] owns: the text that had it before */
    int n_last;

    /* The verifier's side. */
    int fed;               /* final ids whose rows it holds, or was sent */
    bool all_fed;          /* the last part of this verify is out */
    int n_read;            /* ids of a prompt whose rows it has answered */
    int n_parts_out;       /* parts not yet answered, those of rounds that are over too */
    uint32_t last_job;     /* of this verify: its answer has the wanted rows */
    int n_refused;         /* in a row */
    uint32_t computed_us;  /* on the parts of this verify */
    int n_asked, n_drafts; /* n_asked: of the drafter, in this round */
    uint32_t ask_us;       /* on the messages of this ask */
    int32_t *drafts;       /* [draft_max] owns */
    struct row *rows;      /* [n_ctx + draft_max] owns: what is being fed */

    /* The drafter's side: it knows ids[drafter_base ..] only, named by a history of their own. */
    int drafter_base; /* -1: it has read nothing yet */
    int drafter_len;  /* relative to drafter_base: ids that it was told and that are final */
    int n_reused;     /* ids after these that it drafted and that are final */
    int n_asks_out;   /* messages of the last ask that are not answered yet */
    int n_asks_old;   /* of asks before it: rounds that were stopped */
    uint32_t ask_round;
    int n_ask_lost;        /* asks refused, in a row */
    uint64_t *prefix_hash; /* [n_ctx + 1] owns: histories of ids[drafter_base ..], up to n_h of them */
    int n_h;
    bool rolled_back;      /* repo's rule: big writes the next token too */
    bool no_room;          /* for the text, at the drafter */
    bool drafter_unusable; /* that, or an id that the drafter does not know is in the text */

    bool looked_up;                /* this round's drafts are n-grams of the text */
    struct draft_policy policy;    /* of the drafter */
    struct draft_policy lookups;   /* of n-grams, which are tried where the drafter's says `unread` */
    int reach;                     /* of the next n-gram: as far as the last one was right, and REACH_MORE */
    struct draft_policy_round now; /* the round in work */
    uint64_t sent_ns;              /* the message that is out */
    uint64_t round_ns;             /* when this round began */
};

struct spec {
    struct spec_config c;
    struct seq *seqs;
    int n_seqs, n_started, n_done;
    struct lane *lanes; /* [n_lanes] owns */
    uint32_t n_jobs;
    struct unanswered out;  /* parts */
    struct action *actions; /* owns */
    struct part *parts;     /* owns: beside each action that posts a Verify */
    size_t n_actions, room;
    uint64_t now;
};

/* Text that big alone would not write. What is drafted, and when, is part of the method then. */
static bool is_lossy(const struct spec *s)
{
    return s->c.rule.kind != RULE_EXACT;
}

static struct sampler sampler_of(const struct spec *s, const struct lane *l, int offset)
{
    struct sampler sampler = s->c.sampler;
    sampler.seed = l->seq->seed;
    sampler.sample = l->seq->sample;
    sampler.offset = (uint32_t)offset;
    return sampler;
}

/* ---- actions ---- */

static struct action *act(struct spec *s, enum action_kind kind, struct seq *seq)
{
    struct action *a = &s->actions[s->n_actions++];
    *a = (struct action){.kind = kind, .seq = seq};
    return a;
}

static uint32_t slot_of(const struct spec *s, const struct lane *l)
{
    return (uint32_t)(l - s->lanes);
}

static void post_open(struct spec *s, struct lane *l, int peer)
{
    int n_end_ids = s->c.n_end_ids < OPEN_END_IDS_MOST ? s->c.n_end_ids : OPEN_END_IDS_MOST;
    struct action *a = act(s, ACTION_POST, l->seq);
    a->peer = peer;
    a->message = (struct message){.tag = TAG_OPEN,
                                  .open = {.slot = slot_of(s, l),
                                           .n_ids = (uint32_t)s->c.n_proposed,
                                           .end_ids = s->c.end_ids,
                                           .n_end_ids = s->c.ignore_eos ? 0 : (size_t)n_end_ids,
                                           .last_position = (uint32_t)s->c.n_ctx}};
}

static void post_part(struct spec *s, struct lane *l, int at, const struct row *rows, int n_rows)
{
    if (l->seq->state == SEQ_PROMPT) l->seq->stats.n_prompt_rows += (uint32_t)n_rows;
    struct action *a = act(s, ACTION_POST, l->seq);
    struct part *part = &s->parts[a - s->actions];
    *part = (struct part){.job = s->n_jobs++,
                          .slot = slot_of(s, l),
                          .round = l->round,
                          .at = (uint32_t)at,
                          .prefix_hash = l->seq->prefix_hash[at],
                          .rows = rows,
                          .n_rows = (size_t)n_rows,
                          .sampler = sampler_of(s, l, 0)};
    a->peer = s->c.verifier;
    a->message = (struct message){.tag = TAG_VERIFY, .verify = *part};
    unanswered_add(&s->out, part);
    l->n_parts_out++;
}

/* Row of position pos: those from the text's last id on are wanted, and judge the draft that follows. */
static struct row verify_row(const struct lane *l, int pos)
{
    int draft = pos + 1 - l->seq->n_ids;
    struct row row = {.id = draft > 0 ? l->drafts[draft - 1] : l->seq->ids[pos]};
    if (draft < 0) return row;
    row.wanted = true;
    row.n_top = (uint32_t)l->seq->n_top;
    row.judge = &l->drafts[draft];
    row.n_judge = draft < l->n_drafts;
    return row;
}

/* Sends as many parts as may be out at once. Rows that want nothing go in parts of max_rows; the wanted ones stay
 * together in the last part. */
static void feed(struct spec *s, struct lane *l)
{
    int n_out_most = s->c.max_jobs / s->c.n_lanes, n_ids = l->seq->n_ids;
    while (!l->all_fed && l->n_parts_out < n_out_most) {
        int at = l->fed, n = n_ids + l->n_drafts - at;
        l->all_fed = n <= s->c.max_rows;
        if (!l->all_fed) n = n_ids - 1 - at < s->c.max_rows ? n_ids - 1 - at : s->c.max_rows;
        for (int i = at; i < at + n; i++) l->rows[i] = verify_row(l, i);
        post_part(s, l, at, l->rows + at, n);
        l->last_job = s->n_jobs - 1;
        l->fed = l->all_fed ? n_ids - 1 : at + n;
    }
}

/* What the verifier lacks of the text, then the drafts. */
static void post_verify(struct spec *s, struct lane *l)
{
    l->sent_ns = s->now;
    l->computed_us = 0;
    l->all_fed = false;
    if (l->seq->state != SEQ_PROMPT) l->seq->state = SEQ_VERIFYING;
    feed(s, l);
}

/* ---- drafting ---- */

/* Histories of ids[drafter_base ..], as far as they are final. */
static void hash_drafter_prefixes(const struct spec *s, struct lane *l)
{
    if (l->n_h < 0) {
        l->prefix_hash[0] = s->c.root;
        l->n_h = 0;
    }
    for (; l->n_h < l->seq->n_ids - l->drafter_base; l->n_h++)
        l->prefix_hash[l->n_h + 1] = prefix_hash_next(l->prefix_hash[l->n_h], l->seq->ids[l->drafter_base + l->n_h]);
}

/* Ids of the text that need not be read to it. */
static int drafter_knows(const struct lane *l)
{
    return l->drafter_base < 0 ? 0 : l->drafter_base + l->drafter_len + l->n_reused;
}

/* It will know ids[drafter_base ..]; -1: nothing of a text yet. */
static void drafter_forgets(struct lane *l, int base)
{
    l->drafter_base = base;
    l->n_h = -1;
    l->drafter_len = l->n_reused = 0;
}

/* Tokens that may be drafted. Big's own always comes, but may find no room. */
static int most_drafts(const struct spec *s, const struct seq *q)
{
    int left = q->n_limit - q->n_ids - !is_lossy(s);
    return s->c.draft_max < left ? s->c.draft_max : left;
}

/* How many tokens to draft now. The drafter reads nothing before it is expected to pay, and after long silence not all
 * that it missed. */
static int draft_window(struct spec *s, struct lane *l)
{
    const struct seq *q = l->seq;
    int left = q->n_limit - q->n_ids - !is_lossy(s);
    int window = draft_policy_window(&l->policy, most_drafts(s, q));
    if (!s->c.drafting || window < 1 || l->drafter_unusable || l->rolled_back || s->c.fallback > 1) return 0;
    int n = q->n_ids - drafter_knows(l);
    bool anew = l->drafter_base < 0 || (n > s->c.draft_ctx && !is_lossy(s));
    if (anew && n > s->c.draft_ctx) n = s->c.draft_ctx;
    if ((anew || n > READ_USUAL) && !draft_policy_reads(&l->policy, window, n, seq_n_generated(q), left)) return 0;
    if (anew) drafter_forgets(l, q->n_ids - n);
    for (int i = l->drafter_base + l->drafter_len; i < q->n_ids; i++) l->drafter_unusable |= q->ids[i] >= s->c.n_ids;
    return l->drafter_unusable ? 0 : window;
}

/* One message of it: ids [at, at + n_ids) of what the drafter is to know. */
static void post_ask_part(struct spec *s, struct lane *l, int at, int n_ids, int until)
{
    struct action *a = act(s, ACTION_POST, l->seq);
    a->peer = s->c.drafter;
    a->message = (struct message){.tag = TAG_DRAFT_ASK,
                                  .ask = {.slot = slot_of(s, l),
                                          .round = l->round,
                                          .at = (uint32_t)at,
                                          .prefix_hash = l->prefix_hash[at],
                                          .ids = l->seq->ids + l->drafter_base + at,
                                          .n_ids = (size_t)n_ids,
                                          .until = (uint32_t)until,
                                          .p_min = s->c.fallback,
                                          .p_joint_min = draft_policy_chance(&l->policy, s->c.draft_max),
                                          .sampler = sampler_of(s, l, l->drafter_base)}};
    l->n_asks_out++;
}

/* In as many messages as the ids need: all but the last only read. */
static void post_ask(struct spec *s, struct lane *l, int window)
{
    struct seq *q = l->seq;
    hash_drafter_prefixes(s, l);
    int n = q->n_ids - l->drafter_base, at = l->drafter_len;
    l->n_asks_old += l->n_asks_out;
    l->n_asks_out = 0;
    l->ask_round = l->round;
    for (; n - at > ASK_IDS; at += ASK_IDS) post_ask_part(s, l, at, ASK_IDS, at + ASK_IDS);
    post_ask_part(s, l, at, n - at, n + window);
    l->ask_us = 0;
    l->now.n_read = n - l->drafter_len - l->n_reused;
    l->now.measured &= l->now.n_read <= READ_USUAL;
    l->n_reused = 0;
    l->drafter_len = n;
    l->n_asked = window;
    l->sent_ns = s->now;
    q->stats.n_asks++;
    q->state = SEQ_DRAFTING;
}

/* What big copies from a prompt that the drafter has not read, the drafter cannot know. N-grams do, and cost nothing to
 * draft. */
static bool look_up(struct spec *s, struct lane *l)
{
    struct seq *q = l->seq;
    int most = most_drafts(s, q);
    int window = l->policy.unread ? draft_policy_window(&l->lookups, most < l->reach ? most : l->reach) : 0;
    l->n_drafts = window > 0 ? ngram_draft(q->ids, q->n_ids, l->drafts, window) : 0;
    l->looked_up = l->n_drafts > 0;
    q->stats.n_drafted += (uint32_t)l->n_drafts;
    return l->looked_up;
}

static void next_round(struct spec *s, struct lane *l)
{
    l->round++;
    l->round_ns = s->now;
    l->now = (struct draft_policy_round){.measured = true};
    if (look_up(s, l)) {
        post_verify(s, l);
        return;
    }
    int window = draft_window(s, l);
    if (window > 0)
        post_ask(s, l, window);
    else
        post_verify(s, l);
}

/* ---- sequences come and go ---- */

/* What the workers hold of the lane's last text is kept as far as the new one begins like it: a conversation goes on,
 * prompts share a system message. The drafter begins anew for lossy rules: there the text depends
 * on what it has read, and that must not depend on who came before. */
static void keep_common(const struct spec *s, struct lane *l)
{
    const struct seq *q = l->seq;
    int n = 0, most = l->n_last < q->n_ids - 1 ? l->n_last : q->n_ids - 1; /* one row at least is fed: it is wanted */
    while (n < most && l->last[n] == q->ids[n]) n++;
    if (l->fed > n) l->fed = n;
    int known = drafter_knows(l) < n ? drafter_knows(l) : n;
    if (l->drafter_base < 0 || known <= l->drafter_base || is_lossy(s)) {
        drafter_forgets(l, -1);
        return;
    }
    if (l->drafter_len > known - l->drafter_base) l->drafter_len = known - l->drafter_base;
    l->n_reused = known - l->drafter_base - l->drafter_len;
    if (l->n_h > l->drafter_len) l->n_h = l->drafter_len;
}

static bool is_unread(const struct spec *s, const struct seq *q)
{
    bool drafts = s->c.drafting && s->c.fallback <= 1;
    return drafts && !is_lossy(s) && q->n_prompt > UNREAD * s->c.draft_ctx;
}

static int start_waiting(struct spec *s, struct err *err)
{
    for (int i = 0; i < s->c.n_lanes && s->n_started < s->n_seqs; i++) {
        struct lane *l = &s->lanes[i];
        if (l->seq) continue;
        struct seq *q = &s->seqs[s->n_started];
        int rc = seq_start(q, s->c.root, err);
        if (rc != OK) return rc;
        s->n_started++;
        q->slot = i;
        q->stats.start_ns = s->now;
        l->seq = q;
        l->round++;
        keep_common(s, l);
        l->n_read = l->fed;
        l->n_refused = l->n_drafts = 0;
        l->now = (struct draft_policy_round){.measured = false};
        l->n_ask_lost = 0;
        l->drafter_unusable = l->no_room = l->rolled_back = false;
        bool guarded = s->c.drafting && s->c.guard && !is_lossy(s);
        l->looked_up = false;
        l->reach = REACH_MORE;
        draft_policy_init(&l->policy, guarded, is_unread(s, q), s->c.prior, s->c.profile);
        draft_policy_init(&l->lookups, guarded, false, (struct cost_prior){0}, &(struct draft_profile){0});
        if (s->c.drafting) post_open(s, l, s->c.drafter);
        post_verify(s, l);
    }
    return OK;
}

static struct withheld withheld(const struct spec *s, const struct lane *l)
{
    if (!s->c.drafting || is_lossy(s)) return (struct withheld){0};
    if (l->no_room) return (struct withheld){.why = WITHHELD_NO_ROOM};
    if (l->drafter_unusable) return (struct withheld){.why = WITHHELD_UNKNOWN_ID};
    bool nothing_found = s->c.prior.draft == 0 && l->seq->stats.n_asks && !l->seq->stats.n_drafted;
    return nothing_found ? (struct withheld){.why = WITHHELD_NO_REPEAT} : draft_policy_withheld(&l->policy);
}

static void finish(struct spec *s, struct lane *l, enum seq_end end)
{
    struct seq *q = l->seq;
    q->end = end;
    q->state = SEQ_DONE;
    q->stats.n_pauses = (uint32_t)(l->policy.n_pauses + l->lookups.n_pauses);
    q->stats.withheld = withheld(s, l);
    draft_policy_learn(s->c.profile, &l->policy, seq_n_generated(q));
    memcpy(l->last, q->ids, (size_t)q->n_ids * sizeof *q->ids);
    l->n_last = q->n_ids;
    seq_settle(q);
    act(s, ACTION_DONE, q);
    s->n_done++;
    l->seq = NULL;
}

static bool is_end(const struct spec *s, int32_t id)
{
    if (s->c.ignore_eos) return false;
    for (int i = 0; i < s->c.n_end_ids; i++)
        if (s->c.end_ids[i] == id) return true;
    return false;
}

/* Why the text ends with its last id, if it does. */
static enum seq_end end_of(const struct spec *s, const struct seq *q)
{
    if (is_end(s, q->ids[q->n_ids - 1])) return SEQ_END_ID;
    if (s->c.stops && s->c.stops(s->c.stops_arg, q)) return SEQ_STOP;
    if (q->n_ids < q->n_limit) return SEQ_RUNNING;
    return q->n_limit == s->c.n_ctx ? SEQ_CONTEXT : SEQ_LENGTH;
}

/* Commits what the rule keeps and one token of big's own, and no further than the text's end. */
static void commit(struct spec *s, struct lane *l, const struct verdict *v)
{
    struct seq *q = l->seq;
    int n = l->n_drafts, kept = (int)rule_first_bad(&s->c.rule, v->rows, l->drafts, (size_t)n), i = 0;
    enum seq_end end = SEQ_RUNNING;
    for (; i <= kept && end == SEQ_RUNNING; i++) {
        const struct verdict_row *row = &v->rows[i];
        bool drafted = i < kept;
        enum origin origin = drafted ? ORIGIN_DRAFT : i < n ? ORIGIN_CORRECTION : ORIGIN_BIG;
        seq_commit(q, drafted ? l->drafts[i] : row->next, drafted ? row->lp_judged[0] : row->lp_next, origin, row->top,
                   (int)row->n_top);
        l->now.p_target += exp((double)q->lp[q->n_ids - 1]);
        end = end_of(s, q);
    }
    int accepted = i <= kept ? i : kept; /* drafts that became text; the end may lie among them */
    bool rolled_back = i > kept && kept < n;
    q->stats.n_accepted += (uint32_t)accepted;
    q->stats.n_judged += (uint32_t)(accepted + rolled_back);
    q->stats.n_rollbacks += rolled_back;
    q->stats.n_taken_back += rolled_back ? (uint32_t)(n - kept) : 0;
    q->stats.last_ns = s->now;
    l->rolled_back = rolled_back && s->c.rule.kind == RULE_REPO;
    l->now.n_accepted = accepted;
    l->now.n_tokens = i;
    l->now.n_drafted = n;
    if (n > 0 && !l->looked_up) l->n_reused = accepted;
    l->now.ns = (double)(s->now - l->round_ns);
    l->fed = q->n_ids - 1;
    act(s, ACTION_TOKENS, q);
    if (end != SEQ_RUNNING) finish(s, l, end);
}

/* The authors' code ends a text where the little model ends it, or fills it: big does not see that last draft. */
static void commit_unseen(struct spec *s, struct lane *l)
{
    struct seq *q = l->seq;
    enum seq_end end = SEQ_RUNNING;
    int i = 0;
    for (; i < l->n_drafts && end == SEQ_RUNNING; i++) {
        seq_commit(q, l->drafts[i], NAN, ORIGIN_DRAFT, NULL, 0);
        end = end_of(s, q);
    }
    q->stats.n_accepted += (uint32_t)i;
    q->stats.last_ns = s->now;
    act(s, ACTION_TOKENS, q);
    finish(s, l, end);
}

/* ---- events ---- */

static void note_wait(struct seq *q, uint64_t waited_ns, uint64_t worked_us, uint64_t *worked_ns)
{
    uint64_t worked = worked_us * 1000;
    *worked_ns += worked;
    q->stats.wait_ns += waited_ns > worked ? waited_ns - worked : 0;
}

/* A refusal names what the verifier holds: send the rest again, at worst all of it. */
static int refused(struct spec *s, struct lane *l, const struct verdict *v, struct err *err)
{
    if (v->status == VERDICT_FULL || ++l->n_refused > 2)
        return err_set(err, E_PEER, "the verifier refuses slot %u at %u (status %d, holds %u)", v->slot, v->at,
                       v->status, v->held);
    l->fed = v->status == VERDICT_GAP && l->n_refused < 2 && v->held < (uint32_t)l->seq->n_ids ? (int)v->held : 0;
    l->round++; /* what is answered to other parts of the old one does not count any more */
    l->now.measured = false;
    post_verify(s, l);
    return OK;
}

/* A policy learns from its own drafts. Of a round of the other's it sees the tokens go by. */
static void note_round(struct lane *l)
{
    struct draft_policy *own = l->looked_up ? &l->lookups : &l->policy,
                        *other = l->looked_up ? &l->policy : &l->lookups;
    struct draft_policy_round seen = l->now;
    if (l->looked_up) l->reach = l->now.n_accepted + REACH_MORE;
    seen.measured &= l->now.n_drafted == 0;
    seen.n_drafted = seen.n_accepted = 0;
    draft_policy_note(own, &l->now);
    draft_policy_note(other, &seen);
}

/* The wanted rows of a verify are there. */
static int take_rows(struct spec *s, struct lane *l, const struct verdict *v, struct err *err)
{
    struct seq *q = l->seq;
    l->n_refused = 0;
    note_wait(q, s->now - l->sent_ns, l->computed_us, &q->stats.verify_ns);
    bool first = q->state == SEQ_PROMPT;
    if (first) {
        q->stats.first_ns = s->now;
        l->policy.prompt_ns = (double)(s->now - q->stats.start_ns) / q->stats.n_prompt_rows;
        q->state = SEQ_VERIFYING;
    } else {
        q->stats.n_verifies++;
    }
    commit(s, l, v);
    note_round(l);
    if (!l->seq) return start_waiting(s, err);
    next_round(s, l);
    return OK;
}

static int on_verdict(struct spec *s, const struct verdict *v, struct err *err)
{
    int rc = unanswered_take(&s->out, v, err);
    if (rc != OK) return rc;
    struct lane *l = &s->lanes[v->slot];
    l->n_parts_out--;
    bool over = !l->seq || v->round != l->round, last = l->all_fed && v->job == l->last_job;
    if (!over && v->status != VERDICT_OK) return refused(s, l, v, err);
    if (!over) {
        l->computed_us += v->computed_us;
        l->n_read = (int)v->at + s->c.max_rows;
    }
    if (!over && last) return take_rows(s, l, v, err);
    if (l->seq) feed(s, l); /* there is room for a part */
    return OK;
}

/* The drafter lacks what this ask goes on from. It is told anew: at once where drafts are part of the method. */
static int ask_lost(struct spec *s, struct lane *l, enum draft_end end, struct err *err)
{
    l->drafter_len = l->n_reused = 0;
    if (end == DRAFT_FULL) l->drafter_unusable = l->no_room = true;
    if (is_lossy(s) && (++l->n_ask_lost > 2 || l->drafter_unusable))
        return err_set(err, E_PEER, "the drafter refuses slot %u, and without it the text would be another",
                       slot_of(s, l));
    if (is_lossy(s))
        post_ask(s, l, l->n_asked);
    else
        post_verify(s, l);
    return OK;
}

static int on_draft(struct spec *s, const struct draft *d, struct err *err)
{
    struct lane *l = d->slot < (uint32_t)s->c.n_lanes ? &s->lanes[d->slot] : NULL;
    if (l && l->n_asks_old > 0 && d->round != l->ask_round) return l->n_asks_old--, OK;
    if (!l || l->n_asks_out == 0 || d->round != l->ask_round)
        return err_set(err, E_PEER, "a draft for slot %u (round %u), of which nothing was asked", d->slot, d->round);
    l->n_asks_out--;
    struct seq *q = l->seq;
    if (!q || l->ask_round != l->round || q->state != SEQ_DRAFTING) return OK; /* its round was stopped */
    l->ask_us += d->us;
    if (l->n_asks_out > 0) return OK; /* a part is read, or refused: then the last one is, too */
    note_wait(q, s->now - l->sent_ns, l->ask_us, &q->stats.draft_ns);
    l->now.draft_ns = l->ask_us * 1e3;
    l->n_drafts = 0;
    bool lost = d->end == DRAFT_STALE || d->end == DRAFT_GAP || d->end == DRAFT_FULL;
    if (d->n_rows > (lost ? 0 : (size_t)l->n_asked))
        return err_set(err, E_PEER, "a draft of %zu tokens, %d asked", d->n_rows, l->n_asked);
    if (lost) return ask_lost(s, l, d->end, err);
    if (d->at != (uint32_t)l->drafter_len || d->prefix_hash != l->prefix_hash[l->drafter_len])
        return err_set(err, E_PEER, "a draft for slot %u at %u, asked for at %d", d->slot, d->at, l->drafter_len);
    l->n_ask_lost = 0;
    q->stats.n_windows += d->end == DRAFT_WINDOW;
    q->stats.n_joint_lows += d->end == DRAFT_JOINT_LOW;
    q->stats.n_lows += d->end == DRAFT_LOW;
    q->stats.n_ends += d->end == DRAFT_EOS;
    for (size_t i = 0; i < d->n_rows && d->rows[i].id >= 0 && d->rows[i].id < s->c.n_ids; i++)
        l->drafts[l->n_drafts++] = d->rows[i].id;
    q->stats.n_drafted += (uint32_t)l->n_drafts;
    bool ends = l->n_drafts && (is_end(s, l->drafts[l->n_drafts - 1]) || q->n_ids + l->n_drafts == q->n_limit);
    if (s->c.rule.kind == RULE_REPO && ends) {
        commit_unseen(s, l);
        return start_waiting(s, err);
    }
    post_verify(s, l);
    return OK;
}

/* What is out is answered yet, and dropped: its round is over. */
static void stop(struct spec *s)
{
    s->n_started = s->n_seqs;
    for (int i = 0; i < s->c.n_lanes; i++)
        if (s->lanes[i].seq) finish(s, &s->lanes[i], SEQ_ABORTED);
    s->n_done = s->n_seqs;
}

int spec_step(struct spec *s, const struct event *event, struct actions *out, struct err *err)
{
    int rc = OK;
    s->n_actions = 0;
    s->now = event->now_ns;
    switch (event->kind) {
    case EVENT_START: rc = start_waiting(s, err); break;
    case EVENT_DRAFT: rc = on_draft(s, event->draft, err); break;
    case EVENT_VERDICT: rc = on_verdict(s, event->verdict, err); break;
    case EVENT_STOP: stop(s); break;
    }
    *out = (struct actions){s->actions, s->n_actions};
    return rc;
}

void spec_take(struct spec *s, struct seq *seqs, int n_seqs)
{
    assert(spec_done(s));
    s->seqs = seqs;
    s->n_seqs = n_seqs;
    s->n_started = s->n_done = 0;
}

bool spec_done(const struct spec *s)
{
    return s->n_done == s->n_seqs;
}

bool spec_reading(const struct spec *s, int *n_read, int *n_ids)
{
    *n_read = *n_ids = 0;
    for (int i = 0; i < s->c.n_lanes; i++) {
        const struct lane *l = &s->lanes[i];
        if (!l->seq || l->seq->state != SEQ_PROMPT) continue;
        *n_read += l->n_read < l->seq->n_prompt ? l->n_read : l->seq->n_prompt;
        *n_ids += l->seq->n_prompt;
    }
    return *n_ids > 0;
}

/* ---- open, close ---- */

static bool lane_init(struct lane *l, const struct spec_config *c)
{
    l->drafter_base = l->n_h = -1;
    size_t n_ctx = (size_t)c->n_ctx, n_draft = (size_t)c->draft_max;
    l->drafts = calloc(n_draft + 1, sizeof *l->drafts);
    l->rows = calloc(n_ctx + n_draft + 1, sizeof *l->rows);
    l->prefix_hash = calloc(n_ctx + 1, sizeof *l->prefix_hash);
    l->last = calloc(n_ctx, sizeof *l->last);
    return l->drafts && l->rows && l->prefix_hash && l->last;
}

int spec_open(struct spec **out, const struct spec_config *config, struct err *err)
{
    struct spec *s = calloc(1, sizeof *s);
    bool ok = s != NULL;
    if (ok) {
        *s = (struct spec){.c = *config};
        /* A step posts at most max_jobs parts, and for each lane an Open, an ask in its parts, tokens and an end. */
        s->room = (size_t)config->max_jobs + (4 + (size_t)(config->n_ctx / ASK_IDS)) * (size_t)config->n_lanes;
        s->actions = calloc(s->room, sizeof *s->actions);
        s->parts = calloc(s->room, sizeof *s->parts);
        s->lanes = calloc((size_t)config->n_lanes, sizeof *s->lanes);
        ok = s->actions && s->parts && s->lanes &&
             unanswered_init(&s->out, config->max_jobs, config->n_vocab, err) == OK;
    }
    for (int i = 0; ok && i < config->n_lanes; i++) ok = lane_init(&s->lanes[i], config);
    if (!ok) {
        spec_close(s);
        return err_set(err, E_FAIL, "no memory for %d sequences at once", config->n_lanes);
    }
    *out = s;
    return OK;
}

void spec_close(struct spec *s)
{
    if (!s) return;
    for (int i = 0; s->lanes && i < s->c.n_lanes; i++) {
        free(s->lanes[i].drafts);
        free(s->lanes[i].rows);
        free(s->lanes[i].prefix_hash);
        free(s->lanes[i].last);
    }
    unanswered_free(&s->out);
    free(s->lanes);
    free(s->actions);
    free(s->parts);
    free(s);
}
