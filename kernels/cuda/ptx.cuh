/* ptx.cuh -- all that is written otherwise for a card and for the emulated device (tests/emulated/cuda): PTX, launches,
 * dynamic shared memory. Every other file of this folder is the same for both.
 *
 * A kernel may be launched beside the one before it in its stream (programmatic dependent launch): its blocks begin
 * where that one leaves room, once all of that one's blocks have called let_next_begin. So every kernel of a pass
 * begins with let_next_begin; before wait_for_inputs it touches nothing but weights, and all of its threads come there.
 */
#ifndef KERNELS_CUDA_PTX_CUH
#define KERNELS_CUDA_PTX_CUH

#include <cuda_fp16.h>
#include <cuda_runtime.h>
#include <stdint.h>

#define PF_BOTH __host__ __device__

struct launch_on {
    cudaStream_t stream;
    bool beside = false; /* the work before it in the stream is a kernel, which calls let_next_begin */
};

#ifdef __CUDACC__

template <class... P, class... A>
static int pf_launch(void (*kernel)(P...), dim3 grid, dim3 block, size_t n_shared, launch_on on, const A &...args)
{
    cudaLaunchAttribute beside = {};
    beside.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    beside.val.programmaticStreamSerializationAllowed = 1;
    cudaLaunchConfig_t c = {};
    c.gridDim = grid;
    c.blockDim = block;
    c.dynamicSmemBytes = n_shared;
    c.stream = on.stream;
    c.attrs = &beside;
    c.numAttrs = on.beside;
    return cudaLaunchKernelEx(&c, kernel, static_cast<P>(args)...);
}

/* 0, or a cudaError_t. `kernel` is a name without commas: a template goes through a variable. */
#define PF_LAUNCH(kernel, grid, block, n_shared, on, ...) pf_launch(kernel, grid, block, n_shared, on, __VA_ARGS__)
#define PF_DYNAMIC_SHARED(T, name)                                                                                     \
    extern __shared__ __align__(16) unsigned char pf_dynamic[];                                                        \
    T *name = reinterpret_cast<T *>(pf_dynamic)

static __device__ __forceinline__ void let_next_begin()
{
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;");
#endif
}

static __device__ __forceinline__ void wait_for_inputs()
{
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

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

static __device__ __forceinline__ constexpr bool has_bulk_copies()
{
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
    return true;
#else
    return false;
#endif
}

static __device__ __forceinline__ uint32_t shared_address(const void *p)
{
    return (uint32_t)__cvta_generic_to_shared(p);
}

/* A barrier for one bulk copy after another. */
static __device__ __forceinline__ void barrier_open(uint64_t *at)
{
    asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" ::"r"(shared_address(at)) : "memory");
}

/* The copy engine sees those that this thread has opened. */
static __device__ __forceinline__ void barriers_are_open()
{
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
#endif
}

/* Of bytes that are read once. The barrier's phase ends when they are there. */
static __device__ __forceinline__ void bulk_copy(void *to, const void *from, int n, uint64_t *at)
{
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
    uint64_t once;
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(at)), "r"(n) : "memory");
    asm("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(once));
    asm volatile(
        "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint [%0], [%1], %2, [%3], "
        "%4;" ::"r"(shared_address(to)),
        "l"(from), "r"(n), "r"(shared_address(at)), "l"(once)
        : "memory");
#endif
}

/* Until the phase of this parity has ended. */
static __device__ __forceinline__ void barrier_wait(uint64_t *at, int parity)
{
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
    uint32_t done = 0;
    while (!done)
        asm volatile("{ .reg .pred p; mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2; selp.u32 %0, 1, 0, p; }"
                     : "=r"(done)
                     : "r"(shared_address(at)), "r"(parity)
                     : "memory");
#endif
}

/* 16 bytes by this thread; its copies since the last group are a group; until all but the newest N groups are there. */
static __device__ __forceinline__ void copy_16(void *to, const void *from)
{
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(shared_address(to)), "l"(from) : "memory");
}

static __device__ __forceinline__ void copies_close_group()
{
    asm volatile("cp.async.commit_group;" ::: "memory");
}

template <int N> static __device__ __forceinline__ void copies_wait()
{
    asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
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

template <class... P, class... A>
static int pf_launch(const char *name, void (*kernel)(P...), dim3 grid, dim3 block, size_t n_shared, launch_on on,
                     const A &...args)
{
    return emulated_launch(name, kernel, grid, block, n_shared, on.stream, on.beside, args...);
}

#define PF_LAUNCH(kernel, grid, block, n_shared, on, ...)                                                              \
    pf_launch(#kernel, kernel, grid, block, n_shared, on, __VA_ARGS__)
#define PF_DYNAMIC_SHARED(T, name) T *name = static_cast<T *>(emulated_here.shared)

static inline uint4 load_once(const uint4 *at)
{
    return *at;
}

static inline void let_next_begin() {}

static inline void wait_for_inputs()
{
    emulated_wait_for_inputs();
}

static inline void mma_f16(float d[4], const uint32_t a[4], const uint32_t b[2])
{
    emulated_warp_mma(d, a, b, d, false);
}

static inline void mma_bf16(float d[4], const uint32_t a[4], const uint32_t b[2])
{
    emulated_warp_mma(d, a, b, d, true);
}

static inline bool has_bulk_copies()
{
    return emulated_generation() >= 9;
}

static inline void barrier_open(uint64_t *at)
{
    emulated_barrier_open(at, 1);
}

static inline void barriers_are_open() {}

static inline void bulk_copy(void *to, const void *from, int n, uint64_t *at)
{
    emulated_barrier_expect(at, (unsigned)n);
    emulated_bulk_copy(to, from, (unsigned)n, at);
}

static inline void barrier_wait(uint64_t *at, int parity)
{
    emulated_barrier_wait(at, parity);
}

static inline void copy_16(void *to, const void *from)
{
    emulated_copy(to, from, 16);
}

static inline void copies_close_group()
{
    emulated_copies_close_group();
}

template <int N> static inline void copies_wait()
{
    emulated_copies_wait(N);
}

#endif

#endif
