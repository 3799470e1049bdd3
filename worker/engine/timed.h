/* timed.h -- an engine without a model: its answers are those of a synthetic pair (proto/synthetic.h), and a pass is a
 * wait until it would be done. It takes no core, so many workers run on few of them.
 *
 * engine.c calls it where there is a pair in place of a model. A hidden row is one number, its id: it goes through all
 * stages as it is. Each stage takes its part of a pass's time; the shards of a stage wait together. A machine wakes a
 * sleeper late: the next passes are a little shorter, until it is made up for.
 */
#ifndef WORKER_ENGINE_TIMED_H
#define WORKER_ENGINE_TIMED_H

#include "worker/engine/engine.h"

void timed_info(const struct engine *e, struct engine_info *out);
/* Memory for the answers of a pass. */
int timed_load(struct engine *e, struct err *err);
int timed_pass(struct engine *e, const struct verdict_row **answers, struct err *err);

#endif
