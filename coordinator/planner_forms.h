/* planner_forms.h -- the closed forms of planner.h, of a layout whose passes are known. */
#ifndef COORDINATOR_PLANNER_FORMS_H
#define COORDINATOR_PLANNER_FORMS_H

#include "coordinator/planner.h"

int forms_requests(const struct planner_input *in); /* that run at once */

/* Sets way, window, max_rows, n_running and tokens_per_s: what gives the most. */
void forms_apply(const struct planner_input *in, struct planner_layout *l);

#endif
