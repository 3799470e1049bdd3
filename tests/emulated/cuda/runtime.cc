/* runtime.cc -- memory and streams of the emulated device. A stream is a queue: it runs when the host waits. */
#include <stdio.h>
#include <stdlib.h>

#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <vector>

#include "blocks.h"

enum { SHARED_BYTES = 48 << 10, SHARED_MOST = 227 << 10, MAX_BLOCK = 1024 };

struct piece { /* of a stream's work */
    std::function<void()> run;
    std::shared_ptr<emulated_kernel> kernel; /* in its place; or NULL */
};

struct emulated_graph {
    std::vector<piece> work;
};

struct emulated_stream {
    std::deque<piece> work;
    cudaGraph_t captured = nullptr; /* while it captures */
};

namespace
{

struct device {
    std::set<emulated_stream *> streams;
    std::map<void *, size_t> allocated;
    std::map<char *, size_t> pinned;
    std::map<const void *, int> shared; /* what a kernel may have */
    size_t n_bytes = 0, most;
    uint64_t n_work = 0, n_graphs = 0, n_kernels = 0, n_begun = 0, lost_at;
    cudaError_t sticky = cudaSuccess;

    device()
    {
        const char *bytes = getenv("CUDA_EMULATED_BYTES"), *lost = getenv("CUDA_EMULATED_LOST");
        most = bytes ? (size_t)strtoull(bytes, nullptr, 0) : (size_t)1 << 34;
        lost_at = lost ? strtoull(lost, nullptr, 0) : 0;
    }
} d;

std::recursive_mutex mutex; /* every call of the host holds it */
using guard = std::lock_guard<std::recursive_mutex>;

void add(cudaStream_t s, piece p)
{
    if (s->captured)
        s->captured->work.push_back(std::move(p));
    else
        s->work.push_back(std::move(p));
}

void add(cudaStream_t s, std::function<void()> run)
{
    add(s, piece{std::move(run), nullptr});
}

/* Of the kernels behind one, those that may begin beside it: the next, or the next two. */
void begin_behind(cudaStream_t s)
{
    const size_t n = 1 + emulated_random(2);
    for (size_t i = 0; i < n && i < s->work.size(); i++) {
        emulated_kernel *k = s->work[i].kernel.get();
        if (!k || !k->beside) return;
        if (k->begun.empty()) emulated_begin(k);
    }
}

cudaError_t work_one(cudaStream_t s)
{
    if (s->captured) emulated_fail("the host waits for a stream that captures");
    if (d.sticky != cudaSuccess || s->work.empty()) return d.sticky;
    piece next = std::move(s->work.front());
    s->work.pop_front();
    if (++d.n_work == d.lost_at) {
        d.sticky = cudaErrorLaunchFailure;
        return d.sticky;
    }
    if (next.kernel) {
        begin_behind(s);
        d.n_kernels++;
        d.n_begun += next.kernel->begun.size();
        emulated_run(next.kernel.get());
    } else {
        next.run();
    }
    return cudaSuccess;
}

bool is_pinned(const void *p)
{
    auto after = d.pinned.upper_bound((char *)p);
    if (after == d.pinned.begin()) return false;
    --after;
    return (const char *)p < after->first + after->second;
}

} // namespace

uint64_t emulated_n_work()
{
    return d.n_work;
}

cudaError_t cudaGetDeviceCount(int *n)
{
    *n = 1;
    return cudaSuccess;
}

cudaError_t cudaSetDevice(int i)
{
    return i == 0 ? cudaSuccess : cudaErrorInvalidDevice;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp *p, int i)
{
    *p = cudaDeviceProp{};
    strcpy(p->name, "emulated");
    return i == 0 ? cudaSuccess : cudaErrorInvalidDevice;
}

cudaError_t cudaDeviceGetPCIBusId(char *out, int n, int i)
{
    const char *text = "this CPU";
    if (i != 0) return cudaErrorInvalidDevice;
    strncpy(out, text, (size_t)n - 1);
    out[n - 1] = 0;
    return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int *value, cudaDeviceAttr which, int i)
{
    *value = which == cudaDevAttrMultiProcessorCount ? 2 : emulated_generation();
    return i == 0 ? cudaSuccess : cudaErrorInvalidDevice;
}

cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total_bytes)
{
    guard lock(mutex);
    *total_bytes = d.most;
    *free_bytes = d.most - d.n_bytes;
    return cudaSuccess;
}

cudaError_t cudaGetLastError()
{
    return d.sticky;
}

const char *cudaGetErrorString(cudaError_t e)
{
    switch (e) {
    case cudaSuccess: return "no error";
    case cudaErrorMemoryAllocation: return "out of memory";
    case cudaErrorNoDevice: return "no CUDA-capable device is detected";
    case cudaErrorNotReady: return "device not ready";
    case cudaErrorLaunchFailure: return "unspecified launch failure";
    default: return "invalid argument";
    }
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *s, unsigned flags)
{
    guard lock(mutex);
    (void)flags;
    if (const char *seed = getenv("CUDA_EMULATED_SEED")) emulated_seed(strtoull(seed, nullptr, 0));
    const char *generation = getenv("CUDA_EMULATED_GENERATION");
    emulated_set_generation(generation ? atoi(generation) : 9);
    d.streams.insert(*s = new emulated_stream);
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t s)
{
    guard lock(mutex);
    if (s->captured) emulated_fail("the host waits for a stream that captures");
    while (!s->work.empty() && d.sticky == cudaSuccess) work_one(s);
    return d.sticky;
}

cudaError_t cudaStreamQuery(cudaStream_t s)
{
    guard lock(mutex);
    work_one(s);
    return d.sticky != cudaSuccess ? d.sticky : s->work.empty() ? cudaSuccess : cudaErrorNotReady;
}

cudaError_t cudaStreamDestroy(cudaStream_t s)
{
    guard lock(mutex);
    cudaStreamSynchronize(s);
    if (const char *file = getenv("CUDA_EMULATED_COUNTS"))
        if (FILE *f = fopen(file, "a")) {
            fprintf(f, "%llu %llu %llu\n", (unsigned long long)d.n_graphs, (unsigned long long)d.n_kernels,
                    (unsigned long long)d.n_begun);
            fclose(f);
        }
    d.streams.erase(s);
    delete s;
    return cudaSuccess;
}

cudaError_t emulated_malloc(void **p, size_t n)
{
    guard lock(mutex);
    if (d.sticky != cudaSuccess) return d.sticky;
    if (n > d.most - d.n_bytes || posix_memalign(p, 256, n + (n == 0))) return cudaErrorMemoryAllocation;
    memset(*p, 0xff, n);
    d.allocated[*p] = n;
    d.n_bytes += n;
    return cudaSuccess;
}

cudaError_t cudaFree(void *p)
{
    guard lock(mutex);
    if (!p) return cudaSuccess;
    auto at = d.allocated.find(p);
    if (at == d.allocated.end()) emulated_fail("cudaFree of what cudaMalloc did not give");
    for (emulated_stream *s : d.streams) cudaStreamSynchronize(s);
    d.n_bytes -= at->second;
    d.allocated.erase(at);
    free(p);
    return cudaSuccess;
}

cudaError_t emulated_malloc_host(void **p, size_t n)
{
    guard lock(mutex);
    if (!(*p = malloc(n + (n == 0)))) return cudaErrorMemoryAllocation;
    memset(*p, 0xff, n);
    d.pinned[(char *)*p] = n;
    return cudaSuccess;
}

cudaError_t cudaFreeHost(void *p)
{
    guard lock(mutex);
    d.pinned.erase((char *)p);
    free(p);
    return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t n, cudaMemcpyKind kind, cudaStream_t s)
{
    guard lock(mutex);
    if (s->captured &&
        ((kind == cudaMemcpyHostToDevice && !is_pinned(from)) || (kind == cudaMemcpyDeviceToHost && !is_pinned(to))))
        emulated_fail("a copy is captured whose host memory is not pinned");
    if (kind == cudaMemcpyHostToDevice && !is_pinned(from)) {
        std::shared_ptr<std::vector<char>> copy(new std::vector<char>((const char *)from, (const char *)from + n));
        add(s, [=] { memcpy(to, copy->data(), n); });
    } else {
        add(s, [=] { memcpy(to, from, n); });
        if (kind == cudaMemcpyDeviceToHost && !is_pinned(to)) return cudaStreamSynchronize(s);
    }
    return d.sticky;
}

cudaError_t cudaMemcpy(void *to, const void *from, size_t n, cudaMemcpyKind kind)
{
    guard lock(mutex);
    (void)kind;
    if (d.sticky == cudaSuccess) memcpy(to, from, n); /* it does not wait for streams that do not block */
    return d.sticky;
}

cudaError_t cudaMemcpy2DAsync(void *to, size_t ld_to, const void *from, size_t ld_from, size_t n, size_t n_rows,
                              cudaMemcpyKind kind, cudaStream_t s)
{
    for (size_t i = 0; i < n_rows; i++)
        cudaMemcpyAsync((char *)to + i * ld_to, (const char *)from + i * ld_from, n, kind, s);
    return d.sticky;
}

cudaError_t cudaMemsetAsync(void *to, int value, size_t n, cudaStream_t s)
{
    guard lock(mutex);
    add(s, [=] { memset(to, value, n); });
    return d.sticky;
}

cudaError_t emulated_attribute(const void *kernel, cudaFuncAttribute which, int value)
{
    guard lock(mutex);
    (void)which;
    if (value > SHARED_MOST) return cudaErrorInvalidValue;
    d.shared[kernel] = value;
    return cudaSuccess;
}

cudaError_t emulated_enqueue(const char *name, const void *kernel, dim3 grid, dim3 block, size_t n_shared,
                             cudaStream_t s, bool beside, std::function<void()> body)
{
    guard lock(mutex);
    auto allowed = d.shared.find(kernel);
    size_t most = allowed == d.shared.end() ? (size_t)SHARED_BYTES : (size_t)allowed->second;
    unsigned n_threads = block.x * block.y * block.z;
    if (n_threads == 0 || n_threads > MAX_BLOCK || block.z > 64)
        emulated_fail("%s is launched with blocks of %u threads", name, n_threads);
    if (grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.y > 65535 || grid.z > 65535)
        emulated_fail("%s is launched with a grid of (%u, %u, %u)", name, grid.x, grid.y, grid.z);
    if (beside && emulated_generation() < 9)
        emulated_fail("%s is launched beside a kernel on a card that cannot", name);
    if (n_shared > most)
        emulated_fail("%s is launched with %zu bytes of shared memory, it may have %zu", name, n_shared, most);
    emulated_kernel k = {name, grid, block, n_shared, std::move(body), beside, {}};
    add(s, piece{nullptr, std::make_shared<emulated_kernel>(std::move(k))});
    return d.sticky;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t s, cudaStreamCaptureMode mode)
{
    guard lock(mutex);
    (void)mode;
    if (s->captured) return cudaErrorInvalidValue;
    s->captured = new emulated_graph;
    return d.sticky;
}

cudaError_t cudaStreamEndCapture(cudaStream_t s, cudaGraph_t *g)
{
    guard lock(mutex);
    if (!s->captured) return cudaErrorInvalidValue;
    *g = s->captured;
    s->captured = nullptr;
    return d.sticky;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *exec, cudaGraph_t g, unsigned long long flags)
{
    guard lock(mutex);
    (void)flags;
    *exec = new emulated_graph(*g);
    return d.sticky;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t s)
{
    guard lock(mutex);
    for (const piece &p : exec->work)
        add(s, piece{p.run, p.kernel ? std::make_shared<emulated_kernel>(*p.kernel) : nullptr});
    d.n_graphs++;
    return d.sticky;
}

cudaError_t cudaGraphDestroy(cudaGraph_t g)
{
    delete g;
    return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec)
{
    delete exec;
    return cudaSuccess;
}
