/* A sequence by itself: how far it may go, what becomes of its tail, its memory, and how texts are compared. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "coordinator/decode/seq.h"
#include "proto/prefix_hash.h"

enum { N_CTX = 8, ROOT = 77 };

static const int32_t prompt[N_CTX] = {1, 2, 3};

static struct request request_of(int n_prompt, int n_predict)
{
    return (struct request){
        .index = 4, .prompt = prompt, .n_prompt = n_prompt, .settings = {.n_predict = n_predict, .n_top = 2}};
}

static void a_text_goes_as_far_as_was_asked_and_as_the_context_has_room(void **state)
{
    (void)state;
    static const struct {
        int n_prompt, n_predict, n_limit;
        const char *text; /* of the error; NULL: none */
    } rows[] = {
        {0, 0, 0, "the prompt is empty"},
        {1, 0, N_CTX, NULL},
        {1, 1, 2, NULL},
        {1, 6, 7, NULL},
        {1, 7, N_CTX, NULL},
        {1, 8, N_CTX, NULL},
        {1, 1000, N_CTX, NULL},
        {3, 4, 7, NULL},
        {3, 5, N_CTX, NULL},
        {7, 1, N_CTX, NULL},
        {8, 1, 0, "a prompt of 8 tokens leaves no room in a context of 8"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct request r = request_of(rows[i].n_prompt, rows[i].n_predict);
        struct seq s = {0};
        struct err err = {0};
        int rc = seq_init(&s, &r, N_CTX, &err);
        if (rc != (rows[i].text ? E_USAGE : OK) || (rows[i].text && strcmp(err.text, rows[i].text)))
            fail_msg("row %zu: %d \"%s\"", i, rc, err.text);
        if (s.n_limit != rows[i].n_limit) fail_msg("row %zu: up to %d", i, s.n_limit);
        if (rc == OK) assert_true(s.state == SEQ_WAITING && s.group == -1 && s.slot == -1);
    }
}

static void start(struct seq *s, int n_prompt, int n_predict)
{
    const struct request r = request_of(n_prompt, n_predict);
    struct err err;
    assert_int_equal(seq_init(s, &r, N_CTX, &err), OK);
    assert_null(s->ids);
    assert_int_equal(seq_start(s, ROOT, &err), OK);
    assert_null(s->request.prompt);
}

/* Ids as digits, the final ones before the |, and their names. */
static void check(const struct seq *s, const char *text)
{
    char is[2 * N_CTX], *to = is;
    uint64_t h = ROOT;
    for (int i = 0; i < s->n_ids + s->n_tail; i++) {
        if (i == s->n_ids) *to++ = '|';
        *to++ = (char)('0' + s->ids[i]);
        assert_true(s->prefix_hash[i] == h);
        h = prefix_hash_next(h, s->ids[i]);
    }
    *to = 0;
    assert_true(s->prefix_hash[s->n_ids + s->n_tail] == h);
    assert_string_equal(is, text);
}

static void a_tail_stays_while_its_ids_become_final_and_ends_at_another(void **state)
{
    (void)state;
    static const struct top top[3] = {{7, -1}, {8, -2}, {9, -3}};
    struct seq s;
    start(&s, 3, 0);
    check(&s, "123");
    for (int32_t id = 4; id < 10; id++) seq_draft(&s, id); /* five have room */
    check(&s, "123|45678");
    seq_commit(&s, 4, -.5f, ORIGIN_DRAFT, top, 3);
    check(&s, "1234|5678");
    seq_commit(&s, 9, -.25f, ORIGIN_CORRECTION, top + 1, 1);
    check(&s, "12349");
    seq_commit(&s, 6, -.125f, ORIGIN_BIG, NULL, 0); /* what stood there once is no tail */
    check(&s, "123496");
    assert_int_equal(s.n_tail, 0);
    assert_int_equal(seq_n_generated(&s), 3);
    assert_true(s.lp[3] == -.5f && s.lp[4] == -.25f && s.lp[5] == -.125f);
    assert_true(s.origin[3] == ORIGIN_DRAFT && s.origin[4] == ORIGIN_CORRECTION && s.origin[5] == ORIGIN_BIG);
    assert_true(s.top[3 * 2].id == 7 && s.top[3 * 2 + 1].id == 8);  /* two were asked for */
    assert_true(s.top[4 * 2].id == 8 && s.top[4 * 2 + 1].id == -1); /* one came */
    for (int i = 3, n; i < 6; i++) {
        assert_ptr_equal(seq_top(&s, i, &n), s.top + (ptrdiff_t)i * 2);
        assert_int_equal(n, 5 - i);
    }
    seq_draft(&s, 5);
    seq_settle(&s);
    assert_true(s.state == SEQ_DONE && s.n_tail == 0 && !s.prefix_hash && s.ids[5] == 6);
    seq_drop(&s);
    assert_true(!s.ids && !s.prefix_hash && !s.lp && !s.origin && !s.top && s.n_ids == 6);
    seq_free(&s);
    seq_free(&s); /* zeroed is fine */
    assert_int_equal(s.n_ids, 0);
    seq_free(NULL);
}

static void the_first_that_failed_is_named_with_how_many_there_are(void **state)
{
    (void)state;
    static const struct {
        const char *ends; /* f: failed, each for a reason of its own; else: not */
        const char *text;
    } rows[] = {
        {"", NULL},
        {".", NULL},
        {"f", "reason 0"},
        {"f.", "1 of 2 prompts failed, the first (number 10, from 0): reason 0"},
        {".f", "1 of 2 prompts failed, the first (number 11, from 0): reason 1"},
        {".f.f", "2 of 4 prompts failed, the first (number 11, from 0): reason 1"},
        {"fff", "3 of 3 prompts failed, the first (number 10, from 0): reason 0"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int n = (int)strlen(rows[i].ends);
        struct seq *seqs = calloc((size_t)n + 1, sizeof *seqs);
        struct err err = {0};
        for (int k = 0; k < n; k++) {
            seqs[k].request.index = 10 + k;
            seqs[k].ids = malloc(8); /* for seqs_free */
            seqs[k].end = rows[i].ends[k] == 'f' ? SEQ_FAILED : SEQ_LENGTH;
            if (seqs[k].end == SEQ_FAILED) err_set(&seqs[k].why, E_PEER, "reason %d", k);
        }
        int rc = seqs_failed(seqs, n, &err);
        if (rc != (rows[i].text ? E_PEER : OK) || (rows[i].text && strcmp(err.text, rows[i].text)))
            fail_msg("\"%s\": %d \"%s\"", rows[i].ends, rc, err.text);
        seqs_free(seqs, n);
    }
    seqs_free(NULL, 3);
}

static void the_first_place_where_two_texts_differ_is_named(void **state)
{
    (void)state;
    static const struct {
        int32_t ids[3]; /* after the prompt 123 */
        float lp[3];
        int n;
        const char *text;
    } rows[] = {
        {{4, 5, 6}, {-1, -2, -3}, 3, NULL},
        {{9, 5, 6}, {-1, -2, -3}, 3, "prompt 5, token 0: id 9 with drafts, 4 by the big model alone"},
        {{4, 5, 9}, {-1, -2, -3}, 3, "prompt 5, token 2: id 9 with drafts, 6 by the big model alone"},
        {{4, 9, 6}, {-1, -1, -3}, 3, "prompt 5, token 1: id 9 with drafts, 5 by the big model alone"},
        {{4, 5, 6}, {-1, -2.5f, -3}, 3, "prompt 5, token 1: ln p -2.5 with drafts, -2 by the big model alone"},
        {{4, 5, 0}, {-1, -2, 0}, 2, "prompt 5: 2 tokens with drafts, 3 by the big model alone"},
        {{0}, {0}, 0, "prompt 5: 0 tokens with drafts, 3 by the big model alone"},
    };
    struct seq plain;
    start(&plain, 3, 0);
    for (int k = 0; k < 3; k++) seq_commit(&plain, rows[0].ids[k], rows[0].lp[k], ORIGIN_BIG, NULL, 0);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct seq s;
        struct err err = {0};
        start(&s, 3, 0);
        for (int k = 0; k < rows[i].n; k++) seq_commit(&s, rows[i].ids[k], rows[i].lp[k], ORIGIN_DRAFT, NULL, 0);
        int rc = seq_check(&s, &plain, &err);
        if (rc != (rows[i].text ? E_CHECK : OK) || (rows[i].text && strcmp(err.text, rows[i].text)))
            fail_msg("row %zu: %d \"%s\"", i, rc, err.text);
        if (rows[i].n < 3) assert_int_equal(seq_check(&plain, &s, &err), E_CHECK);
        seq_free(&s);
    }
    seq_free(&plain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_text_goes_as_far_as_was_asked_and_as_the_context_has_room),
        cmocka_unit_test(a_tail_stays_while_its_ids_become_final_and_ends_at_another),
        cmocka_unit_test(the_first_that_failed_is_named_with_how_many_there_are),
        cmocka_unit_test(the_first_place_where_two_texts_differ_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
