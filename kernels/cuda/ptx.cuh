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
    bool beside = false;  /* the work before it in the stream is a kernel, which calls let_next_begin */
    unsigned cluster = 1; /* blocks beside each other that run together */
};

#ifdef __CUDACC__

template <class... P, class... A>
static int pf_launch(void (*kernel)(P...), dim3 grid, dim3 block, size_t n_shared, launch_on on, const A &...args)
{
    cudaLaunchAttribute attributes[2] = {};
    cudaLaunchConfig_t c = {};
    c.gridDim = grid;
    c.blockDim = block;
    c.dynamicSmemBytes = n_shared;
    c.stream = on.stream;
    c.attrs = attributes;
    if (on.cluster > 1) {
        attributes[c.numAttrs].id = cudaLaunchAttributeClusterDimension;
        attributes[c.numAttrs++].val.clusterDim = {on.cluster, 1, 1};
    }
    if (on.beside) {
        attributes[c.numAttrs].id = cudaLaunchAttributeProgrammaticStreamSerialization;
        attributes[c.numAttrs++].val.programmaticStreamSerializationAllowed = 1;
    }
    return cudaLaunchKernelEx(&c, kernel, static_cast<P>(args)...);
}

/* Clusters that the card has room for at once; 0 also where it has none of this size. */
template <class... P> static int pf_clusters(void (*kernel)(P...), unsigned cluster, unsigned block, size_t n_shared)
{
    cudaLaunchAttribute size = {};
    size.id = cudaLaunchAttributeClusterDimension;
    size.val.clusterDim = {cluster, 1, 1};
    cudaLaunchConfig_t c = {};
    c.gridDim = cluster;
    c.blockDim = block;
    c.dynamicSmemBytes = n_shared;
    c.attrs = &size;
    c.numAttrs = 1;
    int n = 0;
    if (cudaOccupancyMaxActiveClusters(&n, kernel, &c) == cudaSuccess) return n;
    (void)cudaGetLastError();
    return 0;
}

/* 0, or a cudaError_t. `kernel` is a name without commas: a template goes through a variable. */
#define PF_LAUNCH(kernel, grid, block, n_shared, on, ...) pf_launch(kernel, grid, block, n_shared, on, __VA_ARGS__)
#define PF_DYNAMIC_SHARED(T, name)                                                                                     \
    extern __shared__ __align__(16) unsigned char pf_dynamic[];                                                        \
    T *name = reinterpret_cast<T *>(pf_dynamic)

/* Blocks that a multiprocessor is to have room for: before Hopper no kernel begins beside another. */
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 900
#define PF_BESIDE 1
#else
#define PF_BESIDE 2
#endif

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

/* A number that is the same in all lanes, for the compiler to know. */
static __device__ __forceinline__ int uniform(int n)
{
    return __shfl_sync(0xffffffffu, n, 0);
}

/* A number of this lane, kept in a register: the compiler shall not compute it again in a loop. */
static __device__ __forceinline__ int kept(int n)
{
    return __shfl_xor_sync(0xffffffffu, n, 0);
}

/* a & mask | above, one instruction. */
static __device__ __forceinline__ uint32_t and_or(uint32_t a, uint32_t mask, uint32_t above)
{
    uint32_t d;
    asm("lop3.b32 %0, %1, %2, %3, 0xea;" : "=r"(d) : "r"(a), "r"(mask), "r"(above));
    return d;
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

/* An address in shared memory, which the compiler takes as it is: of the warp. */
typedef uint32_t shared_at;

static __device__ __forceinline__ shared_at shared_at_of(const void *p)
{
    return (shared_at)uniform((int)shared_address(p));
}

static __device__ __forceinline__ uint32_t load_1(shared_at at)
{
    uint32_t v;
    asm volatile("ld.shared.u32 %0, [%1];" : "=r"(v) : "r"(at));
    return v;
}

static __device__ __forceinline__ uint2 load_2(shared_at at)
{
    uint2 v;
    asm volatile("ld.shared.v2.u32 {%0,%1}, [%2];" : "=r"(v.x), "=r"(v.y) : "r"(at));
    return v;
}

static __device__ __forceinline__ uint4 load_4(shared_at at)
{
    uint4 v;
    asm volatile("ld.shared.v4.u32 {%0,%1,%2,%3}, [%4];" : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "r"(at));
    return v;
}

/* A barrier for n bulk copies after others. */
static __device__ __forceinline__ void barrier_open(shared_at at, int n)
{
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(at), "r"(n) : "memory");
}

/* The copy engine sees those that this thread has opened. */
static __device__ __forceinline__ void barriers_are_open()
{
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
#endif
}

/* Of bytes that are read once, by one lane of the warp. The barrier's phase ends when they are there. kept_n: n. */
static __device__ __forceinline__ void bulk_copy(shared_at to, const void *from, int n, int kept_n, shared_at barrier,
                                                 int lane)
{
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
    uint64_t once;
    (void)lane;
    asm("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(once));
    asm volatile(
        "{ .reg .pred one; elect.sync _|one, 0xffffffff; @one mbarrier.arrive.expect_tx.shared::cta.b64 _, [%3], %5; "
        "@one cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint [%0], [%1], %2, [%3], "
        "%4; }" ::"r"(to),
        "l"(from), "r"(n), "r"(barrier), "l"(once), "r"(kept_n)
        : "memory");
#endif
}

/* Until the phase of this parity has ended. */
static __device__ __forceinline__ void barrier_wait(shared_at at, int parity)
{
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
    asm volatile("{ .reg .pred there; again: mbarrier.try_wait.parity.shared::cta.b64 there, [%0], %1;"
                 " @!there bra again; }" ::"r"(at),
                 "r"(parity)
                 : "memory");
#endif
}

/* 16 bytes by this thread; its copies since the last group are a group; until all but the newest N groups are there. */
static __device__ __forceinline__ void copy_16(shared_at to, const void *from)
{
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to), "l"(from) : "memory");
}

static __device__ __forceinline__ void copies_close_group()
{
    asm volatile("cp.async.commit_group;" ::: "memory");
}

template <int N> static __device__ __forceinline__ void copies_wait()
{
    asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}

static __device__ __forceinline__ constexpr bool has_clusters()
{
    return has_bulk_copies();
}

/* Of this block in its cluster. */
static __device__ __forceinline__ int cluster_rank()
{
    int rank = 0;
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
    asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
#endif
    return rank;
}

/* All threads of a cluster meet, in two steps; what each wrote before the first all see behind the second. */
static __device__ __forceinline__ void cluster_arrive()
{
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
    asm volatile("barrier.cluster.arrive.release;" ::: "memory");
#endif
}

static __device__ __forceinline__ void cluster_wait()
{
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
    asm volatile("barrier.cluster.wait.acquire;" ::: "memory");
#endif
}

/* What block `rank` of the cluster has where this one has *at, in dynamic shared memory. */
static __device__ __forceinline__ float load_of_rank(const float *at, int rank)
{
    float v = 0.0f;
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
    asm volatile("{ .reg .u32 there; mapa.shared::cluster.u32 there, %1, %2; ld.shared::cluster.f32 %0, [there]; }"
                 : "=f"(v)
                 : "r"(shared_address(at)), "r"(rank)
                 : "memory");
#else
    (void)at;
    (void)rank;
#endif
    return v;
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
    return emulated_launch(name, kernel, grid, block, n_shared, {on.stream, on.beside, on.cluster}, args...);
}

#define PF_LAUNCH(kernel, grid, block, n_shared, on, ...)                                                              \
    pf_launch(#kernel, kernel, grid, block, n_shared, on, __VA_ARGS__)
#define PF_DYNAMIC_SHARED(T, name) T *name = static_cast<T *>(emulated_here.shared)

template <class... P> static int pf_clusters(void (*)(P...), unsigned, unsigned, size_t)
{
    return emulated_clusters();
}

static inline bool has_clusters()
{
    return emulated_generation() >= 9;
}

static inline int cluster_rank()
{
    return emulated_cluster_rank();
}

static inline void cluster_arrive()
{
    emulated_cluster_arrive();
}

static inline void cluster_wait()
{
    emulated_cluster_wait();
}

static inline float load_of_rank(const float *at, int rank)
{
    return *static_cast<float *>(emulated_cluster_at(const_cast<float *>(at), rank));
}

static inline uint4 load_once(const uint4 *at)
{
    return *at;
}

static inline void let_next_begin() {}

static inline void wait_for_inputs()
{
    emulated_wait_for_inputs();
}

static inline int uniform(int n)
{
    return n;
}

static inline int kept(int n)
{
    return n;
}

static inline uint32_t and_or(uint32_t a, uint32_t mask, uint32_t above)
{
    return (a & mask) | above;
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

typedef uint8_t *shared_at;

static inline shared_at shared_at_of(uint8_t *p)
{
    return p;
}

static inline void barrier_open(shared_at at, int n)
{
    emulated_barrier_open(reinterpret_cast<uint64_t *>(at), (unsigned)n);
}

static inline void barriers_are_open() {}

static inline void bulk_copy(shared_at to, const void *from, int n, int kept_n, shared_at barrier, int lane)
{
    if (lane) return;
    emulated_barrier_expect(reinterpret_cast<uint64_t *>(barrier), (unsigned)kept_n);
    emulated_bulk_copy(to, from, (unsigned)n, reinterpret_cast<uint64_t *>(barrier));
}

static inline void barrier_wait(shared_at at, int parity)
{
    emulated_barrier_wait(reinterpret_cast<uint64_t *>(at), parity);
}

static inline void copy_16(shared_at to, const void *from)
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

/* Words of any memory. */
static __device__ __forceinline__ uint32_t load_1(const uint8_t *at)
{
    return *reinterpret_cast<const uint32_t *>(at);
}

static __device__ __forceinline__ uint2 load_2(const uint8_t *at)
{
    return *reinterpret_cast<const uint2 *>(at);
}

static __device__ __forceinline__ uint4 load_4(const uint8_t *at)
{
    return *reinterpret_cast<const uint4 *>(at);
}

#endif
