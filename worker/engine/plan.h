/* plan.h -- a model's forward pass as data: an ordered list of parts of blocks, with the step that each takes.
 *
 * x += step * part(block, x) for each entry. The whole model is the plain plan; a drafter made of parts of it
 * (LayerSkip 2404.16710, Balcony 2503.05005, SLEB 2402.09025) or of one block taken several times (2310.12818) is
 * another list. `cache` is the entry's KV cache: KV belongs to a place in the plan, not to a block.
 */
#ifndef WORKER_ENGINE_PLAN_H
#define WORKER_ENGINE_PLAN_H

#include <stdint.h>

#include "proto/err.h"

enum plan_part { PART_ATTENTION = 1, PART_MLP = 2, PART_BOTH = 3 };

struct plan_entry {
    int block;
    enum plan_part part;
    float step;
    int cache; /* -1: none (an MLP alone) */
};

struct plan {
    int n_entries, n_caches;
    struct plan_entry *entries; /* owns */
};

int plan_plain(struct plan *p, int n_blocks, struct err *err); /* every block once, in order */
void plan_free(struct plan *p);
uint64_t plan_hash(const struct plan *p);

#endif
