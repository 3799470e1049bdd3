/* cluster.h -- the workers of this process: threads for all peers that are in it, or under MPI the rank's own worker.
 *
 * Only this file, main.c, simulator.c and simulate.c see both coordinator and workers; tests start clusters with it
 * too.
 */
#ifndef CLUSTER_H
#define CLUSTER_H

#include <stddef.h>

#include "kernels/kernels.h"
#include "proto/err.h"
#include "proto/launch_config.h"
#include "proto/layout.h"
#include "proto/router.h"
#include "proto/synthetic.h"
#include "worker/device_pick.h"

struct cluster_config { /* borrowed until cluster_join */
    struct launch_config launch;
    const char *big, *little;          /* model files; NULL: none on this rank */
    const struct synthetic *synthetic; /* in place of model files; NULL: none */
    const struct kernels *kernels;
    struct device_wish device, draft_device; /* of the verifiers, and of the drafter; n_before is set here */
    int n_threads;                           /* of each worker; 0: the cores that this process may use */
    size_t draft_memory_bytes;               /* of a leader; see worker_config.h */
    bool drops_nothing;                      /* tests, likewise */
    uint32_t hold_us;                        /* tests, likewise */
    /* Tests: a drafter of their own in place of worker_run. */
    int (*drafter)(void *arg, struct mailbox *mailbox);
    void *drafter_arg;
};

struct cluster;

/* Starts a thread for every worker on this rank 0: all workers in one process, none under MPI. */
int cluster_start(struct cluster **out, const struct cluster_config *config, struct router *router, struct err *err);
/* Waits until every worker has returned: Quit must have been posted. */
void cluster_join(struct cluster *c);

/* Runs the one worker of a rank other than 0. comm: of its stage's shards (mpi_join). Returns after Quit, and
 * rank 0 knows of errors; of E_PEER it does not where it has a text. */
int cluster_run_rank(const struct cluster_config *config, int rank, void *comm, struct err *err);

#endif
