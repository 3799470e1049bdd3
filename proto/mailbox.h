/* mailbox.h -- messages between peers: post, poll, wait. One interface, whatever lies between.
 *
 *   coordinator ── router (queues of this process, mail_local) ── worker threads of this process
 *                     │
 *                  bridge thread: the only one that calls MPI on rank 0
 *                     │
 *                  mail_mpi ══ MPI ══ mail_mpi ── the worker of another rank (its own thread calls MPI)
 *
 * A message is a tag and bytes (wire.h gives them meaning). Messages from one peer to another arrive in the order in
 * which they were posted, each exactly once. Posting copies and never blocks. A mailbox belongs to the one thread that
 * uses it.
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

enum { MAIL_NONE = -1 }; /* poll and wait: OK a message, MAIL_NONE no message (in time), else an error code */

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

struct router; /* thread-safe; outlives its mailboxes */
struct router *router_open(int n_peers);
void router_close(struct router *o); /* undelivered messages are freed */

/* `wake`, if any, is called (by the posting thread, under the queue's lock: it must not touch the router) after a
 * message for this peer was queued: uv_async_send for the coordinator's loop, which polls and never waits. Once
 * closed, the mailbox's hook is not running and is not called again. NULL: memory. */
struct mailbox *mail_local_open(struct router *o, int self, void (*wake)(void *), void *wake_arg);

/* Queues a message that came from elsewhere: takes m. What the bridge calls. */
int router_deliver(struct router *o, struct mail *m, struct err *err);

/* Messages to `peer` from now on go into the queue of `gate`, with their `to` kept: how the bridge sees them. */
void router_route(struct router *o, int peer, int gate);

/* ---- mail_mpi.c: point to point over MPI, on a communicator of its own. The only file that calls it. ---- */

struct mpi_world {
    int rank, size;
    char library[128]; /* first line of MPI_Get_library_version: what was really loaded */
};

/* True under a launcher (OMPI_COMM_WORLD_SIZE, PMIX_RANK, PMI_RANK or SLURM_PROCID is set); then *rank and *size are
 * the launcher's own count, -1 where it does not say. Never calls MPI. */
int mpi_launched(int *rank, int *size);

/* MPI_Init_thread(FUNNELED) by the calling thread, which is then the only one that may call MPI. Raises the TCP
 * eager limit and sets yield before, unless the user set them; errors return. Compares the size with the launcher's
 * count (two MPIs mixed up: E_LAYOUT). */
int mpi_start(struct mpi_world *w, struct err *err);
void mpi_finish(void);
/* Ends every rank now (MPI_Abort): the way out when a peer is lost. Does not return. */
void mpi_abort(int code) __attribute__((noreturn));

/* What rank 0 decides for all, so that another rank needs nothing but its own model. */
struct launch_config {
    struct layout layout; /* n_ranks 0: there is no job */
    bool requantize;      /* the little model (engine.h) */
    /* Rank 0 has no file of that model: the first shard, the drafter sends what its own says (Metadata). */
    bool send_big_metadata, send_little_metadata;
};

/* Collectives, each rank calls one of them once after mpi_start. Rank 0 leads (the bridge does it): NULL sends the
 * others home. The others join: they receive the launch configuration, and *comm becomes a communicator of the
 * shards of their stage, in order of shard (an MPI_Comm *, owned here until mpi_finish), or NULL where the rank is
 * no shard. */
int mpi_lead(const struct launch_config *t, struct err *err);
int mpi_join(struct launch_config *t, void **comm, struct err *err);

/* l is copied. Closing flushes what was posted, for at most 2 s. NULL: memory. */
struct mailbox *mail_mpi_open(const struct layout *l, int self);

/* ---- mpi_bridge.c: rank 0's thread between its router and MPI ---- */

struct mpi_bridge;
/* Starts the thread, which calls mpi_start; returns when that is done, with *w set. */
int mpi_bridge_open(struct mpi_bridge **out, struct mpi_world *w, struct err *err);
/* From here on messages to peers of other ranks go through the bridge; back-off from spinning to 200 us. */
int mpi_bridge_run(struct mpi_bridge *p, struct router *o, const struct launch_config *t, struct err *err);
/* Sends the other ranks home if mpi_bridge_run never was; flushes what is queued, then MPI_Finalize on the bridge's
 * thread. An error that the bridge met is returned here; it also reaches the coordinator as a Fail message from the
 * bridge, so nothing waits for ever. After an error nothing is flushed or finalized (a lost peer would never
 * answer): what is left is mpi_abort. */
int mpi_bridge_close(struct mpi_bridge *p, struct err *err);

#endif
