/* mpi_survey.h -- what the ranks of a launch are, and what a message between rank 0 and each of them takes.
 *
 *   rank 0: mpi_survey ──▶ facts of every rank, then with each in turn: short messages there and back, long ones
 *   others: mpi_join takes their part
 */
#ifndef PROTO_MPI_SURVEY_H
#define PROTO_MPI_SURVEY_H

#include "proto/err.h"

struct mpi_rank {
    char host[64];
    int cores, host_cores; /* that this rank may use; that its host has */
    char transport[32];    /* what its messages to rank 0 go through */
    double round_trip_us;  /* the least, of a short message */
    double bytes_per_s;    /* of long ones, one way */
};

/* Rank 0 calls it in place of mpi_lead, after which the others end. ranks: [size of the world]; the first is rank 0. */
int mpi_survey(struct mpi_rank *ranks, struct err *err);
/* The other ranks' part; mpi_join calls it. */
int mpi_survey_answer(struct err *err);

#endif
