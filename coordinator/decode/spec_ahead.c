#include "coordinator/decode/spec_inside.h"

#include <limits.h>

void spec_post_drafts(struct spec *s, struct decode_slot *p, bool ended)
{
    const struct verifiers *g = group_of(s, p);
    const struct seq *q = p->seq;
    int end = q->n_ids + q->n_tail, n_out_most = g->c.max_jobs / g->c.n_slots;
    /* Beside others in small parts, and no row more: the leader decides which of them are in a pass. */
    bool shared = n_running(g) > 1 && p->policy.enabled;
    int n_most = shared && draft_block(p) < DRAFTS_MOST ? draft_block(p) : DRAFTS_MOST;
    if (p->ahead.posted < q->n_ids || p->ahead.posted > end) p->ahead.posted = q->n_ids; /* or the tail is gone */
    if (p->ahead.posted == q->n_ids && q->n_tail < p->ahead.first && !ended) return;
    while (p->ahead.posted < end && flights_of_slot(&g->flights, (uint32_t)p->slot) < n_out_most) {
        int from = p->ahead.posted, at = from > q->n_ids ? from - 1 : p->held, n = end - from;
        int most = g->c.max_rows - (from - at);
        if (n > n_most) n = n_most;
        if (n > most) n = most;
        if (n < 1) return;
        bool last = ended && !shared && from + n == end;
        spec_post_part(s, p, at, from - 1 - at + n + last, from);
        p->ahead.posted = from + n;
    }
}

/* How many drafts a pass waits for where none is on its way. Beside others none does: all would wait with it. */
static void hold(struct spec *s, struct decode_slot *p, int window)
{
    double hold_ns;
    p->ahead.first = draft_policy_first(&p->policy, window, &hold_ns);
    if (n_running(group_of(s, p)) > 1) hold_ns = p->ahead.first = 0;
    spec_hold(s, p, hold_ns);
}

void spec_run_ahead(struct spec *s, struct decode_slot *p, int window)
{
    p->ahead.on = true;
    p->ahead.posted = 0;
    p->ahead.until = p->seq->n_ids + window;
    if (!p->goes_on) spec_start_going_on(s, p);
    p->self_left = INT_MAX;
    hold(s, p, window);
    spec_post_ask(s, p, window);
}

void spec_end_ahead(struct spec *s, struct decode_slot *p, int n)
{
    p->ahead.on = false;
    p->self_left = n;
    seq_drop_tail(p->seq);
    spec_hold(s, p, 0); /* no drafts will come */
}

bool spec_stays_ahead(struct spec *s, struct decode_slot *p)
{
    int window = spec_draft_window(s, p);
    if (window <= 0 || !draft_policy_runs_ahead(&p->policy)) {
        spec_end_ahead(s, p, 0);
        return false;
    }
    hold(s, p, window);
    const struct seq *q = p->seq;
    bool lacks_ids = q->n_tail == 0 && p->drafter.first + p->drafter.len < q->n_ids;
    if (lacks_ids || q->n_ids + window - p->ahead.until > window / 4) {
        p->ahead.until = q->n_ids + window;
        spec_post_ask(s, p, window);
    }
    spec_post_drafts(s, p, false);
    return true;
}

/* A draft counts if it goes on from the text or its tail as they are now: all else was written before the drafter knew
 * better. Its first ids may be final by now. */
void spec_take_ahead(struct spec *s, struct decode_slot *p, const struct draft *d)
{
    struct seq *q = p->seq;
    struct drafter_view *view = &p->drafter;
    int64_t at = (int64_t)view->first + d->at;
    p->seq->stats.draft_ns += d->us * UINT64_C(1000);
    if (d->n_rows) draft_policy_note_draft(&p->policy, d->us * 1e3 / (double)d->n_rows);
    int n_rows = (int)d->n_rows, end = q->n_ids + q->n_tail, i = 0;
    if (at > end || d->prefix_hash != drafter_view_hash_of(view, s->c.root, q->ids, q->n_ids, (int)at)) return;
    for (; i < n_rows && at + i < end; i++)
        if (d->rows[i].id != q->ids[at + i]) return;
    for (; i < n_rows && at + i < p->ahead.until && is_known(s, d->rows[i].id); i++) seq_draft(q, d->rows[i].id);
    bool ended = view->n_out == 0 && d->end != DRAFT_WINDOW && i == n_rows;
    spec_post_drafts(s, p, ended);
}

/* A part after a draft that big has contradicted is refused, and that verdict is here or on its way. If no other part
 * is on its way, and this one does go on from the text, the leader has lost it. */
void spec_ahead_refused(struct spec *s, struct decode_slot *p, const struct flight *f)
{
    const struct seq *q = p->seq;
    bool follows = f->at <= (uint32_t)(q->n_ids + q->n_tail) && q->prefix_hash[f->at] == f->prefix_hash;
    if (!follows || p->feeding || flights_of_slot(&group_of(s, p)->flights, (uint32_t)p->slot) > 0) return;
    spec_end_ahead(s, p, 1);
    p->round++;
    p->now.measured = false;
    spec_post_verify(s, p);
}
