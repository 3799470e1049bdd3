/* Shards of one stage against one whole model, by memcmp: rows that are gathered quantized have the same bits, in fewer
 * bytes, and a number that is not finite is found by all shards at the same place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pthread.h>

#include <cmocka.h>

#include "proto/files/gguf_open.h"
#include "tests/lib/tiny.h"
#include "worker/engine/engine.h"

enum { MOST = 3, ROWS = 9, EMBD_MOST = 512, BAD_BLOCK = 2 };

static char folder[] = "/tmp/pilotfish-gather-XXXXXX", path[64];

struct counted { /* a collective that counts what goes through another */
    struct collective base, *inner;
    uint64_t n_bytes;
};

static int count_gather(struct collective *c, float *buf, size_t ld, int n_rows, const int *from, struct err *err)
{
    struct counted *self = (struct counted *)c;
    self->n_bytes += (uint64_t)(from[c->n] - from[0]) * sizeof *buf * (uint64_t)n_rows;
    return self->inner->gather(self->inner, buf, ld, n_rows, from, err);
}

struct shard {
    pthread_t thread;
    struct share share;
    const char *list, *plan;
    const struct kernels *kernels;
    int n_threads;
    struct counted col;
    struct engine_info info;
    float x[ROWS * EMBD_MOST];
    struct {
        int32_t next;
        float lp;
    } said[ROWS];
    char error[ROWS][160];
    uint64_t n_bytes; /* gathered in a pass without a head's */
};

static void pass(struct shard *s, struct engine *e, bool wanted)
{
    struct row asks[ROWS];
    struct engine_row rows[ROWS];
    const struct verdict_row *answers = NULL;
    struct err err = {0};
    int n_embd = s->info.shape.n_embd;
    float x[ROWS * EMBD_MOST];
    for (int i = 0; i < ROWS; i++) {
        asks[i] = (struct row){.id = i, .wanted = wanted};
        rows[i] = (struct engine_row){.slot = 0, .pos = i, .ask = &asks[i]};
    }
    for (int i = 0; i < ROWS * n_embd; i++) x[i] = (float)(i * 71 % 97 - 48) / 30;
    s->col.n_bytes = 0;
    assert_int_equal(engine_pass(e, rows, ROWS, x, &answers, &err), OK);
    memcpy(s->x, x, (size_t)(ROWS * n_embd) * sizeof *x);
    for (int i = 0; i < ROWS; i++) {
        if (engine_row_error(e, i, &err) != OK) snprintf(s->error[i], sizeof s->error[i], "%.159s", err.text);
        if (!wanted) continue;
        s->said[i].next = answers[i].next;
        s->said[i].lp = answers[i].lp_next;
    }
    s->n_bytes = s->col.n_bytes;
}

static void *work(void *arg)
{
    struct shard *s = arg;
    struct engine *e = NULL;
    struct err err;
    const struct engine_config c = {.path = path,
                                    .share = s->share,
                                    .shard_share = s->list,
                                    .plan = s->plan,
                                    .kernels = s->kernels,
                                    .collective = s->col.inner ? &s->col.base : NULL,
                                    .n_threads = s->n_threads,
                                    .max_rows = ROWS};
    if (engine_open(&e, &c, &err) != OK || engine_load(e, 1, 32, &err) != OK) fail_msg("%s", err.text);
    engine_info(e, &s->info);
    pass(s, e, true);
    pass(s, e, false);
    engine_close(e);
    return NULL;
}

/* As shards, of `list`, or one whole model. */
static void run(struct shard *shards, int n, const char *list, const char *plan, const struct kernels *k)
{
    struct collective *cols[MOST] = {NULL};
    struct err err;
    if (n > 1) assert_int_equal(collective_local_open(cols, n, &err), OK);
    for (int i = 0; i < n; i++) {
        shards[i] =
            (struct shard){.share = {0, 1, i, n}, .list = list, .plan = plan, .kernels = k, .n_threads = 1 + i % 2};
        if (n > 1) shards[i].col = (struct counted){{.n = n, .self = i, .gather = count_gather}, cols[i], 0};
        assert_int_equal(pthread_create(&shards[i].thread, NULL, work, &shards[i]), 0);
    }
    for (int i = 0; i < n; i++) {
        pthread_join(shards[i].thread, NULL);
        collective_close(cols[i]);
    }
}

static void write_toy(uint32_t type, const char *architecture)
{
    struct tiny_spec spec = tiny_spec(type);
    spec.architecture = architecture;
    if (!strcmp(architecture, "qwen3moe")) spec.n_experts = 5, spec.n_used = 2;
    assert_int_equal(tiny_write(path, &spec), 0);
}

static void shards_have_the_whole_model_s_bits_in_fewer_bytes(void **state)
{
    (void)state;
    static const struct {
        uint32_t type;
        const char *architecture;
        int n;
        const char *list;
        bool fewer;
    } rows[] = {
        {QUANT_Q8_0, "qwen2", 2, NULL, true},    {QUANT_Q8_0, "qwen2", 3, NULL, true},
        {QUANT_Q8_0, "llama", 2, "8,1", true},   {QUANT_Q4_K, "qwen2", 3, "1,5,2", true},
        {QUANT_Q6_K, "gemma3", 2, "1,3", true},  {QUANT_Q4_0, "qwen3", 2, "2,1", true},
        {QUANT_Q8_0, "qwen3moe", 3, NULL, true}, {QUANT_Q8_0, "qwen3moe", 2, "5,2", true},
        {QUANT_F32, "qwen2", 2, NULL, false},    {QUANT_F16, "llama", 3, "2,1,1", false},
    };
    static struct shard whole, shards[MOST];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct kernels *kernels;
        write_toy(rows[i].type, rows[i].architecture);
        run(&whole, 1, NULL, NULL, &kernels_ref);
        assert_int_equal(whole.info.gather_bytes, 0);
        for (int p = 0; (kernels = kernels_path(p)); p++) {
            run(shards, rows[i].n, rows[i].list, NULL, kernels);
            for (int k = 0; k < rows[i].n; k++) {
                const struct shard *s = &shards[k];
                if (memcmp(s->x, whole.x, sizeof s->x) || memcmp(s->said, whole.said, sizeof s->said))
                    fail_msg("row %zu, shard %d: other bits", i, k);
                assert_true(whole.said[0].lp < 0 && !*s->error[0]);
                assert_int_equal(s->n_bytes, ROWS * s->info.gather_bytes);
                assert_int_equal(s->info.gather_bytes < s->info.gather_float_bytes, rows[i].fewer);
            }
        }
    }
}

/* The bias of an element of V: more than a half float holds, in one KV head of one block, so that only some shards see
 * it. The plan goes on with the next block's attention: one that learned it later would name that. */
static void all_shards_find_a_number_that_is_not_finite_in_the_same_block(void **state)
{
    (void)state;
    static const struct {
        int n;
        const char *list;
    } rows[] = {{2, NULL}, {3, NULL}, {2, "1,8"}, {3, "3,3,3"}};
    static const char plan[] = "skip:2m";
    static struct shard whole, shards[MOST];
    struct gguf g;
    struct err err;
    write_toy(QUANT_Q8_0, "qwen2");
    assert_int_equal(gguf_open(&g, path, &err), OK);
    char name[32];
    snprintf(name, sizeof name, "blk.%d.attn_v.bias", BAD_BLOCK);
    const struct gguf_tensor *t = gguf_tensor(&g, name);
    assert_non_null(t);
    FILE *f = fopen(path, "r+b");
    const float much = 9e5f;
    fseek(f, (long)(t->data - g.base) + 5 * (long)sizeof much, SEEK_SET);
    assert_int_equal(fwrite(&much, sizeof much, 1, f), 1);
    assert_int_equal(fclose(f), 0);
    gguf_close(&g);
    run(&whole, 1, NULL, plan, &kernels_ref);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        run(shards, rows[i].n, rows[i].list, plan, &kernels_ref);
        for (int k = 0; k < rows[i].n; k++)
            for (int row = 0; row < ROWS; row++) {
                assert_non_null(strstr(whole.error[row], "not finite in block 2 at position"));
                assert_string_equal(shards[k].error[row], whole.error[row]);
            }
    }
}

static int setup(void **state)
{
    (void)state;
    if (!mkdtemp(folder)) return -1;
    snprintf(path, sizeof path, "%s/big.gguf", folder);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    return tiny_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shards_have_the_whole_model_s_bits_in_fewer_bytes),
        cmocka_unit_test(all_shards_find_a_number_that_is_not_finite_in_the_same_block),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
