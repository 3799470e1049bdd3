#include "worker/engine/gather_acts.h"

#include <math.h>
#include <string.h>

/* Of a block what the others need. */
struct sent {
    float s; /* NaN, in the first block of a part: a number of the part is not finite */
    int8_t q[BLOCK];
};
enum { SENT_FLOATS = sizeof(struct sent) / sizeof(float) };

/* Whether blocks are gathered. */
static bool is_quantized(const int *from, int n_shards, enum quant reads)
{
    bool whole = !quant_is_float(reads);
    for (int i = 0; i <= n_shards; i++) whole &= from[i] % BLOCK == 0;
    return whole;
}

static uint64_t row_bytes(int n_columns, bool quantized)
{
    return quantized ? (uint64_t)n_columns / BLOCK * sizeof(struct sent) : (uint64_t)n_columns * sizeof(float);
}

void gather_row_bytes(const struct model *m, uint64_t *n_bytes, uint64_t *float_bytes)
{
    const struct shape *s = &m->shape;
    int n = m->share.n_shards, d = s->d_head, heads_from[MAX_SHARDS + 1], n_hidden = s->n_experts ? s->n_used : 1;
    *n_bytes = *float_bytes = 0;
    for (int i = 0; i <= n; i++) heads_from[i] = m->heads_from[i] * d;
    for (int i = m->entry_from; i < m->entry_to && n > 1; i++) {
        const struct plan_entry *entry = &m->plan.entries[i];
        const struct block *b = &m->blocks[entry->block];
        uint64_t y = row_bytes(s->n_embd, false);
        if (entry->part & PART_ATTENTION) {
            *n_bytes += y + row_bytes(s->n_head * d, is_quantized(heads_from, n, b->o.type));
            *float_bytes += y + row_bytes(s->n_head * d, false);
        }
        if (entry->part & PART_MLP) {
            enum quant reads = b->experts ? b->experts[0].down.type : b->down.type;
            *n_bytes += y + (uint64_t)n_hidden * row_bytes(s->n_ff, is_quantized(m->ff_from, n, reads));
            *float_bytes += y + (uint64_t)n_hidden * row_bytes(s->n_ff, false);
        }
    }
}

bool gather_acts_init(float **room, size_t n_rows, int n_columns)
{
    return floats_init(room, n_rows * ((size_t)n_columns / BLOCK) * SENT_FLOATS);
}

static void note_bad(struct engine *e, const struct gather_acts *g, int i_row)
{
    int row = g->row_of ? g->row_of[i_row] : i_row;
    if (!row_is_bad(e, row)) atomic_store(&e->bad_entry[row], g->i_entry);
}

/* This shard's columns of a row, blocks [from, to). */
static void put_row(struct engine *e, const struct gather_acts *g, int i_row, struct sent *out, int from, int to)
{
    struct act *blocks = g->to->blocks + (size_t)i_row * (size_t)(g->to->n_in / BLOCK);
    struct acts part = {(to - from) * BLOCK, NULL, blocks + from};
    bool bad = e->k->quantize(&part, 0, g->x.at + (size_t)i_row * g->x.ld + (size_t)from * BLOCK) >= 0;
    for (int i = from; i < to; i++) {
        out[i].s = blocks[i].s;
        memcpy(out[i].q, blocks[i].q, BLOCK);
    }
    if (!bad) return;
    out[from].s = NAN;
    note_bad(e, g, i_row);
}

/* What quantize leaves beside s and q. */
static void take_block(struct act *a, const struct sent *in)
{
    *a = (struct act){.s = in->s};
    memcpy(a->q, in->q, BLOCK);
    for (int i = 0; i < BLOCK; i++) {
        a->sum[i / 16] += a->q[i];
        a->pair[i / 16 * 2 + i % 4 / 2] += a->q[i];
    }
    a->u = a->s * (float)(a->sum[0] + a->sum[1]);
}

static void take_row(struct engine *e, const struct gather_acts *g, int i_row, const struct sent *in)
{
    int shard = e->model.share.shard, n_shards = e->model.share.n_shards;
    struct act *blocks = g->to->blocks + (size_t)i_row * (size_t)(g->to->n_in / BLOCK);
    for (int k = 0; k < n_shards; k++) {
        int from = g->from[k] / BLOCK, to = g->from[k + 1] / BLOCK;
        if (k == shard || from == to) continue;
        if (isnan(in[from].s)) note_bad(e, g, i_row);
        for (int i = from; i < to; i++) take_block(&blocks[i], &in[i]);
    }
}

static void gather_floats(struct engine *e, int t, const struct gather_acts *g)
{
    int from, to;
    pass_gather(e, t, g->x.at, g->x.ld, g->x.n_rows, g->from);
    pool_part(g->x.n_rows, t, e->n_threads, &from, &to);
    for (int i = from; i < to; i++)
        pass_quantize(e, g->to, i, g->x.at + (size_t)i * g->x.ld, g->i_entry, g->row_of ? g->row_of[i] : i);
    pool_barrier(e->pool);
}

void gather_acts(struct engine *e, int t, const struct gather_acts *g)
{
    int n_shards = e->model.share.n_shards, shard = e->model.share.shard, n_blocks = g->to->n_in / BLOCK, from, to;
    int sent_from[MAX_SHARDS + 1];
    if (!e->col || !is_quantized(g->from, n_shards, g->reads)) {
        gather_floats(e, t, g);
        return;
    }
    struct sent *sent = (struct sent *)e->sent;
    int own_from = g->from[shard] / BLOCK, own_to = g->from[shard + 1] / BLOCK;
    pool_part(g->x.n_rows, t, e->n_threads, &from, &to);
    for (int i = from; i < to && own_from < own_to; i++)
        put_row(e, g, i, sent + (size_t)i * (size_t)n_blocks, own_from, own_to);
    for (int i = 0; i <= n_shards; i++) sent_from[i] = g->from[i] / BLOCK * SENT_FLOATS;
    pass_gather(e, t, e->sent, (size_t)n_blocks * SENT_FLOATS, g->x.n_rows, sent_from);
    for (int i = from; i < to; i++) take_row(e, g, i, sent + (size_t)i * (size_t)n_blocks);
    pool_barrier(e->pool);
}
