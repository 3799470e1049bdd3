/* ptx.cuh -- all that is written otherwise for a card and for the emulated device (tests/emulated/cuda): PTX, launches,
 * dynamic shared memory. Every other file of this folder is the same for both. */
#ifndef KERNELS_CUDA_PTX_CUH
#define KERNELS_CUDA_PTX_CUH

#include <cuda_fp16.h>
#include <cuda_runtime.h>
#include <stdint.h>

#ifdef __CUDACC__

/* 0, or a cudaError_t. `kernel` is a name without commas: a template goes through a variable. */
#define PF_LAUNCH(kernel, grid, block, n_shared, stream, ...)                                                          \
    (kernel<<<grid, block, n_shared, stream>>>(__VA_ARGS__), cudaGetLastError())
#define PF_DYNAMIC_SHARED(T, name)                                                                                     \
    extern __shared__ __align__(16) unsigned char pf_dynamic[];                                                        \
    T *name = reinterpret_cast<T *>(pf_dynamic)

/* d += a . b of one step: a [16 rows, 16 k], b [16 k, 8 columns], fragments as PTX's mma.m16n8k16 has them. */
static __device__ __forceinline__ void mma_f16(float d[4], const uint32_t a[4], const uint32_t b[2])
{
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

static __device__ __forceinline__ void mma_bf16(float d[4], const uint32_t a[4], const uint32_t b[2])
{
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

/* 16 bytes that are read once: they leave L1 alone. */
static __device__ __forceinline__ uint4 load_once(const uint4 *at)
{
    uint4 v;
    asm("ld.global.nc.L1::no_allocate.v4.u32 {%0,%1,%2,%3}, [%4];"
        : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
        : "l"(at));
    return v;
}

#else

#include "mma.h"

#define PF_LAUNCH(kernel, grid, block, n_shared, stream, ...)                                                          \
    emulated_launch(#kernel, kernel, grid, block, n_shared, stream, __VA_ARGS__)
#define PF_DYNAMIC_SHARED(T, name) T *name = static_cast<T *>(emulated_here.shared)

static inline void mma_f16(float d[4], const uint32_t a[4], const uint32_t b[2])
{
    emulated_warp_mma(d, a, b, d, false);
}

static inline void mma_bf16(float d[4], const uint32_t a[4], const uint32_t b[2])
{
    emulated_warp_mma(d, a, b, d, true);
}

static inline uint4 load_once(const uint4 *at)
{
    return *at;
}

#endif

#endif
