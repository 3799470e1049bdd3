/* links.h -- whether a rank still gets signs of life from the others of its group that it has a link to. Pure: times
 * are given.
 *
 *   links_begin (Ready) ──▶ waits ◀── any sign of life ── silence of a deadline (deadline.h) and a second ──▶ missed
 *
 * A rank that serves sends those others a Pong every PING_MS, and looks at the clock as often or more. One from which
 * nothing came yet gets a single one: it may load for long, and not read meanwhile. A rank reports whom it misses to
 * the coordinator (struct pong), which knows whether that one has been Ready for long enough (heartbeat.h), and finds
 * out whether it is lost itself: a lost rank is named first, for its own deadline is a second shorter. Else the link
 * between the two is lost.
 */
#ifndef WORKER_ROLES_LINKS_H
#define WORKER_ROLES_LINKS_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/layout.h"

enum { LINK_LATER_MS = 1000 };

struct link {
    uint64_t since_ns; /* the last sign of life, or links_begin; 0: there is no link */
    uint32_t block_us; /* as it last said */
    bool heard, told;  /* a sign of life has come; has been sent */
};

struct links { /* zeroed: as it begins */
    uint64_t looked_ns, told_ns;
    struct link of[MAX_PEERS]; /* by peer */
};

/* Peers of two ranks that send each other something. */
bool links_has(const struct layout *l, int a, int b);

/* This rank is Ready. */
void links_begin(struct links *k, const struct layout *l, int self, uint64_t now_ns);
/* The time: called whenever the rank looks at its messages, before it takes one. True: others are to be told that it
 * lives, each for which links_tell says so. */
bool links_look(struct links *k, uint64_t now_ns);
bool links_tell(struct links *k, int peer);
void links_heard(struct links *k, int peer, uint32_t block_us, uint64_t now_ns);
/* The one that is silent for too long, if any; else PEER_COORDINATOR. */
int links_missed(const struct links *k, uint64_t now_ns);

#endif
