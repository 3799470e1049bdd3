/* device_ops.cuh -- which kernel does an op of a pass, with which arguments. Each function launches on the device's
 * stream and returns 0 or a cudaError_t. */
#ifndef KERNELS_CUDA_DEVICE_OPS_CUH
#define KERNELS_CUDA_DEVICE_OPS_CUH

#include "kernels/cuda/device_memory.cuh"

static const float *vector_of(const device *d, int i)
{
    return i < 0 ? nullptr : d->vectors[(size_t)i];
}

static cache_args cache_of(const device *d, int cache)
{
    const device_shape *s = &d->s;
    const size_t n = (size_t)s->n_slots * (size_t)s->n_head_kv * (size_t)d->ctx_room * (size_t)s->d_head,
                 at = (size_t)cache * n;
    return {d->rows, d->keys + at, d->values + at, s->n_head_kv, s->d_head, d->ctx_room};
}

/* Of ops that may be of the first rows alone. */
static int rows_of(const device *d, const device_op *op)
{
    return op->n_rows ? op->n_rows : d->n_run;
}

/* What products will read. latent: they make it. */
static void note_ready(device *d, const device_op *op, bool latent)
{
    d->is_latent = latent;
    d->latent = *op;
    d->n_ready = device_width(&d->s, op->buffer);
    d->ready_rows = op->rows ? op->n_rows : d->n_run;
    d->ready_tiles = layout_x_tiles(d->ready_rows);
    d->ready_undo = op->buffer == DEVICE_FF ? 1.0f / DOWN_FF : 1.0f;
}

static ready_args ready_args_of(const device *d, const device_op *op)
{
    const int width = device_width(&d->s, op->buffer);
    ready_args a = {};
    a.x = d->of[op->buffer];
    a.ld = d->ld[op->buffer];
    a.n = width;
    a.width_x = layout_x_width(width);
    a.tiles = d->ready_tiles;
    a.norm = vector_of(d, op->norm);
    a.eps = d->s.eps;
    a.down = op->buffer == DEVICE_FF ? DOWN_FF : 1.0f;
    a.half = d->half;
    a.brain = d->brain;
    a.plain = d->plain;
    a.rows = d->rows;
    a.which = op->rows;
    a.first = op->first;
    a.entry = op->entry;
    a.looked_at = op->buffer == DEVICE_X && op->norm < 0;
    a.n_rows = d->ready_rows;
    a.scales = d->scales;
    return a;
}

static int run_ready(device *d, const device_op *op)
{
    note_ready(d, op, false);
    if (d->ready_rows == 0) return 0;
    return PF_LAUNCH(ready, d->ready_rows, ROW_THREADS, 0, next_on(d), ready_args_of(d, op));
}

static int run_place(device *d, const device_op *op)
{
    const device_shape *s = &d->s;
    place_args a = {};
    a.q = d->of[DEVICE_Q];
    a.k = d->of[DEVICE_K];
    a.v = d->of[DEVICE_V];
    a.ld_q = d->ld[DEVICE_Q];
    a.ld_k = d->ld[DEVICE_K];
    a.ld_v = d->ld[DEVICE_V];
    for (int i = 0; i < 3; i++) a.bias[i] = vector_of(d, op->bias[i]);
    a.norm_q = vector_of(d, op->norm_q);
    a.norm_k = vector_of(d, op->norm_k);
    a.cs = d->cs + (op->local ? (size_t)s->max_rows * (size_t)s->d_head : 0);
    a.cache = cache_of(d, op->cache);
    a.n_head = s->n_head;
    a.eps = s->eps;
    a.q_scale = s->q_scale;
    a.neox = s->rope_neox;
    a.entry = op->entry;
    return PF_LAUNCH(place, d->n_run, ROW_THREADS, 0, next_on(d), a);
}

template <int MT> static int launch_attend(device *d, const attend_args &a)
{
    auto kernel = attend<MT>;
    const dim3 grid((unsigned)d->attention.n_units, (unsigned)d->s.n_head_kv, (unsigned)d->n_z);
    return PF_LAUNCH(kernel, grid, ROW_THREADS, attend_n_shared<MT>(d->s.d_head), next_on(d), a);
}

static int run_attend(device *d, const device_op *op)
{
    const device_shape *s = &d->s;
    attend_args a = {};
    a.q = d->of[DEVICE_Q];
    a.out = d->of[DEVICE_ATTN];
    a.ld_q = d->ld[DEVICE_Q];
    a.ld_out = d->ld[DEVICE_ATTN];
    a.cache = cache_of(d, op->cache);
    a.n_window = op->n_window;
    a.n_head = s->n_head;
    a.group = s->group;
    a.head_at = s->head_at;
    a.heads = d->heads;
    a.units = d->units;
    a.of_row = d->of_row;
    a.work = d->work;
    a.n_tile = 16 * d->attention.tiles;
    const int rc = d->attention.tiles == 1 ? launch_attend<1>(d, a) : launch_attend<2>(d, a);
    if (rc || !d->attention.merges) return rc;
    return PF_LAUNCH(attend_merge, dim3((unsigned)s->n_head, (unsigned)d->n_run), ROW_THREADS, 0, next_on(d), a,
                     d->n_z);
}

static int run_activate(device *d, const device_op *op)
{
    const activate_args a = {d->of[DEVICE_FF], d->of[DEVICE_UP], d->ld[DEVICE_FF],
                             d->ld[DEVICE_UP], d->s.n_ff,        d->s.gelu};
    const dim3 grid((unsigned)(d->s.n_ff + ROW_THREADS - 1) / ROW_THREADS, (unsigned)rows_of(d, op));
    return PF_LAUNCH(activate, grid, ROW_THREADS, 0, next_on(d), a);
}

static int run_clear(device *d)
{
    d->after_kernel = false;
    return cudaMemsetAsync(d->of[DEVICE_Y], 0, (size_t)d->n_run * d->ld[DEVICE_Y] * sizeof(float), d->stream);
}

static int run_mix(device *d, const device_op *op)
{
    const mix_args a = {d->of[DEVICE_Y], d->of[DEVICE_PAIR], d->ld[DEVICE_Y], d->ld[DEVICE_PAIR],
                        d->s.n_embd,     op->rows,           op->weights};
    return PF_LAUNCH(mix, op->n_rows, ROW_THREADS, 0, next_on(d), a);
}

/* Whether an ADD leaves the scales of X: products by clusters read them. */
static bool adds_scales(const device *d)
{
    return d->clusters.there && d->n_run <= CLASS_MOST;
}

static int run_add(device *d, const device_op *op)
{
    float *scales = adds_scales(d) ? d->scales : nullptr;
    const add_args a = {d->of[DEVICE_X],        d->of[DEVICE_Y], d->ld[DEVICE_X], d->s.n_embd,
                        vector_of(d, op->norm), d->s.eps,        op->step,        scales};
    return PF_LAUNCH(add, d->n_run, ROW_THREADS, 0, next_on(d), a);
}

/* Whether so many READY rows, times a matrix, go by clusters. */
static bool goes_by_clusters(device *d, const matrix *m, int n_rows)
{
    return n_rows <= CLASS_MOST && mm_clusters(m->type, m->l, layout_x_tiles(n_rows), d->products, &d->clusters) > 0;
}

/* READY rows from `row` on, times matrices that are as m, by clusters. */
static int run_by_clusters(device *d, const matrix *m, const mm_share *of, int n, int row, int n_rows, launch_on on)
{
    mm_cluster_args a = {};
    for (int i = 0; i < n; i++) a.of[i] = of[i];
    a.l = m->l;
    if (!d->is_latent) a.x = m->type == QUANT_BF16 ? d->brain : d->half;
    if (d->is_latent) a.from = ready_args_of(d, &d->latent);
    a.row = row;
    a.n_rows = n_rows;
    a.undo = d->ready_undo;
    return launch_mm_clusters(m->type, a, n, d->ready_tiles, d->products, &d->clusters, on);
}

/* READY rows from `row` on, times panels from `i_panel` on. */
static int run_product(device *d, int i_matrix, int row, int n_rows, int i_panel, int n_panels, float *out, size_t ld,
                       launch_on on)
{
    const matrix *m = &d->matrices[(size_t)i_matrix];
    if (goes_by_clusters(d, m, d->ready_rows)) {
        const mm_share all = {m->weights, m->l.undo, m->l.n_pairs, i_panel, n_panels, 0, out, ld};
        return run_by_clusters(d, m, &all, 1, row, n_rows, on);
    }
    mm_args a = mm_args_of(m);
    a.first_panel = i_panel;
    a.n_panels = n_panels;
    a.x = m->type == QUANT_BF16 ? d->brain : d->half;
    a.x32 = d->plain;
    a.width_x = layout_x_width(d->n_ready);
    a.row = row;
    a.n_rows = n_rows;
    a.out = out;
    a.ld_out = ld;
    a.undo = m->type == QUANT_F32 ? 1.0f : d->ready_undo;
    return launch_mm(m->type, a, d->ready_tiles, d->products, on);
}

/* A piece of the ids after another, and what is asked of them. */
static int run_head(device *d, const device_op *op)
{
    const size_t most = d->n_logits / (size_t)op->n_rows / HEAD_CHUNK;
    const int n_chunks = (op->n_ids + HEAD_CHUNK - 1) / HEAD_CHUNK,
              n_piece = n_chunks < (int)most ? n_chunks : (int)most;
    head_args a = {};
    int rc = 0;
    a.logits = d->logits;
    a.ld = (size_t)n_piece * HEAD_CHUNK;
    a.limits = op->rows;
    a.parts = d->parts;
    a.n_parts = n_chunks;
    a.ld_parts = d->ld_parts;
    a.judge = op->judge;
    a.n_judge = op->n_judge;
    a.judged = d->judged;
    a.asks = op->asks;
    a.first_id = op->first_id;
    a.n_best = op->n_best;
    a.picks = d->picks;
    a.offered = d->offered;
    a.best = d->best;
    for (int chunk = 0; chunk < n_chunks && rc == 0; chunk += n_piece) {
        const int n = n_chunks - chunk < n_piece ? n_chunks - chunk : n_piece;
        a.first = chunk * HEAD_CHUNK;
        const int n_ids = op->n_ids - a.first < n * HEAD_CHUNK ? op->n_ids - a.first : n * HEAD_CHUNK;
        rc = run_product(d, op->matrix, 0, op->n_rows, a.first / PANEL, (n_ids + PANEL - 1) / PANEL, d->logits, a.ld,
                         next_on(d));
        const dim3 grid((unsigned)n, (unsigned)op->n_rows);
        if (rc == 0) rc = PF_LAUNCH(head_chunks, grid, ROW_THREADS, 0, next_on(d), a);
        if (rc == 0 && op->asks) rc = PF_LAUNCH(head_asks, grid, ROW_THREADS, 0, next_on(d), a);
    }
    if (rc == 0 && op->asks) rc = PF_LAUNCH(head_asks_row, op->n_rows, ROW_THREADS, 0, next_on(d), a);
    return rc || !op->whole ? rc : PF_LAUNCH(head_merge_row, op->n_rows, ROW_THREADS, 0, next_on(d), a);
}

/* X of the step that follows a HEAD. */
static int run_next(device *d, const step *s, const device_op *head)
{
    const matrix *m = &d->matrices[(size_t)s->matrix];
    mm_args a = mm_args_of(m);
    a.out = d->of[DEVICE_X];
    a.ld_out = d->ld[DEVICE_X];
    a.n_rows = d->n_run;
    const int n_chunks = (head->n_ids + HEAD_CHUNK - 1) / HEAD_CHUNK;
    const next_args n = {d->parts + n_chunks, (size_t)d->ld_parts, d->rows, m->n_out, s->scale};
    return launch_next(m->type, a, n, next_on(d));
}

static int run_gather(device *d, const device_op *op)
{
    exchanges *x = &d->comms;
    const int n = x->of[DEVICE_SHARDS].n, self = x->of[DEVICE_SHARDS].self, *from = op->from,
              n_columns = from[n] - from[0], own = from[self + 1] - from[self];
    gather_args a = {};
    a.rows = d->of[op->buffer];
    a.ld = d->ld[op->buffer];
    a.parts = x->parts;
    a.n_rows = rows_of(d, op);
    a.self = self;
    memcpy(a.from, from, (size_t)(n + 1) * sizeof *from);
    a.count = &x->counts[0];
    const unsigned rows = (unsigned)a.n_rows, most = ROW_THREADS - 1;
    int rc =
        PF_LAUNCH(pack, dim3(rows, ((unsigned)own + most) / ROW_THREADS + (own == 0)), ROW_THREADS, 0, alone_on(d), a);
    d->after_kernel = false; /* spread lets nothing begin beside it */
    if (rc || !exchange_parts(x, &a, d->stream)) return rc;
    a.count = &x->counts[1];
    return PF_LAUNCH(spread, dim3(rows, ((unsigned)n_columns + most) / ROW_THREADS), ROW_THREADS, 0, alone_on(d), a, n);
}

/* As pack and spread count. */
static int counted(device *d, bool done)
{
    return PF_LAUNCH(count_exchange, 1, 1, 0, alone_on(d), &d->comms.counts[done]);
}

static int run_share(device *d)
{
    exchanges *x = &d->comms;
    float *rows = d->of[DEVICE_X];
    const size_t n = (size_t)d->n_rows * d->ld[DEVICE_X];
    const int rc = counted(d, false);
    d->after_kernel = false;
    ncclComm *comm = x->of[DEVICE_SHARDS].comm;
    if (rc || !went_well(x, DEVICE_SHARDS, x->lib->Broadcast(rows, rows, n, NCCL_FLOAT, 0, comm, d->stream))) return rc;
    return counted(d, true);
}

static int run_op(device *d, const device_op *op)
{
    switch (op->kind) {
    case DEVICE_READY: return run_ready(d, op);
    case DEVICE_PRODUCT: {
        const int n_panels = (d->matrices[(size_t)op->matrix].n_out + PANEL - 1) / PANEL;
        return run_product(d, op->matrix, 0, rows_of(d, op), 0, n_panels, d->of[op->buffer], d->ld[op->buffer],
                           next_on(d));
    }
    case DEVICE_PLACE: return run_place(d, op);
    case DEVICE_ATTEND: return run_attend(d, op);
    case DEVICE_ACTIVATE: return run_activate(d, op);
    case DEVICE_ADD: return run_add(d, op);
    case DEVICE_CLEAR: return run_clear(d);
    case DEVICE_MIX: return run_mix(d, op);
    case DEVICE_HEAD: return run_head(d, op);
    case DEVICE_GATHER: return run_gather(d, op);
    case DEVICE_SHARE: return run_share(d);
    }
    return cudaErrorInvalidValue;
}

#endif
