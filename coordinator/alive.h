/* alive.h -- the heartbeat of a job's workers (heartbeat.h): the Pings to them, and the words when one is lost.
 *
 * A thread of its own sends a Ping every PING_MS to every worker that is ready: also while the coordinator's loop does
 * not run, at an idle prompt or while nobody reads its output, so no worker takes the coordinator for lost.
 */
#ifndef COORDINATOR_ALIVE_H
#define COORDINATOR_ALIVE_H

#include <stdio.h>

#include "coordinator/heartbeat.h"
#include "coordinator/workers.h"
#include "proto/policy.h"
#include "proto/router.h"

struct alive;
/* Borrows router and workers until alive_close. */
int alive_open(struct alive **out, struct router *router, const struct workers *workers, struct err *err);
void alive_close(struct alive *a); /* NULL is fine */

/* heartbeat_await. */
void alive_await(struct alive *a, int peer, int start_s);
/* The worker is ready: its deadlines begin, and it gets its first Ping. */
void alive_begin(struct alive *a, int peer);
void alive_heard(struct alive *a, int peer, const struct message *m);
void alive_sent(struct alive *a, int peer); /* something that is no Ping */

/* E_PEER: what is lost, in words (heartbeat_look). */
int alive_look(struct alive *a, const enum heartbeat_awaits *awaits, struct heartbeat_found *found, struct err *err);
/* A worker is lost: it gets no more Pings, and what it sends does not count any more. */
void alive_lose(struct alive *a, int peer);
bool alive_is_lost(const struct alive *a, int peer);
/* Adds to the error of a worker which other one it was waiting for, if it was. */
void alive_wrap(const struct alive *a, int peer, struct err *err);

/* Other links: round trips are measured anew. */
void alive_forget_rtts(struct alive *a);
/* Whether they have been: to each drafter that is not lost, and to the leader of each group. */
bool alive_has_rtts(const struct alive *a);
/* The round trips to the drafter, if there is one, and to the leader of this group, together. */
uint64_t alive_rtt_ns(const struct alive *a, int group);
/* What a byte takes on the way to each of the two, as far as it is known. */
struct draft_policy_bytes alive_bytes_ns(const struct alive *a, int group);
uint64_t alive_worker_rtt_ns(const struct alive *a, int peer); /* the round trip to it; 0: not measured yet */
/* By its last Pong: its time in passes, and since it was ready; 0: none came. */
void alive_worker_times(const struct alive *a, int peer, uint64_t *busy_us, uint64_t *ready_us);
void alive_list(const struct alive *a, FILE *to); /* a line for each worker that has answered: its round trip */

#endif
