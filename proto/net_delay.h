/* net_delay.h -- an emulated network: it delays messages between the coordinator and its workers.
 *
 *   router_deliver ──▶ net_delay_put: held until due ──a thread that sleeps until then──▶ the queue of `to`
 *
 *   handed over ── delay + jitter ──▶ but not before the message in front of it is due ── bytes / rate ──▶ due
 *
 * A worker has two links, to the coordinator and from it, with the same path; messages of a link keep their order.
 * Links between workers are not delayed, nor are those whose path is zero. The module is a part of rank 0's router,
 * through which all messages of the coordinator pass, and reads that rank's clock only. It does not read the messages,
 * only their sizes.
 */
#ifndef PROTO_NET_DELAY_H
#define PROTO_NET_DELAY_H

#include <stdbool.h>

#include "proto/layout.h"
#include "proto/mailbox.h"

struct net_path {                 /* one way; zero: no delay */
    uint64_t delay_ns, jitter_ns; /* jitter: the most that is added, drawn uniformly for each message */
    uint64_t bits_per_s;          /* 0: bytes take no time */
};

struct net {
    struct net_path to[2]; /* by enum role: between the coordinator and the workers of this role */
    bool changes;          /* net_delay_change may be called: links without a delay are emulated too */
    /* Tests: a virtual clock, with net_delay_arrive in place of the thread. NULL: this machine's. */
    uint64_t (*now_ns)(void *arg);
    void *now_arg;
};

bool net_path_is_zero(const struct net_path *p);

/* ---- a link; pure ---- */

struct net_link {
    struct net_path path;
    uint64_t seed, n_messages, last_due_ns; /* seed: jitter follows from it and the number of the message */
};

/* When a message handed over now is due. */
uint64_t net_link_due(struct net_link *l, uint64_t now_ns, size_t n_bytes);

/* ---- all of them; thread-safe ---- */

struct net_sink { /* where messages arrive: takes m. False: no memory. Called under a lock: it must not call back */
    bool (*put)(void *arg, const struct mail *m);
    void *arg;
};

struct net_delay;
int net_delay_open(struct net_delay **out, const struct layout *l, const struct net *net, const struct net_sink *sink,
                   struct err *err);
void net_delay_close(struct net_delay *d); /* NULL is fine; frees what is held */

/* Whether the message goes over an emulated link. */
bool net_delay_has(const struct net_delay *d, const struct mail *m);
/* Takes such a message. False: no memory. */
bool net_delay_put(struct net_delay *d, const struct mail *m);
/* From now on messages take these paths; net.changes. What is held stays so long, and a link keeps its order. */
void net_delay_change(struct net_delay *d, const struct net *net);
/* When the last of the messages to and from a worker that are held now is due; 0: none is held. */
uint64_t net_delay_due_ns(struct net_delay *d, int peer);
/* What is due arrives, in order. */
void net_delay_arrive(struct net_delay *d);
/* What is held arrives at once, in order, and nothing is held from here on. */
void net_delay_end(struct net_delay *d);

#endif
