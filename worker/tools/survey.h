/* survey.h -- what the ranks of a launch are, with what the first of each host says of it: memory, how fast its cores
 * read together, and multiply. For `doctor` and `plan --measure`.
 */
#ifndef WORKER_TOOLS_SURVEY_H
#define WORKER_TOOLS_SURVEY_H

#include "proto/mail_mpi.h"

/* Every rank calls it; it starts MPI, which the caller finishes. On rank 0 *ranks becomes what all are ([world->size],
 * the caller frees it), on others NULL. threads: of this rank's worker; 0: the cores that it may use. start_s: see
 * mpi_start, and mpi_survey. */
int survey_ranks(struct mpi_world *world, int threads, int start_s, struct mpi_rank **ranks, struct err *err);

/* Without a launcher. Returns 1. */
int survey_this_host(struct host out[HOSTS_MOST]);

#endif
