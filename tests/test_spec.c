/* The heart as transcripts: what the coordinator sends to whom, and when, on a virtual clock. In a verify, | stands
 * before the first wanted row; after an emit, each token's origin: big, draft, correction. */
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/sim.h"

/* ---- one sequence ---- */

static void big_alone_feeds_the_prompt_and_then_one_row_a_token(void **state)
{
    (void)state;
    const struct sim_text texts[] = {{"the cat ", "sat", NULL, 3}};
    sim_transcript(&(struct sim_config){0}, texts, 1,
                   "[   0] verify  seq 0 round 1 at 0: \"the cat| \"\n"
                   "[  12] verdict seq 0 round 1 at 0: \"s\"\n"
                   "[  12] emit    seq 0: \"s\" b\n"
                   "[  12] verify  seq 0 round 2 at 8: \"|s\"\n"
                   "[  24] verdict seq 0 round 2 at 8: \"a\"\n"
                   "[  24] emit    seq 0: \"a\" b\n"
                   "[  24] verify  seq 0 round 3 at 9: \"|a\"\n"
                   "[  36] verdict seq 0 round 3 at 9: \"t\"\n"
                   "[  36] emit    seq 0: \"t\" b\n"
                   "[  36] done    seq 0: length\n");
}

/* Trap 1: with a text of n ids and k drafts the rows are n-1 .. n+k-1, and the last one is the bonus. */
static void the_row_after_the_last_draft_is_big_s_own_token(void **state)
{
    (void)state;
    const struct sim_text texts[] = {{"the cat ", "sat on it.", "sat in it.", 10}};
    sim_transcript(&(struct sim_config){.draft_max = 4}, texts, 1,
                   "[   0] open    seq 0: slot 0\n"
                   "[   0] verify  seq 0 round 1 at 0: \"the cat| \"\n"
                   "[  12] verdict seq 0 round 1 at 0: \"s\"\n"
                   "[  12] emit    seq 0: \"s\" b\n"
                   "[  12] ask     seq 0 round 2 at 0: \"the cat s\", up to 13\n"
                   "[  18] draft   seq 0 round 2 at 9: \"at i\", window\n"
                   "[  18] verify  seq 0 round 2 at 8: \"|sat i\"\n"
                   "[  30] verdict seq 0 round 2 at 8: \"at ou\"\n"
                   "[  30] emit    seq 0: \"at o\" dddc\n"
                   "[  30] ask     seq 0 round 3 at 9: \"at o\", up to 17\n"
                   "[  36] draft   seq 0 round 3 at 13: \"n it\", window\n"
                   "[  36] verify  seq 0 round 3 at 12: \"|on it\"\n"
                   "[  48] verdict seq 0 round 3 at 12: \"n it.\"\n"
                   "[  48] emit    seq 0: \"n it.\" ddddb\n"
                   "[  48] done    seq 0: length\n");
}

/* Trap 2: the drafter never fed its last draft; the ask brings it again, with the bonus. */
static void after_full_acceptance_the_ask_repeats_the_drafts_and_no_row_is_computed_twice(void **state)
{
    (void)state;
    const struct sim_text texts[] = {{"ab", "cdefghijklmnopqrstu", NULL, 19}};
    struct sim *s = sim_open(&(struct sim_config){.draft_max = 4}, texts, 1);
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
                  "[  30] ask     seq 0 round 3 at 3: \"defgh\", up to 12\n"
                  "[  36] draft   seq 0 round 3 at 8: \"ijkl\", window\n"
                  "[  36] verify  seq 0 round 3 at 7: \"|hijkl\"\n"
                  "[  48] verdict seq 0 round 3 at 7: \"ijklm\"\n"
                  "[  48] emit    seq 0: \"ijklm\" ddddb\n"
                  "[  48] ask     seq 0 round 4 at 8: \"ijklm\", up to 17\n"
                  "[  54] draft   seq 0 round 4 at 13: \"nopq\", window\n"
                  "[  54] verify  seq 0 round 4 at 12: \"|mnopq\"\n"
                  "[  66] verdict seq 0 round 4 at 12: \"nopqr\"\n"
                  "[  66] emit    seq 0: \"nopqr\" ddddb\n"
                  "[  66] ask     seq 0 round 5 at 13: \"nopqr\", up to 20\n"
                  "[  70] draft   seq 0 round 5 at 18: \"st\", window\n"
                  "[  70] verify  seq 0 round 5 at 17: \"|rst\"\n"
                  "[  82] verdict seq 0 round 5 at 17: \"stu\"\n"
                  "[  82] emit    seq 0: \"stu\" ddb\n"
                  "[  82] done    seq 0: length\n");
    /* Positions 0 .. 19 of "abcdefghijklmnopqrst": each once. The last draft is never fed. */
    assert_int_equal(sim_n_drafter_rows(s), 19);
    sim_close(s);
}

/* Invariant 14: ids equal to its own do not rewind it. */
static void after_a_refused_draft_the_drafter_goes_on_from_the_last_right_one(void **state)
{
    (void)state;
    const struct sim_text texts[] = {{"ab", "cdefghijklmno", "cdefXhijklmno", 12}};
    struct sim *s = sim_open(&(struct sim_config){.draft_max = 4}, texts, 1);
    sim_run(s);
    sim_expect(s, "[   0] open    seq 0: slot 0\n"
                  "[   0] verify  seq 0 round 1 at 0: \"a|b\"\n"
                  "[  12] verdict seq 0 round 1 at 0: \"c\"\n"
                  "[  12] emit    seq 0: \"c\" b\n"
                  "[  12] ask     seq 0 round 2 at 0: \"abc\", up to 7\n"
                  "[  18] draft   seq 0 round 2 at 3: \"defX\", window\n"
                  "[  18] verify  seq 0 round 2 at 2: \"|cdefX\"\n"
                  "[  30] verdict seq 0 round 2 at 2: \"defgc\"\n"
                  "[  30] emit    seq 0: \"defg\" dddc\n"
                  "[  30] ask     seq 0 round 3 at 3: \"defg\", up to 11\n"
                  "[  36] draft   seq 0 round 3 at 7: \"hijk\", window\n"
                  "[  36] verify  seq 0 round 3 at 6: \"|ghijk\"\n"
                  "[  48] verdict seq 0 round 3 at 6: \"hijkl\"\n"
                  "[  48] emit    seq 0: \"hijkl\" ddddb\n"
                  "[  48] ask     seq 0 round 4 at 7: \"hijkl\", up to 13\n"
                  "[  51] draft   seq 0 round 4 at 12: \"m\", window\n"
                  "[  51] verify  seq 0 round 4 at 11: \"|lm\"\n"
                  "[  63] verdict seq 0 round 4 at 11: \"mn\"\n"
                  "[  63] emit    seq 0: \"mn\" db\n"
                  "[  63] done    seq 0: length\n");
    assert_int_equal(sim_n_drafter_rows(s), 12); /* "abcdefghijkl": X was never fed, nor was m */
    sim_close(s);
}

/* Trap 3, with what each end leaves behind: "judged" is accepted + first refused, and drafts past an end never count.
 */
static void a_text_ends_where_it_must_inside_an_accepted_block(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        struct sim_text text;
        int n_ctx;
        bool ignore_eos;
        const char *written;
        enum seq_end end;
        uint32_t n_drafted, n_judged, n_accepted;
    } rows[] = {
        {"an end id among the accepted", {"ab", "cde$ghi", NULL, 0}, 64, false, "cde$", SEQ_END_ID, 3, 3, 3},
        {"an end id that little does not foresee",
         {"ab", "cde$ghi", "cdeeghi", 0},
         64,
         false,
         "cde$",
         SEQ_END_ID,
         4,
         3,
         2},
        {"an end id as the bonus", {"ab", "cdefg$hi", NULL, 0}, 64, false, "cdefg$", SEQ_END_ID, 4, 4, 4},
        {"an end id that only little sees", {"ab", "cdefghij", "cd$f", 6}, 64, false, "cdefgh", SEQ_LENGTH, 4, 4, 3},
        {"an end id at once", {"ab", "$", NULL, 0}, 64, false, "$", SEQ_END_ID, 0, 0, 0},
        {"end ids do not count", {"ab", "c$efghi", NULL, 6}, 64, true, "c$efgh", SEQ_LENGTH, 4, 4, 4},
        {"the length, after a full block", {"ab", "cdefghi", NULL, 6}, 64, false, "cdefgh", SEQ_LENGTH, 4, 4, 4},
        {"the length leaves room for two drafts", {"ab", "cdefghi", NULL, 4}, 64, false, "cdef", SEQ_LENGTH, 2, 2, 2},
        {"for one", {"ab", "cdefghi", NULL, 3}, 64, false, "cde", SEQ_LENGTH, 1, 1, 1},
        {"for none", {"ab", "cdefghi", NULL, 2}, 64, false, "cd", SEQ_LENGTH, 0, 0, 0},
        {"one token asked", {"ab", "cdefghi", NULL, 1}, 64, false, "c", SEQ_LENGTH, 0, 0, 0},
        {"the context is full", {"ab", "cdefghi", NULL, 0}, 6, false, "cdef", SEQ_CONTEXT, 2, 2, 2},
        {"the context is full before the length", {"ab", "cdefghi", NULL, 9}, 5, false, "cde", SEQ_CONTEXT, 1, 1, 1},
        {"the prompt leaves room for one", {"abcd", "efghi", NULL, 9}, 5, false, "e", SEQ_CONTEXT, 0, 0, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct sim *s =
            sim_open(&(struct sim_config){.draft_max = 4, .n_ctx = rows[i].n_ctx, .ignore_eos = rows[i].ignore_eos},
                     &rows[i].text, 1);
        sim_run(s);
        const struct seq *q = sim_seq(s, 0);
        if (strcmp(sim_written(s, 0), rows[i].written) || q->end != rows[i].end ||
            q->stats.n_drafted != rows[i].n_drafted || q->stats.n_judged != rows[i].n_judged ||
            q->stats.n_accepted != rows[i].n_accepted)
            fail_msg("%s: \"%s\", end %d, drafted %u, judged %u, accepted %u", rows[i].why, sim_written(s, 0), q->end,
                     q->stats.n_drafted, q->stats.n_judged, q->stats.n_accepted);
        sim_close(s);
    }
}

static void what_is_final_has_big_s_log_probabilities_and_best_ids(void **state)
{
    (void)state;
    const struct sim_text texts[] = {{"the cat ", "sat on it.", "sat in it.", 10}};
    struct sim *plain = sim_open(&(struct sim_config){0}, texts, 1);
    struct sim *drafted = sim_open(&(struct sim_config){.draft_max = 4}, texts, 1);
    sim_run(plain);
    sim_run(drafted);
    const struct seq *a = sim_seq(plain, 0), *b = sim_seq(drafted, 0);
    assert_int_equal(a->n_ids, b->n_ids);
    assert_memory_equal(a->lp, b->lp, (size_t)a->n_ids * sizeof *a->lp);
    for (int i = a->n_prompt; i < a->n_ids; i++) {
        assert_int_equal(a->top[i].id, a->ids[i]);
        assert_int_equal(a->top[i].id, b->top[i].id);
        assert_memory_equal(&b->top[i].lp, &b->lp[i], sizeof *b->lp);
    }
    sim_close(plain);
    sim_close(drafted);
}

static void the_network_s_time_is_what_neither_drafting_nor_verifying_takes(void **state)
{
    (void)state;
    const struct sim_text texts[] = {{"ab", "cdefgh", NULL, 6}};
    struct sim *s = sim_open(&(struct sim_config){.draft_max = 4, .link_ms = 3}, texts, 1);
    sim_run(s);
    const struct seq_stats *t = &sim_seq(s, 0)->stats;
    assert_int_equal(t->start_ns, 0);
    assert_int_equal(t->first_ns, 16000000);                /* 3 + 10 + 3 */
    assert_int_equal(t->last_ns, (16 + 10 + 16) * 1000000); /* ask: 3 + 4 + 3 */
    assert_int_equal(t->draft_ns, 4000000);
    assert_int_equal(t->verify_ns, 20000000);
    assert_int_equal(t->wait_ns, 18000000);
    assert_int_equal(t->n_verifies, 1);
    assert_int_equal(t->n_drafts, 1);
    assert_int_equal(t->n_asks, 1);
    sim_close(s);
}

/* ---- many sequences ---- */

/* Trap 5. Two slots, three texts: the third takes over the slot that is free first, with at = 0. */
static void sequences_of_any_length_run_beside_each_other_and_a_freed_slot_is_taken_over(void **state)
{
    (void)state;
    const struct sim_text texts[] = {
        {"the cat ", "sat on it.", "sat in it.", 10}, {"A", "bcd$", NULL, 0}, {"once upon ", "a time", NULL, 4}};
    sim_transcript(&(struct sim_config){.draft_max = 4, .n_slots = 2}, texts, 3,
                   "[   0] open    seq 0: slot 0\n"
                   "[   0] verify  seq 0 round 1 at 0: \"the cat| \"\n"
                   "[   0] open    seq 1: slot 1\n"
                   "[   0] verify  seq 1 round 1 at 0: \"|A\"\n"
                   "[  12] verdict seq 0 round 1 at 0: \"s\"\n"
                   "[  12] emit    seq 0: \"s\" b\n"
                   "[  12] ask     seq 0 round 2 at 0: \"the cat s\", up to 13\n"
                   "[  18] draft   seq 0 round 2 at 9: \"at i\", window\n"
                   "[  18] verify  seq 0 round 2 at 8: \"|sat i\"\n"
                   "[  22] verdict seq 1 round 1 at 0: \"b\"\n"
                   "[  22] emit    seq 1: \"b\" b\n"
                   "[  22] ask     seq 1 round 2 at 0: \"Ab\", up to 6\n"
                   "[  27] draft   seq 1 round 2 at 2: \"cd$\", end id\n"
                   "[  27] verify  seq 1 round 2 at 1: \"|bcd$\"\n"
                   "[  32] verdict seq 0 round 2 at 8: \"at ou\"\n"
                   "[  32] emit    seq 0: \"at o\" dddc\n"
                   "[  32] ask     seq 0 round 3 at 9: \"at o\", up to 17\n"
                   "[  38] draft   seq 0 round 3 at 13: \"n it\", window\n"
                   "[  38] verify  seq 0 round 3 at 12: \"|on it\"\n"
                   "[  42] verdict seq 1 round 2 at 1: \"cd$d\"\n"
                   "[  42] emit    seq 1: \"cd$\" ddd\n"
                   "[  42] done    seq 1: end id\n"
                   "[  42] open    seq 2: slot 1\n"
                   "[  42] verify  seq 2 round 3 at 0: \"once upon| \"\n"
                   "[  52] verdict seq 0 round 3 at 12: \"n it.\"\n"
                   "[  52] emit    seq 0: \"n it.\" ddddb\n"
                   "[  52] done    seq 0: length\n"
                   "[  62] verdict seq 2 round 3 at 0: \"a\"\n"
                   "[  62] emit    seq 2: \"a\" b\n"
                   "[  62] ask     seq 2 round 4 at 0: \"once upon a\", up to 13\n"
                   "[  66] draft   seq 2 round 4 at 11: \" t\", window\n"
                   "[  66] verify  seq 2 round 4 at 10: \"|a t\"\n"
                   "[  78] verdict seq 2 round 4 at 10: \" ti\"\n"
                   "[  78] emit    seq 2: \" ti\" ddb\n"
                   "[  78] done    seq 2: length\n");
}

/* Invariants 2 and 3, and promise 1: whatever is lost and however late messages come. The texts are not scripted: an id
 * is a function of all ids before it, so one that is wrong somewhere shows. */
static void the_text_is_big_s_own_whatever_the_drafter_the_delays_and_the_losses(void **state)
{
    (void)state;
    const struct sim_text texts[] = {{"the quick brown fox jumps over", "", NULL, 30},
                                     {"a", "", NULL, 0},
                                     {"to be or not", "", NULL, 9},
                                     {"it was a dark and stormy night;", "", NULL, 25},
                                     {"call me", "", NULL, 40}};
    enum { N = sizeof texts / sizeof *texts };
    char plain[N][80];
    struct sim *s = sim_open(&(struct sim_config){0}, texts, N);
    sim_run(s);
    for (int i = 0; i < N; i++) snprintf(plain[i], sizeof plain[i], "%s", sim_written(s, i));
    sim_close(s);
    uint32_t n_accepted = 0, n_refused = 0;
    for (uint64_t seed = 1; seed <= 400; seed++) {
        struct sim_config c = {.n_slots = 1 + (int)(seed % 4),
                               .max_rows = 9 + (int)(seed % 7),
                               .max_jobs = 4 + (int)(seed % 13),
                               .draft_max = 1 + (int)(seed % 8),
                               .adaptive = seed % 3 == 0,
                               .draft_ctx = seed % 11 == 0 ? 8 : 0,
                               .n_ids = seed % 5 == 0 ? 'z' : 0,
                               .wrong_percent = (int)(seed * 7 % 101),
                               .jitter = seed};
        s = sim_open(&c, texts, N);
        for (int k = 0; k < 3; k++) /* far enough apart that a cure is through before the next loss */
            sim_fault(s, (int)(seed * 31 % 200) + k * 500, (enum sim_fault)((seed + (uint64_t)k) % 4),
                      (int)(seed % (uint64_t)c.n_slots));
        sim_run(s);
        for (int i = 0; i < N; i++) {
            const struct seq *q = sim_seq(s, i);
            uint32_t corrections = 0;
            for (int p = q->n_prompt; p < q->n_ids; p++) corrections += q->origin[p] == ORIGIN_CORRECTION;
            if (strcmp(sim_written(s, i), plain[i]))
                fail_msg("seed %d, text %d: \"%s\", not \"%s\"", (int)seed, i, sim_written(s, i), plain[i]);
            assert_int_equal(q->stats.n_judged, q->stats.n_accepted + corrections);
            assert_int_equal(q->stats.n_rollbacks, corrections);
            assert_true(q->stats.n_judged <= q->stats.n_drafted);
            n_accepted += q->stats.n_accepted;
            n_refused += corrections;
        }
        sim_close(s);
    }
    assert_true(n_accepted > 1000 && n_refused > 1000);
}

/* ---- text that ends with what a user said ---- */

static bool ends_with_ef(const struct stops *stops, const struct seq *s)
{
    (void)stops;
    return seq_n_generated(s) >= 2 && s->ids[s->n_ids - 2] == 'e' && s->ids[s->n_ids - 1] == 'f';
}

static void a_text_stops_inside_an_accepted_block(void **state)
{
    const struct sim_text texts[] = {{"ab", "cdefghijkl", "cdefXhijkl", 9}};
    struct sim_config config = {.draft_max = 6, .stops = ends_with_ef, .stops_of = (struct stops *)state};
    struct sim *s = sim_open(&config, texts, 1);
    sim_run(s);
    assert_string_equal(sim_written(s, 0), "cdef");
    assert_int_equal(sim_seq(s, 0)->end, SEQ_STOP);
    assert_int_equal(sim_seq(s, 0)->stats.n_accepted, 3);
    assert_int_equal(sim_seq(s, 0)->stats.n_judged, 3);
    assert_int_equal(sim_seq(s, 0)->stats.n_rollbacks, 0); /* the wrong draft stands behind the end */
    assert_int_equal(sim_seq(s, 0)->stats.n_taken_back, 0);
    sim_close(s);
}

/* In one slot a verify is out, in the other an ask, a third text waits. What is on its way arrives, and changes
 * nothing. */
static void a_stop_ends_every_text_where_it_is(void **state)
{
    (void)state;
    const struct sim_text texts[] = {
        {"the cat ", "sat on it.", NULL, 10}, {"A", "bcdef", NULL, 5}, {"once", " upon", NULL, 5}};
    struct sim *s = sim_open(&(struct sim_config){.draft_max = 4, .n_slots = 2}, texts, 3);
    sim_fault(s, 25, SIM_CANCEL_ALL, 0);
    sim_run(s);
    sim_expect(s, "[   0] open    seq 0: slot 0\n"
                  "[   0] verify  seq 0 round 1 at 0: \"the cat| \"\n"
                  "[   0] open    seq 1: slot 1\n"
                  "[   0] verify  seq 1 round 1 at 0: \"|A\"\n"
                  "[  12] verdict seq 0 round 1 at 0: \"s\"\n"
                  "[  12] emit    seq 0: \"s\" b\n"
                  "[  12] ask     seq 0 round 2 at 0: \"the cat s\", up to 13\n"
                  "[  18] draft   seq 0 round 2 at 9: \"at o\", window\n"
                  "[  18] verify  seq 0 round 2 at 8: \"|sat o\"\n"
                  "[  22] verdict seq 1 round 1 at 0: \"b\"\n"
                  "[  22] emit    seq 1: \"b\" b\n"
                  "[  22] ask     seq 1 round 2 at 0: \"Ab\", up to 5\n"
                  "[  25] cancel  all\n"
                  "[  25] done    seq 2: aborted\n"
                  "[  25] done    seq 0: aborted\n"
                  "[  25] stop    seq 1\n"
                  "[  25] done    seq 1: aborted\n"
                  "[  27] draft   seq 1 round 2 at 2: \"cde\", window\n"
                  "[  32] verdict seq 0 round 2 at 8: \"at on\"\n");
    sim_close(s);
}

/* What the workers hold of the text before is not fed again; a text's last row is, for it is wanted. */
static void a_text_that_begins_like_the_one_before_goes_on_from_there(void **state)
{
    (void)state;
    const struct sim_text texts[] = {
        {"the cat ", "sat", NULL, 3}, {"the cat sat, ", "ok!", NULL, 3}, {"the cow", "!", NULL, 1}};
    sim_transcript(&(struct sim_config){.draft_max = 2}, texts, 3,
                   "[   0] open    seq 0: slot 0\n"
                   "[   0] verify  seq 0 round 1 at 0: \"the cat| \"\n"
                   "[  12] verdict seq 0 round 1 at 0: \"s\"\n"
                   "[  12] emit    seq 0: \"s\" b\n"
                   "[  12] ask     seq 0 round 2 at 0: \"the cat s\", up to 10\n"
                   "[  15] draft   seq 0 round 2 at 9: \"a\", window\n"
                   "[  15] verify  seq 0 round 2 at 8: \"|sa\"\n"
                   "[  27] verdict seq 0 round 2 at 8: \"at\"\n"
                   "[  27] emit    seq 0: \"at\" db\n"
                   "[  27] done    seq 0: length\n"
                   "[  27] open    seq 1: slot 0\n"
                   "[  27] verify  seq 1 round 3 at 10: \"t,| \"\n"
                   "[  39] verdict seq 1 round 3 at 10: \"o\"\n"
                   "[  39] emit    seq 1: \"o\" b\n"
                   "[  39] ask     seq 1 round 4 at 9: \"at, o\", up to 15\n"
                   "[  42] draft   seq 1 round 4 at 14: \"k\", window\n"
                   "[  42] verify  seq 1 round 4 at 13: \"|ok\"\n"
                   "[  54] verdict seq 1 round 4 at 13: \"k!\"\n"
                   "[  54] emit    seq 1: \"k!\" db\n"
                   "[  54] done    seq 1: length\n"
                   "[  54] open    seq 2: slot 0\n"
                   "[  54] verify  seq 2 round 5 at 5: \"o|w\"\n"
                   "[  66] verdict seq 2 round 5 at 5: \"!\"\n"
                   "[  66] emit    seq 2: \"!\" b\n"
                   "[  66] done    seq 2: length\n");
}

/* It had room for the whole context while it ran. */
static void a_text_that_is_done_keeps_what_it_has_written_alone(void **state)
{
    (void)state;
    enum { N_CTX = 1 << 14, FEW = 256 };
    const struct sim_text texts[] = {{"one", "abc$", NULL, 0}, {"two", "d$", NULL, 0}};
    struct sim *s = sim_open(&(struct sim_config){.n_ctx = N_CTX}, texts, 2);
    for (int i = 0; i < 2; i++) assert_null(sim_seq(s, i)->ids); /* one that waits has nothing yet */
    sim_run(s);
    for (int i = 0; i < 2; i++) {
        const struct seq *q = sim_seq(s, i);
        assert_true(q->end == SEQ_END_ID && q->n_limit == N_CTX && !q->prefix_hash);
        assert_true(malloc_usable_size(q->ids) < FEW && malloc_usable_size(q->lp) < FEW);
        assert_true(malloc_usable_size(q->origin) < FEW && malloc_usable_size(q->top) < FEW);
    }
    assert_string_equal(sim_written(s, 0), "abc$");
    assert_string_equal(sim_written(s, 1), "d$");
    sim_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(big_alone_feeds_the_prompt_and_then_one_row_a_token),
        cmocka_unit_test(the_row_after_the_last_draft_is_big_s_own_token),
        cmocka_unit_test(after_full_acceptance_the_ask_repeats_the_drafts_and_no_row_is_computed_twice),
        cmocka_unit_test(after_a_refused_draft_the_drafter_goes_on_from_the_last_right_one),
        cmocka_unit_test(a_text_ends_where_it_must_inside_an_accepted_block),
        cmocka_unit_test(what_is_final_has_big_s_log_probabilities_and_best_ids),
        cmocka_unit_test(the_network_s_time_is_what_neither_drafting_nor_verifying_takes),
        cmocka_unit_test(sequences_of_any_length_run_beside_each_other_and_a_freed_slot_is_taken_over),
        cmocka_unit_test(the_text_is_big_s_own_whatever_the_drafter_the_delays_and_the_losses),
        cmocka_unit_test(a_text_stops_inside_an_accepted_block),
        cmocka_unit_test(a_text_that_is_done_keeps_what_it_has_written_alone),
        cmocka_unit_test(a_stop_ends_every_text_where_it_is),
        cmocka_unit_test(a_text_that_begins_like_the_one_before_goes_on_from_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
