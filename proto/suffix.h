/* suffix.h -- a drafter without a model: it goes on as earlier texts did after the longest match of the text's end.
 *
 * It answers what a suffix tree with counts answers (SuffixDecoding, 2411.04975, section 4): of all places where the
 * longest suffix of the text occurs earlier, the most frequent next id is drafted, then the most frequent one of the
 * places that are left, and so on. A draft ends where the chance that all of it is right is too low. The paper bounds a
 * draft by a multiple of the match's length; here the length is in the chance itself. With c of n places in favour,
 * after a match of length L, an id counts as right with (c - 1/L) / n: absolute discounting (Ney, Essen and Kneser,
 * 1994). On 3600 tokens that Qwen2.5-Coder 1.5B wrote for Spec-Bench, ids after a single longest match of 2, 3, 4 to 5,
 * 6 to 9, 10 to 19, and 20 or more ids were right in .52, .71, .75, .85, .91 and .97 of all cases.
 *
 * There is no tree. A text is short enough to be searched, which needs no state, so nothing has to follow when it is
 * taken back or another one takes its place: 32768 ids take some tens of microseconds. What earlier texts of the job
 * said is in a memory, if there is one: a ring of ids in which each place names the one before it that ends with the
 * same ids, as in coders of the LZ77 family. It takes 16 bytes for an id where a tree of this depth takes some
 * hundreds, and a new text replaces the oldest ids. It is taken at open, never grows, and never leaves the process.
 *
 * The same text and memory give the same draft. Of equals the latest wins.
 */
#ifndef PROTO_SUFFIX_H
#define PROTO_SUFFIX_H

#include <stddef.h>
#include <stdint.h>

#include "proto/err.h"

enum {
    SUFFIX_MIN = 2,         /* ids of a match in the text itself: a single one predicts too little */
    SUFFIX_MIN_EARLIER = 4, /* in an earlier text, where three were right in .4 of all cases */
    SUFFIX_MAX = 32,        /* longer matches count as equal */
    SUFFIX_PLACES = 16      /* of equal matches so many count, the latest */
};

struct suffix_memory; /* of texts that are done */

/* Holds n_bytes / 16 ids, rounded down to a power of two. E_LAYOUT: there is no memory for it. */
int suffix_memory_open(struct suffix_memory **out, size_t n_bytes, struct err *err);
void suffix_memory_close(struct suffix_memory *m); /* NULL is fine */
/* Ids are not negative. */
void suffix_memory_add(struct suffix_memory *m, const int32_t *ids, int n_ids);

struct suffix_draft {
    int n;
    float n_right; /* how many of them are expected to be accepted */
};

/* Drafts at most n_max ids behind the text, to out. It ends before the chance that all of it is right falls below
 * p_min. The match is in the text itself, whose draft goes on with itself at the text's end, so that a text that
 * repeats itself is repeated further; or in the memory (NULL: there is none), if more ids are expected to be accepted
 * so. */
struct suffix_draft suffix_draft(const struct suffix_memory *memory, const int32_t *ids, int n_ids, float p_min,
                                 int32_t *out, int n_max);

#endif
