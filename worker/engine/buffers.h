/* buffers.h -- room for the rows of a pass: aligned, zeroed, taken once at load. */
#ifndef WORKER_ENGINE_BUFFERS_H
#define WORKER_ENGINE_BUFFERS_H

#include "worker/engine/model.h"

/* Floats that a row of n outputs takes: a product writes whole panels, and a shard's part may begin inside one. */
size_t padded(int n);

/* False: out of memory. acts: rows in the formats that the model's products read. */
bool floats_init(float **p, size_t n);
bool acts_init(struct acts *a, const struct model *m, size_t n_rows, int n_in);
void acts_free(struct acts *a);

/* Rows [from, ...) of `a`. */
static inline struct acts acts_from(const struct acts *a, int from)
{
    size_t i = (size_t)from, n = (size_t)a->n_in;
    struct acts out = *a;
    if (a->x) out.x += i * n;
    if (a->blocks) out.blocks += i * (n / BLOCK);
    return out;
}

#endif
