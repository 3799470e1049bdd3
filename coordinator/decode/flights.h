/* flights.h -- flights: parts that were sent to a group of verifiers and have no verdict yet.
 *
 * A Verdict must answer one of them, as it was asked: the same slot, round and prefix hash, as many rows and ids in
 * each, ids of the vocabulary. Only then is its content used. A flight keeps the drafts that its rows judge, so its
 * verdict can still count after the sequence has moved on.
 */
#ifndef COORDINATOR_DECODE_FLIGHTS_H
#define COORDINATOR_DECODE_FLIGHTS_H

#include <stdbool.h>

#include "proto/err.h"
#include "proto/wire.h"

struct flight {
    uint32_t job, slot, round, at; /* as the verdict repeats them */
    uint64_t prefix_hash;
    size_t n_rows, n_wanted; /* all rows; those that are wanted */
    size_t n_judging, n_top; /* wanted rows that judge an id, which come first; best ids of each wanted row */
    uint64_t sent_ns;

    /* Set by the sender. The wanted rows follow a text of n_text ids: row i judges drafts[i]. */
    bool may_be_late;   /* the leader goes on by itself: it may have written what its first rows feed */
    uint64_t owner;     /* number of the request */
    uint64_t text_hash; /* of that text, in which drafts may lie that have no verdict yet */
    int n_text, n_drafts;
    int32_t drafts[DRAFTS_MOST];
};

struct flights {
    int n_vocab;         /* big's ids are below it */
    uint32_t n_sent;     /* the number of the last part, its `job`; they count from 1 */
    struct flight *list; /* [room] owns; oldest first */
    size_t n, room;
};

int flights_init(struct flights *f, int room, int n_vocab, struct err *err);
void flights_free(struct flights *f);

/* A flight for a part that is sent now; sets the part's `job`. At most `room` at once. Borrowed until the next call. */
struct flight *flights_add(struct flights *f, struct part *part, uint64_t now_ns);

/* Moves the flight that the verdict answers to *out. Its first rows may be skipped, because the leader had written the
 * same by itself: then the verdict's `at` is so many greater, and the caller checks its prefix hash. It may have a row
 * more, where the last one judges a draft: big's own id behind that. E_PEER: it answers none, or not as it was
 * asked. */
int flights_land(struct flights *f, const struct verdict *v, struct flight *out, struct err *err);

/* Wanted rows that the verdict skips. */
size_t flight_n_skipped(const struct flight *f, const struct verdict *v);

/* E_PEER unless row i of the verdict has so many judged ids, and so many best ones or fewer, but not none; all within
 * the vocabulary. */
int flights_check_row(const struct flights *f, const struct verdict *v, size_t i, size_t n_judged, size_t n_top,
                      struct err *err);

/* How many flights there are of a slot. */
int flights_of_slot(const struct flights *f, uint32_t slot);

#endif
