#include "worker/tools/timing.h"

#include <stdlib.h>
#include <time.h>

#include "proto/clock.h"

enum { MAX_TRIES = 6 };
static const double lost_most = 0.02; /* of the cores */

static double cpu_seconds(void) /* of all threads */
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

int timing_take(int (*fn)(void *arg), void *arg, int n_threads, double *took)
{
    double least = 2;
    for (int i = 0; i < MAX_TRIES && least > lost_most; i++) {
        double cpu = cpu_seconds(), wall = clock_now_s();
        int rc = fn(arg);
        if (rc) return rc;
        wall = clock_now_s() - wall;
        double lost = 1 - (cpu_seconds() - cpu) / (wall * n_threads);
        if (lost >= least) continue;
        least = lost;
        *took = wall;
    }
    return 0;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double timing_median(double *x, int n)
{
    qsort(x, (size_t)n, sizeof *x, compare);
    return x[n / 2];
}
