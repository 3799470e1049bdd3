/* gather_acts.h -- what the next product quantizes is gathered quantized: attention out, the hidden rows of the MLP.
 *
 * Each shard quantizes its own columns, and sends of every block of 32 its scale and its q: 36 bytes in place of 128.
 * The sums follow from these. The blocks are those of the whole row, so the bits are the same (kernels/ARITHMETIC.md,
 * Tensor parallel). Where a part does not end on a block, or float weights read the rows, floats are gathered.
 */
#ifndef WORKER_ENGINE_GATHER_ACTS_H
#define WORKER_ENGINE_GATHER_ACTS_H

#include "worker/engine/pass.h"

struct gather_acts {
    struct acts *to;   /* all columns, made ready for products of `reads` */
    struct strided x;  /* this shard's columns are there */
    const int *from;   /* the shards' columns, as of collective.h */
    enum quant reads;  /* the format of what reads them */
    int i_entry;       /* that notes what is not finite, */
    const int *row_of; /* in these rows of the pass; NULL: each is its own */
};

/* Every thread calls it when all have written x; a barrier at the end. */
void gather_acts(struct engine *e, int i_thread, const struct gather_acts *g);

/* Of one row through this stage's entries: bytes that its shards gather, and what they would as floats. */
void gather_row_bytes(const struct model *m, uint64_t *n_bytes, uint64_t *float_bytes);

/* Room for the blocks of n_rows rows. */
bool gather_acts_init(float **room, size_t n_rows, int n_columns);

#endif
