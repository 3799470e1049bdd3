/* tiny.h -- toy models, written as real GGUF files from a seed: what tests load instead of a gigabyte.
 *
 * Numbers are drawn from (seed, name of the tensor), so a toy with a block left out has the other blocks' numbers: the
 * big toy and its little one agree at about half of all positions. A bigger n_vocab only adds padding rows at the end.
 * The weights mean nothing, but the greedy text runs on without falling into a loop at once, and its tokens are
 * readable.
 *
 *     struct tiny_spec big = tiny_spec(QUANT_F32), little = big;
 *     little.left_out = 2;
 *     assert_int_equal(tiny_write("big.gguf", &big), 0);
 *
 * Vocabulary, the same for every toy: 256 bytes, 256 merges of English, <|endoftext|>, <|im_start|>, <|im_end|> (which
 * is the eos), then [PADn] up to n_vocab. It never reads a file, and never changes one that it has written.
 */
#ifndef TESTS_LIB_TINY_H
#define TESTS_LIB_TINY_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/kernels.h"

struct tiny_spec {
    /* "qwen2", "qwen3" (norms of heads), "qwen3moe" (and experts), "llama" or "gemma3" (windows of 20, every other
     * block) */
    const char *architecture;
    int n_blocks;                        /* before one is left out */
    int n_embd, n_head, n_head_kv, n_ff; /* n_embd and n_ff are multiples of the block */
    int d_head;                          /* even; 0: n_embd / n_head */
    bool rope_factors;                   /* a tensor of them */
    int n_experts, n_used;               /* of llama and "qwen3moe"; 0: none */
    int n_vocab;                         /* padding included; >= 515 with a tokenizer */
    int n_ctx;
    uint32_t type; /* of all matrices; norms and biases are F32 */
    bool tied;     /* no output.weight */
    uint64_t seed;
    int left_out; /* this block is not written, those behind it move up; -1: none */
    int idle;     /* bits of blocks that add nothing to x: what they leave out is zero */
    bool has_tokenizer;
};

/* The standard big toy: qwen2 with 4 blocks, 700 tokens, context 512, seed 1, a tokenizer, and a shape that `type`
 * allows: F32, F16: 9 heads of 8, 3 for keys, n_ff 172; blocks of 32: 9 heads of 32, n_ff 352; blocks of 256: 8 of
 * 32, 2, 512. */
struct tiny_spec tiny_spec(uint32_t type);

/* 0; or -1 with errno: EINVAL for a spec that cannot be, else what the file system said. */
int tiny_write(const char *path, const struct tiny_spec *spec);

struct tiny_side {
    int exits[8]; /* up to a 0 */
    /* Ids of the exits: those below n_ids; with `every` so many of a list: 0, every, 2 every ...; n_ids 0: all. */
    int n_ids, every;
};

/* A side file (proto/files/side.h) of the toy in `base`, whose spec this is: its last block and norm once more,
 * as Balcony begins (2503.05005, section 3.2); of several exits each E has block E instead, or the last one, so it says
 * what the first E + 1 blocks say. */
int tiny_write_side(const char *path, const char *base, const struct tiny_spec *spec, const struct tiny_side *side);

/* Removes a folder and what was written into it. Not 0: it failed. */
int tiny_remove(const char *folder);

#endif
