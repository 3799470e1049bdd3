/* doctor_ranks.h -- what `doctor` says of ranks, slots, MPI, launcher, binding and threads. */
#ifndef WORKER_TOOLS_DOCTOR_RANKS_H
#define WORKER_TOOLS_DOCTOR_RANKS_H

#include "worker/tools/report.h"

/* Also counts r's ranks and threads. */
void doctor_ranks(struct report *r);

#endif
