#include "worker/tools/bench_kernels.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "kernels/pool.h"
#include "worker/tools/limits.h"
#include "worker/tools/timing.h"

enum { HUGE_PAGE = 2 << 20, TIMES_IN_L2 = 128 };
static const size_t case_bytes = (size_t)256 << 20;
static const double loop_s = 0.1;
static const uint8_t weight_byte = 0x11; /* scales, as F16 or in parts, are ordinary numbers then */

static const struct format {
    const char *name;
    enum quant type;
} formats[] = {
    {"Q4_1", QUANT_Q4_1}, {"Q5_0", QUANT_Q5_0}, {"Q8_0", QUANT_Q8_0}, {"Q4_K", QUANT_Q4_K}, {"Q6_K", QUANT_Q6_K}};

/* Of the 1.5B's: up and down; and one of 512 rows that stays in L2. */
static const struct shape {
    int n_out, n_in;
    bool cached;
} shapes[] = {{8960, 1536, false}, {1536, 8960, false}, {512, 1536, true}};

enum { N_FORMATS = sizeof formats / sizeof *formats, N_SHAPES = sizeof shapes / sizeof *shapes };

struct bench {
    const struct bench_kernels_input *in;
    struct pool *pool;
    uint8_t *weights; /* [case_bytes] */
    struct acts acts;
    float *out;
    size_t ld_out;
    struct weights w; /* the first of n_matrices, which follow each other */
    int n_matrices, n_rows;
    bool cached; /* the first one, over and over */
};

static void *alloc(size_t n_bytes)
{
    void *p = aligned_alloc(HUGE_PAGE, (n_bytes + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE);
    if (p) madvise(p, n_bytes, MADV_HUGEPAGE);
    return p;
}

static void products(void *arg, int i_thread)
{
    struct bench *b = arg;
    struct weights w = b->w;
    int from, to, n_panels = w.n_out / PANEL;
    pool_part(n_panels, i_thread, b->in->n_threads, &from, &to);
    for (int i = 0; i < b->n_matrices; i++) {
        if (from < to) b->in->kernels->matmul(b->out, b->ld_out, &w, &b->acts, b->n_rows, from, to);
        if (!b->cached) w.panels += (size_t)n_panels * w.panel_bytes;
        pool_barrier(b->pool);
    }
}

static int run_products(void *arg)
{
    struct bench *b = arg;
    pool_run(b->pool, products, b);
    return OK;
}

/* ---- room ---- */

static bool acts_open(struct acts *a, const struct kernels *k, int n_in, int n_rows)
{
    uint32_t random = 1;
    float *x = alloc((size_t)n_in * sizeof *x);
    *a = (struct acts){.n_in = n_in, .blocks = alloc((size_t)n_in / BLOCK * (size_t)n_rows * sizeof *a->blocks)};
    bool ok = x && a->blocks;
    for (int r = 0; ok && r < n_rows; r++) {
        for (int i = 0; i < n_in; i++) x[i] = (float)(int32_t)(random = random * 1664525 + 1013904223) * 0x1p-31f;
        k->quantize(a, r, x);
    }
    free(x);
    return ok;
}

static void acts_close(struct acts *a)
{
    free(a->blocks);
    *a = (struct acts){0};
}

static int most_rows(const struct bench_kernels_input *in)
{
    int most = 0;
    for (int i = 0; i < in->n_rows; i++)
        if (in->rows[i] > most) most = in->rows[i];
    return most;
}

/* ---- a format and a shape ---- */

enum { ROUNDS_MOST = 1000 };

struct figures { /* of one number of rows, by round */
    double s[ROUNDS_MOST], over[ROUNDS_MOST];
};

struct medians {
    double s, over, read, multiply; /* the last two: bytes and multiply-adds a second of the bare loops */
};

static void put(const struct bench *b, const struct format *f, const struct shape *shape, const struct medians *m,
                FILE *out)
{
    double bytes = (double)b->n_matrices * (double)(b->w.n_out / PANEL) * (double)b->w.panel_bytes / m->s;
    double products = (double)b->n_matrices * (double)b->w.n_out * (double)b->w.n_in * b->n_rows / m->s;
    double of_read = m->read > 0 ? bytes / m->read : 0, of_bare = m->multiply > 0 ? products / m->multiply : 0;
    const char *where = shape->cached ? "L2" : "memory";
    if (b->in->json)
        fprintf(out,
                "{\"kernels\": \"%s\", \"format\": \"%s\", \"out\": %d, \"in\": %d, \"weights_in\": \"%s\", \"rows\": "
                "%d, \"ms\": %.4f, \"over_first\": %.4f, \"gbps\": %.3f, \"of_read_loop\": %.4f, \"of_bare_products\": "
                "%.4f}\n",
                b->in->kernels->name, f->name, shape->n_out, shape->n_in, where, b->n_rows, m->s * 1e3, m->over,
                bytes * 1e-9, of_read, of_bare);
    else
        fprintf(out, "%-7s %6d %6d  %-7s %5d %9.2f %10.2f %7.1f %8.0f %% %9.0f %%\n", f->name, shape->n_out,
                shape->n_in, where, b->n_rows, m->s * 1e3, m->over, bytes * 1e-9, 100 * of_read, 100 * of_bare);
    fflush(out);
}

/* Of all formats and shapes. */
static void show_rounds(const struct bench *b, const struct format *f, const struct shape *shape, int round, int n)
{
    int i_case = (int)(f - formats) * N_SHAPES + (int)(shape - shapes);
    watch_show(&b->in->watch, "timed", "rounds", (uint64_t)(i_case * n + round), (uint64_t)(N_FORMATS * N_SHAPES * n));
}

static int run_case(struct bench *b, const struct format *f, const struct shape *shape, FILE *out, struct err *err)
{
    const struct bench_kernels_input *in = b->in;
    int n = in->n_rounds < ROUNDS_MOST ? in->n_rounds : ROUNDS_MOST;
    size_t panel = in->kernels->panel_bytes(f->type, shape->n_in), matrix = panel * (size_t)(shape->n_out / PANEL);
    double read[ROUNDS_MOST], multiply[ROUNDS_MOST];
    struct figures *figures = calloc((size_t)in->n_rows, sizeof *figures);
    bool ok = figures && acts_open(&b->acts, in->kernels, shape->n_in, most_rows(in));
    b->w = (struct weights){f->type, shape->n_in, shape->n_out, panel, b->weights};
    b->n_matrices = shape->cached ? TIMES_IN_L2 : (int)(case_bytes / matrix);
    b->cached = shape->cached;
    for (int round = 0; round < n && ok; round++) {
        show_rounds(b, f, shape, round, n);
        read[round] = limits_read(in->n_threads, loop_s);
        multiply[round] = limits_multiply(in->n_threads, loop_s);
        for (int i = 0; i < in->n_rows; i++) {
            b->n_rows = in->rows[i];
            timing_take(run_products, b, in->n_threads, &figures[i].s[round]);
            figures[i].over[round] = figures[i].s[round] / figures[0].s[round];
        }
    }
    watch_show(&in->watch, NULL, NULL, 0, 0);
    for (int i = 0; i < in->n_rows && ok; i++) {
        const struct medians m = {timing_median(figures[i].s, n), timing_median(figures[i].over, n),
                                  timing_median(read, n), timing_median(multiply, n)};
        b->n_rows = in->rows[i];
        put(b, f, shape, &m, out);
    }
    acts_close(&b->acts);
    free(figures);
    return ok ? OK : err_set(err, E_LAYOUT, "out of memory for %d rows of %d", most_rows(in), shape->n_in);
}

static int run_all(struct bench *b, FILE *out, struct err *err)
{
    const struct bench_kernels_input *in = b->in;
    int rc = OK;
    if (!in->json)
        fprintf(out, "%s, %d threads, medians of %d rounds\n\n%-7s %6s %6s  %-7s %5s %9s %10s %7s %10s %11s\n",
                in->kernels->name, in->n_threads, in->n_rounds, "format", "out", "in", "weights", "rows", "ms",
                "over first", "GB/s", "of read", "of products");
    for (int f = 0; f < N_FORMATS && rc == OK; f++)
        for (int s = 0; s < N_SHAPES && rc == OK; s++) rc = run_case(b, &formats[f], &shapes[s], out, err);
    return rc;
}

int bench_kernels(const struct bench_kernels_input *in, FILE *out, struct err *err)
{
    struct bench b = {.in = in, .ld_out = 8960};
    b.pool = pool_open(in->n_threads, true);
    b.weights = alloc(case_bytes);
    b.out = alloc((size_t)most_rows(in) * b.ld_out * sizeof *b.out);
    if (b.weights) memset(b.weights, weight_byte, case_bytes);
    int rc = b.pool && b.weights && b.out ? run_all(&b, out, err) : err_set(err, E_LAYOUT, "out of memory or threads");
    pool_close(b.pool);
    free(b.weights);
    free(b.out);
    return rc;
}
