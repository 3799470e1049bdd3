/* bench_step.h -- `pilotfish bench step`: how long a pass takes, by rows and by context, beside what the machine
 * allows in the same second.
 *
 * A round times a plain read loop, bare products, and each pass once; ratios are taken within a round, and the median
 * of the rounds is shown. The limit of a pass of n rows is max(T(1), n * t): T(1) is one row's time, t a row's
 * multiply-adds over 0.59 of the bare rate (what the best kernel of this arithmetic reaches on a Zen 4; its other work
 * takes the rest). On a device big's passes are timed alone: the two loops are the CPU's (scripts/gpu-check speed has a
 * card's).
 */
#ifndef WORKER_TOOLS_BENCH_STEP_H
#define WORKER_TOOLS_BENCH_STEP_H

#include <stdbool.h>
#include <stdio.h>

#include "kernels/kernels.h"
#include "proto/err.h"
#include "worker/device_pick.h"
#include "worker/watch.h"

struct bench_step_input {       /* all borrowed */
    const char *plan;           /* of big (proto/plan.h); NULL: the plain one */
    const char *big, *little;   /* little: as a drafter computes it, one row; NULL: not timed */
    bool requantize;            /* little's weights, as in a drafter */
    int draft_vocab;            /* ids that little may propose; 0: all */
    const int *rows, *contexts; /* rows of a pass, each at least 1; positions before them */
    int n_rows, n_contexts;
    int n_threads, n_rounds;
    const struct kernels *kernels;
    struct device_wish device; /* of big */
    bool json;                 /* a line of JSON for each figure, instead of the table */
    struct watch watch;
};

/* With little, and cores for both: `beside` is a pass's time while the other model computes, over its time alone; roles
 * on cores of their own still share a memory. */
int bench_step(const struct bench_step_input *in, FILE *out, struct err *err);

#endif
