/* bench_kernels -- how fast the products are, measured against the machine of this very moment.
 *
 *     bench_kernels [path] [first letters of a case]        e.g. bench_kernels avx512 q4_k
 *
 * A round times a plain read loop over the weights, a loop of vpdpbusd, and the products of 1, 2, 4, 8 and 16 rows, all
 * on two pinned threads with a barrier a matrix. Machines change speed within seconds, so ratios are taken inside a
 * round, and the median of 9 rounds counts. A timing in which a thread lost more than 1 % of its core is taken again.
 */
#include <immintrin.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "kernels/kernels.h"
#include "kernels/pool.h"
#include "tests/lib/hard.h"

enum { N_THREADS = 2, N_ROUNDS = 9, MAX_TRIES = 8, MAX_ROWS = 16, MAX_IN = 8960, MAX_OUT = 151936, N_SAMPLES = 4 };
#define ARENA_BYTES ((size_t)1 << 30)
#define CASE_BYTES ((size_t)512 << 20)
#define DOT_LOOPS 3000000

enum { FILL = 0, CACHED = -1 };

/* `times` matrices of one shape; FILL: CASE_BYTES of them; CACHED: one, in L2, over and over: arithmetic alone. */
struct shape {
    enum quant type;
    int n_out, n_in, times;
};

static const struct bench_case {
    const char *name;
    struct shape shapes[8];
} cases[] = {
    {"cached q4_1", {{QUANT_Q4_1, 512, 1536, CACHED}}},
    {"cached q5_0", {{QUANT_Q5_0, 512, 1536, CACHED}}},
    {"cached q8_0", {{QUANT_Q8_0, 512, 1536, CACHED}}},
    {"cached q4_k", {{QUANT_Q4_K, 512, 1536, CACHED}}},
    {"cached q6_k", {{QUANT_Q6_K, 512, 1536, CACHED}}},
    {"q4_1 wide in", {{QUANT_Q4_1, 1536, 8960, FILL}}},
    {"q4_1 wide out", {{QUANT_Q4_1, 8960, 1536, FILL}}},
    {"q5_0 wide in", {{QUANT_Q5_0, 1536, 8960, FILL}}},
    {"q5_0 wide out", {{QUANT_Q5_0, 8960, 1536, FILL}}},
    {"q8_0 wide in", {{QUANT_Q8_0, 1536, 8960, FILL}}},
    {"q8_0 wide out", {{QUANT_Q8_0, 8960, 1536, FILL}}},
    {"q4_k wide in", {{QUANT_Q4_K, 1536, 8960, FILL}}},
    {"q4_k wide out", {{QUANT_Q4_K, 8960, 1536, FILL}}},
    {"q6_k wide in", {{QUANT_Q6_K, 1536, 8960, FILL}}},
    {"q6_k wide out", {{QUANT_Q6_K, 8960, 1536, FILL}}},
    /* Qwen2.5 1.5B Q4_K_M: q and o, k, gate and up, half of down; half of v, half of down, the head */
    {"mix of the 1.5B",
     {{QUANT_Q4_K, 1536, 1536, 56},
      {QUANT_Q4_K, 256, 1536, 42},
      {QUANT_Q4_K, 8960, 1536, 56},
      {QUANT_Q4_K, 1536, 8960, 14},
      {QUANT_Q6_K, 256, 1536, 14},
      {QUANT_Q6_K, 1536, 8960, 14},
      {QUANT_Q6_K, 151936, 1536, 1}}},
};
enum { N_CASES = sizeof cases / sizeof *cases, MAX_MATRICES = 2048 };

enum what { WHAT_READ, WHAT_DOT, WHAT_PRODUCT };

struct bench {
    const struct kernels *k;
    struct pool *pool;
    uint8_t *arena;
    struct weights w[MAX_MATRICES];
    int n_matrices;
    size_t n_bytes;
    struct acts acts[2]; /* of 1536 and of 8960 */
    float *out;
    enum what what;
    int n_rows;
    double lost[N_THREADS]; /* part of its core */
    uint64_t sink[N_THREADS];
};

static double seconds(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void *arena_alloc(size_t n_bytes)
{
    size_t huge = (size_t)2 << 20;
    void *p = aligned_alloc(huge, (n_bytes + huge - 1) / huge * huge);
    if (!p) exit(1);
    madvise(p, n_bytes, MADV_HUGEPAGE);
    memset(p, 0, n_bytes);
    return p;
}

/* ---- weights and rows ---- */

/* A few panels are packed and copied: what is timed does not depend on the values. */
static void matrix_fill(struct bench *b, struct shape shape, struct hard *h)
{
    struct weights *w = &b->w[b->n_matrices++];
    size_t row_bytes = hard_row_bytes(shape.type, shape.n_in);
    uint8_t *row = malloc(row_bytes);
    if (!row) exit(1);
    *w = (struct weights){shape.type, shape.n_in, shape.n_out, b->k->panel_bytes(shape.type, shape.n_in),
                          b->arena + b->n_bytes};
    for (int p = 0; p < shape.n_out / PANEL; p++) {
        const void *rows[PANEL];
        uint8_t *panel = w->panels + (size_t)p * w->panel_bytes;
        if (p >= N_SAMPLES) {
            memcpy(panel, panel - N_SAMPLES * w->panel_bytes, w->panel_bytes);
            continue;
        }
        hard_weights(h, row, shape.type, shape.n_in);
        for (int i = 0; i < PANEL; i++) rows[i] = row;
        b->k->pack(panel, rows, shape.type, shape.n_in);
    }
    b->n_bytes += w->panel_bytes * (size_t)(shape.n_out / PANEL);
    free(row);
}

static void case_fill(struct bench *b, const struct bench_case *c)
{
    struct hard h = {1};
    b->n_matrices = 0;
    b->n_bytes = 0;
    for (const struct shape *s = c->shapes; s->n_in > 0; s++)
        for (int i = 0; s->times > 0 ? i < s->times : b->n_bytes < CASE_BYTES; i++) matrix_fill(b, *s, &h);
    for (int i = 0; c->shapes[0].times == CACHED && i < b->n_matrices; i++) b->w[i].panels = b->arena;
}

static struct acts acts_fill(const struct kernels *k, int n_in)
{
    struct hard h = {2};
    size_t n = (size_t)n_in * MAX_ROWS;
    struct acts a = {.n_in = n_in,
                     .q = arena_alloc(n),
                     .s = arena_alloc(n / 32 * sizeof(float)),
                     .u = arena_alloc(n / 32 * sizeof(float)),
                     .sum = arena_alloc(n / 16 * sizeof(int32_t))};
    float *x = arena_alloc((size_t)n_in * sizeof *x);
    for (int r = 0; r < MAX_ROWS; r++) {
        hard_floats(&h, x, n_in);
        k->quantize(&a, r, x);
    }
    free(x);
    return a;
}

/* ---- what the threads do ---- */

static uint64_t read_loop(const uint8_t *at, size_t n_bytes)
{
    __m128i sum[4] = {_mm_setzero_si128(), _mm_setzero_si128(), _mm_setzero_si128(), _mm_setzero_si128()};
    for (const uint8_t *end = at + n_bytes; at < end; at += 64)
        for (int i = 0; i < 4; i++)
            sum[i] = _mm_add_epi64(sum[i], _mm_load_si128((const __m128i *)(const void *)(at + 16 * i)));
    return (uint64_t)_mm_cvtsi128_si64(_mm_add_epi64(_mm_add_epi64(sum[0], sum[1]), _mm_add_epi64(sum[2], sum[3])));
}

/* Ten chains, spelled out: more than the latency of any CPU's two pipes. */
__attribute__((target("avx512f,avx512vnni"))) static void dot_loop(int n)
{
    for (; n > 0; n--)
        __asm__ volatile("vpdpbusd %%zmm10, %%zmm10, %%zmm0\n\tvpdpbusd %%zmm10, %%zmm10, %%zmm1\n\t"
                         "vpdpbusd %%zmm10, %%zmm10, %%zmm2\n\tvpdpbusd %%zmm10, %%zmm10, %%zmm3\n\t"
                         "vpdpbusd %%zmm10, %%zmm10, %%zmm4\n\tvpdpbusd %%zmm10, %%zmm10, %%zmm5\n\t"
                         "vpdpbusd %%zmm10, %%zmm10, %%zmm6\n\tvpdpbusd %%zmm10, %%zmm10, %%zmm7\n\t"
                         "vpdpbusd %%zmm10, %%zmm10, %%zmm8\n\tvpdpbusd %%zmm10, %%zmm10, %%zmm9\n\t"
                         :
                         :
                         : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9");
}

static void pin(int i_thread)
{
    cpu_set_t all, one;
    if (pthread_getaffinity_np(pthread_self(), sizeof all, &all) != 0) return;
    CPU_ZERO(&one);
    for (int cpu = 0, i = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &all) && i++ == i_thread) CPU_SET(cpu, &one);
    if (CPU_COUNT(&one) == 1) pthread_setaffinity_np(pthread_self(), sizeof one, &one);
}

static void pin_all(void *arg, int i_thread)
{
    (void)arg;
    static _Thread_local bool pinned; /* the first call sees all CPUs, a later one would see one */
    if (!pinned) pin(i_thread);
    pinned = true;
}

static void matrix_run(struct bench *b, const struct weights *w, int i_thread)
{
    int from, to;
    pool_part((w->n_out + PANEL - 1) / PANEL, i_thread, N_THREADS, &from, &to);
    if (b->what == WHAT_READ)
        b->sink[i_thread] += read_loop(w->panels + (size_t)from * w->panel_bytes, (size_t)(to - from) * w->panel_bytes);
    else
        b->k->matmul(b->out, MAX_OUT, w, &b->acts[w->n_in == MAX_IN], b->n_rows, from, to);
    pool_barrier(b->pool);
}

static void bench_thread(void *arg, int i_thread)
{
    struct bench *b = arg;
    double cpu = seconds(CLOCK_THREAD_CPUTIME_ID), wall = seconds(CLOCK_MONOTONIC);
    if (b->what == WHAT_DOT)
        dot_loop(DOT_LOOPS);
    else
        for (int i = 0; i < b->n_matrices; i++) matrix_run(b, &b->w[i], i_thread);
    wall = seconds(CLOCK_MONOTONIC) - wall;
    b->lost[i_thread] = 1.0 - (seconds(CLOCK_THREAD_CPUTIME_ID) - cpu) / wall;
}

/* ---- timing ---- */

static double time_one(struct bench *b, enum what what, int n_rows)
{
    double best = 0.0, best_lost = 2.0;
    b->what = what;
    b->n_rows = n_rows;
    for (int i = 0; i < MAX_TRIES && best_lost > 0.01; i++) {
        double start = seconds(CLOCK_MONOTONIC);
        pool_run(b->pool, bench_thread, b);
        double took = seconds(CLOCK_MONOTONIC) - start, lost = 0.0;
        for (int t = 0; t < N_THREADS; t++)
            if (b->lost[t] > lost) lost = b->lost[t];
        if (lost < best_lost) {
            best = took;
            best_lost = lost;
        }
    }
    return best;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double x[N_ROUNDS])
{
    qsort(x, N_ROUNDS, sizeof *x, compare);
    return x[N_ROUNDS / 2];
}

static const int row_counts[] = {1, 2, 4, 8, 16};
enum { N_COUNTS = sizeof row_counts / sizeof *row_counts };

static void case_run(struct bench *b, const struct bench_case *c, bool has_dot)
{
    double read[N_ROUNDS], dot[N_ROUNDS], part[N_ROUNDS], t1[N_ROUNDS], ratio[N_COUNTS][N_ROUNDS];
    case_fill(b, c);
    for (int round = 0; round < N_ROUNDS; round++) {
        double t_read = time_one(b, WHAT_READ, 0), t[N_COUNTS];
        for (int i = 0; i < N_COUNTS; i++) t[i] = time_one(b, WHAT_PRODUCT, row_counts[i]);
        dot[round] = has_dot ? 10.0 * DOT_LOOPS * N_THREADS / time_one(b, WHAT_DOT, 0) * 1e-9 : 0.0;
        read[round] = (double)b->n_bytes / t_read * 1e-9;
        part[round] = t_read / t[0] * 100.0;
        t1[round] = t[0] * 1e3;
        for (int i = 0; i < N_COUNTS; i++) ratio[i][round] = t[i] / t[0];
    }
    printf("%-16s %6.0f %6.1f %6.1f %7.1f %6.0f", c->name, (double)b->n_bytes * 1e-6, median(read), median(dot),
           median(t1), median(part));
    for (int i = 1; i < N_COUNTS; i++) printf(" %6.2f", median(ratio[i]));
    printf("\n");
    fflush(stdout);
}

int main(int argc, char **argv)
{
    const char *why = "", *path = argc > 1 ? argv[1] : NULL, *only = argc > 2 ? argv[2] : "";
    static struct bench b;
    b.k = kernels_pick(path, &why);
    if (!b.k) {
        fprintf(stderr, "bench_kernels: %s\n", why);
        return 1;
    }
    b.pool = pool_open(N_THREADS, true);
    if (!b.pool) return 1;
    pool_run(b.pool, pin_all, NULL);
    b.arena = arena_alloc(ARENA_BYTES);
    b.acts[0] = acts_fill(b.k, 1536);
    b.acts[1] = acts_fill(b.k, MAX_IN);
    b.out = arena_alloc((size_t)MAX_OUT * MAX_ROWS * sizeof *b.out);
    printf("%s, %d threads, medians of %d rounds; the read loop in GB/s, vpdpbusd in 10^9/s, T(1) in ms and in %% of "
           "the read "
           "loop's speed, T(n)/T(1)\n\n",
           b.k->name, N_THREADS, N_ROUNDS);
    printf("%-16s %6s %6s %6s %7s %6s %6s %6s %6s %6s\n", "", "MB", "read", "dot", "T(1)", "%", "2", "4", "8", "16");
    bool has_dot = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vnni");
    for (int i = 0; i < N_CASES; i++)
        if (strncmp(cases[i].name, only, strlen(only)) == 0) case_run(&b, &cases[i], has_dot);
    pool_close(b.pool);
    for (int i = 0; i < 2; i++) free(b.acts[i].q), free(b.acts[i].s), free(b.acts[i].u), free(b.acts[i].sum);
    free(b.arena);
    free(b.out);
    return 0;
}
