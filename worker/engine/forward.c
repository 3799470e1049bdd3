/* forward.c -- the pass. Of the rows of one pass, each a token of a slot at a position, shapes rows first:
 *
 *   for each entry of the pass, b its block:            x        [n_rows, n_embd]        (1706.03762, norms before)
 *     norm = rms(x) * b.norm_attn                       norm     [n_rows, n_embd]        (1910.07467)
 *     q = norm . b.q^T + b.bias_q                       q        [n_rows, n_head * d_head]
 *     k, v = norm . b.k^T + b.bias_k, ... b.v^T ...     k, v     [n_rows, n_head_kv * d_head]
 *     q, k = rope(q, pos) * q_scale, rope(k, pos)       b.norm_q, b.norm_k before it     (2104.09864)
 *     K[pos], V[pos] = f16(k), f16(v)                   K, V     [n_ctx, d_head] of a slot and KV head
 *     attn_out = softmax(q . K^T) . V                   attn_out [n_rows, n_head * d_head]; each head for itself,
 *                                                       positions up to the row's own, of a window the last
 *     y = attn_out . b.o^T                              y        [n_rows, n_embd]
 *     x += step * y                                     or step * (rms(y) * b.norm_attn_out)
 *     norm = rms(x) * b.norm_mlp
 *     ff = silu(norm . b.gate^T) * (norm . b.up^T)      ff       [n_rows, n_ff]; or gelu (2002.05202)
 *     y = ff . b.down^T                                 or the experts' (experts.h)
 *     x += step * y                                     or step * (rms(y) * b.norm_mlp_out)
 *
 * Of a product w a shard has some rows, so it leaves some columns: all shards' are gathered before they are read whole.
 * Every thread of the pool tells the same story over its part of rows, panels or heads, and meets the others at a
 * barrier after each step. Which thread does what never changes a bit: an output element, a head and a row are each one
 * thread's own. */
#include "worker/engine/forward.h"

#include "kernels/math.h"
#include "worker/engine/experts.h"
#include "worker/engine/gather_acts.h"
#include "worker/engine/head.h"
#include "worker/engine/pass.h"

/* Of every row of the pass. */
static void product(struct engine *e, int i_thread, float *out, size_t ld, const struct weights *w,
                    const struct acts *a)
{
    pass_product(e, i_thread, (struct strided){out, ld, e->n_rows}, w, a);
}

static void norm_heads(struct engine *e, float *x, const float *norm, int n, int d)
{
    for (int i = 0; norm && i < n; i += d) e->k->norm(x + i, x + i, norm, d, e->model.shape.eps);
}

static void add_bias(struct engine *e, float *x, const float *bias, int n)
{
    if (bias) e->k->add(x, bias, n);
}

/* Bias, the heads' own norms, rotary position, and the row's K and V into the cache: attention reads only what was
 * rounded there. */
static void place_row(struct engine *e, const struct block *b, int cache, int i_row)
{
    const struct engine_row *row = &e->rows[i_row];
    const struct model *m = &e->model;
    int d = m->shape.d_head, n_q = b->q.n_out, n_kv = b->k.n_out;
    float *q = e->q + (size_t)i_row * e->ld_q, *k = e->k_new + (size_t)i_row * e->ld_kv,
          *v = e->v_new + (size_t)i_row * e->ld_kv;
    const float *cs = e->cs + ((size_t)(b->n_window ? e->max_rows : 0) + (size_t)i_row) * (size_t)d;
    add_bias(e, q, b->bias_q, n_q);
    add_bias(e, k, b->bias_k, n_kv);
    add_bias(e, v, b->bias_v, n_kv);
    norm_heads(e, q, b->norm_q, n_q, d);
    norm_heads(e, k, b->norm_k, n_kv, d);
    e->k->rope(q, cs, n_q / d, d, m->shape.rope_neox);
    e->k->rope(k, cs, n_kv / d, d, m->shape.rope_neox);
    for (int i = 0; i < n_q; i++) q[i] *= m->shape.q_scale;
    for (int h = 0; h < n_kv / d; h++) {
        size_t at = kv_at(&e->kv, cache, row->slot, h) + (size_t)row->pos * (size_t)d;
        e->k->to_f16(e->kv.k + at, k + h * d, d);
        e->k->to_f16(e->kv.v + at, v + h * d, d);
    }
}

/* How the attention of rows of one slot is cut into items for threads: the rows, then the query heads of a KV head. As
 * few cuts as give threads like shares, for what is read of a KV head serves all rows and heads of an item. */
struct cuts {
    int of_rows, of_heads;
};

static struct cuts cut(int n_kv, int n_rows, int group, int n_threads)
{
    enum { EVEN = 4 }; /* items a thread, with which one more or less does not matter */
    int wanted = 1;    /* KV heads by so many cuts of rows are the same number for every thread */
    while (n_kv * wanted % n_threads) wanted++;
    if (n_rows % wanted == 0 || n_rows >= EVEN * wanted) return (struct cuts){wanted, 1};
    for (int parts = 1; parts < group; parts++)
        if (group % parts == 0 && (n_kv * parts % n_threads == 0 || n_kv * parts >= EVEN * n_threads))
            return (struct cuts){1, parts};
    return (struct cuts){1, group};
}

/* Query heads [from, to) of the model, which share a KV head, of every step-th row of [row, row_end), of one slot. */
struct item {
    int row, row_end, step, from, to;
};

/* In pieces of as much work as the slowest kernels do in a second: between two the thread may look at its messages. */
static void attend(struct engine *e, const struct block *b, int cache, const struct item *item, int t)
{
    const struct model *m = &e->model;
    struct scratch *scratch = &e->scratch[t];
    int d = m->shape.d_head, from = item->from, n_heads = item->to - from;
    int kv_head = from / (m->shape.n_head / m->shape.n_head_kv) - m->kv_from;
    size_t at = kv_at(&e->kv, cache, e->rows[item->row].slot, kv_head);
    for (int i = item->row; i < item->row_end;) {
        int n = 0;
        for (double work = 0; i < item->row_end && work < 0x1p30; i += item->step) {
            int pos = e->rows[i].pos;
            work += 2.0 * n_heads * d * pos;
            scratch->attn_rows[n++] = (struct attention_row){
                .q = e->q + (size_t)i * e->ld_q + (size_t)((from - m->heads_from[m->share.shard]) * d),
                .out = e->attn_out + (size_t)i * e->ld_attn + (size_t)(from * d),
                .first = b->n_window && pos >= b->n_window ? pos + 1 - b->n_window : 0,
                .n_pos = pos + 1,
            };
        }
        attention_rows(e->k, scratch->attn_rows, n, n_heads, e->kv.k + at, e->kv.v + at, (size_t)d, d, scratch->attn);
        pass_between(e, t);
    }
}

/* Items are dealt out like cards, and so are the rows to items: later rows see more positions. */
static void attend_all(struct engine *e, const struct block *b, int cache, int t)
{
    const struct model *m = &e->model;
    int n_kv = m->kv_to - m->kv_from, group = m->shape.n_head / m->shape.n_head_kv, card = 0;
    for (int row = 0, end; row < e->n_rows; row = end) {
        for (end = row + 1; end < e->n_rows && e->rows[end].slot == e->rows[row].slot;) end++;
        struct cuts cuts = cut(n_kv, end - row, group, e->n_threads);
        int size = group / cuts.of_heads, n_parts = n_kv * cuts.of_heads;
        for (int i = 0; i < cuts.of_rows * n_parts; i++) {
            if (card++ % e->n_threads != t) continue;
            int from = m->kv_from * group + i % n_parts * size, to = from + size;
            if (from < m->heads_from[m->share.shard]) from = m->heads_from[m->share.shard];
            if (to > m->heads_from[m->share.shard + 1]) to = m->heads_from[m->share.shard + 1];
            const struct item item = {row + i / n_parts, end, cuts.of_rows, from, to};
            if (from < to) attend(e, b, cache, &item, t);
        }
    }
}

struct step { /* what is not yet added to x: size * y, or size * norm(y) */
    float size;
    const float *norm;
};

static void add_y(struct engine *e, int i_row, const struct step *step)
{
    int n = e->model.shape.n_embd;
    float *x = e->x + (size_t)i_row * (size_t)n, *y = e->y + (size_t)i_row * e->ld_y;
    if (step->norm) e->k->norm(y, y, step->norm, n, e->model.shape.eps);
    if (step->size == 1.0f)
        e->k->add(x, y, n);
    else
        e->k->add_step(x, y, step->size, n);
}

/* x += step for this thread's rows, then the norm of x, ready for the next product. Either half may be absent. */
static void add_and_norm(struct engine *e, int t, const struct step *step, const float *norm, int i_entry)
{
    int from, to, n = e->model.shape.n_embd;
    pool_part(e->n_rows, t, e->n_threads, &from, &to);
    for (int i = from; i < to; i++) {
        float *row = e->scratch[t].row;
        if (step) add_y(e, i, step);
        if (!norm) continue;
        e->k->norm(row, e->x + (size_t)i * (size_t)n, norm, n, e->model.shape.eps);
        pass_quantize(e, &e->norm, i, row, i_entry, i);
    }
    pool_barrier(e->pool);
}

static void quantize_rows(struct engine *e, int t, struct acts *a, const float *x, size_t ld, int i_entry)
{
    int from, to;
    pool_part(e->n_rows, t, e->n_threads, &from, &to);
    for (int i = from; i < to; i++) pass_quantize(e, a, i, x + (size_t)i * ld, i_entry, i);
    pool_barrier(e->pool);
}

/* y = Wo . attention(q, K, V), from e->norm */
static void attention(struct engine *e, const struct block *b, int cache, int i_entry, int t)
{
    const struct model *m = &e->model;
    int d = m->shape.d_head, shard = m->share.shard, from, to, gather_from[MAX_SHARDS + 1];
    product(e, t, e->q, e->ld_q, &b->q, &e->norm);
    product(e, t, e->k_new, e->ld_kv, &b->k, &e->norm);
    product(e, t, e->v_new, e->ld_kv, &b->v, &e->norm);
    pool_barrier(e->pool);

    pool_part(e->n_rows, t, e->n_threads, &from, &to);
    for (int i = from; i < to; i++) place_row(e, b, cache, i);
    pool_barrier(e->pool);
    if (e->fills) return;

    attend_all(e, b, cache, t);
    pool_barrier(e->pool);

    for (int i = 0; i <= m->share.n_shards; i++) gather_from[i] = m->heads_from[i] * d;
    const struct gather_acts out = {&e->attn, {e->attn_out, e->ld_attn, e->n_rows}, gather_from, b->o.type, i_entry,
                                    NULL};
    gather_acts(e, t, &out);
    product(e, t, e->y + m->out_from[shard], e->ld_y, &b->o, &e->attn);
    pool_barrier(e->pool);
    pass_gather_y(e, t);
}

/* y = Wdown . (activation(Wgate . norm) * (Wup . norm)) */
static void mlp(struct engine *e, const struct block *b, int i_entry, int t)
{
    if (b->experts) {
        experts_run(e, b, i_entry, t);
        return;
    }
    const struct model *m = &e->model;
    int shard = m->share.shard, at = m->ff_from[shard];
    product(e, t, e->ff + at, e->ld_ff, &b->gate, &e->norm);
    product(e, t, e->up + at, e->ld_ff, &b->up, &e->norm);
    pass_activate(e, t, e->ff + at, e->up + at, &b->gate, e->n_rows);
    pool_barrier(e->pool);
    const struct gather_acts hidden = {&e->hidden, {e->ff, e->ld_ff, e->n_rows}, m->ff_from, b->down.type, i_entry,
                                       NULL};
    gather_acts(e, t, &hidden);
    product(e, t, e->y + m->out_from[shard], e->ld_y, &b->down, &e->hidden);
    pool_barrier(e->pool);
    pass_gather_y(e, t);
}

/* RoPE: angle = pos * frequency, sin and cos in double by our own code, rounded once. */
void forward_turn_positions(struct engine *e, int t)
{
    int from, to, half = e->model.shape.d_head / 2;
    pool_part(e->n_rows, t, e->n_threads, &from, &to);
    for (int local = 0; local <= (e->model.shape.n_window > 0); local++) {
        const double *freq = e->rope_freq + local * half;
        float *cs = e->cs + ((size_t)(local * e->max_rows) + (size_t)from) * (size_t)half * 2;
        for (int i = from; i < to; i++)
            for (int k = 0; k < half; k++, cs += 2) {
                double s, c;
                math_sincos(e->rows[i].pos * freq[k], &s, &c);
                cs[0] = (float)c;
                cs[1] = (float)s;
            }
    }
}

void forward_run(void *arg, int t)
{
    struct engine *e = arg;
    const struct model *m = &e->model;
    struct step todo, *step = NULL;
    forward_turn_positions(e, t);
    for (int i = e->from; i < e->to; i++) {
        const struct plan_entry *entry = &e->plan->entries[i];
        const struct block *b = &m->blocks[entry->block];
        pass_between(e, t);
        if (entry->part & PART_ATTENTION) {
            add_and_norm(e, t, step, b->norm_attn, i);
            attention(e, b, entry->cache - e->cache_from, i, t);
            if (e->fills) return;
            todo = (struct step){entry->step, b->norm_attn_out};
            step = &todo;
        }
        if (entry->part & PART_MLP) {
            add_and_norm(e, t, step, b->norm_mlp, i);
            mlp(e, b, i, t);
            todo = (struct step){entry->step, b->norm_mlp_out};
            step = &todo;
        }
    }
    add_and_norm(e, t, step, NULL, e->to);
    if (e->heads)
        head_run(e, t);
    else /* only looks: the shards of the next stage must not come to differ over a number */
        quantize_rows(e, t, &e->norm, e->x, (size_t)m->shape.n_embd, e->to);
}
