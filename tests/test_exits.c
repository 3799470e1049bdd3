/* Drafts by a plan over the big model's own weights: what the two plans share is computed once, and what big says has
 * the bits of a plain pass, whatever was drafted before. That is three laws, each of all kinds of plans: of the prefix,
 * of resuming, of cropping. */
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

#include "tests/lib/tiny.h"
#include "proto/prefix_hash.h"
#include "worker/engine/engine.h"
#include "worker/roles/exit_rows.h"

enum { N_EMBD = 72, N_BLOCKS = 4, N_CTX = 64, MAX_ROWS = 12, N_ROUNDS = 12, DRAFTS = 5 };

static char folder[] = "/tmp/pilotfish-exits-XXXXXX", big[64], side[64], other_side[64], balcony[80], wide_side[64],
            cut_side[64], deep_side[64], bare_side[64];

struct verdict_bits { /* compared byte by byte */
    int32_t next;
    float lp_next, lp_judged;
};

static struct engine *engine(const char *plan, const char *draft_plan, int n_threads)
{
    struct engine *e = NULL;
    struct err err;
    const char *why;
    const struct engine_config c = {.path = big,
                                    .plan = plan,
                                    .draft_plans = (const char *const[DRAFT_PLANS_MOST]){draft_plan},
                                    .share = {.n_stages = 1, .n_shards = 1},
                                    .kernels = kernels_pick(NULL, &why),
                                    .n_threads = n_threads,
                                    .max_rows = MAX_ROWS};
    if (engine_open(&e, &c, &err) != OK || engine_load(e, 2, N_CTX, &err) != OK) fail_msg("%s", err.text);
    return e;
}

struct feed { /* rows of slot 1 from a position on; each wanted, and judges the next one's id */
    int at, n;
    int32_t ids[MAX_ROWS];
    struct row asks[MAX_ROWS];
    struct engine_row rows[MAX_ROWS];
    float x[MAX_ROWS][N_EMBD];
};

static void feed_make(struct feed *p, int at, const int32_t *ids, int n)
{
    *p = (struct feed){.at = at, .n = n};
    memcpy(p->ids, ids, (size_t)n * sizeof *ids);
    for (int i = 0; i < n; i++) {
        p->asks[i] = (struct row){.id = ids[i], .wanted = true, .judge = &p->ids[i + 1], .n_judge = i + 1 < n};
        p->rows[i] = (struct engine_row){.slot = 1, .pos = at + i, .ask = &p->asks[i]};
    }
}

static int n_entry_rows; /* rows times entries of all that was run */

static const struct verdict_row *run(struct engine *e, enum engine_plan plan, int from, int to, struct feed *p, int row,
                                     int n)
{
    const struct verdict_row *answers = NULL;
    struct err err;
    const struct engine_span span = {plan, from, to, p->rows + row, n, p->x[row], NULL, false};
    if (engine_run(e, &span, &answers, &err) != OK) fail_msg("%s", err.text);
    for (int i = 0; i < n; i++) assert_int_equal(engine_row_error(e, i, &err), OK);
    n_entry_rows += n * (to - from);
    return answers;
}

static void keep_bits(const struct verdict_row *answers, const struct feed *p, struct verdict_bits *out)
{
    memset(out, 0, (size_t)p->n * sizeof *out);
    for (int i = 0; i < p->n; i++) {
        out[i].next = answers[i].next;
        out[i].lp_next = answers[i].lp_next;
        if (p->asks[i].n_judge) out[i].lp_judged = answers[i].lp_judged[0];
    }
}

static void plainly(struct engine *e, int n_entries, struct feed *p, struct verdict_bits *out)
{
    engine_embed(e, p->ids, p->n, p->x[0]);
    keep_bits(run(e, ENGINE_SERVED, 0, n_entries, p, 0, p->n), p, out);
}

/* Ids after `first`, which stands at `at`; the rows through what the plans share are in p->x then. */
static void draft(struct engine *e, const struct engine_info *info, int at, int32_t first, int n_drafts, struct feed *p)
{
    int32_t ids[MAX_ROWS] = {first};
    int shared = info->drafts[0].n_shared, to = info->drafts[0].n_entries;
    feed_make(p, at, ids, n_drafts + 1);
    for (int i = 0; i < n_drafts; i++) {
        float kept[N_EMBD];
        engine_embed(e, &p->ids[i], 1, p->x[i]);
        if (shared < to) run(e, ENGINE_DRAFT, 0, shared, p, i, 1);
        memcpy(kept, p->x[i], sizeof kept);
        const struct verdict_row *answer = run(e, ENGINE_DRAFT, shared < to ? shared : 0, to, p, i, 1);
        p->ids[i + 1] = answer->next;
        if (shared < to) memcpy(p->x[i], kept, sizeof kept);
    }
}

/* Big judges: the last id went through nothing yet, the others go on from where the plans part. */
static void resume(struct engine *e, const struct engine_info *info, struct feed *p, struct verdict_bits *out)
{
    int last = p->n - 1;
    engine_embed(e, &p->ids[last], 1, p->x[last]);
    run(e, ENGINE_SERVED, 0, info->drafts[0].n_shared, p, last, 1);
    const struct engine_span fill = {
        ENGINE_DRAFT, info->drafts[0].n_shared, info->drafts[0].n_entries, p->rows + last, 1, p->x[last], NULL, true};
    const struct verdict_row *answers;
    struct err err;
    if (info->n_sides) assert_int_equal(engine_run(e, &fill, &answers, &err), OK);
    keep_bits(run(e, ENGINE_SERVED, info->drafts[0].n_shared, info->entry_to, p, 0, p->n), p, out);
}

static const struct {
    const char *plan, *draft;
    int n_shared, n_draft; /* entries */
} pairs[] = {
    {NULL, "layerskip:1", 1, 1},
    {NULL, "layerskip:2", 2, 2},
    {NULL, "layerskip:3", 3, 3},
    {NULL, "layerskip:4", 4, 4}, /* all of it: big itself drafts, and judges from the head on */
    {NULL, "skip:0", 0, 3},
    {NULL, "skip:2", 2, 3},
    {NULL, "skip:1a,3m", 1, 4},
    {NULL, "ode:0,1x2@.5", 1, 3},
    {NULL, "ode:0x2", 0, 2}, /* a block that comes back, in the cache that it has as the first: nothing is shared */
    {"skip:1", "skip:1,2", 1, 2},
    {"ode:0,1x4,3", "ode:0,1x2@2,3", 1, 4},
    {"ode:0,1x4,3", "ode:0,1x2,3", 3, 4},
    {NULL, balcony, 2, 3}, /* a side file's block behind block 1, with a cache of its own */
    {"skip:3", balcony, 2, 3},
    {"ode:0,1x2,3", balcony, 2, 3},
};
enum { N_PAIRS = sizeof pairs / sizeof *pairs };

/* K and V of the slot's positions [from, from + n), cache by cache, in the first n_caches: those of as many entries of
 * the served plan, then those of side blocks. */
struct kv_bits {
    size_t n;
    unsigned char bytes[N_CTX * 4096];
};

static struct kv_bits *kv_bits(const struct engine *e, int from, int n, int n_caches, struct kv_bits *out)
{
    struct engine_info info;
    engine_info(e, &info);
    const size_t all = (size_t)n * info.kv_position_bytes, n_all = (size_t)(info.entry_to + info.n_sides);
    assert_true(all <= sizeof out->bytes);
    engine_keep_kv(e, 1, from, n, out->bytes);
    out->n = all / n_all * (size_t)n_caches;
    return out;
}

static bool same_kv(const struct engine *a, const struct engine *b, int from, int n, int n_caches)
{
    static struct kv_bits of_a, of_b;
    kv_bits(a, from, n, n_caches, &of_a);
    kv_bits(b, from, n, n_caches, &of_b);
    return of_a.n == of_b.n && !memcmp(of_a.bytes, of_b.bytes, of_a.n);
}

/* A text of rounds: some drafts are right, the rest is taken back, and now and then all of a round is: then the same
 * positions come again with another id. */
struct text {
    int at, n_right, n_drafted; /* at: ids that are kept */
    int32_t ids[N_CTX];         /* and behind them the one that is fed next */
};

static const struct text prompt = {.at = 6, .ids = {3, 99, 402, 260, 17, 301}};

static bool text_goes_on(const struct text *t, int round)
{
    return round < N_ROUNDS && t->at + DRAFTS + 1 < N_CTX;
}

static void text_take(struct text *t, int round, const struct feed *p, const struct verdict_bits *found)
{
    int n = p->n - 1, right = 0;
    while (right < n && found[right].next == p->ids[right + 1]) right++;
    t->n_right += right;
    t->n_drafted += n;
    memcpy(t->ids + t->at, p->ids, (size_t)(right + 1) * sizeof *p->ids);
    if (round % 4 != 3) t->at += right + 1;
    t->ids[t->at] = found[right].next;
}

/* The engine that drafts, and one that does not. */
struct both {
    struct engine *drafts, *plain;
    struct engine_info info;
    int shared;
    struct text text;
};

static void open_both(struct both *b, int i_pair, int n_threads)
{
    struct feed p;
    struct verdict_bits found[MAX_ROWS], expected[MAX_ROWS];
    *b = (struct both){.drafts = engine(pairs[i_pair].plan, pairs[i_pair].draft, n_threads),
                       .plain = engine(pairs[i_pair].plan, NULL, n_threads),
                       .text = prompt};
    engine_info(b->drafts, &b->info);
    b->shared = b->info.drafts[0].n_shared;
    assert_int_equal(b->shared, pairs[i_pair].n_shared);
    assert_int_equal(b->info.drafts[0].n_entries, pairs[i_pair].n_draft);
    feed_make(&p, 0, prompt.ids, prompt.at);
    plainly(b->drafts, b->info.entry_to, &p, found);
    plainly(b->plain, b->info.entry_to, &p, expected);
    assert_memory_equal(found, expected, (size_t)p.n * sizeof *found);
    b->text.ids[b->text.at] = found[b->text.at - 1].next;
}

static void close_both(struct both *b)
{
    engine_close(b->drafts);
    engine_close(b->plain);
}

/* What a draft leaves in the entries that the plans share is what a plain pass leaves there: hidden rows behind them,
 * and K and V in them. Where the plans have parted it is not. */
static void prefix_law_of(int i_pair, int n_threads)
{
    static struct feed p, q;
    struct verdict_bits found[MAX_ROWS];
    struct both b;
    int n_others = 0; /* rounds in which K or V behind the shared entries are others */
    open_both(&b, i_pair, n_threads);
    for (int round = 0; text_goes_on(&b.text, round); round++) {
        const int n = round % (DRAFTS + 1), at = b.text.at, behind = b.info.entry_to - b.shared;
        draft(b.drafts, &b.info, at, b.text.ids[at], n, &p);
        feed_make(&q, at, p.ids, p.n);
        engine_embed(b.plain, q.ids, q.n, q.x[0]);
        run(b.plain, ENGINE_SERVED, 0, b.shared, &q, 0, q.n);
        const bool same_rows = !memcmp(p.x, q.x, (size_t)n * sizeof *p.x);
        keep_bits(run(b.plain, ENGINE_SERVED, b.shared, b.info.entry_to, &q, 0, q.n), &q, found);
        if (!same_rows || !same_kv(b.drafts, b.plain, 0, at + n, b.shared))
            fail_msg("plan %s, drafts %s, round %d: other bits", pairs[i_pair].plan, pairs[i_pair].draft, round);
        n_others += behind && !same_kv(b.drafts, b.plain, 0, at + n, b.info.entry_to);
        plainly(b.drafts, b.info.entry_to, &q, found);
        text_take(&b.text, round, &q, found);
    }
    assert_true(n_others > 0 || b.shared == b.info.entry_to);
    close_both(&b);
}

static void prefix_law(void **state)
{
    (void)state;
    for (int i = 0; i < N_PAIRS; i++) prefix_law_of(i, 1 + i % 2);
}

/* Big goes on from where the plans part with the bits of a plain pass, and nothing is computed twice. */
static void resume_law_of(int i_pair, int n_threads)
{
    static struct feed p, q;
    struct verdict_bits found[MAX_ROWS], expected[MAX_ROWS];
    struct both b;
    open_both(&b, i_pair, n_threads);
    for (int round = 0; text_goes_on(&b.text, round); round++) {
        const int n = round % (DRAFTS + 1), at = b.text.at;
        n_entry_rows = 0;
        draft(b.drafts, &b.info, at, b.text.ids[at], n, &p);
        resume(b.drafts, &b.info, &p, found);
        const int n_rows_here = n_entry_rows, own = b.info.drafts[0].n_entries - b.shared; /* that only the draft has */
        feed_make(&q, at, p.ids, p.n);
        n_entry_rows = 0;
        plainly(b.plain, b.info.entry_to, &q, expected);
        if (memcmp(found, expected, (size_t)p.n * sizeof *found) || memcmp(p.x, q.x, (size_t)p.n * sizeof *p.x) ||
            !same_kv(b.drafts, b.plain, 0, at + p.n, b.info.entry_to))
            fail_msg("plan %s, drafts %s, round %d: other bits", pairs[i_pair].plan, pairs[i_pair].draft, round);
        assert_int_equal(n_rows_here, n_entry_rows + n * own);
        text_take(&b.text, round, &p, found);
    }
    if (b.shared == N_BLOCKS) assert_int_equal(b.text.n_right, b.text.n_drafted);
    close_both(&b);
}

static void resume_law(void **state)
{
    (void)state;
    for (int i = 0; i < N_PAIRS; i++)
        for (int threads = 1; threads <= 2; threads++) resume_law_of(i, threads);
}

/* Ids that nobody drafted, with what the draft's plan needs of them. */
static void feed_whole(struct engine *e, const struct engine_info *info, struct feed *p, struct verdict_bits *out)
{
    const int shared = info->drafts[0].n_shared;
    const struct verdict_row *answers;
    struct err err;
    engine_embed(e, p->ids, p->n, p->x[0]);
    run(e, ENGINE_SERVED, 0, shared, p, 0, p->n);
    const struct engine_span fill = {ENGINE_DRAFT, shared, info->drafts[0].n_entries, p->rows, p->n, p->x[0],
                                     NULL,         true};
    if (info->n_sides) assert_int_equal(engine_run(e, &fill, &answers, &err), OK);
    keep_bits(run(e, ENGINE_SERVED, shared, info->entry_to, p, 0, p->n), p, out);
}

/* Drafts that were taken back leave no trace in what is kept: a text that never had them has the same K and V in every
 * cache, those of side blocks too, and is drafted behind and judged alike. */
static int crop_law_of(int i_pair, int n_threads)
{
    static struct feed p, q;
    struct verdict_bits found[MAX_ROWS], expected[MAX_ROWS];
    struct engine *e = engine(pairs[i_pair].plan, pairs[i_pair].draft, n_threads),
                  *never = engine(pairs[i_pair].plan, pairs[i_pair].draft, n_threads);
    struct engine_info info;
    struct text t = prompt;
    engine_info(e, &info);
    feed_make(&p, 0, t.ids, t.at);
    feed_whole(e, &info, &p, found);
    t.ids[t.at] = found[t.at - 1].next;
    for (int round = 0; text_goes_on(&t, round); round++) {
        draft(e, &info, t.at, t.ids[t.at], round % (DRAFTS + 1), &p);
        resume(e, &info, &p, found);
        text_take(&t, round, &p, found);
    }
    for (int at = 0; at < t.at; at += q.n) {
        feed_make(&q, at, t.ids + at, t.at - at < MAX_ROWS ? t.at - at : MAX_ROWS);
        feed_whole(never, &info, &q, expected);
    }
    if (!same_kv(e, never, 0, t.at, info.entry_to + info.n_sides))
        fail_msg("plan %s, drafts %s: other K or V", pairs[i_pair].plan, pairs[i_pair].draft);
    draft(e, &info, t.at, t.ids[t.at], DRAFTS, &p);
    resume(e, &info, &p, found);
    draft(never, &info, t.at, t.ids[t.at], DRAFTS, &q);
    resume(never, &info, &q, expected);
    assert_memory_equal(p.ids, q.ids, (DRAFTS + 1) * sizeof *p.ids);
    assert_memory_equal(found, expected, (DRAFTS + 1) * sizeof *found);
    engine_close(e);
    engine_close(never);
    return t.n_drafted - t.n_right;
}

static void crop_law(void **state)
{
    (void)state;
    int n_back = 0;
    for (int i = 0; i < N_PAIRS; i++) n_back += crop_law_of(i, 1 + i % 2);
    assert_true(n_back > N_PAIRS);
}

/* What was found in the entries that the plans share is not forgotten behind them. */
static void a_row_that_was_bad_before_is_bad_behind_with_the_same_words(void **state)
{
    (void)state;
    static struct feed p;
    static const int32_t ids[] = {5, 6, 7};
    const struct verdict_row *answers;
    struct err plain = {0}, err = {0};
    struct engine *e = engine(NULL, "layerskip:2", 1);
    int bad_entry[3];
    for (int resumed = 0; resumed <= 1; resumed++) {
        feed_make(&p, 0, ids, 3);
        engine_embed(e, ids, 3, p.x[0]);
        p.x[2][7] = 1.0f / 0.0f;
        struct engine_span span = {ENGINE_SERVED, 0, resumed ? 2 : 4, p.rows, 3, p.x[0], NULL, false};
        assert_int_equal(engine_run(e, &span, &answers, &err), OK);
        assert_int_equal(engine_row_error(e, 1, &err), OK);
        assert_int_equal(engine_row_error(e, 2, resumed ? &err : &plain), E_MODEL);
    }
    for (int i = 0; i < 3; i++) bad_entry[i] = engine_bad_entry(e, i);
    engine_embed(e, &ids[2], 1, p.x[2]); /* as if what is not finite had gone under */
    const struct engine_span behind = {ENGINE_SERVED, 2, 4, p.rows, 3, p.x[0], bad_entry, false};
    assert_int_equal(engine_run(e, &behind, &answers, &err), OK);
    assert_int_equal(engine_row_error(e, 1, &err), OK);
    assert_int_equal(engine_row_error(e, 2, &err), E_MODEL);
    assert_string_equal(err.text, plain.text);
    engine_close(e);
}

static void a_draft_s_plan_fits_the_first_stage(void **state)
{
    (void)state;
    static const struct {
        const char *plan, *draft;
        int n_stages, code;
        const char *why;
    } rows[] = {
        {NULL, "layerskip:2", 2, OK, ""},
        {NULL, "ode:0,1x3@.5", 2, OK, ""},
        {NULL, "layerskip:3", 2, E_LAYOUT, "block 2 is not in the first of 2 stages"},
        {NULL, "skip:1", 2, E_LAYOUT, "block 2 is not in the first of 2 stages"},
        {NULL, "layerskip:5", 1, E_MODEL, "an exit after 5 blocks, but the model has 4"},
        {"ode:0,1x4@.5,3", "ode:0,1x2", 1, OK, ""},
        {"ode:0,1x4@.5,3", "ode:0,1x2@.5", 2, OK, ""},
        {"ode:0,1x4@.5,3", "ode:0,1x2", 3, E_LAYOUT, "entry 2, block 1, reads the cache of the served plan's entry 3"},
        {"skip:1", "layerskip:2", 1, E_MODEL, "block 1, which the served plan does not run"},
        {"skip:1a", "layerskip:2", 1, E_MODEL, "block 1, which the served plan does not run"},
        {"skip:1a", "skip:1a,2", 1, OK, ""},
        {NULL, balcony, 1, OK, ""},
        {NULL, balcony, 2, OK, ""},
        {NULL, balcony, 4, E_LAYOUT, "block 1 is not in the first of 4 stages"},
        {"skip:1", balcony, 1, E_MODEL, "block 1, which the served plan does not run"},
        {"ode:0,1@2,2", balcony, 1, E_MODEL, "must be what the served plan begins with"},
        {balcony, balcony, 1, E_MODEL, "a second side file"},
        {NULL, other_side, 1, E_MODEL, "was made for another model"},
        {other_side, NULL, 1, E_MODEL, "was made for another model"},
        {NULL, wide_side, 1, E_MODEL, "blk.4.ffn_gate.weight"},
        {wide_side, NULL, 1, E_MODEL, "blk.4.ffn_gate.weight"},
        {NULL, cut_side, 1, E_MODEL, "it is cut off"},
        {cut_side, NULL, 1, E_MODEL, "it is cut off"},
        {NULL, deep_side, 1, E_MODEL, "an exit after 5 blocks, but the model has 4"},
        {NULL, bare_side, 1, E_MODEL, "not a GGUF file"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *why;
        struct engine *e = NULL;
        struct err err = {0};
        const struct engine_config c = {.path = big,
                                        .plan = rows[i].plan,
                                        .draft_plans = (const char *const[DRAFT_PLANS_MOST]){rows[i].draft},
                                        .share = {.n_stages = rows[i].n_stages, .n_shards = 1},
                                        .kernels = kernels_pick(NULL, &why),
                                        .n_threads = 1,
                                        .max_rows = 1};
        int rc = engine_open(&e, &c, &err);
        if (rc != rows[i].code || !strstr(err.text, rows[i].why)) fail_msg("%s: %d, %s", rows[i].draft, rc, err.text);
        engine_close(e);
    }
}

static void a_cut_head_counts_as_far_as_it_is_read(void **state)
{
    (void)state;
    enum { N = 128 };
    char listed[20 * N] = "{\"entries\": [{\"block\": 0}], \"ids\": [";
    for (int i = 0; i < N; i++) snprintf(listed + strlen(listed), 20, i ? ", %d" : "%d", 3 * i);
    strcat(listed, "]}");
    const char *const plans[] = {"layerskip:1", "{\"entries\": [{\"block\": 0}], \"ids\": 128}", listed};
    struct engine_info info[3];
    for (int i = 0; i < 3; i++) {
        struct engine *e = engine(plans[i], NULL, 1);
        engine_info(e, &info[i]);
        engine_close(e);
    }
    const double n_vocab = info[0].shape.n_vocab, in_panels = (info[0].shape.n_vocab + PANEL - 1) / PANEL * PANEL;
    for (int i = 1; i < 3; i++) {
        assert_true((double)info[i].head_bytes * in_panels == (double)info[0].head_bytes * N);
        assert_true(info[0].multiply_adds - info[i].multiply_adds == N_EMBD * (n_vocab - N));
        assert_true(info[i].body_bytes == info[0].body_bytes);
    }
}

/* ---- rows that are held (exit_rows.h) ---- */

/* Position 10 + i of a text whose ids are i. */
static struct part part_at(int i, const uint64_t *prefix_hash, const struct row *rows, int n)
{
    return (struct part){
        .slot = 1, .at = 10 + (uint32_t)i, .prefix_hash = prefix_hash[i], .rows = &rows[i], .n_rows = (size_t)n};
}

static void rows_of_a_draft_are_found_by_their_text(void **state)
{
    (void)state;
    enum { N = 5 };
    struct exit_rows r;
    struct err err;
    struct row rows[2 * N];
    uint64_t h[2 * N + 1] = {77};
    for (int i = 0; i < 2 * N; i++) {
        rows[i] = (struct row){.id = i};
        h[i + 1] = prefix_hash_next(h[i], i);
    }
    assert_int_equal(exit_rows_init(&r, 2, 1, &err), OK);
    struct part part = part_at(0, h, rows, N);
    assert_int_equal(exit_rows_held(&r, &part), 0);
    for (int i = 0; i < N; i++) {
        part = part_at(i, h, rows, 1);
        exit_rows_keep(&r, &part, 3, &(float){(float)i});
    }
    for (int i = 0; i <= N; i++) { /* parts that begin with any of them, and go on past the last */
        part = part_at(i, h, rows, N);
        assert_int_equal(exit_rows_held(&r, &part), N - i);
        for (int k = i; k < N; k++) assert_true(*exit_rows_at(&r, 1, 10 + (uint32_t)k) == (float)k);
    }
    part = part_at(0, h, rows, N);
    part.prefix_hash++; /* another text before it */
    assert_int_equal(exit_rows_held(&r, &part), 0);
    part = part_at(0, h, rows, N);
    rows[3].id = 99; /* another id: what is behind is of another text */
    assert_int_equal(exit_rows_held(&r, &part), 3);
    rows[3].id = 3;
    part.slot = 0;
    assert_int_equal(exit_rows_held(&r, &part), 0);
    part = part_at(2, h, rows, 1); /* another draft takes the place of the first */
    exit_rows_keep(&r, &part, 3, &(float){22});
    part = part_at(0, h, rows, N);
    assert_int_equal(exit_rows_held(&r, &part), 0);
    part = part_at(2, h, rows, N);
    assert_int_equal(exit_rows_held(&r, &part), 1);
    part = part_at(3, h, rows, 1); /* so does one that goes on behind it, by another plan */
    exit_rows_keep(&r, &part, 4, &(float){33});
    part = part_at(2, h, rows, N);
    assert_int_equal(exit_rows_held(&r, &part), 0);
    part = part_at(3, h, rows, N);
    assert_int_equal(exit_rows_held(&r, &part), 1);
    assert_int_equal(r.slot[1].plan, 4);
    exit_rows_drop(&r, 1);
    assert_int_equal(exit_rows_held(&r, &part), 0);
    exit_rows_free(&r);
}

static int make_folder(void **state)
{
    (void)state;
    struct tiny_spec spec = tiny_spec(QUANT_F32);
    if (!mkdtemp(folder)) return -1;
    snprintf(big, sizeof big, "%s/big.gguf", folder);
    snprintf(side, sizeof side, "%s/side.gguf", folder);
    snprintf(wide_side, sizeof wide_side, "balcony:%s/wide.gguf", folder);
    snprintf(cut_side, sizeof cut_side, "balcony:%s/cut.gguf", folder);
    snprintf(deep_side, sizeof deep_side, "balcony:%s/deep.gguf", folder);
    snprintf(bare_side, sizeof bare_side, "balcony:%s/bare.gguf", folder);
    snprintf(balcony, sizeof balcony, "balcony:%s", side);
    snprintf(other_side, sizeof other_side, "balcony:%s/other.gguf", folder);
    if (tiny_write(big, &spec) || tiny_write_side(side, big, &spec, &(struct tiny_side){.exits = {2}})) return -1;
    spec.n_ff += 4; /* the base's fingerprint, other shapes */
    if (tiny_write_side(strchr(wide_side, ':') + 1, big, &spec, &(struct tiny_side){.exits = {2}})) return -1;
    spec.n_ff -= 4;
    if (tiny_write_side(strchr(deep_side, ':') + 1, big, &spec, &(struct tiny_side){.exits = {5}})) return -1;
    const struct tiny_side at_2 = {.exits = {2}};
    if (tiny_write_side(strchr(cut_side, ':') + 1, big, &spec, &at_2) || truncate(strchr(cut_side, ':') + 1, 9000) ||
        tiny_write_side(strchr(bare_side, ':') + 1, big, &spec, &at_2) || truncate(strchr(bare_side, ':') + 1, 3))
        return -1;
    char other[64];
    snprintf(other, sizeof other, "%s/other-big.gguf", folder);
    spec.seed = 2;
    return tiny_write(other, &spec) ||
           tiny_write_side(strchr(other_side, ':') + 1, other, &spec, &(struct tiny_side){.exits = {1}});
}

static int remove_folder(void **state)
{
    (void)state;
    return tiny_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prefix_law),
        cmocka_unit_test(resume_law),
        cmocka_unit_test(crop_law),
        cmocka_unit_test(a_row_that_was_bad_before_is_bad_behind_with_the_same_words),
        cmocka_unit_test(a_draft_s_plan_fits_the_first_stage),
        cmocka_unit_test(a_cut_head_counts_as_far_as_it_is_read),
        cmocka_unit_test(rows_of_a_draft_are_found_by_their_text),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
