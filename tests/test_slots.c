/* What a worker knows of a sequence, and which parts apply to it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdint.h>
#include <string.h>

#include "proto/prefix_hash.h"
#include "worker/roles/slots.h"

enum { N = 3, N_CTX = 12 };
static const uint64_t root = 0x5eed;

static void open_slots(struct slots *s)
{
    struct err err = {0};
    if (slots_init(s, N, N_CTX, root, &err) != OK) fail_msg("%s", err.text);
}

static uint64_t name_of(const int32_t *ids, size_t n)
{
    uint64_t h = root;
    for (size_t i = 0; i < n; i++) h = prefix_hash_next(h, ids[i]);
    return h;
}

/* Slot 1 holds 1 2 3 4 5 6. */
static void a_part_applies_where_the_history_is_the_same(void **state)
{
    (void)state;
    static const int32_t ids[] = {1, 2, 3, 4, 5, 6}, other[] = {1, 2, 3, 9, 5, 6};
    static const struct {
        const char *why;
        uint32_t slot, at;
        const int32_t *history; /* of `at` ids, as far as there are any */
        size_t n_ids;
        enum verdict_status status;
    } rows[] = {
        {"at its end", 1, 6, ids, 1, VERDICT_OK},
        {"in the midst of it", 1, 3, ids, 4, VERDICT_OK},
        {"at its beginning: the slot is taken over", 1, 0, ids, N_CTX, VERDICT_OK},
        {"before they part", 1, 3, other, 1, VERDICT_OK},
        {"where they have parted", 1, 4, other, 1, VERDICT_STALE},
        {"with equal ids after that", 1, 6, other, 1, VERDICT_STALE},
        {"past its end", 1, 7, ids, 1, VERDICT_GAP},
        {"at the last place, far past its end", 1, N_CTX - 1, ids, 1, VERDICT_GAP},
        {"at the very end, with no ids", 1, N_CTX, ids, 0, VERDICT_GAP},
        {"an empty slot", 0, 0, ids, 1, VERDICT_OK},
        {"a gap in an empty slot", 2, 1, ids, 1, VERDICT_GAP},
        {"as much as there is room for", 1, 6, ids, N_CTX - 6, VERDICT_OK},
        {"one more", 1, 6, ids, N_CTX - 5, VERDICT_FULL},
        {"at the very end, with an id", 1, N_CTX, ids, 1, VERDICT_FULL},
        {"behind the very end", 1, N_CTX + 1, ids, 0, VERDICT_FULL},
        {"far behind it", 1, UINT32_MAX, ids, 1, VERDICT_FULL},
        {"more ids than can be counted", 1, 6, ids, SIZE_MAX, VERDICT_FULL},
        {"a count that comes around to nothing", 1, 6, ids, SIZE_MAX - 5, VERDICT_FULL},
        {"no such slot", N, 0, ids, 1, VERDICT_FULL},
        {"far from any slot", UINT32_MAX, 0, ids, 1, VERDICT_FULL},
    };
    struct slots s;
    open_slots(&s);
    assert_int_equal(slots_apply(&s, 1, 0, ids, 6), 0);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint64_t h = name_of(rows[i].history, rows[i].at < 6 ? rows[i].at : 6);
        enum verdict_status status = slots_check(&s, rows[i].slot, rows[i].at, h, rows[i].n_ids);
        if (status != rows[i].status) fail_msg("%s: status %d", rows[i].why, status);
    }
    assert_int_equal(slots_check(&s, 0, 0, root + 1, 1), VERDICT_STALE); /* another job's */
    slots_free(&s);
}

static void what_is_held_is_the_length(void **state)
{
    (void)state;
    struct slots s;
    open_slots(&s);
    slots_apply(&s, 2, 0, (const int32_t[]){7, 8}, 2);
    assert_int_equal(slots_held(&s, 0), 0);
    assert_int_equal(slots_held(&s, 2), 2);
    slots_apply(&s, 2, 1, NULL, 0);
    assert_int_equal(slots_held(&s, 2), 1);
    assert_int_equal(slots_held(&s, N), 0);
    assert_int_equal(slots_held(&s, UINT32_MAX), 0);
    slots_free(&s);
}

/* Slot 1 holds 1 2 3, slot 2 failed behind 1; of a vocabulary of 7. */
static void an_ask_is_answered_by_what_its_slot_holds(void **state)
{
    (void)state;
    static const int32_t ids[] = {1, 2, 3, 6}, least[] = {0}, negative[] = {1, -1}, large[] = {7}, other[] = {1, 9},
                         many[N_CTX] = {0};
    static const struct {
        const char *why;
        uint32_t slot, at;
        const int32_t *history, *ids;
        size_t n_ids;
        int rc;
        enum draft_end end;
    } rows[] = {
        {"it goes on", 1, 3, ids, ids + 3, 1, OK, DRAFT_WINDOW},
        {"with no id of its own", 1, 3, ids, NULL, 0, OK, DRAFT_WINDOW},
        {"with as many ids as it follows", 1, 1, ids, ids + 1, 1, OK, DRAFT_WINDOW},
        {"it begins a text", 0, 0, ids, ids, 2, OK, DRAFT_WINDOW},
        {"with the first id", 0, 0, ids, least, 1, OK, DRAFT_WINDOW},
        {"with nothing to go on from", 0, 0, ids, NULL, 0, OK, DRAFT_GAP},
        {"nor in a slot that has a text", 1, 0, ids, NULL, 0, OK, DRAFT_GAP},
        {"past the end", 1, 4, ids, ids, 1, OK, DRAFT_GAP},
        {"after another text", 1, 2, other, ids, 1, OK, DRAFT_STALE},
        {"without room", 1, 3, ids, many, N_CTX - 2, OK, DRAFT_FULL},
        {"after what failed", 2, 2, ids, ids, 1, OK, DRAFT_FAILED},
        {"a negative id", 1, 3, ids, negative, 2, E_PEER, DRAFT_WINDOW},
        {"an id beyond the vocabulary", 1, 3, ids, large, 1, E_PEER, DRAFT_WINDOW},
    };
    struct slots s;
    open_slots(&s);
    slots_apply(&s, 1, 0, ids, 3);
    slots_apply(&s, 2, 0, ids, 2);
    slots_fail(&s, 2, 1, "it is not finite");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct err err = {0};
        enum draft_end end = DRAFT_WINDOW;
        const struct draft_ask ask = {.slot = rows[i].slot,
                                      .at = rows[i].at,
                                      .prefix_hash = name_of(rows[i].history, rows[i].at <= 3 ? rows[i].at : 0),
                                      .ids = rows[i].ids,
                                      .n_ids = rows[i].n_ids};
        int rc = slots_check_ask(&s, &ask, 7, &end, &err);
        if (rc != rows[i].rc || end != rows[i].end) fail_msg("%s: %d, %d", rows[i].why, rc, (int)end);
    }
    slots_free(&s);
}

/* Trap 2 and invariant 14. The slot holds 1 2 3, then drafts 4 5 6 7; what comes back begins after 1 2 3. */
static void ids_that_were_there_already_are_kept(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        uint32_t at;
        int32_t ids[8];
        size_t n_ids;
        int kept;
    } rows[] = {
        {"all drafts, and big's own", 3, {4, 5, 6, 7, 8}, 5, 4},
        {"two of them", 3, {4, 5, 9}, 3, 2},
        {"none", 3, {9}, 1, 0},
        {"one, and no more", 3, {4}, 1, 1},
        {"equal again after a difference", 3, {4, 9, 6, 7}, 4, 1},
        {"from the beginning", 0, {1, 2, 3, 4, 5, 6, 7, 8}, 8, 7},
        {"behind all of it", 7, {8, 9}, 2, 0},
        {"nothing new", 5, {0}, 0, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct slots s;
        open_slots(&s);
        slots_apply(&s, 0, 0, (const int32_t[]){1, 2, 3}, 3);
        for (int32_t id = 4; id <= 7; id++) assert_int_equal(slots_apply(&s, 0, (uint32_t)id - 1, &id, 1), 0);
        bool has = slots_has(&s, 0, rows[i].at, rows[i].ids, rows[i].n_ids);
        int kept = slots_apply(&s, 0, rows[i].at, rows[i].ids, rows[i].n_ids);
        assert_int_equal(has, kept == (int)rows[i].n_ids);
        if (kept != rows[i].kept) fail_msg("%s: %d kept", rows[i].why, kept);
        assert_int_equal(slots_held(&s, 0), rows[i].at + rows[i].n_ids);
        slots_free(&s);
    }
}

/* Its KV rows may be another text's by then. */
static void what_lies_past_the_length_is_not_kept(void **state)
{
    (void)state;
    static const int32_t ids[] = {1, 2, 3, 4, 5};
    struct slots s;
    open_slots(&s);
    slots_apply(&s, 0, 0, ids, 5);
    slots_apply(&s, 0, 2, NULL, 0);
    assert_int_equal(slots_check(&s, 0, 4, name_of(ids, 4), 1), VERDICT_GAP);
    assert_int_equal(slots_apply(&s, 0, 2, ids + 2, 3), 0);
    slots_free(&s);
}

static void a_copy_is_of_the_first_ids_and_drops_the_rest(void **state)
{
    (void)state;
    static const int32_t ids[] = {1, 2, 3, 4, 5, 6}, others[] = {9, 8, 7, 6, 5, 4, 3};
    for (uint32_t n = 0; n <= 5; n++) {
        struct slots s;
        open_slots(&s);
        slots_apply(&s, 0, 0, ids, 5);
        slots_apply(&s, 2, 0, others, 7);
        slots_fail(&s, 2, 6, "block 3");
        slots_copy(&s, 2, 0, n);
        assert_int_equal(slots_held(&s, 2), n);
        assert_int_equal(slots_held(&s, 0), 5);
        assert_int_equal(slots_check(&s, 2, n, name_of(ids, n), 1), VERDICT_OK);
        assert_int_equal(slots_check(&s, 2, n + 1, name_of(ids, n + 1), 1), VERDICT_GAP);
        assert_true(slots_has(&s, 2, 0, ids, n));
        slots_apply(&s, 2, n, others, 2); /* the one goes on without the other */
        assert_int_equal(slots_check(&s, 0, 5, name_of(ids, 5), 1), VERDICT_OK);
        slots_copy(&s, 2, 2, n);
        assert_int_equal(slots_held(&s, 2), n);
        slots_free(&s);
    }
}

/* ---- any parts in any order, against the definition ---- */

struct plain {
    size_t len;
    int32_t ids[N_CTX];
};

static uint64_t draw(uint64_t *seed, uint64_t n)
{
    *seed = prefix_hash_mix(*seed + 1);
    return *seed % n;
}

static enum verdict_status status_of(const struct plain *held, uint32_t slot, size_t at, uint64_t h, size_t n_ids)
{
    if (slot >= N || at + n_ids > N_CTX) return VERDICT_FULL;
    if (at > held[slot].len) return VERDICT_GAP;
    return name_of(held[slot].ids, at) == h ? VERDICT_OK : VERDICT_STALE;
}

static size_t apply(struct plain *p, size_t at, const int32_t *ids, size_t n)
{
    size_t kept = 0;
    while (kept < n && at + kept < p->len && p->ids[at + kept] == ids[kept]) kept++;
    if (n) memcpy(p->ids + at, ids, n * sizeof *ids);
    p->len = at + n;
    return kept;
}

/* Until a part applies to its slot again. What goes on from it says the same. */
static void a_slot_that_failed_says_why(void **state)
{
    (void)state;
    static const int32_t ids[] = {1, 2, 3};
    struct slots s;
    open_slots(&s);
    slots_apply(&s, 1, 0, ids, 3);
    slots_fail(&s, 1, 3, "block 3");
    assert_int_equal(slots_check(&s, 1, 4, root, 1), VERDICT_FAILED);
    slots_fail(&s, 1, 4, "it goes on from that");
    assert_string_equal(slots_error(&s, 1), "block 3");
    slots_apply(&s, 1, 2, ids + 2, 1);
    assert_string_equal(slots_error(&s, 1), "");
    assert_int_equal(slots_check(&s, 1, 4, root, 1), VERDICT_GAP);
    slots_free(&s);
}

static void any_parts_in_any_order_leave_what_the_definition_says(void **state)
{
    (void)state;
    struct slots s;
    struct plain held[N] = {0};
    uint64_t seed = 1;
    int n_seen[VERDICT_FULL + 1] = {0};
    open_slots(&s);
    for (int i = 0; i < 5000; i++) {
        uint32_t slot = (uint32_t)draw(&seed, N + 1), at = (uint32_t)draw(&seed, N_CTX + 2);
        int32_t ids[N_CTX + 2];
        size_t n = draw(&seed, N_CTX / 2);
        for (size_t k = 0; k < n; k++) ids[k] = (int32_t)draw(&seed, 2); /* two ids: equal ones are common */
        uint64_t h = draw(&seed, 8) ? name_of(held[slot % N].ids, at < N_CTX ? at : N_CTX) : seed;
        enum verdict_status status = slots_check(&s, slot, at, h, n);
        assert_int_equal(status, status_of(held, slot, at, h, n));
        n_seen[status]++;
        if (status != VERDICT_OK) continue;
        assert_int_equal(slots_apply(&s, slot, at, ids, n), apply(&held[slot], at, ids, n));
        const struct slot *got = &s.slot[slot];
        assert_int_equal(slots_held(&s, slot), held[slot].len);
        assert_memory_equal(got->ids, held[slot].ids, held[slot].len * sizeof *ids);
        for (size_t k = 0; k <= held[slot].len; k++) assert_true(got->prefix_hash[k] == name_of(held[slot].ids, k));
    }
    for (int status = VERDICT_OK; status <= VERDICT_FULL; status++) assert_true(n_seen[status] > 100);
    slots_free(&s);
}

static void nothing_can_be_freed_twice(void **state)
{
    (void)state;
    struct slots s;
    open_slots(&s);
    slots_free(&s);
    slots_free(&s);
    slots_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_part_applies_where_the_history_is_the_same),
        cmocka_unit_test(what_is_held_is_the_length),
        cmocka_unit_test(an_ask_is_answered_by_what_its_slot_holds),
        cmocka_unit_test(ids_that_were_there_already_are_kept),
        cmocka_unit_test(what_lies_past_the_length_is_not_kept),
        cmocka_unit_test(a_copy_is_of_the_first_ids_and_drops_the_rest),
        cmocka_unit_test(a_slot_that_failed_says_why),
        cmocka_unit_test(any_parts_in_any_order_leave_what_the_definition_says),
        cmocka_unit_test(nothing_can_be_freed_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
