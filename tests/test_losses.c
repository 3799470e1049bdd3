/* Requests on a virtual clock (as test_spec.c) whose parts or drafts fail: what is lost, what goes on, and why a text
 * had no drafts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/sim.h"

/* The one beside it goes on; the slot is the next one's, from what came before the bad part. */
static void a_part_that_fails_ends_its_request_alone(void **state)
{
    (void)state;
    const struct sim_text texts[] = {
        {"the cat", "sat on", NULL, 6}, {"xy", "zzz", NULL, 3}, {"the cat", "sat", NULL, 3}};
    struct sim *s = sim_open(&(struct sim_config){.n_slots = 2}, texts, 3);
    sim_fault(s, 25, SIM_PART_FAILS, 0);
    sim_run(s);
    assert_string_equal(sim_written(s, 0), "sa");
    assert_int_equal(sim_seq(s, 0)->end, SEQ_FAILED);
    assert_int_equal(sim_seq(s, 0)->why.code, E_MODEL);
    assert_string_equal(sim_seq(s, 0)->why.text, "block 3");
    assert_string_equal(sim_written(s, 1), "zzz");
    assert_string_equal(sim_written(s, 2), "sat");
    assert_int_equal(sim_seq(s, 2)->slot, 0);
    assert_int_equal(sim_seq(s, 2)->stats.n_prompt_rows, 1);
    sim_close(s);
}

/* A part of a cancelled request failed, and the next request's part would have gone on from it: it is sent again. */
static void a_part_behind_another_request_s_bad_one_is_sent_again(void **state)
{
    (void)state;
    const struct sim_text texts[] = {{"the cat", "s", NULL, 1}, {"the cow", "m", NULL, 1}};
    struct sim *s = sim_open(&(struct sim_config){0}, texts, 2);
    sim_fault(s, 0, SIM_PART_FAILS, 0);
    sim_request(s, 0, 0, 1, NULL);
    sim_run(s);
    sim_expect(s, "[   0] verify  seq 0 round 1 at 0: \"the ca|t\"\n"
                  "[   1] cancel  seq 0\n"
                  "[   1] done    seq 0: aborted\n"
                  "[   1] verify  seq 1 round 2 at 5: \"o|w\"\n"
                  "[  12] verdict seq 1 round 1 at 0: failed, holds 0\n"
                  "[  12] verdict seq 1 round 2 at 5: failed, holds 0\n"
                  "[  12] verify  seq 1 round 3 at 0: \"the co|w\"\n"
                  "[  24] verdict seq 1 round 3 at 0: \"m\"\n"
                  "[  24] emit    seq 1: \"m\" b\n"
                  "[  24] done    seq 1: length\n");
    sim_close(s);
}

static void a_drafter_that_cannot_compute_a_text_is_not_asked_again(void **state)
{
    (void)state;
    const struct sim_text texts[] = {{"ab", "cdefgh", NULL, 6}, {"ab", "cdefgh", NULL, 6}};
    for (int lossy = 0; lossy < 2; lossy++) {
        const struct sim_config c = {
            .draft_max = 2, .rule = {lossy ? RULE_STRICT : RULE_EXACT, 3}, .shares_cores = lossy};
        struct sim *s = sim_open(&c, texts, 2);
        sim_fault(s, 1, SIM_ASK_FAILS, 0);
        sim_run(s);
        const struct seq *q = sim_seq(s, 0);
        assert_int_equal(q->end, lossy ? SEQ_FAILED : SEQ_LENGTH);
        assert_int_equal(q->stats.n_asks, 1);
        if (lossy) assert_int_equal(q->why.code, E_MODEL);
        if (!lossy) assert_int_equal(q->stats.withheld.why, WITHHELD_LOST);
        assert_true(sim_seq(s, 1)->stats.n_accepted > 0); /* the next text may have drafts */
        sim_close(s);
    }
}

static void without_its_drafter_an_exact_text_goes_on(void **state)
{
    (void)state;
    const struct sim_text texts[] = {{"ab", "cdefgh", NULL, 6}, {"xy", "zzz", NULL, 2}};
    struct sim *s = sim_open(&(struct sim_config){.draft_max = 2}, texts, 2);
    sim_fault(s, 13, SIM_DRAFTER_DIES, 0);
    sim_run(s);
    sim_expect(s, "[   0] open    seq 0: slot 0\n"
                  "[   0] verify  seq 0 round 1 at 0: \"a|b\"\n"
                  "[  12] verdict seq 0 round 1 at 0: \"c\"\n"
                  "[  12] emit    seq 0: \"c\" b\n"
                  "[  12] ask     seq 0 round 2 at 0: \"abc\", up to 5\n"
                  "[  13] fault   the drafter dies\n"
                  "[  13] verify  seq 0 round 2 at 2: \"|c\"\n"
                  "[  25] verdict seq 0 round 2 at 2: \"d\"\n"
                  "[  25] emit    seq 0: \"d\" b\n"
                  "[  25] verify  seq 0 round 3 at 3: \"|d\"\n"
                  "[  37] verdict seq 0 round 3 at 3: \"e\"\n"
                  "[  37] emit    seq 0: \"e\" b\n"
                  "[  37] verify  seq 0 round 4 at 4: \"|e\"\n"
                  "[  49] verdict seq 0 round 4 at 4: \"f\"\n"
                  "[  49] emit    seq 0: \"f\" b\n"
                  "[  49] verify  seq 0 round 5 at 5: \"|f\"\n"
                  "[  61] verdict seq 0 round 5 at 5: \"g\"\n"
                  "[  61] emit    seq 0: \"g\" b\n"
                  "[  61] verify  seq 0 round 6 at 6: \"|g\"\n"
                  "[  73] verdict seq 0 round 6 at 6: \"h\"\n"
                  "[  73] emit    seq 0: \"h\" b\n"
                  "[  73] done    seq 0: length\n"
                  "[  73] verify  seq 1 round 7 at 0: \"x|y\"\n"
                  "[  85] verdict seq 1 round 7 at 0: \"z\"\n"
                  "[  85] emit    seq 1: \"z\" b\n"
                  "[  85] verify  seq 1 round 8 at 2: \"|z\"\n"
                  "[  97] verdict seq 1 round 8 at 2: \"z\"\n"
                  "[  97] emit    seq 1: \"z\" b\n"
                  "[  97] done    seq 1: length\n");
    assert_int_equal(sim_seq(s, 0)->stats.withheld.why, WITHHELD_LOST);
    sim_close(s);
}

/* Two texts at once have a drafter each. The first one's dies: it goes on alone, and who comes later gets the other. */
static void of_two_drafters_one_is_lost_to_its_own_texts(void **state)
{
    (void)state;
    enum { LONG = 40 };
    static const struct sim_text texts[] = {{"ab", "", NULL, LONG}, {"xy", "", NULL, LONG}, {"pq", "", NULL, LONG}};
    struct sim *s = sim_open(&(struct sim_config){.n_drafters = 2, .n_slots = 4, .draft_max = 4}, texts, 3);
    sim_request(s, 2, 60, 0, NULL);
    sim_fault(s, 50, SIM_DRAFTER_DIES, 0);
    sim_run(s);
    const struct seq *first = sim_seq(s, 0);
    assert_int_equal(first->stats.withheld.why, WITHHELD_LOST);
    assert_true(first->stats.n_accepted > 0 && first->stats.n_accepted < LONG / 2);
    for (int i = 1; i < 3; i++) {
        assert_int_equal(sim_seq(s, i)->stats.withheld.why, WITHHELD_NOT);
        assert_true(sim_seq(s, i)->stats.n_accepted > LONG / 2);
    }
    sim_close(s);
}

/* The third text waits as the first one's drafter dies: it goes on to wait for the second one's, though a slot is free.
 */
static void of_two_drafters_the_one_that_is_left_has_the_next_lossy_text(void **state)
{
    (void)state;
    const struct sim_text texts[] = {{"ab", "cdefgh", NULL, 6}, {"ab", "cdefgh", NULL, 6}, {"ab", "cdefgh", NULL, 6}};
    const struct sim_config config = {.n_drafters = 2, .draft_max = 2, .n_slots = 2, .rule = {RULE_STRICT, 3}};
    struct sim *s = sim_open(&config, texts, 3);
    sim_fault(s, 30, SIM_DRAFTER_DIES, 0);
    sim_run(s);
    assert_int_equal(sim_seq(s, 0)->end, SEQ_FAILED);
    for (int i = 1; i < 3; i++) {
        assert_string_equal(sim_written(s, i), "cdefgh");
        assert_int_equal(sim_seq(s, i)->slot, 1);
    }
    sim_close(s);
}

/* The one that runs, and the one that comes: what they would be without it is another text. */
static void without_its_drafter_a_lossy_text_fails_alone(void **state)
{
    (void)state;
    const struct sim_text texts[] = {{"ab", "cdefgh", NULL, 6}, {"ab", "cdefgh", NULL, 6}, {"ab", "cdefgh", NULL, 6}};
    const struct sim_config config = {.draft_max = 2, .n_slots = 2, .rule = {RULE_STRICT, 3}};
    struct settings exact = sim_settings(&config);
    exact.rule.kind = RULE_EXACT;
    struct sim *s = sim_open(&config, texts, 3);
    sim_request(s, 1, 0, 0, &exact);
    sim_fault(s, 30, SIM_DRAFTER_DIES, 0);
    sim_run(s);
    assert_string_equal(sim_written(s, 1), "cdefgh");
    assert_int_equal(sim_seq(s, 1)->end, SEQ_LENGTH);
    for (int i = 0; i < 3; i += 2) {
        assert_int_equal(sim_seq(s, i)->end, SEQ_FAILED);
        assert_string_equal(sim_seq(s, i)->why.text, "the drafter died");
        assert_int_equal(sim_seq(s, i)->why.code, E_PEER);
    }
    assert_true(seq_n_generated(sim_seq(s, 0)) > 0);
    assert_int_equal(seq_n_generated(sim_seq(s, 2)), 0);
    sim_close(s);
}

/* Its answer is there, and being verified: nothing waits for it. */
static void a_drafter_that_dies_while_a_verify_is_out_changes_nothing_of_it(void **state)
{
    (void)state;
    const struct sim_text one = {"ab", "cdefgh", NULL, 4};
    struct sim *s = sim_open(&(struct sim_config){.draft_max = 2}, &one, 1);
    sim_fault(s, 20, SIM_DRAFTER_DIES, 0);
    sim_run(s);
    sim_expect(s, "[   0] open    seq 0: slot 0\n"
                  "[   0] verify  seq 0 round 1 at 0: \"a|b\"\n"
                  "[  12] verdict seq 0 round 1 at 0: \"c\"\n"
                  "[  12] emit    seq 0: \"c\" b\n"
                  "[  12] ask     seq 0 round 2 at 0: \"abc\", up to 5\n"
                  "[  16] draft   seq 0 round 2 at 3: \"de\", window\n"
                  "[  16] verify  seq 0 round 2 at 2: \"|cde\"\n"
                  "[  20] fault   the drafter dies\n"
                  "[  28] verdict seq 0 round 2 at 2: \"def\"\n"
                  "[  28] emit    seq 0: \"def\" ddb\n"
                  "[  28] done    seq 0: length\n");
    sim_close(s);
}

static void an_unknown_id_ends_the_drafts_of_its_own_text_only(void **state)
{
    (void)state;
    const struct sim_text two[] = {{"a~", "bcde", NULL, 4}, {"fg", "hijk", NULL, 4}};
    struct sim *s = sim_open(&(struct sim_config){.draft_max = 2, .n_ids = '~'}, two, 2);
    sim_run(s);
    assert_int_equal(sim_seq(s, 0)->stats.n_asks, 0);
    assert_int_equal(sim_seq(s, 0)->stats.withheld.why, WITHHELD_UNKNOWN_ID);
    assert_int_equal(sim_seq(s, 1)->stats.n_asks, 1);
    assert_int_equal(sim_seq(s, 1)->stats.withheld.why, WITHHELD_NOT);
    sim_close(s);
}

static void why_a_text_had_no_drafts_is_known_at_its_end(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        struct sim_config config;
        struct sim_text text;
        uint32_t n_asks;
        enum withheld_why withheld;
    } rows[] = {
        {"it had", {.draft_max = 2}, {"ab", "cdef", NULL, 4}, 1, WITHHELD_NOT},
        {"there is no drafter", {0}, {"ab", "cdef", NULL, 4}, 0, WITHHELD_NOT},
        {"no id of it is known", {.draft_max = 2, .n_ids = 'a'}, {"ab", "cdef", NULL, 4}, 0, WITHHELD_UNKNOWN_ID},
        {"as above, but lossy: the text is what it is",
         {.draft_max = 2, .n_ids = 'a', .rule = {RULE_STRICT, 3}},
         {"ab", "cdef", NULL, 4},
         0,
         WITHHELD_NOT},
        {"the leader found nothing",
         {.draft_max = 2, .suffix = true, .self_max = 8},
         {"ab", "cdef", NULL, 4},
         0,
         WITHHELD_NO_REPEAT},
        {"the leader found something",
         {.draft_max = 2, .suffix = true, .self_max = 8},
         {"abcdab", "c012", NULL, 4},
         0,
         WITHHELD_NOT},
        {"the leader had no time",
         {.draft_max = 2, .suffix = true, .self_max = 8},
         {"ab", "cdef", NULL, 2},
         0,
         WITHHELD_SHORT},
        {"the leader may not write by itself",
         {.draft_max = 2, .suffix = true, .self_max = 1},
         {"ab", "cdef", NULL, 4},
         0,
         0},
        {"a lossy text: it asks in each round",
         {.draft_max = 2, .suffix = true, .self_max = 8, .rule = {RULE_STRICT, 3}},
         {"ab", "cdef", NULL, 4},
         3,
         WITHHELD_NOT},
        {"a model was sure of nothing",
         {.draft_max = 2, .fallback = .6f, .prior = {.1, .1}},
         {"ab", "cdef", "????", 4},
         2,
         WITHHELD_NOT},
        {"one token", {.draft_max = 2, .adaptive = true}, {"ab", "cdef", NULL, 1}, 0, WITHHELD_SHORT},
        {"drafts cost more than they save",
         {.draft_max = 2, .adaptive = true, .prior = {1.3, 1.3}},
         {"ab", "cdef", NULL, 4},
         0,
         WITHHELD_COST},
        {"a long prompt, a short text",
         {.draft_max = 2, .adaptive = true, .prior = {.3, .3}, .max_rows = 2},
         {"abcdefghijklmnopqrstuvwxyz", "0123", NULL, 4},
         0,
         WITHHELD_READING},
        {"a few ids, which take long to read",
         {.draft_max = 2, .adaptive = true, .prior = {.4, 5}},
         {"abcde", "0123", NULL, 4},
         0,
         WITHHELD_READING},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct sim *s = sim_open(&rows[i].config, &rows[i].text, 1);
        sim_run(s);
        const struct seq_stats *t = &sim_seq(s, 0)->stats;
        if (t->n_asks != rows[i].n_asks || t->withheld.why != rows[i].withheld)
            fail_msg("%s: %u asks, reason %d", rows[i].why, t->n_asks, (int)t->withheld.why);
        sim_close(s);
    }
}

/* They share each pass of big's, and drafts would take its cores from all of them: more than they give, if a draft
 * takes half of a pass. */
static void requests_that_run_together_draft_on_shared_cores_only_where_it_pays(void **state)
{
    (void)state;
    static const struct sim_text two[] = {{"ab", "cdefghijklmnopqrst", NULL, 18},
                                          {"xy", "cdefghijklmnopqrst", NULL, 18}};
    static const struct {
        bool shares_cores, lossy;
        int n_texts, draft_ms;
        bool drafts;
    } cases[] = {{true, false, 2, 5, false},
                 {true, false, 1, 1, true},
                 {true, false, 2, 1, true},
                 {false, false, 2, 5, true},
                 {true, true, 2, 5, true}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sim_config c = {.n_slots = 2,
                               .draft_max = 4,
                               .adaptive = !cases[i].lossy,
                               .draft_ms = cases[i].draft_ms,
                               .prior = {.1 * cases[i].draft_ms, .1},
                               .self_max = 64,
                               .shares_passes = true,
                               .shares_cores = cases[i].shares_cores};
        if (cases[i].lossy) c.rule = (struct rule){RULE_STRICT, 3};
        struct sim *s = sim_open(&c, two, cases[i].n_texts);
        sim_run(s);
        const struct seq_stats *t = &sim_seq(s, 0)->stats;
        if ((t->n_drafted > 0) != cases[i].drafts || (t->withheld.why == WITHHELD_TOGETHER) == cases[i].drafts)
            fail_msg("row %zu: %u drafted, why %d", i, t->n_drafted, t->withheld.why);
        sim_close(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_part_that_fails_ends_its_request_alone),
        cmocka_unit_test(a_part_behind_another_request_s_bad_one_is_sent_again),
        cmocka_unit_test(a_drafter_that_cannot_compute_a_text_is_not_asked_again),
        cmocka_unit_test(without_its_drafter_an_exact_text_goes_on),
        cmocka_unit_test(of_two_drafters_one_is_lost_to_its_own_texts),
        cmocka_unit_test(of_two_drafters_the_one_that_is_left_has_the_next_lossy_text),
        cmocka_unit_test(without_its_drafter_a_lossy_text_fails_alone),
        cmocka_unit_test(a_drafter_that_dies_while_a_verify_is_out_changes_nothing_of_it),
        cmocka_unit_test(an_unknown_id_ends_the_drafts_of_its_own_text_only),
        cmocka_unit_test(why_a_text_had_no_drafts_is_known_at_its_end),
        cmocka_unit_test(requests_that_run_together_draft_on_shared_cores_only_where_it_pays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
