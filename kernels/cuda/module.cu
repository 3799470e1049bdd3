/* module.cu -- the device table (kernels/device.h) on CUDA: memory, one stream, and which kernel does an op.
 *
 *   run ─▶ lists to pinned memory ─▶ the same ops as once before? ─ no ─▶ copies and kernels, one by one
 *                                          └ yes ─▶ a graph of them, captured at their second time: one launch
 *
 * A graph is of a class of rows: 8, 16, 32 or 64. What differs between two passes of a class is in tables on the
 * device, which the graph's first nodes bring: rows, of which those past the pass have no slot, and lists, which end in
 * places of no row. Passes of more rows, and experts, whose ops differ each time, are launched one by one.
 *
 * Every call that the driver refuses marks the device as lost; from then on nothing is launched, and poll says so. What
 * goes in and out of a pass goes through pinned memory. */
#include "kernels/cuda/attend.cuh"
#include "kernels/cuda/exchange.cuh"
#include "kernels/cuda/glue.cuh"
#include "kernels/cuda/head.cuh"
#include "kernels/cuda/launch_mm.cuh"
#include "kernels/cuda/repack.cuh"
#include "kernels/cuda/selftest.h"
#include "kernels/now.h"

#include <stdio.h>
#include <string.h>

#include <vector>

/* The hidden rows of an MLP reach 2^6 times what f16 holds (ARITHMETIC.md, arithmetic id 2). */
static constexpr float DOWN_FF = 0x1p-6f;
enum {
    N_STAGED = 8,
    N_LISTED = 32,
    CLASS_MOST = 64,
    REPLAYS_MOST = 1024,
    LOGITS_MOST = 1 << 21,
    WORK_MOST = 1 << 23 /* floats */
};

struct attend_shape {   /* of the units of a pass */
    int n_units, tiles; /* with empty units; of 16 rows */
    bool merges;
};

struct replay {
    std::vector<device_op> ops; /* with lists on the device */
    int n_run;
    attend_shape attention;
    bool begins, x_comes;
    cudaGraphExec_t graph; /* owns; NULL: they have run once */
};

struct device {
    device_shape s;
    cudaStream_t stream;
    bool lost;
    std::vector<void *> memory, pinned; /* owns all that follows */
    std::vector<matrix> matrices;
    std::vector<const float *> vectors;
    std::vector<device_op> ops;
    std::vector<replay> replays;
    bool captures;              /* until the driver once cannot */
    mm_card card;               /* a block a multiprocessor: the next kernel's find room beside them */
    bool beside, after_kernel;  /* the card lets a kernel begin beside the one before; there is one */
    size_t next;                /* op to run */
    int n_rows, n_run;          /* of the pass; with those that pad it */
    int rows_room;              /* the same of the largest pass */
    bool is_back, x_is_back;    /* rows and the verdict are in host; x is */
    bool x_comes;               /* from the host, and goes back */
    int n_headed;               /* rows of HEAD, without those that pad it */
    int ctx_room;               /* positions of a slot, to whole fragments */
    int heads, n_z, tiles_most; /* of attention: heads that a block takes, such blocks a KV head; of 16 rows */
    int units_room;             /* chunks that `work` has room for */
    attend_shape attention;
    size_t n_x;               /* values that x has room for: whole blocks of rows (layout_x) */
    int n_ready, ready_tiles; /* of the newest READY: values a row, how its rows lie */
    float ready_undo;
    float *of[N_DEVICE_BUFFERS]; /* [max_rows, ld[]] */
    size_t ld[N_DEVICE_BUFFERS];
    uint16_t *half, *brain, *keys, *values; /* brain, plain: NULL until a matrix needs them */
    float *plain, *cs;
    float *logits; /* [n_logits] rows of them, as many ids as there is room for */
    size_t n_logits;
    int ld_parts;     /* chunks of the widest matrix, and one for all of them */
    head_part *parts; /* [rows_room, ld_parts] */
    float *judged;    /* [rows_room, DEVICE_JUDGED] */
    device_row *rows;
    uint32_t *lists; /* rows and weights of ops, [N_LISTED, rows_room] */
    attend_unit *units;
    attend_row *of_row; /* [rows_room] */
    float *work;        /* attend.cuh */
    struct {
        attend_unit *units;
        attend_row *of_row;
        device_row *rows;
        float *x, *cs;
        uint32_t *lists;
        head_part *parts; /* of the newest HEAD */
        float *judged;
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

/* For the next kernel of a pass. */
static launch_on next_on(device *d)
{
    const launch_on on = {d->stream, d->beside && d->after_kernel};
    d->after_kernel = true;
    return on;
}

/* For one that stands alone, and whatever is before it. */
static launch_on alone_on(const device *d)
{
    return {d->stream, false};
}

/* As check, but out of memory is no lost device. */
static bool has_room(device *d, int rc)
{
    if (rc == cudaErrorMemoryAllocation) (void)cudaGetLastError();
    return rc != cudaErrorMemoryAllocation && check(d, rc);
}

template <class T> static bool take(device *d, T **p, size_t n)
{
    void *got = nullptr;
    if (!has_room(d, cudaMalloc(&got, n * sizeof(T) + (n == 0)))) return false;
    *p = static_cast<T *>(got);
    d->memory.push_back(got);
    return true;
}

template <class T> static bool pin(device *d, T **p, size_t n)
{
    void *got = nullptr;
    if (!has_room(d, cudaMallocHost(&got, n * sizeof(T)))) return false;
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
    for (replay &r : d->replays)
        if (r.graph) cudaGraphExecDestroy(r.graph);
    for (void *p : d->memory) cudaFree(p);
    for (void *p : d->pinned) cudaFreeHost(p);
    if (d->stream) cudaStreamDestroy(d->stream);
    delete d;
}

static int class_of(int n_rows)
{
    for (int n = TILE; n <= CLASS_MOST; n *= 2)
        if (n_rows <= n) return n;
    return n_rows;
}

static int power_above(int n)
{
    int to = TILE;
    while (to < n) to *= 2;
    return to;
}

static bool take_attention(device *d)
{
    const device_shape *s = &d->s;
    d->ctx_room = (s->n_ctx + WARP_POSITIONS - 1) / WARP_POSITIONS * WARP_POSITIONS;
    d->tiles_most = s->d_head <= 128 ? 2 : 1;
    d->heads = s->group < 16 * d->tiles_most ? s->group : 16 * d->tiles_most;
    d->n_z = (s->group + d->heads - 1) / d->heads;
    const int blocks = s->n_head_kv * d->n_z, most = s->max_rows * ((s->n_ctx + ATTN_CHUNK - 1) / ATTN_CHUNK);
    const size_t n_unit = (size_t)(blocks * 16 * d->tiles_most * (s->d_head + 2)), n_slot = (size_t)d->ctx_room,
                 n_cache = (size_t)s->n_caches * (size_t)s->n_slots * (size_t)(s->n_head_kv * s->d_head) * n_slot;
    d->units_room = (int)(WORK_MOST / n_unit) < most ? (int)(WORK_MOST / n_unit) : most;
    const size_t n_table = (size_t)power_above(d->units_room > d->rows_room ? d->units_room : d->rows_room);
    return take(d, &d->keys, n_cache) && take(d, &d->values, n_cache) && take(d, &d->units, n_table) &&
           pin(d, &d->host.units, n_table) && take(d, &d->of_row, (size_t)d->rows_room) &&
           pin(d, &d->host.of_row, (size_t)d->rows_room) && take(d, &d->work, (size_t)d->units_room * n_unit) &&
           check(d, cudaMemsetAsync(d->keys, 0, n_cache * sizeof *d->keys, d->stream)) &&
           check(d, cudaMemsetAsync(d->values, 0, n_cache * sizeof *d->values, d->stream));
}

/* Products read places of no row, too: with numbers that were never there an emulated card is slow. */
template <class T> static bool take_x(device *d, T **x)
{
    return take(d, x, d->n_x) && check(d, cudaMemsetAsync(*x, 0, d->n_x * sizeof **x, d->stream));
}

static bool take_buffers(device *d)
{
    const device_shape *s = &d->s;
    d->rows_room = class_of(s->max_rows);
    const size_t rows = (size_t)d->rows_room, n_cs = 2 * (size_t)s->max_rows * (size_t)s->d_head;
    int widest = 0;
    for (int i = 0; i < N_DEVICE_BUFFERS; i++) {
        const int width = device_width(s, (enum device_buffer)i);
        d->ld[i] = (size_t)(width + PANEL - 1) / PANEL * PANEL;
        widest = width > widest ? width : widest;
        if (!take(d, &d->of[i], rows * d->ld[i])) return false;
    }
    d->n_x = (rows + MM_MOST_TILES * TILE - 1) / (MM_MOST_TILES * TILE) * (MM_MOST_TILES * TILE) *
             (size_t)layout_x_width(widest);
    d->n_logits = rows * HEAD_CHUNK > LOGITS_MOST ? rows * HEAD_CHUNK : (size_t)LOGITS_MOST;
    return take_x(d, &d->half) && take_attention(d) && take(d, &d->cs, n_cs) && take(d, &d->rows, rows) &&
           take(d, &d->lists, rows * N_LISTED) && take(d, &d->logits, d->n_logits) &&
           take(d, &d->judged, rows * DEVICE_JUDGED) && pin(d, &d->host.judged, rows * DEVICE_JUDGED) &&
           pin(d, &d->host.rows, rows) && pin(d, &d->host.x, rows * (size_t)s->n_embd) && pin(d, &d->host.cs, n_cs) &&
           pin(d, &d->host.lists, rows * N_LISTED);
}

static device *cuda_open(const device_shape *shape, const char **why)
{
    if (shape->d_head > ATTEND_MOST || shape->d_head % 8) {
        *why = "heads of more than 256 elements, or of no multiple of 8";
        return nullptr;
    }
    const cudaError_t rc = cudaSetDevice(shape->device);
    if (rc != cudaSuccess) {
        *why = cudaGetErrorString(rc);
        return nullptr;
    }
    device *d = new device();
    int generation = 0;
    d->s = *shape;
    d->captures = true;
    d->beside = cudaDeviceGetAttribute(&generation, cudaDevAttrComputeCapabilityMajor, shape->device) == cudaSuccess &&
                generation >= 9;
    d->card = {1, SHARED_LEAST}; /* but for what it says */
    (void)cudaDeviceGetAttribute(&d->card.blocks, cudaDevAttrMultiProcessorCount, shape->device);
    (void)cudaDeviceGetAttribute(&d->card.shared, cudaDevAttrMaxSharedMemoryPerBlockOptin, shape->device);
    if (has_room(d, cudaStreamCreateWithFlags(&d->stream, cudaStreamNonBlocking)) && take_buffers(d)) return d;
    *why = d->lost ? "it is lost: its driver may say why (dmesg)" : "out of memory";
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

/* Room for the chunks of a matrix that may be a head. */
static bool take_chunks(device *d, int n_out)
{
    const int n = (n_out + HEAD_CHUNK - 1) / HEAD_CHUNK + 1;
    if (n <= d->ld_parts) return true;
    d->ld_parts = n;
    return take(d, &d->parts, (size_t)(d->rows_room * n)) && pin(d, &d->host.parts, (size_t)(d->rows_room * n));
}

static int cuda_matrix(device *d, enum quant type, int n_in, int n_out)
{
    matrix m = {type, n_in, n_out, layout_of(type, n_in, n_out), nullptr};
    const layout_format f = layout_format_of(type);
    const size_t n_row = (size_t)(n_in / f.n_elements * f.n_bytes);
    if (!enter(d) || !stage(d, PANEL * n_row) || !take(d, &m.weights, m.l.n_bytes) || !take_chunks(d, n_out)) return -1;
    if (type == QUANT_BF16 && !d->brain && !take_x(d, &d->brain)) return -1;
    if (type == QUANT_F32 && !d->plain && !take_x(d, &d->plain)) return -1;
    const bool odd = (n_out + PANEL - 1) / PANEL % PAIR; /* nobody fills the pair's second panel */
    if (odd && !check(d, cudaMemsetAsync(m.weights, 0, m.l.n_bytes, d->stream))) return -1;
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
    const repack_args a = {m->type, m->n_in, there, d->staged + at, n_row, m->l, m->weights, i_panel};
    check(d, cudaMemcpyAsync(d->staged + at, d->host.panel + at, PANEL * n_row, cudaMemcpyHostToDevice, d->stream));
    check(d, PF_LAUNCH(repack, 1, REPACK_THREADS, 0, alone_on(d), a));
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
    const size_t n = (size_t)s->n_slots * (size_t)s->n_head_kv * (size_t)d->ctx_room * (size_t)s->d_head,
                 at = (size_t)cache * n;
    return {d->rows, d->keys + at, d->values + at, s->n_head_kv, s->d_head, d->ctx_room};
}

/* Of ops that may be of the first rows alone. */
static int rows_of(const device *d, const device_op *op)
{
    return op->n_rows ? op->n_rows : d->n_run;
}

/* What products will read. */
static void note_ready(device *d, const device_op *op)
{
    d->n_ready = device_width(&d->s, op->buffer);
    d->ready_tiles = layout_x_tiles(op->rows ? op->n_rows : d->n_run);
    d->ready_undo = op->buffer == DEVICE_FF ? 1.0f / DOWN_FF : 1.0f;
}

static int run_ready(device *d, const device_op *op)
{
    const int n = op->rows ? op->n_rows : d->n_run, width = device_width(&d->s, op->buffer);
    const float down = op->buffer == DEVICE_FF ? DOWN_FF : 1.0f;
    note_ready(d, op);
    ready_args a = {};
    a.x = d->of[op->buffer];
    a.ld = d->ld[op->buffer];
    a.n = width;
    a.width_x = layout_x_width(width);
    a.tiles = d->ready_tiles;
    a.norm = vector_of(d, op->norm);
    a.eps = d->s.eps;
    a.down = down;
    a.half = d->half;
    a.brain = d->brain;
    a.plain = d->plain;
    a.rows = d->rows;
    a.which = op->rows;
    a.first = op->first;
    a.entry = op->entry;
    a.looked_at = op->buffer == DEVICE_X && op->norm < 0;
    return n ? PF_LAUNCH(ready, n, ROW_THREADS, 0, next_on(d), a) : 0;
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

static int run_add(device *d, const device_op *op)
{
    const add_args a = {d->of[DEVICE_X],        d->of[DEVICE_Y], d->ld[DEVICE_X], d->s.n_embd,
                        vector_of(d, op->norm), d->s.eps,        op->step};
    return PF_LAUNCH(add, d->n_run, ROW_THREADS, 0, next_on(d), a);
}

/* READY rows from `row` on, times panels from `i_panel` on. */
static int run_product(device *d, int i_matrix, int row, int n_rows, int i_panel, int n_panels, float *out, size_t ld,
                       launch_on on)
{
    const matrix *m = &d->matrices[(size_t)i_matrix];
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
    return launch_mm(m->type, a, d->ready_tiles, d->card, on);
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
    for (int chunk = 0; chunk < n_chunks && rc == 0; chunk += n_piece) {
        const int n = n_chunks - chunk < n_piece ? n_chunks - chunk : n_piece;
        a.first = chunk * HEAD_CHUNK;
        const int n_ids = op->n_ids - a.first < n * HEAD_CHUNK ? op->n_ids - a.first : n * HEAD_CHUNK;
        rc = run_product(d, op->matrix, 0, op->n_rows, a.first / PANEL, (n_ids + PANEL - 1) / PANEL, d->logits, a.ld,
                         next_on(d));
        if (rc == 0)
            rc = PF_LAUNCH(head_chunks, dim3((unsigned)n, (unsigned)op->n_rows), ROW_THREADS, 0, next_on(d), a);
    }
    return rc || !op->whole ? rc : PF_LAUNCH(head_merge_row, op->n_rows, ROW_THREADS, 0, next_on(d), a);
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

/* ---- a pass ---- */

/* Rows from one on that a unit takes: of one slot, in increasing position. */
static int rows_together(const device *d, const device_row *rows, int n_rows)
{
    const int most = 16 * d->tiles_most / d->heads;
    int n = 1;
    while (n < n_rows && n < most && rows[n].slot == rows[0].slot && rows[n].pos > rows[n - 1].pos) n++;
    return n;
}

/* Cuts what the rows of a pass see into units: a chunk each, if there are too few rows to fill the card. */
static void plan_attention(device *d, const device_row *rows, int n_rows)
{
    int n_groups = 0, n_chunks = 0, most = 0, n_units = 0;
    d->attention.merges = false;
    for (int i = 0, n; i < n_rows; i += n, n_groups++) {
        n = rows_together(d, rows + i, n_rows - i);
        n_chunks += rows[i + n - 1].pos / ATTN_CHUNK + 1;
        most = n > most ? n : most;
    }
    const bool splits = n_groups * d->s.n_head_kv * d->n_z < ATTEND_SPLIT_BELOW && n_chunks <= d->units_room;
    for (int i = 0, n; i < n_rows; i += n) {
        n = rows_together(d, rows + i, n_rows - i);
        const int n_here = rows[i + n - 1].pos / ATTN_CHUNK + 1;
        const bool whole = !splits || n_here == 1;
        for (int k = i; k < i + n; k++) d->host.of_row[k] = {n_units, whole ? 0 : n_here};
        for (int chunk = 0; chunk < (whole ? 1 : n_here); chunk++)
            d->host.units[n_units++] = {i, n, chunk, whole ? n_here : chunk + 1, whole};
        d->attention.merges = d->attention.merges || !whole;
    }
    d->attention.n_units = power_above(n_units);
    d->attention.tiles = most * d->heads > 16 ? 2 : 1;
    while (n_units < d->attention.n_units) d->host.units[n_units++] = {};
}

static void cuda_begin(device *d, const device_row *rows, int n_rows, const float *x, const float *cs)
{
    const size_t n_x = (size_t)n_rows * (size_t)d->s.n_embd, n_cs = 2 * (size_t)d->s.max_rows * (size_t)d->s.d_head;
    d->n_rows = n_rows;
    d->next = 0;
    d->is_back = true; /* of no ops */
    d->ops.clear();
    d->x_comes = x != nullptr;
    d->x_is_back = d->x_comes;
    for (int i = 0; i < d->rows_room; i++) d->host.rows[i] = i < n_rows ? rows[i] : device_row{-1, 0, -1};
    plan_attention(d, rows, n_rows);
    if (x) memcpy(d->host.x, x, n_x * sizeof *x);
    memcpy(d->host.cs, cs, n_cs * sizeof *cs);
}

static int cuda_record(device *d, const device_op *op)
{
    device_op own;
    memset(&own, 0, sizeof own); /* what lies between members, too: ops are compared */
    own.kind = op->kind;
    own.buffer = op->buffer;
    own.matrix = op->matrix;
    own.norm = op->norm;
    for (int i = 0; i < 3; i++) own.bias[i] = op->bias[i];
    own.norm_q = op->norm_q;
    own.norm_k = op->norm_k;
    own.cache = op->cache;
    own.n_window = op->n_window;
    own.local = op->local;
    own.step = op->step;
    own.entry = op->entry;
    own.rows = op->rows;
    own.n_rows = op->n_rows;
    own.first = op->first;
    own.weights = op->weights;
    own.judge = op->judge;
    own.n_judge = op->n_judge;
    own.n_ids = op->n_ids;
    if (op->kind == DEVICE_HEAD) d->n_headed = op->n_rows;
    own.whole = op->whole;
    own.from = op->from;
    d->ops.push_back(own);
    return 0;
}

/* Whether ops from one on are padded to a class, so that they may be a graph. Exchanges are in none: members would have
 * to capture together. */
static bool pads(const device *d, size_t from)
{
    bool is = d->n_rows <= CLASS_MOST;
    for (size_t i = from; i < d->ops.size(); i++) {
        const device_op *op = &d->ops[i];
        is = is && op->kind != DEVICE_MIX && op->kind != DEVICE_GATHER && op->kind != DEVICE_SHARE && !op->first;
    }
    return is;
}

/* A list among those that the device gets, with places of no row up to n_padded. */
static void *place_list(device *d, const void *words, int n, int n_padded, int *n_words)
{
    uint32_t *to = d->host.lists + *n_words;
    memcpy(to, words, (size_t)n * sizeof *to);
    for (int i = n; i < n_padded; i++) to[i] = UINT32_MAX;
    *n_words += n_padded;
    return d->lists + (to - d->host.lists);
}

/* Makes an op's lists those on the device. False: there is no room for them before the ops so far have run. */
static bool place_lists(device *d, device_op *op, bool padded, int *n_words)
{
    const int n = op->n_rows, n_padded = padded && n ? class_of(n) : n;
    if (*n_words + (2 + op->n_judge) * n_padded > N_LISTED * d->rows_room) return false;
    if (op->rows) op->rows = static_cast<int *>(place_list(d, op->rows, n, n_padded, n_words));
    if (op->weights) op->weights = static_cast<float *>(place_list(d, op->weights, n, n_padded, n_words));
    if (op->n_judge)
        op->judge = static_cast<int32_t *>(place_list(d, op->judge, n * op->n_judge, n_padded * op->n_judge, n_words));
    op->n_rows = n_padded;
    return true;
}

static int copy_in(device *d)
{
    const size_t n = (size_t)d->s.n_embd * sizeof(float), n_cs = (size_t)d->s.d_head * sizeof(float),
                 rows = (size_t)d->n_run, most = (size_t)d->s.max_rows;
    int rc = cudaMemcpyAsync(d->rows, d->host.rows, rows * sizeof *d->rows, cudaMemcpyHostToDevice, d->stream);
    if (rc == 0)
        rc = cudaMemcpyAsync(d->units, d->host.units, (size_t)d->attention.n_units * sizeof *d->units,
                             cudaMemcpyHostToDevice, d->stream);
    if (rc == 0)
        rc = cudaMemcpyAsync(d->of_row, d->host.of_row, rows * sizeof *d->of_row, cudaMemcpyHostToDevice, d->stream);
    if (rc == 0)
        rc = cudaMemcpy2DAsync(d->cs, most * n_cs, d->host.cs, most * n_cs, (rows < most ? rows : most) * n_cs, 2,
                               cudaMemcpyHostToDevice, d->stream);
    if (rc == 0 && d->x_comes)
        rc = cudaMemcpy2DAsync(d->of[DEVICE_X], d->ld[DEVICE_X] * sizeof(float), d->host.x, n, n, rows,
                               cudaMemcpyHostToDevice, d->stream);
    return rc;
}

static int copy_back(device *d, bool x)
{
    const size_t n = (size_t)d->s.n_embd * sizeof(float), rows = (size_t)d->n_run;
    int rc = cudaMemcpyAsync(d->host.rows, d->rows, rows * sizeof *d->rows, cudaMemcpyDeviceToHost, d->stream);
    if (rc == 0 && x)
        rc = cudaMemcpy2DAsync(d->host.x, n, d->of[DEVICE_X], d->ld[DEVICE_X] * sizeof(float), n, rows,
                               cudaMemcpyDeviceToHost, d->stream);
    return rc;
}

/* What came of a HEAD: a few numbers a row. */
static int copy_verdict(device *d, const device_op *op)
{
    const size_t rows = (size_t)op->n_rows, ld = (size_t)d->ld_parts * sizeof(head_part),
                 n_judge = (size_t)op->n_judge * sizeof(float);
    const size_t n_chunks = (size_t)(op->n_ids + HEAD_CHUNK - 1) / HEAD_CHUNK,
                 n = (op->whole ? 1 : n_chunks) * sizeof(head_part);
    int rc = cudaMemcpy2DAsync(d->host.parts, n, d->parts + (op->whole ? n_chunks : 0), ld, n, rows,
                               cudaMemcpyDeviceToHost, d->stream);
    if (rc == 0 && n_judge)
        rc = cudaMemcpyAsync(d->host.judged, d->judged, rows * n_judge, cudaMemcpyDeviceToHost, d->stream);
    return rc;
}

/* A pass ends with its rows made ready for the head, or looked at, or with the head. */
static bool ends_pass(const device_op *op)
{
    return op->kind == DEVICE_HEAD || (op->kind == DEVICE_READY && op->buffer == DEVICE_X);
}

/* Ops [from, next), and what goes in before the first of the pass and out behind its last. */
static int launch_ops(device *d, size_t from, int n_words)
{
    int rc = from == 0 ? copy_in(d) : 0;
    d->after_kernel = false;
    if (rc == 0 && n_words)
        rc = cudaMemcpyAsync(d->lists, d->host.lists, (size_t)n_words * sizeof *d->lists, cudaMemcpyHostToDevice,
                             d->stream);
    for (size_t i = from; i < d->next && rc == 0 && !d->comms.error; i++) rc = run_op(d, &d->ops[i]);
    const device_op *last = &d->ops[d->next - 1];
    if (rc == 0 && last->kind == DEVICE_HEAD) rc = copy_verdict(d, last);
    return rc == 0 && ends_pass(last) ? copy_back(d, d->x_comes) : rc;
}

/* NULL: they were never seen before, or there is no room to remember them. */
static replay *replay_of(device *d, size_t from)
{
    const size_t n = d->next - from;
    for (replay &r : d->replays)
        if (r.n_run == d->n_run && r.begins == (from == 0) && r.x_comes == d->x_comes && r.ops.size() == n &&
            r.attention.n_units == d->attention.n_units && r.attention.tiles == d->attention.tiles &&
            r.attention.merges == d->attention.merges && !memcmp(r.ops.data(), &d->ops[from], n * sizeof(device_op)))
            return &r;
    if (d->replays.size() < REPLAYS_MOST) {
        const auto at = d->ops.begin() + (ptrdiff_t)from;
        d->replays.push_back({{at, at + (ptrdiff_t)n}, d->n_run, d->attention, from == 0, d->x_comes, nullptr});
    }
    return nullptr;
}

static void capture(device *d, replay *r, size_t from, int n_words)
{
    cudaGraph_t graph = nullptr;
    bool ok = cudaStreamBeginCapture(d->stream, cudaStreamCaptureModeThreadLocal) == cudaSuccess;
    if (ok) {
        const int rc = launch_ops(d, from, n_words);
        ok = cudaStreamEndCapture(d->stream, &graph) == cudaSuccess && rc == 0;
    }
    d->captures = ok && cudaGraphInstantiate(&r->graph, graph, 0) == cudaSuccess;
    if (graph) cudaGraphDestroy(graph);
    if (d->captures) return;
    r->graph = nullptr;
    (void)cudaGetLastError();
}

static void run_ops(device *d, size_t from, bool padded, int n_words)
{
    replay *r = padded && d->captures ? replay_of(d, from) : nullptr;
    if (r && !r->graph) capture(d, r, from, n_words);
    if (r && r->graph) {
        for (size_t i = from; i < d->next; i++)
            if (d->ops[i].kind == DEVICE_READY) note_ready(d, &d->ops[i]);
        check(d, cudaGraphLaunch(r->graph, d->stream));
    } else {
        check(d, launch_ops(d, from, n_words));
    }
    d->is_back = ends_pass(&d->ops[d->next - 1]);
    d->x_is_back = d->is_back && d->x_comes;
}

static void cuda_run(device *d)
{
    if (!enter(d)) return;
    while (d->next < d->ops.size() && !d->lost && !d->comms.error) {
        const size_t from = d->next;
        const bool padded = pads(d, from);
        int n_words = 0;
        d->n_run = padded ? class_of(d->n_rows) : d->n_rows;
        while (d->next < d->ops.size() && place_lists(d, &d->ops[d->next], padded, &n_words)) d->next++;
        run_ops(d, from, padded, n_words);
        if (d->next < d->ops.size()) check(d, cudaStreamSynchronize(d->stream)); /* the lists are read */
    }
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

/* The stream orders it between passes. Of values whole pairs of positions. */
static void cuda_copy(device *d, int to, int from, int n)
{
    const device_shape *s = &d->s;
    const size_t heads = (size_t)s->n_head_kv, n_head = (size_t)d->ctx_room * (size_t)s->d_head,
                 ld = n_head * sizeof *d->keys, n_bytes = (size_t)((n + 1) / 2 * 2 * s->d_head) * sizeof *d->keys;
    if (!enter(d) || n == 0) return;
    for (int i = 0; i < s->n_caches; i++) {
        const cache_args c = cache_of(d, i);
        for (uint16_t *cache : {c.keys, c.values})
            check(d, cudaMemcpy2DAsync(cache + (size_t)to * heads * n_head, ld, cache + (size_t)from * heads * n_head,
                                       ld, n_bytes, heads, cudaMemcpyDeviceToDevice, d->stream));
    }
}

static void cuda_end(device *d, device_row *rows, float *x)
{
    if (!enter(d)) return;
    const bool copies = !d->is_back || (x && !d->x_is_back);
    if (copies && check(d, copy_back(d, x != nullptr))) check(d, cudaStreamSynchronize(d->stream));
    if (d->lost) return;
    memcpy(rows, d->host.rows, (size_t)d->n_rows * sizeof *rows);
    if (x) memcpy(x, d->host.x, (size_t)d->n_rows * (size_t)d->s.n_embd * sizeof *x);
}

static void cuda_logits(device *d, float *out, size_t ld, int i_matrix, int row, int n_rows, int i_panel, int n)
{
    const int n_panels = (n + PANEL - 1) / PANEL;
    if (!enter(d) || n_rows == 0) return;
    if (check(d, run_product(d, i_matrix, row, n_rows, i_panel, n_panels, d->logits, HEAD_CHUNK, alone_on(d))))
        copy_rows(d, out, ld, d->logits, HEAD_CHUNK, n_rows, n_panels * PANEL, cudaMemcpyDeviceToHost);
}

static void cuda_row(device *d, float *out, int i_matrix, int i_row)
{
    const matrix *m = &d->matrices[(size_t)i_matrix];
    mm_args a = mm_args_of(m);
    a.out = d->of[DEVICE_Y]; /* free between passes */
    if (enter(d) && check(d, launch_mm_row(m->type, a, i_row, alone_on(d))))
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

static void cuda_head(device *d, head_part *parts, float *judged)
{
    const device_op *op = &d->ops.back();
    const size_t n = (size_t)d->n_headed, n_parts = op->whole ? 1 : (size_t)(op->n_ids + HEAD_CHUNK - 1) / HEAD_CHUNK;
    memcpy(parts, d->host.parts, n * n_parts * sizeof *parts);
    memcpy(judged, d->host.judged, n * (size_t)op->n_judge * sizeof *judged);
}

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
    t.head = cuda_head;
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
