/* Ids of a given text under big: which rows are sent and wanted, that each id is judged once, by what stands before it
 * in its window, and that only what was asked for is taken. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "coordinator/decode/score.h"
#include "proto/prefix_hash.h"

enum { ROOT = 77, N_VOCAB = 256, WINDOW_MOST = 16, SCORE_SLOTS = 4, OUT_MOST = 16 };

struct answer {
    struct verdict verdict;
    struct verdict_row rows[WINDOW_MOST];
    float lp[WINDOW_MOST];
};

struct verifier { /* holds a text a slot, and answers in the order in which it was asked */
    int len[SCORE_SLOTS], n_out[SCORE_SLOTS];
    uint64_t prefix_hash[SCORE_SLOTS];
    struct answer answers[OUT_MOST];
    int n_answers, most_out;
    char trace[1024];
};

/* Some number that depends on the text before and the id alone. */
static float lp_of(uint64_t prefix_hash, int32_t id)
{
    return -(float)(prefix_hash_next(prefix_hash, id) % 1000) / 128;
}

static void note(struct verifier *v, const char *text)
{
    size_t n = strlen(v->trace);
    snprintf(v->trace + n, sizeof v->trace - n, "%s", text);
}

/* Ids as text, with a | before the first wanted one. */
static void note_part(struct verifier *v, const struct part *p)
{
    char text[WINDOW_MOST + 2], line[80], *to = text;
    for (size_t i = 0; i < p->n_rows; i++) {
        if (p->rows[i].wanted && (i == 0 || !p->rows[i - 1].wanted)) *to++ = '|';
        *to++ = (char)p->rows[i].id;
    }
    *to = 0;
    snprintf(line, sizeof line, "verify  window %u, slot %u at %u: \"%s\"\n", p->round, p->slot, p->at, text);
    note(v, line);
}

static void ask(struct verifier *v, const struct part *p)
{
    struct answer *a = &v->answers[v->n_answers++];
    uint64_t *h = &v->prefix_hash[p->slot];
    int *len = &v->len[p->slot];
    if (p->at == 0) *len = 0, *h = ROOT;
    assert_int_equal(p->at, *len);
    assert_true(p->prefix_hash == *h);
    *a = (struct answer){
        .verdict = {.job = p->job, .slot = p->slot, .round = p->round, .at = p->at, .prefix_hash = p->prefix_hash}};
    for (size_t i = 0; i < p->n_rows; i++) {
        const struct row *row = &p->rows[i];
        size_t k = a->verdict.n_rows;
        *h = prefix_hash_next(*h, row->id);
        assert_int_equal(row->n_judge, row->wanted);
        if (!row->wanted) continue;
        a->lp[k] = lp_of(*h, row->judge[0]);
        a->rows[k] = (struct verdict_row){.lp_judged = &a->lp[k], .n_judged = 1};
        a->verdict.n_rows++;
    }
    *len += (int)p->n_rows;
    a->verdict.rows = a->rows;
    if (++v->n_out[p->slot] > v->most_out) v->most_out = v->n_out[p->slot];
    note_part(v, p);
}

/* One call, and what it sends. */
static int step(struct score *s, struct verifier *v, const struct verdict *verdict, struct err *err)
{
    const struct message *messages;
    int n, rc = score_step(s, verdict, &messages, &n, err);
    for (int i = 0; rc == OK && i < n; i++) {
        assert_int_equal(messages[i].tag, TAG_VERIFY);
        ask(v, &messages[i].verify);
    }
    return rc;
}

static void run(struct score *s, struct verifier *v)
{
    struct err err;
    assert_int_equal(step(s, v, NULL, &err), OK);
    while (v->n_answers) {
        char line[80];
        struct answer a = v->answers[0];
        a.verdict.rows = a.rows;
        for (size_t i = 0; i < a.verdict.n_rows; i++) a.rows[i].lp_judged = &a.lp[i];
        v->n_answers--;
        v->n_out[a.verdict.slot]--;
        memmove(v->answers, v->answers + 1, (size_t)v->n_answers * sizeof a);
        for (int i = 0; i < v->n_answers; i++) v->answers[i].verdict.rows = v->answers[i].rows;
        snprintf(line, sizeof line, "verdict slot %u at %u: %zu rows\n", a.verdict.slot, a.verdict.at,
                 a.verdict.n_rows);
        note(v, line);
        if (step(s, v, &a.verdict, &err) != OK) fail_msg("%s", err.text);
    }
}

static void the_first_ids_of_a_window_are_read_and_those_after_them_judged(void **state)
{
    (void)state;
    static const int32_t ids[] = {'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'm'};
    struct score *s;
    struct verifier v = {0};
    struct err err;
    /* Twice five ids; klm is less than a window. The last id of each is judged by the one before, and not fed. */
    const struct score_config c = {.ids = ids,
                                   .n_ids = 13,
                                   .window = 5,
                                   .n_before = 3,
                                   .n_slots = 1,
                                   .max_rows = 2,
                                   .max_jobs = 2,
                                   .n_vocab = N_VOCAB,
                                   .root = ROOT};
    assert_int_equal(score_open(&s, &c, &err), OK);
    assert_int_equal(score_n_windows(s), 2);
    assert_int_equal(score_n_done(s), 0);
    run(s, &v);
    assert_string_equal(v.trace, "verify  window 0, slot 0 at 0: \"ab\"\n"
                                 "verify  window 0, slot 0 at 2: \"|cd\"\n"
                                 "verdict slot 0 at 0: 0 rows\n"
                                 "verdict slot 0 at 2: 2 rows\n"
                                 "verify  window 1, slot 0 at 0: \"fg\"\n"
                                 "verify  window 1, slot 0 at 2: \"|hi\"\n"
                                 "verdict slot 0 at 0: 0 rows\n"
                                 "verdict slot 0 at 2: 2 rows\n");
    assert_int_equal(score_n_done(s), 2);
    score_close(s);
}

static void sum_by_hand(const struct score_config *c, int *n, double *sum, double *squares)
{
    *n = 0;
    *sum = *squares = 0;
    for (int from = 0; from + c->window <= c->n_ids; from += c->window) {
        uint64_t h = ROOT;
        for (int i = 0; i < c->window; i++) {
            double lp = (double)lp_of(h, c->ids[from + i]);
            h = prefix_hash_next(h, c->ids[from + i]);
            if (i < c->n_before) continue;
            *sum += lp;
            *squares += lp * lp;
            ++*n;
        }
    }
}

static void each_id_counts_once_and_the_sums_are_the_same_bits_however_windows_are_shared_out(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        int n_ids, window, n_before, n_slots, max_rows, max_jobs;
        int most_out; /* parts of a slot at once */
    } rows[] = {
        {"one window in one part", 8, 8, 4, 1, 16, 1, 1},
        {"one window, all but the first id judged", 8, 8, 1, 1, 16, 1, 1},
        {"one window, only the last judged", 8, 8, 7, 1, 16, 1, 1},
        {"a part an id", 100, 8, 4, 1, 1, 1, 1},
        {"parts that end before, at and behind the first judged", 100, 16, 5, 1, 2, 3, 3},
        {"slots share the windows", 100, 8, 4, 3, 3, 6, 2},
        {"as many parts as a slot has in all, and no more", 100, 8, 4, 2, 2, 14, 4},
        {"more slots than windows", 20, 8, 4, 4, 3, 4, 1},
        {"parts that the slots do not share evenly", 100, 8, 2, 2, 2, 5, 2},
    };
    int32_t ids[100];
    for (int i = 0; i < 100; i++) ids[i] = i * i % N_VOCAB;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct score *s;
        struct verifier v = {0};
        struct err err;
        const struct score_config c = {.ids = ids,
                                       .n_ids = rows[i].n_ids,
                                       .window = rows[i].window,
                                       .n_before = rows[i].n_before,
                                       .n_slots = rows[i].n_slots,
                                       .max_rows = rows[i].max_rows,
                                       .max_jobs = rows[i].max_jobs,
                                       .n_vocab = N_VOCAB,
                                       .root = ROOT};
        int n, want_n;
        double sum, squares, want_sum, want_squares;
        assert_int_equal(score_open(&s, &c, &err), OK);
        run(s, &v);
        score_sum(s, &n, &sum, &squares);
        sum_by_hand(&c, &want_n, &want_sum, &want_squares);
        if (n != want_n || memcmp(&sum, &want_sum, sizeof sum) || memcmp(&squares, &want_squares, sizeof sum))
            fail_msg("%s: %d ids, %g, %g; by hand %d, %g, %g", rows[i].why, n, sum, squares, want_n, want_sum,
                     want_squares);
        if (v.most_out != rows[i].most_out) fail_msg("%s: %d parts out", rows[i].why, v.most_out);
        assert_int_equal(score_n_done(s), rows[i].n_ids / rows[i].window);
        score_close(s);
    }
}

static void a_verdict_that_is_a_refusal_or_was_not_asked_for_is_an_error(void **state)
{
    (void)state;
    static const int32_t ids[] = {'a', 'b', 'c', 'd'};
    static const struct {
        enum verdict_status status;
        uint32_t at;
        const char *text;
    } rows[] = {
        {VERDICT_GAP, 0, "the verifier refuses slot 0 at 0 (status 2, holds 0)"},
        {VERDICT_OK, 1, "a verdict for slot 0 at 1 (job 1, round 0), of which nothing was asked"},
    };
    const struct score_config c = {.ids = ids,
                                   .n_ids = 4,
                                   .window = 4,
                                   .n_before = 2,
                                   .n_slots = 1,
                                   .max_rows = 2,
                                   .max_jobs = 1,
                                   .n_vocab = N_VOCAB,
                                   .root = ROOT};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct score *s;
        struct verifier v = {0};
        struct err err;
        assert_int_equal(score_open(&s, &c, &err), OK);
        assert_int_equal(step(s, &v, NULL, &err), OK);
        struct verdict verdict = v.answers[0].verdict;
        verdict.status = rows[i].status;
        verdict.at = rows[i].at;
        if (verdict.status != VERDICT_OK) verdict.n_rows = 0;
        assert_int_equal(step(s, &v, &verdict, &err), E_PEER);
        assert_string_equal(err.text, rows[i].text);
        assert_int_equal(v.n_answers, 1); /* nothing more is sent */
        score_close(s);
    }
}

static void an_id_that_a_cut_head_has_not_is_named(void **state)
{
    (void)state;
    static const int32_t ids[] = {'a', 'b', 'c', 'd'};
    const struct score_config c = {.ids = ids,
                                   .n_ids = 4,
                                   .window = 4,
                                   .n_before = 2,
                                   .n_slots = 1,
                                   .max_rows = 4,
                                   .max_jobs = 1,
                                   .n_vocab = N_VOCAB,
                                   .root = ROOT};
    const float lp[] = {-1, -INFINITY};
    struct score *s;
    struct verifier v = {0};
    struct err err;
    assert_int_equal(score_open(&s, &c, &err), OK);
    assert_int_equal(step(s, &v, NULL, &err), OK);
    struct verdict verdict = v.answers[0].verdict;
    assert_int_equal(verdict.n_rows, 2);
    for (int i = 0; i < 2; i++) v.answers[0].rows[i].lp_judged = &lp[i];
    verdict.rows = v.answers[0].rows;
    assert_int_equal(step(s, &v, &verdict, &err), E_MODEL);
    assert_string_equal(err.text, "the text has id 100, which the plan's head has not: no perplexity");
    score_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_ids_of_a_window_are_read_and_those_after_them_judged),
        cmocka_unit_test(each_id_counts_once_and_the_sums_are_the_same_bits_however_windows_are_shared_out),
        cmocka_unit_test(a_verdict_that_is_a_refusal_or_was_not_asked_for_is_an_error),
        cmocka_unit_test(an_id_that_a_cut_head_has_not_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
