#include "coordinator/decode/spec_inside.h"

/* Rows that a copy must save. A copy costs nothing beside them. Of a prompt that is being read it waits for a pass, in
 * which the slot's own rows would have gone beside: that costs about as much as so many rows. */
enum { SAVED_LEAST = 8, SAVED_READING_LEAST = 32 };

static bool is_reading(const struct decode_slot *p)
{
    return p->seq && p->seq->state == SEQ_PROMPT;
}

static const int32_t *text_of(const struct decode_slot *p)
{
    return p->seq ? p->seq->ids : p->last;
}

static int least(int a, int b)
{
    return a < b ? a : b;
}

/* ---- at the verifiers ---- */

struct source spec_offer(const struct verifiers *g, const int32_t *ids, int n_ids)
{
    struct source best = {0};
    for (const struct decode_slot *p = g->slots; p < g->slots + g->c.n_slots; p++) {
        int most = is_reading(p) ? p->seq->n_prompt - 1 : p->held;
        int n = n_alike(text_of(p), ids, least(most, n_ids - 1));
        bool sooner = best.slot && n == best.n && is_reading(best.slot) && !is_reading(p);
        if (n > best.n || sooner) best = (struct source){p, p->request, n};
    }
    return best;
}

bool spec_is_worth(const struct source *from, int n_held)
{
    if (!from->slot) return false;
    return from->n - n_held >= (is_reading(from->slot) ? SAVED_READING_LEAST : SAVED_LEAST);
}

bool spec_take_source(struct spec *s, struct decode_slot *p)
{
    const struct source from = p->source;
    if (!from.slot) return true;
    bool is_same = from.slot->request == from.request;
    if (is_same && is_reading(from.slot) && from.slot->held < from.n) return false;
    p->source = (struct source){0};
    p->verify_ns = s->now;
    int n = is_same ? least(from.n, from.slot->held) : 0;
    if (n - p->held < SAVED_LEAST) return true;
    p->copies_from = (uint32_t)from.slot->slot + 1;
    p->held = p->n_read = n;
    p->seq->stats.n_prompt_copied = (uint32_t)n;
    return true;
}

/* ---- at the drafter ---- */

/* Of the text's ids, how many another slot's view has; 0: none that it could take over. */
static int n_viewed(const struct decode_slot *of, const struct seq *q)
{
    const struct drafter_view *view = &of->drafter;
    if (view->first < 0) return 0;
    int n = n_alike(text_of(of), q->ids, least(drafter_view_held(view), q->n_ids - 1));
    return n > view->first ? n : 0;
}

void spec_view_other(struct spec *s, struct decode_slot *p)
{
    const struct seq *q = p->seq;
    const struct decode_slot *best = NULL;
    int n_best = 0, n_read = least(q->n_ids, settings_of(p)->draft_ctx); /* without it */
    if (p->drafter.first >= 0 || is_lossy(p) || settings_of(p)->fresh || s->c.drafter.kind != DRAFTER_LITTLE) return;
    for (const struct decode_slot *of = s->slots; of < s->slots + s->n_slots; of++) {
        int n = of == p || of->i_drafter != p->i_drafter ? 0 : n_viewed(of, q);
        if (n > n_best) best = of, n_best = n;
    }
    if (best && n_read - (q->n_ids - n_best) >= SAVED_LEAST)
        drafter_view_copy(&p->drafter, &best->drafter, n_best, drafter_slot(s, best) + 1);
}
