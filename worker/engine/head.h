/* head.h -- the end of a pass on the last stage: it reduces the logits of each wanted row.
 *
 * From the last hidden rows it computes, for each wanted row, the maximum, its id and the sum of exp; the logits of
 * the ids to judge; the best few ids; and for a row that samples the id of the greatest key.
 *
 * Ids are all of the vocabulary's, or those of a plan's cut head; below, a row of the head stands for its id.
 *
 * The vocabulary is processed in chunks of 1024 ids (kernels/ARITHMETIC.md, Head). A thread holds the logits of one
 * chunk at a time: there is never an n x vocabulary array.
 */
#ifndef WORKER_ENGINE_HEAD_H
#define WORKER_ENGINE_HEAD_H

#include "proto/err.h"

struct engine;

/* Before head_run, on one thread: finds the wanted rows, and takes room for their results. */
void head_note_wanted(struct engine *e);
int head_room(struct engine *e, struct err *err);
/* Every thread of the pool calls it. */
void head_run(void *engine, int i_thread);
/* The head is to run again, with more of the best ids: by the device, if e->on_device still says so. */
void head_ask_more(struct engine *e);

#endif
