#include "worker/tools/survey.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "worker/memory.h"
#include "worker/tools/limits.h"

static const double SECONDS = 0.2; /* of each loop */

static bool is_first_of_host(void)
{
    static const char *const names[] = {"OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "PMI_LOCAL_RANK",
                                        "SLURM_LOCALID"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *local = getenv(names[i]);
        if (local) return !strcmp(local, "0");
    }
    return true;
}

static struct mpi_rank own_rank(int threads)
{
    if (threads <= 0) threads = memory_cores();
    if (!is_first_of_host()) return (struct mpi_rank){.threads = threads};
    uint64_t there_is = memory_available();
    if (there_is == UINT64_MAX) there_is = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    return (struct mpi_rank){.threads = threads,
                             .memory_bytes = there_is,
                             .read_bytes_per_s = limits_read(memory_cores(), SECONDS),
                             .products_per_s = limits_multiply(memory_cores(), SECONDS)};
}

int survey_ranks(struct mpi_world *world, int threads, int start_s, struct mpi_rank **ranks, struct err *err)
{
    const struct mpi_rank own = own_rank(threads); /* the other ranks of the host wait for this one, in MPI's start */
    *ranks = NULL;
    int rc = mpi_start(world, start_s, err);
    if (rc != OK) return rc;
    if (world->rank > 0) return mpi_join_survey(&own, err);
    *ranks = calloc((size_t)world->size, sizeof **ranks);
    if (!*ranks) return err_set(err, E_LAYOUT, "out of memory");
    (*ranks)[0] = own;
    return mpi_lead(NULL, *ranks, err);
}

int survey_this_host(struct host out[HOSTS_MOST])
{
    struct mpi_rank own = own_rank(0);
    own.cores = memory_cores();
    gethostname(own.host, sizeof own.host - 1);
    return mpi_survey_hosts(out, &own, 1);
}
