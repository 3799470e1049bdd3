/* cpu_module.cu -- a card that gives the CPU's bits (arithmetic id 1), slowly: the reference's own functions
 * (cpu_ref.c), compiled for the card, each by one thread for a row, a head of a row or an output. Built as a module of
 * its own, pilotfish_cuda_cpu.so (--arithmetic cpu): for tests of all but the products' arithmetic, and for jobs whose
 * other verifiers are CPUs. Ops run one after another on one stream; what the driver refuses marks the device as
 * lost. */
#include "kernels/cuda/card.cuh"
#include "kernels/now.h"

#include <assert.h>
#include <string.h>

#include <vector>

/* The reference as functions of the host and of the card. Its tables and what only a CPU uses stay out. */
#define MATH_OF static __host__ __device__ __forceinline__
#include "kernels/expf.h"
#include "kernels/math.h"
#define math_expf expf_of
#define static static __host__ __device__
#define memmove memcpy /* what a row is quantized into is not the row, here */
#define CPU_REF_FUNCTIONS
#ifdef __CUDACC__
#pragma nv_diag_suppress 177 /* functions that are not called */
#else
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#ifdef __clang__
#pragma GCC diagnostic ignored "-Wc++20-designator"
#endif
#endif
#include "kernels/cpu_ref.c"
#ifndef __CUDACC__
#pragma GCC diagnostic pop
#endif
#undef static
#undef memmove

enum { THREADS = 64 };

struct device : card { /* its memory has all that follows on the card */
    std::vector<weights> matrices;
    std::vector<const float *> vectors;
    std::vector<device_op> ops;
    std::vector<uint8_t> panel;
    size_t next; /* op to run */
    int n_rows;
    device_row *rows;            /* [max_rows] */
    float *of[N_DEVICE_BUFFERS]; /* [max_rows, ld[]] */
    size_t ld[N_DEVICE_BUFFERS];
    acts ready;
    float *cs, *normed, *scratch, *mix_weights; /* normed: [max_rows, widest]; scratch: of attention */
    int *listed;
    uint16_t *keys, *values; /* [n_caches, n_slots, n_head_kv, n_ctx, d_head] */
};

/* Both wait. */
static void to_card(device *d, void *to, const void *from, size_t n)
{
    if (n && check(d, cudaMemcpyAsync(to, from, n, cudaMemcpyHostToDevice, d->stream)))
        check(d, cudaStreamSynchronize(d->stream));
}

static void from_card(device *d, void *to, const void *from, size_t n)
{
    if (n && check(d, cudaMemcpyAsync(to, from, n, cudaMemcpyDeviceToHost, d->stream)))
        check(d, cudaStreamSynchronize(d->stream));
}

static void cpu_close(device *d)
{
    if (!d) return;
    cudaSetDevice(d->s.device);
    if (d->stream) cudaStreamSynchronize(d->stream);
    for (void *p : d->memory) cudaFree(p);
    if (d->stream) cudaStreamDestroy(d->stream);
    delete d;
}

static bool take_buffers(device *d)
{
    const device_shape *s = &d->s;
    const size_t rows = (size_t)s->max_rows, n_kv = (size_t)(s->n_head_kv * s->d_head),
                 n_cache = (size_t)s->n_caches * (size_t)s->n_slots * n_kv * (size_t)s->n_ctx;
    int widest = s->n_attn > s->n_ff_all ? s->n_attn : s->n_ff_all;
    if (s->n_embd > widest) widest = s->n_embd;
    const size_t width = (size_t)widest;
    for (int i = 0; i < N_DEVICE_BUFFERS; i++) {
        d->ld[i] = (size_t)(device_width(s, (enum device_buffer)i) + PANEL);
        if (!take(d, &d->of[i], rows * d->ld[i])) return false;
    }
    return take(d, &d->rows, rows) && take(d, &d->ready.x, rows * width) &&
           take(d, &d->ready.blocks, rows * (width / BLOCK + 1)) && take(d, &d->cs, 2 * rows * (size_t)s->d_head) &&
           take(d, &d->normed, rows * width) && take(d, &d->listed, rows) && take(d, &d->mix_weights, rows) &&
           take(d, &d->scratch, rows * (size_t)s->n_head * (size_t)(ATTN_CHUNK + s->d_head)) &&
           take(d, &d->keys, n_cache) && take(d, &d->values, n_cache) && /* zeros, as the CPU's */
           check(d, cudaMemsetAsync(d->keys, 0, n_cache * sizeof *d->keys, d->stream)) &&
           check(d, cudaMemsetAsync(d->values, 0, n_cache * sizeof *d->values, d->stream));
}

static device *cpu_open(const device_shape *shape, const char **why)
{
    const cudaError_t rc = cudaSetDevice(shape->device);
    if (rc != cudaSuccess) {
        *why = cudaGetErrorString(rc);
        return nullptr;
    }
    device *d = new device();
    d->s = *shape;
    if (has_room(d, cudaStreamCreateWithFlags(&d->stream, cudaStreamNonBlocking)) && take_buffers(d)) return d;
    *why = card_why(d);
    cpu_close(d);
    return nullptr;
}

static size_t cpu_matrix_bytes(enum quant type, int n_in, int n_out)
{
    return (size_t)((n_out + PANEL - 1) / PANEL) * ref_panel_bytes(type, n_in);
}

static int cpu_matrix(device *d, enum quant type, int n_in, int n_out)
{
    weights w = {type, n_in, n_out, ref_panel_bytes(type, n_in), nullptr};
    if (!enter(d) || !take(d, &w.panels, cpu_matrix_bytes(type, n_in, n_out))) return -1;
    d->matrices.push_back(w);
    return (int)d->matrices.size() - 1;
}

static void cpu_fill(device *d, int i_matrix, int i_panel, const void *const rows[PANEL])
{
    const weights *w = &d->matrices[(size_t)i_matrix];
    if (!enter(d)) return;
    d->panel.resize(w->panel_bytes);
    ref_pack(d->panel.data(), rows, w->type, w->n_in);
    to_card(d, w->panels + (size_t)i_panel * w->panel_bytes, d->panel.data(), w->panel_bytes);
}

static int cpu_vector(device *d, const float *x, int n)
{
    float *to;
    if (!enter(d) || !take(d, &to, (size_t)n)) return -1;
    to_card(d, to, x, (size_t)n * sizeof *x);
    d->vectors.push_back(to);
    return (int)d->vectors.size() - 1;
}

/* ---- ops, on the card ---- */

struct ready_args {
    acts to;
    const float *x, *norm; /* [rows, ld]; NULL: none */
    float *normed;         /* [n, n_in] */
    device_row *rows;
    const int *which; /* rows of the pass; NULL: all */
    size_t ld;
    float eps;
    int n, entry;
    bool first;
};

static __global__ void ready(ready_args a)
{
    const int i = (int)(blockIdx.x * THREADS + threadIdx.x), n = a.to.n_in;
    if (i >= a.n) return;
    const int row = a.which ? a.which[i] : i;
    const float *x = a.x + (size_t)(a.first ? i : row) * a.ld;
    float *normed = a.normed + (size_t)i * (size_t)n;
    if (a.norm) ref_norm(normed, x, a.norm, n, a.eps);
    if (ref_quantize(&a.to, i, a.norm ? normed : x) >= 0 && a.rows[row].bad < 0) a.rows[row].bad = a.entry;
}

static __global__ void product(float *out, size_t ld, weights w, acts a)
{
    const int i = (int)(blockIdx.x * PANEL + threadIdx.x), row = (int)blockIdx.y;
    if (a.x) a.x += (size_t)row * (size_t)a.n_in;
    if (a.blocks) a.blocks += (size_t)row * (size_t)(a.n_in / BLOCK);
    matmul_row(out + (size_t)row * ld + i, 0, &w, panel_row(&w, i), &a, 1);
}

static __global__ void one_row(float *out, weights w, int i_row)
{
    ref_row(out, &w, i_row);
}

struct place_args {
    device_shape s;
    float *q, *k, *v;
    size_t ld_q, ld_k, ld_v;
    const float *bias[3], *norm_q, *norm_k, *cs;
    const device_row *rows;
    uint16_t *keys, *values; /* of the op's cache */
    int n;
};

static __host__ __device__ size_t cache_at(const device_shape &s, int slot, int head, int pos)
{
    return (((size_t)slot * (size_t)s.n_head_kv + (size_t)head) * (size_t)s.n_ctx + (size_t)pos) * (size_t)s.d_head;
}

static __device__ void place_heads(const device_shape &s, float *x, int n_heads, const float *bias, const float *norm,
                                   const float *cs)
{
    if (bias) ref_add(x, bias, n_heads * s.d_head);
    for (int h = 0; norm && h < n_heads; h++) ref_norm(x + h * s.d_head, x + h * s.d_head, norm, s.d_head, s.eps);
    ref_rope(x, cs, n_heads, s.d_head, s.rope_neox);
}

static __global__ void place(place_args a)
{
    const device_shape &s = a.s;
    const int i = (int)(blockIdx.x * THREADS + threadIdx.x);
    if (i >= a.n) return;
    float *q = a.q + (size_t)i * a.ld_q, *key = a.k + (size_t)i * a.ld_k, *value = a.v + (size_t)i * a.ld_v;
    const float *cs = a.cs + (size_t)i * (size_t)s.d_head;
    place_heads(s, q, s.n_head, a.bias[0], a.norm_q, cs);
    place_heads(s, key, s.n_head_kv, a.bias[1], a.norm_k, cs);
    if (a.bias[2]) ref_add(value, a.bias[2], s.n_head_kv * s.d_head);
    for (int j = 0; j < s.n_head * s.d_head; j++) q[j] *= s.q_scale;
    for (int h = 0; h < s.n_head_kv; h++) {
        const size_t to = cache_at(s, a.rows[i].slot, h, a.rows[i].pos);
        ref_to_f16(a.keys + to, key + h * s.d_head, s.d_head);
        ref_to_f16(a.values + to, value + h * s.d_head, s.d_head);
    }
}

struct attend_args {
    device_shape s;
    const float *q;
    float *out, *scratch;
    size_t ld_q, ld_out;
    const device_row *rows;
    const uint16_t *keys, *values; /* of the op's cache */
    int n_window;
};

/* A head of a row, chunk by chunk as attention_rows has it. */
static __global__ void attend_head(attend_args a)
{
    const device_shape &s = a.s;
    const int head = (int)blockIdx.x, row = (int)blockIdx.y, d = s.d_head, pos = a.rows[row].pos;
    const int first = a.n_window && pos >= a.n_window ? pos + 1 - a.n_window : 0;
    const size_t from = cache_at(s, a.rows[row].slot, (head + s.head_at) / s.group, 0);
    float *out = a.out + (size_t)row * a.ld_out + head * d;
    float *scratch = a.scratch + (size_t)(row * s.n_head + head) * (size_t)(ATTN_CHUNK + d);
    softmax so_far = {0, 0};
    for (int chunk = first / ATTN_CHUNK * ATTN_CHUNK; chunk <= pos; chunk += ATTN_CHUNK)
        ref_attention(out, &so_far, a.q + (size_t)row * a.ld_q + head * d, 1, a.keys + from, a.values + from, (size_t)d,
                      first > chunk ? first : chunk, pos + 1 < chunk + ATTN_CHUNK ? pos + 1 : chunk + ATTN_CHUNK, d,
                      scratch);
    for (int i = 0; i < d; i++) out[i] /= so_far.sum;
}

static __global__ void activate(float *ff, const float *up, size_t ld, size_t ld_up, int n, bool gelu, int n_rows)
{
    const int i = (int)(blockIdx.x * THREADS + threadIdx.x);
    if (i >= n_rows) return;
    ff += (size_t)i * ld, up += (size_t)i * ld_up;
    if (gelu)
        ref_gelu_mul(ff, ff, up, n);
    else
        ref_silu_mul(ff, ff, up, n);
}

struct add_args {
    float *x, *y; /* [n_rows, ld]; y is normed in place */
    size_t ld_x, ld_y;
    const float *norm, *steps; /* NULL: none; of each row, or `step` of all */
    const int *which;          /* rows of x; NULL: all */
    float eps, step;
    int n, n_rows;
};

static __global__ void add_rows(add_args a)
{
    const int i = (int)(blockIdx.x * THREADS + threadIdx.x);
    if (i >= a.n_rows) return;
    float *x = a.x + (size_t)(a.which ? a.which[i] : i) * a.ld_x, *y = a.y + (size_t)i * a.ld_y;
    if (a.norm) ref_norm(y, y, a.norm, a.n, a.eps);
    if (!a.steps && a.step == 1.0f)
        ref_add(x, y, a.n);
    else
        ref_add_step(x, y, a.steps ? a.steps[i] : a.step, a.n);
}

/* ---- ops, launched ---- */

static unsigned blocks_of(int n)
{
    return (unsigned)(n + THREADS - 1) / THREADS;
}

static const float *vector_of(const device *d, int i)
{
    return i < 0 ? nullptr : d->vectors[(size_t)i];
}

/* Of ops that may be of the first rows alone. */
static int rows_of(const device *d, const device_op *op)
{
    return op->n_rows ? op->n_rows : d->n_rows;
}

static const int *rows_listed(device *d, const device_op *op)
{
    if (!op->rows) return nullptr;
    to_card(d, d->listed, op->rows, (size_t)op->n_rows * sizeof *op->rows);
    return d->listed;
}

static int run_ready(device *d, const device_op *op)
{
    ready_args a = {};
    a.n = op->rows ? op->n_rows : d->n_rows;
    d->ready.n_in = device_width(&d->s, op->buffer);
    if (a.n == 0) return 0;
    a.to = d->ready;
    if (d->ready.n_in % BLOCK) a.to.blocks = nullptr; /* only float weights read such rows */
    a.x = d->of[op->buffer];
    a.norm = vector_of(d, op->norm);
    a.normed = d->normed;
    a.rows = d->rows;
    a.which = rows_listed(d, op);
    a.ld = d->ld[op->buffer];
    a.eps = d->s.eps;
    a.entry = op->entry;
    a.first = op->first;
    return PF_LAUNCH(ready, blocks_of(a.n), THREADS, 0, launch_on{d->stream}, a);
}

static int run_product(device *d, weights w, int row, int n_rows, float *out, size_t ld)
{
    acts a = d->ready;
    a.x += (size_t)row * (size_t)a.n_in;
    a.blocks += (size_t)row * (size_t)(a.n_in / BLOCK);
    const dim3 grid((unsigned)(w.n_out + PANEL - 1) / PANEL, (unsigned)n_rows);
    return PF_LAUNCH(product, grid, PANEL, 0, launch_on{d->stream}, out, ld, w, a);
}

static int run_place(device *d, const device_op *op)
{
    const device_shape *s = &d->s;
    const size_t cache = (size_t)op->cache * cache_at(*s, s->n_slots, 0, 0);
    place_args a = {};
    a.s = *s;
    a.q = d->of[DEVICE_Q], a.k = d->of[DEVICE_K], a.v = d->of[DEVICE_V];
    a.ld_q = d->ld[DEVICE_Q], a.ld_k = d->ld[DEVICE_K], a.ld_v = d->ld[DEVICE_V];
    for (int i = 0; i < 3; i++) a.bias[i] = vector_of(d, op->bias[i]);
    a.norm_q = vector_of(d, op->norm_q), a.norm_k = vector_of(d, op->norm_k);
    a.cs = d->cs + (op->local ? (size_t)s->max_rows * (size_t)s->d_head : 0);
    a.rows = d->rows;
    a.keys = d->keys + cache, a.values = d->values + cache;
    a.n = d->n_rows;
    return PF_LAUNCH(place, blocks_of(a.n), THREADS, 0, launch_on{d->stream}, a);
}

static int run_attend(device *d, const device_op *op)
{
    const size_t cache = (size_t)op->cache * cache_at(d->s, d->s.n_slots, 0, 0);
    attend_args a = {};
    a.s = d->s;
    a.q = d->of[DEVICE_Q], a.out = d->of[DEVICE_ATTN], a.scratch = d->scratch;
    a.ld_q = d->ld[DEVICE_Q], a.ld_out = d->ld[DEVICE_ATTN];
    a.rows = d->rows;
    a.keys = d->keys + cache, a.values = d->values + cache;
    a.n_window = op->n_window;
    return PF_LAUNCH(attend_head, dim3((unsigned)d->s.n_head, (unsigned)d->n_rows), 1, 0, launch_on{d->stream}, a);
}

static int run_activate(device *d, const device_op *op)
{
    return PF_LAUNCH(activate, blocks_of(rows_of(d, op)), THREADS, 0, launch_on{d->stream}, d->of[DEVICE_FF],
                     d->of[DEVICE_UP], d->ld[DEVICE_FF], d->ld[DEVICE_UP], d->s.n_ff, d->s.gelu, rows_of(d, op));
}

/* X += Y; Y += rows of PAIR. */
static int run_add(device *d, const device_op *op)
{
    const bool mix = op->kind == DEVICE_MIX;
    add_args a = {};
    a.x = d->of[mix ? DEVICE_Y : DEVICE_X], a.y = d->of[mix ? DEVICE_PAIR : DEVICE_Y];
    a.ld_x = d->ld[mix ? DEVICE_Y : DEVICE_X], a.ld_y = d->ld[mix ? DEVICE_PAIR : DEVICE_Y];
    a.n = d->s.n_embd;
    a.n_rows = mix ? op->n_rows : d->n_rows;
    a.eps = d->s.eps;
    a.step = op->step;
    if (mix) {
        a.which = rows_listed(d, op);
        to_card(d, d->mix_weights, op->weights, (size_t)op->n_rows * sizeof *op->weights);
        a.steps = d->mix_weights;
    } else {
        a.norm = vector_of(d, op->norm);
    }
    return PF_LAUNCH(add_rows, blocks_of(a.n_rows), THREADS, 0, launch_on{d->stream}, a);
}

static int run_op(device *d, const device_op *op)
{
    switch (op->kind) {
    case DEVICE_READY: return run_ready(d, op);
    case DEVICE_PRODUCT:
        return run_product(d, d->matrices[(size_t)op->matrix], 0, rows_of(d, op), d->of[op->buffer], d->ld[op->buffer]);
    case DEVICE_PLACE: return run_place(d, op);
    case DEVICE_ATTEND: return run_attend(d, op);
    case DEVICE_ACTIVATE: return run_activate(d, op);
    case DEVICE_MIX:
    case DEVICE_ADD: return run_add(d, op);
    case DEVICE_CLEAR:
        return cudaMemsetAsync(d->of[DEVICE_Y], 0, (size_t)d->n_rows * d->ld[DEVICE_Y] * sizeof(float), d->stream);
    default: return cudaErrorInvalidValue; /* of what the table lacks */
    }
}

/* ---- a pass ---- */

/* The first n columns of rows; it waits. */
static void copy_rows(device *d, float *to, size_t ld_to, const float *from, size_t ld_from, int n_rows, int n,
                      enum cudaMemcpyKind kind)
{
    if (!enter(d) || n_rows == 0 || n == 0) return;
    check(d, cudaMemcpy2DAsync(to, ld_to * sizeof *to, from, ld_from * sizeof *from, (size_t)n * sizeof *to,
                               (size_t)n_rows, kind, d->stream));
    check(d, cudaStreamSynchronize(d->stream));
}

static void cpu_begin(device *d, const device_row *rows, int n_rows, const float *x, const float *cs)
{
    const int n = d->s.n_embd;
    d->n_rows = n_rows;
    d->next = 0;
    d->ops.clear();
    if (!enter(d)) return;
    to_card(d, d->rows, rows, (size_t)n_rows * sizeof *rows);
    to_card(d, d->cs, cs, 2 * (size_t)d->s.max_rows * (size_t)d->s.d_head * sizeof *cs);
    if (x) copy_rows(d, d->of[DEVICE_X], d->ld[DEVICE_X], x, (size_t)n, n_rows, n, cudaMemcpyHostToDevice);
}

static int cpu_record(device *d, const device_op *op)
{
    d->ops.push_back(*op);
    return 0;
}

static void cpu_run(device *d)
{
    if (!enter(d)) return;
    for (; d->next < d->ops.size() && !d->lost; d->next++) check(d, run_op(d, &d->ops[d->next]));
}

static int cpu_poll(device *d, uint64_t until_ns)
{
    while (enter(d)) {
        const cudaError_t rc = cudaStreamQuery(d->stream);
        if (rc == cudaSuccess) return 1;
        if (rc != cudaErrorNotReady) d->lost = true;
        if ((uint64_t)now_ns() >= until_ns) break;
    }
    return d->lost ? -1 : 0;
}

static void cpu_get(device *d, float *x, size_t ld, enum device_buffer b, int n_rows, int n)
{
    copy_rows(d, x, ld, d->of[b], d->ld[b], n_rows, n, cudaMemcpyDeviceToHost);
}

static void cpu_put(device *d, enum device_buffer b, const float *x, size_t ld, int n_rows, int n)
{
    copy_rows(d, d->of[b], d->ld[b], x, ld, n_rows, n, cudaMemcpyHostToDevice);
}

static void cpu_copy(device *d, int to, int from, int n)
{
    const device_shape &s = d->s;
    const size_t n_bytes = (size_t)n * (size_t)s.d_head * sizeof *d->keys, one = cache_at(s, s.n_slots, 0, 0);
    if (!enter(d)) return;
    for (int i = 0; i < s.n_caches; i++)
        for (int h = 0; h < s.n_head_kv; h++)
            for (uint16_t *cache : {d->keys + (size_t)i * one, d->values + (size_t)i * one})
                check(d, cudaMemcpyAsync(cache + cache_at(s, to, h, 0), cache + cache_at(s, from, h, 0), n_bytes,
                                         cudaMemcpyDeviceToDevice, d->stream));
}

static void cpu_end(device *d, device_row *rows, float *x)
{
    if (!enter(d)) return;
    from_card(d, rows, d->rows, (size_t)d->n_rows * sizeof *rows);
    if (x) cpu_get(d, x, (size_t)d->s.n_embd, DEVICE_X, d->n_rows, d->s.n_embd);
}

/* A panel at a time, by way of Y, which nothing reads any more. */
static void cpu_logits(device *d, float *out, size_t ld, int i_matrix, int row, int n_rows, int i_panel, int n)
{
    weights w = d->matrices[(size_t)i_matrix];
    const int most = (int)d->ld[DEVICE_Y] / PANEL * PANEL, n_all = (n + PANEL - 1) / PANEL * PANEL;
    if (!enter(d) || n_rows == 0) return;
    w.panels += (size_t)i_panel * w.panel_bytes;
    for (int i = 0; i < n_all && !d->lost; i += most, w.panels += (size_t)(most / PANEL) * w.panel_bytes) {
        w.n_out = n_all - i < most ? n_all - i : most;
        if (check(d, run_product(d, w, row, n_rows, d->of[DEVICE_Y], d->ld[DEVICE_Y])))
            copy_rows(d, out + i, ld, d->of[DEVICE_Y], d->ld[DEVICE_Y], n_rows, w.n_out, cudaMemcpyDeviceToHost);
    }
}

static void cpu_row(device *d, float *out, int i_matrix, int i_row)
{
    const weights w = d->matrices[(size_t)i_matrix];
    if (enter(d) && check(d, PF_LAUNCH(one_row, 1, 1, 0, launch_on{d->stream}, d->normed, w, i_row)))
        from_card(d, out, d->normed, (size_t)w.n_in * sizeof *out);
}

/* ---- which cards ---- */

static int cpu_probe(int i, device_about *about, const char **why);

static device_table table_of()
{
    device_table t = {};
    t.version = DEVICE_VERSION;
    t.arithmetic = ARITHMETIC_ID;
    t.name = "cuda, the CPU's arithmetic";
    t.open = cpu_open;
    t.close = cpu_close;
    t.matrix = cpu_matrix;
    t.fill = cpu_fill;
    t.vector = cpu_vector;
    t.row = cpu_row;
    t.begin = cpu_begin;
    t.record = cpu_record;
    t.run = cpu_run;
    t.poll = cpu_poll;
    t.end = cpu_end;
    t.logits = cpu_logits;
    t.probe = cpu_probe;
    t.get = cpu_get;
    t.put = cpu_put;
    t.copy = cpu_copy;
    t.matrix_bytes = cpu_matrix_bytes;
    t.experts = true;
    return t;
}

constexpr int TEST_IN = 256, TEST_ROWS = 3;

/* Row, product and activation of hard inputs by the card and by these functions on the host. */
static bool same_bits(const device_table *t, int i_device)
{
    device_shape s = {};
    s.max_rows = TEST_ROWS;
    s.n_embd = s.n_ff = s.n_ff_all = TEST_IN;
    s.n_head = s.n_head_kv = s.group = s.n_caches = s.n_slots = 1;
    s.d_head = s.n_attn = s.n_ctx = PANEL;
    s.eps = 1e-6f;
    s.device = i_device;
    std::vector<uint8_t> file(PANEL * row_bytes(QUANT_Q6_K, TEST_IN));
    std::vector<float> x(TEST_ROWS * TEST_IN), ones(TEST_IN, 1.0f), cs(2 * TEST_ROWS * PANEL), got(x.size()),
        normed(TEST_IN), want(TEST_ROWS * PANEL);
    std::vector<act> blocks(TEST_IN / BLOCK);
    uint32_t state = 1;
    const auto draw = [&state] { return state = state * 1664525 + 1013904223; };
    for (uint8_t &b : file) b = (uint8_t)(draw() >> 24);
    for (int i = 0; i < PANEL; i++) file[(size_t)(i + 1) * file.size() / PANEL - 1] = 0x20; /* d is finite */
    for (float &f : x) {
        const float mantissa = (float)(int32_t)draw();
        f = ldexpf(mantissa, (int)(draw() >> 28) - 40);
    }
    const void *rows[PANEL];
    for (int i = 0; i < PANEL; i++) rows[i] = file.data() + (size_t)i * file.size() / PANEL;
    std::vector<uint8_t> panel(ref_panel_bytes(QUANT_Q6_K, TEST_IN));
    ref_pack(panel.data(), rows, QUANT_Q6_K, TEST_IN);
    const weights w = {QUANT_Q6_K, TEST_IN, PANEL, panel.size(), panel.data()};
    for (int r = 0; r < TEST_ROWS; r++) {
        acts a = {TEST_IN, nullptr, blocks.data()};
        ref_norm(normed.data(), &x[(size_t)r * TEST_IN], ones.data(), TEST_IN, s.eps);
        ref_quantize(&a, 0, normed.data());
        ref_matmul(&want[(size_t)r * PANEL], PANEL, &w, &a, 1, 0, 1);
    }

    const char *why;
    device *d = t->open(&s, &why);
    if (!d) return false;
    device_row of_pass[TEST_ROWS];
    for (device_row &r : of_pass) r = {0, 0, -1};
    device_op op = {};
    const int matrix = t->matrix(d, QUANT_Q6_K, TEST_IN, PANEL), norm = t->vector(d, ones.data(), TEST_IN);
    if (matrix >= 0) t->fill(d, matrix, 0, rows);
    t->begin(d, of_pass, TEST_ROWS, x.data(), cs.data());
    op.kind = DEVICE_READY;
    op.buffer = DEVICE_X;
    op.norm = norm;
    t->record(d, &op);
    t->run(d);
    while (t->poll(d, 0) == 0) continue;
    t->logits(d, got.data(), PANEL, matrix, 0, TEST_ROWS, 0, PANEL);
    const bool same = t->poll(d, 0) == 1 && !memcmp(got.data(), want.data(), want.size() * sizeof(float));
    t->close(d);
    return same;
}

/* A card whose bits are not the reference's has no self-test that anyone expects. */
static int cpu_probe(int i, device_about *about, const char **why)
{
    return card_probe(i, about, why, [i] {
        const device_table table = table_of();
        return same_bits(&table, i) ? KERNELS_SELFTEST : 0;
    });
}

const struct device_table *pf_device(int version)
{
    static const device_table table = table_of();
    return version == DEVICE_VERSION ? &table : nullptr;
}
