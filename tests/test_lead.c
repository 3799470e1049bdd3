/* The leader of a verification group as a state machine: which parts share a pass, what is refused, when a slot goes on
 * by itself, and what comes too late. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/scene.h"

/* ---- which parts share a pass ---- */

static void parts_are_taken_in_the_order_in_which_they_came_as_many_as_have_room(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        struct {
            uint32_t slot, at;
            int n;
        } parts[3];
        size_t n_parts; /* of the first pass */
        int n_rows;
    } rows[] = {
        {"three of three slots", {{0, 0, 2}, {1, 0, 3}, {2, 0, 3}}, 3, 8},
        {"the third has no room", {{0, 0, 2}, {1, 0, 3}, {2, 0, 4}}, 2, 5},
        {"one that has no room lets none overtake it", {{0, 0, 5}, {1, 0, 4}, {2, 0, 1}}, 1, 5},
        {"one slot goes on where it ends", {{0, 0, 2}, {0, 2, 3}, {1, 0, 1}}, 3, 6},
        {"one slot goes back inside", {{0, 0, 4}, {0, 3, 1}, {1, 0, 1}}, 1, 4},
        {"one slot goes back to its start", {{0, 0, 2}, {1, 0, 1}, {0, 0, 2}}, 2, 3},
        {"a full pass", {{0, 0, 8}, {1, 0, 1}, {2, 0, 1}}, 1, 8},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct scene c;
        struct err err;
        scene_open(&c);
        assert_false(lead_has_work(c.lead, 100));
        /* What a slot holds changes with the pass: hashes of the ids that the test sends. */
        struct slots after;
        assert_int_equal(slots_init(&after, 1, N_CTX, ROOT, &err), OK);
        int32_t ids[N_CTX];
        for (int k = 0; k < N_CTX; k++) ids[k] = k + 1;
        slots_apply(&after, 0, 0, ids, N_CTX);
        for (int k = 0; k < 3; k++)
            assert_int_equal(scene_post(&c, rows[i].parts[k].slot, rows[i].parts[k].at, rows[i].parts[k].n,
                                        after.slot[0].prefix_hash[rows[i].parts[k].at], &err),
                             OK);
        struct lead_step step = lead_next(c.lead, 100);
        if (step.n_parts != rows[i].n_parts || step.n_rows != rows[i].n_rows || step.n_refused)
            fail_msg("%s: %zu parts, %d rows, %zu refused", rows[i].why, step.n_parts, step.n_rows, step.n_refused);
        for (size_t k = 0; k < step.n_parts; k++) assert_int_equal(step.parts[k].job, k + 1);
        assert_int_equal(step.queued_us, 90);
        size_t n = step.n_parts;
        while (lead_has_work(c.lead, 100)) n += lead_next(c.lead, 100).n_parts;
        assert_int_equal(n, 3);
        slots_free(&after);
        scene_close(&c);
    }
}

static void what_does_not_apply_is_refused_and_the_rest_goes_on(void **state)
{
    (void)state;
    struct scene c;
    struct err err;
    scene_open(&c);
    assert_int_equal(scene_post(&c, 0, 3, 1, ROOT, &err), OK); /* a gap */
    assert_int_equal(scene_post(&c, 1, 0, 1, 77, &err), OK);   /* another history */
    assert_int_equal(scene_post(&c, 9, 0, 1, ROOT, &err), OK); /* no such slot */
    assert_int_equal(scene_post(&c, 2, 0, 1, ROOT, &err), OK);
    struct lead_step step = lead_next(c.lead, 100);
    assert_int_equal(step.n_parts, 1);
    assert_int_equal(step.parts[0].job, 4);
    assert_int_equal(step.n_refused, 3);
    static const enum verdict_status why[] = {VERDICT_GAP, VERDICT_STALE, VERDICT_FULL};
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(step.refused[i].job, i + 1);
        assert_int_equal(step.refused[i].status, why[i]);
        assert_int_equal(step.refused[i].held, 0);
    }
    slots_fail(&c.slots, 2, 0, "block 3");
    assert_int_equal(scene_post(&c, 2, 1, 1, ROOT, &err), OK);
    step = lead_next(c.lead, 100);
    assert_int_equal(step.refused[0].status, VERDICT_FAILED);
    assert_string_equal(step.refused[0].error, "block 3");
    scene_close(&c);
}

/* ---- what is copied ---- */

/* Slot 0 has read 1 .. 6, in passes before this one; slot 1 had 1 .. 6 likewise, and strays. Rows of this pass come
 * first; then one of slot 2 that names a slot to copy from. */
static void a_prefix_is_copied_where_another_slot_holds_it_behind_the_pass_that_computes_it(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        struct {
            uint32_t slot, at;
            int n; /* 0: none */
        } first;
        uint32_t at, from;
        enum { COPIED, WAITS, REFUSED, HELD } what;
    } rows[] = {
        {"all that it holds", {0}, 6, 0 + 1, COPIED},
        {"its beginning", {0}, 3, 0 + 1, COPIED},
        {"more than it holds", {0}, 7, 0 + 1, REFUSED},
        {"of another text", {0}, 6, 1 + 1, REFUSED},
        {"of no slot", {0}, 6, N_SLOTS + 1, REFUSED},
        {"of the last there may be", {0}, 6, SLOTS_MOST, REFUSED},
        {"of its own", {0}, 6, 2 + 1, REFUSED},
        {"not named", {0}, 6, 0, REFUSED},
        {"nothing, which it holds", {0}, 0, 0 + 1, HELD},
        {"this pass computes more of it", {0, 6, 2}, 6, 0 + 1, COPIED},
        {"this pass computes what is to be copied", {0, 6, 2}, 7, 0 + 1, WAITS},
        {"this pass computes it all again", {0, 0, 7}, 6, 0 + 1, WAITS},
        {"this pass writes rows of the slot's text before", {2, 0, 2}, 6, 0 + 1, WAITS},
        {"this pass computes rows of a third", {1, 0, 2}, 6, 0 + 1, COPIED},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct scene c;
        struct err err;
        uint64_t hash[N_CTX];
        scene_open(&c);
        const struct slot *slot = c.slots.slot;
        assert_int_equal(scene_post(&c, 2, 0, 8, 0, &err), OK); /* for the hashes of 1, 2, ... */
        lead_next(c.lead, 0);
        memcpy(hash, slot[2].prefix_hash, 9 * sizeof *hash);
        slots_cut(&c.slots, 2, 0);
        for (uint32_t k = 0; k < 2; k++) {
            assert_int_equal(scene_post(&c, k, 0, 6, 0, &err), OK);
            lead_next(c.lead, 0);
        }
        c.slots.slot[1].prefix_hash[3]++, c.slots.slot[1].prefix_hash[6]++;
        int n_first = rows[i].first.n;
        if (n_first) assert_int_equal(scene_post(&c, rows[i].first.slot, rows[i].first.at, n_first, 0, &err), OK);
        const struct row row = {.id = (int32_t)rows[i].at + 1, .wanted = true};
        const struct part part = {.job = 9,
                                  .slot = 2,
                                  .round = 1,
                                  .at = rows[i].at,
                                  .prefix_hash = hash[rows[i].at],
                                  .rows = &row,
                                  .n_rows = 1,
                                  .from = rows[i].from};
        assert_int_equal(lead_on_verify(c.lead, &part, 0, &err), OK);
        struct lead_step step = lead_next(c.lead, 0);
        if (rows[i].what == WAITS) {
            if (step.n_parts != 1 || step.n_refused) fail_msg("%s: it does not wait", rows[i].why);
            assert_true(lead_has_work(c.lead, 0));
            step = lead_next(c.lead, 0);
            n_first = 0;
        }
        bool taken = rows[i].what != REFUSED;
        if (step.n_parts != (size_t)taken + (n_first > 0) || step.n_refused != (size_t)!taken)
            fail_msg("%s: %zu parts, %zu refused", rows[i].why, step.n_parts, step.n_refused);
        if (!taken) assert_int_equal(step.refused[0].held, 0);
        uint32_t from = taken ? step.parts[step.n_parts - 1].from : 0;
        if (from != (rows[i].what == COPIED || rows[i].what == WAITS ? rows[i].from : 0))
            fail_msg("%s: from %u", rows[i].why, from);
        assert_int_equal(slot[2].len, taken ? (int)rows[i].at + 1 : 0);
        if (taken) assert_true(slot[2].prefix_hash[slot[2].len] == hash[slot[2].len]);
        scene_close(&c);
    }
}

/* Under a plan of its own the rows are others. */
static void a_text_with_a_plan_copies_nothing(void **state)
{
    (void)state;
    struct scene c;
    struct err err;
    scene_open(&c);
    assert_int_equal(scene_post(&c, 0, 0, 6, 0, &err), OK);
    lead_next(c.lead, 0);
    const struct row row = {.id = 7, .wanted = true};
    struct part part = {.job = 2, .slot = 1, .at = 6, .rows = &row, .n_rows = 1, .from = 1, .plan = "layerskip:1"};
    part.prefix_hash = c.slots.slot[0].prefix_hash[6];
    assert_int_equal(lead_on_verify(c.lead, &part, 0, &err), OK);
    struct lead_step step = lead_next(c.lead, 0);
    assert_int_equal(step.n_refused, 1);
    assert_int_equal(step.refused[0].status, VERDICT_GAP);
    scene_close(&c);
}

/* ---- self-start ---- */

/* Writes ids by itself until it has nothing to do; returns how many, at most 20. */
static int run(struct scene *c, uint32_t slot, int32_t id)
{
    int n = 0;
    while (n < 20 && lead_has_work(c->lead, 100)) {
        struct lead_step step = lead_next(c->lead, 0);
        if (!step.n_parts) break;
        assert_int_equal(step.n_parts, 1);
        assert_int_equal(step.parts[0].job, 0);
        assert_int_equal(step.parts[0].rows[0].id, id);
        assert_true(step.parts[0].rows[0].wanted && step.parts[0].token);
        scene_token(c, slot, id, true);
        n++;
    }
    return n;
}

static void a_slot_goes_on_by_itself_as_far_as_its_open_lets_it(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        uint32_t last_position, self_max;
        int32_t id; /* that big writes, again and again */
        int n;      /* rows of the slot's own, after a prompt of two */
    } rows[] = {
        {"never without self_max", 20, 0, 7, 0},
        {"three beyond what the coordinator has", 20, 3, 7, 2}, /* the third is the last one's answer */
        {"one: the answer to the prompt is all", 20, 1, 7, 0},
        {"to the last position", 6, 20, 7, 3},
        {"not past an end id", 20, 20, END, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct scene c;
        struct err err;
        scene_open(&c);
        if (rows[i].self_max) scene_let(&c, 1, rows[i].last_position, rows[i].self_max);
        assert_int_equal(scene_post(&c, 1, 0, 2, 0, &err), OK);
        assert_int_equal(lead_next(c.lead, 0).parts[0].token, rows[i].self_max > 0);
        scene_token(&c, 1, rows[i].id, false);
        int n = run(&c, 1, rows[i].id);
        if (n != rows[i].n) fail_msg("%s: %d rows", rows[i].why, n);
        scene_close(&c);
    }
}

static void an_ack_lets_it_go_on_and_a_cut_ends_it(void **state)
{
    (void)state;
    struct scene c;
    struct err err;
    scene_open(&c);
    scene_let(&c, 0, 30, 4);
    assert_int_equal(scene_post(&c, 0, 0, 2, 0, &err), OK);
    lead_next(c.lead, 0);
    scene_token(&c, 0, 7, false);
    assert_int_equal(run(&c, 0, 7), 3);
    assert_int_equal(lead_on_ack(c.lead, &(struct ack){0, 4, 0}, &err), OK);
    assert_int_equal(run(&c, 0, 7), 2);
    assert_int_equal(lead_on_ack(c.lead, &(struct ack){0, 3, 0}, &err), OK);  /* an old one */
    assert_int_equal(lead_on_ack(c.lead, &(struct ack){0, 99, 0}, &err), OK); /* of what no slot holds */
    assert_int_equal(run(&c, 0, 7), 0);
    assert_int_equal(lead_on_ack(c.lead, &(struct ack){0, 8, 0}, &err), OK);
    assert_true(lead_has_work(c.lead, 100));
    assert_int_equal(lead_on_cut(c.lead, &(struct cut){0, 1}, &err), OK);
    assert_false(lead_has_work(c.lead, 100));
    assert_int_equal(lead_on_ack(c.lead, &(struct ack){3, 1, 0}, &err), E_PEER);
    assert_int_equal(lead_on_cut(c.lead, &(struct cut){3, 1}, &err), E_PEER);
    scene_close(&c);
}

/* What the coordinator sends comes first, and says what is next; tokens of before do not count. */
static void the_coordinator_s_own_rows_come_before_the_slot_s(void **state)
{
    (void)state;
    struct scene c;
    struct err err;
    scene_open_writing(&c);
    assert_int_equal(scene_post(&c, 0, 0, 2, 0, &err), OK);
    scene_token(&c, 0, 8, false); /* on its way when that came */
    struct lead_step step = lead_next(c.lead, 0);
    assert_int_equal(step.n_parts, 1);
    assert_int_equal(step.parts[0].job, 2);
    assert_false(lead_has_work(c.lead, 100));
    scene_token(&c, 0, 7, false);
    assert_true(lead_has_work(c.lead, 100));
    scene_let(&c, 0, 30, 10); /* another text */
    assert_false(lead_has_work(c.lead, 100));
    const struct slot *s = &c.slots.slot[0];
    const struct token old = {c.jobs[0], 0, 0, (uint32_t)s->len, s->prefix_hash[s->len], 7, 0};
    assert_int_equal(lead_on_token(c.lead, &old, 0, &err), OK);
    assert_false(lead_has_work(c.lead, 100));
    scene_close(&c);
}

/* It was lost while the slot waited for an Ack: that comes, and the slot says so. */
static void an_ack_of_what_the_slot_has_lost_is_answered(void **state)
{
    (void)state;
    struct scene c;
    struct err err;
    scene_open(&c);
    scene_let(&c, 0, 30, 3);
    assert_int_equal(scene_post(&c, 0, 0, 4, 0, &err), OK);
    lead_next(c.lead, 0);
    scene_token(&c, 0, 7, false);
    assert_int_equal(run(&c, 0, 7), 2);
    slots_cut(&c.slots, 0, 3);
    assert_false(lead_has_work(c.lead, 100));
    assert_int_equal(lead_on_ack(c.lead, &(struct ack){0, 7, 0}, &err), OK);
    struct lead_step step = lead_next(c.lead, 0);
    assert_int_equal(step.n_parts, 0);
    assert_int_equal(step.n_refused, 1);
    assert_int_equal(step.refused[0].held, 3);
    scene_close(&c);
}

/* More slots are ready than a pass has rows: none waits for ever. */
static void slots_write_by_turns(void **state)
{
    (void)state;
    struct scene c;
    struct err err;
    int n_passes[N_SLOTS] = {0};
    scene_open(&c);
    lead_close(c.lead);
    const struct lead_config config = {.slots = &c.slots, .max_rows = 2, .n_vocab = N_VOCAB};
    assert_int_equal(lead_open(&c.lead, &config, &err), OK);
    for (uint32_t slot = 0; slot < N_SLOTS; slot++) {
        scene_let(&c, slot, 60, 40);
        assert_int_equal(scene_post(&c, slot, 0, 2, 0, &err), OK);
    }
    for (int i = 0; i < N_SLOTS; i++) lead_next(c.lead, 0);
    for (uint32_t slot = 0; slot < N_SLOTS; slot++) scene_token(&c, slot, 7, false);
    for (int pass = 0; pass < 30; pass++) {
        struct lead_step step = lead_next(c.lead, 0);
        assert_int_equal(step.n_parts, 2);
        for (size_t i = 0; i < step.n_parts; i++) {
            uint32_t slot = step.parts[i].slot;
            n_passes[slot]++;
            scene_token(&c, slot, 7, true);
        }
    }
    for (int i = 0; i < N_SLOTS; i++) assert_int_equal(n_passes[i], 30 * 2 / N_SLOTS);
    scene_close(&c);
}

/* Ids 1 2 from the coordinator, 7 8 the slot's own, and 5 next: what comes from the coordinator then. */
static void a_part_that_comes_late_is_trimmed_or_refused(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        uint32_t at;
        int32_t ids[5];
        uint32_t at_then; /* of what is computed; 0: it is refused */
        int n_then;
    } rows[] = {
        {"it is not late", 4, {5, 3, 3}, 4, 3},
        {"one id is written", 3, {8, 5, 3}, 4, 2},
        {"all but the last", 1, {2, 7, 8, 5}, 4, 1},
        {"all", 1, {2, 7, 8}, 0, 0},
        {"another than is written", 1, {2, 7, 9, 5}, 0, 0},
        {"another than is next", 2, {7, 8, 6}, 0, 0},
        {"from before its last answer: a replay", 0, {1, 2, 3}, 0, 3},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct scene c;
        struct err err;
        scene_open_writing(&c);
        lead_next(c.lead, 0);
        scene_token(&c, 0, 8, true);
        lead_next(c.lead, 0);
        scene_token(&c, 0, 5, true);
        struct row fed[5] = {0};
        int n = 0;
        for (; rows[i].ids[n]; n++) fed[n] = (struct row){.id = rows[i].ids[n], .wanted = true};
        const struct part part = {.job = 9,
                                  .round = 1,
                                  .at = rows[i].at,
                                  .prefix_hash = c.slots.slot[0].prefix_hash[rows[i].at],
                                  .rows = fed,
                                  .n_rows = (size_t)n};
        assert_int_equal(lead_on_verify(c.lead, &part, 0, &err), OK);
        struct lead_step step = lead_next(c.lead, 0);
        if (!rows[i].n_then) {
            if (step.n_refused != 1 || step.refused[0].status != VERDICT_LATE || step.refused[0].held != 5 ||
                step.refused[0].job != 9)
                fail_msg("%s: it is not refused", rows[i].why);
            assert_true(step.n_parts == 1 && step.parts[0].job == 0 && step.parts[0].rows[0].id == 5); /* it goes on */
        } else {
            const struct part *then = step.parts;
            if (step.n_parts != 1 || then->job != 9 || then->at != rows[i].at_then ||
                (int)then->n_rows != rows[i].n_then || then->rows[0].id != rows[i].ids[n - rows[i].n_then] ||
                then->prefix_hash != c.slots.slot[0].prefix_hash[then->at])
                fail_msg("%s: %zu parts, %zu rows at %u", rows[i].why, step.n_parts, then->n_rows, then->at);
        }
        scene_close(&c);
    }
}

/* With several stages: until the slot's own part is done nobody knows what is final, and nobody asks again and again.
 */
static void a_late_part_waits_for_the_slot_s_own(void **state)
{
    (void)state;
    struct scene c;
    struct err err;
    scene_open_writing(&c);
    lead_next(c.lead, 0); /* feeds 7 */
    const struct row fed[] = {{.id = 7, .wanted = true}, {.id = 8, .wanted = true}};
    const struct part part = {
        .job = 9, .round = 1, .at = 2, .prefix_hash = c.slots.slot[0].prefix_hash[2], .rows = fed, .n_rows = 2};
    assert_int_equal(lead_on_verify(c.lead, &part, 0, &err), OK);
    assert_false(lead_has_work(c.lead, 100));
    assert_int_equal(lead_next(c.lead, 0).n_parts, 0);
    scene_token(&c, 0, 8, true);
    assert_true(lead_has_work(c.lead, 100));
    struct lead_step step = lead_next(c.lead, 0);
    assert_true(step.n_parts == 1 && step.parts[0].job == 9 && step.parts[0].at == 3 && step.parts[0].n_rows == 1);
    assert_false(lead_has_work(c.lead, 100)); /* that part's answer says what is next */
    c.jobs[0] = 9;
    scene_token(&c, 0, 4, false);
    assert_true(lead_has_work(c.lead, 100));
    scene_close(&c);
}

/* Its message is gone when it counts; parts that wait are still the coordinator's. */
static void an_open_is_kept_and_changes_nothing_that_waits(void **state)
{
    (void)state;
    struct scene c;
    struct err err;
    scene_open(&c);
    int32_t end_ids[OPEN_END_IDS_MOST + 1] = {END};
    struct open_slot open = {.end_ids = end_ids, .n_end_ids = 1, .last_position = 30, .round = 1, .self_max = 10};
    assert_int_equal(scene_post(&c, 0, 0, 2, 0, &err), OK);
    lead_next(c.lead, 0);
    assert_int_equal(scene_post(&c, 0, 2, 1, 0, &err), OK);
    assert_int_equal(lead_on_open(c.lead, &open, &err), OK);
    end_ids[0] = 7;
    struct lead_step step = lead_next(c.lead, 0);
    assert_int_equal(step.n_parts, 1);
    assert_int_equal(step.parts[0].job, 2);
    scene_token(&c, 0, END, false);
    assert_false(lead_has_work(c.lead, 100));
    scene_token(&c, 0, 7, false);
    assert_true(lead_has_work(c.lead, 100));
    open.n_end_ids = OPEN_END_IDS_MOST + 1;
    assert_int_equal(lead_on_open(c.lead, &open, &err), E_PEER);
    open.n_end_ids = OPEN_END_IDS_MOST;
    open.n_top = 21;
    assert_int_equal(lead_on_open(c.lead, &open, &err), E_PEER);
    open.n_top = 20;
    assert_int_equal(lead_on_open(c.lead, &open, &err), OK);
    open.slot = N_SLOTS;
    assert_int_equal(lead_on_open(c.lead, &open, &err), E_PEER);
    static const int32_t no_ids[] = {-1, N_VOCAB, INT32_MAX};
    for (int i = 0; i < 3; i++)
        assert_int_equal(lead_on_token(c.lead, &(struct token){.at = 1, .id = no_ids[i]}, 0, &err), E_PEER);
    assert_int_equal(lead_on_token(c.lead, &(struct token){.slot = N_SLOTS, .at = 1}, 0, &err), E_PEER);
    scene_close(&c);
}

static void slots_that_go_on_by_themselves_share_the_pass_with_all_others(void **state)
{
    (void)state;
    struct scene c;
    struct err err;
    scene_open(&c);
    for (uint32_t i = 0; i < 2; i++) {
        scene_let(&c, i, 30, 10);
        assert_int_equal(scene_post(&c, i, 0, 2, 0, &err), OK);
    }
    lead_next(c.lead, 0);
    scene_token(&c, 0, 7, false);
    scene_token(&c, 1, 8, false);
    assert_int_equal(scene_post(&c, 2, 0, 6, 0, &err), OK);
    struct lead_step step = lead_next(c.lead, 0);
    assert_int_equal(step.n_parts, 3);
    assert_int_equal(step.n_rows, 8);
    assert_int_equal(step.parts[1].slot, 0);
    assert_int_equal(step.parts[2].slot, 1);
    scene_close(&c);
}

/* The slot lost what the id stands behind: the coordinator hears of it, once, and sends what is lacking. */
static void a_slot_that_cannot_go_on_says_so(void **state)
{
    (void)state;
    struct scene c;
    struct err err;
    scene_open(&c);
    scene_let(&c, 0, 30, 10);
    assert_int_equal(scene_post(&c, 0, 0, 4, 0, &err), OK);
    lead_next(c.lead, 0);
    const struct slot *s = &c.slots.slot[0];
    const struct token t = {c.jobs[0], 0, 1, 4, s->prefix_hash[4], 7, 0};
    slots_cut(&c.slots, 0, 2);
    assert_int_equal(lead_on_token(c.lead, &t, 0, &err), OK);
    struct lead_step step = lead_next(c.lead, 0);
    assert_int_equal(step.n_parts, 0);
    assert_int_equal(step.n_refused, 1);
    assert_int_equal(step.refused[0].job, 0);
    assert_int_equal(step.refused[0].status, VERDICT_GAP);
    assert_int_equal(step.refused[0].held, 2);
    assert_false(lead_has_work(c.lead, 100));
    scene_close(&c);
}

static void big_s_next_id_stands_behind_what_the_exact_rule_keeps(void **state)
{
    (void)state;
    static const int32_t drafts[] = {4, 5, 6};
    static const struct {
        int32_t next[4]; /* big's, of the rows from the last id of the text on */
        uint32_t at;
        int32_t id;
    } rows[] = {{{4, 5, 6, 7}, 16, 7}, {{4, 5, 9, 7}, 15, 9}, {{9, 5, 6, 7}, 13, 9}, {{4, 9, 6, 7}, 14, 9}};
    struct row part_rows[6] = {{.id = 1}, {.id = 2}, {.id = 3, .wanted = true}};
    for (int i = 0; i < 3; i++) {
        part_rows[2 + i] = (struct row){.id = 3 + i, .wanted = true, .judge = &drafts[i], .n_judge = 1};
        part_rows[3 + i] = (struct row){.id = drafts[i], .wanted = true};
    }
    const struct part part = {.job = 3, .slot = 2, .round = 4, .at = 10, .rows = part_rows, .n_rows = 6};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct verdict_row answers[4] = {0};
        struct token t;
        for (int k = 0; k < 4; k++) answers[k].next = rows[i].next[k];
        assert_true(token_of(&part, answers, &t));
        assert_int_equal(t.at, rows[i].at);
        assert_int_equal(t.id, rows[i].id);
        assert_true(t.slot == 2 && t.round == 4 && t.job == 3);
    }
    const struct part fed = {.rows = part_rows, .n_rows = 2};
    struct token t;
    assert_false(token_of(&fed, NULL, &t));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_are_taken_in_the_order_in_which_they_came_as_many_as_have_room),
        cmocka_unit_test(what_does_not_apply_is_refused_and_the_rest_goes_on),
        cmocka_unit_test(a_prefix_is_copied_where_another_slot_holds_it_behind_the_pass_that_computes_it),
        cmocka_unit_test(a_text_with_a_plan_copies_nothing),
        cmocka_unit_test(a_slot_goes_on_by_itself_as_far_as_its_open_lets_it),
        cmocka_unit_test(an_ack_lets_it_go_on_and_a_cut_ends_it),
        cmocka_unit_test(the_coordinator_s_own_rows_come_before_the_slot_s),
        cmocka_unit_test(an_ack_of_what_the_slot_has_lost_is_answered),
        cmocka_unit_test(slots_write_by_turns),
        cmocka_unit_test(a_part_that_comes_late_is_trimmed_or_refused),
        cmocka_unit_test(a_late_part_waits_for_the_slot_s_own),
        cmocka_unit_test(an_open_is_kept_and_changes_nothing_that_waits),
        cmocka_unit_test(slots_that_go_on_by_themselves_share_the_pass_with_all_others),
        cmocka_unit_test(a_slot_that_cannot_go_on_says_so),
        cmocka_unit_test(big_s_next_id_stands_behind_what_the_exact_rule_keeps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
