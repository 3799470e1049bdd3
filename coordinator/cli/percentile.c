#include "coordinator/cli/percentile.h"

#include <stdlib.h>

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double percentile(double *list, size_t n, double percent)
{
    double at = (double)(n - 1) * percent / 100;
    size_t low = (size_t)at, high = low + 1 < n ? low + 1 : low;
    qsort(list, n, sizeof *list, by_size);
    return list[low] + (list[high] - list[low]) * (at - (double)low);
}
