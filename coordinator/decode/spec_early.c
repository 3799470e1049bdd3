#include "coordinator/decode/spec_inside.h"
#include "proto/prefix_hash.h"

/* Little's id where it was unsure is written, too: of a window's end it is not. */
static void note_draft(struct early *e, const struct draft *d, double ns)
{
    e->unsure = d->end == DRAFT_LOW;
    draft_policy_early_note_draft(&e->policy, (int)d->n_rows + e->unsure, ns);
}

/* A text that would end with this draft needs no other. */
void spec_begin_early(struct spec *s, struct decode_slot *p, const struct draft *d)
{
    struct seq *q = p->seq;
    struct early *e = &p->early;
    if (!drafts_early(s, p) || (d->end != DRAFT_WINDOW && d->end != DRAFT_LOW)) return;
    note_draft(e, d, p->now.draft_ns);
    e->waits = true;
    int at = q->n_ids + q->n_tail, window = spec_most_drafts(s, p, at + 1);
    if (window < 1 || q->n_tail < (int)d->n_rows) return;
    if (!draft_policy_early_pays(&e->policy, e->unsure)) return;
    e->on = true;
    e->right = e->ended = e->lost = false;
    e->at = at;
    e->n = 0;
    e->prefix_hash = drafter_view_hash_of(&p->drafter, s->c.root, q->ids, q->n_ids, at);
    spec_post_early_ask(s, p, window);
}

void spec_note_early(struct spec *s, struct decode_slot *p, bool kept)
{
    struct early *e = &p->early;
    if (e->waits) draft_policy_early_note_verdict(&e->policy, e->unsure, kept, (double)(s->now - p->verify_ns));
    e->waits = false;
}

/* As if it had been asked for in this round, and had come now. */
static enum seq_end take_whole(struct spec *s, struct decode_slot *p)
{
    struct early *e = &p->early;
    struct drafter_view *view = &p->drafter;
    const struct draft d = {.rows = e->rows + 1, .n_rows = (size_t)e->n - 1, .end = e->end};
    spec_note_wait(p->seq, s->now - p->round_ns, view->us, &p->seq->stats.draft_ns);
    p->now.draft_ns = view->us * 1e3 * (double)d.n_rows / e->n;
    return spec_take_tail(s, p, &d);
}

/* What does not go on from there was written by a drafter that has lost the text. */
static void add_rows(struct early *e, const struct drafter_view *view, const struct draft *d)
{
    e->lost |= d->at != (uint32_t)(e->at + e->n - view->first) || d->prefix_hash != e->prefix_hash;
    for (size_t i = 0; i < d->n_rows && !e->lost; i++) {
        e->rows[e->n++] = d->rows[i];
        e->prefix_hash = prefix_hash_next(e->prefix_hash, d->rows[i].id);
    }
}

/* If it is lost before it is known to be right, the next ask goes on from there, and meets the same. */
int spec_take_early(struct spec *s, struct decode_slot *p, const struct draft *d, enum seq_end *end, struct err *err)
{
    struct early *e = &p->early;
    struct drafter_view *view = &p->drafter;
    int most = view->window + 1 - e->n;
    bool lost = is_lost(d->end);
    if (d->n_rows > (lost ? 0 : (size_t)most))
        return err_set(err, E_PEER, "a draft of %zu tokens, %d asked", d->n_rows, most);
    view->us += d->us;
    e->lost |= lost;
    if (!lost) add_rows(e, view, d);
    e->ended = d->end != DRAFT_MORE;
    e->end = d->end;
    if (!e->right || !e->ended) return OK;
    e->on = false;
    *end = e->lost ? spec_ask_lost(s, p, lost ? d->end : DRAFT_GAP) : take_whole(s, p);
    return OK;
}

/* Its number is used up: what comes of it yet is of an old round. */
void spec_drop_early(struct decode_slot *p)
{
    p->seq->stats.n_discarded += (uint32_t)p->early.n;
    p->early.on = false;
    p->round++;
}

bool spec_take_up_early(struct spec *s, struct decode_slot *p, int window, enum seq_end *end)
{
    struct early *e = &p->early;
    struct drafter_view *view = &p->drafter;
    const struct seq *q = p->seq;
    bool all = q->n_ids == e->at + 1, known = e->n > 0 && !e->lost;
    if (all && known) draft_policy_early_note_guess(&e->policy, e->unsure, e->rows[0].id == q->ids[e->at]);
    if (!all || !known || e->rows[0].id != q->ids[e->at] || window != view->window) {
        spec_drop_early(p);
        return false;
    }
    e->right = true;
    drafter_view_hash(view, s->c.root, q->ids, q->n_ids);
    view->len = q->n_ids - view->first;
    view->n_reused = 0;
    p->seq->stats.n_asks++;
    p->seq->stats.n_early++;
    e->on = !e->ended;
    if (e->ended) *end = take_whole(s, p);
    return true;
}
