/* cpu_ref.c -- the truth: every kernel as plain loops, in the order that ARITHMETIC.md gives. Every other path is held
 * to these bits. The ladder (each rung equal to this one by memcmp):
 *
 *   ref      this file; the file's blocks, one output element after another
 *   avx2     maddubs, two ymm of 8 output rows a panel
 *   avx512   VNNI, one zmm of 16 output rows a panel
 *
 * A panel here is its 16 rows one after another as the file has them, a NULL row all zero bytes: a scale of zero, so
 * that its outputs are exactly +0. The bits are promised for finite inputs; other values give what they give.
 */
#include "kernels/kernels.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "kernels/math.h"
#include "kernels/math_tables.h"

#define TINY 0x1p-100f /* a block below it is all zero: m / 127 stays a normal number */
#define N_PARTS 16

/* ---- numbers ---- */

static float f32_of_f16(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = h >> 10 & 31, fraction = h & 1023, bits;
    float f;
    if (exponent == 0) return h & 0x8000 ? -(float)fraction * 0x1p-24f : (float)fraction * 0x1p-24f;
    if (exponent == 31)
        bits = sign | 0x7f800000u | (fraction ? 0x400000u : 0) | fraction << 13; /* a NaN turns quiet */
    else
        bits = sign | (exponent + 112) << 23 | fraction << 13;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static uint16_t f16_of_f32(float f)
{
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    uint32_t sign = bits >> 16 & 0x8000, rest = bits & 0x7fffffffu;
    if (rest > 0x7f800000u) return (uint16_t)(sign | 0x7e00 | (rest >> 13 & 0x3ff)); /* a NaN turns quiet */
    if (rest >= 0x47800000u) return (uint16_t)(sign | 0x7c00);                       /* 65536 and more */
    if (rest < 0x38800000u) {                                                        /* denormal: counts 2^-24 */
        float n = rintf((f < 0 ? -f : f) * 0x1p24f);
        return (uint16_t)(sign | (uint32_t)n);
    }
    rest += 0xfff + (rest >> 13 & 1); /* ties to even; a carry moves on into the exponent, 65520 into inf */
    return (uint16_t)(sign | (rest - (112u << 23)) >> 13);
}

static float f16_at(const uint8_t *at)
{
    return f32_of_f16((uint16_t)(at[0] | at[1] << 8));
}

/* Sum of 16 partials: halves, i with i + n/2. */
static float tree(float part[N_PARTS])
{
    for (int n = N_PARTS / 2; n >= 1; n /= 2)
        for (int i = 0; i < n; i++) part[i] += part[i + n];
    return part[0];
}

/* ---- formats ---- */

struct format {
    int n_elements, n_bytes;       /* of the file's block */
    bool is_float, has_min, by_16; /* by_16: scales, and minima, of 16 elements each */
};

static struct format format_of(enum quant type)
{
    switch (type) {
    case QUANT_F32: return (struct format){.n_elements = 1, .n_bytes = 4, .is_float = true};
    case QUANT_F16: return (struct format){.n_elements = 1, .n_bytes = 2, .is_float = true};
    case QUANT_BF16: return (struct format){.n_elements = 1, .n_bytes = 2, .is_float = true};
    case QUANT_Q4_0: return (struct format){.n_elements = 32, .n_bytes = 18};
    case QUANT_Q4_1: return (struct format){.n_elements = 32, .n_bytes = 20, .has_min = true};
    case QUANT_Q5_0: return (struct format){.n_elements = 32, .n_bytes = 22};
    case QUANT_Q5_1: return (struct format){.n_elements = 32, .n_bytes = 24, .has_min = true};
    case QUANT_Q8_0: return (struct format){.n_elements = 32, .n_bytes = 34};
    case QUANT_Q2_K: return (struct format){.n_elements = 256, .n_bytes = 84, .has_min = true, .by_16 = true};
    case QUANT_Q3_K: return (struct format){.n_elements = 256, .n_bytes = 110, .by_16 = true};
    case QUANT_Q4_K: return (struct format){.n_elements = 256, .n_bytes = 144, .has_min = true};
    case QUANT_Q5_K: return (struct format){.n_elements = 256, .n_bytes = 176, .has_min = true};
    case QUANT_Q6_K: return (struct format){.n_elements = 256, .n_bytes = 210, .by_16 = true};
    }
    assert(!"a format that no path has");
    return (struct format){0};
}

static size_t row_bytes(enum quant type, int n_in)
{
    struct format f = format_of(type);
    assert(n_in > 0 && n_in % f.n_elements == 0);
    return (size_t)(n_in / f.n_elements) * (size_t)f.n_bytes;
}

/* 32 weights: element i is scale[i / 16] * q[i] + min[i / 16]. The two differ where they are by_16 only. */
struct quant_block {
    int8_t q[BLOCK];
    float scale[2], min[2];
};

static void block_scale(struct quant_block *b, float scale, float min)
{
    b->scale[0] = b->scale[1] = scale;
    b->min[0] = b->min[1] = min;
}

/* 16 bytes of two values. */
static void block_nibbles(struct quant_block *b, const uint8_t *at, int offset)
{
    for (int i = 0; i < 16; i++) {
        b->q[i] = (int8_t)((at[i] & 15) - offset);
        b->q[i + 16] = (int8_t)((at[i] >> 4) - offset);
    }
}

/* Four bytes of fifth bits, then the nibbles. */
static void block_fives(struct quant_block *b, const uint8_t *at, int offset)
{
    block_nibbles(b, at + 4, offset);
    for (int i = 0; i < BLOCK; i++) b->q[i] = (int8_t)(b->q[i] + 16 * (at[i / 8] >> i % 8 & 1));
}

static void block_q8_0(struct quant_block *b, const uint8_t *at)
{
    block_scale(b, f16_at(at), 0);
    memcpy(b->q, at + 2, BLOCK);
}

/* Part i (0..7) of a superblock of Q4_K or Q5_K begins with d, dmin and 12 bytes of 6-bit scales and minima. */
static void block_six_bits(struct quant_block *b, const uint8_t *at, int i)
{
    const uint8_t *packed = at + 4;
    int scale, min;
    if (i < 4) {
        scale = packed[i] & 63;
        min = packed[i + 4] & 63;
    } else {
        scale = (packed[i + 4] & 15) | packed[i - 4] >> 6 << 4;
        min = packed[i + 4] >> 4 | packed[i] >> 6 << 4;
    }
    block_scale(b, f16_at(at) * (float)scale, -(f16_at(at + 2) * (float)min));
}

/* 128 bytes of nibbles: parts 2j and 2j+1 are the low and high ones of the same 32 bytes. */
static void block_q4_k(struct quant_block *b, const uint8_t *at, int i)
{
    block_six_bits(b, at, i);
    for (int k = 0; k < BLOCK; k++) b->q[k] = at[16 + 32 * (i / 2) + k] >> 4 * (i % 2) & 15;
}

/* 32 bytes whose bit i is the fifth of part i, then the nibbles as in Q4_K. */
static void block_q5_k(struct quant_block *b, const uint8_t *at, int i)
{
    block_six_bits(b, at, i);
    for (int k = 0; k < BLOCK; k++)
        b->q[k] = (int8_t)((at[48 + 32 * (i / 2) + k] >> 4 * (i % 2) & 15) + 16 * (at[16 + k] >> i & 1));
}

/* 16 bytes of scale and minimum, 64 of bit pairs, d, dmin. Each half of the superblock (128 elements) has its parts in
 * the pairs of 32 bytes, lowest first. */
static void block_q2_k(struct quant_block *b, const uint8_t *at, int i)
{
    for (int h = 0; h < 2; h++) {
        b->scale[h] = f16_at(at + 80) * (float)(at[2 * i + h] & 15);
        b->min[h] = -(f16_at(at + 82) * (float)(at[2 * i + h] >> 4));
    }
    for (int k = 0; k < BLOCK; k++) b->q[k] = at[16 + 32 * (i / 4) + k] >> 2 * (i % 4) & 3;
}

/* 32 bytes whose bit i is the third of part i, 64 of bit pairs as in Q2_K, 12 of 6-bit scales, d. Scale n has its low
 * four bits in the nibbles of bytes 0..7 (n mod 8), its upper two in the pairs of bytes 8..11 (n mod 4). */
static void block_q3_k(struct quant_block *b, const uint8_t *at, int i)
{
    const uint8_t *packed = at + 96;
    for (int h = 0; h < 2; h++) {
        int n = 2 * i + h, scale = (packed[n % 8] >> 4 * (n / 8) & 15) | (packed[8 + n % 4] >> 2 * (n / 4) & 3) << 4;
        b->scale[h] = f16_at(at + 108) * (float)(scale - 32);
    }
    for (int k = 0; k < BLOCK; k++)
        b->q[k] = (int8_t)((at[32 + 32 * (i / 4) + k] >> 2 * (i % 4) & 3) + 4 * (at[k] >> i & 1) - 4);
}

/* Part i (0..7) of a superblock: 128 bytes of low nibbles, 64 of upper bit pairs, 16 scales, d. Each half of the
 * superblock (128 elements) has its parts in the low nibbles of 32 and 32 bytes, then in the high ones. */
static void block_q6_k(struct quant_block *b, const uint8_t *at, int i)
{
    int half = i / 4, j = i % 4;
    const uint8_t *low = at + 64 * half + 32 * (j % 2), *high = at + 128 + 32 * half;
    const int8_t *scales = (const int8_t *)(at + 192) + 2 * i;
    float d = f16_at(at + 208);
    b->scale[0] = d * (float)scales[0];
    b->scale[1] = d * (float)scales[1];
    for (int k = 0; k < BLOCK; k++) b->q[k] = (int8_t)((low[k] >> 4 * (j / 2) & 15) + 16 * (high[k] >> 2 * j & 3) - 32);
}

static struct quant_block block_read(enum quant type, const uint8_t *row, int i_block)
{
    struct format f = format_of(type);
    int per = f.n_elements / BLOCK;
    const uint8_t *at = row + (size_t)(i_block / per) * (size_t)f.n_bytes;
    struct quant_block b = {.min = {0}};
    switch (type) {
    case QUANT_Q4_0: block_scale(&b, f16_at(at), 0), block_nibbles(&b, at + 2, 8); break;
    case QUANT_Q4_1: block_scale(&b, f16_at(at), f16_at(at + 2)), block_nibbles(&b, at + 4, 0); break;
    case QUANT_Q5_0: block_scale(&b, f16_at(at), 0), block_fives(&b, at + 2, 16); break;
    case QUANT_Q5_1: block_scale(&b, f16_at(at), f16_at(at + 2)), block_fives(&b, at + 4, 0); break;
    case QUANT_Q8_0: block_q8_0(&b, at); break;
    case QUANT_Q2_K: block_q2_k(&b, at, i_block % per); break;
    case QUANT_Q3_K: block_q3_k(&b, at, i_block % per); break;
    case QUANT_Q4_K: block_q4_k(&b, at, i_block % per); break;
    case QUANT_Q5_K: block_q5_k(&b, at, i_block % per); break;
    case QUANT_Q6_K: block_q6_k(&b, at, i_block % per); break;
    case QUANT_F32:
    case QUANT_F16:
    case QUANT_BF16: assert(!"floats have no blocks"); break;
    }
    return b;
}

static float float_at(enum quant type, const uint8_t *row, int k)
{
    float f;
    if (type == QUANT_F16) return f16_at(row + 2 * (size_t)k);
    if (type == QUANT_F32) {
        memcpy(&f, row + 4 * (size_t)k, sizeof f);
        return f;
    }
    uint32_t bits = (uint32_t)(row[2 * (size_t)k] | row[2 * (size_t)k + 1] << 8) << 16; /* BF16 */
    memcpy(&f, &bits, sizeof f);
    return f;
}

/* ---- panels ---- */

static size_t ref_panel_bytes(enum quant type, int n_in)
{
    return (PANEL * row_bytes(type, n_in) + 63) / 64 * 64;
}

static void ref_pack(void *panel, const void *const rows[PANEL], enum quant type, int n_in)
{
    size_t n = row_bytes(type, n_in);
    memset(panel, 0, ref_panel_bytes(type, n_in));
    for (int i = 0; i < PANEL; i++)
        if (rows[i]) memcpy((uint8_t *)panel + (size_t)i * n, rows[i], n);
}

static const uint8_t *panel_row(const struct weights *w, int i_row)
{
    return w->panels + (size_t)(i_row / PANEL) * w->panel_bytes + (size_t)(i_row % PANEL) * row_bytes(w->type, w->n_in);
}

static void ref_row(float *out, const struct weights *w, int i_row)
{
    const uint8_t *row = panel_row(w, i_row);
    if (format_of(w->type).is_float) {
        for (int k = 0; k < w->n_in; k++) out[k] = float_at(w->type, row, k);
        return;
    }
    for (int i = 0; i < w->n_in / BLOCK; i++) {
        struct quant_block b = block_read(w->type, row, i);
        for (int k = 0; k < BLOCK; k++) out[i * BLOCK + k] = fmaf(b.scale[k / 16], (float)b.q[k], b.min[k / 16]);
    }
}

/* ---- products ---- */

static int first_not_finite(const float *x, int n)
{
    for (int i = 0; i < n; i++)
        if (x[i] - x[i] != 0.0f) return i;
    return -1;
}

static void quantize_block(struct act *a, const float *x)
{
    float m = 0.0f;
    for (int i = 0; i < BLOCK; i++) {
        float size = x[i] < 0.0f ? -x[i] : x[i];
        if (size > m) m = size;
    }
    *a = (struct act){.s = m >= TINY ? m / 127.0f : 0.0f};
    for (int i = 0; i < BLOCK; i++) {
        a->q[i] = a->s > 0.0f ? (int8_t)rintf(x[i] / a->s) : 0;
        a->sum[i / 16] += a->q[i];
        a->pair[i / 16 * 2 + i % 4 / 2] += a->q[i];
    }
    a->u = a->s * (float)(a->sum[0] + a->sum[1]);
}

static int ref_quantize(struct acts *a, int i_row, const float *x)
{
    int n = a->n_in, bad = first_not_finite(x, n);
    if (bad >= 0) return bad;
    if (a->x) memmove(a->x + (size_t)i_row * (size_t)n, x, (size_t)n * sizeof *x);
    if (!a->blocks) return -1;
    assert(n % BLOCK == 0);
    struct act *row = a->blocks + (size_t)i_row * (size_t)(n / BLOCK);
    for (int i = 0; i < n / BLOCK; i++) quantize_block(&row[i], x + i * BLOCK);
    return -1;
}

static float block_apply(float acc, const struct quant_block *b, enum quant type, const struct act *a)
{
    struct format f = format_of(type);
    int isum[2] = {0, 0};
    for (int k = 0; k < BLOCK; k++) isum[k / 16] += b->q[k] * a->q[k];
    if (f.by_16) {
        for (int h = 0; h < 2; h++) {
            acc = fmaf(a->s * b->scale[h], (float)isum[h], acc);
            if (f.has_min) acc = fmaf(b->min[h], a->s * (float)a->sum[h], acc);
        }
        return acc;
    }
    acc = fmaf(a->s * b->scale[0], (float)(isum[0] + isum[1]), acc);
    return f.has_min ? fmaf(b->min[0], a->u, acc) : acc;
}

/* out[r * ld_out] for all token rows r, of one output row. */
static void matmul_row(float *out, size_t ld_out, const struct weights *w, const uint8_t *row, const struct acts *a,
                       int n_rows)
{
    for (int r = 0; r < n_rows; r++) out[(size_t)r * ld_out] = 0.0f;
    if (format_of(w->type).is_float) {
        for (int r = 0; r < n_rows; r++)
            for (int k = 0; k < w->n_in; k++) {
                float *acc = &out[(size_t)r * ld_out];
                *acc = fmaf(float_at(w->type, row, k), a->x[(size_t)r * (size_t)w->n_in + (size_t)k], *acc);
            }
        return;
    }
    int n_blocks = w->n_in / BLOCK;
    for (int i = 0; i < n_blocks; i++) {
        struct quant_block b = block_read(w->type, row, i);
        for (int r = 0; r < n_rows; r++) {
            float *acc = &out[(size_t)r * ld_out];
            *acc = block_apply(*acc, &b, w->type, &a->blocks[(size_t)r * (size_t)n_blocks + (size_t)i]);
        }
    }
}

static void ref_matmul(float *out, size_t ld_out, const struct weights *w, const struct acts *a, int n_rows, int from,
                       int to)
{
    for (int i = from * PANEL; i < to * PANEL; i++) matmul_row(out + i, ld_out, w, panel_row(w, i), a, n_rows);
}

/* ---- rows ---- */

static void ref_norm(float *out, const float *x, const float *w, int n, float eps)
{
    float part[N_PARTS] = {0};
    for (int i = 0; i < n; i++) part[i % N_PARTS] = fmaf(x[i], x[i], part[i % N_PARTS]);
    float mean = tree(part) / (float)n, inv = 1.0f / sqrtf(mean + eps);
    for (int i = 0; i < n; i++) out[i] = (x[i] * inv) * w[i];
}

static void ref_add(float *x, const float *y, int n)
{
    for (int i = 0; i < n; i++) x[i] += y[i];
}

static void ref_add_step(float *x, const float *y, float step, int n)
{
    for (int i = 0; i < n; i++) x[i] += step * y[i];
}

static void ref_silu_mul(float *out, const float *gate, const float *up, int n)
{
    for (int i = 0; i < n; i++) out[i] = (gate[i] / (1.0f + math_expf(-gate[i]))) * up[i];
}

static void ref_gelu_mul(float *out, const float *gate, const float *up, int n)
{
    for (int i = 0; i < n; i++) {
        float g = gate[i], z = g * fmaf(g * g, GELU_C3, GELU_C1);
        out[i] = (g / (1.0f + math_expf(-z))) * up[i];
    }
}

static void ref_rope(float *x, const float *cs, int n_heads, int d, bool neox)
{
    for (int h = 0; h < n_heads; h++, x += d)
        for (int i = 0; i < d / 2; i++) {
            float *a = neox ? x + i : x + 2 * i, *b = neox ? a + d / 2 : a + 1;
            float cos = cs[2 * i], sin = cs[2 * i + 1], a0 = *a, b0 = *b;
            *a = a0 * cos - b0 * sin;
            *b = a0 * sin + b0 * cos;
        }
}

static void ref_to_f16(uint16_t *out, const float *x, int n)
{
    for (int i = 0; i < n; i++) out[i] = f16_of_f32(x[i]);
}

/* ---- attention ---- */

/* score[n] = q.k, then exp(score - max), of positions from `seen` on. */
static struct softmax chunk_weights(float *score, const float *q, const uint16_t *k, size_t ld, int seen, int n, int d)
{
    struct softmax c = {0};
    for (int p = seen; p < n; p++) {
        float part[N_PARTS] = {0};
        for (int i = 0; i < d; i++)
            part[i % N_PARTS] = fmaf(q[i], f32_of_f16(k[(size_t)p * ld + (size_t)i]), part[i % N_PARTS]);
        score[p] = tree(part);
        if (p == seen || score[p] > c.max) c.max = score[p];
    }
    float part[N_PARTS] = {0};
    for (int p = seen; p < n; p++) {
        score[p] = math_expf(score[p] - c.max);
        part[p % N_PARTS] += score[p];
    }
    c.sum = tree(part);
    return c;
}

static void chunk_merge(float *out, struct softmax *all, const float *o, struct softmax c, int d)
{
    if (c.max > all->max) {
        float scale = math_expf(all->max - c.max);
        all->sum = fmaf(all->sum, scale, c.sum);
        for (int i = 0; i < d; i++) out[i] = fmaf(out[i], scale, o[i]);
        all->max = c.max;
    } else {
        float scale = math_expf(c.max - all->max);
        all->sum = fmaf(c.sum, scale, all->sum);
        for (int i = 0; i < d; i++) out[i] = fmaf(o[i], scale, out[i]);
    }
}

static void attend(float *out, struct softmax *all, const float *q, const uint16_t *k, const uint16_t *v, size_t ld,
                   int from, int to, int d, float *scratch)
{
    float *score = scratch, *o = scratch + ATTN_CHUNK;
    int chunk = from - from % ATTN_CHUNK, seen = from - chunk, n = to - chunk;
    struct softmax c = chunk_weights(score, q, k + (size_t)chunk * ld, ld, seen, n, d);
    for (int i = 0; i < d; i++) o[i] = 0.0f;
    for (int p = seen; p < n; p++)
        for (int i = 0; i < d; i++) o[i] = fmaf(score[p], f32_of_f16(v[(size_t)(chunk + p) * ld + (size_t)i]), o[i]);
    if (all->sum == 0.0f) {
        *all = c;
        memcpy(out, o, (size_t)d * sizeof *o);
    } else {
        chunk_merge(out, all, o, c, d);
    }
}

static void ref_attention(float *out, struct softmax *so_far, const float *q, int n_heads, const uint16_t *k,
                          const uint16_t *v, size_t ld, int from, int to, int d, float *scratch)
{
    for (int h = 0; h < n_heads; h++) attend(out + h * d, &so_far[h], q + h * d, k, v, ld, from, to, d, scratch);
}

/* ---- head ---- */

static struct head_part ref_head(const float *logits, int32_t first, int n)
{
    int best = 0;
    for (int i = 1; i < n; i++)
        if (logits[i] > logits[best]) best = i;
    float part[N_PARTS] = {0};
    for (int i = 0; i < n; i++) part[i % N_PARTS] += math_expf(logits[i] - logits[best]);
    return (struct head_part){.max = logits[best], .id = first + best, .sum = tree(part)};
}

#ifndef CPU_REF_FUNCTIONS /* cuda/cpu_module.cu has the functions alone */
const struct kernels kernels_ref = {
    .name = "ref",
    .panel_bytes = ref_panel_bytes,
    .pack = ref_pack,
    .row = ref_row,
    .quantize = ref_quantize,
    .matmul = ref_matmul,
    .norm = ref_norm,
    .add = ref_add,
    .add_step = ref_add_step,
    .silu_mul = ref_silu_mul,
    .gelu_mul = ref_gelu_mul,
    .rope = ref_rope,
    .to_f16 = ref_to_f16,
    .attention = ref_attention,
    .head = ref_head,
};
#endif
