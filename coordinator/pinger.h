/* pinger.h -- a thread that sends a Ping every PING_MS to every worker that is ready: also while the coordinator's
 * loop does not run, at an idle prompt or while nobody reads its output, so no worker takes it for lost.
 */
#ifndef COORDINATOR_PINGER_H
#define COORDINATOR_PINGER_H

#include "proto/layout.h"
#include "proto/router.h"

enum { PING_MS = 500 };

struct pinger;
/* Borrows the router until pinger_close. */
int pinger_open(struct pinger **out, struct router *router, const struct layout *l, struct err *err);
void pinger_close(struct pinger *p); /* NULL is fine */

/* From now on this peer gets Pings, the first at once. */
void pinger_add(struct pinger *p, int peer);
/* The coordinator has read a Pong. While it reads none, fewer Pings are sent. */
void pinger_read(struct pinger *p);

#endif
