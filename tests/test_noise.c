/* The noise of sampling: known answers of its generator, and the distribution it must have. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "kernels/gumbel.h"
#include "kernels/noise.h"

/* From the generator's authors (Random123, kat_vectors). */
static void philox_gives_its_known_answers(void **state)
{
    (void)state;
    static const struct {
        uint32_t counter[4], key[2], want[4];
    } rows[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint32_t out[4];
        noise_philox(out, rows[i].counter, rows[i].key);
        assert_memory_equal(out, rows[i].want, sizeof out);
    }
}

/* Bits of some values: they are part of the contract, as other machines compute them. */
static void noise_is_a_function_of_where_it_falls(void **state)
{
    (void)state;
    assert_true(noise_gumbel(1, 2, 3, 4) == noise_gumbel(1, 2, 3, 4));
    float base = noise_gumbel(1, 2, 3, 4);
    assert_true(base != noise_gumbel(2, 2, 3, 4) && base != noise_gumbel(1, 3, 3, 4));
    assert_true(base != noise_gumbel(1, 2, 4, 4) && base != noise_gumbel(1, 2, 3, 5));
    uint32_t r[4];
    noise_philox(r, (const uint32_t[4]){3, 4, 0, 0}, (const uint32_t[2]){1, 2});
    double u = (r[0] + 0.5) * 0x1p-32;
    assert_true(fabs((double)base - -log(-log1p(-u))) < 1e-6);
}

/* Kolmogorov-Smirnov against exp(-exp(-x)): 1.63 / sqrt(n) is its one-percent point. */
static void noise_is_gumbel(void **state)
{
    (void)state;
    enum { N = 40000, BINS = 400 };
    static int bins[BINS];
    memset(bins, 0, sizeof bins);
    for (uint32_t i = 0; i < N; i++) {
        float g = noise_gumbel(7, 0, i / 200, i % 200);
        assert_true(g < NOISE_MOST && g > -NOISE_MOST / 6);
        bins[(int)(exp(-exp(-(double)g)) * BINS)]++; /* uniform, if g is Gumbel */
    }
    int sum = 0;
    for (int i = 0; i < BINS; i++) {
        sum += bins[i];
        assert_true(fabs(sum / (double)N - (i + 1.0) / BINS) < 1.63 / sqrt(N));
    }
}

/* Draws at the ends of each power of two, and others. */
static void bounds_without_logarithms_hold(void **state)
{
    (void)state;
    double widest = 0;
    for (uint32_t i = 0; i < 40000; i++) {
        uint32_t power = 1u << i % 32, draw = i < 32 ? power : i < 64 ? power - 1 : i < 96 ? ~power : i * 107374u;
        float g = gumbel_of(draw), least = gumbel_least(draw), most = gumbel_most(draw);
        if (!(least <= g && g <= most && most < NOISE_MOST)) fail_msg("%#x: %g, %g, %g", draw, least, g, most);
        if (draw < 1u << 31) widest = fmax(widest, (double)(most - least));
    }
    assert_true(widest < 1.03);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(philox_gives_its_known_answers),
        cmocka_unit_test(noise_is_a_function_of_where_it_falls),
        cmocka_unit_test(noise_is_gumbel),
        cmocka_unit_test(bounds_without_logarithms_hold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
