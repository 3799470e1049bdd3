/* Shards as threads: every shard ends up with every column, and nothing else is touched. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdlib.h>

#include "tests/lib/gathers.h"
#include "worker/engine/collective.h"

enum { MAX_N = 4, ROUNDS = 200 };

struct shard {
    struct collective *c;
    int rc, n_wrong;
    struct err err;
};

static void *gather_all_rows(void *arg)
{
    struct shard *s = arg;
    for (int i = 0; i < ROUNDS && s->rc == OK; i++) s->rc = gathers_run(s->c, i, &s->n_wrong, &s->err);
    return NULL;
}

static void *gather_until_it_fails(void *arg)
{
    struct shard *s = arg;
    while (s->rc == OK) s->rc = gathers_run(s->c, 0, &s->n_wrong, &s->err);
    return NULL;
}

static void team_start(struct shard *shards, pthread_t *threads, int n, void *(*run)(void *))
{
    struct collective *c[MAX_N];
    struct err err;
    assert_int_equal(collective_local_open(c, n, &err), OK);
    for (int i = 0; i < n; i++) {
        shards[i] = (struct shard){.c = c[i]};
        assert_int_equal(c[i]->self, i);
        assert_int_equal(c[i]->n, n);
    }
    for (int i = 0; i < n; i++) assert_int_equal(pthread_create(&threads[i], NULL, run, &shards[i]), 0);
}

static void gathers_ragged_and_empty_parts_of_1_to_4_shards(void **state)
{
    (void)state;
    for (int n = 1; n <= MAX_N; n++) {
        struct shard shards[MAX_N];
        pthread_t threads[MAX_N];
        team_start(shards, threads, n, gather_all_rows);
        for (int i = 0; i < n; i++) pthread_join(threads[i], NULL);
        for (int i = 0; i < n; i++) {
            assert_int_equal(shards[i].rc, OK);
            assert_int_equal(shards[i].n_wrong, 0);
            collective_close(shards[i].c);
        }
    }
}

static void a_broken_team_fails_instead_of_waiting(void **state)
{
    (void)state;
    struct shard shards[MAX_N];
    pthread_t threads[MAX_N];
    struct collective *c[MAX_N];
    struct err err;
    /* Shard 3 never comes. */
    assert_int_equal(collective_local_open(c, MAX_N, &err), OK);
    for (int i = 0; i < 3; i++) {
        shards[i] = (struct shard){.c = c[i]};
        assert_int_equal(pthread_create(&threads[i], NULL, gather_until_it_fails, &shards[i]), 0);
    }
    collective_local_break(c[3]);
    for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
    for (int i = 0; i < 3; i++) assert_int_equal(shards[i].rc, E_PEER);
    int n_wrong;
    assert_int_equal(gathers_run(c[3], 0, &n_wrong, &err), E_PEER);
    for (int i = 0; i < MAX_N; i++) collective_close(c[i]);
}

static void a_team_at_work_can_be_broken(void **state)
{
    (void)state;
    struct shard shards[MAX_N];
    pthread_t threads[MAX_N];
    team_start(shards, threads, MAX_N, gather_until_it_fails);
    collective_local_break(shards[2].c);
    for (int i = 0; i < MAX_N; i++) pthread_join(threads[i], NULL);
    for (int i = 0; i < MAX_N; i++) {
        assert_int_equal(shards[i].rc, E_PEER);
        assert_int_equal(shards[i].n_wrong, 0);
        collective_close(shards[i].c);
    }
    collective_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gathers_ragged_and_empty_parts_of_1_to_4_shards),
        cmocka_unit_test(a_broken_team_fails_instead_of_waiting),
        cmocka_unit_test(a_team_at_work_can_be_broken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
