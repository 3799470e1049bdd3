/* Who gets the rows of a pass: numbers in, rows out. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "proto/budget.h"

enum { ASKS_MOST = 4, NOTES_MOST = 8 };

/* ---- what a pass takes ---- */

static void what_a_pass_takes_is_what_passes_have_taken(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        struct {
            int n_rows;
            double ns;
        } notes[NOTES_MOST];
        int n_rows;
        double ns;
    } rows[] = {
        {"nothing is known", {{0}}, 8, 0},
        {"one time: the same for all", {{4, 100}}, 64, 100},
        {"between two, on a line", {{4, 100}, {32, 380}}, 11, 170},
        {"beyond, on the same line", {{4, 100}, {32, 380}}, 64, 700},
        {"beyond, by the first and the last", {{4, 100}, {32, 100}, {40, 172}}, 68, 228},
        {"below, on it too", {{16, 160}, {32, 240}}, 8, 120},
        {"but no row takes more than one of many", {{16, 160}, {32, 1600}}, 8, 80},
        {"a shorter pass takes no longer", {{4, 500}, {8, 100}}, 4, 100},
        {"the newest weighs most, but not all", {{4, 100}, {4, 200}}, 4, 120},
        {"passes of nearly as many rows count together", {{32, 100}, {37, 600}, {64, 510}}, 40, 270},
        {"more rows than any", {{256, 100}}, 300, 100},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct pass_times t = {0};
        for (int k = 0; k < NOTES_MOST && rows[i].notes[k].n_rows; k++)
            pass_times_note(&t, rows[i].notes[k].n_rows, rows[i].notes[k].ns);
        double ns = pass_times_ns(&t, rows[i].n_rows);
        if (fabs(ns - rows[i].ns) > 1e-6) fail_msg("%s: %g, expected %g", rows[i].why, ns, rows[i].ns);
    }
}

/* It was in a slow moment, and no pass had so many rows since. */
static void a_time_of_long_ago_is_forgotten(void **state)
{
    (void)state;
    struct pass_times t = {0};
    pass_times_note(&t, 64, 10000);
    for (int i = 0; i < 4095; i++) pass_times_note(&t, 1 + i % 2, 100);
    assert_true(pass_times_ns(&t, 64) == 10000);
    pass_times_note(&t, 1, 100);
    assert_true(pass_times_ns(&t, 64) == 100);
}

/* ---- who gets its rows ---- */

/* A pass of n rows takes 100 and so much a row more. */
static struct pass_times times_of(double row_ns)
{
    struct pass_times t = {0};
    for (int n = 1; row_ns >= 0 && n <= 128; n *= 2) pass_times_note(&t, n, 100 + (n - 1) * row_ns);
    return t;
}

static void rows_go_where_a_token_is_the_likeliest(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        double row_ns;        /* below 0: no time is known */
        int max_rows, n_rows; /* n_rows: of a prompt */
        struct budget_ask asks[ASKS_MOST];
        int rows[ASKS_MOST];
    } rows[] = {
        {"one that rows cost nothing has all", 0, 128, 0, {{1, 8, .right = .5}}, {9}},
        {"nothing is known: a trial", -1, 128, 0, {{1, 8, .right = .5}, {1, 3, .right = .1}}, {9, 4}},
        {"a row costs 8 %: so do drafts of one request", 8, 128, 0, {{1, 8, .right = .5}}, {4}},
        {"two share what a row costs", 8, 128, 0, {{1, 8, .right = .5}, {1, 8, .right = .5}}, {3, 3}},
        {"four more so",
         8,
         128,
         0,
         {{1, 8, .right = .5}, {1, 8, .right = .5}, {1, 8, .right = .5}, {1, 8, .right = .5}},
         {2, 2, 2, 2}},
        {"the surer one has more", 8, 128, 0, {{1, 8, .right = .9}, {1, 8, .right = .3}}, {9, 1}},
        {"and a full pass goes to the likeliest",
         0,
         13,
         0,
         {{1, 8, .right = .9}, {1, 8, .right = .3}, {1, 8, .right = .6}},
         {9, 1, 3}},
        {"drafts of others have answers to wait for",
         0,
         5,
         0,
         {{1, 8, .n_before = 8, .right = .8}, {1, 8, .right = .8}},
         {1, 4}},
        {"a draft that is never right", .1, 128, 0, {{1, 8, .right = 0}}, {1}},
        {"rows that go together", 0, 8, 0, {{3, 8, .right = .5}, {1, 8, .right = .5}}, {4, 4}},
        {"rows of prompts are in it", 0, 20, 16, {{1, 8, .right = .9}, {1, 8, .right = .9}}, {2, 2}},
        {"and make none of a draft worth more", 8, 128, 16, {{1, 8, .right = .5}}, {4}},
        {"a prompt fills it", 0, 16, 16, {{1, 8, .right = .9}}, {0}},
        {"their own rows go before all drafts",
         0,
         3,
         0,
         {{1, 8, .right = .9}, {1, 8, .right = .9}, {1, 8, .right = .9}},
         {1, 1, 1}},
        {"those that have waited for the longest go",
         0,
         2,
         0,
         {{1, 8, .last = 7}, {1, 8, .last = 5}, {1, 8, .last = 9}, {1, 8, .last = 6}},
         {0, 1, 0, 1}},
        {"and nobody before the one that waits for a big one",
         0,
         4,
         0,
         {{1, 0, .last = 7}, {1, 0, .last = 1}, {4, 0, .last = 2}},
         {0, 1, 0}},
        {"one that can wait goes if it is likely",
         8,
         128,
         0,
         {{1, 0, .right = .5}, {0, 4, .n_before = 1, .right = .9}},
         {1, 4}},
        {"or else waits", 8, 128, 0, {{1, 0, .right = .5}, {0, 4, .n_before = 1, .right = .05}}, {1, 0}},
        {"one that wants none", 0, 8, 0, {{0, 0, .right = .9}, {1, 2, .right = .5}}, {0, 3}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct pass_times times = times_of(rows[i].row_ns);
        const struct budget b = {
            .times = &times, .max_rows = rows[i].max_rows, .n_rows = rows[i].n_rows, .n_others = rows[i].n_rows};
        int n = 0, out[ASKS_MOST] = {0};
        while (n < ASKS_MOST && (rows[i].asks[n].least || rows[i].asks[n].right > 0)) n++;
        budget_rows(&b, rows[i].asks, n, out);
        if (memcmp(out, rows[i].rows, sizeof out))
            fail_msg("%s: %d %d %d %d", rows[i].why, out[0], out[1], out[2], out[3]);
    }
}

/* Against all ways to hand out rows, over random asks: none gives more tokens for its time. */
static void no_other_way_gives_more(void **state)
{
    (void)state;
    unsigned random = 1;
    for (int round = 0; round < 200; round++) {
        struct budget_ask asks[3];
        int rows[3];
        double best = 0, row_ns = (random = random * 1103515245 + 12345) >> 16 & 31;
        struct pass_times times = times_of(row_ns);
        const struct budget b = {.times = &times, .max_rows = 10};
        for (int i = 0; i < 3; i++) {
            random = random * 1103515245 + 12345;
            asks[i] = (struct budget_ask){1, (int)(random >> 16 & 7), 0, (random >> 20 & 15) / 15., 0};
        }
        double rate = budget_rows(&b, asks, 3, rows);
        for (int k = 0; k < 512; k++) {
            int n = 3;
            double tokens = 3;
            for (int i = 0; i < 3; i++) {
                int drafts = k >> 3 * i & 7;
                n += drafts = drafts < asks[i].more ? drafts : asks[i].more;
                for (int j = 1; j <= drafts; j++) tokens += pow(asks[i].right, j);
            }
            if (n <= b.max_rows) best = fmax(best, tokens / pass_times_ns(&times, n));
        }
        if (fabs(rate / best - 1) > 1e-9) fail_msg("round %d: %g, another way gives %g", round, rate, best);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_pass_takes_is_what_passes_have_taken),
        cmocka_unit_test(a_time_of_long_ago_is_forgotten),
        cmocka_unit_test(rows_go_where_a_token_is_the_likeliest),
        cmocka_unit_test(no_other_way_gives_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
