#include "worker/engine/check.h"

#include <string.h>

#include "proto/files/gguf.h"

/* Where the fp16 scales of a block stand (docs/gguf.md's formats; ggml's block structs). */
static const struct {
    enum quant type;
    int at[2];
} scales[] = {
    {QUANT_Q4_0, {0, 0}}, {QUANT_Q4_1, {0, 2}},     {QUANT_Q5_0, {0, 0}},     {QUANT_Q5_1, {0, 2}},
    {QUANT_Q8_0, {0, 0}}, {QUANT_Q2_K, {80, 82}},   {QUANT_Q3_K, {108, 108}}, {QUANT_Q4_K, {0, 2}},
    {QUANT_Q5_K, {0, 2}}, {QUANT_Q6_K, {208, 208}},
};

static int32_t most_bits(void)
{
    const float most = WEIGHT_MOST;
    int32_t bits;
    memcpy(&bits, &most, sizeof bits);
    return bits;
}

static bool check_f32(const uint8_t *row, int n)
{
    int32_t most = most_bits(), bad = 0, bits;
    for (int i = 0; i < n; i++) {
        memcpy(&bits, row + 4 * (size_t)i, sizeof bits);
        bad |= (bits & 0x7fffffff) > most; /* as integers, sizes of floats order like floats */
    }
    return !bad;
}

/* Of 16-bit floats: `most` is the first that is too large. */
static bool check_halves(const uint8_t *row, int n, int32_t most)
{
    int32_t bad = 0;
    uint16_t half;
    for (int i = 0; i < n; i++) {
        memcpy(&half, row + 2 * (size_t)i, sizeof half);
        bad |= (half & 0x7fff) >= most;
    }
    return !bad;
}

static bool check_blocks(enum quant type, const uint8_t *row, int n)
{
    const struct gguf_type *format = gguf_type((uint32_t)type);
    bool ok = true;
    for (size_t f = 0; f < sizeof scales / sizeof *scales; f++)
        for (int i = 0; scales[f].type == type && i < n / format->block; i++, row += format->block_bytes)
            for (int k = 0; k < 2; k++) ok &= (row[scales[f].at[k] + 1] & 0x7c) != 0x7c;
    return ok;
}

bool check_row(enum quant type, const uint8_t *row, int n)
{
    if (type == QUANT_F32) return check_f32(row, n);
    if (type == QUANT_F16) return check_halves(row, n, 0x7c00);
    if (type == QUANT_BF16) return check_halves(row, n, (most_bits() >> 16) + 1);
    return check_blocks(type, row, n);
}

bool check_panel(const struct piece *p, int i_panel, const void *rows[PANEL])
{
    bool ok = true;
    for (int i = 0; i < PANEL; i++) {
        int row = p->row_from + i_panel * PANEL + i;
        bool is_there = row < p->row_to;
        const uint8_t *at = is_there ? gguf_row(p->tensor, (uint64_t)(p->listed ? p->listed[row] : row)) : NULL;
        rows[i] = at;
        ok &= !at || check_row((enum quant)p->tensor->type, at, (int)p->tensor->dim[0]);
    }
    return ok;
}

bool check_vector(const struct piece *p)
{
    return check_row(QUANT_F32, gguf_row(p->tensor, 0), (int)p->tensor->dim[0]);
}

int check_failed(const struct piece *p, const char *path, struct err *err)
{
    return err_set(err, E_MODEL,
                   "%s: tensor %s has a number that is no weight (not finite, or beyond %g): the file is "
                   "damaged: fetch it again",
                   path, gguf_show(p->tensor->name).s, (double)WEIGHT_MOST);
}
