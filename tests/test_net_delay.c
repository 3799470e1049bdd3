/* The emulated network: when a message is due, by rows; and that no mailbox sees it before, on a clock of the test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

#include "proto/router.h"

enum { MS = 1000000, PATIENCE_MS = 60000 };

/* ---- one link ---- */

static void a_message_is_due_after_delay_and_bytes_behind_the_one_in_front(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        struct net_path path;
        struct {
            int now_ms, n_bytes, due_ms;
        } messages[4]; /* to one that is due at 0 */
    } rows[] = {
        {"a delay is each message's own", {10 * MS, 0, 0}, {{0, 999, 10}, {1, 0, 11}, {5, 999, 15}}},
        {"bytes take time after the delay", {10 * MS, 0, 8000000}, {{0, 1000, 11}, {50, 2000, 62}}},
        {"and wait for those in front", {10 * MS, 0, 8000000}, {{0, 5000, 15}, {0, 1000, 16}, {3, 2000, 18}}},
        {"but not once the link is free", {10 * MS, 0, 8000000}, {{0, 5000, 15}, {6, 1000, 17}, {6, 0, 17}}},
        {"a rate alone", {0, 0, 8000000}, {{0, 3000, 3}, {1, 1000, 4}, {9, 1000, 10}}},
        {"the largest message at the least rate", {0, 0, 1000}, {{0, 1 << 20, 8388608}}},
        {"messages without bytes do not overtake", {0, 0, 8000000}, {{1, 3000, 4}, {2, 0, 4}, {7, 0, 7}}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct net_link l = {.path = rows[i].path};
        for (int k = 0; k < 4 && rows[i].messages[k].due_ms; k++) {
            uint64_t due =
                net_link_due(&l, (uint64_t)rows[i].messages[k].now_ms * MS, (size_t)rows[i].messages[k].n_bytes);
            if (due != (uint64_t)rows[i].messages[k].due_ms * MS)
                fail_msg("%s: message %d is due at %.3f ms, not %d", rows[i].why, k, (double)due / MS,
                         rows[i].messages[k].due_ms);
        }
    }
}

static void jitter_is_drawn_anew_within_its_bounds_and_the_same_in_every_run(void **state)
{
    (void)state;
    enum { N = 4000, EVERY_MS = 100 };
    struct net_link a = {{20 * MS, 6 * MS, 0}, 1, 0, 0}, again = a, other = {a.path, 2, 0, 0};
    int n_sixth[6] = {0}, n_differ = 0;
    for (uint64_t i = 0; i < N; i++) { /* so far apart that none waits for another */
        uint64_t now = i * EVERY_MS * MS, due = net_link_due(&a, now, 100), late = due - now - 20 * MS;
        assert_in_range(late, 0, 6 * MS);
        n_sixth[late / MS % 6]++;
        assert_int_equal(net_link_due(&again, now, 100), due);
        n_differ += net_link_due(&other, now, 100) != due;
    }
    for (int i = 0; i < 6; i++) assert_in_range(n_sixth[i], N / 6 * 8 / 10, N / 6 * 12 / 10);
    assert_in_range(n_differ, N - 10, N);
}

static void jitter_does_not_change_the_order(void **state)
{
    (void)state;
    struct net_link l = {{0, 50 * MS, 0}, 3, 0, 0};
    uint64_t last = 0;
    for (uint64_t i = 0; i < 1000; i++) {
        uint64_t due = net_link_due(&l, i * MS, 10);
        assert_true(due >= last && due >= i * MS && due <= (i + 50) * MS);
        last = due;
    }
}

/* ---- mailboxes ---- */

struct scene {
    struct layout layout; /* coordinator 0, drafter 1, verifiers 2 and 3 */
    struct router *router;
    struct mailbox *mailboxes[4];
    uint64_t now_ns;
    int n_posted;
};

static uint64_t scene_now_ns(void *arg)
{
    return ((struct scene *)arg)->now_ns;
}

static void set_up(struct scene *s, struct net net, bool own_clock)
{
    struct err err;
    *s = (struct scene){0};
    assert_int_equal(layout_make(&s->layout, 1, 1, 1, 1, 2, DRAFTER_LITTLE, &err), OK);
    assert_int_equal(s->layout.n_peers, 4);
    assert_non_null(s->router = router_open(4));
    if (own_clock) net.now_ns = scene_now_ns;
    net.now_arg = s;
    assert_int_equal(router_emulate(s->router, &s->layout, &net, &err), OK);
    for (int i = 0; i < 4; i++) assert_non_null(s->mailboxes[i] = router_mailbox(s->router, i, NULL, NULL));
}

static void tear_down(struct scene *s)
{
    for (int i = 0; i < 4; i++) mailbox_close(s->mailboxes[i]);
    router_close(s->router);
}

/* Each message has a number of its own as its tag. */
static int post(struct scene *s, int from, int to)
{
    struct err err;
    assert_int_equal(mailbox_post(s->mailboxes[from], to, ++s->n_posted, "x", 1, &err), OK);
    return s->n_posted;
}

static void at(struct scene *s, int now_ms)
{
    s->now_ns = (uint64_t)now_ms * MS;
    router_arrive(s->router);
}

/* The number of the next message; 0: none is seen. */
static int seen(struct scene *s, int peer)
{
    struct mail m;
    struct err err;
    int rc = mailbox_poll(s->mailboxes[peer], &m, &err);
    if (rc == MAIL_NONE) return 0;
    int number = m.tag;
    mail_free(&m);
    return number;
}

static const struct net far_verifier = {.to = {[ROLE_VERIFIER] = {.delay_ns = 20 * MS}}};
static const struct net far_workers = {.to = {[ROLE_VERIFIER] = {20 * MS, 5 * MS, 0}, [ROLE_DRAFTER] = {7 * MS, 0, 0}}};

static void no_message_is_seen_before_it_is_due(void **state)
{
    (void)state;
    struct scene s;
    set_up(&s, far_verifier, true);
    int asked = post(&s, 0, 2), n_early = 0;
    for (int ms = 0; ms < 20; ms++) {
        at(&s, ms);
        n_early += seen(&s, 2) != 0;
    }
    assert_int_equal(n_early, 0);
    at(&s, 20);
    assert_int_equal(seen(&s, 2), asked);
    int answered = post(&s, 3, 0); /* the way back takes as long */
    at(&s, 39);
    assert_int_equal(seen(&s, 0), 0);
    at(&s, 40);
    assert_int_equal(seen(&s, 0), answered);
    tear_down(&s);
}

static void messages_on_their_way_together_keep_their_links_order(void **state)
{
    (void)state;
    struct scene s;
    enum { N = 300 }; /* more than there is room for at the start */
    int next[4] = {0}, n_seen = 0;
    set_up(&s, far_workers, true);
    for (int i = 0; i < N; i++) {
        s.now_ns = (uint64_t)(i / 50) * MS;
        post(&s, 0, 1 + i % 3);
    }
    for (int ms = N / 50; ms <= 40; ms++) {
        at(&s, ms);
        for (int peer = 1; peer < 4; peer++)
            for (int number; (number = seen(&s, peer)); n_seen++) {
                assert_true(number > next[peer]);
                next[peer] = number;
            }
    }
    assert_int_equal(n_seen, N);
    tear_down(&s);
}

static void only_links_that_are_far_take_time(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        const struct net *net;
        int from, to;
        bool far;
    } rows[] = {
        {"to a stage", &far_verifier, 0, 3, true},
        {"from a stage", &far_verifier, 2, 0, true},
        {"the drafter is beside the coordinator", &far_verifier, 0, 1, false},
        {"and so is the way back", &far_verifier, 1, 0, false},
        {"unless it is asked for", &far_workers, 0, 1, true},
        {"both ways", &far_workers, 1, 0, true},
        {"stages hand on at once", &far_workers, 2, 3, false},
        {"the coordinator to itself", &far_workers, 0, 0, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct scene s;
        set_up(&s, *rows[i].net, true);
        post(&s, rows[i].from, rows[i].to);
        at(&s, 6);
        if (!seen(&s, rows[i].to) != rows[i].far) fail_msg("%s: %s", rows[i].why, rows[i].far ? "seen" : "not seen");
        tear_down(&s);
    }
}

/* From 20 ms to none, and to 50. */
static void another_network_holds_for_later_messages_and_keeps_their_order(void **state)
{
    (void)state;
    struct scene s;
    struct net net = far_verifier;
    net.changes = true;
    set_up(&s, net, true);
    int slow = post(&s, 0, 2);
    router_change(s.router, &(struct net){0});
    at(&s, 5);
    int quick = post(&s, 0, 2), other = post(&s, 0, 3);
    at(&s, 5);
    assert_int_equal(seen(&s, 3), other); /* that link was empty */
    assert_int_equal(seen(&s, 2), 0);
    at(&s, 20);
    assert_int_equal(seen(&s, 2), slow);
    assert_int_equal(seen(&s, 2), quick);
    net.to[ROLE_VERIFIER].delay_ns = 50 * MS;
    router_change(s.router, &net);
    int far = post(&s, 0, 2);
    at(&s, 69);
    assert_int_equal(seen(&s, 2), 0);
    at(&s, 70);
    assert_int_equal(seen(&s, 2), far);
    tear_down(&s);
}

/* Whom it is from is another rank's word. */
static void a_message_from_nobody_goes_over_no_link(void **state)
{
    (void)state;
    static const int nobody[] = {-1, 4, 1000000};
    struct scene s;
    set_up(&s, far_workers, true);
    for (size_t i = 0; i < sizeof nobody / sizeof *nobody; i++) {
        struct mail m = {.from = nobody[i], .to = 0, .tag = 7};
        struct err err;
        assert_int_equal(router_deliver(s.router, &m, &err), OK);
        assert_int_equal(seen(&s, 0), 7);
    }
    tear_down(&s);
}

static void a_gate_sees_a_message_when_it_is_due(void **state)
{
    (void)state;
    struct scene s;
    set_up(&s, far_verifier, true);
    router_route(s.router, 3, 2); /* peers of other ranks: the bridge reads it */
    int number = post(&s, 0, 3);
    at(&s, 19);
    assert_int_equal(seen(&s, 2), 0);
    at(&s, 20);
    assert_int_equal(seen(&s, 2), number);
    tear_down(&s);
}

static void the_end_of_a_job_does_not_wait_for_the_link(void **state)
{
    (void)state;
    struct scene s;
    set_up(&s, far_workers, true);
    int asked = post(&s, 0, 2), quit = post(&s, 0, 2), other = post(&s, 0, 1);
    router_hurry(s.router);
    assert_int_equal(seen(&s, 2), asked);
    assert_int_equal(seen(&s, 2), quit);
    assert_int_equal(seen(&s, 1), other);
    int late = post(&s, 3, 0);
    assert_int_equal(seen(&s, 0), late);
    router_hurry(s.router);
    tear_down(&s);
}

static void what_is_on_its_way_goes_with_the_router(void **state)
{
    (void)state;
    for (int own_clock = 0; own_clock < 2; own_clock++) {
        struct scene s;
        set_up(&s, (struct net){.to = {[ROLE_VERIFIER] = {.delay_ns = 3600000ull * MS}}}, own_clock);
        for (int i = 0; i < 100; i++) post(&s, 0, 2); /* the leak checker looks */
        tear_down(&s);
    }
}

struct full { /* a queue that has no memory for the next so many */
    struct router *router;
    int n_refused;
};

static bool put_into_full(void *arg, const struct mail *m)
{
    struct full *f = arg;
    struct mail copy = *m;
    struct err err;
    return f->n_refused-- <= 0 && router_deliver(f->router, &copy, &err) == OK;
}

static void what_finds_no_memory_is_tried_again_in_its_turn(void **state)
{
    (void)state;
    struct full full = {router_open(4), 3};
    struct layout l;
    struct net_delay *d;
    struct err err;
    const struct net net = {.to = {[ROLE_VERIFIER] = {.delay_ns = 1}}};
    assert_int_equal(layout_make(&l, 1, 1, 1, 1, 2, DRAFTER_LITTLE, &err), OK);
    assert_int_equal(net_delay_open(&d, &l, &net, &(struct net_sink){put_into_full, &full}, &err), OK);
    struct mailbox *mb = router_mailbox(full.router, 2, NULL, NULL);
    for (int i = 1; i <= 2; i++) assert_true(net_delay_put(d, &(struct mail){.to = 2, .tag = i}));
    for (int i = 1; i <= 2; i++) {
        struct mail m;
        assert_int_equal(mailbox_wait(mb, &m, PATIENCE_MS, &err), OK);
        assert_int_equal(m.tag, i);
    }
    net_delay_close(d);
    mailbox_close(mb);
    router_close(full.router);
}

static void a_sleeper_wakes_when_its_message_is_due(void **state)
{
    (void)state;
    struct scene s;
    set_up(&s, (struct net){.to = {[ROLE_VERIFIER] = {MS / 5, MS / 5, 0}}}, false);
    for (int i = 0; i < 200; i++) {
        struct mail m;
        struct err err;
        int first = post(&s, 0, 2), second = i % 2 ? post(&s, 0, 2) : 0;
        assert_int_equal(mailbox_wait(s.mailboxes[2], &m, PATIENCE_MS, &err), OK);
        assert_int_equal(m.tag, first);
        mail_free(&m);
        if (second) {
            assert_int_equal(mailbox_wait(s.mailboxes[2], &m, PATIENCE_MS, &err), OK);
            assert_int_equal(m.tag, second);
            mail_free(&m);
        }
    }
    tear_down(&s);
}

static void without_a_network_nothing_waits(void **state)
{
    (void)state;
    struct net_path none = {0}, some = {.bits_per_s = 1};
    assert_true(net_path_is_zero(&none) && !net_path_is_zero(&some));
    struct router *o = router_open(2);
    router_hurry(o); /* of a job without one */
    router_close(o);
    net_delay_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_is_due_after_delay_and_bytes_behind_the_one_in_front),
        cmocka_unit_test(jitter_is_drawn_anew_within_its_bounds_and_the_same_in_every_run),
        cmocka_unit_test(jitter_does_not_change_the_order),
        cmocka_unit_test(no_message_is_seen_before_it_is_due),
        cmocka_unit_test(messages_on_their_way_together_keep_their_links_order),
        cmocka_unit_test(only_links_that_are_far_take_time),
        cmocka_unit_test(another_network_holds_for_later_messages_and_keeps_their_order),
        cmocka_unit_test(a_message_from_nobody_goes_over_no_link),
        cmocka_unit_test(a_gate_sees_a_message_when_it_is_due),
        cmocka_unit_test(the_end_of_a_job_does_not_wait_for_the_link),
        cmocka_unit_test(what_is_on_its_way_goes_with_the_router),
        cmocka_unit_test(what_finds_no_memory_is_tried_again_in_its_turn),
        cmocka_unit_test(a_sleeper_wakes_when_its_message_is_due),
        cmocka_unit_test(without_a_network_nothing_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
