#include "kernels/panel.h"

#include <assert.h>
#include <math.h>
#include <string.h>

/* ---- the file's side ---- */

/* One row's share of a block: stored values (offset added), and where its bytes stand. Scales are moved per group. */
static void read_nibbles(uint8_t v[BLOCK], const uint8_t *at)
{
    for (int i = 0; i < 16; i++) {
        v[i] = at[i] & 15;
        v[i + 16] = at[i] >> 4;
    }
}

static void read_q5_0(uint8_t v[BLOCK], const uint8_t *at)
{
    uint32_t fifth = at[2] | (uint32_t)at[3] << 8 | (uint32_t)at[4] << 16 | (uint32_t)at[5] << 24;
    read_nibbles(v, at + 6);
    for (int i = 0; i < BLOCK; i++) v[i] |= (uint8_t)((fifth >> i & 1) << 4);
}

/* Part i of a superblock is the low (i even) or high nibbles of 32 bytes. */
static void read_q4_k(uint8_t v[BLOCK], const uint8_t *at, int i)
{
    for (int k = 0; k < BLOCK; k++) v[k] = at[16 + 32 * (i / 2) + k] >> 4 * (i % 2) & 15;
}

/* Part i of a superblock: parts 0 1 2 3 of a half are low 0, low 1, high 0, high 1 of its two times 32 bytes of
 * nibbles, and bit pairs 0 1 2 3 of its 32 bytes of upper bits. */
static void read_q6_k(uint8_t v[BLOCK], const uint8_t *at, int i)
{
    const uint8_t *low = at + 64 * (i / 4) + 32 * (i % 2), *high = at + 128 + 32 * (i / 4);
    for (int k = 0; k < BLOCK; k++)
        v[k] = (uint8_t)((low[k] >> 4 * (i / 2 % 2) & 15) | (high[k] >> 2 * (i % 4) & 3) << 4);
}

/* Bytes of a row's group of n_blocks in the file. */
static size_t file_bytes(enum quant type, int n_blocks)
{
    switch (type) {
    case QUANT_Q4_1: return (size_t)n_blocks * 20;
    case QUANT_Q5_0: return (size_t)n_blocks * 22;
    case QUANT_Q8_0: return (size_t)n_blocks * 34;
    case QUANT_Q4_K: return 144;
    case QUANT_Q6_K: return 210;
    case QUANT_F32:
    case QUANT_F16: break;
    }
    assert(!"floats have no groups");
    return 0;
}

static void read_block(uint8_t v[BLOCK], enum quant type, const uint8_t *group, int i)
{
    switch (type) {
    case QUANT_Q4_1: read_nibbles(v, group + 20 * i + 4); break;
    case QUANT_Q5_0: read_q5_0(v, group + 22 * i); break;
    case QUANT_Q8_0:
        for (int k = 0; k < BLOCK; k++) v[k] = group[34 * i + 2 + k] ^ 0x80;
        break;
    case QUANT_Q4_K: read_q4_k(v, group, i); break;
    case QUANT_Q6_K: read_q6_k(v, group, i); break;
    case QUANT_F32:
    case QUANT_F16: assert(!"floats have no blocks"); break;
    }
}

/* ---- columns: 8 values at one byte of the quads <-> one byte of each line ---- */

static void column_put(uint8_t *to, const uint8_t v[PANEL_QUADS], enum quant type)
{
    static const int spare[3] = {0, 2, 4}; /* Q6_K: bit pairs of the fourth value */
    switch (type) {
    case QUANT_Q4_1:
    case QUANT_Q4_K:
        for (int j = 0; j < 4; j++) to[j * PANEL_LINE] = (uint8_t)(v[j] | v[j + 4] << 4);
        break;
    case QUANT_Q5_0: /* v5 in lines 0 (low 3 bits) and 1 (bits 6, 7), v6 in 2 and 3, v7 in 4, 1 and 3 (bit 5) */
        to[0 * PANEL_LINE] = (uint8_t)(v[0] | v[5] << 5);
        to[1 * PANEL_LINE] = (uint8_t)(v[1] | (v[7] & 8) << 2 | (v[5] & 24) << 3);
        to[2 * PANEL_LINE] = (uint8_t)(v[2] | v[6] << 5);
        to[3 * PANEL_LINE] = (uint8_t)(v[3] | (v[7] & 16) << 1 | (v[6] & 24) << 3);
        to[4 * PANEL_LINE] = (uint8_t)(v[4] | v[7] << 5);
        break;
    case QUANT_Q6_K:
        for (int j = 0; j < 6; j++)
            to[j * PANEL_LINE] = (uint8_t)(v[j + j / 3] | (v[j / 3 * 4 + 3] >> spare[j % 3] & 3) << 6);
        break;
    default:
        for (int j = 0; j < PANEL_QUADS; j++) to[j * PANEL_LINE] = v[j];
    }
}

static void column_get(uint8_t v[PANEL_QUADS], const uint8_t *from, enum quant type)
{
    uint8_t l[PANEL_QUADS];
    int n_lines = panel_block_bytes(type) / PANEL_LINE;
    for (int j = 0; j < n_lines; j++) l[j] = from[j * PANEL_LINE];
    switch (type) {
    case QUANT_Q4_1:
    case QUANT_Q4_K:
        for (int j = 0; j < PANEL_QUADS; j++) v[j] = l[j % 4] >> j / 4 * 4 & 15;
        break;
    case QUANT_Q5_0:
        for (int j = 0; j < 5; j++) v[j] = l[j] & 31;
        v[5] = (uint8_t)(l[0] >> 5 | (l[1] >> 3 & 24));
        v[6] = (uint8_t)(l[2] >> 5 | (l[3] >> 3 & 24));
        v[7] = (uint8_t)(l[4] >> 5 | (l[1] >> 2 & 8) | (l[3] >> 1 & 16));
        break;
    case QUANT_Q6_K:
        for (int j = 0; j < 6; j++) v[j + j / 3] = l[j] & 63;
        for (int j = 0; j < 2; j++)
            v[4 * j + 3] = (uint8_t)(l[3 * j] >> 6 | (l[3 * j + 1] >> 6) << 2 | (l[3 * j + 2] >> 6) << 4);
        break;
    default: memcpy(v, l, PANEL_QUADS);
    }
}

/* ---- heads ---- */

/* The file's twelve bytes of Q4_K: scale i and minimum i. */
static void read_six_bits(uint8_t scale[8], uint8_t min[8], const uint8_t *packed)
{
    for (int i = 0; i < 4; i++) {
        scale[i] = packed[i] & 63;
        min[i] = packed[i + 4] & 63;
        scale[i + 4] = (uint8_t)((packed[i + 8] & 15) | packed[i] >> 6 << 4);
        min[i + 4] = (uint8_t)(packed[i + 8] >> 4 | packed[i + 4] >> 6 << 4);
    }
}

/* Three lines behind d and dmin, a dword a row: scales 0-3, scales 4-7, minima 0-3 in the low six bits of its bytes;
 * the upper two of the three hold minima 4-7. */
static void head_put_q4_k(uint8_t *head, const uint8_t *group, int lane)
{
    uint8_t scale[8], min[8];
    memcpy(head + 2 * lane, group, 2);
    memcpy(head + PANEL * 2 + 2 * lane, group + 2, 2);
    read_six_bits(scale, min, group + 4);
    for (int i = 0; i < 4; i++) {
        uint8_t *to = head + PANEL_LINE + 4 * lane + i;
        to[0 * PANEL_LINE] = (uint8_t)(scale[i] | min[i + 4] << 6);
        to[1 * PANEL_LINE] = (uint8_t)(scale[i + 4] | (min[i + 4] >> 2 & 3) << 6);
        to[2 * PANEL_LINE] = (uint8_t)(min[i] | min[i + 4] >> 4 << 6);
    }
}

static void head_put(uint8_t *head, uint8_t *front, const uint8_t *group, enum quant type, int n_blocks, int lane)
{
    switch (type) {
    case QUANT_Q4_1:
        for (int i = 0; i < n_blocks; i++) {
            memcpy(head + PANEL * 4 * i + 2 * lane, group + 20 * i, 2);
            memcpy(head + PANEL * 4 * i + PANEL * 2 + 2 * lane, group + 20 * i + 2, 2);
        }
        break;
    case QUANT_Q4_K: head_put_q4_k(head, group, lane); break;
    case QUANT_Q6_K:
        for (int i = 0; i < 16; i++) head[PANEL * i + lane] = group[192 + i];
        memcpy(front + 2 * lane, group + 208, 2);
        break;
    default:
        for (int i = 0; i < n_blocks; i++) memcpy(head + PANEL * 2 * i + 2 * lane, group + file_bytes(type, i), 2);
    }
}

/* Finite numbers only: the exponent is moved by a multiplication, which takes denormals along. */
static float f16_at(const uint8_t *at)
{
    uint32_t bits = (uint32_t)(at[0] | (at[1] & 0x7f) << 8) << 13;
    float f;
    memcpy(&f, &bits, sizeof f);
    return at[1] & 0x80 ? f * -0x1p112f : f * 0x1p112f;
}

/* What element = scale[half] * (value - offset) + min needs, of block i in a group. */
struct affine {
    float scale[2], min;
};

static struct affine head_get_q4_k(const uint8_t *head, int i, int lane)
{
    const uint8_t *at = head + PANEL_LINE + 4 * lane + i % 4;
    uint8_t l[3] = {at[0], at[PANEL_LINE], at[2 * PANEL_LINE]};
    int min = i < 4 ? l[2] & 63 : l[0] >> 6 | l[1] >> 6 << 2 | l[2] >> 6 << 4;
    float scale = f16_at(head + 2 * lane) * (float)(l[i / 4] & 63);
    return (struct affine){{scale, scale}, -(f16_at(head + PANEL * 2 + 2 * lane) * (float)min)};
}

static struct affine head_get(const uint8_t *head, const uint8_t *front, enum quant type, int i, int lane)
{
    if (type == QUANT_Q4_K) return head_get_q4_k(head, i, lane);
    if (type == QUANT_Q6_K) {
        const int8_t *scale = (const int8_t *)head + PANEL * 2 * i + lane;
        float d = f16_at(front + 2 * lane);
        return (struct affine){{d * (float)scale[0], d * (float)scale[PANEL]}, 0.0f};
    }
    int step = type == QUANT_Q4_1 ? PANEL * 4 : PANEL * 2;
    float d = f16_at(head + step * i + 2 * lane);
    return (struct affine){{d, d}, type == QUANT_Q4_1 ? f16_at(head + step * i + PANEL * 2 + 2 * lane) : 0.0f};
}

/* ---- panels ---- */

static int group_blocks(int n_in, int i_group)
{
    int left = n_in / BLOCK - i_group * PANEL_GROUP;
    return left < PANEL_GROUP ? left : PANEL_GROUP;
}

static int float_bytes(enum quant type)
{
    return type == QUANT_F32 ? 4 : type == QUANT_F16 ? 2 : 0;
}

size_t panel_bytes(enum quant type, int n_in)
{
    size_t line = PANEL_LINE;
    if (float_bytes(type)) return ((size_t)n_in * PANEL * (size_t)float_bytes(type) + line - 1) / line * line;
    assert(n_in % (type == QUANT_Q4_K || type == QUANT_Q6_K ? PANEL_GROUP * BLOCK : BLOCK) == 0);
    int last = panel_n_groups(n_in) - 1, n_last = group_blocks(n_in, last);
    return (size_t)panel_front_bytes(type, n_in) + (size_t)last * (size_t)panel_group_bytes(type) +
           (size_t)(panel_head_bytes(type, n_last) + n_last * panel_block_bytes(type));
}

static void pack_floats(uint8_t *panel, const void *const rows[PANEL], size_t width, int n_in)
{
    for (size_t lane = 0; lane < PANEL; lane++)
        for (size_t k = 0; rows[lane] && k < (size_t)n_in; k++)
            memcpy(panel + (k * PANEL + lane) * width, (const uint8_t *)rows[lane] + k * width, width);
}

static void pack_group(uint8_t *head, uint8_t *front, const uint8_t *group, enum quant type, int n_blocks, int lane)
{
    uint8_t *to = head + panel_head_bytes(type, n_blocks) + 4 * lane;
    head_put(head, front, group, type, n_blocks, lane);
    for (int i = 0; i < n_blocks; i++, to += panel_block_bytes(type)) {
        uint8_t v[BLOCK], column[PANEL_QUADS];
        read_block(v, type, group, i);
        for (int t = 0; t < 4; t++) {
            for (int j = 0; j < PANEL_QUADS; j++) column[j] = v[4 * j + t];
            column_put(to + t, column, type);
        }
    }
}

void panel_pack(void *panel, const void *const rows[PANEL], enum quant type, int n_in)
{
    memset(panel, 0, panel_bytes(type, n_in)); /* a NULL row has zero scales: its outputs are exactly +0 */
    if (float_bytes(type)) {
        pack_floats(panel, rows, (size_t)float_bytes(type), n_in);
        return;
    }
    uint8_t *front = panel, *head = front + panel_front_bytes(type, n_in);
    for (int g = 0; g < panel_n_groups(n_in); g++, head += panel_group_bytes(type), front += PANEL * 2)
        for (int lane = 0; lane < PANEL; lane++) {
            const uint8_t *row = rows[lane];
            if (!row) continue;
            row += (size_t)g * file_bytes(type, PANEL_GROUP);
            pack_group(head, front, row, type, group_blocks(n_in, g), lane);
        }
}

static void row_floats(float *out, const uint8_t *at, enum quant type, int n_in)
{
    for (int k = 0; k < n_in; k++, at += PANEL * float_bytes(type))
        if (type == QUANT_F16)
            out[k] = f16_at(at);
        else
            memcpy(&out[k], at, sizeof *out);
}

void panel_row(float *out, const struct weights *w, int i_row)
{
    const uint8_t *front = w->panels + (size_t)(i_row / PANEL) * w->panel_bytes;
    int lane = i_row % PANEL, offset = panel_offset(w->type);
    if (float_bytes(w->type)) {
        row_floats(out, front + lane * float_bytes(w->type), w->type, w->n_in);
        return;
    }
    const uint8_t *head = front + panel_front_bytes(w->type, w->n_in);
    for (int g = 0; g < panel_n_groups(w->n_in); g++, head += panel_group_bytes(w->type), front += PANEL * 2) {
        int n_blocks = group_blocks(w->n_in, g);
        const uint8_t *at = head + panel_head_bytes(w->type, n_blocks) + 4 * lane;
        for (int i = 0; i < n_blocks; i++, at += panel_block_bytes(w->type), out += BLOCK) {
            struct affine f = head_get(head, front, w->type, i, lane);
            for (int t = 0; t < 4; t++) {
                uint8_t v[PANEL_QUADS];
                column_get(v, at + t, w->type);
                for (int j = 0; j < PANEL_QUADS; j++)
                    out[4 * j + t] = fmaf(f.scale[j / 4], (float)(v[j] - offset), f.min);
            }
        }
    }
}
