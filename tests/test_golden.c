/* The engine against another program's numbers: golden greedy continuations and perplexities (tests/golden/README.md).
 *
 * SmolLM2, Gemma 3 and both Qwens by the fastest path of this CPU, a prompt of SmolLM2 by the reference: memcmp
 * (test_kernels) carries the rest. Of the Qwens half of the prompts; --long: all.
 *
 *   test_golden [MODULE] [--long]: with MODULE, SmolLM2 on its device alone: 16 rows; --long: the first two prompts
 */
#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "coordinator/text/tokenizer.h"
#include "tests/lib/real.h"
#include "worker/device_pick.h"
#include "worker/engine/engine.h"
#include "worker/memory.h"

enum { ROWS = 128, CTX = 2048 };

static const struct device_table *device; /* of the module; NULL: this CPU */
static bool is_long;

struct score {
    int n, agree, n_gap3, agree_gap3, n_gap10, agree_gap10;
    double *diffs;
};

static const struct kernels *fastest(void)
{
    const char *why;
    return kernels_pick(NULL, &why);
}

static struct engine *open_engine(const char *path, const struct kernels *k)
{
    struct err err = {0};
    struct engine *e = NULL;
    struct engine_config c = {.path = path,
                              .share = {.n_stages = 1, .n_shards = 1},
                              .kernels = k,
                              .device = device,
                              .n_threads = memory_cores(),
                              .spin = true,
                              .max_rows = ROWS};
    if (engine_open(&e, &c, &err) != OK || engine_load(e, 1, CTX, &err) != OK) fail_msg("%s", err.text);
    return e;
}

/* Feeds ids from position `from` on, `want` from `wanted` on, judging the id that follows; answers to out[pos]. */
static void feed(struct engine *e, const int32_t *ids, int n, int wanted, struct verdict_row *out, float *lp_judged)
{
    struct engine_info info;
    engine_info(e, &info);
    float *x = calloc((size_t)ROWS * (size_t)info.shape.n_embd, sizeof *x);
    for (int at = 0; at < n; at += ROWS) {
        struct engine_row rows[ROWS];
        struct row asks[ROWS];
        int m = n - at < ROWS ? n - at : ROWS;
        for (int i = 0; i < m; i++) {
            int pos = at + i;
            asks[i] = (struct row){.id = ids[pos], .wanted = pos >= wanted};
            if (pos >= wanted && pos + 1 < n) asks[i].judge = &ids[pos + 1], asks[i].n_judge = 1;
            rows[i] = (struct engine_row){.pos = pos, .ask = &asks[i]};
        }
        const struct verdict_row *answers = NULL;
        struct err err = {0};
        engine_embed(e, ids + at, m, x);
        if (engine_pass(e, rows, m, x, &answers, &err) != OK) fail_msg("%s", err.text);
        for (int i = 0; i < m; i++)
            if (engine_row_error(e, i, &err) != OK) fail_msg("%s", err.text);
        for (int i = 0, a = 0; i < m; i++) {
            if (!asks[i].wanted) continue;
            out[at + i] = answers[a];
            lp_judged[at + i] = answers[a].n_judged ? answers[a].lp_judged[0] : 0;
            a++;
        }
    }
    free(x);
}

static int read_ids(const json_t *array, int32_t *ids)
{
    size_t i;
    json_t *v;
    json_array_foreach(array, i, v) ids[i] = (int32_t)json_integer_value(v);
    return (int)json_array_size(array);
}

static void score_row(struct engine *e, const json_t *row, int most_rows, struct score *s)
{
    int32_t ids[CTX];
    struct verdict_row out[CTX];
    float lp[CTX];
    int n_prompt = read_ids(json_object_get(row, "prompt_ids"), ids);
    int n = n_prompt + read_ids(json_object_get(row, "greedy_ids"), ids + n_prompt);
    if (n > most_rows + 1) n = most_rows + 1; /* the last one is only judged */
    feed(e, ids, n, n_prompt - 1, out, lp);
    json_t *tops = json_object_get(row, "top5");
    for (int i = n_prompt; i < n; i++) {
        json_t *top = json_array_get(tops, (size_t)(i - n_prompt)), *first = json_array_get(top, 0),
               *second = json_array_get(top, 1);
        double golden = json_number_value(json_array_get(first, 1)),
               gap = golden - json_number_value(json_array_get(second, 1));
        bool agree = out[i - 1].next == ids[i];
        s->agree += agree;
        s->n_gap3 += gap > 0.3;
        s->agree_gap3 += agree && gap > 0.3;
        s->n_gap10 += gap > 1.0;
        s->agree_gap10 += agree && gap > 1.0;
        s->diffs[s->n++] = fabs((double)lp[i - 1] - golden);
    }
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void check_golden(const char *model, const struct kernels *k, size_t first, size_t n_prompts, int most_rows)
{
    struct gguf g;
    real_open(&g, model);
    struct engine *e = open_engine(g.path, k);
    gguf_close(&g);
    struct score s = {.diffs = calloc(100000, sizeof *s.diffs)};
    json_t *rows = real_golden(model);
    assert_true(json_array_size(rows) >= first + n_prompts);
    for (size_t i = 0; i < n_prompts; i++) score_row(e, json_array_get(rows, first + i), most_rows, &s);
    json_decref(rows);
    engine_close(e);
    qsort(s.diffs, (size_t)s.n, sizeof *s.diffs, by_value);
    double mean = 0;
    for (int i = 0; i < s.n; i++) mean += s.diffs[i] / s.n;
    print_message(
        "%s by %s: %d of %d agree, %d of %d with gap > 0.3, %d of %d with gap > 1; |ln p| mean %.4f, 99th %.4f\n",
        model, device ? device->name : k->name, s.agree, s.n, s.agree_gap3, s.n_gap3, s.agree_gap10, s.n_gap10, mean,
        s.diffs[s.n * 99 / 100]);
    assert_true(s.n >= (most_rows < CTX ? most_rows / 2 : 40) * (int)n_prompts);
    assert_true(s.agree >= 0.95 * s.n || s.n - s.agree <= 1);
    assert_true(s.agree_gap3 >= 0.99 * s.n_gap3);
    assert_int_equal(s.agree_gap10, s.n_gap10);
    assert_true(mean < 0.05);
    assert_true(s.diffs[s.n * 99 / 100] < 0.3);
    free(s.diffs);
}

/* ---- perplexity: chunks of 512 ids, each with an empty cache; of each the predictions of ids 257.. count ---- */

enum { CHUNK = 512 };

static int32_t *encode_head_of_wikitext(const struct gguf *g, size_t *n_ids)
{
    static char text[1 << 15];
    FILE *f = fopen("tests/data/wikitext-2/head.txt", "r");
    if (!f) fail_msg("tests/data/wikitext-2/head.txt: cannot be opened");
    size_t n = fread(text, 1, sizeof text, f);
    fclose(f);
    struct err err = {0};
    struct tokenizer *t = NULL;
    int32_t *ids = NULL;
    const struct tokenizer_text in = {text, n, .add_bos = true};
    if (tokenizer_open(&t, g, &err) != OK || tokenizer_encode(t, &in, &ids, n_ids, &err) != OK)
        fail_msg("%s", err.text);
    tokenizer_close(t);
    return ids;
}

static void check_perplexity(const char *model, int n_chunks, int chunk, double golden)
{
    static struct verdict_row out[CTX];
    static float lp[CTX];
    struct gguf g;
    size_t n_ids = 0;
    real_open(&g, model);
    struct engine *e = open_engine(g.path, fastest());
    int32_t *ids = encode_head_of_wikitext(&g, &n_ids);
    int64_t bos = -1;
    if (model[0] == 'g') assert_true(gguf_get_int(&g, "tokenizer.ggml.bos_token_id", &bos));
    gguf_close(&g);
    assert_true(chunk <= CTX && n_ids >= (size_t)n_chunks * (size_t)chunk);
    double sum = 0;
    int n = 0, first_counted = chunk / 2 + 1;
    for (int c = 0; c < n_chunks; c++) {
        if (bos >= 0) ids[c * chunk] = (int32_t)bos; /* as the other program does where a file adds it */
        feed(e, ids + c * chunk, chunk, first_counted - 1, out, lp);
        for (int i = first_counted; i < chunk; i++, n++) sum -= (double)lp[i - 1];
    }
    free(ids);
    engine_close(e);
    double perplexity = exp(sum / n);
    print_message("%s: perplexity %.4f over %d predictions in chunks of %d, golden %.4f (%+.2f %%)\n", model,
                  perplexity, n, chunk, golden, 100 * (perplexity / golden - 1));
    assert_int_equal(n, n_chunks * (chunk / 2 - 1));
    assert_true(perplexity < 1.01 * golden);
    assert_true(perplexity > 0.97 * golden); /* so much better is another measure, not a better one */
}

static void smollm2_has_the_golden_perplexity(void **state)
{
    (void)state;
    check_perplexity("SmolLM2-135M-Instruct.Q4_1", 8, CHUNK, 24.5958);
}

static void qwens_have_the_golden_perplexity(void **state)
{
    (void)state;
    check_perplexity("qwen2.5-coder-0.5b-instruct-q4_k_m", 4, CHUNK, 30.8156);
    check_perplexity("qwen2.5-coder-1.5b-instruct-q4_k_m", 4, CHUNK, 13.1655);
}

static void gemma_has_the_golden_perplexity(void **state)
{
    (void)state;
    check_perplexity("gemma-3-270m-q4_k_m", 8, CHUNK, 18.1189);
    check_perplexity("gemma-3-270m-q4_k_m", 2, CTX, 15.9999); /* beyond its windows of 512 */
}

/* ---- greedy continuations ---- */

static void smollm2_agrees_with_golden(void **state)
{
    (void)state;
    check_golden("SmolLM2-135M-Instruct.Q4_1", fastest(), 0, 12, CTX);
}

static void smollm2_agrees_by_the_reference(void **state)
{
    (void)state;
    check_golden("SmolLM2-135M-Instruct.Q4_1", &kernels_ref, 0, 1, CTX);
}

static void qwen_little_agrees_with_golden(void **state)
{
    (void)state;
    check_golden("qwen2.5-coder-0.5b-instruct-q4_k_m", fastest(), 0, is_long ? 12 : 6, CTX);
}

static void qwen_big_agrees_with_golden(void **state)
{
    (void)state;
    check_golden("qwen2.5-coder-1.5b-instruct-q4_k_m", fastest(), 0, is_long ? 12 : 6, CTX);
}

static void gemma_agrees_with_golden(void **state)
{
    (void)state;
    check_golden("gemma-3-270m-q4_k_m", fastest(), 0, 12, CTX);
}

static void smollm2_on_a_device_agrees_with_golden(void **state)
{
    (void)state;
    const size_t once = 10; /* "Once upon a time": 4 ids */
    if (is_long)
        check_golden("SmolLM2-135M-Instruct.Q4_1", fastest(), 0, 2, CTX);
    else
        check_golden("SmolLM2-135M-Instruct.Q4_1", fastest(), once, 1, 16);
}

static void open_module(const char *path)
{
    struct err err;
    if (device_module_open(&device, path, &err) == OK) return;
    fprintf(stderr, "test_golden: %s\n", err.text);
    exit(1);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest on_a_device[] = {cmocka_unit_test(smollm2_on_a_device_agrees_with_golden)};
    is_long = argc > 1 && !strcmp(argv[argc - 1], "--long");
    if (argc - is_long > 1) {
        open_module(argv[1]);
        return cmocka_run_group_tests(on_a_device, NULL, NULL);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gemma_has_the_golden_perplexity),   cmocka_unit_test(gemma_agrees_with_golden),
        cmocka_unit_test(smollm2_has_the_golden_perplexity), cmocka_unit_test(qwens_have_the_golden_perplexity),
        cmocka_unit_test(smollm2_agrees_by_the_reference),   cmocka_unit_test(smollm2_agrees_with_golden),
        cmocka_unit_test(qwen_little_agrees_with_golden),    cmocka_unit_test(qwen_big_agrees_with_golden),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
