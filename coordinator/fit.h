/* fit.h -- whether the workers of a job fit together, and into their hosts' memory: between Hello and Welcome.
 *
 * Pure: what they have said in, an error that names hosts out. Where shares of other sizes would fit, it says which
 * (shares.h).
 */
#ifndef COORDINATOR_FIT_H
#define COORDINATOR_FIT_H

#include "coordinator/workers.h"

/* Called when all have sent Hello; sets the context (workers_set_context). E_MODEL: different models, or not the
 * coordinator's vocabulary. E_LAYOUT: different arithmetic, or too little memory. */
int fit_check(struct workers *w, const struct workers_need *need, struct err *err);

#endif
