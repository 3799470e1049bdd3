/* experts.h -- the MLP of a block with experts, over the rows of a pass (mixture.h: which experts a row needs). */
#ifndef WORKER_ENGINE_EXPERTS_H
#define WORKER_ENGINE_EXPERTS_H

#include "worker/engine/model.h"

struct engine;

/* y of every row from e->norm, as `mlp` of forward.c computes it without experts. Every thread of the pool calls it. */
void experts_run(struct engine *e, const struct block *b, int i_entry, int t);

#endif
