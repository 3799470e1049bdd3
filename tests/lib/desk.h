/* desk.h -- real workers as threads of this process; the test sits at the coordinator's desk and writes every message.
 *
 *   desk_open ──▶ desk_post ... ──▶ desk_next: the workers start ──▶ post, next ... ──▶ desk_close: Quit
 *
 * What is posted before the first desk_next is all there when a worker first looks, behind its Welcome: what it does with
 * messages that came together is no matter of luck, nor what it does after a few passes (desk_look_away). A message that does
 * not come within a minute fails the test; nothing here depends on how long anything takes.
 */
#ifndef TESTS_LIB_DESK_H
#define TESTS_LIB_DESK_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/kernels.h"
#include "proto/layout.h"
#include "proto/wire.h"

#define DESK_ROOT 0x5eed5eed5eed5eedULL /* h[0] of every history */

struct desk_config { /* borrowed until desk_close */
    const char *big; /* NULL: no verifier */
    int tp, pp;      /* 0: 1 */
    enum drafter drafter;
    const char *little;
    uint32_t n_slots, n_ctx;
    const struct kernels *kernels; /* NULL: the fastest */
    bool unwelcome;                /* no Welcome is posted: the test says what comes instead */
};

struct desk;
struct desk *desk_open(const struct desk_config *c);

void desk_post(struct desk *d, int peer, const struct message *m);
void desk_post_bytes(struct desk *d, int peer, int tag, const void *data, size_t n_bytes);

/* When the peer comes to this in its queue it sees no message, once: a worker that has work then does one pass. */
void desk_look_away(struct desk *d, int peer);

/* The next answer, and who sent it (from may be NULL). Hello and Ready are looked at, not shown. Borrowed until the next
 * call. */
const struct message *desk_next(struct desk *d, int *from);

/* Quit to one peer, and waits until its worker_run has returned: its code. Like every owner of a collective, the desk
 * breaks that of a shard which is gone. */
int desk_quit(struct desk *d, int peer);
const char *desk_why(const struct desk *d, int peer); /* the error of a worker that has returned */

/* Quit to all that are left. Fails the test if one returned an error that desk_quit did not see, or was not ready, or if a
 * message was left unread, on either side. */
void desk_close(struct desk *d);
/* Where that cannot be expected. */
void desk_abandon(struct desk *d);

#endif
