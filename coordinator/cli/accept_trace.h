/* accept_trace.h -- the option --accept-trace: at which places a real pair's drafts were right, for a simulation of the
 * same texts: paired luck. Luck that is drawn place by place has no runs of easy and of hard tokens, which real texts
 * have.
 *
 * The file has lines of `generate -o jsonl`. The i-th text of a simulation is the i-th line's. A token of origin draft
 * tells that a draft is right in its place, a correction that it is wrong; one of the big model's own tells nothing. So
 * the run should draft everywhere, and far: --draft-max 64 --draft-ahead 0 --guard off.
 */
#ifndef COORDINATOR_CLI_ACCEPT_TRACE_H
#define COORDINATOR_CLI_ACCEPT_TRACE_H

#include "proto/err.h"
#include "proto/synthetic.h"

/* first: position of a text's first generated token. E_USAGE: no such file, or not of such lines. */
int accept_trace_read(const char *path, int first, struct synthetic_places *out, struct err *err);

#endif
