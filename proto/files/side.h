/* side.h -- a side file: one block and an output norm for an exit of a base model (Balcony, 2503.05005), as GGUF.
 *
 *     general.architecture  "pilotfish-side"
 *     side.base             the base's fingerprint: 16 hexadecimal digits (`pilotfish inspect` shows it)
 *     side.exit             E: the block reads what block E - 1 of the base leaves
 *     side.ids              the exit chooses among ids below it (the head is the base's own); absent: all
 *     blk.N.*               the block, N the base's number of blocks; names and shapes are those of the base's blocks
 *     output_norm.weight    the exit's norm
 *
 * scripts/train/balcony.py writes them. A plan names one (plan.h); worker/engine loads it beside the base.
 */
#ifndef PROTO_FILES_SIDE_H
#define PROTO_FILES_SIDE_H

#include "proto/files/gguf.h"

struct side {
    struct gguf file;
    uint64_t base;
    int exit, n_ids; /* n_ids 0: all */
};

bool side_is(const struct gguf *g); /* whether a file says that it is one */
/* What its keys say. E_MODEL: it is none, or a key is missing or wrong. */
int side_read(struct side *s, const struct gguf *g, struct err *err);
/* E_MODEL: there is no such file, or side_read's. */
int side_open(struct side *s, const char *path, struct err *err);
void side_close(struct side *s); /* zeroed is fine */

#endif
