/* heartbeat.h -- which workers are alive, by what has come from them. Pure: times are given.
 *
 *   Ready ──▶ heard ◀── any message ── silence of 2 s, or of 10 of its blocks ──▶ lost
 *
 * Every worker gets a Ping every PING_MS (alive.h), and answers it whatever it does. If the coordinator itself was
 * stopped for a while, its silence is nobody's: all deadlines begin anew. A message that an emulated network still
 * holds is a sign of life when it is due. Workers in this process cannot be lost.
 *
 * Between two ranks of a group a message can be lost although the coordinator hears both: then all workers say that
 * they have nothing to do, and no text goes on. After STALL_S that is an error too. With several groups of
 * verifiers it is found once the other groups rest, too.
 */
#ifndef COORDINATOR_HEARTBEAT_H
#define COORDINATOR_HEARTBEAT_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/err.h"
#include "proto/layout.h"
#include "proto/wire.h"

enum {
    DEADLINE_S = 2,
    DEADLINE_BLOCKS = 10,
    BLOCK_MOST_S = 6, /* no block takes longer */
    STALL_S = 10,
    LOOK_MS = 200,  /* between two looks */
    AWAY_MS = 1000, /* a look that is so late: this process was stopped */
    RTTS_MOST = 16,
    LOADS_LEAST = 4,      /* of them some are answered at once, while no pass keeps the worker busy */
    LOAD_LEAST_NS = 50000 /* what a load adds on a link slow enough to tell */
};

struct round_trips { /* the last ones */
    unsigned n;
    uint64_t ns[RTTS_MOST];
};

struct heartbeat_worker {
    bool begun, lost;
    uint64_t heard_ns;
    int tag;                             /* of its last message */
    struct pong pong;                    /* the last one, without its text; n_pongs 0: none yet */
    char draft_plan[PART_PLAN_MOST + 1]; /* that text; "": none */
    unsigned n_pongs;
    struct round_trips bare, loaded; /* loaded: of Pings with PING_LOAD bytes */
};

struct heartbeat {
    struct layout layout;
    struct heartbeat_worker *workers; /* [n_peers] owns */
    uint64_t looked_ns;
    uint64_t back_ns;  /* this process was away until then: no Ping from before measures a round trip */
    uint64_t moved_ns; /* the last message that was neither Ping nor Pong, to or from a worker */
    uint64_t busy_ns;  /* the last look that found a worker with something to do */
};

int heartbeat_init(struct heartbeat *h, const struct layout *l, struct err *err);
void heartbeat_free(struct heartbeat *h); /* zeroed is fine */

void heartbeat_begin(struct heartbeat *h, int peer, uint64_t now_ns);
void heartbeat_heard(struct heartbeat *h, int peer, const struct message *m, uint64_t now_ns);
void heartbeat_sent(struct heartbeat *h, uint64_t now_ns);
/* Messages from or to this peer are on their way until then. */
void heartbeat_due(struct heartbeat *h, int peer, uint64_t due_ns);

/* heartbeat_look said so: nothing is expected of it, and nothing of it counts any more. */
void heartbeat_lose(struct heartbeat *h, int peer);
bool heartbeat_is_lost(const struct heartbeat *h, int peer); /* false: there is no such peer, too */

enum { NOBODY_LOST = -1, ALL_STALLED = PEER_COORDINATOR };
/* The worker that is lost. working: texts are unfinished; if no worker works on them, ALL_STALLED. */
int heartbeat_look(struct heartbeat *h, bool working, uint64_t now_ns);

/* Of the verifiers, one that has done fewer passes than another of its group; NOBODY_LOST: there is none. */
int heartbeat_behind(const struct heartbeat *h);

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
/* Bits a second on the way to it, at least, from what a load adds to the round trip. 0: not known, or too many to tell.
 */
uint64_t heartbeat_bits_per_s(const struct heartbeat *h, int peer);

#endif
