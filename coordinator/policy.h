/* policy.h -- when to draft. Pure: numbers in, a window out; no clock of its own.
 *
 *            measured: drafting costs more a token than plain, or the last drafts were all wrong
 *   ON ────────────────────────────────────────────────────────────────────────────────────▶ PAUSED
 *    ◀──────────────── after `pause` plain tokens, which double with each pause ─────────────────┘
 *
 * The text never depends on it (exact mode): only the time does. Promise 2, never slower than big alone, rests here.
 */
#ifndef COORDINATOR_POLICY_H
#define COORDINATOR_POLICY_H

#include <stdbool.h>
#include <stdint.h>

enum {
    GUARD_WRONG_MOST = 8,  /* drafted tokens in a row, none accepted, that end the first trial */
    GUARD_PAUSE_FIRST = 8, /* plain tokens */
    GUARD_PAUSE_MOST = 512
};

struct guard {
    bool enabled; /* false: always on */
    bool paused;
    int n_pauses;
    int pause, left;                     /* tokens of the next pause; of this one */
    int n_wrong;                         /* drafted in a row, none accepted */
    int n_rounds;                        /* drafting rounds measured since it was last switched on */
    double plain_ns;                     /* a token without drafts; 0: not measured yet */
    double drafting_ns, drafting_tokens; /* sums over the last rounds, fading */
};

struct guard_round { /* from one verdict to the next */
    int n_drafted, n_accepted, n_tokens;
    double ns;
    bool measured; /* false: the round read a prompt too, its time says nothing about a token's */
};

void guard_init(struct guard *g, bool enabled);
/* How many tokens may be drafted now, at most `window`. */
int guard_window(const struct guard *g, int window);
void guard_note(struct guard *g, const struct guard_round *r);

/* How much of the prompt a drafter should read: as many of its last ids as pay, at most draft_ctx; 0: drafting is not
 * expected to pay. cost: drafter's time a token over big's (bytes of weights); read_ns: big's time for an id of a
 * prompt; n_left: tokens that may still come. */
int policy_read(int n_ids, int draft_ctx, int window, double cost, double read_ns, double plain_ns, int n_left);

#endif
