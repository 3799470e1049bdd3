/* What later stages need not compute any more: the rule as rows, then real workers of one stage, to which the test is
 * all others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/prefix_hash.h"
#include "tests/lib/roles.h"
#include "worker/roles/drops.h"

/* ---- the rule ---- */

enum { ROUND = 3, HELD = 6, AT = 4, BIG = 40 }; /* the slot holds 1 2 3 4 5 6; big's fifth id is 40 */

/* A part of these; `dropped`: the expected. */
struct arrival {
    uint32_t round, at;
    int32_t id;
    uint32_t n_tokens;
    bool dropped;
};

static void what_goes_on_from_a_contradicted_draft_is_dropped(void **state)
{
    (void)state;
    enum { OLD = 4, NUMBER };
    static const struct {
        const char *why;
        struct arrival parts[4]; /* up to one of round 0 */
    } rows[] = {
        {"behind the wrong draft", {{ROUND, 5, 6, OLD, true}}},
        {"beginning with it", {{ROUND, AT, 5, OLD, true}}},
        {"with big's own id, and behind that", {{ROUND, AT, BIG, OLD, false}, {ROUND, 5, 6, OLD, false}}},
        {"the leader knew, so it is another 5", {{ROUND, AT, 5, NUMBER, false}}},
        {"of another round", {{ROUND + 1, AT, 5, OLD, false}, {ROUND + 1, 5, 6, OLD, false}}},
        {"from before, and behind that", {{ROUND, 2, 3, OLD, false}, {ROUND, 6, 7, OLD, false}}},
        {"behind a dropped one, whatever the leader knew",
         {{ROUND, 5, 6, OLD, true},
          {ROUND, 6, 7, NUMBER, true},
          {ROUND, AT, BIG, NUMBER, false},
          {ROUND, 5, 9, 9, false}}},
        {"the text is sent again",
         {{ROUND, 5, 6, OLD, true}, {ROUND + 1, 0, 1, NUMBER, false}, {ROUND + 1, 7, 8, 9, false}}},
    };
    struct slots slots;
    struct err err;
    assert_int_equal(slots_init(&slots, 1, 16, 7, &err), OK);
    slots_apply(&slots, 0, 0, (const int32_t[]){1, 2, 3, 4, 5, 6}, HELD);
    const uint64_t *hashes = slots.slot[0].prefix_hash;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct drops drops;
        uint32_t n_rows = 0;
        assert_int_equal(drops_init(&drops, 1, &err), OK);
        drops_note(&drops, &slots,
                   &(struct token){.round = ROUND, .at = AT, .prefix_hash = hashes[AT], .id = BIG, .number = NUMBER});
        for (size_t k = 0; k < 4 && rows[i].parts[k].round; k++) {
            const struct arrival *a = &rows[i].parts[k];
            const struct row two[] = {{.id = a->id}, {.id = 0}};
            const struct part part = {.round = a->round, .at = a->at, .rows = two, .n_rows = 2};
            bool found = drops_find(&drops, &part, a->n_tokens);
            if (drops_settle(&drops, &part, found) != a->dropped) fail_msg("%s: part %zu", rows[i].why, k);
            n_rows += a->dropped * 2;
            if (a->dropped) assert_in_range(drops_held(&drops, &part), AT, a->at);
        }
        assert_int_equal(drops.n_rows, n_rows);
        drops_free(&drops);
    }
    slots_free(&slots);
}

static void a_token_that_says_nothing_new_drops_nothing(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        uint32_t slot, at;
        uint64_t stray; /* of the hash */
        int32_t id;
    } rows[] = {
        {"the draft was right", 0, AT, 0, 5},
        {"of another text", 0, AT, 1, BIG},
        {"past what the stage holds", 0, HELD + 1, 0, BIG},
        {"of no slot", 1, AT, 0, BIG},
    };
    struct slots slots;
    struct err err;
    assert_int_equal(slots_init(&slots, 1, 16, 7, &err), OK);
    slots_apply(&slots, 0, 0, (const int32_t[]){1, 2, 3, 4, 5, 6}, HELD);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct drops drops;
        const struct token token = {
            0, rows[i].slot, ROUND, rows[i].at, slots.slot[0].prefix_hash[rows[i].at] + rows[i].stray, rows[i].id, 5};
        const struct part part = {.round = ROUND, .at = 5, .rows = &(const struct row){.id = 6}, .n_rows = 1};
        assert_int_equal(drops_init(&drops, 1, &err), OK);
        drops_note(&drops, &slots, &token);
        if (drops_find(&drops, &part, 4)) fail_msg("%s", rows[i].why);
        drops_free(&drops);
    }
    slots_free(&slots);
}

/* ---- workers ---- */

static float hidden[8 * N_EMBD];

/* Ids [at, at + n) of the text, each of which judges the next one. */
static void pass_post(struct test_coordinator *d, int peer, uint32_t number, const struct text *t, int at, int n,
                      uint32_t n_tokens)
{
    struct row rows[8];
    for (int i = 0; i < n; i++) rows[i] = (struct row){t->ids[at + i], true, 0, &t->ids[at + i + 1], 1};
    const struct part part = {.job = number + 1,
                              .round = 7,
                              .at = (uint32_t)at,
                              .prefix_hash = t->prefix_hash[at],
                              .rows = rows,
                              .n_rows = (size_t)n,
                              .token = true};
    const struct pass pass = {.pass = number,
                              .parts = &part,
                              .n_parts = 1,
                              .hidden = hidden,
                              .n_hidden = (size_t)n * N_EMBD,
                              .n_tokens = n_tokens};
    coordinator_post(d, peer, &(struct message){.tag = TAG_PASS, .pass = pass});
}

static uint32_t n_dropped(struct test_coordinator *d, int peer)
{
    coordinator_post(d, peer, &(struct message){.tag = TAG_PING});
    const struct message *m = coordinator_next(d, NULL);
    assert_int_equal(m->tag, TAG_PONG);
    return m->pong.n_dropped;
}

/* Big, from hidden rows that mean nothing, contradicts some draft of the first pass. The leader has sent a second one
 * that goes on from it, then heard the Token, and sends big's id. */
static void the_last_stage_does_not_compute_what_it_has_contradicted(void **state)
{
    (void)state;
    enum { LEADER = 1, LAST, FED = 6 };
    for (int i = 0; i < 2; i++) {
        bool drops = i == 0;
        struct test_coordinator *d = coordinator_open(&(struct coordinator_config){
            .big = roles_big, .pp = 2, .stage = 1, .n_slots = 1, .n_ctx = N_CTX, .drops_nothing = !drops});
        struct text right = {0};
        pass_post(d, LAST, 0, &texts[0], 0, FED, 0);
        assert_int_equal(next_verdict(d)->status, VERDICT_OK);
        struct token token = coordinator_read(d, LEADER)->token;
        assert_true(token.number == 1 && token.job == 1 && token.at < FED && token.id != texts[0].ids[token.at]);

        pass_post(d, LAST, 1, &texts[0], FED, 2, 0);
        const struct verdict *v = next_verdict(d);
        assert_true(v->job == 2 && v->status == (drops ? VERDICT_GAP : VERDICT_OK));
        if (drops) assert_true(v->held == token.at && v->n_rows == 0);
        if (!drops) assert_int_equal(coordinator_read(d, LEADER)->token.job, 2);

        text_add(&right, texts[0].ids, (int)token.at);
        text_add(&right, (const int32_t[]){token.id, 1, 2, 3}, 4);
        pass_post(d, LAST, 2, &right, (int)token.at, 2, 1);
        assert_int_equal(next_verdict(d)->status, VERDICT_OK);
        assert_int_equal(coordinator_read(d, LEADER)->token.job, 3);
        assert_int_equal(n_dropped(d, LAST), drops ? 2 : 0);
        coordinator_close(d);
    }
}

/* Of two shards of a stage between, one has heard of the Token when the second pass comes. Both hand it on without
 * rows. */
static void shards_of_a_stage_between_drop_what_one_of_them_knows(void **state)
{
    (void)state;
    enum { SHARD = 3, LAST = 5, FED = 6 }; /* leader 1; the stage between 3, 4; the last one 5, 6 */
    for (int i = 0; i < 2; i++) {
        struct test_coordinator *d = coordinator_open(
            &(struct coordinator_config){.big = roles_big, .tp = 2, .pp = 3, .stage = 1, .n_slots = 1, .n_ctx = N_CTX});
        const struct token token = {1, 0, 7, FED - 1, texts[0].prefix_hash[FED - 1], texts[0].ids[FED - 1] + 1, 1};
        for (int s = 0; s < 2; s++) pass_post(d, SHARD + s, 0, &texts[0], 0, FED, 0);
        for (int s = 0; s < 2; s++) assert_int_equal(coordinator_read(d, LAST + s)->pass.n_hidden, FED * N_EMBD);
        coordinator_post(d, SHARD + i, &(struct message){.tag = TAG_TOKEN, .token = token});
        for (int s = 0; s < 2; s++) pass_post(d, SHARD + s, 1, &texts[0], FED, 2, 0);
        for (int s = 0; s < 2; s++) {
            const struct pass *pass = &coordinator_read(d, LAST + s)->pass;
            assert_true(pass->n_parts == 1 && pass->parts[0].dropped && pass->n_hidden == 0 && pass->parts[0].job == 2);
        }
        for (int s = 0; s < 2; s++) assert_int_equal(n_dropped(d, SHARD + s), 2);
        coordinator_close(d);
    }
}

int main(void)
{
    for (size_t i = 0; i < sizeof hidden / sizeof *hidden; i++) hidden[i] = (float)(i % 13) - 6;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_goes_on_from_a_contradicted_draft_is_dropped),
        cmocka_unit_test(a_token_that_says_nothing_new_drops_nothing),
        cmocka_unit_test(the_last_stage_does_not_compute_what_it_has_contradicted),
        cmocka_unit_test(shards_of_a_stage_between_drop_what_one_of_them_knows),
    };
    return cmocka_run_group_tests(tests, roles_open, roles_close);
}
