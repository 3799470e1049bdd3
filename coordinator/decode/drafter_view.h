/* drafter_view.h -- what the drafter holds of a slot's text, and what it was asked, as the coordinator counts it.
 *
 *   ids:       0 ............ first .................. first + len ........... drafter_view_held
 *   drafter:   never read     read, and final          drafted by itself, and final since (n_reused)
 *
 * Of a long prompt it reads the end only, so its prefixes have hashes of their own: the root names the empty text at
 * first.
 */
#ifndef COORDINATOR_DECODE_DRAFTER_VIEW_H
#define COORDINATOR_DECODE_DRAFTER_VIEW_H

#include <stdbool.h>
#include <stdint.h>

struct drafter_view {
    int first;             /* -1: it has read nothing */
    int len, n_reused;     /* ids */
    uint64_t *prefix_hash; /* [n_ctx + 1] owns; of ids[first ..], n_hashed ids at most */
    int n_hashed;

    /* The ask in flight: one or more messages, answered one by one. */
    uint32_t round;
    int n_out, n_out_old; /* messages without an answer: of this ask, of those before it */
    int window;           /* drafts that were asked for */
    uint32_t us;          /* of computing, in the answers so far */
    uint64_t sent_ns;
    int n_lost; /* asks refused, in a row */
};

bool drafter_view_init(struct drafter_view *v, int n_ctx); /* false: memory */
void drafter_view_free(struct drafter_view *v);

/* It will hold ids[first ..]; -1: nothing of a text yet. */
void drafter_view_forget(struct drafter_view *v, int first);
/* The text from now on has but its n ids at the start in common with the one before. */
void drafter_view_keep(struct drafter_view *v, int n);
/* Ids of the text that need not be read to it. */
int drafter_view_held(const struct drafter_view *v);
/* Names the prefixes of ids[first .. n_ids). */
void drafter_view_hash(struct drafter_view *v, uint64_t root, const int32_t *ids, int n_ids);

#endif
