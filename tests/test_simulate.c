/* The command simulate: its times are those of the closed forms, and its sweep is the one that was asked for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "simulate.h"

enum { TOKENS = 4000, TEXTS = 15, PROMPT_IDS = 16, AHEAD = -1, AHEAD_ALONE = -2 };

struct way {
    double draft_ms, pass_ms, slope_percent, rate, rtt_ms;
    int length; /* of sequential drafts; 0: plain; AHEAD: the default; AHEAD_ALONE: without self-start or a policy */
};

static double token_ms(const struct way *p, int n_texts)
{
    bool alone = p->length == AHEAD_ALONE;
    struct options o = {.self_max = alone ? 0 : 128,
                        .net_delay = {(float)p->rtt_ms / 2, 0, false},
                        .synthetic = {.draft_ms = p->draft_ms,
                                      .pass_ms = {p->pass_ms},
                                      .n_pass_ms = 1,
                                      .slope_percent = p->slope_percent,
                                      .n_curves = 1,
                                      .curves = {{1, {p->rate}}}}};
    double sum_ns = 0;
    for (int text = 0; text < n_texts; text++) {
        int32_t prompt[PROMPT_IDS];
        for (int i = 0; i < PROMPT_IDS; i++) prompt[i] = synthetic_id(0, text, i);
        const struct request request = {.prompt = prompt,
                                        .n_prompt = PROMPT_IDS,
                                        .settings = {.n_predict = TOKENS,
                                                     .fresh = true,
                                                     .drafting = p->length != 0,
                                                     .adaptive = p->length == AHEAD,
                                                     .draft_max = p->length > 0 ? p->length : 8,
                                                     .draft_ahead = alone                ? 256
                                                                    : p->length == AHEAD ? -1
                                                                                         : 0,
                                                     .draft_ctx = PROMPT_IDS}};
        struct draft_profile profile = {0};
        struct simulator_counts counts;
        struct seq s;
        struct err err;
        assert_int_equal(seq_init(&s, &request, SYNTHETIC_CONTEXT, &err), OK);
        if (simulate_text(&o, &s, &profile, &counts, NULL, &err) != OK) fail_msg("%s", err.text);
        for (int i = 0; i < s.n_ids; i++) assert_int_equal(s.ids[i], synthetic_id(0, text, i));
        sum_ns += (double)(s.stats.last_ns - s.stats.first_ns);
        seq_free(&s);
    }
    return sum_ns * 1e-6 / (n_texts * (TOKENS - 1));
}

/* Drafts ahead of verdicts, as many a pass as are written meanwhile: L(k) of coordinator/planner.h. The first pass
 * behind a wrong draft feeds big's own id, and judges one. */
static double closed_form_ahead(const struct way *p)
{
    double a = p->rate, k = p->pass_ms / p->draft_ms;
    return (1 - a) * (p->pass_ms + p->rtt_ms) + a * p->pass_ms * (1 - a) / (1 - pow(a, k));
}

/* (g tD + T(g + 1) + R) / (1 + S(1) + ... + S(g)) */
static double closed_form(const struct way *p)
{
    double tokens = 1;
    if (p->length < 0) return closed_form_ahead(p);
    if (!p->length) return p->pass_ms;
    for (int j = 1; j <= p->length; j++) tokens += pow(p->rate, j);
    double verify_ms = p->pass_ms * (1 + p->slope_percent / 100 * p->length);
    return (p->length * p->draft_ms + verify_ms + p->rtt_ms) / tokens;
}

/* Big's own ids, which L(k) has not, fill what is left of a round trip: so it holds where that is short. */
static void a_token_takes_what_the_closed_forms_say(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        struct way plan;
        double tolerance;
    } rows[] = {
        {"plain", {8, 30, 0, .8, 0, 0}, 1e-9},           {"plain, near", {8, 30, 0, .8, 5, 0}, 1e-9},
        {"plain, far", {8, 30, 8, .8, 200, 0}, 1e-9},    {"sequential", {8, 30, 0, .8, 0, 4}, .01},
        {"sequential, near", {8, 30, 0, .8, 5, 4}, .01}, {"sequential, far", {8, 30, 0, .8, 80, 8}, .01},
        {"rows cost", {8, 30, 8, .8, 20, 4}, .01},       {"one draft", {2, 30, 0, .6, 20, 1}, .01},
        {"mostly wrong", {2, 30, 0, .2, 0, 4}, .01},     {"mostly right", {1.5, 30, 8, .95, 80, 16}, .015},
        {"ahead", {9, 30, 0, .8, 0, AHEAD}, .15},        {"ahead, near", {9, 30, 0, .8, 6, AHEAD}, .15},
        {"quick drafts", {3, 30, 0, .8, 0, AHEAD}, .15}, {"quick drafts, near", {3, 30, 0, .6, 6, AHEAD}, .15},
        {"ahead, far", {9, 30, 0, .9, 30, AHEAD}, .15},  {"the quickest", {1.5, 30, 0, .9, 6, AHEAD}, .15},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        double is = token_ms(&rows[i].plan, TEXTS), expected = closed_form(&rows[i].plan);
        if (fabs(is / expected - 1) > rows[i].tolerance)
            fail_msg("%s: %.4f ms a token, expected %.4f", rows[i].why, is, expected);
    }
}

/* Where big writes nothing by itself the form is the whole of it, however long the round trip. */
static void drafts_ahead_alone_take_what_their_form_says(void **state)
{
    (void)state;
    static const double rates[] = {.2, .6, .8, .9}, drafts[] = {.05, .1, .3}, ways[] = {0, .2, 1, 4};
    for (int i = 0; i < 4 * 3 * 4; i++) {
        const struct way p = {30 * drafts[i / 4 % 3], 30, 0, rates[i / 12], 30 * ways[i % 4], AHEAD_ALONE};
        double is = token_ms(&p, 1), expected = closed_form(&p);
        if (fabs(is / expected - 1) > .1)
            fail_msg("%.1f right, drafts of %.1f ms, a round trip of %.0f: %.4f ms a token, expected %.4f", p.rate,
                     p.draft_ms, p.rtt_ms, is, expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_token_takes_what_the_closed_forms_say),
        cmocka_unit_test(drafts_ahead_alone_take_what_their_form_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
