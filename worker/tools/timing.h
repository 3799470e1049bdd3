/* timing.h -- timing on a machine that others use too: what is timed should have its cores to itself, and the median
 * of the rounds counts. */
#ifndef WORKER_TOOLS_TIMING_H
#define WORKER_TOOLS_TIMING_H

/* Seconds that fn takes on n_threads that never sleep. A try that lost its cores to others is repeated; if every try
 * did, the one that lost least counts. A result of fn other than 0 ends it and is returned; *took is then not set. */
int timing_take(int (*fn)(void *arg), void *arg, int n_threads, double *took);

/* Sorts x[n]. */
double timing_median(double *x, int n);

#endif
