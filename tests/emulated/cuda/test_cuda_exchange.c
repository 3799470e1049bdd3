/* Shards and stages whose devices exchange rows by themselves, over a fake NCCL: every bit is that of one whole device,
 * and of rows that go by way of the host, where no hidden row goes then. */
#include <dlfcn.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/grid.h"
#include "tests/lib/tiny.h"
#include "worker/device_pick.h"
#include "worker/engine/engine.h"

enum { MOST = 4, ROWS = 9, EMBD_MOST = 512 };

static const struct device_table *table;
static float embedded[ROWS * EMBD_MOST]; /* by the whole model: only shard 0 has the table */
static char folder[] = "/tmp/pilotfish-exchange-XXXXXX", path[64], little[64];

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
    int n, self, device;
    const char *list;
    struct counted col;
    struct engine_links links;
    float x[ROWS * EMBD_MOST];
    uint64_t n_bytes; /* that the host gathered in a pass without a head's */
};

static void *work(void *arg)
{
    struct shard *s = arg;
    struct engine *e = NULL;
    struct engine_info info;
    struct row asks[ROWS];
    struct engine_row rows[ROWS];
    const struct verdict_row *answers = NULL;
    struct err err;
    char name[32];
    int32_t ids[ROWS];
    snprintf(name, sizeof name, "emulated %d", s->device);
    const struct engine_config c = {.path = path,
                                    .share = {0, 1, s->self, s->n},
                                    .shard_share = s->list,
                                    .kernels = &kernels_ref,
                                    .device = table,
                                    .device_number = s->device,
                                    .device_name = name,
                                    .collective = s->n > 1 ? &s->col.base : NULL,
                                    .n_threads = 1,
                                    .max_rows = ROWS};
    if (engine_open(&e, &c, &err) != OK || engine_load(e, 1, 32, &err) != OK) fail_msg("%s", err.text);
    engine_info(e, &info);
    s->links = engine_links(e);
    for (int i = 0; i < ROWS; i++) {
        ids[i] = (i * 37 + 5) % 512;
        asks[i] = (struct row){.id = ids[i]};
        rows[i] = (struct engine_row){.pos = i, .ask = &asks[i]};
    }
    if (s->n == 1) engine_embed(e, ids, ROWS, embedded);
    if (s->self == 0 || !s->links.shares) memcpy(s->x, embedded, sizeof s->x); /* or it comes from shard 0 */
    s->n_bytes = s->col.n_bytes;
    for (int i = 0; i < ROWS; i += 4) /* passes of 4, 4 and 1 */
        if (engine_pass(e, rows + i, ROWS - i < 4 ? ROWS - i : 4, s->x + i * info.shape.n_embd, &answers, &err) != OK)
            fail_msg("%s", err.text);
    s->n_bytes = s->col.n_bytes - s->n_bytes;
    engine_close(e);
    return NULL;
}

/* As n shards, each on a device of its own, or all on one. */
static void run(struct shard *shards, int n, bool apart, const char *list)
{
    struct collective *cols[MOST] = {NULL};
    struct err err;
    if (n > 1) assert_int_equal(collective_local_open(cols, n, &err), OK);
    for (int i = 0; i < n; i++) {
        shards[i] = (struct shard){.n = n, .self = i, .device = apart ? i : 0, .list = list};
        if (n > 1) shards[i].col = (struct counted){{.n = n, .self = i, .gather = count_gather}, cols[i], 0};
        assert_int_equal(pthread_create(&shards[i].thread, NULL, work, &shards[i]), 0);
    }
    for (int i = 0; i < n; i++) {
        pthread_join(shards[i].thread, NULL);
        collective_close(cols[i]);
    }
}

static void shards_exchange_no_rows_by_way_of_the_host(void **state)
{
    (void)state;
    static struct shard whole, shards[MOST];
    static const struct {
        const char *architecture;
        enum quant type;
        int n;
        bool apart;
        const char *list;
    } rows[] = {
        {"qwen2", QUANT_Q8_0, 2, false, NULL}, /* one device for both: NCCL is not asked */
        {"qwen2", QUANT_Q8_0, 2, true, NULL},    {"qwen2", QUANT_Q4_0, 4, true, NULL},
        {"llama", QUANT_F16, 2, true, "3,1"},    {"gemma3", QUANT_BF16, 3, true, "5,1,2"},
        {"qwen3moe", QUANT_Q8_0, 2, true, NULL}, {"qwen3moe", QUANT_Q8_0, 3, true, "1,2,1"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tiny_spec s = tiny_spec(rows[i].type);
        s.architecture = rows[i].architecture;
        s.n_blocks = 2;
        if (!strcmp(s.architecture, "qwen3moe")) s.n_experts = 5, s.n_used = 2;
        assert_int_equal(tiny_write(path, &s), 0);
        run(&whole, 1, false, NULL);
        run(shards, rows[i].n, rows[i].apart, rows[i].list);
        for (int k = 0; k < rows[i].n; k++) {
            assert_int_equal(shards[k].links.shares, rows[i].apart);
            if (memcmp(shards[k].x, whole.x, (size_t)(ROWS * s.n_embd) * sizeof *whole.x))
                fail_msg("row %zu: shard %d has other bits", i, k);
            if (rows[i].apart != (shards[k].n_bytes == 0))
                fail_msg("row %zu: shard %d gathers %llu bytes", i, k, (unsigned long long)shards[k].n_bytes);
        }
    }
}

static void a_verifier_gives_one_hash_over_layouts(void **state)
{
    (void)state;
    static struct grid g;
    static const struct {
        struct cell cell;
        const char *stage_share, *shard_share;
    } rows[] = {
        {{GRID_NONE, 0, 1, 1, 1, TOGETHER}, NULL, NULL},   {{GRID_NONE, 0, 1, 2, 1, ALONE}, NULL, NULL},
        {{GRID_LITTLE, 3, 1, 2, 1, COMING}, NULL, "1,2"},  {{GRID_SUFFIX, 5, 1, 1, 2, TOGETHER}, NULL, NULL},
        {{GRID_LITTLE, 4, 1, 2, 2, COMING}, "1,2", NULL},  {{GRID_PLAN, 4, 1, 2, 2, TOGETHER}, NULL, NULL},
        {{GRID_LITTLE, 4, 1, 1, 3, TOGETHER}, NULL, NULL},
    };
    const char *why;
    struct tiny_spec s = tiny_spec(QUANT_F16);
    s.n_blocks = 3;
    assert_int_equal(tiny_write(path, &s), 0);
    s.left_out = 1;
    assert_int_equal(tiny_write(little, &s), 0);
    grid_init(&g, path, little, kernels_pick(NULL, &why));
    g.device = table;
    g.draft_plans[0] = "layerskip:1";
    g.n_predict = 8;
    g.n_prompt[1] = 20;
    g.n_prompt[2] = 30;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++, g.have_expected = 1) {
        g.stage_share = rows[i].stage_share;
        g.shard_share = rows[i].shard_share;
        grid_run(&g, &rows[i].cell);
    }
}

static int open_module(void **state)
{
    (void)state;
    setenv("CUDA_EMULATED_DEVICES", "4", 1);
    if (!mkdtemp(folder)) return -1;
    setenv("FAKE_NCCL_FOLDER", folder, 1);
    snprintf(path, sizeof path, "%s/big.gguf", folder);
    snprintf(little, sizeof little, "%s/little.gguf", folder);
    if (!dlopen(NCCL, RTLD_NOW | RTLD_LOCAL)) fail_msg("%s", dlerror()); /* the module finds it by its name */
    struct err err;
    if (device_module_open(&table, MODULE, &err) != OK) fail_msg("%s", err.text);
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
        cmocka_unit_test(shards_exchange_no_rows_by_way_of_the_host),
        cmocka_unit_test(a_verifier_gives_one_hash_over_layouts),
    };
    return cmocka_run_group_tests(tests, open_module, remove_folder);
}
