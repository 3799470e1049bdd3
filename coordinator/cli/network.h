/* network.h -- the emulated network of --net-delay, --net-jitter and --net-rate: for the router, and as what marks
 * every output that was made over it, a line or a "network" of JSON. Without one nothing is written. Pure. */
#ifndef COORDINATOR_CLI_NETWORK_H
#define COORDINATOR_CLI_NETWORK_H

#include <jansson.h>
#include <stdio.h>

#include "coordinator/cli/options.h"
#include "proto/net_delay.h"

/* Jitter and rate are those of every link that is emulated: to the verifiers, and to the drafter where its delay was
 * given. */
struct net network_of(const struct options *o);
bool network_is_emulated(const struct options *o);

void network_line(const struct options *o, FILE *to);
/* Adds it to an object; nonzero: lost, as jansson's functions. */
int network_json(const struct options *o, json_t *to);

#endif
