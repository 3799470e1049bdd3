/* The reference is held to plain double arithmetic: it is right, not only the same everywhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/kernels.h"
#include "tests/lib/hard.h"

enum { N_IN = 512, N_ROWS = 3, MAX_D = 64 };

static void near(double got, double want, double tolerance, const char *what, int i)
{
    if (!(fabs(got - want) <= tolerance)) fail_msg("%s %d: %.9g, want %.9g", what, i, got, want);
}

struct fixture { /* one panel of random rows, the last two of them zero, and rows of tokens */
    uint8_t *bytes, *panel;
    size_t row_bytes;
    struct weights w;
    struct acts a;
    float x[N_ROWS * N_IN];
    struct act blocks[N_ROWS * N_IN / BLOCK];
};

static void fixture_init(struct fixture *f, enum quant type)
{
    struct hard h = {(uint64_t)type};
    const void *rows[PANEL] = {NULL};
    f->row_bytes = hard_row_bytes(type, N_IN);
    f->bytes = hard_alloc(PANEL * f->row_bytes);
    for (int i = 0; i < PANEL - 2; i++) {
        rows[i] = f->bytes + (size_t)i * f->row_bytes;
        hard_weights(&h, f->bytes + (size_t)i * f->row_bytes, type, N_IN);
    }
    f->w = (struct weights){type, N_IN, PANEL - 2, kernels_ref.panel_bytes(type, N_IN), NULL};
    f->w.panels = f->panel = hard_alloc(f->w.panel_bytes);
    kernels_ref.pack(f->panel, rows, type, N_IN);
    f->a = (struct acts){.n_in = N_IN, .x = f->x, .blocks = f->blocks};
    for (int r = 0; r < N_ROWS; r++) {
        float x[N_IN];
        hard_row(&h, x, N_IN);
        assert_int_equal(kernels_ref.quantize(&f->a, r, x), -1);
    }
}

static void fixture_free(struct fixture *f)
{
    free(f->bytes);
    free(f->panel);
}

static void rows_are_the_files_weights(void **state)
{
    (void)state;
    const enum quant *type;
    for (int t = 0; (type = kernels_format(t)) != NULL; t++) {
        struct fixture f;
        float out[N_IN];
        fixture_init(&f, *type);
        for (int i = 0; i < PANEL - 2; i++) {
            kernels_ref.row(out, &f.w, i);
            for (int k = 0; k < N_IN; k++)
                if (out[k] != (float)hard_value(*type, f.bytes + (size_t)i * f.row_bytes, k))
                    fail_msg("format %d: element %d of row %d is %g", (int)*type, k, i, (double)out[k]);
        }
        fixture_free(&f);
    }
}

static void products_are_sums_of_products(void **state)
{
    (void)state;
    const enum quant *type;
    for (int t = 0; (type = kernels_format(t)) != NULL; t++) {
        struct fixture f;
        float out[N_ROWS * PANEL];
        fixture_init(&f, *type);
        kernels_ref.matmul(out, PANEL, &f.w, &f.a, N_ROWS, 0, 1);
        for (int i = 0; i < N_ROWS * PANEL; i++) {
            const uint8_t *row = f.bytes + (size_t)(i % PANEL) * f.row_bytes;
            double sum = 0, size = 0;
            for (int k = 0; k < N_IN && i % PANEL < PANEL - 2; k++) {
                int at = i / PANEL * N_IN + k;
                double x = quant_is_float(*type) ? (double)f.x[at]
                                                 : (double)f.blocks[at / 32].s * f.blocks[at / 32].q[at % 32];
                double w = hard_value(*type, row, k);
                sum += w * x;
                size += fabs(w * x);
            }
            near(out[i], sum, size * 2e-6, "output", i);
            if (i % PANEL >= PANEL - 2) assert_true(out[i] == 0 && !signbit(out[i]));
        }
        fixture_free(&f);
    }
}

static void quants_are_the_nearest(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, QUANT_Q8_0);
    for (int b = 0; b < N_ROWS * N_IN / 32; b++) {
        const struct act *a = &f.blocks[b];
        const float *x = f.x + 32 * b;
        float max = 0;
        int sum[2] = {0, 0}, pair[4] = {0};
        for (int i = 0; i < 32; i++) {
            if (fabsf(x[i]) > max) max = fabsf(x[i]);
            near(a->q[i] * (double)a->s, x[i], max < 0x1p-100f ? max : a->s * 0.500001, "quant", i);
            sum[i / 16] += a->q[i];
            pair[i / 16 * 2 + i % 4 / 2] += a->q[i];
        }
        assert_true(a->s == (max < 0x1p-100f ? 0.0f : max / 127.0f));
        assert_true(a->u == a->s * (float)(sum[0] + sum[1]));
        for (int i = 0; i < 2; i++) assert_int_equal(a->sum[i], sum[i]);
        for (int i = 0; i < 4; i++) assert_int_equal(a->pair[i], pair[i]);
    }
    fixture_free(&f);
}

static void rows_of_floats_follow_their_formulas(void **state)
{
    (void)state;
    enum { N = 101 };
    struct hard h = {3};
    float x[N], y[N], w[N], out[N];
    double squares = 0;
    hard_floats(&h, x, N);
    hard_floats(&h, y, N);
    hard_floats(&h, w, N);
    for (int i = 0; i < N; i++) squares += (double)x[i] * x[i];
    kernels_ref.norm(out, x, w, N, 1e-5f);
    for (int i = 0; i < N; i++) {
        double want = x[i] / sqrt(squares / N + 1e-5) * w[i];
        near(out[i], want, fabs(want) * 1e-6, "norm", i);
    }
    kernels_ref.silu_mul(out, x, y, N);
    for (int i = 0; i < N; i++) {
        double want = x[i] / (1 + exp(-(double)x[i])) * y[i];
        near(out[i], want, fabs(want) * 1e-6, "silu", i);
    }
    kernels_ref.gelu_mul(out, x, y, N);
    for (int i = 0; i < N; i++) { /* 1606.08415, section 2 */
        double g = x[i], half = g / (1 + exp(-2 * sqrt(2 / acos(-1)) * (g + 0.044715 * g * g * g)));
        near(out[i], half * y[i], fabs(half * y[i]) * 1e-5 + 1e-30, "gelu", i);
    }
    memcpy(out, x, sizeof out);
    kernels_ref.add_step(out, y, 0.25f, N);
    for (int i = 0; i < N; i++) assert_true(out[i] == x[i] + 0.25f * y[i]);
    kernels_ref.add(out, y, N);
    for (int i = 0; i < N; i++) assert_true(out[i] == (x[i] + 0.25f * y[i]) + y[i]);
}

static void rope_pairs_as_asked(void **state)
{
    (void)state;
    /* A quarter turn and none: (a, b) becomes (-b, a), (c, d) stays. */
    const float cs[] = {0, 1, 1, 0};
    float pairs[] = {1, 2, 3, 4, 5, 6, 7, 8}, halves[] = {1, 2, 3, 4, 5, 6, 7, 8};
    const float want_pairs[] = {-2, 1, 3, 4, -6, 5, 7, 8}, want_halves[] = {-3, 2, 1, 4, -7, 6, 5, 8};
    kernels_ref.rope(pairs, cs, 2, 4, false);
    kernels_ref.rope(halves, cs, 2, 4, true);
    for (int i = 0; i < 8; i++) {
        assert_true(pairs[i] == want_pairs[i]);
        assert_true(halves[i] == want_halves[i]);
    }
}

static void halves_are_the_nearest(void **state)
{
    (void)state;
    static const struct {
        float x;
        uint16_t half;
    } rows[] = {
        {0.0f, 0},
        {-0.0f, 0x8000},
        {1.0f, 0x3c00},
        {-2.5f, 0xc100},
        {65504.0f, 0x7bff},
        {65519.9f, 0x7bff},
        {65520.0f, 0x7c00},
        {-1e30f, 0xfc00},
        {0x1p-14f, 0x0400},
        {0x1p-24f, 1},
        {0x1p-25f, 0},
        {0x1.8p-24f, 2},
        {0x1.4p-24f, 1},
        {0x1.ff8p-15f, 0x3ff},
        {0x1.ffcp-15f, 0x400},
        {0x1.002p0f, 0x3c00},
        {0x1.006p0f, 0x3c02},
        {0x1.0021p0f, 0x3c01},
        {0x1.ffep0f, 0x4000},
        {0x1p-140f, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint16_t half;
        kernels_ref.to_f16(&half, &rows[i].x, 1);
        if (half != rows[i].half) fail_msg("%a: %04x", (double)rows[i].x, half);
    }
}

/* ---- attention and head ---- */

static void attention_is_a_softmax(void **state)
{
    (void)state;
    enum { N_POS = 700, D = 40 };
    struct hard h = {8};
    float x[D], q[D], out[D], scratch[ATTN_CHUNK + D + 2];
    float *keys = hard_alloc(N_POS * D * sizeof *keys), *values = hard_alloc(N_POS * D * sizeof *values);
    uint16_t *k16 = hard_alloc(N_POS * D * 2), *v16 = hard_alloc(N_POS * D * 2);
    for (int i = 0; i < N_POS * D; i++) { /* multiples of 1/64 below 16 are halves already */
        hard_floats(&h, x, 2);
        keys[i] = fmaxf(-15, fminf(15, rintf(x[0] * 64) / 64));
        values[i] = fmaxf(-15, fminf(15, rintf(x[1] * 64) / 64));
    }
    kernels_ref.to_f16(k16, keys, N_POS * D);
    kernels_ref.to_f16(v16, values, N_POS * D);
    hard_floats(&h, q, D);
    for (int n = 1; n <= N_POS; n += 233) {
        double weights[N_POS], max = -INFINITY, sum = 0;
        int first = n > 500 ? n - 400 : 0; /* the last with a window that begins inside a chunk */
        for (int p = first; p < n; p++) {
            weights[p] = 0;
            for (int i = 0; i < D; i++) weights[p] += (double)q[i] * keys[p * D + i];
            max = fmax(max, weights[p]);
        }
        for (int p = first; p < n; p++) sum += weights[p] = exp(weights[p] - max);
        struct attention_row row = {q, out, first, n};
        attention_rows(&kernels_ref, &row, 1, 1, k16, v16, D, D, scratch);
        for (int i = 0; i < D; i++) {
            double want = 0;
            for (int p = first; p < n; p++) want += weights[p] / sum * values[p * D + i];
            near(out[i], want, 1e-4, "attention", i);
        }
    }
    free(keys);
    free(values);
    free(k16);
    free(v16);
}

static void head_parts_merge_into_the_softmax(void **state)
{
    (void)state;
    enum { N = 2 * HEAD_CHUNK + 77 };
    struct hard h = {9};
    for (int best = 3; best < N; best += 1000) {
        float logits[N];
        double sum = 0;
        hard_floats(&h, logits, N);
        for (int i = 0; i < N; i++)
            if (logits[i] > 9) logits[i] = 9;
        logits[best] = logits[N - 1] = 10; /* the smaller id wins */
        for (int i = 0; i < N; i++) sum += exp(logits[i] - 10.0);
        struct head_part all = kernels_ref.head(logits, 0, HEAD_CHUNK);
        for (int from = HEAD_CHUNK; from < N; from += HEAD_CHUNK)
            all = head_merge(all, kernels_ref.head(logits + from, from, N - from < HEAD_CHUNK ? N - from : HEAD_CHUNK));
        assert_int_equal(all.id, best);
        assert_true(all.max == 10);
        near(all.sum, sum, sum * 1e-6, "sum", best);
    }
}

static void zeros_of_both_signs_tie_in_the_head(void **state)
{
    (void)state;
    const float a[] = {-1, -0.0f, 0.0f}, b[] = {0.0f};
    struct head_part part = kernels_ref.head(a, HEAD_CHUNK, 3), other = kernels_ref.head(b, 2 * HEAD_CHUNK, 1);
    assert_int_equal(part.id, HEAD_CHUNK + 1);
    assert_int_equal(head_merge(part, other).id, HEAD_CHUNK + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_the_files_weights),
        cmocka_unit_test(products_are_sums_of_products),
        cmocka_unit_test(quants_are_the_nearest),
        cmocka_unit_test(rows_of_floats_follow_their_formulas),
        cmocka_unit_test(rope_pairs_as_asked),
        cmocka_unit_test(halves_are_the_nearest),
        cmocka_unit_test(attention_is_a_softmax),
        cmocka_unit_test(head_parts_merge_into_the_softmax),
        cmocka_unit_test(zeros_of_both_signs_tie_in_the_head),
    };
    return cmocka_run_group_tests_name("kernels_ref", tests, NULL, NULL);
}
