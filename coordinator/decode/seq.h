/* seq.h -- a sequence: a request and what was generated for it. Its ids, their prefix hashes, where each token came
 * from, and what it cost.
 *
 *   WAITING ──seq_start──▶ PROMPT ──first verdict──▶ DECODING ──seq_settle──▶ DONE
 *      └──────────────────────┴──── cancelled, failed ───────────────────────▶
 *
 *   ids:  [ prompt | generated, final ..... | tail: drafted, not final ]
 *                                           n_ids                      n_ids + n_tail
 *
 * A sequence has memory for the whole text only while it runs: a waiting one borrows its prompt, a done one keeps what
 * was generated, until seq_drop.
 *
 * It handles no messages and reads no clock: spec.c moves it. Final ids are only ever appended, and never change; KV
 * is derived from them, so a lost worker costs no text.
 */
#ifndef COORDINATOR_DECODE_SEQ_H
#define COORDINATOR_DECODE_SEQ_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/err.h"
#include "proto/policy.h"
#include "proto/rule.h"
#include "proto/wire.h"

struct stops; /* texts that end a generation; defined by the caller (text/stop.h) */

/* How a text is chosen, drafted and ended. The options, or a line of --prompts, fill it; spec reads it. */
struct settings {
    int n_predict;          /* tokens at most; 0: as far as the context goes */
    struct sampler sampler; /* its offset is not read; temp below TEMP_LEAST: greedy */
    struct rule rule;       /* any but exact is lossy */
    bool fresh;             /* nothing that workers hold of other texts is used: for measurements and checks */
    bool drafting;          /* if there is a drafter */
    int draft_plan;         /* by which big drafts for itself, if it does: a number, as the launch lists them */
    bool adaptive;          /* the draft policy decides when and how far; false, or lossy: always the whole window */
    int draft_max;          /* drafts of a round, which one verify checks, at most; <= DRAFTS_MOST */
    /* Drafts that may wait for their verdicts; 0: the drafter waits for each verdict; -1: as many as pay, if the
     * drafter has cores of its own. */
    int draft_ahead;
    int draft_block;        /* of those, drafts that go together; 0: as the links ask for */
    int draft_ctx;          /* ids of a prompt that the drafter reads at most */
    float fallback;         /* a draft ends before a token if no id's probability reaches it; above 1: no drafts */
    const int32_t *end_ids; /* [n_end_ids] borrowed; none: no id ends the text */
    int n_end_ids;
    const struct stops *stops; /* borrowed; NULL: none */
    int n_top;                 /* best ids that are kept for each token */
};

/* The text may differ from what big alone would write: it depends on what is drafted, and when. */
static inline bool settings_lossy(const struct settings *s)
{
    return s->rule.kind != RULE_EXACT;
}

struct request {
    int index;             /* of the prompt in the input; for the caller */
    const int32_t *prompt; /* [n_prompt] borrowed until the sequence has started */
    int n_prompt;
    struct settings settings;
};

enum seq_state { SEQ_WAITING, SEQ_PROMPT, SEQ_DECODING, SEQ_DONE };
enum origin { ORIGIN_BIG, ORIGIN_DRAFT, ORIGIN_CORRECTION }; /* "big", "draft", "correction" */
enum seq_end { SEQ_RUNNING, SEQ_END_ID, SEQ_LENGTH, SEQ_CONTEXT, SEQ_ABORTED, SEQ_STOP, SEQ_FAILED };

struct seq_stats {
    uint64_t start_ns, first_ns, last_ns; /* start: it left the queue; first and last token final */
    uint64_t draft_ns, verify_ns; /* computing, as the workers report it; at once where the drafter runs ahead */
    uint64_t wait_ns;             /* from a message to its answer, less the computing: the network */
    uint32_t n_prompt_rows;       /* fed before the first token; fewer than ids if the slot held some */
    uint32_t n_prompt_copied;     /* of the others, if any: the first ones, which another slot held */
    uint32_t n_verifies, n_asks;  /* parts with a wanted row after the prompt; asks to the drafter */
    uint32_t n_drafts;            /* verdicts on drafts, the leader's own too; drafts that need none */
    uint32_t n_drafted, n_judged, n_accepted; /* each drafted id is judged, late, dropped, or in the tail: just once */
    uint32_t n_late;                          /* of those drafted: big had written the same before they were judged */
    uint32_t n_dropped; /* of those drafted: behind a wrong one, or the text's end, or big had written another */
    uint32_t n_pauses;  /* how often the draft policy paused drafting */
    uint32_t n_windows, n_joint_lows;   /* drafts that ended: at the window, doubtful (draft_ask.p_joint_min) */
    uint32_t n_lows, n_ends;            /* unsure of the next token (fallback), with an end id */
    uint32_t n_rollbacks, n_taken_back; /* drafts that big cut short; drafted tokens that this took back */
    uint32_t n_early;     /* of n_asks, in lossy texts: written while the draft before was verified (spec_early.c) */
    uint32_t n_discarded; /* not in n_drafted: ids written so, and thrown away */
    uint32_t n_keeping[DRAFTS_MOST + 1]; /* of n_drafts: those of which 0, 1, 2, ... ids were kept */
    struct withheld withheld;
    struct draft_choice choice; /* at the text's end, of the policy for a little model's drafts */
};

struct seq {
    struct request request; /* its prompt is NULL once it has started */
    enum seq_state state;
    enum seq_end end;
    struct err why;               /* SEQ_FAILED: the cause */
    int group, slot;              /* the group of verifiers, and its slot there; -1 while waiting */
    int n_prompt, n_ids, n_limit; /* n_ids never passes n_limit; nor does n_ids + n_tail */
    int n_tail;
    int32_t *ids;          /* [n_limit] owns */
    uint64_t *prefix_hash; /* [n_limit + 1] owns; prefix_hash[i] is of the first i ids, the tail's included */
    float *lp;             /* [n_limit] owns; ln p of each generated id, under big */
    uint8_t *origin;       /* [n_limit] owns; enum origin */
    struct top *top;       /* [n_limit, n_top] owns; NULL without n_top; id -1: there are no more (seq_top) */
    struct seq_stats stats;
    struct seq *next; /* in spec's queue */
};

/* Takes no memory yet. E_USAGE: an empty prompt, or one that fills the context. */
int seq_init(struct seq *s, const struct request *request, int n_ctx, struct err *err);
/* Memory for the text, and the prompt in it. root: the prefix hash of no ids. */
int seq_start(struct seq *s, uint64_t root, struct err *err);
/* No more ids will come: frees the memory kept for them. */
void seq_settle(struct seq *s);
/* Frees the ids and all that belongs to them; counts stay. */
void seq_drop(struct seq *s);
void seq_free(struct seq *s);            /* NULL and zeroed are fine */
void seqs_free(struct seq *seqs, int n); /* and the list; NULL is fine */

/* Appends a drafted id to the tail, if there is room. */
void seq_draft(struct seq *s, int32_t id);
/* Makes an id final; n_ids < n_limit. If it is the tail's first, the rest of the tail stays; any other id drops the
 * tail. top: n_top entries or NULL. */
void seq_commit(struct seq *s, int32_t id, float lp, enum origin origin, const struct top *top, int n_top);
/* The best ids of a generated place; *n: how many there are, fewer than were asked for where the head has fewer. */
const struct top *seq_top(const struct seq *s, int at, int *n);
static inline void seq_drop_tail(struct seq *s)
{
    s->stats.n_dropped += (uint32_t)s->n_tail;
    s->n_tail = 0;
}

static inline int seq_n_generated(const struct seq *s)
{
    return s->n_ids - s->n_prompt;
}

/* OK unless one is SEQ_FAILED; then the cause of the first, and how many failed. */
int seqs_failed(const struct seq *seqs, int n, struct err *err);

/* E_CHECK, with the place, unless ids and log-probabilities are equal bit for bit. */
int seq_check(const struct seq *drafted, const struct seq *plain, struct err *err);

#endif
