/* ngram.h -- a drafter without a model: the continuation of the longest earlier match of the text's end.
 *
 * A pure function of ids: no state, no allocation, the same draft for the same text. At 32768 ids one call takes some
 * tens of microseconds, so it may be called for every round. Drafters call it (--draft ngram), and the coordinator, for
 * what a little model has not read of a prompt.
 */
#ifndef PROTO_NGRAM_H
#define PROTO_NGRAM_H

#include <stdint.h>

enum {
    NGRAM_MIN = 2, /* a single equal id says too little */
    NGRAM_MAX = 16 /* longer matches are all alike: the latest of them wins */
};

/* Finds the longest run of NGRAM_MIN to NGRAM_MAX ids that ends the text and stands earlier in it as well (the
 * latest of equals) and copies what followed it there to out[n_max], running on into out itself where the text ends:
 * a text that repeats itself goes on doing so. Returns n_max, or 0 when there is no match. */
int ngram_draft(const int32_t *ids, int n_ids, int32_t *out, int n_max);

#endif
