/* device_memory.cuh -- a device of module.cu: what it holds, from open to close, and its weights. What
 * goes in and out of a pass goes through pinned memory. Once it is lost (card.cuh) nothing is launched, and poll says
 * so. */
#ifndef KERNELS_CUDA_DEVICE_MEMORY_CUH
#define KERNELS_CUDA_DEVICE_MEMORY_CUH

#include "kernels/cuda/attend.cuh"
#include "kernels/cuda/card.cuh"
#include "kernels/cuda/exchange.cuh"
#include "kernels/cuda/glue.cuh"
#include "kernels/cuda/head.cuh"
#include "kernels/cuda/launch_cluster.cuh"
#include "kernels/cuda/next.cuh"
#include "kernels/cuda/repack.cuh"

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

struct step {   /* of a pass */
    size_t op;  /* its first */
    int n_rows; /* without those that pad it */
    int row;    /* its first in host.rows, .of_row, .cs, .parts: there all are padded */
    int unit;   /* likewise in host.units */
    int matrix; /* of the next step's rows of X, and their scale */
    float scale;
    attend_shape attention;
};

struct replay {
    std::vector<device_op> ops; /* with lists on the device */
    std::vector<step> steps;
    bool begins, x_comes;
    int ready_tiles;       /* as the READY before them lies; 0: there is none */
    cudaGraphExec_t graph; /* owns; NULL: they have run once */
};

struct device : card {
    std::vector<void *> pinned; /* owns: it and `memory` have all that follows */
    std::vector<matrix> matrices;
    std::vector<const float *> vectors;
    std::vector<device_op> ops;
    std::vector<replay> replays;
    bool captures;              /* until the driver once cannot */
    mm_card products;           /* a block a multiprocessor: the next kernel's find room beside them */
    cluster_card clusters;      /* of blocks, for products of few rows */
    bool beside, after_kernel;  /* the card lets a kernel begin beside the one before; there is one */
    size_t next;                /* op to run */
    step steps[DEVICE_STEPS];   /* [n_steps] of the pass */
    int n_steps, i_step;        /* i_step: to run, whose are: */
    int n_rows, n_run;          /* n_run: with those that pad it */
    int rows_room, steps_room;  /* the same of the largest pass; of all its steps */
    bool is_back, x_is_back;    /* rows and the verdict are in host; x is */
    bool x_comes;               /* from the host, and goes back */
    int n_headed;               /* rows of HEAD, without those that pad it */
    int ctx_room;               /* positions of a slot, to whole fragments */
    int heads, n_z, tiles_most; /* of attention: heads that a block takes, such blocks a KV head; of 16 rows */
    int units_room;             /* chunks that `work` has room for */
    attend_shape attention;
    size_t n_x;                           /* values that x has room for: whole blocks of rows (layout_x) */
    int n_ready, ready_rows, ready_tiles; /* of the newest READY: values a row, rows, how they lie */
    float ready_undo;
    bool is_latent; /* the newest READY is not written: products make what they read of it (device_fuse.cuh) */
    device_op latent;
    float *scales;               /* [rows_room] 1 / rms of X's rows, as the newest ADD of few rows left them */
    float *of[N_DEVICE_BUFFERS]; /* [max_rows, ld[]] */
    size_t ld[N_DEVICE_BUFFERS];
    uint16_t *half, *brain, *keys, *values; /* brain, plain: NULL until a matrix needs them */
    float *plain, *cs;
    float *logits; /* [n_logits] rows of them, as many ids as there is room for */
    size_t n_logits;
    int ld_parts;      /* chunks of the widest matrix, and one for all of them */
    head_part *parts;  /* [rows_room, ld_parts] */
    float *judged;     /* [rows_room, DEVICE_JUDGED] */
    head_pick *picks;  /* as parts */
    uint64_t *offered; /* [DEVICE_BEST * ld_parts] */
    device_best *best; /* [DEVICE_BEST] */
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
        head_part *parts; /* of the HEADs of the pass */
        float *judged;
        head_pick *picks;
        device_best *best;
        uint8_t *panel; /* [N_STAGED, staged_bytes] */
    } host;             /* pinned */
    uint8_t *staged;    /* as host.panel */
    size_t staged_bytes;
    int n_filled;
    exchanges comms;
};

/* ---- memory ---- */

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
           pin(d, &d->host.units, n_table * DEVICE_STEPS) && take(d, &d->of_row, (size_t)d->rows_room) &&
           pin(d, &d->host.of_row, (size_t)d->steps_room) && take(d, &d->work, (size_t)d->units_room * n_unit) &&
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
    d->steps_room = 2 * d->rows_room + DEVICE_STEPS * TILE;
    const size_t rows = (size_t)d->rows_room, n_cs = 2 * (size_t)s->d_head, steps = (size_t)d->steps_room;
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
    return take_x(d, &d->half) && take_attention(d) && take(d, &d->cs, n_cs * (size_t)s->max_rows) &&
           take(d, &d->rows, rows) && take(d, &d->scales, rows) && take(d, &d->lists, rows * N_LISTED) &&
           take(d, &d->logits, d->n_logits) && take(d, &d->judged, rows * DEVICE_JUDGED) &&
           pin(d, &d->host.judged, rows * DEVICE_JUDGED) && pin(d, &d->host.picks, rows) &&
           take(d, &d->best, DEVICE_BEST) && pin(d, &d->host.best, DEVICE_BEST) && pin(d, &d->host.rows, steps) &&
           pin(d, &d->host.x, rows * (size_t)s->n_embd) && pin(d, &d->host.cs, n_cs * steps) &&
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
    d->clusters.there = generation >= 9;
    d->products = {1, SHARED_LEAST}; /* but for what it says */
    (void)cudaDeviceGetAttribute(&d->products.blocks, cudaDevAttrMultiProcessorCount, shape->device);
    (void)cudaDeviceGetAttribute(&d->products.shared, cudaDevAttrMaxSharedMemoryPerBlockOptin, shape->device);
    if (has_room(d, cudaStreamCreateWithFlags(&d->stream, cudaStreamNonBlocking)) && take_buffers(d)) return d;
    *why = card_why(d);
    cuda_close(d);
    return nullptr;
}

/* ---- weights ---- */

/* Room for a panel's rows as the file has them. */
static bool stage(device *d, size_t n)
{
    if (n <= d->staged_bytes) return true;
    check(d, cudaStreamSynchronize(d->stream)); /* those before are read */
    if (!take(d, &d->staged, n * N_STAGED) || !pin(d, &d->host.panel, n * N_STAGED)) return false;
    d->staged_bytes = n;
    return true;
}

/* Room for the chunks of a matrix that may be a head. */
static bool take_chunks(device *d, int n_out)
{
    const int n = (n_out + HEAD_CHUNK - 1) / HEAD_CHUNK + 1;
    if (n <= d->ld_parts) return true;
    if (!take(d, &d->parts, (size_t)(d->rows_room * n)) ||
        !pin(d, &d->host.parts, (size_t)(d->rows_room * n + d->steps_room)) ||
        !take(d, &d->picks, (size_t)(d->rows_room * n)) || !take(d, &d->offered, (size_t)(DEVICE_BEST * n)))
        return false;
    d->ld_parts = n;
    return true;
}

static size_t cuda_matrix_bytes(enum quant type, int n_in, int n_out)
{
    return layout_of(type, n_in, n_out).n_bytes;
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

#endif
