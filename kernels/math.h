/* math.h -- our own exp, ln, sin, cos: made of + - * / rint and fma only, so that every machine gives the same bits.
 *
 * glibc's doubles differ between machines with and without FMA. So kernels/, worker/ and proto/rule may use no libm
 * function but fma, fmaf, sqrt, sqrtf, rint, rintf (a test reads the objects' symbols). The accuracy is stated and
 * tested, but the bits are what matters.
 */
#ifndef KERNELS_MATH_H
#define KERNELS_MATH_H

/* exp(x), fp32, under 2 ulp; 0 below -87.3, inf above 88.7. The vector paths repeat its operations lane by lane. */
float math_expf(float x);

/* exp, ln (x > 0, finite), doubles, under 2 ulp. */
double math_exp(double x);
double math_ln(double x);

/* sin and cos of x, |x| < 2^30, error under 1e-12: angles of rotary positions. */
void math_sincos(double x, double *sin_out, double *cos_out);

#endif
