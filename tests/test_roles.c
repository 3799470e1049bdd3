/* The roles of workers: real verifiers and drafters over toy models; the test is the coordinator. Numbers in brackets are
 * those of the protocol's invariants. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "proto/gguf.h"
#include "proto/history.h"
#include "tests/lib/desk.h"
#include "tests/lib/tiny.h"

enum {
    N_CTX = 160,
    N_SLOTS = 4,
    N_VOCAB = 700, /* of the toys */
    N_EMBD = 72,
    TEXT = 120,  /* ids of a text: about a pass */
    SHARED = 50, /* that the first two texts begin with */
    N_JUDGE = 2,
    N_TOP = 2,
    MAX_JOBS = 256, /* as worker/role.h has them */
    PASS_ROWS = 128
};

static char folder[] = "/tmp/pilotfish-roles-XXXXXX";
static char big[64], little[64];

struct bits { /* what big says after an id; compared byte by byte */
    int32_t next;
    float lp_next, lp_judged[N_JUDGE];
    struct top top[N_TOP];
};

struct text {
    int n;
    int32_t ids[N_CTX + 1]; /* room for a letter that asks for too much */
    uint64_t h[N_CTX + 1];
    struct bits bits[TEXT]; /* from a fresh slot, alone, one whole model, in one pass */
};
static struct text texts[3];

static void text_add(struct text *t, const int32_t *ids, int n)
{
    t->h[0] = DESK_ROOT;
    for (int i = 0; i < n; i++, t->n++) {
        t->ids[t->n] = ids[i];
        t->h[t->n + 1] = history_next(t->h[t->n], ids[i]);
    }
}

/* ---- letters to a verifier ---- */

struct letter { /* a Verify in the making; jobs are numbered in the order in which parts are added */
    struct part parts[8];
    struct row rows[8 * TEXT];
    int32_t judge[8 * TEXT][N_JUDGE];
    size_t n_parts, n_rows;
    uint32_t n_jobs;
};

/* Ids [at, at + n) of the text; the last n_wanted rows are wanted, and each judges the id that follows. */
static struct part *letter_add(struct letter *l, uint32_t slot, const struct text *t, int at, int n, int n_wanted)
{
    struct part *part = &l->parts[l->n_parts++];
    *part = (struct part){.job = l->n_jobs++,
                          .slot = slot,
                          .round = 7,
                          .at = (uint32_t)at,
                          .h = t->h[at],
                          .rows = l->rows + l->n_rows,
                          .n_rows = (size_t)n};
    for (int i = at; i < at + n; i++) {
        int32_t *judge = l->judge[l->n_rows];
        judge[0] = i + 1 < TEXT ? t->ids[i + 1] : 0;
        judge[1] = 5;
        struct row row = {.id = t->ids[i]};
        if (i >= at + n - n_wanted) row = (struct row){t->ids[i], true, N_TOP, judge, N_JUDGE};
        l->rows[l->n_rows++] = row;
    }
    return part;
}

static void letter_post(struct letter *l, struct desk *d)
{
    desk_post(d, PEER_VERIFIER, &(struct message){.tag = TAG_VERIFY, .verify = {l->parts, l->n_parts}});
    l->n_parts = l->n_rows = 0;
}

static const struct verdict *next_verdict(struct desk *d)
{
    const struct message *m = desk_next(d, NULL);
    if (m->tag == TAG_FAIL) fail_msg("%s", m->fail.text);
    assert_int_equal(m->tag, TAG_VERDICT);
    return &m->verdict;
}

static struct bits bits_of(const struct verdict_row *row)
{
    struct bits b;
    memset(&b, 0, sizeof b);
    assert_int_equal(row->n_judged, N_JUDGE);
    assert_int_equal(row->n_top, N_TOP);
    b.next = row->next;
    b.lp_next = row->lp_next;
    memcpy(b.lp_judged, row->lp_judged, sizeof b.lp_judged);
    memcpy(b.top, row->top, sizeof b.top);
    return b;
}

/* The verdict on ids [at, at + n) of the text. */
static void check_verdict(const struct verdict *v, uint32_t slot, const struct text *t, int at, int n, int n_wanted)
{
    if (v->status != PART_OK || v->slot != slot || v->round != 7 || v->at != (uint32_t)at || v->h != t->h[at])
        fail_msg("slot %u at %d: an answer for slot %u at %u, status %d", slot, at, v->slot, v->at, v->status);
    assert_int_equal(v->held, at + n);
    assert_int_equal(v->n_rows, n_wanted);
    for (int i = 0; i < n_wanted; i++) {
        struct bits b = bits_of(&v->rows[i]);
        int pos = at + n - n_wanted + i;
        if (memcmp(&b, &t->bits[pos], sizeof b))
            fail_msg("slot %u at %d: other bits at position %d: %d with %a", slot, at, pos, b.next, (double)b.lp_next);
    }
}

/* Posts one part and checks its answer. */
static void judge(struct desk *d, uint32_t slot, const struct text *t, int at, int n, int n_wanted)
{
    struct letter l = {0};
    letter_add(&l, slot, t, at, n, n_wanted);
    letter_post(&l, d);
    check_verdict(next_verdict(d), slot, t, at, n, n_wanted);
}

/* ---- verifiers ---- */

static const int layouts[][2] = {{1, 1}, {2, 1}, {1, 2}, {2, 2}}; /* tp, pp */
enum { N_LAYOUTS = sizeof layouts / sizeof *layouts };

static struct desk *verifier(int i_layout)
{
    return desk_open(&(struct desk_config){
        .big = big, .tp = layouts[i_layout][0], .pp = layouts[i_layout][1], .n_slots = N_SLOTS, .n_ctx = N_CTX});
}

/* [2, 3] More letters than a group takes at once, of all slots in turn, every seventh of them stale. */
static void every_part_is_answered_exactly_once_and_in_order(void **state)
{
    (void)state;
    enum { N = MAX_JOBS + 60 };
    for (int k = 0; k < N_LAYOUTS; k++) {
        struct desk *d = verifier(k);
        struct letter l = {0};
        bool seen[N] = {0};
        uint32_t next_ok = 0, next_stale = 0; /* refusals may overtake the answers of the pass in work */
        for (int i = 0; i < N; i++) {
            struct part *part = letter_add(&l, (uint32_t)i % N_SLOTS, &texts[i % 3], 0, 1 + i % 3, 1);
            if (i % 7 == 6) part->h++;
            letter_post(&l, d);
        }
        for (int i = 0; i < N; i++) {
            const struct verdict *v = next_verdict(d);
            assert_in_range(v->job, 0, N - 1);
            assert_false(seen[v->job]);
            seen[v->job] = true;
            bool stale = v->job % 7 == 6;
            assert_int_equal(v->status, stale ? PART_STALE : PART_OK);
            uint32_t *next = stale ? &next_stale : &next_ok;
            assert_true(v->job >= *next);
            *next = v->job + 1;
            int n = 1 + (int)v->job % 3;
            if (!stale) check_verdict(v, v->job % N_SLOTS, &texts[v->job % 3], 0, n, 1);
        }
        desk_close(d);
    }
}

/* [1, 8] Slot 1 holds the first 100 ids of a text. */
static void a_part_applies_only_where_the_slot_has_its_history(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        uint32_t slot;
        int text, at, n;
        enum part_status status;
        uint32_t held;
    } rows[] = {
        {"a gap of one", 1, 0, 101, 3, PART_GAP, 100},
        {"a gap in a slot that was never used", 2, 0, 1, 1, PART_GAP, 0},
        {"a text that parted earlier", 1, 1, 100, 1, PART_STALE, 100},
        {"the same in the midst", 1, 1, SHARED + 1, 2, PART_STALE, 100},
        {"another job's root", 1, 3, 0, 1, PART_STALE, 100},
        {"the last place, far past what is held", 1, 0, N_CTX - 1, 1, PART_GAP, 100},
        {"past the last place", 1, 0, N_CTX - 1, 2, PART_FULL, 100},
        {"no such slot", N_SLOTS, 0, 0, 1, PART_FULL, 0},
        {"no slot anywhere near", UINT32_MAX, 0, 0, 1, PART_FULL, 0},
    };
    struct desk *d = verifier(0);
    struct text all[4] = {texts[0], texts[1], texts[2], {.h = {DESK_ROOT + 1}}};
    judge(d, 1, &texts[0], 0, 100, 1);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct letter l = {0};
        struct part *part = letter_add(&l, rows[i].slot, &all[rows[i].text], rows[i].at, rows[i].n, 1);
        letter_post(&l, d);
        const struct verdict *v = next_verdict(d);
        if (v->status != rows[i].status || v->held != rows[i].held)
            fail_msg("%s: status %d, holds %u", rows[i].why, v->status, v->held);
        assert_true(v->slot == part->slot && v->round == 7 && v->at == part->at && v->h == part->h && v->n_rows == 0);
        judge(d, 1, &texts[0], 99, 1, 1); /* the slot is what it was */
    }
    desk_close(d);
}

/* [8] What is missing comes from where the group says that it ends, with nothing wanted. */
static void a_gap_is_filled_from_what_is_held(void **state)
{
    (void)state;
    for (int k = 0; k < N_LAYOUTS; k++) {
        struct desk *d = verifier(k);
        struct letter l = {0};
        judge(d, 0, &texts[2], 0, 30, 0);
        letter_add(&l, 0, &texts[2], 80, 10, 10);
        letter_post(&l, d);
        const struct verdict *v = next_verdict(d);
        assert_int_equal(v->status, PART_GAP);
        judge(d, 0, &texts[2], (int)v->held, 80 - (int)v->held, 0);
        judge(d, 0, &texts[2], 80, 10, 10);
        desk_close(d);
    }
}

/* [1] Nothing says "rewind"; what was there is as if it had never been. */
static void a_slot_that_went_back_gives_the_bits_of_a_fresh_one(void **state)
{
    (void)state;
    for (int k = 0; k < N_LAYOUTS; k++) {
        struct desk *d = verifier(k);
        judge(d, 0, &texts[0], 0, TEXT, TEXT);
        judge(d, 0, &texts[1], SHARED, TEXT - SHARED, TEXT - SHARED); /* the other text, where they part */
        judge(d, 0, &texts[0], SHARED - 10, 30, 30);                  /* and back, from before that */
        judge(d, 0, &texts[0], SHARED + 20, 5, 5);
        judge(d, 0, &texts[0], SHARED + 21, 4, 4); /* one fewer */
        judge(d, 0, &texts[2], 0, 60, 60);         /* taken over */
        judge(d, 0, &texts[2], 60, 60, 60);
        desk_close(d);
    }
}

/* [9] Prompts, replays and scoring differ in what is wanted, and in nothing else. */
static void a_text_gives_the_same_bits_however_it_is_cut_and_as_often_as_it_is_sent(void **state)
{
    (void)state;
    static const int cuts[] = {1, 7, 64, TEXT};
    for (size_t c = 0; c < sizeof cuts / sizeof *cuts; c++) {
        struct desk *d = verifier((int)c % N_LAYOUTS);
        for (int again = 0; again < 2; again++) {
            for (int at = 0; at < TEXT; at += cuts[c]) {
                int n = TEXT - at < cuts[c] ? TEXT - at : cuts[c];
                judge(d, 3, &texts[1], at, n, again ? n : 1);
                judge(d, 3, &texts[1], at, n, n);
            }
        }
        desk_close(d);
    }
}

/* [3] Three sequences in one letter, one more in a second letter and a third: one pass, as its time shows. */
static void parts_that_share_a_pass_do_not_change_each_other(void **state)
{
    (void)state;
    for (int k = 0; k < N_LAYOUTS; k++) {
        struct desk *d = verifier(k);
        struct letter l = {0};
        letter_add(&l, 2, &texts[2], 0, 40, 40);
        letter_add(&l, 0, &texts[0], 0, 20, 20);
        letter_add(&l, 1, &texts[1], 0, 30, 1);
        letter_post(&l, d);
        letter_add(&l, 0, &texts[0], 20, 10, 10); /* goes on in the same pass */
        letter_post(&l, d);
        letter_add(&l, 3, &texts[1], 0, 20, 20);
        letter_post(&l, d);
        static const struct {
            uint32_t slot;
            int text, at, n, n_wanted;
        } parts[] = {{2, 2, 0, 40, 40}, {0, 0, 0, 20, 20}, {1, 1, 0, 30, 1}, {0, 0, 20, 10, 10}, {3, 1, 0, 20, 20}};
        uint32_t computed_us = 0;
        for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
            const struct verdict *v = next_verdict(d);
            check_verdict(v, parts[i].slot, &texts[parts[i].text], parts[i].at, parts[i].n, parts[i].n_wanted);
            if (i) assert_int_equal(v->computed_us, computed_us);
            computed_us = v->computed_us;
        }
        desk_close(d);
    }
}

/* More rows than a pass has, and parts of one slot that go back: they must not meet in a pass. */
static void parts_that_cannot_share_a_pass_follow_in_the_next(void **state)
{
    (void)state;
    for (int k = 0; k < N_LAYOUTS; k++) {
        struct desk *d = verifier(k);
        struct letter l = {0};
        for (uint32_t i = 0; i < 3; i++) letter_add(&l, i, &texts[i], 0, 100, 100);
        letter_post(&l, d);
        letter_add(&l, 0, &texts[1], SHARED - 1, 20, 20);
        letter_add(&l, 0, &texts[0], SHARED - 1, 20, 20);
        letter_add(&l, 0, &texts[1], SHARED, 20, 20);
        letter_post(&l, d);
        for (uint32_t i = 0; i < 3; i++) check_verdict(next_verdict(d), i, &texts[i], 0, 100, 100);
        check_verdict(next_verdict(d), 0, &texts[1], SHARED - 1, 20, 20);
        check_verdict(next_verdict(d), 0, &texts[0], SHARED - 1, 20, 20);
        check_verdict(next_verdict(d), 0, &texts[1], SHARED, 20, 20);
        desk_close(d);
    }
}

/* ---- drafters ---- */

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

static struct desk *drafter(void)
{
    static struct kernels counting;
    const char *why;
    counting = *kernels_pick(NULL, &why);
    counting.row = count_row;
    return desk_open(&(struct desk_config){
        .drafter = DRAFTER_LITTLE, .little = little, .n_slots = N_SLOTS, .n_ctx = N_CTX, .kernels = &counting});
}

/* Asks to read ids [at, n) of the text. */
static void ask(struct desk *d, uint32_t slot, uint32_t round, const struct text *t, int at, int n, int until)
{
    struct draft_ask a = {.slot = slot,
                          .round = round,
                          .at = (uint32_t)at,
                          .h = t->h[at],
                          .ids = t->ids + at,
                          .n_ids = (size_t)(n - at),
                          .until = (uint32_t)until};
    desk_post(d, PEER_DRAFTER, &(struct message){.tag = TAG_DRAFT_ASK, .ask = a});
}

static const struct draft *next_draft(struct desk *d)
{
    const struct message *m = desk_next(d, NULL);
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
static struct sketch draft_of(struct desk *d, uint32_t slot, uint32_t round, const struct text *t, int n)
{
    const struct draft *draft = next_draft(d);
    if (draft->slot != slot || draft->round != round || draft->at != (uint32_t)n || draft->h != t->h[n])
        fail_msg("slot %u round %u: an answer to slot %u round %u at %u", slot, round, draft->slot, draft->round,
                 draft->at);
    assert_int_equal(draft->held, (uint32_t)n + draft->n_rows);
    return sketch_of(draft);
}

/* What a drafter says that has read these n ids, and nothing else before. */
static struct sketch fresh_draft(const struct text *t, int n, int until)
{
    struct desk *d = drafter();
    ask(d, 0, 1, t, 0, n, until);
    struct sketch s = draft_of(d, 0, 1, t, n);
    desk_close(d);
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
    struct desk *d = drafter();
    struct text strange = texts[0];
    uint32_t next[N_SLOTS] = {0, 1, 2, 3};
    strange.h[0]++;
    for (int i = 0; i < N; i++)
        ask(d, (uint32_t)i % N_SLOTS, (uint32_t)i, i % 5 == 4 ? &strange : &texts[i % 3], 0, 3 + i % 9, i % 14);
    for (int i = 0; i < N; i++) {
        const struct draft *draft = next_draft(d);
        assert_in_range(draft->slot, 0, N_SLOTS - 1);
        assert_int_equal(draft->round, next[draft->slot]);
        next[draft->slot] += N_SLOTS;
        assert_int_equal(draft->end == DRAFT_STALE, draft->round % 5 == 4);
    }
    desk_close(d);
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
    static const enum drafter kinds[] = {DRAFTER_LITTLE, DRAFTER_NGRAM};
    struct text all[4] = {texts[0], texts[1], texts[2], {.h = {DESK_ROOT + 1}}};
    for (int k = 0; k < 2; k++) {
        struct desk *d =
            desk_open(&(struct desk_config){.drafter = kinds[k], .little = little, .n_slots = N_SLOTS, .n_ctx = N_CTX});
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
            const struct text *t = &all[rows[i].text];
            ask(d, 1, 1, &texts[0], 0, 100, 0); /* the row before left it as it was: nothing of it is read again */
            draft_of(d, 1, 1, &texts[0], 100);
            ask(d, rows[i].slot, 2, t, rows[i].at, rows[i].n, N_CTX);
            const struct draft *draft = next_draft(d);
            if (draft->end != rows[i].end || draft->held != rows[i].held || draft->n_rows)
                fail_msg("%s: end %d, holds %u, %zu rows", rows[i].why, draft->end, draft->held, draft->n_rows);
            assert_true(draft->round == 2 && draft->at == (uint32_t)rows[i].at && draft->h == t->h[rows[i].at]);
        }
        desk_close(d);
    }
}

static void an_ask_that_only_reads_is_answered_without_rows(void **state)
{
    (void)state;
    struct desk *d = drafter();
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
    desk_close(d);
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
        struct desk *d = drafter();
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
        desk_close(d);
    }
}

/* [14] Each ask brings the accepted drafts back, with one new id; at no time was more fed than the text without its last
 * draft. */
static void no_id_is_fed_twice_where_the_drafts_were_right(void **state)
{
    (void)state;
    struct desk *d = drafter();
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
    desk_close(d);
}

/* [14] A draft refused at its fourth id: what comes back has three that were right, and one that is new. */
static void after_a_refusal_only_the_new_id_is_fed(void **state)
{
    (void)state;
    struct desk *d = drafter();
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
    desk_close(d);
}

/* Together they read more rows than a pass has, and end at different times. */
static void slots_that_draft_together_do_not_change_each_other(void **state)
{
    (void)state;
    static const int n[] = {TEXT, 30, 111}, until[] = {TEXT + 9, 70, 112};
    struct desk *d = drafter();
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
    desk_close(d);
}

/* After so many passes. The first of them reads the text and gives a draft, each other one gives one more. */
static void an_ask_for_a_slot_in_work_is_answered_then_replaced(void **state)
{
    (void)state;
    struct sketch full = fresh_draft(&texts[0], 20, N_CTX), fresh = fresh_draft(&texts[1], 60, 66);
    assert_int_equal(full.n, N_CTX - 20);
    for (int n_passes = 0; n_passes < 4; n_passes++) {
        for (int stale = 0; stale <= 1; stale++) {
            struct desk *d = drafter();
            ask(d, 0, 1, &texts[0], 0, 20, N_CTX);
            for (int i = 0; i < n_passes; i++) desk_look_away(d, PEER_DRAFTER);
            ask(d, 0, 2, &texts[stale ? 2 : 1], 20, 60, 66); /* also by one that does not apply */
            struct sketch s = draft_of(d, 0, 1, &texts[0], 20), part = cut_to(&full, n_passes, DRAFT_WINDOW);
            check_sketch(&s, &part, "as far as it had come");
            if (stale) {
                assert_int_equal(next_draft(d)->end, DRAFT_STALE);
            } else {
                s = draft_of(d, 0, 2, &texts[1], 60);
                check_sketch(&s, &fresh, "the one that came after");
            }
            desk_close(d);
        }
    }
}

/* ---- where a draft ends ---- */

static struct sketch ended_draft(const struct open_slot *open, int until, float stop_below, float chance_below)
{
    struct desk *d = drafter();
    const struct text *t = &texts[0];
    desk_post(d, PEER_DRAFTER, &(struct message){.tag = TAG_OPEN, .open = *open});
    struct draft_ask a = {.round = 1,
                          .h = t->h[0],
                          .ids = t->ids,
                          .n_ids = 20,
                          .until = (uint32_t)until,
                          .stop_below = stop_below,
                          .chance_below = chance_below};
    desk_post(d, PEER_DRAFTER, &(struct message){.tag = TAG_DRAFT_ASK, .ask = a});
    struct sketch s = draft_of(d, 0, 1, t, 20);
    desk_close(d);
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
        float stop_below, chance_below;
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
         DRAFT_DOUBT},
        {"after its first token, if that is all it takes", plain, 40, 0, 1.5f, 1, DRAFT_DOUBT},
        {"not where it is just likely enough", plain, 23, 0, nextafterf((float)chance, 0), 3, DRAFT_WINDOW},
        {"at the last position of the text", short_, 40, 0, 0, 4, DRAFT_WINDOW},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct sketch s = ended_draft(&rows[i].open, rows[i].until, rows[i].stop_below, rows[i].chance_below),
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
    for (int i = 0; i < s.n; i++) assert_in_range(s.ids[i], 0, most - 1);
}

/* One letter is one id. */
static void an_n_gram_drafter_copies_or_says_nothing(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int n_more; /* asked for */
        const char *drafts;
        enum draft_end end;
    } rows[] = {
        {"abcdXab", 3, "cdX", DRAFT_WINDOW}, {"abcdXab", 9, "cdXabcdXa", DRAFT_WINDOW}, /* on into its own */
        {"abcdefgh", 3, "", DRAFT_NOTHING},  {"a", 3, "", DRAFT_NOTHING},
        {"abcdXab", 0, "", DRAFT_WINDOW},
    };
    struct desk *d = desk_open(&(struct desk_config){.drafter = DRAFTER_NGRAM, .n_slots = 1, .n_ctx = N_CTX});
    for (uint32_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct text t = {0};
        for (const char *c = rows[i].text; *c; c++) text_add(&t, &(int32_t){*c}, 1);
        ask(d, 0, i, &t, 0, t.n, t.n + rows[i].n_more);
        struct sketch s = draft_of(d, 0, i, &t, t.n);
        if (s.end != rows[i].end || s.n != (int)strlen(rows[i].drafts)) fail_msg("%s: end %d", rows[i].text, s.end);
        for (int k = 0; k < s.n; k++) assert_int_equal(s.ids[k], rows[i].drafts[k]);
        if (s.n == 0) continue;
        int at = t.n; /* after full acceptance, and an id that no vocabulary has */
        text_add(&t, s.ids, s.n);
        text_add(&t, &(int32_t){-7}, 1);
        ask(d, 0, i, &t, at, t.n, t.n);
        assert_int_equal(draft_of(d, 0, i, &t, t.n).n, 0);
    }
    desk_close(d);
}

/* ---- what must not be ---- */

static const struct role {
    const char *name;
    int tp, pp;
    enum drafter drafter;
    int peer;
    enum tag work; /* the letter that this role is sent */
} roles[] = {
    {"leader", 1, 1, DRAFTER_NONE, 2, TAG_VERIFY},     {"second shard", 2, 1, DRAFTER_NONE, 3, TAG_PASS},
    {"second stage", 1, 2, DRAFTER_NONE, 3, TAG_PASS}, {"little", 1, 1, DRAFTER_LITTLE, 1, TAG_DRAFT_ASK},
    {"n-gram", 1, 1, DRAFTER_NGRAM, 1, TAG_DRAFT_ASK},
};
enum { N_ROLES = sizeof roles / sizeof *roles };

static struct desk *role_desk(const struct role *r, bool unwelcome)
{
    return desk_open(&(struct desk_config){.big = r->drafter == DRAFTER_NONE ? big : NULL,
                                           .tp = r->tp,
                                           .pp = r->pp,
                                           .drafter = r->drafter,
                                           .little = little,
                                           .n_slots = N_SLOTS,
                                           .n_ctx = N_CTX,
                                           .unwelcome = unwelcome});
}

/* One Fail, of one line, and then nothing but the end. */
static void expect_fail(struct desk *d, int peer, int code, const char *names, const char *why)
{
    int from;
    const struct message *m = desk_next(d, &from);
    if (m->tag != TAG_FAIL || from != peer || (int)m->fail.code != code)
        fail_msg("%s: peer %d says %s", why, from, wire_tags[m->tag].name);
    if (!*m->fail.text || strchr(m->fail.text, '\n') || !strstr(m->fail.text, names))
        fail_msg("%s: \"%s\" does not name %s", why, m->fail.text, names);
    char text[1024];
    snprintf(text, sizeof text, "%s", m->fail.text);
    assert_int_equal(desk_quit(d, peer), code);
    assert_string_equal(desk_why(d, peer), text);
}

static void must_fail(const struct role *r, const struct message *m, const char *names, const char *why)
{
    struct desk *d = role_desk(r, false);
    desk_post(d, r->peer, m);
    expect_fail(d, r->peer, E_PEER, names, why);
    desk_close(d);
}

static void bytes_must_fail(const struct role *r, int tag, const void *data, size_t n_bytes)
{
    char why[96];
    struct desk *d = role_desk(r, false);
    snprintf(why, sizeof why, "%s, tag %d, %zu bytes", r->name, tag, n_bytes);
    desk_post_bytes(d, r->peer, tag, data, n_bytes);
    expect_fail(d, r->peer, E_PEER, "", why);
    desk_close(d);
}

/* A letter without bytes is a message whose every field is zero. */
static void a_letter_for_another_role_ends_a_worker_with_one_line(void **state)
{
    (void)state;
    for (int r = 0; r < N_ROLES; r++)
        for (int tag = -1; tag <= N_TAGS; tag++)
            if (tag != TAG_QUIT && tag != TAG_OPEN && tag != (int)roles[r].work) bytes_must_fail(&roles[r], tag, "", 0);
}

/* The work of each role, as it should be. */
static const struct message *right_work(const struct role *r)
{
    static struct row row = {.id = 3, .wanted = true};
    static struct part part = {.h = DESK_ROOT, .rows = &row, .n_rows = 1};
    static float hidden[N_EMBD];
    static const int32_t ids[] = {1, 2, 3};
    static struct message m;
    m = (struct message){.tag = r->work};
    if (r->work == TAG_VERIFY) m.verify = (struct verify){&part, 1};
    if (r->work == TAG_PASS) m.pass = (struct pass){.parts = &part, .n_parts = 1, .hidden = hidden, .n_hidden = N_EMBD};
    if (r->work == TAG_DRAFT_ASK)
        m.ask = (struct draft_ask){.h = DESK_ROOT, .ids = ids, .n_ids = 3, .until = 5, .stop_below = .25f};
    return &m;
}

static void bytes_that_are_no_message_end_a_worker_with_one_line(void **state)
{
    (void)state;
    enum { RANDOM = 12, TOO_LONG = (64 << 20) + 1 };
    struct wire_arena a, b;
    struct err err;
    struct message ignored;
    uint64_t seed = 1;
    uint8_t *zeros = calloc(TOO_LONG, 1);
    assert_non_null(zeros);
    assert_int_equal(wire_arena_init(&a, 1 << 20, &err) | wire_arena_init(&b, 1 << 20, &err), OK);
    for (int r = 0; r < N_ROLES; r++) {
        const uint8_t *data;
        size_t n_bytes;
        assert_int_equal(wire_encode(&a, right_work(&roles[r]), &data, &n_bytes, &err), OK);
        bytes_must_fail(&roles[r], roles[r].work, data, n_bytes - 1);
        bytes_must_fail(&roles[r], roles[r].work, data, 1);
        bytes_must_fail(&roles[r], roles[r].work, zeros, wire_tags[roles[r].work].max_bytes + 1);
        for (int n = 0; n < RANDOM;) {
            uint8_t bytes[64];
            for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)((seed = history_mix(seed + 1)) >> 32);
            size_t n_random = 1 + seed % sizeof bytes;
            if (wire_decode(&b, roles[r].work, bytes, n_random, &ignored, &err) == OK) continue;
            bytes_must_fail(&roles[r], roles[r].work, bytes, n_random);
            n++;
        }
    }
    wire_arena_free(&a);
    wire_arena_free(&b);
    free(zeros);
}

static void work_that_makes_no_sense_ends_a_verifier_with_one_line(void **state)
{
    (void)state;
    static const int32_t past[] = {N_VOCAB}, negative[] = {5, -1};
    static const struct {
        const char *why;
        struct row row;
        size_t n_rows;
        struct sampler sampler;
        const char *names;
    } rows[] = {
        {"a negative id", {.id = -1}, 1, {.temp = 0}, "vocabulary of 700"},
        {"the first id past the vocabulary", {.id = N_VOCAB}, 1, {.temp = 0}, "vocabulary of 700"},
        {"the least id", {.id = INT32_MIN}, 1, {.temp = 0}, "vocabulary of 700"},
        {"an id to judge past the vocabulary", {3, true, 0, past, 1}, 1, {.temp = 0}, "vocabulary of 700"},
        {"a negative id to judge", {3, true, 0, negative, 2}, 1, {.temp = 0}, "vocabulary of 700"},
        {"more of the best ids than there is room for", {3, true, 21, NULL, 0}, 1, {.temp = 0}, "21"},
        {"all of them", {3, true, UINT32_MAX, NULL, 0}, 1, {.temp = 0}, ""},
        {"no rows", {.id = 3}, 0, {.temp = 0}, "0 rows"},
        {"more rows than a pass has", {.id = 3}, PASS_ROWS + 1, {.temp = 0}, "129 rows"},
        {"a temperature below zero", {.id = 3}, 1, {.temp = -1, .top_p = 1}, "sampler"},
        {"no temperature at all", {.id = 3}, 1, {.temp = NAN, .top_p = 1}, "sampler"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct row list[PASS_ROWS + 1];
        for (size_t k = 0; k < rows[i].n_rows; k++) list[k] = rows[i].row;
        struct part part = {.h = DESK_ROOT, .rows = list, .n_rows = rows[i].n_rows, .sampler = rows[i].sampler};
        must_fail(&roles[0], &(struct message){.tag = TAG_VERIFY, .verify = {&part, 1}}, rows[i].names, rows[i].why);
    }
}

/* [7] A shard does what its leader says, or nothing. */
static void a_pass_that_makes_no_sense_ends_a_shard_with_one_line(void **state)
{
    (void)state;
    static const int32_t past[] = {N_VOCAB};
    static const struct {
        const char *why;
        struct part part;
        struct row row;
        uint32_t pass;
        size_t n_parts, n_hidden;
    } rows[] = {
        {"not the next", {.n_rows = 1}, {.id = 3}, 1, 1, N_EMBD},
        {"no rows", {.n_rows = 1}, {.id = 3}, 0, 0, 0},
        {"a part without rows", {.n_rows = 0}, {.id = 3}, 0, 1, 0},
        {"too few numbers", {.n_rows = 1}, {.id = 3}, 0, 1, N_EMBD - 1},
        {"too many", {.n_rows = 1}, {.id = 3}, 0, 1, 2 * N_EMBD},
        {"no such slot", {.slot = N_SLOTS, .n_rows = 1}, {.id = 3}, 0, 1, N_EMBD},
        {"past the context", {.at = N_CTX, .n_rows = 1}, {.id = 3}, 0, 1, N_EMBD},
        {"more of the best ids than there is room for", {.n_rows = 1}, {3, true, 21, NULL, 0}, 0, 1, N_EMBD},
        {"an id to judge past the vocabulary", {.n_rows = 1}, {3, true, 0, past, 1}, 0, 1, N_EMBD},
    };
    static const float hidden[2 * N_EMBD];
    for (int r = 1; r <= 2; r++) {
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
            struct part part = rows[i].part;
            part.rows = &rows[i].row;
            struct pass pass = {rows[i].pass, &part, rows[i].n_parts, hidden, rows[i].n_hidden, 0, 0};
            must_fail(&roles[r], &(struct message){.tag = TAG_PASS, .pass = pass}, "", rows[i].why);
        }
    }
}

static void an_ask_that_makes_no_sense_ends_a_drafter_with_one_line(void **state)
{
    (void)state;
    static const int32_t bad[] = {-1, N_VOCAB, INT32_MIN, INT32_MAX};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const int32_t ids[] = {3, bad[i]};
        struct draft_ask a = {.h = DESK_ROOT, .ids = ids, .n_ids = 2, .until = 9};
        must_fail(&roles[3], &(struct message){.tag = TAG_DRAFT_ASK, .ask = a}, "vocabulary of 700", "an id");
    }
    struct draft_ask hot = {.h = DESK_ROOT, .ids = (int32_t[]){3}, .n_ids = 1, .until = 9, .sampler = {.temp = -1}};
    must_fail(&roles[3], &(struct message){.tag = TAG_DRAFT_ASK, .ask = hot}, "sampler", "a sampler");
    struct open_slot nowhere = {.slot = N_SLOTS, .n_ids = N_VOCAB};
    must_fail(&roles[3], &(struct message){.tag = TAG_OPEN, .open = nowhere}, "slot 4", "no such slot");
    int32_t ends[33] = {0};
    struct open_slot many = {.n_ids = N_VOCAB, .end_ids = ends, .n_end_ids = 33};
    must_fail(&roles[3], &(struct message){.tag = TAG_OPEN, .open = many}, "33 end ids", "too many end ids");
}

static void anything_but_a_good_welcome_after_hello_ends_a_worker_with_one_line(void **state)
{
    (void)state;
    static const struct message letters[] = {
        {.tag = TAG_VERIFY},
        {.tag = TAG_DRAFT_ASK},
        {.tag = TAG_READY},
        {.tag = TAG_WELCOME, .welcome = {.n_slots = 0, .n_ctx = 8}},
        {.tag = TAG_WELCOME, .welcome = {.n_slots = 1, .n_ctx = 0}},
        {.tag = TAG_WELCOME, .welcome = {.n_slots = UINT32_MAX, .n_ctx = 8}},
        {.tag = TAG_WELCOME, .welcome = {.n_slots = 1, .n_ctx = 1U << 31}},
    };
    for (int r = 0; r < N_ROLES; r++) {
        for (size_t i = 0; i < sizeof letters / sizeof *letters; i++) {
            struct desk *d = role_desk(&roles[r], true);
            desk_post(d, roles[r].peer, &letters[i]);
            expect_fail(d, roles[r].peer, E_PEER, "Welcome", roles[r].name);
            desk_close(d);
        }
    }
}

static void a_model_that_is_not_there_is_named_instead_of_hello(void **state)
{
    (void)state;
    struct desk *d =
        desk_open(&(struct desk_config){.drafter = DRAFTER_LITTLE, .little = "/no/such/model.gguf", .unwelcome = true});
    expect_fail(d, PEER_DRAFTER, E_MODEL, "/no/such/model.gguf", "no model");
    desk_abandon(d);
}

static void a_worker_that_failed_says_so_once_and_waits_for_quit_whatever_comes(void **state)
{
    (void)state;
    for (int r = 0; r < N_ROLES; r++) {
        struct desk *d = role_desk(&roles[r], false);
        desk_post_bytes(d, roles[r].peer, 99, "", 0);
        for (int i = 0; i < 3; i++) desk_post_bytes(d, roles[r].peer, roles[r].work, "\xff", 1);
        desk_post(d, roles[r].peer, right_work(&roles[r]));
        desk_post_bytes(d, roles[r].peer, -5, "no", 2);
        expect_fail(d, roles[r].peer, E_PEER, "99", roles[r].name);
        desk_close(d);
    }
}

/* ---- numbers that are not finite ---- */

/* A copy of the big toy with one number changed. */
static void write_poisoned(const char *path, const char *tensor, size_t i, float value)
{
    struct gguf g;
    struct err err = {0};
    if (gguf_open(&g, big, &err) != OK) fail_msg("%s", err.text);
    const struct gguf_tensor *t = gguf_tensor(&g, tensor);
    assert_non_null(t);
    assert_true((i + 1) * sizeof value <= t->n_bytes);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(g.base, 1, g.n_bytes, f), g.n_bytes);
    fseek(f, (long)(t->data - g.base) + (long)(i * sizeof value), SEEK_SET);
    fwrite(&value, sizeof value, 1, f);
    assert_int_equal(fclose(f), 0);
    gguf_close(&g);
}

static void a_number_that_is_not_finite_is_named_by_block_and_position(void **state)
{
    (void)state;
    size_t unique = 30; /* an id that stands nowhere before it */
    for (size_t i = 0; i < unique; i++)
        if (texts[0].ids[i] == texts[0].ids[unique]) fail_msg("choose another seed");
    const struct {
        const char *tensor;
        size_t i;
        float value;
        const char *names;
    } rows[] = {
        {"blk.2.attn_v.weight", 5, NAN, "block 2 at position 0"},
        {"blk.3.ffn_up.weight", 7, INFINITY, "block 3 at position 0"},
        {"blk.1.attn_norm.weight", 0, NAN, "block 1 at position 0"},
        {"token_embd.weight", (size_t)texts[0].ids[unique] * N_EMBD + 3, -INFINITY, "block 0 at position 30"},
        {"output_norm.weight", 3, NAN, "the head at position 59"},
    };
    char path[96];
    snprintf(path, sizeof path, "%s/poisoned.gguf", folder);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        write_poisoned(path, rows[i].tensor, rows[i].i, rows[i].value);
        for (int k = 0; k < N_LAYOUTS; k++) {
            struct desk *d = desk_open(&(struct desk_config){
                .big = path, .tp = layouts[k][0], .pp = layouts[k][1], .n_slots = N_SLOTS, .n_ctx = N_CTX});
            struct letter l = {0};
            letter_add(&l, 0, &texts[0], 0, 60, 1);
            letter_post(&l, d);
            const struct message *m = desk_next(d, NULL); /* every shard of a stage finds it: whoever is first */
            if (m->tag != TAG_FAIL || m->fail.code != E_FAIL || !strstr(m->fail.text, rows[i].names) ||
                !strstr(m->fail.text, path))
                fail_msg("%s, %dx%d: %s", rows[i].tensor, layouts[k][0], layouts[k][1],
                         m->tag == TAG_FAIL ? m->fail.text : wire_tags[m->tag].name);
            desk_abandon(d);
        }
    }
}

/* What the stage before handed on. */
static void a_hidden_number_that_is_not_finite_is_named_too(void **state)
{
    (void)state;
    struct desk *d = role_desk(&roles[2], false);
    float hidden[2 * N_EMBD] = {0};
    const struct row rows[] = {{.id = 3}, {.id = 4}};
    const struct part part = {.at = 7, .h = DESK_ROOT, .rows = rows, .n_rows = 2};
    hidden[N_EMBD + 5] = NAN;
    desk_post(d, roles[2].peer,
              &(struct message){.tag = TAG_PASS,
                                .pass = {.parts = &part, .n_parts = 1, .hidden = hidden, .n_hidden = 2 * N_EMBD}});
    expect_fail(d, roles[2].peer, E_FAIL, "block 2 at position 8", "a hidden number");
    desk_close(d);
}

/* ---- the end ---- */

static void quit_ends_every_role_at_every_step(void **state)
{
    (void)state;
    for (int r = 0; r < N_ROLES; r++) {
        for (int step = 0; step < 3; step++) { /* after Hello, at work's door, with work that waits */
            struct desk *d = role_desk(&roles[r], step == 0);
            if (step == 2 && roles[r].work != TAG_PASS) desk_post(d, roles[r].peer, right_work(&roles[r]));
            if (desk_quit(d, roles[r].peer) != OK) fail_msg("%s: %s", roles[r].name, desk_why(d, roles[r].peer));
            desk_abandon(d);
        }
    }
}

/* Shard 1 is gone before the leader's Pass has come; the leader waits for its part. */
static void quit_ends_a_shard_while_another_waits_in_a_collective(void **state)
{
    (void)state;
    for (int k = 1; k < N_LAYOUTS; k += 2) {
        struct desk *d = verifier(k);
        struct letter l = {0};
        assert_int_equal(desk_quit(d, PEER_VERIFIER + 1), OK);
        letter_add(&l, 0, &texts[0], 0, 5, 1);
        letter_post(&l, d);
        expect_fail(d, PEER_VERIFIER, E_PEER, "stopped", "the leader");
        desk_abandon(d);
    }
}

static void a_shard_that_fails_does_not_leave_its_leader_waiting(void **state)
{
    (void)state;
    struct desk *d = verifier(1);
    struct letter l = {0};
    desk_post_bytes(d, PEER_VERIFIER + 1, TAG_PASS, "\xff", 1);
    letter_add(&l, 0, &texts[0], 0, 5, 1);
    letter_post(&l, d);
    expect_fail(d, PEER_VERIFIER + 1, E_PEER, "Pass", "the second shard");
    expect_fail(d, PEER_VERIFIER, E_PEER, "stopped", "the leader");
    desk_abandon(d);
}

/* ---- toys and their bits ---- */

static void read_bits(struct text *t)
{
    struct desk *d = verifier(0);
    struct letter l = {0};
    letter_add(&l, 0, t, 0, TEXT, TEXT);
    letter_post(&l, d);
    const struct verdict *v = next_verdict(d);
    assert_int_equal(v->n_rows, TEXT);
    for (int i = 0; i < TEXT; i++) t->bits[i] = bits_of(&v->rows[i]);
    desk_close(d);
}

static int make_toys(void **state)
{
    (void)state;
    struct tiny_spec spec = tiny_spec(TINY_F32);
    if (!mkdtemp(folder)) return -1;
    snprintf(big, sizeof big, "%s/big.gguf", folder);
    snprintf(little, sizeof little, "%s/little.gguf", folder);
    int rc = tiny_write(big, &spec);
    spec.left_out = 2;
    if (rc == 0) rc = tiny_write(little, &spec);
    uint64_t seed = 1;
    for (int t = 0; t < 3 && rc == 0; t++) {
        if (t == 1) text_add(&texts[t], texts[0].ids, SHARED);
        while (texts[t].n < TEXT) text_add(&texts[t], &(int32_t){(int32_t)((seed = history_mix(seed + 1)) % 512)}, 1);
        read_bits(&texts[t]);
    }
    return rc;
}

static int remove_toys(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_part_is_answered_exactly_once_and_in_order),
        cmocka_unit_test(a_part_applies_only_where_the_slot_has_its_history),
        cmocka_unit_test(a_gap_is_filled_from_what_is_held),
        cmocka_unit_test(a_slot_that_went_back_gives_the_bits_of_a_fresh_one),
        cmocka_unit_test(a_text_gives_the_same_bits_however_it_is_cut_and_as_often_as_it_is_sent),
        cmocka_unit_test(parts_that_share_a_pass_do_not_change_each_other),
        cmocka_unit_test(parts_that_cannot_share_a_pass_follow_in_the_next),
        cmocka_unit_test(every_ask_is_answered_exactly_once_and_each_slot_in_order),
        cmocka_unit_test(an_ask_applies_only_where_the_slot_has_its_history),
        cmocka_unit_test(an_ask_that_only_reads_is_answered_without_rows),
        cmocka_unit_test(after_any_acceptance_it_goes_on_as_if_it_had_read_the_text_afresh),
        cmocka_unit_test(no_id_is_fed_twice_where_the_drafts_were_right),
        cmocka_unit_test(after_a_refusal_only_the_new_id_is_fed),
        cmocka_unit_test(slots_that_draft_together_do_not_change_each_other),
        cmocka_unit_test(an_ask_for_a_slot_in_work_is_answered_then_replaced),
        cmocka_unit_test(a_draft_ends_where_it_must),
        cmocka_unit_test(no_id_is_proposed_that_big_does_not_know),
        cmocka_unit_test(an_n_gram_drafter_copies_or_says_nothing),
        cmocka_unit_test(a_letter_for_another_role_ends_a_worker_with_one_line),
        cmocka_unit_test(bytes_that_are_no_message_end_a_worker_with_one_line),
        cmocka_unit_test(work_that_makes_no_sense_ends_a_verifier_with_one_line),
        cmocka_unit_test(a_pass_that_makes_no_sense_ends_a_shard_with_one_line),
        cmocka_unit_test(an_ask_that_makes_no_sense_ends_a_drafter_with_one_line),
        cmocka_unit_test(anything_but_a_good_welcome_after_hello_ends_a_worker_with_one_line),
        cmocka_unit_test(a_model_that_is_not_there_is_named_instead_of_hello),
        cmocka_unit_test(a_worker_that_failed_says_so_once_and_waits_for_quit_whatever_comes),
        cmocka_unit_test(a_number_that_is_not_finite_is_named_by_block_and_position),
        cmocka_unit_test(a_hidden_number_that_is_not_finite_is_named_too),
        cmocka_unit_test(quit_ends_every_role_at_every_step),
        cmocka_unit_test(quit_ends_a_shard_while_another_waits_in_a_collective),
        cmocka_unit_test(a_shard_that_fails_does_not_leave_its_leader_waiting),
    };
    return cmocka_run_group_tests(tests, make_toys, remove_toys);
}
