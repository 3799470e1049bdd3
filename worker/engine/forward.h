/* forward.h -- the forward pass: this stage's plan entries over the rows, and on the last stage the head. */
#ifndef WORKER_ENGINE_FORWARD_H
#define WORKER_ENGINE_FORWARD_H

/* Every thread of the pool calls it. */
void forward_run(void *engine, int i_thread);

struct engine;

/* Fills this thread's rows of cs. */
void forward_turn_positions(struct engine *e, int t);

#endif
