/* What of a draft is kept, and how a prefix is named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <math.h>

#include "proto/prefix_hash.h"
#include "proto/rule.h"

enum { MOST = 4 };

static void keeps_a_draft_while_it_is_what_big_would_say(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        int32_t big[MOST], draft[MOST];
        size_t n, keeps;
    } rows[] = {
        {"no draft", {0}, {0}, 0, 0},
        {"all of it", {5, 6, 7, 8}, {5, 6, 7, 8}, 4, 4},
        {"nothing where the first differs", {5, 6, 7, 8}, {4, 6, 7, 8}, 4, 0},
        {"up to the first that differs", {5, 6, 7, 8}, {5, 6, 9, 8}, 4, 2},
        {"all but the last", {5, 6, 7, 8}, {5, 6, 7, 9}, 4, 3},
        {"no row beyond the draft is looked at", {5, 6, 0, 0}, {5, 6, 7, 8}, 2, 2},
        {"ids of every size", {0, 151935, 2147483647, 1}, {0, 151935, 2147483647, 2}, 4, 3},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct verdict_row verdict[MOST] = {0};
        for (size_t k = 0; k < MOST; k++) verdict[k].next = rows[i].big[k];
        size_t keeps = rule_first_bad(&(struct rule){.kind = RULE_EXACT}, verdict, rows[i].draft, rows[i].n);
        if (keeps != rows[i].keeps) fail_msg("%s: keeps %zu", rows[i].why, keeps);
    }
}

/* BiLD's rollback, worked by hand. Threshold 3; ln p of the drafted ids under big, beside big's own choice. */
static void bild_keeps_what_big_finds_likely_enough(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        int32_t big[MOST], draft[MOST];
        float lp[MOST], rollback;
        size_t strict, repo;
    } rows[] = {
        {"likely, though not big's own", {5, 6, 7, 8}, {4, 6, 9, 8}, {-1, -.1f, -2.9f, -.1f}, 3, 4, 4},
        {"at the threshold stays", {5, 6, 7, 8}, {4, 6, 7, 8}, {-3, -.1f, -.1f, -.1f}, 3, 4, 4},
        {"past it goes", {5, 6, 7, 8}, {5, 6, 9, 8}, {-.1f, -.1f, -3.1f, -.1f}, 3, 2, 2},
        {"unlikely, but big's own", {5, 6, 7, 8}, {5, 6, 7, 8}, {-.1f, -4, -.1f, -.1f}, 3, 4, 4},
        {"repo looks at the first past the threshold only", {5, 6, 7, 8}, {5, 6, 9, 8}, {-.1f, -4, -5, -.1f}, 3, 2, 4},
        {"rollback 0 is exact", {5, 6, 7, 8}, {5, 6, 9, 8}, {-.5f, -.5f, -.6f, -.5f}, 0, 2, 4},
        {"without end nothing is taken back", {5, 6, 7, 8}, {1, 2, 3, 4}, {-9, -90, -900, -INFINITY}, INFINITY, 4, 4},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct verdict_row verdict[MOST] = {0};
        for (size_t k = 0; k < MOST; k++)
            verdict[k] = (struct verdict_row){.next = rows[i].big[k], .lp_judged = &rows[i].lp[k], .n_judged = 1};
        size_t strict = rule_first_bad(&(struct rule){RULE_STRICT, rows[i].rollback}, verdict, rows[i].draft, MOST);
        size_t repo = rule_first_bad(&(struct rule){RULE_REPO, rows[i].rollback}, verdict, rows[i].draft, MOST);
        if (strict != rows[i].strict || repo != rows[i].repo)
            fail_msg("%s: strict keeps %zu, repo %zu", rows[i].why, strict, repo);
    }
}

/* Two programs must agree on it, whatever they are built from: numbers worked out by hand from MurmurHash3's finalizer.
 */
static void a_prefix_is_named_alike_everywhere(void **state)
{
    (void)state;
    assert_int_equal(prefix_hash_mix(0), 0);
    assert_int_equal(prefix_hash_mix(1), 0xb456bcfc34c2cb2cULL);
    uint64_t h = prefix_hash_next(0, 0);
    assert_int_equal(h, prefix_hash_mix(0x9E3779B97F4A7C15ULL));
    assert_int_equal(prefix_hash_next(h, -1), prefix_hash_mix(h ^ 0x100000000ULL * 0x9E3779B97F4A7C15ULL));
}

static void prefixes_that_differ_anywhere_have_other_names(void **state)
{
    (void)state;
    static const int32_t ids[][3] = {{1, 2, 3}, {1, 3, 2}, {0, 2, 3}, {1, 2, 4}, {2, 1, 3}};
    enum { N = sizeof ids / sizeof *ids };
    uint64_t names[N];
    for (size_t i = 0; i < N; i++) {
        names[i] = 42;
        for (size_t k = 0; k < 3; k++) names[i] = prefix_hash_next(names[i], ids[i][k]);
        for (size_t k = 0; k < i; k++) assert_int_not_equal(names[i], names[k]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_a_draft_while_it_is_what_big_would_say),
        cmocka_unit_test(bild_keeps_what_big_finds_likely_enough),
        cmocka_unit_test(a_prefix_is_named_alike_everywhere),
        cmocka_unit_test(prefixes_that_differ_anywhere_have_other_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
