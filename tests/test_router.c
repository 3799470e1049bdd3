/* Queues of one process: messages arrive once, whole, and in the order of their sender, whoever writes at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "proto/router.h"

enum { N_SENDERS = 4, N_EACH = 5000, N_PINGS = 2000, PATIENCE_MS = 60000 };

static void post_text(struct mailbox *mb, int to, int tag, const char *text)
{
    struct err err;
    assert_int_equal(mailbox_post(mb, to, tag, text, strlen(text) + 1, &err), OK);
}

static void expect_text(struct mailbox *mb, int from, int to, int tag, const char *text)
{
    struct mail m;
    struct err err;
    assert_int_equal(mailbox_poll(mb, &m, &err), OK);
    assert_int_equal(m.from, from);
    assert_int_equal(m.to, to);
    assert_int_equal(m.tag, tag);
    assert_int_equal(m.n_bytes, strlen(text) + 1);
    assert_string_equal((const char *)m.data, text);
    mail_free(&m);
}

static void expect_nothing(struct mailbox *mb)
{
    struct mail m;
    struct err err;
    assert_int_equal(mailbox_poll(mb, &m, &err), MAIL_NONE);
}

static void a_message_says_whom_it_is_from_and_what_it_is(void **state)
{
    (void)state;
    struct router *o = router_open(3);
    struct mailbox *a = router_mailbox(o, 0, NULL, NULL), *b = router_mailbox(o, 2, NULL, NULL);
    char text[] = "first";
    post_text(a, 2, 7, text);
    memset(text, '?', sizeof text); /* posting copies */
    post_text(a, 2, 8, "second");
    post_text(b, 2, 9, "to myself");
    expect_nothing(a);
    expect_text(b, 0, 2, 7, "first");
    expect_text(b, 0, 2, 8, "second");
    expect_text(b, 2, 2, 9, "to myself");
    expect_nothing(b);
    mailbox_close(a);
    mailbox_close(b);
    router_close(o);
}

static void an_empty_message_is_a_message(void **state)
{
    (void)state;
    struct router *o = router_open(2);
    struct mailbox *a = router_mailbox(o, 0, NULL, NULL);
    struct mail m;
    struct err err;
    assert_int_equal(mailbox_post(a, 0, 1, NULL, 0, &err), OK);
    assert_int_equal(mailbox_wait(a, &m, -1, &err), OK);
    assert_int_equal(m.n_bytes, 0);
    mail_free(&m);
    mail_free(&m);
    mail_free(NULL);
    mailbox_close(a);
    router_close(o);
}

static void messages_outlive_their_sender_and_wait_for_their_receiver(void **state)
{
    (void)state;
    struct router *o = router_open(2);
    struct mailbox *a = router_mailbox(o, 0, NULL, NULL);
    post_text(a, 1, 1, "before you came");
    post_text(a, 1, 1, "never read"); /* freed with the router: the leak checker looks */
    mailbox_close(a);
    struct mailbox *b = router_mailbox(o, 1, NULL, NULL);
    expect_text(b, 0, 1, 1, "before you came");
    mailbox_close(b);
    router_close(o);
}

static void a_peer_that_is_not_there_is_refused(void **state)
{
    (void)state;
    struct router *o = router_open(2);
    struct mailbox *a = router_mailbox(o, 0, NULL, NULL);
    static const int nobody[] = {-1, 2, 255};
    for (size_t i = 0; i < sizeof nobody / sizeof *nobody; i++) {
        struct err err = {0};
        assert_int_equal(mailbox_post(a, nobody[i], 1, "x", 1, &err), E_FAIL);
        assert_non_null(strstr(err.text, "but there are only 2"));
    }
    mailbox_close(a);
    router_close(o);
}

static void a_wait_ends_in_time(void **state)
{
    (void)state;
    struct router *o = router_open(2);
    struct mailbox *a = router_mailbox(o, 0, NULL, NULL);
    struct mail m;
    struct err err;
    assert_int_equal(mailbox_wait(a, &m, 0, &err), MAIL_NONE);
    assert_int_equal(mailbox_wait(a, &m, 2, &err), MAIL_NONE);
    post_text(a, 0, 1, "x");
    assert_int_equal(mailbox_wait(a, &m, 0, &err), OK);
    mail_free(&m);
    mailbox_close(a);
    router_close(o);
}

static void a_queue_grows_and_keeps_its_order(void **state)
{
    (void)state;
    struct router *o = router_open(1);
    struct mailbox *a = router_mailbox(o, 0, NULL, NULL);
    struct mail m;
    struct err err;
    int posted = 0, taken = 0;
    for (int round = 1; round < 60; round++) { /* more in than out: the ring grows at every turn of itself */
        for (int i = 0; i < 2 * round; i++, posted++) mailbox_post(a, 0, 1, &posted, sizeof posted, &err);
        for (int i = 0; i < round; i++, taken++) {
            assert_int_equal(mailbox_poll(a, &m, &err), OK);
            assert_memory_equal(m.data, &taken, sizeof taken);
            mail_free(&m);
        }
    }
    for (; taken < posted; taken++) {
        assert_int_equal(mailbox_poll(a, &m, &err), OK);
        assert_memory_equal(m.data, &taken, sizeof taken);
        mail_free(&m);
    }
    expect_nothing(a);
    mailbox_close(a);
    router_close(o);
}

/* ---- threads ---- */

struct member {
    struct router *router;
    int self;
    pthread_t thread;
};

static void *send_numbers(void *arg)
{
    struct member *s = arg;
    struct mailbox *mb = router_mailbox(s->router, s->self, NULL, NULL);
    struct err err;
    for (int i = 0; i < N_EACH; i++) mailbox_post(mb, 0, s->self, &i, sizeof i, &err);
    mailbox_close(mb);
    return NULL;
}

static void many_senders_at_once_each_keep_their_order(void **state)
{
    (void)state;
    struct router *o = router_open(1 + N_SENDERS);
    struct mailbox *mb = router_mailbox(o, 0, NULL, NULL);
    struct member senders[N_SENDERS];
    int next[1 + N_SENDERS] = {0};
    for (int i = 0; i < N_SENDERS; i++) {
        senders[i] = (struct member){.router = o, .self = 1 + i};
        pthread_create(&senders[i].thread, NULL, send_numbers, &senders[i]);
    }
    for (int i = 0; i < N_SENDERS * N_EACH; i++) {
        struct mail m;
        struct err err;
        assert_int_equal(mailbox_wait(mb, &m, PATIENCE_MS, &err), OK);
        assert_int_equal(m.tag, m.from);
        assert_memory_equal(m.data, &next[m.from], sizeof *next);
        next[m.from]++;
        mail_free(&m);
    }
    for (int i = 0; i < N_SENDERS; i++) pthread_join(senders[i].thread, NULL);
    expect_nothing(mb);
    mailbox_close(mb);
    router_close(o);
}

static void *answer_pings(void *arg)
{
    struct member *s = arg;
    struct mailbox *mb = router_mailbox(s->router, s->self, NULL, NULL);
    struct mail m;
    struct err err;
    for (int i = 0; i < N_PINGS && mailbox_wait(mb, &m, PATIENCE_MS, &err) == OK; i++) {
        mailbox_post(mb, m.from, m.tag, m.data, m.n_bytes, &err);
        mail_free(&m);
    }
    mailbox_close(mb);
    return NULL;
}

static void a_sleeper_wakes_for_every_message(void **state)
{
    (void)state;
    struct router *o = router_open(2);
    struct mailbox *mb = router_mailbox(o, 0, NULL, NULL);
    struct member other = {.router = o, .self = 1};
    pthread_create(&other.thread, NULL, answer_pings, &other);
    for (int i = 0; i < N_PINGS; i++) {
        struct mail m;
        struct err err;
        mailbox_post(mb, 1, 1, &i, sizeof i, &err);
        assert_int_equal(mailbox_wait(mb, &m, i % 2 ? -1 : PATIENCE_MS, &err), OK);
        assert_memory_equal(m.data, &i, sizeof i);
        mail_free(&m);
    }
    pthread_join(other.thread, NULL);
    mailbox_close(mb);
    router_close(o);
}

/* ---- the hook ---- */

static void count_call(void *arg)
{
    atomic_fetch_add((atomic_int *)arg, 1);
}

static void the_hook_is_called_once_a_message_and_never_after_the_close(void **state)
{
    (void)state;
    atomic_int n_calls = 0;
    struct router *o = router_open(3);
    struct mailbox *sleeper = router_mailbox(o, 0, count_call, &n_calls), *writer = router_mailbox(o, 1, NULL, NULL);
    post_text(writer, 0, 1, "a");
    post_text(writer, 0, 1, "b");
    post_text(writer, 2, 1, "not for the sleeper");
    assert_int_equal(atomic_load(&n_calls), 2);
    struct mail m = {.from = 1, .to = 0, .tag = 1};
    struct err err;
    assert_int_equal(router_deliver(o, &m, &err), OK);
    assert_int_equal(atomic_load(&n_calls), 3);
    mailbox_close(router_mailbox(o, 0, NULL, NULL)); /* another mailbox of the same peer leaves the hook alone */
    post_text(writer, 0, 1, "c");
    assert_int_equal(atomic_load(&n_calls), 4);
    mailbox_close(sleeper);
    post_text(writer, 0, 1, "d");
    assert_int_equal(atomic_load(&n_calls), 4);
    mailbox_close(writer);
    router_close(o);
}

/* Whether the hook's argument is gone is what a sanitizer sees. */
static void closing_waits_for_a_hook_that_runs(void **state)
{
    (void)state;
    struct router *o = router_open(2);
    struct member sender = {.router = o, .self = 1};
    pthread_create(&sender.thread, NULL, send_numbers, &sender);
    for (int i = 0; i < 1000; i++) {
        atomic_int *n_calls = test_calloc(1, sizeof *n_calls);
        mailbox_close(router_mailbox(o, 0, count_call, n_calls));
        test_free(n_calls);
    }
    pthread_join(sender.thread, NULL);
    router_close(o);
}

/* ---- routes ---- */

static void messages_to_a_routed_peer_go_to_its_gate_under_their_own_name(void **state)
{
    (void)state;
    struct router *o = router_open(4);
    struct mailbox *a = router_mailbox(o, 0, NULL, NULL), *gate = router_mailbox(o, 2, NULL, NULL);
    struct mailbox *gone = router_mailbox(o, 3, NULL, NULL);
    post_text(a, 3, 1, "before the route");
    router_route(o, 3, 2);
    router_route(o, 2, 2);
    post_text(a, 3, 1, "for 3");
    post_text(a, 2, 1, "for 2");
    expect_text(gate, 0, 3, 1, "for 3");
    expect_text(gate, 0, 2, 1, "for 2");
    expect_text(gone, 0, 3, 1, "before the route");
    expect_nothing(gone);
    router_route(o, 3, 3);
    post_text(a, 3, 1, "home again");
    expect_text(gone, 0, 3, 1, "home again");
    mailbox_close(a);
    mailbox_close(gate);
    mailbox_close(gone);
    router_close(o);
}

static void a_message_from_elsewhere_keeps_its_sender(void **state)
{
    (void)state;
    struct router *o = router_open(2), *none = NULL;
    struct mailbox *a = router_mailbox(o, 0, NULL, NULL);
    struct mailbox *far = router_mailbox(o, 1, NULL, NULL);
    struct mail m;
    struct err err;
    post_text(far, 1, 5, "from afar");
    assert_int_equal(mailbox_poll(far, &m, &err), OK);
    m.to = 0;
    assert_int_equal(router_deliver(o, &m, &err), OK);
    assert_null(m.data); /* taken */
    expect_text(a, 1, 0, 5, "from afar");
    m = (struct mail){.to = 9};
    assert_int_equal(router_deliver(o, &m, &err), E_FAIL);
    mailbox_close(a);
    mailbox_close(far);
    router_close(o);
    router_close(none);
    mailbox_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_says_whom_it_is_from_and_what_it_is),
        cmocka_unit_test(an_empty_message_is_a_message),
        cmocka_unit_test(messages_outlive_their_sender_and_wait_for_their_receiver),
        cmocka_unit_test(a_peer_that_is_not_there_is_refused),
        cmocka_unit_test(a_wait_ends_in_time),
        cmocka_unit_test(a_queue_grows_and_keeps_its_order),
        cmocka_unit_test(many_senders_at_once_each_keep_their_order),
        cmocka_unit_test(a_sleeper_wakes_for_every_message),
        cmocka_unit_test(the_hook_is_called_once_a_message_and_never_after_the_close),
        cmocka_unit_test(closing_waits_for_a_hook_that_runs),
        cmocka_unit_test(messages_to_a_routed_peer_go_to_its_gate_under_their_own_name),
        cmocka_unit_test(a_message_from_elsewhere_keeps_its_sender),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
