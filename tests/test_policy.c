/* When to draft: rounds on a virtual clock, noted as the coordinator notes them. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "proto/policy.h"

static const double plain_ns = 1000;
static const struct draft_profile nothing;

enum { MOST_PAUSES = 64, CYCLE = 4 };

struct drafter {
    double cost;               /* as known before; 0: nothing */
    double draft_ns, check_ns; /* of a drafted token: little's time, big's */
    int right[CYCLE];          /* how many of a window are right: one round after the other, over and over */
};

struct play { /* what became of a text */
    struct draft_policy policy;
    int window;
    int n_rounds, n_tokens, n_drafted; /* rounds: with drafts */
    double ns;
    int n_pauses, pauses[MOST_PAUSES]; /* plain tokens of each */
    int trials[MOST_PAUSES + 1];       /* drafted tokens before each */
};

/* Reading skips the head. */
static struct cost_prior prior(double draft)
{
    return (struct cost_prior){draft, .9 * draft};
}

/* Big is rather sure of what it says. */
static struct draft_policy_round plain_round(bool measured)
{
    return (struct draft_policy_round){.n_tokens = 1, .ns = plain_ns, .p_target = .8, .measured = measured};
}

static void play_start(struct play *p, const struct drafter *d, int window)
{
    *p = (struct play){.window = window};
    draft_policy_init(&p->policy, true, false, prior(d->cost), &nothing);
    p->policy.prompt_ns = 100;
    struct draft_policy_round first = plain_round(true);
    draft_policy_note(&p->policy, &first);
}

static void play_round(struct play *p, const struct drafter *d, bool measured)
{
    bool was_paused = p->policy.paused;
    int n = draft_policy_window(&p->policy, p->window);
    assert_in_range(n, 0, p->window);
    struct draft_policy_round r = plain_round(true);
    if (n) {
        int right = d->right[p->n_rounds++ % CYCLE];
        r.n_read = 1;
        r.n_drafted = n;
        r.n_accepted = right < n ? right : n;
        r.n_tokens += r.n_accepted;
        r.draft_ns = n * d->draft_ns;
        r.ns += n * (d->draft_ns + d->check_ns);
        r.p_target *= r.n_tokens;
        r.measured = measured;
    }
    draft_policy_note(&p->policy, &r);
    p->n_tokens += r.n_tokens;
    p->n_drafted += n;
    p->ns += r.ns;
    p->trials[p->n_pauses] += n;
    if (was_paused) p->pauses[p->n_pauses - 1] += r.n_tokens;
    if (p->policy.paused && !was_paused) p->n_pauses++;
    assert_true(p->n_pauses < MOST_PAUSES);
}

static void play_tokens(struct play *p, const struct drafter *d, int n_tokens)
{
    for (int until = p->n_tokens + n_tokens; p->n_tokens < until;) play_round(p, d, true);
}

/* Pauses of 8, 16, 32 ... 512, 512 plain tokens. */
static void check_pauses(const struct play *p)
{
    int pause = DRAFT_PAUSE_FIRST;
    for (int i = 0; i + 1 < p->n_pauses; i++) { /* the last one may not be over */
        if (p->pauses[i] != pause) fail_msg("window %d: pause %d: %d tokens", p->window, i, p->pauses[i]);
        assert_in_range(p->trials[i + 1], 1, DRAFT_WRONG_MOST);
        if (pause < DRAFT_PAUSE_MOST) pause *= 2;
    }
    assert_int_equal(p->policy.n_pauses, p->n_pauses);
}

static void a_drafter_that_is_always_wrong_costs_few_tokens_and_rests_ever_longer(void **state)
{
    (void)state;
    static const struct drafter suffix = {0}, little = {.cost = .3, .draft_ns = 300, .check_ns = 50};
    static const int windows[] = {1, 3, 4, 8, 16};
    for (size_t w = 0; w < sizeof windows / sizeof *windows; w++) {
        struct play p;
        play_start(&p, &suffix, windows[w]);
        play_tokens(&p, &suffix, 4000);
        assert_int_equal(p.trials[0], DRAFT_WRONG_MOST);
        assert_true(p.n_pauses > 8); /* the last ones are of the longest */
        check_pauses(&p);
        play_start(&p, &little, windows[w]);
        play_tokens(&p, &little, 4000);
        assert_in_range(p.trials[0], 1, DRAFT_WRONG_MOST);
        check_pauses(&p);
    }
}

static const struct {
    const char *why;
    struct drafter drafter;
    int window;
} pays[] = {
    {"all right, nearly free", {.01, 10, 0, {16, 16, 16, 16}}, 4},
    {"all right, at half of big's prior", {.5, 500, 0, {16, 16, 16, 16}}, 4},
    {"one of four right, cheap", {.1, 100, 10, {1, 1, 1, 1}}, 4},
    {"one of sixteen right, very cheap", {.02, 20, 10, {1, 1, 1, 1}}, 16},
    {"every other draft is wrong from its first token", {.1, 100, 10, {4, 0, 4, 0}}, 4},
    {"one token at a time", {.5, 500, 0, {1, 1, 1, 1}}, 1},
    {"drafts for nothing", {0, 0, 50, {4, 4, 4, 4}}, 8},
    {"drafts for nothing, right half of the time", {0, 0, 50, {0, 4, 0, 4}}, 4},
    {"drafts for nothing that are dear to check", {0, 0, 990, {4, 4, 4, 4}}, 4},
};

static void a_drafter_that_pays_is_never_paused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof pays / sizeof *pays; i++) {
        struct play p;
        play_start(&p, &pays[i].drafter, pays[i].window);
        play_tokens(&p, &pays[i].drafter, 2000);
        if (p.n_pauses || p.n_rounds < 200) fail_msg("%s: %d pauses, %d drafts", pays[i].why, p.n_pauses, p.n_rounds);
        if (p.ns > p.n_tokens * plain_ns) fail_msg("%s: the row is wrong, it does not pay", pays[i].why);
    }
}

static const struct {
    const char *why;
    struct drafter drafter;
    int window;
} slow[] = {
    {"all right, but dear to check", {0, 0, 1300, {4, 4, 4, 4}}, 4},
    {"all right, a little too dear to check", {0, 0, 1050, {4, 4, 4, 4}}, 4},
    {"drafts for nothing, one of eight right", {0, 0, 350, {1, 1, 1, 1}}, 8},
    {"drafts for nothing, right once in four rounds", {0, 0, 350, {4, 0, 0, 0}}, 2},
    {"dearer than was known", {.1, 1300, 50, {4, 4, 4, 4}}, 4},
    {"twice as dear as was known, and half right", {.3, 600, 50, {1, 0, 1, 0}}, 8},
    {"always wrong", {.35, 350, 50, {0, 0, 0, 0}}, 8},
};

/* README: never slower, in the long run, than the big model alone. */
static void a_drafter_that_is_slower_than_plain_rests_and_costs_little_in_the_long_run(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof slow / sizeof *slow; i++) {
        struct play p;
        play_start(&p, &slow[i].drafter, slow[i].window);
        for (int n = 0; n < 16 && draft_policy_window(&p.policy, slow[i].window); n++)
            play_round(&p, &slow[i].drafter, true);
        if (draft_policy_window(&p.policy, slow[i].window)) fail_msg("%s: it drafts on and on", slow[i].why);
        if (p.ns <= p.n_tokens * plain_ns) fail_msg("%s: the row is wrong, it pays", slow[i].why);
        play_tokens(&p, &slow[i].drafter, 20000);
        double ratio = p.ns / (p.n_tokens * plain_ns);
        if (ratio > 1.02) fail_msg("%s: %.3f of plain's time", slow[i].why, ratio);
    }
}

static void a_drafter_known_to_be_too_dear_is_never_asked(void **state)
{
    (void)state;
    static const struct drafter dear = {1.3, 1300, 50, {4, 4, 4, 4}};
    struct play p;
    play_start(&p, &dear, 8);
    play_tokens(&p, &dear, 2000);
    assert_int_equal(p.n_drafted, 0);
    assert_int_equal(p.n_pauses, 0);
}

static float chance_of(const struct drafter *d)
{
    struct play p;
    play_start(&p, d, 8);
    play_tokens(&p, d, 1000);
    assert_true(draft_policy_window(&p.policy, 8) > 0);
    return draft_policy_chance(&p.policy, 8, 0);
}

/* Drafts of .3 of a token's time, of which nearly all are right, give some 2.5 tokens in a token's time; one more must
 * have a chance of .3 * 2.5 to be worth its own. */
static void a_draft_goes_on_while_one_more_is_likely_enough_to_be_worth_its_time(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        struct drafter drafter;
        double least, most;
    } rows[] = {
        {"free", {0, 0, 0, {16, 16, 16, 16}}, 0, 0},
        {"free, but dear to check", {0, 0, 300, {16, 16, 16, 16}}, .6, .85},
        {"cheap", {.05, 50, 10, {16, 16, 16, 16}}, .2, .5},
        {"as above", {.2, 200, 100, {16, 16, 16, 16}}, .6, .85},
        {"as above, dear to check rather than to write", {.2, 50, 250, {16, 16, 16, 16}}, .6, .85},
        {"dear, right: as good as certain", {.6, 600, 50, {16, 16, 16, 16}}, .89, .91},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        double chance = (double)chance_of(&rows[i].drafter);
        if (chance < rows[i].least || chance > rows[i].most) fail_msg("%s: down to %.2f", rows[i].why, chance);
    }
}

static void a_text_starts_from_what_those_before_it_have_taught(void **state)
{
    (void)state;
    static const struct drafter right = {.3, 100, 50, {8, 8, 8, 8}}, wrong = {.5, 500, 50, {0, 0, 0, 0}};
    struct draft_policy_round plain = plain_round(true);
    struct draft_profile profile = nothing;
    struct play p;
    struct draft_policy g;
    play_start(&p, &right, 8);
    play_tokens(&p, &right, 400);
    draft_policy_learn(&profile, &p.policy, 300);
    assert_float_equal(profile.n_tokens, 300, 1e-9);
    draft_policy_learn(&profile, &p.policy, 400);
    assert_float_equal(profile.n_tokens, 330, 1e-9); /* the newest counts by .3 */
    draft_policy_init(&g, true, false, prior(.3), &profile);
    assert_int_equal(draft_policy_window(&g, 8),
                     0); /* but a plain token is timed first: the machine may have changed */
    draft_policy_note(&g, &plain);
    assert_int_equal(draft_policy_window(&g, 8), 8);
    assert_true(draft_policy_chance(&g, 8, 0) < chance_of(&(struct drafter){.3, 300, 50, {8, 8, 8, 8}}));
    assert_true(draft_policy_reads(&g, 8, 1000, 0, 400)); /* texts are long here, and drafts cheap */
    draft_policy_init(&g, true, false, prior(.3), &nothing);
    g.prompt_ns = 100;
    draft_policy_note(&g, &plain);
    assert_false(draft_policy_reads(&g, 8, 1000, 0, 400));

    int n_drafted = 8;
    profile = nothing;
    for (int i = 0; i < 4; i++) { /* it is asked less and less */
        play_start(&p, &wrong, 1);
        draft_policy_init(&p.policy, true, false, prior(.5), &profile);
        play_tokens(&p, &wrong, 10);
        draft_policy_learn(&profile, &p.policy, 10);
        assert_true(p.n_drafted <= n_drafted);
        n_drafted = p.n_drafted;
    }
    assert_in_range(n_drafted, 0, 1);
    draft_policy_init(&g, true, false, prior(.5), &profile);
    for (int i = 0; i < 200; i++) draft_policy_note(&g, &plain); /* it may do better elsewhere */
    assert_int_not_equal(draft_policy_window(&g, 8), 0);

    draft_policy_init(&g, true, true, prior(.1), &(struct draft_profile){.accept_ratio = {profile.accept_ratio[0]}});
    draft_policy_note(&g, &plain);
    assert_int_not_equal(draft_policy_window(&g, 8), 0); /* nothing was learned yet of prompts that it does not read */

    for (int unread = 0; unread < 2; unread++) { /* and fewer are expected to be right there */
        draft_policy_init(&g, true, unread, prior(.3), &nothing);
        g.prompt_ns = 100;
        draft_policy_note(&g, &plain);
        assert_int_equal(draft_policy_reads(&g, 8, 400, 0, 48), !unread);
    }

    struct draft_profile before = profile; /* a text of which nothing was timed teaches nothing */
    draft_policy_init(&g, true, false, prior(.3), &nothing);
    draft_policy_learn(&profile, &g, 1);
    assert_memory_equal(&profile, &before, sizeof profile);
}

/* 100 ids in 10000 ns, and the drafts after them as ever. */
static void what_the_drafter_s_reading_takes_is_told_from_its_drafts(void **state)
{
    (void)state;
    static const struct drafter d = {.2, 200, 50, {4, 4, 4, 4}};
    struct play p;
    play_start(&p, &d, 4);
    assert_true(draft_policy_reads(&p.policy, 4, 300, 0, 1000));
    draft_policy_note(&p.policy, &(struct draft_policy_round){.n_read = 101,
                                                              .n_drafted = 4,
                                                              .n_accepted = 4,
                                                              .n_tokens = 5,
                                                              .ns = 12000,
                                                              .draft_ns = 10800,
                                                              .p_target = 4});
    assert_float_equal(p.policy.measured.read_ns, 100, 1e-6);
    assert_false(draft_policy_reads(&p.policy, 4, 300, 0, 1000));
    for (int n_read = 1; n_read <= 9; n_read += 4)
        draft_policy_note(&p.policy, &(struct draft_policy_round){.n_read = n_read,
                                                                  .n_drafted = 4,
                                                                  .n_accepted = 4,
                                                                  .n_tokens = 5,
                                                                  .ns = 2000 + 100 * (n_read - 1),
                                                                  .draft_ns = 800 + 100 * (n_read - 1),
                                                                  .p_target = 4,
                                                                  .measured = true});
    assert_float_equal(p.policy.measured.draft_ns, 200, 1e-6);
}

/* An id goes with the first draft, in its pass. */
static void a_round_that_reads_one_more_id_tells_what_reading_takes_and_one_that_reads_none_does_not(void **state)
{
    (void)state;
    static const struct drafter d = {.2, 200, 50, {4, 4, 4, 4}};
    struct play p;
    play_start(&p, &d, 4);
    struct draft_policy_round r = {
        .n_read = 1, .n_drafted = 4, .n_accepted = 4, .n_tokens = 5, .ns = 2000, .draft_ns = 800, .p_target = 4};
    draft_policy_note(&p.policy, &r);
    assert_true(p.policy.measured.read_ns == 0);
    r.n_read = 2;
    r.draft_ns = 870;
    draft_policy_note(&p.policy, &r);
    assert_float_equal(p.policy.measured.read_ns, 70, 1e-6);
}

/* Four checked drafts are never faster than one plain token: if they seem so, and did before, the token was slow. */
static void a_plain_token_s_time_is_mended_by_checks_that_are_faster(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        double row_before, check_ns, plain;
    } rows[] = {
        {"faster than plain, as were those before", -10, 900, 970},
        {"faster than plain, but it was slower before", 100, 900, 1000},
        {"slower than plain", 100, 1100, 1000},
        {"slower than plain, though it was faster before", -500, 1100, 1000},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        static const struct drafter d = {.2, 200, 50, {4, 4, 4, 4}};
        struct play p;
        play_start(&p, &d, 4);
        p.policy.measured.row_ns = rows[i].row_before;
        draft_policy_note(&p.policy, &(struct draft_policy_round){.n_read = 1,
                                                                  .n_drafted = 4,
                                                                  .n_accepted = 4,
                                                                  .n_tokens = 5,
                                                                  .ns = 800 + rows[i].check_ns,
                                                                  .draft_ns = 800,
                                                                  .p_target = 4,
                                                                  .measured = true});
        if (fabs(p.policy.measured.plain_ns - rows[i].plain) > 1e-6)
            fail_msg("%s: %g", rows[i].why, p.policy.measured.plain_ns);
    }
}

/* What a draft takes, over a plain token's 1000 ns, as the text before has left it. */
static void a_drafter_that_was_slow_in_the_text_before_rests_after_the_first_plain_token(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        double draft_ns, accept_ratio;
        bool rests;
    } rows[] = {
        {"slower than drafts of a usual drafter are right", 850, .5, true},
        {"as slow, but all its drafts were right: it pays", 850, 1.2, false},
        {"it would pay if more were right, as may be here", 700, .5, false},
        {"not measured: only known to be dear", 0, .9, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct draft_policy g;
        struct draft_policy_round plain = plain_round(true);
        struct draft_profile before = {.measured = {.plain_ns = 1000, .draft_ns = rows[i].draft_ns},
                                       .accept_ratio = {rows[i].accept_ratio}};
        draft_policy_init(&g, true, false, prior(1.3), &before);
        draft_policy_note(&g, &plain);
        if (g.paused != rows[i].rests) fail_msg("%s: it should%s rest", rows[i].why, rows[i].rests ? "" : " not");
    }
}

/* By a hundredth a plain token: nine tenths are expected of a text that is read, six of one that is not. */
static void without_drafts_what_was_learned_of_them_is_slowly_forgotten(void **state)
{
    (void)state;
    for (int unread = 0; unread <= 1; unread++) {
        struct draft_policy g;
        struct draft_policy_round plain = plain_round(true);
        double expected = unread ? .6 : .9;
        draft_policy_init(&g, true, unread, prior(1.3), &(struct draft_profile){.accept_ratio = {.2, .2}});
        for (int i = 0; i < 100; i++) draft_policy_note(&g, &plain);
        assert_float_equal(g.accept_ratio, expected - (expected - .2) * pow(.99, 100), 1e-6);
    }
}

/* A core that was taken away for a moment, from little or from big, at the very first draft and later. */
static void one_slow_round_is_not_held_against_it_for_ever(void **state)
{
    (void)state;
    static const struct drafter right = {.2, 200, 50, {4, 4, 4, 4}},
                                stuck[] = {{.2, 40000, 50, {4, 4, 4, 4}}, {.2, 200, 40000, {4, 4, 4, 4}}};
    for (int i = 0; i < 4; i++) {
        struct play p;
        play_start(&p, &right, 4);
        play_tokens(&p, &right, i / 2 * 500);
        play_round(&p, &stuck[i % 2], true);
        play_tokens(&p, &right, 2 * DRAFT_PAUSE_MOST);
        int n_rounds = p.n_rounds;
        play_tokens(&p, &right, 500);
        assert_true(p.n_rounds - n_rounds > 80);
    }
}

/* The only plain token took five times as long as others do: what is as slow as that seems to pay. */
static void a_plain_token_timed_in_a_slow_moment_does_not_hide_that_drafts_are_slow(void **state)
{
    (void)state;
    static const struct drafter dear = {.3, 1300, 50, {4, 4, 4, 4}};
    struct play p;
    play_start(&p, &dear, 4);
    p.policy.measured.plain_ns = 5 * plain_ns;
    for (int i = 0; i < 16 && p.n_pauses == 0; i++) play_round(&p, &dear, true);
    assert_int_equal(p.n_pauses, 1);
}

/* Texts of 40 tokens, each with what those before have taught. */
static void play_texts(struct play *sum, const struct drafter *d, struct draft_profile *profile, int n_texts)
{
    for (int i = 0; i < n_texts; i++) {
        struct play p;
        play_start(&p, d, 4);
        draft_policy_init(&p.policy, true, false, prior(d->cost), profile);
        play_tokens(&p, d, 40);
        draft_policy_learn(profile, &p.policy, p.n_tokens);
        sum->n_tokens += p.n_tokens;
        sum->n_drafted += p.n_drafted;
        sum->ns += p.ns;
    }
}

static void a_slow_moment_at_the_end_of_a_text_is_not_held_against_those_after_it(void **state)
{
    (void)state;
    static const struct drafter right = {.2, 200, 50, {4, 4, 4, 4}}, stuck = {.2, 40000, 50, {4, 4, 4, 4}};
    struct draft_profile profile = nothing;
    struct play p, after = {0};
    play_start(&p, &right, 4);
    play_tokens(&p, &right, 100);
    while (!p.policy.paused) play_round(&p, &stuck, true);
    draft_policy_learn(&profile, &p.policy, p.n_tokens);
    play_texts(&after, &right, &profile, 3);
    assert_true(after.n_drafted > 60);

    static const struct drafter dear = {.1, 1300, 50, {4, 4, 4, 4}}; /* but one that is slow is seldom tried */
    profile = nothing;
    after = (struct play){0};
    play_texts(&after, &dear, &profile, 100);
    assert_in_range(after.n_drafted, 4, 16);
}

static void pauses_are_short_again_once_it_has_paid(void **state)
{
    (void)state;
    static const struct drafter wrong = {0, 0, 50, {0, 0, 0, 0}}, right = {0, 0, 50, {4, 4, 4, 4}};
    struct play p;
    play_start(&p, &wrong, 4);
    while (p.n_pauses < 4) play_round(&p, &wrong, true);
    while (p.policy.paused) play_round(&p, &wrong, true);
    assert_int_equal(p.pauses[3], 8 * DRAFT_PAUSE_FIRST);
    play_tokens(&p, &right, 500);
    assert_int_equal(p.n_pauses, 4);
    while (p.n_pauses < 5) play_round(&p, &wrong, true);
    while (p.policy.paused) play_round(&p, &wrong, true);
    assert_int_equal(p.pauses[4], DRAFT_PAUSE_FIRST);

    play_start(&p, &wrong, 4);
    while (p.n_pauses < 4 || p.policy.paused) play_round(&p, &wrong, true);
    for (int i = 0; i < 8; i++) { /* eight rounds are a while */
        assert_int_equal(p.policy.pause, 16 * DRAFT_PAUSE_FIRST);
        play_round(&p, &right, true);
    }
    assert_int_equal(p.policy.pause, DRAFT_PAUSE_FIRST);
}

/* Of cheap drafts most rounds of eight are all right, and in some the first one is wrong. Eight such rounds in a row are
 * a reason; in a trial, which is to be short, eight such drafts. */
static void once_drafts_have_paid_a_wrong_round_is_no_reason(void **state)
{
    (void)state;
    struct draft_policy g;
    const struct draft_policy_round plain = plain_round(true),
                                    right = {.n_drafted = 8,
                                             .n_accepted = 8,
                                             .n_tokens = 9,
                                             .ns = 1500,
                                             .draft_ns = 400,
                                             .p_target = 8.1,
                                             .measured = true},
                                    wrong = {.n_drafted = 8,
                                             .n_tokens = 1,
                                             .ns = 1500,
                                             .draft_ns = 400,
                                             .p_target = .9,
                                             .measured = true};
    draft_policy_init(&g, true, false, prior(.05), &nothing);
    draft_policy_note(&g, &plain);
    for (int i = 0; i < 4; i++) draft_policy_note(&g, &right);
    draft_policy_note(&g, &wrong);
    assert_false(g.paused);
    assert_int_equal(draft_policy_window(&g, 8), 7);
    draft_policy_note(&g, &right);
    assert_int_equal(draft_policy_window(&g, 8), 8);
    for (int i = 0; i < 8; i++) draft_policy_note(&g, &wrong);
    assert_true(g.paused);
    for (int i = 0; i < DRAFT_PAUSE_FIRST; i++) draft_policy_note(&g, &plain);
    assert_false(g.paused);
    draft_policy_note(&g, &wrong);
    assert_true(g.paused);
}

static void check_why(const struct draft_policy *g, enum withheld_why why, const char *when)
{
    struct withheld w = draft_policy_withheld(g);
    if (w.why != why) fail_msg("%s: reason %d", when, (int)w.why);
}

static void why_there_were_no_drafts_is_known_with_its_numbers(void **state)
{
    (void)state;
    struct draft_policy g;
    struct draft_policy_round plain = plain_round(true),
                              wrong = {.n_drafted = 4, .n_tokens = 1, .ns = 1200, .draft_ns = 100, .p_target = .8};
    draft_policy_init(&g, false, false, prior(1.3), &nothing);
    draft_policy_note(&g, &plain);
    check_why(&g, WITHHELD_NOT, "always on");

    draft_policy_init(&g, true, false, prior(1.3), &nothing);
    check_why(&g, WITHHELD_SHORT, "no plain token was timed");
    draft_policy_note(&g, &plain);
    check_why(&g, WITHHELD_COST, "known to be dear");
    struct withheld w = draft_policy_withheld(&g);
    assert_float_equal(w.draft_ns, 1300, 1e-6);
    assert_true(w.row_ns == 0);
    assert_float_equal(w.plain_ns, 1000, 1e-6);
    assert_float_equal(w.right, .89 * .9, 1e-6); /* big's own probability, its mean moved from .9 by a tenth to .8 */

    draft_policy_init(&g, true, false, prior(.3), &nothing);
    g.prompt_ns = 100;
    draft_policy_note(&g, &plain);
    check_why(&g, WITHHELD_NOT, "it may draft");
    assert_true(draft_policy_reads(&g, 4, 10, 0, 1000));
    check_why(&g, WITHHELD_NOT, "it may read");
    static const int n_ids[] = {8000, 2000, 9000}; /* the nearest to paying is kept */
    for (int i = 0; i < 3; i++) {
        assert_false(draft_policy_reads(&g, 4, n_ids[i], 0, 40));
        check_why(&g, WITHHELD_READING, "too much to read");
        w = draft_policy_withheld(&g);
        assert_int_equal(w.n_ids, i == 0 ? 8000 : 2000);
        assert_int_equal(w.n_tokens, 40);
        assert_float_equal(w.read_ns, 27. * w.n_ids, 1e-6);
        assert_true(w.saved_ns > 0 && w.saved_ns < w.read_ns);
    }
    assert_false(draft_policy_reads(&g, 4, 2000, 0, 30)); /* as much to read, for less */
    assert_int_equal(draft_policy_withheld(&g).n_tokens, 40);
    draft_policy_note(&g, &wrong);
    check_why(&g, WITHHELD_READING, "four wrong drafts");
    draft_policy_note(&g, &wrong);
    check_why(&g, WITHHELD_WRONG, "eight");
    assert_false(draft_policy_reads(&g, 4, 2000, 0, 40));
    check_why(&g, WITHHELD_WRONG, "a pause says more than a reading");

    draft_policy_init(&g, true, false, prior(.3), &nothing);
    draft_policy_note(&g, &plain);
    wrong.n_read = 1;
    wrong.ns = 9400;
    wrong.draft_ns = 8000;
    wrong.measured = true;
    draft_policy_note(&g, &wrong);
    check_why(&g, WITHHELD_COST, "a draft took twice as long as a plain token");
    for (int i = 0; i < DRAFT_PAUSE_FIRST; i++) draft_policy_note(&g, &plain);
    assert_false(g.paused);
    check_why(&g, WITHHELD_COST, "what paused it last");
    w = draft_policy_withheld(&g);
    assert_float_equal(w.draft_ns, 2000, 1e-6);
    assert_float_equal(w.row_ns, 100, 1e-6);

    draft_policy_init(&g, true, false, prior(1.3), &nothing); /* drafts that do not pay save nothing, and no less */
    g.prompt_ns = 100;
    draft_policy_note(&g, &plain);
    assert_false(draft_policy_reads(&g, 4, 10, 0, 40));
    assert_true(draft_policy_withheld(&g).saved_ns == 0);
}

/* A right round ends a row of wrong ones. */
static void only_wrong_drafts_in_a_row_count(void **state)
{
    (void)state;
    struct draft_policy g;
    struct draft_policy_round plain = plain_round(true);
    draft_policy_init(&g, true, false, prior(0), &nothing);
    draft_policy_note(&g, &plain);
    draft_policy_note(&g,
                      &(struct draft_policy_round){.n_drafted = DRAFT_WRONG_MOST - 1, .n_tokens = 1, .ns = plain_ns});
    assert_int_equal(draft_policy_window(&g, 16), 1);
    draft_policy_note(&g, &(struct draft_policy_round){.n_drafted = 1, .n_accepted = 1, .n_tokens = 2, .ns = plain_ns});
    assert_int_equal(draft_policy_window(&g, 16), DRAFT_WRONG_MOST);
    draft_policy_note(&g, &(struct draft_policy_round){.n_drafted = DRAFT_WRONG_MOST, .n_tokens = 1, .ns = plain_ns});
    assert_true(g.paused);
}

static void without_a_plain_token_s_time_nothing_is_drafted(void **state)
{
    (void)state;
    static const double costs[] = {0, .1};
    for (size_t i = 0; i < sizeof costs / sizeof *costs; i++) {
        struct draft_policy g;
        struct draft_policy_round unmeasured = plain_round(false), measured = plain_round(true);
        draft_policy_init(&g, true, false, prior(costs[i]), &nothing);
        assert_int_equal(draft_policy_window(&g, 4), 0);
        for (int n = 0; n < 20; n++) draft_policy_note(&g, &unmeasured);
        assert_int_equal(draft_policy_window(&g, 4), 0);
        draft_policy_note(&g, &measured);
        assert_int_not_equal(draft_policy_window(&g, 4), 0);
        assert_int_equal(g.n_pauses, 0);
    }
}

/* Rounds that read a prompt too: an hour each. What they say of right and wrong still counts. */
static void the_time_of_a_round_that_also_reads_does_not_count(void **state)
{
    (void)state;
    static const struct drafter reads = {.1, 3.6e12, 0, {1, 1, 1, 1}}, wrong = {0, 3.6e12, 0, {0, 0, 0, 0}},
                                fast = {0, 0, 900, {4, 4, 4, 4}}, dear = {0, 0, 1300, {4, 4, 4, 4}};
    struct play p;
    play_start(&p, &reads, 4);
    for (int i = 0; i < 100; i++) play_round(&p, &reads, false);
    assert_int_equal(p.n_pauses, 0);
    assert_int_equal(p.n_rounds, 100);
    play_start(&p, &fast, 4);
    draft_policy_note(
        &p.policy, &(struct draft_policy_round){.n_tokens = 1, .ns = 3.6e12}); /* plain has not become slower by it */
    play_tokens(&p, &fast, 500);
    assert_int_equal(p.n_pauses, 0);
    play_tokens(&p, &dear, 500);
    assert_int_not_equal(p.n_pauses, 0);
    play_start(&p, &wrong, 4);
    for (int i = 0; i < DRAFT_WRONG_MOST && !p.n_pauses; i++) play_round(&p, &wrong, false);
    assert_int_equal(p.n_drafted, DRAFT_WRONG_MOST);
    assert_true(p.policy.paused);
}

static void a_draft_policy_that_is_off_gives_the_whole_window_always(void **state)
{
    (void)state;
    struct draft_policy g;
    struct draft_policy_round wrong = {.n_drafted = 16, .n_tokens = 1, .ns = 1e9, .draft_ns = 1e9, .measured = true},
                              plain = plain_round(true);
    draft_policy_init(&g, false, false, prior(.5), &nothing);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(draft_policy_window(&g, 16), 16);
        assert_true(draft_policy_reads(&g, 16, 100000, 0, 1));
        assert_true(draft_policy_chance(&g, 16, 0) == 0);
        draft_policy_note(&g, i % 2 ? &wrong : &plain);
    }
    assert_false(g.paused || g.n_pauses);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_drafter_that_is_always_wrong_costs_few_tokens_and_rests_ever_longer),
        cmocka_unit_test(a_drafter_that_pays_is_never_paused),
        cmocka_unit_test(a_drafter_that_is_slower_than_plain_rests_and_costs_little_in_the_long_run),
        cmocka_unit_test(a_drafter_known_to_be_too_dear_is_never_asked),
        cmocka_unit_test(a_draft_goes_on_while_one_more_is_likely_enough_to_be_worth_its_time),
        cmocka_unit_test(a_text_starts_from_what_those_before_it_have_taught),
        cmocka_unit_test(what_the_drafter_s_reading_takes_is_told_from_its_drafts),
        cmocka_unit_test(one_slow_round_is_not_held_against_it_for_ever),
        cmocka_unit_test(a_plain_token_timed_in_a_slow_moment_does_not_hide_that_drafts_are_slow),
        cmocka_unit_test(a_slow_moment_at_the_end_of_a_text_is_not_held_against_those_after_it),
        cmocka_unit_test(pauses_are_short_again_once_it_has_paid),
        cmocka_unit_test(a_round_that_reads_one_more_id_tells_what_reading_takes_and_one_that_reads_none_does_not),
        cmocka_unit_test(a_plain_token_s_time_is_mended_by_checks_that_are_faster),
        cmocka_unit_test(a_drafter_that_was_slow_in_the_text_before_rests_after_the_first_plain_token),
        cmocka_unit_test(without_drafts_what_was_learned_of_them_is_slowly_forgotten),
        cmocka_unit_test(once_drafts_have_paid_a_wrong_round_is_no_reason),
        cmocka_unit_test(why_there_were_no_drafts_is_known_with_its_numbers),
        cmocka_unit_test(only_wrong_drafts_in_a_row_count),
        cmocka_unit_test(without_a_plain_token_s_time_nothing_is_drafted),
        cmocka_unit_test(the_time_of_a_round_that_also_reads_does_not_count),
        cmocka_unit_test(a_draft_policy_that_is_off_gives_the_whole_window_always),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
