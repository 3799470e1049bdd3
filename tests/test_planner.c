/* The planner: its answers to questions whose answers are known, its closed forms against the simulator, and the file
 * of hosts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <math.h>

#include "coordinator/cli/plan_said.h"
#include "proto/mpi_survey.h"
#include "simulate.h"
#include "worker/roles/lead.h"

enum { LISTED = 8 };
static const double GB = 1e9;

/* The 1.5B and the 0.5B of Qwen 2.5 Coder, Q4_K_M, about. */
static const struct planner_model big = {.body = 0.88e9,
                                         .head = 0.19e9,
                                         .embed = 0.19e9,
                                         .tied = true,
                                         .kv = 28672,
                                         .multiply_adds = 1.54e9,
                                         .row_gather = 28 * 24096,
                                         .row_stage = 6144,
                                         .n_blocks = 28,
                                         .n_heads = 12};
static const struct planner_model little = {.body = 0.2e9,
                                            .head = 0.03e9,
                                            .embed = 0.08e9,
                                            .tied = true,
                                            .kv = 12288,
                                            .multiply_adds = 0.49e9,
                                            .row_stage = 3584,
                                            .n_blocks = 24,
                                            .n_heads = 14};

struct question {
    const char *why;
    int n_hosts;
    double read[4], gb[4]; /* of each host: GB/s, GB of memory; 0: 40 and 64 */
    double rtt_ms, mbit;   /* of each but the first */
    double draft_ms, pass_ms, slope, right;
    bool little;
    int clients, max_rows; /* clients 0: latency of one */
    int cores[4];          /* of each host; 0: 16 */
    bool by_bytes;         /* times follow from the model, not from draft_ms, pass_ms and slope */
};

struct asked {
    struct host hosts[8];
    struct planner_input in;
    struct planner_layout list[LISTED];
    int n;
};

/* By the closed forms. */
static void rank(struct asked *a, const struct question *q)
{
    *a = (struct asked){.in = {.hosts = a->hosts,
                               .n_hosts = q->n_hosts,
                               .big = big,
                               .little = little,
                               .has_little = q->little,
                               .timed = !q->by_bytes,
                               .pair = {.draft_ms = q->draft_ms ? q->draft_ms : 8,
                                        .pass_ms = {q->pass_ms ? q->pass_ms : 30},
                                        .n_pass_ms = 1,
                                        .slope_percent = q->slope,
                                        .n_curves = 1,
                                        .curves = {{1, {q->right}}}},
                               .goal = q->clients ? PLANNER_THROUGHPUT : PLANNER_LATENCY,
                               .clients = q->clients ? q->clients : 1,
                               .ctx = 4096,
                               .max_rows = q->max_rows,
                               .rows_most = PASS_ROWS,
                               .parts_most = MAX_JOBS}};
    for (int i = 0; i < q->n_hosts; i++) {
        struct host *h = &a->hosts[i];
        *h = (struct host){.name = {(char)('a' + i)},
                           .cores = i < 4 && q->cores[i] ? q->cores[i] : 16,
                           .memory_bytes = (i < 4 && q->gb[i] ? q->gb[i] : 64) * GB,
                           .read_bytes_per_s = (i < 4 && q->read[i] ? q->read[i] : 40) * GB,
                           .round_trip_ms = i ? q->rtt_ms : 0,
                           .bits_per_s = i ? q->mbit * 1e6 : 0};
    }
    if (!q->by_bytes) a->in.big.multiply_adds = a->in.little.multiply_adds = 0;
    a->n = planner_rank(a->list, LISTED, &a->in);
}

/* As the command does. */
static void ask(struct asked *a, const struct question *q)
{
    struct err err;
    rank(a, q);
    for (int i = 0; i < a->n; i++)
        if (simulate_layout(&a->in, &a->list[i], &err) != OK) fail_msg("%s: %s", q->why, err.text);
    planner_sort(a->list, a->n);
}

/* ---- answers ---- */

#define FABRIC .rtt_ms = 0.1, .mbit = 10000
#define PLAIN_NETWORK .rtt_ms = 0.3, .mbit = 1000

static void the_answer_is_the_one_that_is_known(void **state)
{
    (void)state;
    static const struct {
        struct question q;
        const char *answer;
    } rows[] = {
        {{"flat passes", 2, FABRIC, .clients = 8}, "one group; use --tp 2 for latency"},
        {{"flat passes, plain network", 2, PLAIN_NETWORK, .clients = 8},
         "do not distribute: one process on a is as fast"}, /* as two groups, of which each has flat passes too */
        {{"rows cost", 2, FABRIC, .slope = 8, .clients = 32}, "two groups"},
        {{"rows cost, plain network", 2, PLAIN_NETWORK, .slope = 8, .clients = 32}, "two groups"},
        {{"full passes", 2, FABRIC, .clients = 32, .max_rows = 16}, "two groups"},
        {{"rows cost, four hosts", 4, PLAIN_NETWORK, .slope = 8, .clients = 64}, "four groups"},
        {{"fewer clients than hosts", 4, PLAIN_NETWORK, .slope = 100, .clients = 2}, "two groups"},
        {{"one host", 1, .right = .8, .little = true, .slope = 8}, "one process on a"},
        {{"one host, many", 1, .right = .8, .little = true, .slope = 8, .clients = 32}, "one process on a"},
        {{"a slow network", 2, .rtt_ms = 60, .mbit = 100, .right = .8, .little = true, .slope = 8},
         "do not distribute: one process on a is faster"},
        {{"the other host is faster", 2, .read = {40, 120}, .rtt_ms = 20, .mbit = 100, .right = .8, .little = true},
         "do not distribute: one process on b is faster"},
        {{"a near host", 2, PLAIN_NETWORK, .right = .8, .little = true, .slope = 8},
         "one group; the little model on a, which has no part of the big one"},
        {{"a drafter at 80 ms", 2, .gb = {1}, .rtt_ms = 80, .mbit = 100, .right = .8, .little = true},
         "do not distribute: one process on b is faster"},
        {{"it is good, and there is no room beside big", 2, .gb = {1, 1.3}, .rtt_ms = 80, .mbit = 100, .right = .95,
          .little = true},
         "one group; the little model on a, which has no part of the big one"},
        {{"it is bad", 2, .gb = {1, 1.3}, .rtt_ms = 80, .mbit = 100, .right = .5, .little = true},
         "do not distribute: one process on b is faster"},
        {{"room on two only", 2, .gb = {1, 1}, .rtt_ms = 1, .mbit = 1000}, "one group; use --pp 2"},
    };
    struct asked a;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        ask(&a, &rows[i].q);
        assert_true(a.n > 0);
        const struct plan_line answer = plan_answer(&a.in, a.list, a.n);
        if (strcmp(answer.text, rows[i].answer))
            fail_msg("%s: \"%s\", not \"%s\"", rows[i].q.why, answer.text, rows[i].answer);
    }
}

static void a_drafter_far_away_does_not_wait_for_verdicts(void **state)
{
    (void)state;
    const struct question q = {"", 2, .gb = {1, 1.3}, .rtt_ms = 80, .mbit = 100, .right = .95, .little = true};
    struct asked a;
    ask(&a, &q);
    assert_int_equal(a.list[0].way, PLANNER_AHEAD);
    assert_false(a.list[0].shares_cores);
    assert_int_equal(a.list[0].host[0], 1);
}

/* Two hosts of 64 cores, where a pass takes 30 ms up to 170 rows, and two small ones. There an id of each of 16 texts
 * takes 28 ms by 2 cores, of 8 texts 14; by 16 cores 6, which the bytes take, and a pass of 16 rows 30 ms too. */
static const struct question drafters[] = {
#define SMALL_HOSTS(cores_) .cores = {cores_, 64, 64, cores_}, .gb = {4, 64, 64, 4}, PLAIN_NETWORK, .by_bytes = true
    {"a shared one cannot keep up", 4, SMALL_HOSTS(2), .right = .9, .little = true, .clients = 16},
    {"a shared one is quick enough", 4, SMALL_HOSTS(16), .right = .9, .little = true, .clients = 16, .max_rows = 16},
    {"there is one request", 4, SMALL_HOSTS(2), .right = .9, .little = true},
    {"its drafts are bad", 4, SMALL_HOSTS(2), .right = .2, .little = true, .clients = 16},
};

static void a_drafter_is_shared_as_long_as_it_keeps_up(void **state)
{
    (void)state;
    static const struct {
        int groups, drafters;
        const char *answer, *command;
    } expected[] = {
        {2, 2, "two groups; a drafter for each on a, d, which have no part of the big one",
         " -n 5 -H a,a,d,b,c pilotfish"},
        {3, 1, "three groups; the little model on a, which has no part of the big one", " -n 5 -H a,a,b,c,d pilotfish"},
        {1, 1, NULL, NULL},
        {1, 0, "do not distribute: one process on b is as fast", NULL},
    };
    struct asked a;
    for (int i = 0; i < 4; i++) {
        const struct question *q = &drafters[i];
        ask(&a, q);
        const struct planner_layout *l = &a.list[0];
        const struct plan_line answer = plan_answer(&a.in, a.list, a.n),
                               command = plan_command(&a.in, l, &(struct options){0}, "pilotfish");
        if (l->groups != expected[i].groups || l->drafters != expected[i].drafters)
            fail_msg("%s: %s", q->why, answer.text);
        if (expected[i].answer) assert_string_equal(answer.text, expected[i].answer);
        if (expected[i].command && !strstr(command.text, expected[i].command)) fail_msg("%s", command.text);
        assert_int_equal(strstr(command.text, " --drafters 2 ") != NULL, l->drafters == 2);
        for (int k = 0; k < a.n; k++) assert_true(a.list[k].drafters <= a.list[k].groups);
    }
}

static const struct question places[] = {
#define QUICK_HOSTS(rtt_ms_) .rtt_ms = rtt_ms_, .mbit = 1000, .little = true, .by_bytes = true
    {"the first host is slow", 3, .read = {2, 40, 50}, .right = .8, QUICK_HOSTS(.3)},
    {"the first host is fast", 2, .read = {50, 40}, .right = .7, QUICK_HOSTS(.3)},
    {"the first host is as the others", 2, .right = .8, QUICK_HOSTS(.3)},
    {"the first host is slow, and far away", 3, .read = {2, 40, 50}, .right = .9, QUICK_HOSTS(20)},
    {"the first host is fast, and far away", 2, .read = {50, 40}, .gb = {1.2, 64}, .right = .9, QUICK_HOSTS(20)},
};

static void drafters_are_on_the_hosts_that_suit_them(void **state)
{
    (void)state;
    static const struct {
        int drafter, verifier;
        const char *command;
    } expected[] = {{1, 2, " -n 3 -H a,b,c pilotfish"},
                    {1, 0, " -n 3 -H a,b,a --map-by seq pilotfish"},
                    {0, 1, " -n 3 -H a,a,b pilotfish"}};
    struct asked a;
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        ask(&a, &places[i]);
        const struct planner_layout *l = &a.list[0];
        const struct plan_line command = plan_command(&a.in, l, &(struct options){0}, "pilotfish");
        if (!strstr(command.text, expected[i].command)) fail_msg("%s: %s", places[i].why, command.text);
        assert_int_equal(l->drafter_host[0], expected[i].drafter);
        assert_int_equal(l->host[0], expected[i].verifier);
        assert_false(l->shares_cores);
    }
}

static void hosts_that_differ_get_shares_that_differ(void **state)
{
    (void)state;
    static const struct question rows[] = {
        {"stages", 2, .read = {40, 20}, .gb = {1.2, 1.2}, .rtt_ms = 1, .mbit = 1000},
        {"shards", 2, .read = {40, 20}, FABRIC},
        {"equal", 2, FABRIC},
    };
    struct asked a;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        ask(&a, &rows[i]);
        const struct planner_layout *l = &a.list[0];
        const struct plan_line command = plan_command(&a.in, l, &(struct options){0}, "pilotfish");
        assert_int_equal(l->tp * l->pp, 2);
        assert_int_equal(l->uneven, i < 2);
        assert_int_equal(strstr(command.text, l->pp > 1 ? " --stage-share auto" : " --shard-share auto") != NULL,
                         i < 2);
        /* Half the speed, half the share: a stage takes 20 ms of 30 and 10 of 30 x 40/20. */
        if (i == 0) assert_float_equal(l->group[0].slowest.base_ns, 20e6, 1.5e6);
        if (i == 1) assert_float_equal(l->group[0].all.base_ns, 20e6, 0.1e6);
    }
}

static void what_does_not_fit_is_not_offered(void **state)
{
    (void)state;
    struct question q = {"",         4,           .gb = {1, 1, 1, 1}, PLAIN_NETWORK, .right = .8, .little = true,
                         .slope = 8, .clients = 2};
    struct asked a;
    ask(&a, &q);
    assert_true(a.n > 0);
    for (int i = 0; i < a.n; i++) {
        assert_false(a.list[i].alone);
        assert_true(a.list[i].tp * a.list[i].pp > 1);
    }
    for (int i = 0; i < 4; i++) q.gb[i] = .1;
    ask(&a, &q);
    assert_int_equal(a.n, 0);
    /* The fastest two lack room: two groups are on the others. */
    q = (struct question){"",           4, .gb = {64, 1, 1, 64}, .read = {40, 90, 90, 40}, PLAIN_NETWORK, .slope = 8,
                          .clients = 32};
    ask(&a, &q);
    assert_int_equal(a.list[0].groups, 2);
    assert_int_equal(a.list[0].host[0], 0);
    assert_int_equal(a.list[0].host[1], 3);
}

static void a_single_request_gets_nothing_from_groups(void **state)
{
    (void)state;
    const struct question q = {"", 8, FABRIC, .right = .8, .little = true, .slope = 8};
    struct asked a;
    ask(&a, &q);
    assert_int_equal(a.n, LISTED);
    for (int i = 0; i < a.n; i++) assert_int_equal(a.list[i].groups, 1);
    /* At R = tT, of pairs whose passes take up to 6 drafted ids. */
    double most = 1;
    for (double times = 1.5; times <= 6; times += .5) {
        for (int right = 30; right < 100; right += 5) {
            struct question one = {
                "", 2, .gb = {1, 1.3}, .rtt_ms = 30, .draft_ms = 30 / times, .right = right / 100.0, .little = true};
            rank(&a, &one);
            for (int i = 0; i < a.n; i++) most = fmax(most, planner_more(&a.in, &a.list[i]));
        }
    }
    assert_in_range(most * 1000, 1100, 1175);
}

/* The 1.5B on two cores that read 35.4 GB/s, as `bench step` found it (PERFORMANCE.md): 30.3 ms, 1.5 times that for 8
 * rows, 3.0 times for 16. */
static void a_pass_takes_what_its_bytes_and_its_multiply_adds_ask_for(void **state)
{
    (void)state;
    const struct question q = {"", 1, .read = {35.4}, .cores = {2}, .by_bytes = true};
    static const double rows[][2] = {{1, 30.31}, {4, 29.68}, {8, 45.56}, {16, 90.54}};
    struct asked a;
    rank(&a, &q);
    for (int i = 0; i < 4; i++) {
        double ms = planner_pass_ns(&a.in, &a.list[0].group[0].all, rows[i][0]) * 1e-6;
        assert_float_equal(ms, rows[i][1], .15 * rows[i][1]);
    }
    a.hosts[0].products_per_s = 10 * 468e9; /* then eight rows take no longer than one */
    planner_rank(a.list, LISTED, &a.in);
    const struct planner_pass *all = &a.list[0].group[0].all;
    assert_float_equal(planner_pass_ns(&a.in, all, 8), planner_pass_ns(&a.in, all, 1), 1);
}

/* ---- closed forms ---- */

static void compare(struct asked *a, const struct question *q, int *n_checked, int *n_off)
{
    rank(a, q);
    for (int k = a->n; k-- > 0;) { /* the best one last */
        struct planner_layout *l = &a->list[k];
        struct err err;
        double form = l->tokens_per_s;
        if (form < a->list[0].tokens_per_s / 2 || (l->pp > 1 && q->clients)) continue;
        assert_int_equal(simulate_layout(&a->in, l, &err), OK);
        double ratio = l->tokens_per_s / form;
        ++*n_checked;
        if (fabs(ratio - 1) <= .15) continue;
        ++*n_off;
        print_message("%s, R %g, a %g, %d clients, slope %g: %.1f token/s, simulated %.1f (%.2f) pp %d way %d w %d\n",
                      plan_name(&a->in, l).text, q->rtt_ms, q->right, q->clients, q->slope, form, l->tokens_per_s,
                      ratio, l->pp, l->way, l->window);
    }
}

/* Where several requests run through stages their passes fall out of step: there the simulator alone is
 * right, and the command asks it. Layouts that are less than half as fast as the best are not compared. */
static void the_closed_forms_are_the_simulators_within_15_percent(void **state)
{
    (void)state;
    static const double rtts[] = {0.05, 10, 80}, rights[] = {.5, .9};
    static const int clients[] = {0, 4, 32};
    struct asked a;
    int n_checked = 0, n_off = 0;
    for (int i = 0; i < 3 * 2 * 3 * 2; i++) {
        const struct question q = {"",
                                   3,
                                   .rtt_ms = rtts[i % 3],
                                   .mbit = 10000,
                                   .right = rights[i / 3 % 2],
                                   .little = true,
                                   .clients = clients[i / 6 % 3],
                                   .slope = i / 18 ? 8 : 0};
        compare(&a, &q, &n_checked, &n_off);
    }
    for (size_t i = 0; i < sizeof drafters / sizeof *drafters; i++) compare(&a, &drafters[i], &n_checked, &n_off);
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) compare(&a, &places[i], &n_checked, &n_off);
    assert_in_range(n_checked, 100, 300);
    assert_int_equal(n_off, 0);
}

/* ---- ranks ---- */

static void ranks_are_those_of_the_layout(void **state)
{
    (void)state;
    const struct question q = {"", 8, FABRIC, .right = .9, .little = true, .slope = 30, .clients = 4};
    struct asked a;
    ask(&a, &q);
    for (int i = 0; i < a.n; i++) {
        const struct planner_layout *l = &a.list[i];
        struct layout layout;
        struct err err;
        int n = plan_n_ranks(l);
        if (l->alone) continue;
        assert_int_equal(layout_make(&layout, n, l->drafters ? l->drafters : 1, l->groups, l->tp, l->pp,
                                     l->drafters ? DRAFTER_LITTLE : DRAFTER_NONE, &err),
                         OK);
        for (int rank = 1; rank < n; rank++) {
            struct plan_rank r = plan_rank(l, rank);
            int peer = layout_peer(&layout, rank);
            const struct group *g = layout_group(&layout, peer);
            assert_int_equal(r.group, layout_i_verifier(&layout, peer));
            if (g->role == ROLE_DRAFTER) {
                assert_string_equal(r.role, "drafter");
                assert_int_equal(r.host, l->drafter_host[layout_i_drafter(&layout, peer)]);
                continue;
            }
            assert_int_equal(r.stage, group_stage(g, peer));
            assert_int_equal(r.shard, group_shard(g, peer));
        }
    }
}

/* ---- the file ---- */

static void a_file_of_hosts_is_read_and_written(void **state)
{
    (void)state;
    static const char text[] =
        "# a comment\n\n a-1.x 16 62 38\t# the first\r\nb_2 8 31.5 20.25 0.2 10000 1872\nc 1 1 1 0 0";
    struct host hosts[HOSTS_MOST], again[HOSTS_MOST];
    struct err err;
    char out[400];
    int n;
    if (hosts_read(hosts, &n, text, &err) != OK) fail_msg("%s", err.text);
    assert_int_equal(n, 3);
    assert_string_equal(hosts[0].name, "a-1.x");
    assert_int_equal(hosts[1].cores, 8);
    assert_float_equal(hosts[1].memory_bytes, 31.5 * (1 << 30), 1);
    assert_float_equal(hosts[1].read_bytes_per_s, 20.25e9, 1);
    assert_float_equal(hosts[1].round_trip_ms, .2, 1e-9);
    assert_float_equal(hosts[1].bits_per_s, 1e10, 1);
    FILE *f = fmemopen(out, sizeof out, "w");
    hosts_put_head(f);
    for (int i = 0; i < n; i++) hosts_put(&hosts[i], i == 0, f);
    fclose(f);
    assert_int_equal(hosts_read(again, &n, out, &err), OK);
    assert_int_equal(n, 3);
    assert_string_equal(again[2].name, "c");
    assert_float_equal(again[1].bits_per_s, 1e10, 1);
    assert_true(again[0].products_per_s == 0 && again[1].products_per_s == 1872e9);
}

static void what_is_wrong_in_a_file_of_hosts_is_named_with_its_line(void **state)
{
    (void)state;
    static const struct {
        const char *text, *error;
    } rows[] = {
        {"", "there is no host in it"},
        {"# none\n", "there is no host in it"},
        {"a 16 62\n", "line 1: 3 fields: a host has its name, cores, memory in GiB, read GB/s"},
        {"a 16 62 38\nb 16 62 38 1\n", "line 2: 5 fields"},
        {"a 16 62 38 0 0 0 0\n", "line 1: 8 fields"},
        {"a 16 62 38 0 0 x\n", "line 1: x: not a number of G products/s"},
        {"\n\na 16.5 62 38\n", "line 3: 16.5: not a number of cores"},
        {"a 0 62 38\n", "line 1: 0 cores: must be from 1 to 4096"},
        {"a 16 62GB 38\n", "line 1: 62GB: not a number of GiB of memory"},
        {"a 16 62 0\n", "line 1: 0 GB/s of reading: must be from 0.001"},
        {"a 16 62 nan\n", "line 1: nan: not a number"},
        {"a 16 62 38\nb 16 62 38 -1 0\n", "line 2: -1 ms of a round trip: must be from 0"},
        {"a 16 62 38\na 16 62 38 1 0\n", "line 2: a is on line 1 already"},
        {"a;b 16 62 38\n", "line 1: a;b: a name has letters"},
        {"-H 16 62 38\n", "line 1: -H: a name has letters"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct host hosts[HOSTS_MOST];
        struct err err;
        int n;
        assert_int_equal(hosts_read(hosts, &n, rows[i].text, &err), E_USAGE);
        if (!strstr(err.text, rows[i].error)) fail_msg("%s: %s", rows[i].text, err.text);
    }
}

static void ranks_of_a_survey_become_hosts(void **state)
{
    (void)state;
    const struct mpi_rank ranks[] = {
        {.host = "a", .cores = 2, .read_bytes_per_s = 1e10, .memory_bytes = 1 << 30},
        {.host = "a", .cores = 4, .round_trip_us = 2, .bytes_per_s = 5e9},
        {.host = "b",
         .cores = 8,
         .round_trip_us = 300,
         .bytes_per_s = 1e8,
         .read_bytes_per_s = 2e10,
         .memory_bytes = 2},
        {.host = "b", .cores = 8, .round_trip_us = 200, .bytes_per_s = 2e8},
    };
    struct host hosts[HOSTS_MOST];
    assert_int_equal(mpi_survey_hosts(hosts, ranks, 4), 2);
    assert_string_equal(hosts[0].name, "a");
    assert_int_equal(hosts[0].cores, 4);
    assert_true(hosts[0].round_trip_ms == 0 && hosts[0].bits_per_s == 0 && hosts[0].memory_bytes == 1 << 30);
    assert_string_equal(hosts[1].name, "b");
    assert_float_equal(hosts[1].round_trip_ms, .2, 1e-9);
    assert_float_equal(hosts[1].bits_per_s, 1.6e9, 1);
    assert_true(hosts[1].read_bytes_per_s == 2e10 && hosts[1].memory_bytes == 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_answer_is_the_one_that_is_known),
        cmocka_unit_test(a_drafter_far_away_does_not_wait_for_verdicts),
        cmocka_unit_test(a_drafter_is_shared_as_long_as_it_keeps_up),
        cmocka_unit_test(drafters_are_on_the_hosts_that_suit_them),
        cmocka_unit_test(hosts_that_differ_get_shares_that_differ),
        cmocka_unit_test(what_does_not_fit_is_not_offered),
        cmocka_unit_test(a_single_request_gets_nothing_from_groups),
        cmocka_unit_test(a_pass_takes_what_its_bytes_and_its_multiply_adds_ask_for),
        cmocka_unit_test(the_closed_forms_are_the_simulators_within_15_percent),
        cmocka_unit_test(ranks_are_those_of_the_layout),
        cmocka_unit_test(a_file_of_hosts_is_read_and_written),
        cmocka_unit_test(what_is_wrong_in_a_file_of_hosts_is_named_with_its_line),
        cmocka_unit_test(ranks_of_a_survey_become_hosts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
