/* bench_kernels.h -- `pilotfish bench kernels`: how fast the products of each format are, beside what this machine
 * allows now.
 *
 * A product of n rows streams its weights once and multiplies each of them n times. Its time is shown relative to a
 * plain read loop, which bounds few rows, and to bare products, which bound many. The weights are larger than the
 * caches; or, to see the arithmetic alone, one matrix that stays in L2.
 */
#ifndef WORKER_TOOLS_BENCH_KERNELS_H
#define WORKER_TOOLS_BENCH_KERNELS_H

#include <stdbool.h>
#include <stdio.h>

#include "kernels/kernels.h"
#include "proto/err.h"
#include "worker/watch.h"

struct bench_kernels_input { /* all borrowed */
    const struct kernels *kernels;
    const int *rows; /* token rows of a product, each at least 1 */
    int n_rows, n_threads, n_rounds;
    bool json; /* a line of JSON for each figure, instead of the table */
    struct watch watch;
};

int bench_kernels(const struct bench_kernels_input *in, FILE *out, struct err *err);

#endif
