#include "worker/roles/self_draft.h"

#include <stdlib.h>
#include <string.h>

#include "kernels/math.h"
#include "proto/clock.h"
#include "proto/prefix_hash.h"

int self_draft_open(struct self_draft *d, struct worker *w, struct err *err)
{
    const struct engine_info *info = &w->info;
    if (!info->n_draft_entries) return OK;
    size_t n_embd = (size_t)info->shape.n_embd;
    d->w = w;
    d->x = calloc(n_embd, sizeof *d->x);
    d->fresh_x = calloc(PASS_ROWS * n_embd, sizeof *d->fresh_x);
    if (!d->x || !d->fresh_x) return err_set(err, E_LAYOUT, "out of memory");
    return exit_rows_init(&d->held, w->slots.n, info->shape.n_embd, err);
}

void self_draft_close(struct self_draft *d)
{
    exit_rows_free(&d->held);
    free(d->x);
    free(d->fresh_x);
}

/* ---- a step of a draft ---- */

struct step {   /* what the plan finds after an id */
    bool found; /* false: nothing, because a number is not finite */
    int32_t next;
    float lp_next;
};

/* From d->x, the part's one row. */
static int run_step(struct self_draft *d, const struct part *part, struct step *out, struct err *err)
{
    const struct engine_info *info = &d->w->info;
    const struct verdict_row *answers;
    const struct engine_row row = {.slot = (int)part->slot,
                                   .pos = (int)part->at,
                                   .ask = part->rows,
                                   .sampler = &part->sampler,
                                   .n_ids = info->draft_n_ids};
    struct engine_span span = {ENGINE_DRAFT, 0, info->n_shared, &row, 1, d->x, NULL, false};
    struct err why;
    int rc = OK;
    out->found = true;
    if (info->n_shared < info->n_draft_entries && info->n_shared > 0) {
        rc = engine_run(d->w->engine, &span, &answers, err);
        out->found = rc == OK && engine_row_error(d->w->engine, 0, &why) == OK;
        if (out->found) exit_rows_keep(&d->held, part, d->x);
        span.from = span.to;
    }
    span.to = info->n_draft_entries;
    if (rc == OK) rc = engine_run(d->w->engine, &span, &answers, err);
    if (rc != OK) return rc;
    out->found = out->found && engine_row_error(d->w->engine, 0, &why) == OK;
    out->next = answers[0].next;
    out->lp_next = answers[0].lp_next;
    if (out->found && info->n_shared == info->n_draft_entries) exit_rows_keep(&d->held, part, d->x);
    return OK;
}

static int post_step(struct self_draft *d, const struct part *part, struct err *err)
{
    const struct group *g = d->w->group;
    const struct message m = {.tag = TAG_PASS,
                              .pass = {.pass = d->w->pulse.n_passes,
                                       .parts = part,
                                       .n_parts = 1,
                                       .hidden = d->x,
                                       .n_hidden = (size_t)d->w->info.shape.n_embd,
                                       .draft = true}};
    int rc = OK;
    for (int s = 1; s < g->tp && rc == OK; s++) rc = worker_post(d->w, group_peer(g, 0, s), &m, err);
    return rc;
}

/* ---- a draft, at the leader ---- */

struct text { /* of a slot: what stands behind its last id is drafted */
    uint32_t slot, round;
    const struct slot *ids;
    struct sampler sampler;
};

struct bounds {
    int most;
    float p_min, p_joint_min;
};

/* From here on the slot's KV rows are those of the draft. */
static void begin_draft(struct self_draft *d, uint32_t slot, uint32_t at)
{
    if (slots_held(&d->w->slots, slot) > at) slots_cut(&d->w->slots, slot, at);
}

/* Returns how many rows there are; *end: why no more. */
static int write_rows(struct self_draft *d, const struct text *text, const struct bounds *b, struct draft_row *rows,
                      enum draft_end *end)
{
    int last = text->ids->len - 1, n = 0;
    struct row row = {.id = text->ids->ids[last], .wanted = true};
    struct part part = {.slot = text->slot,
                        .round = text->round,
                        .at = (uint32_t)last,
                        .prefix_hash = text->ids->prefix_hash[last],
                        .rows = &row,
                        .n_rows = 1,
                        .sampler = text->sampler};
    float p_joint = 1;
    worker_begin_pass(d->w); /* one for all steps: a look at the mailbox comes every so many ms from here */
    for (*end = DRAFT_WINDOW; n < b->most && *end == DRAFT_WINDOW; part.at++) {
        struct step step;
        engine_embed(d->w->engine, &row.id, 1, d->x);
        d->rc = post_step(d, &part, &d->err);
        if (d->rc == OK) d->rc = run_step(d, &part, &step, &d->err);
        if (d->rc != OK || !step.found) break;
        float p = (float)math_exp((double)step.lp_next);
        if (p < b->p_min) {
            *end = DRAFT_LOW;
            break;
        }
        part.prefix_hash = prefix_hash_next(part.prefix_hash, row.id);
        rows[n++] = (struct draft_row){row.id = step.next, p < 1 ? p : 1};
        if ((p_joint *= p) < b->p_joint_min) *end = DRAFT_JOINT_LOW;
    }
    return n;
}

int self_draft_write(void *self_draft, const struct draft_order *order, int32_t *drafts, uint32_t *us)
{
    struct self_draft *d = self_draft;
    const struct open_slot *open = order->open;
    const struct text text = {open->slot, open->round, &d->w->slots.slot[open->slot], open->sampler};
    const struct bounds bounds = {order->most, 0, order->p_joint_min};
    struct draft_row rows[DRAFTS_MOST];
    enum draft_end end;
    uint64_t start = clock_now_us();
    int n = write_rows(d, &text, &bounds, rows, &end);
    for (int i = 0; i < n; i++) drafts[i] = rows[i].id;
    *us = (uint32_t)(clock_now_us() - start);
    return n;
}

int self_draft_answer(void *self_draft, const struct draft_ask *ask, const struct slot *ids, int most,
                      struct draft_row *rows, enum draft_end *end)
{
    struct self_draft *d = self_draft;
    uint32_t last = (uint32_t)ids->len - 1;
    *end = DRAFT_NOTHING;
    if (slots_check(&d->w->slots, ask->slot, last, ids->prefix_hash[last], 1) != VERDICT_OK) return 0;
    begin_draft(d, ask->slot, last);
    const struct text text = {ask->slot, ask->round, ids, ask->sampler};
    const struct bounds bounds = {most, ask->p_min, ask->p_joint_min};
    return write_rows(d, &text, &bounds, rows, end);
}

/* ---- a step, at another shard ---- */

int self_draft_step(struct self_draft *d, const struct pass *pass, struct err *err)
{
    const struct part *part = pass->parts;
    bool fits = d->w && pass->n_parts == 1 && part->n_rows == 1 && part->rows[0].wanted &&
                part->slot < (uint32_t)d->w->slots.n && part->at < (uint32_t)d->w->slots.n_ctx &&
                pass->n_hidden == (size_t)d->held.n_embd;
    struct step step;
    if (!fits) return err_set(err, E_PEER, "a Pass of a draft that does not fit");
    memcpy(d->x, pass->hidden, pass->n_hidden * sizeof *d->x);
    begin_draft(d, part->slot, part->at);
    worker_begin_pass(d->w);
    return run_step(d, part, &step, err);
}

/* ---- the pass that judges ---- */

static void copy_row(const struct self_draft *d, float *to, const float *from)
{
    memcpy(to, from, (size_t)d->held.n_embd * sizeof *to);
}

/* Puts held rows in their places, lists the others, and returns how many these are. What is held is of use once. */
static int list_fresh(struct self_draft *d, const struct part *parts, size_t n_parts, struct engine_span *all)
{
    size_t n_embd = (size_t)d->held.n_embd;
    int row = 0, n = 0;
    for (size_t p = 0; p < n_parts; p++) {
        const struct part *part = &parts[p];
        if (part->error) continue;
        int n_held = exit_rows_held(&d->held, part);
        for (int i = 0; i < (int)part->n_rows; i++, row++) {
            float *x = all->x + (size_t)row * n_embd;
            d->bad_entry[row] = ENGINE_NOT_BAD;
            if (i < n_held) {
                copy_row(d, x, exit_rows_at(&d->held, part->slot, part->at + (uint32_t)i));
                continue;
            }
            copy_row(d, d->fresh_x + (size_t)n * n_embd, x);
            d->fresh[n] = all->rows[row];
            d->row_of[n++] = row;
        }
        exit_rows_drop(&d->held, part->slot);
    }
    return n;
}

int self_draft_pass(struct self_draft *d, const struct part *parts, size_t n_parts, struct engine_span *all,
                    const struct verdict_row **answers, struct err *err)
{
    struct engine *e = d->w->engine;
    size_t n_embd = (size_t)d->held.n_embd;
    int n = list_fresh(d, parts, n_parts, all), rc = OK;
    if (n == all->n_rows && !d->w->info.draft_fills) return engine_run(e, all, answers, err);
    const struct engine_span fresh = {ENGINE_SERVED, all->from, d->w->info.n_shared, d->fresh, n, d->fresh_x,
                                      NULL,          false};
    if (n) rc = engine_run(e, &fresh, answers, err);
    for (int i = 0; i < n && rc == OK; i++) {
        copy_row(d, all->x + (size_t)d->row_of[i] * n_embd, d->fresh_x + (size_t)i * n_embd);
        d->bad_entry[d->row_of[i]] = engine_bad_entry(e, i);
    }
    const struct engine_span fill = {ENGINE_DRAFT, fresh.to, d->w->info.n_draft_entries, d->fresh, n, d->fresh_x,
                                     NULL,         true};
    if (n && rc == OK && d->w->info.draft_fills) rc = engine_run(e, &fill, answers, err);
    all->from = fresh.to;
    all->bad_entry = d->bad_entry;
    return rc == OK ? engine_run(e, all, answers, err) : rc;
}
