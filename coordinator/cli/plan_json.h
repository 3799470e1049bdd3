/* plan_json.h -- the entries of a plan as JSON, as a plan's file has them (proto/plan.h). */
#ifndef COORDINATOR_CLI_PLAN_JSON_H
#define COORDINATOR_CLI_PLAN_JSON_H

#include <jansson.h>

#include "proto/plan.h"

/* A new reference; NULL when memory is out. */
json_t *plan_json(const struct plan *p);

#endif
