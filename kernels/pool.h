/* pool.h -- the threads of one worker.
 *
 * A pass is one pool_run: every thread runs the same function and waits for the others at barriers. The caller is
 * thread 0. Threads spin briefly, then sleep; with `spin` false they sleep at once (if there are more threads than
 * cores on this host). Between runs an idle pool sleeps and takes no CPU time.
 */
#ifndef KERNELS_POOL_H
#define KERNELS_POOL_H

#include <stdbool.h>

struct pool;

/* NULL: threads cannot be created. n_threads >= 1; with 1 there are no other threads, and barriers cost nothing. */
struct pool *pool_open(int n_threads, bool spin);
void pool_close(struct pool *pool);
int pool_threads(const struct pool *pool);

/* Runs fn(arg, i_thread) on every thread and returns when all have. Not reentrant. */
void pool_run(struct pool *pool, void (*fn)(void *arg, int i_thread), void *arg);

/* Inside a run: returns when every thread has called it; what was written before it is visible after it. */
void pool_barrier(struct pool *pool);

/* The part [*from, *to) of n items that thread i of n_threads takes: even, contiguous, fixed. */
static inline void pool_part(int n, int i_thread, int n_threads, int *from, int *to)
{
    *from = (int)((long long)n * i_thread / n_threads);
    *to = (int)((long long)n * (i_thread + 1) / n_threads);
}

#endif
