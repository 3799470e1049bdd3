/* Parts in flight: a verdict answers one of them, as it was asked, and only once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "coordinator/decode/flights.h"

enum { ROOM = 4, N_VOCAB = 4 };

static struct part part_of(uint32_t slot, uint32_t at, const struct row *rows, size_t n_rows)
{
    return (struct part){.slot = slot, .round = 5, .at = at, .prefix_hash = 100 + at, .rows = rows, .n_rows = n_rows};
}

/* What a verifier repeats of a part. */
static struct verdict verdict_of(const struct part *p, const struct verdict_row *rows, size_t n_rows)
{
    return (struct verdict){.job = p->job,
                            .slot = p->slot,
                            .round = p->round,
                            .at = p->at,
                            .prefix_hash = p->prefix_hash,
                            .rows = rows,
                            .n_rows = n_rows};
}

static void parts_are_numbered_and_land_in_any_order_once(void **state)
{
    (void)state;
    static const int orders[][ROOM] = {{0, 1, 2, 3}, {3, 2, 1, 0}, {1, 3, 0, 2}};
    static const struct row row = {.id = 1};
    for (size_t o = 0; o < sizeof orders / sizeof *orders; o++) {
        struct flights f;
        struct flight landed;
        struct part parts[ROOM];
        struct err err;
        assert_int_equal(flights_init(&f, ROOM, N_VOCAB, &err), OK);
        for (uint32_t i = 0; i < ROOM; i++) {
            parts[i] = part_of(i / 2, i, &row, 1);
            flights_add(&f, &parts[i], 1000 + i)->owner = 50 + i;
            assert_int_equal(parts[i].job, i + 1);
        }
        assert_int_equal(flights_of_slot(&f, 0), 2);
        assert_int_equal(flights_of_slot(&f, 1), 2);
        assert_int_equal(flights_of_slot(&f, 2), 0);
        for (int k = 0; k < ROOM; k++) {
            int i = orders[o][k];
            struct verdict v = verdict_of(&parts[i], NULL, 0);
            assert_int_equal(flights_land(&f, &v, &landed, &err), OK);
            assert_int_equal(landed.job, i + 1);
            assert_int_equal(landed.owner, 50 + i);
            assert_int_equal(landed.sent_ns, 1000 + i);
            assert_int_equal(landed.n_rows, 1);
            assert_int_equal(landed.n_wanted, 0);
            assert_int_equal(flights_land(&f, &v, &landed, &err), E_PEER);
        }
        assert_int_equal(f.n, 0);
        flights_free(&f);
        flights_free(&f); /* zeroed is fine */
    }
}

static const float lp;
static const struct top tops[6] = {{0, -1}, {1, -1}, {2, -1}, {3, -1}, {4, -1}, {0, -1}};

/* Rows: one that is fed only, two that judge the id after them, the last of all; of each the two best ids. */
static void a_verdict_has_the_rows_that_were_wanted_and_in_each_what_was_asked(void **state)
{
    (void)state;
    static const int32_t judged = 1;
    static const struct row asked[] = {{.id = 0},
                                       {.id = 1, .wanted = true, .n_top = 2, .judge = &judged, .n_judge = 1},
                                       {.id = 1, .wanted = true, .n_top = 2, .judge = &judged, .n_judge = 1},
                                       {.id = 1, .wanted = true, .n_top = 2}};
    static const struct {
        const char *text; /* NULL: it is right */
        struct verdict_row rows[4];
        size_t n_rows;
        enum verdict_status status;
    } table[] = {
        {NULL, {{1, 0, &lp, 1, tops, 2}, {3, 0, &lp, 1, tops + 2, 2}, {0, 0, NULL, 0, tops, 2}}, 3, VERDICT_OK},
        {NULL, {{0}}, 0, VERDICT_GAP},
        {"of 2 rows, expected 3", {{1, 0, &lp, 1, tops, 2}, {1, 0, &lp, 1, tops, 2}}, 2, VERDICT_OK},
        {"of 4 rows, expected 3", {{1, 0, &lp, 1, tops, 2}}, 4, VERDICT_OK},
        {"of 1 rows, expected 0", {{1, 0, &lp, 1, tops, 2}}, 1, VERDICT_STALE},
        {"whose row 2 judges 1 ids",
         {{1, 0, &lp, 1, tops, 2}, {1, 0, &lp, 1, tops, 2}, {1, 0, &lp, 1, tops, 2}},
         3,
         VERDICT_OK},
        {"whose row 1 judges 0 ids",
         {{1, 0, &lp, 1, tops, 2}, {1, 0, NULL, 0, tops, 2}, {1, 0, NULL, 0, tops, 2}},
         3,
         VERDICT_OK},
        {NULL, {{1, 0, &lp, 1, tops, 2}, {1, 0, &lp, 1, tops, 1}, {1, 0, NULL, 0, tops, 1}}, 3, VERDICT_OK},
        {"with the 0 best ids, asked for 2",
         {{1, 0, &lp, 1, tops, 2}, {1, 0, &lp, 1, tops, 2}, {1, 0, NULL, 0, tops, 0}},
         3,
         VERDICT_OK},
        {"with the 3 best ids, asked for 2",
         {{1, 0, &lp, 1, tops, 2}, {1, 0, &lp, 1, tops, 2}, {1, 0, NULL, 0, tops, 3}},
         3,
         VERDICT_OK},
        {"with an id outside the vocabulary of 4",
         {{1, 0, &lp, 1, tops, 2}, {N_VOCAB, 0, &lp, 1, tops, 2}, {1, 0, NULL, 0, tops, 2}},
         3,
         VERDICT_OK},
        {"with an id outside the vocabulary of 4", /* among the best, the first or the second */
         {{1, 0, &lp, 1, tops, 2}, {1, 0, &lp, 1, tops + 3, 2}, {1, 0, NULL, 0, tops, 2}},
         3,
         VERDICT_OK},
        {"with an id outside the vocabulary of 4",
         {{1, 0, &lp, 1, tops, 2}, {1, 0, &lp, 1, tops + 4, 2}, {1, 0, NULL, 0, tops, 2}},
         3,
         VERDICT_OK},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct flights f;
        struct flight landed = {0};
        struct part part = part_of(0, 0, asked, 4);
        struct err err = {0};
        assert_int_equal(flights_init(&f, ROOM, N_VOCAB, &err), OK);
        flights_add(&f, &part, 0);
        struct verdict v = verdict_of(&part, table[i].rows, table[i].n_rows);
        v.status = table[i].status;
        int rc = flights_land(&f, &v, &landed, &err);
        if (rc != (table[i].text ? E_PEER : OK) || (table[i].text && !strstr(err.text, table[i].text)))
            fail_msg("row %zu: %d \"%s\"", i, rc, err.text);
        assert_int_equal(f.n, table[i].text != NULL); /* one that is wrong answers nothing */
        if (rc == OK) assert_true(landed.n_rows == 4 && landed.n_wanted == 3 && landed.n_judging == 2);
        flights_free(&f);
    }
}

/* As many as there are, if more are asked for. */
static void of_the_best_ids_there_are_no_more_than_the_vocabulary_has(void **state)
{
    (void)state;
    static const uint32_t asked[] = {0, N_VOCAB - 1, N_VOCAB, N_VOCAB + 1, UINT32_MAX};
    for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
        const struct row row = {.id = 1, .wanted = true, .n_top = asked[i]};
        const struct verdict_row answer = {.top = tops, .n_top = asked[i] < N_VOCAB ? asked[i] : N_VOCAB};
        struct flights f;
        struct flight landed;
        struct part part = part_of(0, 0, &row, 1);
        struct err err;
        assert_int_equal(flights_init(&f, ROOM, N_VOCAB, &err), OK);
        flights_add(&f, &part, 0);
        struct verdict v = verdict_of(&part, &answer, 1);
        if (flights_land(&f, &v, &landed, &err) != OK) fail_msg("%u asked: %s", asked[i], err.text);
        flights_free(&f);
    }
}

/* Where the last row judges, too, the leader may feed that draft; only it, and only where it goes on by itself. */
static void a_verdict_may_have_a_row_more_where_the_last_one_judges(void **state)
{
    (void)state;
    static const int32_t judged = 1;
    static const struct row asked[2][2] = {
        {{.id = 1, .wanted = true, .judge = &judged, .n_judge = 1},
         {.id = 1, .wanted = true, .judge = &judged, .n_judge = 1}},
        {{.id = 1, .wanted = true, .judge = &judged, .n_judge = 1}, {.id = 1, .wanted = true}}};
    static const struct {
        int asked;
        bool goes_on;
        int n_rows, n_judging; /* of the verdict */
        bool ok;
    } table[] = {{0, true, 2, 2, true},  {0, true, 3, 2, true},   {0, true, 3, 3, false}, {0, true, 4, 2, false},
                 {0, true, 1, 1, false}, {0, false, 3, 2, false}, {1, true, 3, 1, false}, {1, true, 2, 1, true}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct flights f;
        struct flight landed = {0};
        struct part part = part_of(0, 0, asked[table[i].asked], 2);
        struct verdict_row rows[4];
        struct err err = {0};
        for (int k = 0; k < 4; k++) rows[k] = (struct verdict_row){1, 0, &lp, k < table[i].n_judging, NULL, 0};
        assert_int_equal(flights_init(&f, ROOM, N_VOCAB, &err), OK);
        flights_add(&f, &part, 0)->may_be_late = table[i].goes_on;
        struct verdict v = verdict_of(&part, rows, (size_t)table[i].n_rows);
        if ((flights_land(&f, &v, &landed, &err) == OK) != table[i].ok) fail_msg("row %zu: %s", i, err.text);
        flights_free(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_are_numbered_and_land_in_any_order_once),
        cmocka_unit_test(a_verdict_has_the_rows_that_were_wanted_and_in_each_what_was_asked),
        cmocka_unit_test(of_the_best_ids_there_are_no_more_than_the_vocabulary_has),
        cmocka_unit_test(a_verdict_may_have_a_row_more_where_the_last_one_judges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
