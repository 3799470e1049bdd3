/* doctor_input.h -- what `doctor` looks at. */
#ifndef WORKER_TOOLS_DOCTOR_INPUT_H
#define WORKER_TOOLS_DOCTOR_INPUT_H

#include "kernels/kernels.h"
#include "proto/mail_mpi.h"
#include "worker/device_pick.h"

struct doctor_input {         /* all borrowed */
    const char *big, *little; /* model files; NULL: none given */
    /* Whether the two go together; workers know no text. */
    int (*check_vocabularies)(const char *big, const char *little, struct err *err);
    int drafters, groups, tp, pp;          /* at least 1 */
    const char *stage_share, *shard_share; /* lists (layout_read_share); NULL: by bytes, equal */
    int ctx, parallel;                     /* room for `parallel` sequences of `ctx` positions */
    int threads;                           /* of each worker; 0: the cores this process may use */
    struct device_wish device;             /* of the verifiers */
    const struct kernels *kernels; /* what would run here; NULL: kernels_pick found none, and `why` is its reason */
    const char *why;
    const struct mpi_world *world; /* NULL: no launcher, MPI was not started */
    const struct mpi_rank *ranks;  /* [world->size], with a world */
};

#endif
