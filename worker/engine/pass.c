#include "worker/engine/pass.h"

#include <math.h>

void pass_quantize(struct engine *e, struct acts *a, int i_row, const float *x, int i_entry, int i_pass_row)
{
    if (e->k->quantize(a, i_row, x) < 0 || row_is_bad(e, i_pass_row)) return;
    atomic_store(&e->bad_entry[i_pass_row], i_entry); /* entries come one after the other: it is the first */
}

void pass_between(struct engine *e, int i_thread)
{
    if (i_thread == 0 && e->between && e->rc == OK) e->rc = e->between(e->between_arg, &e->err);
}

void pass_gather(struct engine *e, int i_thread, float *buf, size_t ld, int n_rows, const int *from)
{
    if (!e->col) return;
    pool_barrier(e->pool);
    if (i_thread == 0 && e->rc == OK) e->rc = e->col->gather(e->col, buf, ld, n_rows, from, &e->err);
    pool_barrier(e->pool);
}

void pass_gather_y(struct engine *e, int i_thread)
{
    const int *from = e->model.out_from, shard = e->model.share.shard;
    for (int i = 0; e->col && i_thread == 0 && i < e->n_rows; i++)
        for (int k = from[shard]; row_is_bad(e, i) && k < from[shard + 1]; k++)
            e->y[(size_t)i * e->ld_y + (size_t)k] = NAN;
    pass_gather(e, i_thread, e->y, e->ld_y, e->n_rows, from);
}

/* As much work as the slowest kernels do in some tenths of a second. */
static int panels_between_looks(const struct weights *w, int n_rows)
{
    double most = 0x1p27, each = (double)w->n_in * PANEL * n_rows;
    return each < most ? (int)(most / each) : 1;
}

void pass_product(struct engine *e, int i_thread, struct strided out, const struct weights *w, const struct acts *a)
{
    int from, to;
    pool_part(n_panels(w), i_thread, e->n_threads, &from, &to);
    int piece = i_thread == 0 && e->between ? panels_between_looks(w, out.n_rows) : to - from;
    for (int end; from < to; from = end) {
        end = to - from > piece ? from + piece : to;
        e->k->matmul(out.at, out.ld, w, a, out.n_rows, from, end);
        if (end < to) pass_between(e, i_thread);
    }
}

void pass_activate(struct engine *e, int i_thread, float *gate, const float *up, const struct weights *w, int n_rows)
{
    int from, to;
    pool_part(n_panels(w), i_thread, e->n_threads, &from, &to);
    from *= PANEL;
    to = to * PANEL < w->n_out ? to * PANEL : w->n_out;
    for (int i = 0; i < n_rows && from < to; i++, gate += e->ld_ff, up += e->ld_ff)
        (e->model.shape.gelu ? e->k->gelu_mul : e->k->silu_mul)(gate + from, gate + from, up + from, to - from);
}
