/* Drafts of what followed earlier: which places they go on from, how far, and what is remembered of earlier texts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "proto/suffix.h"

#define SHORTER "bcdefghijklmnopqrstuvwxyzABCDEF" /* 31 ids */
#define LONG "a" SHORTER

enum { ROOM = 40, TEXT_MOST = 160, EARLIER_MOST = 4096 };

/* One letter is one id. */
static int ids_of(const char *text, int32_t ids[TEXT_MOST])
{
    int n = (int)strlen(text);
    for (int i = 0; i < n; i++) ids[i] = text[i];
    return n;
}

static struct suffix_draft draft_text(const struct suffix_memory *memory, const char *text, float p_min, int n_max,
                                      char out[ROOM + 1])
{
    int32_t ids[TEXT_MOST], drafted[ROOM];
    struct suffix_draft d = suffix_draft(memory, ids, ids_of(text, ids), p_min, drafted, n_max);
    for (int i = 0; i < d.n; i++) out[i] = (char)drafted[i];
    out[d.n] = 0;
    return d;
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
        {"the most frequent wins over the latest", "abc1_abc1+abc2-abc", 1, "1"},
        {"and at each id after it", "abc12_abc13+abc13!abc2-abc", 2, "13"},
        {"the latest of equally frequent ones", "abc1_abc2+abc2!abc1-abc", 1, "1"},
        {"a shorter match has no vote", "bc1_bc1+abc2-abc", 1, "2"},
        {"beyond 32 ids longer matches do not count", "1" LONG "2.." LONG "3..1" LONG, 1, "3"},
        {"32 beat 31", LONG "2.." SHORTER "3.." LONG, 1, "2"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char out[ROOM + 1];
        draft_text(NULL, rows[i].text, 0, rows[i].n_max, out);
        if (strcmp(out, rows[i].draft) != 0)
            fail_msg("%s: \"%s\" gave \"%s\", not \"%s\"", rows[i].why, rows[i].text, out, rows[i].draft);
    }
}

static void ids_are_compared_whole(void **state)
{
    (void)state;
    const int32_t ids[] = {0x10001, 7, 5, 1, 7, -1, 0x10001, 7};
    int32_t out[2];
    assert_int_equal(suffix_draft(NULL, ids, 8, 0, out, 2).n, 2);
    assert_int_equal(out[0], 5);
    assert_int_equal(out[1], 1);
}

/* c of n places in favour, after a match of L: (c - 1/L) / n. */
static void it_ends_before_the_chance_that_all_is_right_is_too_low(void **state)
{
    (void)state;
    static const struct {
        const char *why, *text;
        float p_min;
        const char *draft;
        float n_right;
    } rows[] = {
        {"one place after two ids: 1/2, 1/3, 1/4", "abcdXab", .24f, "cdX", 1.f / 2 + 1.f / 3 + 1.f / 4},
        {"more is too much", "abcdXab", .26f, "cd", 1.f / 2 + 1.f / 3},
        {"none is sure enough", "abcdXab", .51f, "", 0},
        {"a longer match is surer", "abcdefghXabcd", .51f, "ef", 3.f / 4 + 3.f / 5},
        {"so are two places", "abcdXabcdYab", .5f, "cd", 3.f / 4 + 5.f / 8},
        {"two of three", "ab1Xab1Yab2Zab", .5f, "1", 1.5f / 3},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char out[ROOM + 1];
        struct suffix_draft d = draft_text(NULL, rows[i].text, rows[i].p_min, 3, out);
        if (strcmp(out, rows[i].draft) != 0 || fabsf(d.n_right - rows[i].n_right) > 1e-5f)
            fail_msg("%s: \"%s\" gave \"%s\", %g right", rows[i].why, rows[i].text, out, (double)d.n_right);
    }
}

static struct suffix_memory *memory_of(size_t n_ids)
{
    struct suffix_memory *m;
    struct err err;
    assert_int_equal(suffix_memory_open(&m, 16 * n_ids, &err), OK);
    return m;
}

static void earlier_texts_are_gone_on_with_too(void **state)
{
    (void)state;
    static const struct {
        const char *why, *earlier[4], *text;
        const char *draft;
    } rows[] = {
        {"of a text that is done", {"abcdefgh"}, "..abcd", "efgh"},
        {"three ids are not enough", {"abcdefgh"}, "..bcd", ""},
        {"no further than its end", {"abcdef"}, "..abcd", "ef"},
        {"whose last ids nothing follows", {"abcd", "efgh"}, "..abcd", ""},
        {"no match goes over it", {"ab", "cdef"}, "..abcd", ""},
        {"the most frequent of all texts", {"abcd1", "abcd1", "abcd2"}, "..abcd", "1"},
        {"the text's own is surer if its match is longer", {"abcd1"}, "_abcd2.._abcd", "2.._abcd2."},
        {"else the earlier one", {"_abcd1234567890"}, "abcd2..+_abcd", "1234567890"},
        {"of equals the text's own", {"abcd1bcd"}, "abcd2bcd..abcd", "2bcd..abcd"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct suffix_memory *m = memory_of(128);
        char out[ROOM + 1];
        int32_t ids[TEXT_MOST];
        for (int k = 0; k < 4 && rows[i].earlier[k]; k++) suffix_memory_add(m, ids, ids_of(rows[i].earlier[k], ids));
        draft_text(m, rows[i].text, 0, 10, out);
        if (strcmp(out, rows[i].draft) != 0) fail_msg("%s: \"%s\"", rows[i].why, out);
        suffix_memory_close(m);
    }
}

/* ---- the same, by looking at every place ---- */

struct places {
    int n, length, behind[SUFFIX_PLACES];
};

static struct places longest(const int32_t *in, int n_in, const int32_t *text, int n_text, int length)
{
    struct places p = {.length = length};
    for (int behind = n_in - 1; behind > 0; behind--) {
        int n = 0;
        while (n < behind && n < n_text && n < SUFFIX_MAX && in[behind - 1 - n] == text[n_text - 1 - n]) n++;
        if (n > p.length) p = (struct places){.length = n};
        if (n == p.length && p.n < SUFFIX_PLACES) p.behind[p.n++] = behind;
    }
    return p;
}

/* in: has room for the drafts behind it. Negative ids end a text. */
static struct suffix_draft go_on(int32_t *in, int n_in, struct places p, float p_min, int n_max)
{
    struct suffix_draft d = {0};
    bool out[SUFFIX_PLACES] = {0};
    float chance = 1;
    for (; d.n < n_max && p.n; d.n++) {
        int best = 0, n_best = 0, n_left = 0;
        for (int i = 0; i < p.n; i++) {
            int n = 0;
            for (int k = 0; k < p.n; k++) n += !out[k] && in[p.behind[k] + d.n] == in[p.behind[i] + d.n];
            n_left += !out[i];
            if (!out[i] && n > n_best) n_best = n, best = i;
        }
        int32_t id = in[p.behind[best] + d.n];
        chance *= ((float)n_best - 1 / (float)(p.length + d.n)) / (float)n_left;
        if (id < 0 || chance < p_min) break;
        for (int i = 0; i < p.n; i++) out[i] |= in[p.behind[i] + d.n] != id;
        in[n_in + d.n] = id;
        d.n_right += chance;
    }
    return d;
}

struct earlier { /* of all texts so far, the last n_held ids */
    int32_t ids[EARLIER_MOST + ROOM];
    int n, n_held;
};

static struct suffix_draft by_looking(struct earlier *e, const int32_t *text, int n, float p_min, int32_t out[ROOM],
                                      int n_max)
{
    int32_t own[TEXT_MOST + ROOM], *held = e->ids + (e->n > e->n_held ? e->n - e->n_held : 0);
    int n_held = e->n < e->n_held ? e->n : e->n_held;
    memcpy(own, text, (size_t)n * sizeof *own);
    struct suffix_draft d = go_on(own, n, longest(text, n, text, n, SUFFIX_MIN), p_min, n_max),
                        other = go_on(held, n_held, longest(held, n_held, text, n, SUFFIX_MIN_EARLIER), p_min, n_max);
    if (other.n_right > d.n_right) d = other, memcpy(own + n, held + n_held, sizeof *out * (size_t)d.n);
    memcpy(out, own + n, sizeof *out * (size_t)d.n);
    return d;
}

static uint32_t random_below(uint32_t *seed, int n)
{
    *seed = *seed * 1664525 + 1013904223;
    return (*seed >> 8) % (uint32_t)n;
}

/* Of few letters, so that it repeats at every length; often its end stands in it before. */
static int random_text(uint32_t *seed, int n_letters, int32_t ids[TEXT_MOST])
{
    int n = (int)random_below(seed, TEXT_MOST), n_again = (int)random_below(seed, 60);
    for (int i = 0; i < n; i++) ids[i] = (int32_t)random_below(seed, n_letters);
    for (int i = 0; i < n_again && n > 2 * n_again; i++) ids[n - n_again + i] = ids[i];
    return n;
}

/* Memories of 16 to 256 ids, through which go many times as many: old ones are overwritten, amid a text too. */
static void it_finds_what_looking_at_every_place_finds(void **state)
{
    (void)state;
    enum { N_ROUNDS = 200 };
    static struct earlier e;
    uint32_t seed = 7;
    int n_asked = 0, n_drafted = 0, n_earlier = 0;
    for (int round = 0; round < N_ROUNDS; round++) {
        int n_letters = 2 + round % 7;
        e.n = 0;
        e.n_held = 16 << round % 5;
        struct suffix_memory *m = memory_of((size_t)e.n_held);
        for (; e.n + TEXT_MOST < EARLIER_MOST; n_asked++) {
            int32_t ids[TEXT_MOST], found[ROOM], wanted[ROOM], alone[ROOM];
            int n = random_text(&seed, n_letters, ids), n_max = (int)random_below(&seed, ROOM + 1);
            float p_min = (float)random_below(&seed, 4) * .2f;
            struct suffix_draft d = suffix_draft(m, ids, n, p_min, found, n_max),
                                w = by_looking(&e, ids, n, p_min, wanted, n_max);
            assert_int_equal(d.n, w.n);
            assert_memory_equal(found, wanted, (size_t)d.n * sizeof *found);
            assert_true(d.n_right == w.n_right);
            n_drafted += d.n > 0;
            n_earlier += d.n_right > suffix_draft(NULL, ids, n, p_min, alone, n_max).n_right;
            suffix_memory_add(m, ids, n);
            memcpy(e.ids + e.n, ids, (size_t)n * sizeof *ids);
            e.n += n;
            e.ids[e.n++] = -1;
        }
        suffix_memory_close(m);
    }
    print_message("%d asked, %d drafted, %d of them by earlier texts\n", n_asked, n_drafted, n_earlier);
    assert_true(n_earlier > n_asked / 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(goes_on_from_the_longest_earlier_match),
        cmocka_unit_test(ids_are_compared_whole),
        cmocka_unit_test(it_ends_before_the_chance_that_all_is_right_is_too_low),
        cmocka_unit_test(earlier_texts_are_gone_on_with_too),
        cmocka_unit_test(it_finds_what_looking_at_every_place_finds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
