/* The CUDA module through its table, on the emulated device: close to double precision, and the same bits whatever the
 * rows, their places, their company and the order of blocks. PILOTFISH_DEVICE_MODULE=file: another module, a card's. */
#include <dlfcn.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/cuda/pf_cuda.h"
#include "kernels/noise.h"
#include "proto/clock.h"
#include "tests/lib/device_steps.h"
#include "tests/lib/grid.h"
#include "tests/lib/hard.h"
#include "tests/lib/tiny.h"
#include "worker/engine/engine.h"

enum {
    MAX_ROWS = 64,
    MORE_ROWS = 65, /* than go by clusters */
    MANY_ROWS = 200,
    N_OUT = 40,
    N_PANELS = 3,
    HEAD_SIZE = N_PANELS * PANEL,
    N_CTX = 320,
    MOST_IN = 2304,
    MOST_EMBD = 512
};
#define CLEAR 0.25f /* a margin in ln p that no rounding of 11 bits turns */

/* Of all products of the test, of its toys' rows, and what the device says of itself, by Hopper's tensor cores. They
 * change with the arithmetic alone. */
#define PRODUCTS_HASH 0x8d14ccafc95a738fu
#define SELFTEST 0x11a1bb180c1f3bc4u
#define TOYS_HASH 0x672ca8ac1d1ea4b7u

static const struct device_table *table;
static char folder[] = "/tmp/pilotfish-cuda-XXXXXX", path[64], little[64];

static uint64_t hash(uint64_t h, const void *data, size_t n)
{
    const uint8_t *at = data; /* FNV-1a */
    for (size_t i = 0; i < n; i++) h = (h ^ at[i]) * 0x100000001b3u;
    return h;
}

static void run(struct device *d)
{
    int done;
    table->run(d);
    while ((done = table->poll(d, clock_now_ns() + 1000000)) == 0) continue;
    assert_int_equal(done, 1);
}

/* ---- products ---- */

struct product {
    enum quant type;
    int n_in;
    uint8_t *rows; /* [n_out, row_bytes] */
    float *x;      /* [n_rows, n_in] */
};

static struct product product_for(enum quant type, int n_in, size_t n_out, int n_rows)
{
    struct hard h = {(uint64_t)type * 7919 + (uint64_t)n_in};
    size_t n = hard_row_bytes(type, n_in);
    struct product p = {type, n_in, hard_alloc(n_out * n), hard_alloc((size_t)(n_rows * n_in) * sizeof(float))};
    for (size_t i = 0; i < n_out; i++) hard_weights(&h, p.rows + i * n, type, n_in);
    hard_floats(&h, p.x, n_rows * n_in);
    return p;
}

static struct product product_of(enum quant type, int n_in)
{
    return product_for(type, n_in, N_OUT, MAX_ROWS);
}

static void product_free(struct product *p)
{
    free(p->rows);
    free(p->x);
}

static int fill_matrix(struct device *d, const struct product *p, int n_out)
{
    const int matrix = table->matrix(d, p->type, p->n_in, n_out);
    assert_true(matrix >= 0);
    for (int i = 0; i * PANEL < n_out; i++) {
        const void *rows[PANEL] = {NULL};
        for (int j = 0; j < PANEL && i * PANEL + j < n_out; j++)
            rows[j] = p->rows + (size_t)(i * PANEL + j) * hard_row_bytes(p->type, p->n_in);
        table->fill(d, matrix, i, rows);
    }
    return matrix;
}

/* A device with a matrix of n_out of the rows; another seed, another order of blocks and threads. */
static struct device *device_for(const struct product *p, const char *seed, int n_out, int max_rows, int *matrix)
{
    const char *why = "";
    const struct device_shape shape = {.max_rows = max_rows,
                                       .n_embd = p->n_in,
                                       .n_head = 1,
                                       .n_head_kv = 1,
                                       .d_head = HEAD_SIZE,
                                       .n_ff = 8,
                                       .n_caches = 1,
                                       .n_slots = 1,
                                       .n_ctx = 8,
                                       .eps = 1e-5f,
                                       .n_attn = HEAD_SIZE,
                                       .n_ff_all = 8,
                                       .group = 1};
    setenv("CUDA_EMULATED_SEED", seed, 1);
    struct device *d = table->open(&shape, &why);
    if (!d) fail_msg("%s", why);
    *matrix = fill_matrix(d, p, n_out);
    return d;
}

static struct device *device_of(const struct product *p, const char *seed, int *matrix)
{
    return device_for(p, seed, N_OUT, MORE_ROWS, matrix);
}

/* Rows which[0..n) are those that products read. */
static void make_ready(struct device *d, const struct product *p, const int *which, int n)
{
    static struct device_row rows[MANY_ROWS];
    static float x[MANY_ROWS * MOST_IN], cs[2 * MANY_ROWS * HEAD_SIZE];
    const struct device_op ready = {.kind = DEVICE_READY, .buffer = DEVICE_X, .norm = DEVICE_NONE, .entry = 3};
    for (int i = 0; i < n; i++) {
        rows[i] = (struct device_row){.bad = -1};
        memcpy(x + (size_t)i * (size_t)p->n_in, p->x + (size_t)which[i] * (size_t)p->n_in, (size_t)p->n_in * sizeof *x);
    }
    table->begin(d, rows, n, x, cs);
    assert_int_equal(table->record(d, &ready), 0);
    run(d);
    table->end(d, rows, x);
    for (int i = 0; i < n; i++) assert_int_equal(rows[i].bad, -1);
}

/* out[n, N_PANELS * PANEL] of these rows. */
static void multiply(struct device *d, const struct product *p, int matrix, const int *which, int n, float *out)
{
    make_ready(d, p, which, n);
    table->logits(d, out, N_PANELS * PANEL, matrix, 0, n, 0, N_OUT);
}

/* Every weight and every x is rounded to 11 bits, BF16's to 8; F32 is added in fp32. */
static double tolerance(enum quant type)
{
    return type == QUANT_F32 ? 0x1p-20 : type == QUANT_BF16 ? 0x1p-8 : 0x1p-9;
}

static void check_close(const struct product *p, const float *out)
{
    for (int r = 0; r < MAX_ROWS; r++)
        for (int o = 0; o < N_OUT; o++) {
            double sum = 0, size = 0;
            const uint8_t *row = p->rows + (size_t)o * hard_row_bytes(p->type, p->n_in);
            for (int k = 0; k < p->n_in; k++) {
                double w = hard_value(p->type, row, k), x = (double)p->x[r * p->n_in + k];
                sum += w * x;
                size += fabs(w * x);
            }
            double got = (double)out[r * N_PANELS * PANEL + o];
            if (!(fabs(got - sum) <= size * tolerance(p->type)))
                fail_msg("format %d, %d in, row %d, output %d: %g, not %g; %g of the sizes", (int)p->type, p->n_in, r,
                         o, got, sum, fabs(got - sum) / size);
        }
}

/* An embedding row is the weights as products read them. */
static void check_row(struct device *d, const struct product *p, int matrix)
{
    static float row[MOST_IN];
    const uint8_t *of_file = p->rows + 37 * hard_row_bytes(p->type, p->n_in);
    double most = 0;
    table->row(d, row, matrix, 37);
    for (int k = 0; k < p->n_in; k++) most = fmax(most, fabs(hard_value(p->type, of_file, k)));
    for (int k = 0; k < p->n_in; k++)
        if (fabs((double)row[k] - hard_value(p->type, of_file, k)) > most * 0x1p-9)
            fail_msg("format %d, value %d of the row: %g", (int)p->type, k, (double)row[k]);
}

/* Rows in other places, in other company, in passes of one class and another: by clusters of blocks on cards that have
 * them, but for the pass of more than 64 rows. */
static void check_same(const struct product *p, const char *seed, const float *all)
{
    enum { WIDTH = N_PANELS * PANEL };
    static float some[MORE_ROWS * WIDTH];
    static const int counts[] = {1, 7, 8, 9, 16, 24, 33, MORE_ROWS};
    int which[MORE_ROWS], matrix;
    struct device *d = device_of(p, seed, &matrix);
    for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
        const int n = counts[c], half = n / 2;
        for (int i = 0; i < n; i++) which[i] = (i * 29 + n) % MAX_ROWS;
        multiply(d, p, matrix, which, n, some);
        for (int i = 0; i < n; i++)
            if (memcmp(some + i * WIDTH, all + which[i] * WIDTH, N_OUT * sizeof *some))
                fail_msg("format %d, %d in: a row among %d differs", (int)p->type, p->n_in, n);
        table->logits(d, some, WIDTH, matrix, half, n - half, 1, N_OUT - PANEL);
        for (int i = half; i < n; i++)
            if (memcmp(some + (i - half) * WIDTH, all + which[i] * WIDTH + PANEL, (N_OUT - PANEL) * sizeof *some))
                fail_msg("format %d, %d in: panels from the second on differ", (int)p->type, p->n_in);
    }
    table->close(d);
}

static uint64_t check_product(enum quant type, int n_in)
{
    static float all[MAX_ROWS * N_PANELS * PANEL];
    struct product p = product_of(type, n_in);
    int which[MAX_ROWS], matrix;
    struct device *d = device_of(&p, "1", &matrix);
    for (int i = 0; i < MAX_ROWS; i++) which[i] = i;
    multiply(d, &p, matrix, which, MAX_ROWS, all);
    check_close(&p, all);
    check_row(d, &p, matrix);
    table->close(d);
    check_same(&p, "5", all);
    setenv("CUDA_EMULATED_GENERATION", "8", 1); /* which copies otherwise, and has no clusters */
    check_same(&p, "2", all);
    unsetenv("CUDA_EMULATED_GENERATION");
    product_free(&p);
    return hash(0xcbf29ce484222325u, all, sizeof all);
}

static void products_of_every_format_are_close_and_their_bits_depend_on_nothing_else(void **state)
{
    (void)state;
    static const int lengths[] = {32, 224, 288, 256, 768, 2304}; /* parts of one size, and of two */
    uint64_t h = 0;
    for (int i = 0; kernels_format(i); i++)
        for (size_t j = 0; j < sizeof lengths / sizeof *lengths; j++) {
            enum quant type = *kernels_format(i);
            bool by_256 = type >= QUANT_Q2_K && type <= QUANT_Q6_K;
            if (by_256 != (lengths[j] % 256 == 0) || (lengths[j] == 2304 && type != QUANT_Q4_K)) continue;
            uint64_t of = check_product(type, lengths[j]);
            h = hash(h, &of, sizeof of);
        }
    check_product(QUANT_F16, 72); /* no multiple of a block */
    if (h != PRODUCTS_HASH) fail_msg("the products' hash is 0x%llxu", (unsigned long long)h);
}

/* Of many rows at once: each form that takes more than 64, on cards with and without room for the highest tile. */
static void check_many(enum quant type, int n_in)
{
    enum { WIDTH = 256, MANY_OUT = 250 };
    static float few[MANY_ROWS * WIDTH], many[MANY_ROWS * WIDTH];
    static const struct {
        const char *generation;
        int n_rows, row, i_panel, n_out; /* rows, and outputs of panels, from one on */
    } cases[] = {{"9", 65, 0, 0, 40}, {"9", 128, 0, 5, 125}, {"9", 129, 0, 0, 250}, {"8", 200, 50, 1, 234}};
    struct product p = product_for(type, n_in, MANY_OUT, MANY_ROWS);
    int which[MANY_ROWS], matrix;
    struct device *d = device_for(&p, "5", MANY_OUT, MANY_ROWS, &matrix);
    for (int i = 0; i < MANY_ROWS; i++) which[i] = i;
    for (int i = 0; i < MANY_ROWS; i += MAX_ROWS) {
        int n = MANY_ROWS - i < MAX_ROWS ? MANY_ROWS - i : MAX_ROWS;
        make_ready(d, &p, which + i, n);
        table->logits(d, few + i * WIDTH, WIDTH, matrix, 0, n, 0, MANY_OUT);
    }
    table->close(d);
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        const int n = cases[c].n_rows, row = cases[c].row, first = cases[c].i_panel * PANEL;
        setenv("CUDA_EMULATED_GENERATION", cases[c].generation, 1);
        d = device_for(&p, "6", MANY_OUT, MANY_ROWS, &matrix);
        for (int i = 0; i < n; i++) which[i] = (i * 29 + n) % MANY_ROWS;
        make_ready(d, &p, which, n);
        table->logits(d, many, WIDTH, matrix, row, n - row, cases[c].i_panel, cases[c].n_out);
        table->close(d);
        for (int i = row; i < n; i++)
            if (memcmp(many + (i - row) * WIDTH, few + which[i] * WIDTH + first, (size_t)cases[c].n_out * sizeof *few))
                fail_msg("format %d, %d in: a row among %d differs from itself among 64", (int)type, n_in, n);
    }
    unsetenv("CUDA_EMULATED_GENERATION");
    product_free(&p);
}

static void products_of_many_rows_have_the_bits_of_few(void **state)
{
    (void)state;
    for (int i = 0; kernels_format(i); i++) {
        enum quant type = *kernels_format(i);
        check_many(type, type >= QUANT_Q2_K && type <= QUANT_Q6_K ? 768 : 288);
    }
}

/* ---- attention ---- */

enum { MOST_POS = 320, MOST_SLOTS = 40, MOST_Q = 896 };

static const struct attention_case {
    int d, n_head, n_head_kv, n_window, n_pos;
} attention_cases[] = {
    {24, 6, 2, 0, 300},  /* no multiple of what a step takes; more than a chunk */
    {128, 4, 1, 0, 262}, /* two tiles of rows */
    {64, 14, 2, 270, 300}, {256, 2, 2, 20, 40}, {8, 40, 1, 0, 20}, /* more heads than a tile has rows */
    {32, 16, 8, 0, 290},                                           /* blocks enough to keep chunks together */
};

struct attention_text { /* [MOST_POS, ...] */
    float q[MOST_POS * MOST_Q], k[MOST_POS * MOST_Q], v[MOST_POS * MOST_Q], out[MOST_POS * MOST_Q];
};

static uint64_t noise_state = 1;

static float noise(float most)
{
    noise_state = noise_state * 6364136223846793005u + 1442695040888963407u;
    return ((float)(noise_state >> 40) * 0x1p-23f - 1) * most;
}

static double f16_of(float x)
{
    uint16_t h;
    kernels_ref.to_f16(&h, &x, 1);
    const int exponent = h >> 10 & 31, fraction = h & 1023;
    const double size = exponent ? ldexp(1024 + fraction, exponent - 25) : ldexp(fraction, -24);
    return h & 0x8000 ? -size : size;
}

static struct device *attention_device(const struct attention_case *c)
{
    const char *why = "";
    const struct device_shape shape = {.max_rows = MAX_ROWS,
                                       .n_embd = 8,
                                       .n_head = c->n_head,
                                       .n_head_kv = c->n_head_kv,
                                       .d_head = c->d,
                                       .n_ff = 8,
                                       .n_caches = 1,
                                       .n_slots = MOST_SLOTS,
                                       .n_ctx = MOST_POS,
                                       .eps = 1e-5f,
                                       .q_scale = 1,
                                       .n_attn = c->n_head * c->d,
                                       .n_ff_all = 8,
                                       .group = c->n_head / c->n_head_kv};
    struct device *d = table->open(&shape, &why);
    if (!d) fail_msg("%s", why);
    return d;
}

/* Positions [at, at + n) of slot 1, behind a row of each of n_more other slots. */
static void attend(struct device *d, const struct attention_case *c, struct attention_text *t, int at, int n,
                   int n_more)
{
    static struct device_row rows[MAX_ROWS];
    static float x[MAX_ROWS * 8], cs[2 * MAX_ROWS * 256], buf[MAX_ROWS * MOST_Q];
    const int n_all = n + n_more, width[] = {c->n_head * c->d, c->n_head_kv * c->d, c->n_head_kv * c->d};
    const enum device_buffer buffers[] = {DEVICE_Q, DEVICE_K, DEVICE_V};
    const float *of[] = {t->q, t->k, t->v};
    struct device_op op = {.kind = DEVICE_PLACE,
                           .norm = DEVICE_NONE,
                           .bias = {DEVICE_NONE, DEVICE_NONE, DEVICE_NONE},
                           .norm_q = DEVICE_NONE,
                           .norm_k = DEVICE_NONE,
                           .n_window = c->n_window};
    for (int i = 0; i < 2 * MAX_ROWS * c->d; i++) cs[i] = i % 2 ? 0 : 1;
    for (int i = 0; i < n_all; i++)
        rows[i] = i < n_more ? (struct device_row){2 + i, i % 3, -1} : (struct device_row){1, at + i - n_more, -1};
    table->begin(d, rows, n_all, x, cs);
    for (int b = 0; b < 3; b++) {
        for (int i = 0; i < n_more * width[b]; i++) buf[i] = noise(1);
        memcpy(buf + n_more * width[b], of[b] + at * width[b], (size_t)(n * width[b]) * sizeof *buf);
        table->put(d, buffers[b], buf, (size_t)width[b], n_all, width[b]);
    }
    assert_int_equal(table->record(d, &op), 0);
    op.kind = DEVICE_ATTEND;
    assert_int_equal(table->record(d, &op), 0);
    run(d);
    table->get(d, buf, (size_t)width[0], DEVICE_ATTN, n_all, width[0]);
    memcpy(t->out + at * width[0], buf + n_more * width[0], (size_t)(n * width[0]) * sizeof *buf);
    table->end(d, rows, x);
    for (int i = 0; i < n_all; i++) assert_int_equal(rows[i].bad, -1);
}

/* q, p are rounded to 11 bits: scores are off by 2^-11 of the sum of |q k|, p in a sum of 1 by twice that. */
static void check_attention(const struct attention_case *c, const struct attention_text *t, int pos, int head)
{
    const int n_q = c->n_head * c->d, n_kv = c->n_head_kv * c->d, at = head / (c->n_head / c->n_head_kv) * c->d,
              first = c->n_window && pos >= c->n_window ? pos + 1 - c->n_window : 0;
    static double p[MOST_POS];
    double sum = 0, sizes = 0, most = -INFINITY;
    for (int j = first; j <= pos; j++) {
        double size = 0;
        p[j] = 0;
        for (int i = 0; i < c->d; i++) {
            double qk = (double)t->q[pos * n_q + head * c->d + i] * f16_of(t->k[j * n_kv + at + i]);
            p[j] += qk;
            size += fabs(qk);
        }
        most = fmax(most, p[j]);
        sizes = fmax(sizes, size);
    }
    for (int j = first; j <= pos; j++) sum += p[j] = exp(p[j] - most);
    for (int i = 0; i < c->d; i++) {
        double o = 0, got = (double)t->out[pos * n_q + head * c->d + i];
        for (int j = first; j <= pos; j++) o += p[j] / sum * f16_of(t->v[j * n_kv + at + i]);
        if (!(fabs(got - o) <= 0x1p-10 * (1 + sizes)))
            fail_msg("heads of %d, position %d, head %d, element %d: %g, not %g", c->d, pos, head, i, got, o);
    }
}

static void attention_is_close_and_its_bits_depend_on_nothing_else(void **state)
{
    (void)state;
    static struct attention_text all, some;
    for (size_t i = 0; i < sizeof attention_cases / sizeof *attention_cases; i++) {
        const struct attention_case *c = &attention_cases[i];
        const int n_q = c->n_head * c->d, n_kv = c->n_head_kv * c->d;
        for (int j = 0; j < c->n_pos * n_q; j++) all.q[j] = noise(1);
        for (int j = 0; j < c->n_pos * n_kv; j++) all.k[j] = noise(1), all.v[j] = noise(1);
        some = all;
        setenv("CUDA_EMULATED_SEED", "3", 1);
        struct device *d = attention_device(c);
        for (int at = 0; at < c->n_pos; at += MAX_ROWS)
            attend(d, c, &all, at, c->n_pos - at < MAX_ROWS ? c->n_pos - at : MAX_ROWS, 0);
        table->close(d);
        for (int pos = 0; pos < c->n_pos; pos += pos < 20 ? 1 : 37)
            for (int head = 0; head < c->n_head; head += 1 + head / 3) check_attention(c, &all, pos, head);
        setenv("CUDA_EMULATED_SEED", "4", 1);
        d = attention_device(c);
        const int last = c->n_pos - 3;
        for (int at = 0; at < last; at += 24) attend(d, c, &some, at, last - at < 24 ? last - at : 24, 3);
        attend(d, c, &some, last, 1, 0); /* alone: a block a chunk */
        attend(d, c, &some, last + 1, 2, MOST_SLOTS - 2);
        table->close(d);
        if (memcmp(all.out, some.out, (size_t)(c->n_pos * n_q) * sizeof *all.out))
            fail_msg("heads of %d: other company, other bits", c->d);
    }
}

/* A value that f16 does not hold is of its row alone, though rows before it see its place in the same tile. */
static void a_value_that_f16_does_not_hold_is_of_its_row_alone(void **state)
{
    (void)state;
    static struct attention_text t;
    const struct attention_case c = {16, 2, 1, 0, 8};
    for (int i = 0; i < 8 * 32; i++) t.q[i] = noise(1);
    for (int i = 0; i < 8 * 16; i++) t.k[i] = noise(1), t.v[i] = noise(1);
    t.v[5 * 16 + 3] = 1e6f;
    struct device *d = attention_device(&c);
    struct device_row rows[8];
    float x[8 * 8] = {0}, cs[2 * MAX_ROWS * 16], out[8 * 32];
    struct device_op op = {.kind = DEVICE_PLACE,
                           .norm = DEVICE_NONE,
                           .bias = {DEVICE_NONE, DEVICE_NONE, DEVICE_NONE},
                           .norm_q = DEVICE_NONE,
                           .norm_k = DEVICE_NONE,
                           .entry = 4};
    for (int i = 0; i < 2 * MAX_ROWS * 16; i++) cs[i] = i % 2 ? 0 : 1;
    for (int i = 0; i < 8; i++) rows[i] = (struct device_row){0, i, -1};
    table->begin(d, rows, 8, x, cs);
    table->put(d, DEVICE_Q, t.q, 32, 8, 32);
    table->put(d, DEVICE_K, t.k, 16, 8, 16);
    table->put(d, DEVICE_V, t.v, 16, 8, 16);
    table->record(d, &op);
    op.kind = DEVICE_ATTEND;
    table->record(d, &op);
    run(d);
    table->get(d, out, 32, DEVICE_ATTN, 8, 32);
    table->end(d, rows, x);
    for (int i = 0; i < 8; i++) assert_int_equal(rows[i].bad, i == 5 ? 4 : -1);
    for (int i = 0; i < 5 * 32; i++) assert_true(fabsf(out[i]) <= 1.001f);
    for (int i = 5 * 32; i < 6 * 32; i++) assert_true(isnan(out[i])); /* other shards find it so */
    table->close(d);
}

/* ---- the head ---- */

enum { N_IDS = 2500, N_CHUNKS = 3, N_ASKED = 9, N_JUDGE = 2, FIRST_ID = 3072 };
static const int limits[N_ASKED] = {N_IDS, 1, 1024, 1025, 2048, 16, 2499, 999, N_IDS};
static const float temps[N_ASKED] = {1, 0.8f, 0, 2, 1e-6f, 0.7f, 1, 0, 0.3f}; /* 0: greedy */

/* Beside the plainest way: all ids of a row, one after another. */
static void check_chosen(float logits[N_ASKED][N_CHUNKS * HEAD_CHUNK], const struct device_ask *asks, int n_best,
                         const struct head_pick *picks, const struct device_best *best)
{
    for (int i = 0; i < N_ASKED; i++) {
        struct head_pick pick = {-INFINITY, -INFINITY, INT32_MAX};
        struct device_best last = {-1, INFINITY};
        for (int id = 0; id < limits[i] && asks[i].inv_t > 0; id++) {
            float key = fmaf(logits[i][id], asks[i].inv_t,
                             noise_gumbel(asks[i].seed, asks[i].sample, asks[i].position, (uint32_t)(FIRST_ID + id)));
            if (key > pick.key) pick = (struct head_pick){key, logits[i][id], id};
        }
        assert_memory_equal(&picks[i], &pick, sizeof pick);
        for (int k = 0; k < n_best; k++) {
            struct device_best next = {INT32_MAX, -INFINITY};
            for (int id = 0; id < limits[i] && asks[i].best; id++) {
                float logit = logits[i][id];
                bool behind = logit < last.logit || (logit == last.logit && id > last.id);
                if (behind && logit > next.logit) next = (struct device_best){id, logit};
            }
            assert_memory_equal(&best[i * n_best + k], &next, sizeof next);
            last = next;
        }
    }
}

static void run_head(struct device *d, struct device_row *rows, const struct device_op *head)
{
    assert_int_equal(table->record(d, head), 0);
    run(d);
    table->end(d, rows, NULL);
}

static void a_verdict_has_the_bits_of_the_logits(void **state)
{
    (void)state;
    enum { N_IN = 64 };
    static const struct {
        bool whole;
        int n_best, n_more; /* then once more; below 0: nothing is asked for */
    } passes[] = {
        {false, -1, 0}, {true, 64, 0}, {true, 64, 450}, {true, -1, 0},  {false, 20, 0}, {true, 64, 450},
        {false, 0, 1},  {true, 64, 0}, {true, -1, 0},   {true, 64, 450}}; /* a third one is a graph's second */
    static uint16_t w[N_IDS][N_IN];
    static float x[N_ASKED * N_IN], cs[2 * MAX_ROWS * 8], logits[N_ASKED][N_CHUNKS * HEAD_CHUNK];
    static struct device_best best[DEVICE_BEST];
    for (int i = 0; i < N_IDS * N_IN; i++) kernels_ref.to_f16(&w[i / N_IN][i % N_IN], (float[]){noise(1)}, 1);
    for (int i = 0; i < N_ASKED * N_IN; i++) x[i] = noise(2);
    int32_t judge[N_ASKED * N_JUDGE];
    struct device_row rows[N_ASKED];
    struct device_ask asks[N_ASKED];
    struct head_part expected[N_ASKED][N_CHUNKS], parts[N_ASKED * N_CHUNKS], twice[N_ASKED * N_CHUNKS];
    struct head_pick picks[N_ASKED];
    float judged[N_ASKED * N_JUDGE], asked[N_ASKED * N_JUDGE];
    for (int i = 0; i < N_ASKED; i++) {
        rows[i] = (struct device_row){0, i, -1};
        asks[i] = (struct device_ask){temps[i] > 0 ? 1 / temps[i] : 0, (uint32_t)i * 77, 3, 1000 + (uint32_t)i, i != 3};
        judge[2 * i] = i % 3 == 1 ? -1 : (limits[i] - 1) / (1 + i % 2);
        judge[2 * i + 1] = 0;
    }
    memset(w[1999], 0, sizeof w[0]);
    for (int i = 0; i < 40; i++) memcpy(w[2100 - 50 * i], w[77], sizeof w[0]); /* ties */
    const struct device_shape shape = {.max_rows = MAX_ROWS,
                                       .n_embd = N_IN,
                                       .n_head = 1,
                                       .n_head_kv = 1,
                                       .d_head = 8,
                                       .n_ff = 8,
                                       .n_caches = 1,
                                       .n_slots = 1,
                                       .n_ctx = 16,
                                       .eps = 1e-5f,
                                       .n_attn = 8,
                                       .n_ff_all = 8,
                                       .group = 1};
    const char *why = "";
    struct device *d = table->open(&shape, &why);
    assert_non_null(d);
    int matrix = table->matrix(d, QUANT_F16, N_IN, N_IDS);
    for (int i = 0; i * PANEL < N_IDS; i++) {
        const void *of[PANEL] = {NULL};
        for (int j = 0; j < PANEL && i * PANEL + j < N_IDS; j++) of[j] = w[i * PANEL + j];
        table->fill(d, matrix, i, of);
    }
    for (size_t p = 0; p < sizeof passes / sizeof *passes; p++) {
        const bool whole = passes[p].whole;
        const struct device_op ready = {.kind = DEVICE_READY, .buffer = DEVICE_X, .norm = DEVICE_NONE};
        struct device_op head = {.kind = DEVICE_HEAD,
                                 .matrix = matrix,
                                 .rows = limits,
                                 .n_rows = N_ASKED,
                                 .judge = judge,
                                 .n_judge = N_JUDGE,
                                 .n_ids = N_IDS,
                                 .whole = whole};
        if (passes[p].n_best >= 0) head.asks = asks, head.n_best = passes[p].n_best, head.first_id = FIRST_ID;
        table->begin(d, rows, N_ASKED, x, cs);
        assert_int_equal(table->record(d, &ready), 0);
        run_head(d, rows, &head);
        table->head(d, parts, judged);
        if (head.asks) table->chosen(d, picks, best);
        for (int i = 0; i < N_ASKED * N_JUDGE; i++) asked[i] = -INFINITY;
        for (int c = 0; c < N_CHUNKS; c++) {
            int first = c * HEAD_CHUNK, n = N_IDS - first < HEAD_CHUNK ? N_IDS - first : HEAD_CHUNK;
            table->logits(d, logits[0] + first, N_CHUNKS * HEAD_CHUNK, matrix, 0, N_ASKED, first / PANEL, n);
            for (int i = 0; i < N_ASKED; i++) {
                const float *of = logits[i] + first;
                if (limits[i] > first)
                    expected[i][c] = kernels_ref.head(of, first, limits[i] - first < n ? limits[i] - first : n);
                for (int k = 2 * i; k < 2 * i + 2; k++)
                    if (judge[k] >= first && judge[k] < first + n) asked[k] = of[judge[k] - first];
            }
        }
        assert_memory_equal(judged, asked, sizeof asked);
        for (int i = 0; i < N_ASKED; i++) {
            int n = (limits[i] + HEAD_CHUNK - 1) / HEAD_CHUNK;
            struct head_part all = expected[i][0];
            for (int c = 1; c < n; c++) all = head_merge(all, expected[i][c]);
            if (whole)
                assert_memory_equal(&parts[i], &all, sizeof all);
            else
                assert_memory_equal(&parts[i * N_CHUNKS], expected[i], (size_t)n * sizeof all);
        }
        if (head.asks) check_chosen(logits, asks, head.n_best, picks, best);
        if (!passes[p].n_more) continue;
        head.n_best = passes[p].n_more;
        run_head(d, rows, &head);
        table->head(d, twice, asked);
        assert_memory_equal(judged, asked, sizeof asked);
        assert_memory_equal(parts, twice, (size_t)(whole ? N_ASKED : N_ASKED * N_CHUNKS) * sizeof *parts);
        table->chosen(d, picks, best);
        check_chosen(logits, asks, head.n_best, picks, best);
    }
    for (int p = 0; p < 3; p++) { /* a HEAD alone; in the end of READY rows that lie otherwise */
        static const int all[N_ASKED] = {0, 1, 2, 3, 4, 5, 6, 7, 8};
        const struct device_op ready = {
            .kind = DEVICE_READY, .buffer = DEVICE_X, .norm = DEVICE_NONE, .rows = all, .n_rows = p < 2 ? N_ASKED : 8};
        const struct device_op head = {
            .kind = DEVICE_HEAD, .matrix = matrix, .rows = limits, .n_rows = 8, .n_ids = N_IDS, .whole = true};
        table->begin(d, rows, N_ASKED, x, cs);
        assert_int_equal(table->record(d, &ready), 0);
        run(d);
        run_head(d, rows, &head);
        table->head(d, p ? twice : parts, judged);
        if (p) assert_memory_equal(parts, twice, 8 * sizeof *parts);
    }
    table->close(d);
}

/* ---- a whole model ---- */

static struct engine *engine_of(const struct device_table *device)
{
    struct engine *e = NULL;
    struct err err;
    const char *why;
    const struct engine_config c = {.path = path,
                                    .share = {.n_stages = 1, .n_shards = 1},
                                    .kernels = kernels_pick(NULL, &why),
                                    .device = device,
                                    .n_threads = 1,
                                    .max_rows = MAX_ROWS};
    if (engine_open(&e, &c, &err) != OK || engine_load(e, 2, N_CTX, &err) != OK) fail_msg("%s", err.text);
    return e;
}

struct text { /* what became of each position of a slot */
    float x[N_CTX][MOST_EMBD];
    int32_t next[N_CTX];
    float margin[N_CTX]; /* ln p of the best id over the second's */
};

static int32_t id_at(int slot, int pos)
{
    return (pos * 7 + slot * 131 + 5) % 512;
}

/* n rows of slot 0 from *at, and n_more of slot 1 before them, whose results nobody looks at. */
static void feed(struct engine *e, struct text *out, int at[2], int n, int n_more)
{
    static struct row asks[MAX_ROWS];
    static struct engine_row rows[MAX_ROWS];
    static int32_t ids[MAX_ROWS];
    static float x[MAX_ROWS * MOST_EMBD];
    const struct verdict_row *answers = NULL;
    struct engine_info info;
    struct err err;
    engine_info(e, &info);
    const size_t width = (size_t)info.shape.n_embd;
    for (int i = 0; i < n + n_more; i++) {
        int slot = i < n_more, pos = at[slot]++;
        ids[i] = id_at(slot, pos);
        asks[i] = (struct row){.id = ids[i], .wanted = true, .n_top = 2};
        rows[i] = (struct engine_row){.slot = slot, .pos = pos, .ask = &asks[i]};
    }
    engine_embed(e, ids, n + n_more, x);
    if (engine_pass(e, rows, n + n_more, x, &answers, &err) != OK) fail_msg("%s", err.text);
    for (int i = n_more; i < n + n_more; i++) {
        int pos = rows[i].pos;
        assert_int_equal(engine_row_error(e, i, &err), OK);
        memcpy(out->x[pos], x + (size_t)i * width, width * sizeof *x);
        out->next[pos] = answers[i].next;
        out->margin[pos] = answers[i].top[0].lp - answers[i].top[1].lp;
    }
}

/* Positions of slot 0, in passes of `rows` until 0, then of the last but one. */
static void read_text(struct text *out, const struct device_table *device, const char *seed, int n, const int *rows,
                      int n_more)
{
    setenv("CUDA_EMULATED_SEED", seed, 1);
    struct engine *e = engine_of(device);
    memset(out, 0, sizeof *out);
    for (int at[2] = {0, 0}; at[0] < n; rows += rows[1] != 0)
        feed(e, out, at, *rows < n - at[0] ? *rows : n - at[0], at[1] + n_more <= N_CTX ? n_more : 0);
    engine_close(e);
}

static uint64_t check_model(const struct tiny_spec *s, int n)
{
    static struct text cpu, device, again;
    static const int whole[] = {64, 0}, mixed[] = {1, 7, 8, 9, 16, 33, 0};
    int n_clear = 0;
    assert_int_equal(tiny_write(path, s), 0);
    read_text(&cpu, NULL, "1", n, whole, 0);
    read_text(&device, table, "1", n, whole, 0);
    read_text(&again, table, "2", n, mixed, 3);
    for (int i = 0; i < n; i++) {
        if (memcmp(device.x[i], again.x[i], sizeof *device.x) || device.next[i] != again.next[i] ||
            memcmp(&device.margin[i], &again.margin[i], sizeof *device.margin))
            fail_msg("%s, format %u: position %d has other bits in other passes", s->architecture, s->type, i);
        if (cpu.margin[i] < CLEAR) continue;
        n_clear++;
        if (cpu.next[i] != device.next[i])
            fail_msg("%s, format %u: position %d has id %d, the CPU's is %d by %g", s->architecture, s->type, i,
                     device.next[i], cpu.next[i], (double)cpu.margin[i]);
    }
    assert_true(n_clear > n / 4);
    return hash(0xcbf29ce484222325u, device.x, sizeof device.x);
}

struct counts { /* of the emulated device: CUDA_EMULATED_COUNTS */
    long graphs, kernels, begun;
};

/* After n passes of a row, then of 5. */
static struct counts counts_after(int n)
{
    static struct text t;
    char name[80], line[80];
    struct counts c = {0};
    snprintf(name, sizeof name, "%s/counts", folder);
    setenv("CUDA_EMULATED_COUNTS", name, 1);
    struct engine *e = engine_of(table);
    for (int i = 0, at[2] = {0, 0}; i < 2 * n; i++) feed(e, &t, at, i < n ? 1 : 5, 0);
    engine_close(e);
    unsetenv("CUDA_EMULATED_COUNTS");
    FILE *f = fopen(name, "r");
    assert_non_null(f);
    while (fgets(line, sizeof line, f))
        assert_int_equal(sscanf(line, "%ld %ld %ld", &c.graphs, &c.kernels, &c.begun), 3);
    fclose(f);
    assert_int_equal(remove(name), 0);
    return c;
}

/* 1 and 5 rows are of one class. A block is q, k and v; place; attend; o; add; gate and up; activate; down; add. */
static void a_pass_that_was_seen_before_is_one_launch(void **state)
{
    (void)state;
    struct tiny_spec s = tiny_spec(QUANT_Q8_0);
    if (getenv("PILOTFISH_DEVICE_MODULE")) skip();
    assert_int_equal(tiny_write(path, &s), 0);
    const struct counts one = counts_after(1), four = counts_after(4), again = counts_after(1); /* so far, each */
    assert_int_equal(four.graphs - one.graphs, 7);                                              /* of 8 passes */
    assert_true(one.graphs >= 1 && four.begun - one.begun > (four.kernels - one.kernels) / 3);
    assert_true((four.kernels - one.kernels) - (again.kernels - four.kernels) <= 6 * (9 * s.n_blocks + 10));
}

static void few_heads(struct tiny_spec *s)
{
    s->d_head = s->n_embd / s->n_head;
    s->n_head /= 3;
    s->n_head_kv = 1;
}

static void toys_choose_the_cpu_s_ids_and_their_bits_depend_on_no_company(void **state)
{
    (void)state;
    static const struct {
        const char *architecture;
        enum quant type;
        int n;
    } rows[] = {
        {"qwen2", QUANT_F16, ATTN_CHUNK + 9}, /* more than a chunk of attention */
        {"llama", QUANT_Q8_0, 13},
        {"qwen3", QUANT_Q4_K, 13},
        {"gemma3", QUANT_BF16, 28}, /* windows of 20 */
        {"qwen3moe", QUANT_Q4_0, 13},
    };
    uint64_t h = 0;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tiny_spec s = tiny_spec(rows[i].type);
        s.architecture = rows[i].architecture;
        s.rope_factors = !strcmp(s.architecture, "llama");
        s.n_blocks = 2;
        if (s.type == QUANT_F16) few_heads(&s), s.n_blocks = 1;
        if (!strcmp(s.architecture, "qwen3moe")) s.n_experts = 4, s.n_used = 2;
        uint64_t of = check_model(&s, rows[i].n);
        h = hash(h, &of, sizeof of);
    }
    if (h != TOYS_HASH) fail_msg("the toys' hash is 0x%llxu", (unsigned long long)h);
}

static void several_steps_in_one_pass_have_the_bits_of_single_passes(void **state)
{
    (void)state;
    static const struct {
        const char *architecture;
        enum quant type;
    } rows[] = {{"qwen2", QUANT_Q8_0}, {"gemma3", QUANT_BF16}, {"llama", QUANT_F32}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tiny_spec s = tiny_spec(rows[i].type);
        s.architecture = rows[i].architecture;
        s.n_blocks = 1;
        assert_int_equal(tiny_write(path, &s), 0);
        device_steps_check(table, path);
    }
}

static void a_verifier_on_it_gives_one_hash_over_layouts(void **state)
{
    (void)state;
    static struct grid g;
    static const struct cell cells[] = {{GRID_NONE, 0, 1, 1, 1, TOGETHER},
                                        {GRID_NONE, 0, 1, 1, 1, ALONE},
                                        {GRID_LITTLE, 3, 1, 2, 1, TOGETHER},
                                        {GRID_SUFFIX, 5, 1, 1, 2, COMING}};
    const char *why;
    struct tiny_spec s = tiny_spec(QUANT_F16);
    s.n_blocks = 2; /* 9 heads, 3 for keys: two shards cut a group */
    assert_int_equal(tiny_write(path, &s), 0);
    s.left_out = 1;
    assert_int_equal(tiny_write(little, &s), 0);
    grid_init(&g, path, little, kernels_pick(NULL, &why));
    g.device = table;
    g.n_predict = 8;
    g.n_prompt[1] = 20;
    g.n_prompt[2] = 30;
    for (size_t i = 0; i < sizeof cells / sizeof *cells; i++, g.have_expected = 1) grid_run(&g, &cells[i]);
    g.sampler = (struct sampler){.temp = 0.9f, .top_k = 40, .top_p = 0.95f, .seed = 5};
    g.have_expected = 0;
    for (size_t i = 0; i < 3; i += 2, g.have_expected = 1) grid_run(&g, &cells[i]);
}

static void a_number_that_is_not_finite_is_of_its_row_alone(void **state)
{
    (void)state;
    static const float values[] = {INFINITY, NAN, 1}; /* the last, normed, is more than f16 holds */
    struct product p = product_of(QUANT_Q8_0, 64);
    int matrix;
    struct device *d = device_of(&p, "1", &matrix);
    const float large[64] = {[0 ... 63] = 1e6f};
    int norm = table->vector(d, large, 64);
    for (int i = 0; i < 3; i++) {
        struct device_row rows[2] = {{.bad = -1}, {.bad = -1}};
        float x[2 * 64] = {0}, cs[2 * MORE_ROWS * HEAD_SIZE] = {0};
        struct device_op ready = {.kind = DEVICE_READY, .buffer = DEVICE_X, .norm = DEVICE_NONE, .entry = 7};
        x[64 + 9] = values[i];
        if (i == 2) ready.norm = norm;
        table->begin(d, rows, 2, x, cs);
        assert_int_equal(table->record(d, &ready), 0);
        run(d);
        table->end(d, rows, x);
        assert_int_equal(rows[0].bad, -1);
        assert_int_equal(rows[1].bad, 7);
    }
    table->close(d);
    product_free(&p);
}

enum { FUSED_ROWS = 9, FUSED_IN = 288, FUSED_OUT = FUSED_ROWS * HEAD_SIZE };

static const int some_rows[] = {8, 3, 1, 6, 5};
static const struct fused_case {
    int n_rows;       /* of the pass; those past FUSED_ROWS are zeros */
    const int *which; /* NULL: all */
    int n, bad[FUSED_ROWS];
} fused_cases[] = {
    {FUSED_ROWS, NULL, FUSED_ROWS, {-1, -1, -1, 7, 7, -1, 7, -1, -1}},
    {FUSED_ROWS, some_rows, 5, {-1, -1, -1, 7, 9, -1, 7, -1, -1}},
    {MORE_ROWS, some_rows, 5, {-1, -1, -1, 7, 9, -1, 7, -1, -1}}, /* whose ADD leaves no scales */
};

/* X normed, of all rows or of some, times three matrices; at_once: in one run, so that products make what they read. */
static void norm_and_multiply(const struct product p[2], bool at_once, const struct fused_case *c, float *out,
                              struct device_row *rows)
{
    static float x[MORE_ROWS * FUSED_IN], y[MORE_ROWS * FUSED_IN];
    static const enum device_buffer buffers[] = {DEVICE_Q, DEVICE_K, DEVICE_V};
    float norm[FUSED_IN], cs[2 * MORE_ROWS * HEAD_SIZE] = {0};
    int matrices[3];
    struct device *d = device_of(&p[0], at_once ? "6" : "7", &matrices[0]);
    matrices[1] = fill_matrix(d, &p[1], N_OUT);
    matrices[2] = fill_matrix(d, &p[0], N_OUT);
    for (int i = 0; i < FUSED_IN; i++) norm[i] = i == 40 ? 1e5f : 1.0f + (float)i / 1024;
    for (int i = 0; i < FUSED_ROWS * FUSED_IN; i++) x[i] = p[0].x[i] / 2, y[i] = p[0].x[i] / 4;
    for (int i = 0; i < FUSED_ROWS; i++)
        x[i * FUSED_IN + 40] = y[i * FUSED_IN + 40] = i == 6 ? 1e3f : 0; /* f16 does not hold it, normed */
    x[3 * FUSED_IN + 287] = INFINITY;
    y[4 * FUSED_IN + 1] = NAN;
    for (int i = 0; i < c->n_rows; i++) rows[i] = (struct device_row){0, i < FUSED_ROWS ? i : 0, -1};
    const struct device_op add = {.kind = DEVICE_ADD, .norm = DEVICE_NONE, .step = .5f};
    const struct device_op last = {.kind = DEVICE_READY, .buffer = DEVICE_X, .norm = DEVICE_NONE, .entry = 9};
    struct device_op op = {
        .kind = DEVICE_READY, .buffer = DEVICE_X, .entry = 7, .rows = c->which, .n_rows = c->which ? c->n : 0};
    op.norm = table->vector(d, norm, FUSED_IN);
    table->begin(d, rows, c->n_rows, x, cs);
    table->put(d, DEVICE_Y, y, FUSED_IN, c->n_rows, FUSED_IN);
    table->record(d, &add);
    table->record(d, &op);
    for (int i = 0; i < 3; i++) {
        const struct device_op product = {
            .kind = DEVICE_PRODUCT, .buffer = buffers[i], .matrix = matrices[i], .n_rows = op.n_rows};
        if (!at_once) run(d);
        table->record(d, &product);
    }
    if (!at_once) run(d);
    table->record(d, &last);
    run(d);
    memset(out, 0, 3 * FUSED_OUT * sizeof *out);
    for (int i = 0; i < 3; i++) table->get(d, out + i * FUSED_OUT, HEAD_SIZE, buffers[i], c->n, HEAD_SIZE);
    table->end(d, rows, x);
    table->close(d);
}

static void products_that_norm_their_rows_have_the_bits_of_rows_normed_before(void **state)
{
    (void)state;
    static float fused[3 * FUSED_OUT], before[3 * FUSED_OUT];
    const enum quant types[][2] = {{QUANT_Q8_0, QUANT_Q8_0}, {QUANT_BF16, QUANT_Q5_1}};
    for (int t = 0; t < 2; t++) {
        struct product p[2] = {product_of(types[t][0], FUSED_IN), product_of(types[t][1], FUSED_IN)};
        for (size_t k = 0; k < sizeof fused_cases / sizeof *fused_cases; k++) {
            const struct fused_case *c = &fused_cases[k];
            struct device_row rows[2][MORE_ROWS];
            norm_and_multiply(p, true, c, fused, rows[0]);
            norm_and_multiply(p, false, c, before, rows[1]);
            assert_memory_equal(fused, before, sizeof fused);
            for (int i = 0; i < 2 * FUSED_ROWS; i++)
                assert_int_equal(rows[i / FUSED_ROWS][i % FUSED_ROWS].bad, c->bad[i % FUSED_ROWS]);
        }
        for (int i = 0; i < 2; i++) product_free(&p[i]);
    }
}

static void it_says_which_devices_there_are(void **state)
{
    (void)state;
    struct device_about about[2];
    const char *why;
    assert_true(table->probe(-1, NULL, &why) >= 1);
    for (int i = 0; i < 2; i++) assert_true(table->probe(0, &about[i], &why) >= 1);
    assert_true(about[0].memory_bytes > 1 << 30 && *about[0].name);
    assert_int_equal(about[0].selftest, SELFTEST);
    assert_int_equal(about[1].selftest, SELFTEST);
}

/* The first of a format may take room for panels and rows, too. A card gives whole 2 MiB. */
static void a_matrix_takes_the_memory_that_it_says(void **state)
{
    (void)state;
    enum { N_IN = 512, N_OUTS = 2 };
    static const int n_outs[N_OUTS] = {N_OUT, 1024};
    struct product p = product_of(QUANT_F32, N_IN);
    struct device_about about[2];
    const char *why;
    size_t said = 0, of_cpu = 0, n = 0, taken;
    int matrix;
    struct device *d = device_of(&p, "1", &matrix);
    for (int round = 0; round < 2; round++) {
        assert_true(table->probe(0, &about[0], &why) >= 1);
        for (int i = 0; kernels_format(i); i++)
            for (int k = 0; k < N_OUTS; k++, n += (size_t)round) {
                enum quant type = *kernels_format(i);
                assert_true(table->matrix(d, type, N_IN, n_outs[k]) >= 0);
                if (!round) continue;
                said += table->matrix_bytes(type, N_IN, n_outs[k]);
                of_cpu += (size_t)((n_outs[k] + PANEL - 1) / PANEL) * kernels_ref.panel_bytes(type, N_IN);
            }
        assert_true(table->probe(0, &about[1], &why) >= 1);
    }
    taken = about[0].memory_bytes - about[1].memory_bytes;
    assert_true(taken >= said && taken <= said + (getenv("PILOTFISH_DEVICE_MODULE") ? n << 21 : 0));
    assert_true(said > of_cpu);
    table->close(d);
    product_free(&p);
}

static int open_module(void **state)
{
    (void)state;
    const char *file = getenv("PILOTFISH_DEVICE_MODULE");
    void *module = dlopen(file ? file : MODULE, RTLD_NOW | RTLD_LOCAL);
    if (!module) fail_msg("%s", dlerror());
    const struct device_table *(*pf)(int) = NULL;
    void *symbol = dlsym(module, PF_CUDA_SYMBOL);
    memcpy(&pf, &symbol, sizeof pf);
    assert_non_null(pf);
    assert_null(pf(DEVICE_VERSION + 1));
    assert_non_null(table = pf(DEVICE_VERSION));
    assert_int_equal(table->arithmetic, CUDA_ARITHMETIC_ID);
    if (!mkdtemp(folder)) return -1;
    snprintf(path, sizeof path, "%s/big.gguf", folder);
    snprintf(little, sizeof little, "%s/little.gguf", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    return tiny_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_of_every_format_are_close_and_their_bits_depend_on_nothing_else),
        cmocka_unit_test(products_of_many_rows_have_the_bits_of_few),
        cmocka_unit_test(a_number_that_is_not_finite_is_of_its_row_alone),
        cmocka_unit_test(products_that_norm_their_rows_have_the_bits_of_rows_normed_before),
        cmocka_unit_test(attention_is_close_and_its_bits_depend_on_nothing_else),
        cmocka_unit_test(a_value_that_f16_does_not_hold_is_of_its_row_alone),
        cmocka_unit_test(a_verdict_has_the_bits_of_the_logits),
        cmocka_unit_test(toys_choose_the_cpu_s_ids_and_their_bits_depend_on_no_company),
        cmocka_unit_test(a_pass_that_was_seen_before_is_one_launch),
        cmocka_unit_test(several_steps_in_one_pass_have_the_bits_of_single_passes),
        cmocka_unit_test(a_verifier_on_it_gives_one_hash_over_layouts),
        cmocka_unit_test(it_says_which_devices_there_are),
        cmocka_unit_test(a_matrix_takes_the_memory_that_it_says),
    };
    return cmocka_run_group_tests(tests, open_module, remove_folder);
}
