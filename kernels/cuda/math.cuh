/* math.cuh -- kernels/math.c's expf on the device: its operations, one by one. */
#ifndef KERNELS_CUDA_MATH_CUH
#define KERNELS_CUDA_MATH_CUH

#include "kernels/cuda/ptx.cuh"
#include "kernels/math_tables.h"

static __device__ __forceinline__ float device_expf(float x)
{
    if (x != x) return x;
    if (x < EXPF_MIN) return 0.0f;
    if (x > EXPF_MAX) return __uint_as_float(0x7f800000u);
    float n = rintf(x * EXPF_LOG2E);
    float r = fmaf(-n, EXPF_LN2_HI, x);
    r = fmaf(-n, EXPF_LN2_LO, r);
    float p = fmaf(EXPF_C6, r, EXPF_C5);
    p = fmaf(p, r, EXPF_C4);
    p = fmaf(p, r, EXPF_C3);
    p = fmaf(p, r, EXPF_C2);
    p = fmaf(p, r, 1.0f);
    p = fmaf(p, r, 1.0f);
    return __uint_as_float(__float_as_uint(p) + ((uint32_t)(int32_t)n << 23));
}

/* 2^n, a normal number. */
static __device__ __forceinline__ float power_of_two(int n)
{
    return __uint_as_float((uint32_t)(n + 127) << 23);
}

static __device__ __forceinline__ uint16_t f16_bits(float f)
{
    return __half_as_ushort(__float2half_rn(f));
}

static __device__ __forceinline__ float f16_value(uint16_t bits)
{
    return __half2float(__ushort_as_half(bits));
}

/* Ties to even; of a finite number. */
static __device__ __forceinline__ uint16_t bf16_bits(float f)
{
    uint32_t bits = __float_as_uint(f);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/* Of a warp, in every lane: halves, i with i + 16, 8, 4, 2, 1. Both lanes of a pair add the same two numbers. */
static __device__ __forceinline__ float warp_sum(float x)
{
    for (int by = WARP / 2; by >= 1; by /= 2) x += __shfl_xor_sync(0xffffffffu, x, by);
    return x;
}

static __device__ __forceinline__ float warp_max(float x)
{
    for (int by = WARP / 2; by >= 1; by /= 2) x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, by));
    return x;
}

#endif
