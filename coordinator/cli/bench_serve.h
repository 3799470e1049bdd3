/* bench_serve.h -- `pilotfish bench serve`: a server of OpenAI's API as its clients see it. Requests are streams; the
 * clock is this side's. Ctrl-C ends what runs, and what is done is printed. */
#ifndef COORDINATOR_CLI_BENCH_SERVE_H
#define COORDINATOR_CLI_BENCH_SERVE_H

#include "coordinator/cli/options.h"

/* E_FAIL: a request failed. E_CHECK: --min-goodput was not reached. */
int command_bench_serve(const struct options *o, struct err *err);

#endif
