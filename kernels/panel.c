#include "kernels/panel.h"

#include <assert.h>
#include <math.h>
#include <string.h>

/* Four stored values at a time, one a byte of a word: nothing here carries from one byte to the next. Word j is
 * quad j of a block. */
static uint32_t word_at(const uint8_t *at)
{
    uint32_t w;
    memcpy(&w, at, sizeof w);
    return w;
}

static void word_put(uint8_t *to, uint32_t w)
{
    memcpy(to, &w, sizeof w);
}

/* This byte four times. */
static uint32_t each(uint32_t byte)
{
    return byte * 0x01010101u;
}

/* ---- the file's side: a row's share of a block, offset added. Scales are moved per group. ---- */

static void read_nibbles(uint32_t v[PANEL_QUADS], const uint8_t *at)
{
    for (int j = 0; j < 4; j++) {
        v[j] = word_at(at + 4 * j) & each(15);
        v[j + 4] = word_at(at + 4 * j) >> 4 & each(15);
    }
}

/* Four bytes of fifth bits, then the nibbles. The product puts bit n of four at bit 8n (and others elsewhere). */
static void read_fives(uint32_t v[PANEL_QUADS], const uint8_t *at)
{
    read_nibbles(v, at + 4);
    for (int j = 0; j < PANEL_QUADS; j++) v[j] |= ((at[j / 2] >> 4 * (j % 2) & 15) * 0x00204081u & each(1)) << 4;
}

/* Part i of a superblock is the low (i even) or high nibbles of 32 bytes. */
static void read_q4_k(uint32_t v[PANEL_QUADS], const uint8_t *at, int i)
{
    for (int j = 0; j < PANEL_QUADS; j++) v[j] = word_at(at + 16 + 32 * (i / 2) + 4 * j) >> 4 * (i % 2) & each(15);
}

/* Bit i of 32 bytes is the fifth of part i; then the nibbles as in Q4_K. */
static void read_q5_k(uint32_t v[PANEL_QUADS], const uint8_t *at, int i)
{
    read_q4_k(v, at + 32, i);
    for (int j = 0; j < PANEL_QUADS; j++) v[j] |= (word_at(at + 16 + 4 * j) >> i & each(1)) << 4;
}

/* Bit i of 32 bytes is the third of part i; then 64 bytes of bit pairs, of each half 32, lowest first. Q6_K's
 * offset. */
static void read_q3_k(uint32_t v[PANEL_QUADS], const uint8_t *at, int i)
{
    for (int j = 0; j < PANEL_QUADS; j++)
        v[j] = (word_at(at + 32 + 32 * (i / 4) + 4 * j) >> 2 * (i % 4) & each(3)) +
               ((word_at(at + 4 * j) >> i & each(1)) << 2) + each(28);
}

/* Part i of a superblock: parts 0 1 2 3 of a half are low 0, low 1, high 0, high 1 of its two times 32 bytes of
 * nibbles, and bit pairs 0 1 2 3 of its 32 bytes of upper bits. */
static void read_q6_k(uint32_t v[PANEL_QUADS], const uint8_t *at, int i)
{
    const uint8_t *low = at + 64 * (i / 4) + 32 * (i % 2), *high = at + 128 + 32 * (i / 4);
    for (int j = 0; j < PANEL_QUADS; j++)
        v[j] = (word_at(low + 4 * j) >> 4 * (i / 2 % 2) & each(15)) | (word_at(high + 4 * j) >> 2 * (i % 4) & each(3))
                                                                          << 4;
}

/* Bytes of a row's group of n_blocks in the file. */
static size_t file_bytes(enum quant type, int n_blocks)
{
    switch (type) {
    case QUANT_Q4_0: return (size_t)n_blocks * 18;
    case QUANT_Q4_1: return (size_t)n_blocks * 20;
    case QUANT_Q5_0: return (size_t)n_blocks * 22;
    case QUANT_Q5_1: return (size_t)n_blocks * 24;
    case QUANT_Q8_0: return (size_t)n_blocks * 34;
    case QUANT_Q3_K: return 110;
    case QUANT_Q4_K: return 144;
    case QUANT_Q5_K: return 176;
    case QUANT_Q6_K: return 210;
    default: break;
    }
    assert(!"a format without groups");
    return 0;
}

static void read_block(uint32_t v[PANEL_QUADS], enum quant type, const uint8_t *group, int i)
{
    switch (type) {
    case QUANT_Q4_0: read_nibbles(v, group + 18 * i + 2); break;
    case QUANT_Q4_1: read_nibbles(v, group + 20 * i + 4); break;
    case QUANT_Q5_0: read_fives(v, group + 22 * i + 2); break;
    case QUANT_Q5_1: read_fives(v, group + 24 * i + 4); break;
    case QUANT_Q8_0:
        for (int j = 0; j < PANEL_QUADS; j++) v[j] = word_at(group + 34 * i + 2 + 4 * j) ^ each(0x80);
        break;
    case QUANT_Q3_K: read_q3_k(v, group, i); break;
    case QUANT_Q4_K: read_q4_k(v, group, i); break;
    case QUANT_Q5_K: read_q5_k(v, group, i); break;
    case QUANT_Q6_K: read_q6_k(v, group, i); break;
    default: assert(!"a format without blocks");
    }
}

/* ---- the panel's side: a block's words <-> a word of each line ---- */

static void lines_put(uint8_t *to, const uint32_t v[PANEL_QUADS], int bits)
{
    static const int spare[3] = {0, 2, 4}; /* of 6 bits: pairs of the fourth value */
    switch (bits) {
    case 4:
        for (int j = 0; j < 4; j++) word_put(to + j * PANEL_LINE, v[j] | v[j + 4] << 4);
        break;
    case 5: /* v5 in lines 0 (low 3 bits) and 1 (bits 6, 7), v6 in 2 and 3, v7 in 4, 1 and 3 (bit 5) */
        word_put(to + 0 * PANEL_LINE, v[0] | (v[5] & each(7)) << 5);
        word_put(to + 1 * PANEL_LINE, v[1] | (v[7] & each(8)) << 2 | (v[5] & each(24)) << 3);
        word_put(to + 2 * PANEL_LINE, v[2] | (v[6] & each(7)) << 5);
        word_put(to + 3 * PANEL_LINE, v[3] | (v[7] & each(16)) << 1 | (v[6] & each(24)) << 3);
        word_put(to + 4 * PANEL_LINE, v[4] | (v[7] & each(7)) << 5);
        break;
    case 6:
        for (int j = 0; j < 6; j++)
            word_put(to + j * PANEL_LINE, v[j + j / 3] | (v[j / 3 * 4 + 3] >> spare[j % 3] & each(3)) << 6);
        break;
    default:
        for (int j = 0; j < PANEL_QUADS; j++) word_put(to + j * PANEL_LINE, v[j]);
    }
}

static void lines_get(uint32_t v[PANEL_QUADS], const uint8_t *from, int bits)
{
    uint32_t l[PANEL_QUADS] = {0};
    for (int j = 0; j < bits; j++) l[j] = word_at(from + j * PANEL_LINE);
    switch (bits) {
    case 4:
        for (int j = 0; j < PANEL_QUADS; j++) v[j] = l[j % 4] >> j / 4 * 4 & each(15);
        break;
    case 5:
        for (int j = 0; j < 5; j++) v[j] = l[j] & each(31);
        v[5] = (l[0] >> 5 & each(7)) | (l[1] >> 3 & each(24));
        v[6] = (l[2] >> 5 & each(7)) | (l[3] >> 3 & each(24));
        v[7] = (l[4] >> 5 & each(7)) | (l[1] >> 2 & each(8)) | (l[3] >> 1 & each(16));
        break;
    case 6:
        for (int j = 0; j < 6; j++) v[j + j / 3] = l[j] & each(63);
        for (int j = 0; j < 2; j++)
            v[4 * j + 3] =
                (l[3 * j] >> 6 & each(3)) | (l[3 * j + 1] >> 6 & each(3)) << 2 | (l[3 * j + 2] >> 6 & each(3)) << 4;
        break;
    default: memcpy(v, l, sizeof l);
    }
}

/* ---- heads ---- */

/* The file's twelve bytes of Q4_K and Q5_K: scale i and minimum i. */
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
static void head_put_six_bits(uint8_t *head, const uint8_t *group, int lane)
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

/* Twelve bytes of Q3_K: scale n has its low four bits in the nibbles of bytes 0..7, its upper two in the pairs of the
 * others. */
static void head_put_q3_k(uint8_t *head, uint8_t *front, const uint8_t *group, int lane)
{
    const uint8_t *packed = group + 96;
    for (int n = 0; n < 16; n++) {
        int scale = (packed[n % 8] >> 4 * (n / 8) & 15) | (packed[8 + n % 4] >> 2 * (n / 4) & 3) << 4;
        head[PANEL * n + lane] = (uint8_t)(scale - 32);
    }
    memcpy(front + 2 * lane, group + 108, 2);
}

static void head_put_q6_k(uint8_t *head, uint8_t *front, const uint8_t *group, int lane)
{
    for (int n = 0; n < 16; n++) head[PANEL * n + lane] = group[192 + n];
    memcpy(front + 2 * lane, group + 208, 2);
}

static void head_put(uint8_t *head, uint8_t *front, const uint8_t *group, enum quant type, int n_blocks, int lane)
{
    switch (panel_format(type).head) {
    case HEAD_SIX_BITS: head_put_six_bits(head, group, lane); return;
    case HEAD_BYTES: (type == QUANT_Q3_K ? head_put_q3_k : head_put_q6_k)(head, front, group, lane); return;
    case HEAD_D:
        for (int i = 0; i < n_blocks; i++) memcpy(head + PANEL * 2 * i + 2 * lane, group + file_bytes(type, i), 2);
        return;
    case HEAD_D_M:
        for (int i = 0; i < n_blocks; i++) {
            memcpy(head + PANEL * 4 * i + 2 * lane, group + file_bytes(type, i), 2);
            memcpy(head + PANEL * 4 * i + PANEL * 2 + 2 * lane, group + file_bytes(type, i) + 2, 2);
        }
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

static struct affine head_get_six_bits(const uint8_t *head, int i, int lane)
{
    const uint8_t *at = head + PANEL_LINE + 4 * lane + i % 4;
    uint8_t l[3] = {at[0], at[PANEL_LINE], at[2 * PANEL_LINE]};
    int min = i < 4 ? l[2] & 63 : l[0] >> 6 | l[1] >> 6 << 2 | l[2] >> 6 << 4;
    float scale = f16_at(head + 2 * lane) * (float)(l[i / 4] & 63);
    return (struct affine){{scale, scale}, -(f16_at(head + PANEL * 2 + 2 * lane) * (float)min)};
}

static struct affine head_get(const uint8_t *head, const uint8_t *front, enum quant type, int i, int lane)
{
    enum panel_head kind = panel_format(type).head;
    if (kind == HEAD_SIX_BITS) return head_get_six_bits(head, i, lane);
    if (kind == HEAD_BYTES) {
        const int8_t *scale = (const int8_t *)head + PANEL * 2 * i + lane;
        float d = f16_at(front + 2 * lane);
        return (struct affine){{d * (float)scale[0], d * (float)scale[PANEL]}, 0.0f};
    }
    int step = kind == HEAD_D_M ? PANEL * 4 : PANEL * 2;
    float d = f16_at(head + step * i + 2 * lane);
    return (struct affine){{d, d}, kind == HEAD_D_M ? f16_at(head + step * i + PANEL * 2 + 2 * lane) : 0.0f};
}

/* ---- panels ---- */

static int group_blocks(int n_in, int i_group)
{
    int left = n_in / BLOCK - i_group * PANEL_GROUP;
    return left < PANEL_GROUP ? left : PANEL_GROUP;
}

static int float_bytes(enum quant type)
{
    return !quant_is_float(type) ? 0 : type == QUANT_F32 ? 4 : 2;
}

size_t panel_bytes(enum quant type, int n_in)
{
    size_t line = PANEL_LINE;
    if (float_bytes(type)) return ((size_t)n_in * PANEL * (size_t)float_bytes(type) + line - 1) / line * line;
    if (!panel_has(type)) return kernels_ref.panel_bytes(type, n_in);
    assert(n_in % (panel_format(type).head >= HEAD_SIX_BITS ? PANEL_GROUP * BLOCK : BLOCK) == 0);
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
        uint32_t v[PANEL_QUADS] = {0};
        read_block(v, type, group, i);
        lines_put(to, v, panel_format(type).bits);
    }
}

void panel_pack(void *panel, const void *const rows[PANEL], enum quant type, int n_in)
{
    memset(panel, 0, panel_bytes(type, n_in)); /* a NULL row has zero scales: its outputs are exactly +0 */
    if (float_bytes(type)) {
        pack_floats(panel, rows, (size_t)float_bytes(type), n_in);
        return;
    }
    if (!panel_has(type)) {
        kernels_ref.pack(panel, rows, type, n_in);
        return;
    }
    for (int lane = 0; lane < PANEL; lane++) { /* a row at a time: what is read from memory is one stream */
        uint8_t *front = panel, *head = front + panel_front_bytes(type, n_in);
        const uint8_t *group = rows[lane];
        for (int g = 0; group && g < panel_n_groups(n_in); g++) {
            pack_group(head, front, group, type, group_blocks(n_in, g), lane);
            group += file_bytes(type, PANEL_GROUP);
            head += panel_group_bytes(type);
            front += PANEL * 2;
        }
    }
}

static void row_floats(float *out, const uint8_t *at, enum quant type, int n_in)
{
    for (int k = 0; k < n_in; k++, at += PANEL * float_bytes(type))
        if (type == QUANT_F16) {
            out[k] = f16_at(at);
        } else if (type == QUANT_F32) {
            memcpy(&out[k], at, sizeof *out);
        } else {
            uint32_t bits = (uint32_t)(at[0] | at[1] << 8) << 16; /* BF16 */
            memcpy(&out[k], &bits, sizeof bits);
        }
}

void panel_row(float *out, const struct weights *w, int i_row)
{
    const uint8_t *front = w->panels + (size_t)(i_row / PANEL) * w->panel_bytes;
    int lane = i_row % PANEL, offset = panel_format(w->type).offset;
    if (float_bytes(w->type)) {
        row_floats(out, front + lane * float_bytes(w->type), w->type, w->n_in);
        return;
    }
    if (!panel_has(w->type)) {
        kernels_ref.row(out, w, i_row);
        return;
    }
    const uint8_t *head = front + panel_front_bytes(w->type, w->n_in);
    for (int g = 0; g < panel_n_groups(w->n_in); g++, head += panel_group_bytes(w->type), front += PANEL * 2) {
        int n_blocks = group_blocks(w->n_in, g);
        const uint8_t *at = head + panel_head_bytes(w->type, n_blocks) + 4 * lane;
        for (int i = 0; i < n_blocks; i++, at += panel_block_bytes(w->type), out += BLOCK) {
            struct affine f = head_get(head, front, w->type, i, lane);
            uint32_t words[PANEL_QUADS];
            uint8_t v[BLOCK];
            lines_get(words, at, panel_format(w->type).bits);
            memcpy(v, words, sizeof v);
            for (int half = 0; half < BLOCK; half += BLOCK / 2)
                for (int k = half; k < half + BLOCK / 2; k++)
                    out[k] = fmaf(f.scale[half > 0], (float)(v[k] - offset), f.min);
        }
    }
}
