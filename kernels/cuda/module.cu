/* module.cu -- the device table (kernels/device.h) on CUDA: memory, one stream, and which kernel does an op.
 *
 * Every call that the driver refuses marks the device as lost; from then on nothing is launched, and poll says so. What
 * goes in and out of a pass goes through pinned memory. */
#include "kernels/cuda/attend.cuh"
#include "kernels/cuda/exchange.cuh"
#include "kernels/cuda/glue.cuh"
#include "kernels/cuda/launch_mm.cuh"
#include "kernels/cuda/repack.cuh"
#include "kernels/cuda/selftest.h"
#include "kernels/now.h"

#include <stdio.h>
#include <string.h>

#include <vector>

/* The hidden rows of an MLP reach 2^6 times what f16 holds (ARITHMETIC.md, arithmetic id 2). */
static constexpr float DOWN_FF = 0x1p-6f;
enum { N_STAGED = 8, N_LISTED = 32 };

struct device {
    device_shape s;
    cudaStream_t stream;
    bool lost;
    std::vector<void *> memory, pinned; /* owns all that follows */
    std::vector<matrix> matrices;
    std::vector<const float *> vectors;
    std::vector<device_op> ops;
    size_t next;               /* op to run */
    int n_rows, ld_x, n_ready; /* of READY: widest row; values a row of the newest */
    float ready_undo;
    float *of[N_DEVICE_BUFFERS]; /* [max_rows, ld[]] */
    size_t ld[N_DEVICE_BUFFERS];
    uint16_t *half, *brain, *keys, *values; /* brain, plain: NULL until a matrix needs them */
    float *plain, *cs, *logits;
    device_row *rows;
    uint32_t *lists; /* rows and weights of ops, [N_LISTED, max_rows] */
    int n_listed;    /* since the device has read all of them */
    struct {
        device_row *rows;
        float *x, *cs;
        uint32_t *lists;
        uint8_t *panel; /* [N_STAGED, staged_bytes] */
    } host;             /* pinned */
    uint8_t *staged;    /* as host.panel */
    size_t staged_bytes;
    int n_filled;
    exchanges comms;
};

/* ---- memory ---- */

static bool check(device *d, int rc)
{
    if (rc != cudaSuccess) d->lost = true;
    return rc == cudaSuccess;
}

/* The card is a property of the calling thread. False: it is lost. */
static bool enter(device *d)
{
    return !d->lost && check(d, cudaSetDevice(d->s.device));
}

template <class T> static bool take(device *d, T **p, size_t n)
{
    void *got = nullptr;
    if (cudaMalloc(&got, n * sizeof(T) + (n == 0)) != cudaSuccess) {
        (void)cudaGetLastError(); /* out of memory is no lost device */
        return false;
    }
    *p = static_cast<T *>(got);
    d->memory.push_back(got);
    return true;
}

template <class T> static bool pin(device *d, T **p, size_t n)
{
    void *got = nullptr;
    if (cudaMallocHost(&got, n * sizeof(T)) != cudaSuccess) {
        (void)cudaGetLastError();
        return false;
    }
    *p = static_cast<T *>(got);
    d->pinned.push_back(got);
    return true;
}

static void cuda_close(device *d)
{
    if (!d) return;
    cudaSetDevice(d->s.device);
    exchanges_abort(&d->comms); /* or the stream might wait for ever */
    if (d->stream) cudaStreamSynchronize(d->stream);
    for (void *p : d->memory) cudaFree(p);
    for (void *p : d->pinned) cudaFreeHost(p);
    if (d->stream) cudaStreamDestroy(d->stream);
    delete d;
}

static bool take_buffers(device *d)
{
    const device_shape *s = &d->s;
    const size_t rows = (size_t)s->max_rows, n_cs = 2 * rows * (size_t)s->d_head,
                 n_kv = (size_t)(s->n_head_kv * s->d_head),
                 n_cache = (size_t)s->n_caches * (size_t)s->n_slots * n_kv * (size_t)s->n_ctx;
    int widest = 0;
    for (int i = 0; i < N_DEVICE_BUFFERS; i++) {
        const int width = device_width(s, (enum device_buffer)i);
        d->ld[i] = (size_t)(width + PANEL - 1) / PANEL * PANEL;
        widest = width > widest ? width : widest;
        if (!take(d, &d->of[i], rows * d->ld[i])) return false;
    }
    d->ld_x = layout_x_width(widest);
    return take(d, &d->half, rows * (size_t)d->ld_x) && take(d, &d->keys, n_cache) && take(d, &d->values, n_cache) &&
           take(d, &d->cs, n_cs) && take(d, &d->rows, rows) && take(d, &d->lists, rows * N_LISTED) &&
           take(d, &d->logits, rows * HEAD_CHUNK) && pin(d, &d->host.rows, rows) &&
           pin(d, &d->host.x, rows * (size_t)s->n_embd) && pin(d, &d->host.cs, n_cs) &&
           pin(d, &d->host.lists, rows * N_LISTED);
}

static device *cuda_open(const device_shape *shape, const char **why)
{
    if (shape->d_head > ATTEND_MOST || shape->d_head % 2) {
        *why = "heads of more than 256, or of an odd number of elements";
        return nullptr;
    }
    const cudaError_t rc = cudaSetDevice(shape->device);
    if (rc != cudaSuccess) {
        *why = cudaGetErrorString(rc);
        return nullptr;
    }
    device *d = new device();
    d->s = *shape;
    if (cudaStreamCreateWithFlags(&d->stream, cudaStreamNonBlocking) == cudaSuccess && take_buffers(d)) return d;
    *why = "out of memory";
    cuda_close(d);
    return nullptr;
}

/* ---- weights ---- */

/* Room for a panel's rows as the file has them. */
static bool stage(device *d, size_t n)
{
    if (n <= d->staged_bytes) return true;
    check(d, cudaStreamSynchronize(d->stream)); /* those before are read */
    d->staged_bytes = n;
    return take(d, &d->staged, n * N_STAGED) && pin(d, &d->host.panel, n * N_STAGED);
}

static int cuda_matrix(device *d, enum quant type, int n_in, int n_out)
{
    const size_t n_panels = (size_t)(n_out + PANEL - 1) / PANEL;
    matrix m = {type, n_in, n_out, layout_of(type, n_in), nullptr};
    const layout_format f = layout_format_of(type);
    const size_t n_row = (size_t)(n_in / f.n_elements * f.n_bytes), n_x = (size_t)d->s.max_rows * (size_t)d->ld_x;
    if (!enter(d) || !stage(d, PANEL * n_row) || !take(d, &m.panels, n_panels * m.l.n_bytes)) return -1;
    if (type == QUANT_BF16 && !d->brain && !take(d, &d->brain, n_x)) return -1;
    if (type == QUANT_F32 && !d->plain && !take(d, &d->plain, n_x)) return -1;
    d->matrices.push_back(m);
    return (int)d->matrices.size() - 1;
}

static void cuda_fill(device *d, int i_matrix, int i_panel, const void *const rows[PANEL])
{
    const matrix *m = &d->matrices[(size_t)i_matrix];
    const layout_format f = layout_format_of(m->type);
    const size_t n_row = (size_t)(m->n_in / f.n_elements * f.n_bytes),
                 at = d->staged_bytes * (size_t)(d->n_filled % N_STAGED);
    int there = 0;
    if (!enter(d)) return;
    if (d->n_filled++ % N_STAGED == 0) check(d, cudaStreamSynchronize(d->stream));
    for (int i = 0; i < PANEL; i++) {
        if (!rows[i]) continue;
        memcpy(d->host.panel + at + (size_t)i * n_row, rows[i], n_row);
        there |= 1 << i;
    }
    const repack_args a = {m->type, m->n_in, there, d->staged + at, n_row, m->panels + (size_t)i_panel * m->l.n_bytes};
    check(d, cudaMemcpyAsync(d->staged + at, d->host.panel + at, PANEL * n_row, cudaMemcpyHostToDevice, d->stream));
    check(d, PF_LAUNCH(repack, 1, REPACK_THREADS, 0, d->stream, a));
}

static int cuda_vector(device *d, const float *x, int n)
{
    float *to;
    if (!enter(d) || !take(d, &to, (size_t)n)) return -1;
    check(d, cudaMemcpy(to, x, (size_t)n * sizeof *x, cudaMemcpyHostToDevice));
    d->vectors.push_back(to);
    return (int)d->vectors.size() - 1;
}

/* ---- ops ---- */

static const float *vector_of(const device *d, int i)
{
    return i < 0 ? nullptr : d->vectors[(size_t)i];
}

static cache_args cache_of(const device *d, int cache)
{
    const device_shape *s = &d->s;
    const size_t n = (size_t)s->n_slots * (size_t)s->n_head_kv * (size_t)s->n_ctx * (size_t)s->d_head,
                 at = (size_t)cache * n;
    return {d->rows, d->keys + at, d->values + at, s->n_head_kv, s->d_head, s->n_ctx};
}

/* Of ops that may be of the first rows alone. */
static int rows_of(const device *d, const device_op *op)
{
    return op->n_rows ? op->n_rows : d->n_rows;
}

/* A list of an op on the device. What the host has of it is free again at once. */
static uint32_t *list_of(device *d, const void *words, int n)
{
    if (d->n_listed == N_LISTED) {
        check(d, cudaStreamSynchronize(d->stream));
        d->n_listed = 0;
    }
    const size_t at = (size_t)d->n_listed++ * (size_t)d->s.max_rows, n_bytes = (size_t)n * sizeof(uint32_t);
    memcpy(d->host.lists + at, words, n_bytes);
    check(d, cudaMemcpyAsync(d->lists + at, d->host.lists + at, n_bytes, cudaMemcpyHostToDevice, d->stream));
    return d->lists + at;
}

static const int *rows_listed(device *d, const device_op *op)
{
    return op->rows ? reinterpret_cast<const int *>(list_of(d, op->rows, op->n_rows)) : nullptr;
}

static int run_ready(device *d, const device_op *op)
{
    const int n = op->rows ? op->n_rows : d->n_rows, width = device_width(&d->s, op->buffer);
    const float down = op->buffer == DEVICE_FF ? DOWN_FF : 1.0f;
    const int *which = n ? rows_listed(d, op) : nullptr;
    d->n_ready = width;
    d->ready_undo = 1.0f / down;
    ready_args a = {};
    a.x = d->of[op->buffer];
    a.ld = d->ld[op->buffer];
    a.n = width;
    a.ld_x = layout_x_width(width);
    a.norm = vector_of(d, op->norm);
    a.eps = d->s.eps;
    a.down = down;
    a.half = d->half;
    a.brain = d->brain;
    a.plain = d->plain;
    a.rows = d->rows;
    a.which = which;
    a.first = op->first;
    a.entry = op->entry;
    a.looked_at = op->buffer == DEVICE_X && op->norm < 0;
    return n ? PF_LAUNCH(ready, n, ROW_THREADS, 0, d->stream, a) : 0;
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
    return PF_LAUNCH(place, d->n_rows, ROW_THREADS, 0, d->stream, a);
}

static int run_attend(device *d, const device_op *op)
{
    const device_shape *s = &d->s;
    const size_t n_shared = (size_t)(9 * s->d_head + ATTN_CHUNK) * sizeof(float);
    attend_args a = {};
    a.q = d->of[DEVICE_Q];
    a.out = d->of[DEVICE_ATTN];
    a.ld_q = d->ld[DEVICE_Q];
    a.ld_out = d->ld[DEVICE_ATTN];
    a.cache = cache_of(d, op->cache);
    a.n_window = op->n_window;
    a.group = s->group;
    a.head_at = s->head_at;
    return PF_LAUNCH(attend, dim3((unsigned)s->n_head, (unsigned)d->n_rows), ROW_THREADS, n_shared, d->stream, a);
}

static int run_activate(device *d, const device_op *op)
{
    const activate_args a = {d->of[DEVICE_FF], d->of[DEVICE_UP], d->ld[DEVICE_FF],
                             d->ld[DEVICE_UP], d->s.n_ff,        d->s.gelu};
    const dim3 grid((unsigned)(d->s.n_ff + ROW_THREADS - 1) / ROW_THREADS, (unsigned)rows_of(d, op));
    return PF_LAUNCH(activate, grid, ROW_THREADS, 0, d->stream, a);
}

static int run_clear(device *d)
{
    return cudaMemsetAsync(d->of[DEVICE_Y], 0, (size_t)d->n_rows * d->ld[DEVICE_Y] * sizeof(float), d->stream);
}

static int run_mix(device *d, const device_op *op)
{
    const mix_args a = {d->of[DEVICE_Y],
                        d->of[DEVICE_PAIR],
                        d->ld[DEVICE_Y],
                        d->ld[DEVICE_PAIR],
                        d->s.n_embd,
                        rows_listed(d, op),
                        reinterpret_cast<const float *>(list_of(d, op->weights, op->n_rows))};
    return PF_LAUNCH(mix, op->n_rows, ROW_THREADS, 0, d->stream, a);
}

static int run_add(device *d, const device_op *op)
{
    const add_args a = {d->of[DEVICE_X],        d->of[DEVICE_Y], d->ld[DEVICE_X], d->s.n_embd,
                        vector_of(d, op->norm), d->s.eps,        op->step};
    return PF_LAUNCH(add, d->n_rows, ROW_THREADS, 0, d->stream, a);
}

/* READY rows from `row` on, times panels from `i_panel` on. */
static int run_product(device *d, int i_matrix, int row, int n_rows, int i_panel, int n_panels, float *out, size_t ld)
{
    const int ld_x = layout_x_width(d->n_ready);
    const size_t at = (size_t)row * (size_t)ld_x;
    matrix m = d->matrices[(size_t)i_matrix];
    m.panels += (size_t)i_panel * m.l.n_bytes;
    mm_args a = mm_args_of(&m);
    a.x = (m.type == QUANT_BF16 ? d->brain : d->half) + at;
    a.x32 = d->plain ? d->plain + at : nullptr;
    a.ld_x = ld_x;
    a.n_rows = n_rows;
    a.out = out;
    a.ld_out = ld;
    a.undo = m.type == QUANT_F32 ? 1.0f : d->ready_undo;
    return launch_mm(m.type, a, n_panels, d->stream);
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
        PF_LAUNCH(pack, dim3(rows, ((unsigned)own + most) / ROW_THREADS + (own == 0)), ROW_THREADS, 0, d->stream, a);
    if (rc || !exchange_parts(x, &a, d->stream)) return rc;
    a.count = &x->counts[1];
    return PF_LAUNCH(spread, dim3(rows, ((unsigned)n_columns + most) / ROW_THREADS), ROW_THREADS, 0, d->stream, a, n);
}

/* As pack and spread count. */
static int counted(device *d, bool done)
{
    return PF_LAUNCH(count_exchange, 1, 1, 0, d->stream, &d->comms.counts[done]);
}

static int run_share(device *d)
{
    exchanges *x = &d->comms;
    float *rows = d->of[DEVICE_X];
    const size_t n = (size_t)d->n_rows * d->ld[DEVICE_X];
    const int rc = counted(d, false);
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
        return run_product(d, op->matrix, 0, rows_of(d, op), 0, n_panels, d->of[op->buffer], d->ld[op->buffer]);
    }
    case DEVICE_PLACE: return run_place(d, op);
    case DEVICE_ATTEND: return run_attend(d, op);
    case DEVICE_ACTIVATE: return run_activate(d, op);
    case DEVICE_ADD: return run_add(d, op);
    case DEVICE_CLEAR: return run_clear(d);
    case DEVICE_MIX: return run_mix(d, op);
    case DEVICE_GATHER: return run_gather(d, op);
    case DEVICE_SHARE: return run_share(d);
    }
    return cudaErrorInvalidValue;
}

/* ---- a pass ---- */

static void cuda_begin(device *d, const device_row *rows, int n_rows, const float *x, const float *cs)
{
    const size_t n = (size_t)d->s.n_embd * sizeof *x,
                 n_cs = 2 * (size_t)d->s.max_rows * (size_t)d->s.d_head * sizeof *cs,
                 n_row = (size_t)n_rows * sizeof *rows;
    d->n_rows = n_rows;
    d->next = 0;
    d->n_listed = 0; /* nothing runs */
    d->ops.clear();
    memcpy(d->host.rows, rows, n_row);
    if (x) memcpy(d->host.x, x, (size_t)n_rows * n);
    memcpy(d->host.cs, cs, n_cs);
    if (!enter(d)) return;
    check(d, cudaMemcpyAsync(d->rows, d->host.rows, n_row, cudaMemcpyHostToDevice, d->stream));
    check(d, cudaMemcpyAsync(d->cs, d->host.cs, n_cs, cudaMemcpyHostToDevice, d->stream));
    if (x)
        check(d, cudaMemcpy2DAsync(d->of[DEVICE_X], d->ld[DEVICE_X] * sizeof *x, d->host.x, n, n, (size_t)n_rows,
                                   cudaMemcpyHostToDevice, d->stream));
}

static int cuda_record(device *d, const device_op *op)
{
    d->ops.push_back(*op);
    return 0;
}

static void cuda_run(device *d)
{
    if (!enter(d)) return;
    for (; d->next < d->ops.size() && !d->lost && !d->comms.error; d->next++) check(d, run_op(d, &d->ops[d->next]));
}

static int cuda_poll(device *d, uint64_t until_ns)
{
    while (enter(d)) {
        const cudaError_t rc = cudaStreamQuery(d->stream);
        if (rc == cudaSuccess) return exchanges_go_on(&d->comms) ? 1 : -1;
        if (rc != cudaErrorNotReady) d->lost = true;
        if ((uint64_t)now_ns() >= until_ns) break;
    }
    return d->lost || !exchanges_go_on(&d->comms) ? -1 : 0;
}

/* The first n columns of rows, to the host and back; it waits. */
static void copy_rows(device *d, float *to, size_t ld_to, const float *from, size_t ld_from, int n_rows, int n,
                      enum cudaMemcpyKind kind)
{
    if (!enter(d) || n_rows == 0 || n == 0) return;
    check(d, cudaMemcpy2DAsync(to, ld_to * sizeof *to, from, ld_from * sizeof *from, (size_t)n * sizeof *to,
                               (size_t)n_rows, kind, d->stream));
    check(d, cudaStreamSynchronize(d->stream));
}

static void cuda_get(device *d, float *x, size_t ld, enum device_buffer b, int n_rows, int n)
{
    copy_rows(d, x, ld, d->of[b], d->ld[b], n_rows, n, cudaMemcpyDeviceToHost);
}

static void cuda_put(device *d, enum device_buffer b, const float *x, size_t ld, int n_rows, int n)
{
    copy_rows(d, d->of[b], d->ld[b], x, ld, n_rows, n, cudaMemcpyHostToDevice);
}

/* The stream orders it between passes. */
static void cuda_copy(device *d, int to, int from, int n)
{
    const device_shape *s = &d->s;
    const size_t ld = (size_t)s->n_ctx * (size_t)s->d_head * sizeof *d->keys, heads = (size_t)s->n_head_kv,
                 n_bytes = (size_t)n * (size_t)s->d_head * sizeof *d->keys;
    if (!enter(d) || n == 0) return;
    for (int i = 0; i < s->n_caches; i++) {
        const cache_args c = cache_of(d, i);
        for (uint16_t *cache : {c.keys, c.values})
            check(d, cudaMemcpy2DAsync(cache + (size_t)to * heads * (size_t)s->n_ctx * (size_t)s->d_head, ld,
                                       cache + (size_t)from * heads * (size_t)s->n_ctx * (size_t)s->d_head, ld, n_bytes,
                                       heads, cudaMemcpyDeviceToDevice, d->stream));
    }
}

static void cuda_end(device *d, device_row *rows, float *x)
{
    const size_t n_bytes = (size_t)d->n_rows * sizeof *rows;
    if (!enter(d)) return;
    check(d, cudaMemcpyAsync(d->host.rows, d->rows, n_bytes, cudaMemcpyDeviceToHost, d->stream));
    if (x) cuda_get(d, x, (size_t)d->s.n_embd, DEVICE_X, d->n_rows, d->s.n_embd);
    check(d, cudaStreamSynchronize(d->stream));
    if (!d->lost) memcpy(rows, d->host.rows, n_bytes);
}

static void cuda_logits(device *d, float *out, size_t ld, int i_matrix, int row, int n_rows, int i_panel, int n)
{
    const int n_panels = (n + PANEL - 1) / PANEL;
    if (!enter(d) || n_rows == 0) return;
    if (check(d, run_product(d, i_matrix, row, n_rows, i_panel, n_panels, d->logits, HEAD_CHUNK)))
        copy_rows(d, out, ld, d->logits, HEAD_CHUNK, n_rows, n_panels * PANEL, cudaMemcpyDeviceToHost);
}

static void cuda_row(device *d, float *out, int i_matrix, int i_row)
{
    const matrix *m = &d->matrices[(size_t)i_matrix];
    mm_args a = mm_args_of(m);
    a.out = d->of[DEVICE_Y]; /* free between passes */
    if (enter(d) && check(d, launch_mm_row(m->type, a, i_row, d->stream)))
        copy_rows(d, out, (size_t)m->n_in, a.out, (size_t)m->n_in, 1, m->n_in, cudaMemcpyDeviceToHost);
}

/* ---- exchanges ---- */

static int cuda_comm_there(const char **why)
{
    return nccl_open(why) ? 0 : -1;
}

static int cuda_comm_id(uint8_t id[DEVICE_ID_BYTES], const char **why)
{
    const nccl *lib = nccl_open(why);
    nccl_id made;
    const int rc = lib ? lib->GetUniqueId(&made) : NCCL_SUCCESS;
    if (lib && rc != NCCL_SUCCESS) *why = lib->GetErrorString(rc);
    if (!lib || rc != NCCL_SUCCESS) return -1;
    memcpy(id, &made, sizeof made);
    return 0;
}

/* Room for the widest gather. */
static bool take_parts(device *d)
{
    size_t widest = SHARDS_AT_ONCE;
    for (int i = 0; i < N_DEVICE_BUFFERS; i++) widest = d->ld[i] > widest ? d->ld[i] : widest;
    if (d->comms.parts) return true;
    if (!take(d, &d->comms.parts, (size_t)d->s.max_rows * widest) || !pin(d, &d->comms.counts, 2)) return false;
    memset(d->comms.counts, 0, 2 * sizeof *d->comms.counts);
    return true;
}

static bool finishes(device *d, uint64_t until_ns)
{
    int done;
    while ((done = cuda_poll(d, until_ns)) == 0 && (uint64_t)now_ns() < until_ns) continue;
    return done > 0;
}

static void cuda_comm_close(device *d, enum device_comm which)
{
    exchanges *x = &d->comms;
    if (x->of[which].comm) x->lib->CommAbort(x->of[which].comm);
    x->of[which].comm = nullptr;
}

static int cuda_comm_open(device *d, enum device_comm which, const uint8_t id[DEVICE_ID_BYTES], int n, int self,
                          uint64_t until_ns, const char **why)
{
    exchanges *x = &d->comms;
    *why = n > SHARDS_AT_ONCE ? "too many members" : "out of memory";
    if (n > SHARDS_AT_ONCE || !enter(d) || !take_parts(d) || !(x->lib = nccl_open(why))) return -1;
    x->of[which].n = n;
    x->of[which].self = self;
    x->error = nccl_join(x->lib, &x->of[which].comm, id, n, self, until_ns);
    if (!x->error && connect(x, which, x->parts, d->stream) && finishes(d, until_ns)) return 0;
    *why = x->error ? x->error : NCCL_LATE;
    cuda_comm_close(d, which);
    x->error = nullptr; /* rows may go by way of the host */
    return *why == NCCL_LATE ? DEVICE_LATE : -1;
}

/* The rows that go are X's first ones then: what is left of it is of no use. */
static void keep_rows(device *d, const int *rows, int n)
{
    const size_t ld = d->ld[DEVICE_X];
    float *x = d->of[DEVICE_X];
    for (int i = 0; i < n; i++)
        if (rows[i] != i)
            check(d, cudaMemcpyAsync(x + (size_t)i * ld, x + (size_t)rows[i] * ld, ld * sizeof *x,
                                     cudaMemcpyDeviceToDevice, d->stream));
}

static void cuda_send(device *d, const int *rows, int n)
{
    exchanges *x = &d->comms;
    if (!enter(d) || n == 0 || x->error) return;
    keep_rows(d, rows, n);
    went_well(x, DEVICE_STAGES,
              x->lib->Send(d->of[DEVICE_X], (size_t)n * d->ld[DEVICE_X], NCCL_FLOAT, x->of[DEVICE_STAGES].self + 1,
                           x->of[DEVICE_STAGES].comm, d->stream));
}

static void cuda_receive(device *d, int n_rows, const int *rows, int n)
{
    exchanges *x = &d->comms;
    if (!enter(d) || n_rows == 0 || x->error) return;
    check(d, counted(d, false));
    const int rc = x->lib->Recv(d->of[DEVICE_X], (size_t)n_rows * d->ld[DEVICE_X], NCCL_FLOAT,
                                x->of[DEVICE_STAGES].self - 1, x->of[DEVICE_STAGES].comm, d->stream);
    if (!went_well(x, DEVICE_STAGES, rc)) return;
    check(d, counted(d, true));
    keep_rows(d, rows, n);
}

static void cuda_exchanges(device *d, device_exchanges *out)
{
    const volatile unsigned *counts = d->comms.counts;
    *out = {};
    out->error = d->comms.error;
    if (!counts) return;
    out->n_done = counts[1];
    out->waits = counts[0] != out->n_done;
}

static void cuda_comm_abort(device *d)
{
    if (!d->comms.error) d->comms.error = "aborted";
    cudaSetDevice(d->s.device);
    exchanges_abort(&d->comms);
}

static int cuda_probe(int i, device_about *about, const char **why);

static device_table table_of()
{
    device_table t = {};
    t.version = DEVICE_VERSION;
    t.arithmetic = CUDA_ARITHMETIC_ID;
    t.name = "cuda";
    t.open = cuda_open;
    t.close = cuda_close;
    t.matrix = cuda_matrix;
    t.fill = cuda_fill;
    t.vector = cuda_vector;
    t.row = cuda_row;
    t.begin = cuda_begin;
    t.record = cuda_record;
    t.run = cuda_run;
    t.poll = cuda_poll;
    t.end = cuda_end;
    t.logits = cuda_logits;
    t.probe = cuda_probe;
    t.get = cuda_get;
    t.put = cuda_put;
    t.copy = cuda_copy;
    t.experts = true;
    t.comm_there = cuda_comm_there;
    t.comm_id = cuda_comm_id;
    t.comm_open = cuda_comm_open;
    t.comm_close = cuda_comm_close;
    t.send = cuda_send;
    t.receive = cuda_receive;
    t.exchanges = cuda_exchanges;
    t.comm_abort = cuda_comm_abort;
    return t;
}

static int cuda_probe(int i, device_about *about, const char **why)
{
    int n = 0;
    cudaError_t rc = cudaGetDeviceCount(&n);
    size_t free_bytes = 0, all_bytes = 0;
    cudaDeviceProp p;
    char place[32] = "";
    *why = "";
    if (rc == cudaSuccess && about && i >= 0 && i < n) {
        if ((rc = cudaSetDevice(i)) == cudaSuccess && (rc = cudaGetDeviceProperties(&p, i)) == cudaSuccess &&
            (rc = cudaDeviceGetPCIBusId(place, sizeof place, i)) == cudaSuccess)
            rc = cudaMemGetInfo(&free_bytes, &all_bytes);
        if (rc == cudaSuccess) {
            *about = {};
            snprintf(about->name, sizeof about->name, "%.60s at %s", p.name, place);
            about->memory_bytes = free_bytes;
            const device_table table = table_of();
            about->selftest = selftest(&table, i);
        }
    }
    if (rc == cudaSuccess) return n;
    *why = cudaGetErrorString(rc);
    return -1;
}

const struct device_table *pf_device(int version)
{
    static const device_table table = table_of();
    return version == DEVICE_VERSION ? &table : nullptr;
}
