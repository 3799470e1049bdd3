/* Drafters over a toy model, and one without a model. Numbers in brackets are those of the protocol's invariants. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/roles.h"
#include "tests/lib/tiny.h"

struct sketch { /* compared byte by byte */
    enum draft_end end;
    int n;
    int32_t ids[N_CTX];
    float p[N_CTX];
};

/* Fed ids are counted: embedding one is what a fed row begins with. */
static atomic_int n_fed;

static void count_row(float *out, const struct weights *w, int i_row)
{
    const char *why;
    atomic_fetch_add(&n_fed, 1);
    kernels_pick(NULL, &why)->row(out, w, i_row);
}

static struct test_coordinator *drafter(void)
{
    static struct kernels counting;
    const char *why;
    counting = *kernels_pick(NULL, &why);
    counting.row = count_row;
    return coordinator_open(&(struct coordinator_config){
        .drafter = DRAFTER_LITTLE, .little = roles_little, .n_slots = N_SLOTS, .n_ctx = N_CTX, .kernels = &counting});
}

static void ask_with(struct test_coordinator *d, uint32_t slot, uint32_t round, const struct text *t, int at, int n,
                     int until, uint32_t from)
{
    struct draft_ask a = {.slot = slot,
                          .round = round,
                          .at = (uint32_t)at,
                          .prefix_hash = t->prefix_hash[at],
                          .ids = t->ids + at,
                          .n_ids = (size_t)(n - at),
                          .until = (uint32_t)until,
                          .from = from};
    coordinator_post(d, coordinator_drafter(d), &(struct message){.tag = TAG_DRAFT_ASK, .ask = a});
}

/* Asks to read ids [at, n) of the text. */
static void ask(struct test_coordinator *d, uint32_t slot, uint32_t round, const struct text *t, int at, int n,
                int until)
{
    ask_with(d, slot, round, t, at, n, until, 0);
}

static const struct draft *next_draft(struct test_coordinator *d)
{
    const struct message *m = coordinator_next(d, NULL);
    if (m->tag == TAG_FAIL) fail_msg("%s", m->fail.text);
    assert_int_equal(m->tag, TAG_DRAFT);
    return &m->draft;
}

static struct sketch sketch_of(const struct draft *draft)
{
    struct sketch s;
    memset(&s, 0, sizeof s);
    s.end = draft->end;
    s.n = (int)draft->n_rows;
    assert_in_range(s.n, 0, N_CTX);
    for (int i = 0; i < s.n; i++) {
        s.ids[i] = draft->rows[i].id;
        s.p[i] = draft->rows[i].p_top;
    }
    return s;
}

/* The answer to an ask that ended at n. */
static struct sketch draft_of(struct test_coordinator *d, uint32_t slot, uint32_t round, const struct text *t, int n)
{
    const struct draft *draft = next_draft(d);
    if (draft->slot != slot || draft->round != round || draft->at != (uint32_t)n ||
        draft->prefix_hash != t->prefix_hash[n])
        fail_msg("slot %u round %u: an answer to slot %u round %u at %u", slot, round, draft->slot, draft->round,
                 draft->at);
    assert_int_equal(draft->held, (uint32_t)n + draft->n_rows);
    return sketch_of(draft);
}

/* What a drafter says that has read these n ids, and nothing else before. */
static struct sketch fresh_draft(const struct text *t, int n, int until)
{
    struct test_coordinator *d = drafter();
    ask(d, 0, 1, t, 0, n, until);
    struct sketch s = draft_of(d, 0, 1, t, n);
    coordinator_close(d);
    return s;
}

static struct sketch cut_to(const struct sketch *full, int n, enum draft_end end)
{
    struct sketch s;
    memset(&s, 0, sizeof s);
    s.end = end;
    s.n = n;
    memcpy(s.ids, full->ids, (size_t)n * sizeof *s.ids);
    memcpy(s.p, full->p, (size_t)n * sizeof *s.p);
    return s;
}

static void check_sketch(const struct sketch *s, const struct sketch *fresh, const char *why)
{
    for (int i = 0; i < fresh->n && i < s->n; i++)
        if (s->ids[i] != fresh->ids[i] || memcmp(&s->p[i], &fresh->p[i], sizeof *s->p))
            fail_msg("%s: draft %d is %d with %a, not %d with %a", why, i, s->ids[i], (double)s->p[i], fresh->ids[i],
                     (double)fresh->p[i]);
    if (memcmp(s, fresh, sizeof *s)) fail_msg("%s: %d drafts, end %d", why, s->n, s->end);
}

/* [2] Some ask for nothing, some are refused; a slot is asked again before it has answered. */
static void every_ask_is_answered_exactly_once_and_each_slot_in_order(void **state)
{
    (void)state;
    enum { N = 120 };
    struct test_coordinator *d = drafter();
    struct text strange = texts[0];
    uint32_t next[N_SLOTS] = {0, 1, 2, 3};
    strange.prefix_hash[0]++;
    for (int i = 0; i < N; i++)
        ask(d, (uint32_t)i % N_SLOTS, (uint32_t)i, i % 5 == 4 ? &strange : &texts[i % 3], 0, 3 + i % 9, i % 14);
    for (int i = 0; i < N; i++) {
        const struct draft *draft = next_draft(d);
        assert_in_range(draft->slot, 0, N_SLOTS - 1);
        assert_int_equal(draft->round, next[draft->slot]);
        next[draft->slot] += N_SLOTS;
        assert_int_equal(draft->end == DRAFT_STALE, draft->round % 5 == 4);
    }
    coordinator_close(d);
}

/* [1, 8] Slot 1 holds 100 ids. */
static void an_ask_applies_only_where_the_slot_has_its_history(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        uint32_t slot;
        int text, at, n;
        enum draft_end end;
        uint32_t held;
    } rows[] = {
        {"a gap of one", 1, 0, 101, 104, DRAFT_GAP, 100},
        {"a gap of one, with nothing to read", 1, 0, 101, 101, DRAFT_GAP, 100},
        {"nothing to go on from", 2, 0, 0, 0, DRAFT_GAP, 0},
        {"a text that parted earlier", 1, 1, 100, 101, DRAFT_STALE, 100},
        {"another job's root", 1, 3, 0, 1, DRAFT_STALE, 100},
        {"past the last place", 1, 0, 100, N_CTX + 1, DRAFT_FULL, 100},
        {"no such slot", N_SLOTS, 0, 0, 1, DRAFT_FULL, 0},
    };
    struct text all[4] = {texts[0], texts[1], texts[2], {.prefix_hash = {COORDINATOR_ROOT + 1}}};
    struct test_coordinator *d = drafter();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct text *t = &all[rows[i].text];
        ask(d, 1, 1, &texts[0], 0, 100, 0); /* the row before left it as it was: nothing of it is read again */
        draft_of(d, 1, 1, &texts[0], 100);
        ask(d, rows[i].slot, 2, t, rows[i].at, rows[i].n, N_CTX);
        const struct draft *draft = next_draft(d);
        if (draft->end != rows[i].end || draft->held != rows[i].held || draft->n_rows)
            fail_msg("%s: end %d, holds %u, %zu rows", rows[i].why, draft->end, draft->held, draft->n_rows);
        assert_true(draft->round == 2 && draft->at == (uint32_t)rows[i].at &&
                    draft->prefix_hash == t->prefix_hash[rows[i].at]);
    }
    coordinator_close(d);
}

/* Slot 1 has read 60 ids. An ask that names it copies what the two texts share, as far as that is fed. */
static void what_another_slot_has_read_is_copied_and_not_read_again(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        int text, at, n, from, n_fed; /* n_fed: ids, with those of five drafts; 0: refused */
    } rows[] = {
        {"the same text, to its end", 0, 60, 65, 1 + 1, 5 + 4},
        {"the same text, from the midst of it", 0, 40, 65, 1 + 1, 25 + 4},
        {"what another begins with", 1, SHARED, 70, 1 + 1, 70 - SHARED + 4},
        {"more than they share", 1, SHARED + 1, 70, 1 + 1, 0},
        {"more than is there", 0, 61, 65, 1 + 1, 0},
        {"of no slot", 0, 60, 65, N_SLOTS + 1, 0},
        {"of none", 0, 60, 65, 0, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct text *t = &texts[rows[i].text];
        struct test_coordinator *d = drafter();
        ask(d, 1, 1, &texts[0], 0, 60, 0);
        draft_of(d, 1, 1, &texts[0], 60);
        ask(d, 0, 1, &texts[2], 0, 30, 0); /* of which nothing is left */
        draft_of(d, 0, 1, &texts[2], 30);
        atomic_store(&n_fed, 0);
        ask_with(d, 0, 2, t, rows[i].at, rows[i].n, rows[i].n + 5, (uint32_t)rows[i].from);
        if (!rows[i].n_fed) {
            const struct draft *draft = next_draft(d);
            if (draft->end != (rows[i].at <= 30 ? DRAFT_STALE : DRAFT_GAP))
                fail_msg("%s: end %d", rows[i].why, draft->end);
        } else {
            struct sketch s = draft_of(d, 0, 2, t, rows[i].n);
            int fed = atomic_load(&n_fed);
            struct sketch fresh = fresh_draft(t, rows[i].n, rows[i].n + 5);
            check_sketch(&s, &fresh, rows[i].why);
            if (fed != rows[i].n_fed) fail_msg("%s: %d ids are fed", rows[i].why, fed);
        }
        coordinator_close(d);
    }
    struct test_coordinator *d = drafter(); /* asked for at once: what is not fed yet is fed twice */
    ask(d, 1, 1, &texts[0], 0, 60, 65);
    ask_with(d, 0, 1, &texts[0], 60, 65, 70, 1 + 1);
    for (int k = 0; k < 2; k++) {
        const struct draft *draft = next_draft(d);
        int n = draft->slot ? 60 : 65;
        struct sketch s = sketch_of(draft), fresh = fresh_draft(&texts[0], n, n + 5);
        check_sketch(&s, &fresh, "at once");
    }
    coordinator_close(d);
}

static void an_ask_that_only_reads_is_answered_without_rows(void **state)
{
    (void)state;
    struct test_coordinator *d = drafter();
    for (int until = 0; until <= 40; until += 20) { /* before its end, at it */
        ask(d, 0, 1, &texts[0], until ? 20 : 0, until ? 40 : 20, until);
        struct sketch s = draft_of(d, 0, 1, &texts[0], until ? 40 : 20);
        assert_int_equal(s.n, 0);
        assert_int_equal(s.end, DRAFT_WINDOW);
    }
    ask(d, 0, 2, &texts[0], 40, 40, 46); /* the row whose answer was not asked for is fed again */
    struct sketch s = draft_of(d, 0, 2, &texts[0], 40), fresh = fresh_draft(&texts[0], 40, 46);
    check_sketch(&s, &fresh, "after it has only read");
    assert_int_equal(s.n, 6);
    coordinator_close(d);
}

/* Trap 2 and [14]: what it never fed is its own last draft. Read 20 ids, draft 6, then keep some and go on. */
static void after_any_acceptance_it_goes_on_as_if_it_had_read_the_text_afresh(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        int n_kept, n_new; /* drafts that were accepted; ids of big's own after them */
    } rows[] = {
        {"all, and big's own", 6, 1},   {"all, and nothing more", 6, 0},
        {"all, and a lot more", 6, 30}, {"all but the last, and big's own", 5, 1},
        {"three, and big's own", 3, 1}, {"three, and nothing more", 3, 0},
        {"none, and big's own", 0, 1},  {"none: the same again", 0, 0},
    };
    struct sketch first = fresh_draft(&texts[0], 20, 26);
    assert_int_equal(first.n, 6);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct test_coordinator *d = drafter();
        struct text t = {0};
        text_add(&t, texts[0].ids, 20);
        ask(d, 3, 1, &t, 0, 20, 26);
        struct sketch s = draft_of(d, 3, 1, &t, 20);
        check_sketch(&s, &first, "the first ask");
        for (uint32_t round = 2; round < 4; round++) { /* and once more, where it had to go back before */
            int at = t.n;
            text_add(&t, s.ids, rows[i].n_kept);
            text_add(&t, texts[2].ids, rows[i].n_new);
            ask(d, 3, round, &t, at, t.n, t.n + 6);
            s = draft_of(d, 3, round, &t, t.n);
            struct sketch fresh = fresh_draft(&t, t.n, t.n + 6);
            check_sketch(&s, &fresh, rows[i].why);
        }
        coordinator_close(d);
    }
}

/* [14] Each ask brings the accepted drafts back, with one new id; at no time was more fed than the text without its
 * last draft. */
static void no_id_is_fed_twice_where_the_drafts_were_right(void **state)
{
    (void)state;
    struct test_coordinator *d = drafter();
    struct text t = {0};
    int at = 20;
    text_add(&t, texts[0].ids, at);
    ask(d, 0, 0, &t, 0, at, at);
    draft_of(d, 0, 0, &t, at);
    atomic_store(&n_fed, at - 1); /* the last one is fed again: its answer was not asked for */
    for (uint32_t round = 1; round < 11; round++) {
        ask(d, 0, round, &t, at, t.n, t.n + 6);
        struct sketch s = draft_of(d, 0, round, &t, t.n);
        assert_int_equal(s.n, 6);
        assert_int_equal(atomic_load(&n_fed), t.n + 5);
        at = t.n;
        text_add(&t, s.ids, 6);
        text_add(&t, &texts[2].ids[round], 1);
    }
    coordinator_close(d);
}

/* [14] A draft refused at its fourth id: what comes back has three that were right, and one that is new. */
static void after_a_refusal_only_the_new_id_is_fed(void **state)
{
    (void)state;
    struct test_coordinator *d = drafter();
    struct text t = {0};
    text_add(&t, texts[0].ids, 20);
    ask(d, 0, 1, &t, 0, 20, 26);
    struct sketch s = draft_of(d, 0, 1, &t, 20);
    text_add(&t, s.ids, 3);
    text_add(&t, &(int32_t){(s.ids[3] + 1) % 512}, 1);
    atomic_store(&n_fed, 0);
    ask(d, 0, 2, &t, 20, 24, 25);
    draft_of(d, 0, 2, &t, 24);
    assert_int_equal(atomic_load(&n_fed), 1);
    coordinator_close(d);
}

/* The rows of its Drafts, each of a block, and how the last one ends. */
static struct sketch blocks_of(struct test_coordinator *d, uint32_t block, int at)
{
    struct sketch all;
    memset(&all, 0, sizeof all);
    do {
        const struct draft *draft = next_draft(d);
        struct sketch s = sketch_of(draft);
        assert_int_equal(draft->at, at + all.n);
        assert_int_equal(draft->held, at + all.n + s.n);
        if (s.end == DRAFT_MORE)
            assert_int_equal(s.n, block);
        else
            assert_true(s.n <= (int)block);
        memcpy(all.ids + all.n, s.ids, (size_t)s.n * sizeof *s.ids);
        memcpy(all.p + all.n, s.p, (size_t)s.n * sizeof *s.p);
        all.n += s.n;
        all.end = s.end;
    } while (all.end == DRAFT_MORE);
    return all;
}

static void ask_ahead(struct test_coordinator *d, uint32_t round, const struct text *t, int at, int n, int until,
                      uint32_t block)
{
    const struct draft_ask a = {.round = round,
                                .at = (uint32_t)at,
                                .prefix_hash = t->prefix_hash[at],
                                .ids = t->ids + at,
                                .n_ids = (size_t)(n - at),
                                .until = (uint32_t)until,
                                .block = block};
    coordinator_post(d, coordinator_drafter(d), &(struct message){.tag = TAG_DRAFT_ASK, .ask = a});
}

/* [14] What was committed of its drafts does not rewind it: no KV row is computed twice, and no draft is sent twice. */
static void where_it_runs_ahead_it_drafts_in_blocks_and_goes_on_behind_what_was_right(void **state)
{
    (void)state;
    struct sketch full = fresh_draft(&texts[0], 20, 36);
    assert_int_equal(full.n, 16);
    for (uint32_t block = 1; block < 4; block++) {
        struct test_coordinator *d = drafter();
        struct text t = {0};
        text_add(&t, texts[0].ids, 20);
        ask(d, 0, 0, &t, 0, 20, 20);
        draft_of(d, 0, 0, &t, 20);
        atomic_store(&n_fed, 19); /* the last one is fed again: its answer was not asked for */
        ask_ahead(d, 1, &t, 20, 20, 30, block);
        struct sketch s = blocks_of(d, block, 20), expected = cut_to(&full, 10, DRAFT_WINDOW);
        check_sketch(&s, &expected, "up to the window");
        text_add(&t, full.ids, 4); /* four of ten are right by now: the other six stay */
        ask_ahead(d, 1, &t, 20, 24, 36, block);
        s = blocks_of(d, block, 30);
        assert_int_equal(s.n, 6);
        assert_memory_equal(s.ids, full.ids + 10, 6 * sizeof *s.ids);
        assert_memory_equal(s.p, full.p + 10, 6 * sizeof *s.p);
        assert_int_equal(atomic_load(&n_fed), 35);
        text_add(&t, &(int32_t){(full.ids[4] + 1) % 512}, 1); /* the fifth was wrong */
        struct sketch fresh = fresh_draft(&t, 25, 28);
        atomic_store(&n_fed, 0);
        ask_ahead(d, 1, &t, 24, 25, 28, block);
        s = blocks_of(d, block, 25);
        check_sketch(&s, &fresh, "after a wrong one");
        assert_int_equal(atomic_load(&n_fed), 3);
        ask_ahead(d, 2, &t, 24, 25, 28, block); /* another round begins at its ids */
        s = blocks_of(d, block, 25);
        check_sketch(&s, &fresh, "in another round");
        coordinator_close(d);
    }
}

/* Together they read more rows than a pass has, and end at different times. */
static void slots_that_draft_together_do_not_change_each_other(void **state)
{
    (void)state;
    static const int n[] = {TEXT, 30, 111}, until[] = {TEXT + 9, 70, 112};
    struct test_coordinator *d = drafter();
    bool seen[3] = {0};
    for (uint32_t i = 0; i < 3; i++) ask(d, i, 1, &texts[i], 0, n[i], until[i]);
    for (int i = 0; i < 3; i++) {
        const struct draft *draft = next_draft(d);
        uint32_t slot = draft->slot;
        assert_in_range(slot, 0, 2);
        assert_false(seen[slot]);
        seen[slot] = true;
        struct sketch s = sketch_of(draft), fresh = fresh_draft(&texts[slot], n[slot], until[slot]);
        check_sketch(&s, &fresh, "together");
        assert_int_equal(s.n, until[slot] - n[slot]);
    }
    coordinator_close(d);
}

/* After so many passes. The first of them reads the text and gives a draft, each other one gives one more. */
static void an_ask_for_a_slot_in_work_is_answered_then_replaced(void **state)
{
    (void)state;
    struct sketch full = fresh_draft(&texts[0], 20, N_CTX), fresh = fresh_draft(&texts[1], 60, 66);
    assert_int_equal(full.n, N_CTX - 20);
    for (int n_passes = 0; n_passes < 4; n_passes++) {
        for (int stale = 0; stale <= 1; stale++) {
            struct test_coordinator *d = drafter();
            ask(d, 0, 1, &texts[0], 0, 20, N_CTX);
            for (int i = 0; i < n_passes; i++) coordinator_look_away(d, coordinator_drafter(d));
            ask(d, 0, 2, &texts[stale ? 2 : 1], 20, 60, 66); /* also by one that does not apply */
            struct sketch s = draft_of(d, 0, 1, &texts[0], 20), part = cut_to(&full, n_passes, DRAFT_WINDOW);
            check_sketch(&s, &part, "as far as it had come");
            if (stale) {
                assert_int_equal(next_draft(d)->end, DRAFT_STALE);
            } else {
                s = draft_of(d, 0, 2, &texts[1], 60);
                check_sketch(&s, &fresh, "the one that came after");
            }
            coordinator_close(d);
        }
    }
}

/* ---- limits ---- */

static bool stands_in(int32_t id, const int32_t *ids, int n)
{
    while (n > 0 && ids[n - 1] != id) n--;
    return n > 0;
}

/* A vocabulary of three chunks of the head; in the midst of one, between two, in the last and none at all. */
static const uint32_t limits[N_SLOTS] = {300, 2048, 2500, 0};
enum { LIMIT_AT = 20, LIMIT_TAKES = 8 };

static void write_wide(char *path, size_t size)
{
    struct tiny_spec spec = tiny_spec(QUANT_F32);
    spec.n_vocab = 2600;
    spec.left_out = 2;
    snprintf(path, size, "%s/wide.gguf", roles_folder);
    assert_int_equal(tiny_write(path, &spec), 0);
}

/* Slots [from, to) draft in the same passes, each within its limit. */
static void draft_within(const char *path, uint32_t from, uint32_t to, const struct sampler *sampler,
                         struct sketch *sketches)
{
    struct test_coordinator *d = coordinator_open(
        &(struct coordinator_config){.drafter = DRAFTER_LITTLE, .little = path, .n_slots = N_SLOTS, .n_ctx = N_CTX});
    for (uint32_t slot = from; slot < to; slot++) {
        const struct open_slot open = {.slot = slot, .n_ids = limits[slot], .last_position = N_CTX};
        const struct draft_ask a = {.slot = slot,
                                    .prefix_hash = COORDINATOR_ROOT,
                                    .ids = texts[slot % 3].ids,
                                    .n_ids = LIMIT_AT,
                                    .until = LIMIT_AT + LIMIT_TAKES,
                                    .sampler = *sampler};
        coordinator_post(d, coordinator_drafter(d), &(struct message){.tag = TAG_OPEN, .open = open});
        coordinator_post(d, coordinator_drafter(d), &(struct message){.tag = TAG_DRAFT_ASK, .ask = a});
    }
    for (uint32_t slot = from; slot < to; slot++) {
        const struct draft *draft = next_draft(d);
        sketches[draft->slot] = sketch_of(draft);
    }
    coordinator_close(d);
}

static void slots_with_other_limits_draft_what_they_would_alone(void **state)
{
    (void)state;
    static const struct sampler samplers[] = {{.temp = 0},
                                              {.temp = 1.5f, .top_p = 1, .seed = 3},
                                              {.temp = 1.5f, .top_p = .9f, .min_p = .001f, .seed = 3},
                                              {.temp = 1.5f, .top_k = 400, .top_p = 1, .seed = 3}};
    char path[96];
    write_wide(path, sizeof path);
    for (size_t s = 0; s < sizeof samplers / sizeof *samplers; s++) {
        struct sketch alone[N_SLOTS], together[N_SLOTS];
        int n_beyond = 0;
        draft_within(path, 0, N_SLOTS, &samplers[s], together);
        for (uint32_t slot = 0; slot < N_SLOTS; slot++) {
            draft_within(path, slot, slot + 1, &samplers[s], alone);
            assert_int_equal(alone[slot].n, LIMIT_TAKES);
            if (memcmp(&alone[slot], &together[slot], sizeof *alone)) fail_msg("slot %u, sampler %zu", slot, s);
            for (int i = 0; i < LIMIT_TAKES; i++) {
                int32_t id = alone[slot].ids[i];
                assert_true(!limits[slot] || id < (int32_t)limits[slot] ||
                            stands_in(id, texts[slot % 3].ids, LIMIT_AT));
                n_beyond += id >= (int32_t)limits[0];
            }
        }
        assert_true(n_beyond > 0); /* limits matter */
    }
}

/* ---- where a draft ends ---- */

static struct sketch ended_draft(const struct open_slot *open, int until, float p_min, float p_joint_min)
{
    struct test_coordinator *d = drafter();
    const struct text *t = &texts[0];
    coordinator_post(d, coordinator_drafter(d), &(struct message){.tag = TAG_OPEN, .open = *open});
    struct draft_ask a = {.round = 1,
                          .prefix_hash = t->prefix_hash[0],
                          .ids = t->ids,
                          .n_ids = 20,
                          .until = (uint32_t)until,
                          .p_min = p_min,
                          .p_joint_min = p_joint_min};
    coordinator_post(d, coordinator_drafter(d), &(struct message){.tag = TAG_DRAFT_ASK, .ask = a});
    struct sketch s = draft_of(d, 0, 1, t, 20);
    coordinator_close(d);
    return s;
}

static void a_draft_ends_where_it_must(void **state)
{
    (void)state;
    struct sketch full = fresh_draft(&texts[0], 20, 40);
    int least = 0, i_end = 0;
    for (int i = 1; i < full.n; i++)
        if (full.p[i] < full.p[least]) least = i;
    while (full.ids[i_end] != full.ids[9]) i_end++;                            /* where it is said first */
    double chance = (double)full.p[0] * (double)full.p[1] * (double)full.p[2]; /* of three */
    assert_int_equal(full.n, 20);
    assert_true(least > 0 && least < full.n);
    const int32_t ends[] = {N_VOCAB - 1, full.ids[9]};
    const struct open_slot plain = {.n_ids = N_VOCAB, .last_position = N_CTX},
                           with_end = {.n_ids = N_VOCAB, .end_ids = ends, .n_end_ids = 2, .last_position = N_CTX},
                           short_ = {.n_ids = N_VOCAB, .last_position = 24};
    const struct {
        const char *why;
        struct open_slot open;
        int until;
        float p_min, p_joint_min;
        int n;
        enum draft_end end;
    } rows[] = {
        {"at the window", plain, 33, 0, 0, 13, DRAFT_WINDOW},
        {"with an end id", with_end, 40, 0, 0, i_end + 1, DRAFT_EOS},
        {"before an end id", with_end, 20 + i_end, 0, 0, i_end, DRAFT_WINDOW},
        {"with an end id in the last place", with_end, 20 + i_end + 1, 0, 0, i_end + 1, DRAFT_EOS},
        {"before a token that no id is likely enough for", plain, 40, nextafterf(full.p[least], 1), 0, least,
         DRAFT_LOW},
        {"not where one is just likely enough", plain, 40, full.p[least], 0, 20, DRAFT_WINDOW},
        {"at once, of nothing sure enough", plain, 40, 1.5f, 0, 0, DRAFT_LOW},
        {"with the token that makes all of it too unlikely", plain, 40, 0, nextafterf((float)chance, 1), 3,
         DRAFT_JOINT_LOW},
        {"after its first token, if that is all it takes", plain, 40, 0, 1.5f, 1, DRAFT_JOINT_LOW},
        {"not where it is just likely enough", plain, 23, 0, nextafterf((float)chance, 0), 3, DRAFT_WINDOW},
        {"at the last position of the text", short_, 40, 0, 0, 4, DRAFT_WINDOW},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct sketch s = ended_draft(&rows[i].open, rows[i].until, rows[i].p_min, rows[i].p_joint_min),
                      expected = cut_to(&full, rows[i].n, rows[i].end);
        check_sketch(&s, &expected, rows[i].why);
    }
    assert_int_equal(ended_draft(&plain, INT32_MAX, 0, 0).n, N_CTX - 20); /* there is no room for more */
}

static void no_id_is_proposed_that_big_does_not_know(void **state)
{
    (void)state;
    struct sketch full = fresh_draft(&texts[0], 20, 40);
    int32_t most = 0;
    for (int i = 0; i < full.n; i++) most = full.ids[i] > most ? full.ids[i] : most;
    struct sketch s = ended_draft(&(struct open_slot){.n_ids = (uint32_t)most, .last_position = N_CTX}, 40, 0, 0);
    assert_int_equal(s.n, 20);
    for (int i = 0; i < s.n; i++) assert_true(s.ids[i] < most || stands_in(s.ids[i], texts[0].ids, 20));
}

/* The limit is where ids of more than a byte begin: beyond it are only those of the text, its own drafts among them. */
static void ids_of_the_text_are_proposed_beyond_the_limit(void **state)
{
    (void)state;
    enum { LIMIT = 256 };
    int n_known = 0, n_unknown = 0;
    struct test_coordinator *d = drafter();
    struct message open = {.tag = TAG_OPEN, .open = {.slot = 0, .n_ids = LIMIT, .last_position = N_CTX}};
    coordinator_post(d, coordinator_drafter(d), &open);
    for (int i = 0; i < 3; i++)
        for (int n = 10; n < TEXT; n += 4) {
            const struct text *t = &texts[i];
            struct sketch free = fresh_draft(t, n, n + 1);
            ask(d, 0, (uint32_t)(i * TEXT + n), t, 0, n, n + 8);
            struct sketch s = draft_of(d, 0, (uint32_t)(i * TEXT + n), t, n);
            assert_int_equal(s.n, 8);
            for (int k = 0; k < s.n; k++) assert_true(s.ids[k] < LIMIT || stands_in(s.ids[k], t->ids, n));
            bool known = stands_in(free.ids[0], t->ids, n);
            if (free.ids[0] >= LIMIT) known ? n_known++ : n_unknown++;
            if (free.ids[0] < LIMIT || known) {
                assert_int_equal(s.ids[0], free.ids[0]);
                assert_true(s.p[0] >= free.p[0]); /* of fewer ids */
            } else {
                assert_int_not_equal(s.ids[0], free.ids[0]);
            }
        }
    assert_true(n_known > 0 && n_unknown > 0);
    coordinator_close(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_ask_is_answered_exactly_once_and_each_slot_in_order),
        cmocka_unit_test(an_ask_applies_only_where_the_slot_has_its_history),
        cmocka_unit_test(what_another_slot_has_read_is_copied_and_not_read_again),
        cmocka_unit_test(an_ask_that_only_reads_is_answered_without_rows),
        cmocka_unit_test(after_any_acceptance_it_goes_on_as_if_it_had_read_the_text_afresh),
        cmocka_unit_test(no_id_is_fed_twice_where_the_drafts_were_right),
        cmocka_unit_test(after_a_refusal_only_the_new_id_is_fed),
        cmocka_unit_test(slots_that_draft_together_do_not_change_each_other),
        cmocka_unit_test(an_ask_for_a_slot_in_work_is_answered_then_replaced),
        cmocka_unit_test(slots_with_other_limits_draft_what_they_would_alone),
        cmocka_unit_test(where_it_runs_ahead_it_drafts_in_blocks_and_goes_on_behind_what_was_right),
        cmocka_unit_test(a_draft_ends_where_it_must),
        cmocka_unit_test(no_id_is_proposed_that_big_does_not_know),
        cmocka_unit_test(ids_of_the_text_are_proposed_beyond_the_limit),
    };
    return cmocka_run_group_tests(tests, roles_open, roles_close);
}
