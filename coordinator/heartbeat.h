/* heartbeat.h -- which workers are alive, by what has come from them. Pure: times are given.
 *
 *   awaited ──▶ Hello ──▶ awaited (Welcome) ──▶ Ready ──▶ heard
 *      └───────── silence of a deadline (deadline.h) ─────────┴──▶ lost
 *
 * Every worker gets a Ping every PING_MS (alive.h), and answers it whatever it does. If the coordinator itself was
 * stopped for a while, its silence is nobody's: all deadlines begin anew. A message that an emulated network still
 * holds is a sign of life when it is due. Workers in this process cannot be lost.
 *
 * The ranks of a group send each other signs of life too (worker/roles/links.h). One that misses another says so in its
 * Pongs: if that other still answers the coordinator, the link between the two is lost.
 *
 * Last, a message between two ranks of a group can get lost although all get each other's Pongs. Then no worker of the
 * group has anything to do, and its texts are unfinished: after STALL_S that is an error too, whatever other groups do.
 * The drafter may be busy for other groups: it counts only while the group's texts wait for nothing but its drafts.
 */
#ifndef COORDINATOR_HEARTBEAT_H
#define COORDINATOR_HEARTBEAT_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/err.h"
#include "proto/layout.h"
#include "proto/wire.h"

enum {
    STALL_S = 10,
    LOOK_MS = 200, /* between two looks */
    RTTS_MOST = 16,
    LOADS_LEAST = 4,      /* of them some are answered at once, while no pass keeps the worker busy */
    LOAD_LEAST_NS = 50000 /* what a load adds on a link slow enough to tell */
};

struct round_trips { /* the last ones */
    unsigned n;
    uint64_t ns[RTTS_MOST];
};

struct heartbeat_worker {
    bool begun, lost;                    /* begun: it is Ready */
    uint64_t begun_ns, heard_ns;         /* begun_ns: before Ready, since when it is awaited */
    uint64_t start_ns;                   /* before Ready, how long it may be silent; 0: nothing is expected of it */
    uint64_t moved_ns;                   /* the last message that was neither Ping nor Pong, to or from it */
    int tag;                             /* of its last message; 0: none came */
    struct pong pong;                    /* the last one, without its text; n_pongs 0: none yet */
    char draft_plan[PART_PLAN_MOST + 1]; /* that text; "": none */
    unsigned n_pongs;
    struct round_trips bare, loaded; /* loaded: of Pings with PING_LOAD bytes */
};

struct heartbeat {
    struct layout layout;
    struct heartbeat_worker *workers; /* [n_peers] owns */
    uint64_t looked_ns;
    uint64_t back_ns;              /* this process was away until then: no Ping from before measures a round trip */
    uint64_t busy_ns[GROUPS_MOST]; /* the last look that found a worker of the group with something to do */
};

int heartbeat_init(struct heartbeat *h, const struct layout *l, struct err *err);
void heartbeat_free(struct heartbeat *h); /* zeroed is fine */

/* It starts: until its Hello, or from Welcome until it is Ready, it is silent for start_ns at most. */
void heartbeat_await(struct heartbeat *h, int peer, uint64_t start_ns, uint64_t now_ns);
void heartbeat_begin(struct heartbeat *h, int peer, uint64_t now_ns); /* Ready */
void heartbeat_heard(struct heartbeat *h, int peer, const struct message *m, uint64_t now_ns);
void heartbeat_sent(struct heartbeat *h, int peer, uint64_t now_ns); /* something that is no Ping */
/* Messages from or to this peer are on their way until then. */
void heartbeat_due(struct heartbeat *h, int peer, uint64_t due_ns);

/* heartbeat_look said so: nothing is expected of it, and nothing of it counts any more. */
void heartbeat_lose(struct heartbeat *h, int peer);
bool heartbeat_is_lost(const struct heartbeat *h, int peer); /* false: there is no such peer, too */

/* What the unfinished texts of a group of verifiers wait for: there are none; one of them at least for verifiers; all
 * for the drafter. */
enum heartbeat_awaits { AWAITS_NOTHING, AWAITS_VERDICTS, AWAITS_DRAFTS };

enum heartbeat_loss { LOST_NOTHING, LOST_WORKER, LOST_LINK, LOST_MESSAGE };
struct heartbeat_found {
    enum heartbeat_loss loss;
    int peer;  /* LOST_WORKER: it; LOST_LINK: who hears nothing of `other`; LOST_MESSAGE: of the group that nobody works
                  in, one that has done fewer passes than another, or the leader */
    int other; /* LOST_LINK */
};
/* The first loss there is; of several workers the one that is silent for longest: others may wait for it, in MPI.
 * awaits: of each group; NULL: no texts are unfinished. */
struct heartbeat_found heartbeat_look(struct heartbeat *h, const enum heartbeat_awaits *awaits, uint64_t now_ns);

/* Longer than it may be. */
bool heartbeat_is_silent(const struct heartbeat *h, int peer, uint64_t now_ns);

/* The worker that this one's pass waits for; PEER_COORDINATOR: none. */
int heartbeat_waits_for(const struct heartbeat *h, int peer);

/* What was last heard of a worker, for a message to people. */
struct heartbeat_said {
    char text[160];
};
struct heartbeat_said heartbeat_last(const struct heartbeat *h, int peer, uint64_t now_ns);

/* Other links: what Pings before now have measured does not count any more. */
void heartbeat_forget_rtts(struct heartbeat *h, uint64_t now_ns);
/* The least round trip of the last Pings: what a busy worker adds is not the network's. 0: none yet. */
uint64_t heartbeat_rtt_ns(const struct heartbeat *h, int peer);
/* Whether there is one to each drafter, and to the leader of each group; lost ones give none any more. */
bool heartbeat_has_rtts(const struct heartbeat *h);
/* Bits a second on the way to it, at least, from what a load adds to the round trip. 0: not known, or too many to tell.
 */
uint64_t heartbeat_bits_per_s(const struct heartbeat *h, int peer);

#endif
