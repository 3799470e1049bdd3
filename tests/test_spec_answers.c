/* The heart and answers that are given by hand, step by step: what makes no sense is an error, what is refused is sent
 * again or given up, what comes late is dropped. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "coordinator/decode/spec.h"
#include "proto/wire.h"

/* ---- workers that do not keep to the protocol: an error of one line, never a wrong text ---- */

struct stray { /* a spec with one sequence "ab", brought as far as `drafting` says */
    struct spec *spec;
    struct seq seq;
    struct actions actions;
};

enum { STRAY_CTX = 16 };

/* root 1 is prefix_hash[0] of what is sent. */
static struct spec_config stray_config(int n_ctx, int max_rows, int n_vocab)
{
    static struct draft_profile profile;
    return (struct spec_config){.n_ctx = n_ctx,
                                .root = 1,
                                .drafter = {.kind = DRAFTER_LITTLE, .peer = 1, .n_ids = n_vocab, .n_proposed = n_vocab},
                                .n_groups = 1,
                                .groups = {{2, 1, max_rows, 4, n_vocab, &profile}}};
}

static void stray_submit(struct stray *t, const struct spec_config *config, const int32_t *ids, int n_ids,
                         int n_predict)
{
    struct err err;
    struct request r = {
        .prompt = ids,
        .n_prompt = n_ids,
        .settings = {.n_predict = n_predict, .drafting = true, .draft_max = 4, .draft_ctx = config->n_ctx}};
    *t = (struct stray){0};
    assert_int_equal(seq_init(&t->seq, &r, config->n_ctx, &err), OK);
    assert_int_equal(spec_open(&t->spec, config, &err), OK);
    assert_int_equal(spec_step(t->spec, &(struct event){.kind = EVENT_SUBMIT, .seq = &t->seq}, &t->actions, &err), OK);
}

static void stray_open(struct stray *t, bool drafting)
{
    const struct spec_config config = stray_config(STRAY_CTX, 8, 256);
    struct err err;
    stray_submit(t, &config, (const int32_t[]){'a', 'b'}, 2, 4);
    if (!drafting) return;
    struct verdict_row row = {.next = 'c'};
    struct verdict v = {.job = 1, .round = 1, .prefix_hash = 1, .rows = &row, .n_rows = 1};
    assert_int_equal(spec_step(t->spec, &(struct event){.kind = EVENT_VERDICT, .verdict = &v}, &t->actions, &err), OK);
    assert_int_equal(t->actions.list[t->actions.n - 1].message.tag, TAG_DRAFT_ASK);
}

static void stray_close(struct stray *t)
{
    spec_close(t->spec);
    seq_free(&t->seq);
}

static void an_answer_that_nobody_asked_for_is_an_error(void **state)
{
    (void)state;
    static const float lp[2] = {-1, -2};
    static const struct top top = {'c', -1};
    static const struct verdict_row right = {.next = 'c'}, rows[3] = {{.next = 'c'}, {.next = 'd'}, {.next = 'e'}},
                                    past = {.next = 256}, judges = {'c', -1, lp, 1, NULL, 0},
                                    best = {'c', -1, NULL, 0, &top, 1};
    static const struct draft_row drafts[4] = {{'d', 1}, {'e', 1}, {'f', 1}, {'g', 1}};
    static const struct {
        bool drafting; /* else the prompt is out */
        struct verdict verdict;
        struct draft draft;
        const char *text;
    } table[] = {
        {false,
         {.job = 1, .prefix_hash = 1, .slot = 1, .round = 1},
         {0},
         "slot 1 at 0 (job 1, round 1), of which nothing was asked"},
        {false,
         {.job = 1, .prefix_hash = 1, .slot = UINT32_MAX, .round = 1},
         {0},
         "slot 4294967295 at 0 (job 1, round 1), of which"},
        {false,
         {.job = 7, .prefix_hash = 1, .round = 1},
         {0},
         "slot 0 at 0 (job 7, round 1), of which nothing was asked"},
        {false,
         {.job = 1, .prefix_hash = 1, .round = 0, .rows = &right, .n_rows = 1},
         {0},
         "(job 1, round 0), of which nothing was asked"},
        {false,
         {.job = 1, .prefix_hash = 1, .round = 2, .rows = &right, .n_rows = 1},
         {0},
         "(job 1, round 2), of which nothing was asked"},
        {false,
         {.job = 1, .prefix_hash = 1, .round = 1, .at = 1, .rows = &right, .n_rows = 1},
         {0},
         "slot 0 at 1 (job 1, round 1), of"},
        {false,
         {.job = 1, .prefix_hash = 2, .round = 1, .rows = &right, .n_rows = 1},
         {0},
         "of which nothing was asked"},
        {false, {.job = 1, .prefix_hash = 1, .round = 1}, {0}, "slot 0 of 0 rows, expected 1"},
        {false,
         {.job = 1, .prefix_hash = 1, .round = 1, .rows = rows, .n_rows = 3},
         {0},
         "slot 0 of 3 rows, expected 1"},
        {false,
         {.job = 1, .prefix_hash = 1, .round = 1, .status = VERDICT_GAP, .rows = rows, .n_rows = 1},
         {0},
         "slot 0 of 1 rows, expected 0"},
        {false,
         {.job = 1, .prefix_hash = 1, .round = 1, .rows = &past, .n_rows = 1},
         {0},
         "an id outside the vocabulary of 256"},
        {false,
         {.job = 1, .prefix_hash = 1, .round = 1, .rows = &judges, .n_rows = 1},
         {0},
         "whose row 0 judges 1 ids"},
        {false,
         {.job = 1, .prefix_hash = 1, .round = 1, .rows = &best, .n_rows = 1},
         {0},
         "with the 1 best ids, asked for 0"},
        {false,
         {.job = 1, .prefix_hash = 1, .round = 1, .status = VERDICT_FULL},
         {0},
         "refuses slot 0 at 0 (status 3, holds 0)"},
        {true,
         {.job = 1, .prefix_hash = 1, .round = 1, .rows = &right, .n_rows = 1},
         {0},
         "(job 1, round 1), of which nothing was asked"},
        {false,
         {.job = 0, .prefix_hash = 1, .round = 1, .rows = &right, .n_rows = 1},
         {0},
         "(job 0, round 1), of which nothing was asked"},
        {true, {0}, {.slot = 1, .round = 2}, "a draft for slot 1 (round 2), of which nothing was asked"},
        {true, {0}, {.slot = 9, .round = 2}, "a draft for slot 9 (round 2), of which nothing was asked"},
        {true, {0}, {.round = 1, .rows = drafts, .n_rows = 1}, "slot 0 (round 1), of which nothing was asked"},
        {true, {0}, {.round = 2, .rows = drafts, .n_rows = 4}, "a draft of 4 tokens, 2 asked"},
        {true, {0}, {.round = 2, .end = DRAFT_GAP, .rows = drafts, .n_rows = 1}, "a draft of 1 tokens, 2 asked"},
        {true, {0}, {.round = 2, .at = 2, .rows = drafts, .n_rows = 1}, "a draft for slot 0 at 2, asked for at 3"},
        {true, {0}, {.round = 2, .at = 3, .rows = drafts, .n_rows = 1}, "a draft for slot 0 at 3, asked for at 3"},
        {false,
         {0},
         {.round = 1, .rows = drafts, .n_rows = 1},
         "a draft for slot 0 (round 1), of which nothing was asked"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct stray t;
        struct err err = {0};
        stray_open(&t, table[i].drafting);
        bool drafted = table[i].draft.n_rows || table[i].draft.round;
        struct event e = {
            .kind = drafted ? EVENT_DRAFT : EVENT_VERDICT, .verdict = &table[i].verdict, .draft = &table[i].draft};
        int rc = spec_step(t.spec, &e, &t.actions, &err), n_ids = t.seq.n_ids;
        if (rc != E_PEER || !strstr(err.text, table[i].text)) fail_msg("row %zu: %d \"%s\"", i, rc, err.text);
        assert_int_equal(t.seq.n_ids, n_ids);
        stray_close(&t);
    }
}

static void how_far_a_prompt_is_read_is_known_part_by_part(void **state)
{
    (void)state;
    const struct spec_config config = stray_config(64, 8, 256);
    const int32_t prompt[20] = {0};
    struct stray t;
    struct err err;
    stray_submit(&t, &config, prompt, 20, 4);
    const struct actions sent = t.actions; /* an Open first */
    assert_int_equal(sent.n, 4);
    struct verdict verdicts[3];
    struct verdict_row row = {.next = 'c'};
    for (int i = 0; i < 3; i++) {
        const struct part *p = &sent.list[i + 1].message.verify;
        verdicts[i] = (struct verdict){.job = p->job, .round = p->round, .at = p->at, .prefix_hash = p->prefix_hash};
    }
    verdicts[2].rows = &row;
    verdicts[2].n_rows = 1;
    for (int i = 0, n_read, n_ids; i < 3; i++) {
        assert_true(spec_reading(t.spec, &n_read, &n_ids));
        assert_int_equal(n_read, 8 * i);
        assert_int_equal(n_ids, 20);
        struct event e = {.kind = EVENT_VERDICT, .verdict = &verdicts[i]};
        assert_int_equal(spec_step(t.spec, &e, &t.actions, &err), OK);
        assert_int_equal(spec_reading(t.spec, &n_read, &n_ids), i < 2);
    }
    stray_close(&t);
}

/* Whatever it claims to hold, what is sent again begins inside the text. */
static void a_verifier_that_refuses_for_ever_is_given_up_after_the_whole_text_was_sent(void **state)
{
    (void)state;
    static const struct {
        enum verdict_status status;
        uint32_t held;
        int at; /* of what is sent again; -1: it is given up */
    } table[] = {{VERDICT_GAP, 1, 1},          {VERDICT_GAP, 0, 0},          {VERDICT_GAP, 2, 0},
                 {VERDICT_GAP, UINT32_MAX, 0}, {VERDICT_GAP, 0x80000000, 0}, {VERDICT_STALE, 1, 0},
                 {VERDICT_FULL, 0, -1}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct stray t;
        struct err err = {0};
        stray_open(&t, false);
        int at = table[i].at, rc = OK;
        for (uint32_t n = 1; rc == OK && n <= 3; n++) {
            const struct part *asked = &t.actions.list[t.actions.n - 1].message.verify;
            struct verdict v = {.job = asked->job,
                                .round = n,
                                .at = asked->at,
                                .prefix_hash = asked->prefix_hash,
                                .status = table[i].status,
                                .held = table[i].held};
            rc = spec_step(t.spec, &(struct event){.kind = EVENT_VERDICT, .verdict = &v}, &t.actions, &err);
            if (rc != OK) {
                if (n != (at < 0 ? 1 : 3)) fail_msg("row %zu: given up after %u", i, n);
                break;
            }
            assert_int_equal(t.actions.n, 1);
            const struct part *p = &t.actions.list[0].message.verify;
            if ((int)p->at != at) fail_msg("row %zu: sent again at %u", i, p->at);
            at = 0; /* after that, all of it */
        }
        assert_int_equal(rc, E_PEER);
        stray_close(&t);
    }
}

/* Each fits into a message, whatever the ids are; the drafts come with the last. One that is refused, refuses the
 * rest. */
static void check_asks(int n, int n_most)
{
    const struct spec_config config = stray_config(n + 8, n, INT32_MAX);
    int32_t *ids = calloc((size_t)n, sizeof *ids);
    for (int i = 0; i < n; i++) ids[i] = INT32_MAX - 1 - i;
    for (int refused = 0; refused <= 1; refused++) {
        struct stray t;
        struct err err = {0};
        struct wire_arena arena;
        const uint8_t *data;
        size_t n_bytes;
        assert_int_equal(wire_arena_init(&arena, 4 << 20, &err), OK);
        stray_submit(&t, &config, ids, n, 6);
        const struct verdict_row row = {.next = 'c'};
        const struct verdict v = {.job = 1, .round = 1, .prefix_hash = 1, .rows = &row, .n_rows = 1};
        assert_int_equal(spec_step(t.spec, &(struct event){.kind = EVENT_VERDICT, .verdict = &v}, &t.actions, &err),
                         OK);
        struct draft answers[3] = {0};
        int n_asks = 0, n_sent = 0;
        for (size_t i = 0; i < t.actions.n; i++) {
            const struct message *m = &t.actions.list[i].message;
            if (t.actions.list[i].kind != ACTION_POST || m->tag != TAG_DRAFT_ASK) continue;
            bool last = n_asks == n_most - 1;
            assert_int_equal(m->ask.at, n_sent);
            assert_ptr_equal(m->ask.ids, t.seq.ids + n_sent);
            n_sent += (int)m->ask.n_ids;
            assert_int_equal(m->ask.until, last ? n_sent + 4 : n_sent);
            if (wire_encode(&arena, m, &data, &n_bytes, &err) != OK) fail_msg("%s", err.text);
            bool gap = refused && n_asks > 0;
            answers[n_asks++] = (struct draft){
                .round = 2, .at = gap ? m->ask.at : (uint32_t)n_sent, .end = gap ? DRAFT_GAP : DRAFT_WINDOW};
        }
        assert_int_equal(n_asks, n_most);
        assert_int_equal(n_sent, n + 1);
        static const struct draft_row drafts[] = {{'d', 1}, {'e', 1}};
        answers[n_most - 1].prefix_hash = t.seq.prefix_hash[n + 1];
        if (!refused) answers[n_most - 1].rows = drafts, answers[n_most - 1].n_rows = 2;
        for (int i = 0; i < n_most; i++) {
            const struct event e = {.kind = EVENT_DRAFT, .draft = &answers[i]};
            if (spec_step(t.spec, &e, &t.actions, &err) != OK) fail_msg("%s", err.text);
            assert_int_equal(t.actions.n, i == n_most - 1);
        }
        const struct message *m = &t.actions.list[0].message; /* without drafts, where it is refused */
        assert_int_equal(m->tag, TAG_VERIFY);
        assert_int_equal(m->verify.n_rows, refused ? 1 : 3);
        wire_arena_free(&arena);
        stray_close(&t);
    }
    free(ids);
}

static void a_long_text_is_read_to_the_drafter_in_as_many_asks_as_it_needs(void **state)
{
    (void)state;
    check_asks(2 * ASK_IDS + 100, 3);
    check_asks(2 * ASK_IDS - 1, 2); /* with big's first id they are full */
    check_asks(2 * ASK_IDS, 3);
}

/* ---- refusals ---- */

static const struct message *last_sent(const struct stray *t)
{
    return &t->actions.list[t->actions.n - 1].message;
}

/* Big accepts every draft, and goes on with z. Or it refuses. */
static void stray_verdict(struct stray *t, enum verdict_status status)
{
    static const float lp = -1;
    const struct part *p = &last_sent(t)->verify;
    struct verdict_row rows[8];
    struct verdict v = {.job = p->job,
                        .slot = p->slot,
                        .round = p->round,
                        .at = p->at,
                        .prefix_hash = p->prefix_hash,
                        .status = status,
                        .rows = rows};
    struct err err;
    for (size_t i = 0; i < p->n_rows && status == VERDICT_OK; i++) {
        const struct row *row = &p->rows[i];
        if (row->wanted)
            rows[v.n_rows++] = (struct verdict_row){
                .next = row->n_judge ? row->judge[0] : 'z', .lp_judged = &lp, .n_judged = row->n_judge};
    }
    const struct event e = {.kind = EVENT_VERDICT, .verdict = &v};
    if (spec_step(t->spec, &e, &t->actions, &err) != OK) fail_msg("%s", err.text);
}

static void stray_draft(struct stray *t, enum draft_end end, const int32_t *ids, size_t n_ids)
{
    const struct draft_ask *ask = &last_sent(t)->ask;
    struct draft_row rows[4];
    for (size_t i = 0; i < n_ids; i++) rows[i] = (struct draft_row){ids[i], .5f};
    struct draft d = {.round = ask->round, .at = ask->at + (uint32_t)ask->n_ids, .end = end, .rows = rows};
    struct err err;
    d.prefix_hash = t->seq.prefix_hash[d.at];
    d.n_rows = n_ids;
    const struct event e = {.kind = EVENT_DRAFT, .draft = &d};
    if (spec_step(t->spec, &e, &t->actions, &err) != OK) fail_msg("%s", err.text);
}

/* Up to the first ask. */
static void stray_open_ruled(struct stray *t, struct rule rule)
{
    struct spec_config config = stray_config(64, 8, 256);
    const struct request r = {.prompt = (const int32_t[]){'a', 'b'},
                              .n_prompt = 2,
                              .settings = {.rule = rule, .drafting = true, .draft_max = 2, .draft_ctx = 64}};
    struct err err;
    config.drafter.prior.draft = .3; /* a model's */
    *t = (struct stray){0};
    assert_int_equal(seq_init(&t->seq, &r, config.n_ctx, &err), OK);
    assert_int_equal(spec_open(&t->spec, &config, &err), OK);
    assert_true(spec_idle(t->spec));
    assert_false(spec_runs(t->spec, 0) || spec_awaits_verdicts(t->spec, 0));
    assert_int_equal(spec_step(t->spec, &(struct event){.kind = EVENT_SUBMIT, .seq = &t->seq}, &t->actions, &err), OK);
    assert_false(spec_idle(t->spec));
    assert_true(spec_runs(t->spec, 0) && spec_awaits_verdicts(t->spec, 0));
    stray_verdict(t, VERDICT_OK);
    assert_true(spec_runs(t->spec, 0) && !spec_awaits_verdicts(t->spec, 0)); /* but a draft */
}

/* The drafter's answers, letter by letter: gap, stale, full, x failed, window; a dot is a verdict. What follows: ask,
 * verify, done. */
static void a_drafter_that_refuses_is_asked_again_where_the_text_hangs_on_it_and_done_without_where_not(void **state)
{
    (void)state;
    static const struct {
        enum rule_kind rule;
        const char *answers, *follows;
        enum withheld_why withheld;
    } table[] = {
        {RULE_EXACT, "g.", "va", WITHHELD_NOT},
        {RULE_EXACT, "s.", "va", WITHHELD_NOT},
        {RULE_EXACT, "g.g.g.g.", "vavavava", WITHHELD_NOT}, /* each costs but a draft */
        {RULE_EXACT, "f.", "vv", WITHHELD_NO_ROOM},
        {RULE_EXACT, "x.", "vv", WITHHELD_LOST},
        {RULE_STRICT, "g", "a", WITHHELD_NOT},
        {RULE_STRICT, "gs", "aa", WITHHELD_NOT},
        {RULE_STRICT, "ggg", "aad", WITHHELD_NOT},
        {RULE_STRICT, "ggw.ggw.ggg", "aavaaavaaad", WITHHELD_NOT}, /* those in a row count */
        {RULE_STRICT, "f", "d", WITHHELD_NOT},
        {RULE_STRICT, "x", "d", WITHHELD_NOT},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct stray t;
        struct err err;
        stray_open_ruled(&t, (struct rule){table[i].rule, 3});
        for (size_t k = 0; table[i].answers[k]; k++) {
            static const int32_t d = 'd';
            char a = table[i].answers[k];
            if (a == '.') stray_verdict(&t, VERDICT_OK);
            if (a == 'w') stray_draft(&t, DRAFT_WINDOW, &d, 1);
            if (a == 'g') stray_draft(&t, DRAFT_GAP, NULL, 0);
            if (a == 's') stray_draft(&t, DRAFT_STALE, NULL, 0);
            if (a == 'f') stray_draft(&t, DRAFT_FULL, NULL, 0);
            if (a == 'x') stray_draft(&t, DRAFT_FAILED, NULL, 0);
            bool done = t.actions.list[t.actions.n - 1].kind == ACTION_DONE;
            const struct message *m = last_sent(&t);
            char is = done ? 'd' : m->tag == TAG_DRAFT_ASK ? 'a' : 'v';
            if (is != table[i].follows[k]) fail_msg("row %zu: %c after %zu answers", i, is, k + 1);
            if (is == 'a' && a != '.') /* all of the text, for as many drafts */
                assert_true(m->ask.at == 0 && (int)m->ask.n_ids == t.seq.n_ids && (int)m->ask.until == t.seq.n_ids + 2);
        }
        if (t.seq.state != SEQ_DONE) spec_step(t.spec, &(struct event){.kind = EVENT_CANCEL}, &t.actions, &err);
        if (table[i].rule == RULE_STRICT && t.seq.end == SEQ_FAILED) {
            char last = table[i].answers[strlen(table[i].answers) - 1], text[128];
            snprintf(text, sizeof text, "%s, and without it the text would be another",
                     last == 'f'   ? "the drafter has no room for this text"
                     : last == 'x' ? "the drafter came to a number that is not finite"
                                   : "the drafter refuses this text");
            assert_string_equal(t.seq.why.text, text);
            assert_int_equal(t.seq.why.code, last == 'x' ? E_MODEL : E_PEER);
        }
        assert_int_equal(t.seq.end, t.seq.why.code ? SEQ_FAILED : SEQ_ABORTED);
        assert_int_equal(t.seq.stats.withheld.why, table[i].withheld);
        stray_close(&t);
    }
}

static void refusals_of_a_verify_count_in_a_row_and_in_one_text(void **state)
{
    (void)state;
    struct stray t;
    struct err err;
    stray_open_ruled(&t, (struct rule){0});
    for (int i = 0; i < 3; i++) {
        stray_draft(&t, DRAFT_WINDOW, NULL, 0);
        stray_verdict(&t, VERDICT_GAP);
        stray_verdict(&t, VERDICT_GAP);
        if (i < 2) stray_verdict(&t, VERDICT_OK);
    }
    assert_int_equal(spec_step(t.spec, &(struct event){.kind = EVENT_CANCEL}, &t.actions, &err), OK);
    struct seq next;
    const struct request r = {.prompt = (const int32_t[]){'x'}, .n_prompt = 1};
    assert_int_equal(seq_init(&next, &r, 64, &err), OK);
    assert_int_equal(spec_step(t.spec, &(struct event){.kind = EVENT_SUBMIT, .seq = &next}, &t.actions, &err), OK);
    stray_verdict(&t, VERDICT_GAP);
    stray_verdict(&t, VERDICT_GAP);
    stray_verdict(&t, VERDICT_OK);
    assert_int_equal(seq_n_generated(&next), 1);
    seq_free(&next);
    stray_close(&t);
}

/* The answer to the ask of a cancelled text comes when the next text's ask is out. */
static void a_draft_for_the_text_before_is_dropped(void **state)
{
    (void)state;
    const struct request r = {.prompt = (const int32_t[]){'x'},
                              .n_prompt = 1,
                              .settings = {.drafting = true, .draft_max = 2, .draft_ctx = 64}};
    const struct draft_row row = {'y', 1};
    struct stray t;
    struct seq next;
    struct err err;
    stray_open_ruled(&t, (struct rule){0});
    const struct draft old = {.round = last_sent(&t)->ask.round, .at = 3, .rows = &row, .n_rows = 1};
    assert_int_equal(seq_init(&next, &r, 64, &err), OK);
    assert_int_equal(spec_step(t.spec, &(struct event){.kind = EVENT_CANCEL}, &t.actions, &err), OK);
    assert_int_equal(spec_step(t.spec, &(struct event){.kind = EVENT_SUBMIT, .seq = &next}, &t.actions, &err), OK);
    stray_verdict(&t, VERDICT_OK);
    const struct draft new = {
        .round = last_sent(&t)->ask.round, .at = 2, .prefix_hash = next.prefix_hash[2], .rows = &row, .n_rows = 1};
    const struct event late = {.kind = EVENT_DRAFT, .draft = &old}, right = {.kind = EVENT_DRAFT, .draft = &new};
    assert_int_equal(spec_step(t.spec, &late, &t.actions, &err), OK);
    assert_int_equal(t.actions.n, 0);
    assert_int_equal(spec_step(t.spec, &right, &t.actions, &err), OK);
    assert_int_equal(last_sent(&t)->verify.n_rows, 2);
    assert_int_equal(spec_step(t.spec, &late, &t.actions, &err), E_PEER); /* there was but one */
    seq_free(&next);
    stray_close(&t);
}

static void nothing_comes_from_a_drafter_that_is_lost(void **state)
{
    (void)state;
    struct stray t;
    struct actions actions;
    struct err err;
    stray_open_ruled(&t, (struct rule){0});
    const struct draft late = {.round = 2, .at = 3, .prefix_hash = t.seq.prefix_hash[3]};
    const struct event lost = {.kind = EVENT_DRAFTER_LOST, .why = "gone"}, e = {.kind = EVENT_DRAFT, .draft = &late};
    assert_int_equal(spec_step(t.spec, &lost, &actions, &err), OK);
    assert_int_equal(actions.n, 1); /* a verify, without drafts */
    assert_int_equal(spec_step(t.spec, &lost, &actions, &err), OK);
    assert_int_equal(actions.n, 0);
    assert_int_equal(spec_step(t.spec, &e, &actions, &err), E_PEER);
    stray_close(&t);
}

/* Up to the first that is none of big's, whose ids are below 256. */
static void drafts_are_verified_as_far_as_big_has_their_ids(void **state)
{
    (void)state;
    static const struct {
        int32_t ids[2];
        size_t n, n_verified;
    } table[] = {{{0, 255}, 2, 2}, {{0, 256}, 2, 1}, {{256, 0}, 2, 0}, {{-1, 0}, 2, 0}, {{7, INT32_MIN}, 2, 1}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct stray t;
        stray_open_ruled(&t, (struct rule){0});
        stray_draft(&t, DRAFT_WINDOW, table[i].ids, table[i].n);
        if (last_sent(&t)->verify.n_rows != 1 + table[i].n_verified)
            fail_msg("row %zu: %zu rows", i, last_sent(&t)->verify.n_rows);
        assert_int_equal(t.seq.stats.n_drafted, table[i].n_verified);
        stray_close(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_long_text_is_read_to_the_drafter_in_as_many_asks_as_it_needs),
        cmocka_unit_test(a_drafter_that_refuses_is_asked_again_where_the_text_hangs_on_it_and_done_without_where_not),
        cmocka_unit_test(refusals_of_a_verify_count_in_a_row_and_in_one_text),
        cmocka_unit_test(a_draft_for_the_text_before_is_dropped),
        cmocka_unit_test(nothing_comes_from_a_drafter_that_is_lost),
        cmocka_unit_test(drafts_are_verified_as_far_as_big_has_their_ids),
        cmocka_unit_test(an_answer_that_nobody_asked_for_is_an_error),
        cmocka_unit_test(how_far_a_prompt_is_read_is_known_part_by_part),
        cmocka_unit_test(a_verifier_that_refuses_for_ever_is_given_up_after_the_whole_text_was_sent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
