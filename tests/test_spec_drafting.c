/* The heart: whom it asks for drafts and when not, and rules that keep more than big's own text. On a virtual clock, as
 * test_spec.c. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/sim.h"

/* ---- what the drafter does not know ---- */

static void an_id_that_the_drafter_does_not_know_ends_drafting(void **state)
{
    (void)state;
    const struct sim_text texts[] = {{"ab", "cdefg~ijkl", "cd~fgXijkl", 10}};
    sim_transcript(&(struct sim_config){.draft_max = 4, .n_ids = '~'}, texts, 1,
                   "[   0] open    seq 0: slot 0\n"
                   "[   0] verify  seq 0 round 1 at 0: \"a|b\"\n"
                   "[  12] verdict seq 0 round 1 at 0: \"c\"\n"
                   "[  12] emit    seq 0: \"c\" b\n"
                   "[  12] ask     seq 0 round 2 at 0: \"abc\", up to 7\n"
                   "[  18] draft   seq 0 round 2 at 3: \"d~mb\", window\n"
                   "[  18] verify  seq 0 round 2 at 2: \"|cd\"\n"
                   "[  30] verdict seq 0 round 2 at 2: \"de\"\n"
                   "[  30] emit    seq 0: \"de\" db\n"
                   "[  30] ask     seq 0 round 3 at 3: \"de\", up to 9\n"
                   "[  36] draft   seq 0 round 3 at 5: \"fgXz\", window\n"
                   "[  36] verify  seq 0 round 3 at 4: \"|efgXz\"\n"
                   "[  48] verdict seq 0 round 3 at 4: \"fg~ze\"\n"
                   "[  48] emit    seq 0: \"fg~\" ddc\n"
                   "[  48] verify  seq 0 round 4 at 7: \"|~\"\n"
                   "[  60] verdict seq 0 round 4 at 7: \"i\"\n"
                   "[  60] emit    seq 0: \"i\" b\n"
                   "[  60] verify  seq 0 round 5 at 8: \"|i\"\n"
                   "[  72] verdict seq 0 round 5 at 8: \"j\"\n"
                   "[  72] emit    seq 0: \"j\" b\n"
                   "[  72] verify  seq 0 round 6 at 9: \"|j\"\n"
                   "[  84] verdict seq 0 round 6 at 9: \"k\"\n"
                   "[  84] emit    seq 0: \"k\" b\n"
                   "[  84] verify  seq 0 round 7 at 10: \"|k\"\n"
                   "[  96] verdict seq 0 round 7 at 10: \"l\"\n"
                   "[  96] emit    seq 0: \"l\" b\n"
                   "[  96] done    seq 0: length\n");
}

static void an_unknown_id_in_the_prompt_counts_where_the_drafter_would_read_it(void **state)
{
    (void)state;
    static const struct {
        const char *why, *prompt;
        int draft_ctx;
        bool drafts;
    } rows[] = {
        {"in what it would read", "abcd~f", 4, false},
        {"before what it would read", "~bcdef", 4, true},
        {"in the whole prompt", "~bcdef", 64, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct sim_text text = {rows[i].prompt, "ghijklmnop", NULL, 10};
        struct sim *s =
            sim_open(&(struct sim_config){.draft_max = 4, .n_ids = '~', .draft_ctx = rows[i].draft_ctx}, &text, 1);
        sim_run(s);
        const struct seq *q = sim_seq(s, 0);
        if ((q->stats.n_asks > 0) != rows[i].drafts) fail_msg("%s: %u asks", rows[i].why, q->stats.n_asks);
        if (rows[i].drafts && q->stats.n_accepted != q->stats.n_judged)
            fail_msg("%s: it did not read what it was sent", rows[i].why);
        sim_close(s);
    }
}

/* ---- the draft policy, at the heart ---- */

/* Eight wrong drafts, a pause of eight tokens, four wrong drafts, a pause of sixteen. Big writes ~ during a pause: a
 * drafter must not be sent an id that it does not have. */
static void a_drafter_that_is_always_wrong_is_asked_less_and_less(void **state)
{
    (void)state;
    const struct sim_text texts[] = {
        {"ab", "0123456789012345678901234567890123456789", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 40}};
    struct sim *s = sim_open(&(struct sim_config){.draft_max = 4, .adaptive = true}, texts, 1);
    sim_run(s);
    const struct seq_stats *t = &sim_seq(s, 0)->stats;
    assert_int_equal(t->n_drafted, 8 + 4 + 4);
    assert_int_equal(t->n_pauses, 3);
    sim_close(s);
}

static void an_unknown_id_that_came_during_a_pause_is_never_sent(void **state)
{
    (void)state;
    const struct sim_text texts[] = {{"ab", "0123456~90123456789012345678", "aaaaaaaaaaaaaaaaaaaaaaaaaaaa", 28}};
    struct sim *s = sim_open(&(struct sim_config){.draft_max = 4, .adaptive = true, .n_ids = '~'}, texts, 1);
    sim_run(s);
    assert_int_equal(sim_seq(s, 0)->stats.n_pauses, 1);
    assert_int_equal(sim_seq(s, 0)->stats.n_asks, 2);
    sim_close(s);
}

/* The drafter is always right, and gives itself .75 a token. */
static void a_draft_ends_in_doubt_while_the_draft_policy_is_on(void **state)
{
    (void)state;
    static const char text[] = "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefgh";
    const struct sim_text texts[] = {{"ab", text, NULL, 60}};
    for (int adaptive = 0; adaptive <= 1; adaptive++) {
        struct sim *s =
            sim_open(&(struct sim_config){.draft_max = 8, .adaptive = adaptive, .prior = {.05, .05}}, texts, 1);
        sim_run(s);
        const struct seq_stats *t = &sim_seq(s, 0)->stats;
        assert_true(t->n_asks > 5);
        assert_int_equal(adaptive ? t->n_joint_lows : t->n_windows, t->n_asks);
        assert_int_equal(adaptive ? t->n_windows : t->n_joint_lows, 0);
        assert_string_equal(sim_written(s, 0), text);
        sim_close(s);
    }
}

/* The drafter reads two ids of the prompt, and is always wrong. Once big copies from the prompt, the leader is let go
 * on while its drafts are right. */
static void what_is_copied_from_a_prompt_that_the_drafter_has_not_read_the_leader_drafts(void **state)
{
    (void)state;
    const struct sim_text text = {"abcdefghijklmnopqrstuvw", "Xabcdefghijklmnopqrst", "000000000000000000000", 21};
    const struct sim_config c = {.draft_max = 8, .draft_ctx = 2, .max_rows = 32, .link_ms = 20, .self_max = 64};
    sim_transcript(&c, &text, 1,
                   "[   0] open    seq 0: slot 0\n"
                   "[   0] verify  seq 0 round 1 at 0: \"abcdefghijklmnopqrstuv|w\"\n"
                   "[  50] verdict seq 0 round 1 at 0: \"X\"\n"
                   "[  50] emit    seq 0: \"X\" b\n"
                   "[  50] ask     seq 0 round 2 at 0: \"wX\", up to 10\n"
                   "[  98] draft   seq 0 round 2 at 2: \"0ksncwzk\", window\n"
                   "[  98] verify  seq 0 round 2 at 23: \"|X0ksncwzk\"\n"
                   "[ 148] verdict seq 0 round 2 at 23: \"akpkeyiax\"\n"
                   "[ 148] emit    seq 0: \"a\" c\n"
                   "[ 148] ask     seq 0 round 3 at 2: \"a\", up to 11\n"
                   "[ 196] draft   seq 0 round 3 at 3: \"0kiavdyu\", window\n"
                   "[ 196] verify  seq 0 round 3 at 24: \"|a0kiavdyu\"\n"
                   "[ 246] verdict seq 0 round 3 at 24: \"bbelsaizu\"\n"
                   "[ 246] emit    seq 0: \"b\" c\n"
                   "[ 246] open    seq 0: 64 by itself, drafts too, while they are right\n"
                   "[ 246] verify  seq 0 round 4 at 25: \"|b\"\n"
                   "[ 296] verdict seq 0 round 4 at 25: \"c\"\n"
                   "[ 296] emit    seq 0: \"c\" b\n"
                   "[ 306] self    seq 0 round 4 at 26: \"def\", drafted \"de\"\n"
                   "[ 306] emit    seq 0: \"def\" ddb\n"
                   "[ 316] self    seq 0 round 4 at 29: \"ghijk\", drafted \"ghij\"\n"
                   "[ 316] emit    seq 0: \"ghijk\" ddddb\n"
                   "[ 326] self    seq 0 round 4 at 34: \"lmnopqr\", drafted \"lmnopq\"\n"
                   "[ 326] emit    seq 0: \"lmnopqr\" ddddddb\n"
                   "[ 326] ack     seq 0: 42\n"
                   "[ 336] self    seq 0 round 4 at 41: \"st\", drafted \"s\"\n"
                   "[ 336] emit    seq 0: \"st\" db\n"
                   "[ 336] cut     seq 0\n"
                   "[ 336] done    seq 0: length\n");
    struct sim_config lossy = c;
    lossy.rule = (struct rule){RULE_STRICT, 4};
    struct sim *s = sim_open(&lossy, &text, 1);
    sim_run(s); /* a lossy text is the drafter's own */
    assert_int_equal(sim_seq(s, 0)->stats.n_asks, sim_seq(s, 0)->stats.n_verifies);
    sim_close(s);
}

/* The drafter reads all and is always right, but takes nearly half of big's time. What big copies the leader drafts:
 * while the policy pauses, and then as it gives more than the drafter would. */
static void what_repeats_the_leader_drafts_where_that_gives_more_than_the_drafter(void **state)
{
    (void)state;
    const struct sim_text text = {"abcdefghijklmnopqrstuvwxyz", "0123XYabcdefghijklmnopqrstuv", NULL, 28};
    const struct sim_config c = {.draft_max = 8,
                                 .max_rows = 32,
                                 .self_max = 64,
                                 .draft_ms = 4,
                                 .adaptive = true,
                                 .prior = {.draft = .4, .read = .1},
                                 .shares_cores = true};
    sim_transcript(&c, &text, 1,
                   "[   0] open    seq 0: slot 0\n"
                   "[   0] open    seq 0: 2 by itself\n"
                   "[   0] verify  seq 0 round 1 at 0: \"abcdefghijklmnopqrstuvwxy|z\"\n"
                   "[  12] verdict seq 0 round 1 at 0: \"0\"\n"
                   "[  12] emit    seq 0: \"0\" b\n"
                   "[  22] self    seq 0 round 1 at 26: \"1\"\n"
                   "[  22] emit    seq 0: \"1\" b\n"
                   "[  22] cut     seq 0\n"
                   "[  22] ask     seq 0 round 2 at 0: \"abcdefghijklmnopqrstuvwxyz01\", up to 36\n"
                   "[  32] draft   seq 0 round 2 at 28: \"23\", doubt\n"
                   "[  32] verify  seq 0 round 2 at 27: \"|123\"\n"
                   "[  44] verdict seq 0 round 2 at 27: \"23X\"\n"
                   "[  44] emit    seq 0: \"23X\" ddb\n"
                   "[  44] ask     seq 0 round 3 at 28: \"23X\", up to 39\n"
                   "[  50] draft   seq 0 round 3 at 31: \"Y\", doubt\n"
                   "[  50] verify  seq 0 round 3 at 30: \"|XY\"\n"
                   "[  62] verdict seq 0 round 3 at 30: \"Ya\"\n"
                   "[  62] emit    seq 0: \"Ya\" db\n"
                   "[  62] open    seq 0: 8 by itself, drafts too\n"
                   "[  62] verify  seq 0 round 4 at 32: \"|a\"\n"
                   "[  74] verdict seq 0 round 4 at 32: \"b\"\n"
                   "[  74] emit    seq 0: \"b\" b\n"
                   "[  84] self    seq 0 round 4 at 33: \"cde\", drafted \"cd\"\n"
                   "[  84] emit    seq 0: \"cde\" ddb\n"
                   "[  94] self    seq 0 round 4 at 36: \"fghi\", drafted \"fgh\"\n"
                   "[  94] emit    seq 0: \"fghi\" dddb\n"
                   "[  94] open    seq 0: 64 by itself, drafts too, while they are right\n"
                   "[  94] verify  seq 0 round 5 at 40: \"|i\"\n"
                   "[ 106] verdict seq 0 round 5 at 40: \"j\"\n"
                   "[ 106] emit    seq 0: \"j\" b\n"
                   "[ 116] self    seq 0 round 5 at 41: \"klmnop\", drafted \"klmno\"\n"
                   "[ 116] emit    seq 0: \"klmnop\" dddddb\n"
                   "[ 126] self    seq 0 round 5 at 47: \"qrstuv\", drafted \"qrstu\"\n"
                   "[ 126] emit    seq 0: \"qrstuv\" dddddb\n"
                   "[ 126] cut     seq 0\n"
                   "[ 126] done    seq 0: length\n");
}

/* What repeats goes on otherwise each time: four runs of two ids without a right draft, then the drafter is asked for
 * eight ids. Of the second prompt it reads a quarter, which is as good as all: there is no run. The first ask
 * only reads, while big does. */
static void a_copy_that_is_always_wrong_is_tried_ever_more_rarely(void **state)
{
    (void)state;
    static const char big[] = "0ab1ab2ab3ab4ab5ab6ab7ab8ab9abAabBabCabDabEabFab";
    static const struct {
        const char *prompt;
        uint32_t n_asks, n_taken_back;
    } rows[] = {{"abXabYabZabWabVab", 15, 0}, {"abXabYabZabWabVa", 23, 0}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct sim_text text = {rows[i].prompt, big, NULL, 48};
        struct sim *s = sim_open(
            &(struct sim_config){.draft_max = 3, .draft_ctx = 4, .max_rows = 32, .adaptive = true, .self_max = 64},
            &text, 1);
        sim_run(s);
        const struct seq_stats *t = &sim_seq(s, 0)->stats;
        if (t->n_asks != rows[i].n_asks || t->n_taken_back != rows[i].n_taken_back)
            fail_msg("%s: %u asks, %u drafts taken back", rows[i].prompt, t->n_asks, t->n_taken_back);
        sim_close(s);
    }
}

/* It reads the last four ids, not all that was said while it rested. */
static void after_a_long_pause_the_drafter_reads_the_end_of_the_text_only(void **state)
{
    (void)state;
    const struct sim_text texts[] = {
        {"ab", "0123456789012345678901234567890123456789", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 40}};
    struct sim *s = sim_open(&(struct sim_config){.draft_max = 4, .draft_ctx = 4, .adaptive = true}, texts, 1);
    sim_run(s);
    const struct seq_stats *t = &sim_seq(s, 0)->stats;
    assert_int_equal(t->n_asks, 4);                    /* after 8 and 16 tokens of pause, the last two */
    assert_true(sim_n_drafter_rows(s) <= 4 * (4 + 3)); /* ids to read, and all drafts of four but the last */
    sim_close(s);
}

/* A drafter that is slower than was known: tried once, and no more. */
static void what_a_text_has_taught_the_draft_policy_holds_for_the_next(void **state)
{
    (void)state;
    const struct sim_text texts[] = {{"ab", "01234567", "aaaaaaaa", 8}, {"xy", "01234567", "aaaaaaaa", 8}};
    struct sim *s =
        sim_open(&(struct sim_config){.draft_max = 1, .adaptive = true, .prior = {.05, .05}, .draft_ms = 20}, texts, 2);
    sim_run(s);
    assert_int_equal(sim_seq(s, 0)->stats.n_asks, 1);
    assert_int_equal(sim_seq(s, 1)->stats.n_asks, 0);
    sim_close(s);
}

/* Rounds as a policy is to see them, but for the last: its text is over. On the way: 1 ms a message, 10 a pass, 1 a
 * draft. */
struct seen {
    int n_read, n_drafted, n_accepted, n_tokens, ms, draft_ms;
    bool measured;
};

static struct draft_profile learned_from(const struct sim_config *c, const struct seq *q, const struct seen *rounds)
{
    struct draft_profile profile = {0};
    struct draft_policy g;
    int i = q->n_prompt;
    draft_policy_init(&g, true, q->n_prompt > 4 * c->draft_ctx && c->draft_ctx, c->prior, &profile);
    g.prompt_ns = (10 + 2 * (c->link_ms ? c->link_ms : 1)) * 1e6 / q->n_prompt;
    for (const struct seen *r = rounds; r->n_tokens; r++) {
        double p_target = 0;
        for (int end = i + r->n_tokens; i < end; i++) p_target += exp((double)q->lp[i]);
        draft_policy_note(&g,
                          &(struct draft_policy_round){r->n_read, r->n_drafted, r->n_accepted, r->n_tokens, r->ms * 1e6,
                                                       r->draft_ms * 1e6, p_target, r->measured, false, false});
    }
    draft_policy_learn(&profile, &g, seq_n_generated(q));
    return profile;
}

static void what_a_round_gave_and_took_is_what_the_draft_policy_learns_from(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        struct sim_config config;
        struct sim_text text;
        int fault_ms;
        enum sim_fault fault;
        struct seen rounds[16];
    } rows[] = {
        {"the drafter reads four ids, then big's own only",
         {.draft_max = 3, .prior = {.05, .05}},
         {"ab", "cdefghijklmnopqr", "cdefghXjklmnopqr", 14},
         0,
         0,
         {{0, 0, 0, 1, 0, 0, false},
          {0, 0, 0, 1, 12, 0, true},
          {4, 3, 3, 4, 17, 3, true},
          {1, 3, 0, 1, 17, 3, true},
          {1, 3, 3, 4, 17, 3, true}}},
        {"one draft a round",
         {.draft_max = 1, .prior = {.05, .05}},
         {"ab", "cdefghijkl", NULL, 8},
         0,
         0,
         {{0, 0, 0, 1, 0, 0, false}, {0, 0, 0, 1, 12, 0, true}, {4, 1, 1, 2, 15, 1, true}, {1, 1, 1, 2, 15, 1, true}}},
        {"drafts are right, but slow: they pause, and of the text meanwhile the drafter lacks but what it did not "
         "draft",
         {.draft_max = 3, .prior = {.05, .05}, .draft_ms = 20},
         {"ab", "cdefghijklmnopqrstuvwxyz", NULL, 20},
         0,
         0,
         {{0, 0, 0, 1, 0, 0, false},
          {0, 0, 0, 1, 12, 0, true},
          {4, 3, 3, 4, 74, 60, true},
          {0, 0, 0, 1, 12, 0, true},
          {0, 0, 0, 1, 12, 0, true},
          {0, 0, 0, 1, 12, 0, true},
          {0, 0, 0, 1, 12, 0, true},
          {0, 0, 0, 1, 12, 0, true},
          {0, 0, 0, 1, 12, 0, true},
          {0, 0, 0, 1, 12, 0, true},
          {0, 0, 0, 1, 12, 0, true},
          {9, 3, 3, 4, 74, 60, true},
          {0, 0, 0, 1, 12, 0, true}}},
        {"of ids that the leader writes, each but the first of a run is a token's time",
         {.draft_max = 2, .prior = {1.3, 1.3}, .self_max = 64, .link_ms = 20},
         {"ab", "cdefghij", NULL, 6},
         0,
         0,
         {{0, 0, 0, 1, 0, 0, false},
          {0, 0, 0, 1, 10, 0, true},
          {0, 0, 0, 1, 50, 0, false},
          {0, 0, 0, 1, 10, 0, true},
          {0, 0, 0, 1, 50, 0, false}}},
        {"sixteen ids to read are usual",
         {.draft_max = 3, .prior = {.05, .01}, .max_rows = 32},
         {"abcdefghijklmn", "opqrstuvwxyz", NULL, 8},
         0,
         0,
         {{0, 0, 0, 1, 0, 0, false}, {0, 0, 0, 1, 12, 0, true}, {16, 3, 3, 4, 17, 3, true}}},
        {"a prompt is read first, a millisecond an id: that round's time is not one's usual",
         {.draft_max = 3, .prior = {.05, .01}, .max_rows = 32, .read_ms = 1},
         {"abcdefghijklmnopqrstuvw", "xyzABCDEFGHIJKLM", "xyzABCDEFGHXJKLM", 14},
         0,
         0,
         {{0, 0, 0, 1, 0, 0, false},
          {0, 0, 0, 1, 12, 0, true},
          {25, 3, 3, 4, 42, 28, false},
          {1, 3, 3, 4, 21, 7, true},
          {1, 2, 1, 2, 20, 6, true}}},
        {"the verifier lacks the text: that round's time does not count",
         {.draft_max = 3, .prior = {.05, .05}},
         {"ab", "cdefghijklmnopqr", "cdefghXjklmnopqr", 14},
         34,
         SIM_VERIFIER_FORGETS,
         {{0, 0, 0, 1, 0, 0, false},
          {0, 0, 0, 1, 12, 0, true},
          {4, 3, 3, 4, 17, 3, true},
          {1, 3, 0, 1, 19, 3, false},
          {1, 3, 3, 4, 17, 3, true}}},
        {"the drafter lacks the text: nor does that round's, without drafts; then it reads all of it",
         {.draft_max = 3, .prior = {.05, .05}},
         {"ab", "cdefghijklmnopqr", "cdefghXjklmnopqr", 12},
         34,
         SIM_DRAFTER_FORGETS,
         {{0, 0, 0, 1, 0, 0, false},
          {0, 0, 0, 1, 12, 0, true},
          {4, 3, 3, 4, 17, 3, true},
          {1, 0, 0, 1, 14, 0, false},
          {9, 3, 3, 4, 17, 3, true}}},
        {"the leader drafts what the drafter has not read: of those rounds it sees the tokens",
         {.draft_max = 3, .draft_ctx = 2, .max_rows = 32, .self_max = 64},
         {"abcdefghijklmnopqrstuvw", "Xabcdefghijklmnop", "X0000000000000000", 17},
         0,
         0,
         {{0, 0, 0, 1, 0, 0, false},
          {0, 0, 0, 1, 10, 0, true},
          {2, 3, 0, 1, 17, 3, true},
          {0, 0, 0, 1, 12, 0, false},
          {0, 0, 0, 3, 10, 0, false},
          {0, 0, 0, 4, 10, 0, false},
          {0, 0, 0, 4, 10, 0, false}}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct sim_config c = rows[i].config;
        c.adaptive = true;
        struct sim *s = sim_open(&c, &rows[i].text, 1);
        sim_request(s, 0, 5, 0, NULL); /* not when the clock begins */
        if (rows[i].fault_ms) sim_fault(s, 5 + rows[i].fault_ms, rows[i].fault, 0);
        sim_run(s);
        struct draft_profile want = learned_from(&c, sim_seq(s, 0), rows[i].rounds), is = *sim_profile(s);
        want.measured.beside_ns = is.measured.beside_ns; /* of passes, not of rounds */
        if (memcmp(&want, &is, sizeof is))
            fail_msg("%s: plain %g, draft %g, read %g, row %g, accepted %g; not %g, %g, %g, %g, %g", rows[i].why,
                     is.measured.plain_ns, is.measured.draft_ns, is.measured.read_ns, is.measured.row_ns,
                     is.accept_ratio[c.draft_ctx > 0], want.measured.plain_ns, want.measured.draft_ns,
                     want.measured.read_ns, want.measured.row_ns, want.accept_ratio[c.draft_ctx > 0]);
        sim_close(s);
    }
}

/* ---- lossy rules (BiLD). ln p under big: of a capital -5, of a digit -4, of all else -1; the threshold is 3 ---- */

static const struct rule strict = {RULE_STRICT, 3}, repo = {RULE_REPO, 3};

static void expect_text(const struct sim_config *config, const struct sim_text *text, const char *want,
                        const char *origins)
{
    struct sim *s = sim_open(config, text, 1);
    sim_run(s);
    assert_string_equal(sim_written(s, 0), want);
    const struct seq *q = sim_seq(s, 0);
    for (int i = q->n_prompt; i < q->n_ids; i++) assert_int_equal("bdc"[q->origin[i]], origins[i - q->n_prompt]);
    sim_close(s);
}

static void strict_takes_back_what_is_unlikely_and_not_big_s_own(void **state)
{
    (void)state;
    /* After big's "a": "bXd" where big has "bcd" goes back to b and c; 'y' for 'e' is likely enough and stays. */
    const struct sim_text text = {"p", "abcdefghij", "abXdyfghij", 8};
    expect_text(&(struct sim_config){.draft_max = 3, .rule = strict}, &text, "abcdyfgh", "bdcdddbd");
}

static void what_is_taken_back_is_counted(void **state)
{
    (void)state;
    /* Of "bXd" and "XYZ" one and none stay; nothing of the rest is looked at. */
    const struct sim_text text = {"p", "abcdefgh", "abXXYZgh", 5};
    struct sim *s = sim_open(&(struct sim_config){.draft_max = 3, .rule = strict}, &text, 1);
    sim_run(s);
    assert_string_equal(sim_written(s, 0), "abcde");
    const struct seq_stats *t = &sim_seq(s, 0)->stats;
    assert_int_equal(t->n_drafted, 3 + 2 + 1);
    assert_int_equal(t->n_accepted, 1);
    assert_int_equal(t->n_rollbacks, 3);
    assert_int_equal(t->n_taken_back, 2 + 2 + 1);
    assert_int_equal(t->n_judged, 2 + 1 + 1);
    assert_int_equal(t->n_windows, 3);
    assert_int_equal(t->n_lows + t->n_joint_lows + t->n_ends, 0);
    sim_close(s);
}

static void strict_looks_at_every_position(void **state)
{
    (void)state;
    /* '1' is over the threshold, but big's own; X is over it too, and is not. */
    const struct sim_text text = {"p", "a1bcdefg", "a1XYdefg", 5};
    expect_text(&(struct sim_config){.draft_max = 3, .rule = strict}, &text, "a1bcd", "bdccd");
}

static void repo_s_first_part_the_first_position_over_the_threshold_decides(void **state)
{
    (void)state;
    /* '1' is the first over it and big's own: X passes, and so does Y. */
    const struct sim_text text = {"p", "a1bcdefg", "a1XYdefg", 6};
    expect_text(&(struct sim_config){.draft_max = 3, .rule = repo}, &text, "a1XYde", "bdddbd");
}

static void repo_s_second_part_after_a_rollback_big_writes_the_next_token_too(void **state)
{
    (void)state;
    const struct sim_text text = {"p", "abcdefghijkl", "abXDefyhijkl", 9};
    expect_text(&(struct sim_config){.draft_max = 3, .rule = repo}, &text, "abcdefyhi", "bdcbdddbd");
}

static void repo_s_third_part_an_end_by_little_is_not_looked_at(void **state)
{
    (void)state;
    const struct sim_text text = {"p", "abcdefghijkl", "abX$", 9};
    struct sim *s = sim_open(&(struct sim_config){.draft_max = 5, .rule = repo, .shares_cores = true}, &text, 1);
    sim_run(s);
    sim_expect(s, "[   0] open    seq 0: slot 0\n"
                  "[   0] verify  seq 0 round 1 at 0: \"|p\"\n"
                  "[  12] verdict seq 0 round 1 at 0: \"a\"\n"
                  "[  12] emit    seq 0: \"a\" b\n"
                  "[  12] ask     seq 0 round 2 at 0: \"pa\", up to 7\n"
                  "[  17] draft   seq 0 round 2 at 2: \"bX$\", end id\n"
                  "[  17] emit    seq 0: \"bX$\" ddd\n"
                  "[  17] done    seq 0: end id\n");
    sim_check_counts(s, 0);
    assert_int_equal(sim_seq(s, 0)->stats.n_accepted, 3);
    assert_int_equal(sim_seq(s, 0)->stats.n_drafts, 1);
    assert_int_equal(sim_seq(s, 0)->stats.n_keeping[3], 1);
    assert_int_equal(sim_seq(s, 0)->stats.n_ends, 1);
    assert_int_equal(sim_seq(s, 0)->stats.last_ns, 17000000);
    assert_true(isnan(sim_seq(s, 0)->lp[2]) && isnan(sim_seq(s, 0)->lp[4])); /* big has said nothing of them */
    sim_close(s);
    expect_text(&(struct sim_config){.draft_max = 5, .rule = strict}, &text, "abc$", "bdcd");
    /* Nor is a draft that fills the text. */
    const struct sim_text full = {"p", "abcdefghijkl", "abXY", 4};
    expect_text(&(struct sim_config){.draft_max = 5, .rule = repo}, &full, "abXY", "bddd");
}

static bool ends_with_x(const struct stops *stops, const struct seq *s)
{
    (void)stops;
    return s->ids[s->n_ids - 1] == 'X';
}

static void a_text_stops_inside_what_big_has_not_looked_at(void **state)
{
    const struct sim_text text = {"p", "abcdefghijkl", "abXde$", 9};
    struct sim_config config = {.draft_max = 8, .rule = repo, .stops = ends_with_x, .stops_of = (struct stops *)state};
    struct sim *s = sim_open(&config, &text, 1);
    sim_run(s);
    assert_string_equal(sim_written(s, 0), "abX");
    assert_int_equal(sim_seq(s, 0)->end, SEQ_STOP);
    sim_close(s);
}

/* The slot's last text began alike: the verifier goes on from there, the drafter does not. What it drafts hangs on what
 * it has read, and must not on who came before. */
static void the_drafter_of_a_lossy_text_reads_it_from_the_start_whoever_had_the_slot(void **state)
{
    (void)state;
    const struct sim_text two[] = {{"pq", "abcdefgh", NULL, 3}, {"pq", "abcdefgh", NULL, 3}};
    struct sim *s = sim_open(&(struct sim_config){.draft_max = 2, .draft_ctx = 2, .rule = strict}, two, 2);
    sim_run(s);
    assert_int_equal(sim_n_drafter_rows(s), 5); /* qa and b; then it holds qa, and computes two rows */
    sim_close(s);
    sim_transcript(&(struct sim_config){.draft_max = 2, .rule = strict, .shares_cores = true}, two, 2,
                   "[   0] open    seq 0: slot 0\n"
                   "[   0] verify  seq 0 round 1 at 0: \"p|q\"\n"
                   "[  12] verdict seq 0 round 1 at 0: \"a\"\n"
                   "[  12] emit    seq 0: \"a\" b\n"
                   "[  12] ask     seq 0 round 2 at 0: \"pqa\", up to 5\n"
                   "[  16] draft   seq 0 round 2 at 3: \"bc\", window\n"
                   "[  16] verify  seq 0 round 2 at 2: \"|abc\"\n"
                   "[  28] verdict seq 0 round 2 at 2: \"bcd\"\n"
                   "[  28] emit    seq 0: \"bc\" dd\n"
                   "[  28] done    seq 0: length\n"
                   "[  28] open    seq 1: slot 0\n"
                   "[  28] verify  seq 1 round 3 at 1: \"|q\"\n"
                   "[  40] verdict seq 1 round 3 at 1: \"a\"\n"
                   "[  40] emit    seq 1: \"a\" b\n"
                   "[  40] ask     seq 1 round 4 at 0: \"pqa\", up to 5\n"
                   "[  44] draft   seq 1 round 4 at 3: \"bc\", window\n"
                   "[  44] verify  seq 1 round 4 at 2: \"|abc\"\n"
                   "[  56] verdict seq 1 round 4 at 2: \"bcd\"\n"
                   "[  56] emit    seq 1: \"bc\" dd\n"
                   "[  56] done    seq 1: length\n");
}

static void a_draft_ends_before_what_the_drafter_is_unsure_of(void **state)
{
    (void)state;
    const struct sim_text text = {"p", "abcdefghij", "abc?efghij", 7};
    const struct sim_config c = {.draft_max = 4, .rule = strict, .fallback = 0.6f, .shares_cores = true};
    struct sim *s = sim_open(&c, &text, 1);
    sim_run(s);
    sim_expect(s, "[   0] open    seq 0: slot 0\n"
                  "[   0] verify  seq 0 round 1 at 0: \"|p\"\n"
                  "[  12] verdict seq 0 round 1 at 0: \"a\"\n"
                  "[  12] emit    seq 0: \"a\" b\n"
                  "[  12] ask     seq 0 round 2 at 0: \"pa\", up to 6\n"
                  "[  16] draft   seq 0 round 2 at 2: \"bc\", low\n"
                  "[  16] verify  seq 0 round 2 at 1: \"|abc\"\n"
                  "[  28] verdict seq 0 round 2 at 1: \"bcd\"\n"
                  "[  28] emit    seq 0: \"bcd\" ddb\n"
                  "[  28] ask     seq 0 round 3 at 2: \"bcd\", up to 8\n"
                  "[  33] draft   seq 0 round 3 at 5: \"efg\", window\n"
                  "[  33] verify  seq 0 round 3 at 4: \"|defg\"\n"
                  "[  45] verdict seq 0 round 3 at 4: \"efgh\"\n"
                  "[  45] emit    seq 0: \"efg\" ddd\n"
                  "[  45] done    seq 0: length\n");
    const struct seq_stats *t = &sim_seq(s, 0)->stats;
    assert_int_equal(t->n_lows, 1);
    assert_int_equal(t->n_windows, 1);
    assert_int_equal(t->n_rollbacks, 0);
    sim_close(s);
}

static void the_ends_of_the_thresholds_are_big_alone_and_little_alone(void **state)
{
    (void)state;
    const struct sim_text text = {"p", "abcdefghij", "ABCDEFGHIJ", 8};
    struct rule never = {RULE_STRICT, INFINITY}, exact = {RULE_STRICT, 0};
    expect_text(&(struct sim_config){.draft_max = 4, .rule = strict, .fallback = 1.5f}, &text, "abcdefgh", "bbbbbbbb");
    expect_text(&(struct sim_config){.draft_max = 4, .rule = exact}, &text, "abcdefgh", "bccccccc");
    expect_text(&(struct sim_config){.draft_max = 16, .rule = never}, &text, "aBCDEFGH", "bddddddd");
    /* With window w every (w+1)-th token is big's own. */
    expect_text(&(struct sim_config){.draft_max = 2, .rule = never}, &text, "aBCdEFgH", "bddbddbd");
}

/* In exact mode a lost draft costs time; here it would change the text. */
static void a_drafter_that_lost_its_text_is_asked_again_at_once_where_drafts_are_the_method(void **state)
{
    (void)state;
    const struct sim_text text = {"p", "abcdefghij", "aBCdEFgHIj", 8};
    struct rule never = {RULE_STRICT, INFINITY};
    for (int at = 1; at < 60; at++) /* before a draft, in it, in an early one, in one that was right */
        for (int fault = SIM_DRAFTER_FORGETS; fault <= SIM_DRAFTER_STRAYS; fault++) {
            struct sim *s =
                sim_open(&(struct sim_config){.draft_max = 2, .draft_ms = 1 + at % 5, .rule = never}, &text, 1);
            sim_fault(s, at, (enum sim_fault)fault, 0);
            sim_run(s);
            assert_string_equal(sim_written(s, 0), "aBCdEFgH");
            sim_close(s);
        }
}

/* With --draft suffix: no leader writes it by itself, so the leader is asked, as a little model is. */
static void a_lossy_text_asks_its_leader_for_n_grams(void **state)
{
    (void)state;
    const struct sim_text text = {"abcdXab", "cdYefgh", NULL, 4};
    sim_transcript(&(struct sim_config){.draft_max = 3, .suffix = true, .rule = strict, .self_max = 64}, &text, 1,
                   "[   0] verify  seq 0 round 1 at 0: \"abcdXa|b\"\n"
                   "[  12] verdict seq 0 round 1 at 0: \"c\"\n"
                   "[  12] emit    seq 0: \"c\" b\n"
                   "[  12] ask     seq 0 round 2 at 0: \"abcdXabc\", up to 11\n"
                   "[  14] draft   seq 0 round 2 at 8: \"dXa\", window\n"
                   "[  14] verify  seq 0 round 2 at 7: \"|cdXa\"\n"
                   "[  26] verdict seq 0 round 2 at 7: \"dYef\"\n"
                   "[  26] emit    seq 0: \"dY\" dc\n"
                   "[  26] ask     seq 0 round 3 at 8: \"dY\", up to 11\n"
                   "[  28] draft   seq 0 round 3 at 10: \"\", nothing\n"
                   "[  28] verify  seq 0 round 3 at 9: \"|Y\"\n"
                   "[  40] verdict seq 0 round 3 at 9: \"e\"\n"
                   "[  40] emit    seq 0: \"e\" b\n"
                   "[  40] done    seq 0: length\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_id_that_the_drafter_does_not_know_ends_drafting),
        cmocka_unit_test(an_unknown_id_in_the_prompt_counts_where_the_drafter_would_read_it),
        cmocka_unit_test(a_drafter_that_is_always_wrong_is_asked_less_and_less),
        cmocka_unit_test(an_unknown_id_that_came_during_a_pause_is_never_sent),
        cmocka_unit_test(strict_takes_back_what_is_unlikely_and_not_big_s_own),
        cmocka_unit_test(what_is_taken_back_is_counted),
        cmocka_unit_test(strict_looks_at_every_position),
        cmocka_unit_test(repo_s_first_part_the_first_position_over_the_threshold_decides),
        cmocka_unit_test(repo_s_second_part_after_a_rollback_big_writes_the_next_token_too),
        cmocka_unit_test(repo_s_third_part_an_end_by_little_is_not_looked_at),
        cmocka_unit_test(a_text_stops_inside_what_big_has_not_looked_at),
        cmocka_unit_test(the_drafter_of_a_lossy_text_reads_it_from_the_start_whoever_had_the_slot),
        cmocka_unit_test(a_draft_ends_before_what_the_drafter_is_unsure_of),
        cmocka_unit_test(the_ends_of_the_thresholds_are_big_alone_and_little_alone),
        cmocka_unit_test(a_drafter_that_lost_its_text_is_asked_again_at_once_where_drafts_are_the_method),
        cmocka_unit_test(a_draft_ends_in_doubt_while_the_draft_policy_is_on),
        cmocka_unit_test(what_is_copied_from_a_prompt_that_the_drafter_has_not_read_the_leader_drafts),
        cmocka_unit_test(what_repeats_the_leader_drafts_where_that_gives_more_than_the_drafter),
        cmocka_unit_test(a_copy_that_is_always_wrong_is_tried_ever_more_rarely),
        cmocka_unit_test(after_a_long_pause_the_drafter_reads_the_end_of_the_text_only),
        cmocka_unit_test(what_a_round_gave_and_took_is_what_the_draft_policy_learns_from),
        cmocka_unit_test(what_a_text_has_taught_the_draft_policy_holds_for_the_next),
        cmocka_unit_test(a_lossy_text_asks_its_leader_for_n_grams),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
