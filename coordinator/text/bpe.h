/* bpe.h -- merges a piece into tokens: the pair of the lowest rank first, of equals the leftmost.
 *
 * Byte-level vocabularies list their merges: a piece begins as bytes, and the rank of a pair is its place in the list.
 * SentencePiece's have a score for each token: a piece begins as characters, a pair may merge if its text is a token,
 * and the greatest score comes first; what is no token in the end is written as bytes.
 *
 * The tables are built at open and do not change after, so threads may share them; each bpe_work belongs to one. A
 * piece of n bytes costs O(n log n), whatever its content: neighbours are a linked list and the pairs that could merge
 * a heap.
 */
#ifndef COORDINATOR_TEXT_BPE_H
#define COORDINATOR_TEXT_BPE_H

#include <stddef.h>
#include <stdint.h>

#include "coordinator/text/vocab.h"
#include "proto/err.h"
#include "proto/files/gguf.h"

struct bpe_pair {
    int32_t left, right;
    uint32_t rank; /* BPE_NO_RANK: a free slot */
};
#define BPE_NO_RANK UINT32_MAX

struct bpe {
    const struct vocab *vocab; /* borrows */
    struct bpe_pair *pairs;    /* open addressing; [pairs_mask + 1] */
    size_t pairs_mask;         /* a power of two less one */
    int32_t *merged;           /* [n_merges], by rank: the token that the pair becomes */
    uint32_t *rank;            /* [vocab->n] SentencePiece: of the token that a pair becomes; BPE_NO_RANK: of none */
    int32_t byte_id[256];      /* -1: the vocabulary has no token for this byte */
    int32_t unknown;           /* the token for such a byte; -1: none */
};

/* E_MODEL: the file has no merges (scores), or a merge of tokens that do not exist. */
int bpe_open(struct bpe *b, const struct vocab *v, const struct gguf *g, struct err *err);
void bpe_close(struct bpe *b);

struct bpe_symbol {
    int32_t id, prev, next; /* prev, next: places in `symbols`; -1: none */
    uint32_t rank;          /* of the pair with next */
    int32_t at, n;          /* its bytes in the piece */
};

struct bpe_work { /* zeroed is empty; owns its memory, which grows to the longest piece */
    struct bpe_symbol *symbols;
    uint64_t *heap; /* rank << 32 | place */
    size_t n_heap, cap;
    const char *piece; /* borrows */
};
void bpe_work_free(struct bpe_work *w);

/* Puts the ids of a piece (1 <= n <= INT32_MAX / 2 bytes) into ids[0..], at most n, and sets *n_ids. E_USAGE: a byte of
 * it has no token. */
int bpe_encode(const struct bpe *b, struct bpe_work *w, struct gguf_str piece, int32_t *ids, size_t *n_ids,
               struct err *err);

#endif
