/* A device behind the engine: the reference's kernels, so every bit must be the CPU engine's.
 *   test_device [MODULE]: the device of this module instead, of the same arithmetic */
#include <math.h>
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

enum { MAX_ROWS = 64, N_CTX = 160, MAX_EMBD = 512 };

static const struct device_table *tested = &device_ref;
static char folder[] = "/tmp/pilotfish-device-XXXXXX", path[64], little[64], side[64];

static struct shown { /* what a load says of itself */
    int n;
    uint64_t done[512], total[512];
} shown[2]; /* by the CPU, by a device; of the newest engine */

static void note_shown(void *arg, const char *what, const char *unit, uint64_t done, uint64_t total)
{
    struct shown *s = arg;
    (void)what, (void)unit;
    assert_true(s->n < 512);
    s->done[s->n] = done;
    s->total[s->n++] = total;
}

/* "moe": of llama, with experts. */
static struct tiny_spec spec_of(const char *architecture, uint32_t type)
{
    struct tiny_spec s = tiny_spec(type);
    bool mixes = !strcmp(architecture, "moe");
    s.architecture = mixes ? "llama" : architecture;
    if (mixes || !strcmp(architecture, "qwen3moe")) {
        s.n_experts = 5;
        s.n_used = 2;
    }
    s.rope_factors = !strcmp(architecture, "llama");
    return s;
}

static void write_toy(const char *to, const struct tiny_spec *s)
{
    assert_int_equal(tiny_write(to, s), 0);
}

static struct engine *engine(const struct device_table *device, const char *plan)
{
    struct engine *e = NULL;
    struct err err;
    const char *why;
    const struct engine_config c = {.path = path,
                                    .watch = {note_shown, &shown[device != NULL]},
                                    .plan = plan,
                                    .share = {.n_stages = 1, .n_shards = 1},
                                    .kernels = kernels_pick(NULL, &why),
                                    .device = device,
                                    .n_threads = 2,
                                    .max_rows = MAX_ROWS};
    shown[device != NULL] = (struct shown){0};
    if (engine_open(&e, &c, &err) != OK || engine_load(e, 2, N_CTX, &err) != OK) fail_msg("%s", err.text);
    return e;
}

static int32_t id_at(int slot, int pos)
{
    return (pos * 7 + slot * 131 + 5) % 512;
}

struct bits { /* of a pass */
    float x[MAX_ROWS * MAX_EMBD];
    int32_t next[MAX_ROWS], top[MAX_ROWS];
    float lp_next[MAX_ROWS], lp_judged[MAX_ROWS];
};

/* n rows of both slots, which go on where they ended; every third row samples, one of them from a few ids, but in
 * passes of 8 and 33 rows all are greedy, which a device reduces itself. */
static void feed(struct engine *e, int at[2], int n, struct bits *out)
{
    static struct row asks[MAX_ROWS];
    static struct engine_row rows[MAX_ROWS];
    static int32_t ids[MAX_ROWS], judged[MAX_ROWS];
    static const struct sampler samplers[2] = {{.temp = 0.8f, .top_p = 1, .seed = 3},
                                               {.temp = 0.9f, .top_p = 0.9f, .top_k = 40, .seed = 4}};
    const struct verdict_row *answers = NULL;
    struct err err;
    struct engine_info info;
    engine_info(e, &info);
    const bool greedy = n == 8 || n == 33;
    memset(out, 0, sizeof *out);
    for (int i = 0; i < n; i++) {
        int slot = i >= (n + 1) / 2, pos = at[slot]++;
        ids[i] = id_at(slot, pos);
        judged[i] = id_at(slot, pos + 1);
        asks[i] = (struct row){.id = ids[i], .wanted = i % 4 != 1, .judge = &judged[i], .n_judge = 1, .n_top = !greedy};
        rows[i] = (struct engine_row){
            .slot = slot, .pos = pos, .ask = &asks[i], .sampler = i % 3 == 2 && !greedy ? &samplers[i % 2] : NULL};
    }
    assert_true(info.shape.n_embd <= MAX_EMBD);
    engine_embed(e, ids, n, out->x);
    if (engine_pass(e, rows, n, out->x, &answers, &err) != OK) fail_msg("%s", err.text);
    for (int i = 0, k = 0; i < n; i++) {
        assert_int_equal(engine_row_error(e, i, &err), OK);
        if (!asks[i].wanted) continue;
        out->next[k] = answers[k].next;
        out->lp_next[k] = answers[k].lp_next;
        out->lp_judged[k] = answers[k].lp_judged[0];
        if (!greedy) out->top[k] = answers[k].top[0].id;
        k++;
    }
}

static void check_toy(const char *architecture, uint32_t type, const char *plan)
{
    static const int n_rows[] = {1, 7, 8, 9, 16, 33, 64};
    static struct bits cpu, device;
    const struct tiny_spec s = spec_of(architecture, type);
    write_toy(path, &s);
    struct engine *of_cpu = engine(NULL, plan), *of_device = engine(tested, plan);
    int at[2] = {0, 0}, at_device[2] = {0, 0};
    for (size_t i = 0; i < sizeof n_rows / sizeof *n_rows; i++) {
        feed(of_cpu, at, n_rows[i], &cpu);
        feed(of_device, at_device, n_rows[i], &device);
        if (memcmp(&cpu, &device, sizeof cpu)) fail_msg("%s, format %u, %d rows differ", architecture, type, n_rows[i]);
        if (i == 0) assert_true(cpu.lp_next[0] < 0); /* something was computed */
    }
    engine_close(of_cpu);
    engine_close(of_device);
}

static void every_format_has_the_bits_of_the_cpu_engine(void **state)
{
    (void)state;
    for (int i = 0; kernels_format(i); i++) check_toy("qwen2", *kernels_format(i), NULL);
}

static void every_architecture_and_a_plan_too(void **state)
{
    (void)state;
    check_toy("llama", QUANT_Q4_K, NULL);
    check_toy("qwen3", QUANT_Q8_0, NULL);
    check_toy("gemma3", QUANT_Q4_0, NULL);
    check_toy("qwen2", QUANT_Q8_0, "ode:0,1x2@.5,3");
    check_toy("qwen3moe", QUANT_Q4_K, NULL);
    check_toy("moe", QUANT_F32, NULL);
}

/* ---- sampling ---- */

static struct device_table counting; /* `tested`, whose pieces of logits are counted that are not of a few ids */
static int n_logits;

static void count_logits(struct device *d, float *out, size_t ld, int matrix, int row, int n_rows, int i_panel, int n)
{
    n_logits += n > PANEL;
    tested->logits(d, out, ld, matrix, row, n_rows, i_panel, n);
}

static const struct sampler some[] = {{.temp = 0.8f, .top_p = 1, .seed = 3},
                                      {.temp = 0.9f, .top_p = 0.9f, .top_k = 40, .seed = 4},
                                      {.temp = 2, .top_p = 1, .seed = ~0u, .sample = 7, .offset = 1000},
                                      {.temp = 0},
                                      {.temp = 1, .top_p = 1, .top_k = 1},
                                      {.temp = 1e-6f, .top_p = 1, .seed = 5},
                                      {.temp = 1.3f, .top_p = 1, .min_p = 0.5f, .sample = 9},
                                      {.temp = 0.7f, .top_p = 0.05f, .seed = 8}},
                            flat[] = {{.temp = 1, .top_p = 1, .min_p = 0.2f, .seed = 6},
                                      {.temp = 3, .top_p = 0.99f, .seed = 2},
                                      {.temp = 1, .top_p = 1, .seed = 2}};

/* The numbers of n rows' answers, each of another sampler, limit, list and further ids than the row before it. */
static size_t sample_rows(struct engine *e, int *pos, int n, const struct sampler *samplers, int n_samplers,
                          uint32_t *out)
{
    static const int limits[] = {0, 0, 1, 1024, 0, 1025, 300, 2048};
    static const int32_t extra[] = {2100, 2111, 2299};
    static struct row asks[MAX_ROWS];
    static struct engine_row rows[MAX_ROWS];
    static int32_t ids[MAX_ROWS], judged[MAX_ROWS][2];
    static float x[MAX_ROWS * MAX_EMBD];
    const struct verdict_row *answers = NULL;
    struct err err;
    size_t n_out = 0;
    for (int i = 0; i < n; i++) {
        int at = (*pos)++;
        ids[i] = id_at(0, at);
        judged[i][0] = id_at(0, at + 1);
        judged[i][1] = 2200 + i;
        asks[i] = (struct row){.id = ids[i],
                               .wanted = i % 5 != 1,
                               .judge = judged[i],
                               .n_judge = (size_t)(at % 3),
                               .n_top = at % 4 == 3 ? (uint32_t)(at % 21) : 0};
        rows[i] = (struct engine_row){.pos = at,
                                      .ask = &asks[i],
                                      .sampler = at % 9 == 8 ? NULL : &samplers[at % n_samplers],
                                      .n_ids = samplers == some ? limits[at % 13 % 8] : 0,
                                      .extra_ids = extra};
        if (rows[i].n_ids && at % 2) rows[i].n_extra_ids = 1 + at % 3;
    }
    engine_embed(e, ids, n, x);
    if (engine_pass(e, rows, n, x, &answers, &err) != OK) fail_msg("%s", err.text);
    for (int i = 0; i < n; i++) {
        if (!asks[i].wanted) continue;
        const struct verdict_row *a = answers++;
        out[n_out++] = (uint32_t)a->next;
        memcpy(&out[n_out++], &a->lp_next, sizeof *out);
        for (size_t k = 0; k < a->n_judged; k++) memcpy(&out[n_out++], &a->lp_judged[k], sizeof *out);
        memcpy(&out[n_out], a->top, a->n_top * sizeof *a->top);
        n_out += 2 * a->n_top;
    }
    return n_out;
}

/* Cuts that keep more ids than a list has at first ask the device again, those of many rows the host. */
static void rows_that_sample_bring_their_answers_alone_to_the_host(void **state)
{
    (void)state;
    static const struct {
        int n_rows;
        bool flat, by_host;
    } passes[] = {{7, false, false}, {1, false, false}, {6, true, false}, {64, false, false},
                  {8, true, false},  {33, true, true},  {9, false, false}};
    static uint32_t cpu[MAX_ROWS * 64], device[MAX_ROWS * 64];
    struct tiny_spec s = spec_of("qwen2", QUANT_F32);
    int pos = 0, pos_device = 0;
    s.n_vocab = 2300;
    s.n_blocks = 1;
    write_toy(path, &s);
    counting = *tested;
    counting.logits = count_logits;
    struct engine *of_cpu = engine(NULL, NULL), *of_device = engine(&counting, NULL);
    for (size_t i = 0; i < sizeof passes / sizeof *passes; i++) {
        const struct sampler *samplers = passes[i].flat ? flat : some;
        const int n_samplers = passes[i].flat ? 3 : 8;
        n_logits = 0;
        size_t n = sample_rows(of_cpu, &pos, passes[i].n_rows, samplers, n_samplers, cpu);
        if (sample_rows(of_device, &pos_device, passes[i].n_rows, samplers, n_samplers, device) != n ||
            memcmp(cpu, device, n * sizeof *cpu) != 0)
            fail_msg("pass %zu: other bits than the CPU's", i);
        if (tested->head && (n_logits > 0) != passes[i].by_host) fail_msg("pass %zu: %d pieces of logits", i, n_logits);
    }
    engine_close(of_cpu);
    engine_close(of_device);
}

/* Slot 1 gets the first 30 ids of slot 0, and both go on alike. */
static void what_is_copied_has_the_bits_of_what_was_computed(void **state)
{
    (void)state;
    const struct tiny_spec s = spec_of("qwen2", QUANT_Q8_0);
    write_toy(path, &s);
    for (int on = 0; on < 2; on++) {
        struct engine *e = engine(on ? tested : NULL, NULL);
        struct err err;
        static float x[2][40 * MAX_EMBD];
        struct row asks[40];
        struct engine_row rows[40];
        int32_t ids[40];
        const struct verdict_row *answers;
        for (int slot = 0; slot < 2; slot++) {
            int from = slot ? 30 : 0, n = 40 - from;
            for (int i = 0; i < n; i++) {
                ids[i] = id_at(0, from + i);
                asks[i] = (struct row){.id = ids[i]};
                rows[i] = (struct engine_row){.slot = slot, .pos = from + i, .ask = &asks[i]};
            }
            if (slot) assert_int_equal(engine_copy(e, 1, 0, 30, &err), OK);
            engine_embed(e, ids, n, x[slot]);
            if (engine_pass(e, rows, n, x[slot], &answers, &err) != OK) fail_msg("%s", err.text);
        }
        assert_memory_equal(x[0] + 30 * s.n_embd, x[1], 10 * (size_t)s.n_embd * sizeof(float));
        engine_close(e);
    }
}

/* x is one of the caller's, as a later stage gets it. */
static void a_number_that_is_not_finite_is_of_its_row_alone(void **state)
{
    (void)state;
    enum { N = 9, BAD = 4 };
    static float x[2][N * MAX_EMBD];
    const struct tiny_spec s = spec_of("qwen2", QUANT_Q8_0);
    const struct verdict_row *answers;
    struct row ask = {.id = 1};
    struct engine_row rows[N];
    struct err err;
    write_toy(path, &s);
    struct engine *engines[2] = {engine(NULL, NULL), engine(tested, NULL)};
    for (int k = 0; k < 2; k++) {
        for (int i = 0; i < N; i++)
            rows[i] = (struct engine_row){.slot = i == BAD, .pos = i == BAD ? 0 : i, .ask = &ask};
        for (int i = 0; i < N * s.n_embd; i++) x[k][i] = (float)(i % 13 - 6) / 64;
        x[k][BAD * s.n_embd + 3] = INFINITY;
        if (engine_pass(engines[k], rows, N, x[k], &answers, &err) != OK) fail_msg("%s", err.text);
        for (int i = 0; i < N; i++) assert_int_equal(engine_bad_entry(engines[k], i), i == BAD ? 0 : ENGINE_NOT_BAD);
        memset(x[k] + BAD * s.n_embd, 0, (size_t)s.n_embd * sizeof(float)); /* undefined */
        engine_close(engines[k]);
    }
    assert_memory_equal(x[0], x[1], sizeof x[0]);
}

static void rows_stay_where_none_come_or_go(void **state)
{
    (void)state;
    enum { N = 3, N_EMBD = 64, D = 8 };
    const char *why = "";
    const struct device_shape shape = {.max_rows = N,
                                       .n_embd = N_EMBD,
                                       .n_head = 1,
                                       .n_head_kv = 1,
                                       .d_head = D,
                                       .n_ff = D,
                                       .n_caches = 1,
                                       .n_slots = 1,
                                       .n_ctx = D,
                                       .eps = 1e-5f,
                                       .n_attn = D,
                                       .n_ff_all = D,
                                       .group = 1};
    const struct device_op ready = {.kind = DEVICE_READY, .buffer = DEVICE_X, .norm = DEVICE_NONE};
    struct device_row rows[N] = {{0, 0, -1}, {0, 1, -1}, {0, 2, -1}};
    float x[N * N_EMBD], back[N * N_EMBD] = {0}, cs[2 * N * D] = {0};
    struct device *d = tested->open(&shape, &why);
    if (!d) fail_msg("%s", why);
    for (int i = 0; i < N * N_EMBD; i++) x[i] = (float)i;
    for (int i = 0; i < 2; i++) {
        tested->begin(d, rows, N, i ? NULL : x, cs);
        assert_int_equal(tested->record(d, &ready), 0);
        tested->run(d);
        while (tested->poll(d, 0) == 0) continue;
        tested->end(d, rows, i ? back : NULL);
        assert_int_equal(tested->poll(d, 0), 1);
    }
    assert_memory_equal(back, x, sizeof x);
    tested->close(d);
}

static void a_load_says_the_bytes_that_the_cpu_s_says(void **state)
{
    (void)state;
    const struct tiny_spec s = spec_of("llama", QUANT_Q4_K);
    write_toy(path, &s);
    engine_close(engine(NULL, NULL));
    engine_close(engine(tested, NULL));
    assert_true(shown[0].n > 0);
    assert_memory_equal(&shown[0], &shown[1], sizeof *shown);
}

/* Shards exchange rows by way of the host; some share a KV head, and some have no rows of the MLP. */
static void shards_and_stages_on_it_give_the_one_hash(void **state)
{
    (void)state;
    static struct grid g;
    static const struct {
        const char *architecture; /* NULL: as before */
        struct cell cell;
        const char *stage_share, *shard_share;
    } rows[] = {
        {"qwen2", {GRID_LITTLE, 3, 1, 4, 1, COMING}, NULL, NULL},
        {NULL, {GRID_LITTLE, 5, 1, 2, 2, TOGETHER}, "1,2", "3,1"},
        {NULL, {GRID_PLAN, 4, 1, 2, 2, TOGETHER}, NULL, NULL},
        {NULL, {GRID_SUFFIX, 4, 1, 3, 1, ALONE}, NULL, "5,1,2"},
        {"qwen3moe", {GRID_LITTLE, 4, 1, 2, 2, TOGETHER}, NULL, "1,2"},
    };
    const char *why;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (rows[i].architecture) {
            struct tiny_spec s = spec_of(rows[i].architecture, QUANT_Q8_0);
            write_toy(path, &s);
            s.left_out = 2;
            write_toy(little, &s);
            grid_init(&g, path, little, kernels_pick(NULL, &why));
            grid_run(&g, &(struct cell){GRID_NONE, 0, 1, 1, 1, TOGETHER}); /* by the CPU, whole: what is expected */
            g.have_expected = 1;
            g.device = tested;
            g.draft_plans[0] = "layerskip:1";
        }
        g.stage_share = rows[i].stage_share;
        g.shard_share = rows[i].shard_share;
        grid_run(&g, &rows[i].cell);
    }
}

/* K and V alone of the side block follow rows that the served plan has computed. The block is a copy of the last one,
 * behind those before: its drafts are right only where these are. With fewer ids they are right where big's is there. */
static void a_side_file_serves_and_drafts_there_too(void **state)
{
    (void)state;
    static struct grid g;
    const struct tiny_spec s = spec_of("qwen2", QUANT_Q8_0);
    const int exit = s.n_blocks - 1;
    const struct tiny_side sides[] = {{.exits = {exit}}, {.exits = {1, exit}, .n_ids = 300}, {{1, exit}, 250, 2}};
    char balcony[96];
    const char *why;
    snprintf(balcony, sizeof balcony, "balcony:%s:%d", side, exit);
    for (size_t i = 0; i < sizeof sides / sizeof *sides; i++) {
        write_toy(path, &s);
        assert_int_equal(tiny_write_side(side, path, &s, &sides[i]), 0);
        check_toy("qwen2", QUANT_Q8_0, balcony);
        grid_init(&g, path, NULL, kernels_pick(NULL, &why));
        grid_run(&g, &(struct cell){GRID_NONE, 0, 1, 1, 1, TOGETHER});
        g.have_expected = 1;
        g.device = tested;
        g.draft_plans[0] = balcony;
        g.self_max = 64;
        grid_run(&g, &(struct cell){GRID_PLAN, 4, 1, 2, 1, TOGETHER});
        assert_true(g.n_planned_judged > 0);
        if (!sides[i].n_ids) assert_int_equal(g.n_planned_judged, g.n_planned_accepted);
    }
}

static void a_verifier_on_it_gives_the_one_hash_with_a_drafter_on_the_cpu(void **state)
{
    (void)state;
    static struct grid g;
    static const struct cell cells[] = {{GRID_NONE, 0, 1, 1, 1, ALONE},      {GRID_NONE, 0, 1, 1, 1, TOGETHER},
                                        {GRID_LITTLE, 3, 1, 1, 1, COMING},   {GRID_SUFFIX, 5, 1, 1, 2, TOGETHER},
                                        {GRID_LITTLE, 5, 1, 1, 3, TOGETHER}, {GRID_PLAN, 4, 1, 1, 1, TOGETHER},
                                        {GRID_PLAN, 4, 1, 1, 2, TOGETHER}};
    const char *why;
    struct tiny_spec s = spec_of("qwen2", QUANT_Q8_0);
    write_toy(path, &s);
    s.left_out = 2;
    write_toy(little, &s);
    grid_init(&g, path, little, kernels_pick(NULL, &why));
    grid_run(&g, &(struct cell){GRID_NONE, 0, 1, 1, 1, TOGETHER}); /* by the CPU: what is expected */
    g.have_expected = 1;
    g.device = tested;
    g.draft_plans[0] = "layerskip:2";
    for (size_t i = 0; i < sizeof cells / sizeof *cells; i++) grid_run(&g, &cells[i]);
}

static void sampled_text_has_the_one_hash_there_too(void **state)
{
    (void)state;
    static struct grid g;
    static const struct cell cells[] = {{GRID_NONE, 0, 1, 1, 1, TOGETHER}, /* by the CPU */
                                        {GRID_LITTLE, 4, 1, 2, 1, COMING},
                                        {GRID_SUFFIX, 5, 1, 1, 1, TOGETHER}};
    static const struct sampler samplers[] = {{.temp = .8f, .top_p = 1, .seed = 7},
                                              {.temp = 1.1f, .top_k = 50, .top_p = .9f, .min_p = .02f, .seed = 7}};
    const char *why;
    struct tiny_spec s = spec_of("qwen2", QUANT_Q8_0);
    write_toy(path, &s);
    s.left_out = 2;
    write_toy(little, &s);
    grid_init(&g, path, little, kernels_pick(NULL, &why));
    g.n_predict = 10;
    g.n_prompt[2] = 30;
    counting = *tested;
    counting.logits = count_logits;
    n_logits = 0;
    for (size_t k = 0; k < sizeof samplers / sizeof *samplers; k++) {
        g.sampler = samplers[k];
        g.have_expected = 0;
        for (size_t i = 0; i < sizeof cells / sizeof *cells; i++, g.have_expected = 1) {
            g.device = i ? &counting : NULL;
            grid_run(&g, &cells[i]);
        }
    }
    assert_true(g.n_accepted > 0 && g.n_accepted < g.n_judged);
    if (tested->head) assert_int_equal(n_logits, 0);
}

static void what_it_lacks_is_refused_by_name(void **state)
{
    (void)state;
    struct tiny_spec dense = spec_of("qwen2", QUANT_Q8_0), moe = spec_of("qwen3moe", QUANT_Q8_0);
    struct device_table newer = device_ref, alone = device_ref, plain = device_ref;
    newer.version++;
    alone.get = NULL;
    plain.experts = false;
    const struct {
        const struct tiny_spec *toy;
        struct share share;
        bool requantize;
        const char *draft_plan;
        const struct device_table *device;
        const char *text;
    } rows[] = {
        {&dense, {.n_stages = 1, .n_shards = 2}, false, NULL, &alone, "lacks shards of a stage: use --tp 1"},
        {&dense, {.n_stages = 1, .n_shards = 1}, true, NULL, &device_ref, "lacks requantized weights"},
        {&moe, {.n_stages = 1, .n_shards = 1}, false, NULL, &plain, "lacks models with experts"},
        {&dense, {.n_stages = 1, .n_shards = 1}, false, "swift", &device_ref, "lacks a search of plans"},
        {&dense, {.n_stages = 1, .n_shards = 1}, false, NULL, &newer, "of the table, this program"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct engine *e = NULL;
        struct err err;
        write_toy(path, rows[i].toy);
        const struct engine_config c = {.path = path,
                                        .share = rows[i].share,
                                        .requantize = rows[i].requantize,
                                        .draft_plans = (const char *const[DRAFT_PLANS_MOST]){rows[i].draft_plan},
                                        .kernels = &kernels_ref,
                                        .device = rows[i].device,
                                        .n_threads = 1,
                                        .max_rows = MAX_ROWS};
        assert_int_equal(engine_open(&e, &c, &err), E_LAYOUT);
        if (!strstr(err.text, rows[i].text)) fail_msg("%s", err.text);
    }
}

static int make_folder(void **state)
{
    (void)state;
    if (!mkdtemp(folder)) return -1;
    snprintf(path, sizeof path, "%s/big.gguf", folder);
    snprintf(side, sizeof side, "%s/side.gguf", folder);
    snprintf(little, sizeof little, "%s/little.gguf", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    return tiny_remove(folder);
}

static void open_module(const char *file)
{
    struct err err;
    int rc = device_module_open(&tested, file, &err);
    if (rc == OK && tested->arithmetic == ARITHMETIC_ID) return;
    fprintf(stderr, "test_device: %s\n", rc == OK ? "the module has not the CPU's arithmetic" : err.text);
    exit(1);
}

int main(int argc, char **argv)
{
    if (argc > 1) open_module(argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_format_has_the_bits_of_the_cpu_engine),
        cmocka_unit_test(every_architecture_and_a_plan_too),
        cmocka_unit_test(rows_that_sample_bring_their_answers_alone_to_the_host),
        cmocka_unit_test(a_number_that_is_not_finite_is_of_its_row_alone),
        cmocka_unit_test(what_is_copied_has_the_bits_of_what_was_computed),
        cmocka_unit_test(rows_stay_where_none_come_or_go),
        cmocka_unit_test(a_load_says_the_bytes_that_the_cpu_s_says),
        cmocka_unit_test(shards_and_stages_on_it_give_the_one_hash),
        cmocka_unit_test(a_side_file_serves_and_drafts_there_too),
        cmocka_unit_test(a_verifier_on_it_gives_the_one_hash_with_a_drafter_on_the_cpu),
        cmocka_unit_test(sampled_text_has_the_one_hash_there_too),
        cmocka_unit_test(what_it_lacks_is_refused_by_name),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
