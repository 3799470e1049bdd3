/* api_body.h -- the options of a command line as fields of a request of OpenAI's API (api_client.h). Pure. */
#ifndef COORDINATOR_CLI_API_BODY_H
#define COORDINATOR_CLI_API_BODY_H

#include <jansson.h>

#include "coordinator/cli/options.h"

/* Sampling and length, the temperature always; what was not given is the server's. Not 0: it failed, as with jansson's
 * functions. */
int api_body_put(json_t *body, const struct options *o);
/* The same of a line of --prompts, over them. Whether its values are right is the server's to say. */
int api_body_put_row(json_t *body, json_t *row);

#endif
