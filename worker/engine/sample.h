/* sample.h -- from the gathered results of the shards to answers: big's next id, greedy or sampled, its ln p, and ln p
 * of the ids to judge. Every shard computes the same from the same bits. */
#ifndef WORKER_ENGINE_SAMPLE_H
#define WORKER_ENGINE_SAMPLE_H

#include <stdbool.h>

struct engine;

/* One thread. False: top-k, top-p or min-p of a row may keep more ids than the shards offered; the head must run again
 * with a greater n_best. All shards agree on it. */
bool sample_answers(struct engine *e);

#endif
