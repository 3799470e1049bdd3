/* router.h -- the queues of one process: a queue for each peer, and mailboxes over them.
 *
 *   mailbox_post ──▶ the queue of `to`, or of the gate that `to` is routed to ──▶ mailbox_poll, mailbox_wait
 *             └──▶ net_delay.h ──▲        where a network is emulated
 *
 * The router is thread-safe and outlives its mailboxes; it owns the messages that nobody took. Several mailboxes may
 * share a peer; what one takes, another does not see. A wait looks for a few microseconds before it sleeps. Posting
 * fails only where memory ends or the peer does not exist.
 */
#ifndef PROTO_ROUTER_H
#define PROTO_ROUTER_H

#include "proto/mailbox.h"
#include "proto/net_delay.h"

struct router;
struct router *router_open(int n_peers);
void router_close(struct router *o); /* undelivered messages are freed */

/* `wake`, if any, is called (by the posting thread, under the queue's lock: it must not touch the router) after a
 * message for this peer was queued: uv_async_send for the coordinator's loop, which polls and never waits. Once
 * closed, the mailbox's hook is not running and is not called again. NULL: memory. */
struct mailbox *router_mailbox(struct router *o, int self, void (*wake)(void *), void *wake_arg);

/* Queues a message that came from elsewhere: takes m. What the bridge calls. */
int router_deliver(struct router *o, struct mail *m, struct err *err);

/* Messages to `peer` from now on go into the queue of `gate`, with their `to` kept: how the bridge sees them. */
void router_route(struct router *o, int peer, int gate);

/* Messages between the coordinator and the workers of `l` take time from here on (net_delay.h). Called before the first
 * message, at most once. */
int router_emulate(struct router *o, const struct layout *l, const struct net *net, struct err *err);
/* Tests, whose net has a clock of theirs: what is due arrives. */
void router_arrive(struct router *o);
/* The job is over: what is on its way arrives, and nothing takes time any more. */
void router_hurry(struct router *o);

#endif
