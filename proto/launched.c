/* launched.c -- what the environment says of a launcher, before and without MPI. */
#include <stddef.h>
#include <stdlib.h>

#include "proto/mailbox.h"

static const char *first_set(const char *const *names)
{
    for (; *names; names++)
        if (getenv(*names)) return getenv(*names);
    return NULL;
}

int mpi_launched(int *rank, int *size)
{
    static const char *const ranks[] = {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "SLURM_PROCID", NULL};
    static const char *const sizes[] = {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_NTASKS", NULL};
    const char *r = first_set(ranks), *s = first_set(sizes);
    *rank = r ? atoi(r) : -1;
    *size = s ? atoi(s) : -1;
    return r || getenv("OMPI_COMM_WORLD_SIZE");
}
