/* network.h -- the emulated network of --net-delay, --net-jitter and --net-rate: as a struct for the router, and as
 * the mark of every output that was made over it, a line or a "network" in JSON. Without one nothing is written. Pure.
 */
#ifndef COORDINATOR_CLI_NETWORK_H
#define COORDINATOR_CLI_NETWORK_H

#include <jansson.h>
#include <stdio.h>

#include "coordinator/cli/options.h"
#include "proto/net_delay.h"

/* Jitter and rate hold for every emulated link: to the verifiers, and to the drafter if its delay was given. */
struct net network_of(const struct options *o);
bool network_is_emulated(const struct options *o);

void network_line(const struct options *o, FILE *to);
/* Adds "network" to an object. Not 0: it failed, as with jansson's functions. */
int network_json(const struct options *o, json_t *to);

#endif
