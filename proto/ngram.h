/* ngram.h -- a drafter without a model: it copies what followed the longest earlier match of the text's end.
 *
 * A pure function of ids: no state, no allocation, the same draft for the same text. At 32768 ids one call takes some
 * tens of microseconds, so it may be called in every round. The leader of the verifiers calls it for the texts that it
 * writes by itself, and for those that ask it; the coordinator, to find where big may copy from the part of a prompt
 * that a little model has not read.
 */
#ifndef PROTO_NGRAM_H
#define PROTO_NGRAM_H

#include <stdint.h>

enum {
    NGRAM_MIN = 2, /* a single equal id predicts too little */
    NGRAM_MAX = 16 /* longer matches count as equal: the latest of them wins */
};

/* Finds the longest run of NGRAM_MIN to NGRAM_MAX ids that ends the text and also occurs earlier in it (the latest of
 * equals), and copies what followed it there to out[n_max]. At the end of the text it goes on with out itself, so a
 * text that repeats itself is repeated further. Returns n_max, or 0 when there is no match. */
int ngram_draft(const int32_t *ids, int n_ids, int32_t *out, int n_max);

#endif
