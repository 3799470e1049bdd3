/* glue.cuh -- what lies between products: one token row a block, or its elements. fp32, one rounding an operation,
 * orders as ARITHMETIC.md has them for arithmetic id 2. */
#ifndef KERNELS_CUDA_GLUE_CUH
#define KERNELS_CUDA_GLUE_CUH

#include "kernels/cuda/layout.h"
#include "kernels/cuda/math.cuh"

enum { ROW_THREADS = 256, ROW_WARPS = ROW_THREADS / WARP };

/* A pass may be padded with rows of no slot, and a list with places of no row (below 0): they compute nothing, and are
 * zeros for products. */
static __device__ bool row_is_there(const device_row *rows, int row)
{
    return row >= 0 && rows[row].slot >= 0;
}

/* Of a block, in every thread: warps first, then the warps' sums by halves. */
static __device__ float block_sum(float x)
{
    __shared__ float of_warp[ROW_WARPS];
    float sum = warp_sum(x);
    __syncthreads(); /* those of an earlier sum are read */
    if (threadIdx.x % WARP == 0) of_warp[threadIdx.x / WARP] = sum;
    __syncthreads();
    return ((of_warp[0] + of_warp[4]) + (of_warp[2] + of_warp[6])) +
           ((of_warp[1] + of_warp[5]) + (of_warp[3] + of_warp[7]));
}

/* 1 / rms of a row, of whose sum of squares a thread has its part. */
static __device__ float scale_of(float part, int n, float eps)
{
    return 1.0f / sqrtf(block_sum(part) / (float)n + eps);
}

/* 256 partial sums, element i to partial i mod 256. */
static __device__ float row_scale(const float *x, int n, float eps)
{
    float part = 0.0f;
    for (int i = (int)threadIdx.x; i < n; i += ROW_THREADS) part = fmaf(x[i], x[i], part);
    return scale_of(part, n, eps);
}

struct ready_args {
    const float *x; /* [rows, ld] */
    size_t ld;
    int n, width_x, tiles;  /* of layout_x */
    const float *norm;      /* NULL: none */
    float eps, down;        /* the site's power of two */
    uint16_t *half, *brain; /* as layout_x; brain: NULL, or bf16 */
    float *plain;           /* NULL, or as they are: [n_rows, width_x] */
    device_row *rows;
    const int *which; /* rows of the pass; NULL: all */
    bool first;       /* x has them already as its first rows */
    int entry;
    bool looked_at; /* only: nothing reads them, so f16 need not hold them */
    int n_rows;
    const float *scales; /* of mm_cluster: 1 / rms of the pass's rows */
};

static __device__ __forceinline__ float ready_value(const ready_args &a, const float *x, float scale, int k)
{
    return a.norm ? (x[k] * scale) * a.norm[k] : x[k];
}

/* Of a value, and what is left of it. */
static __device__ __forceinline__ bool is_bad(const ready_args &a, float v, uint16_t half)
{
    return v - v != 0.0f || (!a.looked_at && (half & 0x7c00) == 0x7c00);
}

/* A block a row. */
static __global__ void __launch_bounds__(ROW_THREADS) ready(ready_args a)
{
    let_next_begin();
    wait_for_inputs();
    const int i_row = (int)blockIdx.x, row = a.which ? a.which[i_row] : i_row;
    const bool there = row_is_there(a.rows, row);
    const float *x = a.x + (size_t)(!there ? 0 : a.first ? i_row : row) * a.ld;
    const float scale = there && a.norm ? row_scale(x, a.n, a.eps) : 1.0f;
    bool bad = false;
    for (int k = (int)threadIdx.x; k < a.width_x; k += ROW_THREADS) {
        const size_t to = layout_x(a.tiles, a.width_x, i_row, k);
        const float v = there && k < a.n ? ready_value(a, x, scale, k) : 0.0f;
        const uint16_t half = f16_bits(v * a.down);
        bad = bad || is_bad(a, v, half);
        a.half[to] = half;
        if (a.brain) a.brain[to] = bf16_bits(v * a.down);
        if (a.plain) a.plain[(size_t)i_row * (size_t)a.width_x + (size_t)k] = v;
    }
    if (__syncthreads_or(bad) && threadIdx.x == 0 && a.rows[row].bad < 0) a.rows[row].bad = a.entry;
}

/* One of the KV caches, and where the rows of a pass are in it. All that it holds is finite. */
struct cache_args {
    device_row *rows;
    uint16_t *keys;   /* [n_slots, n_head_kv, n_ctx, d] */
    uint16_t *values; /* [n_slots, n_head_kv, n_ctx / 2, d, 2]: two positions beside each other, as mma reads them */
    int n_head_kv, d, n_ctx; /* n_ctx: a multiple of 32 */
};

/* Position pos of a KV head, in the slot of a row; of values, an even one. */
static __device__ size_t key_at(const cache_args &c, int row, int head, int pos)
{
    const size_t in_slot = (size_t)head * (size_t)c.n_ctx + (size_t)pos;
    return ((size_t)c.rows[row].slot * (size_t)c.n_head_kv * (size_t)c.n_ctx + in_slot) * (size_t)c.d;
}

static __device__ size_t value_at(const cache_args &c, int row, int head, int pos)
{
    return key_at(c, row, head, pos / 2 * 2);
}

struct place_args {
    float *q, *k, *v; /* [n_rows, ld_..] */
    size_t ld_q, ld_k, ld_v;
    const float *bias[3], *norm_q, *norm_k; /* NULL: none */
    const float *cs;                        /* [n_rows, d / 2, 2] */
    cache_args cache;
    int n_head;
    float eps, q_scale;
    bool neox;
    int entry;
};

/* One head by a warp: bias, norm (32 partial sums, element i to partial i mod 32), turn, scale. */
static __device__ void place_head(const place_args &a, float *x, const float *bias, const float *norm, const float *cs,
                                  float scale)
{
    const int lane = (int)threadIdx.x % WARP, d = a.cache.d;
    float part = 0.0f;
    for (int i = lane; i < d; i += WARP) {
        if (bias) x[i] += bias[i];
        part = fmaf(x[i], x[i], part);
    }
    if (norm) {
        float inv = 1.0f / sqrtf(warp_sum(part) / (float)d + a.eps);
        for (int i = lane; i < d; i += WARP) x[i] = (x[i] * inv) * norm[i];
    }
    __syncwarp();
    for (int i = lane; i < d / 2; i += WARP) {
        float *at = a.neox ? x + i : x + 2 * i, *with = at + (a.neox ? d / 2 : 1);
        float u = *at, v = *with, cos = cs[2 * i], sin = cs[2 * i + 1];
        float turned_u = u * cos - v * sin, turned_v = u * sin + v * cos;
        *at = turned_u * scale;
        *with = turned_v * scale;
    }
    __syncwarp();
}

/* What f16 does not hold is 0 in the cache: a later row's K and V are multiplied by 0 for the rows before it. */
static __device__ bool place_half(uint16_t *to, float x)
{
    const uint16_t half = f16_bits(x);
    const bool holds = (half & 0x7c00) != 0x7c00;
    *to = holds ? half : (uint16_t)0;
    return holds;
}

/* A block a row, a warp a head. A row whose K or V f16 does not hold is bad; so is then its attention, by which other
 * shards, which have other heads, find it. */
static __global__ void __launch_bounds__(ROW_THREADS) place(place_args a)
{
    let_next_begin();
    wait_for_inputs();
    const int row = (int)blockIdx.x, lane = (int)threadIdx.x % WARP, d = a.cache.d;
    const float *cs = a.cs + (size_t)row * (size_t)d;
    bool bad = false;
    if (!row_is_there(a.cache.rows, row)) return;
    for (int h = (int)threadIdx.x / WARP; h < a.n_head; h += ROW_WARPS)
        place_head(a, a.q + (size_t)row * a.ld_q + h * d, a.bias[0] ? a.bias[0] + h * d : nullptr, a.norm_q, cs,
                   a.q_scale);
    for (int h = (int)threadIdx.x / WARP; h < a.cache.n_head_kv; h += ROW_WARPS) {
        const int pos = a.cache.rows[row].pos;
        const size_t to_key = key_at(a.cache, row, h, pos), to_value = value_at(a.cache, row, h, pos) + pos % 2;
        float *key = a.k + (size_t)row * a.ld_k + h * d, *value = a.v + (size_t)row * a.ld_v + h * d;
        place_head(a, key, a.bias[1] ? a.bias[1] + h * d : nullptr, a.norm_k, cs, 1.0f);
        for (int i = lane; i < d; i += WARP) {
            if (a.bias[2]) value[i] += a.bias[2][h * d + i];
            bad = !place_half(a.cache.keys + to_key + i, key[i]) || bad;
            bad = !place_half(a.cache.values + to_value + 2 * i, value[i]) || bad;
        }
    }
    if (!__syncthreads_or(bad)) return;
    if (threadIdx.x == 0 && a.cache.rows[row].bad < 0) a.cache.rows[row].bad = a.entry;
    for (int i = (int)threadIdx.x; i < a.n_head * d; i += ROW_THREADS) a.q[(size_t)row * a.ld_q + (size_t)i] = NAN;
}

struct activate_args {
    float *ff;       /* [n_rows, ld] */
    const float *up; /* [n_rows, ld_up] */
    size_t ld, ld_up;
    int n;
    bool gelu;
};

/* An element a thread; a row an y. */
static __global__ void __launch_bounds__(ROW_THREADS) activate(activate_args a)
{
    let_next_begin();
    wait_for_inputs();
    const int i = (int)(blockIdx.x * ROW_THREADS + threadIdx.x);
    const size_t at = (size_t)blockIdx.y * a.ld + (size_t)i;
    if (i >= a.n) return;
    float g = a.ff[at], z = a.gelu ? g * fmaf(g * g, GELU_C3, GELU_C1) : g;
    a.ff[at] = (g / (1.0f + expf_of(-z))) * a.up[(size_t)blockIdx.y * a.ld_up + (size_t)i];
}

struct add_args {
    float *x;
    const float *y; /* [n_rows, ld] */
    size_t ld;
    int n;
    const float *norm; /* NULL: none */
    float eps, step;
    float *scales; /* NULL, or row_scale of the new x */
};

/* A block a row. */
static __global__ void __launch_bounds__(ROW_THREADS) add(add_args a)
{
    let_next_begin();
    wait_for_inputs();
    float part = 0.0f, *x = a.x + (size_t)blockIdx.x * a.ld;
    const float *y = a.y + (size_t)blockIdx.x * a.ld;
    const float scale = a.norm ? row_scale(y, a.n, a.eps) : 1.0f;
    for (int i = (int)threadIdx.x; i < a.n; i += ROW_THREADS) {
        float v = a.norm ? (y[i] * scale) * a.norm[i] : y[i];
        v = x[i] + (a.step == 1.0f ? v : a.step * v);
        part = fmaf(v, v, part);
        x[i] = v;
    }
    if (!a.scales) return;
    const float scale_x = scale_of(part, a.n, a.eps);
    if (threadIdx.x == 0) a.scales[blockIdx.x] = scale_x;
}

struct mix_args {
    float *y;       /* [rows of the pass, ld_y] */
    const float *x; /* [n_rows, ld_x] */
    size_t ld_y, ld_x;
    int n;
    const int *which;
    const float *weights;
};

/* A block a row. */
static __global__ void __launch_bounds__(ROW_THREADS) mix(mix_args a)
{
    let_next_begin();
    wait_for_inputs();
    const float *x = a.x + (size_t)blockIdx.x * a.ld_x;
    const float weight = a.weights[blockIdx.x];
    float *y = a.y + (size_t)a.which[blockIdx.x] * a.ld_y;
    for (int i = (int)threadIdx.x; i < a.n; i += ROW_THREADS) y[i] += weight * x[i];
}

#endif
