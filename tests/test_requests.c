/* Requests that come and go, on a virtual clock (as test_spec.c): where each begins, that no text depends on who runs
 * beside it or ran before, and what is left when a request is cancelled. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "proto/prefix_hash.h"
#include "tests/lib/sim.h"

/* ---- where a request begins ---- */

static void a_request_that_comes_later_joins_those_that_run(void **state)
{
    (void)state;
    const struct sim_text texts[] = {{"ab", "cdefg", NULL, 3}, {"xy", "zzz", NULL, 2}};
    struct sim *s = sim_open(&(struct sim_config){.n_slots = 2}, texts, 2);
    sim_request(s, 1, 15, 0, NULL);
    sim_run(s);
    sim_expect(s, "[   0] verify  seq 0 round 1 at 0: \"a|b\"\n"
                  "[  12] verdict seq 0 round 1 at 0: \"c\"\n"
                  "[  12] emit    seq 0: \"c\" b\n"
                  "[  12] verify  seq 0 round 2 at 2: \"|c\"\n"
                  "[  15] submit  seq 1\n"
                  "[  15] verify  seq 1 round 1 at 0: \"x|y\"\n"
                  "[  24] verdict seq 0 round 2 at 2: \"d\"\n"
                  "[  24] emit    seq 0: \"d\" b\n"
                  "[  24] verify  seq 0 round 3 at 3: \"|d\"\n"
                  "[  34] verdict seq 1 round 1 at 0: \"z\"\n"
                  "[  34] emit    seq 1: \"z\" b\n"
                  "[  34] verify  seq 1 round 2 at 2: \"|z\"\n"
                  "[  44] verdict seq 0 round 3 at 3: \"e\"\n"
                  "[  44] emit    seq 0: \"e\" b\n"
                  "[  44] done    seq 0: length\n"
                  "[  54] verdict seq 1 round 2 at 2: \"z\"\n"
                  "[  54] emit    seq 1: \"z\" b\n"
                  "[  54] done    seq 1: length\n");
    sim_close(s);
}

static void the_free_slot_that_holds_the_longest_part_of_it_is_taken(void **state)
{
    (void)state;
    static const struct {
        const char *why, *prompt;
        int slot, n_fed;
    } rows[] = {
        {"like the second", "the dog s", 1, 1},
        {"like the third", "a horse and", 2, 4},
        {"as much like the first as like the second: the one that ran longer ago", "the p", 0, 1},
        {"like none: the one that ran longest ago", "xyz", 0, 3},
        {"its last row is fed, though it is held", "the dog ", 1, 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct sim_text texts[] = {{"the cat ", "m", NULL, 1},
                                         {"the dog ", "b", NULL, 1},
                                         {"a horse", "n", NULL, 1},
                                         {rows[i].prompt, "!", NULL, 1}};
        struct sim *s = sim_open(&(struct sim_config){.n_slots = 3}, texts, 4);
        sim_request(s, 3, 100, 0, NULL);
        sim_run(s);
        const struct seq *q = sim_seq(s, 3);
        if (q->slot != rows[i].slot || (int)q->stats.n_prompt_rows != rows[i].n_fed)
            fail_msg("%s: slot %d, %u rows", rows[i].why, q->slot, q->stats.n_prompt_rows);
        sim_close(s);
    }
}

static void a_fresh_request_uses_nothing_of_the_text_before(void **state)
{
    (void)state;
    const struct sim_text texts[] = {{"the cat ", "sat", NULL, 3}, {"the cat ", "sat", NULL, 3}};
    const struct sim_config c = {.draft_max = 2};
    struct settings fresh = sim_settings(&c);
    fresh.fresh = true;
    for (int i = 0; i < 2; i++) {
        struct sim *s = sim_open(&c, texts, 2);
        sim_request(s, 1, 100, 0, i ? &fresh : NULL);
        sim_run(s);
        assert_int_equal(sim_seq(s, 1)->stats.n_prompt_rows, i ? 8 : 1);
        sim_close(s);
    }
}

/* ---- what is copied from another slot ---- */

#define LONG "it was the best of times, it was the worst of times" /* 51 ids */

/* The first text is read in four parts of 16 rows, one after the other, to 46 ms, and runs to 300 ms and more. */
static void what_another_slot_holds_of_a_prompt_is_copied_not_computed(void **state)
{
    (void)state;
    static const struct {
        const char *why, *prompt;
        int at_ms, n_fed, n_copied;
        bool fresh;
        int cancel_ms; /* the first text */
        int n_groups;
    } rows[] = {
        {"all but the last, of one that is written", LONG, 100, 1, 50, false, 0, 1},
        {"its beginning", "it was the best of all", 100, 3, 19, false, 0, 1},
        {"and all of it", LONG ", it was", 100, 8, 51, false, 0, 1},
        {"so many", "it was tXX", 100, 2, 8, false, 0, 1},
        {"one fewer are not worth it", "it was XXX", 100, 10, 0, false, 0, 1},
        {"none: another text", "the rest is silence", 100, 19, 0, false, 0, 1},
        {"none: it is to begin afresh", LONG, 100, 51, 0, true, 0, 1},
        {"of one that comes with it, and is waited for", LONG, 0, 1, 50, false, 0, 1},
        {"of one that is being read", LONG, 20, 1, 50, false, 0, 1},
        {"all of it but the last id, which the same pass answers", LONG ", it was", 0, 9, 50, false, 0, 1},
        {"no more of it than it needs", "it was the best of times, it was tXX", 0, 2, 34, false, 0, 1},
        {"of which so many are worth a pass", "it was the best of times, it wasXXX", 0, 3, 32, false, 0, 1},
        {"and one fewer are not", "it was the best of times, it waXXX", 0, 34, 0, false, 0, 1},
        {"what had been sent of one that is cancelled then", LONG, 5, 51 - 32, 32, false, 15, 1},
        {"none: where it is over its slot is taken", LONG, 60, 1, 0, false, 50, 1},
        {"none: where nothing runs there is another group", LONG, 0, 51, 0, false, 0, 2},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct sim_text both[] = {{LONG, "", NULL, 12}, {rows[i].prompt, "", NULL, 3}};
        const struct sim_config c = {.n_groups = rows[i].n_groups, .n_slots = 2, .max_jobs = 2};
        struct settings set = sim_settings(&c);
        set.fresh = rows[i].fresh;
        struct sim *s = sim_open(&c, both, 2);
        sim_request(s, 0, 0, rows[i].cancel_ms, NULL);
        sim_request(s, 1, rows[i].at_ms, 0, &set);
        sim_run(s);
        const struct seq_stats *got = &sim_seq(s, 1)->stats;
        if ((int)got->n_prompt_rows != rows[i].n_fed || (int)got->n_prompt_copied != rows[i].n_copied)
            fail_msg("%s: %u rows, %u copied", rows[i].why, got->n_prompt_rows, got->n_prompt_copied);
        sim_close(s);
    }
}

/* Two choices of one request, and a third text that has a slot when the first is done. */
static void choices_of_one_request_wait_for_its_prompt(void **state)
{
    (void)state;
    const struct sim_text three[] = {{LONG, "s", NULL, 1}, {LONG, "s", NULL, 2}, {LONG ".", "s", NULL, 1}};
    struct sim *s = sim_open(&(struct sim_config){.n_slots = 2, .max_rows = 32}, three, 3);
    sim_run(s);
    sim_expect(s, "[   0] verify  seq 0 round 1 at 0: \"it was the best of times, it was\"\n"
                  "[   0] verify  seq 0 round 1 at 32: \" the worst of time|s\"\n"
                  "[   0] verify  seq 1 round 1 at 50: \"|s\"\n"
                  "[   0]         copied from slot 0\n"
                  "[  12] verdict seq 0 round 1 at 0: \"\"\n"
                  "[  22] verdict seq 0 round 1 at 32: \"s\"\n"
                  "[  22] emit    seq 0: \"s\" b\n"
                  "[  22] done    seq 0: length\n"
                  "[  22] verify  seq 2 round 2 at 51: \"|.\"\n"
                  "[  32] verdict seq 1 round 1 at 50: \"s\"\n"
                  "[  32] emit    seq 1: \"s\" b\n"
                  "[  32] verify  seq 1 round 2 at 51: \"|s\"\n"
                  "[  42] verdict seq 2 round 2 at 51: \"s\"\n"
                  "[  42] emit    seq 2: \"s\" b\n"
                  "[  42] done    seq 2: length\n"
                  "[  52] verdict seq 1 round 2 at 51: \"z\"\n"
                  "[  52] emit    seq 1: \"z\" b\n"
                  "[  52] done    seq 1: length\n");
    sim_close(s);
}

/* The first is read to 46 ms. */
static void to_wait_for_a_prompt_is_no_time_of_the_network(void **state)
{
    (void)state;
    const struct sim_text two[] = {{LONG, "s", NULL, 1}, {LONG, "s", NULL, 1}};
    struct sim *s = sim_open(&(struct sim_config){.n_slots = 2, .max_jobs = 2}, two, 2);
    sim_run(s);
    const struct seq_stats *got = &sim_seq(s, 1)->stats;
    assert_int_equal(got->n_prompt_copied, 50);
    assert_true(got->first_ns - got->start_ns > 46000000);
    assert_in_range(got->wait_ns, 2000000, 12000000); /* a message's ways, and a pass of the first's */
    sim_close(s);
}

/* The first is cancelled while it is read, and the third, which waited, takes its slot at once. */
static void a_text_whose_source_is_gone_is_computed(void **state)
{
    (void)state;
    const struct sim_text three[] = {{LONG, "s", NULL, 1}, {LONG, "stu", NULL, 3}, {"call me a fish", "x", NULL, 1}};
    struct sim *s = sim_open(&(struct sim_config){.n_slots = 2, .max_jobs = 2}, three, 3);
    sim_request(s, 0, 0, 15, NULL);
    sim_run(s);
    assert_int_equal(sim_seq(s, 2)->slot, 0);
    assert_string_equal(sim_written(s, 1), "stu");
    assert_int_equal(sim_seq(s, 1)->stats.n_prompt_rows, 51);
    assert_int_equal(sim_seq(s, 1)->stats.n_prompt_copied, 0);
    sim_close(s);
}

/* Slot 1 has no room for a part, as one of a text before is under way, when the text that was to copy is cancelled: the
 * slot holds nothing of it. */
static void what_was_not_copied_yet_is_not_held(void **state)
{
    (void)state;
    const struct sim_text four[] = {
        {LONG, "", NULL, 12}, {"call me a fish", "", NULL, 12}, {LONG, "", NULL, 3}, {LONG, "", NULL, 3}};
    struct sim *s = sim_open(&(struct sim_config){.n_slots = 2, .max_jobs = 2}, four, 4);
    sim_request(s, 1, 0, 100, NULL);
    sim_request(s, 2, 0, 101, NULL);
    sim_run(s);
    const struct seq_stats *got = &sim_seq(s, 3)->stats;
    assert_int_equal(sim_seq(s, 2)->stats.n_prompt_rows, 0);
    assert_int_equal(got->n_prompt_rows, 1);
    assert_int_equal(got->n_prompt_copied, 50);
    sim_close(s);
}

/* Nothing that goes wrong with the one that it waits for, or copies from, changes a text. */
static void what_is_to_be_copied_may_be_lost(void **state)
{
    (void)state;
    static const struct {
        enum sim_fault fault;
        int at_ms, slot;
        enum seq_end first; /* of the first text */
    } rows[] = {
        {SIM_VERIFIER_FORGETS, 20, 0, SEQ_LENGTH}, {SIM_VERIFIER_STRAYS, 20, 0, SEQ_LENGTH},
        {SIM_VERIFIER_FORGETS, 42, 0, SEQ_LENGTH}, {SIM_VERIFIER_STRAYS, 42, 0, SEQ_LENGTH},
        {SIM_VERIFIER_STRAYS, 55, 1, SEQ_LENGTH},  {SIM_PART_FAILS, 20, 0, SEQ_FAILED},
        {SIM_PART_FAILS, 42, 0, SEQ_FAILED},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct sim_text both[] = {{LONG, "abcdef", NULL, 6}, {LONG, "abcdef", NULL, 6}};
        struct sim *s = sim_open(&(struct sim_config){.n_slots = 2, .max_jobs = 2}, both, 2);
        sim_fault(s, rows[i].at_ms, rows[i].fault, rows[i].slot);
        sim_run(s);
        assert_int_equal(sim_seq(s, 0)->end, rows[i].first);
        assert_int_equal(sim_seq(s, 1)->end, SEQ_LENGTH);
        assert_string_equal(sim_written(s, 1), "abcdef");
        sim_close(s);
    }
}

/* Of an exact text: of the 51 ids and big's first the drafter reads as many as it is to. */
static void what_the_drafter_has_read_of_a_prompt_is_copied_there_too(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        int draft_ctx, n_slots;
        bool fresh, lossy;
        int n_rows; /* that the drafter computes of the second text */
    } rows[] = {
        {"all that it has read", 60, 2, false, false, 1},
        {"the end that it has read", 20, 2, false, false, 1},
        {"too few", 8, 2, false, false, 8},
        {"of its own slot", 60, 1, false, false, 1},
        {"none: afresh", 60, 2, true, false, 52},
        {"none: a lossy text depends on what was read", 60, 2, false, true, 52},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int n_rows[2];
        for (int n = 1; n <= 2; n++) {
            const struct sim_text both[] = {{LONG, "a", NULL, 40}, {LONG, "a", NULL, 3}};
            const struct sim_config c = {.n_slots = rows[i].n_slots, .n_ctx = 100, .draft_max = 1, .max_rows = 32};
            struct settings first = sim_settings(&c), set = first;
            first.draft_ctx = set.draft_ctx = rows[i].draft_ctx;
            set.fresh = rows[i].fresh;
            if (rows[i].lossy) set.rule = (struct rule){RULE_STRICT, 9};
            struct sim *s = sim_open(&c, both, n);
            sim_request(s, 0, 0, 0, &first);
            if (n == 2) sim_request(s, 1, 200, 0, &set);
            sim_run(s);
            n_rows[n - 1] = sim_n_drafter_rows(s);
            sim_close(s);
        }
        if (n_rows[1] - n_rows[0] != rows[i].n_rows) fail_msg("%s: %d rows", rows[i].why, n_rows[1] - n_rows[0]);
    }
}

/* ---- and the groups ---- */

static void requests_spread_over_groups(void **state)
{
    (void)state;
    const struct sim_text texts[] = {{"a", "", NULL, 2}, {"b", "", NULL, 2}, {"c", "", NULL, 2}, {"d", "", NULL, 2}};
    static const int groups[] = {0, 1, 2, 0}, slots[] = {0, 0, 0, 1};
    struct sim *s = sim_open(&(struct sim_config){.n_groups = 3, .n_slots = 2, .draft_max = 2}, texts, 4);
    sim_run(s);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(sim_seq(s, i)->group, groups[i]);
        assert_int_equal(sim_seq(s, i)->slot, slots[i]);
    }
    sim_close(s);
}

static void of_groups_with_as_many_requests_the_one_that_has_most_of_the_text_is_taken(void **state)
{
    (void)state;
    static const char *const prompts[] = {LONG, "call me a fish, some years ago, never mind how long"};
    for (int like = 0; like < 2; like++) {
        const struct sim_text three[] = {
            {prompts[0], "", NULL, 12}, {prompts[1], "", NULL, 12}, {prompts[like], "", NULL, 2}};
        struct sim *s = sim_open(&(struct sim_config){.n_groups = 2, .n_slots = 2}, three, 3);
        sim_request(s, 2, 100, 0, NULL);
        sim_run(s);
        assert_int_equal(sim_seq(s, 1)->group, 1);
        assert_int_equal(sim_seq(s, 2)->group, like);
        assert_int_equal(sim_seq(s, 2)->stats.n_prompt_copied, 50);
        sim_close(s);
    }
}

/* The third would find its beginning in the slot; the second came before it. */
static void requests_start_in_the_order_in_which_they_came(void **state)
{
    (void)state;
    const struct sim_text texts[] = {{"the cat", "s", NULL, 1}, {"a dog", "s", NULL, 1}, {"the cat", "s", NULL, 1}};
    struct sim *s = sim_open(&(struct sim_config){0}, texts, 3);
    sim_run(s);
    assert_true(sim_seq(s, 1)->stats.last_ns < sim_seq(s, 2)->stats.start_ns + 1);
    assert_int_equal(sim_seq(s, 2)->stats.n_prompt_rows, 7);
    sim_close(s);
}

/* ---- what ends ---- */

/* Its verify is on its way, and takes up room; the next one begins at once. */
static void a_request_that_is_cancelled_leaves_its_slot_to_the_next(void **state)
{
    (void)state;
    const struct sim_text texts[] = {{"abcd", "efgh", NULL, 4}, {"abc", "xyz", NULL, 1}};
    struct sim *s = sim_open(&(struct sim_config){.draft_max = 2}, texts, 2);
    sim_request(s, 0, 0, 18, NULL);
    sim_run(s);
    sim_expect(s, "[   0] open    seq 0: slot 0\n"
                  "[   0] verify  seq 0 round 1 at 0: \"abc|d\"\n"
                  "[  12] verdict seq 0 round 1 at 0: \"e\"\n"
                  "[  12] emit    seq 0: \"e\" b\n"
                  "[  12] ask     seq 0 round 2 at 0: \"abcde\", up to 7\n"
                  "[  16] draft   seq 0 round 2 at 5: \"fg\", window\n"
                  "[  16] verify  seq 0 round 2 at 4: \"|efg\"\n"
                  "[  18] cancel  seq 0\n"
                  "[  18] done    seq 0: aborted\n"
                  "[  18] open    seq 1: slot 0\n"
                  "[  18] verify  seq 1 round 3 at 2: \"|c\"\n"
                  "[  28] verdict seq 0 round 2 at 4: \"fgh\"\n"
                  "[  38] verdict seq 1 round 3 at 2: \"x\"\n"
                  "[  38] emit    seq 1: \"x\" b\n"
                  "[  38] done    seq 1: length\n");
    assert_string_equal(sim_written(s, 0), "e");
    sim_close(s);
}

static void a_request_that_waits_is_cancelled_where_it_stands(void **state)
{
    (void)state;
    const struct sim_text texts[] = {
        {"a", "b", NULL, 1}, {"c", "d", NULL, 1}, {"e", "f", NULL, 1}, {"g", "h", NULL, 1}};
    for (int gone = 1; gone < 4; gone++) {
        struct sim *s = sim_open(&(struct sim_config){0}, texts, 4);
        sim_request(s, gone, 0, 5, NULL);
        sim_fault(s, 6, SIM_CANCEL, gone); /* it has ended: nothing */
        sim_run(s);
        for (int i = 0; i < 4; i++) {
            assert_int_equal(sim_seq(s, i)->end, i == gone ? SEQ_ABORTED : SEQ_LENGTH);
            assert_int_equal(sim_seq(s, i)->slot, i == gone ? -1 : 0);
        }
        sim_close(s);
    }
}

/* As many as there may be: more than a step usually has to say. */
static void all_that_run_and_wait_are_cancelled_at_once(void **state)
{
    (void)state;
    enum { N = 100 };
    static struct sim_text many[N];
    for (int i = 0; i < N; i++) many[i] = (struct sim_text){"abc", "def", NULL, 3};
    struct sim *s = sim_open(&(struct sim_config){.n_slots = 2}, many, N);
    sim_fault(s, 5, SIM_CANCEL_ALL, 0);
    sim_run(s);
    for (int i = 0; i < N; i++) {
        assert_int_equal(sim_seq(s, i)->end, SEQ_ABORTED);
        assert_int_equal(sim_seq(s, i)->state, SEQ_DONE);
    }
    sim_close(s);
}

/* What is final under big stays so, whenever it comes: the verifier answers what it was said to have refused. */
static void a_verdict_of_an_older_round_that_agrees_is_text(void **state)
{
    (void)state;
    static struct draft_profile profile;
    const struct spec_config c = {
        .n_ctx = 32, .root = 1, .n_groups = 1, .groups = {{1, 1, 4, 8, 256, &profile}}, .drafter = {.n_ids = 256}};
    const int32_t prompt[] = {'a', 'b', 'c', 'd', 'e', 'f'};
    for (int lossy = 0; lossy < 2; lossy++) {
        struct request r = {.prompt = prompt, .n_prompt = 6, .settings = {.n_predict = 4}};
        struct spec *spec;
        struct seq seq;
        struct actions actions;
        struct err err;
        if (lossy) r.settings.rule = (struct rule){RULE_STRICT, 3};
        assert_int_equal(seq_init(&seq, &r, 32, &err), OK);
        assert_int_equal(spec_open(&spec, &c, &err), OK);
        assert_int_equal(spec_step(spec, &(struct event){.kind = EVENT_SUBMIT, .seq = &seq}, &actions, &err), OK);
        assert_int_equal(actions.n, 2); /* abcd, ef */
        const struct part first = actions.list[0].message.verify, last = actions.list[1].message.verify;
        struct verdict gap = {.job = first.job, .round = 1, .prefix_hash = 1, .status = VERDICT_GAP};
        const struct event refusal = {.kind = EVENT_VERDICT, .verdict = &gap};
        assert_int_equal(spec_step(spec, &refusal, &actions, &err), OK);
        assert_int_equal(actions.n, 2); /* all of it again, as round 2 */
        assert_int_equal(actions.list[0].message.verify.round, 2);
        const struct verdict_row row = {.next = 'g', .lp_next = -1};
        struct verdict late = {.job = last.job, .round = 1, .at = 4, .rows = &row, .n_rows = 1};
        late.prefix_hash = last.prefix_hash;
        const struct event answer = {.kind = EVENT_VERDICT, .verdict = &late};
        assert_int_equal(spec_step(spec, &answer, &actions, &err), OK);
        assert_int_equal(seq_n_generated(&seq), !lossy);
        if (!lossy) assert_int_equal(actions.list[actions.n - 1].message.verify.round, 3);
        spec_close(spec);
        seq_free(&seq);
    }
}

/* "abcdef" and the drafts "hi" are sent in two parts, refused, and sent again as the next round; then the verifier
 * answers the first round's last part after all. What the second round's says counts where the text is still the one
 * that it was asked of. */
static void of_two_verdicts_of_one_text_the_first_counts(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        char first[4], text[10];
    } rows[] = {
        {"all drafts were right", "hij", "abcdefghij"},
        {"the second was wrong", "hxy", "abcdefghx"},
        {"the first was wrong", "xyz", "abcdefgx"},
    };
    static struct draft_profile profile;
    const int32_t prompt[] = {'a', 'b', 'c', 'd', 'e', 'f'};
    const struct spec_config c = {.n_ctx = 32,
                                  .root = 1,
                                  .n_groups = 1,
                                  .groups = {{2, 1, 6, 8, 256, &profile}},
                                  .drafter = {.kind = DRAFTER_LITTLE, .peer = 1, .n_ids = 256, .n_proposed = 256}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct request r = {
            .prompt = prompt, .n_prompt = 6, .settings = {.drafting = true, .draft_max = 2, .draft_ctx = 32}};
        struct spec *spec;
        struct seq seq;
        struct actions a;
        struct err err;
        assert_int_equal(seq_init(&seq, &r, 32, &err), OK);
        assert_int_equal(spec_open(&spec, &c, &err), OK);
        assert_int_equal(spec_step(spec, &(struct event){.kind = EVENT_SUBMIT, .seq = &seq}, &a, &err), OK);
        const struct part first = a.list[1].message.verify; /* an Open is before it */
        sim_answer(spec, &first, VERDICT_OK, "g", 0, &a);
        const struct draft_row drafts[] = {{'h', 1}, {'i', 1}};
        const struct draft d = {.round = 2, .at = 7, .prefix_hash = seq.prefix_hash[7], .rows = drafts, .n_rows = 2};
        assert_int_equal(spec_step(spec, &(struct event){.kind = EVENT_DRAFT, .draft = &d}, &a, &err), OK);
        const struct part lost = a.list[0].message.verify; /* ghi: refused, and all is sent again as round 3 */
        sim_answer(spec, &lost, VERDICT_STALE, "", 0, &a);
        const struct part early[2] = {a.list[0].message.verify, a.list[1].message.verify};
        assert_int_equal(early[1].round, 3);
        sim_answer(spec, &early[0], VERDICT_GAP, "", 0, &a); /* and again, as round 4 */
        const struct part late[2] = {a.list[0].message.verify, a.list[1].message.verify};
        assert_int_equal(late[1].round, 4);
        sim_answer(spec, &early[1], VERDICT_OK, rows[i].first, 0, &a);
        sim_answer(spec, &late[0], VERDICT_OK, "", 0, &a);
        sim_answer(spec, &late[1], VERDICT_OK, "hij", 0, &a); /* of h and i, whatever stands there now */
        char text[16] = {0};
        for (int k = 0; k < seq.n_ids; k++) text[k] = (char)seq.ids[k];
        if (strcmp(text, rows[i].text)) fail_msg("%s: \"%s\"", rows[i].why, text);
        spec_close(spec);
        seq_free(&seq);
    }
}

/* The plain token took 12; what came late says nothing of one. */
static void a_late_verdict_is_no_measure_of_a_token_s_time(void **state)
{
    (void)state;
    struct draft_profile profile = {.pause = 0};
    const int32_t prompt[] = {'a', 'b', 'c', 'd', 'e', 'f'};
    const struct spec_config c = {.n_ctx = 32,
                                  .root = 1,
                                  .n_groups = 1,
                                  .groups = {{2, 1, 6, 8, 256, &profile}},
                                  .drafter = {.kind = DRAFTER_LITTLE, .peer = 1, .n_ids = 256, .n_proposed = 256}};
    const struct request r = {.prompt = prompt,
                              .n_prompt = 6,
                              .settings = {.drafting = true, .adaptive = true, .draft_max = 2, .draft_ctx = 32}};
    struct spec *spec;
    struct seq seq;
    struct actions a;
    struct err err;
    assert_int_equal(seq_init(&seq, &r, 32, &err), OK);
    assert_int_equal(spec_open(&spec, &c, &err), OK);
    assert_int_equal(spec_step(spec, &(struct event){.kind = EVENT_SUBMIT, .seq = &seq}, &a, &err), OK);
    const struct part first = a.list[1].message.verify;
    sim_answer(spec, &first, VERDICT_OK, "g", 10, &a);
    const struct part plain = a.list[1].message.verify;
    sim_answer(spec, &plain, VERDICT_OK, "h", 22, &a);
    const struct draft_row drafts[] = {{'i', 1}, {'j', 1}};
    const struct draft d = {.round = 3, .at = 8, .prefix_hash = seq.prefix_hash[8], .rows = drafts, .n_rows = 2};
    assert_int_equal(spec_step(spec, &(struct event){.kind = EVENT_DRAFT, .now_ns = 30, .draft = &d}, &a, &err), OK);
    const struct part lost = a.list[0].message.verify;
    sim_answer(spec, &lost, VERDICT_STALE, "", 40, &a);
    const struct part again[2] = {a.list[0].message.verify, a.list[1].message.verify};
    sim_answer(spec, &again[0], VERDICT_GAP, "", 50, &a);
    sim_answer(spec, &again[1], VERDICT_OK, "ijk", 60, &a);
    assert_int_equal(seq_n_generated(&seq), 5);
    assert_int_equal(spec_step(spec, &(struct event){.kind = EVENT_CANCEL}, &a, &err), OK);
    assert_true(profile.measured.plain_ns == 12 && profile.measured.draft_ns == 0);
    spec_close(spec);
    seq_free(&seq);
}

/* ---- what is left of a text for its slot's next ---- */

/* Repo's rule: after a rollback big writes a token more, in that text. */
static void a_rollback_at_the_end_of_a_text_does_not_concern_the_next(void **state)
{
    (void)state;
    const struct sim_text two[] = {{"p", "abcd", "aXcd", 2}, {"p", "abcd", "aXcd", 3}};
    struct sim *s = sim_open(&(struct sim_config){.draft_max = 1, .rule = {RULE_REPO, 3}}, two, 2);
    sim_run(s);
    assert_int_equal(sim_seq(s, 1)->stats.n_asks, 1);
    sim_close(s);
}

/* The first text's tokens take 12 ms. The second's first one takes four parts, and is no measure of one. */
static void a_prompt_s_time_is_no_token_s(void **state)
{
    (void)state;
    const struct sim_text two[] = {{"ab", "cdef", NULL, 4}, {"0123456789abcdefghijklmnop", "qrs", NULL, 3}};
    struct sim *s =
        sim_open(&(struct sim_config){.draft_max = 2, .adaptive = true, .prior = {1.3, 1.3}, .max_rows = 8}, two, 2);
    sim_run(s);
    assert_float_equal(sim_profile(s)->measured.plain_ns, 12e6, 1);
    sim_close(s);
}

/* Four times two wrong ones, a pause, two more: the text is over before the next pause. */
static void n_grams_that_are_always_wrong_are_tried_anew_in_each_text(void **state)
{
    (void)state;
    static const char prompt[] = "abXabYabZabWabVabUabTabS", wrong[] = "ab0ab1ab2ab3ab4ab5ab6ab7";
    const struct sim_text two[] = {{prompt, wrong, NULL, 24}, {prompt, wrong, NULL, 24}};
    struct sim *s = sim_open(
        &(struct sim_config){.draft_max = 8, .suffix = true, .adaptive = true, .max_rows = 32, .self_max = 64}, two, 2);
    sim_run(s);
    for (int i = 0; i < 2; i++) {
        assert_string_equal(sim_written(s, i), wrong);
        assert_int_equal(sim_seq(s, i)->stats.n_asks, 0);
        assert_int_equal(sim_seq(s, i)->stats.n_drafted, 10);
    }
    sim_close(s);
}

/* ---- whoever comes and goes: no text depends on it ---- */

enum { N_TEXTS = 12, LONGEST_TEXT = 40 };

/* They begin alike, so slots are taken for what they hold. Not scripted: each id is a function of all before it. */
static const struct sim_text texts[N_TEXTS] = {
    {"the quick brown fox jumps", "", NULL, 20},
    {"the quick brown fox", "", NULL, 30},
    {"the quick", "", NULL, 12},
    {"a", "", NULL, 40},
    {"the quick brown fox jumps", "", NULL, 25},
    {"to be or not to be, that is", "", NULL, 9},
    {"the quick brown dog", "", NULL, 15},
    {"a", "", NULL, 8},
    {"to be or not to be or not", "", NULL, 30},
    {LONG, "", NULL, 12},
    {LONG, "", NULL, 8},
    {"it was the best of times, it was the best of t", "", NULL, 10},
};

/* Of three texts one is lossy and one has no drafts; windows and thresholds are their own. */
static struct settings settings_of(const struct sim_config *c, int i)
{
    struct settings s = sim_settings(c);
    s.draft_max = 1 + i % 5;
    s.adaptive = i % 2;
    s.draft_ctx = 6 + i;
    if (i % 3 == 2) s.rule = (struct rule){RULE_STRICT, 4};
    if (i % 3 == 1) s.drafting = false;
    return s;
}

static void play(struct sim *s, const struct sim_config *c, const int at[N_TEXTS], const int cancel[N_TEXTS])
{
    for (int i = 0; i < N_TEXTS; i++) {
        struct settings own = settings_of(c, i);
        sim_request(s, i, at[i], cancel[i], &own);
    }
}

static void write_alone(char alone[N_TEXTS][LONGEST_TEXT + 1], bool suffix)
{
    const struct sim_config c = {.draft_max = 4, .suffix = suffix, .wrong_percent = 30};
    for (int i = 0; i < N_TEXTS; i++) {
        struct settings own = settings_of(&c, i);
        struct sim *s = sim_open(&c, &texts[i], 1);
        sim_request(s, 0, 0, 0, &own);
        sim_run(s);
        snprintf(alone[i], sizeof alone[i], "%s", sim_written(s, 0));
        assert_int_equal(strlen(alone[i]), texts[i].n_predict);
        sim_close(s);
    }
}

static void every_text_is_its_own(bool suffix)
{
    char alone[N_TEXTS][LONGEST_TEXT + 1];
    int n_cut = 0, n_whole = 0, n_failed = 0, n_reused = 0, n_copied = 0, n_kinds = suffix ? 2 : 4; /* of faults */
    write_alone(alone, suffix);
    for (uint64_t seed = 1; seed <= 500; seed++) {
        uint64_t r = seed;
        struct sim_config c = {.n_groups = 1 + (int)(seed % 3),
                               .n_slots = 1 + (int)(seed / 3 % 3),
                               .max_rows = 9 + (int)(seed % 7),
                               .max_jobs = 4 + (int)(seed % 13),
                               .draft_max = 4,
                               .suffix = suffix,
                               .self_max = seed % 2 ? 0 : 4 + (int)(seed % 9),
                               .wrong_percent = 30,
                               .jitter = seed % 4 ? seed : 0};
        int at[N_TEXTS], cancel[N_TEXTS];
        for (int i = 0; i < N_TEXTS; i++) {
            r = prefix_hash_mix(r + 1);
            at[i] = (int)(r % 400);
            cancel[i] = r / 400 % 4 ? 0 : at[i] + 1 + (int)(r / 1600 % 300);
        }
        struct sim *s = sim_open(&c, texts, N_TEXTS);
        play(s, &c, at, cancel);
        if (seed % 5 == 0) sim_fault(s, (int)(seed * 37 % 500), (enum sim_fault)((int)seed / 5 % n_kinds), 0);
        if (seed % 6 == 0 && !suffix) sim_fault(s, (int)(seed * 53 % 700), SIM_DRAFTER_DIES, 0);
        sim_run(s);
        for (int i = 0; i < N_TEXTS; i++) {
            const struct seq *q = sim_seq(s, i);
            bool whole = q->end == SEQ_LENGTH;
            const char *written = sim_written(s, i);
            if (strncmp(written, alone[i], strlen(written)) || (whole && strcmp(written, alone[i])))
                fail_msg("seed %d, text %d: \"%s\", alone \"%s\"", (int)seed, i, written, alone[i]);
            if (!whole && !(q->end == SEQ_ABORTED && cancel[i]) && !(q->end == SEQ_FAILED && i % 3 == 2))
                fail_msg("seed %d, text %d ended %d", (int)seed, i, q->end);
            n_whole += whole;
            n_cut += q->end == SEQ_ABORTED;
            n_failed += q->end == SEQ_FAILED;
            n_copied += q->stats.n_prompt_copied > 0;
            n_reused += q->slot >= 0 && (int)q->stats.n_prompt_rows < q->n_prompt;
        }
        sim_close(s);
    }
    assert_true(n_whole > 2000 && n_cut > 200 && n_reused > 200 && n_copied > 200);
    assert_true(suffix ? n_failed == 0 : n_failed > 50);
}

static void every_text_is_the_one_that_the_request_alone_has(void **state)
{
    (void)state;
    every_text_is_its_own(false);
}

static void so_it_is_where_the_leaders_draft(void **state)
{
    (void)state;
    every_text_is_its_own(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_that_comes_later_joins_those_that_run),
        cmocka_unit_test(the_free_slot_that_holds_the_longest_part_of_it_is_taken),
        cmocka_unit_test(a_fresh_request_uses_nothing_of_the_text_before),
        cmocka_unit_test(what_another_slot_holds_of_a_prompt_is_copied_not_computed),
        cmocka_unit_test(choices_of_one_request_wait_for_its_prompt),
        cmocka_unit_test(to_wait_for_a_prompt_is_no_time_of_the_network),
        cmocka_unit_test(a_text_whose_source_is_gone_is_computed),
        cmocka_unit_test(what_was_not_copied_yet_is_not_held),
        cmocka_unit_test(what_is_to_be_copied_may_be_lost),
        cmocka_unit_test(what_the_drafter_has_read_of_a_prompt_is_copied_there_too),
        cmocka_unit_test(requests_spread_over_groups),
        cmocka_unit_test(of_groups_with_as_many_requests_the_one_that_has_most_of_the_text_is_taken),
        cmocka_unit_test(requests_start_in_the_order_in_which_they_came),
        cmocka_unit_test(a_request_that_is_cancelled_leaves_its_slot_to_the_next),
        cmocka_unit_test(a_request_that_waits_is_cancelled_where_it_stands),
        cmocka_unit_test(all_that_run_and_wait_are_cancelled_at_once),
        cmocka_unit_test(a_verdict_of_an_older_round_that_agrees_is_text),
        cmocka_unit_test(of_two_verdicts_of_one_text_the_first_counts),
        cmocka_unit_test(a_late_verdict_is_no_measure_of_a_token_s_time),
        cmocka_unit_test(a_rollback_at_the_end_of_a_text_does_not_concern_the_next),
        cmocka_unit_test(a_prompt_s_time_is_no_token_s),
        cmocka_unit_test(n_grams_that_are_always_wrong_are_tried_anew_in_each_text),
        cmocka_unit_test(every_text_is_the_one_that_the_request_alone_has),
        cmocka_unit_test(so_it_is_where_the_leaders_draft),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
