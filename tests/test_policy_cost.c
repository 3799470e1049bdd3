/* What drafts are expected to cost and to give, before any are written: when a text is read, and drafts are preferred. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "proto/policy.h"

static const double plain_ns = 1000;
static const struct draft_profile nothing;

/* Qwen2.5-Coder .5B for 1.5B, in megabytes: the whole models, and what each of two shards and of two stages has. */
#define LITTLE(host)                                                                                                   \
    {                                                                                                                  \
        host, 0, 221, 37                                                                                               \
    }
#define WHOLE(host)                                                                                                    \
    {                                                                                                                  \
        host, 0, 789, 191                                                                                              \
    }
#define HALF(host)                                                                                                     \
    {                                                                                                                  \
        host, 0, 394, 96                                                                                               \
    }
#define STAGE_1(host)                                                                                                  \
    {                                                                                                                  \
        host, 0, 484, 0                                                                                                \
    }
#define STAGE_2(host)                                                                                                  \
    {                                                                                                                  \
        host, 1, 304, 191                                                                                              \
    }

static const struct {
    const char *why;
    double draft, read;
    struct rank_bytes little, shards[4];
} prices[] = {
    {"one process", 258. / 980, 221. / 789, LITTLE("a"), {WHOLE("a")}},
    {"the drafter on a host of its own", 258. / 980, 221. / 789, LITTLE("b"), {WHOLE("a")}},
    {"two shards share a host", 258. / 980, 221. / 788, LITTLE("a"), {HALF("a"), HALF("a")}},
    {"a host for each of two shards", 258. / 490, 221. / 394, LITTLE("a"), {HALF("a"), HALF("b")}},
    {"two stages share a host", 258. / 979, 221. / 788, LITTLE("a"), {STAGE_1("a"), STAGE_2("a")}},
    {"a host for each of two stages", 258. / 979, 221. / 788, LITTLE("a"), {STAGE_1("a"), STAGE_2("b")}},
    {"two of three shards share a host",
     258. / (2 * 327),
     221. / (2 * 263),
     LITTLE("a"),
     {{"a", 0, 263, 64}, {"b", 0, 263, 64}, {"a", 0, 263, 64}}},
    {"two stages of two shards, a host a shard",
     258. / (242 + 248),
     221. / (242 + 152),
     LITTLE("a"),
     {{"a", 0, 242, 0}, {"b", 0, 242, 0}, {"a", 1, 152, 96}, {"b", 1, 152, 96}}},
    {"a little model larger than the big one", 980. / 258, 789. / 221, WHOLE("a"), {LITTLE("a")}},
    {"drafts for nothing", 0, 0, {"a", 0, 0, 0}, {WHOLE("a")}},
    {"a big model of which no bytes are known", 0, 0, LITTLE("a"), {{"a", 0, 0, 0}}},
};

static void a_drafted_token_s_price_is_known_from_bytes_in_every_layout(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof prices / sizeof *prices; i++) {
        int n = 0;
        while (n < 4 && prices[i].shards[n].host) n++;
        struct cost_prior p = draft_policy_prior(&prices[i].little, prices[i].shards, n);
        if (fabs(p.draft - prices[i].draft) > 1e-9 || fabs(p.read - prices[i].read) > 1e-9)
            fail_msg("%s: %.3f, %.3f to read", prices[i].why, p.draft, p.read);
    }
}

/* Moments as they were measured on two cores, idle and shared with other work: what big took for an id of the prompt
 * and for the first plain token. The first text, of which two tokens are there; big was not sure of the second. */
static const struct {
    const char *why;
    double draft, read, prompt_ms, plain_ms;
    int n_ids, n_left;
} moments[] = {
    {"one process", .26, .28, 5.9, 31, 39, 46},
    {"one process, loaded", .26, .28, 10.5, 54.9, 39, 62},
    {"one process, loaded, a short text", .26, .28, 10.5, 54.9, 39, 30},
    {"three ranks", .26, .28, 6.1, 36, 39, 46},
    {"two stages", .26, .28, 5.7, 44.3, 39, 46},
    {"two shards", .26, .28, 6.7, 35.1, 39, 46},
    {"two shards, loaded", .26, .28, 12, 52.6, 39, 62},
    {"two shards, loaded as the prompt was read", .26, .28, 29.7, 40, 39, 94},
    {"two shards, loaded as the prompt was read, all that is ever read", .26, .28, 29.7, 40, 64, 94},
    {"two shards, loaded as the plain token was timed", .26, .28, 6.7, 120, 39, 46},
    {"a host for each of two shards", .53, .56, 6.7, 35.1, 39, 94},
};

static void where_drafts_pay_a_first_text_tries_them_from_its_third_token_on(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof moments / sizeof *moments; i++) {
        struct draft_policy g;
        draft_policy_init(&g, true, false, (struct cost_prior){moments[i].draft, moments[i].read}, &nothing);
        g.prompt_ns = moments[i].prompt_ms * 1e6;
        draft_policy_note(&g, &(struct draft_policy_round){.n_tokens = 1, .ns = 500 * 1e6, .p_target = .9});
        draft_policy_note(&g, &(struct draft_policy_round){
                                  .n_tokens = 1, .ns = moments[i].plain_ms * 1e6, .p_target = .3, .measured = true});
        int window = draft_policy_window(&g, 8);
        if (window == 0) fail_msg("%s: no window", moments[i].why);
        if (!draft_policy_reads(&g, window, moments[i].n_ids, 2, moments[i].n_left))
            fail_msg("%s: it does not read", moments[i].why);
    }
}

/* A token of big's takes 1000 ns; big is sure of what it has said. */
static void a_drafter_reads_the_text_once_what_it_saves_pays_for_it(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        double cost;
        int n_ids;
        double read_ns;
        int n_so_far, n_left;
        bool reads;
    } rows[] = {
        {"a suffix reads for nothing", 0, 100000, 900, 0, 1, true},
        {"a short prompt, a long answer", .1, 60, 100, 200, 1000, true},
        {"a long prompt, a short answer so far", .3, 8000, 300, 5, 1000, false},
        {"the same, when it has gone on for long", .1, 8000, 100, 1000, 1000, true},
        {"but it is near its end", .1, 8000, 100, 1000, 5, false},
        {"nothing said yet, but a few tokens are expected", .1, 60, 100, 0, 1000, true},
        {"a row of a check is expected to take half as long as one of a prompt", .26, 100, 250, 2, 30, true},
        {"nothing said yet, and more to read than these pay for", .3, 400, 300, 0, 1000, false},
        {"nothing left to say", .1, 60, 100, 1000, 0, false},
        {"a drafter as dear as big", 1, 60, 1, 1000, 1000, false},
        {"a prompt that big read in a slow moment: no id takes longer than a drafted one", .1, 60, 1e12, 1000, 1000,
         true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct draft_policy g;
        const struct cost_prior prior = {rows[i].cost, .9 * rows[i].cost}; /* reading skips the head */
        draft_policy_init(&g, true, false, prior, &nothing);
        g.prompt_ns = rows[i].read_ns;
        for (int n = 0; n < 20; n++)
            draft_policy_note(
                &g, &(struct draft_policy_round){.n_tokens = 1, .ns = plain_ns, .p_target = 1, .measured = true});
        if (draft_policy_reads(&g, 4, rows[i].n_ids, rows[i].n_so_far, rows[i].n_left) != rows[i].reads)
            fail_msg("%s: it should %s", rows[i].why, rows[i].reads ? "read" : "not read");
    }
}

/* The drafter writes a token in .3 of big's time, and of ten nine are right: some 1.6 tokens in a token's time. */
static void a_run_of_copies_is_preferred_where_it_is_likely_to_give_more(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        bool enabled, timed, paused;
        double row_ns;
        int n;
        double n_right;
        bool prefers;
    } rows[] = {
        {"seven, nearly sure", true, true, false, 50, 7, 6, true},
        {"one, as likely as not", true, true, false, 50, 1, .5, false},
        {"seven of which hardly any is right", true, true, false, 50, 7, .5, false},
        {"one is better than none of a drafter that pauses", true, true, true, 50, 1, .5, true},
        {"if it costs less than it gives", true, true, true, 600, 1, .5, false},
        {"seven that are dear to check", true, true, false, 1000, 7, 6, false},
        {"nothing to compare with yet", true, false, false, 50, 7, 6, false},
        {"it has no say", false, true, false, 50, 7, 6, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct draft_policy g = {.enabled = rows[i].enabled,
                                       .timed = rows[i].timed,
                                       .paused = rows[i].paused,
                                       .prior = {.3, .3},
                                       .measured = {.plain_ns = 1000, .draft_ns = 300, .row_ns = rows[i].row_ns},
                                       .p_target = .9,
                                       .accept_ratio = 1};
        if (draft_policy_prefers(&g, 8, rows[i].n, rows[i].n_right) != rows[i].prefers) fail_msg("%s", rows[i].why);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_drafted_token_s_price_is_known_from_bytes_in_every_layout),
        cmocka_unit_test(where_drafts_pay_a_first_text_tries_them_from_its_third_token_on),
        cmocka_unit_test(a_drafter_reads_the_text_once_what_it_saves_pays_for_it),
        cmocka_unit_test(a_run_of_copies_is_preferred_where_it_is_likely_to_give_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
