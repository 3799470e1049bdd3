/* mm.cuh -- products: weights as the 16-row side of mma, token rows as its 8 columns. One family for every number of
 * rows; the bits are ARITHMETIC.md's, arithmetic id 2.
 *
 *   block = panels of 16 output rows, one after another, x 8 NT token rows;  warp w = part w of K of each panel
 *   warp: ring of copies of its weights, across panels ─▶ a chain of mma, a step after another
 *   └▶ sums of the parts in shared memory ─▶ fixed tree ─▶ times the row's undo and the site's ─▶ out
 *
 * A warp fills and reads a ring of its own (ring.cuh), so that no warp waits for another but where parts meet. The ring
 * is filled before the kernel waits for its inputs: weights do not change.
 *
 * The ladder: this rung has one tile a warp. Next: two tiles a warp, clusters along K, which give the same bits.
 */
#ifndef KERNELS_CUDA_MM_CUH
#define KERNELS_CUDA_MM_CUH

#include "kernels/cuda/layout.h"
#include "kernels/cuda/math.cuh"
#include "kernels/cuda/ring.cuh"

enum { MM_THREADS = MAX_PARTS * WARP, MM_MOST_TILES = 8 };

struct mm_args {
    const uint8_t *panels;
    int n_panels;
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

static __device__ __forceinline__ scale_pair scale_pair_at(const uint8_t *scales, int i, int lane)
{
    uint32_t word = reinterpret_cast<const uint32_t *>(scales)[i * 8 + lane / 4];
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

/* Of a group, in shared memory or elsewhere. */
template <int BITS>
static __device__ __forceinline__ void load_group(uint32_t low[GROUP_STEPS], uint32_t high[GROUP_STEPS],
                                                  const mm_args &a, const uint8_t *group, int lane)
{
    const uint4 v = reinterpret_cast<const uint4 *>(group)[lane];
    low[0] = v.x, low[1] = v.y, low[2] = v.z, low[3] = v.w;
    const uint32_t *from = reinterpret_cast<const uint32_t *>(group + a.l.high) + lane * (BITS - 4);
#pragma unroll
    for (int i = 0; i < BITS - 4; i++) high[i] = from[i];
}

/* ---- a part ---- */

/* The fragments of B of two steps of a group, of tile j: 16 bytes a column. Columns past the rows are zero. */
static __device__ __forceinline__ uint4 load_x(const mm_args &a, int i_group, int half, int row, int lane)
{
    if (row >= a.n_rows) return uint4{0, 0, 0, 0};
    return *reinterpret_cast<const uint4 *>(a.x + (size_t)row * (size_t)a.ld_x + i_group * GROUP + lane % 4 * 16 +
                                            half * 8);
}

/* A lane's fragment of A of step i of a group. BITS 16: floats; else integers, with minima if FLAG. */
template <int BITS, bool FLAG>
static __device__ __forceinline__ void load_w(uint32_t w[4], const mm_args &a, const uint8_t *group,
                                              const uint32_t low[GROUP_STEPS], const uint32_t high[GROUP_STEPS], int i,
                                              int lane)
{
    if constexpr (BITS == 16) {
        const uint4 v = *reinterpret_cast<const uint4 *>(group + layout_float(i, lane, 0));
        w[0] = v.x, w[1] = v.y, w[2] = v.z, w[3] = v.w;
    } else {
        const int i_scale = i * STEP / a.n_scale;
        const scale_pair scale = scale_pair_at(group + a.l.scales, i_scale, lane);
        scale_pair min = {half2_of(0), half2_of(0)};
        if (FLAG) min = scale_pair_at(group + a.l.mins, i_scale, lane);
        decode<BITS>(w, low, high, i, a.offset, scale, min);
    }
}

/* The steps of a group that are in [from, to). BITS 16: F16, BF16 if FLAG. */
template <int BITS, bool FLAG, int NT>
static __device__ __forceinline__ void chain(float acc[NT][4], const mm_args &a, const uint8_t *group, int i_group,
                                             int from, int to, int first, int lane)
{
    uint32_t low[GROUP_STEPS] = {}, high[GROUP_STEPS] = {};
    if constexpr (BITS < 16) load_group<BITS>(low, high, a, group, lane);
#pragma unroll
    for (int half = 0; half < 2; half++) {
        const int step = i_group * GROUP_STEPS + 2 * half;
        const bool is[2] = {step >= from && step < to, step + 1 >= from && step + 1 < to};
        uint32_t w[2][4] = {};
#pragma unroll
        for (int i = 0; i < 2; i++)
            if (is[i]) load_w<BITS, FLAG>(w[i], a, group, low, high, 2 * half + i, lane);
#pragma unroll
        for (int j = 0; j < NT; j++) {
            const uint4 b = load_x(a, i_group, half, first + j * TILE + lane / 4, lane);
            const uint32_t of_step[2][2] = {{b.x, b.y}, {b.z, b.w}};
#pragma unroll
            for (int i = 0; i < 2; i++) {
                if (!is[i]) continue;
                if (BITS == 16 && FLAG)
                    mma_bf16(acc[j], w[i], of_step[i]);
                else
                    mma_f16(acc[j], w[i], of_step[i]);
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

/* Groups of a stage: about a kilobyte. */
static PF_BOTH constexpr int mm_stage_groups(int bits)
{
    return bits == 4 ? 2 : 1;
}

/* Of a ring: of 8 warps 50 to 70 KB, as many as must be under way for the memory's whole rate. */
static PF_BOTH constexpr int mm_stages(int bits)
{
    return bits == 4 ? 6 : bits == 16 ? 4 : 8;
}

static PF_BOTH constexpr size_t mm_n_shared(int bits, int group_bytes, int n_tiles)
{
    return MAX_PARTS * (ring_bytes(mm_stages(bits), mm_stage_groups(bits) * group_bytes) +
                        (size_t)n_tiles * 4 * WARP * sizeof(float));
}

/* What a warp fills its ring with: the groups of its part, of one panel of the block after another. */
struct mm_feed {
    const uint8_t *panel;
    size_t panel_step;
    int n_panels; /* left */
    int group, from_group, to_group;
};

template <int BITS>
static __device__ __forceinline__ void feed(mm_feed &f, const ring<mm_stages(BITS)> &r, int i, int group_bytes,
                                            int lane)
{
    int n = 0;
    const uint8_t *from = f.panel;
    if (f.n_panels > 0) {
        n = f.to_group - f.group < mm_stage_groups(BITS) ? f.to_group - f.group : mm_stage_groups(BITS);
        from += f.group * group_bytes;
        f.group += n;
        if (f.group == f.to_group) f.group = f.from_group, f.panel += f.panel_step, f.n_panels--;
    }
    ring_fill(r, i, from, n * group_bytes, lane);
}

/* Warps past the parts only meet the others at barriers. */
template <int BITS, bool FLAG, int NT> static __global__ void __launch_bounds__(MM_THREADS, 2) mm(mm_args a)
{
    PF_DYNAMIC_SHARED(uint8_t, shared); /* rings [8], their barriers, parts [n_parts, NT, 4, 32] */
    constexpr int n_run = mm_stage_groups(BITS), n_stages = mm_stages(BITS), size = NT * 4 * WARP;
    const int lane = (int)threadIdx.x % WARP, part = (int)threadIdx.x / WARP, first = (int)blockIdx.y * NT * TILE,
              n_parts = layout_n_parts(layout_n_units(a.n_in, a.unit)), stage = n_run * a.l.group_bytes;
    uint64_t *full = reinterpret_cast<uint64_t *>(shared + MAX_PARTS * n_stages * stage);
    float *parts = reinterpret_cast<float *>(full + MAX_PARTS * n_stages);
    const ring<n_stages> r = {shared + part * n_stages * stage, stage, full + part * n_stages};
    const bool works = part < n_parts;
    const int from = works ? part_step(a, part) : 0, to = works ? part_step(a, part + 1) : 0,
              from_group = from / GROUP_STEPS, to_group = (to + GROUP_STEPS - 1) / GROUP_STEPS;
    mm_feed f = {a.panels + (size_t)blockIdx.x * a.l.n_bytes,
                 (size_t)gridDim.x * a.l.n_bytes,
                 works ? (a.n_panels - (int)blockIdx.x + (int)gridDim.x - 1) / (int)gridDim.x : 0,
                 from_group,
                 from_group,
                 to_group};
    int i = 0;
    let_next_begin();
    ring_open(r, lane);
#pragma unroll 1
    for (int k = 0; k < n_stages && works; k++) feed<BITS>(f, r, k, a.l.group_bytes, lane);
    wait_for_inputs();
    for (int i_panel = (int)blockIdx.x; i_panel < a.n_panels; i_panel += (int)gridDim.x) {
        float acc[NT][4] = {};
        for (int group = from_group; group < to_group; group += n_run, i++) {
            const uint8_t *at = ring_wait(r, i);
#pragma unroll
            for (int k = 0; k < n_run; k++)
                if (group + k < to_group)
                    chain<BITS, FLAG, NT>(acc, a, at + k * a.l.group_bytes, group + k, from, to, first, lane);
            __syncwarp();
            feed<BITS>(f, r, i + n_stages, a.l.group_bytes, lane);
        }
        if (works)
#pragma unroll
            for (int k = 0; k < NT * 4; k++) parts[part * size + k * WARP + lane] = acc[k / 4][k % 4];
        __syncthreads();
        const float *undo = reinterpret_cast<const float *>(a.panels + (size_t)i_panel * a.l.n_bytes + a.l.undo);
        for (int e = (int)threadIdx.x; e < size; e += MM_THREADS) {
            const int l = e % WARP, k = e / WARP % 4, j = e / WARP / 4, row_out = l / 4 + k / 2 * 8,
                      row = first + j * TILE + 2 * (l % 4) + k % 2;
            if (row < a.n_rows)
                a.out[(size_t)row * a.ld_out + i_panel * PANEL + row_out] =
                    tree_of(n_parts, parts + e, size) * (undo[row_out] * a.undo);
        }
        __syncthreads(); /* parts are read */
    }
}

/* F32 weights, for toys: the chain of a part is fmaf over k. A thread an output. */
static __global__ void __launch_bounds__(PANEL *TILE) mm_f32(mm_args a)
{
    const int r = (int)threadIdx.x % PANEL, row = (int)blockIdx.y * TILE + (int)threadIdx.x / PANEL;
    const int n_parts = layout_n_parts(layout_n_units(a.n_in, a.unit));
    const float *w = reinterpret_cast<const float *>(a.panels + (size_t)blockIdx.x * a.l.n_bytes) + r;
    float parts[MAX_PARTS];
    let_next_begin();
    wait_for_inputs();
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
    const int lane = layout_lane(r, k), i = k % GROUP / STEP;
    const uint8_t *group = panel + (size_t)(k / GROUP) * (size_t)a.l.group_bytes;
    uint32_t low[GROUP_STEPS] = {}, high[GROUP_STEPS] = {}, w[4] = {};
    if constexpr (BITS == 32) return reinterpret_cast<const float *>(panel)[k * PANEL + r];
    if constexpr (BITS < 16) load_group<BITS>(low, high, a, group, lane);
    if constexpr (BITS < 32) load_w<BITS, FLAG>(w, a, group, low, high, i, lane);
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
