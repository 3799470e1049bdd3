#include "coordinator/decode/spec_inside.h"

#include <limits.h>
#include <math.h>

enum { READ_HARDLY = 2 }; /* ids, in the drafter's pass for the first draft */

/* ---- verdicts: what big says becomes text ---- */

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

/* Once a step: a window that was written early may end the text behind a verdict. */
static void show_tokens(struct spec *s, struct seq *q)
{
    for (size_t i = 0; i < s->n_actions; i++)
        if (s->actions[i].kind == ACTION_TOKENS && s->actions[i].seq == q) return;
    spec_act(s, ACTION_TOKENS, q);
}

/* What becomes of the drafted ids when `id` is committed: judged is the draft that its row judges, -1: none. If that is
 * not the tail's first, its part was on its way when the tail that it was in was dropped. */
static void note_tail(struct seq *q, int32_t id, int32_t judged)
{
    struct seq_stats *t = &q->stats;
    int32_t first = q->n_tail ? q->ids[q->n_ids] : -1;
    bool is_first = judged >= 0 && first == judged;
    t->n_judged += judged >= 0;
    t->n_dropped -= judged >= 0 && !is_first;
    if (first == id)
        t->n_late += !is_first;
    else
        t->n_dropped += (uint32_t)(q->n_tail - is_first);
}

/* Commits what the rule keeps of n drafts, and one token of big's own if there is a row for it, and no further than the
 * text's end. The rows and drafts are those behind the text: the tail's first ones, or of_leader: its own. */
static enum seq_end commit(struct spec *s, struct decode_slot *p, const struct verdict_row *rows, int n_rows,
                           const int32_t *drafts, int n, bool of_leader)
{
    struct seq *q = p->seq;
    const struct rule *rule = &settings_of(p)->rule;
    int kept = (int)rule_first_bad(rule, rows, drafts, (size_t)n), i = 0;
    enum seq_end how = SEQ_RUNNING;
    for (; i <= kept && i < n_rows && how == SEQ_RUNNING; i++) {
        const struct verdict_row *row = &rows[i];
        bool drafted = i < kept;
        enum origin origin = drafted ? ORIGIN_DRAFT : i < n ? ORIGIN_CORRECTION : ORIGIN_BIG;
        int32_t id = drafted ? drafts[i] : row->next;
        note_tail(q, id, i < n && !of_leader ? drafts[i] : -1);
        seq_commit(q, id, drafted ? row->lp_judged[0] : row->lp_next, origin, row->top, (int)row->n_top);
        p->now.p_target += exp((double)q->lp[q->n_ids - 1]);
        how = end_of(s, q);
    }
    int accepted = i <= kept ? i : kept; /* drafts that became text; the end may lie among them */
    bool rolled_back = i > kept && kept < n;
    q->stats.n_drafts += n > 0;
    q->stats.n_keeping[accepted] += n > 0;
    q->stats.n_accepted += (uint32_t)accepted;
    if (of_leader) {
        q->stats.n_drafted += (uint32_t)n;
        q->stats.n_judged += (uint32_t)(accepted + rolled_back);
        q->stats.n_dropped += (uint32_t)(n - accepted - rolled_back);
    }
    q->stats.n_rollbacks += rolled_back;
    q->stats.n_taken_back += rolled_back ? (uint32_t)(n - kept) : 0;
    q->stats.last_ns = s->now;
    p->rolled_back = rolled_back && rule->kind == RULE_REPO;
    p->now.n_accepted += accepted;
    p->now.n_tokens += i;
    show_tokens(s, q);
    return how;
}

/* The authors' code ends a text where the little model ends it, or fills it: big does not see that last draft, which
 * counts as one that was judged and kept. */
static enum seq_end commit_unseen(struct spec *s, struct decode_slot *p)
{
    struct seq *q = p->seq;
    enum seq_end how;
    uint32_t n = 0;
    do { /* the last of the tail ends the text, if none before it does */
        seq_commit(q, q->ids[q->n_ids], NAN, ORIGIN_DRAFT, NULL, 0);
        n++;
        how = end_of(s, q);
    } while (how == SEQ_RUNNING);
    q->stats.n_drafts++;
    q->stats.n_keeping[n]++;
    q->stats.n_accepted += n;
    q->stats.n_judged += n;
    q->stats.last_ns = s->now;
    show_tokens(s, q);
    return how;
}

void spec_note_wait(struct seq *q, uint64_t waited_ns, uint64_t worked_us, uint64_t *worked_ns)
{
    uint64_t worked = worked_us * 1000;
    *worked_ns += worked;
    q->stats.wait_ns += waited_ns > worked ? waited_ns - worked : 0;
}

/* A refusal names what the verifier holds: send the rest again, at worst all of it. So does a part that failed for what
 * it goes on from, where that was of a request before. */
static int refused(struct spec *s, struct decode_slot *p, const struct verdict *v, struct err *err)
{
    if (v->status == VERDICT_FULL || ++p->n_refused > REFUSED_MOST)
        return err_set(err, E_PEER, "the verifier refuses slot %u at %u (status %d, holds %u)", v->slot, v->at,
                       v->status, v->held);
    bool names_it = v->status == VERDICT_GAP || v->status == VERDICT_FAILED;
    bool holds_some = names_it && p->n_refused < REFUSED_MOST && v->held < (uint32_t)p->seq->n_ids;
    p->held = holds_some ? (int)v->held : 0;
    struct seq_stats *stats = &p->seq->stats;
    bool copies = p->seq->state == SEQ_PROMPT && (int)stats->n_prompt_copied > p->held;
    if (copies) stats->n_prompt_copied = (uint32_t)p->held; /* what it came from is gone */
    if (p->copies.running) p->self_left = 0;                /* the leader may have stopped on what comes twice now */
    if (p->early.on) spec_drop_early(p);
    if (p->ahead.on) spec_end_ahead(s, p, 1);
    p->round++;
    p->now.measured = false;
    spec_post_verify(s, p);
    return OK;
}

/* The policy learns from the drafter's drafts. Of the leader's own it sees the tokens go by. */
static void note_round(struct spec *s, struct decode_slot *p, bool of_leader)
{
    struct draft_policy_round seen = p->now;
    seen.ahead = p->ahead.on && n_running(group_of(s, p)) == 1;
    if (of_leader) {
        seen.measured &= p->now.n_drafted == 0;
        seen.n_drafted = seen.n_accepted = 0;
    }
    if (p->copies.left > 0) p->copies.left -= p->now.n_tokens;
    draft_policy_note(&p->policy, &seen);
}

/* Of those that the leader was to write by itself n have come. */
static void note_plain(struct decode_slot *p, int n)
{
    p->n_plain += n;
    if (p->self_left < INT_MAX) p->self_left -= n;
}

/* The leader's rows were a copy's, and the last ones: it goes on only while all its drafts are right. */
static bool copy_is_over(struct decode_slot *p)
{
    const struct draft_policy_round *now = &p->now;
    p->copies.paid |= now->n_accepted > 0;
    return p->copies.running && (!now->n_drafted || now->n_accepted < now->n_drafted);
}

/* Parts of one pass come one after another, and each has all its time: it counts as far as time has gone by. */
static void note_pass(struct spec *s, struct decode_slot *p, const struct verdict *v)
{
    uint64_t waited_ns = s->now - p->self_ns, us = waited_ns / 1000;
    spec_note_wait(p->seq, waited_ns, v->computed_us < us ? v->computed_us : us, &p->seq->stats.verify_ns);
    double ack_ns = self_starts(s) ? 0 : p->policy.rtt_ns; /* without it a plain token takes that, too */
    draft_policy_note_pass(&p->policy, v->computed_us * 1e3 + ack_ns, (int)v->pass_rows);
}

static void note_verify(struct spec *s, struct decode_slot *p, const struct flight *f, const struct verdict *v)
{
    struct seq *q = p->seq;
    if (p->ahead.on)
        note_pass(s, p, v);
    else
        spec_note_wait(q, s->now - f->sent_ns, p->computed_us, &q->stats.verify_ns);
    if (q->state == SEQ_PROMPT) {
        q->stats.first_ns = s->now;
        p->policy.prompt_ns = (double)(s->now - f->sent_ns) / q->stats.n_prompt_rows;
        q->state = SEQ_DECODING;
        s->trials.read_ns = s->now;
    } else {
        q->stats.n_verifies++;
    }
}

/* How many of the drafts behind the text's first `from` ids it has by now: big has written them by itself, or they came
 * in a verdict before. -1: it goes on otherwise, or beyond them and big's id behind them. */
static int n_known(const struct seq *q, int from, const int32_t *drafts, int n_drafts)
{
    int n = q->n_ids - from;
    return n < 0 || n > n_drafts || n_alike(drafts, q->ids + from, n) < n ? -1 : n;
}

static int check_skipped(const struct seq *q, const struct flight *f, const struct verdict *v, int n_had,
                         struct err *err)
{
    size_t n = flight_n_skipped(f, v);
    bool follows = v->at == f->at || (v->at < (uint32_t)q->n_ids && v->prefix_hash == q->prefix_hash[v->at]);
    if (follows && n <= (size_t)n_had) return OK;
    return err_set(err, E_PEER, "a verdict for slot %u at %u (job %u, round %u), of which nothing was asked", v->slot,
                   v->at, v->job, v->round);
}

/* The wanted rows of a verify, whose round may be over: they count from where the text ends by now. */
static int take_rows(struct spec *s, const struct flight *f, const struct verdict *v, struct taken *out,
                     struct err *err)
{
    struct decode_slot *p = out->slot;
    struct seq *q = p->seq;
    bool now = f->round == p->round, ahead = p->ahead.on, follows = f->n_text <= q->n_ids;
    follows = follows && q->prefix_hash[f->n_text] == f->text_hash; /* or it goes on from a draft that was wrong */
    int n_had = follows ? n_known(q, f->n_text, f->drafts, f->n_drafts) : -1;
    if (n_had < 0) return OK;
    int rc = check_skipped(q, f, v, n_had, err);
    if (rc != OK) return rc;
    int n = f->n_drafts - n_had, n_skipped = n_had - (int)flight_n_skipped(f, v), n_rows = (int)v->n_rows - n_skipped;
    if (n_rows < 1) return OK; /* all is known, and it has no row for big's own */
    if (!now || ahead) p->now = (struct draft_policy_round){.measured = false};
    p->n_refused = 0;
    note_verify(s, p, f, v);
    out->end = commit(s, p, v->rows + n_skipped, n_rows, f->drafts + n_had, n, false);
    out->committed = true;
    spec_note_tokens(s, p, p->now.n_tokens, false);
    if (now) {
        p->now.n_drafted = n;
        p->now.ns = (double)(s->now - (ahead ? p->self_ns : p->round_ns));
        p->held = q->n_ids - 1;
        if (f->n_drafts > 0) p->drafter.n_reused = ahead ? 0 : p->now.n_accepted;
    }
    spec_note_early(s, p, p->now.n_accepted == f->n_drafts);
    p->self_ns = s->now;
    p->acked = q->n_ids - 1; /* its own rows say so */
    if (out->end == SEQ_RUNNING) spec_ack(s, p);
    if (f->n_drafts == 0)
        note_plain(p, 1);
    else
        p->n_plain = 0;
    p->now.beside = f->n_drafts > 0 && is_beside(s);
    if (out->end == SEQ_RUNNING) note_round(s, p, false);
    if (f->n_drafts > 0) spec_note_drafts(s, p);
    return OK;
}

/* The leader could not go on by itself. If parts are in flight it will say so of these, too, or go on. */
static int self_ended(struct spec *s, struct decode_slot *p, const struct verdict *v, struct taken *out,
                      struct err *err)
{
    if (v->status != VERDICT_FAILED && flights_of_slot(&group_of(s, p)->flights, v->slot)) return OK;
    if (v->status != VERDICT_FAILED) return refused(s, p, v, err);
    out->end = SEQ_FAILED;
    err_set(&p->seq->why, E_MODEL, "%s", v->error);
    return OK;
}

static int check_self(struct spec *s, const struct decode_slot *p, const struct verdict *v, struct err *err)
{
    const struct seq *q = p->seq;
    if (v->n_rows != v->n_drafts + 1 || v->at >= (uint32_t)q->n_ids || v->prefix_hash != q->prefix_hash[v->at])
        return err_set(err, E_PEER, "slot %u: an id at %u that does not follow the text of %d", v->slot, v->at,
                       q->n_ids);
    if (v->n_drafts > (size_t)p->self_drafts)
        return err_set(err, E_PEER, "slot %u: %zu drafts of the leader's own, at most %d", v->slot, v->n_drafts,
                       p->self_drafts);
    int rc = OK;
    for (size_t i = 0; i < v->n_rows && rc == OK; i++)
        rc = flights_check_row(&group_of(s, p)->flights, v, i, i < v->n_drafts, (size_t)q->request.settings.n_top, err);
    return rc;
}

/* Of an id that a pass of the leader's own gave, and of a group's other texts beside it. */
static void note_token(struct verifiers *g, double ns)
{
    static const double newest = .3;
    g->token_ns = g->token_ns > 0 ? g->token_ns + newest * (ns - g->token_ns) : ns;
}

/* Ids that the leader wrote by itself. They may come twice, where their prompt was sent again. */
static int take_self(struct spec *s, struct decode_slot *p, const struct verdict *v, struct taken *out, struct err *err)
{
    struct seq *q = p->seq;
    bool comes_late = v->status == VERDICT_OK && v->round != p->self_round;
    if (comes_late && (p->self_begun || (int32_t)(v->round - p->self_round) > 0))
        return err_set(err, E_PEER, "slot %u: an id of round %u, which was not asked for", v->slot, v->round);
    if (!q || !p->self || v->round != p->self_round) return OK; /* of a text that is over */
    if (v->status != VERDICT_OK) return self_ended(s, p, v, out, err);
    int rc = check_self(s, p, v, err);
    if (rc != OK) return rc;
    int n_had = n_known(q, (int)v->at + 1, v->drafts, (int)v->n_drafts);
    if (n_had < 0) return OK;
    int n_drafts = (int)v->n_drafts - n_had;
    q->stats.n_verifies++;
    uint64_t drafted_ns = v->drafted_us * UINT64_C(1000), since_ns = s->now - p->self_ns;
    q->stats.draft_ns += drafted_ns;
    if (p->ahead.on)
        note_pass(s, p, v);
    else
        spec_note_wait(q, since_ns > drafted_ns ? since_ns - drafted_ns : 0, v->computed_us, &q->stats.verify_ns);
    p->n_refused = 0;
    p->now = (struct draft_policy_round){.measured = !p->ahead.on,
                                         .ns = fmax((double)(s->now - p->self_ns), v->computed_us * 1e3)};
    out->end = commit(s, p, v->rows + n_had, n_drafts + 1, n_drafts ? v->drafts + n_had : NULL, n_drafts, true);
    spec_note_tokens(s, p, p->now.n_tokens, true);
    if (p->now.n_tokens > 0) note_token(group_of(s, p), (v->computed_us + v->drafted_us) * 1e3 / p->now.n_tokens);
    p->now.n_drafted = n_drafts;
    p->held = q->n_ids - 1;
    p->self_ns = s->now;
    note_plain(p, p->now.n_tokens);
    if (out->end == SEQ_RUNNING) note_round(s, p, true);
    if (copy_is_over(p)) p->self_left = 0;
    out->committed = p->self_left <= 0 || p->ahead.on;
    spec_ack(s, p);
    return OK;
}

int spec_take_verdict(struct spec *s, int group, const struct verdict *v, struct taken *out, struct err *err)
{
    struct verifiers *g = &s->groups[group];
    struct flight f;
    spec_note_pass(g, v);
    if (v->job == 0 && v->slot < (uint32_t)g->c.n_slots && g->slots[v->slot].self_round) {
        *out = (struct taken){.slot = &g->slots[v->slot]};
        return take_self(s, out->slot, v, out, err);
    }
    int rc = flights_land(&g->flights, v, &f, err);
    if (rc != OK) return rc;
    struct decode_slot *p = &g->slots[v->slot];
    bool its = p->seq && f.owner == p->request, now = its && f.round == p->round;
    *out = (struct taken){.slot = p};
    p->self_begun |= its && v->status == VERDICT_OK && (int32_t)(f.round - p->self_round) >= 0;
    if (v->status == VERDICT_FAILED && v->held < (uint32_t)p->held) p->held = (int)v->held;
    if (its && v->status == VERDICT_FAILED && v->held >= f.at) {
        out->end = SEQ_FAILED;
        err_set(&p->seq->why, E_MODEL, "%s", v->error);
        return OK;
    }
    if (v->status == VERDICT_LATE && !f.may_be_late)
        return err_set(err, E_PEER, "slot %u: a part at %u is called late, but nothing was to be written before it",
                       v->slot, v->at);
    bool is_refusal = v->status != VERDICT_OK && v->status != VERDICT_LATE; /* where it is late the leader goes on */
    bool ahead = its && f.n_drafts && v->status != VERDICT_FULL && (now ? p->ahead.on : p->self && p->goes_on);
    if (is_refusal && ahead)
        spec_ahead_refused(s, p, &f);
    else if (is_refusal && now)
        return refused(s, p, v, err);
    if (now && v->status == VERDICT_OK) {
        p->computed_us += v->computed_us;
        p->n_read = (int)(v->at + f.n_rows);
    }
    /* What is final under big stays so, whenever it comes; but a lossy text hangs on the order of its rounds. */
    if (v->status == VERDICT_OK && f.n_wanted && (now || (its && !is_lossy(p)))) rc = take_rows(s, &f, v, out, err);
    if (p->seq && !out->committed) spec_feed(s, p); /* there is room for a part */
    if (p->seq && !out->committed && p->ahead.on) spec_post_drafts(s, p, false);
    return rc;
}

/* ---- drafts: what is to be verified ---- */

/* It holds nothing of the text, or will never. */
static void lose_view(struct decode_slot *p, enum draft_end end)
{
    p->drafter.len = p->drafter.n_reused = 0;
    if (end == DRAFT_FULL) p->unusable = WITHHELD_NO_ROOM;
    if (end == DRAFT_FAILED) p->unusable = WITHHELD_LOST;
}

/* The drafter lacks what this ask goes on from, or cannot compute it. The text is sent anew: at once where drafts are
 * part of the method. */
enum seq_end spec_ask_lost(struct spec *s, struct decode_slot *p, enum draft_end end)
{
    static const struct {
        int code;
        const char *text;
    } causes[] = {
        [DRAFT_STALE] = {E_PEER, "refuses this text"},
        [DRAFT_GAP] = {E_PEER, "refuses this text"},
        [DRAFT_FULL] = {E_PEER, "has no room for this text"},
        [DRAFT_FAILED] = {E_MODEL, "came to a number that is not finite"},
    };
    lose_view(p, end);
    p->now.measured = false;
    if (p->ahead.on) {
        spec_end_ahead(s, p, 1);
    } else if (!is_lossy(p)) {
        spec_post_verify(s, p);
    } else if (++p->drafter.n_lost <= REFUSED_MOST && !p->unusable) {
        spec_post_ask(s, p, p->drafter.window);
    } else {
        err_set(&p->seq->why, causes[end].code, "the drafter %s, and without it the text would be another",
                causes[end].text);
        return SEQ_FAILED;
    }
    return SEQ_RUNNING;
}

/* The draft's ids that big has are the tail. */
enum seq_end spec_take_tail(struct spec *s, struct decode_slot *p, const struct draft *d)
{
    struct seq *q = p->seq;
    const struct settings *set = settings_of(p);
    p->drafter.n_lost = 0;
    q->stats.n_windows += d->end == DRAFT_WINDOW;
    q->stats.n_joint_lows += d->end == DRAFT_JOINT_LOW;
    q->stats.n_lows += d->end == DRAFT_LOW;
    q->stats.n_ends += d->end == DRAFT_EOS;
    for (size_t i = 0; i < d->n_rows && is_known(s, d->rows[i].id); i++) seq_draft(q, d->rows[i].id);
    bool ends = q->n_tail && (is_end(set, q->ids[q->n_ids + q->n_tail - 1]) || q->n_ids + q->n_tail == q->n_limit);
    if (set->rule.kind == RULE_REPO && ends) return commit_unseen(s, p);
    p->gathers = spec_gathers(s, p);
    if (!p->gathers) spec_post_verify(s, p);
    spec_begin_early(s, p, d);
    return SEQ_RUNNING;
}

static int check_draft(const struct drafter_view *view, const struct draft *d, bool lost, struct err *err)
{
    if (d->n_rows > (lost ? 0 : (size_t)view->window))
        return err_set(err, E_PEER, "a draft of %zu tokens, %d asked", d->n_rows, view->window);
    if (!lost && (d->at != (uint32_t)view->len || d->prefix_hash != view->prefix_hash[view->len]))
        return err_set(err, E_PEER, "a draft for slot %u at %u, asked for at %d", d->slot, d->at, view->len);
    return OK;
}

/* NULL: there is none. */
static struct decode_slot *slot_of_draft(struct spec *s, const struct event *event)
{
    uint32_t slot = event->draft->slot;
    const struct verifiers *g = &s->groups[event->group];
    if (drafts_at_leader(s)) return slot < (uint32_t)g->c.n_slots ? &g->slots[slot] : NULL;
    for (struct decode_slot *p = s->slots; p < s->slots + s->n_slots; p++)
        if (p->i_drafter == event->drafter && p->drafter_slot == slot) return p;
    return NULL;
}

int spec_take_draft(struct spec *s, const struct event *event, struct taken *out, struct err *err)
{
    const struct draft *d = event->draft;
    struct decode_slot *p = slot_of_draft(s, event);
    struct drafter_view *view = p ? &p->drafter : NULL;
    *out = (struct taken){.slot = p};
    bool last = d->end != DRAFT_MORE;
    if (p && view->n_out_old > 0 && d->round != view->round) return view->n_out_old -= last, OK;
    if (!p || view->n_out == 0 || d->round != view->round)
        return err_set(err, E_PEER, "a draft for slot %u (round %u), of which nothing was asked", d->slot, d->round);
    view->n_out -= last;
    if (p->policy.enabled) s->trials.drafted_ns = s->now;
    if (p->seq && p->early.on) return spec_take_early(s, p, d, &out->end, err);
    if (!p->seq || view->round != p->round) return OK; /* its round is over */
    bool lost = is_lost(d->end);
    if (p->ahead.on && !lost) return spec_take_ahead(s, p, d), OK;
    if (!last) return err_set(err, E_PEER, "a part of a draft for slot %u, of which the whole was asked", d->slot);
    view->us += d->us;
    if (view->n_out > 0) return OK; /* a part is read, or refused: then the last one is, too */
    /* A lossy text is not written without it: its next ask meets the same. */
    if (view->window == 0 && lost) lose_view(p, is_lossy(p) ? DRAFT_GAP : d->end);
    if (view->window == 0) return OK;
    spec_note_wait(p->seq, s->now - view->sent_ns, view->us, &p->seq->stats.draft_ns);
    p->now.draft_ns = view->us * 1e3;
    if (is_beside(s) && d->n_rows && p->now.n_read <= READ_HARDLY)
        draft_policy_note_draft(&p->policy, p->now.draft_ns / (double)d->n_rows);
    int rc = check_draft(view, d, lost, err);
    if (rc == OK) out->end = lost ? spec_ask_lost(s, p, d->end) : spec_take_tail(s, p, d);
    return rc;
}
