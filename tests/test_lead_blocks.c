/* The leader of a verification group where the drafter runs ahead: blocks that follow one another, what becomes of
 * those behind a wrong draft, and how long a slot waits for drafts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proto/prefix_hash.h"
#include "tests/lib/scene.h"

/* A block of slot 0: each id is fed, and judges the one after it; the last one judges `last`. It follows the ids
 * `before`, from position `from` on, which the slot need not hold. */
static void post_block(struct scene *c, uint32_t from, const char *before, const char *fed, int32_t last)
{
    struct err err;
    struct row rows[MAX_ROWS];
    int32_t judge[MAX_ROWS];
    size_t n = strlen(fed);
    uint64_t hash = c->slots.slot[0].prefix_hash[from];
    for (const char *id = before; *id; id++) hash = prefix_hash_next(hash, *id);
    for (size_t i = 0; i < n; i++) {
        judge[i] = i + 1 < n ? fed[i + 1] : last;
        rows[i] = (struct row){.id = fed[i], .wanted = true, .judge = &judge[i], .n_judge = 1};
    }
    c->jobs[0] = ++c->n_jobs;
    const struct part part = {.job = c->n_jobs,
                              .round = 1,
                              .at = from + (uint32_t)strlen(before),
                              .prefix_hash = hash,
                              .rows = rows,
                              .n_rows = n};
    assert_int_equal(lead_on_verify(c->lead, &part, 0, &err), OK);
}

/* Big's next id at a position, in answer to a job. */
static void tell(struct scene *c, uint32_t job, uint32_t at, int32_t id, uint64_t now_us)
{
    struct err err;
    const struct token t = {job, 0, 1, at, c->slots.slot[0].prefix_hash[at], id, 0};
    assert_int_equal(lead_on_token(c->lead, &t, now_us, &err), OK);
}

static void hold(struct scene *c, uint32_t hold_us)
{
    struct err err;
    assert_int_equal(lead_on_ack(c->lead, &(struct ack){0, 2, hold_us}, &err), OK);
}

/* Slot 0 holds two ids, 7 comes next. */
static void blocks_share_a_pass_and_the_last_draft_is_fed_too(void **state)
{
    (void)state;
    static const struct {
        const char *why, *first, *second; /* blocks; "": none */
        int32_t last;                     /* that the last row judges */
        size_t n_parts;
        int n_rows;
    } rows[] = {
        {"two blocks: their three ids, and the draft that the last one judges", "\7\4", "\5", 6, 2, 4},
        {"one block", "\7\4", "", 5, 1, 3},
        {"one id", "\7", "", 5, 1, 2},
        {"not an end id: nothing comes after it", "\7\4", "", END, 1, 2},
        {"not where the pass is full", "\7\4\5\4\5\4\5\4", "", 6, 1, 8},
        {"the last row that has room", "\7\4\5\4\5\4\5", "", 6, 1, 8},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct scene c;
        scene_open_writing(&c);
        bool two = *rows[i].second;
        post_block(&c, 2, "", rows[i].first, two ? rows[i].second[0] : rows[i].last);
        if (two) post_block(&c, 2, rows[i].first, rows[i].second, rows[i].last);
        struct lead_step step = lead_next(c.lead, 0);
        if (step.n_parts != rows[i].n_parts || step.n_rows != rows[i].n_rows)
            fail_msg("%s: %zu parts, %d rows", rows[i].why, step.n_parts, step.n_rows);
        const struct part *end = &step.parts[step.n_parts - 1];
        const struct row *last = &end->rows[end->n_rows - 1];
        bool fed = last->n_judge == 0;
        assert_int_equal(fed, last->id == rows[i].last);
        assert_true(last->wanted);
        assert_int_equal(slots_held(&c.slots, 0), 2 + rows[i].n_rows);
        scene_close(&c);
    }
}

/* At the text's last position no row more has an answer that counts. */
static void the_last_draft_is_not_fed_at_the_end_of_the_text(void **state)
{
    (void)state;
    for (uint32_t last_position = 5; last_position < 8; last_position++) {
        struct scene c;
        struct err err;
        scene_open(&c);
        scene_let(&c, 0, last_position, 10);
        assert_int_equal(scene_post(&c, 0, 0, 2, 0, &err), OK);
        lead_next(c.lead, 0);
        scene_token(&c, 0, 7, false);
        post_block(&c, 2, "", "\7\4", 5); /* rows 2 and 3; row 4 would give the id at 5 */
        assert_int_equal(lead_next(c.lead, 0).n_rows, last_position > 5 ? 3 : 2);
        scene_close(&c);
    }
}

/* Of 7 4 5 6 big writes 7 8. What is in the pass is computed in vain, what waits is refused, and the slot goes on. */
static void what_follows_a_contradicted_draft_is_refused_and_the_slot_goes_on(void **state)
{
    (void)state;
    struct scene c;
    scene_open_writing(&c);
    post_block(&c, 2, "", "\7", 4);
    post_block(&c, 2, "\7", "\4", 5);
    assert_int_equal(lead_next(c.lead, 0).n_parts, 2);
    post_block(&c, 2, "\7\4", "\5", 6);
    post_block(&c, 2, "\7\4\5", "\6", 6);
    tell(&c, c.n_jobs - 3, 3, 8, 0);
    assert_int_equal(slots_held(&c.slots, 0), 3);
    tell(&c, c.n_jobs - 2, 4, 6, 0); /* that pass's second block */
    struct lead_step step = lead_next(c.lead, 0);
    assert_int_equal(step.n_refused, 2);
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(step.refused[i].job, c.n_jobs - 1 + i);
        assert_int_equal(step.refused[i].status, VERDICT_GAP);
        assert_int_equal(step.refused[i].held, 3);
    }
    assert_int_equal(step.n_parts, 1);
    assert_true(step.parts->job == 0 && step.parts->at == 3 && step.parts->rows[0].id == 8);
    /* Drafts of the right text come next; the first of them is known by now. */
    tell(&c, 0, 4, 1, 0);
    post_block(&c, 3, "", "\10\1\2", 3);
    step = lead_next(c.lead, 0);
    assert_true(step.n_parts == 1 && step.parts->at == 4 && step.parts->rows[0].id == 1 && step.n_rows == 3);
    scene_close(&c);
}

/* A stage behind lost what the part goes on from, or the slot did: the part may be one that nobody misses, so it is
 * said of the slot, too. */
static void a_slot_that_nothing_can_make_go_on_says_so(void **state)
{
    (void)state;
    struct scene c;
    scene_open_writing(&c);
    post_block(&c, 2, "", "\7", 4);
    lead_next(c.lead, 0);
    post_block(&c, 2, "\7", "\4", 5);
    uint64_t hash = c.slots.slot[0].prefix_hash[3];
    slots_cut(&c.slots, 0, 1);
    struct err err;
    const struct token t = {c.n_jobs - 1, 0, 1, 3, hash, 4, 0};
    assert_int_equal(lead_on_token(c.lead, &t, 0, &err), OK);
    struct lead_step step = lead_next(c.lead, 0);
    assert_int_equal(step.n_parts, 0);
    assert_int_equal(step.n_refused, 2);
    assert_true(step.refused[0].job == c.n_jobs && step.refused[1].job == 0);
    assert_true(step.refused[1].status == VERDICT_GAP && step.refused[1].held == 1);
    assert_false(lead_has_work(c.lead, 0));
    scene_close(&c);
}

static void a_slot_waits_for_drafts_as_long_as_the_ack_lets_it(void **state)
{
    (void)state;
    struct scene c;
    struct err err;
    scene_open_writing(&c); /* at 0 */
    assert_int_equal(lead_wait_us(c.lead, 0), 0);
    hold(&c, 5000);
    static const struct {
        uint64_t now_us, wait_us;
    } rows[] = {{0, 5000}, {1, 4999}, {4999, 1}, {5000, 0}, {9000, 0}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(lead_wait_us(c.lead, rows[i].now_us), rows[i].wait_us);
    assert_int_equal(lead_next(c.lead, 4999).n_parts, 0);
    assert_int_equal(lead_next(c.lead, 5000).n_parts, 1);
    assert_int_equal(lead_wait_us(c.lead, 5000), UINT64_MAX); /* that pass is in work */
    tell(&c, 0, 3, 4, 20000);
    assert_int_equal(lead_wait_us(c.lead, 21000), 4000);
    post_block(&c, 3, "", "\4", 5); /* drafts are there */
    assert_int_equal(lead_wait_us(c.lead, 21000), 0);
    assert_int_equal(lead_next(c.lead, 21000).n_rows, 2);
    tell(&c, c.n_jobs, 5, 4, 30000);
    assert_int_equal(lead_wait_us(c.lead, 30000), 5000);
    assert_int_equal(scene_post(&c, 1, 0, 2, 0, &err), OK); /* a pass of another slot takes it along */
    assert_int_equal(lead_next(c.lead, 30000).n_parts, 2);
    tell(&c, 0, 6, 4, 40000);
    assert_int_equal(lead_wait_us(c.lead, 40000), 5000);
    scene_let(&c, 0, 30, 10);
    post_block(&c, 6, "", "\4", 5);
    lead_next(c.lead, 40000);
    tell(&c, c.n_jobs, 8, 4, 50000);
    assert_int_equal(lead_wait_us(c.lead, 50000), 0); /* an Open begins without */
    scene_close(&c);
}

/* With several stages: slot 0's own row is on its way, and drafts that came late for it wait for the answer. */
static void a_part_that_waits_for_a_token_holds_up_no_other_slot(void **state)
{
    (void)state;
    struct scene c;
    struct err err;
    scene_open_writing(&c);
    assert_int_equal(lead_next(c.lead, 0).n_parts, 1);
    post_block(&c, 2, "", "\7", 4);
    post_block(&c, 2, "\7", "\4", 5);
    assert_int_equal(lead_wait_us(c.lead, 0), UINT64_MAX);
    assert_int_equal(lead_next(c.lead, 0).n_parts, 0);
    assert_int_equal(scene_post(&c, 1, 0, 2, 0, &err), OK);
    assert_int_equal(lead_wait_us(c.lead, 0), 0);
    struct lead_step step = lead_next(c.lead, 0);
    assert_true(step.n_parts == 1 && step.parts->slot == 1 && step.n_refused == 0);
    assert_int_equal(lead_wait_us(c.lead, 0), UINT64_MAX);
    tell(&c, 0, 3, 4, 0);
    step = lead_next(c.lead, 0); /* the first draft was right, and its answer is on the way */
    assert_true(step.n_refused == 1 && step.refused->status == VERDICT_LATE);
    assert_true(step.n_parts == 1 && step.parts->slot == 0 && step.parts->rows->id == 4);
    scene_close(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_share_a_pass_and_the_last_draft_is_fed_too),
        cmocka_unit_test(the_last_draft_is_not_fed_at_the_end_of_the_text),
        cmocka_unit_test(what_follows_a_contradicted_draft_is_refused_and_the_slot_goes_on),
        cmocka_unit_test(a_slot_that_nothing_can_make_go_on_says_so),
        cmocka_unit_test(a_slot_waits_for_drafts_as_long_as_the_ack_lets_it),
        cmocka_unit_test(a_part_that_waits_for_a_token_holds_up_no_other_slot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
