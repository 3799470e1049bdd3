/* shape.h -- a model's architecture as its file describes it: sizes, rotary positions, windows, experts. Pure: it
 * reads keys, no tensors. A key that would change the numbers, and is not supported, is refused by name, never
 * ignored. */
#ifndef WORKER_ENGINE_SHAPE_H
#define WORKER_ENGINE_SHAPE_H

#include <stdbool.h>

#include "proto/err.h"
#include "proto/files/gguf.h"

struct shape {
    char arch[32]; /* as the file names it: see archs in shape.c */
    int n_blocks, n_embd, n_head, n_head_kv, d_head, n_ff, n_vocab, n_ctx; /* n_ctx: what it was trained for */
    float eps;
    double rope_base, rope_scale; /* linear scaling: positions are divided by rope_scale */
    double rope_base_local;       /* of blocks with a window; never scaled */
    int n_window;                 /* of such a block; 0: there are none */
    int n_pattern;                /* in each run of so many blocks the last one has no window */
    int n_experts, n_used;        /* in each block's MLP; used for a row (n_ff is then an expert's); 0: one MLP */
    float embed_scale, q_scale;
    bool rope_neox; /* i pairs with i + d/2; else 2i with 2i+1 */
    bool gelu;      /* the MLP's activation; else SiLU */
    bool tied;      /* the head is the embedding */
};

/* Sets all but n_vocab and tied, which follow from tensors. s: zeroed. E_MODEL: no model that runs here. */
int shape_read(struct shape *s, const struct gguf *g, struct err *err);

#endif
