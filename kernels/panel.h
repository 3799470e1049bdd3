/* panel.h -- how the vector paths lay 16 output rows side by side. Plain C, the same bytes on every path that uses it.
 *
 * A lane of the widest vector is an output row, so a 64-byte line is 16 rows x 4 values of k (a quad): byte 4*row +
 * k%4. A block of 32 k is 8 quads, squeezed into as many lines as the format has bits a value. Eight blocks and their
 * scales make a group; a panel is one ascending stream of whole lines:
 *
 *   panel   [front] group group .. group               front: Q6_K's d of all groups, fp16 [n_groups][16]
 *   group   head, then up to 8 blocks (the last group may be shorter)
 *
 *              head, a block at a time (Q4_K, Q6_K: a superblock)               lines of a block
 *   Q4_1       fp16 d[16], m[16]                                                4  nibbles: quad j | quad j+4 << 4
 *   Q5_0       fp16 d[16]                                                       5  5 values, spare bits hold the other 3
 *   Q8_0       fp16 d[16]                                                       8  value + 128
 *   Q4_K       fp16 d[16], dmin[16], three lines of 6-bit scales and minima     4  nibbles
 *   Q6_K       int8 scale[16][16], one 16 k each                                6  3 values, spare bits hold a fourth, twice
 *   F32, F16   no groups: [n_in][16]
 *
 * Values are stored unsigned, with panel_offset added: vpdpbusd and vpmaddubsw want them so, and a product takes
 * offset * (sum of q) off again. Scales stand before their blocks because a stream that jumps costs a third of the
 * bandwidth; they keep the file's bits because wider ones cost more bytes than the unpacking costs time.
 */
#ifndef KERNELS_PANEL_H
#define KERNELS_PANEL_H

#include "kernels/kernels.h"

enum {
    PANEL_LINE = 64, /* bytes */
    PANEL_QUADS = 8, /* of a block */
    PANEL_GROUP = 8  /* blocks; what shares a head */
};

/* See struct kernels: panel_bytes, pack, row. */
size_t panel_bytes(enum quant type, int n_in);
void panel_pack(void *panel, const void *const rows[PANEL], enum quant type, int n_in);
void panel_row(float *out, const struct weights *w, int i_row);

static inline int panel_round(int n_bytes)
{
    return (n_bytes + PANEL_LINE - 1) / PANEL_LINE * PANEL_LINE;
}

static inline int panel_n_groups(int n_in)
{
    return (n_in + PANEL_GROUP * BLOCK - 1) / (PANEL_GROUP * BLOCK);
}

static inline int panel_front_bytes(enum quant type, int n_in)
{
    return type == QUANT_Q6_K ? panel_round(panel_n_groups(n_in) * PANEL * 2) : 0;
}

/* Of a group of n_blocks. */
static inline int panel_head_bytes(enum quant type, int n_blocks)
{
    if (type == QUANT_Q4_1) return n_blocks * PANEL * 4;
    return type == QUANT_Q4_K || type == QUANT_Q6_K ? PANEL * 16 : panel_round(n_blocks * PANEL * 2);
}

static inline int panel_block_bytes(enum quant type)
{
    int bits = type == QUANT_Q8_0 ? 8 : type == QUANT_Q6_K ? 6 : type == QUANT_Q5_0 ? 5 : 4;
    return bits * PANEL_LINE;
}

/* Of a full group, thus the step from one to the next. */
static inline int panel_group_bytes(enum quant type)
{
    return panel_head_bytes(type, PANEL_GROUP) + PANEL_GROUP * panel_block_bytes(type);
}

/* What a stored value is too large by. */
static inline int panel_offset(enum quant type)
{
    return type == QUANT_Q8_0 ? 128 : type == QUANT_Q6_K ? 32 : type == QUANT_Q5_0 ? 16 : 0;
}

#endif
