/* cuda_runtime.h -- CUDA on a CPU, for tests: what kernels/cuda uses of it, so that g++ and clang++ compile its sources
 * unchanged (-x c++) and find this file in place of the toolkit's. What a source uses and is not here does not compile.
 *
 *   launch ─▶ queue of the stream ─▶ (a wait, a query) ─▶ blocks one after another, in an order drawn from a seed
 *                                                           └▶ threads as fibers, each until it meets others
 *
 * Nothing runs at its launch: work of a stream runs when the host waits, one piece a query, for one host thread at a
 * time. So a host that reads too early sees what was there. Threads of a block run in a drawn order, one at a time,
 * each until a barrier or an operation of its warp: a barrier that is missing shows in the results. Blocks of a cluster
 * take turns likewise, each as far as its threads come. Of a kernel that may begin beside the one before it, some blocks
 * do so, before that one has done anything. Errors of the program end it with one line: a barrier or a warp's operation
 * that not all threads reach (also those that have ended), threads that meet at different ones, too much shared memory,
 * a launch that no card takes.
 *
 * Memory: device memory and shared memory begin as 0xff bytes, NaN as floats. Global and dynamic shared memory are of
 * exact size, so that AddressSanitizer sees what is out of bounds. Static shared arrays are for functions that are no
 * templates (gcc leaves a template's out of the section that is poisoned).
 *
 * CUDA_EMULATED_SEED: of the orders, read when a stream is made, as is CUDA_EMULATED_GENERATION. CUDA_EMULATED_BYTES:
 * memory of the device. CUDA_EMULATED_LOST=n: the device is lost at its n-th piece of work. CUDA_EMULATED_DEVICES=n: so
 * many, which differ by their place alone; CUDA_VISIBLE_DEVICES is then a list of those that are seen.
 * CUDA_EMULATED_CLUSTERS=n: clusters that it has room for at once, 2 but for that.
 * CUDA_EMULATED_COUNTS=file: gets a line when a stream ends, of graphs launched so far, kernels, and blocks that began
 * early.
 */
#ifndef TESTS_EMULATED_CUDA_RUNTIME_H
#define TESTS_EMULATED_CUDA_RUNTIME_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <functional>
#include <tuple>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __align__(n) alignas(n)
#define __shared__ static __attribute__((section("emulated_shared"), used)) /* used: a block's start writes it, too */

/* ---- inside a kernel ---- */

struct dim3 {
    unsigned x, y, z;
    dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};

struct alignas(8) uint2 {
    unsigned x, y;
};
struct alignas(16) uint4 {
    unsigned x, y, z, w;
};

struct emulated_place {
    dim3 thread, block, block_dim, grid_dim;
    void *shared; /* dynamic */
};
extern emulated_place emulated_here; /* of the thread that runs */

#define threadIdx (emulated_here.thread)
#define blockIdx (emulated_here.block)
#define blockDim (emulated_here.block_dim)
#define gridDim (emulated_here.grid_dim)

enum { EMULATED_WARP = 32, EMULATED_WORDS = 12 };

/* What a lane brings to an operation of its warp, and what it gets. */
struct emulated_lane {
    uint32_t in[EMULATED_WORDS], out[EMULATED_WORDS];
};

/* Lanes of `mask` meet at `what`; the last to come runs apply on the warp's lanes; in and out are of this lane. */
void emulated_warp(const char *what, unsigned mask, const uint32_t *in, int n_in, uint32_t *out, int n_out,
                   void (*apply)(emulated_lane *lanes, unsigned mask, int arg), int arg);
/* All threads of the block meet at this line; returns how many brought not 0. */
int emulated_barrier(const char *file, int line, int value);
int emulated_lane_index();
/* griddepcontrol.wait: a kernel that was launched beside the one before it sees what that has done. Each of its threads
 * must come here. */
void emulated_wait_for_inputs();

/* Blocks of a cluster: all their threads meet at its barrier, in two steps. emulated_cluster_at: where block `rank` has
 * what is at p in this one's dynamic shared memory. It is an error to reach there before the cluster has met (that block
 * may not have begun), and for a block to end when it has not met since others could read what it has. */
int emulated_cluster_rank();
void emulated_cluster_arrive();
void emulated_cluster_wait();
void *emulated_cluster_at(void *p, int rank);

/* Copies to shared memory, of multiples of 16 bytes: what they fill is 0xff until a wait that names them, and only then
 * is their source read. A bulk copy is counted by a barrier (mbarrier), whose phase ends once `count` threads have
 * arrived and the bytes that they expect are there; copies of a thread (cp.async) come in groups. A block that ends
 * with copies under way, and a wait that nothing can end, are errors. */
/* 9, or 8, without bulk copies, clusters and kernels beside each other, and with less shared memory. */
int emulated_generation();
void emulated_barrier_open(uint64_t *at, unsigned count);
void emulated_barrier_expect(uint64_t *at, unsigned n_bytes); /* arrives */
void emulated_barrier_wait(uint64_t *at, int parity);
void emulated_bulk_copy(void *to, const void *from, unsigned n, uint64_t *at);
void emulated_copy(void *to, const void *from, unsigned n);
void emulated_copies_close_group();
void emulated_copies_wait(int n_pending);

#define __syncthreads() ((void)emulated_barrier(__FILE__, __LINE__, 0))
#define __syncthreads_or(value) emulated_barrier(__FILE__, __LINE__, (value) != 0)
#define __syncthreads_count(value) emulated_barrier(__FILE__, __LINE__, (value) != 0)

void emulated_pick(emulated_lane *lanes, unsigned mask, int arg);
void emulated_vote(emulated_lane *lanes, unsigned mask, int arg);

template <class T> T emulated_shuffle(const char *what, unsigned mask, T value, int from)
{
    static_assert(sizeof(T) == 4, "shuffles are of words");
    uint32_t in[2], out;
    T got;
    memcpy(in, &value, sizeof value);
    in[1] = (uint32_t)from;
    emulated_warp(what, mask, in, 2, &out, 1, emulated_pick, 0);
    memcpy(&got, &out, sizeof got);
    return got;
}

template <class T> T __shfl_sync(unsigned mask, T value, int from)
{
    return emulated_shuffle("__shfl_sync", mask, value, from & 31);
}

template <class T> T __shfl_xor_sync(unsigned mask, T value, int with)
{
    return emulated_shuffle("__shfl_xor_sync", mask, value, emulated_lane_index() ^ with);
}

template <class T> T __shfl_down_sync(unsigned mask, T value, unsigned by)
{
    int from = emulated_lane_index() + (int)by;
    return emulated_shuffle("__shfl_down_sync", mask, value, from < 32 ? from : emulated_lane_index());
}

inline unsigned __ballot_sync(unsigned mask, int value)
{
    uint32_t in = value != 0, out;
    emulated_warp("__ballot_sync", mask, &in, 1, &out, 1, emulated_vote, 0);
    return out;
}

inline int __any_sync(unsigned mask, int value)
{
    return __ballot_sync(mask, value) != 0;
}

inline int __all_sync(unsigned mask, int value)
{
    return __ballot_sync(mask, value) == mask;
}

inline void __syncwarp(unsigned mask = 0xffffffffu)
{
    (void)emulated_shuffle("__syncwarp", mask, 0u, emulated_lane_index());
}

template <class T> T emulated_exchange(T *at, T value)
{
    T old = *at;
    *at = value;
    return old;
}

#define EMULATED_ATOMIC(name, T, expression)                                                                           \
    inline T name(T *at, T value)                                                                                      \
    {                                                                                                                  \
        return emulated_exchange(at, (T)(expression));                                                                 \
    }
EMULATED_ATOMIC(atomicAdd, int, *at + value)
EMULATED_ATOMIC(atomicAdd, unsigned, *at + value)
EMULATED_ATOMIC(atomicMin, int, *at < value ? *at : value)
EMULATED_ATOMIC(atomicMax, int, *at > value ? *at : value)
EMULATED_ATOMIC(atomicOr, int, *at | value)
EMULATED_ATOMIC(atomicExch, int, value)
#undef EMULATED_ATOMIC

inline int atomicCAS(int *at, int expected, int value)
{
    return emulated_exchange(at, *at == expected ? value : *at);
}

inline unsigned __float_as_uint(float f)
{
    unsigned bits;
    memcpy(&bits, &f, sizeof bits);
    return bits;
}

inline float __uint_as_float(unsigned bits)
{
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

/* Byte i is the one of the 8 bytes of a and b that the selector's digit i names. */
inline unsigned __byte_perm(unsigned a, unsigned b, unsigned selector)
{
    const uint64_t bytes = a | (uint64_t)b << 32;
    unsigned out = 0;
    for (int i = 0; i < 4; i++) out |= (unsigned)(bytes >> 8 * (selector >> 4 * i & 7) & 255) << 8 * i;
    return out;
}

/* ---- the host's side ---- */

enum cudaError_t {
    cudaSuccess = 0,
    cudaErrorInvalidValue = 1,
    cudaErrorMemoryAllocation = 2,
    cudaErrorNoDevice = 100,
    cudaErrorInvalidDevice = 101,
    cudaErrorNotReady = 600,
    cudaErrorLaunchFailure = 719
};
enum cudaMemcpyKind { cudaMemcpyHostToHost, cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost, cudaMemcpyDeviceToDevice };
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize = 8 };
enum { cudaStreamNonBlocking = 1 };

/* What a library may do that has streams but not this runtime (nccl.cc): a step in the stream's order, which is tried
 * again until it is done. at_once: another device waits for it, so it is not for the host to wait first; what is before
 * it is then done, too. */
struct emulated_stream {
    void (*add)(emulated_stream *s, std::function<bool()> step, bool at_once);
};
typedef struct emulated_stream *cudaStream_t;

cudaError_t cudaGetDeviceCount(int *n);
cudaError_t cudaSetDevice(int i);
struct cudaDeviceProp {
    char name[256];
};
cudaError_t cudaGetDeviceProperties(cudaDeviceProp *p, int i);
cudaError_t cudaDeviceGetPCIBusId(char *out, int n, int i);
enum cudaDeviceAttr {
    cudaDevAttrMultiProcessorCount = 16,
    cudaDevAttrComputeCapabilityMajor = 75,
    cudaDevAttrMaxSharedMemoryPerBlockOptin = 97
};
cudaError_t cudaDeviceGetAttribute(int *value, cudaDeviceAttr which, int i);
cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total_bytes);
cudaError_t cudaGetLastError();
const char *cudaGetErrorString(cudaError_t e);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t *s, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t s);
cudaError_t cudaStreamSynchronize(cudaStream_t s);
cudaError_t cudaStreamQuery(cudaStream_t s);
cudaError_t emulated_malloc(void **p, size_t n);
cudaError_t cudaFree(void *p);
cudaError_t emulated_malloc_host(void **p, size_t n);
cudaError_t cudaFreeHost(void *p);
/* Of pinned memory (cudaMallocHost) or the device's: when the stream comes to it; of other memory at once. */
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t n, cudaMemcpyKind kind, cudaStream_t s);
cudaError_t cudaMemcpy(void *to, const void *from, size_t n, cudaMemcpyKind kind);
cudaError_t cudaMemcpy2DAsync(void *to, size_t ld_to, const void *from, size_t ld_from, size_t n, size_t n_rows,
                              cudaMemcpyKind kind, cudaStream_t s); /* bytes */
cudaError_t cudaMemsetAsync(void *to, int value, size_t n, cudaStream_t s);
cudaError_t emulated_attribute(const void *kernel, cudaFuncAttribute which, int value);
struct emulated_how {
    cudaStream_t stream;
    bool beside; /* programmatic stream serialization */
    unsigned cluster = 1;
};
cudaError_t emulated_enqueue(const char *name, const void *kernel, dim3 grid, dim3 block, size_t n_shared,
                             const emulated_how &how, std::function<void()> body);
int emulated_clusters(); /* that the card has room for at once */

/* While a stream captures, its work goes into the graph; a launch of the graph is the same work again, later. */
enum cudaStreamCaptureMode { cudaStreamCaptureModeThreadLocal = 1 };
typedef struct emulated_graph *cudaGraph_t, *cudaGraphExec_t;
cudaError_t cudaStreamBeginCapture(cudaStream_t s, cudaStreamCaptureMode mode);
cudaError_t cudaStreamEndCapture(cudaStream_t s, cudaGraph_t *g);
cudaError_t cudaGraphInstantiate(cudaGraphExec_t *exec, cudaGraph_t g, unsigned long long flags);
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t s);
cudaError_t cudaGraphDestroy(cudaGraph_t g);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec);

template <class T> cudaError_t cudaMalloc(T **p, size_t n)
{
    return emulated_malloc((void **)p, n);
}

template <class T> cudaError_t cudaMallocHost(T **p, size_t n)
{
    return emulated_malloc_host((void **)p, n);
}

template <class K> cudaError_t cudaFuncSetAttribute(K *kernel, cudaFuncAttribute which, int value)
{
    return emulated_attribute((const void *)kernel, which, value);
}

/* Arguments are copied at the launch, as the card's are. */
template <class... P, class... A>
cudaError_t emulated_launch(const char *name, void (*kernel)(P...), dim3 grid, dim3 block, size_t n_shared,
                            const emulated_how &how, A... args)
{
    std::tuple<P...> copied(static_cast<P>(args)...);
    return emulated_enqueue(name, (const void *)kernel, grid, block, n_shared, how,
                            [kernel, copied] { std::apply(kernel, copied); });
}

/* For tests: the seed of the orders from here on; pieces of work done so far. */
void emulated_seed(uint64_t seed);
uint64_t emulated_n_work();

#endif
