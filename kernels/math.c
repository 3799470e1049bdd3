#include "kernels/math.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "kernels/expf.h"

#define LOG2E 0x1.71547652b82fep+0
#define LN2_HI 0x1.62e42fefa4p-1 /* 40 bits: n * LN2_HI is exact for every exponent n */
#define LN2_LO -0x1.8432a1b0e2634p-43
#define TWO_OVER_PI 0x1.45f306dc9c883p-1
#define HALF_PI_HI 0x1.921fb54442d18p+0
#define HALF_PI_LO 0x1.1a62633145c07p-54

static double double_of(uint64_t bits)
{
    double d;
    memcpy(&d, &bits, sizeof d);
    return d;
}

static uint64_t dbits_of(double d)
{
    uint64_t bits;
    memcpy(&bits, &d, sizeof bits);
    return bits;
}

float math_expf(float x)
{
    return expf_of(x);
}

double math_exp(double x)
{
    /* 1/k!, k = 13 .. 2: the Taylor series of e^r leaves 4e-18 at |r| = ln 2 / 2. */
    static const double c[] = {1.0 / 6227020800, 1.0 / 479001600, 1.0 / 39916800, 1.0 / 3628800,
                               1.0 / 362880,     1.0 / 40320,     1.0 / 5040,     1.0 / 720,
                               1.0 / 120,        1.0 / 24,        1.0 / 6,        0.5};
    if (x != x) return x;
    if (x < -708.0) return 0.0; /* below, results would be denormal */
    if (x > 709.7) return double_of(0x7ff0000000000000u);
    double n = rint(x * LOG2E);
    double r = fma(-n, LN2_HI, x);
    r = fma(-n, LN2_LO, r);
    double p = c[0];
    for (int i = 1; i < 12; i++) p = fma(p, r, c[i]);
    p = fma(p, r, 1.0);
    p = fma(p, r, 1.0);
    return double_of(dbits_of(p) + ((uint64_t)(int64_t)n << 52));
}

double math_ln(double x)
{
    int64_t n = 0;
    if (x < 0x1p-1022) { /* denormal */
        x *= 0x1p54;
        n = -54;
    }
    /* x = 2^n m, m in [sqrt(1/2), sqrt(2)), found by counting from the bits of sqrt(1/2). */
    uint64_t bits = dbits_of(x) - 0x3fe6a09e667f3bcdu;
    n += (int64_t)bits >> 52;
    double m = double_of((bits & 0x000fffffffffffffu) + 0x3fe6a09e667f3bcdu);

    /* ln m = 2 atanh(s), s = (m - 1) / (m + 1) with its own rounding error kept in s_lo; m - 1 is exact. */
    double f = m - 1.0, den = 2.0 + f, den_lo = f - (den - 2.0);
    double s = f / den, s_lo = fma(-s, den_lo, fma(-s, den, f)) / den;
    double z = s * s, p = 1.0 / 23;
    for (int k = 21; k >= 3; k -= 2) p = fma(p, z, 1.0 / k);
    double rest = 2.0 * fma(s * z, p, s_lo);

    double big = (double)n * LN2_HI; /* exact; 0 or larger than 2s, so that the sum's error below is exact too */
    double sum = big + 2.0 * s;
    double sum_lo = 2.0 * s - (sum - big);
    return sum + (sum_lo + fma((double)n, LN2_LO, rest));
}

void math_sincos(double x, double *sin_out, double *cos_out)
{
    double n = rint(x * TWO_OVER_PI);
    double r = fma(-n, HALF_PI_HI, x);
    r = fma(-n, HALF_PI_LO, r);

    /* Taylor series around 0, |r| <= pi / 4: what is left out is under 1e-16. */
    double z = r * r;
    double s = -1.0 / 1307674368000;
    s = fma(s, z, 1.0 / 6227020800);
    s = fma(s, z, -1.0 / 39916800);
    s = fma(s, z, 1.0 / 362880);
    s = fma(s, z, -1.0 / 5040);
    s = fma(s, z, 1.0 / 120);
    s = fma(s, z, -1.0 / 6);
    s = fma(s * z, r, r);
    double c = 1.0 / 20922789888000;
    c = fma(c, z, -1.0 / 87178291200);
    c = fma(c, z, 1.0 / 479001600);
    c = fma(c, z, -1.0 / 3628800);
    c = fma(c, z, 1.0 / 40320);
    c = fma(c, z, -1.0 / 720);
    c = fma(c, z, 1.0 / 24);
    c = fma(c, z, -0.5);
    c = fma(c, z, 1.0);

    switch ((int64_t)n & 3) {
    case 0: *sin_out = s, *cos_out = c; break;
    case 1: *sin_out = c, *cos_out = -s; break;
    case 2: *sin_out = -s, *cos_out = -c; break;
    default: *sin_out = -c, *cos_out = s; break;
    }
}
