/* side.h -- a side file: a block and an output norm for each of some exits of a base model (Balcony, 2503.05005), as
 * GGUF.
 *
 *     general.architecture  "pilotfish-side"
 *     side.base             the base's fingerprint: 16 hexadecimal digits (`pilotfish inspect` shows it)
 *     side.exit             E, or a list of them, rising: an exit's block reads what block E - 1 of the base leaves
 *     side.ids              exits choose among ids below it, or of this list, rising (the head is the base's own);
 *                           absent: all
 *     blk.N.*               the block of the first exit, N the base's number of blocks; of the second blk.N+1.*, and so
 *                           on; names and shapes are those of the base's blocks
 *     output_norm.weight    the norms of the exits, one behind the other
 *
 * scripts/train/balcony.py writes them. A plan names one (plan.h); worker/engine loads it beside the base.
 */
#ifndef PROTO_FILES_SIDE_H
#define PROTO_FILES_SIDE_H

#include "proto/files/gguf.h"

enum { SIDE_EXITS_MOST = 64 };

struct side {
    struct gguf file;
    uint64_t base;
    int n_exits, exits[SIDE_EXITS_MOST]; /* of an open one at least 1 */
    int n_ids;                           /* 0: all */
    int32_t *ids;                        /* [n_ids] owns; NULL: those below n_ids */
};

bool side_is(const struct gguf *g); /* whether a file says that it is one */
/* What its keys say. E_MODEL: it is none, or a key is missing or wrong. */
int side_read(struct side *s, const struct gguf *g, struct err *err);
/* Which of its exits is behind so many blocks; 0: the only one. E_MODEL: there is none, or are several. */
int side_find(const struct side *s, int exit, int *i_exit, struct err *err);
/* E_MODEL: there is no such file, or side_read's. */
int side_open(struct side *s, const char *path, struct err *err);
void side_close(struct side *s); /* zeroed is fine; also of side_read */

#endif
