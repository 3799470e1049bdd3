#include "worker/engine/head.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/gumbel.h"
#include "worker/engine/forward_device.h"
#include "worker/engine/pass.h"

enum {
    OFFERED = 64, /* ids a shard offers a row that cuts, at first, */
    MORE = 8      /* and so many times as many when those of before do not reach a cut */
};

static const struct top no_id = {INT32_MAX, -INFINITY}; /* loses to any */

/* ---- the best n_best ids, best first ---- */

static void best_insert(struct top *best, int n_best, struct top new)
{
    int at = n_best - 1;
    for (; at > 0 && better(new.lp, new.id, best[at - 1].lp, best[at - 1].id); at--) best[at] = best[at - 1];
    best[at] = new;
}

static void best_add(const struct engine *e, struct top *best, const float *logits, int32_t first, int n)
{
    const struct top *last = &best[e->n_best - 1];
    for (int i = 0; i < n; i++) {
        int32_t id = id_of(e, first + i);
        if (better(logits[i], id, last->lp, last->id)) best_insert(best, e->n_best, (struct top){id, logits[i]});
    }
}

/* Both lists are sorted: the first of `from` that does not fit ends it. */
static void best_merge(struct top *best, int n_best, const struct top *from)
{
    const struct top *last = &best[n_best - 1];
    for (int i = 0; i < n_best && better(from[i].lp, from[i].id, last->lp, last->id); i++)
        best_insert(best, n_best, from[i]);
}

/* ---- the greatest key ---- */

static void pick_merge(struct head_pick *pick, struct head_pick other)
{
    if (better(other.key, other.id, pick->key, pick->id)) *pick = other;
}

static void pick_add(const struct engine *e, struct head_pick *pick, const struct engine_row *row, const float *logits,
                     int32_t first, int n)
{
    const struct sampler *s = row->sampler;
    float inv_t = 1.0f / s->temp;
    for (int i = 0; i < n; i++) {
        if (fmaf(logits[i], inv_t, NOISE_MOST) < pick->key) continue; /* no noise could make it the greatest */
        int32_t id = id_of(e, first + i);
        uint32_t draw = draw_of(s->seed, s->sample, s->offset + (uint32_t)row->pos + 1, (uint32_t)id);
        if (fmaf(logits[i], inv_t, gumbel_most(draw)) < pick->key) continue; /* nor could this */
        pick_merge(pick, (struct head_pick){fmaf(logits[i], inv_t, gumbel_of(draw)), logits[i], id});
    }
}

/* ---- chunks ---- */

/* Rows [first, first + n) of the head for the lists of a wanted row. */
static void offer(struct engine *e, struct scratch *scratch, int i_wanted, const float *logits, int32_t first, int n)
{
    const struct engine_row *row = &e->rows[e->wanted[i_wanted]];
    if (e->n_best) best_add(e, scratch->best + (size_t)i_wanted * (size_t)e->n_best, logits, first, n);
    if (row->sampler && samples(row->sampler) && !truncates(row->sampler))
        pick_add(e, &scratch->pick[i_wanted], row, logits, first, n);
}

/* Of a cut head; -1: it has not this id. */
static int32_t row_of_id(const struct engine *e, int32_t id)
{
    int32_t from = 0, to = e->n_choices;
    if (!e->ids) return id;
    while (from < to) {
        int32_t middle = from + (to - from) / 2;
        if (e->ids[middle] < id)
            from = middle + 1;
        else
            to = middle;
    }
    return from < e->n_choices && e->ids[from] == id ? from : -1;
}

/* One chunk of one wanted row, as far as the row's limit. */
static void reduce_chunk(struct engine *e, struct scratch *scratch, int i_wanted, int chunk, const float *logits, int n)
{
    const struct engine_row *row = &e->rows[e->wanted[i_wanted]];
    int32_t first = chunk * HEAD_CHUNK;
    if (n > id_limit(e, row) - first) n = id_limit(e, row) - first;
    if (n <= 0) return;
    size_t i_row = (size_t)i_wanted, shards = (size_t)e->model.share.n_shards, shard = (size_t)e->model.share.shard;
    struct head_part part = e->k->head(logits, first, n);
    memcpy(e->parts + (i_row * (size_t)e->n_chunks + (size_t)chunk) * 3, &part, sizeof part);
    float *judged = e->judged + (i_row * shards + shard) * (size_t)e->n_judge_max;
    for (size_t i = 0; i < row->ask->n_judge; i++) {
        int32_t at = row_of_id(e, row->ask->judge[i]);
        if (at >= first && at < first + n) judged[i] = logits[at - first];
    }
    offer(e, scratch, i_wanted, logits, first, n);
}

/* out[n_rows, HEAD_CHUNK]: of wanted rows [row, row + n_rows), n ids of this shard from those of a panel on. */
static void head_logits(struct engine *e, float *out, int row, int n_rows, int i_panel, int n)
{
    if (e->device) {
        forward_device_logits(e, out, row, n_rows, i_panel, n);
        return;
    }
    struct acts a = acts_from(&e->norm, row);
    struct weights w = *e->head;
    w.panels += (size_t)i_panel * w.panel_bytes;
    w.n_out = n;
    e->k->matmul(out, HEAD_CHUNK, &w, &a, n_rows, 0, n_panels(&w));
}

/* This thread's chunks for wanted rows [row, row + n_rows). */
static void head_chunks(struct engine *e, int t, int row, int n_rows)
{
    const struct model *m = &e->model;
    int shard = m->share.shard, id_from = e->head_from[shard], id_to = e->head_from[shard + 1], from, to;
    if (id_to > e->n_ids) id_to = e->n_ids;
    if (id_from >= id_to) return;
    struct scratch *scratch = &e->scratch[t];
    pool_part((id_to - id_from + HEAD_CHUNK - 1) / HEAD_CHUNK, t, e->n_threads, &from, &to);
    for (int i = from; i < to; i++) {
        int first = i * HEAD_CHUNK, n = id_to - id_from - first;
        pass_between(e, t);
        if (n > HEAD_CHUNK) n = HEAD_CHUNK;
        head_logits(e, scratch->logits, row, n_rows, first / PANEL, n);
        for (int r = 0; r < n_rows; r++)
            reduce_chunk(e, scratch, row + r, (id_from + first) / HEAD_CHUNK, scratch->logits + (size_t)r * HEAD_CHUNK,
                         n);
    }
}

/* The ids that a row has beyond its limit: a chunk of their own, behind the others. A panel holds one of them, or
 * few. */
static void head_extra(struct engine *e, int t, int i_wanted)
{
    const struct engine_row *row = &e->rows[e->wanted[i_wanted]];
    struct scratch *scratch = &e->scratch[t];
    float found[MAX_EXTRA_IDS];
    for (int i = 0; i < row->n_extra_ids; i++) {
        int panel = row->extra_ids[i] / PANEL, n = e->model.shape.n_vocab - panel * PANEL;
        head_logits(e, scratch->logits, i_wanted, 1, panel, n < PANEL ? n : PANEL);
        found[i] = scratch->logits[row->extra_ids[i] % PANEL];
    }
    struct head_part part = e->k->head(found, 0, row->n_extra_ids);
    part.id = row->extra_ids[part.id];
    memcpy(e->parts + ((size_t)i_wanted * (size_t)e->n_chunks + (size_t)n_parts_of(e, row)) * 3, &part, sizeof part);
    for (int i = 0; i < row->n_extra_ids; i++) offer(e, scratch, i_wanted, &found[i], row->extra_ids[i], 1);
}

static void forget(const struct engine *e, struct scratch *scratch)
{
    for (int i = 0; i < e->n_wanted * e->n_best; i++) scratch->best[i] = no_id;
    for (int i = 0; i < e->n_wanted; i++) scratch->pick[i] = (struct head_pick){-INFINITY, -INFINITY, INT32_MAX};
}

/* What all threads found, in this shard's columns. */
static void merge_threads(struct engine *e)
{
    size_t shards = (size_t)e->model.share.n_shards, shard = (size_t)e->model.share.shard, n_best = (size_t)e->n_best;
    for (size_t i = 0; i < (size_t)e->n_wanted; i++) {
        struct top *best = e->best + (i * shards + shard) * n_best;
        struct head_pick *pick = &e->picks[i * shards + shard];
        if (n_best) memcpy(best, e->scratch[0].best + i * n_best, n_best * sizeof *best);
        *pick = e->scratch[0].pick[i];
        for (int t = 1; t < e->n_threads; t++) {
            if (n_best) best_merge(best, e->n_best, e->scratch[t].best + i * n_best);
            pick_merge(pick, e->scratch[t].pick[i]);
        }
    }
}

/* Each shard fills `width` floats of a row; afterwards it has those of all. */
static void gather_even(struct engine *e, int t, void *buf, int width)
{
    int shards = e->model.share.n_shards, from[MAX_SHARDS + 1] = {0};
    for (int i = 0; i <= shards; i++) from[i] = i * width;
    if (width) pass_gather(e, t, buf, (size_t)(shards * width), e->n_wanted, from);
}

static void gather(struct engine *e, int t)
{
    const struct model *m = &e->model;
    int from[MAX_SHARDS + 1] = {0};
    for (int i = 0; i <= m->share.n_shards; i++) from[i] = 3 * ((e->head_from[i] + HEAD_CHUNK - 1) / HEAD_CHUNK);
    pass_gather(e, t, e->parts, 3 * (size_t)e->n_chunks, e->n_wanted, from);
    gather_even(e, t, e->judged, e->n_judge_max);
    gather_even(e, t, e->best, e->n_best * (int)(sizeof(struct top) / sizeof(float)));
    gather_even(e, t, e->picks, e->any_samples ? (int)(sizeof(struct head_pick) / sizeof(float)) : 0);
}

void head_run(void *arg, int t)
{
    struct engine *e = arg;
    const struct model *m = &e->model;
    const float *norm = e->i_exit < 0 ? m->norm_out : m->norm_side[e->i_exit];
    int n = m->shape.n_embd, from, to;
    pool_part(e->n_wanted, t, e->n_threads, &from, &to);
    for (int i = from; i < to && !e->device; i++) { /* a device has them ready */
        e->k->norm(e->scratch[t].row, e->x + (size_t)e->wanted[i] * (size_t)n, norm, n, m->shape.eps);
        pass_quantize(e, &e->norm, i, e->scratch[t].row, e->to, e->wanted[i]);
    }
    forget(e, &e->scratch[t]);
    pool_barrier(e->pool);
    if (e->on_device) forward_device_head(e);
    for (int row = 0; row < e->n_wanted && !e->on_device; row += HEAD_ROWS)
        head_chunks(e, t, row, e->n_wanted - row < HEAD_ROWS ? e->n_wanted - row : HEAD_ROWS);
    for (int i = t; i < e->n_wanted; i += e->n_threads)
        if (e->rows[e->wanted[i]].n_extra_ids) head_extra(e, t, i);
    if (e->n_best || e->any_samples) {
        pool_barrier(e->pool);
        if (t == 0) merge_threads(e);
    }
    if (e->device) forward_device_look(e); /* or others would get logits that are none */
    if (e->col && e->n_wanted) gather(e, t);
}

/* ---- room ---- */

static bool device_has_best(const struct engine *e)
{
    return e->n_best <= HEAD_CHUNK && e->n_wanted * e->n_best <= DEVICE_BEST;
}

void head_note_wanted(struct engine *e)
{
    e->n_wanted = e->n_judge_max = e->n_best = e->n_ids = 0;
    e->any_samples = e->on_device = false;
    bool more = false; /* than a device's head gives */
    if (!e->heads) return;
    for (int i = 0; i < e->n_rows; i++) {
        const struct row *ask = e->rows[i].ask;
        const struct sampler *s = e->rows[i].sampler;
        int n_ids = id_limit(e, &e->rows[i]);
        if (!ask->wanted) continue;
        if (n_ids > e->n_ids) e->n_ids = n_ids;
        e->wanted[e->n_wanted++] = i;
        e->any_samples |= s && samples(s);
        more |= ask->n_judge > DEVICE_JUDGED;
        uint32_t n_best = ask->n_top;
        if (s && truncates(s) && n_best < OFFERED) n_best = OFFERED;
        if (s && truncates(s) && n_best < s->top_k) n_best = s->top_k;
        if (n_best > (uint32_t)n_ids) n_best = (uint32_t)n_ids;
        if ((int)n_best > e->n_best) e->n_best = (int)n_best;
        if ((int)ask->n_judge > e->n_judge_max) e->n_judge_max = (int)ask->n_judge;
    }
    more |= e->listed != NULL;
    e->on_device = e->device && e->table->head && !more && device_has_best(e);
}

void head_ask_more(struct engine *e)
{
    e->n_best = e->n_best < e->n_ids / MORE ? e->n_best * MORE : e->n_ids;
    e->on_device = e->on_device && device_has_best(e);
}

static int room(void **p, size_t *have, size_t need, size_t size)
{
    if (need <= *have) return OK;
    void *grown = realloc(*p, need * size);
    if (!grown) return E_FAIL;
    *p = grown;
    *have = need;
    return OK;
}

int head_room(struct engine *e, struct err *err)
{
    size_t n = (size_t)e->n_wanted, shards = (size_t)e->model.share.n_shards, judges = (size_t)e->n_judge_max,
           best = (size_t)e->n_best;
    int rc = room((void **)&e->judged, &e->judged_room, n * shards * judges, sizeof *e->judged);
    if (rc == OK) rc = room((void **)&e->best, &e->best_room, n * shards * best, sizeof *e->best);
    if (rc == OK) rc = room((void **)&e->merged, &e->merged_room, shards * best, sizeof *e->merged);
    if (rc == OK) rc = room((void **)&e->lp_judged, &e->lp_judged_room, n * judges, sizeof *e->lp_judged);
    if (rc == OK) rc = room((void **)&e->top, &e->top_room, n * ENGINE_TOP_MOST, sizeof *e->top);
    for (int t = 0; t < e->n_threads && rc == OK; t++)
        rc = room((void **)&e->scratch[t].best, &e->scratch[t].best_room, n * best, sizeof *e->best);
    if (rc != OK) return err_set(err, E_LAYOUT, "out of memory for the answers of %d rows", e->n_wanted);
    for (size_t i = 0; i < n * shards * judges; i++)
        e->judged[i] = -INFINITY; /* ids at or past a limit are never chosen */
    return OK;
}
