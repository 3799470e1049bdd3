/* The heart and its workers: rows from where their texts end, and what they lost is sent again. On a virtual clock, as
 * test_spec.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/lib/sim.h"

/* ---- prompts and replays: rows from where the verifier's text ends ---- */

static void a_long_prompt_goes_in_parts_and_the_wanted_rows_stay_together(void **state)
{
    (void)state;
    const struct sim_text texts[] = {{"the cat sat on th", "e mat.", NULL, 5}};
    sim_transcript(&(struct sim_config){.draft_max = 4, .max_rows = 8}, texts, 1,
                   "[   0] open    seq 0: slot 0\n"
                   "[   0] verify  seq 0 round 1 at 0: \"the cat \"\n"
                   "[   0] verify  seq 0 round 1 at 8: \"sat on t\"\n"
                   "[   0] verify  seq 0 round 1 at 16: \"|h\"\n"
                   "[  12] verdict seq 0 round 1 at 0: \"\"\n"
                   "[  22] verdict seq 0 round 1 at 8: \"\"\n"
                   "[  32] verdict seq 0 round 1 at 16: \"e\"\n"
                   "[  32] emit    seq 0: \"e\" b\n"
                   "[  32] ask     seq 0 round 2 at 0: \"the cat sat on the\", up to 21\n"
                   "[  37] draft   seq 0 round 2 at 18: \" ma\", window\n"
                   "[  37] verify  seq 0 round 2 at 17: \"|e ma\"\n"
                   "[  49] verdict seq 0 round 2 at 17: \" mat\"\n"
                   "[  49] emit    seq 0: \" mat\" dddb\n"
                   "[  49] done    seq 0: length\n");
}

/* Sixteen ids are two full parts, of which the last one must hold the wanted row. */
static void a_prompt_of_exactly_two_parts_goes_in_two(void **state)
{
    (void)state;
    const struct sim_text texts[] = {{"0123456789abcdef", "g", NULL, 1}};
    sim_transcript(&(struct sim_config){.max_rows = 8}, texts, 1,
                   "[   0] verify  seq 0 round 1 at 0: \"01234567\"\n"
                   "[   0] verify  seq 0 round 1 at 8: \"89abcde|f\"\n"
                   "[  12] verdict seq 0 round 1 at 0: \"\"\n"
                   "[  22] verdict seq 0 round 1 at 8: \"g\"\n"
                   "[  22] emit    seq 0: \"g\" b\n"
                   "[  22] done    seq 0: length\n");
}

/* Invariants 2 and 8. Answers to parts of the old round do not count, but until they have come they take up room. */
static void a_gap_inside_a_prompt_is_filled_from_what_the_verifier_holds(void **state)
{
    (void)state;
    const struct sim_text texts[] = {{"0123456789abcdefghijklmnopqr", "stu", NULL, 3}};
    struct sim *s = sim_open(&(struct sim_config){.max_rows = 6, .max_jobs = 2, .n_slots = 1}, texts, 1);
    sim_fault(s, 20, SIM_VERIFIER_FORGETS, 0);
    sim_run(s);
    sim_expect(s, "[   0] verify  seq 0 round 1 at 0: \"012345\"\n"
                  "[   0] verify  seq 0 round 1 at 6: \"6789ab\"\n"
                  "[  12] verdict seq 0 round 1 at 0: \"\"\n"
                  "[  12] verify  seq 0 round 1 at 12: \"cdefgh\"\n"
                  "[  20] fault   slot 0: verifier forgets half\n"
                  "[  22] verdict seq 0 round 1 at 6: \"\"\n"
                  "[  22] verify  seq 0 round 1 at 18: \"ijklmn\"\n"
                  "[  22] verdict seq 0 round 1 at 12: gap, holds 6\n"
                  "[  22] verify  seq 0 round 2 at 6: \"6789ab\"\n"
                  "[  24] verdict seq 0 round 1 at 18: gap, holds 6\n"
                  "[  24] verify  seq 0 round 2 at 12: \"cdefgh\"\n"
                  "[  34] verdict seq 0 round 2 at 6: \"\"\n"
                  "[  34] verify  seq 0 round 2 at 18: \"ijklmn\"\n"
                  "[  44] verdict seq 0 round 2 at 12: \"\"\n"
                  "[  44] verify  seq 0 round 2 at 24: \"opq|r\"\n"
                  "[  54] verdict seq 0 round 2 at 18: \"\"\n"
                  "[  64] verdict seq 0 round 2 at 24: \"s\"\n"
                  "[  64] emit    seq 0: \"s\" b\n"
                  "[  64] verify  seq 0 round 3 at 28: \"|s\"\n"
                  "[  76] verdict seq 0 round 3 at 28: \"t\"\n"
                  "[  76] emit    seq 0: \"t\" b\n"
                  "[  76] verify  seq 0 round 4 at 29: \"|t\"\n"
                  "[  88] verdict seq 0 round 4 at 29: \"u\"\n"
                  "[  88] emit    seq 0: \"u\" b\n"
                  "[  88] done    seq 0: length\n");
    assert_int_equal(sim_most_parts_out(s), 2);
    sim_close(s);
}

/* Invariant 9: a replay gives the same text, log-probabilities too. */
static void a_verifier_that_forgot_is_sent_the_rest_again_with_nothing_wanted(void **state)
{
    (void)state;
    const struct sim_text texts[] = {{"ab", "cdefghij", NULL, 8}};
    struct sim *s = sim_open(&(struct sim_config){.draft_max = 4}, texts, 1);
    sim_fault(s, 31, SIM_VERIFIER_FORGETS, 0);
    sim_run(s);
    sim_expect(s, "[   0] open    seq 0: slot 0\n"
                  "[   0] verify  seq 0 round 1 at 0: \"a|b\"\n"
                  "[  12] verdict seq 0 round 1 at 0: \"c\"\n"
                  "[  12] emit    seq 0: \"c\" b\n"
                  "[  12] ask     seq 0 round 2 at 0: \"abc\", up to 7\n"
                  "[  18] draft   seq 0 round 2 at 3: \"defg\", window\n"
                  "[  18] verify  seq 0 round 2 at 2: \"|cdefg\"\n"
                  "[  30] verdict seq 0 round 2 at 2: \"defgh\"\n"
                  "[  30] emit    seq 0: \"defgh\" ddddb\n"
                  "[  30] ask     seq 0 round 3 at 3: \"defgh\", up to 9\n"
                  "[  31] fault   slot 0: verifier forgets half\n"
                  "[  33] draft   seq 0 round 3 at 8: \"i\", window\n"
                  "[  33] verify  seq 0 round 3 at 7: \"|hi\"\n"
                  "[  35] verdict seq 0 round 3 at 7: gap, holds 3\n"
                  "[  35] verify  seq 0 round 4 at 3: \"defg|hi\"\n"
                  "[  47] verdict seq 0 round 4 at 3: \"ij\"\n"
                  "[  47] emit    seq 0: \"ij\" db\n"
                  "[  47] done    seq 0: length\n");
    const struct seq_stats *stats = &sim_seq(s, 0)->stats; /* drafts that were sent twice were not dropped */
    assert_true(stats->n_drafted == 5 && stats->n_accepted == 5 && stats->n_dropped == 0);
    sim_close(s);
}

static void a_verifier_with_another_text_is_sent_all_of_it(void **state)
{
    (void)state;
    const struct sim_text texts[] = {{"ab", "cdefghij", NULL, 8}};
    struct sim *s = sim_open(&(struct sim_config){.draft_max = 4}, texts, 1);
    sim_fault(s, 31, SIM_VERIFIER_STRAYS, 0);
    sim_run(s);
    sim_expect(s, "[   0] open    seq 0: slot 0\n"
                  "[   0] verify  seq 0 round 1 at 0: \"a|b\"\n"
                  "[  12] verdict seq 0 round 1 at 0: \"c\"\n"
                  "[  12] emit    seq 0: \"c\" b\n"
                  "[  12] ask     seq 0 round 2 at 0: \"abc\", up to 7\n"
                  "[  18] draft   seq 0 round 2 at 3: \"defg\", window\n"
                  "[  18] verify  seq 0 round 2 at 2: \"|cdefg\"\n"
                  "[  30] verdict seq 0 round 2 at 2: \"defgh\"\n"
                  "[  30] emit    seq 0: \"defgh\" ddddb\n"
                  "[  30] ask     seq 0 round 3 at 3: \"defgh\", up to 9\n"
                  "[  31] fault   slot 0: verifier strays\n"
                  "[  33] draft   seq 0 round 3 at 8: \"i\", window\n"
                  "[  33] verify  seq 0 round 3 at 7: \"|hi\"\n"
                  "[  35] verdict seq 0 round 3 at 7: stale, holds 7\n"
                  "[  35] verify  seq 0 round 4 at 0: \"abcdefg|hi\"\n"
                  "[  47] verdict seq 0 round 4 at 0: \"ij\"\n"
                  "[  47] emit    seq 0: \"ij\" db\n"
                  "[  47] done    seq 0: length\n");
    sim_close(s);
}

static void a_drafter_that_lost_its_text_is_sent_all_of_it_in_the_next_round(void **state)
{
    (void)state;
    static const enum sim_fault faults[] = {SIM_DRAFTER_FORGETS, SIM_DRAFTER_STRAYS};
    static const char *const transcripts[] = {"[   0] open    seq 0: slot 0\n"
                                              "[   0] verify  seq 0 round 1 at 0: \"a|b\"\n"
                                              "[  12] verdict seq 0 round 1 at 0: \"c\"\n"
                                              "[  12] emit    seq 0: \"c\" b\n"
                                              "[  12] ask     seq 0 round 2 at 0: \"abc\", up to 7\n"
                                              "[  18] draft   seq 0 round 2 at 3: \"defg\", window\n"
                                              "[  18] verify  seq 0 round 2 at 2: \"|cdefg\"\n"
                                              "[  20] fault   slot 0: drafter forgets half\n"
                                              "[  21] fault   slot 0: drafter forgets half\n"
                                              "[  30] verdict seq 0 round 2 at 2: \"defgh\"\n"
                                              "[  30] emit    seq 0: \"defgh\" ddddb\n"
                                              "[  30] ask     seq 0 round 3 at 3: \"defgh\", up to 12\n"
                                              "[  32] draft   seq 0 round 3 at 3: \"\", gap\n"
                                              "[  32] verify  seq 0 round 3 at 7: \"|h\"\n"
                                              "[  44] verdict seq 0 round 3 at 7: \"i\"\n"
                                              "[  44] emit    seq 0: \"i\" b\n"
                                              "[  44] ask     seq 0 round 4 at 0: \"abcdefghi\", up to 12\n"
                                              "[  49] draft   seq 0 round 4 at 9: \"jkl\", window\n"
                                              "[  49] verify  seq 0 round 4 at 8: \"|ijkl\"\n"
                                              "[  61] verdict seq 0 round 4 at 8: \"jklm\"\n"
                                              "[  61] emit    seq 0: \"jklm\" dddb\n"
                                              "[  61] done    seq 0: length\n",
                                              "[   0] open    seq 0: slot 0\n"
                                              "[   0] verify  seq 0 round 1 at 0: \"a|b\"\n"
                                              "[  12] verdict seq 0 round 1 at 0: \"c\"\n"
                                              "[  12] emit    seq 0: \"c\" b\n"
                                              "[  12] ask     seq 0 round 2 at 0: \"abc\", up to 7\n"
                                              "[  18] draft   seq 0 round 2 at 3: \"defg\", window\n"
                                              "[  18] verify  seq 0 round 2 at 2: \"|cdefg\"\n"
                                              "[  20] fault   slot 0: drafter strays\n"
                                              "[  21] fault   slot 0: drafter strays\n"
                                              "[  30] verdict seq 0 round 2 at 2: \"defgh\"\n"
                                              "[  30] emit    seq 0: \"defgh\" ddddb\n"
                                              "[  30] ask     seq 0 round 3 at 3: \"defgh\", up to 12\n"
                                              "[  32] draft   seq 0 round 3 at 3: \"\", stale\n"
                                              "[  32] verify  seq 0 round 3 at 7: \"|h\"\n"
                                              "[  44] verdict seq 0 round 3 at 7: \"i\"\n"
                                              "[  44] emit    seq 0: \"i\" b\n"
                                              "[  44] ask     seq 0 round 4 at 0: \"abcdefghi\", up to 12\n"
                                              "[  49] draft   seq 0 round 4 at 9: \"jkl\", window\n"
                                              "[  49] verify  seq 0 round 4 at 8: \"|ijkl\"\n"
                                              "[  61] verdict seq 0 round 4 at 8: \"jklm\"\n"
                                              "[  61] emit    seq 0: \"jklm\" dddb\n"
                                              "[  61] done    seq 0: length\n"};
    const struct sim_text texts[] = {{"ab", "cdefghijklm", NULL, 11}};
    for (int i = 0; i < 2; i++) {
        struct sim *s = sim_open(&(struct sim_config){.draft_max = 4}, texts, 1);
        sim_fault(s, 20, faults[i], 0);
        sim_fault(s, 21, faults[i], 0);
        sim_run(s);
        sim_expect(s, transcripts[i]);
        sim_close(s);
    }
}

/* Of ten ids the drafter reads the last four. Noise is drawn by position in the text: each is told where its own
 * begins. */
static void what_is_sent_says_how_to_choose_and_when_to_end(void **state)
{
    (void)state;
    static struct draft_profile profile;
    static const int32_t prompt[10] = {0}, end_ids[OPEN_END_IDS_MOST + 1] = {7};
    const struct spec_config config = {.n_ctx = 32,
                                       .root = 1,
                                       .drafter = {.kind = DRAFTER_LITTLE, .peer = 1, .n_ids = 250, .n_proposed = 200},
                                       .n_groups = 1,
                                       .groups = {{2, 1, 16, 4, 256, &profile}}};
    for (int n_ends = 0; n_ends <= OPEN_END_IDS_MOST + 1; n_ends++) {
        const struct request r = {.prompt = prompt,
                                  .n_prompt = 10,
                                  .settings = {.sampler = {.temp = 0.5f, .seed = 9, .offset = 99},
                                               .drafting = true,
                                               .draft_max = 3,
                                               .draft_ctx = 4,
                                               .fallback = 0.25f,
                                               .end_ids = end_ids,
                                               .n_end_ids = n_ends,
                                               .n_top = 2}};
        struct spec *spec;
        struct seq seq;
        struct actions sent;
        struct err err;
        assert_int_equal(seq_init(&seq, &r, config.n_ctx, &err), OK);
        assert_int_equal(spec_open(&spec, &config, &err), OK);
        assert_int_equal(spec_step(spec, &(struct event){.kind = EVENT_SUBMIT, .seq = &seq}, &sent, &err), OK);
        assert_int_equal(sent.n, 2);
        const struct open_slot *open = &sent.list[0].message.open;
        assert_int_equal(sent.list[0].peer, 1);
        assert_int_equal(open->n_ids, 200);
        assert_ptr_equal(open->end_ids, end_ids);
        assert_int_equal(open->n_end_ids, n_ends <= OPEN_END_IDS_MOST ? n_ends : OPEN_END_IDS_MOST);
        assert_int_equal(open->last_position, 32);
        const struct part *part = &sent.list[1].message.verify;
        assert_int_equal(sent.list[1].peer, 2);
        assert_true(part->sampler.temp == 0.5f && part->sampler.seed == 9 && part->sampler.offset == 0);
        for (size_t i = 0; i < 10; i++) assert_int_equal(part->rows[i].n_top, i == 9 ? 2 : 0);
        const struct top tops[2] = {{'c', -1}, {'d', -2}};
        const struct verdict_row row = {.next = 'c', .top = tops, .n_top = 2};
        const struct verdict v = {.job = 1, .round = 1, .prefix_hash = 1, .rows = &row, .n_rows = 1};
        assert_int_equal(spec_step(spec, &(struct event){.kind = EVENT_VERDICT, .verdict = &v}, &sent, &err), OK);
        const struct draft_ask *ask = &sent.list[1].message.ask;
        assert_int_equal(sent.list[1].peer, 1);
        assert_true(ask->at == 0 && ask->n_ids == 4 && ask->until == 7 && ask->prefix_hash == 1);
        assert_true(ask->p_min == 0.25f && ask->p_joint_min == 0);
        assert_true(ask->sampler.temp == 0.5f && ask->sampler.seed == 9 && ask->sampler.offset == 7);
        spec_close(spec);
        seq_free(&seq);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_long_prompt_goes_in_parts_and_the_wanted_rows_stay_together),
        cmocka_unit_test(a_prompt_of_exactly_two_parts_goes_in_two),
        cmocka_unit_test(a_gap_inside_a_prompt_is_filled_from_what_the_verifier_holds),
        cmocka_unit_test(a_verifier_that_forgot_is_sent_the_rest_again_with_nothing_wanted),
        cmocka_unit_test(a_verifier_with_another_text_is_sent_all_of_it),
        cmocka_unit_test(a_drafter_that_lost_its_text_is_sent_all_of_it_in_the_next_round),
        cmocka_unit_test(what_is_sent_says_how_to_choose_and_when_to_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
