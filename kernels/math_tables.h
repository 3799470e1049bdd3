/* math_tables.h -- the constants of math_expf and of GELU, shared by those that repeat them lane by lane.
 *
 * expf(x) = 2^n (1 + r + r^2 P(r)), n = rint(x log2 e), r = x - n ln 2, |r| <= ln 2 / 2. P is a fit of the relative
 * error (3.1e-9) with every coefficient rounded to fp32 before the next was fitted. All of it is Horner by fmaf:
 *
 *   n = rint(x * EXPF_LOG2E);  r = fmaf(-n, EXPF_LN2_HI, x);  r = fmaf(-n, EXPF_LN2_LO, r)
 *   p = fmaf(EXPF_C6, r, EXPF_C5);  p = fmaf(p, r, EXPF_C4);  .. EXPF_C2;  p = fmaf(p, r, 1);  p = fmaf(p, r, 1)
 *   bits(expf) = bits(p) + (n << 23)
 *
 * x < EXPF_MIN gives 0, x > EXPF_MAX inf, a NaN itself: inside these bounds every result is a normal number, so that
 * adding to the exponent needs no care.
 */
#ifndef KERNELS_MATH_TABLES_H
#define KERNELS_MATH_TABLES_H

#define EXPF_MIN -87.3f
#define EXPF_MAX 88.7f
#define EXPF_LOG2E 0x1.715476p+0f
#define EXPF_LN2_HI 0x1.62e43p-1f
#define EXPF_LN2_LO -0x1.05c61p-29f
#define EXPF_C2 0x1.fffffcp-2f
#define EXPF_C3 0x1.555492p-3f
#define EXPF_C4 0x1.5558acp-5f
#define EXPF_C5 0x1.123974p-7f
#define EXPF_C6 0x1.6a507cp-10f

#define GELU_C1 0x1.988454p+0f /* 2 sqrt(2 / pi) */
#define GELU_C3 0x1.2444f2p-4f /* 0.044715 times that */

#endif
