/* doctor.h -- what this machine, its launcher and its MPI offer, and whether the models fit: `pilotfish doctor`.
 *
 * One line a finding: "ok", "warn" (it works, but slower than it could; the line says what to do), "bad" (it cannot
 * work). It changes nothing, starts no MPI and no worker; it takes about a second. Under a launcher rank 0 speaks for
 * all.
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
