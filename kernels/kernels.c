/* This file is compiled for the baseline, so that the program starts on a CPU without AVX2 and can report it. */
#include "kernels/kernels.h"

#include <assert.h>
#include <cpuid.h>
#include <math.h>
#include <string.h>

#include "kernels/cpu_amx.h"
#include "kernels/math.h"

/* ---- which paths this CPU has ---- */

static bool has_always(void)
{
    return true;
}

static bool has_avx2(void)
{
    /* F16C by hand: not every compiler's __builtin_cpu_supports knows it. That the system saves ymm is in avx2's
     * answer. */
    unsigned a, b, c, d;
    bool f16c = __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
    return f16c && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

static bool has_avx512(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

static bool has_amx(void)
{
    return has_avx512() && amx_is_there();
}

/* From slow to fast. */
static const struct path {
    const char *name;
    const struct kernels *table;
    bool (*has)(void);
    const char *lacks;
} paths[] = {
    {"ref", &kernels_ref, has_always, NULL},
    {"avx2", &kernels_avx2, has_avx2, "avx2: this CPU lacks AVX2, FMA or F16C"},
    {"avx512", &kernels_avx512, has_avx512, "avx512: this CPU lacks AVX-512 F, BW, VL, DQ or VNNI"},
    {"amx", &kernels_amx, has_amx, "amx: this CPU lacks AMX int8, or its system does not let us use it"},
};
enum { N_PATHS = sizeof paths / sizeof *paths };

const struct kernels *kernels_path(int i)
{
    for (const struct path *p = paths; p < paths + N_PATHS; p++)
        if (p->has() && i-- == 0) return p->table;
    return NULL;
}

static bool is_right(const struct kernels *k)
{
    return kernels_selftest(k) == KERNELS_SELFTEST;
}

static const struct kernels *fastest(const char **why)
{
    for (const struct path *p = paths + N_PATHS; p-- > paths;)
        if (p->has() && is_right(p->table)) return p->table;
    *why = "every path of this CPU fails its self-test: a broken CPU or compiler";
    return NULL;
}

static const struct kernels *named(const char *name, const char **why)
{
    *why = "no such path; there are ref, avx2, avx512 and amx";
    for (const struct path *p = paths; p < paths + N_PATHS; p++) {
        if (strcmp(p->name, name) != 0) continue;
        if (!p->has())
            *why = p->lacks;
        else if (!is_right(p->table))
            *why = "its self-test gives wrong bits: a broken CPU or compiler; see pilotfish doctor";
        else
            return p->table;
    }
    return NULL;
}

const struct kernels *kernels_pick(const char *forced, const char **why)
{
    const struct kernels *k = forced && *forced ? named(forced, why) : fastest(why);
    if (k && k->calibrate) k->calibrate();
    return k;
}

static const enum quant formats[] = {QUANT_F32,  QUANT_F16,  QUANT_BF16, QUANT_Q4_0, QUANT_Q4_1, QUANT_Q5_0, QUANT_Q5_1,
                                     QUANT_Q8_0, QUANT_Q2_K, QUANT_Q3_K, QUANT_Q4_K, QUANT_Q5_K, QUANT_Q6_K};
enum { N_FORMATS = sizeof formats / sizeof *formats };

const enum quant *kernels_format(int i)
{
    return i < N_FORMATS ? &formats[i] : NULL;
}

bool kernels_supports(int type)
{
    for (int i = 0; i < N_FORMATS; i++)
        if ((int)formats[i] == type) return true;
    return false;
}

void attention_rows(const struct kernels *k, const struct attention_row *rows, int n_rows, int n_heads,
                    const uint16_t *keys, const uint16_t *values, size_t ld, int d, float *scratch)
{
    struct softmax *so_far = (struct softmax *)(scratch + n_heads * (ATTN_CHUNK + d)); /* [n_rows, n_heads] */
    memset(so_far, 0, (size_t)(n_rows * n_heads) * sizeof *so_far);
    int n_parts = (n_heads + ATTN_HEADS - 1) / ATTN_HEADS,
        n_pos = 0; /* parts are as even as can be: 7 heads, 3 and 4 */
    for (int r = 0; r < n_rows; r++)
        if (rows[r].n_pos > n_pos) n_pos = rows[r].n_pos;
    for (int chunk = 0; chunk < n_pos; chunk += ATTN_CHUNK)
        for (int r = 0; r < n_rows; r++) {
            const struct attention_row *row = &rows[r];
            int from = row->first > chunk ? row->first : chunk;
            int to = row->n_pos < chunk + ATTN_CHUNK ? row->n_pos : chunk + ATTN_CHUNK;
            if (from >= to) continue;
            for (int i = 0; i < n_parts; i++) {
                int h = i * n_heads / n_parts, n = (i + 1) * n_heads / n_parts - h;
                k->attention(row->out + h * d, so_far + r * n_heads + h, row->q + h * d, n, keys, values, ld, from, to,
                             d, scratch);
            }
        }
    for (int r = 0; r < n_rows; r++)
        for (int h = 0; h < n_heads; h++)
            for (int i = 0; i < d; i++) rows[r].out[h * d + i] /= so_far[r * n_heads + h].sum;
}

struct head_part head_merge(struct head_part a, struct head_part b)
{
    if (b.max > a.max) {
        b.sum = fmaf(a.sum, math_expf(a.max - b.max), b.sum);
        return b;
    }
    a.sum = fmaf(b.sum, math_expf(b.max - a.max), a.sum);
    return a;
}

/* ---- self-test ---- */

enum {
    TEST_IN = 256, /* one superblock: every part of every format */
    TEST_ROWS = 5,
    TEST_PANEL_BYTES = PANEL * TEST_IN * 4 + 4096, /* the widest format, and room for a path's padding */
    TEST_POS = ATTN_CHUNK + 5,
    TEST_D = 24 /* not a multiple of 16 */
};

struct test {
    uint64_t hash, state;
};

static void test_hash(struct test *t, const void *data, size_t n)
{
    const uint8_t *at = data; /* FNV-1a */
    for (size_t i = 0; i < n; i++) t->hash = (t->hash ^ at[i]) * 0x100000001b3u;
}

static uint32_t test_bits(struct test *t)
{
    t->state = t->state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(t->state >> 32);
}

/* Sums of uniforms with outliers: wide enough that every rounding shows, never near overflow. */
static void test_floats(struct test *t, float *x, int n)
{
    for (int i = 0; i < n; i++) {
        uint32_t b = test_bits(t);
        x[i] = (float)((int32_t)(b & 0xffff) - 0x8000) * 0x1p-14f;
        if (b >> 28 == 0) x[i] *= 60.0f;
        if (b >> 28 == 1) x[i] *= 0x1p-30f;
    }
}

/* A row of the file's blocks: any bits are weights, but 16-bit scales must be finite, and floats of a sane size. */
static void test_weights(struct test *t, uint8_t row[TEST_IN * 4], enum quant type)
{
    static const struct {
        enum quant type;
        int n_bytes, at[2]; /* a block's bytes; the upper byte of its fp16 scales */
    } scales[] = {{QUANT_F16, 2, {1, 1}},    {QUANT_BF16, 2, {1, 1}},    {QUANT_Q4_0, 18, {1, 1}},
                  {QUANT_Q4_1, 20, {1, 3}},  {QUANT_Q5_0, 22, {1, 1}},   {QUANT_Q5_1, 24, {1, 3}},
                  {QUANT_Q8_0, 34, {1, 1}},  {QUANT_Q2_K, 84, {81, 83}}, {QUANT_Q3_K, 110, {109, 109}},
                  {QUANT_Q4_K, 144, {1, 3}}, {QUANT_Q5_K, 176, {1, 3}},  {QUANT_Q6_K, 210, {209, 209}}};
    if (type == QUANT_F32) {
        float x[TEST_IN];
        test_floats(t, x, TEST_IN);
        memcpy(row, x, sizeof x);
        return;
    }
    for (int i = 0; i < TEST_IN * 4; i++) row[i] = (uint8_t)test_bits(t);
    for (size_t f = 0; f < sizeof scales / sizeof *scales; f++)
        for (int at = 0; scales[f].type == type && at + scales[f].n_bytes <= TEST_IN * 4; at += scales[f].n_bytes)
            for (int i = 0; i < 2; i++) row[at + scales[f].at[i]] &= 0xaf; /* exponent 11 at most, denormals too */
}

static void test_products(struct test *t, const struct kernels *k)
{
    _Alignas(64) uint8_t panel[TEST_PANEL_BYTES];
    uint8_t rows[2][TEST_IN * 4];
    float x[TEST_ROWS * TEST_IN], out[TEST_ROWS * PANEL], embedding[TEST_IN];
    struct act blocks[TEST_ROWS * TEST_IN / BLOCK];
    struct acts a = {.n_in = TEST_IN, .x = x, .blocks = blocks};
    for (int r = 0; r < TEST_ROWS; r++) {
        float from[TEST_IN];
        test_floats(t, from, TEST_IN);
        memset(from, 0, BLOCK * sizeof *from * (size_t)(r % 2)); /* a block without a scale */
        k->quantize(&a, r, from);
    }
    for (int i = 0; i < TEST_ROWS * TEST_IN / BLOCK; i++) {
        test_hash(t, blocks[i].q, sizeof blocks[i].q);
        test_hash(t, &blocks[i].s, sizeof blocks[i].s);
        test_hash(t, &blocks[i].u, sizeof blocks[i].u);
    }
    for (int f = 0; f < N_FORMATS; f++) {
        const void *of_panel[PANEL] = {NULL};
        for (int i = 0; i < 2; i++) test_weights(t, rows[i], formats[f]);
        for (int i = 0; i < PANEL - 1; i++) of_panel[i] = rows[i % 2];
        struct weights w = {formats[f], TEST_IN, PANEL, k->panel_bytes(formats[f], TEST_IN), panel};
        assert(w.panel_bytes <= sizeof panel);
        k->pack(panel, of_panel, formats[f], TEST_IN);
        for (int n = 1; n <= TEST_ROWS; n += TEST_ROWS - 1) {
            k->matmul(out, PANEL, &w, &a, n, 0, 1);
            test_hash(t, out, (size_t)n * PANEL * sizeof *out);
        }
        k->row(embedding, &w, 1);
        test_hash(t, embedding, sizeof embedding);
    }
}

static void test_elementwise(struct test *t, const struct kernels *k)
{
    float x[TEST_IN], y[TEST_IN], cs[TEST_IN];
    uint16_t half[TEST_IN];
    test_floats(t, x, TEST_IN);
    test_floats(t, y, TEST_IN);
    for (int i = 0; i < TEST_IN / 2; i++) {
        double sin, cos;
        math_sincos(i * 1.7, &sin, &cos);
        cs[2 * i] = (float)cos;
        cs[2 * i + 1] = (float)sin;
    }
    k->add(x, y, TEST_IN - 3);
    k->add_step(x, y, 0.3f, TEST_IN - 1);
    test_hash(t, x, sizeof x);
    k->silu_mul(x, x, y, TEST_IN);
    k->gelu_mul(y, y, x, TEST_IN - 2);
    test_hash(t, x, sizeof x);
    test_hash(t, y, sizeof y);
    k->norm(x, x, y, TEST_IN - 5, 1e-6f);
    k->rope(x, cs, 2, TEST_IN / 2, true);
    k->rope(x, cs, 2, TEST_IN / 2, false);
    test_hash(t, x, sizeof x);
    k->to_f16(half, x, TEST_IN);
    test_hash(t, half, sizeof half);
    double ln = math_ln(2.5), exp = math_exp(1.3);
    test_hash(t, &ln, sizeof ln);
    test_hash(t, &exp, sizeof exp);
}

static void test_attention(struct test *t, const struct kernels *k)
{
    enum { HEADS = 3, D = 16 }; /* what fits a vector, and more heads than one */
    float x[TEST_D * HEADS], out[TEST_D * HEADS], scratch[(ATTN_CHUNK + TEST_D + 2) * HEADS], logits[200];
    uint16_t keys[TEST_POS * TEST_D], values[TEST_POS * TEST_D];
    for (int i = 0; i < TEST_POS; i++) {
        test_floats(t, x, TEST_D);
        k->to_f16(keys + i * TEST_D, x, TEST_D);
        test_floats(t, x, TEST_D);
        k->to_f16(values + i * TEST_D, x, TEST_D);
    }
    test_floats(t, x, TEST_D * HEADS);
    for (int i = 0; i < TEST_D * HEADS; i++) x[i] *= 0x1p-10f; /* scores of about 1: many positions count */
    struct attention_row all = {x, out, 0, TEST_POS}, half = {x, out, TEST_POS / 2 + 3, TEST_POS};
    attention_rows(k, &all, 1, HEADS, keys, values, TEST_D, TEST_D, scratch);
    test_hash(t, out, sizeof out);
    attention_rows(k, &half, 1, HEADS, keys, values, TEST_D, D, scratch);
    test_hash(t, out, D * HEADS * sizeof *out);
    test_floats(t, logits, 200);
    for (int i = 0; i < 200; i++) logits[i] *= 0.125f;
    struct head_part a = k->head(logits, 0, 199), b = k->head(logits, HEAD_CHUNK, 17), m = head_merge(a, b);
    test_hash(t, &a, sizeof a);
    test_hash(t, &b, sizeof b);
    test_hash(t, &m, sizeof m);
}

uint64_t kernels_selftest(const struct kernels *k)
{
    struct test t = {.hash = 0xcbf29ce484222325u + ARITHMETIC_ID, .state = 1};
    test_products(&t, k);
    test_elementwise(&t, k);
    test_attention(&t, k);
    return t.hash;
}
