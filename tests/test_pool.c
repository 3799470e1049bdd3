#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <xmmintrin.h>

#include "kernels/pool.h"

enum { MAX_THREADS = 4 };

struct relay {
    struct pool *pool;
    int n_threads, n_rounds;
    int steps[MAX_THREADS]; /* plain ints: the barriers alone make this right */
    int n_wrong[MAX_THREADS];
};

/* Each round every thread counts on, meets the others, reads all counts, and meets them again. */
static void relay_run(void *arg, int i_thread)
{
    struct relay *r = arg;
    for (int round = 0; round < r->n_rounds; round++) {
        r->steps[i_thread]++;
        pool_barrier(r->pool);
        for (int i = 0; i < r->n_threads; i++)
            if (r->steps[i] != r->steps[0]) r->n_wrong[i_thread]++;
        pool_barrier(r->pool);
    }
}

static void barriers_show_what_was_written(void **state)
{
    (void)state;
    for (int n = 1; n <= MAX_THREADS; n++)
        for (int spin = 0; spin < 2; spin++) {
            struct relay r = {.pool = pool_open(n, spin), .n_threads = n};
            assert_non_null(r.pool);
            assert_int_equal(pool_threads(r.pool), n);
            int total = 0;
            for (int run = 0; run < 300; run++) { /* runs of every length, none and one included */
                r.n_rounds = run % 7;
                total += r.n_rounds;
                pool_run(r.pool, relay_run, &r);
                for (int i = 0; i < n; i++) assert_int_equal(r.steps[i], total);
            }
            for (int i = 0; i < n; i++) assert_int_equal(r.n_wrong[i], 0);
            pool_close(r.pool);
        }
}

static void a_pool_that_never_ran_closes(void **state)
{
    (void)state;
    for (int i = 0; i < 50; i++) pool_close(pool_open(1 + i % MAX_THREADS, i % 2));
    pool_close(NULL);
}

struct tiny {
    volatile float a;
    float got[MAX_THREADS];
};

static void tiny_run(void *arg, int i_thread)
{
    struct tiny *t = arg;
    t->got[i_thread] = t->a * 0.5f;
}

/* A caller that flushes denormals neither hands this to the threads nor loses it. */
static void threads_keep_denormals(void **state)
{
    (void)state;
    unsigned before = _mm_getcsr();
    _mm_setcsr(before | 0x8040);
    struct tiny t = {.a = 0x1p-126f};
    struct pool *pool = pool_open(MAX_THREADS, false);
    pool_run(pool, tiny_run, &t);
    pool_close(pool);
    unsigned after = _mm_getcsr();
    _mm_setcsr(before);
    assert_int_equal(after & 0x8040, 0x8040);
    for (int i = 0; i < MAX_THREADS; i++) assert_true(t.got[i] == 0x1p-127f);
}

static void parts_cover_everything_once(void **state)
{
    (void)state;
    for (int n = 0; n < 40; n++)
        for (int n_threads = 1; n_threads <= 9; n_threads++) {
            int next = 0, from, to;
            for (int i = 0; i < n_threads; i++) {
                pool_part(n, i, n_threads, &from, &to);
                assert_int_equal(from, next);
                assert_in_range(to - from, n / n_threads, n / n_threads + 1);
                next = to;
            }
            assert_int_equal(next, n);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(barriers_show_what_was_written),
        cmocka_unit_test(a_pool_that_never_ran_closes),
        cmocka_unit_test(threads_keep_denormals),
        cmocka_unit_test(parts_cover_everything_once),
    };
    return cmocka_run_group_tests_name("pool", tests, NULL, NULL);
}
