/* mail_mpi.h -- MPI in this process: its start and end, the launch configuration, point-to-point messages.
 *
 *   mpi_start ──▶ mpi_lead (rank 0), mpi_join (the others) ──▶ mail_mpi_open ... mailbox_close ──▶ mpi_finish
 *                                                                      └── a peer is lost ──▶ mpi_abort
 *
 * mail_mpi.c is the only file that calls MPI for messages, on its own communicator (engine/collective_mpi.c gathers on
 * the stage's). In each process only the thread that called mpi_start calls MPI: on rank 0 the bridge's (mpi_bridge.h),
 * on other ranks the worker's.
 */
#ifndef PROTO_MAIL_MPI_H
#define PROTO_MAIL_MPI_H

#include "proto/err.h"
#include "proto/launch_config.h"
#include "proto/mailbox.h"
#include "proto/mpi_survey.h"

struct mpi_world {
    int rank, size;
    char library[128]; /* first line of MPI_Get_library_version: what was really loaded */
};

/* MPI_Init_thread(FUNNELED). Before it, raises the TCP eager limit and sets yield, unless the user set them. Errors
 * return. Compares the size with the launcher's count; they differ if two MPIs are mixed up: E_LAYOUT.
 * Where not all ranks are there until mpi_lead or mpi_join is done, within start_s (0: for ever; other ranks than 0:
 * within twice that), one is stopped or cannot be reached: this process says so and ends, with E_PEER. */
int mpi_start(struct mpi_world *w, int start_s, struct err *err);
void mpi_finish(void); /* nothing, the second time */
/* Ends every rank now (MPI_Abort): the way out when a peer is lost. Does not return. */
void mpi_abort(int code) __attribute__((noreturn));

/* The host of a rank, once mpi_start is done. Borrowed until mpi_finish. */
const char *mpi_host_of(int rank);

/* Each rank calls one of the two once after mpi_start. Rank 0 leads (the bridge calls it), and waits for nobody; t
 * NULL: the others end without a job, after their part in a survey if ranks is not NULL (mpi_survey.h). The others
 * join: they receive the launch configuration, and *comm becomes a communicator of the shards of their stage, in order
 * of shard (an MPI_Comm *); NULL: there is no job. That and the configuration's texts are owned here until mpi_finish.
 * Rank 0 gets a Loading of no bytes from each before it waits for those of its stage. */
int mpi_lead(const struct launch_config *t, struct mpi_rank *ranks, struct err *err);
int mpi_join(struct launch_config *t, void **comm, struct err *err);
/* In place of mpi_join where rank 0 has no job but a survey: own is this rank's part. */
int mpi_join_survey(const struct mpi_rank *own, struct err *err);

/* After mpi_join: a communicator of the ranks that have the same shard, in order of stage (an MPI_Comm *); NULL: there
 * is one stage. Owned here until mpi_finish. */
void *mpi_stages(void);

/* Of MPI_COMM_WORLD the *n ranks on this host, ascending, this one with them. Owned here until mpi_finish. */
const int *mpi_ranks_here(int *n);

/* Where the launch configuration has time_reads: of the workers' ranks on this host, the sum of what each gives; and a
 * barrier of them. Ranks that joined only. */
int mpi_host_sum(int n);
void mpi_host_barrier(void *unused);

/* l is copied. Closing flushes what was posted, for at most 2 s. Returns NULL: no memory. */
struct mailbox *mail_mpi_open(const struct layout *l, int self);

#endif
