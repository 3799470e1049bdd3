/* policy.h -- the draft policy: when to draft, and how far. Pure: numbers in, a window out; it reads no clock.
 *
 *            measured: drafting costs more a token than plain, or the last drafts were all wrong
 *   ON ────────────────────────────────────────────────────────────────────────────────────▶ PAUSED
 *    ◀──────────────── after `pause` plain tokens, which double with each pause ─────────────────┘
 *
 * While it is on, a draft goes on until it is too doubtful: the drafter's own probabilities give, token by token, the
 * chance that all of it is right (EAGLE-2, 2406.16858, uses them so to choose what to check), and one more token is
 * worth its time only above some chance. Whether to begin at all is estimated from how sure big was of its own tokens
 * (where big is sure, little mostly agrees), and then learned from verdicts. The drafter reads the text only when what
 * drafts are expected to save pays for the reading. What is not measured yet is estimated at its best: only a trial
 * can tell, and a trial is short.
 *
 * Where the drafts' way is long, big goes on by itself meanwhile, and drafts are worth it only if they outrun it. A
 * slow link lets through only so many drafts: what their bytes take counts, as their computing does.
 *
 * Cores of their own may still share a memory: then drafts written ahead make big's own passes longer, and plain text
 * is faster than it looks from there. So a plain token is timed while the drafter rests only, and all tokens count that
 * come while it runs ahead. Where that costs time, it rests so long, in later texts too, that such trials take 2 % of
 * it; or, over a short way, the two take turns, if rounds are expected to be faster than both.
 *
 * What one text has taught about the machine and the drafter is where the next text starts (draft_profile).
 *
 * In exact mode the text never depends on it: only the time does. The promise "never slower than big alone" depends on
 * it. The coordinator has one for the little model's drafts of a text, the verifiers' leader one for its own.
 */
#ifndef PROTO_POLICY_H
#define PROTO_POLICY_H

#include <stdbool.h>
#include <stdint.h>

enum {
    DRAFT_WRONG_MOST = 8,  /* drafted tokens in a row, none accepted, that end a trial; after it such rounds */
    DRAFT_PAUSE_FIRST = 8, /* plain tokens */
    DRAFT_PAUSE_MOST = 512
};

struct cost_measured { /* times: means in which the newest weighs most; 0: not measured yet */
    double plain_ns;   /* of a token without drafts */
    double draft_ns;   /* of a drafted token */
    double read_ns;    /* of an id of the text that the drafter reads */
    double row_ns;     /* what a draft adds to the verify that checks it */
    double beside_ns;  /* of a pass of one row while the drafter runs ahead, on cores that share a memory with big's */
};

/* What a byte takes on the way of drafts, by the rate of the link; 0: not known, or too little to tell. */
struct draft_policy_bytes {
    double drafter_ns, verifier_ns;
};

enum {                   /* that one more draft adds to frames, about (wire.h) */
       DRAFT_BYTES = 12, /* to a Draft */
       CHECK_BYTES = 30  /* to its Verify, and to the Verdict on it */
};
/* On each link, before a draft that is waited for: a message of its own each way, and drafts that are of no use any
 * more. A wait that counts fewer of them is often in vain. */
enum { WAIT_BYTES = 120 };

struct cost_prior { /* the drafter's cost over big's before anything is measured: bytes over bytes */
    double draft;   /* of a drafted token over a plain one; 0: nothing (suffix.h) */
    double read;    /* of an id of the text */
};

struct rank_bytes { /* the weights that a pass streams on one rank */
    const char *host;
    int stage;
    double body, head;
};

struct draft_profile { /* learned from earlier texts; all zero: nothing */
    struct cost_measured measured;
    /* Drafts that were right, over those expected to be right by how sure big was; [1]: of prompts read in part. */
    double accept_ratio[2];
    double n_tokens; /* of a text */
    int pause;       /* length of the next pause; 0: that of the first */
    int left;        /* tokens of a pause that began in a text before */
    int in_turns;    /* texts that go in rounds, one after the other's verdict, before running ahead is tried again */
};

/* Why a text had no drafts, or fewer than possible. If there are several reasons, the last in this list counts. */
enum withheld_why {
    WITHHELD_NOT,
    WITHHELD_SHORT,      /* the text was over before a plain token was timed */
    WITHHELD_NO_REPEAT,  /* without a little model: nothing in the text repeats */
    WITHHELD_UNPAID,     /* the leader found that its drafts take longer than they save */
    WITHHELD_TOGETHER,   /* other requests ran beside it, on the cores that drafting would have taken */
    WITHHELD_READING,    /* to read the text takes longer than drafts would save */
    WITHHELD_COST,       /* drafts take longer than they save */
    WITHHELD_WRONG,      /* the last drafts were all wrong */
    WITHHELD_UNKNOWN_ID, /* a token of the text is not in the drafter's vocabulary */
    WITHHELD_NO_ROOM,    /* the drafter has no room for the text */
    WITHHELD_LOST        /* the drafter failed */
};

struct withheld {
    enum withheld_why why;
    int n_ids, n_tokens;               /* WITHHELD_READING: ids to read; tokens that drafts could help with */
    double read_ns, saved_ns;          /* time for the reading; time that drafts would save */
    double draft_ns, row_ns, plain_ns; /* WITHHELD_COST: time of a token: drafted, checked, big's own */
    double right;                      /* the chance that a draft is right */
};

struct draft_choice { /* what the policy would do now, and the numbers that it goes by */
    bool timed;       /* false: none of it is known */
    bool ahead;       /* the drafter runs ahead; else a round waits for its verdict */
    int window;       /* drafts that wait for verdicts, or of a round, at most; 0: none */
    int first;        /* that a pass waits for, where it runs ahead */
    int block;        /* that go in one message there */
    double draft_ns, read_ns, row_ns, plain_ns, rtt_ns, right; /* right: the chance that a draft is */
    double slower; /* how many times as long big's pass of a row took beside drafts; 0: not known */
};

struct draft_policy {
    bool enabled; /* false: always on, always the whole window */
    bool unread;  /* the drafter reads only a small part of the prompt, so its drafts are right less often */
    struct cost_prior prior;
    struct cost_measured measured;
    double prompt_ns;                   /* of an id of this prompt, under big; set by the caller */
    double rtt_ns;                      /* there and back, between the drafter and the verifiers; set by the caller */
    struct draft_policy_bytes bytes_ns; /* set by the caller */
    bool apart;                         /* they may compute at once; set by the caller */
    bool in_turns;                      /* but they slow each other down so much that rounds are faster */
    double ahead_ns;                    /* of a token, when it changed to rounds; 0: it has not, or may again */
    double n_tokens;                    /* the least that this text is expected to have */
    bool timed;                         /* a plain token of this text was timed */
    bool paused;
    int n_pauses;
    int pause, left;                     /* tokens of the next pause; tokens left of this one */
    bool goes_on;                        /* this pause began in a text before, and goes on in the next one */
    int n_wrong;                         /* drafted in a row in a trial, later rounds in a row, none accepted */
    int n_rounds;                        /* drafting rounds measured since it was last switched on */
    double drafting_ns, drafting_tokens; /* sums over the last rounds, older ones weigh less */
    double lost_ns;                      /* since running ahead was last faster than plain */
    double p_target;                     /* mean of big's probabilities of its own tokens, the newest weighs most */
    double accept_ratio;
    struct withheld withheld; /* the reading that came nearest to paying, or the last pause */
};

struct draft_policy_round { /* from one verdict to the next */
    int n_read;             /* ids sent to the drafter that it had not drafted itself */
    int n_drafted, n_accepted, n_tokens;
    double ns, draft_ns; /* draft_ns: the part of it that the drafter computed */
    double p_target;     /* sum of the probabilities of its tokens under big */
    bool measured;       /* false: ns is not the usual time of such a round (a prompt was read in it) */
    bool ahead;          /* the drafter ran ahead meanwhile, and no other text was in big's passes */
    bool beside;         /* passes of others are in ns; whether its drafts pay the caller judges */
};

/* For a little model beside the shards of a big one, which are in order of stages. An id that is read needs no head. */
struct cost_prior draft_policy_prior(const struct rank_bytes *little, const struct rank_bytes *shards, int n_shards);

void draft_policy_init(struct draft_policy *g, bool enabled, bool unread, struct cost_prior prior,
                       const struct draft_profile *profile);
/* Whether the drafter should run ahead of verdicts while big goes on by itself. Then drafts cost no time of big's.
 * Without the policy it always does where they are apart. */
bool draft_policy_runs_ahead(const struct draft_policy *g);
/* How many drafts, at most `most`, a pass should wait for when there are none, and how long. 0: it should not wait. */
int draft_policy_first(const struct draft_policy *g, int most, double *hold_ns);
/* How many drafts go in one message: one, which is judged as soon as it can be. Two where a link takes longer for a
 * draft than the drafter does: they share the bytes that a message has of its own. */
int draft_policy_block(const struct draft_policy *g);
/* How many tokens may be drafted now, at most `most`. */
int draft_policy_window(const struct draft_policy *g, int most);
/* Whether a run of drafts that cost nothing to write, at first n of which n_right are expected to be right, is worth
 * more than rounds of the drafter's, of at most `most` tokens. The run begins with a plain token. */
bool draft_policy_prefers(const struct draft_policy *g, int most, int n, double n_right);
/* A draft of at most `most` tokens ends once the chance that all of it is right falls below this. n_before: of its
 * first ones, that a pass judges before the rest: unless all of these are right, the rest is never computed. */
float draft_policy_chance(const struct draft_policy *g, int most, int n_before);
/* Whether the drafter should read n_ids now, to draft at most `most` tokens a round. n_so_far: tokens generated;
 * n_left: tokens that may still come. */
bool draft_policy_reads(struct draft_policy *g, int most, int n_ids, int n_so_far, int n_left);
/* most: of a round. */
struct draft_choice draft_policy_choice(const struct draft_policy *g, int most);
void draft_policy_note(struct draft_policy *g, const struct draft_policy_round *r);
/* Where the drafter runs ahead no round has the times, but its drafts and big's passes have: of a drafted token, and of
 * a pass of n_rows. */
void draft_policy_note_draft(struct draft_policy *g, double ns);
void draft_policy_note_pass(struct draft_policy *g, double ns, int n_rows);
struct withheld draft_policy_withheld(const struct draft_policy *g);
/* A text of n_tokens is done. */
void draft_policy_learn(struct draft_profile *profile, const struct draft_policy *g, int n_tokens);

#endif
