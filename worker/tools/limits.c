#include "worker/tools/limits.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include "kernels/pool.h"
#include "proto/clock.h"
#include "worker/memory.h"

enum { BLOCK_BYTES = 256 << 20, STEP_BYTES = 1 << 20, LANES = 8, DOT_STEP = 10000 };

typedef uint64_t words __attribute__((vector_size(16)));

struct loop {                                   /* threads do steps of it until the time is over */
    double (*step)(struct loop *l, int i_step); /* returns how much was done */
    int n_steps;                                /* threads part them, and go round and round their own */
    const uint8_t *block;                       /* [BLOCK_BYTES] */
    atomic_ullong sum;                          /* is used, so that no read is left out */
    int n_threads;
    double seconds;
    struct pool *pool;
    double done[256], took[256]; /* [n_threads] */
};
enum { MAX_THREADS = sizeof((struct loop *)0)->done / sizeof(double) };

static void loop_part(void *arg, int i_thread)
{
    struct loop *l = arg;
    int from, to;
    pool_part(l->n_steps, i_thread, l->n_threads, &from, &to);
    pool_barrier(l->pool);
    double began = clock_now_s(), done = 0;
    for (int i = from; clock_now_s() - began < l->seconds; i = i + 1 < to ? i + 1 : from) done += l->step(l, i);
    l->done[i_thread] = done;
    l->took[i_thread] = clock_now_s() - began;
}

/* A second, of all threads together. */
static double loop_run(struct loop *l)
{
    double rate = 0;
    if (l->n_threads > MAX_THREADS || l->n_threads > l->n_steps || !(l->pool = pool_open(l->n_threads, true))) return 0;
    pool_run(l->pool, loop_part, l);
    pool_close(l->pool);
    for (int i = 0; i < l->n_threads; i++) rate += l->done[i] / l->took[i];
    return rate;
}

/* ---- reading ---- */

static double read_step(struct loop *l, int i_step)
{
    words sum[LANES] = {0};
    const words *w = (const words *)(l->block + (size_t)i_step * STEP_BYTES);
    for (size_t i = 0; i < STEP_BYTES / sizeof *w; i += LANES)
        for (int lane = 0; lane < LANES; lane++) sum[lane] += w[i + (size_t)lane];
    for (int lane = 1; lane < LANES; lane++) sum[0] += sum[lane];
    atomic_fetch_add(&l->sum, sum[0][0] + sum[0][1]);
    return STEP_BYTES;
}

static uint8_t *block_open(int n_blocks)
{
    if (memory_available() / 2 < (uint64_t)n_blocks * BLOCK_BYTES) return NULL;
    uint8_t *block = mmap(NULL, BLOCK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (block == MAP_FAILED) return NULL;
    madvise(block, BLOCK_BYTES, MADV_HUGEPAGE); /* as weights do */
    memset(block, 1, BLOCK_BYTES);              /* pages that were never written are all one page of zeros */
    return block;
}

double limits_read_beside(int n_threads, double seconds, int n_beside, void (*ready)(void *arg), void *arg)
{
    uint8_t *block = block_open(1 + n_beside);
    if (ready) ready(arg);
    if (!block) return 0;
    struct loop l = {read_step, BLOCK_BYTES / STEP_BYTES, block, 0, n_threads, seconds, NULL, {0}, {0}};
    double rate = loop_run(&l);
    munmap(block, BLOCK_BYTES);
    return rate;
}

double limits_read(int n_threads, double seconds)
{
    return limits_read_beside(n_threads, seconds, 0, NULL, NULL);
}

/* ---- products ---- */

/* Ten chains, spelled out: more than the latency of any CPU's two pipes. */
__attribute__((target("avx512f,avx512vnni"))) static double vnni_step(struct loop *l, int i_step)
{
    (void)l, (void)i_step;
    for (int n = 0; n < DOT_STEP; n++)
        __asm__ volatile("vpdpbusd %%zmm10, %%zmm10, %%zmm0\n\tvpdpbusd %%zmm10, %%zmm10, %%zmm1\n\t"
                         "vpdpbusd %%zmm10, %%zmm10, %%zmm2\n\tvpdpbusd %%zmm10, %%zmm10, %%zmm3\n\t"
                         "vpdpbusd %%zmm10, %%zmm10, %%zmm4\n\tvpdpbusd %%zmm10, %%zmm10, %%zmm5\n\t"
                         "vpdpbusd %%zmm10, %%zmm10, %%zmm6\n\tvpdpbusd %%zmm10, %%zmm10, %%zmm7\n\t"
                         "vpdpbusd %%zmm10, %%zmm10, %%zmm8\n\tvpdpbusd %%zmm10, %%zmm10, %%zmm9\n\t"
                         :
                         :
                         : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9");
    return 10.0 * 64 * DOT_STEP;
}

__attribute__((target("avx2"))) static double avx2_step(struct loop *l, int i_step)
{
    (void)l, (void)i_step;
    for (int n = 0; n < DOT_STEP; n++)
        __asm__ volatile("vpmaddubsw %%ymm10, %%ymm10, %%ymm5\n\tvpaddw %%ymm5, %%ymm0, %%ymm0\n\t"
                         "vpmaddubsw %%ymm10, %%ymm10, %%ymm6\n\tvpaddw %%ymm6, %%ymm1, %%ymm1\n\t"
                         "vpmaddubsw %%ymm10, %%ymm10, %%ymm7\n\tvpaddw %%ymm7, %%ymm2, %%ymm2\n\t"
                         "vpmaddubsw %%ymm10, %%ymm10, %%ymm8\n\tvpaddw %%ymm8, %%ymm3, %%ymm3\n\t"
                         "vpmaddubsw %%ymm10, %%ymm10, %%ymm9\n\tvpaddw %%ymm9, %%ymm4, %%ymm4\n\t"
                         :
                         :
                         : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9");
    return 5.0 * 32 * DOT_STEP;
}

double limits_multiply(int n_threads, double seconds)
{
    bool vnni = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vnni");
    if (!vnni && !__builtin_cpu_supports("avx2")) return 0;
    struct loop l = {
        .step = vnni ? vnni_step : avx2_step, .n_steps = n_threads, .n_threads = n_threads, .seconds = seconds};
    return loop_run(&l);
}
