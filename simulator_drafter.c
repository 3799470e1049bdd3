#include "simulator_drafter.h"

#include <stdlib.h>
#include <string.h>

int simulator_drafter_init(struct simulator_drafter *d, int n_slots, int n_ctx, uint64_t root, struct err *err)
{
    d->texts = calloc((size_t)n_slots, sizeof *d->texts);
    if (!d->texts) return err_set(err, E_LAYOUT, "out of memory");
    return slots_init(&d->slots, n_slots, n_ctx, root, err);
}

void simulator_drafter_free(struct simulator_drafter *d)
{
    slots_free(&d->slots);
    free(d->texts);
}

void simulator_drafter_open(struct simulator_drafter *d, const struct open_slot *open)
{
    struct drafter_text *t = &d->texts[open->slot];
    t->n_end_ids = open->n_end_ids;
    if (open->n_end_ids) memcpy(t->end_ids, open->end_ids, open->n_end_ids * sizeof *open->end_ids);
}

static bool is_end(const struct drafter_text *t, int32_t id)
{
    for (size_t i = 0; i < t->n_end_ids; i++)
        if (t->end_ids[i] == id) return true;
    return false;
}

/* Little's next ids, until something ends the draft. */
static void write_rows(struct simulator_drafter *d, const struct simulator_models *models, const struct draft_ask *ask,
                       struct draft *out)
{
    struct drafter_text *t = &d->texts[ask->slot];
    const struct slot *slot = &d->slots.slot[ask->slot];
    float p, chance = 1;
    while (out->end == DRAFT_WINDOW && (uint32_t)slot->len < ask->until && out->n_rows < DRAFTS_MOST) {
        int32_t id = models->little(models->arg, slot->ids, slot->len, &p);
        d->n_rows += (uint64_t)(t->n_fed < slot->len ? slot->len - t->n_fed : 1);
        t->n_fed = slot->len;
        if (p < ask->p_min) {
            out->end = DRAFT_LOW;
            return;
        }
        d->rows[out->n_rows++] = (struct draft_row){id, p};
        slots_apply(&d->slots, ask->slot, (uint32_t)slot->len, &id, 1);
        chance *= p;
        if (is_end(t, id))
            out->end = DRAFT_EOS;
        else if (chance < ask->p_joint_min)
            out->end = DRAFT_JOINT_LOW;
    }
}

int simulator_drafter_draft(struct simulator_drafter *d, const struct simulator_models *models,
                            const struct draft_ask *ask, bool fails, struct draft *out, struct err *err)
{
    *out = (struct draft){
        .slot = ask->slot, .round = ask->round, .at = ask->at, .prefix_hash = ask->prefix_hash, .rows = d->rows};
    int rc = slots_check_ask(&d->slots, ask, INT32_MAX, &out->end, err);
    if (rc != OK) return rc;
    if (out->end == DRAFT_WINDOW && fails) out->end = DRAFT_FAILED;
    if (out->end == DRAFT_WINDOW) {
        const struct slot *slot = &d->slots.slot[ask->slot];
        int *n_fed = &d->texts[ask->slot].n_fed;
        int kept = (int)ask->at + slots_apply(&d->slots, ask->slot, ask->at, ask->ids, ask->n_ids);
        if (kept < *n_fed) *n_fed = kept;
        out->at = (uint32_t)slot->len;
        out->prefix_hash = slot->prefix_hash[slot->len];
        write_rows(d, models, ask, out);
    }
    out->held = slots_held(&d->slots, ask->slot);
    return OK;
}
