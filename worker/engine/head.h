/* head.h -- the end of a pass on the last stage: what each wanted row's logits are reduced to.
 *
 * From the last hidden rows to what answers are made of: for each wanted row the maximum, its id and the sum of exp,
 * the logits of the asked ids, the best few ids, and for a row that samples the id of the greatest key.
 *
 * The vocabulary goes by chunks of 1024 ids (kernels/ARITHMETIC.md, Head). A thread holds the logits of one chunk at a
 * time: there is never an n x vocabulary array.
 */
#ifndef WORKER_ENGINE_HEAD_H
#define WORKER_ENGINE_HEAD_H

#include "proto/err.h"

struct engine;

/* Which rows are wanted, and room for what the head leaves of them, before it runs. One thread. */
void head_note_wanted(struct engine *e);
int head_room(struct engine *e, struct err *err);
/* Every thread of the pool. */
void head_run(void *engine, int i_thread);

#endif
