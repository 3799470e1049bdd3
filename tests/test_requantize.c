/* Weights of 5 bits: what lies on a grid of 16 steps comes back, and nothing is further off than by the range's
 * steps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <math.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/lib/hard.h"
#include "worker/engine/requantize.h"

enum { N = 2 * BLOCK };

/* x, to 5 bits and back. */
static void there_and_back(float *out, const float *x)
{
    uint8_t row[N / BLOCK * Q4_1_BYTES];
    const void *rows[PANEL] = {row};
    requantize_q4_1(&kernels_ref, row, x, N);
    struct weights w = {QUANT_Q4_1, N, 1, kernels_ref.panel_bytes(QUANT_Q4_1, N), NULL};
    w.panels = hard_alloc(w.panel_bytes);
    kernels_ref.pack(w.panels, rows, QUANT_Q4_1, N);
    kernels_ref.row(out, &w, 0);
    free(w.panels);
}

static double squared_error(const float *x, const float *y)
{
    double sum = 0;
    for (int i = 0; i < N; i++) sum += ((double)x[i] - (double)y[i]) * ((double)x[i] - (double)y[i]);
    return sum;
}

static void sixteen_steps_come_back(void **state)
{
    (void)state;
    float x[N], y[N];
    for (int i = 0; i < N; i++) x[i] = -1.5f + 0.125f * (float)(i * 7 % 16);
    there_and_back(y, x);
    for (int i = 0; i < N; i++) assert_true(fabsf(x[i] - y[i]) < 1e-3f);
}

static void one_value_comes_back(void **state)
{
    (void)state;
    static const float values[] = {0, 1, -0.375f, 1000, -1e-3f};
    for (size_t v = 0; v < sizeof values / sizeof *values; v++) {
        float x[N], y[N];
        for (int i = 0; i < N; i++) x[i] = values[v];
        there_and_back(y, x);
        for (int i = 0; i < N; i++) assert_true(fabsf(x[i] - y[i]) <= fabsf(x[i]) * 1e-3f);
    }
}

/* Against the plain way, the range of a block in 15 steps: never much worse, and better on the whole. */
static void the_fit_beats_the_range(void **state)
{
    (void)state;
    double fitted = 0, plain = 0;
    struct hard h = {5};
    for (int round = 0; round < 200; round++) {
        float x[N], y[N], z[N];
        hard_floats(&h, x, N);
        there_and_back(y, x);
        for (int b = 0; b < N; b += BLOCK) {
            float low = INFINITY, high = -INFINITY;
            for (int i = b; i < b + BLOCK; i++) low = fminf(low, x[i]), high = fmaxf(high, x[i]);
            float d = (high - low) / 15;
            for (int i = b; i < b + BLOCK; i++) z[i] = d > 0 ? low + d * roundf((x[i] - low) / d) : low;
        }
        double scale = 0;
        for (int i = 0; i < N; i++) scale += (double)x[i] * (double)x[i];
        if (scale == 0) continue;
        fitted += squared_error(x, y) / scale;
        plain += squared_error(x, z) / scale;
    }
    print_message("relative squared error: %.4g fitted, %.4g of the range\n", fitted, plain);
    assert_true(fitted < 0.95 * plain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sixteen_steps_come_back),
        cmocka_unit_test(one_value_comes_back),
        cmocka_unit_test(the_fit_beats_the_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
