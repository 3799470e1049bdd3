/* marks.h -- what every output says of how it was made, if that is not the whole model over the network there is: the
 * plan that the big model was served under (--plan), and the emulated network (network.h). Pure.
 */
#ifndef COORDINATOR_CLI_MARKS_H
#define COORDINATOR_CLI_MARKS_H

#include <jansson.h>
#include <stdio.h>

#include "coordinator/cli/options.h"

/* A line each. */
void marks_line(const struct options *o, FILE *to);
/* Adds "plan" and "network" to an object. Not 0: it failed, as with jansson's functions. */
int marks_json(const struct options *o, json_t *to);

#endif
