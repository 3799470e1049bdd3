/* Verifiers over toy models, in every layout. Numbers in brackets are those of the protocol's invariants. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/roles.h"

/* The verdict on ids [at, at + n) of the text. */
static void check_verdict(const struct verdict *v, uint32_t slot, const struct text *t, int at, int n, int n_wanted)
{
    if (v->status != VERDICT_OK || v->slot != slot || v->round != 7 || v->at != (uint32_t)at ||
        v->prefix_hash != t->prefix_hash[at])
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
static void judge(struct test_coordinator *d, uint32_t slot, const struct text *t, int at, int n, int n_wanted)
{
    struct verify_parts l = {0};
    verify_add(&l, slot, t, at, n, n_wanted);
    verify_post(&l, d);
    check_verdict(next_verdict(d), slot, t, at, n, n_wanted);
}

/* [2, 3] More messages than a group takes at once, of all slots in turn, every seventh of them stale. */
static void every_part_is_answered_exactly_once_and_in_order(void **state)
{
    (void)state;
    enum { N = MAX_JOBS + 60 };
    for (int k = 0; k < N_LAYOUTS; k++) {
        struct test_coordinator *d = verifier(k);
        struct verify_parts l = {0};
        bool seen[N] = {0};
        uint32_t next_ok = 0, next_stale = 0; /* refusals may overtake the answers of the pass in work */
        for (int i = 0; i < N; i++) {
            struct part *part = verify_add(&l, (uint32_t)i % N_SLOTS, &texts[i % 3], 0, 1 + i % 3, 1);
            if (i % 7 == 6) part->prefix_hash++;
            verify_post(&l, d);
        }
        for (int i = 0; i < N; i++) {
            const struct verdict *v = next_verdict(d);
            assert_in_range(v->job, 1, N);
            uint32_t job = v->job - 1;
            assert_false(seen[job]);
            seen[job] = true;
            bool stale = job % 7 == 6;
            assert_int_equal(v->status, stale ? VERDICT_STALE : VERDICT_OK);
            uint32_t *next = stale ? &next_stale : &next_ok;
            assert_true(job >= *next);
            *next = job + 1;
            int n = 1 + (int)job % 3;
            if (!stale) check_verdict(v, job % N_SLOTS, &texts[job % 3], 0, n, 1);
        }
        coordinator_close(d);
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
        enum verdict_status status;
        uint32_t held;
    } rows[] = {
        {"a gap of one", 1, 0, 101, 3, VERDICT_GAP, 100},
        {"a gap in a slot that was never used", 2, 0, 1, 1, VERDICT_GAP, 0},
        {"a text that parted earlier", 1, 1, 100, 1, VERDICT_STALE, 100},
        {"the same in the midst", 1, 1, SHARED + 1, 2, VERDICT_STALE, 100},
        {"another job's root", 1, 3, 0, 1, VERDICT_STALE, 100},
        {"the last place, far past what is held", 1, 0, N_CTX - 1, 1, VERDICT_GAP, 100},
        {"past the last place", 1, 0, N_CTX - 1, 2, VERDICT_FULL, 100},
        {"no such slot", N_SLOTS, 0, 0, 1, VERDICT_FULL, 0},
        {"no slot anywhere near", UINT32_MAX, 0, 0, 1, VERDICT_FULL, 0},
    };
    struct test_coordinator *d = verifier(0);
    struct text all[4] = {texts[0], texts[1], texts[2], {.prefix_hash = {COORDINATOR_ROOT + 1}}};
    judge(d, 1, &texts[0], 0, 100, 1);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct verify_parts l = {0};
        struct part *part = verify_add(&l, rows[i].slot, &all[rows[i].text], rows[i].at, rows[i].n, 1);
        verify_post(&l, d);
        const struct verdict *v = next_verdict(d);
        if (v->status != rows[i].status || v->held != rows[i].held)
            fail_msg("%s: status %d, holds %u", rows[i].why, v->status, v->held);
        assert_true(v->slot == part->slot && v->round == 7 && v->at == part->at &&
                    v->prefix_hash == part->prefix_hash && v->n_rows == 0);
        judge(d, 1, &texts[0], 99, 1, 1); /* the slot is what it was */
    }
    coordinator_close(d);
}

/* [8] What is missing comes from where the group says that it ends, with nothing wanted. */
static void a_gap_is_filled_from_what_is_held(void **state)
{
    (void)state;
    for (int k = 0; k < N_LAYOUTS; k++) {
        struct test_coordinator *d = verifier(k);
        struct verify_parts l = {0};
        judge(d, 0, &texts[2], 0, 30, 0);
        verify_add(&l, 0, &texts[2], 80, 10, 10);
        verify_post(&l, d);
        const struct verdict *v = next_verdict(d);
        assert_int_equal(v->status, VERDICT_GAP);
        judge(d, 0, &texts[2], (int)v->held, 80 - (int)v->held, 0);
        judge(d, 0, &texts[2], 80, 10, 10);
        coordinator_close(d);
    }
}

/* [1] Nothing says "rewind"; what was there is as if it had never been. */
static void a_slot_that_went_back_gives_the_bits_of_a_fresh_one(void **state)
{
    (void)state;
    for (int k = 0; k < N_LAYOUTS; k++) {
        struct test_coordinator *d = verifier(k);
        judge(d, 0, &texts[0], 0, TEXT, TEXT);
        judge(d, 0, &texts[1], SHARED, TEXT - SHARED, TEXT - SHARED); /* the other text, where they part */
        judge(d, 0, &texts[0], SHARED - 10, 30, 30);                  /* and back, from before that */
        judge(d, 0, &texts[0], SHARED + 20, 5, 5);
        judge(d, 0, &texts[0], SHARED + 21, 4, 4); /* one fewer */
        judge(d, 0, &texts[2], 0, 60, 60);         /* taken over */
        judge(d, 0, &texts[2], 60, 60, 60);
        coordinator_close(d);
    }
}

/* [9] Prompts, replays and scoring differ in what is wanted, and in nothing else. */
static void a_text_gives_the_same_bits_however_it_is_cut_and_as_often_as_it_is_sent(void **state)
{
    (void)state;
    static const int cuts[] = {1, 7, 64, TEXT};
    for (size_t c = 0; c < sizeof cuts / sizeof *cuts; c++) {
        struct test_coordinator *d = verifier((int)c % N_LAYOUTS);
        for (int again = 0; again < 2; again++) {
            for (int at = 0; at < TEXT; at += cuts[c]) {
                int n = TEXT - at < cuts[c] ? TEXT - at : cuts[c];
                judge(d, 3, &texts[1], at, n, again ? n : 1);
                judge(d, 3, &texts[1], at, n, n);
            }
        }
        coordinator_close(d);
    }
}

/* The best ids that a row says, asked for by name. */
static void an_id_is_judged_as_its_row_says_it(void **state)
{
    (void)state;
    for (int k = 0; k < N_LAYOUTS; k++) {
        struct test_coordinator *d = verifier(k);
        struct verify_parts l = {0};
        verify_add(&l, 0, &texts[0], 0, 30, 30);
        for (int i = 0; i < 30; i++)
            for (int j = 0; j < N_JUDGE; j++) l.judge[i][j] = texts[0].bits[i].top[(i + j) % N_TOP].id;
        verify_post(&l, d);
        const struct verdict *v = next_verdict(d);
        assert_int_equal(v->n_rows, 30);
        for (int i = 0; i < 30; i++)
            for (int j = 0; j < N_JUDGE; j++)
                assert_memory_equal(&v->rows[i].lp_judged[j], &texts[0].bits[i].top[(i + j) % N_TOP].lp, sizeof(float));
        coordinator_close(d);
    }
}

/* [3] Four sequences, and more of one of them: one pass, as its time shows. */
static void parts_that_share_a_pass_do_not_change_each_other(void **state)
{
    (void)state;
    for (int k = 0; k < N_LAYOUTS; k++) {
        struct test_coordinator *d = verifier(k);
        struct verify_parts l = {0};
        verify_add(&l, 2, &texts[2], 0, 40, 40);
        verify_add(&l, 0, &texts[0], 0, 20, 20);
        verify_add(&l, 1, &texts[1], 0, 30, 1);
        verify_post(&l, d);
        verify_add(&l, 0, &texts[0], 20, 10, 10); /* goes on in the same pass */
        verify_post(&l, d);
        verify_add(&l, 3, &texts[1], 0, 20, 20);
        verify_post(&l, d);
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
        coordinator_close(d);
    }
}

/* More rows than a pass has, and parts of one slot that go back: they must not meet in a pass. */
static void parts_that_cannot_share_a_pass_follow_in_the_next(void **state)
{
    (void)state;
    for (int k = 0; k < N_LAYOUTS; k++) {
        struct test_coordinator *d = verifier(k);
        struct verify_parts l = {0};
        for (uint32_t i = 0; i < 3; i++) verify_add(&l, i, &texts[i], 0, 100, 100);
        verify_post(&l, d);
        verify_add(&l, 0, &texts[1], SHARED - 1, 20, 20);
        verify_add(&l, 0, &texts[0], SHARED - 1, 20, 20);
        verify_add(&l, 0, &texts[1], SHARED, 20, 20);
        verify_post(&l, d);
        for (uint32_t i = 0; i < 3; i++) check_verdict(next_verdict(d), i, &texts[i], 0, 100, 100);
        check_verdict(next_verdict(d), 0, &texts[1], SHARED - 1, 20, 20);
        check_verdict(next_verdict(d), 0, &texts[0], SHARED - 1, 20, 20);
        check_verdict(next_verdict(d), 0, &texts[1], SHARED, 20, 20);
        coordinator_close(d);
    }
}

static void the_most_rows_and_the_most_of_the_best_ids_are_answered(void **state)
{
    (void)state;
    enum { MOST_TOP = 20 }; /* as worker/engine/engine_row.h has it */
    struct text t = texts[0];
    text_add(&t, texts[0].ids, PASS_ROWS - TEXT);
    for (int k = 0; k < N_LAYOUTS; k++) {
        struct test_coordinator *d = verifier(k);
        struct verify_parts l = {0};
        verify_add(&l, 0, &t, 0, PASS_ROWS, 1);
        l.rows[PASS_ROWS - 1].n_top = MOST_TOP;
        verify_post(&l, d);
        const struct verdict *v = next_verdict(d);
        assert_int_equal(v->status, VERDICT_OK);
        assert_int_equal(v->held, PASS_ROWS);
        assert_int_equal(v->n_rows, 1);
        assert_int_equal(v->rows[0].n_top, MOST_TOP);
        coordinator_close(d);
    }
}

/* There is room for all: but of positions that are written twice only one writing would be seen. */
static void a_part_that_goes_back_never_shares_a_pass_with_what_it_takes_back(void **state)
{
    (void)state;
    for (int k = 0; k < N_LAYOUTS; k++) {
        struct test_coordinator *d = verifier(k);
        struct verify_parts l = {0};
        verify_add(&l, 1, &texts[1], 0, 10, 10);
        verify_add(&l, 0, &texts[0], 0, SHARED + 10, SHARED + 10);
        verify_add(&l, 0, &texts[1], SHARED, 10, 10); /* as long; another text */
        verify_add(&l, 0, &texts[0], SHARED, 5, 5);
        verify_add(&l, 0, &texts[0], SHARED + 4, 10, 10); /* over the last row */
        verify_add(&l, 1, &texts[1], 10, 5, 5);
        verify_post(&l, d);
        check_verdict(next_verdict(d), 1, &texts[1], 0, 10, 10);
        check_verdict(next_verdict(d), 0, &texts[0], 0, SHARED + 10, SHARED + 10);
        check_verdict(next_verdict(d), 0, &texts[1], SHARED, 10, 10);
        check_verdict(next_verdict(d), 0, &texts[0], SHARED, 5, 5);
        check_verdict(next_verdict(d), 0, &texts[0], SHARED + 4, 10, 10);
        check_verdict(next_verdict(d), 1, &texts[1], 10, 5, 5);
        coordinator_close(d);
    }
}

/* All in one mail: the first pass reads a text, the others copy it from one another and go on, each by itself. */
static void what_is_copied_gives_the_bits_of_what_was_computed(void **state)
{
    (void)state;
    for (int k = 0; k < N_LAYOUTS; k++) {
        struct test_coordinator *d = verifier(k);
        struct verify_parts l = {0};
        judge(d, 3, &texts[2], 0, 80, 1); /* of which nothing is left */
        verify_add(&l, 0, &texts[0], 0, 60, 1);
        verify_add(&l, 1, &texts[1], SHARED, 20, 20)->from = 0 + 1;
        verify_add(&l, 3, &texts[0], 60, 20, 20)->from = 0 + 1;
        verify_add(&l, 2, &texts[1], SHARED + 20, 10, 10)->from = 1 + 1;
        verify_add(&l, 0, &texts[2], 0, 30, 30);                     /* the first is gone */
        verify_add(&l, 1, &texts[0], 80, 20, 20)->from = 3 + 1;      /* over what was copied before */
        verify_add(&l, 3, &texts[2], 30, 20, 20)->from = 0 + 1;      /* and from where it came */
        verify_add(&l, 2, &texts[1], SHARED + 30, 10, 10)->from = 1; /* it holds this: nothing is copied */
        verify_post(&l, d);
        check_verdict(next_verdict(d), 0, &texts[0], 0, 60, 1);
        check_verdict(next_verdict(d), 1, &texts[1], SHARED, 20, 20);
        check_verdict(next_verdict(d), 3, &texts[0], 60, 20, 20);
        check_verdict(next_verdict(d), 2, &texts[1], SHARED + 20, 10, 10);
        check_verdict(next_verdict(d), 0, &texts[2], 0, 30, 30);
        check_verdict(next_verdict(d), 1, &texts[0], 80, 20, 20);
        check_verdict(next_verdict(d), 3, &texts[2], 30, 20, 20);
        check_verdict(next_verdict(d), 2, &texts[1], SHARED + 30, 10, 10);
        coordinator_close(d);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_part_is_answered_exactly_once_and_in_order),
        cmocka_unit_test(a_part_applies_only_where_the_slot_has_its_history),
        cmocka_unit_test(a_gap_is_filled_from_what_is_held),
        cmocka_unit_test(a_slot_that_went_back_gives_the_bits_of_a_fresh_one),
        cmocka_unit_test(a_text_gives_the_same_bits_however_it_is_cut_and_as_often_as_it_is_sent),
        cmocka_unit_test(an_id_is_judged_as_its_row_says_it),
        cmocka_unit_test(parts_that_share_a_pass_do_not_change_each_other),
        cmocka_unit_test(parts_that_cannot_share_a_pass_follow_in_the_next),
        cmocka_unit_test(the_most_rows_and_the_most_of_the_best_ids_are_answered),
        cmocka_unit_test(what_is_copied_gives_the_bits_of_what_was_computed),
        cmocka_unit_test(a_part_that_goes_back_never_shares_a_pass_with_what_it_takes_back),
    };
    return cmocka_run_group_tests(tests, roles_open, roles_close);
}
