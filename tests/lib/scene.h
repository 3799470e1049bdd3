/* scene.h -- a leader (lead.h) and its slots, as a test of it has them. The test is the coordinator and the engine: ids
 * are what it says; no clock. */
#ifndef TESTS_LIB_SCENE_H
#define TESTS_LIB_SCENE_H

#include "worker/roles/lead.h"

enum { N_SLOTS = 3, N_CTX = 64, MAX_ROWS = 8, N_VOCAB = 128, ROOT = 5, END = 9 };

struct scene {
    struct slots slots;
    struct lead *lead;
    uint32_t n_jobs, jobs[N_SLOTS]; /* jobs: the last of each slot */
};

void scene_open(struct scene *c);
void scene_open_with(struct scene *c, struct suffix_memory *memory); /* borrowed */
void scene_close(struct scene *c);
/* n rows of ids 1, 2, ... after the slot's first `at` ids; the last one is wanted. hash 0: the slot's own. */
int scene_post(struct scene *c, uint32_t slot, uint32_t at, int n, uint64_t hash, struct err *err);
/* An Open: the slot may go on by itself. */
void scene_let(struct scene *c, uint32_t slot, uint32_t last_position, uint32_t self_max);
/* Big's next id behind what the slot holds, in answer to the coordinator's last part or to the slot's own. */
void scene_token(struct scene *c, uint32_t slot, int32_t id, bool self);
/* Opens it; slot 0 holds 1 and 2, may go on by itself, and 7 is big's next id. */
void scene_open_writing(struct scene *c);

#endif
