/* doctor_ranks.h -- the lines of `doctor` about ranks, slots, MPI, launcher, binding and threads. */
#ifndef WORKER_TOOLS_DOCTOR_RANKS_H
#define WORKER_TOOLS_DOCTOR_RANKS_H

#include "proto/layout.h"
#include "worker/tools/report.h"

/* Also sets the counts of ranks and threads in r. */
void doctor_ranks(struct report *r);

/* Who is on which rank. E_LAYOUT: there are too few or too many, which doctor_ranks says. */
int doctor_layout(const struct doctor_input *in, struct layout *out, struct err *err);

#endif
