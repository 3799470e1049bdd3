/* Several requests that draft beside one another, in virtual time: what their passes are filled with. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "proto/prefix_hash.h"
#include "proto/synthetic.h"
#include "simulator.h"

enum {
    DRAFTER = PEER_COORDINATOR + 1,
    LEADER,
    REQUESTS_MOST = 512,
    N_CURVES = 3,
    PROMPT = 8,
    LONG_PROMPT = 45,
    WINDOW_MOST = 16,
    COPIED_MOST = 8
};
enum { PERIOD = 24, MS_NS = 1000000, FROM_MS = 1000, APART = 160 }; /* of texts' places */

enum way { PLAIN, AHEAD, DEFAULT }; /* AHEAD: as many drafts as the window has are out, whatever they cost */

struct crowd_plan {
    int n, max_rows, to_ms; /* n: at once; to: the end */
    int text; /* tokens of each, behind a long prompt; where one ends the next begins, and all count from the beginning.
               * 0: they have no end */
    int n_texts;               /* no more than these, and time ends with the last one; 0: to_ms counts */
    int from_ms;               /* tokens are counted from then on; 0: FROM_MS */
    int fixed;                 /* tokens of the first one, which always drafts a whole window; 0: it is as the others */
    double read_ms, jitter_ms; /* of an id that the drafter reads; of the link */
    double sure;               /* what both models say of how likely little is right; 0: as it is */
    bool measured;             /* passes take what they took for the 1.5B on two cores; slope: not used */
    int n_stages;              /* 0: one */
    double slope_percent, draft_ms, rtt_ms;
    double right[N_CURVES]; /* of every third request */
    enum way way;
    int window, ahead; /* ahead: a number that is given for it, 0: none */
    bool rounds;       /* the drafter waits for verdicts */
    bool shares_cores; /* big and little take turns */
    bool copies;       /* texts repeat themselves, and the leader drafts: without a little model, if `little` is 0 */
    double little;     /* how often it is right in such texts */
};

struct crowd {
    struct crowd_plan plan;
    struct synthetic pair;
    struct simulator *simulator;
    struct draft_profile profile;
    struct seq seqs[REQUESTS_MOST];
    int32_t prompts[REQUESTS_MOST][LONG_PROMPT];
    int n_tokens[REQUESTS_MOST];
    uint64_t last_ns[REQUESTS_MOST], gap_ns;
};

/* A text that repeats itself, but for places where something else stands. */
static int32_t copied(const struct crowd *c, int i, int position)
{
    uint64_t h = prefix_hash_next(prefix_hash_next(1, i), position);
    bool is_right = (double)(h >> 11) * 0x1p-53 < c->plan.right[i % N_CURVES];
    return i * 2 * PERIOD + (is_right ? position % PERIOD : PERIOD + (int32_t)(h % PERIOD));
}

static int32_t big(void *arg, const int32_t *ids, int n)
{
    const struct crowd *c = arg;
    return c->plan.copies ? copied(c, ids[0] / (2 * PERIOD), n) : synthetic_big(ids[n - 1]);
}

static int32_t little(void *arg, const int32_t *ids, int n, float *p)
{
    const struct crowd *c = arg;
    int i = ids[0] / (2 * PERIOD);
    bool is_right = (double)(prefix_hash_next(prefix_hash_next(2, i), n) >> 11) * 0x1p-53 < c->plan.little;
    *p = (float)c->plan.little;
    int32_t id = c->plan.copies ? copied(c, is_right ? i : i + 1, n) : synthetic_little(&c->pair, ids[n - 1], p);
    if (c->plan.sure > 0) *p = (float)c->plan.sure;
    return id;
}

static float lp(void *arg, const int32_t *ids, int n, int32_t id)
{
    const struct crowd *c = arg;
    if (c->plan.sure > 0) return (float)log(id == synthetic_big(ids[n - 1]) ? c->plan.sure : 1 - c->plan.sure);
    return c->plan.copies ? -.1f : synthetic_lp(&c->pair, ids[n - 1], id);
}

static uint64_t pass_ns(void *arg, int n_rows)
{
    return synthetic_pass_ns(&((struct crowd *)arg)->pair, n_rows);
}

static uint64_t draft_ns(void *arg, int n_texts, int n_read, int n_drafted)
{
    const struct crowd *c = arg;
    (void)n_texts;
    double read_ns = n_read > 1 ? (n_read - 1) * c->plan.read_ms * MS_NS : 0;
    return synthetic_draft_ns(&c->pair, n_drafted) + (uint64_t)read_ns;
}

static int from_ms(const struct crowd_plan *p)
{
    return p->from_ms ? p->from_ms : FROM_MS;
}

static void on_action(void *arg, const struct action *a)
{
    struct crowd *c = arg;
    uint64_t now = simulator_now_ns(c->simulator);
    if (a->kind != ACTION_TOKENS) return;
    int i = a->seq->request.index, n = seq_n_generated(a->seq);
    if (c->plan.text || now >= (uint64_t)from_ms(&c->plan) * MS_NS) {
        if (now - c->last_ns[i] > c->gap_ns) c->gap_ns = now - c->last_ns[i];
    } else {
        c->n_tokens[i] = -n;
    }
    c->last_ns[i] = now;
}

static int on_event(void *arg, int what, int i, struct err *err)
{
    struct crowd *c = arg;
    (void)what, (void)i;
    return simulator_step(c->simulator, &(struct event){.kind = EVENT_CANCEL}, err);
}

static struct settings settings(const struct crowd_plan *p)
{
    return (struct settings){.fresh = true,
                             .drafting = p->way != PLAIN,
                             .adaptive = p->way == DEFAULT,
                             .n_predict = p->text,
                             .draft_max = p->window ? p->window : 8,
                             .draft_ahead = p->rounds         ? 0
                                            : p->way == AHEAD ? p->window
                                            : p->ahead        ? p->ahead
                                                              : -1,
                             .draft_block = 0,
                             .draft_ctx = SYNTHETIC_CONTEXT};
}

static void set_pair(struct crowd *c, const struct crowd_plan *plan)
{
    static const double measured_ms[] = {30, 30, 30, 30, 36, 40, 43, 46}; /* bench step, Zen 4; then 5.7 a row */
    c->pair = (struct synthetic){.draft_ms = plan->draft_ms,
                                 .pass_ms = {30},
                                 .n_pass_ms = 1,
                                 .slope_percent = plan->slope_percent,
                                 .seed = 1,
                                 .n_curves = N_CURVES};
    for (int i = 0; i < N_CURVES; i++) c->pair.curves[i] = (struct acceptance){.n = 1, .s = {plan->right[i]}};
    if (!plan->measured) return;
    c->pair.slope_percent = 19;
    c->pair.n_pass_ms = sizeof measured_ms / sizeof *measured_ms;
    memcpy(c->pair.pass_ms, measured_ms, sizeof measured_ms);
}

static void submit(struct crowd *c, int i)
{
    struct err err;
    const struct crowd_plan *p = &c->plan;
    int n_prompt = p->text ? LONG_PROMPT : PROMPT;
    for (int k = 0; k < n_prompt; k++)
        c->prompts[i][k] = p->copies
                               ? copied(c, i, k)
                               : synthetic_id(i % N_CURVES, i % SYNTHETIC_PROMPTS, i / SYNTHETIC_PROMPTS * APART + k);
    struct request request = {.index = i, .prompt = c->prompts[i], .n_prompt = n_prompt, .settings = settings(p)};
    if (p->fixed && i == 0) {
        request.settings.adaptive = false;
        request.settings.n_predict = p->fixed;
    }
    assert_int_equal(seq_init(&c->seqs[i], &request, SYNTHETIC_CONTEXT, &err), OK);
    assert_int_equal(simulator_step(c->simulator, &(struct event){.kind = EVENT_SUBMIT, .seq = &c->seqs[i]}, &err), OK);
}

/* Tokens a second, of all together. */
static double crowd_run(struct crowd *c, const struct crowd_plan *plan)
{
    struct err err;
    bool suffix = plan->copies && !plan->little;
    enum drafter kind = plan->way == PLAIN ? DRAFTER_NONE : suffix ? DRAFTER_SUFFIX : DRAFTER_LITTLE;
    *c = (struct crowd){.plan = *plan};
    set_pair(c, plan);
    struct simulator_config config = {.spec = {.n_ctx = SYNTHETIC_CONTEXT,
                                               .drafter = {.kind = kind,
                                                           .peer = DRAFTER,
                                                           .prior = synthetic_prior(&c->pair),
                                                           .shares_cores = plan->shares_cores,
                                                           .n_ids = SYNTHETIC_VOCAB,
                                                           .n_proposed = SYNTHETIC_VOCAB},
                                               .n_groups = 1,
                                               .prompt_rows = plan->text ? 16 : 0,
                                               .self_max = SELF_MEASURED},
                                      .to = {[ROLE_VERIFIER] = {.delay_ns = (uint64_t)(plan->rtt_ms / 2 * MS_NS),
                                                                .jitter_ns = (uint64_t)(plan->jitter_ms * MS_NS)}},
                                      .n_stages = plan->n_stages,
                                      .link = {.rtt_ns = (uint64_t)(plan->rtt_ms * MS_NS)},
                                      .models = {big, little, lp, c},
                                      .costs = {pass_ns, draft_ns, c, NULL},
                                      .watch = {.action = on_action, .event = on_event, .arg = c}};
    config.spec.groups[0] = (struct spec_group){.peer = LEADER,
                                                .n_slots = plan->n,
                                                .max_rows = plan->max_rows,
                                                .max_jobs = 256,
                                                .n_vocab = SYNTHETIC_VOCAB,
                                                .profile = &c->profile};
    assert_int_equal(simulator_open(&c->simulator, &config, &err), OK);
    int n_texts = plan->n_texts ? plan->n_texts : plan->text ? REQUESTS_MOST : plan->n;
    for (int i = 0; i < n_texts; i++) submit(c, i);
    if (!plan->n_texts) assert_int_equal(simulator_at(c->simulator, (uint64_t)plan->to_ms * MS_NS, 0, 0, &err), OK);
    if (simulator_run(c->simulator, &err) != OK) fail_msg("%s", err.text);
    double end_ms = plan->n_texts ? (double)simulator_now_ns(c->simulator) / MS_NS : plan->to_ms;
    int n_tokens = 0;
    for (int i = 0; i < n_texts; i++) {
        n_tokens += seq_n_generated(&c->seqs[i]) + c->n_tokens[i];
        seq_free(&c->seqs[i]);
    }
    simulator_close(c->simulator);
    return n_tokens * 1e3 / (end_ms - (plan->text ? 0 : from_ms(plan)));
}

/* The best of the windows that every request could have for its own, known in hindsight. */
static double best_window(struct crowd *c, struct crowd_plan plan, int most, double *widest)
{
    double best = 0;
    plan.way = AHEAD;
    for (plan.window = 2; plan.window <= most; plan.window *= 2) {
        *widest = crowd_run(c, &plan);
        if (*widest > best) best = *widest;
    }
    return best;
}

/* All together write at least as fast as big alone and as with any window that all have, and nobody waits for more than
 * a few passes. */
static void drafts_of_many_pay_together(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        int max_rows;
        double slope_percent;
        double over_widest; /* at least, for 8 and more requests */
    } machines[] = {
        {"rows cost nothing", 128, 0, .98},
        {"a row costs 8 %", 128, 8, 1.2},
        {"a pass has 16 rows", 16, 0, 1},
    };
    static const double rights[][N_CURVES] = {{.3, .3, .3}, {.6, .6, .6}, {.9, .9, .9}, {.3, .6, .9}};
    static const int numbers[] = {4, 8, 16, 32}; /* 32: where they do not fit into a pass */
    struct crowd *c = malloc(sizeof *c);
    for (size_t m = 0; m < sizeof machines / sizeof *machines; m++)
        for (size_t r = 0; r < sizeof rights / sizeof *rights; r++)
            for (size_t k = 0; k < sizeof numbers / sizeof *numbers; k++) {
                if (numbers[k] > 16 && machines[m].max_rows > 16) continue;
                struct crowd_plan plan = {.n = numbers[k],
                                          .max_rows = machines[m].max_rows,
                                          .to_ms = 5000,
                                          .slope_percent = machines[m].slope_percent,
                                          .draft_ms = 3,
                                          .rtt_ms = 1};
                memcpy(plan.right, rights[r], sizeof plan.right);
                double widest, plain = crowd_run(c, &plan), window = best_window(c, plan, WINDOW_MOST, &widest);
                plan.way = DEFAULT;
                double own = crowd_run(c, &plan), n_passes = ceil((double)plan.n / plan.max_rows);
                double usual_ms = (double)pass_ns(c, plan.n < plan.max_rows ? plan.n : plan.max_rows) / MS_NS;
                print_message("%s, right %.1f %.1f %.1f, %2d requests: %6.1f tokens/s; plain %6.1f, best window %6.1f, "
                              "widest %6.1f; longest gap %3.0f ms\n",
                              machines[m].why, plan.right[0], plan.right[1], plan.right[2], plan.n, own, plain, window,
                              widest, (double)c->gap_ns / MS_NS);
                assert_true(own >= .98 * plain);
                assert_true(own >= .98 * window);
                if (plan.n >= 8) assert_true(own >= machines[m].over_widest * widest);
                assert_true((double)c->gap_ns / MS_NS <= 4 * usual_ms * n_passes);
            }
    free(c);
}

/* Big and little take turns on the same cores: drafts are written where that gives more tokens of all together, which a
 * trial shows; trials cost little. */
static void on_shared_cores_many_draft_only_where_it_pays(void **state)
{
    (void)state;
    static const struct {
        int n;
        double draft_ms, right[N_CURVES], over_plain; /* at least */
    } rows[] = {
        {2, 1, {.9, .9, .9}, 1.3},    {2, 1, {.98, .98, .98}, 2}, {2, 3, {.98, .98, .98}, 1.7},
        {4, 1, {.98, .98, .98}, 1.5}, {4, 1, {.9, .9, .9}, 1.2},  {8, 1, {.98, .98, .98}, 1.2},
        {2, 6, {.9, .9, .9}, .95},    {2, 1, {.3, .3, .3}, .95},  {2, 1, {.3, .6, .9}, .95},
        {4, 2, {.8, .8, .8}, .95},    {4, 1, {.3, .6, .9}, .95},  {4, 9, {.9, .9, .9}, .99},
        {8, 1, {.6, .6, .6}, .95},    {8, 3, {.9, .9, .9}, .99},  {8, 9, {.98, .98, .98}, .99},
    };
    struct crowd *c = malloc(sizeof *c);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct crowd_plan plan = {.n = rows[i].n,
                                  .max_rows = 128,
                                  .to_ms = 13000,
                                  .slope_percent = 5,
                                  .draft_ms = rows[i].draft_ms,
                                  .rtt_ms = .1,
                                  .shares_cores = true};
        memcpy(plan.right, rows[i].right, sizeof plan.right);
        double plain = crowd_run(c, &plan);
        plan.way = DEFAULT;
        double over = crowd_run(c, &plan) / plain;
        print_message("%d requests, %.0f ms a draft, right %.2f %.2f: %.2f times plain, longest gap %.0f ms\n", plan.n,
                      plan.draft_ms, plan.right[0], plan.right[1], over, (double)c->gap_ns / MS_NS);
        assert_true(over >= rows[i].over_plain);
    }
    free(c);
}

/* --draft-ahead N, which is for a text that has these cores for itself: beside others it would take what it may not. */
static void on_shared_cores_a_crowd_does_not_run_ahead_though_told_to(void **state)
{
    (void)state;
    static const struct {
        int n;
        double draft_ms, over_plain; /* at least */
    } rows[] = {{2, 1, 1.3}, {4, 9, .99}, {8, 9, .99}};
    struct crowd *c = malloc(sizeof *c);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct crowd_plan plan = {.n = rows[i].n,
                                  .max_rows = 128,
                                  .to_ms = 8000,
                                  .ahead = 8,
                                  .slope_percent = 5,
                                  .draft_ms = rows[i].draft_ms,
                                  .rtt_ms = .1,
                                  .right = {.9, .9, .9},
                                  .shares_cores = true};
        double plain = crowd_run(c, &plan);
        plan.way = DEFAULT;
        double over = crowd_run(c, &plan) / plain;
        print_message("%d requests told to run ahead, %.0f ms a draft: %.2f times plain\n", plan.n, plan.draft_ms,
                      over);
        assert_true(over >= rows[i].over_plain);
    }
    free(c);
}

/* As that of a lossy text is: what its drafts take the others cannot help. Once it is done they draft as ever. */
static void a_window_that_is_fixed_is_not_paid_by_those_beside_it(void **state)
{
    (void)state;
    struct crowd *c = malloc(sizeof *c);
    struct crowd_plan plan = {.n = 3,
                              .max_rows = 128,
                              .from_ms = 4000,
                              .to_ms = 10000,
                              .fixed = 20,
                              .slope_percent = 5,
                              .draft_ms = 3,
                              .rtt_ms = .1,
                              .right = {.1, .98, .98},
                              .shares_cores = true};
    double plain = crowd_run(c, &plan);
    plan.way = DEFAULT;
    double over = crowd_run(c, &plan) / plain;
    print_message("two behind one of a fixed window: %.2f times plain\n", over);
    assert_true(over >= 1.5);
    free(c);
}

/* As clients see it, from a server's first second on: texts of 96 tokens, each behind a prompt that the drafter would
 * have to read. `sure`: the models say that drafts are right where they are not. */
static void on_shared_cores_a_crowd_is_never_slower_than_big_alone(void **state)
{
    (void)state;
    static const struct {
        int n;
        double draft_ms, right[N_CURVES], sure, over_plain; /* at least; 0: by 1.03 less */
    } rows[] = {
        {8, 8, {.9, .9, .9}, 0, 0},   {8, 8, {.9, .9, .9}, .98, 0},  {8, 3, {.9, .9, .9}, 0, 0},
        {8, 1, {.3, .3, .3}, .98, 0}, {8, 1, {.3, .6, .9}, 0, 0},    {8, 1, {.6, .6, .6}, .98, 0},
        {8, 1, {.3, .3, .9}, .98, 0}, {4, 8, {.9, .9, .9}, 0, 0},    {4, 3, {.3, .3, .3}, .98, 0},
        {4, 1, {.6, .6, .6}, .98, 0}, {4, 1, {.95, .95, .95}, 0, 0}, {2, 8, {.3, .6, .9}, .98, 0},
        {2, 8, {.3, .3, .3}, .98, 0}, {2, 1, {.3, .3, .3}, .98, 0},  {2, 8, {.9, .9, .9}, 0, 0},
        {2, 4, {.9, .9, .9}, 0, 1.2}, {2, 1, {.9, .9, .9}, 0, 1.3},  {1, 8, {.9, .9, .9}, 0, 1.4},
    };
    static const int runs_ms[] = {8000, 40000};
    static const double jitters_ms[] = {0, .02}; /* so much splits rounds: little is to be gained then */
    struct crowd *c = malloc(sizeof *c);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (int k = 0; k < 4; k++) {
            struct crowd_plan plan = {.n = rows[i].n,
                                      .max_rows = 128,
                                      .to_ms = runs_ms[k % 2],
                                      .text = 96,
                                      .measured = true,
                                      .draft_ms = rows[i].draft_ms,
                                      .read_ms = rows[i].draft_ms / 4,
                                      .sure = rows[i].sure,
                                      .rtt_ms = .1,
                                      .jitter_ms = jitters_ms[k / 2],
                                      .shares_cores = true};
            memcpy(plan.right, rows[i].right, sizeof plan.right);
            double plain = crowd_run(c, &plan);
            plan.way = DEFAULT;
            double over = crowd_run(c, &plan) / plain;
            print_message("%d clients, %.0f ms a draft, right %.2f %.2f %.2f, sure %.2f, %2d s, jitter %.1f ms: plain "
                          "%.1f token/s, %.3f times\n",
                          plan.n, plan.draft_ms, plan.right[0], plan.right[1], plan.right[2], plan.sure,
                          plan.to_ms / 1000, plan.jitter_ms, plain, over);
            assert_true(over >= 1 / (plan.jitter_ms > 0 ? 1.04 : 1.03));
            assert_true(over >= rows[i].over_plain || plan.jitter_ms > 0);
            /* What big takes alone is learned of tokens that waited for no drafts of others, nor shared their pass. */
            if (plan.n == 2) assert_true(c->profile.measured.plain_ns < 1.9 * synthetic_pass_ns(&c->pair, plan.n));
        }
    free(c);
}

/* As benchmarks see it: short texts, some words of which stood earlier, so that the leader drafts too. Rows of drafts
 * there take time from all; the little model, of which nothing is known yet, is asked for none. */
static void on_shared_cores_short_texts_are_never_slower_than_by_big_alone(void **state)
{
    (void)state;
    static const struct {
        int n, n_texts;
        double copied, draft_ms;
    } rows[] = {{8, 8, .5, 8}, {8, 8, .7, 8}, {8, 8, .9, 8}, {8, 8, .7, 1}, {8, 0, .5, 8},
                {8, 0, .6, 8}, {8, 0, .7, 8}, {8, 0, .7, 1}, {6, 0, .5, 8}, {6, 0, .6, 8},
                {6, 0, .7, 8}, {4, 0, .5, 8}, {4, 0, .6, 8}, {4, 0, .7, 8}};
    struct crowd *c = malloc(sizeof *c);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct crowd_plan plan = {.n = rows[i].n,
                                  .max_rows = 128,
                                  .to_ms = 20000,
                                  .text = 48,
                                  .n_texts = rows[i].n_texts,
                                  .measured = true,
                                  .draft_ms = rows[i].draft_ms,
                                  .read_ms = rows[i].draft_ms / 4,
                                  .rtt_ms = .1,
                                  .right = {rows[i].copied, rows[i].copied, rows[i].copied},
                                  .shares_cores = true,
                                  .copies = true,
                                  .little = .9};
        double plain = crowd_run(c, &plan);
        plan.way = DEFAULT;
        double over = crowd_run(c, &plan) / plain;
        print_message("%d clients, %s, %.0f ms a draft, copies right %.2f: plain %.1f token/s, %.3f times\n", plan.n,
                      plan.n_texts ? "a text each" : "20 s", plan.draft_ms, rows[i].copied, plain, over);
        assert_true(over >= 1 / 1.02);
    }
    free(c);
}

/* Between the passes of all there are passes of drafts alone, if these are likely enough. */
static void two_stages_are_filled_with_drafts_that_are_likely(void **state)
{
    (void)state;
    static const struct {
        int n, max_rows;
        double slope_percent, right[N_CURVES], over_plain; /* at least */
    } rows[] = {
        {4, 128, 8, {.3, .3, .3}, .95},  {16, 128, 8, {.3, .3, .3}, .98}, {8, 128, 8, {.9, .9, .9}, 1.8},
        {8, 128, 8, {.3, .6, .9}, 1.4},  {8, 128, 0, {.6, .6, .6}, 1.5},  {16, 16, 0, {.3, .6, .9}, 1.5},
        {16, 128, 0, {.3, .3, .3}, .94}, {16, 16, 0, {.9, .9, .9}, 1.6},
    };
    struct crowd *c = malloc(sizeof *c);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct crowd_plan plan = {.n = rows[i].n,
                                  .max_rows = rows[i].max_rows,
                                  .to_ms = 5000,
                                  .n_stages = 2,
                                  .slope_percent = rows[i].slope_percent,
                                  .draft_ms = 3,
                                  .rtt_ms = 1};
        memcpy(plan.right, rows[i].right, sizeof plan.right);
        double plain = crowd_run(c, &plan);
        plan.way = DEFAULT;
        double over = crowd_run(c, &plan) / plain;
        print_message("two stages: %d requests, passes of %d, a row costs %.0f %%, right %.1f %.1f: %.2f times plain, "
                      "longest gap %.0f ms\n",
                      plan.n, plan.max_rows, plan.slope_percent, plan.right[0], plan.right[1], over,
                      (double)c->gap_ns / MS_NS);
        assert_true(over >= rows[i].over_plain);
    }
    free(c);
}

/* Without a little model: what repeats in many texts, too, competes for the rows of a pass. */
static void copies_of_many_pay_together(void **state)
{
    (void)state;
    static const struct {
        int n, max_rows;
        double slope_percent, right[N_CURVES], over_plain; /* at least */
    } rows[] = {
        {4, 128, 8, {.5, .5, .5}, .98},      {16, 128, 8, {.5, .5, .5}, .96},  {4, 128, 8, {.95, .95, .95}, 1.7},
        {16, 128, 8, {.95, .95, .95}, 1.15}, {16, 128, 8, {.5, .8, .98}, 1.1}, {16, 128, 0, {.5, .8, .98}, 2},
        {8, 16, 0, {.5, .8, .98}, 1.7},      {16, 16, 0, {.95, .95, .95}, 1},
    };
    struct crowd *c = malloc(sizeof *c);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct crowd_plan plan = {.n = rows[i].n,
                                  .max_rows = rows[i].max_rows,
                                  .to_ms = 5000,
                                  .slope_percent = rows[i].slope_percent,
                                  .rtt_ms = 1,
                                  .copies = true};
        memcpy(plan.right, rows[i].right, sizeof plan.right);
        double widest, plain = crowd_run(c, &plan), window = best_window(c, plan, COPIED_MOST, &widest);
        plan.way = DEFAULT;
        plan.window = COPIED_MOST;
        double own = crowd_run(c, &plan);
        print_message(
            "%d requests, passes of %d, a row costs %.0f %%, right %.2f %.2f %.2f: %.1f tokens/s; plain %.1f, "
            "best window %.1f\n",
            plan.n, plan.max_rows, plan.slope_percent, plan.right[0], plan.right[1], plan.right[2], own, plain, window);
        assert_true(own >= rows[i].over_plain * plain && own >= .97 * window);
    }
    free(c);
}

/* Where the drafter waits for verdicts, windows leave room for the others. */
static void rounds_of_many_are_hardly_slower_than_big_alone(void **state)
{
    (void)state;
    static const struct {
        int n, max_rows;
        double slope_percent, right[N_CURVES], over_plain; /* at least */
    } rows[] = {
        {16, 128, 8, {.5, .5, .5}, .97}, {16, 128, 8, {.8, .8, .8}, .97},   {16, 16, 0, {.8, .8, .8}, .97},
        {16, 16, 0, {.5, .8, .98}, .97}, {8, 128, 8, {.95, .95, .95}, 1.3}, {4, 128, 0, {.95, .95, .95}, 2},
    };
    struct crowd *c = malloc(sizeof *c);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct crowd_plan plan = {.n = rows[i].n,
                                  .max_rows = rows[i].max_rows,
                                  .to_ms = 9000,
                                  .slope_percent = rows[i].slope_percent,
                                  .draft_ms = .3,
                                  .rtt_ms = 1,
                                  .rounds = true};
        memcpy(plan.right, rows[i].right, sizeof plan.right);
        double plain = crowd_run(c, &plan);
        plan.way = DEFAULT;
        double over = crowd_run(c, &plan) / plain;
        print_message("rounds: %d requests, passes of %d, a row costs %.0f %%, right %.2f: %.2f times plain\n", plan.n,
                      plan.max_rows, plan.slope_percent, plan.right[0], over);
        assert_true(over >= rows[i].over_plain);
    }
    free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(drafts_of_many_pay_together),
        cmocka_unit_test(two_stages_are_filled_with_drafts_that_are_likely),
        cmocka_unit_test(copies_of_many_pay_together),
        cmocka_unit_test(rounds_of_many_are_hardly_slower_than_big_alone),
        cmocka_unit_test(on_shared_cores_many_draft_only_where_it_pays),
        cmocka_unit_test(on_shared_cores_a_crowd_does_not_run_ahead_though_told_to),
        cmocka_unit_test(a_window_that_is_fixed_is_not_paid_by_those_beside_it),
        cmocka_unit_test(on_shared_cores_a_crowd_is_never_slower_than_big_alone),
        cmocka_unit_test(on_shared_cores_short_texts_are_never_slower_than_by_big_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
