/* The drafter runs ahead of verdicts, and big goes on by itself while drafts are written and on their way: blocks,
 * several in flight, and what a wrong draft costs. The text is the same, and with drafts it is never much slower than
 * without, at any distance. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/prefix_hash.h"
#include "tests/lib/sim.h"

/* A pass takes 10 ms, a drafted token 1, each way there and back 20: big writes while six drafts come. */
static const struct sim_config far = {.draft_max = 6,
                                      .adaptive = true,
                                      .prior = {.1, .1},
                                      .link_ms = 10,
                                      .rtt_ms = 40,
                                      .self_max = 64,
                                      .shares_passes = true};

/* Big has written "efghi" before the drafts of these are there. */
static void drafts_come_in_blocks_and_each_is_judged_on_its_way(void **state)
{
    (void)state;
    const struct sim_text text = {"ab", "cdefghijklmnop", NULL, 10};
    sim_transcript(&far, &text, 1,
                   "[   0] open    seq 0: slot 0\n"
                   "[   0] ask     seq 0 round 1 at 0: \"ab\", up to 2\n"
                   "[   0] open    seq 0: 64 by itself\n"
                   "[   0] verify  seq 0 round 1 at 0: \"a|b\"\n"
                   "[  20] draft   seq 0 round 1 at 2: \"\", window\n"
                   "[  30] verdict seq 0 round 1 at 0: \"c\"\n"
                   "[  30] emit    seq 0: \"c\" b\n"
                   "[  40] self    seq 0 round 1 at 2: \"d\"\n"
                   "[  40] emit    seq 0: \"d\" b\n"
                   "[  40] ask     seq 0 round 2 at 2: \"cd\", up to 11\n"
                   "[  50] self    seq 0 round 1 at 3: \"e\"\n"
                   "[  50] emit    seq 0: \"e\" b\n"
                   "[  50] ask     seq 0 round 2 at 4: \"e\", up to 11\n"
                   "[  60] self    seq 0 round 1 at 4: \"f\"\n"
                   "[  60] emit    seq 0: \"f\" b\n"
                   "[  60] ask     seq 0 round 2 at 5: \"f\", up to 11\n"
                   "[  61] draft   seq 0 round 2 at 4: \"e\", more\n"
                   "[  62] draft   seq 0 round 2 at 5: \"f\", more\n"
                   "[  63] draft   seq 0 round 2 at 6: \"g\", more\n"
                   "[  63] verify  seq 0 round 2 at 5: \"|f\"\n"
                   "[  64] draft   seq 0 round 2 at 7: \"h\", more\n"
                   "[  64] verify  seq 0 round 2 at 6: \"|g\"\n"
                   "[  65] draft   seq 0 round 2 at 8: \"i\", more\n"
                   "[  65] verify  seq 0 round 2 at 7: \"|h\"\n"
                   "[  66] draft   seq 0 round 2 at 9: \"j\", more\n"
                   "[  66] verify  seq 0 round 2 at 8: \"|i\"\n"
                   "[  67] draft   seq 0 round 2 at 10: \"k\", window\n"
                   "[  67] verify  seq 0 round 2 at 9: \"|j\"\n"
                   "[  70] self    seq 0 round 1 at 5: \"g\"\n"
                   "[  70] emit    seq 0: \"g\" b\n"
                   "[  71] draft   seq 0 round 2 at 11: \"\", window\n"
                   "[  80] self    seq 0 round 1 at 6: \"h\"\n"
                   "[  80] emit    seq 0: \"h\" b\n"
                   "[  81] draft   seq 0 round 2 at 11: \"\", window\n"
                   "[  90] self    seq 0 round 1 at 7: \"i\"\n"
                   "[  90] emit    seq 0: \"i\" b\n"
                   "[  90] verdict seq 0 round 2 at 5: late, holds 9\n"
                   "[  90] verdict seq 0 round 2 at 6: late, holds 9\n"
                   "[  90] verdict seq 0 round 2 at 7: late, holds 9\n"
                   "[ 100] verdict seq 0 round 2 at 8: \"j\"\n"
                   "[ 100] emit    seq 0: \"j\" d\n"
                   "[ 100] verdict seq 0 round 2 at 9: \"kl\"\n"
                   "[ 100] emit    seq 0: \"kl\" db\n"
                   "[ 100] cut     seq 0\n"
                   "[ 100] done    seq 0: length\n");
}

/* "X", and "uk" behind it. */
static void what_follows_a_wrong_draft_is_of_no_use_and_big_goes_on_by_itself(void **state)
{
    (void)state;
    const struct sim_text text = {"ab", "cdefghijklmnopqrst", "cdefghiXk", 11};
    sim_transcript(&far, &text, 1,
                   "[   0] open    seq 0: slot 0\n"
                   "[   0] ask     seq 0 round 1 at 0: \"ab\", up to 2\n"
                   "[   0] open    seq 0: 64 by itself\n"
                   "[   0] verify  seq 0 round 1 at 0: \"a|b\"\n"
                   "[  20] draft   seq 0 round 1 at 2: \"\", window\n"
                   "[  30] verdict seq 0 round 1 at 0: \"c\"\n"
                   "[  30] emit    seq 0: \"c\" b\n"
                   "[  40] self    seq 0 round 1 at 2: \"d\"\n"
                   "[  40] emit    seq 0: \"d\" b\n"
                   "[  40] ask     seq 0 round 2 at 2: \"cd\", up to 12\n"
                   "[  50] self    seq 0 round 1 at 3: \"e\"\n"
                   "[  50] emit    seq 0: \"e\" b\n"
                   "[  50] ask     seq 0 round 2 at 4: \"e\", up to 12\n"
                   "[  60] self    seq 0 round 1 at 4: \"f\"\n"
                   "[  60] emit    seq 0: \"f\" b\n"
                   "[  60] ask     seq 0 round 2 at 5: \"f\", up to 12\n"
                   "[  61] draft   seq 0 round 2 at 4: \"e\", more\n"
                   "[  62] draft   seq 0 round 2 at 5: \"f\", more\n"
                   "[  63] draft   seq 0 round 2 at 6: \"g\", more\n"
                   "[  63] verify  seq 0 round 2 at 5: \"|f\"\n"
                   "[  64] draft   seq 0 round 2 at 7: \"h\", more\n"
                   "[  64] verify  seq 0 round 2 at 6: \"|g\"\n"
                   "[  65] draft   seq 0 round 2 at 8: \"i\", more\n"
                   "[  65] verify  seq 0 round 2 at 7: \"|h\"\n"
                   "[  66] draft   seq 0 round 2 at 9: \"X\", more\n"
                   "[  66] verify  seq 0 round 2 at 8: \"|i\"\n"
                   "[  67] draft   seq 0 round 2 at 10: \"u\", more\n"
                   "[  67] verify  seq 0 round 2 at 9: \"|X\"\n"
                   "[  68] draft   seq 0 round 2 at 11: \"k\", window\n"
                   "[  68] verify  seq 0 round 2 at 10: \"|u\"\n"
                   "[  70] self    seq 0 round 1 at 5: \"g\"\n"
                   "[  70] emit    seq 0: \"g\" b\n"
                   "[  71] draft   seq 0 round 2 at 12: \"\", window\n"
                   "[  80] self    seq 0 round 1 at 6: \"h\"\n"
                   "[  80] emit    seq 0: \"h\" b\n"
                   "[  81] draft   seq 0 round 2 at 12: \"\", window\n"
                   "[  90] self    seq 0 round 1 at 7: \"i\"\n"
                   "[  90] emit    seq 0: \"i\" b\n"
                   "[  90] verdict seq 0 round 2 at 5: late, holds 9\n"
                   "[  90] verdict seq 0 round 2 at 6: late, holds 9\n"
                   "[  90] verdict seq 0 round 2 at 7: late, holds 9\n"
                   "[ 100] verdict seq 0 round 2 at 8: \"j\"\n"
                   "[ 100] emit    seq 0: \"j\" c\n"
                   "[ 100] ask     seq 0 round 2 at 6: \"ghij\", up to 12\n"
                   "[ 100] verdict seq 0 round 2 at 9: \"u\"\n"
                   "[ 100] verdict seq 0 round 2 at 10: \"ks\"\n"
                   "[ 110] self    seq 0 round 1 at 9: \"k\"\n"
                   "[ 110] emit    seq 0: \"k\" b\n"
                   "[ 110] ask     seq 0 round 2 at 10: \"k\", up to 12\n"
                   "[ 120] self    seq 0 round 1 at 10: \"l\"\n"
                   "[ 120] emit    seq 0: \"l\" b\n"
                   "[ 121] draft   seq 0 round 2 at 10: \"k\", more\n"
                   "[ 122] draft   seq 0 round 2 at 11: \"l\", window\n"
                   "[ 130] self    seq 0 round 1 at 11: \"m\"\n"
                   "[ 130] emit    seq 0: \"m\" b\n"
                   "[ 130] cut     seq 0\n"
                   "[ 130] stop    seq 0\n"
                   "[ 130] done    seq 0: length\n"
                   "[ 131] draft   seq 0 round 2 at 12: \"\", window\n");
}

/* "X", after which big's own "g" waits for the Ack of "f". */
static void without_self_start_big_goes_on_only_behind_ids_that_have_arrived(void **state)
{
    (void)state;
    struct sim_config c = far;
    c.self_max = 0;
    c.adaptive = false;
    c.draft_ahead = 3;
    const struct sim_text text = {"ab", "cdefghij", "cdeXghij", 7};
    sim_transcript(&c, &text, 1,
                   "[   0] open    seq 0: slot 0\n"
                   "[   0] ask     seq 0 round 1 at 0: \"ab\", up to 2\n"
                   "[   0] verify  seq 0 round 1 at 0: \"a|b\"\n"
                   "[  20] draft   seq 0 round 1 at 2: \"\", window\n"
                   "[  30] verdict seq 0 round 1 at 0: \"c\"\n"
                   "[  30] emit    seq 0: \"c\" b\n"
                   "[  30] open    seq 0: 1 by itself\n"
                   "[  30] verify  seq 0 round 2 at 2: \"|c\"\n"
                   "[  30] ask     seq 0 round 2 at 2: \"c\", up to 6\n"
                   "[  51] draft   seq 0 round 2 at 3: \"d\", more\n"
                   "[  51] verify  seq 0 round 2 at 2: \"|c\"\n"
                   "[  52] draft   seq 0 round 2 at 4: \"e\", more\n"
                   "[  52] verify  seq 0 round 2 at 3: \"|d\"\n"
                   "[  53] draft   seq 0 round 2 at 5: \"X\", window\n"
                   "[  53] verify  seq 0 round 2 at 4: \"|e\"\n"
                   "[  60] verdict seq 0 round 2 at 2: \"d\"\n"
                   "[  60] emit    seq 0: \"d\" b\n"
                   "[  60] ack     seq 0: 4\n"
                   "[  60] ask     seq 0 round 2 at 3: \"d\", up to 7\n"
                   "[  71] verdict seq 0 round 2 at 2: late, holds 4\n"
                   "[  81] draft   seq 0 round 2 at 6: \"n\", window\n"
                   "[  81] verify  seq 0 round 2 at 5: \"|X\"\n"
                   "[  82] verdict seq 0 round 2 at 3: \"ef\"\n"
                   "[  82] emit    seq 0: \"ef\" db\n"
                   "[  82] ack     seq 0: 6\n"
                   "[  82] ask     seq 0 round 2 at 4: \"ef\", up to 8\n"
                   "[  82] verdict seq 0 round 2 at 4: late, holds 6\n"
                   "[ 101] verdict seq 0 round 2 at 5: late, holds 6\n"
                   "[ 103] draft   seq 0 round 2 at 6: \"g\", more\n"
                   "[ 103] verify  seq 0 round 2 at 5: \"|f\"\n"
                   "[ 104] draft   seq 0 round 2 at 7: \"h\", window\n"
                   "[ 104] verify  seq 0 round 2 at 6: \"|g\"\n"
                   "[ 112] self    seq 0 round 2 at 5: \"g\"\n"
                   "[ 112] emit    seq 0: \"g\" b\n"
                   "[ 112] ack     seq 0: 7\n"
                   "[ 123] verdict seq 0 round 2 at 5: late, holds 7\n"
                   "[ 134] verdict seq 0 round 2 at 6: \"hi\"\n"
                   "[ 134] emit    seq 0: \"hi\" db\n"
                   "[ 134] cut     seq 0\n"
                   "[ 134] done    seq 0: length\n");
}

static void near_the_drafter_a_pass_waits_for_the_first_drafts(void **state)
{
    (void)state;
    const struct sim_text text = {"ab", "cdefghijklmnopqrst", "cdefgXi", 10};
    struct sim_config near = far;
    near.link_ms = 1;
    near.rtt_ms = 4;
    near.pass_ms = 30;
    near.draft_ms = 1;
    sim_transcript(&near, &text, 1,
                   "[   0] open    seq 0: slot 0\n"
                   "[   0] ask     seq 0 round 1 at 0: \"ab\", up to 2\n"
                   "[   0] open    seq 0: 64 by itself\n"
                   "[   0] verify  seq 0 round 1 at 0: \"a|b\"\n"
                   "[   2] draft   seq 0 round 1 at 2: \"\", window\n"
                   "[  32] verdict seq 0 round 1 at 0: \"c\"\n"
                   "[  32] emit    seq 0: \"c\" b\n"
                   "[  62] self    seq 0 round 1 at 2: \"d\"\n"
                   "[  62] emit    seq 0: \"d\" b\n"
                   "[  62] ack     seq 0: 4\n"
                   "[  62] ask     seq 0 round 2 at 2: \"cd\", up to 11\n"
                   "[  65] draft   seq 0 round 2 at 4: \"e\", more\n"
                   "[  66] draft   seq 0 round 2 at 5: \"f\", more\n"
                   "[  67] draft   seq 0 round 2 at 6: \"g\", more\n"
                   "[  67] verify  seq 0 round 2 at 3: \"|def\"\n"
                   "[  68] draft   seq 0 round 2 at 7: \"X\", more\n"
                   "[  68] verify  seq 0 round 2 at 6: \"|g\"\n"
                   "[  69] draft   seq 0 round 2 at 8: \"z\", more\n"
                   "[  69] verify  seq 0 round 2 at 7: \"|X\"\n"
                   "[  70] draft   seq 0 round 2 at 9: \"e\", more\n"
                   "[  70] verify  seq 0 round 2 at 8: \"|z\"\n"
                   "[  71] draft   seq 0 round 2 at 10: \"h\", window\n"
                   "[  71] verify  seq 0 round 2 at 9: \"|e\"\n"
                   "[  92] self    seq 0 round 1 at 3: \"e\"\n"
                   "[  92] emit    seq 0: \"e\" b\n"
                   "[  92] ack     seq 0: 5\n"
                   "[ 122] verdict seq 0 round 2 at 4: \"fg\"\n"
                   "[ 122] emit    seq 0: \"fg\" dd\n"
                   "[ 122] verdict seq 0 round 2 at 6: \"h\"\n"
                   "[ 122] emit    seq 0: \"h\" c\n"
                   "[ 122] ack     seq 0: 8\n"
                   "[ 122] ask     seq 0 round 2 at 4: \"efgh\", up to 11\n"
                   "[ 122] verdict seq 0 round 2 at 7: \"z\"\n"
                   "[ 122] verdict seq 0 round 2 at 8: \"e\"\n"
                   "[ 122] verdict seq 0 round 2 at 9: \"hi\"\n"
                   "[ 125] draft   seq 0 round 2 at 8: \"i\", more\n"
                   "[ 126] draft   seq 0 round 2 at 9: \"j\", more\n"
                   "[ 127] draft   seq 0 round 2 at 10: \"k\", window\n"
                   "[ 127] verify  seq 0 round 2 at 7: \"|hij\"\n"
                   "[ 159] verdict seq 0 round 2 at 7: \"ijkl\"\n"
                   "[ 159] emit    seq 0: \"ijkl\" dddb\n"
                   "[ 159] cut     seq 0\n"
                   "[ 159] done    seq 0: length\n");
}

/* Both would compute at once. */
static void on_the_same_cores_they_alternate_at_any_distance(void **state)
{
    (void)state;
    const struct sim_text text = {"the quick brown fox", "", NULL, 40};
    uint64_t last_ns[2];
    for (int i = 0; i < 2; i++) {
        struct sim_config c = far;
        if (i == 0) c.rtt_ms = 0;
        c.shares_cores = true;
        struct sim *s = sim_open(&c, &text, 1);
        sim_run(s);
        last_ns[i] = sim_seq(s, 0)->stats.last_ns;
        assert_true(sim_seq(s, 0)->stats.n_asks > 0);
        assert_int_equal(sim_seq(s, 0)->stats.n_late, 0);
        sim_close(s);
    }
    assert_int_equal(last_ns[0], last_ns[1]);
}

/* Of 30 ms a pass. What waits for drafts that will never come is one pass at most. */
static void a_drafter_that_is_lost_holds_nothing_up(void **state)
{
    (void)state;
    static const enum sim_fault faults[] = {SIM_DRAFTER_DIES, SIM_ASK_FAILS};
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        const struct sim_text text = {"the quick brown fox", "", NULL, 40};
        struct sim_config c = far;
        c.link_ms = 0;
        c.rtt_ms = 0;
        c.pass_ms = 30;
        c.wrong_percent = 100;
        c.n_ctx = 80;
        struct sim *s = sim_open(&c, &text, 1);
        sim_fault(s, 70, faults[i], 0);
        sim_run(s);
        const struct seq_stats *t = &sim_seq(s, 0)->stats;
        if (t->last_ns - t->first_ns > 40 * UINT64_C(30000000))
            fail_msg("fault %zu: %d ms", i, (int)((t->last_ns - t->first_ns) / 1000000));
        sim_close(s);
    }
}

/* Passes of 30 ms, drafts of 8: the time of 200 tokens over that without drafts. */
static double cost(int link_ms, int wrong_percent)
{
    double ns[2];
    for (int drafts = 0; drafts < 2; drafts++) {
        const struct sim_text text = {"the quick brown fox", "", NULL, 200};
        const struct sim_config c = {.n_ctx = 250,
                                     .max_rows = 32,
                                     .draft_max = drafts ? 8 : 0,
                                     .adaptive = true,
                                     .prior = {.27, .1},
                                     .pass_ms = 30,
                                     .draft_ms = 8,
                                     .link_ms = link_ms,
                                     .rtt_ms = 4 * link_ms,
                                     .self_max = 64,
                                     .shares_passes = true,
                                     .wrong_percent = wrong_percent};
        struct sim *s = sim_open(&c, &text, 1);
        sim_run(s);
        ns[drafts] = (double)(sim_seq(s, 0)->stats.last_ns - sim_seq(s, 0)->stats.first_ns);
        sim_close(s);
    }
    return ns[1] / ns[0];
}

static void drafts_cost_next_to_nothing_at_any_distance_and_pay_where_they_outrun_big(void **state)
{
    (void)state;
    static const int links[] = {5, 10, 20, 40, 150}, wrong[] = {10, 40, 70, 100};
    for (size_t l = 0; l < sizeof links / sizeof *links; l++)
        for (size_t w = 0; w < sizeof wrong / sizeof *wrong; w++)
            if (cost(links[l], wrong[w]) > 1.015)
                fail_msg("link %d ms, %d %% wrong: %.3f of the time without drafts", links[l], wrong[w],
                         cost(links[l], wrong[w]));
    assert_true(cost(5, 10) < .8);
}

enum { N_TEXTS = 5 };
static const struct sim_text texts[N_TEXTS] = {
    {"the quick brown fox", "", NULL, 60},
    {"the quick", "", NULL, 45},
    {"ab", "cdefghabcdefghXbcdefghabcdYfghabcdefgh$", NULL, 60},
    {"to be or not to be", " that to be or not to be is to be or not to do", NULL, 46},
    {"the quick brown dog", "", NULL, 50}};

/* Requests come and go, workers lose what they hold, the drafter dies. [4] Of each two seeds the leaders drop nothing
 * in one. */
static void no_text_depends_on_it(void **state)
{
    (void)state;
    char plain[N_TEXTS][80];
    struct sim *s = sim_open(&(struct sim_config){.n_ctx = 128}, texts, N_TEXTS);
    sim_run(s);
    for (int i = 0; i < N_TEXTS; i++) snprintf(plain[i], sizeof plain[i], "%s", sim_written(s, i));
    sim_close(s);
    uint32_t n_accepted = 0, n_whole = 0;
    for (uint64_t seed = 1; seed <= 600; seed++) {
        int link_ms = (int)(seed * 7 % 40);
        struct sim_config c = {.n_groups = 1 + (int)(seed % 3),
                               .n_slots = 1 + (int)(seed / 3 % 3),
                               .n_stages = 1 + (int)(seed / 5 % 4),
                               .n_drafters = 1 + (int)(seed / 9 % 3),
                               .n_ctx = 128,
                               .max_rows = 10 + (int)(seed % 7),
                               .self_max = seed % 18 ? 2 + (int)(seed * 5 % 23) : (int)(seed / 18 % 2),
                               .draft_max = 1 + (int)(seed % 9),
                               .prior = {.1, .1},
                               .adaptive = true,
                               .wrong_percent = (int)(seed % 4) * 20,
                               .draft_ahead = seed % 9 ? 0 : 1 + (int)(seed % 5),
                               .draft_block = 1 + (int)(seed / 7 % 4),
                               .drops_nothing = seed / 2 % 2,
                               .shares_passes = seed / 4 % 2,
                               .shares_cores = seed % 8 > 3, /* its leader drafts what repeats, between rounds */
                               .link_ms = link_ms,
                               .rtt_ms = seed % 5 ? 4 * link_ms + 6 : 6, /* wrong about it, too */
                               .jitter = seed % 4 ? seed : 0};
        s = sim_open(&c, texts, N_TEXTS);
        for (int i = 0; i < N_TEXTS; i++) {
            int at = (int)(prefix_hash_mix(seed * N_TEXTS + (uint64_t)i) % 300);
            sim_request(s, i, at, (seed + (uint64_t)i) % 6 ? 0 : at + 200, NULL);
        }
        for (int k = 0; k < 2 && seed % 3 == 0; k++)
            sim_fault(s, (int)(seed * 31 % 400) + k * 600, (enum sim_fault)((seed / 3 + (uint64_t)k) % 4), 0);
        if (seed % 7 == 0) sim_fault(s, (int)(seed * 53 % 900), SIM_DRAFTER_DIES, 0);
        if (seed % 11 == 0) sim_fault(s, (int)(seed * 29 % 500), SIM_ASK_FAILS, 0);
        sim_run(s);
        for (int i = 0; i < N_TEXTS; i++) {
            const struct seq *q = sim_seq(s, i);
            const char *written = sim_written(s, i);
            bool cut = q->end == SEQ_ABORTED;
            if (strncmp(written, plain[i], strlen(written)) || (!cut && strcmp(written, plain[i])))
                fail_msg("seed %d, text %d: \"%s\", not \"%s\"", (int)seed, i, written, plain[i]);
            sim_check_counts(s, i);
            n_accepted += q->stats.n_accepted;
            n_whole += !cut;
        }
        sim_close(s);
    }
    assert_true(n_whole > 2000 && n_accepted > 4000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(drafts_come_in_blocks_and_each_is_judged_on_its_way),
        cmocka_unit_test(what_follows_a_wrong_draft_is_of_no_use_and_big_goes_on_by_itself),
        cmocka_unit_test(without_self_start_big_goes_on_only_behind_ids_that_have_arrived),
        cmocka_unit_test(near_the_drafter_a_pass_waits_for_the_first_drafts),
        cmocka_unit_test(on_the_same_cores_they_alternate_at_any_distance),
        cmocka_unit_test(drafts_cost_next_to_nothing_at_any_distance_and_pay_where_they_outrun_big),
        cmocka_unit_test(a_drafter_that_is_lost_holds_nothing_up),
        cmocka_unit_test(no_text_depends_on_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
