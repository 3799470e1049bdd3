/* layout.h -- where weights and token rows lie on the card; the same functions on host and device.
 *
 * A matrix is panels of 16 output rows. A step is 16 values of K, the depth of one mma; a group is 4 steps, of which a
 * lane reads 16 bytes at once. K is padded to whole groups. A panel holds its groups, one after another, so that a run
 * of them is one copy, and then undo [16] floats: what takes a row's power of two back (ARITHMETIC.md, arithmetic id
 * 2). A group holds
 *
 *   low     [32 lanes, 4 steps] words: 8 nibbles of a lane. Floats: [4 steps, 32 lanes, 4] words of two values
 *   high    [32 lanes, bits - 4] words: what a value has above its nibble
 *   scales  [64 / n_scale, 8] words: f16 of rows g and g + 8
 *   mins    the same, of formats with minima
 *
 * A lane (g = lane / 4, t = lane % 4) has for a step the pairs p = 0..3: row g + 8 (p % 2), k = 2t + 8 (p / 2) and the
 * next: the fragment of A. Its nibbles are bits 4p.. (first) and 16 + 4p.. (second of the pair), so that one mask gives
 * two halves of a register.
 *
 * A token row is f16 (or bf16), and lies so that the 8 values of a lane's four steps (fragments of B) are contiguous.
 */
#ifndef KERNELS_CUDA_LAYOUT_H
#define KERNELS_CUDA_LAYOUT_H

#include "kernels/cuda/pf_cuda.h"
#include "kernels/cuda/ptx.cuh"

enum { STEP = 16, GROUP_STEPS = 4, GROUP = STEP * GROUP_STEPS, WARP = 32, TILE = 8, MAX_PARTS = 8 };

/* A format: what the file has, and how it lies here. q stays below 2^bits and stands for q - offset. */
struct layout_format {
    int n_elements, n_bytes; /* of the file's block */
    int bits, offset, n_scale;
    bool has_min;
    int unit; /* of K, which is cut into parts at its multiples */
};

static PF_BOTH constexpr layout_format layout_format_of(enum quant type)
{
    switch (type) {
    case QUANT_F32: return {1, 4, 32, 0, 0, false, 32};
    case QUANT_F16: return {1, 2, 16, 0, 0, false, 32};
    case QUANT_BF16: return {1, 2, 16, 0, 0, false, 32};
    case QUANT_Q4_0: return {32, 18, 4, 8, 32, false, 32};
    case QUANT_Q4_1: return {32, 20, 4, 0, 32, true, 32};
    case QUANT_Q5_0: return {32, 22, 5, 16, 32, false, 32};
    case QUANT_Q5_1: return {32, 24, 5, 0, 32, true, 32};
    case QUANT_Q8_0: return {32, 34, 8, 128, 32, false, 32};
    case QUANT_Q2_K: return {256, 84, 4, 0, 16, true, 256};
    case QUANT_Q3_K: return {256, 110, 4, 4, 16, false, 256};
    case QUANT_Q4_K: return {256, 144, 4, 0, 32, true, 256};
    case QUANT_Q5_K: return {256, 176, 5, 0, 32, true, 256};
    case QUANT_Q6_K: return {256, 210, 6, 32, 16, false, 256};
    }
    return {};
}

struct layout {
    int n_groups, group_bytes; /* of K; a multiple of 16 */
    int high, scales, mins;    /* in a group */
    size_t undo, n_bytes;
};

static PF_BOTH constexpr layout layout_of(enum quant type, int n_in)
{
    layout_format f = layout_format_of(type);
    layout l = {};
    l.n_groups = (n_in + GROUP - 1) / GROUP;
    const int words = GROUP_STEPS * WARP, n_scales = f.n_scale ? GROUP / f.n_scale : 0;
    l.high = words * (f.bits < 16 ? 4 : f.bits);
    l.scales = l.high + (f.bits < 16 ? WARP * 4 * (f.bits - 4) : 0);
    l.mins = l.scales + n_scales * 32;
    l.group_bytes = l.mins + (f.has_min ? n_scales * 32 : 0);
    l.undo = (size_t)l.n_groups * (size_t)l.group_bytes;
    l.n_bytes = l.undo + PANEL * sizeof(float);
    return l;
}

/* Whose are row r of a panel and value k: a lane, and its pair in the step k / 16; k % 2 is the place in the pair. */
static PF_BOTH constexpr int layout_lane(int r, int k)
{
    return r % 8 * 4 + k % 8 / 2;
}

static PF_BOTH constexpr int layout_pair(int r, int k)
{
    return r / 8 + k % STEP / 8 * 2;
}

/* Bytes from its group's of a float's word. */
static PF_BOTH constexpr int layout_float(int step, int lane, int pair)
{
    return ((step * WARP + lane) * 4 + pair) * 4;
}

/* Bits above the nibble, `n` of them (1, 2 or 4) a value: which of the lane's words, and the first bit there. */
static PF_BOTH constexpr int layout_high_word(int n, int step)
{
    return step * n / 4;
}

static PF_BOTH constexpr int layout_high_bit(int n, int step, int pair)
{
    return step * n * 4 % 16 + n * pair;
}

/* Value k of a token row. */
static PF_BOTH constexpr int layout_x(int k)
{
    int in = k % STEP;
    return k / GROUP * GROUP + in % 8 / 2 * 16 + k % GROUP / STEP * 4 + in / 8 * 2 + in % 2;
}

static PF_BOTH constexpr int layout_x_width(int n_in)
{
    return (n_in + GROUP - 1) / GROUP * GROUP;
}

/* K is cut into C parts at units floor(i U / C). */
static PF_BOTH constexpr int layout_n_units(int n_in, int unit)
{
    return (n_in + unit - 1) / unit;
}

static PF_BOTH constexpr int layout_n_parts(int n_units)
{
    return n_units < MAX_PARTS ? n_units : MAX_PARTS;
}

static_assert(layout_of(QUANT_Q4_0, 64).n_bytes == 64 * 16 / 2 + 2 * 32 + 64, "nibbles, scales, undo");
static_assert(layout_of(QUANT_Q6_K, 256).undo == 256 * 16 * 6 / 8 + 16 * 32, "nibbles, pairs, scales");
static_assert(layout_of(QUANT_Q5_K, 256).group_bytes == 512 + 128 + 2 * 64, "one copy");
static_assert(layout_of(QUANT_BF16, 72).undo == 128 * 16 * 2, "padded to groups");
static_assert(layout_x(0) == 0 && layout_x(1) == 1 && layout_x(8) == 2 && layout_x(16) == 4 && layout_x(2) == 16,
              "a lane's four steps are contiguous");

#endif
