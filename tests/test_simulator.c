/* The simulated cluster itself: how long what takes, to the nanosecond. Texts and transcripts of it are tested with
 * tests/lib/sim.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "simulator.h"

enum { DRAFTER = PEER_COORDINATOR + 1, DRAFTER_2, LEADER, REQUESTS_MOST = 32, PROMPT_MOST = 128, MS_NS = 1000000 };
enum { MARKS_MOST = 1 << 14 };

/* A layout, with what its parts take. */
struct plan {
    int n_groups, n_stages, n_slots, n_requests, n_drafters; /* 0: one */
    int max_rows, flat_ms;   /* 0: as many as a prompt has; flat_ms: a pass, and drafts cost nothing */
    int n_prompt, n_predict; /* 0: 8, 101 */
    int max_parts, self_max, draft_max, draft_ahead;
    bool drops_nothing;
    bool quick, told; /* 2 ms a pass; spec knows the links */
    double p_right;
    struct net_path path; /* to the verifiers; the drafter stands beside the coordinator */
    uint64_t seed;
};

struct run {
    struct plan plan;
    struct simulator *simulator;
    struct seq seqs[REQUESTS_MOST];
    struct draft_profile profile;
    struct simulator_counts counts;
    uint64_t bytes_ns; /* that the messages of all links take at the path's rate, one after the other */
    struct wire_arena arena;
    struct { /* of what is on its way, by link */
        uint32_t marks[MARKS_MOST];
        int n_sent, n_come;
    } links[2][LEADER + GROUPS_MOST];
};

/* 10 ms for one row and 1 ms for each more; 2 ms a drafted token, nothing for one that is read. */
static uint64_t pass_ns(void *arg, int n_rows)
{
    const struct plan *plan = &((const struct run *)arg)->plan;
    if (plan->quick) return 2 * MS_NS;
    return (uint64_t)(plan->flat_ms ? plan->flat_ms : 9 + n_rows) * MS_NS;
}

static uint64_t draft_ns(void *arg, int n_texts, int n_read, int n_drafted)
{
    (void)n_texts, (void)n_read;
    return ((const struct run *)arg)->plan.flat_ms ? 0 : (uint64_t)(2 * n_drafted) * MS_NS;
}

/* What tells a message from others of its link. */
static uint32_t mark(const struct message *m)
{
    uint32_t at = m->tag == TAG_VERIFY ? m->verify.at : m->tag == TAG_VERDICT ? m->verdict.at : 0;
    return at << 8 | (uint32_t)m->tag;
}

static void on_departure(void *arg, int from, int to, const struct message *m)
{
    struct run *r = arg;
    const uint8_t *data;
    size_t n_bytes;
    struct err err;
    bool back = to == PEER_COORDINATOR;
    assert_int_equal(wire_encode(&r->arena, m, &data, &n_bytes, &err), OK);
    if (r->plan.path.bits_per_s) r->bytes_ns += n_bytes * 8000000000 / r->plan.path.bits_per_s;
    int *n = &r->links[back][back ? from : to].n_sent;
    assert_true(*n < MARKS_MOST);
    r->links[back][back ? from : to].marks[(*n)++] = mark(m);
}

static void on_arrival(void *arg, int from, int to, const struct message *m)
{
    struct run *r = arg;
    bool back = to == PEER_COORDINATOR;
    int *n = &r->links[back][back ? from : to].n_come;
    assert_int_equal(r->links[back][back ? from : to].marks[(*n)++], mark(m));
}

static struct spec_config spec_config(struct run *r, int n_vocab)
{
    const struct plan *p = &r->plan;
    struct spec_config c = {.n_ctx = 4096,
                            .drafter = {.kind = p->draft_max ? DRAFTER_LITTLE : DRAFTER_NONE,
                                        .peer = DRAFTER,
                                        .n = p->n_drafters,
                                        .n_ids = n_vocab,
                                        .n_proposed = n_vocab},
                            .n_groups = p->n_groups,
                            .self_max = p->self_max};
    for (int i = 0; i < p->n_groups; i++)
        c.groups[i] = (struct spec_group){.peer = LEADER + i,
                                          .n_slots = p->n_slots,
                                          .max_rows = p->max_rows,
                                          .max_jobs = 64,
                                          .n_vocab = n_vocab,
                                          .profile = &r->profile};
    return c;
}

static void submit(struct run *r, int i, const int32_t *prompt)
{
    const struct plan *p = &r->plan;
    struct err err;
    const struct request request = {.index = i,
                                    .prompt = prompt,
                                    .n_prompt = p->n_prompt,
                                    .settings = {.n_predict = p->n_predict,
                                                 .drafting = p->draft_max > 0,
                                                 .draft_max = p->draft_max,
                                                 .draft_ahead = p->draft_ahead,
                                                 .draft_block = 1,
                                                 .draft_ctx = PROMPT_MOST}};
    assert_int_equal(seq_init(&r->seqs[i], &request, 4096, &err), OK);
    const struct event event = {.kind = EVENT_SUBMIT, .seq = &r->seqs[i]};
    assert_int_equal(simulator_step(r->simulator, &event, &err), OK);
}

static struct run *run(const struct plan *plan)
{
    struct run *r = calloc(1, sizeof *r);
    struct plan *p = &r->plan;
    struct err err;
    struct simulator_chance chance = {.p_right = plan->p_right, .n_vocab = 32000};
    int32_t prompts[REQUESTS_MOST][PROMPT_MOST];
    *p = *plan;
    p->n_groups += !p->n_groups;
    p->n_slots += !p->n_slots;
    p->n_requests += !p->n_requests;
    p->max_rows = p->max_rows ? p->max_rows : PROMPT_MOST;
    p->n_prompt = p->n_prompt ? p->n_prompt : 8;
    p->n_predict = p->n_predict ? p->n_predict : 101;
    assert_int_equal(wire_arena_init(&r->arena, 1 << 18, &err), OK);
    const struct simulator_config config = {.spec = spec_config(r, chance.n_vocab),
                                            .max_parts = p->max_parts,
                                            .n_stages = p->n_stages,
                                            .drops_nothing = p->drops_nothing,
                                            .to = {[ROLE_VERIFIER] = p->path},
                                            .seed = p->seed,
                                            .link = {.rtt_ns = p->told ? 2 * p->path.delay_ns : 0},
                                            .models = simulator_chance_models(&chance),
                                            .costs = {pass_ns, draft_ns, r, NULL},
                                            .watch = {.departure = on_departure, .arrival = on_arrival, .arg = r}};
    assert_int_equal(simulator_open(&r->simulator, &config, &err), OK);
    for (int i = 0; i < p->n_requests; i++) {
        for (int k = 0; k < p->n_prompt; k++) prompts[i][k] = 1000 * i + k;
        submit(r, i, prompts[i]);
    }
    if (simulator_run(r->simulator, &err) != OK) fail_msg("%s", err.text);
    r->counts = simulator_counts(r->simulator);
    return r;
}

static void run_free(struct run *r)
{
    simulator_close(r->simulator);
    for (int i = 0; i < r->plan.n_requests; i++) seq_free(&r->seqs[i]);
    wire_arena_free(&r->arena);
    free(r);
}

static double first_ms(const struct seq *q)
{
    return (double)(q->stats.first_ns - q->stats.start_ns) / MS_NS;
}

static double token_ms(const struct seq *q)
{
    return (double)(q->stats.last_ns - q->stats.first_ns) / MS_NS / (seq_n_generated(q) - 1);
}

#define DELAY(ms) .path = {.delay_ns = (uint64_t)(ms)*MS_NS}

/* A pass of one row takes 10 ms; a round trip twice the delay. */
static void a_token_takes_what_its_layout_says(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        struct plan plan;
        double token_ms, tolerance;
    } rows[] = {
        {"plain: a pass and a round trip", {DELAY(0)}, 10, 0},
        {"plain, near", {DELAY(5)}, 10 + 10, 0},
        {"plain, far", {DELAY(200)}, 10 + 400, 0},
        {"the leader goes on by itself: a pass", {.self_max = 64, DELAY(0)}, 10, 0},
        {"the same, near", {.self_max = 64, DELAY(5)}, 10, 0},
        {"the same, far", {.self_max = 64, DELAY(200)}, 10, 0},
        {"farther than it may write ahead: it stops",
         {.n_predict = 2001, .self_max = 64, DELAY(500)},
         1000 / (64 - 64 / 8.),
         .02},
        {"as many as the links ask for: it never does",
         {.n_predict = 2001, .self_max = SELF_MEASURED, DELAY(500)},
         10,
         0},
        {"a quick model", {.n_predict = 3001, .quick = true, .self_max = SELF_MEASURED, DELAY(500)}, 2, 0},
        {"four share a pass", {.n_slots = 4, .n_requests = 4, .self_max = 64, DELAY(20)}, 13, 0},
        {"four, each its own pass", {.n_slots = 4, .n_requests = 4, .n_prompt = 1, .max_parts = 1, DELAY(5)}, 40, 0},
        {"two groups work at the same time",
         {.n_groups = 2, .n_slots = 2, .n_requests = 4, .self_max = 64, DELAY(20)},
         11,
         0},
        {"four groups", {.n_groups = 4, .n_requests = 4, .self_max = 64, DELAY(20)}, 10, 0},
        {"4 drafts, always right: 5 tokens a round", {.draft_max = 4, .p_right = 1}, (4 * 2 + 14) / 5., 0},
        {"the same, far", {.draft_max = 4, .p_right = 1, DELAY(200)}, (4 * 2 + 14 + 400) / 5., 0},
        {"never right: a token a round", {.n_predict = 2000, .draft_max = 4}, 4 * 2 + 14, .01},
        {"right with 0.7: 2.77 a round",
         {.n_predict = 4000, .draft_max = 4, .p_right = .7, DELAY(20)},
         (4 * 2 + 14 + 40) / 2.7731,
         .03},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct run *r = run(&rows[i].plan);
        for (int k = 0; k < r->plan.n_requests; k++) {
            double off = token_ms(&r->seqs[k]) / rows[i].token_ms - 1;
            if (off * off > rows[i].tolerance * rows[i].tolerance + 1e-18)
                fail_msg("%s: %.4f ms a token, expected %.4f", rows[i].why, token_ms(&r->seqs[k]), rows[i].token_ms);
        }
        run_free(r);
    }
}

/* A Verify of 100 rows, and its Verdict: both ways at 1 Mbit/s. */
static void a_rate_delays_a_prompt_by_its_bytes(void **state)
{
    (void)state;
    struct plan plan = {.n_prompt = 100, .n_predict = 1, DELAY(20)};
    struct run *all_at_once = run(&plan);
    plan.path.bits_per_s = 1000000;
    struct run *limited = run(&plan);
    assert_float_equal(first_ms(&all_at_once->seqs[0]), 20 + (9 + 100) + 20, 1e-9);
    assert_true(limited->bytes_ns > 100 * 8000 * 2);
    assert_int_equal(limited->seqs[0].stats.first_ns, all_at_once->seqs[0].stats.first_ns + limited->bytes_ns);
    run_free(all_at_once);
    run_free(limited);
}

/* on_arrival checks the order. */
static void jitter_keeps_the_order_of_messages_and_changes_no_text(void **state)
{
    (void)state;
    struct plan plan = {.n_groups = 2, .n_slots = 2, .n_requests = 4, .draft_max = 4, .p_right = .7, DELAY(5)};
    struct run *still = run(&plan);
    uint64_t last_ns = still->seqs[0].stats.last_ns;
    int n_slower = 0;
    plan.path.jitter_ns = 20 * MS_NS;
    for (plan.seed = 0; plan.seed < 20; plan.seed++) {
        plan.self_max = plan.seed % 2 ? 64 : 0;
        plan.draft_max = plan.seed % 4 < 2 ? 4 : 0;
        struct run *r = run(&plan), *again = run(&plan);
        for (int i = 0; i < 4; i++) {
            const struct seq *a = &still->seqs[i], *b = &r->seqs[i];
            assert_int_equal(a->n_ids, b->n_ids);
            assert_memory_equal(a->ids, b->ids, (size_t)a->n_ids * sizeof *a->ids);
        }
        assert_int_equal(r->seqs[3].stats.last_ns, again->seqs[3].stats.last_ns);
        n_slower += plan.draft_max && r->seqs[0].stats.last_ns > last_ns;
        run_free(r);
        run_free(again);
    }
    assert_int_equal(n_slower, 10);
    run_free(still);
}

/* Eight ids of each prompt, then one row each a pass. */
static void passes_and_rows_are_counted(void **state)
{
    (void)state;
    struct run *r = run(&(struct plan){.n_slots = 3, .n_requests = 3, .n_predict = 11, .self_max = 64});
    assert_int_equal(r->counts.n_passes, 1 + 10);
    assert_int_equal(r->counts.n_rows, 3 * (8 + 10));
    assert_int_equal(r->counts.n_drafter_rows, 0);
    assert_float_equal(first_ms(&r->seqs[0]), 9 + 3 * 8, 1e-9);
    run_free(r);
}

/* Drafts of 8 ids take 16 ms, a pass of all texts 49: one drafter writes for them in turn, two at once. */
static void two_drafters_write_at_once(void **state)
{
    (void)state;
    struct plan plan = {.n_slots = 8, .n_requests = 8, .draft_max = 8, .p_right = 1};
    struct run *one = run(&plan);
    plan.n_drafters = 2;
    struct run *two = run(&plan);
    for (int i = 0; i < 8; i++) {
        const struct seq *a = &one->seqs[i], *b = &two->seqs[i];
        assert_int_equal(a->n_ids, b->n_ids);
        assert_memory_equal(a->ids, b->ids, (size_t)a->n_ids * sizeof *a->ids);
        assert_true(token_ms(b) < .85 * token_ms(a));
    }
    run_free(one);
    run_free(two);
}

/* Little runs ahead of stages, and is wrong now and then: what is behind is under way. */
static void later_stages_do_not_compute_what_follows_a_wrong_draft(void **state)
{
    (void)state;
    for (int n_stages = 1; n_stages <= 4; n_stages++) {
        struct plan plan = {.n_stages = n_stages, .self_max = 64, .draft_max = 8, .draft_ahead = 8, .p_right = .7};
        struct run *r = run(&plan);
        plan.drops_nothing = true;
        struct run *all = run(&plan);
        const struct seq *a = &r->seqs[0], *b = &all->seqs[0];
        print_message("%d stages: %.1f ms a token, %.1f where nothing is dropped; %d rows dropped\n", n_stages,
                      token_ms(a), token_ms(b), (int)r->counts.n_dropped);
        assert_true(n_stages == 1 ? r->counts.n_dropped == 0 : r->counts.n_dropped > 0);
        assert_int_equal(all->counts.n_dropped, 0);
        assert_int_equal(a->n_ids, b->n_ids);
        assert_memory_equal(a->ids, b->ids, (size_t)a->n_ids * sizeof *a->ids);
        assert_true(n_stages == 1 || token_ms(a) < token_ms(b));
        run_free(r);
        run_free(all);
    }
}

/* 32 requests, passes of at most 16 rows that take 20 ms each: whoever halves the queue doubles the tokens. A row of
 * each request fills the passes of two groups; with three drafts behind it, those of eight. */
static void groups_and_stages_give_more_tokens_where_passes_are_full(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        int n_groups, n_stages, draft_max;
        double least;
    } rows[] = {
        {"two groups", 2, 1, 0, 1.9},         {"two stages", 1, 2, 0, 1.8},
        {"two groups, drafts", 2, 1, 3, 1.9}, {"four groups, drafts", 4, 1, 3, 3.6},
        {"two stages, drafts", 1, 2, 3, 1.8}, {"two groups of two stages, drafts", 2, 2, 3, 3.6},
    };
    const struct plan one = {.n_slots = 32,
                             .n_requests = 32,
                             .max_rows = 16,
                             .flat_ms = 20,
                             .n_prompt = 8,
                             .n_predict = 400,
                             .self_max = 64,
                             .p_right = 1,
                             DELAY(1)};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct plan plan = one;
        int in_group[GROUPS_MOST] = {0};
        plan.draft_max = rows[i].draft_max;
        struct run *r = run(&plan);
        double one_ns = (double)simulator_now_ns(r->simulator);
        run_free(r);
        plan.n_groups = rows[i].n_groups;
        plan.n_stages = rows[i].n_stages;
        plan.n_slots = 32 / plan.n_groups;
        r = run(&plan);
        double gain = one_ns / (double)simulator_now_ns(r->simulator);
        print_message("%s: %.2f times the tokens a second\n", rows[i].why, gain);
        if (gain < rows[i].least) fail_msg("%s: %.2f times, at least %.2f", rows[i].why, gain, rows[i].least);
        for (int k = 0; k < 32; k++) in_group[r->seqs[k].group]++;
        for (int k = 0; k < plan.n_groups; k++) assert_int_equal(in_group[k], 32 / plan.n_groups);
        run_free(r);
    }
}

/* ---- a long prompt beside texts that are written ---- */

enum { N_BESIDE = 8, N_LONG = 2000, GAPS_MOST = 4096 };

static const struct run usual; /* whose passes take what pass_ns says first */

struct crowd {
    struct simulator *simulator;
    struct seq seqs[N_BESIDE + 1]; /* the last: of the long prompt */
    int32_t prompt[N_LONG];
    uint64_t last_ns[N_BESIDE], gaps[GAPS_MOST]; /* gaps: between tokens, while the long prompt is read */
    int n_gaps;
};

static void crowd_submit(struct crowd *c, int i, int n_prompt)
{
    struct err err;
    const struct request request = {
        .index = i, .prompt = c->prompt + i, .n_prompt = n_prompt, .settings = {.n_predict = i < N_BESIDE ? 400 : 4}};
    assert_int_equal(seq_init(&c->seqs[i], &request, 4096, &err), OK);
    const struct event event = {.kind = EVENT_SUBMIT, .seq = &c->seqs[i]};
    assert_int_equal(simulator_step(c->simulator, &event, &err), OK);
}

static int crowd_event(void *arg, int what, int i, struct err *err)
{
    (void)what, (void)err;
    crowd_submit(arg, i, N_LONG - N_BESIDE);
    return OK;
}

static void crowd_action(void *arg, const struct action *a)
{
    struct crowd *c = arg;
    const struct seq *late = &c->seqs[N_BESIDE];
    int i = a->seq ? a->seq->request.index : N_BESIDE;
    if (a->kind != ACTION_TOKENS || i == N_BESIDE) return;
    uint64_t now = simulator_now_ns(c->simulator);
    bool reads = late->stats.start_ns && (!late->stats.first_ns || c->last_ns[i] < late->stats.first_ns);
    if (reads && c->n_gaps < GAPS_MOST) c->gaps[c->n_gaps++] = now - c->last_ns[i];
    c->last_ns[i] = now;
}

static int by_length(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Its p99 between tokens, in ms. */
static double crowd_p99_ms(struct crowd *c, int prompt_rows, int self_max)
{
    struct err err;
    struct simulator_chance chance = {.n_vocab = 32000};
    struct draft_profile profile = {0};
    struct simulator_config config = {.spec = {.n_ctx = 4096, .n_groups = 1, .self_max = self_max},
                                      .to = {[ROLE_VERIFIER] = {.delay_ns = 2 * MS_NS}},
                                      .models = simulator_chance_models(&chance),
                                      .costs = {pass_ns, draft_ns, (void *)&usual, NULL},
                                      .watch = {.action = crowd_action, .event = crowd_event, .arg = c}};
    config.spec.prompt_rows = prompt_rows;
    config.spec.groups[0] = (struct spec_group){.peer = LEADER,
                                                .n_slots = N_BESIDE + 1,
                                                .max_rows = PROMPT_MOST,
                                                .max_jobs = 64,
                                                .n_vocab = chance.n_vocab,
                                                .profile = &profile};
    *c = (struct crowd){0};
    for (int k = 0; k < N_LONG; k++) c->prompt[k] = k % 1999;
    assert_int_equal(simulator_open(&c->simulator, &config, &err), OK);
    for (int i = 0; i < N_BESIDE; i++) crowd_submit(c, i, 8);
    assert_int_equal(simulator_at(c->simulator, 1000 * (uint64_t)MS_NS, 0, N_BESIDE, &err), OK);
    if (simulator_run(c->simulator, &err) != OK) fail_msg("%s", err.text);
    simulator_close(c->simulator);
    assert_in_range(c->n_gaps, N_BESIDE, GAPS_MOST - 1);
    qsort(c->gaps, (size_t)c->n_gaps, sizeof *c->gaps, by_length);
    return (double)c->gaps[(c->n_gaps - 1) * 99 / 100] / MS_NS;
}

static void nobody_waits_for_a_long_prompt(void **state)
{
    (void)state;
    struct crowd *small = malloc(sizeof *small), *whole = malloc(sizeof *whole);
    for (int self_max = 0; self_max <= 64; self_max += 64) {
        double limit_ms = 1.5 * (double)pass_ns((void *)&usual, N_BESIDE + 16) / MS_NS;
        double p99 = crowd_p99_ms(small, 16, self_max), all_at_once = crowd_p99_ms(whole, 0, self_max);
        if (p99 > limit_ms) fail_msg("self_max %d: p99 %.1f ms, at most %.1f", self_max, p99, limit_ms);
        assert_true(all_at_once > 2 * limit_ms);
        for (int i = 0; i <= N_BESIDE; i++) {
            const struct seq *a = &small->seqs[i], *b = &whole->seqs[i];
            assert_int_equal(a->n_ids, b->n_ids);
            assert_memory_equal(a->ids, b->ids, (size_t)a->n_ids * sizeof *a->ids);
            seq_free(&small->seqs[i]);
            seq_free(&whole->seqs[i]);
        }
    }
    free(small);
    free(whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_token_takes_what_its_layout_says),
        cmocka_unit_test(a_rate_delays_a_prompt_by_its_bytes),
        cmocka_unit_test(jitter_keeps_the_order_of_messages_and_changes_no_text),
        cmocka_unit_test(passes_and_rows_are_counted),
        cmocka_unit_test(two_drafters_write_at_once),
        cmocka_unit_test(later_stages_do_not_compute_what_follows_a_wrong_draft),
        cmocka_unit_test(groups_and_stages_give_more_tokens_where_passes_are_full),
        cmocka_unit_test(nobody_waits_for_a_long_prompt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
