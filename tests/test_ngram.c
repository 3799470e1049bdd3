/* The n-gram drafter: which earlier place it goes on from. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "proto/clock.h"
#include "proto/ngram.h"

enum { ROOM = 40 };

/* One letter is one id. */
static int draft_text(const char *text, int n_max, char *out)
{
    int32_t ids[128], drafted[ROOM];
    int n = (int)strlen(text);
    for (int i = 0; i < n; i++) ids[i] = text[i];
    int n_drafted = ngram_draft(ids, n, drafted, n_max);
    for (int i = 0; i < n_drafted; i++) out[i] = (char)drafted[i];
    out[n_drafted] = 0;
    return n_drafted;
}

static void goes_on_from_the_longest_earlier_match(void **state)
{
    (void)state;
    static const struct {
        const char *why, *text;
        int n_max;
        const char *draft;
    } rows[] = {
        {"no text", "", 4, ""},
        {"too short to hold a match", "ab", 4, ""},
        {"nothing repeats", "abcdefgh", 4, ""},
        {"one equal id is not enough", "axxbyyca", 4, ""},
        {"two are", "abcdXab", 2, "cd"},
        {"the longest wins over the latest", "abcdef..bcd!!..abc", 3, "def"},
        {"the latest of equals wins", "abc1..abc2..abc", 1, "2"},
        {"nothing is asked", "abcdXab", 0, ""},
        {"the match may reach the text's first id", "abXab", 3, "Xab"},
        {"runs on into its own output", "abcXabc", 9, "XabcXabcX"},
        {"a repeated id goes on repeating", "Zaaaa", 5, "aaaaa"},
        {"three equal ids hold a match of two", "aaa", 3, "aaa"},
        {"two equal ids do not", "aa", 3, ""},
        {"beyond 16 ids longer matches do not count", "1abcdefghijklmnop2..abcdefghijklmnop3..1abcdefghijklmnop", 1,
         "3"},
        {"16 beat 15", "abcdefghijklmnop2..bcdefghijklmnop3..abcdefghijklmnop", 1, "2"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char out[ROOM + 1];
        draft_text(rows[i].text, rows[i].n_max, out);
        if (strcmp(out, rows[i].draft) != 0)
            fail_msg("%s: \"%s\" gave \"%s\", not \"%s\"", rows[i].why, rows[i].text, out, rows[i].draft);
    }
}

static void ids_are_compared_whole(void **state)
{
    (void)state;
    const int32_t ids[] = {0x10001, 7, 5, 1, 7, -1, 0x10001, 7};
    int32_t out[2];
    assert_int_equal(ngram_draft(ids, 8, out, 2), 2);
    assert_int_equal(out[0], 5);
    assert_int_equal(out[1], 1);
}

/* Words of a language are few and frequent: a tenth of all ids is one and the same. */
static void a_long_text_takes_well_under_a_millisecond(void **state)
{
    (void)state;
    enum { N = 32768, RUNS = 50 };
    int32_t *ids = malloc(N * sizeof *ids), out[16];
    uint32_t seed = 1;
    for (int i = 0; i < N; i++) {
        seed = seed * 1664525 + 1013904223;
        ids[i] = (seed >> 24) < 26 ? 3 : (int32_t)(seed >> 16 & 1023);
    }
    ids[N - 2] = 3;
    ids[N - 1] = 3;
    double best = 1e9;
    for (int i = 0; i < RUNS; i++) {
        double start = clock_now_s();
        ngram_draft(ids, N, out, 16);
        double us = (clock_now_s() - start) * 1e6;
        if (us < best) best = us;
    }
    free(ids);
    print_message("n-gram over %d ids: %.0f us\n", N, best);
    assert_true(best < 2000); /* measured: see the message; the bound only catches a quadratic search */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(goes_on_from_the_longest_earlier_match),
        cmocka_unit_test(ids_are_compared_whole),
        cmocka_unit_test(a_long_text_takes_well_under_a_millisecond),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
