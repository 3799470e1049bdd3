/* panel.h -- how the vector paths lay 16 output rows side by side. Plain C, the same bytes on every path that uses it.
 *
 * A lane of the widest vector is an output row, so a 64-byte line is 16 rows x 4 values of k (a quad): byte 4*row +
 * k%4. A block of 32 k is 8 quads, packed into as many lines as a value of the format has bits. Eight blocks and their
 * scales make a group; a panel is one ascending stream of whole lines:
 *
 *   panel   [front] group group .. group               front: d of all groups if the head is bytes, fp16 [n_groups][16]
 *   group   head, then up to 8 blocks (the last group may be shorter)
 *
 *                      head                                                   lines of a block
 *   Q4_0               d: a block, fp16 d[16]                                 4  nibbles: quad j | quad j+4 << 4
 *   Q4_1               d, m: a block, fp16 d[16], m[16]                       4
 *   Q5_0, Q5_1         as Q4_0, Q4_1                                          5  5 values, spare bits hold the other 3
 *   Q8_0               d                                                      8  values
 *   Q4_K, Q5_K         six bits: fp16 d[16], dmin[16], three lines of 6-bit   4, 5
 *                      scales and minima
 *   Q6_K               bytes: int8 scale[16][16], one 16 k each               6  3 values, spare bits a fourth, twice
 *   Q3_K               as Q6_K: more bytes than the file has
 *   F32, F16, BF16     no groups: [n_in][16]
 *   Q2_K               the reference's panels and products
 *
 * Values are stored unsigned, with an offset added: vpdpbusd and vpmaddubsw need unsigned bytes, and a product
 * subtracts offset * (sum of q) again. Scales stand before their blocks because a stream that jumps costs a third of
 * the bandwidth; they keep the file's bits because to read wider ones takes longer than to unpack these.
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

enum panel_head { HEAD_D, HEAD_D_M, HEAD_SIX_BITS, HEAD_BYTES };

struct panel_format {
    int bits; /* of a value; 0: no panel of this kind */
    enum panel_head head;
    int offset; /* that was added to a stored value */
};

static inline struct panel_format panel_format(enum quant type)
{
    switch (type) {
    case QUANT_Q4_0: return (struct panel_format){4, HEAD_D, 8};
    case QUANT_Q4_1: return (struct panel_format){4, HEAD_D_M, 0};
    case QUANT_Q5_0: return (struct panel_format){5, HEAD_D, 16};
    case QUANT_Q5_1: return (struct panel_format){5, HEAD_D_M, 0};
    case QUANT_Q8_0: return (struct panel_format){8, HEAD_D, 128};
    case QUANT_Q4_K: return (struct panel_format){4, HEAD_SIX_BITS, 0};
    case QUANT_Q5_K: return (struct panel_format){5, HEAD_SIX_BITS, 0};
    case QUANT_Q3_K:
    case QUANT_Q6_K: return (struct panel_format){6, HEAD_BYTES, 32};
    default: return (struct panel_format){0, HEAD_D, 0};
    }
}

/* False: the reference's panels and products are used. */
static inline bool panel_has(enum quant type)
{
    return quant_is_float(type) || panel_format(type).bits > 0;
}

static inline bool panel_has_min(enum quant type)
{
    return panel_format(type).head == HEAD_D_M || panel_format(type).head == HEAD_SIX_BITS;
}

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
    return panel_format(type).head == HEAD_BYTES ? panel_round(panel_n_groups(n_in) * PANEL * 2) : 0;
}

/* Of a group of n_blocks. */
static inline int panel_head_bytes(enum quant type, int n_blocks)
{
    switch (panel_format(type).head) {
    case HEAD_D: return panel_round(n_blocks * PANEL * 2);
    case HEAD_D_M: return n_blocks * PANEL * 4;
    default: return PANEL * 16;
    }
}

static inline int panel_block_bytes(enum quant type)
{
    return panel_format(type).bits * PANEL_LINE;
}

/* Of a full group: the step from one group to the next. */
static inline int panel_group_bytes(enum quant type)
{
    return panel_head_bytes(type, PANEL_GROUP) + PANEL_GROUP * panel_block_bytes(type);
}

#endif
