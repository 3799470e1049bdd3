/* Every path of this CPU is held to the reference by memcmp. test_kernels_ref.c holds the reference to plain
 * arithmetic. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "kernels/kernels.h"
#include "tests/lib/hard.h"

static const struct kernels *const ref = &kernels_ref;
static const char *expected; /* the fastest path, where the caller says which CPU this is */

/* for (each path but the reference) */
#define EACH_PATH(k) for (int i_path = 1; ((k) = kernels_path(i_path)) != NULL; i_path++)

static void same(const void *got, const void *want, size_t n_bytes, const char *path, const char *what, int a, int b)
{
    if (memcmp(got, want, n_bytes) == 0) return;
    size_t at = 0;
    while (((const uint8_t *)got)[at] == ((const uint8_t *)want)[at]) at++;
    fail_msg("%s: %s (%d, %d) differs at byte %zu of %zu", path, what, a, b, at, n_bytes);
}

/* ---- token rows ---- */

static struct acts acts_new(int n_in, int n_rows)
{
    size_t n = (size_t)n_in * (size_t)n_rows;
    return (struct acts){
        .n_in = n_in, .x = hard_alloc(n * sizeof(float)), .blocks = hard_alloc(n / BLOCK * sizeof(struct act))};
}

static void acts_free(struct acts *a)
{
    free(a->x);
    free(a->blocks);
}

static void acts_same(const struct acts *a, const struct acts *b, int n_rows, const char *path)
{
    size_t n = (size_t)a->n_in * (size_t)n_rows;
    same(a->x, b->x, n * sizeof(float), path, "x", a->n_in, n_rows);
    for (size_t i = 0; i < n / BLOCK; i++) /* all but the padding */
        same(&a->blocks[i], &b->blocks[i], offsetof(struct act, u) + sizeof a->blocks->u, path, "block", a->n_in,
             (int)i);
}

static void quantizes_to_the_same_bits(void **state)
{
    (void)state;
    static const float sizes[] = {1.0f, 0x1p100f, 0x1.8p-101f, 0x1p-30f};
    static const int widths[] = {32, 64, 96, 256, 1536, 8960};
    enum { N_ROWS = 12 };
    const struct kernels *k;
    EACH_PATH(k)
    for (size_t w = 0; w < sizeof widths / sizeof *widths; w++) {
        int n = widths[w];
        struct hard h = {(uint64_t)n};
        struct acts got = acts_new(n, N_ROWS), want = acts_new(n, N_ROWS);
        float *x = hard_alloc((size_t)n * sizeof *x);
        for (int r = 0; r < N_ROWS; r++) {
            hard_row(&h, x, n);
            for (int i = 0; i < n; i++) x[i] *= sizes[r % 4];
            assert_int_equal(ref->quantize(&want, r, x), -1);
            assert_int_equal(k->quantize(&got, r, x), -1);
        }
        acts_same(&got, &want, N_ROWS, k->name);
        free(x);
        acts_free(&got);
        acts_free(&want);
    }
}

static void quantize_finds_the_first_that_is_not_finite(void **state)
{
    (void)state;
    static const uint32_t bad_bits[] = {0x7f800000, 0xff800000, 0x7fc00000, 0xffc00001, 0x7f800001};
    enum { N = 96 };
    const struct kernels *k;
    struct acts a = acts_new(N, 1);
    struct hard h = {5};
    for (int i_path = 0; (k = kernels_path(i_path)) != NULL; i_path++)
        for (int at = 0; at < N; at++) {
            float x[N], bad;
            memcpy(&bad, &bad_bits[at % 5], sizeof bad);
            hard_floats(&h, x, N);
            x[at] = bad;
            if (at + 3 < N) x[at + 3] = bad;
            assert_int_equal(k->quantize(&a, 0, x), at);
        }
    acts_free(&a);
}

static void quantize_fills_only_what_is_asked_for(void **state)
{
    (void)state;
    enum { N = 43 }; /* float weights have no blocks: any width */
    const struct kernels *k;
    struct hard h = {6};
    float x[N], copy[N], row[32];
    struct act block;
    hard_floats(&h, x, N);
    for (int i_path = 0; (k = kernels_path(i_path)) != NULL; i_path++) {
        struct acts floats = {.n_in = N, .x = copy}, quants = {.n_in = 32, .blocks = &block};
        memset(copy, 0, sizeof copy);
        assert_int_equal(k->quantize(&floats, 0, x), -1);
        same(copy, x, sizeof x, k->name, "x alone", N, 1);
        assert_int_equal(k->quantize(&quants, 0, x), -1);
        memcpy(row, x, sizeof row);
        floats.n_in = 32;
        floats.x = row; /* where the row lies already */
        assert_int_equal(k->quantize(&floats, 0, row), -1);
        same(row, x, sizeof row, k->name, "x in place", 32, 1);
    }
}

/* ---- products ---- */

/* n_out rows of random blocks, one of them (where there is more than one) a row of zeros. */
struct matrix {
    uint8_t *bytes;
    const void **rows;
    int n_in, n_out, n_panels;
    enum quant type;
};

static struct matrix matrix_new(struct hard *h, enum quant type, int n_in, int n_out)
{
    size_t n = hard_row_bytes(type, n_in);
    int n_panels = (n_out + PANEL - 1) / PANEL;
    struct matrix m = {
        hard_alloc(n * (size_t)n_out), calloc((size_t)n_panels * PANEL, sizeof *m.rows), n_in, n_out, n_panels, type};
    assert_non_null(m.rows);
    for (int i = 0; i < n_out; i++) {
        m.rows[i] = i == 2 ? NULL : m.bytes + n * (size_t)i;
        hard_weights(h, m.bytes + n * (size_t)i, type, n_in);
    }
    return m;
}

static void matrix_free(struct matrix *m)
{
    free(m->bytes);
    free(m->rows);
}

static struct weights weights_new(const struct matrix *m, const struct kernels *k)
{
    struct weights w = {m->type, m->n_in, m->n_out, k->panel_bytes(m->type, m->n_in), NULL};
    assert_int_equal(w.panel_bytes % 64, 0);
    w.panels = hard_alloc(w.panel_bytes * (size_t)m->n_panels);
    for (int p = 0; p < m->n_panels; p++)
        k->pack(w.panels + w.panel_bytes * (size_t)p, m->rows + p * PANEL, m->type, m->n_in);
    return w;
}

static struct acts acts_hard(struct hard *h, int n_in, int n_rows)
{
    struct acts a = acts_new(n_in, n_rows);
    float *x = hard_alloc((size_t)n_in * sizeof *x);
    for (int r = 0; r < n_rows; r++) {
        if (n_in % 32 == 0)
            hard_row(h, x, n_in);
        else
            hard_floats(h, x, n_in);
        assert_int_equal(ref->quantize(&a, r, x), -1);
    }
    free(x);
    return a;
}

enum { MAX_ROWS = 33, SLACK = 5 };

static void check_rows(const struct matrix *m, const struct weights *of_ref, const struct weights *w,
                       const struct kernels *k)
{
    size_t size = (size_t)m->n_in * sizeof(float);
    float *want = hard_alloc(size), *got = hard_alloc(size);
    for (int i = 0; i < m->n_out; i++) {
        ref->row(want, of_ref, i);
        k->row(got, w, i);
        same(got, want, size, k->name, "row of format", i, (int)m->type);
    }
    free(want);
    free(got);
}

/* All row counts; the panels in two calls, as two threads would; what lies beside the panels stays as it is. */
static void check_product(const struct matrix *m, const struct acts *a)
{
    size_t ld = (size_t)m->n_panels * PANEL + SLACK, size = MAX_ROWS * ld * sizeof(float);
    float *want = hard_alloc(size), *got = hard_alloc(size);
    struct weights of_ref = weights_new(m, ref);
    ref->matmul(want, ld, &of_ref, a, MAX_ROWS, 0, m->n_panels);
    const struct kernels *k;
    EACH_PATH(k)
    {
        struct weights w = weights_new(m, k);
        for (int n = 1; n <= MAX_ROWS; n += n == 17 ? 16 : 1) {
            int half = n % 2 ? m->n_panels / 2 : 0;
            memset(got, 0xa5, size);
            k->matmul(got, ld, &w, a, n, half, m->n_panels);
            k->matmul(got, ld, &w, a, n, 0, half);
            same(got, want, (size_t)n * ld * sizeof *got, k->name, "product of n rows and format", n, (int)m->type);
        }
        check_rows(m, &of_ref, &w, k);
        free(w.panels);
    }
    free(of_ref.panels);
    free(want);
    free(got);
}

static void multiplies_to_the_same_bits(void **state)
{
    (void)state;
    /* n_in in superblocks' and in small formats' sizes; 1280 > 4 superblocks, where a path may take turns. */
    static const struct {
        int n_in, n_out;
        bool small; /* only for formats of 32 and floats */
    } shapes[] = {{256, 1, false}, {512, 43, false}, {1280, 16, false},
                  {32, 17, true},  {96, 33, true},   {576, 20, true}};
    const enum quant *type;
    for (int f = 0; (type = kernels_format(f)) != NULL; f++)
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
            if (shapes[i].small && hard_row_bytes(*type, 32) == 0) continue; /* a superblock */
            struct hard h = {100 * (uint64_t)f + i};
            struct matrix m = matrix_new(&h, *type, shapes[i].n_in, shapes[i].n_out);
            struct acts a = acts_hard(&h, shapes[i].n_in, MAX_ROWS);
            check_product(&m, &a);
            acts_free(&a);
            matrix_free(&m);
        }
}

/* ---- extremes that no random block reaches ---- */

/* Every weight and every activation at its end: sums of 8-bit products in 16 bits would overflow here. */
static void survives_the_largest_sums(void **state)
{
    (void)state;
    static const struct {
        enum quant type;
        size_t n_bytes, from, to; /* of a block in the file; its values */
        uint8_t ends[2];
    } cases[] = {
        {QUANT_Q4_0, 18, 2, 18, {0, 0xff}},    {QUANT_Q4_1, 20, 4, 20, {0, 0xff}},
        {QUANT_Q5_0, 22, 2, 22, {0, 0xff}},    {QUANT_Q5_1, 24, 4, 24, {0, 0xff}},
        {QUANT_Q8_0, 34, 2, 34, {0x7f, 0x80}}, {QUANT_Q2_K, 84, 16, 80, {0, 0xff}},
        {QUANT_Q3_K, 110, 0, 96, {0, 0xff}},   {QUANT_Q4_K, 144, 16, 144, {0, 0xff}},
        {QUANT_Q5_K, 176, 16, 176, {0, 0xff}}, {QUANT_Q6_K, 210, 0, 192, {0, 0xff}},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++)
        for (int sign = 0; sign < 4; sign++) {
            struct hard h = {c};
            struct matrix m = matrix_new(&h, cases[c].type, 256, 16);
            size_t n = hard_row_bytes(cases[c].type, 256);
            for (size_t i = 0; i < 16 * n; i++) {
                size_t at = i % cases[c].n_bytes;
                if (at >= cases[c].from && at < cases[c].to) m.bytes[i] = cases[c].ends[sign % 2];
            }
            struct acts a = acts_new(256, MAX_ROWS);
            float x[256];
            for (int i = 0; i < 256; i++) x[i] = sign / 2 ? -3.0f : 3.0f;
            for (int r = 0; r < MAX_ROWS; r++) ref->quantize(&a, r, x);
            check_product(&m, &a);
            acts_free(&a);
            matrix_free(&m);
        }
}

/* ---- the other kernels ---- */

enum { MAX_N = 1600 };

static void works_on_rows_to_the_same_bits(void **state)
{
    (void)state;
    static const int lengths[] = {1, 2, 7, 8, 15, 16, 17, 31, 33, 63, 64, 100, 576, 896, 1537};
    const struct kernels *k;
    EACH_PATH(k)
    for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++) {
        int n = lengths[l];
        struct hard h = {l};
        float x[MAX_N], y[MAX_N], w[MAX_N], want[MAX_N], got[MAX_N];
        hard_floats(&h, x, MAX_N);
        hard_floats(&h, y, MAX_N);
        hard_floats(&h, w, MAX_N);
        x[0] *= 0x1p-130f;
        y[n - 1] = -0.0f;
#define BOTH(what, call)                                                                                               \
    do {                                                                                                               \
        float *out = want;                                                                                             \
        const struct kernels *of = ref;                                                                                \
        memcpy(want, x, sizeof x);                                                                                     \
        memcpy(got, x, sizeof x);                                                                                      \
        call;                                                                                                          \
        out = got, of = k;                                                                                             \
        call;                                                                                                          \
        same(got, want, sizeof got, k->name, what, n, 0);                                                              \
    } while (0)
        BOTH("norm", of->norm(out, y, w, n, 1e-6f));
        BOTH("norm in place", of->norm(out, out, w, n, 0.0f));
        BOTH("add", of->add(out, y, n));
        BOTH("add_step", of->add_step(out, y, 0.37f, n));
        BOTH("silu_mul", of->silu_mul(out, y, w, n));
        BOTH("silu_mul in place", of->silu_mul(out, out, w, n));
        BOTH("gelu_mul", of->gelu_mul(out, y, w, n));
        BOTH("gelu_mul in place", of->gelu_mul(out, out, w, n));
#undef BOTH
    }
}

static void turns_to_the_same_bits(void **state)
{
    (void)state;
    static const int widths[] = {2, 8, 14, 64, 80, 128};
    const struct kernels *k;
    EACH_PATH(k)
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++)
        for (int neox = 0; neox < 2; neox++) {
            struct hard h = {i};
            float cs[128], want[3 * 128 + 1], got[3 * 128 + 1];
            hard_floats(&h, cs, 128);
            hard_floats(&h, want, 3 * 128 + 1);
            memcpy(got, want, sizeof got);
            ref->rope(want, cs, 3, widths[i], neox);
            k->rope(got, cs, 3, widths[i], neox);
            same(got, want, sizeof got, k->name, "rope", widths[i], neox);
        }
}

/* Sign, exponent, upper bits of the fraction, and lower bits at and around a tie. */
static void halves_to_the_same_bits(void **state)
{
    (void)state;
    enum { N = 8 * 8 };
    static const uint32_t low[8] = {0, 1, 0xfff, 0x1000, 0x1001, 0x1fff, 0x800, 0x123};
    const struct kernels *k;
    EACH_PATH(k)
    for (uint32_t high = 0; high < 512; high++) {
        float x[N];
        uint16_t want[N + 1] = {0}, got[N + 1] = {0};
        for (uint32_t i = 0; i < N; i++) {
            uint32_t bits = high << 23 | (i / 8 * 0x93 % 0x400) << 13 | low[i % 8];
            if (i / 8 == 7) bits |= 0x7fe000;
            memcpy(&x[i], &bits, sizeof bits);
        }
        int n = N - (int)(high % 17);
        ref->to_f16(want, x, n);
        k->to_f16(got, x, n);
        same(got, want, sizeof got, k->name, "to_f16", (int)high, n);
    }
}

/* Rows of several lengths and windows at once, as each alone by the reference. */
static void attends_to_the_same_bits(void **state)
{
    (void)state;
    enum { MAX_POS = 600, MAX_D = 256, MAX_HEADS = 13, N_ROWS = 7, LD = 2 * MAX_D + 8, SIZE = MAX_HEADS * MAX_D };
    static const int lengths[] = {1, 2, 15, 16, 17, 255, 256, 257, 300, 600, 600, 600},
                     widths[] = {2, 8, 24, 64, 80, 128, 256};
    static const float sharpness[] = {1.0f, 0.01f, 0.001f}; /* from one position that counts to many */
    struct hard h = {77};
    float *x = hard_alloc(LD * sizeof *x),
          *scratch = hard_alloc(MAX_HEADS * (ATTN_CHUNK + MAX_D + 2 * N_ROWS) * sizeof *scratch);
    static float want[N_ROWS][SIZE + 1], got[N_ROWS][SIZE + 1], q[N_ROWS][SIZE];
    uint16_t *keys = hard_alloc(MAX_POS * LD * sizeof *keys), *values = hard_alloc(MAX_POS * LD * sizeof *values);
    for (int p = 0; p < MAX_POS; p++) {
        hard_floats(&h, x, LD);
        ref->to_f16(keys + p * LD, x, LD);
        hard_floats(&h, x, LD);
        ref->to_f16(values + p * LD, x, LD);
    }
    const struct kernels *k;
    EACH_PATH(k)
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++)
        for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++) {
            int d = widths[i], n = lengths[l], n_heads = 1 + (int)(i + l) % MAX_HEADS;
            memset(want, 0, sizeof want);
            memset(got, 0, sizeof got);
            const int windows[N_ROWS] = {n, 1, 10, 16, 100, 256, 300};
            struct attention_row rows[N_ROWS];
            for (int r = 0; r < N_ROWS; r++) {
                int n_pos = n > r ? n - r : n;
                hard_floats(&h, q[r], n_heads * d);
                for (int j = 0; j < n_heads * d; j++) q[r][j] *= sharpness[(l + (size_t)r) % 3];
                rows[r] = (struct attention_row){q[r], want[r], windows[r] < n_pos ? n_pos - windows[r] : 0, n_pos};
                attention_rows(ref, &rows[r], 1, n_heads, keys + d, values, LD, d, scratch);
                rows[r].out = got[r];
            }
            attention_rows(k, rows, N_ROWS, n_heads, keys + d, values, LD, d, scratch);
            same(got, want, sizeof got, k->name, "attention", n, d);
        }
    free(scratch);
    free(keys);
    free(values);
    free(x);
}

static void reduces_the_head_to_the_same_bits(void **state)
{
    (void)state;
    static const int lengths[] = {1, 2, 15, 16, 17, 100, 1023, 1024};
    const struct kernels *k;
    EACH_PATH(k)
    for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++)
        for (int kind = 0; kind < 6; kind++) {
            int n = lengths[l];
            struct hard h = {l * 10 + (uint64_t)kind};
            float logits[HEAD_CHUNK];
            hard_floats(&h, logits, HEAD_CHUNK);
            for (int i = 0; i < n; i++) {
                if (kind == 1) logits[i] = -1e30f;
                if (kind == 2 || kind == 3) logits[i] = (hard_bits(&h) % 2 ? -0.0f : 0.0f); /* all tie */
                if (kind == 4) logits[i] = -(float)(hard_bits(&h) % 4);                     /* many tie */
            }
            if (kind == 5) logits[n - 1] = 200.0f;
            if (n < HEAD_CHUNK) logits[n] = 1e9f; /* belongs to no one */
            struct head_part want = ref->head(logits, 3 * HEAD_CHUNK, n), got = k->head(logits, 3 * HEAD_CHUNK, n);
            same(&got, &want, sizeof got, k->name, "head", n, kind);
            for (int i = 0; i < n; i++) logits[i] = NAN;
            assert_int_equal(k->head(logits, 3 * HEAD_CHUNK, n).id, 3 * HEAD_CHUNK); /* one that is there */
        }
}

/* ---- the choice ---- */

static void picks_what_is_named_and_says_why_not(void **state)
{
    (void)state;
    const char *why = NULL;
    assert_ptr_equal(kernels_path(0), &kernels_ref);
    assert_ptr_equal(kernels_pick("ref", &why), &kernels_ref);
    assert_null(kernels_pick("sse9", &why));
    assert_string_equal(why, "no such path; there are ref, avx2, avx512 and amx");
    const struct kernels *k, *last = NULL;
    for (int i = 0; (k = kernels_path(i)) != NULL; i++) {
        assert_ptr_equal(kernels_pick(k->name, &why), k);
        last = k;
    }
    assert_ptr_equal(kernels_pick(NULL, &why), last);
    if (!kernels_pick("amx", &why)) assert_non_null(strstr(why, "AMX"));
    if (expected) assert_ptr_equal(kernels_pick(expected, &why), last);
    assert_true(kernels_supports(QUANT_Q4_K));
    assert_false(kernels_supports(9)); /* Q8_1 */
}

static void the_selftest_is_that_of_the_arithmetic_id(void **state)
{
    (void)state;
    const struct kernels *k;
    assert_int_equal(ARITHMETIC_ID, 1);
    for (int i = 0; (k = kernels_path(i)) != NULL; i++)
        if (kernels_selftest(k) != KERNELS_SELFTEST)
            fail_msg("%s: %llx", k->name, (unsigned long long)kernels_selftest(k));
}

int main(int argc, char **argv)
{
    expected = argc > 1 ? argv[1] : NULL;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quantizes_to_the_same_bits),
        cmocka_unit_test(quantize_finds_the_first_that_is_not_finite),
        cmocka_unit_test(quantize_fills_only_what_is_asked_for),
        cmocka_unit_test(multiplies_to_the_same_bits),
        cmocka_unit_test(survives_the_largest_sums),
        cmocka_unit_test(works_on_rows_to_the_same_bits),
        cmocka_unit_test(turns_to_the_same_bits),
        cmocka_unit_test(halves_to_the_same_bits),
        cmocka_unit_test(attends_to_the_same_bits),
        cmocka_unit_test(reduces_the_head_to_the_same_bits),
        /* After products: amx, once picked, leaves few rows to avx512. */
        cmocka_unit_test(picks_what_is_named_and_says_why_not),
        cmocka_unit_test(the_selftest_is_that_of_the_arithmetic_id),
    };
    return cmocka_run_group_tests_name("kernels", tests, NULL, NULL);
}
