/* drafter_view.h -- what the drafter of a decode slot holds, as the coordinator counts it: which ids of the text it
 * has read, and what it was asked for.
 *
 *   ids:       0 ............ first .................. first + len ........... drafter_view_held
 *   drafter:   never read     read, and final          drafted by itself, and final since (n_reused)
 *
 * Of a long prompt the drafter reads only the end. So its prefix hashes are not those of the text: they begin with the
 * root at first.
 */
#ifndef COORDINATOR_DECODE_DRAFTER_VIEW_H
#define COORDINATOR_DECODE_DRAFTER_VIEW_H

#include <stdbool.h>
#include <stdint.h>

struct drafter_view {
    int first;             /* the first id that it has read; -1: it has read nothing */
    int len, n_reused;     /* ids */
    uint64_t *prefix_hash; /* [n_ctx + 1] owns; of ids[first ..], n_hashed ids at most */
    int n_hashed;
    uint32_t from; /* a slot of the drafter + 1, from which the next ask has it copy `len` ids; 0: none */

    /* The ask in flight: one or more messages, answered one by one. */
    uint32_t round;
    int n_out, n_out_old; /* messages without an answer: of this ask, of those before it */
    int window;           /* drafts that were asked for */
    uint32_t us;          /* computing time in the answers so far */
    uint64_t sent_ns;
    int n_lost; /* refused asks in a row */
};

bool drafter_view_init(struct drafter_view *v, int n_ctx); /* false: memory */
void drafter_view_free(struct drafter_view *v);

/* It holds nothing, and will read ids[first ..]; -1: no text yet. */
void drafter_view_forget(struct drafter_view *v, int first);
/* The next text has only its first n ids in common with the one before. */
void drafter_view_keep(struct drafter_view *v, int n);
/* It is to hold what another view's slot (slot + 1: `from`) has of the text's first n ids: n is more than its `first`.
 */
void drafter_view_copy(struct drafter_view *v, const struct drafter_view *of, int n, uint32_t from);
/* How many ids of the text need not be sent to it. */
int drafter_view_held(const struct drafter_view *v);
/* Computes the prefix hashes of ids[first .. n_ids). */
void drafter_view_hash(struct drafter_view *v, uint64_t root, const int32_t *ids, int n_ids);
/* The prefix hash of ids[first .. n), of which those from n_final on may change yet. */
uint64_t drafter_view_hash_of(struct drafter_view *v, uint64_t root, const int32_t *ids, int n_final, int n);

#endif
