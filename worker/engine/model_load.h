/* model_load.h -- the rows of a share become panels in memory.
 *
 * Each thread packs the panels that it will read in a pass, so their pages are near it. Every number is checked, and
 * pages of the file are released tensor by tensor, so that a process holds its share only once.
 */
#ifndef WORKER_ENGINE_MODEL_LOAD_H
#define WORKER_ENGINE_MODEL_LOAD_H

#include "kernels/kernels.h"
#include "kernels/pool.h"
#include "proto/err.h"
#include "worker/engine/model.h"
#include "worker/watch.h"

/* E_MODEL: a number of this share cannot be a weight (check.h). Keeps nothing. */
int model_check(struct model *m, struct pool *pool, const struct watch *watch, struct err *err);
/* Checks and packs, then closes the file. model_close frees the memory. */
int model_load(struct model *m, const struct kernels *k, struct pool *pool, const struct watch *watch, struct err *err);

#endif
