/* runtime.cc -- memory and streams of the emulated device. A stream is a queue: it runs when the host waits. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <vector>

#include "blocks.h"

enum { SHARED_BYTES = 48 << 10, MAX_BLOCK = 1024, MAX_CLUSTER = 8 };

static int generation_asked()
{
    const char *generation = getenv("CUDA_EMULATED_GENERATION");
    return generation ? atoi(generation) : 9;
}

/* What a block may ask for: before Hopper as the cards with least, 8.6 and 8.9. */
static int shared_most()
{
    return (generation_asked() < 9 ? 99 : 227) << 10;
}

struct piece {                               /* of a stream's work */
    std::function<bool()> run;               /* a step, which is tried again until it is done */
    std::shared_ptr<emulated_kernel> kernel; /* in its place; or NULL */
};

struct emulated_graph {
    std::vector<piece> work;
};

namespace
{

struct stream : emulated_stream {
    std::deque<piece> work;
    cudaGraph_t captured = nullptr; /* while it captures */
};

struct device {
    std::set<stream *> streams;
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

stream *of(cudaStream_t s)
{
    return static_cast<stream *>(s);
}

void add(cudaStream_t s, piece p)
{
    stream *q = of(s);
    if (q->captured)
        q->captured->work.push_back(std::move(p));
    else
        q->work.push_back(std::move(p));
}

template <class F> void push(cudaStream_t s, F f)
{
    add(s, piece{[=] {
                     f();
                     return true;
                 },
                 nullptr});
}

/* Of the kernels behind one, those that may begin beside it: the next, or the next two. */
void begin_behind(const stream *q)
{
    const size_t n = 1 + emulated_random(2);
    for (size_t i = 0; i < n && i < q->work.size(); i++) {
        emulated_kernel *k = q->work[i].kernel.get();
        if (!k || !k->beside) return;
        if (k->begun.empty()) emulated_begin(k);
    }
}

/* cudaErrorNotReady: a step is not done. */
cudaError_t work_one(cudaStream_t s)
{
    stream *q = of(s);
    if (q->captured) emulated_fail("the host waits for a stream that captures");
    if (d.sticky != cudaSuccess || q->work.empty()) return d.sticky;
    if (d.n_work + 1 == d.lost_at) {
        d.sticky = cudaErrorLaunchFailure;
    } else if (const std::shared_ptr<emulated_kernel> k = q->work.front().kernel) {
        q->work.pop_front();
        d.n_work++;
        begin_behind(q);
        d.n_kernels++;
        d.n_begun += k->begun.size();
        emulated_run(k.get());
    } else if (q->work.front().run()) {
        q->work.pop_front();
        d.n_work++;
    } else {
        return cudaErrorNotReady;
    }
    return d.sticky;
}

/* The place of the i-th device that is seen; below 0: there is none. */
int place_of(int i)
{
    const char *n = getenv("CUDA_EMULATED_DEVICES"), *seen = getenv("CUDA_VISIBLE_DEVICES");
    int all = n ? atoi(n) : 1;
    if (!n || !seen) return i < all ? i : -1;
    for (; i > 0 && seen; i--) seen = strchr(seen + (*seen == ','), ',');
    int place = seen && *seen ? atoi(seen + (*seen == ',')) : -1;
    return place < all ? place : -1;
}

bool is_pinned(const void *p)
{
    auto after = d.pinned.upper_bound((char *)p);
    if (after == d.pinned.begin()) return false;
    --after;
    return (const char *)p < after->first + after->second;
}

void add_step(emulated_stream *s, std::function<bool()> step, bool at_once)
{
    guard lock(mutex);
    if (of(s)->captured) emulated_fail("a step of a library is captured");
    add(s, piece{std::move(step), nullptr});
    while (at_once && !of(s)->work.empty() && work_one(s) == cudaSuccess) continue;
}

} // namespace

uint64_t emulated_n_work()
{
    return d.n_work;
}

cudaError_t cudaGetDeviceCount(int *n)
{
    for (*n = 0; place_of(*n) >= 0;) ++*n;
    return *n ? cudaSuccess : cudaErrorNoDevice;
}

cudaError_t cudaSetDevice(int i)
{
    return i >= 0 && place_of(i) >= 0 ? cudaSuccess : cudaErrorInvalidDevice;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp *p, int i)
{
    *p = cudaDeviceProp{};
    strcpy(p->name, "emulated");
    return cudaSetDevice(i);
}

cudaError_t cudaDeviceGetPCIBusId(char *out, int n, int i)
{
    int place = place_of(i);
    snprintf(out, (size_t)n, place ? "this CPU, %d" : "this CPU", place);
    return cudaSetDevice(i);
}

cudaError_t cudaDeviceGetAttribute(int *value, cudaDeviceAttr which, int i)
{
    switch (which) {
    case cudaDevAttrMultiProcessorCount: *value = 2; break;
    case cudaDevAttrComputeCapabilityMajor: *value = generation_asked(); break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin: *value = shared_most(); break;
    }
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
    emulated_set_generation(generation_asked());
    stream *made = new stream;
    made->add = add_step;
    d.streams.insert(made);
    *s = made;
    return cudaSuccess;
}

/* One piece; where it waits for another device, whose thread may need the lock, a moment passes. */
static cudaError_t work_and_see(cudaStream_t s)
{
    enum { MOMENT_US = 20 };
    bool waits;
    {
        guard lock(mutex);
        waits = work_one(s) == cudaErrorNotReady;
        if (!waits) return d.sticky != cudaSuccess || of(s)->work.empty() ? d.sticky : cudaErrorNotReady;
    }
    usleep(MOMENT_US);
    return cudaErrorNotReady;
}

cudaError_t cudaStreamSynchronize(cudaStream_t s)
{
    cudaError_t rc;
    while ((rc = work_and_see(s)) == cudaErrorNotReady) continue;
    return rc;
}

cudaError_t cudaStreamQuery(cudaStream_t s)
{
    return work_and_see(s);
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
    d.streams.erase(of(s));
    delete of(s);
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
    for (stream *s : d.streams) cudaStreamSynchronize(s);
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
    if (of(s)->captured &&
        ((kind == cudaMemcpyHostToDevice && !is_pinned(from)) || (kind == cudaMemcpyDeviceToHost && !is_pinned(to))))
        emulated_fail("a copy is captured whose host memory is not pinned");
    if (kind == cudaMemcpyHostToDevice && !is_pinned(from)) {
        std::shared_ptr<std::vector<char>> copy(new std::vector<char>((const char *)from, (const char *)from + n));
        push(s, [=] { memcpy(to, copy->data(), n); });
    } else {
        push(s, [=] { memcpy(to, from, n); });
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
    push(s, [=] { memset(to, value, n); });
    return d.sticky;
}

cudaError_t emulated_attribute(const void *kernel, cudaFuncAttribute which, int value)
{
    guard lock(mutex);
    (void)which;
    if (value > shared_most()) return cudaErrorInvalidValue;
    d.shared[kernel] = value;
    return cudaSuccess;
}

int emulated_clusters()
{
    const char *n = getenv("CUDA_EMULATED_CLUSTERS");
    return generation_asked() < 9 ? 0 : n ? atoi(n) : 2;
}

cudaError_t emulated_enqueue(const char *name, const void *kernel, dim3 grid, dim3 block, size_t n_shared,
                             const emulated_how &how, std::function<void()> body)
{
    guard lock(mutex);
    auto allowed = d.shared.find(kernel);
    size_t most = allowed == d.shared.end() ? (size_t)SHARED_BYTES : (size_t)allowed->second;
    unsigned n_threads = block.x * block.y * block.z;
    if (n_threads == 0 || n_threads > MAX_BLOCK || block.z > 64)
        emulated_fail("%s is launched with blocks of %u threads", name, n_threads);
    if (grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.y > 65535 || grid.z > 65535)
        emulated_fail("%s is launched with a grid of (%u, %u, %u)", name, grid.x, grid.y, grid.z);
    if (how.beside && emulated_generation() < 9)
        emulated_fail("%s is launched beside a kernel on a card that cannot", name);
    if (how.cluster == 0 || how.cluster > MAX_CLUSTER || grid.x % how.cluster ||
        (how.cluster > 1 && emulated_generation() < 9))
        emulated_fail("%s is launched in clusters of %u, a grid of %u", name, how.cluster, grid.x);
    if (n_shared > most)
        emulated_fail("%s is launched with %zu bytes of shared memory, it may have %zu", name, n_shared, most);
    emulated_kernel k = {name, grid, block, n_shared, how.cluster, std::move(body), how.beside, {}};
    add(how.stream, piece{nullptr, std::make_shared<emulated_kernel>(std::move(k))});
    return d.sticky;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t s, cudaStreamCaptureMode mode)
{
    guard lock(mutex);
    (void)mode;
    if (d.sticky != cudaSuccess) return d.sticky; /* and it does not capture */
    if (of(s)->captured) return cudaErrorInvalidValue;
    of(s)->captured = new emulated_graph;
    return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t s, cudaGraph_t *g)
{
    guard lock(mutex);
    if (!of(s)->captured) return cudaErrorInvalidValue;
    *g = of(s)->captured;
    of(s)->captured = nullptr;
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
