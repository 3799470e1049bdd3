/* Our exp, ln, sin, cos against long double. The bits are what counts; that they are also right is shown here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "kernels/math.h"

/* Distance of got from want, in units of the last place of want as a number of `bits` bits. */
static long double ulps(long double got, long double want, int bits)
{
    int exponent;
    frexpl(want, &exponent);
    return fabsl(got - want) / ldexpl(1, exponent - bits);
}

static void expf_is_within_one_ulp(void **state)
{
    (void)state;
    for (int i = -87300; i < 88700; i++) {
        float x = (float)i * 1e-3f;
        if (ulps(math_expf(x), expl(x), 24) > 1) fail_msg("exp(%a) = %a", (double)x, (double)math_expf(x));
    }
    for (uint32_t bits = 0; bits <= 0x42ae9999; bits += 0x1357) {
        float x;
        memcpy(&x, &bits, sizeof x);
        if (ulps(math_expf(-x), expl(-x), 24) > 1) fail_msg("exp(%a) = %a", (double)-x, (double)math_expf(-x));
    }
}

static void expf_has_clean_ends(void **state)
{
    (void)state;
    static const struct {
        float x, want;
    } rows[] = {{0.0f, 1.0f},   {-0.0f, 1.0f},     {0x1p-140f, 1.0f},  {-87.31f, 0.0f},
                {-1e30f, 0.0f}, {-INFINITY, 0.0f}, {88.71f, INFINITY}, {INFINITY, INFINITY}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) assert_true(math_expf(rows[i].x) == rows[i].want);
    assert_true(isnan(math_expf(NAN)));
    assert_true(math_expf(-87.3f) > 0 && math_expf(88.7f) < INFINITY);
}

static void exp_and_ln_are_within_two_ulps(void **state)
{
    (void)state;
    for (int i = 0; i < 200000; i++) {
        double x = -708 + i * 0.00708;
        if (ulps(math_exp(x), expl(x), 53) > 2) fail_msg("exp(%a) = %a", x, math_exp(x));
    }
    for (int i = 0; i < 200000; i++) {
        double near = 1 + (i - 100000.5) * 3e-6, wide = ldexp(1 + i * 0x1p-18, i % 2090 - 1070);
        if (ulps(math_ln(near), logl(near), 53) > 2) fail_msg("ln(%a) = %a", near, math_ln(near));
        if (ulps(math_ln(wide), logl(wide), 53) > 2) fail_msg("ln(%a) = %a", wide, math_ln(wide));
    }
    assert_true(math_ln(1.0) == 0.0);
    assert_true(math_exp(0.0) == 1.0);
    assert_true(math_exp(-1000) == 0.0);
    assert_true(math_exp(1000) == INFINITY);
    assert_true(isnan(math_exp(NAN)));
}

static void sincos_is_right_to_the_largest_angle(void **state)
{
    (void)state;
    for (int i = 0; i < 300000; i++) {
        static const double steps[] = {1e-5, 1.0, 3579.1};
        double x = (i % 2 ? -1 : 1) * i * steps[i % 3], s, c;
        if (fabs(x) >= 0x1p30) continue;
        math_sincos(x, &s, &c);
        if (fabsl(s - sinl(x)) > 1e-12L || fabsl(c - cosl(x)) > 1e-12L) fail_msg("at %a: %a, %a", x, s, c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(expf_is_within_one_ulp),
        cmocka_unit_test(expf_has_clean_ends),
        cmocka_unit_test(exp_and_ln_are_within_two_ulps),
        cmocka_unit_test(sincos_is_right_to_the_largest_angle),
    };
    return cmocka_run_group_tests_name("math", tests, NULL, NULL);
}
