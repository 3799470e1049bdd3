/* mpi_survey.h -- what the ranks of a launch are, and what a message between rank 0 and each of them takes.
 *
 *   rank 0: mpi_survey ──▶ facts of every rank, then with each in turn: short messages there and back, long ones
 *   others: mpi_join_survey takes their part
 */
#ifndef PROTO_MPI_SURVEY_H
#define PROTO_MPI_SURVEY_H

#include <stdint.h>

#include "proto/err.h"
#include "proto/hosts.h"

struct mpi_rank {
    char host[64];
    int cores, host_cores; /* that this rank may use; that its host has */
    int threads;           /* that its worker computes with, as this rank says; 0: it does not */
    char transport[32];    /* what its messages to rank 0 go through */
    double round_trip_us;  /* the least, of a short message */
    double bytes_per_s;    /* of long ones, one way */
    /* What each rank says of its host; 0: another rank of it does. */
    uint64_t memory_bytes;
    double read_bytes_per_s, products_per_s;
};

/* Rank 0 calls it in place of mpi_lead, after which the others end. ranks: [size of the world]; the first is rank 0,
 * whose caller has set what it says of its host. E_PEER: a rank does not take its part within within_s (0: for ever). */
int mpi_survey(struct mpi_rank *ranks, int within_s, struct err *err);
/* The other ranks' part. own: what this rank says of its host. */
int mpi_survey_answer(const struct mpi_rank *own, struct err *err);

/* Hosts of a survey, in order of ranks, each with the best that its ranks have. Returns how many (<= HOSTS_MOST). */
int mpi_survey_hosts(struct host out[HOSTS_MOST], const struct mpi_rank *ranks, int n_ranks);

#endif
