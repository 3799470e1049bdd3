#include "worker/roles/lookup.h"

#include "proto/ngram.h"

int lookup_init(struct lookup *l, int n_slots, int n_ctx, uint64_t root, int n_vocab, struct err *err)
{
    *l = (struct lookup){.n_vocab = n_vocab};
    return slots_init(&l->slots, n_slots, n_ctx, root, err);
}

void lookup_free(struct lookup *l)
{
    if (l) slots_free(&l->slots);
}

/* Of the ask's slot, which has its ids. */
static int draft(struct lookup *l, const struct draft_ask *ask, int32_t ids[DRAFTS_MOST])
{
    const struct slot *s = &l->slots.slot[ask->slot];
    int until = ask->until < (uint32_t)l->slots.n_ctx ? (int)ask->until : l->slots.n_ctx, most = until - s->len;
    return most > 0 ? ngram_draft(s->ids, s->len, ids, most < DRAFTS_MOST ? most : DRAFTS_MOST) : 0;
}

int lookup_draft(struct lookup *l, const struct draft_ask *ask, struct draft *out, struct err *err)
{
    static const enum draft_end ends[] = {
        [VERDICT_STALE] = DRAFT_STALE, [VERDICT_GAP] = DRAFT_GAP, [VERDICT_FULL] = DRAFT_FULL};
    for (size_t i = 0; i < ask->n_ids; i++)
        if (ask->ids[i] < 0 || ask->ids[i] >= l->n_vocab)
            return err_set(err, E_PEER, "a DraftAsk with id %d, outside the vocabulary of %d", ask->ids[i], l->n_vocab);
    *out = (struct draft){.slot = ask->slot, .round = ask->round, .at = ask->at, .prefix_hash = ask->prefix_hash};
    enum verdict_status status = slots_check(&l->slots, ask->slot, ask->at, ask->prefix_hash, ask->n_ids);
    if (status == VERDICT_OK && ask->at + ask->n_ids == 0) status = VERDICT_GAP; /* nothing to go on from */
    if (status != VERDICT_OK) {
        out->end = ends[status];
        out->held = slots_held(&l->slots, ask->slot);
        return OK;
    }
    int32_t ids[DRAFTS_MOST];
    slots_apply(&l->slots, ask->slot, ask->at, ask->ids, ask->n_ids);
    const struct slot *s = &l->slots.slot[ask->slot];
    int n = draft(l, ask, ids);
    out->at = (uint32_t)s->len;
    out->prefix_hash = s->prefix_hash[s->len];
    out->end = n == 0 && ask->until > out->at ? DRAFT_NOTHING : DRAFT_WINDOW;
    out->rows = l->rows;
    out->n_rows = (size_t)n;
    for (int i = 0; i < n; i++) l->rows[i] = (struct draft_row){ids[i], 1}; /* it has no opinion of itself */
    slots_apply(&l->slots, ask->slot, out->at, ids, (size_t)n);
    out->held = (uint32_t)s->len;
    return OK;
}
