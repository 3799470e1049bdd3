/* head.c -- from the last hidden rows to answers: big's own next id, its ln p, ln p of asked ids, and the best few.
 *
 * The vocabulary goes by chunks of 1024 ids (kernels/ARITHMETIC.md, Head). A thread holds the logits of one chunk at a
 * time and keeps of them (max, id, sum), the asked ids' logits and the chunk's best: there is never an n x vocabulary
 * array. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/math.h"
#include "worker/engine/run.h"

static bool better(float a, int32_t id_a, float b, int32_t id_b)
{
    return a > b || (a == b && id_a < id_b);
}

/* The n best of a chunk, best first, into pairs (logit, bits of id). */
static void chunk_tops(float *out, int n_top, const float *logits, int32_t first, int n)
{
    int have = 0;
    for (int i = 0; i < n; i++) {
        int32_t id = first + i, other;
        int at = have;
        for (; at > 0; at--) {
            memcpy(&other, &out[2 * at - 1], sizeof other);
            if (!better(logits[i], id, out[2 * at - 2], other)) break;
        }
        if (at == n_top) continue;
        if (have < n_top) have++;
        memmove(out + 2 * at + 2, out + 2 * at, (size_t)(have - 1 - at) * 2 * sizeof *out);
        out[2 * at] = logits[i];
        memcpy(&out[2 * at + 1], &id, sizeof id);
    }
    for (int at = have; at < n_top; at++) { /* fewer ids than asked for: what loses to any */
        int32_t none = INT32_MAX;
        out[2 * at] = -INFINITY;
        memcpy(&out[2 * at + 1], &none, sizeof none);
    }
}

/* One chunk of one wanted row. */
static void reduce_chunk(struct engine *e, int i_wanted, int chunk, const float *logits, int n)
{
    const struct row *ask = e->rows[e->wanted[i_wanted]].ask;
    int32_t first = chunk * HEAD_CHUNK;
    struct head_part part = e->k->head(logits, first, n);
    memcpy(e->parts + ((size_t)i_wanted * (size_t)e->n_chunks + (size_t)chunk) * 3, &part, sizeof part);
    float *judged = e->judged + ((size_t)i_wanted * (size_t)e->model.share.n_shards + (size_t)e->model.share.shard) *
                                    (size_t)e->n_judge_max;
    for (size_t i = 0; i < ask->n_judge; i++)
        if (ask->judge[i] >= first && ask->judge[i] < first + n) judged[i] = logits[ask->judge[i] - first];
    if (e->n_top_max)
        chunk_tops(e->tops + ((size_t)i_wanted * (size_t)e->n_chunks + (size_t)chunk) * 2 * (size_t)e->n_top_max,
                   e->n_top_max, logits, first, n);
}

/* Rows [from, from + n) of `a`. */
static struct acts acts_from(const struct acts *a, int from)
{
    size_t i = (size_t)from, n = (size_t)a->n_in;
    struct acts out = *a;
    if (a->x) out.x += i * n;
    if (!a->q) return out;
    out.q += i * n;
    out.s += i * (n / BLOCK);
    out.u += i * (n / BLOCK);
    out.sum += i * (n / 16);
    return out;
}

/* This thread's chunks for wanted rows [row, row + n_rows). */
static void head_chunks(struct engine *e, int t, int row, int n_rows)
{
    const struct model *m = &e->model;
    int shard = m->share.shard, id_from = m->vocab_from[shard], id_to = m->vocab_from[shard + 1], from, to;
    if (id_to > e->n_ids) id_to = e->n_ids;
    if (id_from >= id_to) return;
    struct acts a = acts_from(&e->norm, row);
    pool_part((id_to - id_from + HEAD_CHUNK - 1) / HEAD_CHUNK, t, e->n_threads, &from, &to);
    for (int i = from; i < to; i++) {
        int first = i * HEAD_CHUNK, n = id_to - id_from - first;
        if (n > HEAD_CHUNK) n = HEAD_CHUNK;
        struct weights w = m->head;
        w.panels += (size_t)(first / PANEL) * w.panel_bytes;
        w.n_out = n;
        e->k->matmul(e->scratch[t].logits, HEAD_CHUNK, &w, &a, n_rows, 0, n_panels(&w));
        for (int r = 0; r < n_rows; r++)
            reduce_chunk(e, row + r, (id_from + first) / HEAD_CHUNK, e->scratch[t].logits + (size_t)r * HEAD_CHUNK, n);
    }
}

void head_run(struct engine *e, int t)
{
    const struct model *m = &e->model;
    int n = m->shape.n_embd, shards = m->share.n_shards, from, to, columns[MAX_SHARDS + 1];
    pool_part(e->n_wanted, t, e->n_threads, &from, &to);
    for (int i = from; i < to; i++) {
        e->k->norm(e->scratch[t].row, e->x + (size_t)e->wanted[i] * (size_t)n, m->norm_out, n, m->shape.eps);
        run_quantize(e, &e->norm, i, e->scratch[t].row, m->entry_to, e->wanted[i]);
    }
    pool_barrier(e->pool);
    for (int row = 0; row < e->n_wanted; row += HEAD_ROWS)
        head_chunks(e, t, row, e->n_wanted - row < HEAD_ROWS ? e->n_wanted - row : HEAD_ROWS);
    if (!e->col || !e->n_wanted) return;

    int chunk_from[MAX_SHARDS + 1];
    for (int i = 0; i <= shards; i++) chunk_from[i] = (m->vocab_from[i] + HEAD_CHUNK - 1) / HEAD_CHUNK;
    for (int i = 0; i <= shards; i++) columns[i] = 3 * chunk_from[i];
    run_gather(e, t, e->parts, 3 * (size_t)e->n_chunks, e->n_wanted, columns);
    for (int i = 0; i <= shards; i++) columns[i] = i * e->n_judge_max;
    if (e->n_judge_max) run_gather(e, t, e->judged, (size_t)(shards * e->n_judge_max), e->n_wanted, columns);
    for (int i = 0; i <= shards; i++) columns[i] = chunk_from[i] * 2 * e->n_top_max;
    if (e->n_top_max) run_gather(e, t, e->tops, (size_t)(e->n_chunks * 2 * e->n_top_max), e->n_wanted, columns);
}

/* ln p of a logit: on raw logits, in fp32, but for ln of the sum. */
static float ln_p(float logit, struct head_part all)
{
    return (logit - all.max) - (float)math_ln((double)all.sum);
}

static int shard_of(const struct model *m, int32_t id)
{
    int shard = 0;
    while (shard + 1 < m->share.n_shards && id >= m->vocab_from[shard + 1]) shard++;
    return shard;
}

/* Merges each chunk's best, by (logit descending, id ascending). */
static void merge_tops(struct engine *e, int i_wanted, int n_chunks, struct head_part all, struct top *out, int n)
{
    int have = 0;
    const float *tops = e->tops + (size_t)i_wanted * (size_t)e->n_chunks * 2 * (size_t)e->n_top_max;
    for (int i = 0; i < n_chunks * e->n_top_max; i++) {
        int32_t id;
        memcpy(&id, &tops[2 * i + 1], sizeof id);
        int at = have;
        while (at > 0 && better(tops[2 * i], id, out[at - 1].lp, out[at - 1].id)) at--;
        if (at == n) continue;
        if (have < n) have++;
        memmove(out + at + 1, out + at, (size_t)(have - 1 - at) * sizeof *out);
        out[at] = (struct top){id, tops[2 * i]};
    }
    for (int i = 0; i < have; i++) out[i].lp = ln_p(out[i].lp, all);
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
           tops = (size_t)e->n_top_max;
    int rc = room((void **)&e->judged, &e->judged_room, n * shards * judges, sizeof *e->judged);
    if (rc == OK) rc = room((void **)&e->tops, &e->tops_room, n * (size_t)e->n_chunks * 2 * tops, sizeof *e->tops);
    if (rc == OK) rc = room((void **)&e->lp_judged, &e->lp_judged_room, n * judges, sizeof *e->lp_judged);
    if (rc == OK) rc = room((void **)&e->top, &e->top_room, n * tops, sizeof *e->top);
    if (rc != OK) return err_set(err, E_FAIL, "out of memory for the answers of %d rows", e->n_wanted);
    for (size_t i = 0; i < n * shards * judges; i++)
        e->judged[i] = -INFINITY; /* ids at or past n_ids are never chosen */
    return OK;
}

void head_answers(struct engine *e)
{
    const struct model *m = &e->model;
    int n_chunks = (e->n_ids + HEAD_CHUNK - 1) / HEAD_CHUNK;
    for (int i = 0; i < e->n_wanted; i++) {
        const struct row *ask = e->rows[e->wanted[i]].ask;
        const float *parts = e->parts + (size_t)i * (size_t)e->n_chunks * 3;
        struct head_part all, part;
        memcpy(&all, parts, sizeof all);
        for (int c = 1; c < n_chunks; c++) {
            memcpy(&part, parts + 3 * c, sizeof part);
            all = head_merge(all, part);
        }
        float *lp = e->lp_judged + (size_t)i * (size_t)e->n_judge_max;
        for (size_t k = 0; k < ask->n_judge; k++) {
            size_t shard = (size_t)shard_of(m, ask->judge[k]);
            lp[k] = ln_p(e->judged[((size_t)i * (size_t)m->share.n_shards + shard) * (size_t)e->n_judge_max + k], all);
        }
        struct top *top = e->top + (size_t)i * (size_t)e->n_top_max;
        if (ask->n_top) merge_tops(e, i, n_chunks, all, top, (int)ask->n_top);
        e->answers[i] = (struct verdict_row){.next = all.id,
                                             .lp_next = ln_p(all.max, all),
                                             .lp_judged = lp,
                                             .n_judged = ask->n_judge,
                                             .top = top,
                                             .n_top = ask->n_top};
    }
}
