#include "worker/engine/experts.h"

#include <string.h>

#include "worker/engine/gather_acts.h"

static void route(struct engine *e, const struct block *b, int t)
{
    struct mixture *x = &e->mixture;
    const struct shape *s = &e->model.shape;
    int from, to;
    pass_product(e, t, (struct strided){x->scores, x->ld_scores, e->n_rows}, &b->router, &e->norm);
    pool_barrier(e->pool);
    pool_part(e->n_rows, t, e->n_threads, &from, &to);
    for (int i = from; i < to; i++)
        mixture_pick(x->picks + i * s->n_used, x->scores + (size_t)i * x->ld_scores, s->n_experts, s->n_used);
    pool_barrier(e->pool);
    if (t == 0) mixture_sort(x, e->n_rows, s->n_experts, s->n_used);
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
    pass_product(e, t, (struct strided){x->ff + at, e->ld_ff, n}, &expert->gate, &rows);
    pass_product(e, t, (struct strided){x->up + at, e->ld_ff, n}, &expert->up, &rows);
    pass_activate(e, t, x->ff + at, x->up + at, &expert->gate, n);
}

static void output_of(struct engine *e, const struct expert *expert, int pair, int n, int t)
{
    struct mixture *x = &e->mixture;
    size_t at = (size_t)pair * e->ld_y + (size_t)e->model.out_from[e->model.share.shard];
    struct acts rows = acts_from(&x->hidden, pair);
    pass_product(e, t, (struct strided){x->y + at, e->ld_y, n}, &expert->down, &rows);
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

void experts_run(struct engine *e, const struct block *b, int i_entry, int t)
{
    struct mixture *x = &e->mixture;
    const struct model *m = &e->model;
    int n_pairs = e->n_rows * m->shape.n_used, from, to;
    route(e, b, t);
    pool_part(n_pairs, t, e->n_threads, &from, &to);
    for (int i = from; i < to; i++) copy_row(&x->norm, i, &e->norm, x->row_of[i]);
    pool_barrier(e->pool);

    for (int k = 0; k < m->shape.n_experts; k++) {
        pass_between(e, t);
        if (x->from[k] < x->from[k + 1]) hidden_of(e, &b->experts[k], x->from[k], x->from[k + 1] - x->from[k], t);
    }
    pool_barrier(e->pool);
    const struct gather_acts hidden = {
        &x->hidden, {x->ff, e->ld_ff, n_pairs}, m->ff_from, b->experts[0].down.type, i_entry, x->row_of};
    gather_acts(e, t, &hidden);

    for (int k = 0; k < m->shape.n_experts; k++) {
        pass_between(e, t);
        if (x->from[k] < x->from[k + 1]) output_of(e, &b->experts[k], x->from[k], x->from[k + 1] - x->from[k], t);
    }
    pool_barrier(e->pool);
    pool_part(e->n_rows, t, e->n_threads, &from, &to);
    for (int i = from; i < to; i++) add_up(e, i);
    pool_barrier(e->pool);
    pass_gather_y(e, t);
}
