/* 4 ranks. Shards as ranks: teams of 1 to 4 of them gather every awkward shape. */
#include <mpi.h>
#include <stdio.h>

#include "tests/lib/gathers.h"
#include "worker/engine/collective.h"

enum { ROUNDS = 20 };

/* Ranks below `size` are the team; the others wait at the next split. Returns what is wrong, of this rank. */
static int team_gathers(int size, int rank)
{
    MPI_Comm comm;
    struct collective *c = NULL;
    struct err err = {0};
    int n_wrong = 0, rc;
    MPI_Comm_split(MPI_COMM_WORLD, rank < size ? 0 : MPI_UNDEFINED, rank, &comm);
    if (comm == MPI_COMM_NULL) return 0;
    rc = collective_mpi_open(&c, &comm, &err);
    if (rc == OK && (c->n != size || c->self != rank)) n_wrong++;
    for (int i = 0; i < ROUNDS && rc == OK; i++) rc = gathers_run(c, i, &n_wrong, &err);
    if (rc != OK || n_wrong)
        fprintf(stderr, "rank %d of %d: %d floats are wrong, code %d: %s\n", rank, size, n_wrong, rc, err.text);
    collective_close(c);
    MPI_Comm_free(&comm);
    return n_wrong + (rc != OK);
}

int main(int argc, char **argv)
{
    int rank, n, wrong = 0, all_wrong;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &n);
    for (int size = 1; size <= n; size++) wrong += team_gathers(size, rank);
    MPI_Allreduce(&wrong, &all_wrong, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
    if (rank == 0) printf("teams of 1 to %d ranks: %s\n", n, all_wrong ? "wrong" : "every float is right");
    MPI_Finalize();
    return n < 4 || all_wrong;
}
