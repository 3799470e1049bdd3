#include "simulator_drafter.h"

#include <stdlib.h>
#include <string.h>

int simulator_drafter_init(struct simulator_drafter *d, int n_slots, int n_ctx, uint64_t root, struct err *err)
{
    d->texts = calloc((size_t)n_slots, sizeof *d->texts);
    if (!d->texts) return err_set(err, E_LAYOUT, "out of memory");
    int rc = slots_init(&d->slots, n_slots, n_ctx, root, err);
    for (int i = 0; i < n_slots && rc == OK; i++) {
        d->texts[i].p = calloc((size_t)n_ctx, sizeof *d->texts[i].p);
        if (!d->texts[i].p) rc = err_set(err, E_LAYOUT, "out of memory");
    }
    return rc;
}

void simulator_drafter_free(struct simulator_drafter *d)
{
    for (int i = 0; d->texts && i < d->slots.n; i++) free(d->texts[i].p);
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

/* Little's next id, which joins the slot unless it ends the draft before. */
static enum draft_end write_row(struct simulator_drafter *d, const struct simulator_models *models, uint32_t slot,
                                float p_min, float p_joint_min, double *chance, struct draft_row *out)
{
    struct drafter_text *t = &d->texts[slot];
    const struct slot *text = &d->slots.slot[slot];
    out->id = models->little(models->arg, text->ids, text->len, &out->p_top);
    d->n_rows += (uint64_t)(t->n_fed < text->len ? text->len - t->n_fed : 1);
    t->n_fed = text->len;
    if (out->p_top < p_min) return DRAFT_LOW;
    slots_apply(&d->slots, slot, (uint32_t)text->len, &out->id, 1);
    *chance *= (double)out->p_top;
    if (is_end(t, out->id)) return DRAFT_EOS;
    return *chance < (double)p_joint_min ? DRAFT_JOINT_LOW : DRAFT_MORE;
}

/* Little's next ids, until something ends the draft. */
static void write_rows(struct simulator_drafter *d, const struct simulator_models *models, const struct draft_ask *ask,
                       struct draft *out)
{
    const struct slot *slot = &d->slots.slot[ask->slot];
    double chance = 1;
    enum draft_end end = DRAFT_MORE;
    while (end == DRAFT_MORE && (uint32_t)slot->len < ask->until && out->n_rows < DRAFTS_MOST) {
        end = write_row(d, models, ask->slot, ask->p_min, ask->p_joint_min, &chance, &d->rows[out->n_rows]);
        out->n_rows += end != DRAFT_LOW;
    }
    if (end != DRAFT_MORE) out->end = end;
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
        d->texts[ask->slot].block = 0;
        int kept = (int)ask->at + slots_apply(&d->slots, ask->slot, ask->at, ask->ids, ask->n_ids);
        if (kept < *n_fed) *n_fed = kept;
        out->at = (uint32_t)slot->len;
        out->prefix_hash = slot->prefix_hash[slot->len];
        write_rows(d, models, ask, out);
    }
    out->held = slots_held(&d->slots, ask->slot);
    return OK;
}

/* ---- running ahead ---- */

static struct draft drafted(struct simulator_drafter *d, uint32_t i_slot, enum draft_end end)
{
    struct drafter_text *t = &d->texts[i_slot];
    const struct slot *slot = &d->slots.slot[i_slot];
    struct draft out = {.slot = i_slot,
                        .round = t->round,
                        .at = t->at,
                        .prefix_hash = slot->prefix_hash[t->at],
                        .rows = d->rows,
                        .end = end,
                        .held = (uint32_t)slot->len};
    for (int i = (int)t->at; i < slot->len; i++) d->rows[out.n_rows++] = (struct draft_row){slot->ids[i], t->p[i]};
    t->at = (uint32_t)slot->len;
    t->runs_ahead = end == DRAFT_MORE;
    return out;
}

uint32_t simulator_drafter_round(const struct simulator_drafter *d, uint32_t slot)
{
    return d->texts[slot].round;
}

bool simulator_drafter_end(struct simulator_drafter *d, uint32_t slot, struct draft *out)
{
    if (slot >= (uint32_t)d->slots.n || !d->texts[slot].runs_ahead) return false;
    *out = drafted(d, slot, DRAFT_WINDOW);
    return true;
}

/* As read_ask of role_drafter.c. */
static void read_ask(struct simulator_drafter *d, const struct draft_ask *ask)
{
    struct drafter_text *t = &d->texts[ask->slot];
    uint32_t from = ask->at + (uint32_t)ask->n_ids;
    t->chance = 1;
    if (!t->block || t->round != ask->round || !slots_has(&d->slots, ask->slot, ask->at, ask->ids, ask->n_ids)) {
        int kept = (int)ask->at + slots_apply(&d->slots, ask->slot, ask->at, ask->ids, ask->n_ids);
        if (kept < t->n_fed) t->n_fed = kept;
    }
    t->at = slots_held(&d->slots, ask->slot);
    for (uint32_t i = from; i < t->at; i++) t->chance *= (double)t->p[i];
}

int simulator_drafter_run(struct simulator_drafter *d, const struct draft_ask *ask, bool fails, bool *refused,
                          struct draft *out, struct err *err)
{
    *out = (struct draft){.slot = ask->slot, .round = ask->round, .at = ask->at, .prefix_hash = ask->prefix_hash};
    int rc = slots_check_ask(&d->slots, ask, INT32_MAX, &out->end, err);
    if (rc != OK) return rc;
    if (out->end == DRAFT_WINDOW && fails) out->end = DRAFT_FAILED;
    *refused = out->end != DRAFT_WINDOW;
    out->held = slots_held(&d->slots, ask->slot);
    if (*refused) return OK;
    struct drafter_text *t = &d->texts[ask->slot];
    read_ask(d, ask);
    t->runs_ahead = true;
    t->round = ask->round;
    t->block = ask->block;
    t->until = ask->until;
    t->p_min = ask->p_min;
    t->p_joint_min = ask->p_joint_min;
    return OK;
}

bool simulator_drafter_works(const struct simulator_drafter *d, int *n_read)
{
    bool works = false;
    *n_read = 0;
    for (int i = 0; i < d->slots.n; i++) {
        const struct drafter_text *t = &d->texts[i];
        int n_behind = d->slots.slot[i].len - t->n_fed;
        works |= t->runs_ahead;
        if (t->runs_ahead && n_behind > 1) *n_read += n_behind - 1;
    }
    return works;
}

bool simulator_drafter_step(struct simulator_drafter *d, const struct simulator_models *models, uint32_t i_slot,
                            struct draft *out)
{
    struct drafter_text *t = &d->texts[i_slot];
    const struct slot *slot = &d->slots.slot[i_slot];
    struct draft_row row;
    if (!t->runs_ahead) return false;
    enum draft_end end = DRAFT_WINDOW;
    if ((uint32_t)slot->len < t->until) end = write_row(d, models, i_slot, t->p_min, t->p_joint_min, &t->chance, &row);
    if (end != DRAFT_WINDOW && end != DRAFT_LOW) t->p[slot->len - 1] = row.p_top;
    if (end == DRAFT_MORE && (uint32_t)slot->len >= t->until) end = DRAFT_WINDOW;
    if (end == DRAFT_MORE && (uint32_t)slot->len - t->at < t->block) return false;
    *out = drafted(d, i_slot, end);
    return true;
}
