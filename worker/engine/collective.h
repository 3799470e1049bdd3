/* collective.h -- the shards of one stage exchange their parts. It only gathers: nothing is summed across shards, so
 * the bits do not depend on how many there are (kernels/ARITHMETIC.md, Tensor parallel).
 *
 * One call, made by thread 0 of every shard of the stage, in the same order on every shard.
 */
#ifndef WORKER_ENGINE_COLLECTIVE_H
#define WORKER_ENGINE_COLLECTIVE_H

#include <stdbool.h>
#include <stddef.h>

#include "proto/err.h"

struct collective {
    int n, self; /* shards; which one this is */
    /* Rows of buf are ld floats apart. This shard has filled columns [from[self], from[self+1]) of each of n_rows
     * rows; on return all columns [from[0], from[n]) are filled. from ascends; parts may be empty. The rest of buf
     * is untouched. */
    int (*gather)(struct collective *c, float *buf, size_t ld, int n_rows, const int *from, struct err *err);
    void (*close)(struct collective *c);
    /* Set by the user. Called again and again while a gather waits, on its thread: for which shard (below 0: for one of
     * them). An error ends the gather. Between ranks, and by forward_device.c while devices gather. */
    int (*waits)(void *arg, int shard, struct err *err);
    void *waits_arg;
    unsigned n_gathers; /* begun */
    bool broken; /* a gather has failed, and what it had begun may still write into its buffers: the process must end */
};

static inline void collective_close(struct collective *c)
{
    if (c) c->close(c);
}

/* Shards as threads of one process: fills out[n]; each user closes its own. All shards must go on calling until all are
 * done. collective_local_break wakes shards that wait for one that will not come, and makes their calls fail. */
int collective_local_open(struct collective **out, int n, struct err *err);
void collective_local_break(struct collective *any);

/* Shards as ranks; comm points to the MPI_Comm of the stage's shards, which proto/mail_mpi.c owns (mpi_join). */
int collective_mpi_open(struct collective **out, void *comm, struct err *err);

#endif
