/* device_fuse.cuh -- ops that share a kernel: a READY is made by the products that read it, and products beside each
 * other that read the same rows are one launch, where they go by clusters (mm_cluster.cuh). The table knows nothing of
 * it; the bits are the same.
 *
 *   ADD, READY(X), PRODUCT, PRODUCT, PRODUCT, PLACE  ─▶  add (with the rows' scales), mm_cluster, place
 */
#ifndef KERNELS_CUDA_DEVICE_FUSE_CUH
#define KERNELS_CUDA_DEVICE_FUSE_CUH

#include "kernels/cuda/device_ops.cuh"

/* Whether an ADD of these ops has left the scales of X as it is at op i. Behind a HEAD there may be other rows. */
static bool is_scaled(const device *d, size_t from, size_t i)
{
    for (; i > from; i--) {
        const enum device_op_kind kind = d->ops[i - 1].kind;
        if (kind == DEVICE_ADD) return adds_scales(d);
        if (kind == DEVICE_SHARE || kind == DEVICE_HEAD) return false;
    }
    return false;
}

/* The op behind the products from i on that go by clusters and leave `source` as it is. */
static size_t behind_products(device *d, size_t i, int n_rows, enum device_buffer source)
{
    while (i < d->next && d->ops[i].kind == DEVICE_PRODUCT && d->ops[i].buffer != source &&
           goes_by_clusters(d, &d->matrices[(size_t)d->ops[i].matrix], n_rows))
        i++;
    return i;
}

/* Whether nobody else reads the READY at i, of ops [from, d->next): until the next one, or the HEAD that ends a pass.
 * For what reads it after that there is write_ready. */
static bool is_fused(device *d, size_t from, size_t i)
{
    const device_op *op = &d->ops[i];
    const int n_rows = op->rows ? op->n_rows : d->n_run;
    if (n_rows == 0 || (op->norm >= 0 && (op->buffer != DEVICE_X || op->first || !is_scaled(d, from, i)))) return false;
    size_t next = behind_products(d, i + 1, n_rows, op->buffer);
    if (next < d->next && d->ops[next].kind == DEVICE_HEAD)
        return goes_by_clusters(d, &d->matrices[(size_t)d->ops[next].matrix], n_rows);
    for (; next < d->next && next > i + 1; next++) {
        if (d->ops[next].kind == DEVICE_READY) return true;
        if (d->ops[next].kind == DEVICE_PRODUCT || d->ops[next].kind == DEVICE_HEAD) return false;
    }
    return false;
}

/* The newest READY, if only products have made it, before its lists on the device become others. */
static int write_ready(device *d)
{
    if (!d->is_latent) return 0;
    d->after_kernel = false;
    return run_ready(d, &d->latent);
}

/* What is left to be read after a graph of ops [from, d->next). */
static void note_replay(device *d, size_t from)
{
    for (size_t i = d->next; i-- > from;) {
        if (d->ops[i].kind != DEVICE_READY) continue;
        note_ready(d, &d->ops[i], is_fused(d, from, i));
        return;
    }
}

/* Products from *i on that are one launch; on to the op behind them. */
static int run_products(device *d, size_t *i)
{
    const device_op *op = &d->ops[*i];
    const matrix *first = &d->matrices[(size_t)op->matrix];
    const size_t end = behind_products(d, *i, d->ready_rows, N_DEVICE_BUFFERS);
    mm_share of[CLUSTER_MATRICES];
    int n = 0;
    for (; *i < end && n < CLUSTER_MATRICES; ++*i) {
        const device_op *same = &d->ops[*i];
        const matrix *m = &d->matrices[(size_t)same->matrix];
        if (m->type != first->type || m->n_in != first->n_in || same->n_rows != op->n_rows) break;
        of[n++] = {m->weights, m->l.undo,           m->l.n_pairs,       0, (m->n_out + PANEL - 1) / PANEL,
                   0,          d->of[same->buffer], d->ld[same->buffer]};
    }
    return run_by_clusters(d, first, of, n, 0, rows_of(d, op), next_on(d));
}

/* Op *i of those from `from` on, and those that share its kernel; on to the next. */
static int run_some(device *d, size_t from, size_t *i)
{
    const device_op *op = &d->ops[*i];
    if (op->kind == DEVICE_PRODUCT && behind_products(d, *i, d->ready_rows, N_DEVICE_BUFFERS) > *i)
        return run_products(d, i);
    ++*i;
    if (op->kind != DEVICE_READY || !is_fused(d, from, *i - 1)) return run_op(d, op);
    note_ready(d, op, true);
    return 0;
}

#endif
