/* trace.h -- the option --trace: what happens while texts are written, as a file for chrome://tracing and Perfetto.
 *
 *   coordinator   verifies and asks from their sending to their answers (in a verify, the wait in the leader's queue);
 *                 drafts that big refuted
 *   drafter       what it drafts, a row for each drafter
 *   verifiers     passes, a row for each group
 *
 * It is drawn from the messages as the coordinator sends and receives them: a computation of a worker took as long as
 * its answer says, and ended half a round trip before that came. So the clocks of two machines are related by the least
 * round trip of a Ping, for drawing only; a jitter is not seen in it, and what would overlap with the computation
 * before it is drawn shorter. It never changes what happens.
 *
 * A verify that has no answer when its text is over, or the file ends, ends there. The file is saved every tenth of a
 * second, and is whole each time: a process that is killed leaves what there was by then.
 */
#ifndef COORDINATOR_CLI_TRACE_H
#define COORDINATOR_CLI_TRACE_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/err.h"
#include "proto/rule.h"
#include "proto/wire.h"

struct trace;
/* E_USAGE: the file cannot be made. */
int trace_open(struct trace **out, const char *path, struct err *err);
/* Completes the file. E_FAIL: something could not be written. */
int trace_close(struct trace *t, struct err *err); /* NULL is fine */

/* A page of its own begins, for a text or a run; its messages count from its first one on. n_groups: of verifiers. */
void trace_begin(struct trace *t, const char *name, int n_drafters, int n_groups);

struct trace_link {          /* to whom a message goes, or from whom it comes */
    int group;               /* of verifiers; -1: a drafter */
    int drafter;             /* which one; -1: none */
    uint64_t rtt_ns;         /* the least of its Pings; 0: not known */
    const struct rule *rule; /* by which the drafts of a Verify will be judged; NULL: exact */
};
/* The coordinator sends it, or receives it. */
void trace_message(struct trace *t, uint64_t now_ns, const struct trace_link *link, const struct message *m);

#endif
