/* percentile.h -- of a list of measurements. Pure. */
#ifndef COORDINATOR_CLI_PERCENTILE_H
#define COORDINATOR_CLI_PERCENTILE_H

#include <stddef.h>

/* Sorts list[n], n > 0. Between the two nearest, as numpy's; 50: the median. */
double percentile(double *list, size_t n, double percent);

#endif
