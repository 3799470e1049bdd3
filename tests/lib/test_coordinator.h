/* test_coordinator.h -- real workers as threads of this process; the test is the coordinator and writes every message.
 *
 *   coordinator_open ──▶ _post ... ──▶ _next: the workers start ──▶ _post, _next ... ──▶ _close: Quit
 *
 * What is posted before the first coordinator_next is all there when a worker first looks, behind its Welcome: what it
 * does with messages that came together is no matter of luck, nor what it does after a few passes
 * (coordinator_look_away). A message that does not come within a minute fails the test; nothing here depends on how
 * long anything takes.
 */
#ifndef TESTS_LIB_TEST_COORDINATOR_H
#define TESTS_LIB_TEST_COORDINATOR_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/kernels.h"
#include "proto/layout.h"
#include "proto/wire.h"

#define COORDINATOR_ROOT 0x5eed5eed5eed5eedULL /* prefix_hash[0] of every history */

struct coordinator_config { /* borrowed until coordinator_close */
    const char *big;        /* NULL: no verifier */
    int tp, pp;             /* 0: 1 */
    int stage;              /* only its workers are there, and the test is the others; 0: all are */
    bool drops_nothing;
    enum drafter drafter;
    const char *little;
    uint32_t n_slots, n_ctx;
    const struct kernels *kernels; /* NULL: the fastest */
    bool unwelcome;                /* no Welcome is posted: the test says what comes instead */
};

struct test_coordinator;
struct test_coordinator *coordinator_open(const struct coordinator_config *c);

int coordinator_drafter(const struct test_coordinator *d); /* their peers */
int coordinator_leader(const struct test_coordinator *d);

void coordinator_post(struct test_coordinator *d, int peer, const struct message *m);
void coordinator_post_bytes(struct test_coordinator *d, int peer, int tag, const void *data, size_t n_bytes);

/* When the peer comes to this in its queue it sees no message before it has begun a pass: a worker that has work then does
 * one. */
void coordinator_look_away(struct test_coordinator *d, int peer);

/* The next answer, and who sent it (from may be NULL). Hello and Ready are looked at, not shown. Borrowed until the
 * next call. */
const struct message *coordinator_next(struct test_coordinator *d, int *from);

/* The next message to a peer that is not there, but signs of life. Borrowed likewise. */
const struct message *coordinator_read(struct test_coordinator *d, int peer);

/* Quit to one peer, and waits until its worker_run has returned: its code. Like every owner of a collective, the
 * coordinator breaks that of a shard which is gone. */
int coordinator_quit(struct test_coordinator *d, int peer);
const char *coordinator_why(const struct test_coordinator *d, int peer); /* the error of a worker that has returned */

/* Quit to all that are left. Fails the test if one returned an error that coordinator_quit did not see, or was not
 * ready, or if a message was left unread, on either side. */
void coordinator_close(struct test_coordinator *d);
/* Where that cannot be expected. */
void coordinator_abandon(struct test_coordinator *d);

#endif
