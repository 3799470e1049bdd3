/* Random weights: as spread as their rows' length wants it, in every format; the same bytes whoever asks, in any order;
 * a file that has them and should not is refused. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/files/random_weights.h"
#include "tests/lib/hard.h"

enum { N_IN = 1024, N_ROWS = 16 };
#define ALL_HASH                                                                                                       \
    0x5391c168e2dd8d9eu /* of the rows of all formats: they are the same on every machine and in every version */

static struct gguf_tensor tensor_of(enum quant type, const char *name, int n_dims, uint8_t *data)
{
    const struct gguf_str s = {name, strlen(name)};
    return (struct gguf_tensor){.name = s,
                                .n_dims = n_dims,
                                .dim = {N_IN, n_dims > 1 ? N_ROWS : 1, 1, 1},
                                .type = (uint32_t)type,
                                .data = data,
                                .n_bytes = hard_row_bytes(type, N_IN) * (n_dims > 1 ? N_ROWS : 1),
                                .random_key = random_weights_key(7, s)};
}

static uint64_t hash(uint64_t h, const uint8_t *at, size_t n)
{
    for (size_t i = 0; i < n; i++) h = (h ^ at[i]) * 0x100000001b3u; /* FNV-1a */
    return h;
}

static void check_spread(const struct gguf_tensor *t)
{
    double sum = 0, squares = 0, most = 0;
    for (int r = 0; r < N_ROWS; r++)
        for (int k = 0; k < N_IN; k++) {
            double w = hard_value((enum quant)t->type, t->data + (size_t)r * hard_row_bytes(t->type, N_IN), k);
            sum += w, squares += w * w, most = fmax(most, fabs(w));
        }
    const double n = N_IN * N_ROWS, deviation = sqrt(squares / n) * sqrt(N_IN), mean = sum / n * sqrt(N_IN);
    const double least = t->type == QUANT_Q2_K ? 0.9 : 0.95; /* 2 bits are few for a bell */
    if (!(deviation > least && deviation < 1.15 && fabs(mean) < 0.05 && most * sqrt(N_IN) < 6))
        fail_msg("format %u: deviation %g, mean %g, most %g, in 1 / sqrt(n)", t->type, deviation, mean,
                 most * sqrt(N_IN));
}

static void rows_are_spread_as_their_length_wants_and_do_not_depend_on_who_asks(void **state)
{
    (void)state;
    uint64_t h = 0xcbf29ce484222325u;
    for (int i = 0; kernels_format(i); i++) {
        const enum quant type = *kernels_format(i);
        const size_t n = hard_row_bytes(type, N_IN);
        uint8_t *data = hard_alloc(n * N_ROWS), *alone = hard_alloc(n);
        const struct gguf_tensor t = tensor_of(type, "blk.0.attn_q.weight", 2, data),
                                 other = tensor_of(type, "blk.1.attn_q.weight", 2, data);
        assert_true(random_weights_format(type));
        for (int r = N_ROWS - 1; r >= 0; r--) assert_ptr_equal(gguf_row(&t, (uint64_t)r), data + (size_t)r * n);
        check_spread(&t);
        h = hash(h, data, n * N_ROWS);
        random_weights_row(alone, &t, 5);
        assert_memory_equal(alone, data + 5 * n, n);
        assert_memory_not_equal(alone, data + 6 * n, n);
        random_weights_row(alone, &other, 5);
        assert_memory_not_equal(alone, data + 5 * n, n);
        free(data);
        free(alone);
    }
    if (h != ALL_HASH) fail_msg("the rows' hash is 0x%llxu", (unsigned long long)h);
}

static void norms_are_ones_and_biases_are_not(void **state)
{
    (void)state;
    float x[N_IN];
    const struct gguf_tensor norm = tensor_of(QUANT_F32, "blk.0.attn_norm.weight", 1, (uint8_t *)x),
                             bias = tensor_of(QUANT_F32, "blk.0.attn_q.bias", 1, (uint8_t *)x);
    gguf_row(&norm, 0);
    for (int i = 0; i < N_IN; i++) assert_true(x[i] == 1);
    gguf_row(&bias, 0);
    for (int i = 0; i < N_IN; i++) assert_true(fabsf(x[i]) < 0.125f);
    assert_true(x[0] != x[1]);
}

/* ---- files ---- */

struct file {
    uint8_t at[1024];
    size_t n;
};

static void add(struct file *f, const void *from, size_t n)
{
    memcpy(f->at + f->n, from, n);
    f->n += n;
}

static void add_str(struct file *f, const char *s)
{
    const uint64_t n = strlen(s);
    add(f, &n, sizeof n);
    add(f, s, n);
}

static void add_u32(struct file *f, uint32_t x)
{
    add(f, &x, sizeof x);
}

/* One matrix [n_out, 256] of this type, and the seed as a value of this kind: 4 bytes. */
static struct file file_of(enum gguf_value seed, uint32_t type, uint64_t n_out)
{
    struct file f = {.n = 0};
    const uint64_t one = 1, n_in = 256, zero = 0;
    add(&f, "GGUF\3\0\0\0", 8);
    add(&f, &one, 8);
    add(&f, &one, 8);
    add_str(&f, RANDOM_SEED_KEY);
    add_u32(&f, seed);
    if (seed == GGUF_STR)
        add_str(&f, "one");
    else
        add_u32(&f, 1);
    add_str(&f, "m");
    add_u32(&f, 2);
    add(&f, &n_in, 8);
    add(&f, &n_out, 8);
    add_u32(&f, type);
    add(&f, &zero, 8);
    return f;
}

static void files_have_room_for_them_and_wrong_ones_are_refused(void **state)
{
    (void)state;
    static const struct {
        enum gguf_value seed;
        uint32_t type;
        uint64_t n_out;
        size_t n_data;
        const char *says; /* NULL: it opens */
    } rows[] = {
        {GGUF_U32, QUANT_Q4_K, 1 << 20, 0, NULL}, /* 150 MB, of which nothing is touched */
        {GGUF_STR, QUANT_Q4_K, 4, 0, "pilotfish.random_seed is no number"},
        {GGUF_U32, 16, 4, 0, "'m' has the format IQ2_XXS, of which there are no random weights"},
        {GGUF_U32, QUANT_Q4_K, 1, 200, "it has weights, and pilotfish.random_seed too"},
        {GGUF_U32, QUANT_Q8_0, (uint64_t)1 << 50, 0, "no room for"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct file f = file_of(rows[i].seed, rows[i].type, rows[i].n_out);
        struct gguf g = {0};
        struct err err = {0};
        memset(f.at + f.n, 0, rows[i].n_data);
        int rc = gguf_parse(&g, "a", f.at, f.n + rows[i].n_data, &err);
        if (rows[i].says && (rc == OK || !strstr(err.text, rows[i].says)))
            fail_msg("row %zu: rc %d, \"%s\"", i, rc, err.text);
        if (!rows[i].says) {
            assert_int_equal(rc, OK);
            const uint8_t *row = gguf_row(g.tensors, 77777);
            uint8_t copy[144];
            memcpy(copy, row, sizeof copy);
            gguf_release(&g, g.tensors); /* what is asked for again is made again */
            assert_memory_equal(gguf_row(g.tensors, 77777), copy, sizeof copy);
            uint64_t print = gguf_fingerprint(&g);
            g.tensors[0].random_key++;
            assert_true(gguf_fingerprint(&g) != print);
        }
        gguf_close(&g);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_spread_as_their_length_wants_and_do_not_depend_on_who_asks),
        cmocka_unit_test(norms_are_ones_and_biases_are_not),
        cmocka_unit_test(files_have_room_for_them_and_wrong_ones_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
