#include "kernels/math.h"

#include <math.h>
#include <stdint.h>

#include "kernels/expf.h"
#include "kernels/ln.h"

#define LOG2E 0x1.71547652b82fep+0
#define TWO_OVER_PI 0x1.45f306dc9c883p-1
#define HALF_PI_HI 0x1.921fb54442d18p+0
#define HALF_PI_LO 0x1.1a62633145c07p-54

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
    return ln_of(x);
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
