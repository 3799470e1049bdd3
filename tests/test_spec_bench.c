/* The sweep of bench spec and simulate: which texts are written in which order, and what becomes of their times. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <math.h>

#include "coordinator/cli/spec_bench.h"

static void a_speed_has_the_interval_of_a_jackknife(void **state)
{
    (void)state;
    const struct spec_cost even = {.n_texts = 4, .n_tokens = {1, 1, 1, 1}, .ns = {1e8, 1e8, 1e8, 1e8}},
                           varied = {.n_texts = 4, .n_tokens = {1, 1, 1, 1}, .ns = {.8e8, 1e8, 1.2e8, 1e8}},
                           one = {.n_texts = 1, .n_tokens = {10}, .ns = {1e9}};
    struct spec_interval i = spec_speed(&even, NULL);
    assert_float_equal(i.mean, 10, 1e-12);
    assert_float_equal(i.high - i.low, 0, 1e-9);
    /* without each: 3/.32, 3/.3, 3/.28, 3/.3; Student's t of 3: 3.182 */
    double w[] = {3 / .32, 10, 3 / .28, 10}, mean = (w[0] + w[1] + w[2] + w[3]) / 4, squares = 0;
    for (int k = 0; k < 4; k++) squares += (w[k] - mean) * (w[k] - mean);
    i = spec_speed(&varied, NULL);
    assert_float_equal(i.mean, 10, 1e-12);
    assert_float_equal(i.high - i.mean, 3.182 * sqrt(squares * 3 / 4), 1e-9);
    assert_float_equal(i.mean - i.low, i.high - i.mean, 1e-9);
    i = spec_speed(&varied, &varied); /* paired: what the texts differ in does not count */
    assert_float_equal(i.mean, 1, 1e-12);
    assert_float_equal(i.high - i.low, 0, 1e-9);
    struct spec_cost most = {.n_texts = TEXTS_MOST}; /* each half of them alike; of 31: 2.040 */
    for (int k = 0; k < TEXTS_MOST; k++) most.n_tokens[k] = 1, most.ns[k] = k % 2 ? 1e8 : 2e8;
    i = spec_speed(&most, NULL);
    assert_float_equal(i.high - i.mean, 2.040 * sqrt(31) * (31 / 4.6 - 31 / 4.7) / 2, 1e-6);
    i = spec_speed(&one, NULL);
    assert_float_equal(i.mean, 10, 1e-12);
    assert_true(isnan(i.low) && isnan(i.high));
}

/* A backend whose texts take as long as they should, by way, text and turn. */
struct fake {
    const struct options *point;
    int n_points, n_texts;
    char order[400]; /* a letter for each way: P, S, F; then the prompt */
    bool garbles;
};

static int begin(void *arg, const struct options *point, int *n_texts, struct err *err)
{
    struct fake *f = arg;
    (void)err;
    f->point = point;
    f->n_points++;
    *n_texts = point->texts;
    return OK;
}

static void ask(void *arg, struct spec_text *text, struct request *out)
{
    spec_synthetic_request(((struct fake *)arg)->point, text, out);
}

static int write_fake(void *arg, struct seq *s, struct draft_profile *profile, struct spec_use *use,
                      struct trace *trace, struct err *err)
{
    struct fake *f = arg;
    const struct settings *set = &s->request.settings;
    (void)trace;
    char way = !set->drafting ? 'P' : set->adaptive ? 'F' : 'S';
    int prompt = s->request.prompt[0] / SYNTHETIC_CONTEXT % SYNTHETIC_PROMPTS;
    size_t n = strlen(f->order);
    int rc = seq_start(s, 0, err);
    if (rc != OK) return rc;
    if (n + 8 < sizeof f->order) snprintf(f->order + n, sizeof f->order - n, "%c%d ", way, prompt);
    for (int i = 0; i < set->n_predict; i++)
        seq_commit(s, synthetic_big(s->ids[s->n_ids - 1]) + f->garbles, 0, ORIGIN_BIG, NULL, 0);
    /* sequential drafts of 2: 20 ms a token, of 4: 10 ms; every other turn is slow */
    uint64_t ms = way == 'P' ? 40 : way == 'F' ? 8 : set->draft_max == 2 ? 20 : 10;
    if (profile->pause++ == 2) ms *= 5; /* the second that counts of each way, behind one to warm up */
    s->stats.first_ns = 1000000;
    s->stats.last_ns = s->stats.first_ns + ms * 1000000 * (uint64_t)(set->n_predict - 1);
    use->bytes_up += 100;
    f->n_texts++;
    return OK;
}

static struct options options_of(int argc, const char *const *words)
{
    struct options o;
    struct err err;
    if (options_parse(&o, argc, (char **)(uintptr_t)words, &err) != OK) fail_msg("%s", err.text);
    return o;
}

static int bench(struct fake *f, const char *const *words, int n, struct err *err)
{
    struct options o = options_of(n, words);
    struct progress progress = {0};
    const struct spec_backend backend = {"timed", SYNTHETIC_CONTEXT, begin, ask, write_fake, f};
    int rc = spec_bench(&o, &backend, &progress, err);
    options_free(&o);
    return rc;
}

#define BENCH(f, err, ...)                                                                                             \
    bench(f, (const char *const[]){__VA_ARGS__}, sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *), err)
#define USUAL                                                                                                          \
    "pilotfish", "bench", "spec", "--synthetic", "tD=8,tT=30", "--accept-rate", ".5", "-n", "11", "-o", "jsonl"

/* The rows in the file. */
static json_t *rows_of(const char *path)
{
    char line[4096];
    json_t *rows = json_array();
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    while (fgets(line, sizeof line, f)) json_array_append_new(rows, json_loads(line, 0, NULL));
    fclose(f);
    return rows;
}

static double number(const json_t *rows, size_t i, const char *name)
{
    const json_t *value = json_object_get(json_array_get(rows, i), name);
    if (!json_is_number(value)) fail_msg("row %zu has no number %s", i, name);
    return json_number_value(value);
}

static char path[] = "/tmp/test_spec_bench.XXXXXX";

static void the_ways_take_turns_and_the_median_of_a_text_counts(void **state)
{
    (void)state;
    struct fake f = {0};
    struct err err;
    unlink(path);
    if (BENCH(&f, &err, USUAL, "--texts", "2", "--baseline", "2,4", "--keep", path) != OK) fail_msg("%s", err.text);
    assert_string_equal(f.order, "P31 S31 S31 F31 "
                                 "P0 S0 S0 F0 S1 S1 F1 P1 S0 F0 P0 S0 F1 P1 S1 S1 P0 S0 S0 F0 S1 S1 F1 P1 ");
    json_t *rows = rows_of(path);
    assert_int_equal(json_array_size(rows), 3);
    static const double ms[] = {40, 10, 8};
    for (size_t i = 0; i < 3; i++) {
        assert_float_equal(number(rows, i, "tokens_per_s"), 1000 / ms[i], 1e-6);
        assert_float_equal(number(rows, i, "over_plain"), 40 / ms[i], 1e-6);
        assert_float_equal(number(rows, i, "over_sequential"), 10 / ms[i], 1e-6);
        assert_float_equal(number(rows, i, "bytes_up_per_token"), 100. / 11, 1e-6);
    }
    assert_int_equal(number(rows, 1, "draft_length"), 4);
    json_decref(rows);
}

static void a_sweep_is_every_combination_of_the_values(void **state)
{
    (void)state;
    struct fake f = {0};
    struct err err;
    unlink(path);
    if (BENCH(&f, &err, USUAL, "--texts", "1", "--warmup", "0", "--repeat", "1", "--baseline", "0", "--net-delay",
              "0,5-6,20-40:10,drafter=3", "--draft-max", "4,8", "--keep", path) != OK)
        fail_msg("%s", err.text);
    static const double delays[] = {0, 5, 6, 20, 30, 40};
    json_t *rows = rows_of(path);
    assert_int_equal(json_array_size(rows), 6 * 2 * 2);
    for (size_t i = 0; i < 24; i++) {
        assert_float_equal(number(rows, i, "net_delay_ms"), delays[i / 4], 1e-6);
        assert_float_equal(number(rows, i, "net_drafter_delay_ms"), 3, 1e-6);
        assert_int_equal(number(rows, i, "draft_max"), i / 2 % 2 ? 8 : 4);
    }
    json_decref(rows);
}

static void a_sweep_goes_on_where_its_file_ends(void **state)
{
    (void)state;
    struct fake f = {0};
    struct err err;
    unlink(path);
#define SWEEP USUAL, "--texts", "1", "--warmup", "0", "--repeat", "1", "--keep", path, "--net-delay"
    assert_int_equal(BENCH(&f, &err, SWEEP, "0,5"), OK);
    assert_int_equal(f.n_points, 2);
    assert_int_equal(BENCH(&f, &err, SWEEP, "0,5,10"), E_USAGE); /* the file is there */
    FILE *cut = fopen(path, "a");
    fputs("{\"source\": \"timed\", \"mo", cut);
    fclose(cut);
    assert_int_equal(BENCH(&f, &err, SWEEP, "0,5,10", "--resume"), OK);
    assert_int_equal(f.n_points, 3);
    assert_int_equal(BENCH(&f, &err, SWEEP, "0,5,10", "--resume"), OK);
    assert_int_equal(f.n_points, 3);
    assert_int_equal(BENCH(&f, &err, SWEEP, "0,5,10", "--resume", "--seed", "2"), OK);
    assert_int_equal(f.n_points, 6);
}

static void a_text_that_is_not_the_big_models_own_is_an_error(void **state)
{
    (void)state;
    struct fake f = {.garbles = true};
    struct err err;
    assert_int_equal(BENCH(&f, &err, USUAL), E_CHECK);
    assert_string_equal(err.text, "text -1 is not the same in all ways");
}

static int name_file(void **state)
{
    (void)state;
    return close(mkstemp(path)) || !freopen("/dev/null", "w", stdout);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_speed_has_the_interval_of_a_jackknife),
        cmocka_unit_test(the_ways_take_turns_and_the_median_of_a_text_counts),
        cmocka_unit_test(a_sweep_is_every_combination_of_the_values),
        cmocka_unit_test(a_sweep_goes_on_where_its_file_ends),
        cmocka_unit_test(a_text_that_is_not_the_big_models_own_is_an_error),
    };
    int rc = cmocka_run_group_tests(tests, name_file, NULL);
    unlink(path);
    return rc;
}
