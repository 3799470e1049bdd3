/* repack.cuh -- a panel's rows from the file's blocks into layout.h's order, on the device, once at load. */
#ifndef KERNELS_CUDA_REPACK_CUH
#define KERNELS_CUDA_REPACK_CUH

#include "kernels/cuda/layout.h"
#include "kernels/cuda/math.cuh"

enum { REPACK_THREADS = 256, BOUND_EXPONENT = 12 };

static __device__ __forceinline__ float f16_at(const uint8_t *at)
{
    return f16_value((uint16_t)(at[0] | at[1] << 8));
}

/* Value k of a row, as layout_format has it: q below 2^bits. */
static __device__ int file_value(enum quant type, const uint8_t *row, int k)
{
    layout_format f = layout_format_of(type);
    const uint8_t *at = row + (size_t)(k / f.n_elements) * (size_t)f.n_bytes;
    int i = k % f.n_elements, part = i / BLOCK, in = i % BLOCK;
    switch (type) {
    case QUANT_Q4_0:
    case QUANT_Q4_1: return at[f.n_bytes - 16 + in % 16] >> in / 16 * 4 & 15;
    case QUANT_Q5_0:
    case QUANT_Q5_1:
        return (at[f.n_bytes - 16 + in % 16] >> in / 16 * 4 & 15) | (at[f.n_bytes - 20 + in / 8] >> in % 8 & 1) << 4;
    case QUANT_Q8_0: return (int8_t)at[2 + in] + 128;
    case QUANT_Q2_K: return at[16 + part / 4 * 32 + in] >> part % 4 * 2 & 3;
    case QUANT_Q3_K: return (at[32 + part / 4 * 32 + in] >> part % 4 * 2 & 3) | (at[in] >> part & 1) << 2;
    case QUANT_Q4_K: return at[16 + part / 2 * 32 + in] >> part % 2 * 4 & 15;
    case QUANT_Q5_K: return (at[48 + part / 2 * 32 + in] >> part % 2 * 4 & 15) | (at[16 + in] >> part & 1) << 4;
    case QUANT_Q6_K: {
        int half = part / 4, j = part % 4;
        return (at[64 * half + j % 2 * 32 + in] >> j / 2 * 4 & 15) | (at[128 + 32 * half + in] >> 2 * j & 3) << 4;
    }
    default: return 0; /* floats have none */
    }
}

struct file_scale { /* a value is (q - offset) * scale + min */
    float scale, min;
};

/* Scale and minimum j (0..7) of Q4_K and Q5_K: 6 bits each, packed into 12 bytes. */
static __device__ file_scale six_bits(const uint8_t *at, int j)
{
    const uint8_t *packed = at + 4;
    int scale = j < 4 ? packed[j] & 63 : (packed[j + 4] & 15) | packed[j - 4] >> 6 << 4;
    int min = j < 4 ? packed[j + 4] & 63 : packed[j + 4] >> 4 | packed[j] >> 6 << 4;
    return {f16_at(at) * (float)scale, -(f16_at(at + 2) * (float)min)};
}

static __device__ file_scale file_scale_of(enum quant type, const uint8_t *row, int k)
{
    layout_format f = layout_format_of(type);
    const uint8_t *at = row + (size_t)(k / f.n_elements) * (size_t)f.n_bytes;
    int n = k % f.n_elements / STEP; /* of 16 values */
    switch (type) {
    case QUANT_Q4_1:
    case QUANT_Q5_1: return {f16_at(at), f16_at(at + 2)};
    case QUANT_Q2_K: return {f16_at(at + 80) * (float)(at[n] & 15), -(f16_at(at + 82) * (float)(at[n] >> 4))};
    case QUANT_Q3_K: {
        int scale = (at[96 + n % 8] >> n / 8 * 4 & 15) | (at[104 + n % 4] >> n / 4 * 2 & 3) << 4;
        return {f16_at(at + 108) * (float)(scale - 32), 0};
    }
    case QUANT_Q4_K:
    case QUANT_Q5_K: return six_bits(at, n / 2);
    case QUANT_Q6_K: return {f16_at(at + 208) * (float)(int8_t)at[192 + n], 0};
    default: return {f16_at(at), 0};
    }
}

struct repack_args {
    enum quant type;
    int n_in, there;     /* bits: rows of the panel that there are; others are zero rows */
    const uint8_t *rows; /* [16, row_bytes] as the file has them */
    size_t row_bytes;
    uint8_t *panel;
};

/* The greatest |(q - offset) scale| and |min| of each row, as bits: those of positive floats are in their order. */
static __device__ void row_bounds(const repack_args &a, int bounds[PANEL])
{
    layout_format f = layout_format_of(a.type);
    int n_scales = a.n_in / f.n_scale, most = f.offset ? f.offset : (1 << f.bits) - 1;
    for (int i = (int)threadIdx.x; i < PANEL; i += REPACK_THREADS) bounds[i] = 0;
    __syncthreads();
    for (int i = (int)threadIdx.x; i < PANEL * n_scales; i += REPACK_THREADS) {
        int r = i / n_scales;
        if (!(a.there >> r & 1)) continue;
        file_scale s = file_scale_of(a.type, a.rows + (size_t)r * a.row_bytes, i % n_scales * f.n_scale);
        float bound = fmaxf(fabsf(s.scale) * (float)most, fabsf(s.min));
        atomicMax(&bounds[r], (int)__float_as_uint(bound));
    }
    __syncthreads();
}

/* The power of two that takes a row's bound into [2^12, 2^13): its scales are normal f16 where they count. */
static __device__ int row_exponent(int bound)
{
    return bound ? BOUND_EXPONENT - ((bound >> 23) - 127) : 0;
}

static __device__ void repack_scales(const repack_args &a, const layout &l, const int bounds[PANEL])
{
    layout_format f = layout_format_of(a.type);
    int n_scales = l.n_groups * GROUP / f.n_scale;
    float *undo = reinterpret_cast<float *>(a.panel + l.undo);
    for (int i = (int)threadIdx.x; i < PANEL; i += REPACK_THREADS) undo[i] = power_of_two(-row_exponent(bounds[i]));
    for (int i = (int)threadIdx.x; i < PANEL * n_scales; i += REPACK_THREADS) {
        const int r = i % PANEL, n = i / PANEL, k = n * f.n_scale, in_group = k % GROUP / f.n_scale,
                  at = (in_group * 8 + r % 8) * 2 + r / 8;
        uint8_t *group = a.panel + (size_t)(k / GROUP) * (size_t)l.group_bytes;
        file_scale s = {0, 0};
        if ((a.there >> r & 1) && k < a.n_in) s = file_scale_of(a.type, a.rows + (size_t)r * a.row_bytes, k);
        float up = power_of_two(row_exponent(bounds[r]));
        reinterpret_cast<uint16_t *>(group + l.scales)[at] = f16_bits(s.scale * up);
        if (f.has_min) reinterpret_cast<uint16_t *>(group + l.mins)[at] = f16_bits(s.min * up);
    }
}

/* A lane's words of a group. */
static __device__ void repack_integers(const repack_args &a, const layout &l, int i_group, int lane)
{
    layout_format f = layout_format_of(a.type);
    int n_high = f.bits - 4;
    uint32_t low[GROUP_STEPS] = {0, 0, 0, 0}, high[GROUP_STEPS] = {0, 0, 0, 0};
    for (int i = 0; i < GROUP_STEPS * 8; i++) {
        int step = i / 8, pair = i % 8 / 2, r = lane / 4 + pair % 2 * 8;
        int k = i_group * GROUP + step * STEP + lane % 4 * 2 + pair / 2 * 8 + i % 2;
        if (!(a.there >> r & 1) || k >= a.n_in) continue;
        uint32_t q = (uint32_t)file_value(a.type, a.rows + (size_t)r * a.row_bytes, k);
        low[step] |= (q & 15) << (4 * pair + 16 * (i % 2));
        if (n_high)
            high[layout_high_word(n_high, step)] |= (q >> 4) << (layout_high_bit(n_high, step, pair) + 16 * (i % 2));
    }
    uint8_t *group = a.panel + (size_t)i_group * (size_t)l.group_bytes;
    uint32_t *to = reinterpret_cast<uint32_t *>(group) + lane * GROUP_STEPS;
    uint32_t *above = reinterpret_cast<uint32_t *>(group + l.high) + lane * n_high;
    for (int i = 0; i < GROUP_STEPS; i++) to[i] = low[i];
    for (int i = 0; i < n_high; i++) above[i] = high[i];
}

static __device__ void repack_floats(const repack_args &a, const layout &l)
{
    for (int i = (int)threadIdx.x; i < PANEL * l.n_groups * GROUP; i += REPACK_THREADS) {
        int r = i % PANEL, k = i / PANEL;
        const uint8_t *from = a.rows + (size_t)r * a.row_bytes;
        bool is = (a.there >> r & 1) && k < a.n_in;
        if (a.type == QUANT_F32) { /* [K, 16] */
            const uint8_t *at = from + 4 * k;
            uint32_t bits = is ? at[0] | at[1] << 8 | at[2] << 16 | (uint32_t)at[3] << 24 : 0;
            reinterpret_cast<uint32_t *>(a.panel)[k * PANEL + r] = bits;
            continue;
        }
        uint16_t *word =
            reinterpret_cast<uint16_t *>(a.panel + (size_t)(k / GROUP) * (size_t)l.group_bytes +
                                         layout_float(k % GROUP / STEP, layout_lane(r, k), layout_pair(r, k)));
        word[k % 2] = is ? (uint16_t)(from[2 * k] | from[2 * k + 1] << 8) : 0;
    }
    for (int i = (int)threadIdx.x; i < PANEL; i += REPACK_THREADS)
        reinterpret_cast<float *>(a.panel + l.undo)[i] = 1.0f;
}

/* One block a panel. */
static __global__ void __launch_bounds__(REPACK_THREADS) repack(repack_args a)
{
    __shared__ int bounds[PANEL];
    layout l = layout_of(a.type, a.n_in);
    if (layout_format_of(a.type).n_scale == 0) {
        repack_floats(a, l);
        return;
    }
    row_bounds(a, bounds);
    repack_scales(a, l, bounds);
    for (int i = (int)threadIdx.x; i < l.n_groups * WARP; i += REPACK_THREADS)
        repack_integers(a, l, i / WARP, i % WARP);
}

#endif
