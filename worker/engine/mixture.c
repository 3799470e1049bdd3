#include "worker/engine/mixture.h"

#include <stdlib.h>
#include <string.h>

#include "kernels/math.h"
#include "worker/engine/pass.h"

/* ---- who wants whom ---- */

/* The n_used greatest scores, the smaller id of equals; then by id, with their softmax. */
static void pick(struct choice *picks, const float *scores, int n_experts, int n_used)
{
    for (int i = 0; i < n_used; i++) {
        int best = -1;
        for (int k = 0; k < n_experts; k++) {
            bool taken = false;
            for (int j = 0; j < i; j++) taken |= picks[j].expert == k;
            if (!taken && (best < 0 || scores[k] > scores[best])) best = k;
        }
        picks[i] = (struct choice){best, 0};
    }
    float max = scores[picks[0].expert], sum = 0;
    for (int i = 1; i < n_used; i++) /* by id */
        for (int j = i; j > 0 && picks[j].expert < picks[j - 1].expert; j--) {
            struct choice lower = picks[j];
            picks[j] = picks[j - 1];
            picks[j - 1] = lower;
        }
    for (int i = 0; i < n_used; i++) sum += picks[i].weight = math_expf(scores[picks[i].expert] - max);
    for (int i = 0; i < n_used; i++) picks[i].weight /= sum;
}

/* Pairs by expert, of each by row. One thread. */
static void sort_pairs(struct mixture *x, int n_rows, int n_experts, int n_used)
{
    int n = n_rows * n_used;
    memset(x->from, 0, ((size_t)n_experts + 1) * sizeof *x->from);
    for (int i = 0; i < n; i++) x->from[x->picks[i].expert + 1]++;
    for (int k = 0; k < n_experts; k++) x->from[k + 1] += x->from[k];
    for (int i = 0; i < n; i++) {
        int pair = x->from[x->picks[i].expert]++; /* runs to the next expert's; set back below */
        x->pair_of[i] = pair;
        x->row_of[pair] = i / n_used;
    }
    for (int k = n_experts; k > 0; k--) x->from[k] = x->from[k - 1];
    x->from[0] = 0;
}

static void route(struct engine *e, const struct block *b, int t)
{
    struct mixture *x = &e->mixture;
    const struct shape *s = &e->model.shape;
    int from, to;
    run_product(e, t, x->scores, x->ld_scores, &b->router, &e->norm, e->n_rows);
    pool_barrier(e->pool);
    pool_part(e->n_rows, t, e->n_threads, &from, &to);
    for (int i = from; i < to; i++)
        pick(x->picks + i * s->n_used, x->scores + (size_t)i * x->ld_scores, s->n_experts, s->n_used);
    pool_barrier(e->pool);
    if (t == 0) sort_pairs(x, e->n_rows, s->n_experts, s->n_used);
    pool_barrier(e->pool);
}

/* ---- what they say ---- */

/* Rows are ready already: a pair has its row's. */
static void copy_row(struct acts *to, int pair, const struct acts *from, int row)
{
    size_t n = (size_t)to->n_in, n_blocks = n / BLOCK;
    if (to->x) memcpy(to->x + (size_t)pair * n, from->x + (size_t)row * n, n * sizeof *to->x);
    if (to->blocks)
        memcpy(to->blocks + (size_t)pair * n_blocks, from->blocks + (size_t)row * n_blocks,
               n_blocks * sizeof *to->blocks);
}

/* Of n pairs of one expert, from this pair on. */
static void hidden_of(struct engine *e, const struct expert *expert, int pair, int n, int t)
{
    struct mixture *x = &e->mixture;
    size_t at = (size_t)pair * e->ld_ff + (size_t)e->model.ff_from[e->model.share.shard];
    struct acts rows = acts_from(&x->norm, pair);
    run_product(e, t, x->ff + at, e->ld_ff, &expert->gate, &rows, n);
    run_product(e, t, x->up + at, e->ld_ff, &expert->up, &rows, n);
    run_activate(e, t, x->ff + at, x->up + at, &expert->gate, n);
}

static void output_of(struct engine *e, const struct expert *expert, int pair, int n, int t)
{
    struct mixture *x = &e->mixture;
    size_t at = (size_t)pair * e->ld_y + (size_t)e->model.out_from[e->model.share.shard];
    struct acts rows = acts_from(&x->hidden, pair);
    run_product(e, t, x->y + at, e->ld_y, &expert->down, &rows, n);
}

/* This shard's columns of y: the weighed sum of a row's pairs, from +0, by increasing expert. */
static void add_up(struct engine *e, int row)
{
    struct mixture *x = &e->mixture;
    int shard = e->model.share.shard, at = e->model.out_from[shard], n = e->model.out_from[shard + 1] - at;
    int n_used = e->model.shape.n_used;
    float *y = e->y + (size_t)row * e->ld_y + at;
    memset(y, 0, (size_t)n * sizeof *y);
    for (int i = row * n_used; i < (row + 1) * n_used; i++)
        e->k->add_step(y, x->y + (size_t)x->pair_of[i] * e->ld_y + at, x->picks[i].weight, n);
}

void mixture_run(struct engine *e, const struct block *b, int i_entry, int t)
{
    struct mixture *x = &e->mixture;
    const struct model *m = &e->model;
    int n_pairs = e->n_rows * m->shape.n_used, from, to;
    route(e, b, t);
    pool_part(n_pairs, t, e->n_threads, &from, &to);
    for (int i = from; i < to; i++) copy_row(&x->norm, i, &e->norm, x->row_of[i]);
    pool_barrier(e->pool);

    for (int k = 0; k < m->shape.n_experts; k++)
        if (x->from[k] < x->from[k + 1]) hidden_of(e, &b->experts[k], x->from[k], x->from[k + 1] - x->from[k], t);
    pool_barrier(e->pool);
    run_gather(e, t, x->ff, e->ld_ff, n_pairs, m->ff_from);
    for (int i = from; i < to; i++) run_quantize(e, &x->hidden, i, x->ff + (size_t)i * e->ld_ff, i_entry, x->row_of[i]);
    pool_barrier(e->pool);

    for (int k = 0; k < m->shape.n_experts; k++)
        if (x->from[k] < x->from[k + 1]) output_of(e, &b->experts[k], x->from[k], x->from[k + 1] - x->from[k], t);
    pool_barrier(e->pool);
    pool_part(e->n_rows, t, e->n_threads, &from, &to);
    for (int i = from; i < to; i++) add_up(e, i);
    pool_barrier(e->pool);
    run_gather(e, t, e->y, e->ld_y, e->n_rows, m->out_from);
}

/* ---- room ---- */

bool mixture_init(struct mixture *x, const struct model *m, size_t max_rows, size_t ld_ff, size_t ld_y)
{
    const struct shape *s = &m->shape;
    if (!s->n_experts) return true;
    size_t n = max_rows * (size_t)s->n_used;
    x->ld_scores = padded(s->n_experts);
    x->picks = calloc(n, sizeof *x->picks);
    x->pair_of = calloc(n, sizeof *x->pair_of);
    x->row_of = calloc(n, sizeof *x->row_of);
    x->from = calloc((size_t)s->n_experts + 1, sizeof *x->from);
    return x->picks && x->pair_of && x->row_of && x->from && floats_init(&x->scores, max_rows * x->ld_scores) &&
           floats_init(&x->ff, n * ld_ff) && floats_init(&x->up, n * ld_ff) && floats_init(&x->y, n * ld_y) &&
           acts_init(&x->norm, m, n, s->n_embd) && acts_init(&x->hidden, m, n, s->n_ff);
}

void mixture_free(struct mixture *x)
{
    void *owned[] = {x->scores, x->picks, x->pair_of, x->row_of, x->from, x->ff, x->up, x->y};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++) free(owned[i]);
    acts_free(&x->norm);
    acts_free(&x->hidden);
}
