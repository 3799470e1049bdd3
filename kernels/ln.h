/* ln.h -- ln of a double: math_ln on the CPU, and the same text on a device, as expf.h has it. */
#ifndef KERNELS_LN_H
#define KERNELS_LN_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#define LN2_HI 0x1.62e42fefa4p-1 /* 40 bits: n * LN2_HI is exact for every exponent n */
#define LN2_LO -0x1.8432a1b0e2634p-43

#ifndef MATH_OF
#define MATH_OF static inline
#endif

MATH_OF double double_of(uint64_t bits)
{
    double d;
    memcpy(&d, &bits, sizeof d);
    return d;
}

MATH_OF uint64_t dbits_of(double d)
{
    uint64_t bits;
    memcpy(&bits, &d, sizeof bits);
    return bits;
}

MATH_OF double ln_of(double x)
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

#endif
