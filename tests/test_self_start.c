/* Self-start, on a virtual clock (as test_spec.c): the leader of the verifiers goes on with big's own ids where there
 * are no drafts, and what comes of it is the text, or an error, or nobody's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/sim.h"

/* A round trip of 40 ms is paid once, not for each token. */
static void a_text_without_drafts_takes_no_round_trip_a_token(void **state)
{
    (void)state;
    const struct sim_text text = {"ab", "cdefghijkl", NULL, 6};
    sim_transcript(&(struct sim_config){.link_ms = 20, .self_max = 8}, &text, 1,
                   "[   0] open    seq 0: 8 by itself\n"
                   "[   0] verify  seq 0 round 1 at 0: \"a|b\"\n"
                   "[  50] verdict seq 0 round 1 at 0: \"c\"\n"
                   "[  50] emit    seq 0: \"c\" b\n"
                   "[  60] self    seq 0 round 1 at 2: \"d\"\n"
                   "[  60] emit    seq 0: \"d\" b\n"
                   "[  60] ack     seq 0: 4\n"
                   "[  70] self    seq 0 round 1 at 3: \"e\"\n"
                   "[  70] emit    seq 0: \"e\" b\n"
                   "[  80] self    seq 0 round 1 at 4: \"f\"\n"
                   "[  80] emit    seq 0: \"f\" b\n"
                   "[  80] ack     seq 0: 6\n"
                   "[  90] self    seq 0 round 1 at 5: \"g\"\n"
                   "[  90] emit    seq 0: \"g\" b\n"
                   "[ 100] self    seq 0 round 1 at 6: \"h\"\n"
                   "[ 100] emit    seq 0: \"h\" b\n"
                   "[ 100] ack     seq 0: 8\n"
                   "[ 100] cut     seq 0\n"
                   "[ 100] done    seq 0: length\n");
}

static void ids_that_the_leader_wrote_are_counted_as_others_are(void **state)
{
    (void)state;
    const struct sim_text text = {"ab", "cdefghijkl", NULL, 6};
    struct sim *s = sim_open(&(struct sim_config){.link_ms = 20, .self_max = 8}, &text, 1);
    sim_run(s);
    const struct seq_stats *t = &sim_seq(s, 0)->stats;
    assert_int_equal(t->n_verifies, 5);
    assert_int_equal(t->n_drafts, 0);
    assert_int_equal(t->verify_ns, 60000000);
    assert_int_equal(t->wait_ns, 40000000); /* once */
    sim_close(s);
}

/* With --draft suffix the leader drafts: what big copies comes several ids a pass, and no round trip either. */
static void a_text_that_copies_comes_several_ids_a_pass(void **state)
{
    (void)state;
    const struct sim_text text = {"abcdefghX", "abcdeYZ", NULL, 7};
    sim_transcript(&(struct sim_config){.draft_max = 4, .suffix = true, .link_ms = 20, .self_max = 8}, &text, 1,
                   "[   0] open    seq 0: 8 by itself, drafts too\n"
                   "[   0] verify  seq 0 round 1 at 0: \"abcdefgh|X\"\n"
                   "[  50] verdict seq 0 round 1 at 0: \"a\"\n"
                   "[  50] emit    seq 0: \"a\" b\n"
                   "[  60] self    seq 0 round 1 at 9: \"b\"\n"
                   "[  60] emit    seq 0: \"b\" b\n"
                   "[  60] ack     seq 0: 11\n"
                   "[  70] self    seq 0 round 1 at 10: \"cde\", drafted \"cd\"\n"
                   "[  70] emit    seq 0: \"cde\" ddb\n"
                   "[  70] ack     seq 0: 14\n"
                   "[  80] self    seq 0 round 1 at 13: \"Yz\", drafted \"f\"\n"
                   "[  80] emit    seq 0: \"Y\" c\n"
                   "[  90] self    seq 0 round 1 at 14: \"Z\"\n"
                   "[  90] emit    seq 0: \"Z\" b\n"
                   "[  90] ack     seq 0: 16\n"
                   "[  90] cut     seq 0\n"
                   "[  90] done    seq 0: length\n");
}

/* A drafter that is always wrong: pauses of 8 and 16 tokens, of which each takes a round trip and no more. */
static void a_pause_of_the_drafts_takes_one_round_trip(void **state)
{
    (void)state;
    const struct sim_text text = {"ab", "0123456789012345678901234567890123456789",
                                  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 40};
    uint64_t wait_ns[2];
    uint32_t n_drafted[2];
    for (int i = 0; i < 2; i++) {
        struct sim_config c = {.draft_max = 4, .adaptive = true, .link_ms = 20, .self_max = i ? 64 : 0};
        struct sim *s = sim_open(&c, &text, 1);
        sim_run(s);
        assert_string_equal(sim_written(s, 0), text.big);
        wait_ns[i] = sim_seq(s, 0)->stats.wait_ns;
        n_drafted[i] = sim_seq(s, 0)->stats.n_drafted;
        sim_close(s);
    }
    assert_true(n_drafted[0] > 0 && n_drafted[1] > 0);
    assert_true(wait_ns[1] * 2 < wait_ns[0]);
}

/* Drafts are known to be dear: the leader writes as many ids as came plainly so far, in each text anew. */
static void the_longer_a_text_has_no_drafts_the_further_its_leader_writes(void **state)
{
    (void)state;
    const struct sim_text two[] = {{"ab", "cdefghij", NULL, 6}, {"ab", "cdefghij", NULL, 4}};
    const struct sim_config c = {
        .draft_max = 2, .adaptive = true, .prior = {1.3, 1.3}, .link_ms = 20, .self_max = 64, .shares_cores = true};
    sim_transcript(&c, two, 2,
                   "[   0] open    seq 0: slot 0\n"
                   "[   0] open    seq 0: 2 by itself\n"
                   "[   0] verify  seq 0 round 1 at 0: \"a|b\"\n"
                   "[  50] verdict seq 0 round 1 at 0: \"c\"\n"
                   "[  50] emit    seq 0: \"c\" b\n"
                   "[  60] self    seq 0 round 1 at 2: \"d\"\n"
                   "[  60] emit    seq 0: \"d\" b\n"
                   "[  60] open    seq 0: 2 by itself, drafts too\n"
                   "[  60] verify  seq 0 round 2 at 3: \"|d\"\n"
                   "[ 110] verdict seq 0 round 2 at 3: \"e\"\n"
                   "[ 110] emit    seq 0: \"e\" b\n"
                   "[ 120] self    seq 0 round 2 at 4: \"f\"\n"
                   "[ 120] emit    seq 0: \"f\" b\n"
                   "[ 120] open    seq 0: 4 by itself, drafts too\n"
                   "[ 120] verify  seq 0 round 3 at 5: \"|f\"\n"
                   "[ 170] verdict seq 0 round 3 at 5: \"g\"\n"
                   "[ 170] emit    seq 0: \"g\" b\n"
                   "[ 180] self    seq 0 round 3 at 6: \"h\"\n"
                   "[ 180] emit    seq 0: \"h\" b\n"
                   "[ 180] cut     seq 0\n"
                   "[ 180] done    seq 0: length\n"
                   "[ 180] open    seq 1: slot 0\n"
                   "[ 180] open    seq 1: 2 by itself\n"
                   "[ 180] verify  seq 1 round 4 at 1: \"|b\"\n"
                   "[ 230] verdict seq 1 round 4 at 1: \"c\"\n"
                   "[ 230] emit    seq 1: \"c\" b\n"
                   "[ 240] self    seq 1 round 4 at 2: \"d\"\n"
                   "[ 240] emit    seq 1: \"d\" b\n"
                   "[ 240] open    seq 1: 2 by itself, drafts too\n"
                   "[ 240] verify  seq 1 round 5 at 3: \"|d\"\n"
                   "[ 290] verdict seq 1 round 5 at 3: \"e\"\n"
                   "[ 290] emit    seq 1: \"e\" b\n"
                   "[ 300] self    seq 1 round 5 at 4: \"f\"\n"
                   "[ 300] emit    seq 1: \"f\" b\n"
                   "[ 300] cut     seq 1\n"
                   "[ 300] done    seq 1: length\n");
}

#define OWN(at_, rows_, n_rows_, drafts_)                                                                              \
    {                                                                                                                  \
        .round = 1, .at = at_, .rows = rows_, .n_rows = n_rows_, .drafts = drafts_,                                    \
        .n_drafts = sizeof drafts_ / sizeof *drafts_                                                                   \
    }

/* After the text "abc": an id that the leader wrote by itself, or says that it cannot. */
static void what_the_leader_writes_by_itself_follows_the_text_or_is_an_error(void **state)
{
    (void)state;
    static const struct verdict_row row = {.next = 'd', .lp_next = -1}, past = {.next = 256}, two[2] = {{.next = 'd'}};
    static const float lp = -1;
#define JUDGED(id)                                                                                                     \
    {                                                                                                                  \
        .next = id, .lp_judged = &lp, .n_judged = 1                                                                    \
    }
    static const struct verdict_row def[] = {JUDGED('d'), JUDGED('e'), {.next = 'f'}},
                                    cde[] = {JUDGED('c'), JUDGED('d'), {.next = 'e'}},
                                    bcd[] = {JUDGED('b'), JUDGED('c'), {.next = 'd'}},
                                    many[] = {JUDGED('d'), JUDGED('d'), JUDGED('d'), {.next = 'f'}},
                                    odd[] = {JUDGED('d'), JUDGED('d'), JUDGED('d')};
#undef JUDGED
    static const int32_t bc[] = {'b', 'c'}, de[] = {'d', 'e'}, dx[] = {'d', 'x'}, xe[] = {'x', 'e'}, cd[] = {'c', 'd'},
                         ddd[] = {'d', 'd', 'd'};
    static const struct {
        const char *why;
        struct verdict verdict; /* its prefix hash: the right one, if it is 0 here */
        int rc;
        const char *error; /* NULL: none */
        int n_ids;
        enum seq_end end;
    } rows[] = {
        {"the next", {.round = 1, .at = 2, .rows = &row, .n_rows = 1}, OK, NULL, 4, SEQ_RUNNING},
        {"one that came before", {.round = 1, .at = 1, .rows = &row, .n_rows = 1}, OK, NULL, 3, SEQ_RUNNING},
        {"of a round to come", {.round = 2, .at = 2, .rows = &row, .n_rows = 1}, E_PEER, "round 2", 3, SEQ_RUNNING},
        {"of a round before", {.at = 2, .rows = &row, .n_rows = 1}, E_PEER, "round 0", 3, SEQ_RUNNING},
        {"of no round", {.round = ~0U, .at = 2, .rows = &row, .n_rows = 1}, E_PEER, "round 42949", 3, SEQ_RUNNING},
        {"behind a gap", {.round = 1, .at = 3, .rows = &row, .n_rows = 1}, E_PEER, "does not follow", 3, SEQ_RUNNING},
        {"after another text",
         {.round = 1, .at = 2, .prefix_hash = 9, .rows = &row, .n_rows = 1},
         E_PEER,
         "slot 0: an id at 2 that does not follow the text of 3",
         3,
         SEQ_RUNNING},
        {"none", {.round = 1, .at = 2}, E_PEER, "does not follow", 3, SEQ_RUNNING},
        {"two", {.round = 1, .at = 2, .rows = two, .n_rows = 2}, E_PEER, "does not follow", 3, SEQ_RUNNING},
        {"none of big's",
         {.round = 1, .at = 2, .rows = &past, .n_rows = 1},
         E_PEER,
         "outside the vocabulary of 256",
         3,
         SEQ_RUNNING},
        {"two of its drafts, right", OWN(2, def, 3, de), OK, NULL, 6, SEQ_RUNNING},
        {"two, the second wrong", OWN(2, def, 3, dx), OK, NULL, 5, SEQ_RUNNING},
        {"two, the first wrong", OWN(2, def, 3, xe), OK, NULL, 4, SEQ_RUNNING},
        {"two, of which one came before", OWN(1, cde, 3, cd), OK, NULL, 5, SEQ_RUNNING},
        {"two, which begin otherwise than what came before", OWN(1, cde, 3, xe), OK, NULL, 3, SEQ_RUNNING},
        {"two, which came before, and a new bonus", OWN(0, bcd, 3, bc), OK, NULL, 4, SEQ_RUNNING},
        {"more than it may", OWN(2, many, 4, ddd), E_PEER, "3 drafts of the leader's own, at most 2", 3, SEQ_RUNNING},
        {"a last row that judges", OWN(2, odd, 3, de), E_PEER, "row 2 judges 1 ids", 3, SEQ_RUNNING},
        {"a row too many", OWN(2, many, 4, de), E_PEER, "does not follow", 3, SEQ_RUNNING},
        {"it cannot", {.round = 1, .at = 2, .status = VERDICT_FAILED, .error = "nan"}, OK, "nan", 3, SEQ_FAILED},
    };
    static struct draft_profile profile;
    const struct spec_config c = {.n_ctx = 32,
                                  .root = 1,
                                  .drafter = {.kind = DRAFTER_SUFFIX},
                                  .self_max = 4,
                                  .n_groups = 1,
                                  .groups = {{2, 1, 8, 8, 256, &profile}}};
    static const int32_t prompt[] = {'a', 'b'}, end_ids[OPEN_END_IDS_MOST + 1] = {7};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct request r = {.prompt = prompt,
                                  .n_prompt = 2,
                                  .settings = {.n_predict = 9,
                                               .drafting = true,
                                               .draft_max = 2,
                                               .sampler = {.temp = .5f, .seed = 9, .offset = 99},
                                               .end_ids = end_ids,
                                               .n_end_ids = OPEN_END_IDS_MOST + (int)(i % 2)}};
        struct spec *spec;
        struct seq seq;
        struct actions a;
        struct err err = {0};
        assert_int_equal(seq_init(&seq, &r, 32, &err), OK);
        assert_int_equal(spec_open(&spec, &c, &err), OK);
        assert_int_equal(spec_step(spec, &(struct event){.kind = EVENT_SUBMIT, .seq = &seq}, &a, &err), OK);
        const struct open_slot *open = &a.list[0].message.open;
        assert_true(a.list[0].peer == 2 && open->slot == 0 && open->round == 1 && open->self_max == 4);
        assert_true(open->draft_max == 2 && !open->adaptive && open->text == 1);
        assert_true(open->end_ids == end_ids && open->n_end_ids == OPEN_END_IDS_MOST && open->last_position == 11);
        assert_true(open->sampler.temp == .5f && open->sampler.seed == 9 && open->sampler.offset == 0);
        const struct part part = a.list[1].message.verify;
        sim_answer(spec, &part, VERDICT_OK, "c", 0, &a);
        struct verdict v = rows[i].verdict;
        if (!v.prefix_hash) v.prefix_hash = seq.prefix_hash[v.at];
        const struct event e = {.kind = EVENT_VERDICT, .verdict = &v};
        int rc = spec_step(spec, &e, &a, &err);
        const char *error = rc == OK ? seq.why.text : err.text;
        if (rc != rows[i].rc || seq.n_ids != rows[i].n_ids || seq.end != rows[i].end ||
            (rows[i].error && !strstr(error, rows[i].error)))
            fail_msg("%s: %d \"%s\", %d ids, end %d", rows[i].why, rc, error, seq.n_ids, (int)seq.end);
        if (seq.end == SEQ_FAILED) assert_int_equal(seq.why.code, E_MODEL);
        spec_close(spec);
        seq_free(&seq);
    }
}

/* What it wrote meanwhile is nobody's, also where the next text begins alike. */
static void a_text_that_is_cancelled_is_cut_and_what_still_comes_is_dropped(void **state)
{
    (void)state;
    const struct sim_text texts[] = {{"ab", "cdefghijkl", NULL, 9}, {"ab", "cxyz", NULL, 2}};
    struct sim *s = sim_open(&(struct sim_config){.link_ms = 20, .self_max = 64}, texts, 2);
    sim_request(s, 0, 0, 65, NULL);
    sim_run(s);
    sim_expect(s, "[   0] open    seq 0: 64 by itself\n"
                  "[   0] verify  seq 0 round 1 at 0: \"a|b\"\n"
                  "[  50] verdict seq 0 round 1 at 0: \"c\"\n"
                  "[  50] emit    seq 0: \"c\" b\n"
                  "[  60] self    seq 0 round 1 at 2: \"d\"\n"
                  "[  60] emit    seq 0: \"d\" b\n"
                  "[  65] cancel  seq 0\n"
                  "[  65] cut     seq 0\n"
                  "[  65] done    seq 0: aborted\n"
                  "[  65] open    seq 1: 64 by itself\n"
                  "[  65] verify  seq 1 round 2 at 1: \"|b\"\n"
                  "[  70] self    seq 0 round 1 at 3: \"e\"\n"
                  "[  80] self    seq 0 round 1 at 4: \"f\"\n"
                  "[  90] self    seq 0 round 1 at 5: \"g\"\n"
                  "[ 100] self    seq 1 round 1 at 6: \"h\"\n"
                  "[ 110] self    seq 1 round 1 at 7: \"i\"\n"
                  "[ 120] verdict seq 1 round 2 at 1: \"c\"\n"
                  "[ 120] emit    seq 1: \"c\" b\n"
                  "[ 130] self    seq 1 round 2 at 2: \"d\"\n"
                  "[ 130] emit    seq 1: \"d\" b\n"
                  "[ 130] cut     seq 1\n"
                  "[ 130] done    seq 1: length\n");
    sim_close(s);
}

/* Texts that repeat themselves, and one that does not. Past their scripts big writes letters drawn from the text. */
static const struct sim_text repeating[] = {
    {"the cat sat on the mat; the cat sat", " on the mat; the cat sat on the hat; the dog sat on the mat", NULL, 60},
    {"0123456789", "0123456789012345678901234567890123456789", NULL, 50},
    {"ababab", "abababXabababYababab$", NULL, 40},
    {"the quick brown fox", "", NULL, 30},
    {"the cat sat on the mat; the cat", " ran", NULL, 12},
};
enum { N_REPEATING = sizeof repeating / sizeof *repeating };

/* Of each three seeds one has a slow network; leaders lose what they hold. Beside little the leaders draft what it has
 * not read. */
static void no_text_depends_on_it(bool suffix)
{
    char plain[N_REPEATING][80];
    struct sim *s = sim_open(&(struct sim_config){.n_ctx = 128}, repeating, N_REPEATING);
    sim_run(s);
    for (int i = 0; i < N_REPEATING; i++) snprintf(plain[i], sizeof plain[i], "%s", sim_written(s, i));
    sim_close(s);
    uint32_t n_accepted = 0, n_refused = 0;
    for (uint64_t seed = 1; seed <= 400; seed++) {
        struct sim_config c = {.n_groups = 1 + (int)(seed % 3),
                               .n_slots = 1 + (int)(seed / 3 % 3),
                               .n_ctx = 128,
                               .max_rows = 9 + (int)(seed % 7),
                               .self_max = 2 + (int)(seed * 5 % 23),
                               .draft_max = (int)(seed % 9),
                               .draft_ctx = suffix ? 0 : 2,
                               .suffix = suffix,
                               .wrong_percent = 50,
                               .adaptive = seed % 2,
                               .link_ms = seed % 3 ? 1 : 40,
                               .jitter = seed % 4 ? seed : 0};
        s = sim_open(&c, repeating, N_REPEATING);
        for (int k = 0; k < 3 && seed % 5 == 0; k++)
            sim_fault(s, (int)(seed * 31 % 200) + k * 500, (enum sim_fault)((seed + (uint64_t)k) % 2), 0);
        sim_run(s);
        for (int i = 0; i < N_REPEATING; i++) {
            const struct seq *q = sim_seq(s, i);
            if (strcmp(sim_written(s, i), plain[i]))
                fail_msg("seed %d, text %d: \"%s\", not \"%s\"", (int)seed, i, sim_written(s, i), plain[i]);
            sim_check_counts(s, i);
            assert_true(q->stats.n_judged <= q->stats.n_drafted && (!suffix || !q->stats.n_asks));
            if (!c.draft_max) assert_int_equal(q->stats.n_drafted, 0);
            n_accepted += q->stats.n_accepted;
            n_refused += q->stats.n_judged - q->stats.n_accepted;
        }
        sim_close(s);
    }
    assert_true(n_accepted > 10000 && n_refused > 1000);
}

static void no_text_depends_on_what_its_leader_drafts(void **state)
{
    (void)state;
    no_text_depends_on_it(true);
    no_text_depends_on_it(false);
}

static void a_leader_may_write_twice_what_a_round_trip_gives_time_for(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        int self_max;
        uint64_t rtt_ms;
        double token_us;
        int most;
    } rows[] = {
        {"a number that is given counts, whatever the links", 64, 1000, 1000, 64},
        {"none", 0, 1000, 1000, 0},
        {"1 s, 30 ms a token: the least", SELF_MEASURED, 1000, 30000, SELF_LEAST},
        {"1 s, 10 ms a token", SELF_MEASURED, 1000, 10000, 208},
        {"1 s, 3 ms a token", SELF_MEASURED, 1000, 3000, 675},
        {"80 ms, 30 ms a token: the least", SELF_MEASURED, 80, 30000, SELF_LEAST},
        {"no token was timed", SELF_MEASURED, 1000, 0, 2008},
        {"too far: the most", SELF_MEASURED, 10000, 1000, SELF_MOST},
        {"no link was measured: the most", SELF_MEASURED, 0, 30000, SELF_MOST},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int most = spec_self_most(rows[i].self_max, rows[i].rtt_ms * 1000000, rows[i].token_us * 1e3);
        if (most != rows[i].most) fail_msg("%s: %d", rows[i].why, most);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_text_without_drafts_takes_no_round_trip_a_token),
        cmocka_unit_test(ids_that_the_leader_wrote_are_counted_as_others_are),
        cmocka_unit_test(a_text_that_copies_comes_several_ids_a_pass),
        cmocka_unit_test(a_pause_of_the_drafts_takes_one_round_trip),
        cmocka_unit_test(the_longer_a_text_has_no_drafts_the_further_its_leader_writes),
        cmocka_unit_test(what_the_leader_writes_by_itself_follows_the_text_or_is_an_error),
        cmocka_unit_test(a_text_that_is_cancelled_is_cut_and_what_still_comes_is_dropped),
        cmocka_unit_test(no_text_depends_on_what_its_leader_drafts),
        cmocka_unit_test(a_leader_may_write_twice_what_a_round_trip_gives_time_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
