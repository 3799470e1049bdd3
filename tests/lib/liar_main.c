/* liar MESSAGE FIELD VALUE MODEL -- a rank that lies, as `pilotfish worker --model MODEL` would not; VALUE is 0 to
 * 3: 0, -1, 2^31, NaN.
 *   mpirun -n 1 pilotfish generate --big MODEL ... : -n 1 liar Verdict next 2 MODEL */
#include <stdio.h>
#include <stdlib.h>

#include "proto/mail_mpi.h"
#include "tests/lib/liar.h"
#include "worker/worker.h"

static int run(const struct lie *lie, int i_value, const char *path, struct err *err)
{
    struct mpi_world world;
    struct launch_config launch_config;
    void *comm;
    const char *why;
    struct liar liar = {.lie = NULL};
    int rc = mpi_start(&world, 0, err);
    if (rc == OK) rc = mpi_join(&launch_config, &comm, err);
    if (rc != OK) return rc;
    struct worker_config config = {.layout = launch_config.layout,
                                   .peer = layout_peer(&launch_config.layout, world.rank),
                                   .path = path,
                                   .kernels = kernels_pick(NULL, &why),
                                   .n_threads = 1};
    struct mailbox *mailbox = mail_mpi_open(&launch_config.layout, config.peer);
    if (!mailbox) return err_set(err, E_FAIL, "out of memory");
    rc = liar_open(&liar, mailbox, lie, i_value, err);
    if (rc == OK) worker_run(&config, &liar.base, err); /* what comes of it rank 0 says */
    mailbox_close(mailbox);
    liar_close(&liar);
    mpi_finish();
    return rc;
}

int main(int argc, char **argv)
{
    struct err err = {0};
    const struct lie *lie = argc == 5 ? lie_find(argv[1], argv[2]) : NULL;
    int i_value = lie ? atoi(argv[3]) : -1;
    if (i_value < 0 || i_value >= N_LIES) {
        fprintf(stderr, "usage: liar MESSAGE FIELD VALUE MODEL\n");
        return 2;
    }
    if (run(lie, i_value, argv[4], &err) == OK) return 0;
    fprintf(stderr, "liar: %s\n", err.text);
    return 1;
}
