/* mailbox.h -- messages between peers: post, poll, wait. One interface for threads and for ranks.
 *
 *   coordinator ── router (queues of this process) ── worker threads of this process
 *                     │
 *                  bridge thread: the only one that calls MPI on rank 0
 *                     │
 *                  mail_mpi ══ MPI ══ mail_mpi ── the worker of another rank (its own thread calls MPI)
 *
 * A message is a tag and bytes, whose meaning wire.h defines. Messages from one peer to another arrive in the order in
 * which they were posted, each exactly once. Posting copies and never blocks. A mailbox belongs to the one thread that
 * uses it.
 */
#ifndef PROTO_MAILBOX_H
#define PROTO_MAILBOX_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "proto/err.h"

struct mail { /* the receiver owns it: mail_free */
    int from, to, tag;
    size_t n_bytes;
    uint8_t *data;
};

static inline void mail_free(struct mail *m) /* NULL and zeroed are fine */
{
    if (!m) return;
    free(m->data);
    *m = (struct mail){0};
}

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

#endif
