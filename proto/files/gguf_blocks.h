/* gguf_blocks.h -- which tensors of a model file belong to which block, and to its attention or its MLP: by their
 * names, "blk.7.attn_q.weight". */
#ifndef PROTO_FILES_GGUF_BLOCKS_H
#define PROTO_FILES_GGUF_BLOCKS_H

#include <stdbool.h>

#include "proto/files/side.h"
#include "proto/plan.h"

/* The block of a tensor, below n_blocks; -1: of no block of this model. */
int gguf_block_of(struct gguf_str name, int n_blocks);
/* Whether the tensor of a block is its MLP's. */
bool gguf_is_of_mlp(struct gguf_str name);

struct block_bytes { /* of a block's tensors */
    uint64_t attention, mlp;
};

/* [n_blocks + n_exits]: of the model's blocks, then of those of a side file; zeroed: there is none. The caller frees
 * it; NULL: out of memory. */
struct block_bytes *gguf_bytes_of_blocks(const struct gguf *g, int n_blocks, const struct side *side);
/* Of what an entry runs. */
uint64_t entry_bytes(const struct plan_entry *e, const struct block_bytes *of_blocks);
/* Of what a pass under a plan reads: of each entry, and of the head. */
uint64_t plan_bytes(const struct gguf *g, const struct plan *p, const struct block_bytes *of_blocks);

#endif
