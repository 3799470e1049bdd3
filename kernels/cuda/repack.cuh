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
    layout l;
    uint8_t *weights;
    int panel;
};

struct group_place { /* of the panel's groups, one part's after another's */
    uint8_t *at;
    int from, to; /* its values of K; those past `to` are zero */
};

static __device__ group_place group_place_of(const repack_args &a, int i_group)
{
    int part = 0;
    while (i_group >= a.l.group[part + 1]) part++;
    const int in_part = i_group - a.l.group[part], end = a.l.step[part + 1] * STEP;
    return {a.weights + layout_at(a.l, layout_group_of(a.type).n_bytes, a.panel, part, in_part),
            a.l.step[part] * STEP + in_part * GROUP, end < a.n_in ? end : a.n_in};
}

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

static __device__ float *undo_of(const repack_args &a)
{
    return reinterpret_cast<float *>(a.weights + a.l.undo) + a.panel * PANEL;
}

static __device__ void repack_scales(const repack_args &a, const int bounds[PANEL])
{
    const layout_format f = layout_format_of(a.type);
    const int of_group = GROUP / f.n_scale, n_scales = a.l.group[a.l.n_parts] * of_group;
    for (int i = (int)threadIdx.x; i < PANEL; i += REPACK_THREADS)
        undo_of(a)[i] = power_of_two(-row_exponent(bounds[i]));
    for (int i = (int)threadIdx.x; i < PANEL * n_scales; i += REPACK_THREADS) {
        const int r = i % PANEL, n = i / PANEL;
        const group_place place = group_place_of(a, n / of_group);
        const int k = place.from + n % of_group * f.n_scale,
                  at = (r % 8 * of_group + n % of_group) * (1 + f.has_min) * 2 + r / 8;
        file_scale s = {0, 0};
        if ((a.there >> r & 1) && k < place.to) s = file_scale_of(a.type, a.rows + (size_t)r * a.row_bytes, k);
        float up = power_of_two(row_exponent(bounds[r]));
        uint16_t *scales = reinterpret_cast<uint16_t *>(place.at + layout_group_of(a.type).scales);
        scales[at] = f16_bits(s.scale * up);
        if (f.has_min) scales[at + 2] = f16_bits(s.min * up);
    }
}

/* A lane's words of a group. */
static __device__ void repack_integers(const repack_args &a, int i_group, int lane)
{
    const layout_format f = layout_format_of(a.type);
    const group_place place = group_place_of(a, i_group);
    uint32_t words[8] = {};
    for (int i = 0; i < GROUP_STEPS * 8; i++) {
        const int step = i / 8, pair = i % 8 / 2, r = lane / 4 + pair % 2 * 8,
                  k = place.from + step * STEP + lane % 4 * 2 + pair / 2 * 8 + i % 2;
        if (!(a.there >> r & 1) || k >= place.to) continue;
        const int q = file_value(a.type, a.rows + (size_t)r * a.row_bytes, k);
        for (int bit = 0; bit < f.bits; bit++) {
            const layout_bit to = layout_place(f.bits, step, pair, bit);
            words[to.word] |= (uint32_t)(q >> bit & 1) << (to.at + i % 2 * layout_second(f.bits));
        }
    }
    uint32_t *low = reinterpret_cast<uint32_t *>(place.at) + lane * 4,
             *high = reinterpret_cast<uint32_t *>(place.at + layout_group_of(a.type).high) + lane * (f.bits - 4);
    for (int i = 0; i < f.bits; i++) *(i < 4 ? low + i : high + i - 4) = words[i];
}

static __device__ void repack_floats(const repack_args &a)
{
    for (int i = (int)threadIdx.x; i < PANEL * a.l.group[a.l.n_parts] * GROUP; i += REPACK_THREADS) {
        const group_place place = group_place_of(a, i / PANEL / GROUP);
        const int r = i % PANEL, in = i / PANEL % GROUP, k = place.from + in;
        const uint8_t *from = a.rows + (size_t)r * a.row_bytes;
        const bool is = (a.there >> r & 1) && k < place.to;
        if (a.type == QUANT_F32) { /* [64, 16] */
            const uint8_t *at = from + 4 * k;
            uint32_t bits = is ? at[0] | at[1] << 8 | at[2] << 16 | (uint32_t)at[3] << 24 : 0;
            reinterpret_cast<uint32_t *>(place.at)[in * PANEL + r] = bits;
            continue;
        }
        uint16_t *word =
            reinterpret_cast<uint16_t *>(place.at + layout_float(in / STEP, layout_lane(r, in), layout_pair(r, in)));
        word[in % 2] = is ? (uint16_t)(from[2 * k] | from[2 * k + 1] << 8) : 0;
    }
    for (int i = (int)threadIdx.x; i < PANEL; i += REPACK_THREADS) undo_of(a)[i] = 1.0f;
}

/* One block a panel. */
static __global__ void __launch_bounds__(REPACK_THREADS) repack(repack_args a)
{
    __shared__ int bounds[PANEL];
    if (layout_format_of(a.type).n_scale == 0) {
        repack_floats(a);
        return;
    }
    row_bounds(a, bounds);
    repack_scales(a, bounds);
    for (int i = (int)threadIdx.x; i < a.l.group[a.l.n_parts] * WARP; i += REPACK_THREADS)
        repack_integers(a, i / WARP, i % WARP);
}

#endif
