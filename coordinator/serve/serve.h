/* serve.h -- the command `serve`: the job behind OpenAI's API, until a signal or a lost worker ends it.
 *
 *   LOADING ──ready──▶ SERVING ──SIGTERM──▶ DRAINING ──all answered, or --drain is over──▶ exit 0
 *                         └────a worker is lost, Ctrl-C────▶ FAILED ──replies are out──▶ exit 5, 130
 *
 * HTTP is answered in every state: 503 where there can be no answer.
 */
#ifndef COORDINATOR_SERVE_SERVE_H
#define COORDINATOR_SERVE_SERVE_H

#include "coordinator/runtime.h"

int command_serve(const struct options *o, const struct launch *launch, struct err *err);

#endif
