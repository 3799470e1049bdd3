#include "worker/engine/engine.h"

#include <stdlib.h>
#include <string.h>

#include "kernels/math.h"
#include "worker/engine/collective_device.h"
#include "worker/engine/forward.h"
#include "worker/engine/gather_acts.h"
#include "worker/engine/forward_device.h"
#include "worker/engine/head.h"
#include "worker/engine/model_load.h"
#include "worker/engine/other_plans.h"
#include "worker/engine/pass.h"
#include "worker/engine/sample.h"
#include "worker/engine/timed.h"

int engine_open(struct engine **out, const struct engine_config *c, struct err *err)
{
    struct engine *e = calloc(1, sizeof *e);
    if (!e || !(e->path = strdup(c->path))) {
        free(e);
        return err_set(err, E_LAYOUT, "out of memory");
    }
    e->k = c->kernels;
    e->col = c->collective;
    e->stages = c->draft_plans && *c->draft_plans ? NULL : c->stages; /* its drafts' rows are kept here */
    e->note = c->note;
    e->max_rows = c->max_rows;
    e->table = c->pair.synthetic ? NULL : c->device;
    e->device_number = c->device_number;
    e->device_name = c->device_name || !e->table ? c->device_name : e->table->name;
    e->n_threads = e->table ? 1 : c->n_threads;
    e->watch = c->watch;
    e->between = c->between;
    e->between_arg = c->between_arg;
    e->pair = c->pair;
    e->model.share = c->share;
    const struct model_config model = {.path = c->path,
                                       .share = c->share,
                                       .plan = c->plan,
                                       .draft_plans = c->draft_plans,
                                       .stage_share = c->stage_share,
                                       .shard_share = c->shard_share,
                                       .requantize = c->requantize,
                                       .device = e->table};
    int rc = c->pair.synthetic ? OK : model_open(&e->model, &model, c->kernels, err);
    if (rc == OK && !c->pair.synthetic && !(e->pool = pool_open(e->n_threads, c->spin)))
        rc = err_set(err, E_FAIL, "cannot start %d threads", e->n_threads);
    if (rc == OK && e->table) rc = forward_device_check(e, err);
    if (rc != OK) {
        engine_close(e);
        return rc;
    }
    e->n_chunks = n_chunks_of(e->model.shape.n_vocab) + 1; /* the last one: of a row's extra ids */
    *out = e;
    return OK;
}

/* The KV caches of this stage's entries are neighbours: plans number them in order. */
static int stage_caches(const struct model *m, int *from)
{
    int lo = m->plan.n_caches, hi = -1;
    for (int i = m->entry_from; i < m->entry_to; i++) {
        int cache = m->plan.entries[i].cache;
        if (cache < 0) continue;
        if (cache < lo) lo = cache;
        if (cache > hi) hi = cache;
    }
    *from = lo;
    return (hi < lo ? 0 : hi - lo + 1) + m->sides.n_entries; /* the last ones are the side blocks' */
}

static struct draft_info draft_info(const struct model *m, const struct draft_plan *d)
{
    int block = d->plan.n_entries ? d->plan.entries[d->plan.n_entries - 1].block : 0, i = m->sides.n_entries - 1;
    while (i >= 0 && m->sides.entries[i].block != block) i--;
    return (struct draft_info){d->plan.n_entries, d->n_shared, i, d->cost};
}

void engine_info(const struct engine *e, struct engine_info *out)
{
    const struct model *m = &e->model;
    int from;
    if (e->pair.synthetic) {
        timed_info(e, out);
        return;
    }
    uint64_t gather_bytes, gather_float_bytes;
    gather_row_bytes(m, &gather_bytes, &gather_float_bytes);
    if (e->table) gather_bytes = gather_float_bytes; /* its rows come and go as floats */
    *out = (struct engine_info){
        .shape = m->shape,
        .model_hash = m->hash,
        .vocab_hash = m->vocab_hash,
        .plan_hash = plan_hash(&m->plan),
        .weights_bytes = m->n_bytes,
        .body_bytes = m->body_bytes,
        .head_bytes = m->head_bytes,
        .multiply_adds = m->multiply_adds,
        .entry_from = m->entry_from,
        .entry_to = m->entry_to,
        .gather_bytes = gather_bytes,
        .gather_float_bytes = gather_float_bytes,
        .n_heads = m->heads_from[m->share.shard + 1] - m->heads_from[m->share.shard],
        .n_drafts = m->n_drafts,
        .n_sides = m->sides.n_entries,
        .side_at = m->side_at,
        .search_side = m->search_side,
        .n_threads = e->n_threads,
        .search = m->search,
        .kv_position_bytes = kv_position_bytes(stage_caches(m, &from), m->kv_to - m->kv_from, m->shape.d_head),
    };
    for (int i = 0; i < m->n_drafts; i++) out->drafts[i] = draft_info(m, &m->drafts[i]);
}

uint8_t *engine_metadata(const struct engine *e, size_t *n_bytes)
{
    return gguf_keys(&e->model.file, n_bytes);
}

static bool scratch_init(struct scratch *s, const struct model *m, int max_rows)
{
    int row = m->shape.n_embd > m->shape.n_ff ? m->shape.n_embd : m->shape.n_ff;
    int group = m->shape.n_head / m->shape.n_head_kv;
    return floats_init(&s->row, padded(row)) &&
           floats_init(&s->attn, (size_t)group * (size_t)(ATTN_CHUNK + m->shape.d_head + 2 * max_rows)) &&
           (s->attn_rows = calloc((size_t)max_rows, sizeof *s->attn_rows)) &&
           (!model_has_head(m) ||
            (floats_init(&s->logits, HEAD_ROWS * HEAD_CHUNK) && (s->pick = calloc((size_t)max_rows, sizeof *s->pick))));
}

static bool buffers_init(struct engine *e)
{
    const struct shape *s = &e->model.shape;
    size_t rows = (size_t)e->max_rows, n_kv = (size_t)((e->model.kv_to - e->model.kv_from) * s->d_head);
    e->ld_q = e->ld_attn = padded(s->n_head * s->d_head);
    e->ld_kv = padded((int)n_kv);
    e->ld_ff = padded(s->n_ff);
    e->ld_y = padded(s->n_embd);
    bool ok = acts_init(&e->norm, &e->model, rows, s->n_embd) &&
              acts_init(&e->attn, &e->model, rows, s->n_head * s->d_head) &&
              acts_init(&e->hidden, &e->model, rows, s->n_ff) && floats_init(&e->q, rows * e->ld_q) &&
              floats_init(&e->k_new, rows * e->ld_kv) && floats_init(&e->v_new, rows * e->ld_kv) &&
              floats_init(&e->attn_out, rows * e->ld_attn) && floats_init(&e->ff, rows * e->ld_ff) &&
              floats_init(&e->up, rows * e->ld_ff) && floats_init(&e->y, rows * e->ld_y) &&
              floats_init(&e->cs, 2 * rows * (size_t)s->d_head) &&
              floats_init(&e->parts, rows * (size_t)e->n_chunks * 3) && (e->wanted = calloc(rows, sizeof *e->wanted)) &&
              (e->answers = calloc(rows, sizeof *e->answers)) && (e->bad_entry = calloc(rows, sizeof *e->bad_entry)) &&
              (e->picks = calloc(rows * (size_t)e->model.share.n_shards, sizeof *e->picks)) &&
              (e->rope_freq = calloc((size_t)s->d_head, sizeof *e->rope_freq)) &&
              (e->scratch = calloc((size_t)e->n_threads, sizeof *e->scratch));
    int widest = s->n_ff > s->n_head * s->d_head ? s->n_ff : s->n_head * s->d_head;
    size_t widest_rows = s->n_experts ? rows * (size_t)s->n_used : rows;
    ok = ok && (!e->col || gather_acts_init(&e->sent, widest_rows, widest));
    ok = ok && mixture_init(&e->mixture, &e->model, rows, e->ld_ff, e->ld_y);
    for (int i = 0; ok && i < e->n_threads; i++) ok = scratch_init(&e->scratch[i], &e->model, e->max_rows);
    return ok;
}

static void rope_init(struct engine *e)
{
    const struct model *m = &e->model;
    int half = m->shape.d_head / 2;
    double ln_base = math_ln(m->shape.rope_base);
    for (int i = 0; i < half; i++) {
        double factor = m->rope_factors ? (double)m->rope_factors[i] : 1;
        double turns = -2.0 * i / m->shape.d_head;
        e->rope_freq[i] = math_exp(turns * ln_base) / (factor * m->shape.rope_scale);
        e->rope_freq[half + i] = m->shape.n_window ? math_exp(turns * math_ln(m->shape.rope_base_local)) : 0;
    }
}

int engine_check(struct engine *e, struct err *err)
{
    return model_check(&e->model, e->pool, &e->watch, err);
}

/* Shards agree before on whether they have devices; a stage does not know what the others have. */
static int open_exchanges(struct engine *e, struct err *err)
{
    struct collective *const among[] = {[DEVICE_SHARDS] = e->table ? e->col : NULL, [DEVICE_STAGES] = e->stages};
    const struct device_member member = forward_device_member(e);
    int rc = OK;
    for (int i = 0; i < N_DEVICE_COMMS && rc == OK; i++) {
        char why[256] = "";
        if (among[i]) rc = collective_device_open(&e->by_device[i], among[i], &member, (enum device_comm)i, why, err);
        if (rc == OK && *why && e->note) e->note(why);
    }
    return rc;
}

int engine_load(struct engine *e, int n_slots, int n_ctx, struct err *err)
{
    if (e->pair.synthetic) return timed_load(e, err);
    const struct model *m = &e->model;
    int n_caches = stage_caches(m, &e->cache_from);
    for (int i = 0; i < m->sides.n_entries; i++)
        m->sides.entries[i].cache = e->cache_from + n_caches - m->sides.n_entries + i;
    other_plans_place(&e->model);
    if (!buffers_init(e))
        return err_set(err, E_LAYOUT, "%s: out of memory for a pass of %d rows", e->path, e->max_rows);
    e->kv = (struct kv){.n_caches = n_caches,
                        .n_slots = n_slots,
                        .n_heads = m->kv_to - m->kv_from,
                        .n_ctx = n_ctx,
                        .d = m->shape.d_head};
    int rc = e->table ? forward_device_open(e, n_slots, n_ctx, err) : kv_init(&e->kv, err);
    if (rc == OK) rc = open_exchanges(e, err);
    if (rc == OK) rc = e->table ? forward_device_load(e, err) : model_load(&e->model, e->k, e->pool, &e->watch, err);
    if (rc != OK) return rc;
    e->n_slots = n_slots;
    e->n_ctx = n_ctx;
    rope_init(e);
    return OK;
}

void engine_close(struct engine *e)
{
    if (!e) return;
    for (int i = 0; e->scratch && i < e->n_threads; i++) {
        free(e->scratch[i].row);
        free(e->scratch[i].attn);
        free(e->scratch[i].attn_rows);
        free(e->scratch[i].logits);
        free(e->scratch[i].best);
        free(e->scratch[i].pick);
    }
    acts_free(&e->norm);
    acts_free(&e->attn);
    acts_free(&e->hidden);
    mixture_free(&e->mixture);
    void *owned[] = {e->path, e->other,   e->q,         e->k_new,  e->v_new,   e->attn_out,  e->ff,  e->up,
                     e->y,    e->cs,      e->parts,     e->wanted, e->answers, e->rope_freq, e->top, e->judged,
                     e->best, e->scratch, e->lp_judged, e->merged, e->picks,   e->sent};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++) free(owned[i]);
    free((void *)e->bad_entry);
    forward_device_close(e->device);
    free(e->factors);
    kv_free(&e->kv);
    model_close(&e->model);
    pool_close(e->pool);
    free(e);
}

void engine_embed(struct engine *e, const int32_t *ids, int n, float *x)
{
    const struct shape *s = &e->model.shape;
    for (int i = 0; i < n && e->pair.synthetic; i++) x[i] = (float)ids[i];
    if (e->pair.synthetic) return;
    for (int i = 0; i < n; i++, x += s->n_embd) {
        if (e->device)
            forward_device_embed(e, ids[i], x);
        else
            e->k->row(x, &e->model.embed, ids[i]);
        for (int j = 0; s->embed_scale != 1 && j < s->n_embd; j++) x[j] *= s->embed_scale;
    }
}

int engine_row_error(const struct engine *e, int i_row, struct err *err)
{
    int entry = atomic_load(&e->bad_entry[i_row]), pos = e->rows[i_row].pos, last = e->to > 0 ? e->to - 1 : 0;
    if (entry == ENGINE_NOT_BAD) return OK;
    if (entry == e->to && e->heads)
        return err_set(err, E_MODEL, "%s: a number that is not finite in the head at position %d", e->path, pos);
    return err_set(err, E_MODEL, "%s: a number that is not finite in block %d at position %d", e->path,
                   e->plan->entries[entry < last ? entry : last].block, pos);
}

static int run(struct engine *e, void (*story)(void *, int), struct err *err)
{
    int rc = head_room(e, err);
    if (rc != OK) return rc;
    pool_run(e->pool, story, e);
    if (e->rc != OK) *err = e->err;
    return e->rc;
}

static void choose_head(struct engine *e)
{
    struct model *m = &e->model;
    const struct listed_head *listed = e->listed = model_listed(m, e->plan);
    int n_vocab = m->shape.n_vocab, n_ids = e->plan->n_ids;
    e->i_exit = e->plan->side ? e->plan->entries[e->plan->n_entries - 1].block - m->shape.n_blocks : -1;
    e->head = listed ? &listed->head : &m->head;
    e->head_from = listed ? listed->from : m->vocab_from;
    e->ids = e->plan->ids;
    e->n_choices = n_ids && n_ids < n_vocab ? n_ids : n_vocab;
}

int engine_run(struct engine *e, const struct engine_span *span, const struct verdict_row **answers, struct err *err)
{
    const struct model *m = &e->model;
    const struct plan *plans[] = {[ENGINE_SERVED] = &m->plan, [ENGINE_OTHER] = &m->other, [ENGINE_SIDES] = &m->sides};
    bool drafts = span->plan >= ENGINE_DRAFT;
    e->plan = drafts ? &m->drafts[span->plan - ENGINE_DRAFT].plan : plans[span->plan];
    e->from = span->from;
    e->to = span->to;
    e->fills = span->fills;
    choose_head(e);
    e->heads = !e->fills && e->to == e->plan->n_entries && (drafts || model_last(m));
    e->rows = span->rows;
    e->n_rows = span->n_rows;
    e->x = span->x;
    e->rc = OK;
    for (int i = 0; i < e->n_rows; i++)
        atomic_store(&e->bad_entry[i], span->bad_entry ? span->bad_entry[i] : ENGINE_NOT_BAD);
    if (e->pair.synthetic) return timed_pass(e, answers, err);
    head_note_wanted(e);
    int rc = run(e, e->device ? forward_device_run : forward_run, err);
    if (rc != OK || !e->heads) return rc;
    while (!sample_answers(e)) { /* a flat distribution: more ids than usual may be chosen */
        head_ask_more(e);
        rc = run(e, e->on_device ? forward_device_head_again : head_run, err);
        if (rc != OK) return rc;
    }
    *answers = e->answers;
    return OK;
}

int engine_pass(struct engine *e, const struct engine_row *rows, int n_rows, float *x,
                const struct verdict_row **answers, struct err *err)
{
    const struct engine_span own = {ENGINE_SERVED, e->model.entry_from, e->model.entry_to, rows, n_rows, x, NULL,
                                    false};
    return engine_run(e, &own, answers, err);
}

struct engine_links engine_links(const struct engine *e)
{
    const struct share *s = &e->model.share;
    bool stages = e->by_device[DEVICE_STAGES];
    return (struct engine_links){
        .shares = e->by_device[DEVICE_SHARDS] && s->stage == 0 && !e->model.n_drafts,
        .receives = stages && s->stage > 0,
        .sends = stages && s->stage + 1 < s->n_stages,
    };
}

int engine_send(struct engine *e, const int *rows, int n, struct err *err)
{
    e->rc = OK;
    forward_device_send(e, rows, n);
    if (e->rc != OK) *err = e->err;
    return e->rc;
}

int engine_receive(struct engine *e, int n_rows, const int *rows, int n, struct err *err)
{
    e->rc = OK;
    forward_device_receive(e, n_rows, rows, n);
    if (e->rc != OK) *err = e->err;
    return e->rc;
}

int engine_copy(struct engine *e, int to, int from, int n, struct err *err)
{
    e->rc = OK;
    if (e->pair.synthetic || to == from || n == 0) return OK;
    if (e->device) {
        forward_device_copy(e, to, from, n);
        return OK;
    }
    for (int cache = 0; cache < e->kv.n_caches && e->rc == OK; cache++) {
        kv_copy(&e->kv, cache, to, from, n);
        pass_between(e, 0);
    }
    if (e->rc != OK) *err = e->err;
    return e->rc;
}

int engine_set_other(struct engine *e, const char *text, int *from, int *to, struct err *err)
{
    int rc = OK;
    if (!e->other || strcmp(e->other, text)) {
        free(e->other);
        e->other = NULL;
        rc = other_plan_open(&e->model, text, err);
        if (rc == OK && !(e->other = strdup(text))) rc = err_set(err, E_LAYOUT, "out of memory for a plan");
    }
    *from = e->model.other_from;
    *to = e->model.other_to;
    return rc;
}

int engine_set_draft(struct engine *e, const char *text, struct err *err)
{
    return draft_plan_change(&e->model, text, err);
}

const struct plan *engine_served(const struct engine *e)
{
    return &e->model.plan;
}

const struct part_cost *engine_part_costs(const struct engine *e)
{
    return e->model.part_costs;
}

/* Of each head's positions a piece, K then V. */
static void copy_kv(const struct kv *kv, int slot, int from, int n, uint16_t *kept, bool back)
{
    size_t piece = (size_t)n * (size_t)kv->d;
    for (int cache = 0; cache < kv->n_caches; cache++)
        for (int head = 0; head < kv->n_heads; head++, kept += 2 * piece) {
            size_t at = kv_at(kv, cache, slot, head) + (size_t)from * (size_t)kv->d;
            uint16_t *k = kv->k + at, *v = kv->v + at;
            memcpy(back ? k : kept, back ? kept : k, piece * sizeof *k);
            memcpy(back ? v : kept + piece, back ? kept + piece : v, piece * sizeof *v);
        }
}

void engine_keep_kv(const struct engine *e, int slot, int from, int n, void *kept)
{
    copy_kv(&e->kv, slot, from, n, kept, false);
}

void engine_put_kv(struct engine *e, int slot, int from, int n, const void *kept)
{
    copy_kv(&e->kv, slot, from, n, (uint16_t *)kept, true);
}

int engine_bad_entry(const struct engine *e, int i_row)
{
    return atomic_load(&e->bad_entry[i_row]);
}
