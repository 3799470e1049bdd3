/* timing.h -- timing on a machine that others use too: a thing is timed with the cores to itself, and the median of
 * rounds counts. */
#ifndef WORKER_TOOLS_TIMING_H
#define WORKER_TOOLS_TIMING_H

/* Seconds that fn takes on n_threads that never sleep. A try that lost its cores to others is repeated; where all did,
 * the one that lost least counts. What fn returns, if not 0, ends it: *took is set only with 0. */
int timing_take(int (*fn)(void *arg), void *arg, int n_threads, double *took);

/* Sorts x[n]. */
double timing_median(double *x, int n);

#endif
