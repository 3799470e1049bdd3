/* Early drafts (BiLD): while big verifies a draft of a lossy text the drafter writes the next one, as if all of this
 * were kept and big's own id behind it were little's. The text and the counts of BiLD are those of one thing after the
 * other; only the time is less. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "proto/policy_early.h"
#include "simulator.h"
#include "tests/lib/sim.h"

static const struct rule strict = {RULE_STRICT, 3}, repo = {RULE_REPO, 3};

/* A pass takes 10 ms, a drafted token 2. "e" is guessed right, and "fgh" is there when the verdict is; "X" is little's
 * guess for "i". */
static void the_next_window_is_drafted_while_this_one_is_verified(void **state)
{
    (void)state;
    const struct sim_text text = {"p", "abcdefghijklm", "abcdefghXjklm", 10};
    const struct sim_config c = {.draft_max = 3, .draft_ms = 2, .rule = strict};
    sim_transcript(&c, &text, 1,
                   "[   0] open    seq 0: slot 0\n"
                   "[   0] ask     seq 0 round 1 at 0: \"p\", up to 1\n"
                   "[   0] verify  seq 0 round 1 at 0: \"|p\"\n"
                   "[   2] draft   seq 0 round 1 at 1: \"\", window\n"
                   "[  12] verdict seq 0 round 1 at 0: \"a\"\n"
                   "[  12] emit    seq 0: \"a\" b\n"
                   "[  12] ask     seq 0 round 2 at 1: \"a\", up to 5\n"
                   "[  20] draft   seq 0 round 2 at 2: \"bcd\", window\n"
                   "[  20] verify  seq 0 round 2 at 1: \"|abcd\"\n"
                   "[  20] ask     seq 0 round 3 at 2: \"bcd\", up to 9\n"
                   "[  24] draft   seq 0 round 3 at 5: \"e\", more\n"
                   "[  26] draft   seq 0 round 3 at 6: \"f\", more\n"
                   "[  28] draft   seq 0 round 3 at 7: \"g\", more\n"
                   "[  30] draft   seq 0 round 3 at 8: \"h\", window\n"
                   "[  32] verdict seq 0 round 2 at 1: \"bcde\"\n"
                   "[  32] emit    seq 0: \"bcde\" dddb\n"
                   "[  32] verify  seq 0 round 3 at 5: \"|efgh\"\n"
                   "[  32] ask     seq 0 round 4 at 6: \"fgh\", up to 11\n"
                   "[  36] draft   seq 0 round 4 at 9: \"X\", more\n"
                   "[  38] draft   seq 0 round 4 at 10: \"j\", window\n"
                   "[  44] verdict seq 0 round 3 at 5: \"fghi\"\n"
                   "[  44] emit    seq 0: \"fghi\" dddb\n"
                   "[  44] ask     seq 0 round 5 at 6: \"fghi\", up to 11\n"
                   "[  48] draft   seq 0 round 5 at 10: \"j\", window\n"
                   "[  48] verify  seq 0 round 5 at 9: \"|ij\"\n"
                   "[  60] verdict seq 0 round 5 at 9: \"jk\"\n"
                   "[  60] emit    seq 0: \"j\" d\n"
                   "[  60] done    seq 0: length\n");
}

/* Where little is unsure it is asked to go on all the same: big decides there. */
static void a_fallback_is_guessed_too(void **state)
{
    (void)state;
    const struct sim_text text = {"p", "ab?defghijklm", "ab?defghijklm", 6};
    const struct sim_config c = {.draft_max = 3, .draft_ms = 2, .rule = strict, .fallback = 0.6f};
    sim_transcript(&c, &text, 1,
                   "[   0] open    seq 0: slot 0\n"
                   "[   0] ask     seq 0 round 1 at 0: \"p\", up to 1\n"
                   "[   0] verify  seq 0 round 1 at 0: \"|p\"\n"
                   "[   2] draft   seq 0 round 1 at 1: \"\", window\n"
                   "[  12] verdict seq 0 round 1 at 0: \"a\"\n"
                   "[  12] emit    seq 0: \"a\" b\n"
                   "[  12] ask     seq 0 round 2 at 1: \"a\", up to 5\n"
                   "[  16] draft   seq 0 round 2 at 2: \"b\", low\n"
                   "[  16] verify  seq 0 round 2 at 1: \"|ab\"\n"
                   "[  16] ask     seq 0 round 3 at 2: \"b\", up to 7\n"
                   "[  20] draft   seq 0 round 3 at 3: \"?\", more\n"
                   "[  22] draft   seq 0 round 3 at 4: \"d\", more\n"
                   "[  24] draft   seq 0 round 3 at 5: \"e\", more\n"
                   "[  26] draft   seq 0 round 3 at 6: \"f\", window\n"
                   "[  28] verdict seq 0 round 2 at 1: \"b?\"\n"
                   "[  28] emit    seq 0: \"b?\" db\n"
                   "[  28] verify  seq 0 round 3 at 3: \"|?def\"\n"
                   "[  40] verdict seq 0 round 3 at 3: \"defg\"\n"
                   "[  40] emit    seq 0: \"def\" ddd\n"
                   "[  40] done    seq 0: length\n");
}

/* The verdict comes first: the draft is taken up as it is, and its rest is awaited. */
static void a_draft_that_is_not_done_when_the_verdict_comes_goes_on(void **state)
{
    (void)state;
    const struct sim_text text = {"p", "abcdefghijklm", NULL, 9};
    const struct sim_config c = {.draft_max = 3, .draft_ms = 4, .rule = strict};
    sim_transcript(&c, &text, 1,
                   "[   0] open    seq 0: slot 0\n"
                   "[   0] ask     seq 0 round 1 at 0: \"p\", up to 1\n"
                   "[   0] verify  seq 0 round 1 at 0: \"|p\"\n"
                   "[   2] draft   seq 0 round 1 at 1: \"\", window\n"
                   "[  12] verdict seq 0 round 1 at 0: \"a\"\n"
                   "[  12] emit    seq 0: \"a\" b\n"
                   "[  12] ask     seq 0 round 2 at 1: \"a\", up to 5\n"
                   "[  26] draft   seq 0 round 2 at 2: \"bcd\", window\n"
                   "[  26] verify  seq 0 round 2 at 1: \"|abcd\"\n"
                   "[  26] ask     seq 0 round 3 at 2: \"bcd\", up to 9\n"
                   "[  32] draft   seq 0 round 3 at 5: \"e\", more\n"
                   "[  36] draft   seq 0 round 3 at 6: \"f\", more\n"
                   "[  38] verdict seq 0 round 2 at 1: \"bcde\"\n"
                   "[  38] emit    seq 0: \"bcde\" dddb\n"
                   "[  40] draft   seq 0 round 3 at 7: \"g\", more\n"
                   "[  44] draft   seq 0 round 3 at 8: \"h\", window\n"
                   "[  44] verify  seq 0 round 3 at 5: \"|efgh\"\n"
                   "[  56] verdict seq 0 round 3 at 5: \"fghi\"\n"
                   "[  56] emit    seq 0: \"fghi\" dddb\n"
                   "[  56] done    seq 0: length\n");
}

/* The text hangs on what the drafter has read of a long prompt: its last ids and big's first, as many as if it were
 * asked only then. */
static void a_prompt_is_read_from_where_it_would_be_without_haste(void **state)
{
    (void)state;
    const struct sim_text text = {"pqr", "abcdefg", NULL, 4};
    const struct sim_config c = {.draft_max = 8, .draft_ctx = 2, .rule = strict};
    sim_transcript(&c, &text, 1,
                   "[   0] open    seq 0: slot 0\n"
                   "[   0] ask     seq 0 round 1 at 0: \"r\", up to 1\n"
                   "[   0] verify  seq 0 round 1 at 0: \"pq|r\"\n"
                   "[   2] draft   seq 0 round 1 at 1: \"\", window\n"
                   "[  12] verdict seq 0 round 1 at 0: \"a\"\n"
                   "[  12] emit    seq 0: \"a\" b\n"
                   "[  12] ask     seq 0 round 2 at 1: \"a\", up to 5\n"
                   "[  17] draft   seq 0 round 2 at 2: \"eab\", window\n"
                   "[  17] verify  seq 0 round 2 at 3: \"|aeab\"\n"
                   "[  29] verdict seq 0 round 2 at 3: \"bcde\"\n"
                   "[  29] emit    seq 0: \"eab\" ddd\n"
                   "[  29] done    seq 0: length\n");
    struct sim *s = sim_open(&(struct sim_config){.draft_max = 8, .draft_ctx = 1, .rule = strict}, &text, 1);
    sim_run(s); /* of the prompt nothing */
    assert_int_equal(sim_n_drafter_rows(s), 3);
    sim_close(s);
}

/* A draft that cannot be computed fails the text, whether it was early or not; if it was not to be used, nothing. */
static void an_early_draft_that_fails_is_no_draft(void **state)
{
    (void)state;
    const struct sim_text text = {"p", "abcdefghijklmno", "abcdXfghijklmno", 12};
    int n_failed = 0, n_written = 0;
    for (int at = 1; at < 70; at++) {
        const struct sim_config c = {.draft_max = 3, .draft_ms = 2 + at % 3, .rule = strict};
        struct sim *s = sim_open(&c, &text, 1);
        sim_fault(s, at, SIM_ASK_FAILS, 0);
        sim_run(s);
        const struct seq *q = sim_seq(s, 0);
        n_failed += q->end == SEQ_FAILED;
        n_written += q->end == SEQ_LENGTH;
        if (q->end == SEQ_FAILED) assert_int_equal(q->why.code, E_MODEL);
        assert_memory_equal(sim_written(s, 0), "abcdefghijkl", (size_t)seq_n_generated(q));
        sim_close(s);
    }
    assert_true(n_failed > 3 && n_written > 3 && n_failed + n_written == 69);
}

/* ---- one text, and one count ---- */

static void expect_same(const struct sim_config *config, const struct sim_text *texts, int n, uint32_t *n_early)
{
    struct sim_config after = *config;
    after.shares_cores = true;
    struct sim *one = sim_open(&after, texts, n), *two = sim_open(config, texts, n);
    sim_run(one);
    sim_run(two);
    for (int i = 0; i < n; i++) {
        const struct seq *a = sim_seq(one, i), *b = sim_seq(two, i);
        const struct seq_stats *x = &a->stats, *y = &b->stats;
        assert_int_equal(a->n_ids, b->n_ids);
        assert_memory_equal(a->ids, b->ids, (size_t)a->n_ids * sizeof *a->ids);
        assert_memory_equal(a->origin, b->origin, (size_t)a->n_ids);
        assert_memory_equal(a->lp + a->n_prompt, b->lp + a->n_prompt, (size_t)seq_n_generated(a) * sizeof *a->lp);
        assert_int_equal(a->end, b->end);
        const uint32_t of_x[] = {x->n_asks, x->n_verifies, x->n_drafts,    x->n_drafted, x->n_judged,    x->n_accepted,
                                 x->n_lows, x->n_ends,     x->n_rollbacks, x->n_windows, x->n_taken_back},
                       of_y[] = {y->n_asks, y->n_verifies, y->n_drafts,    y->n_drafted, y->n_judged,    y->n_accepted,
                                 y->n_lows, y->n_ends,     y->n_rollbacks, y->n_windows, y->n_taken_back};
        for (size_t k = 0; k < sizeof of_x / sizeof *of_x; k++)
            if (of_x[k] != of_y[k]) fail_msg("text %d, count %zu: %u, early %u", i, k, of_x[k], of_y[k]);
        assert_int_equal(x->n_early + x->n_discarded, 0);
        *n_early += y->n_early;
    }
    sim_close(one);
    sim_close(two);
}

/* Scripts in which little is right, likely enough ('y'), unlikely ('X') and unsure ('?'), over windows, blocks, speeds,
 * ways, jitters, parts of the prompt, vocabularies, and two texts in one slot. */
static void no_early_draft_changes_a_text_or_a_count(void **state)
{
    (void)state;
    static const struct sim_text texts[] = {
        {"the prompt", "abcdefghijklmnopqrstuvwxyz", "abcdXfghyjkl?nopqrXtuvw?yz", 26},
        {"p", "abc?efghij1lmnopqr$", "abc?yfghij1lmXopqr$", 40},
        {"pq", "abcdefgh", NULL, 7},
    };
    uint32_t n_early = 0;
    int n = 0;
    for (int i = 0; i < 3; i++)
        for (int window = 1; window <= 7; window += 2)
            for (int turn = 0; turn < 24; turn++, n++) {
                const struct sim_config c = {.draft_max = window,
                                             .draft_block = 1 + turn % 3,
                                             .draft_ctx = turn % 5 ? 64 : 1 + turn / 5,
                                             .draft_ms = 1 + turn % 4,
                                             .link_ms = turn % 7 ? 1 : 12,
                                             .rtt_ms = turn % 7 ? 4 : 48,
                                             .jitter = turn % 2 ? 0 : (uint64_t)turn + 1,
                                             .n_ids = turn % 11 ? 256 : 'l',
                                             .max_rows = turn % 4 ? 16 : 4,
                                             .rule = turn % 3 ? strict : repo,
                                             .fallback = turn % 2 ? 0 : 0.6f};
                const struct sim_text two[] = {texts[i], texts[(i + 1) % 3]};
                expect_same(&c, two, turn % 3 ? 1 : 2, &n_early);
            }
    print_message("%d clusters, %u early drafts of use\n", n, n_early);
    assert_true(n_early > 200);
}

/* ---- what it is worth ---- */

static void they_are_written_where_that_pays(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        struct draft_policy_early early;
        bool unsure, pays;
    } rows[] = {
        {"a trial, where no verify was timed",
         {.kept = {.1}, .right = {.1}, .n_drafts = 3, .draft_ns = 3},
         false,
         true},
        {"all is done when the verdict comes", {{.01}, {.01}, 3, 1, 10}, false, true},
        {"far away it is, too", {{.01}, {.01}, 3, 5, 30}, false, true},
        {"mostly right", {{.9}, {.9}, 3, 5, 10}, false, true},
        {"mostly wrong, and in the way", {{.2}, {.9}, 3, 5, 10}, false, false},
        {"the guess is mostly wrong", {{.9}, {.2}, 3, 5, 10}, false, false},
        {"a draft takes as long as a verify: nothing is gained", {{.9}, {.9}, 3, 10, 10}, false, false},
        {"unsure, it is another chance", {{.9, .2}, {.9, .2}, 3, 5, 10}, true, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (draft_policy_early_pays(&rows[i].early, rows[i].unsure) != rows[i].pays) fail_msg("%s", rows[i].why);
    struct draft_policy_early e = draft_policy_early_init();
    draft_policy_early_note_draft(&e, 4, 40);
    draft_policy_early_note_verdict(&e, false, false, 10);
    draft_policy_early_note_guess(&e, true, true);
    assert_true(e.n_drafts == 4 && e.draft_ns == 10 && e.verify_ns == 10);
    assert_true(e.kept[0] < e.kept[1] && e.right[1] > draft_policy_early_init().right[1]);
}

/* Draws by the text, so with and without early drafts have the same luck. */
struct costs {
    double pass_ms, draft_ms;
};

static uint64_t pass_ns(void *arg, int n_rows)
{
    (void)n_rows;
    return (uint64_t)(((struct costs *)arg)->pass_ms * 1e6);
}

static uint64_t draft_ns(void *arg, int n_texts, int n_read, int n_drafted)
{
    (void)n_texts, (void)n_read;
    return (uint64_t)(((struct costs *)arg)->draft_ms * n_drafted * 1e6);
}

static double token_ms(double right, const struct costs *costs, double rtt_ms, int window, int draft_ahead)
{
    enum { PROMPT = 8, TOKENS = 512, TEXTS = 4 };
    struct simulator_chance chance = {.p_right = right, .n_vocab = 4096};
    double ns = 0;
    for (int text = 0; text < TEXTS; text++) {
        struct simulator *sim;
        struct draft_profile profile = {0};
        struct err err;
        struct seq s;
        int32_t prompt[PROMPT];
        for (int i = 0; i < PROMPT; i++) prompt[i] = 1 + i * 31 + text * 7;
        const uint64_t way_ns = (uint64_t)(rtt_ms / 2 * 1e6);
        const struct simulator_config config = {
            .spec = {.n_ctx = 1024,
                     .drafter = {.kind = DRAFTER_LITTLE, .peer = 1, .n_ids = 4096, .n_proposed = 4096},
                     .n_groups = 1,
                     .groups = {{2, 1, 64, 8, 4096, &profile}}},
            .to = {[ROLE_VERIFIER] = {.delay_ns = way_ns}},
            .link = {.rtt_ns = 2 * way_ns},
            .models = simulator_chance_models(&chance),
            .costs = {pass_ns, draft_ns, (void *)costs, NULL}};
        const struct request request = {.prompt = prompt,
                                        .n_prompt = PROMPT,
                                        .settings = {.n_predict = TOKENS,
                                                     .rule = {RULE_STRICT, 1e-9f},
                                                     .drafting = true,
                                                     .draft_max = window,
                                                     .draft_ahead = draft_ahead,
                                                     .draft_block = 1,
                                                     .draft_ctx = 64}};
        assert_int_equal(seq_init(&s, &request, 1024, &err), OK);
        if (simulator_open(&sim, &config, &err) != OK) fail_msg("%s", err.text);
        if (simulator_step(sim, &(struct event){.kind = EVENT_SUBMIT, .seq = &s}, &err) != OK ||
            simulator_run(sim, &err) != OK)
            fail_msg("%s", err.text);
        ns += (double)(s.stats.last_ns - s.stats.first_ns);
        simulator_close(sim);
        seq_free(&s);
    }
    return ns * 1e-6 / (TEXTS * (TOKENS - 1));
}

static void early_drafts_are_faster_where_they_are_right_and_cost_nothing_where_not(void **state)
{
    (void)state;
    static const double rights[] = {.2, .6, .8, .9, .97}, drafts[] = {.05, .1, .3}, rtts[] = {0, .2, 1, 4};
    static const int windows[] = {3, 10};
    double worst = 0, best = 1;
    for (int a = 0; a < 5; a++)
        for (int d = 0; d < 3; d++)
            for (int r = 0; r < 4; r++)
                for (int w = 0; w < 2; w++) {
                    const struct costs costs = {30, 30 * drafts[d]};
                    double without = token_ms(rights[a], &costs, 30 * rtts[r], windows[w], 0);
                    double ratio = token_ms(rights[a], &costs, 30 * rtts[r], windows[w], -1) / without;
                    if (ratio > 1.01)
                        print_message("a %g, tD %g tT, R %g tT, window %d: %.4f of the time\n", rights[a], drafts[d],
                                      rtts[r], windows[w], ratio);
                    worst = ratio > worst ? ratio : worst;
                    best = ratio < best ? ratio : best;
                }
    print_message("of the time without: %.3f at best, %.3f at worst\n", best, worst);
    assert_true(worst <= 1.01);
    const struct costs costs = {30, 9};
    double three = token_ms(.9, &costs, 30, 3, 0) / token_ms(.9, &costs, 30, 3, -1);
    double ten = token_ms(.9, &costs, 30, 10, 0) / token_ms(.9, &costs, 30, 10, -1);
    print_message("R = tT, tD = .3 tT, a = .9: %.3f times as fast with a window of 3, %.3f with 10\n", three, ten);
    assert_true(three > 1.22 && ten > 1.08);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_next_window_is_drafted_while_this_one_is_verified),
        cmocka_unit_test(a_fallback_is_guessed_too),
        cmocka_unit_test(a_draft_that_is_not_done_when_the_verdict_comes_goes_on),
        cmocka_unit_test(a_prompt_is_read_from_where_it_would_be_without_haste),
        cmocka_unit_test(an_early_draft_that_fails_is_no_draft),
        cmocka_unit_test(no_early_draft_changes_a_text_or_a_count),
        cmocka_unit_test(they_are_written_where_that_pays),
        cmocka_unit_test(early_drafts_are_faster_where_they_are_right_and_cost_nothing_where_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
