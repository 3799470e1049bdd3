/* Drafts without a model, for a coordinator that asks: what is copied, and which asks apply. One letter is one id. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proto/prefix_hash.h"
#include "worker/roles/lookup.h"

enum { N_SLOTS = 2, N_CTX = 40, N_VOCAB = 128, ROOT = 5 };

static struct lookup lookup;

static uint64_t hash_of(const char *text, size_t n)
{
    uint64_t h = ROOT;
    for (size_t i = 0; i < n; i++) h = prefix_hash_next(h, text[i]);
    return h;
}

/* The answer to text[at ..), up to n_more ids behind it. */
static struct draft ask(uint32_t slot, const char *text, size_t at, int n_more)
{
    int32_t ids[2 * N_CTX];
    size_t n = 0;
    for (const char *c = text + at; *c; c++) ids[n++] = *c;
    const struct draft_ask a = {.slot = slot,
                                .round = 7,
                                .at = (uint32_t)at,
                                .prefix_hash = hash_of(text, at),
                                .ids = ids,
                                .n_ids = n,
                                .until = (uint32_t)(strlen(text) + (size_t)n_more)};
    struct draft d;
    struct err err = {0};
    if (lookup_draft(&lookup, &a, &d, &err) != OK) fail_msg("%s", err.text);
    assert_true(d.slot == slot && d.round == 7);
    return d;
}

static void it_copies_what_followed_earlier_or_says_that_nothing_did(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int n_more;
        const char *drafts;
        enum draft_end end;
    } rows[] = {
        {"abcdXab", 3, "cdX", DRAFT_WINDOW},
        {"abcdXab", 9, "cdXabcdXa", DRAFT_WINDOW}, /* on into its own */
        {"abcdefgh", 3, "", DRAFT_NOTHING},
        {"a", 3, "", DRAFT_NOTHING},
        {"abcdXab", 0, "", DRAFT_WINDOW},
        {"abcdXab", 1000, "cdXabcdXabcdXabcdXabcdXabcdXabcdX", DRAFT_WINDOW}, /* as far as the slot goes */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct draft d = ask(0, rows[i].text, 0, rows[i].n_more);
        size_t n = strlen(rows[i].text), n_drafts = strlen(rows[i].drafts);
        if (d.end != rows[i].end || d.n_rows != n_drafts)
            fail_msg("%s: end %d, %zu ids", rows[i].text, d.end, d.n_rows);
        for (size_t k = 0; k < n_drafts; k++) assert_true(d.rows[k].id == rows[i].drafts[k] && d.rows[k].p_top == 1);
        assert_true(d.at == n && d.held == n + n_drafts && d.prefix_hash == hash_of(rows[i].text, n));
    }
}

/* After full acceptance the next ask begins with what it drafted. */
static void its_drafts_are_held_as_if_they_had_been_read(void **state)
{
    (void)state;
    assert_int_equal(ask(0, "abcdXab", 0, 3).held, 10);
    struct draft d = ask(0, "abcdXabcdXab", 10, 1);
    assert_int_equal(d.n_rows, 1);
    assert_int_equal(d.rows[0].id, 'c');
    d = ask(0, "abcdXabZabcd", 7, 2); /* one of them is not in the text */
    assert_int_equal(d.n_rows, 2);
    assert_int_equal(d.rows[0].id, 'X');
}

static void an_ask_applies_only_where_the_slot_has_its_history(void **state)
{
    (void)state;
    static const char held[] = "the quick brown", past[] = "the quick brown fox jumps over the lazy dog.";
    static const struct {
        const char *why;
        uint32_t slot;
        const char *text;
        size_t at;
        enum draft_end end;
        uint32_t held;
    } rows[] = {
        {"a gap of one", 1, "the quick brown fox", 16, DRAFT_GAP, 15},
        {"nothing to go on from", 0, "", 0, DRAFT_GAP, 0},
        {"a text that parted earlier", 1, "the quack brown fox", 15, DRAFT_STALE, 15},
        {"past the last place", 1, past, 15, DRAFT_FULL, 15},
        {"no such slot", N_SLOTS, "a", 0, DRAFT_FULL, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct err err;
        lookup_free(&lookup);
        assert_int_equal(lookup_init(&lookup, N_SLOTS, N_CTX, ROOT, N_VOCAB, &err), OK);
        assert_int_equal(ask(1, held, 0, 0).held, 15);
        struct draft d = ask(rows[i].slot, rows[i].text, rows[i].at, 4);
        if (d.end != rows[i].end || d.held != rows[i].held || d.n_rows)
            fail_msg("%s: end %d, holds %u, %zu ids", rows[i].why, d.end, d.held, d.n_rows);
        assert_true(d.at == rows[i].at && d.prefix_hash == hash_of(rows[i].text, rows[i].at));
    }
}

static void an_id_outside_the_vocabulary_is_an_error(void **state)
{
    (void)state;
    static const int32_t bad[] = {-1, N_VOCAB, INT32_MAX};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const int32_t ids[] = {1, bad[i]};
        struct draft d;
        struct err err = {0};
        const struct draft_ask a = {.prefix_hash = ROOT, .ids = ids, .n_ids = 2};
        assert_int_equal(lookup_draft(&lookup, &a, &d, &err), E_PEER);
        assert_non_null(strstr(err.text, "vocabulary of 128"));
    }
}

static int setup(void **state)
{
    struct err err;
    (void)state;
    return lookup_init(&lookup, N_SLOTS, N_CTX, ROOT, N_VOCAB, &err);
}

static int teardown(void **state)
{
    (void)state;
    lookup_free(&lookup);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(it_copies_what_followed_earlier_or_says_that_nothing_did, setup, teardown),
        cmocka_unit_test_setup_teardown(its_drafts_are_held_as_if_they_had_been_read, setup, teardown),
        cmocka_unit_test_setup_teardown(an_ask_applies_only_where_the_slot_has_its_history, setup, teardown),
        cmocka_unit_test_setup_teardown(an_id_outside_the_vocabulary_is_an_error, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
