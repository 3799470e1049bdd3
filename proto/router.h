/* router.h -- the queues of one process: a queue for each peer, and mailboxes over them.
 *
 *   mailbox_post ──▶ the queue of `to`, or of the gate that `to` is routed to ──▶ mailbox_poll, mailbox_wait
 *             └──▶ net_delay.h ──▲        where a network is emulated
 *
 * The router is thread-safe and outlives its mailboxes; it owns the messages that were not taken. Several mailboxes may
 * share a peer: each message goes to one of them. A wait polls for a few microseconds before it sleeps. Posting fails
 * only if there is no memory or no such peer.
 */
#ifndef PROTO_ROUTER_H
#define PROTO_ROUTER_H

#include "proto/mailbox.h"
#include "proto/net_delay.h"

struct router;
struct router *router_open(int n_peers);
void router_close(struct router *o); /* undelivered messages are freed */

/* `wake` (NULL: none) is called after a message for this peer was queued, by the posting thread and under the queue's
 * lock, so it must not call the router: uv_async_send for the coordinator's loop, which polls and never waits. Once the
 * mailbox is closed, `wake` is not running and is not called again. Returns NULL: no memory. */
struct mailbox *router_mailbox(struct router *o, int self, void (*wake)(void *), void *wake_arg);

/* What a mailbox's post does, for threads without one. */
int router_post(struct router *o, int from, int to, int tag, const void *data, size_t n_bytes, struct err *err);

/* Queues a message that came from another rank: takes m. The bridge calls it. */
int router_deliver(struct router *o, struct mail *m, struct err *err);

/* From now on messages to `peer` go into the queue of `gate`, with their `to` unchanged; the bridge reads it. */
void router_route(struct router *o, int peer, int gate);

/* Delays messages between the coordinator and the workers of `l` (net_delay.h). Called before the first message, at
 * most once. */
int router_emulate(struct router *o, const struct layout *l, const struct net *net, struct err *err);
/* Another network from now on, where the one emulated so far has net.changes. */
void router_change(struct router *o, const struct net *net);
/* When the last of the messages to and from a worker that the emulated network holds is due; 0: it holds none. */
uint64_t router_due_ns(struct router *o, int peer);
/* Tests with a virtual clock: what is due arrives. */
void router_arrive(struct router *o);
/* The job is over: what is on its way arrives, and nothing is delayed any more. */
void router_hurry(struct router *o);

#endif
