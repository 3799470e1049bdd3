/* now.h -- a clock that only rises, in ns: it limits how long a thread spins, and times calibrations. */
#ifndef KERNELS_NOW_H
#define KERNELS_NOW_H

#include <time.h>

static inline long long now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

#endif
