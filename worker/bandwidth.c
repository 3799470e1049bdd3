#include "worker/bandwidth.h"

#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "kernels/pool.h"
#include "worker/memory.h"

enum { BLOCK_BYTES = 256 << 20, STEP_BYTES = 1 << 20, LANES = 8 };

typedef uint64_t words __attribute__((vector_size(16)));

struct reading {
    const uint8_t *block; /* [BLOCK_BYTES] */
    int n_threads;
    double seconds;
    struct pool *pool;
    atomic_ullong n_bytes, sum; /* the sum is used, so that no read is left out */
    double began, ended;        /* by thread 0 */
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static uint64_t step_sum(const uint8_t *p)
{
    words sum[LANES] = {0};
    const words *w = (const words *)p;
    for (size_t i = 0; i < STEP_BYTES / sizeof *w; i += LANES)
        for (int lane = 0; lane < LANES; lane++) sum[lane] += w[i + (size_t)lane];
    for (int lane = 1; lane < LANES; lane++) sum[0] += sum[lane];
    return sum[0][0] + sum[0][1];
}

/* Each thread goes round and round its own part. */
static void read_part(void *arg, int i_thread)
{
    struct reading *r = arg;
    int from, to;
    pool_part(BLOCK_BYTES / STEP_BYTES, i_thread, r->n_threads, &from, &to);
    pool_barrier(r->pool);
    double began = now();
    uint64_t sum = 0, n_steps = 0;
    for (int i = from; now() - began < r->seconds; i = i + 1 < to ? i + 1 : from, n_steps++)
        sum += step_sum(r->block + (size_t)i * STEP_BYTES);
    atomic_fetch_add(&r->sum, sum);
    atomic_fetch_add(&r->n_bytes, n_steps * STEP_BYTES);
    pool_barrier(r->pool);
    if (i_thread != 0) return;
    r->began = began;
    r->ended = now();
}

double bandwidth_read(int n_threads, double seconds)
{
    if (memory_available() / 2 < BLOCK_BYTES || n_threads > BLOCK_BYTES / STEP_BYTES) return 0;
    uint8_t *block = mmap(NULL, BLOCK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (block == MAP_FAILED) return 0;
    madvise(block, BLOCK_BYTES, MADV_HUGEPAGE); /* as weights do */
    memset(block, 1, BLOCK_BYTES);              /* pages that were never written are all one page of zeros */
    struct reading r = {.block = block, .n_threads = n_threads, .seconds = seconds, .pool = pool_open(n_threads, true)};
    if (r.pool) pool_run(r.pool, read_part, &r);
    pool_close(r.pool);
    munmap(block, BLOCK_BYTES);
    return r.ended > r.began ? (double)r.n_bytes / (r.ended - r.began) : 0;
}
