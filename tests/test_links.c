/* Whom a rank does not hear any more, as a function of what came when: rows of times on a virtual clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/deadline.h"
#include "worker/roles/links.h"

static const uint64_t ms_ns = 1000000;

static void who_is_silent_for_a_deadline_and_a_second_is_missed(void **state)
{
    (void)state;
    enum { LOOK_MS = 250, SELF = 1, BESIDE, OTHER, N };
    static const struct {
        const char *what;
        int heard_ms, restart_ms; /* the other is heard until then; 0: never. This one is stopped for 60 s then */
        uint32_t block_us;
        int alive_ms, missed_ms; /* 0: never */
    } rows[] = {
        {"cut off at 5 s", 5000, 0, 0, 8000, 8250},
        {"short blocks", 5000, 0, 100000, 8000, 8250},
        {"blocks of .5 s", 5000, 0, 500000, 11000, 11250},
        {"a block that cannot be", 5000, 0, UINT32_MAX, 66000, 66250},
        {"one that was never heard", 0, 0, 0, 3000, 3250},
        {"this one was stopped before the other was heard", 0, 2000, 0, 5250, 5500},
        {"one that stays", 600000, 0, 0, 600000, 0},
        {"this one was stopped after 2 s of silence", 5000, 7000, 0, 10250, 10500},
    };
    struct layout ranks;
    assert_int_equal(layout_make(&ranks, N, 1, 1, 3, 1, DRAFTER_NONE, NULL), OK);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct links k = {0};
        uint64_t away_ns = 0;
        links_begin(&k, &ranks, SELF, 7000 * ms_ns);
        int n_due = 0, n_told = 0, n_other = 0, end_ms = rows[i].missed_ms ? rows[i].missed_ms : rows[i].alive_ms;
        for (int t = LOOK_MS; t <= end_ms; t += LOOK_MS) {
            uint64_t now_ns = 7000 * ms_ns + (uint64_t)t * ms_ns + away_ns;
            if (links_look(&k, now_ns)) {
                n_due++;
                n_told += links_tell(&k, BESIDE);
                n_other += links_tell(&k, OTHER);
            }
            links_heard(&k, BESIDE, 0, now_ns);
            if (t <= rows[i].heard_ms) links_heard(&k, OTHER, rows[i].block_us, now_ns);
            int expect = rows[i].missed_ms && t == end_ms ? OTHER : PEER_COORDINATOR;
            if (links_missed(&k, now_ns) != expect) fail_msg("%s: after %d ms", rows[i].what, t);
            if (t == rows[i].restart_ms) away_ns = 60000 * ms_ns;
        }
        int n = (end_ms + LOOK_MS) / PING_MS;
        if (n_due != n || n_told != n) fail_msg("%s: told %d times", rows[i].what, n_told);
        if (n_other != (rows[i].heard_ms ? n : 1)) fail_msg("%s: it is told %d times", rows[i].what, n_other);
    }
}

static void only_ranks_of_one_group_have_links(void **state)
{
    (void)state;
    enum { LITTLE = 1, A_1, A_2, B_1, B_2, N };
    struct layout ranks, process;
    assert_int_equal(layout_make(&ranks, N, 1, 2, 2, 1, DRAFTER_LITTLE, NULL), OK);
    assert_int_equal(layout_make(&process, 1, 1, 2, 2, 1, DRAFTER_LITTLE, NULL), OK);
    for (int a = PEER_COORDINATOR; a < N; a++)
        for (int b = PEER_COORDINATOR; b < N; b++) {
            bool linked = a != b && ((a | 1) == A_2 || (a | 1) == B_2) && (a | 1) == (b | 1);
            if (links_has(&ranks, a, b) != linked || links_has(&process, a, b)) fail_msg("%d, %d", a, b);
        }
    assert_false(links_has(&ranks, -1, A_1) || links_has(&ranks, A_1, N) || links_has(&ranks, MAX_PEERS, MAX_PEERS));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_is_silent_for_a_deadline_and_a_second_is_missed),
        cmocka_unit_test(only_ranks_of_one_group_have_links),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
