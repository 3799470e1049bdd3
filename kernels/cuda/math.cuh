/* math.cuh -- numbers one by one, expf_of among them, and sums over a warp. */
#ifndef KERNELS_CUDA_MATH_CUH
#define KERNELS_CUDA_MATH_CUH

#include "kernels/cuda/ptx.cuh"

#define MATH_OF static __device__ __forceinline__
#include "kernels/expf.h"
#include "kernels/gumbel.h"

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

#endif
