/* cuda_fp16.h -- half precision for the emulated device (cuda_runtime.h): one rounding an operation, ties to even,
 * denormals kept. */
#ifndef TESTS_EMULATED_CUDA_FP16_H
#define TESTS_EMULATED_CUDA_FP16_H

#include "cuda_runtime.h"

struct __half {
    uint16_t bits;
};

struct alignas(4) __half2 {
    __half x, y;
};

inline float emulated_f32_of_f16(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = h >> 10 & 31, fraction = h & 1023;
    if (exponent == 0) return h & 0x8000 ? -(float)fraction * 0x1p-24f : (float)fraction * 0x1p-24f;
    return __uint_as_float(sign | (exponent == 31 ? 255 : exponent + 112) << 23 | fraction << 13);
}

/* Rounds a double once: ties to even. */
inline uint16_t emulated_f16_of(double d)
{
    uint16_t sign = signbit(d) ? 0x8000 : 0;
    double size = fabs(d);
    if (d != d) return 0x7fff; /* the card's NaN */
    if (size >= 65520.0) return sign | 0x7c00;
    if (size < 0x1p-14) return sign | (uint16_t)rint(size * 0x1p24); /* 1024 is the least normal number */
    int exponent;
    double fraction = frexp(size, &exponent); /* [1/2, 1) */
    return sign | (uint16_t)((uint32_t)(exponent + 13) * 1024 + (uint32_t)rint(fraction * 2048));
}

inline __half __float2half_rn(float f)
{
    return {emulated_f16_of(f)};
}

inline float __half2float(__half h)
{
    return emulated_f32_of_f16(h.bits);
}

inline uint16_t __half_as_ushort(__half h)
{
    return h.bits;
}

inline __half __ushort_as_half(uint16_t bits)
{
    return {bits};
}

/* a b + c rounded once: the product is exact in a double; the sum is rounded to odd, which no second rounding to 11
 * bits can tell from the exact one. */
inline uint16_t emulated_hfma(uint16_t a, uint16_t b, uint16_t c)
{
    double p = (double)emulated_f32_of_f16(a) * emulated_f32_of_f16(b), m = emulated_f32_of_f16(c), sum = p + m;
    double of_m = sum - p, lost = (p - (sum - of_m)) + (m - of_m);
    uint64_t bits;
    memcpy(&bits, &sum, sizeof bits);
    if (lost != 0 && !(bits & 1)) {
        bits += (lost > 0) == (sum > 0) ? 1 : (uint64_t)-1;
        memcpy(&sum, &bits, sizeof bits);
    }
    return emulated_f16_of(sum);
}

inline __half2 __low2half2(__half2 a)
{
    return {a.x, a.x};
}

inline __half2 __high2half2(__half2 a)
{
    return {a.y, a.y};
}

inline __half2 __hfma2(__half2 a, __half2 b, __half2 c)
{
    return {{emulated_hfma(a.x.bits, b.x.bits, c.x.bits)}, {emulated_hfma(a.y.bits, b.y.bits, c.y.bits)}};
}

inline __half2 __hsub2(__half2 a, __half2 b)
{
    return {{emulated_f16_of(__half2float(a.x) - __half2float(b.x))},
            {emulated_f16_of(__half2float(a.y) - __half2float(b.y))}};
}

#endif
