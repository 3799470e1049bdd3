/* layout.h -- where weights and token rows lie on the card; the same functions on host and device.
 *
 * A panel is 16 output rows; two beside each other are a pair. A step is 16 values of K, the depth of one mma; a group
 * is 4 steps of a panel. K is cut into parts (ARITHMETIC.md, arithmetic id 2), and each is padded to whole groups with
 * zero weights. A matrix is its parts, each [n_pairs, groups of the part, 2] groups, so that what a warp reads of one
 * pair after another is one run; then undo [n_pairs, 2, 16] floats, which take a row's power of two back. A group is
 *
 *   low     [32 lanes, 4] words, and
 *   high    [32 lanes, bits - 4] words: the 32 values of a lane (layout_place). Floats: [4 steps, 32 lanes, 4] words of
 *           two values
 *   scales  [8, 64 / n_scale, 1 or 2] words: f16 of rows g and g + 8, each followed by their minima if there are any
 *
 * A lane (g = lane / 4, t = lane % 4) has for a step the pairs p = 0..3: row g + 8 (p % 2), k = 2t + 8 (p / 2) and the
 * next: the fragment of A. Both values of a pair lie so that one mask, shift or permutation makes two halves of them.
 *
 * Token rows are f16 (or bf16). 8 are a tile; 1, 2, 4 or 8 tiles, as many as a product takes at once, are a block. A
 * block is [K / 32, tiles, 32 lanes, 8]: the 8 values of a lane are its fragments of B of two steps.
 */
#ifndef KERNELS_CUDA_LAYOUT_H
#define KERNELS_CUDA_LAYOUT_H

#include "kernels/cuda/pf_cuda.h"
#include "kernels/cuda/ptx.cuh"

enum { STEP = 16, GROUP_STEPS = 4, GROUP = STEP * GROUP_STEPS, WARP = 32, TILE = 8, MAX_PARTS = 8 };
enum { PAIR = 2, X_STEPS = 32 /* values of K of a lane's load of x */ };

/* A format: what the file has, and how it lies here. q stays below 2^bits and stands for q - offset. */
struct layout_format {
    int n_elements, n_bytes; /* of the file's block */
    int bits, offset, n_scale;
    bool has_min;
    int unit; /* of K, which is cut into parts at its multiples; of 32 */
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

struct layout_group {
    int high, scales, n_scale_words; /* of a lane */
    int n_bytes;                     /* a multiple of 16 */
};

static PF_BOTH constexpr layout_group layout_group_of(enum quant type)
{
    layout_format f = layout_format_of(type);
    layout_group g = {};
    g.high = WARP * 4 * (f.bits < 16 ? GROUP_STEPS : GROUP_STEPS * f.bits / 4);
    g.scales = g.high + (f.bits < 16 ? WARP * 4 * (f.bits - 4) : 0);
    g.n_scale_words = f.n_scale ? GROUP / f.n_scale * (1 + f.has_min) : 0;
    g.n_bytes = g.scales + 8 * 4 * g.n_scale_words;
    return g;
}

struct layout {
    int n_parts, n_pairs;
    int step[MAX_PARTS + 1], group[MAX_PARTS + 1]; /* the first of each part */
    size_t undo, n_bytes;
};

/* K is cut into C parts at units floor(i U / C). */
static PF_BOTH constexpr layout layout_of(enum quant type, int n_in, int n_out)
{
    layout l = {};
    const int unit = layout_format_of(type).unit, n_units = (n_in + unit - 1) / unit;
    l.n_parts = n_units < MAX_PARTS ? n_units : MAX_PARTS;
    l.n_pairs = (n_out + PAIR * PANEL - 1) / (PAIR * PANEL);
    for (int i = 0; i < MAX_PARTS; i++) {
        const int end = i < l.n_parts ? (i + 1) * n_units / l.n_parts : n_units;
        l.step[i + 1] = end * (unit / STEP);
        l.group[i + 1] = l.group[i] + (l.step[i + 1] - l.step[i] + GROUP_STEPS - 1) / GROUP_STEPS;
    }
    l.undo = (size_t)(l.group[l.n_parts] * l.n_pairs) * (size_t)(PAIR * layout_group_of(type).n_bytes);
    l.n_bytes = l.undo + (size_t)l.n_pairs * PAIR * PANEL * sizeof(float);
    return l;
}

/* Where group i of a part is, of a panel; the next is 2 groups further. */
static PF_BOTH constexpr size_t layout_at(const layout &l, int group_bytes, int panel, int part, int i)
{
    const int n = l.group[part + 1] - l.group[part];
    return ((size_t)(l.group[part] * l.n_pairs + panel / PAIR * n + i) * PAIR + (size_t)(panel % PAIR)) *
           (size_t)group_bytes;
}

/* The part of a step. */
static PF_BOTH constexpr int layout_part(const layout &l, int step)
{
    int part = 0;
    while (step >= l.step[part + 1]) part++;
    return part;
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

struct layout_bit {
    int word, at; /* of the pair's first value */
};

/* Where bit `i` of a value is in its lane's words. The pair's second value is 16 bits above (8 bits: in the next byte).
 * 5 bits: three in a half word, and the last pair in what is left of five words. 6 bits, two steps in three words: two
 * in a half word, and of the last two pairs the upper 4 bits above these, the lower 2 in the third word. */
static PF_BOTH constexpr layout_bit layout_place(int bits, int step, int pair, int i)
{
    const int of_group = step * 4 + pair, of_two = of_group % 8, first = step / 2 * 3;
    switch (bits) {
    case 4: return {step, 4 * pair + i};
    case 5: return of_group < 15 ? layout_bit{of_group / 3, of_group % 3 * 5 + i} : layout_bit{i, 15};
    case 6:
        if (of_two < 6) return {first + of_two / 2, of_two % 2 * 6 + i};
        return i < 2 ? layout_bit{first + 2, 12 + (of_two - 6) * 2 + i} : layout_bit{first + of_two - 6, 10 + i};
    default: return {2 * step + pair / 2, pair % 2 * 16 + i};
    }
}

static PF_BOTH constexpr int layout_second(int bits)
{
    return bits == 8 ? 8 : 16;
}

/* Values of K that a token row has room for: past the parts' ends, too. */
static PF_BOTH constexpr int layout_x_width(int n_in)
{
    return ((n_in + X_STEPS - 1) / X_STEPS + 1) * X_STEPS;
}

static PF_BOTH constexpr int layout_x_tiles(int n_rows)
{
    return n_rows <= TILE ? 1 : n_rows <= 2 * TILE ? 2 : n_rows <= 4 * TILE ? 4 : 8;
}

/* Value k of a token row, of rows of a width. */
static PF_BOTH constexpr size_t layout_x(int tiles, int width, int row, int k)
{
    const int n_lanes = (row / TILE / tiles * (width / X_STEPS) + k / X_STEPS) * tiles + row / TILE % tiles;
    return (size_t)(n_lanes * WARP + layout_lane(row, k)) * 8 +
           (size_t)(k % X_STEPS / STEP * 4 + k % STEP / 8 * 2 + k % 2);
}

static_assert(layout_of(QUANT_Q4_0, 64, 16).undo == 2 * 2 * (64 * 16 / 2 + 2 * 32), "two parts of half a group");
static_assert(layout_of(QUANT_Q6_K, 256, 32).n_bytes == 256 * 32 * 6 / 8 + 32 * 16 * 2 + 128, "bits, scales, undo");
static_assert(layout_group_of(QUANT_Q5_K).n_bytes == 512 + 128 + 2 * 64, "one copy");
static_assert(layout_of(QUANT_BF16, 512, 32).undo == 512 * 32 * 2, "whole groups");
static_assert(layout_x(1, 96, 0, 8) == 2 && layout_x(1, 96, 0, 16) == 4 && layout_x(1, 96, 0, 2) == 8 &&
                  layout_x(2, 96, 8, 32) == 3 * 256,
              "a lane's two steps are contiguous");

#endif
