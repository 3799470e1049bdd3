/* What the drafter holds of a text, as the coordinator counts it: what is left of it for another text, and the names of
 * its prefixes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "coordinator/decode/drafter_view.h"
#include "proto/prefix_hash.h"

enum { N_CTX = 16, ROOT = 77 };

static void what_two_texts_have_in_common_is_not_read_again(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        int first, len, n_reused; /* before */
        int n_common;
        int new_first, new_len, new_reused;
    } rows[] = {
        {"all of it", 0, 5, 0, 5, 0, 5, 0},
        {"more than was read", 0, 5, 0, 9, 0, 5, 0},
        {"with its own drafts that became text", 0, 5, 3, 9, 0, 5, 3},
        {"some of its own drafts", 0, 5, 3, 6, 0, 5, 1},
        {"none of its own drafts", 0, 5, 3, 5, 0, 5, 0},
        {"a part of what was read", 0, 5, 3, 4, 0, 4, 0},
        {"one id", 0, 5, 0, 1, 0, 1, 0},
        {"nothing", 0, 5, 3, 0, -1, 0, 0},
        {"a part behind the first that was read", 2, 5, 0, 4, 2, 2, 0},
        {"all, and some drafts, behind the first that was read", 2, 5, 3, 9, 2, 5, 2},
        {"one id behind the first that was read", 2, 5, 0, 3, 2, 1, 0},
        {"nothing behind the first that was read", 2, 5, 0, 2, -1, 0, 0},
        {"less than the first that was read", 2, 5, 0, 1, -1, 0, 0},
        {"nothing was read", -1, 0, 0, 5, -1, 0, 0},
        {"it lost what it had read, and what the ask after it told it", 2, 0, 0, 5, -1, 0, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct drafter_view v;
        assert_true(drafter_view_init(&v, N_CTX));
        assert_true(v.first == -1 && drafter_view_held(&v) == 0);
        drafter_view_forget(&v, rows[i].first);
        v.len = rows[i].len;
        v.n_reused = rows[i].n_reused;
        drafter_view_keep(&v, rows[i].n_common);
        if (v.first != rows[i].new_first || v.len != rows[i].new_len || v.n_reused != rows[i].new_reused)
            fail_msg("%s: first %d, len %d, reused %d", rows[i].why, v.first, v.len, v.n_reused);
        int end = v.first + v.len + v.n_reused;
        assert_int_equal(drafter_view_held(&v), v.first < 0 ? 0 : end);
        drafter_view_free(&v);
        drafter_view_free(&v); /* zeroed is fine */
    }
}

static void check_names(const struct drafter_view *v, const char *text)
{
    uint64_t h = ROOT;
    for (int i = 0; i <= (int)strlen(text) - v->first; i++) {
        if (v->prefix_hash[i] != h) fail_msg("\"%s\" from %d: %d ids have another name", text, v->first, i);
        h = prefix_hash_next(h, text[v->first + i]);
    }
}

static void hash_text(struct drafter_view *v, const char *text)
{
    int32_t ids[N_CTX];
    int n = (int)strlen(text);
    for (int i = 0; i < n; i++) ids[i] = text[i];
    drafter_view_hash(v, ROOT, ids, n);
    check_names(v, text);
}

/* Names are kept where the text is: after a text that ends earlier, and goes on otherwise, they are others. */
static void prefixes_are_named_from_the_base_on_whatever_text_was_there_before(void **state)
{
    (void)state;
    struct drafter_view v;
    assert_true(drafter_view_init(&v, N_CTX));
    drafter_view_forget(&v, 0);
    hash_text(&v, "abc");
    v.len = 3;
    hash_text(&v, "abcdef");
    v.len = 6;
    drafter_view_keep(&v, 2);
    hash_text(&v, "abXYZ");
    v.len = 5;
    drafter_view_keep(&v, 5);
    hash_text(&v, "abXYZ123");
    drafter_view_forget(&v, 2);
    hash_text(&v, "abXYZ123");
    drafter_view_forget(&v, 3);
    hash_text(&v, "0123456789abcdef"); /* the whole context */
    drafter_view_forget(&v, 0);
    hash_text(&v, "0123456789abcdef");
    drafter_view_free(&v);
}

static void a_copy_begins_where_the_other_does_and_is_said_once(void **state)
{
    (void)state;
    struct drafter_view of, v;
    assert_true(drafter_view_init(&of, N_CTX) && drafter_view_init(&v, N_CTX));
    drafter_view_forget(&of, 2);
    of.len = 6;
    of.n_reused = 2;
    drafter_view_copy(&v, &of, 9, 4);
    assert_true(v.first == 2 && v.len == 7 && v.n_reused == 0 && v.from == 4);
    assert_int_equal(drafter_view_held(&v), 9);
    hash_text(&v, "0123456789ab");
    drafter_view_forget(&v, -1);
    assert_int_equal(v.from, 0);
    drafter_view_free(&of);
    drafter_view_free(&v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_two_texts_have_in_common_is_not_read_again),
        cmocka_unit_test(a_copy_begins_where_the_other_does_and_is_said_once),
        cmocka_unit_test(prefixes_are_named_from_the_base_on_whatever_text_was_there_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
