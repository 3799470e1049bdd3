/* doctor_ranks.h -- the lines of `doctor` about ranks, slots, MPI, launcher, binding and threads. */
#ifndef WORKER_TOOLS_DOCTOR_RANKS_H
#define WORKER_TOOLS_DOCTOR_RANKS_H

#include "worker/tools/report.h"

/* Also sets the counts of ranks and threads in r. */
void doctor_ranks(struct report *r);

#endif
