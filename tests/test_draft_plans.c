/* Several plans by which big drafts for itself: each slot may have another one, and another one in each round. What big
 * says has the bits of a plain pass, nothing that a draft shares with it is computed twice, and what a plan drafts
 * depends on the text alone, not on who drafted before. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/lib/lone_leader.h"
#include "tests/lib/tiny.h"

enum { N_EMBD = 72, N_BLOCKS = 4, N_CTX = 64, N_SLOTS = 3, N_PROMPT = 6, N_ROUNDS = 10, DRAFTS = 4, PLANS = 5 };

static char folder[] = "/tmp/pilotfish-plans-XXXXXX", big[64], exits[2][64], at_1[96], at_3[96], cut[96];

/* ---- what is computed ---- */

static int n_entry_rows; /* rows times entries of all that was run, but for fills */

int __real_engine_run(struct engine *e, const struct engine_span *span, const struct verdict_row **answers,
                      struct err *err);
int __wrap_engine_run(struct engine *e, const struct engine_span *span, const struct verdict_row **answers,
                      struct err *err);

int __wrap_engine_run(struct engine *e, const struct engine_span *span, const struct verdict_row **answers,
                      struct err *err)
{
    if (!span->fills) n_entry_rows += span->n_rows * (span->to - span->from);
    return __real_engine_run(e, span, answers, err);
}

/* ---- a leader of one shard ---- */

static void open_leader(struct lone_leader *l, const char *const plans[DRAFT_PLANS_MOST])
{
    lone_leader_open(l, big, plans, N_SLOTS, N_CTX);
}

struct text {  /* of a slot */
    int at, n; /* ids [at, at + n) are fed next */
    int32_t ids[N_CTX];
};

struct bits { /* compared byte by byte */
    int32_t next;
    float lp_next, lp_judged;
};

/* One pass over what is next of all texts; each row judges the next one's id. */
static void judge(struct lone_leader *l, const struct text *texts, int n_texts, struct bits *out)
{
    static struct row asks[PASS_ROWS];
    static struct engine_row rows[PASS_ROWS];
    static float x[PASS_ROWS][N_EMBD];
    struct part parts[N_SLOTS];
    const struct verdict_row *answers = NULL;
    struct err err;
    int n = 0;
    for (int slot = 0; slot < n_texts; slot++) {
        const struct text *t = &texts[slot];
        uint32_t at = (uint32_t)t->at;
        slots_apply(&l->w.slots, (uint32_t)slot, at, t->ids + at, (size_t)t->n);
        parts[slot] = (struct part){.slot = (uint32_t)slot,
                                    .at = at,
                                    .prefix_hash = l->w.slots.slot[slot].prefix_hash[at],
                                    .rows = asks + n,
                                    .n_rows = (size_t)t->n};
        engine_embed(l->w.engine, t->ids + at, t->n, x[n]);
        for (int i = 0; i < t->n; i++, n++) {
            const int32_t *id = &t->ids[t->at + i];
            asks[n] = (struct row){.id = *id, .wanted = true, .judge = id + 1, .n_judge = i + 1 < t->n};
            rows[n] = (struct engine_row){.slot = slot, .pos = t->at + i, .ask = &asks[n]};
        }
    }
    struct engine_span all = {ENGINE_SERVED, 0, N_BLOCKS, rows, n, x[0], NULL, false};
    int rc = l->d.w ? self_draft_pass(&l->d, parts, (size_t)n_texts, &all, &answers, &err)
                    : engine_run(l->w.engine, &all, &answers, &err);
    assert_int_equal(rc, OK);
    memset(out, 0, (size_t)n * sizeof *out);
    for (int i = 0; i < n; i++)
        out[i] = (struct bits){answers[i].next, answers[i].lp_next, asks[i].n_judge ? answers[i].lp_judged[0] : 0};
}

/* Behind the one id that is next of the text. Returns how many, after it in t->ids. */
static int draft(struct lone_leader *l, uint32_t slot, int plan, struct text *t)
{
    uint32_t us;
    const struct open_slot open = {.slot = slot, .draft_plan = (uint32_t)plan};
    const struct draft_order order = {.open = &open, .most = DRAFTS};
    slots_apply(&l->w.slots, slot, (uint32_t)t->at, t->ids + t->at, 1);
    int n = self_draft_write(&l->d, &order, t->ids + t->at + 1, &us);
    assert_int_equal(l->d.rc, OK);
    return n;
}

/* A leader that knows this plan alone drafts the same behind this text. */
static void check_drafts(struct lone_leader *alone, const struct text *t, int n)
{
    struct bits ignored[N_CTX];
    struct text whole = *t;
    whole.at = 0;
    whole.n = t->at;
    judge(alone, &whole, 1, ignored);
    whole.at = t->at;
    assert_int_equal(draft(alone, 0, 0, &whole), n);
    assert_memory_equal(whole.ids + t->at + 1, t->ids + t->at + 1, (size_t)n * sizeof *t->ids);
}

static const char *const lists[][DRAFT_PLANS_MOST] = {
    {"layerskip:1", "layerskip:3", "skip:0", "skip:2", "layerskip:4"},
    {"ode:0,1x2@.5", "skip:1a,3m", "layerskip:2"},
    {"ode:0x2", "ode:0,1x2", "ode:0-2,1", "ode:0,1,0,2"}, /* blocks that come back */
    {at_3, "layerskip:1", at_1},
    {at_1, cut, "layerskip:3", at_3, "skip:3"},
    {cut, at_1},
};
enum { N_LISTS = sizeof lists / sizeof *lists };

static void check_list(const char *const plans[DRAFT_PLANS_MOST])
{
    static struct lone_leader l, plain, alone[PLANS];
    static const char *const none[DRAFT_PLANS_MOST];
    struct text texts[N_SLOTS] = {0};
    struct bits found[PASS_ROWS], expected[PASS_ROWS];
    int n_plans = 0;
    open_leader(&l, plans);
    open_leader(&plain, none);
    for (; n_plans < DRAFT_PLANS_MOST && plans[n_plans]; n_plans++)
        open_leader(&alone[n_plans], (const char *const[DRAFT_PLANS_MOST]){plans[n_plans]});
    assert_int_equal(l.w.info.n_drafts, n_plans);
    for (int slot = 0; slot < N_SLOTS; slot++) {
        texts[slot].n = N_PROMPT + slot;
        for (int i = 0; i < texts[slot].n; i++) texts[slot].ids[i] = 3 + 97 * slot + 31 * i;
    }
    for (int round = 0; round < N_ROUNDS; round++) {
        int n_more = 0, row = 0; /* entries that only drafts have, times rows */
        n_entry_rows = 0;
        for (int slot = 0; slot < N_SLOTS && round > 0; slot++) {
            struct text *t = &texts[slot];
            int plan = (slot + round / 2) % n_plans, n = draft(&l, (uint32_t)slot, plan, t), before = n_entry_rows;
            check_drafts(&alone[plan], t, n);
            n_entry_rows = before;
            n_more += n * (l.w.info.drafts[plan].n_entries - l.w.info.drafts[plan].n_shared);
            t->n = n + 1;
        }
        judge(&l, texts, N_SLOTS, found);
        int n_here = n_entry_rows;
        n_entry_rows = 0;
        judge(&plain, texts, N_SLOTS, expected);
        assert_int_equal(n_here, n_entry_rows + n_more);
        for (int slot = 0; slot < N_SLOTS; slot++) {
            struct text *t = &texts[slot];
            int n_drafts = round ? t->n - 1 : 0, first = row + t->n - 1 - n_drafts, right = 0;
            if (memcmp(found + row, expected + row, (size_t)t->n * sizeof *found))
                fail_msg("plans %s, ..., round %d, slot %d: other bits", plans[0], round, slot);
            while (right < n_drafts && found[first + right].next == t->ids[t->at + right + 1]) right++;
            row += t->n;
            t->at += t->n - n_drafts + right;
            t->n = 1;
            t->ids[t->at] = found[first + right].next;
        }
    }
    lone_leader_close(&l);
    lone_leader_close(&plain);
    for (int i = 0; i < n_plans; i++) lone_leader_close(&alone[i]);
}

static void each_round_and_slot_may_have_another_plan(void **state)
{
    (void)state;
    for (int i = 0; i < N_LISTS; i++) check_list(lists[i]);
}

/* The coordinator may ask by any of them; there is none behind the last. */
static void an_ask_names_one_of_the_plans(void **state)
{
    (void)state;
    static struct lone_leader l;
    struct text t = {.at = 0, .n = 1, .ids = {3}};
    struct bits found[1];
    struct draft_row rows[2][DRAFTS];
    enum draft_end end;
    open_leader(&l, lists[0]);
    judge(&l, &t, 1, found);
    t.ids[1] = 44;
    slots_apply(&l.w.slots, 0, 1, t.ids + 1, 1);
    const struct slot ids = l.w.slots.slot[0];
    for (uint32_t plan = 0; plan < 2; plan++) {
        const struct draft_ask ask = {.draft_plan = plan};
        assert_int_equal(self_draft_answer(&l.d, &ask, &ids, DRAFTS, rows[plan], &end), DRAFTS);
    }
    assert_true(memcmp(rows[0], rows[1], sizeof rows[0]) != 0);
    const struct draft_ask ask = {.draft_plan = PLANS};
    assert_int_equal(self_draft_answer(&l.d, &ask, &ids, DRAFTS, rows[0], &end), 0);
    assert_int_equal(l.d.rc, E_PEER);
    lone_leader_close(&l);
}

/* One block of a side file serves all plans that name it, and each has its cache. */
static void side_blocks_are_loaded_once(void **state)
{
    (void)state;
    static struct lone_leader one, two, three;
    open_leader(&one, (const char *const[DRAFT_PLANS_MOST]){at_1});
    open_leader(&two, (const char *const[DRAFT_PLANS_MOST]){at_1, at_1});
    open_leader(&three, (const char *const[DRAFT_PLANS_MOST]){at_3, at_1});
    assert_true(one.w.info.weights_bytes == two.w.info.weights_bytes);
    assert_true(one.w.info.kv_position_bytes == two.w.info.kv_position_bytes);
    assert_int_equal(two.w.info.n_sides, 1);
    assert_true(one.w.info.weights_bytes < three.w.info.weights_bytes);
    assert_true(one.w.info.kv_position_bytes < three.w.info.kv_position_bytes);
    assert_true(one.w.info.body_bytes == three.w.info.body_bytes); /* of the served plan */
    assert_int_equal(three.w.info.n_sides, 2);
    assert_int_equal(three.w.info.side_at[0], 1);
    assert_int_equal(three.w.info.side_at[1], 3);
    assert_int_equal(three.w.info.drafts[0].i_side, 1);
    lone_leader_close(&one);
    lone_leader_close(&two);
    lone_leader_close(&three);
}

static int make_folder(void **state)
{
    (void)state;
    struct tiny_spec spec = tiny_spec(QUANT_F32);
    if (!mkdtemp(folder)) return -1;
    snprintf(big, sizeof big, "%s/big.gguf", folder);
    snprintf(exits[0], sizeof exits[0], "%s/side.gguf", folder);
    snprintf(exits[1], sizeof exits[1], "%s/cut.gguf", folder);
    snprintf(at_1, sizeof at_1, "balcony:%s:1", exits[0]);
    snprintf(at_3, sizeof at_3, "balcony:%s:3", exits[0]);
    snprintf(cut, sizeof cut, "balcony:%s:1", exits[1]); /* at an exit that another file has, too, with a list of ids */
    return tiny_write(big, &spec) || tiny_write_side(exits[0], big, &spec, &(struct tiny_side){.exits = {1, 3}}) ||
           tiny_write_side(exits[1], big, &spec, &(struct tiny_side){.exits = {1, 2}, .n_ids = 200, .every = 2});
}

static int remove_folder(void **state)
{
    (void)state;
    return tiny_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_round_and_slot_may_have_another_plan),
        cmocka_unit_test(an_ask_names_one_of_the_plans),
        cmocka_unit_test(side_blocks_are_loaded_once),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
