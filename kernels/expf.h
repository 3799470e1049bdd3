/* expf.h -- expf of one number, by the operations that math_tables.h lists: math_expf on the CPU, and the same text on
 * a device. MATH_OF, if it is set, says what kind of function it is there. The vector paths repeat it lane by lane. */
#ifndef KERNELS_EXPF_H
#define KERNELS_EXPF_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "kernels/math_tables.h"

#ifndef MATH_OF
#define MATH_OF static inline
#endif

MATH_OF float expf_of(float x)
{
    if (x != x) return x;
    if (x < EXPF_MIN) return 0.0f;
    if (x > EXPF_MAX) return INFINITY;
    float n = rintf(x * EXPF_LOG2E);
    float r = fmaf(-n, EXPF_LN2_HI, x);
    r = fmaf(-n, EXPF_LN2_LO, r);
    float p = fmaf(EXPF_C6, r, EXPF_C5);
    p = fmaf(p, r, EXPF_C4);
    p = fmaf(p, r, EXPF_C3);
    p = fmaf(p, r, EXPF_C2);
    p = fmaf(p, r, 1.0f);
    p = fmaf(p, r, 1.0f);
    uint32_t bits;
    memcpy(&bits, &p, sizeof bits);
    bits += (uint32_t)(int32_t)n << 23;
    memcpy(&p, &bits, sizeof p);
    return p;
}

#endif
