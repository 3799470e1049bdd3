#include "worker/roles/drafting.h"

#include <stdlib.h>
#include <string.h>

int drafting_init(struct drafting *d, struct slots *slots, int n_vocab, struct err *err)
{
    size_t n_ctx = (size_t)slots->n_ctx;
    *d = (struct drafting){.slots = slots, .n_vocab = n_vocab};
    bool ok = (d->texts = calloc((size_t)slots->n, sizeof *d->texts)) && (d->rows = calloc(n_ctx, sizeof *d->rows));
    for (int i = 0; ok && i < slots->n; i++) {
        d->texts[i].last_position = (uint32_t)slots->n_ctx;
        d->texts[i].n_ids = n_vocab;
        ok = (d->texts[i].p = calloc(n_ctx, sizeof *d->texts[i].p));
    }
    return ok ? OK : err_set(err, E_LAYOUT, "out of memory for %d drafts", slots->n);
}

void drafting_free(struct drafting *d)
{
    for (int i = 0; d->texts && i < d->slots->n; i++) free(d->texts[i].p);
    free(d->texts);
    free(d->rows);
}

int drafting_open(struct drafting *d, const struct open_slot *open, struct err *err)
{
    if (open->slot >= (uint32_t)d->slots->n || open->n_end_ids > OPEN_END_IDS_MOST)
        return err_set(err, E_PEER, "an Open of slot %u with %zu end ids", open->slot, open->n_end_ids);
    struct drafting_text *t = &d->texts[open->slot];
    t->n_end_ids = open->n_end_ids;
    if (open->n_end_ids) memcpy(t->end_ids, open->end_ids, open->n_end_ids * sizeof *open->end_ids);
    t->last_position = open->last_position;
    t->n_ids = open->n_ids > 0 && open->n_ids < (uint32_t)d->n_vocab ? (int)open->n_ids : d->n_vocab;
    return OK;
}

/* What of the text was not sent yet. */
static bool send(struct drafting *d, uint32_t i_slot, enum draft_end end, uint64_t now_us, struct draft *out)
{
    struct drafting_text *t = &d->texts[i_slot];
    const struct slot *slot = &d->slots->slot[i_slot];
    *out = (struct draft){.slot = i_slot,
                          .round = t->round,
                          .at = t->at,
                          .prefix_hash = slot->prefix_hash[t->at],
                          .rows = d->rows,
                          .end = end,
                          .held = (uint32_t)slot->len,
                          .us = (uint32_t)(now_us - t->start_us)};
    for (int i = (int)t->at; i < slot->len; i++) d->rows[out->n_rows++] = (struct draft_row){slot->ids[i], t->p[i]};
    t->at = (uint32_t)slot->len;
    t->start_us = now_us;
    if (end == DRAFT_MORE) return true;
    t->active = false;
    d->n_active--;
    return true;
}

bool drafting_end(struct drafting *d, uint32_t slot, uint64_t now_us, struct draft *out)
{
    bool active = slot < (uint32_t)d->slots->n && d->texts[slot].active;
    return active && send(d, slot, DRAFT_WINDOW, now_us, out);
}

bool drafting_cut(struct drafting *d, const struct cut *cut, uint64_t now_us, struct draft *out)
{
    bool of_it = cut->slot < (uint32_t)d->slots->n && d->texts[cut->slot].round == cut->round;
    return of_it && drafting_end(d, cut->slot, now_us, out);
}

bool drafting_fail(struct drafting *d, uint32_t slot, uint32_t pos, uint64_t now_us, struct draft *out)
{
    struct drafting_text *t = &d->texts[slot];
    uint32_t held = pos < t->at ? pos : t->at; /* the Draft still names t->at, by which the ask is found */
    slots_cut(d->slots, slot, held);
    t->n_fed = (int)held;
    return send(d, slot, DRAFT_FAILED, now_us, out);
}

static bool is_end(const struct drafting_text *t, int32_t id)
{
    for (size_t i = 0; i < t->n_end_ids; i++)
        if (t->end_ids[i] == id) return true;
    return false;
}

bool drafting_take(struct drafting *d, uint32_t i_slot, int32_t id, float p, uint64_t now_us, struct draft *out)
{
    struct drafting_text *t = &d->texts[i_slot];
    const struct slot *slot = &d->slots->slot[i_slot];
    if (p < t->p_min && (uint32_t)slot->len >= t->p_min_from) return send(d, i_slot, DRAFT_LOW, now_us, out);
    t->p[slot->len] = p;
    slots_apply(d->slots, i_slot, (uint32_t)slot->len, &id, 1);
    t->chance *= (double)p;
    if (is_end(t, id)) return send(d, i_slot, DRAFT_EOS, now_us, out);
    if (t->chance < (double)t->p_joint_min) return send(d, i_slot, DRAFT_JOINT_LOW, now_us, out);
    if ((uint32_t)slot->len >= t->until) return send(d, i_slot, DRAFT_WINDOW, now_us, out);
    bool is_block = t->block && (uint32_t)slot->len - t->at >= t->block;
    return is_block && send(d, i_slot, DRAFT_MORE, now_us, out);
}

bool drafting_rest(struct drafting *d, uint32_t i_slot, uint64_t now_us, struct draft *out)
{
    const struct drafting_text *t = &d->texts[i_slot];
    int len = d->slots->slot[i_slot].len;
    bool over = t->active && t->n_fed == len && t->until <= (uint32_t)len;
    return over && send(d, i_slot, DRAFT_WINDOW, now_us, out);
}

/* The ids join the slot. One that goes on with drafts of its own keeps those behind them. */
static void read_ids(struct drafting *d, const struct draft_ask *ask)
{
    struct drafting_text *t = &d->texts[ask->slot];
    uint32_t from = ask->at + (uint32_t)ask->n_ids;
    bool same_round = ask->block && t->block && t->round == ask->round;
    if (!same_round || !slots_has(d->slots, ask->slot, ask->at, ask->ids, ask->n_ids)) {
        int kept = (int)ask->at + slots_apply(d->slots, ask->slot, ask->at, ask->ids, ask->n_ids);
        if (t->n_fed > kept) t->n_fed = kept;
    }
    t->at = slots_held(d->slots, ask->slot);
    t->chance = 1;
    for (uint32_t i = from; i < t->at; i++) t->chance *= (double)t->p[i];
}

int drafting_copy(struct drafting *d, const struct draft_ask *ask)
{
    uint32_t from = ask->from - 1;
    enum verdict_status status = slots_check(d->slots, ask->slot, ask->at, ask->prefix_hash, ask->n_ids);
    if (!ask->from || status == VERDICT_OK || status == VERDICT_FULL) return 0;
    if (slots_check(d->slots, from, ask->at, ask->prefix_hash, ask->n_ids) != VERDICT_OK) return 0;
    int n_fed = d->texts[from].n_fed, at = (int)ask->at;
    slots_copy(d->slots, ask->slot, from, ask->at);
    return d->texts[ask->slot].n_fed = n_fed < at ? n_fed : at;
}

int drafting_ask(struct drafting *d, const struct draft_ask *ask, uint64_t now_us, bool *refused, struct draft *out,
                 struct err *err)
{
    *out = (struct draft){.slot = ask->slot, .round = ask->round, .at = ask->at, .prefix_hash = ask->prefix_hash};
    int rc = slots_check_ask(d->slots, ask, d->n_vocab, &out->end, err);
    if (rc != OK) return rc;
    out->held = slots_held(d->slots, ask->slot);
    *refused = out->end != DRAFT_WINDOW;
    if (*refused) return OK;
    struct drafting_text *t = &d->texts[ask->slot];
    read_ids(d, ask);
    t->active = true;
    d->n_active++;
    t->round = ask->round;
    t->block = ask->block;
    t->until = ask->until < (uint32_t)d->slots->n_ctx ? ask->until : (uint32_t)d->slots->n_ctx;
    if (t->until > t->last_position) t->until = t->last_position;
    t->p_min = ask->p_min;
    t->p_min_from = ask->p_min_from;
    t->p_joint_min = ask->p_joint_min;
    t->sampler = ask->sampler;
    t->start_us = now_us;
    return OK;
}
