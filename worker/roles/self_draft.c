#include "worker/roles/self_draft.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/math.h"
#include "proto/clock.h"
#include "proto/prefix_hash.h"

/* Entries among which a search leaves out some: of several exits the last one's. */
static int n_searched(const struct self_draft *d)
{
    const struct engine_info *info = &d->w->info;
    return info->search.exit_to ? info->search.exit_to : info->entry_to;
}

/* All of them: where a search begins. */
static bool spell_start(struct self_draft *d)
{
    char room[PART_PLAN_MOST + 2];
    struct plan first = *engine_served(d->w->engine);
    first.n_entries = n_searched(d);
    const char *side = d->w->info.search_side;
    plan_spell(&first, room, sizeof room);
    if (side) snprintf(room, sizeof room, "balcony:%s:%d", side, n_searched(d));
    snprintf(d->plan, sizeof d->plan, "%.*s", PART_PLAN_MOST, room);
    return !strcmp(d->plan, room);
}

int self_draft_open(struct self_draft *d, struct worker *w, struct err *err)
{
    const struct engine_info *info = &w->info;
    if (!info->n_drafts) return OK;
    size_t n_embd = (size_t)info->shape.n_embd;
    d->w = w;
    d->x = calloc(n_embd, sizeof *d->x);
    d->fresh_x = calloc((size_t)worker_pass_rows(w) * n_embd, sizeof *d->fresh_x);
    d->searches = info->search.share > 0;
    if (d->searches) d->kept_kv = malloc(SWIFT_ROWS * (size_t)info->kv_position_bytes);
    if (!d->x || !d->fresh_x || (d->searches && !d->kept_kv)) return err_set(err, E_LAYOUT, "out of memory");
    if (d->searches && !spell_start(d))
        return err_set(err, E_MODEL, "the served plan is too long for a search of plans");
    return exit_rows_init(&d->held, w->slots.n, info->shape.n_embd, err);
}

void self_draft_close(struct self_draft *d)
{
    exit_rows_free(&d->held);
    free(d->x);
    free(d->fresh_x);
    free(d->kept_kv);
    if (d->w) d->w->pulse.draft_plan = NULL;
    swift_close(d->swift);
}

/* ---- a plan for the draft that comes, with a search ---- */

/* Rows that are held are of the plan before. */
static int use_plan(struct self_draft *d, const char *text, struct err *err)
{
    if (!strcmp(text, d->plan)) return OK;
    for (int slot = 0; slot < d->held.n_slots; slot++) exit_rows_drop(&d->held, (uint32_t)slot);
    int rc = engine_set_draft(d->w->engine, text, err);
    if (rc == OK) snprintf(d->plan, sizeof d->plan, "%s", text);
    if (rc == OK) engine_info(d->w->engine, &d->w->info);
    return rc;
}

/* ---- keys and values of side blocks ---- */

/* A span, and what is known of its rows then. bad: [n_rows] */
static int run_span(struct self_draft *d, const struct engine_span *span, int *bad, struct err *err)
{
    const struct verdict_row *answers;
    int rc = engine_run(d->w->engine, span, &answers, err);
    for (int k = 0; k < span->n_rows && rc == OK; k++) bad[k] = engine_bad_entry(d->w->engine, k);
    return rc;
}

/* K and V of the side blocks that read what the first `at` entries leave, as the span's rows are now; but not `own`,
 * which the draft runs itself (-1: none is). */
static int fill_at(struct self_draft *d, const struct engine_span *span, int at, int own, const int *bad,
                   struct err *err)
{
    const struct engine_info *info = &d->w->info;
    const struct verdict_row *answers;
    int rc = OK;
    for (int i = 0; i < info->n_sides && rc == OK; i++) {
        const struct engine_span fill = {ENGINE_SIDES, i, i + 1, span->rows, span->n_rows, span->x, bad, true};
        if (info->side_at[i] == at && i != own) rc = engine_run(d->w->engine, &fill, &answers, err);
    }
    return rc;
}

/* Runs the rows through the plan's entries as far as the last side block that reads what one of the first `upto`
 * leaves, and writes K and V of each on the way. bad: [n_rows] room for bad_entry. */
static int fill_sides(struct self_draft *d, struct engine_span *span, int upto, int *bad, struct err *err)
{
    const struct engine_info *info = &d->w->info;
    int to = span->to, rc = OK;
    for (int i = 0; i < info->n_sides && rc == OK; i++) {
        if (info->side_at[i] <= span->from || info->side_at[i] > upto) continue;
        span->to = info->side_at[i];
        rc = run_span(d, span, bad, err);
        if (rc == OK) rc = fill_at(d, span, span->to, -1, bad, err);
        span->from = span->to;
        span->bad_entry = bad;
    }
    span->to = to;
    return rc;
}

/* ---- a step of a draft ---- */

struct step {   /* what the plan finds after an id */
    bool found; /* false: nothing, because a number is not finite */
    int32_t next;
    float lp_next;
};

/* From d->x, the part's one row. */
static int run_step(struct self_draft *d, int plan, const struct part *part, struct step *out, struct err *err)
{
    const struct draft_info *info = &d->w->info.drafts[plan];
    const struct verdict_row *answers;
    const struct engine_row row = {
        .slot = (int)part->slot, .pos = (int)part->at, .ask = part->rows, .sampler = &part->sampler};
    struct engine_span span = {ENGINE_DRAFT + plan, 0, info->n_shared, &row, 1, d->x, NULL, false};
    bool parts = info->n_shared < info->n_entries; /* from the served plan, before the head */
    int bad = ENGINE_NOT_BAD, rc = fill_sides(d, &span, info->n_shared - 1, &bad, err);
    out->found = true;
    if (rc == OK && parts && info->n_shared > 0) {
        rc = run_span(d, &span, &bad, err);
        if (rc == OK) rc = fill_at(d, &span, span.to, info->i_side, &bad, err);
        out->found = bad == ENGINE_NOT_BAD;
        if (rc == OK && out->found) exit_rows_keep(&d->held, part, plan, d->x);
        span.from = span.to;
        span.bad_entry = &bad;
    }
    span.to = info->n_entries;
    if (rc == OK) rc = engine_run(d->w->engine, &span, &answers, err);
    if (rc != OK) return rc;
    bad = engine_bad_entry(d->w->engine, 0);
    out->found = out->found && bad == ENGINE_NOT_BAD;
    out->next = answers[0].next;
    out->lp_next = answers[0].lp_next;
    if (parts) return OK;
    if (out->found) exit_rows_keep(&d->held, part, plan, d->x);
    return fill_at(d, &span, info->n_shared, -1, &bad, err);
}

static int post_rows(struct self_draft *d, int plan, const struct part *part, const float *x, struct err *err)
{
    const struct group *g = d->w->group;
    const struct message m = {.tag = TAG_PASS,
                              .pass = {.pass = d->w->pulse.n_passes,
                                       .parts = part,
                                       .n_parts = 1,
                                       .hidden = x,
                                       .n_hidden = part->n_rows * (size_t)d->w->info.shape.n_embd,
                                       .draft = true,
                                       .draft_plan = (uint32_t)plan}};
    int rc = OK;
    for (int s = 1; s < g->tp && rc == OK; s++) rc = worker_post(d->w, group_peer(g, 0, s), &m, err);
    return rc;
}

/* ---- a draft, at the leader ---- */

struct text { /* of a slot: what stands behind its last id is drafted */
    uint32_t slot, round;
    int plan;
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
                        .sampler = text->sampler,
                        .plan = d->swift ? swift_plan(d->swift) : NULL};
    float p_joint = 1;
    if (part.plan) d->rc = use_plan(d, part.plan, &d->err);
    *end = DRAFT_NOTHING;
    if (d->rc != OK) return 0;
    worker_begin_pass(d->w); /* one for all steps: a look at the mailbox comes every so many ms from here */
    for (*end = DRAFT_WINDOW; n < b->most && *end == DRAFT_WINDOW; part.at++) {
        struct step step;
        engine_embed(d->w->engine, &row.id, 1, d->x);
        d->rc = post_rows(d, text->plan, &part, d->x, &d->err);
        if (d->rc == OK) d->rc = run_step(d, text->plan, &part, &step, &d->err);
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
    const struct text text = {open->slot, open->round, (int)open->draft_plan, &d->w->slots.slot[open->slot],
                              open->sampler};
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
    if (ask->draft_plan >= (uint32_t)d->w->info.n_drafts)
        d->rc = err_set(&d->err, E_PEER, "a DraftAsk for plan %u of %d", ask->draft_plan, d->w->info.n_drafts);
    if (d->searches || d->rc != OK) return 0;
    if (slots_check(&d->w->slots, ask->slot, last, ids->prefix_hash[last], 1) != VERDICT_OK) return 0;
    begin_draft(d, ask->slot, last);
    const struct text text = {ask->slot, ask->round, (int)ask->draft_plan, ids, ask->sampler};
    const struct bounds bounds = {most, ask->p_min, ask->p_joint_min};
    return write_rows(d, &text, &bounds, rows, end);
}

/* ---- a trial of another plan ---- */

/* From d->fresh_x, rows of a slot's text that it holds. Afterwards all is as before. */
static int run_trial(struct self_draft *d, const struct part *part, const struct verdict_row **answers, struct err *err)
{
    struct engine *e = d->w->engine;
    struct engine_info info;
    int slot = (int)part->slot, at = (int)part->at, n = (int)part->n_rows;
    for (int i = 0; i < n; i++)
        d->fresh[i] =
            (struct engine_row){.slot = slot, .pos = at + i, .ask = &part->rows[i], .sampler = &part->sampler};
    int rc = engine_set_draft(e, part->plan, err);
    if (rc != OK) return rc;
    engine_info(e, &info);
    const struct engine_span span = {ENGINE_DRAFT, 0, info.drafts[0].n_entries, d->fresh, n, d->fresh_x, NULL, false};
    engine_keep_kv(e, slot, at, n, d->kept_kv);
    worker_begin_pass(d->w);
    rc = engine_run(e, &span, answers, err);
    engine_put_kv(e, slot, at, n, d->kept_kv);
    return rc == OK ? engine_set_draft(e, d->plan, err) : rc;
}

static int count_same(const struct self_draft *d, const struct verdict_row *answers, const int32_t *ids, int n)
{
    int n_same = 0;
    for (int i = 0; i < n && engine_bad_entry(d->w->engine, i) == ENGINE_NOT_BAD; i++)
        n_same += answers[i].next == ids[i];
    return n_same;
}

/* The last n ids of the slot's text, each as the plan has it behind those before. */
static int try_plan(struct self_draft *d, const struct open_slot *open, const char *plan, int n, int *n_same)
{
    const struct slot *text = &d->w->slots.slot[open->slot];
    const struct verdict_row *answers = NULL;
    struct row rows[SWIFT_ROWS];
    int at = text->len - 1 - n;
    for (int i = 0; i < n; i++) rows[i] = (struct row){.id = text->ids[at + i], .wanted = true};
    const struct part part = {.slot = open->slot,
                              .round = open->round,
                              .at = (uint32_t)at,
                              .prefix_hash = text->prefix_hash[at],
                              .rows = rows,
                              .n_rows = (size_t)n,
                              .sampler = open->sampler,
                              .plan = plan};
    engine_embed(d->w->engine, text->ids + at, n, d->fresh_x);
    int rc = post_rows(d, 0, &part, d->fresh_x, &d->err);
    if (rc == OK) rc = run_trial(d, &part, &answers, &d->err);
    if (rc == OK) *n_same = count_same(d, answers, text->ids + at + 1, n);
    return rc;
}

/* As long as a trial as the last one leaves the share as it should be. */
static bool has_time(const struct self_draft *d)
{
    double ns = (double)(d->trials_ns + d->trial_ns);
    return ns <= d->w->info.search.share * (double)d->w->pulse.busy_ns;
}

uint32_t self_draft_look(void *self_draft, const struct lead_text *text, double *cost)
{
    struct self_draft *d = self_draft;
    int most = worker_max_rows(d->w), n = text->n_own < SWIFT_ROWS ? text->n_own : SWIFT_ROWS, n_same = 0;
    if (n > most) n = most;
    if (d->rc != OK || n < SWIFT_ROWS_LEAST || !has_time(d)) return 0;
    const char *plan = swift_next(d->swift, text->n_written);
    uint64_t start = clock_now_ns();
    if (!plan) return 0;
    d->rc = try_plan(d, text->open, plan, n, &n_same);
    if (d->rc == OK && swift_note(d->swift, n_same, n)) *cost = swift_cost(d->swift);
    d->trial_ns = clock_now_ns() - start;
    d->trials_ns += d->trial_ns;
    d->w->pulse.draft_plan = swift_plan(d->swift);
    d->w->pulse.n_trials = (uint32_t)swift_n_trials(d->swift);
    return (uint32_t)(d->trial_ns / 1000);
}

int self_draft_search(struct self_draft *d, double way, struct err *err)
{
    const struct engine_info *info = &d->w->info;
    const struct swift_config config = {.served = engine_served(d->w->engine),
                                        .n_entries = n_searched(d),
                                        .costs = engine_part_costs(d->w->engine),
                                        .whole_cost = info->drafts[0].cost,
                                        .is_whole = d->w->group->pp == 1 && n_searched(d) == info->entry_to &&
                                                    !info->search_side,
                                        .exit_from = info->search.exit_from,
                                        .side = info->search_side,
                                        .side_at = info->side_at,
                                        .n_sides = info->n_sides,
                                        .way = way,
                                        .seed = 1};
    return swift_open(&d->swift, &config, err);
}

/* ---- a step or a trial, at another shard ---- */

int self_draft_step(struct self_draft *d, const struct pass *pass, struct err *err)
{
    const struct part *part = pass->parts;
    bool fits = d->w && pass->draft_plan < (uint32_t)d->w->info.n_drafts && pass->n_parts == 1 && part->n_rows >= 1 &&
                part->n_rows <= (d->searches ? SWIFT_ROWS : 1) && (part->plan != NULL) == d->searches &&
                part->slot < (uint32_t)d->w->slots.n && part->at + part->n_rows <= (size_t)d->w->slots.n_ctx &&
                pass->n_hidden == part->n_rows * (size_t)d->held.n_embd;
    for (size_t i = 0; fits && i < part->n_rows; i++) fits = part->rows[i].wanted;
    const struct verdict_row *answers;
    struct step step;
    if (!fits) return err_set(err, E_PEER, "a Pass of a draft that does not fit");
    if (part->n_rows > 1) {
        memcpy(d->fresh_x, pass->hidden, pass->n_hidden * sizeof *d->fresh_x);
        return run_trial(d, part, &answers, err);
    }
    int rc = part->plan ? use_plan(d, part->plan, err) : OK;
    if (rc != OK) return rc;
    memcpy(d->x, pass->hidden, pass->n_hidden * sizeof *d->x);
    begin_draft(d, part->slot, part->at);
    worker_begin_pass(d->w);
    return run_step(d, (int)pass->draft_plan, part, &step, err);
}

/* ---- the pass that judges ---- */

static void copy_row(const struct self_draft *d, float *to, const float *from)
{
    memcpy(to, from, (size_t)d->held.n_embd * sizeof *to);
}

/* Puts held rows in their places, and notes where each row begins. What is held is of use once. */
static void place_held(struct self_draft *d, const struct part *parts, size_t n_parts, const struct engine_span *all)
{
    size_t n_embd = (size_t)d->held.n_embd;
    int row = 0;
    for (size_t p = 0; p < n_parts; p++) {
        const struct part *part = &parts[p];
        if (part->error) continue;
        int n_held = exit_rows_held(&d->held, part), plan = d->held.slot[part->slot].plan;
        for (int i = 0; i < (int)part->n_rows; i++, row++) {
            bool held = i < n_held;
            d->bad_entry[row] = ENGINE_NOT_BAD;
            d->begins[row] = held ? d->w->info.drafts[plan].n_shared : all->from;
            if (held)
                copy_row(d, all->x + (size_t)row * n_embd, exit_rows_at(&d->held, part->slot, part->at + (uint32_t)i));
        }
        exit_rows_drop(&d->held, part->slot);
    }
}

/* The first entry behind `from` at which further rows join. -1: none do. */
static int next_begin(const struct self_draft *d, int n_rows, int from)
{
    int next = -1;
    for (int i = 0; i < n_rows; i++)
        if (d->begins[i] > from && (next < 0 || d->begins[i] < next)) next = d->begins[i];
    return next;
}

/* The rows that began before go through entries [from, to). */
static int run_begun(struct self_draft *d, const struct engine_span *all, int from, int to, struct err *err)
{
    size_t n_embd = (size_t)d->held.n_embd;
    int n = 0;
    for (int row = 0; row < all->n_rows; row++) {
        if (d->begins[row] > from) continue;
        copy_row(d, d->fresh_x + (size_t)n * n_embd, all->x + (size_t)row * n_embd);
        d->fresh[n] = all->rows[row];
        d->fresh_bad[n] = d->bad_entry[row];
        d->row_of[n++] = row;
    }
    if (!n) return OK;
    struct engine_span span = {ENGINE_SERVED, from, to, d->fresh, n, d->fresh_x, d->fresh_bad, false};
    int rc = fill_sides(d, &span, to, d->fresh_bad, err);
    if (rc == OK && span.from < to) rc = run_span(d, &span, d->fresh_bad, err);
    for (int i = 0; i < n && rc == OK; i++) {
        copy_row(d, all->x + (size_t)d->row_of[i] * n_embd, d->fresh_x + (size_t)i * n_embd);
        d->bad_entry[d->row_of[i]] = d->fresh_bad[i];
    }
    return rc;
}

int self_draft_pass(struct self_draft *d, const struct part *parts, size_t n_parts, struct engine_span *all,
                    const struct verdict_row **answers, struct err *err)
{
    int rc = OK;
    place_held(d, parts, n_parts, all);
    for (int to; rc == OK && (to = next_begin(d, all->n_rows, all->from)) >= 0; all->from = to)
        rc = run_begun(d, all, all->from, to, err);
    all->bad_entry = d->bad_entry;
    if (rc == OK) rc = fill_sides(d, all, all->to, d->bad_entry, err);
    return rc == OK ? engine_run(d->w->engine, all, answers, err) : rc;
}
