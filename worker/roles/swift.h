/* swift.h -- a search for the sub-layers that drafts can do without, while the model decodes (SWIFT, 2410.06916).
 *
 *   swift_next ─▶ a plan to try: the caller runs it over ids that big wrote ─▶ swift_note: how many it would have
 *                 written, too ─▶ swift_plan, the best so far, by which drafts are written
 *
 * Candidates are the served plan's entries of the first stage without some of their attentions and MLPs. Proposals, in
 * turn: each sub-layer alone, in a random order; those together that are expected to be the fastest, by what is known
 * of each; the best plan with one sub-layer more or less. The first is the paper's start: without every other block.
 * What is expected of a set is the product of what its sub-layers keep, which is corrected after each trial. A
 * candidate that is better is tried again on other ids, and takes the place of the best if it is better still.
 *
 * Better is what decodes faster: with a share `a` of right drafts that cost `c` of a token each, in drafts of K,
 * (1 - a^(K+1)) / ((1 - a) (1 + K c)), at its best K. The whole model has 1.
 *
 * Or candidates are the plan's beginnings: exits behind so many entries, each in its turn (LayerSkip's, chosen by what
 * is written), or those of a side file (Balcony's).
 *
 * Pure: no engine, no clock; the same answers give the same plans.
 */
#ifndef WORKER_ROLES_SWIFT_H
#define WORKER_ROLES_SWIFT_H

#include "proto/plan.h"
#include "proto/wire.h"

enum {
    SWIFT_ROWS = 32,      /* ids that a trial is judged by, at most */
    SWIFT_ROWS_LEAST = 16 /* and at least */
};

struct swift_config {
    const struct plan *served;     /* borrowed during swift_open */
    int n_entries;                 /* of it, that the first stage runs */
    const struct part_cost *costs; /* [n_entries] borrowed likewise */
    double whole_cost;             /* of all of these, and the head */
    bool is_whole;                 /* they are all that the model has */
    double way; /* >= 1: by how much cheaper than its weights a draft is, for it does not go from stage to stage */
    uint32_t seed;
    int exit_from;      /* entries before the first exit, of several; 0: sub-layers are left out */
    const char *side;   /* with exits: borrowed, a side file's path, whose exits they are; NULL: none */
    const int *side_at; /* [n_sides <= SIDE_EXITS_MOST] then: borrowed during swift_open, entries before each */
    int n_sides;
};

struct swift;
int swift_open(struct swift **out, const struct swift_config *config, struct err *err);
void swift_close(struct swift *s); /* NULL is fine */

/* The text of a plan to try, borrowed until the next call. n_written: ids that big has written so far, in all texts: a
 * trial waits for SWIFT_ROWS_LEAST new ones. NULL: none now. */
const char *swift_next(struct swift *s, uint64_t n_written);
/* The last swift_next's plan gives n_same of n_rows ids as big wrote them. True: there is another best plan. */
bool swift_note(struct swift *s, int n_same, int n_rows);

/* The best plan, what a draft by it costs over a token of the model's own, and by how much it is expected to be faster
 * than the whole model. */
const char *swift_plan(const struct swift *s);
double swift_cost(const struct swift *s);
double swift_speed(const struct swift *s);
int swift_n_trials(const struct swift *s);

#endif
