/* policy.h -- when to draft, and how far. Pure: numbers in, a window out; no clock of its own.
 *
 *            measured: drafting costs more a token than plain, or the last drafts were all wrong
 *   ON ────────────────────────────────────────────────────────────────────────────────────▶ PAUSED
 *    ◀──────────────── after `pause` plain tokens, which double with each pause ─────────────────┘
 *
 * While it is on, a draft goes on until the drafter doubts it: its own probabilities say, token by token, how likely
 * all of it is right (EAGLE-2, 2406.16858, uses them so to choose what to check), and one more is worth its time only
 * above some chance. Whether to begin at all is guessed from how sure big was of its own tokens (where big is sure,
 * little mostly agrees), then learned from big's judgement. The drafter does not read the text before what it is
 * expected to save pays for the reading. What nobody has measured is guessed at its best: only a trial tells, and one
 * is short.
 *
 * What one text has taught of the machine and of the drafter is where the next one starts.
 *
 * The text never depends on it (exact mode): only the time does. Promise 2, never slower than big alone, rests here.
 */
#ifndef COORDINATOR_DECODE_POLICY_H
#define COORDINATOR_DECODE_POLICY_H

#include <stdbool.h>
#include <stdint.h>

enum {
    DRAFT_WRONG_MOST = 8,  /* drafted tokens in a row, none accepted, that end the first trial */
    DRAFT_PAUSE_FIRST = 8, /* plain tokens */
    DRAFT_PAUSE_MOST = 512
};

struct cost_measured { /* what things take, all of them means that the newest move most; 0: not measured yet */
    double plain_ns;   /* a token without drafts */
    double draft_ns;   /* a drafted token */
    double read_ns;    /* the drafter's, for an id of the text */
    double row_ns;     /* what a draft adds to the verify that checks it */
};

struct cost_prior { /* the drafter's over big's, as known before anything is measured: bytes over bytes */
    double draft;   /* of a drafted token over a plain one; 0: nothing (n-grams) */
    double read;    /* of an id of the text */
};

struct rank_bytes { /* the weights that a pass streams on one rank */
    const char *host;
    int stage;
    double body, head;
};

struct draft_profile { /* from the texts before; all zero: nothing */
    struct cost_measured measured;
    /* Drafts that were right, over those expected to be by how sure the big model was; [1]: of unread prompts. */
    double accept_ratio[2];
    double n_tokens; /* of a text */
    int pause;       /* the next one's length; 0: the first's */
};

/* Why a text had no drafts, or fewer than there could be. Of several reasons the last in this list counts. */
enum withheld_why {
    WITHHELD_NOT,
    WITHHELD_SHORT,      /* the text was over before a plain token was timed */
    WITHHELD_NO_REPEAT,  /* n-grams: nothing in the text repeats */
    WITHHELD_READING,    /* to read the text takes longer than drafts would save */
    WITHHELD_COST,       /* drafts take longer than they save */
    WITHHELD_WRONG,      /* the last drafts were all wrong */
    WITHHELD_UNKNOWN_ID, /* the drafter does not know a token of the text */
    WITHHELD_NO_ROOM,    /* the drafter has no room for the text */
    WITHHELD_LOST        /* the drafter failed */
};

struct withheld {
    enum withheld_why why;
    int n_ids, n_tokens;               /* WITHHELD_READING: to read, and the tokens that drafts were to help with */
    double read_ns, saved_ns;          /* what either comes to */
    double draft_ns, row_ns, plain_ns; /* WITHHELD_COST: of a token: drafted, checked, of big's own */
    double right;                      /* the chance that a draft is */
};

struct draft_policy {
    bool enabled; /* false: always on, always the whole window */
    bool unread;  /* the drafter reads but a small part of the prompt: its drafts are right less often */
    struct cost_prior prior;
    struct cost_measured measured;
    double prompt_ns; /* big's, for an id of this prompt; whoever measures it sets it */
    double n_tokens;  /* that this text is expected to have, at least */
    bool timed;       /* a plain token of this text was */
    bool paused;
    int n_pauses;
    int pause, left;                     /* tokens of the next pause; of this one */
    int n_wrong;                         /* drafted in a row, none accepted */
    int n_rounds;                        /* drafting rounds measured since it was last switched on */
    double drafting_ns, drafting_tokens; /* sums over the last rounds, fading */
    double p_target;                     /* of big: the mean of its tokens' probabilities, newest first */
    double accept_ratio;
    struct withheld withheld; /* the reading that came nearest to paying, or the last pause */
};

struct draft_policy_round { /* from one verdict to the next */
    int n_read;             /* ids sent to the drafter that it had not drafted itself */
    int n_drafted, n_accepted, n_tokens;
    double ns, draft_ns; /* draft_ns: of it the drafter's computing */
    double p_target;     /* sum of the probabilities of its tokens under big */
    bool measured;       /* false: somebody read a prompt too, its time says nothing about a token's */
};

/* The little model's, beside the shards of the big one, in order of stages. An id that is read needs no head. */
struct cost_prior draft_policy_prior(const struct rank_bytes *little, const struct rank_bytes *shards, int n_shards);

void draft_policy_init(struct draft_policy *g, bool enabled, bool unread, struct cost_prior prior,
                       const struct draft_profile *profile);
/* How many tokens may be drafted now, at most `most`. */
int draft_policy_window(const struct draft_policy *g, int most);
/* A draft of at most `most` tokens ends once the chance that all of it is right falls below this. */
float draft_policy_chance(const struct draft_policy *g, int most);
/* Should the drafter read n_ids now, to draft at most `most` tokens a round? n_so_far, n_left: tokens that were
 * generated, that may still come. */
bool draft_policy_reads(struct draft_policy *g, int most, int n_ids, int n_so_far, int n_left);
void draft_policy_note(struct draft_policy *g, const struct draft_policy_round *r);
struct withheld draft_policy_withheld(const struct draft_policy *g);
/* A text of n_tokens is done. */
void draft_policy_learn(struct draft_profile *profile, const struct draft_policy *g, int n_tokens);

#endif
