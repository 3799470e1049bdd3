/* The synthetic pair: its texts, its luck, its times. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "proto/synthetic.h"

static bool right_behind(const struct synthetic *s, int32_t id)
{
    float p;
    return synthetic_little(s, id, &p) == synthetic_big(id);
}

static void big_writes_the_text_whatever_little_wrote_before(void **state)
{
    (void)state;
    const struct synthetic never = {.n_curves = 1, .curves = {{1, {0}}}};
    for (int prompt = 0; prompt < SYNTHETIC_PROMPTS; prompt++) {
        int32_t id = synthetic_id(3, prompt, 0);
        for (int position = 1; position < SYNTHETIC_CONTEXT; position++) {
            float p;
            int32_t wrong = synthetic_little(&never, id, &p);
            assert_true(wrong >= 0 && wrong < SYNTHETIC_VOCAB);
            id = synthetic_big(id);
            assert_int_equal(id, synthetic_id(3, prompt, position));
            assert_int_not_equal(wrong, id);
            assert_int_equal(synthetic_big(wrong), synthetic_id(3, prompt, position + 1));
        }
    }
}

/* After how many right ones in a row the next is right how often. */
static void drafts_in_a_row_are_right_as_the_curve_says(void **state)
{
    (void)state;
    static const struct acceptance rows[] = {
        {1, {.8}}, {1, {.2}}, {4, {.9, .85, .84, .5}}, {3, {.5, .45, .44}}, {2, {1, .3}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct acceptance *a = &rows[i];
        const struct synthetic s = {.n_curves = 1, .curves = {*a}, .seed = 7};
        double n_right[3] = {0}, n_tried[3] = {0};
        for (int prompt = 0; prompt < 8; prompt++)
            for (int position = 0, j = 1; position + 1 < SYNTHETIC_CONTEXT; position++) {
                int32_t id = synthetic_id(0, prompt, position);
                bool right = right_behind(&s, id);
                if (j <= 3) n_tried[j - 1]++, n_right[j - 1] += right;
                j = right ? j + 1 : 1;
            }
        for (int j = 1; j <= 3; j++) {
            int last = j < a->n ? j : a->n;
            double expected = a->s[last - 1] / (last > 1 ? a->s[last - 2] : 1);
            if (n_tried[j - 1] > 1000 && fabs(n_right[j - 1] / n_tried[j - 1] - expected) > .02)
                fail_msg("curve %zu, draft %d: right %.3f, expected %.3f", i, j, n_right[j - 1] / n_tried[j - 1],
                         expected);
        }
    }
}

/* Where little went wrong, its next draft is the first in a row again. */
static void a_wrong_draft_begins_a_new_row(void **state)
{
    (void)state;
    const struct synthetic s = {.n_curves = 1, .curves = {{2, {.9, .45}}}};
    float p;
    for (int position = 1; position < 200; position++) {
        int32_t wrong = synthetic_id(0, 4, position) + SYNTHETIC_VOCAB / 2;
        synthetic_little(&s, wrong, &p);
        assert_float_equal(p, .9, 1e-6);
    }
}

static void the_fingerprint_is_of_all_its_numbers(void **state)
{
    (void)state;
    const struct synthetic base = {.draft_ms = 8,
                                   .pass_ms = {30, 31, 32},
                                   .n_pass_ms = 3,
                                   .slope_percent = 5,
                                   .seed = 1,
                                   .n_curves = 2,
                                   .curves = {{2, {.9, .8}}, {1, {.7}}}};
    struct synthetic rows[10];
    enum { N = sizeof rows / sizeof *rows };
    for (int i = 0; i < N; i++) rows[i] = base;
    rows[1].draft_ms = 9;
    rows[2].pass_ms[0] = 29;
    rows[3].pass_ms[2] = 33;
    rows[4].n_pass_ms = 2;
    rows[5].slope_percent = 4;
    rows[6].seed = 2;
    rows[7].curves[0].s[0] = .91;
    rows[8].curves[1].s[0] = .6;
    rows[9].curves[0].s[1] = .7;
    for (int i = 0; i < N; i++)
        for (int k = 0; k < i; k++)
            if (synthetic_hash(&rows[i]) == synthetic_hash(&rows[k])) fail_msg("%d and %d are alike", i, k);
    rows[1] = base;
    rows[1].pass_ms[3] = rows[1].curves[1].s[1] = rows[1].curves[2].s[0] = 1; /* past the last */
    assert_int_equal(synthetic_hash(&rows[1]), synthetic_hash(&base));
}

static void luck_is_the_same_for_every_curve(void **state)
{
    (void)state;
    const struct synthetic s = {.n_curves = 2, .curves = {{1, {.5}}, {1, {.8}}}};
    int n_more = 0;
    for (int position = 0; position < 2000; position++) {
        bool low = right_behind(&s, synthetic_id(0, 5, position)),
             high = right_behind(&s, synthetic_id(1, 5, position));
        assert_true(high || !low);
        n_more += high && !low;
    }
    assert_in_range(n_more, 500, 700);
}

static void big_is_as_sure_as_little_is_right(void **state)
{
    (void)state;
    const struct synthetic s = {.n_curves = 1, .curves = {{1, {.8}}}};
    int32_t id = synthetic_id(0, 0, 9);
    assert_float_equal(synthetic_lp(&s, id, synthetic_big(id)), logf(.8f), 1e-6);
    assert_float_equal(synthetic_lp(&s, id, 0), logf(.2f), 1e-6);
    const struct synthetic always = {.n_curves = 1, .curves = {{1, {1}}}};
    assert_true(isfinite(synthetic_lp(&always, id, 0)));
}

static void a_pass_takes_what_is_listed_and_each_row_more_a_share_of_the_first(void **state)
{
    (void)state;
    static const struct {
        struct synthetic s;
        int n_rows;
        uint64_t us;
    } rows[] = {
        {{.n_pass_ms = 1, .pass_ms = {30}}, 1, 30000},
        {{.n_pass_ms = 1, .pass_ms = {30}}, 9, 30000},
        {{.n_pass_ms = 1, .pass_ms = {30}, .slope_percent = 10}, 1, 30000},
        {{.n_pass_ms = 1, .pass_ms = {30}, .slope_percent = 10}, 4, 39000},
        {{.n_pass_ms = 3, .pass_ms = {30, 30, 31.5}, .slope_percent = 10}, 3, 31500},
        {{.n_pass_ms = 3, .pass_ms = {30, 30, 31.5}, .slope_percent = 10}, 5, 37500},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(synthetic_pass_ns(&rows[i].s, rows[i].n_rows), rows[i].us * 1000);
    const struct synthetic s = {.draft_ms = 2.5, .n_pass_ms = 2, .pass_ms = {10, 99}};
    assert_int_equal(synthetic_draft_ns(&s, 4), 10000000);
    assert_int_equal(synthetic_draft_ns(&s, 1), 2500000);
    assert_int_equal(synthetic_draft_ns(&s, 0), 2500000);
    const struct synthetic shared = {.n_pass_ms = 3, .pass_ms = {10, 12.5, 40}, .beside = 1.5};
    assert_float_equal(synthetic_beside(&shared, 1), 1.5, 1e-9);
    assert_float_equal(synthetic_beside(&shared, 2), 1.35, 1e-9);
    assert_float_equal(synthetic_beside(&shared, 3), 1, 1e-9);
    assert_float_equal(synthetic_beside(&s, 1), 1, 1e-9);
    struct cost_prior prior = synthetic_prior(&s);
    assert_float_equal(prior.draft, .25, 1e-9);
    assert_float_equal(prior.read, .25, 1e-9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(big_writes_the_text_whatever_little_wrote_before),
        cmocka_unit_test(drafts_in_a_row_are_right_as_the_curve_says),
        cmocka_unit_test(a_wrong_draft_begins_a_new_row),
        cmocka_unit_test(the_fingerprint_is_of_all_its_numbers),
        cmocka_unit_test(luck_is_the_same_for_every_curve),
        cmocka_unit_test(big_is_as_sure_as_little_is_right),
        cmocka_unit_test(a_pass_takes_what_is_listed_and_each_row_more_a_share_of_the_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
