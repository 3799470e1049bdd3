/* clock.h -- this machine's monotonic clock, which only rises, and the pause of a loop that polls.
 *
 * It times waits and measures how long work took. Times of two machines are never compared, and proto decides nothing
 * by times that a message carries.
 */
#ifndef PROTO_CLOCK_H
#define PROTO_CLOCK_H

#include <pthread.h>
#include <stdint.h>
#include <time.h>

static inline uint64_t clock_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static inline uint64_t clock_now_us(void)
{
    return clock_now_ns() / 1000;
}

static inline double clock_now_s(void)
{
    return (double)clock_now_ns() * 1e-9;
}

/* A time of clock_now_ns, for pthread_cond_timedwait on a condition of clock_cond_init. */
static inline struct timespec clock_at_ns(uint64_t ns)
{
    return (struct timespec){.tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000)};
}

/* The time `us` from now, for the same. */
static inline struct timespec clock_after_us(uint64_t us)
{
    return clock_at_ns(clock_now_ns() + us * 1000);
}

/* Its waits do not change when the time of day is set. */
static inline void clock_cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(cond, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

/* Between two polls of what another thread will write. */
static inline void clock_pause(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

#endif
