/* call_report.h -- what a request cost, for its client: OpenAI's usage, vLLM's metrics, llama.cpp's timings. Pure. */
#ifndef COORDINATOR_SERVE_CALL_REPORT_H
#define COORDINATOR_SERVE_CALL_REPORT_H

#include "coordinator/serve/choice.h"

/* A new reference; NULL when memory is out. A prompt counts once, however many answers it has. */
json_t *report_usage(const struct ask *ask, const struct choice *choices);
/* Adds "metrics" and "timings" to a reply; with the plan and the emulated network that the server has (marks.h). Not 0:
 * memory is out. */
int report_put(json_t *reply, const struct options *o, const struct ask *ask, const struct choice *choices);

#endif
