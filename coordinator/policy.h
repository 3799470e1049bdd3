/* policy.h -- when to draft, and how far. Pure: numbers in, a window out; no clock of its own.
 *
 *            measured: drafting costs more a token than plain, or the last drafts were all wrong
 *   ON ────────────────────────────────────────────────────────────────────────────────────▶ PAUSED
 *    ◀──────────────── after `pause` plain tokens, which double with each pause ─────────────────┘
 *
 * While it is on, the window is the one with the most tokens to expect for its time. Whether a draft would be right is
 * guessed from how sure big was of its own tokens (where big is sure, little mostly agrees), then learnt from big's
 * judgement. The drafter does not read the text before what it is expected to save pays for the reading, if the text
 * goes on for as long as it has gone on so far, or for some two dozen tokens.
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
    bool enabled; /* false: always on, always the whole window */
    double cost;  /* drafter's time a token over big's, as known before: bytes over bytes; 0: nothing (n-grams) */
    bool paused;
    int n_pauses;
    int pause, left;                     /* tokens of the next pause; of this one */
    int n_wrong;                         /* drafted in a row, none accepted */
    int n_rounds;                        /* drafting rounds measured since it was last switched on */
    double plain_ns;                     /* a token without drafts; 0: not measured yet */
    double draft_ns;                     /* a drafted token; 0: not measured yet */
    double row_cost;                     /* what a draft's row adds to a verify, over plain_ns; 0: not measured yet */
    double read_ns;                      /* big's, for an id of the prompt; whoever measures it sets it */
    double drafting_ns, drafting_tokens; /* sums over the last rounds, fading */
    double n_right, n_judged;            /* drafts, and big's own tokens as far as it was sure of them */
};

struct guard_round { /* from one verdict to the next */
    int n_drafted, n_accepted, n_tokens;
    double ns, draft_ns; /* draft_ns: of it the drafter's computing */
    double sure;         /* sum of the probabilities of its tokens under big */
    bool measured;       /* false: the round read a prompt too, its time says nothing about a token's */
};

void guard_init(struct guard *g, bool enabled, double cost);
/* How many tokens may be drafted now, at most `most`. */
int guard_window(const struct guard *g, int most);
/* Should the drafter read n_ids now, to draft `window` tokens a round? n_so_far, n_left: tokens that were generated,
 * that may still come. */
bool guard_reads(const struct guard *g, int window, int n_ids, int n_so_far, int n_left);
void guard_note(struct guard *g, const struct guard_round *r);

#endif
