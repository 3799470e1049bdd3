/* unanswered.h -- parts that were sent and not answered yet. A Verdict must answer one of them, as it was asked: what
 * it is of, which rows, what each has, ids of the vocabulary. Only then does anybody read it.
 */
#ifndef COORDINATOR_DECODE_UNANSWERED_H
#define COORDINATOR_DECODE_UNANSWERED_H

#include "proto/err.h"
#include "proto/wire.h"

struct unanswered {
    int n_vocab; /* big's ids are below it */
    struct asked {
        uint32_t job, slot, round, at;
        uint64_t prefix_hash;
        size_t n_wanted, n_judging, n_top; /* wanted rows; the first of them that judge an id; best ids of each */
    } * list;                              /* [room] owns */
    size_t n, room;
};

int unanswered_init(struct unanswered *u, int room, int n_vocab, struct err *err);
void unanswered_free(struct unanswered *u);

/* A part that goes out: at most `room` at once. */
void unanswered_add(struct unanswered *u, const struct part *part);

/* Takes the part that this answers off the list. E_PEER: it answers none, or not as it was asked. */
int unanswered_take(struct unanswered *u, const struct verdict *v, struct err *err);

#endif
