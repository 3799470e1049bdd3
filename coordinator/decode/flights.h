/* flights.h -- parts in flight: sent to a verification group and not answered yet.
 *
 * A Verdict must answer one of them, as it was asked: what it is of, which rows, what each has, ids of the vocabulary.
 * Only then does anybody read it. A flight remembers what its rows judge, so that its verdict counts whatever the
 * sequence did in the meantime.
 */
#ifndef COORDINATOR_DECODE_FLIGHTS_H
#define COORDINATOR_DECODE_FLIGHTS_H

#include "proto/err.h"
#include "proto/wire.h"

struct flight {
    uint32_t job, slot, round, at; /* as the verdict repeats them */
    uint64_t prefix_hash;
    size_t n_rows, n_wanted, n_judging, n_top; /* wanted rows; the first of them that judge an id; best ids of each */
    uint64_t sent_ns;

    /* Set by the sender. The wanted rows follow a text of n_text ids: row i judges drafts[i]. */
    uint64_t owner; /* whose text it is */
    int n_text, n_drafts;
    int32_t drafts[DRAFTS_MOST];
};

struct flights {
    int n_vocab;         /* big's ids are below it */
    uint32_t n_sent;     /* the last job's number; they count from 1 */
    struct flight *list; /* [room] owns; oldest first */
    size_t n, room;
};

int flights_init(struct flights *f, int room, int n_vocab, struct err *err);
void flights_free(struct flights *f);

/* A part that goes out: numbers it. At most `room` at once. Borrowed until the next call. */
struct flight *flights_add(struct flights *f, struct part *part, uint64_t now_ns);

/* The flight that this answers lands: moved to *out. E_PEER: it answers none, or not as it was asked. */
int flights_land(struct flights *f, const struct verdict *v, struct flight *out, struct err *err);

/* Row i of a verdict has as many judged ids and best ones, all of the vocabulary. */
int flights_check_row(const struct flights *f, const struct verdict *v, size_t i, size_t n_judged, size_t n_top,
                      struct err *err);

/* Parts of a slot in flight. */
int flights_of_slot(const struct flights *f, uint32_t slot);

#endif
