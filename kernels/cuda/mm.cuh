/* mm.cuh -- products: weights as the 16-row side of mma, token rows as its 8 columns. One family for every number of
 * rows; the bits are ARITHMETIC.md's, arithmetic id 2.
 *
 *   block = a panel of 16 output rows x 8 NT token rows;  warp w = part w of K: a chain of mma, a step after another
 *   └▶ sums of the parts in shared memory ─▶ fixed tree ─▶ times the row's undo and the site's ─▶ out
 *
 * The ladder: this rung reads from global memory as it goes, one panel a block. Next: a ring of bulk copies, two tiles
 * a warp, clusters along K, which give the same bits.
 */
#ifndef KERNELS_CUDA_MM_CUH
#define KERNELS_CUDA_MM_CUH

#include "kernels/cuda/layout.h"
#include "kernels/cuda/math.cuh"

enum { MM_THREADS = MAX_PARTS * WARP, MM_MOST_TILES = 8 };

struct mm_args {
    const uint8_t *panels;
    layout l;
    int n_in, unit, n_scale, offset;
    const uint16_t *x; /* [n_rows, ld_x] f16 or bf16, as layout_x */
    const float *x32;  /* [n_rows, ld_x] as they are: for F32 */
    int ld_x, n_rows;
    float *out; /* [n_rows, ld_out] */
    size_t ld_out;
    float undo; /* of the site's power of two */
};

static __device__ __forceinline__ int part_step(const mm_args &a, int part)
{
    int n = layout_n_units(a.n_in, a.unit);
    return part * n / layout_n_parts(n) * (a.unit / STEP);
}

/* ---- decoding: a lane's fragment of A of one step ---- */

static __device__ __forceinline__ __half2 half2_of(uint32_t word)
{
    return {__ushort_as_half((uint16_t)word), __ushort_as_half((uint16_t)(word >> 16))};
}

static __device__ __forceinline__ uint32_t word_of(__half2 h)
{
    return __half_as_ushort(h.x) | (uint32_t)__half_as_ushort(h.y) << 16;
}

struct scale_pair { /* of rows g and g + 8, each twice */
    __half2 of[2];
};

static __device__ __forceinline__ scale_pair scale_pair_at(const uint8_t *panel, size_t at, int i, int lane)
{
    uint32_t word = reinterpret_cast<const uint32_t *>(panel + at)[i * 8 + lane / 4];
    return {half2_of((word & 0xffff) | word << 16), half2_of(word >> 16 | (word & 0xffff0000u))};
}

/* q is exact: 1024 + q is a half whose low bits are q's. Then w = q scale + min, rounded once. */
template <int BITS>
static __device__ __forceinline__ void decode(uint32_t out[4], const uint32_t low[GROUP_STEPS],
                                              const uint32_t high[GROUP_STEPS], int step, int offset,
                                              const scale_pair &scale, const scale_pair &min)
{
    constexpr uint32_t above = (1u << (BITS - 4)) - 1;
    const __half2 zero = half2_of((0x6400u + (uint32_t)offset) * 0x10001u);
#pragma unroll
    for (int p = 0; p < 4; p++) {
        uint32_t q = low[step] >> 4 * p & 0x000f000fu;
        if (BITS > 4) {
            uint32_t word = high[layout_high_word(BITS - 4, step)];
            q |= (word >> layout_high_bit(BITS - 4, step, p) & above * 0x10001u) << 4;
        }
        out[p] = word_of(__hfma2(__hsub2(half2_of(q | 0x64006400u), zero), scale.of[p % 2], min.of[p % 2]));
    }
}

template <int BITS>
static __device__ __forceinline__ void load_group(uint32_t low[GROUP_STEPS], uint32_t high[GROUP_STEPS],
                                                  const mm_args &a, const uint8_t *panel, int i_group, int lane)
{
    uint4 v = load_once(reinterpret_cast<const uint4 *>(panel + layout_low(i_group, lane)));
    low[0] = v.x, low[1] = v.y, low[2] = v.z, low[3] = v.w;
    const uint32_t *from = reinterpret_cast<const uint32_t *>(panel + a.l.high) + (i_group * WARP + lane) * (BITS - 4);
#pragma unroll
    for (int i = 0; i < BITS - 4; i++) high[i] = from[i];
}

/* ---- a part ---- */

/* The fragments of B of two steps: 16 bytes a column. Columns past the rows are zero. */
template <int NT>
static __device__ __forceinline__ void load_x(uint4 b[NT], const mm_args &a, int i_group, int half, int first, int lane)
{
#pragma unroll
    for (int j = 0; j < NT; j++) {
        int row = first + j * TILE + lane / 4;
        b[j] = uint4{0, 0, 0, 0};
        if (row < a.n_rows)
            b[j] = *reinterpret_cast<const uint4 *>(a.x + (size_t)row * (size_t)a.ld_x + i_group * GROUP +
                                                    lane % 4 * 16 + half * 8);
    }
}

/* A lane's fragment of A of step i of a group. BITS 16: floats; else integers, with minima if FLAG. */
template <int BITS, bool FLAG>
static __device__ __forceinline__ void load_w(uint32_t w[4], const mm_args &a, const uint8_t *panel,
                                              const uint32_t low[GROUP_STEPS], const uint32_t high[GROUP_STEPS],
                                              int i_group, int i, int lane)
{
    const int step = i_group * GROUP_STEPS + i;
    if constexpr (BITS == 16) {
        uint4 v = load_once(reinterpret_cast<const uint4 *>(panel + layout_float(step, lane, 0)));
        w[0] = v.x, w[1] = v.y, w[2] = v.z, w[3] = v.w;
    } else {
        const int i_scale = step * STEP / a.n_scale;
        const scale_pair scale = scale_pair_at(panel, a.l.scales, i_scale, lane);
        scale_pair min = {half2_of(0), half2_of(0)};
        if (FLAG) min = scale_pair_at(panel, a.l.mins, i_scale, lane);
        decode<BITS>(w, low, high, i, a.offset, scale, min);
    }
}

/* BITS 16: F16, BF16 if FLAG. */
template <int BITS, bool FLAG, int NT>
static __device__ __forceinline__ void chain(float acc[NT][4], const mm_args &a, const uint8_t *panel, int part,
                                             int first, int lane)
{
    const int from = part_step(a, part), to = part_step(a, part + 1);
    for (int g = from / GROUP_STEPS; g * GROUP_STEPS < to; g++) {
        uint32_t low[GROUP_STEPS] = {}, high[GROUP_STEPS] = {};
        if constexpr (BITS < 16) load_group<BITS>(low, high, a, panel, g, lane);
#pragma unroll
        for (int half = 0; half < 2; half++) {
            uint4 b[NT];
            load_x<NT>(b, a, g, half, first, lane);
#pragma unroll
            for (int i = 2 * half; i < 2 * half + 2; i++) {
                if (g * GROUP_STEPS + i < from || g * GROUP_STEPS + i >= to) continue;
                uint32_t w[4];
                load_w<BITS, FLAG>(w, a, panel, low, high, g, i, lane);
#pragma unroll
                for (int j = 0; j < NT; j++) {
                    const uint32_t of_step[2] = {i % 2 ? b[j].z : b[j].x, i % 2 ? b[j].w : b[j].y};
                    if (BITS == 16 && FLAG)
                        mma_bf16(acc[j], w, of_step);
                    else
                        mma_f16(acc[j], w, of_step);
                }
            }
        }
    }
}

/* ---- merging parts ---- */

/* N numbers, `stride` apart: halves, split at N / 2. */
template <int N> static __device__ __forceinline__ float tree(const float *x, int stride)
{
    if constexpr (N == 1)
        return *x;
    else
        return tree<N / 2>(x, stride) + tree<N - N / 2>(x + N / 2 * stride, stride);
}

static __device__ __forceinline__ float tree_of(int n, const float *x, int stride)
{
    switch (n) {
    case 1: return tree<1>(x, stride);
    case 2: return tree<2>(x, stride);
    case 3: return tree<3>(x, stride);
    case 4: return tree<4>(x, stride);
    case 5: return tree<5>(x, stride);
    case 6: return tree<6>(x, stride);
    case 7: return tree<7>(x, stride);
    default: return tree<8>(x, stride);
    }
}

template <int BITS, bool FLAG, int NT> static __global__ void __launch_bounds__(MM_THREADS) mm(mm_args a)
{
    PF_DYNAMIC_SHARED(float, parts); /* [n_parts, NT, 4, 32] */
    const int lane = (int)threadIdx.x % WARP, part = (int)threadIdx.x / WARP, first = (int)blockIdx.y * NT * TILE;
    const int n_parts = layout_n_parts(layout_n_units(a.n_in, a.unit)), size = NT * 4 * WARP;
    const uint8_t *panel = a.panels + (size_t)blockIdx.x * a.l.n_bytes;
    if (part < n_parts) {
        float acc[NT][4] = {};
        chain<BITS, FLAG, NT>(acc, a, panel, part, first, lane);
#pragma unroll
        for (int j = 0; j < NT; j++)
            for (int i = 0; i < 4; i++) parts[part * size + (j * 4 + i) * WARP + lane] = acc[j][i];
    }
    __syncthreads();
    const float *undo = reinterpret_cast<const float *>(panel + a.l.undo);
    for (int e = (int)threadIdx.x; e < size; e += MM_THREADS) {
        int l = e % WARP, i = e / WARP % 4, j = e / WARP / 4, r = l / 4 + i / 2 * 8;
        int row = first + j * TILE + 2 * (l % 4) + i % 2;
        if (row < a.n_rows)
            a.out[(size_t)row * a.ld_out + blockIdx.x * PANEL + r] =
                tree_of(n_parts, parts + e, size) * (undo[r] * a.undo);
    }
}

/* F32 weights, for toys: the chain of a part is fmaf over k. A thread an output. */
static __global__ void __launch_bounds__(PANEL *TILE) mm_f32(mm_args a)
{
    const int r = (int)threadIdx.x % PANEL, row = (int)blockIdx.y * TILE + (int)threadIdx.x / PANEL;
    const int n_parts = layout_n_parts(layout_n_units(a.n_in, a.unit));
    const float *w = reinterpret_cast<const float *>(a.panels + (size_t)blockIdx.x * a.l.n_bytes) + r;
    float parts[MAX_PARTS];
    if (row >= a.n_rows) return;
    for (int p = 0; p < MAX_PARTS; p++) {
        parts[p] = 0.0f;
        if (p >= n_parts) continue;
        int to = part_step(a, p + 1) * STEP;
        for (int k = part_step(a, p) * STEP; k < to && k < a.n_in; k++)
            parts[p] = fmaf(w[k * PANEL], a.x32[(size_t)row * (size_t)a.ld_x + (size_t)k], parts[p]);
    }
    a.out[(size_t)row * a.ld_out + blockIdx.x * PANEL + r] = tree_of(n_parts, parts, 1);
}

/* Value k of row r of a panel, as the product reads it, but for undo. */
template <int BITS, bool FLAG> static __device__ float value_at(const mm_args &a, const uint8_t *panel, int r, int k)
{
    const int lane = layout_lane(r, k), group = k / GROUP, i = k % GROUP / STEP;
    uint32_t low[GROUP_STEPS] = {}, high[GROUP_STEPS] = {}, w[4] = {};
    if constexpr (BITS == 32) return reinterpret_cast<const float *>(panel)[k * PANEL + r];
    if constexpr (BITS < 16) load_group<BITS>(low, high, a, panel, group, lane);
    if constexpr (BITS < 32) load_w<BITS, FLAG>(w, a, panel, low, high, group, i, lane);
    const uint32_t bits = w[layout_pair(r, k)] >> 16 * (k % 2) & 0xffff;
    return BITS == 16 && FLAG ? __uint_as_float(bits << 16) : f16_value((uint16_t)bits);
}

/* out[n_in] = a row. One block. */
template <int BITS, bool FLAG> static __global__ void __launch_bounds__(MM_THREADS) mm_row(mm_args a, int i_row)
{
    const int r = i_row % PANEL;
    const uint8_t *panel = a.panels + (size_t)(i_row / PANEL) * a.l.n_bytes;
    const float undo = reinterpret_cast<const float *>(panel + a.l.undo)[r];
    for (int k = (int)threadIdx.x; k < a.n_in; k += MM_THREADS) a.out[k] = value_at<BITS, FLAG>(a, panel, r, k) * undo;
}

#endif
