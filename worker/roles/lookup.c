#include "worker/roles/lookup.h"

#include "proto/suffix.h"

int lookup_init(struct lookup *l, int n_slots, int n_ctx, uint64_t root, int n_vocab, struct err *err)
{
    *l = (struct lookup){.n_vocab = n_vocab};
    return slots_init(&l->slots, n_slots, n_ctx, root, err);
}

void lookup_free(struct lookup *l)
{
    if (l) slots_free(&l->slots);
}

/* Of the ask's slot, which has its ids. Earlier text has no opinion of itself. */
static int draft(struct lookup *l, const struct draft_ask *ask, enum draft_end *end)
{
    const struct slot *s = &l->slots.slot[ask->slot];
    int until = ask->until < (uint32_t)l->slots.n_ctx ? (int)ask->until : l->slots.n_ctx, most = until - s->len;
    int32_t ids[DRAFTS_MOST];
    if (most > DRAFTS_MOST) most = DRAFTS_MOST;
    if (most <= 0) return 0;
    if (l->writer.write) return l->writer.write(l->writer.arg, ask, s, most, l->rows, end);
    int n = suffix_draft(NULL, s->ids, s->len, 0, ids, most).n;
    for (int i = 0; i < n; i++) l->rows[i] = (struct draft_row){ids[i], 1};
    if (n == 0) *end = DRAFT_NOTHING;
    return n;
}

int lookup_draft(struct lookup *l, const struct draft_ask *ask, struct draft *out, struct err *err)
{
    *out = (struct draft){.slot = ask->slot, .round = ask->round, .at = ask->at, .prefix_hash = ask->prefix_hash};
    int rc = slots_check_ask(&l->slots, ask, l->n_vocab, &out->end, err);
    out->held = slots_held(&l->slots, ask->slot);
    if (rc != OK || out->end != DRAFT_WINDOW) return rc;
    slots_apply(&l->slots, ask->slot, ask->at, ask->ids, ask->n_ids);
    const struct slot *s = &l->slots.slot[ask->slot];
    int n = draft(l, ask, &out->end);
    out->at = (uint32_t)s->len;
    out->prefix_hash = s->prefix_hash[s->len];
    out->rows = l->rows;
    out->n_rows = (size_t)n;
    for (int i = 0; i < n; i++) slots_apply(&l->slots, ask->slot, out->at + (uint32_t)i, &l->rows[i].id, 1);
    out->held = (uint32_t)s->len;
    return OK;
}
