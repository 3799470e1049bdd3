#include "proto/files/gguf_blocks.h"

#include <stdlib.h>
#include <string.h>

int gguf_block_of(struct gguf_str name, int n_blocks)
{
    size_t at = 4;
    int i_block = 0;
    if (name.n < 6 || memcmp(name.s, "blk.", 4) != 0) return -1;
    for (; at < name.n && name.s[at] >= '0' && name.s[at] <= '9' && i_block < n_blocks; at++)
        i_block = 10 * i_block + name.s[at] - '0';
    bool number = at > 4 && (name.s[4] != '0' || at == 5) && at + 1 < name.n && name.s[at] == '.';
    return number && i_block < n_blocks ? i_block : -1;
}

bool gguf_is_of_mlp(struct gguf_str name)
{
    return memmem(name.s, name.n, ".ffn_", 5) || memmem(name.s, name.n, ".post_ffw_", 10);
}

static void add_bytes(struct block_bytes *bytes, const struct gguf *g, int n_blocks)
{
    for (size_t i = 0; i < g->n_tensors; i++) {
        const struct gguf_tensor *t = &g->tensors[i];
        int block = gguf_block_of(t->name, n_blocks);
        if (block >= 0) *(gguf_is_of_mlp(t->name) ? &bytes[block].mlp : &bytes[block].attention) += t->n_bytes;
    }
}

struct block_bytes *gguf_bytes_of_blocks(const struct gguf *g, int n_blocks, const struct side *side)
{
    int n = n_blocks + side->n_exits;
    struct block_bytes *bytes = calloc((size_t)n, sizeof *bytes);
    if (bytes) add_bytes(bytes, g, n_blocks);
    if (bytes) add_bytes(bytes, &side->file, n);
    return bytes;
}

uint64_t entry_bytes(const struct plan_entry *e, const struct block_bytes *of_blocks)
{
    const struct block_bytes *b = &of_blocks[e->block];
    return (e->part & PART_ATTENTION ? b->attention : 0) + (e->part & PART_MLP ? b->mlp : 0);
}

uint64_t plan_bytes(const struct gguf *g, const struct plan *p, const struct block_bytes *of_blocks)
{
    const struct gguf_tensor *own = gguf_tensor(g, "output.weight"),
                             *head = own ? own : gguf_tensor(g, "token_embd.weight");
    uint64_t n_rows = head ? head->dim[1] : 0, sum = head ? head->n_bytes : 0;
    if (p->n_ids && (uint64_t)p->n_ids < n_rows) sum = sum / n_rows * (uint64_t)p->n_ids;
    for (int i = 0; i < p->n_entries; i++) sum += entry_bytes(&p->entries[i], of_blocks);
    return sum;
}
