/* The emulated network of the options: what the router is told, how outputs are marked, and that Quit does not wait. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "coordinator/cli/network.h"
#include "coordinator/job.h"
#include "proto/wire.h"

static const struct {
    const char *why;
    struct net_delays delay;
    float jitter_ms, mbit_per_s;
    struct net_path verifier, drafter;
    const char *line, *json; /* "": no network is emulated */
} rows[] = {
    {"none is asked for", {0, 0, false}, 0, 0, {0}, {0}, "", "{}"},
    {"the drafter is beside the coordinator",
     {20, 0, false},
     0,
     0,
     {20000000, 0, 0},
     {0},
     "emulated network: 20 ms each way\n",
     "{\"network\": {\"delay_ms\": 20.0, \"jitter_ms\": 0.0, \"mbit_per_s\": 0.0}}"},
    {"jitter and rate are those of every link that is emulated",
     {20, 2.5f, true},
     5,
     100,
     {20000000, 5000000, 100000000},
     {2500000, 5000000, 100000000},
     "emulated network: 20 ms each way, 2.5 ms to the drafter, jitter 5 ms, 100 Mbit/s\n",
     "{\"network\": {\"delay_ms\": 20.0, \"jitter_ms\": 5.0, \"mbit_per_s\": 100.0, \"drafter_delay_ms\": 2.5}}"},
    {"a rate alone",
     {0, 0, false},
     0,
     .25f,
     {0, 0, 250000},
     {0},
     "emulated network: 0 ms each way, 0.25 Mbit/s\n",
     "{\"network\": {\"delay_ms\": 0.0, \"jitter_ms\": 0.0, \"mbit_per_s\": 0.25}}"},
    {"a tenth is a tenth",
     {.1f, 0, false},
     0,
     0,
     {100000, 0, 0},
     {0},
     "emulated network: 0.1 ms each way\n",
     "{\"network\": {\"delay_ms\": 0.1, \"jitter_ms\": 0.0, \"mbit_per_s\": 0.0}}"},
    {"only the drafter is far",
     {0, 7, true},
     0,
     0,
     {0},
     {7000000, 0, 0},
     "emulated network: 0 ms each way, 7 ms to the drafter\n",
     "{\"network\": {\"delay_ms\": 0.0, \"jitter_ms\": 0.0, \"mbit_per_s\": 0.0, \"drafter_delay_ms\": 7.0}}"},
};
enum { N_ROWS = sizeof rows / sizeof *rows };

static struct options options_of(size_t i)
{
    return (struct options){
        .net_delay = rows[i].delay, .net_jitter_ms = rows[i].jitter_ms, .net_mbit_per_s = rows[i].mbit_per_s};
}

static bool same_path(const struct net_path *a, const struct net_path *b)
{
    return a->delay_ns == b->delay_ns && a->jitter_ns == b->jitter_ns && a->bits_per_s == b->bits_per_s;
}

static void the_router_is_told_what_the_options_say(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_ROWS; i++) {
        const struct options o = options_of(i);
        const struct net net = network_of(&o);
        if (network_is_emulated(&o) != (*rows[i].line != 0) || !same_path(&net.to[ROLE_VERIFIER], &rows[i].verifier) ||
            !same_path(&net.to[ROLE_DRAFTER], &rows[i].drafter))
            fail_msg("%s", rows[i].why);
    }
}

static void outputs_are_marked_with_it_and_only_then(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_ROWS; i++) {
        const struct options o = options_of(i);
        char *line = NULL;
        size_t n;
        FILE *to = open_memstream(&line, &n);
        network_line(&o, to);
        fclose(to);
        json_t *object = json_object();
        assert_int_equal(network_json(&o, object), 0);
        char *json = json_dumps(object, JSON_REAL_PRECISION(9));
        if (strcmp(line, rows[i].line) || strcmp(json, rows[i].json)) fail_msg("%s: %s%s", rows[i].why, line, json);
        json_decref(object);
        free(json);
        free(line);
    }
    const struct options o = options_of(1);
    assert_int_not_equal(network_json(&o, NULL), 0); /* memory was out before */
}

static uint64_t stands_still(void *arg)
{
    (void)arg;
    return 0;
}

static void workers_hear_at_once_that_the_job_is_over(void **state)
{
    (void)state;
    const struct options o = options_of(2);
    struct net net = network_of(&o);
    struct layout l;
    struct err err;
    net.now_ns = stands_still;
    assert_int_equal(layout_make(&l, 1, 1, 1, 2, 1, DRAFTER_LITTLE, &err), OK);
    struct router *router = router_open(l.n_peers);
    assert_int_equal(router_emulate(router, &l, &net, &err), OK);
    job_quit(router, &l, OK, "");
    for (int peer = PEER_COORDINATOR + 1; peer < l.n_peers; peer++) {
        struct mailbox *mb = router_mailbox(router, peer, NULL, NULL);
        struct mail m;
        assert_int_equal(mailbox_poll(mb, &m, &err), OK);
        assert_int_equal(m.tag, TAG_QUIT);
        mail_free(&m);
        mailbox_close(mb);
    }
    router_close(router);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_router_is_told_what_the_options_say),
        cmocka_unit_test(outputs_are_marked_with_it_and_only_then),
        cmocka_unit_test(workers_hear_at_once_that_the_job_is_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
