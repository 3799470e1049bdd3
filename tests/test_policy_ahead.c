/* The draft policy where the drafter runs ahead: how far, what a pass waits for, and when it rests. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "proto/policy.h"
#include "proto/wire.h"

static const double plain_ns = 1000;

/* Big is as sure of its own tokens as drafts are right, and a plain token was timed. */
static struct draft_policy ahead(double right, double draft_ns, double rtt_ns)
{
    const struct draft_profile profile = {.accept_ratio = {1, 1}};
    struct draft_policy g;
    draft_policy_init(&g, true, false, (struct cost_prior){.3, .1}, &profile);
    g.apart = true;
    g.rtt_ns = rtt_ns;
    g.p_target = right;
    const struct draft_policy_round plain = {.n_tokens = 1, .ns = plain_ns, .p_target = right, .measured = true};
    draft_policy_note(&g, &plain);
    g.accept_ratio = 1; /* not as guessed before */
    draft_policy_note_draft(&g, draft_ns);
    return g;
}

static void it_runs_ahead_where_it_is_apart_once_a_plain_token_is_timed(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        bool enabled, timed, apart, model, ahead;
    } rows[] = {{"apart", true, true, true, true, true},
                {"on the same cores", true, true, false, true, false},
                {"no plain token was timed", true, false, true, true, false},
                {"n-grams are the leader's own", true, true, true, false, false},
                {"without the policy it always does", false, false, true, true, true},
                {"but not on the same cores", false, false, false, true, false}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct draft_policy g = ahead(.9, 100, 0);
        g.enabled = rows[i].enabled;
        g.timed = rows[i].timed;
        g.apart = rows[i].apart;
        if (!rows[i].model) g.prior.draft = 0;
        if (draft_policy_runs_ahead(&g) != rows[i].ahead) fail_msg("%s", rows[i].why);
    }
}

static void so_many_drafts_are_out_as_two_passes_and_a_round_trip_give_time_for(void **state)
{
    (void)state;
    static const struct {
        double draft_ns, rtt_ns;
        int most, window;
    } rows[] = {{100, 0, 99, 22},    {100, 1000, 99, 32}, {500, 0, 99, 6},
                {500, 4000, 99, 14}, {100, 0, 8, 8},      {9000, 0, 99, 2}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct draft_policy g = ahead(.9, rows[i].draft_ns, rows[i].rtt_ns);
        int window = draft_policy_window(&g, rows[i].most);
        if (window != rows[i].window) fail_msg("row %zu: %d", i, window);
        g.paused = true;
        assert_int_equal(draft_policy_window(&g, rows[i].most), 0);
    }
}

/* Of a plain token's 1000 ns, a draft's 50 to 300 and a way of up to 1000. */
static void a_pass_waits_for_drafts_that_are_near_and_likely(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        double right, draft_ns, rtt_ns;
        int most, first;
    } rows[] = {{"cheap drafts: some", .6, 50, 0, 8, 4},
                {"likelier ones: more", .8, 50, 0, 8, 6},
                {"no more than may be drafted", .8, 50, 0, 2, 2},
                {"unlikely ones: one", .2, 50, 0, 8, 1},
                {"unlikely and slow ones: none", .2, 300, 0, 8, 0},
                {"while slow ones are written the text goes on", .9, 400, 0, 8, 0},
                {"a short way counts", .6, 50, 200, 8, 4},
                {"over a long one there is nothing to wait for", .9, 50, 1000, 8, 0}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct draft_policy g = ahead(rows[i].right, rows[i].draft_ns, rows[i].rtt_ns);
        double hold_ns = -1, ns = rows[i].first ? rows[i].rtt_ns + rows[i].first * rows[i].draft_ns : 0;
        int first = draft_policy_first(&g, rows[i].most, &hold_ns);
        if (first != rows[i].first) fail_msg("%s: %d", rows[i].why, first);
        if (ns > 0 ? hold_ns < ns || hold_ns > 1.5 * ns : hold_ns != 0) fail_msg("%s: %f ns", rows[i].why, hold_ns);
        g.enabled = false;
        assert_int_equal(draft_policy_first(&g, rows[i].most, &hold_ns), 0);
        assert_true(hold_ns == 0);
    }
}

/* A draft that a pass checks for nothing, or for a tenth of a plain token. */
static void drafts_go_on_as_far_as_checking_them_is_worth_its_time(void **state)
{
    (void)state;
    struct draft_policy g = ahead(.9, 100, 0);
    assert_true(draft_policy_chance(&g, 8, 0) == 0); /* nothing is known of it */
    draft_policy_note_pass(&g, 1000, 8);
    assert_true(draft_policy_chance(&g, 8, 0) == 0);
    draft_policy_note_pass(&g, 1700, 8);
    float chance = draft_policy_chance(&g, 8, 0);
    assert_true(chance > 0);
    for (int i = 0; i < 50; i++) draft_policy_note_pass(&g, 1700, 8);
    assert_true(draft_policy_chance(&g, 8, 0) >= chance);
    assert_true(fabs(g.measured.row_ns - 100) < 1);
    draft_policy_note_pass(&g, 1000, 1); /* of one row: says nothing of a second */
    assert_true(fabs(g.measured.row_ns - 100) < 1);
    draft_policy_note_pass(&g, 700, 1); /* the plain token was timed in a slow moment */
    assert_true(g.measured.plain_ns < 1000);
}

/* Of a plain token's 1000 ns, a draft's 50, and 80 for each that a pass checks, on a short way. A pass may go on with
 * drafts behind those that the one before waited for, without waiting for more: rounds of any length are slower. */
static void drafts_behind_those_of_a_pass_count_from_there_on(void **state)
{
    (void)state;
    static const struct {
        double right;
        int n_before, n;
    } rows[] = {{.6, 0, 4}, {.6, 2, 6}, {.6, 4, 8}, {.2, 1, 2}, {.9, 0, 19}, {.9, 5, 24}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct draft_policy g = ahead(rows[i].right, 50, 0);
        g.measured.row_ns = 80;
        g.n_rounds = 8;
        g.drafting_ns = 640;
        g.drafting_tokens = 1;
        float least = draft_policy_chance(&g, 8, rows[i].n_before);
        int n = 0;
        for (double chance = rows[i].right; chance >= least; chance *= rows[i].right) n++;
        if (n != rows[i].n) fail_msg("%.1f right, behind %d: %d", rows[i].right, rows[i].n_before, n);
    }
}

/* A verdict on drafts, of which the first n_right of n are right. */
static bool rests_after(struct draft_policy *g, int n, int n_right, double ns)
{
    const struct draft_policy_round r = {.n_drafted = n,
                                         .n_accepted = n_right,
                                         .n_tokens = n_right + 1,
                                         .ns = ns,
                                         .p_target = .8 * (n_right + 1),
                                         .ahead = true};
    draft_policy_note(g, &r);
    return g->paused;
}

static void it_rests_where_it_is_slower_than_plain_or_always_wrong(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        int n, n_right;
        double ns;
        int n_verdicts; /* until it rests; 0: it never does */
    } rows[] = {{"as fast as plain", 3, 1, 1999, 0},
                {"faster", 3, 2, 2000, 0},
                {"slower", 3, 1, 2100, 24},
                {"always wrong, which costs nothing", 3, 0, 1000, 16},
                {"always wrong, and slow", 1, 0, 1500, 13}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct draft_policy g = ahead(.8, 100, 0);
        int n = 1;
        while (n < 200 && !rests_after(&g, rows[i].n, rows[i].n_right, rows[i].ns)) n++;
        if (n != (rows[i].n_verdicts ? rows[i].n_verdicts : 200)) fail_msg("%s: %d", rows[i].why, n);
    }
}

/* Ids that big wrote by itself while the drafter ran ahead, and no draft came in time. */
static int rests_after_own(struct draft_policy *g, double ns, int most)
{
    const struct draft_policy_round own = {.n_tokens = 1, .ns = ns, .p_target = .8, .ahead = true};
    int n = 0;
    for (; n < most && !g->paused && !g->in_turns; n++) {
        draft_policy_note_pass(g, ns, 1);
        draft_policy_note(g, &own);
    }
    return n;
}

/* Six plain tokens, of which each may lose one; and so long a pause that this was 2 % of the time. */
static void it_rests_where_it_slows_big_down(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        double ns;
        int n, left; /* ids until it rests, 200: never; of the pause */
    } rows[] = {{"cores of their own", 1000, 200, 0},
                {"a memory that both read", 1500, 13, 325},
                {"much slower", 3000, 7, 350},
                {"a little slower: judged when it is known well", 1050, 24, 60},
                {"no slower than the machine is by chance", 1010, 200, 0}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct draft_policy g = ahead(.8, 100, 1000); /* a round trip too long for rounds */
        struct draft_profile profile = {0};
        int n = rests_after_own(&g, rows[i].ns, 200);
        if (n != rows[i].n || (g.paused && g.left != rows[i].left)) fail_msg("%s: %d, %d", rows[i].why, n, g.left);
        draft_policy_learn(&profile, &g, 200);
        bool long_pause = rows[i].left > 100; /* which the next texts go on with */
        assert_int_equal(profile.left, long_pause ? rows[i].left : 0);
        for (int left = profile.left; long_pause && left > 0; left -= 100) {
            const struct draft_policy_round plain = {.n_tokens = 100, .ns = 1e5, .p_target = 80, .measured = true};
            draft_policy_init(&g, true, false, (struct cost_prior){.3, .1}, &profile);
            assert_true(g.paused && g.left == left);
            draft_policy_note(&g, &plain);
            draft_policy_learn(&profile, &g, 100);
            assert_int_equal(profile.left, left > 100 ? left - 100 : 0);
        }
        draft_policy_init(&g, true, false, (struct cost_prior){.3, .1}, &profile);
        assert_false(g.paused);
    }
}

static void a_moment_in_which_the_machine_is_away_is_no_reason(void **state)
{
    (void)state;
    struct draft_policy g = ahead(.8, 100, 1000);
    const struct draft_policy_round away = {.n_tokens = 1, .ns = 50 * plain_ns, .p_target = .8, .ahead = true};
    draft_policy_note(&g, &away);
    assert_int_equal(rests_after_own(&g, plain_ns, 20), 20);
}

static void it_takes_turns_where_they_are_faster_and_the_way_is_short(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        double right, rtt_ns, own_ns;
        bool in_turns;
    } rows[] = {{"a memory that both read", .8, 0, 1600, true},
                {"a short way", .8, 200, 1600, true},
                {"a long one", .8, 1000, 1600, false},
                {"drafts are mostly wrong", .1, 0, 1600, false},
                {"cores and memory of their own", .8, 0, 1000, false}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct draft_policy g = ahead(rows[i].right, 300, rows[i].rtt_ns);
        const struct draft_policy_round own = {
            .n_tokens = 1, .ns = rows[i].own_ns, .p_target = rows[i].right, .ahead = true};
        for (int n = 0; n < 50 && !g.paused && !g.in_turns; n++) {
            draft_policy_note_pass(&g, rows[i].own_ns, 1);
            draft_policy_note(&g, &own);
            g.accept_ratio = 1;
        }
        if (g.in_turns != rows[i].in_turns) fail_msg("%s", rows[i].why);
        assert_int_equal(draft_policy_runs_ahead(&g), !g.in_turns);
    }
}

/* In 16 texts after the one in which that was found; in the next one running ahead is tried again. */
static void texts_after_it_take_turns_too_but_not_for_ever(void **state)
{
    (void)state;
    struct draft_policy g = ahead(.8, 100, 0);
    struct draft_profile profile = {0};
    g.in_turns = true;
    g.ahead_ns = 900;
    draft_policy_learn(&profile, &g, 100);
    int n = 0;
    for (; n < 50 && profile.in_turns; n++) {
        draft_policy_init(&g, true, false, (struct cost_prior){.3, .1}, &profile);
        g.apart = g.timed = true;
        assert_false(draft_policy_runs_ahead(&g));
        draft_policy_learn(&profile, &g, 100);
    }
    assert_int_equal(n, 16);
}

/* Rounds that turn out slower than running ahead was. */
static void it_runs_ahead_again_where_turns_were_no_better(void **state)
{
    (void)state;
    struct draft_policy g = ahead(.8, 100, 0);
    const struct draft_policy_round round = {
        .n_drafted = 4, .n_accepted = 3, .n_tokens = 4, .ns = 3800, .draft_ns = 400, .p_target = 3.2, .measured = true};
    g.in_turns = true;
    g.ahead_ns = 900;
    for (int i = 0; i < 7; i++) draft_policy_note(&g, &round);
    assert_true(g.in_turns);
    draft_policy_note(&g, &round);
    assert_true(draft_policy_runs_ahead(&g));
}

/* A plain token takes 1000 ns. What a byte takes to the drafter and to the verifiers, in ns. */
static void the_bytes_of_drafts_count_where_a_link_is_slow(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        bool apart;
        double draft_ns, drafter_ns, verifier_ns;
        int window, first, block;
    } rows[] = {
        {"a quick link", true, 100, 0, 0, 22, 3, 1},
        {"quick enough to wait for", true, 100, .5, .5, 22, 3, 1},
        {"quicker than the drafter, but too slow to wait for", true, 100, 8, 3, 22, 0, 1},
        {"a little slower: two share a message", true, 100, 0, 120. / CHECK_BYTES, 18, 0, 2},
        {"slower: so many as it lets through", true, 100, 0, 250. / CHECK_BYTES, 10, 0, 2},
        {"the other link", true, 100, 250. / DRAFT_BYTES, 0, 10, 0, 2},
        {"both: the slower", true, 100, 250. / DRAFT_BYTES, 200. / CHECK_BYTES, 10, 0, 2},
        {"slower than big: none", true, 100, 0, 1000. / CHECK_BYTES, 0, 0, 2},
        {"a round waits for all of it", false, 100, 250. / DRAFT_BYTES, 250. / CHECK_BYTES, 8, 0, 0},
        {"and has none where it is dearer than a token", false, 100, 400. / DRAFT_BYTES, 400. / CHECK_BYTES, 0, 0, 0},
        {"on a quick link the same drafts pay", false, 100, 0, 0, 8, 0, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct draft_policy g = ahead(.7, rows[i].draft_ns, 0);
        g.apart = rows[i].apart;
        g.bytes_ns = (struct draft_policy_bytes){rows[i].drafter_ns, rows[i].verifier_ns};
        int window = draft_policy_window(&g, rows[i].apart ? 99 : 8);
        const struct draft_choice choice = draft_policy_choice(&g, 8);
        if (window != rows[i].window || choice.first != rows[i].first || choice.block != rows[i].block)
            fail_msg("%s: %d, %d, %d", rows[i].why, window, choice.first, choice.block);
        if (window == 0) assert_int_equal(draft_policy_withheld(&g).why, WITHHELD_COST);
        g.enabled = false;
        assert_int_equal(draft_policy_window(&g, 8), 8);
        assert_int_equal(draft_policy_block(&g), 1);
    }
    struct draft_policy g = ahead(.7, 100, 0); /* rounds that were measured have the bytes in them */
    g.apart = false;
    g.bytes_ns.verifier_ns = 10000;
    g.measured.row_ns = 10;
    assert_int_equal(draft_policy_window(&g, 8), 8);
}

static size_t n_encoded(struct wire_arena *a, const struct message *m)
{
    const uint8_t *data;
    size_t n_bytes;
    struct err err;
    assert_int_equal(wire_encode(a, m, &data, &n_bytes, &err), OK);
    return n_bytes;
}

/* Of ids as large as vocabularies have them. */
static void a_draft_adds_as_many_bytes_to_frames_as_the_policy_counts(void **state)
{
    (void)state;
    enum { N = 17, ID = 100000 };
    static const int32_t judge = ID;
    static const float lp = -1;
    struct wire_arena arena;
    struct err err;
    struct draft_row drafts[N];
    struct row rows[N];
    struct verdict_row answers[N];
    for (int i = 0; i < N; i++) {
        drafts[i] = (struct draft_row){ID, .9f};
        rows[i] = (struct row){.id = ID, .wanted = true, .judge = &judge, .n_judge = 1};
        answers[i] = (struct verdict_row){.next = ID, .lp_next = lp, .lp_judged = &lp, .n_judged = 1};
    }
    size_t n[2][3];
    assert_int_equal(wire_arena_init(&arena, 1 << 16, &err), OK);
    for (size_t i = 0; i < 2; i++) {
        size_t n_rows = i ? N : 1;
        n[i][0] = n_encoded(&arena, &(struct message){.tag = TAG_DRAFT, .draft = {.rows = drafts, .n_rows = n_rows}});
        n[i][1] = n_encoded(&arena, &(struct message){.tag = TAG_VERIFY, .verify = {.rows = rows, .n_rows = n_rows}});
        n[i][2] =
            n_encoded(&arena, &(struct message){.tag = TAG_VERDICT, .verdict = {.rows = answers, .n_rows = n_rows}});
    }
    wire_arena_free(&arena);
    double draft = (double)(n[1][0] - n[0][0]) / (N - 1),
           check = (double)(n[1][1] - n[0][1] + n[1][2] - n[0][2]) / (N - 1);
    if (fabs(draft - DRAFT_BYTES) > 1) fail_msg("a row of a Draft: %.2f", draft);
    if (fabs(check - CHECK_BYTES) > 1) fail_msg("of a Verify and its Verdict: %.2f", check);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_runs_ahead_where_it_is_apart_once_a_plain_token_is_timed),
        cmocka_unit_test(so_many_drafts_are_out_as_two_passes_and_a_round_trip_give_time_for),
        cmocka_unit_test(a_pass_waits_for_drafts_that_are_near_and_likely),
        cmocka_unit_test(drafts_go_on_as_far_as_checking_them_is_worth_its_time),
        cmocka_unit_test(drafts_behind_those_of_a_pass_count_from_there_on),
        cmocka_unit_test(it_rests_where_it_slows_big_down),
        cmocka_unit_test(a_moment_in_which_the_machine_is_away_is_no_reason),
        cmocka_unit_test(it_takes_turns_where_they_are_faster_and_the_way_is_short),
        cmocka_unit_test(texts_after_it_take_turns_too_but_not_for_ever),
        cmocka_unit_test(it_runs_ahead_again_where_turns_were_no_better),
        cmocka_unit_test(it_rests_where_it_is_slower_than_plain_or_always_wrong),
        cmocka_unit_test(the_bytes_of_drafts_count_where_a_link_is_slow),
        cmocka_unit_test(a_draft_adds_as_many_bytes_to_frames_as_the_policy_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
