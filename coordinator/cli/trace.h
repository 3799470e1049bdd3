/* trace.h -- the option --trace: what happens while a text is written, as a file for chrome://tracing and Perfetto.
 *
 *   coordinator   verifies and asks that are on their way or in work, until their answers; drafts that big refuted
 *   drafter       what it drafts
 *   verifiers     passes
 *
 * It is drawn from the messages as the coordinator sends and receives them: a computation of a worker took as long as
 * its answer says, and ended half a round trip before that came. So a jitter is not seen in it; clocks of two machines
 * are not compared. It never changes what happens.
 */
#ifndef COORDINATOR_CLI_TRACE_H
#define COORDINATOR_CLI_TRACE_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/err.h"
#include "proto/wire.h"

struct trace;
/* E_USAGE: the file cannot be made. */
int trace_open(struct trace **out, const char *path, struct err *err);
/* Completes the file. E_FAIL: something could not be written. */
int trace_close(struct trace *t, struct err *err); /* NULL is fine */

/* A text begins; its messages count from its first one on. rtt_ns: to the verifiers, to the drafter. */
void trace_begin(struct trace *t, const char *name, uint64_t verifier_rtt_ns, uint64_t drafter_rtt_ns);
/* The coordinator sends it, or receives it. */
void trace_message(struct trace *t, uint64_t now_ns, const struct message *m);

#endif
