/* sample.h -- from what the shards gathered to answers: big's next id, greedy or sampled, its ln p, and ln p of what
 * was asked. Every shard computes the same from the same bits.
 */
#ifndef WORKER_ENGINE_SAMPLE_H
#define WORKER_ENGINE_SAMPLE_H

#include <stdbool.h>

struct engine;

/* One thread. False: a row's cut lies past the ids that were offered; with more of them (n_best) the head must run
 * again. All shards agree on it. */
bool sample_answers(struct engine *e);

#endif
