/* mailbox.h -- letters between peers: post, poll, wait. One interface, whatever lies between.
 *
 *   coordinator ── office (queues of this process, mail_local) ── worker threads of this process
 *                     │
 *                  pump thread: the only one that calls MPI on rank 0
 *                     │
 *                  mail_mpi ══ MPI ══ mail_mpi ── the worker of another rank (its own thread calls MPI)
 *
 * A letter is a tag and bytes (wire.h gives them meaning). Letters from one peer to another arrive in the order in which
 * they were posted, each exactly once. Posting copies and never blocks. A mailbox belongs to the one thread that uses it.
 */
#ifndef PROTO_MAILBOX_H
#define PROTO_MAILBOX_H

#include <stddef.h>
#include <stdint.h>

#include "proto/err.h"
#include "proto/layout.h"

struct mail { /* the receiver owns it: mail_free */
    int from, to, tag;
    size_t n_bytes;
    uint8_t *data;
};
void mail_free(struct mail *m); /* NULL and zeroed are fine */

struct mailbox;
struct mailbox_ops {
    int (*post)(struct mailbox *mb, int to, int tag, const void *data, size_t n_bytes, struct err *err);
    int (*poll)(struct mailbox *mb, struct mail *out, struct err *err);
    int (*wait)(struct mailbox *mb, struct mail *out, int wait_ms, struct err *err);
    void (*close)(struct mailbox *mb);
};
struct mailbox {
    const struct mailbox_ops *ops;
    int self; /* the peer whose mailbox this is */
};

/* 0 or an error code. */
static inline int mailbox_post(struct mailbox *mb, int to, int tag, const void *data, size_t n_bytes, struct err *err)
{
    return mb->ops->post(mb, to, tag, data, n_bytes, err);
}

enum { MAIL_NONE = -1 }; /* poll and wait: OK a letter, MAIL_NONE no letter (in time), else an error code */

static inline int mailbox_poll(struct mailbox *mb, struct mail *out, struct err *err)
{
    return mb->ops->poll(mb, out, err);
}

/* wait_ms < 0: for ever. */
static inline int mailbox_wait(struct mailbox *mb, struct mail *out, int wait_ms, struct err *err)
{
    return mb->ops->wait(mb, out, wait_ms, err);
}

static inline void mailbox_close(struct mailbox *mb)
{
    if (mb) mb->ops->close(mb);
}

/* ---- mail_local.c: the queues of one process ---- */

struct office; /* thread-safe; outlives its mailboxes */
struct office *office_open(int n_peers);
void office_close(struct office *o); /* undelivered letters are freed */

/* `wake`, if any, is called (by the posting thread, under the queue's lock: it must not touch the office) after a letter
 * for this peer was queued: uv_async_send for the coordinator's loop, which polls and never waits. Once closed, the
 * mailbox's hook is not running and is not called again. NULL: memory. */
struct mailbox *mail_local_open(struct office *o, int self, void (*wake)(void *), void *wake_arg);

/* Queues a letter that came from elsewhere: takes m. What the pump calls. */
int office_deliver(struct office *o, struct mail *m, struct err *err);

/* Letters to `peer` from now on go into the queue of `gate`, with their `to` kept: how the pump sees them. */
void office_route(struct office *o, int peer, int gate);

/* ---- mail_mpi.c: point to point over MPI, on a communicator of its own. The only file that calls it. ---- */

struct mpi_world {
    int rank, size;
    char library[128]; /* first line of MPI_Get_library_version: what was really loaded */
};

/* True under a launcher (OMPI_COMM_WORLD_SIZE, PMIX_RANK, PMI_RANK or SLURM_PROCID is set); then *rank and *size are the
 * launcher's own count, -1 where it does not say. Never calls MPI. */
int mpi_launched(int *rank, int *size);

/* MPI_Init_thread(FUNNELED) by the calling thread, which is then the only one that may call MPI. Raises the TCP eager limit
 * and sets yield before, unless the user set them; errors return. Compares the size with the launcher's count (two MPIs
 * mixed up: E_LAYOUT). */
int mpi_start(struct mpi_world *w, struct err *err);
void mpi_finish(void);
/* Ends every rank now (MPI_Abort): the way out when a peer is lost. Does not return. */
void mpi_abort(int code) __attribute__((noreturn));

/* What rank 0 decides for all, so that another rank needs nothing but its own model. */
struct terms {
    struct layout layout;       /* n_ranks 0: there is no job */
    bool requantize;            /* the little model (engine.h) */
    bool tell_big, tell_little; /* rank 0 has no file: the first shard, the drafter sends the keys of its own (Vocab) */
};

/* Collectives, each rank calls one of them once after mpi_start. Rank 0 leads (the pump does it): NULL sends the others
 * home. The others join: they hear the terms, and *comm becomes a communicator of the shards of their stage, in order of
 * shard (an MPI_Comm *, owned here until mpi_finish), or NULL where the rank is no shard. */
int mpi_lead(const struct terms *t, struct err *err);
int mpi_join(struct terms *t, void **comm, struct err *err);

/* l is copied. Closing flushes what was posted, for at most 2 s. NULL: memory. */
struct mailbox *mail_mpi_open(const struct layout *l, int self);

/* ---- mail_pump.c: rank 0's thread between its office and MPI ---- */

struct pump;
/* Starts the thread, which calls mpi_start; returns when that is done, with *w set. */
int pump_open(struct pump **out, struct mpi_world *w, struct err *err);
/* From here on letters to peers of other ranks go through the pump; back-off from spinning to 200 us. */
int pump_run(struct pump *p, struct office *o, const struct terms *t, struct err *err);
/* Sends the other ranks home if pump_run never was; flushes what is queued, then MPI_Finalize on the pump's thread. An error that the pump met is returned here; it also
 * reaches the coordinator as a Fail letter from the pump, so nothing waits for ever. After an error nothing is flushed or
 * finalized (a lost peer would never answer): what is left is mpi_abort. */
int pump_close(struct pump *p, struct err *err);

#endif
