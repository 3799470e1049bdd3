#include "kernels/pool.h"

#include <assert.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <xmmintrin.h>

#include "kernels/now.h"

/* A barrier that sleeps costs 6 to 25 us (two machines), one that spins 0.05 to 0.4. Threads of a pass come within a
 * few us of each other, so spinning for as long as a sleep costs meets nearly every barrier, and never more than
 * doubles a wait. */
enum { SPIN_NS = 20000, PAUSES_A_LOOK = 16, CACHE_LINE = 64 };

#define MXCSR_DEFAULT 0x1f80u /* round to nearest, denormals kept, no traps: the arithmetic contract */

/* A word that threads wait to see changed. Sleepers are counted, so that a change that finds none makes no system call.
 */
struct signal {
    _Alignas(CACHE_LINE) atomic_uint word;
    atomic_uint n_sleepers;
};

struct pool {
    int n_threads;
    bool spin;
    struct signal run;     /* counts runs */
    struct signal barrier; /* counts barriers passed */
    _Alignas(CACHE_LINE) atomic_int n_arrived;
    void (*fn)(void *arg, int i_thread); /* of the current run; NULL: go home */
    void *arg;
    struct thread {
        struct pool *pool;
        pthread_t id;
        int i_thread;
    } threads[]; /* [n_threads]; the first is the caller and has no id */
};

static void signal_raise(struct signal *s)
{
    atomic_fetch_add(&s->word, 1);
    if (atomic_load(&s->n_sleepers) > 0) syscall(SYS_futex, &s->word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

static bool signal_spin(struct signal *s, unsigned seen)
{
    long long start = now_ns();
    do {
        for (int i = 0; i < PAUSES_A_LOOK; i++) {
            if (atomic_load_explicit(&s->word, memory_order_acquire) != seen) return true;
            _mm_pause();
        }
    } while (now_ns() - start < SPIN_NS);
    return false;
}

/* Returns when the word is no longer `seen`. A raise between the count and the sleep is safe either way: it finds the
 * count, or the kernel finds the word changed (all four operations are sequentially consistent). */
static void signal_wait(struct signal *s, unsigned seen, bool spin)
{
    if (spin && signal_spin(s, seen)) return;
    atomic_fetch_add(&s->n_sleepers, 1);
    while (atomic_load(&s->word) == seen) syscall(SYS_futex, &s->word, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
    atomic_fetch_sub(&s->n_sleepers, 1);
}

static void *thread_main(void *arg)
{
    const struct thread *t = arg;
    struct pool *pool = t->pool;
    _mm_setcsr(MXCSR_DEFAULT); /* a thread inherits its creator's */
    for (unsigned n_seen = 0;; n_seen++) {
        signal_wait(&pool->run, n_seen, pool->spin);
        if (!pool->fn) return NULL;
        pool->fn(pool->arg, t->i_thread);
        pool_barrier(pool);
    }
}

struct pool *pool_open(int n_threads, bool spin)
{
    assert(n_threads >= 1);
    size_t size = sizeof(struct pool) + (size_t)n_threads * sizeof(struct thread);
    struct pool *pool = aligned_alloc(CACHE_LINE, (size + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE);
    if (!pool) return NULL;
    *pool = (struct pool){.n_threads = 1, .spin = spin};
    for (int i = 1; i < n_threads; i++) {
        struct thread *t = &pool->threads[i];
        *t = (struct thread){.pool = pool, .i_thread = i};
        if (pthread_create(&t->id, NULL, thread_main, t) != 0) {
            pool_close(pool);
            return NULL;
        }
        pool->n_threads++; /* the started ones: what pool_close has to fetch back; none reads it before the first run */
    }
    return pool;
}

void pool_close(struct pool *pool)
{
    if (!pool) return;
    pool->fn = NULL;
    signal_raise(&pool->run);
    for (int i = 1; i < pool->n_threads; i++) pthread_join(pool->threads[i].id, NULL);
    free(pool);
}

int pool_threads(const struct pool *pool)
{
    return pool->n_threads;
}

void pool_run(struct pool *pool, void (*fn)(void *arg, int i_thread), void *arg)
{
    unsigned callers = _mm_getcsr();
    _mm_setcsr(MXCSR_DEFAULT);
    pool->fn = fn;
    pool->arg = arg;
    if (pool->n_threads > 1) signal_raise(&pool->run);
    fn(arg, 0);
    pool_barrier(pool); /* the run's last: when it opens, nobody touches fn or arg again */
    _mm_setcsr(callers);
}

void pool_barrier(struct pool *pool)
{
    if (pool->n_threads == 1) return;
    unsigned seen = atomic_load(&pool->barrier.word);
    if (atomic_fetch_add(&pool->n_arrived, 1) == pool->n_threads - 1) {
        atomic_store(&pool->n_arrived, 0); /* before the word: whoever sees the word may arrive anew */
        signal_raise(&pool->barrier);
    } else {
        signal_wait(&pool->barrier, seen, pool->spin);
    }
}
