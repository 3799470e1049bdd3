/* A few points of the one hash on real models: SmolLM2 by what it wrote before, by itself and by a drafter that is
 * always wrong; the Qwen pair. What a toy cannot show: heads and vocabularies of real sizes, real formats side by side,
 * long shards. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/grid.h"
#include "tests/lib/real.h"

#define SMOLLM2 "SmolLM2-135M-Instruct.Q4_1"
#define BIG "qwen2.5-coder-1.5b-instruct-q4_k_m"
#define LITTLE "qwen2.5-coder-0.5b-instruct-q4_k_m"

/* The caller frees. */
static char *path_of(const char *name)
{
    struct gguf g;
    real_open(&g, name);
    char *path = strdup(g.path);
    gguf_close(&g);
    return path;
}

static void take_prompts(struct grid *g, const char *model)
{
    static const char *const ids[GRID_PROMPTS] = {"coding-121", "math-112", "translation-164"};
    json_t *rows = real_golden(model), *row, *v;
    size_t i, k;
    int n = 0;
    json_array_foreach(rows, i, row)
    {
        if (n == GRID_PROMPTS || strcmp(json_string_value(json_object_get(row, "id")), ids[n]) != 0) continue;
        json_t *prompt = json_object_get(row, "prompt_ids");
        g->n_prompt[n] = (int)json_array_size(prompt);
        assert_true(g->n_prompt[n] + GRID_PREDICT <= GRID_CTX);
        json_array_foreach(prompt, k, v) g->prompts[n][k] = (int32_t)json_integer_value(v);
        n++;
    }
    assert_int_equal(n, GRID_PROMPTS);
    json_decref(rows);
}

static void check_points(const char *big, const char *little, const struct cell *cells, int n)
{
    const char *why;
    struct grid g;
    char *path_big = path_of(big), *path_little = path_of(little);
    struct gguf file;
    real_open(&file, big);
    grid_init(&g, path_big, path_little, kernels_pick(NULL, &why));
    g.n_vocab = (int)gguf_tensor(&file, "token_embd.weight")->dim[1];
    gguf_close(&file);
    take_prompts(&g, big);
    grid_run(&g, &(struct cell){GRID_NONE, 1, 1, 1, 1, 1});
    g.have_expected = 1;
    for (int i = 0; i < n; i++) grid_run(&g, &cells[i]);
    print_message("%s: %d points\n", big, n);
    if (strcmp(little, big) != 0) assert_true(g.n_accepted > 0 && g.n_accepted < g.n_judged);
    free(path_big);
    free(path_little);
}

static void smollm2_gives_one_hash(void **state)
{
    (void)state;
    static const struct cell cells[] = {
        {GRID_NONE, 1, 2, 1, 1, 0},   {GRID_NONE, 1, 1, 3, 1, 1},   {GRID_SUFFIX, 4, 2, 1, 1, 1},
        {GRID_SUFFIX, 8, 1, 3, 2, 0}, {GRID_ITSELF, 4, 2, 2, 1, 1}, {GRID_ITSELF, 16, 1, 1, 3, 0},
        {GRID_WRONG, 1, 2, 1, 2, 0},  {GRID_WRONG, 8, 1, 2, 2, 1},
    };
    check_points(SMOLLM2, SMOLLM2, cells, sizeof cells / sizeof *cells);
}

static void the_qwen_pair_gives_one_hash(void **state)
{
    (void)state;
    static const struct cell cells[] = {
        {GRID_LITTLE, 4, 2, 1, 1, 1}, {GRID_LITTLE, 8, 1, 2, 1, 0}, {GRID_LITTLE, 1, 1, 1, 2, 0},
        {GRID_SUFFIX, 4, 2, 2, 2, 0}, {GRID_WRONG, 16, 2, 1, 1, 0},
    };
    check_points(BIG, LITTLE, cells, sizeof cells / sizeof *cells);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(smollm2_gives_one_hash),
        cmocka_unit_test(the_qwen_pair_gives_one_hash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
