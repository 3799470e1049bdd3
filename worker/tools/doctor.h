/* doctor.h -- `pilotfish doctor`: what this machine, its launcher and its MPI offer, and whether the models fit.
 *
 * One line for each finding: "ok", "warn" (it works, but slower than it could; the line has the remedy), "bad" (it
 * cannot work). It changes nothing, starts no worker, and takes about a second. Under a launcher only rank 0 prints.
 */
#ifndef WORKER_TOOLS_DOCTOR_H
#define WORKER_TOOLS_DOCTOR_H

#include <stdio.h>

#include "proto/err.h"
#include "worker/tools/doctor_input.h"

/* OK, or the code of the first "bad" line: E_LAYOUT (ranks, memory), E_MODEL (a file), E_CHECK (kernels that
 * differ). */
int doctor_run(const struct doctor_input *in, FILE *out, struct err *err);

#endif
