/* deadline.h -- how long a rank may be silent. Each sends a sign of life every PING_MS, whatever it does, but not
 * within a block of a pass: so the deadline is 2 s, or 10 of its blocks, whichever is longer.
 *
 * Before it is Ready it sends one when MPI has started, with its Hello, and while it loads every PING_MS in which some
 * of the weights came; a file's keys, a device take their time without any. So the deadline is --start-wait then, of
 * each rank for itself: a load may take as long as it likes. MPI's start may take as long; others than rank 0 wait for
 * that twice as long, so that rank 0 says it.
 *
 * A look at the clock that comes AWAY_MS late: this process itself was stopped. The silence before it is nobody's.
 */
#ifndef PROTO_DEADLINE_H
#define PROTO_DEADLINE_H

#include <stdint.h>

enum {
    PING_MS = 500,
    DEADLINE_S = 2,
    DEADLINE_BLOCKS = 10,
    BLOCK_MOST_S = 6, /* no block takes longer */
    AWAY_MS = 1000
};

/* block_us: the other's longest time between two looks at its messages. */
static inline uint64_t deadline_ns(uint32_t block_us)
{
    const uint64_t us = UINT64_C(1000), s = UINT64_C(1000000000);
    uint64_t block = block_us * us, most = BLOCK_MOST_S * s, least = DEADLINE_S * s;
    uint64_t blocks = DEADLINE_BLOCKS * (block < most ? block : most);
    return blocks > least ? blocks : least;
}

static inline uint64_t deadline_since(uint64_t then_ns, uint64_t now_ns) /* 0: it is to come */
{
    return now_ns > then_ns ? now_ns - then_ns : 0;
}

#endif
