/* The leader of a verification group where several slots have drafts: whose rows are in a pass, and who waits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proto/prefix_hash.h"
#include "tests/lib/scene.h"

enum { NEXT = 7, FIRST = 10, BLOCKS_MOST = 6 }; /* NEXT: big's id behind the two of each slot; FIRST: of its drafts */

/* Blocks of a slot that holds `from` ids: each has n_rows, feeds what follows, and its last row judges the next id.
 * Their ids are `first`, FIRST, FIRST + 1, ... */
static void post_blocks(struct scene *c, uint32_t slot, int32_t first, int n_blocks, int n_rows)
{
    struct err err;
    uint32_t from = (uint32_t)c->slots.slot[slot].len;
    uint64_t hash = c->slots.slot[slot].prefix_hash[from];
    for (int i = 0; i < n_blocks; i++) {
        struct row rows[MAX_ROWS];
        int32_t ids[MAX_ROWS + 1];
        for (int k = 0; k <= n_rows; k++) ids[k] = i + k ? FIRST + i * n_rows + k - 1 : first;
        for (int k = 0; k < n_rows; k++)
            rows[k] = (struct row){.id = ids[k], .wanted = true, .judge = &ids[k + 1], .n_judge = 1};
        c->jobs[slot] = ++c->n_jobs;
        const struct part part = {.job = c->n_jobs,
                                  .slot = slot,
                                  .round = 1,
                                  .at = from + (uint32_t)(i * n_rows),
                                  .prefix_hash = hash,
                                  .rows = rows,
                                  .n_rows = (size_t)n_rows};
        assert_int_equal(lead_on_verify(c->lead, &part, 0, &err), OK);
        for (int k = 0; k < n_rows; k++) hash = prefix_hash_next(hash, ids[k]);
    }
}

/* Each slot holds two ids and goes on by itself; a row more than one takes so much of a pass of one. */
static void open_all(struct scene *c, bool adaptive, int row_percent)
{
    struct err err;
    scene_open(c);
    for (uint32_t slot = 0; slot < N_SLOTS; slot++) {
        const struct open_slot open = {
            .slot = slot, .last_position = N_CTX, .round = 1, .self_max = 30, .adaptive = adaptive};
        assert_int_equal(lead_on_open(c->lead, &open, &err), OK);
        assert_int_equal(scene_post(c, slot, 0, 2, 0, &err), OK);
    }
    lead_next(c->lead, 0);
    for (int n = 1; n <= MAX_ROWS; n++) lead_note_pass(c->lead, n, 1000 + (uint64_t)(10 * row_percent * (n - 1)));
    for (uint32_t slot = 0; slot < N_SLOTS; slot++) scene_token(c, slot, NEXT, false);
}

static void rows_of(const struct lead_step *step, int rows[N_SLOTS])
{
    memset(rows, 0, N_SLOTS * sizeof *rows);
    for (size_t i = 0; i < step->n_parts; i++) rows[step->parts[i].slot] += (int)step->parts[i].n_rows;
}

static void check_rows(const char *why, const struct lead_step *step, const int expected[N_SLOTS])
{
    int rows[N_SLOTS];
    rows_of(step, rows);
    if (memcmp(rows, expected, sizeof rows)) fail_msg("%s: %d %d %d", why, rows[0], rows[1], rows[2]);
}

/* A draft is taken to be right with .8 before any was judged. */
static void slots_share_the_rows_of_a_pass(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        bool adaptive;
        int row_percent, n_blocks[N_SLOTS], n_rows[N_SLOTS], expected[N_SLOTS]; /* n_rows: of a block; 0: 1 */
    } rows[] = {
        {"a row costs nothing: as many as there are, the last draft too", true, 0, {2, 1}, {0}, {3, 2, 1}},
        {"a row costs as much as a pass", true, 100, {5, 5, 5}, {0}, {1, 1, 1}},
        {"a row costs an eighth: a draft for each", true, 12, {2, 5, 5}, {0}, {3, 3, 2}},
        {"a full pass: the likeliest drafts", true, 0, {5, 5, 5}, {0}, {3, 3, 2}},
        {"its own row goes before drafts of others", true, 0, {6, 6, 0}, {0}, {4, 3, 1}},
        {"blocks are not divided", true, 100, {1, 1, 1}, {2, 2, 2}, {2, 2, 2}},
        {"those that do not fit wait", true, 0, {1, 1, 1}, {3, 3, 3}, {4, 4, 0}},
        {"windows that the user gave are taken in their order", false, 50, {5, 5, 5}, {0}, {6, 2, 0}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct scene c;
        open_all(&c, rows[i].adaptive, rows[i].row_percent);
        for (uint32_t k = 0; k < N_SLOTS; k++)
            post_blocks(&c, k, NEXT, rows[i].n_blocks[k], rows[i].n_rows[k] ? rows[i].n_rows[k] : 1);
        struct lead_step step = lead_next(c.lead, 0);
        check_rows(rows[i].why, &step, rows[i].expected);
        scene_close(&c);
    }
}

/* Of three blocks of each slot the first are in the pass. Slot 0's draft is right: it goes on with the next one. Slot
 * 1's is not: what waits is refused, and it goes on with big's id. */
static void drafts_that_wait_are_used_or_refused_once_more_is_known(void **state)
{
    (void)state;
    struct scene c;
    struct err err;
    open_all(&c, true, 100);
    for (uint32_t slot = 0; slot < N_SLOTS; slot++) post_blocks(&c, slot, NEXT, 3, 1);
    struct lead_step step = lead_next(c.lead, 0);
    check_rows("first", &step, (int[]){1, 1, 1});
    assert_int_equal(lead_wait_us(c.lead, 0), 0);
    for (uint32_t slot = 0; slot < N_SLOTS; slot++) {
        const struct token t = {step.parts[slot].job,          slot, 1, 3, c.slots.slot[slot].prefix_hash[3],
                                slot == 1 ? FIRST + 9 : FIRST, 0};
        assert_int_equal(lead_on_token(c.lead, &t, 0, &err), OK);
    }
    step = lead_next(c.lead, 0);
    check_rows("second", &step, (int[]){1, 1, 1});
    assert_int_equal(step.n_refused, 2);
    assert_int_equal(step.refused[0].status, VERDICT_LATE);
    assert_int_equal(step.refused[1].status, VERDICT_GAP);
    for (size_t i = 0; i < step.n_parts; i++) {
        bool own = step.parts[i].slot == 1;
        assert_int_equal(step.parts[i].rows[0].id, own ? FIRST + 9 : FIRST);
        assert_true((step.parts[i].job == 0) == own);
    }
    scene_close(&c);
}

/* With several stages: the first drafts of all are on their way, and those behind them are worth a pass of their own
 * only if they are likely enough. */
static void drafts_behind_others_without_an_answer_may_wait_for_it(void **state)
{
    (void)state;
    static const struct {
        int row_percent, expected[N_SLOTS];
        bool waits;
    } rows[] = {{100, {0, 0, 0}, true}, {0, {3, 3, 2}, false}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct scene c;
        struct err err;
        open_all(&c, true, rows[i].row_percent);
        for (uint32_t slot = 0; slot < N_SLOTS; slot++) post_blocks(&c, slot, NEXT, 1, 1);
        struct lead_step step = lead_next(c.lead, 0);
        int n_fed = step.n_rows / N_SLOTS; /* the last draft too, if that costs nothing */
        const struct token t = {step.parts[0].job, 0, 1, 3, c.slots.slot[0].prefix_hash[3], FIRST, 0};
        for (uint32_t slot = 0; slot < N_SLOTS; slot++) post_blocks(&c, slot, FIRST + n_fed - 1, 4, 1);
        assert_int_equal(lead_wait_us(c.lead, 0), 0);
        step = lead_next(c.lead, 0);
        check_rows("behind", &step, rows[i].expected);
        assert_true((lead_wait_us(c.lead, 0) > 0) == rows[i].waits);
        assert_int_equal(lead_wait_us(c.lead, 60000000), 0); /* but not for ever */
        assert_int_equal(lead_on_token(c.lead, &t, 0, &err), OK);
        assert_int_equal(lead_wait_us(c.lead, 0), 0);
        scene_close(&c);
    }
}

/* Of three blocks of three rows two fit. Whoever had no row goes first the next time. */
static void no_slot_waits_for_ever(void **state)
{
    (void)state;
    struct scene c;
    struct err err;
    int n_passes[N_SLOTS] = {0}, rows[N_SLOTS];
    open_all(&c, true, 0);
    for (uint32_t slot = 0; slot < N_SLOTS; slot++) post_blocks(&c, slot, NEXT, 1, 3);
    for (int pass = 0; pass < 9; pass++) {
        struct lead_step step = lead_next(c.lead, 0);
        struct part parts[N_SLOTS];
        size_t n_parts = step.n_parts;
        memcpy(parts, step.parts, n_parts * sizeof *parts);
        rows_of(&step, rows);
        for (size_t i = 0; i < n_parts; i++) {
            uint32_t slot = parts[i].slot, end = parts[i].at + (uint32_t)parts[i].n_rows;
            const struct token t = {parts[i].job, slot, 1, end, c.slots.slot[slot].prefix_hash[end], NEXT, 0};
            assert_int_equal(lead_on_token(c.lead, &t, 0, &err), OK);
            post_blocks(&c, slot, NEXT, 1, 3);
            n_passes[slot]++;
        }
        assert_int_equal(n_parts, 2);
    }
    for (int slot = 0; slot < N_SLOTS; slot++) assert_int_equal(n_passes[slot], 6);
    scene_close(&c);
}

/* A token for each part of the slots below n. Returns the rows of slot n. */
static int answer(struct scene *c, struct lead_step step, uint32_t n, int *n_rows)
{
    struct part parts[PASS_ROWS];
    struct err err;
    int of_last = 0;
    memcpy(parts, step.parts, step.n_parts * sizeof *parts);
    for (size_t i = 0; i < step.n_parts; i++) {
        const struct slot *s = &c->slots.slot[parts[i].slot];
        const struct token t = {parts[i].job, parts[i].slot, 1, (uint32_t)s->len, s->prefix_hash[s->len], NEXT, 0};
        if (parts[i].slot == n) of_last += (int)parts[i].n_rows;
        if (parts[i].slot == n) continue;
        n_rows[parts[i].slot] += (int)parts[i].n_rows;
        assert_int_equal(lead_on_token(c->lead, &t, 0, &err), OK);
    }
    return of_last;
}

/* The first n slots go on by themselves, and n_share of them share what a pass takes. */
static void open_beside(struct scene *c, uint32_t n, uint32_t n_share, int max_rows, int *n_rows)
{
    struct err err;
    *c = (struct scene){0};
    assert_int_equal(slots_init(&c->slots, (int)n + 1, N_CTX, ROOT, &err), OK);
    const struct lead_config config = {.slots = &c->slots, .max_rows = max_rows, .n_vocab = N_VOCAB};
    assert_int_equal(lead_open(&c->lead, &config, &err), OK);
    for (uint32_t slot = 0; slot < n; slot++) {
        const struct open_slot open = {
            .slot = slot, .last_position = N_CTX, .round = 1, .self_max = N_CTX, .adaptive = slot < n_share};
        assert_int_equal(lead_on_open(c->lead, &open, &err), OK);
        assert_int_equal(scene_post(c, slot, 0, 1, 0, &err), OK);
        answer(c, lead_next(c->lead, 0), n, n_rows);
    }
}

/* Each text ends with big's NEXT: one where it never stood before; one where the id before it, and it, did; one where
 * six ids did. */
static void copies_get_rows_by_how_long_the_match_is(void **state)
{
    (void)state;
    enum { IDS = 14 };
    static const int32_t texts[N_SLOTS][IDS] = {
        {20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33},
        {20, 21, 22, 23, 24, NEXT, 26, 27, 28, 29, 30, 31, 32, 24},
        {20, 21, 22, 23, 24, NEXT, 26, 27, 28, 20, 21, 22, 23, 24},
    };
    static const struct {
        int row_percent, expected[N_SLOTS];
    } rows[] = {{0, {1, 3, 3}}, {30, {1, 2, 3}}, {45, {1, 1, 2}}, {100, {1, 1, 1}}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct scene c;
        struct err err;
        open_all(&c, true, rows[i].row_percent);
        for (uint32_t slot = 0; slot < N_SLOTS; slot++) {
            const struct open_slot open = {.slot = slot,
                                           .last_position = N_CTX,
                                           .round = 1,
                                           .self_max = 30,
                                           .draft_max = 4,
                                           .adaptive = true,
                                           .text = 1};
            assert_int_equal(lead_on_open(c.lead, &open, &err), OK);
            slots_apply(&c.slots, slot, 0, texts[slot], IDS - 1);
            scene_token(&c, slot, texts[slot][IDS - 1], true);
        }
        lead_next(c.lead, 0); /* plain: a token's time is known then */
        for (uint32_t slot = 0; slot < N_SLOTS; slot++) {
            const struct token t = {0, slot, 1, IDS, c.slots.slot[slot].prefix_hash[IDS], NEXT, 0};
            assert_int_equal(lead_on_token(c.lead, &t, 1000, &err), OK);
        }
        struct lead_step step = lead_next(c.lead, 1000);
        check_rows("copies", &step, rows[i].expected);
        scene_close(&c);
    }
}

/* In one more slot a prompt comes, part by part, each of which fills a pass. Neither it nor a text waits for others to
 * end. */
static void a_prompt_and_texts_get_their_rows(void **state)
{
    (void)state;
    enum { SLOTS = 30, PASSES = 56 };
    static const struct {
        const char *why;
        uint32_t n, n_share;
        int max_rows;
    } rows[] = {
        {"one that shares no rows", 3, 2, MAX_ROWS},
        {"as many of these as a pass has rows", 4, 2, 2},
        {"a pass has few rows", SLOTS, SLOTS, 2},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct scene c;
        struct err err;
        uint32_t n = rows[i].n;
        int n_rows[SLOTS] = {0}, before[SLOTS], n_prompt = 0, n_parts = 0;
        open_beside(&c, n, rows[i].n_share, rows[i].max_rows, n_rows);
        memcpy(before, n_rows, sizeof before);
        for (int pass = 0; pass < PASSES; pass++) {
            bool next = pass % 14 == 0 && n_prompt == n_parts * rows[i].max_rows;
            uint32_t at = (uint32_t)c.slots.slot[n].len;
            uint64_t hash = c.slots.slot[n].prefix_hash[at];
            if (next) assert_int_equal(scene_post(&c, n, at, rows[i].max_rows, hash, &err), OK);
            n_parts += next;
            n_prompt += answer(&c, lead_next(c.lead, 0), n, n_rows);
        }
        if (n_parts < 3) fail_msg("%s: the prompt waits, %d parts", rows[i].why, n_parts);
        for (uint32_t slot = 0; slot < n; slot++)
            if (n_rows[slot] - before[slot] < 2) fail_msg("%s: slot %u waits", rows[i].why, slot);
        scene_close(&c);
    }
}

/* Slot 2 shares no rows, and its drafts came late: they wait for the answer to a row of its own. A prompt that fills a
 * pass does not wait with them. */
static void what_waits_for_a_token_takes_no_rows(void **state)
{
    (void)state;
    enum { SLOTS = 3 };
    struct scene c;
    struct err err;
    int n_rows[SLOTS] = {0};
    open_beside(&c, SLOTS, 2, MAX_ROWS, n_rows);
    struct lead_step step = lead_next(c.lead, 0);
    assert_int_equal(step.n_parts, SLOTS);
    for (uint32_t slot = 0; slot < 2; slot++) {
        const struct slot *text = &c.slots.slot[slot];
        const struct token t = {0, slot, 1, (uint32_t)text->len, text->prefix_hash[text->len], NEXT, 0};
        assert_int_equal(lead_on_token(c.lead, &t, 0, &err), OK);
    }
    const int32_t draft = FIRST;
    const struct row rows[] = {{.id = NEXT, .wanted = true, .judge = &draft, .n_judge = 1},
                               {.id = FIRST, .wanted = true}};
    const struct part late = {.job = 90,
                              .slot = 2,
                              .round = 1,
                              .at = 1,
                              .prefix_hash = c.slots.slot[2].prefix_hash[1],
                              .rows = rows,
                              .n_rows = 2};
    assert_int_equal(lead_on_verify(c.lead, &late, 0, &err), OK);
    assert_int_equal(scene_post(&c, SLOTS, 0, MAX_ROWS, c.slots.slot[SLOTS].prefix_hash[0], &err), OK);
    step = lead_next(c.lead, 0);
    assert_true(step.n_parts == 1 && step.parts->slot == SLOTS && step.n_rows == MAX_ROWS);
    scene_close(&c);
}

/* A text that begins with what slot 0 holds, of which one row is left, beside drafts of others. */
static void what_copies_is_taken_whole(void **state)
{
    (void)state;
    for (int held = 0; held < 2; held++) {
        struct scene c;
        struct err err;
        open_all(&c, true, 100);
        const struct open_slot open = {
            .slot = 2, .last_position = N_CTX, .round = 2, .self_max = 30, .adaptive = true, .text = 1};
        assert_int_equal(lead_on_open(c.lead, &open, &err), OK);
        if (!held) slots_cut(&c.slots, 2, 0);
        for (uint32_t slot = 0; slot < 2; slot++) post_blocks(&c, slot, NEXT, 2, 3);
        const struct row row = {.id = 50, .wanted = true};
        const struct part part = {.job = 90,
                                  .slot = 2,
                                  .round = 2,
                                  .at = 2,
                                  .prefix_hash = c.slots.slot[0].prefix_hash[2],
                                  .rows = &row,
                                  .n_rows = 1,
                                  .from = 1};
        assert_int_equal(lead_on_verify(c.lead, &part, 0, &err), OK);
        const struct lead_step step = lead_next(c.lead, 0);
        check_rows("a copy beside drafts", &step, (const int[]){3, 3, 1});
        assert_int_equal(step.parts[step.n_parts - 1].from, held ? 0 : 1);
        assert_int_equal(c.slots.slot[2].len, 3);
        scene_close(&c);
    }
}

/* Texts that begin with what their slots hold: not copied, but taken whole as if they were. Two slots had no row for
 * long, and rows are kept for them. */
static void what_need_not_be_copied_is_taken_whole_too(void **state)
{
    (void)state;
    enum { SLOTS = 4, LONG = 10 /* passes */, PART = MAX_ROWS / 2 };
    struct scene c;
    struct err err;
    int n_rows[SLOTS] = {0}, rows[SLOTS] = {0};
    open_beside(&c, SLOTS, SLOTS, MAX_ROWS, n_rows);
    struct lead_step step = lead_next(c.lead, 0);
    assert_int_equal(step.n_parts, SLOTS);
    for (int i = 0; i < LONG; i++) lead_next(c.lead, 0);
    for (uint32_t slot = 0; slot < 2; slot++) {
        const struct slot *text = &c.slots.slot[slot];
        const struct token t = {0, slot, 1, (uint32_t)text->len, text->prefix_hash[text->len], NEXT, 0};
        assert_int_equal(lead_on_token(c.lead, &t, 0, &err), OK);
    }
    for (uint32_t slot = 2; slot < SLOTS; slot++) {
        const struct open_slot open = {
            .slot = slot, .last_position = N_CTX, .round = 2, .self_max = N_CTX, .adaptive = true, .text = 1};
        const int32_t drafts[PART] = {FIRST, FIRST + 1, FIRST + 2};
        struct row feed[PART];
        for (int i = 0; i < PART; i++)
            feed[i] = (struct row){
                .id = i ? drafts[i - 1] : NEXT, .wanted = true, .judge = &drafts[i], .n_judge = i + 1 < PART};
        const struct part part = {.job = 90 + slot,
                                  .slot = slot,
                                  .round = 2,
                                  .at = 1,
                                  .prefix_hash = c.slots.slot[slot].prefix_hash[1],
                                  .rows = feed,
                                  .n_rows = PART,
                                  .from = 1};
        assert_int_equal(lead_on_open(c.lead, &open, &err), OK);
        assert_int_equal(lead_on_verify(c.lead, &part, 0, &err), OK);
    }
    step = lead_next(c.lead, 0);
    for (size_t i = 0; i < step.n_parts; i++) {
        rows[step.parts[i].slot] += (int)step.parts[i].n_rows;
        assert_int_equal(step.parts[i].from, 0);
    }
    assert_memory_equal(rows, ((const int[]){1, 1, PART, 0}), sizeof rows);
    scene_close(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slots_share_the_rows_of_a_pass),
        cmocka_unit_test(drafts_that_wait_are_used_or_refused_once_more_is_known),
        cmocka_unit_test(drafts_behind_others_without_an_answer_may_wait_for_it),
        cmocka_unit_test(no_slot_waits_for_ever),
        cmocka_unit_test(copies_get_rows_by_how_long_the_match_is),
        cmocka_unit_test(a_prompt_and_texts_get_their_rows),
        cmocka_unit_test(what_waits_for_a_token_takes_no_rows),
        cmocka_unit_test(what_copies_is_taken_whole),
        cmocka_unit_test(what_need_not_be_copied_is_taken_whole_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
