/* spec.h -- the heart: speculation over many requests that come and go. An event in, actions out; no clock, no I/O, no
 * text.
 *
 *   SUBMIT ─▶ queue ─▶ a decode slot (group, slot)
 *                         │    ┌──── policy: draft ──▶ DraftAsk ──▶ Draft ──▶ Verify (rows: feed, judge) ───┐
 *                         ▼    │                                                                            ▼
 *                  Verify (prompt) ─▶ Verdict ── policy: plain ─────────▶ Verify (one row) ─────────────▶ Verdict
 *                              ▲                                                                            │
 *                              └────── commit what the rule keeps, and one token of big's own ◀─────────────┘
 *
 * A running request has a decode slot: a slot of one group of verifiers, and a slot of a drafter beside it. A
 * prompt, a replay after a refusal, and a verification are the same thing: rows that begin where the verifier's text
 * ends, of which the last ones are wanted. A verify of a text of n ids and k drafts feeds ids n-1 .. n+k-1: row i
 * judges draft i, the last row gives the bonus token.
 *
 * Self-start: where an exact text has no drafts, or they are paused, the verifiers' leader goes on with big's own ids,
 * and no token takes a round trip. Open allows it for some ids, Ack reports how many have arrived, Cut ends it; its
 * verdicts are those of job 0. The leader may draft for itself, what followed earlier in the text: with --draft suffix
 * all of an exact text is written so. A lossy text, which no leader writes by itself, then asks it for drafts. Beside a
 * little model the leader goes on so where what repeats is likely to give more.
 *
 * Running ahead: where the drafter has cores of its own it does not wait for verdicts, and the verifiers' leader does
 * not wait for drafts. Drafts come in small blocks, each goes to the verifiers at once, and several are in flight: a
 * round trip is paid only where one is wrong. The leader goes on by itself meanwhile; drafts that come late are
 * trimmed: those that agree with what big has written count as right, the rest is verified. So a text hardly loses
 * time while drafts are tried. Without self-start it is done only where a number of drafts is given (draft_ahead): the
 * leader feeds big's own id once an Ack says that it has arrived, and no further.
 *
 * Several requests: where the drafter runs ahead, the leader divides the rows of a pass among their drafts, which come
 * in parts of a block each; no pass waits for drafts then. Where it waits for verdicts, a request's window leaves room
 * for those of its group (budget.h). Where it shares cores with the verifiers there are drafts beside other requests
 * only if they are expected to give more tokens of all together, and what they may take in vain is bounded.
 *
 * Requests start in the order of their submission, each in the free slot whose workers hold the longest prefix of it,
 * or else in the group with the fewest requests, and there beside the drafter with the fewest. A request stays there.
 * One that needs a drafter, as lossy ones do, waits for a slot whose drafter is not lost, if there is one.
 * What another slot of the group holds of its prompt, or is reading, is copied, where that saves rows (part.from):
 * requests with one system prompt, and the choices of one, compute it once.
 * The text of a request does not depend on its slot, nor on what else runs.
 */
#ifndef COORDINATOR_DECODE_SPEC_H
#define COORDINATOR_DECODE_SPEC_H

#include <stdbool.h>
#include <stdint.h>

#include "coordinator/decode/seq.h"
#include "proto/err.h"
#include "proto/layout.h"
#include "proto/policy.h"
#include "proto/wire.h"

struct spec_group { /* of verifiers */
    int peer;       /* its leader */
    int n_slots, max_rows, max_jobs;
    int n_vocab;                   /* big's ids are below it */
    struct draft_profile *profile; /* borrowed: learned from its earlier texts; each text adds to it */
};

struct spec_drafter {
    enum drafter kind;       /* DRAFTER_SUFFIX, DRAFTER_PLAN: each group's leader */
    int peer;                /* DRAFTER_LITTLE: the little model's; of several the first, and the others follow */
    int n;                   /* of them; 0: one */
    struct cost_prior prior; /* for the draft policy, before it has measured */
    bool shares_cores;       /* with the verifiers' leader: they alternate */
    int n_ids;               /* ids below it are in both vocabularies */
    int n_proposed;          /* ids below it may be drafted; at most n_ids */
};

enum {
    SELF_MEASURED = -1, /* as many as the round trip and the time of a token ask for */
    SELF_LEAST = 128,   /* of them, and at most: a leader whose coordinator is gone should not go on for long */
    SELF_MOST = 4096
};

struct spec_config {
    int n_ctx;
    uint64_t root; /* the prefix hash of no ids */
    struct spec_drafter drafter;
    int n_groups;
    struct spec_group groups[GROUPS_MOST];
    int prompt_rows; /* rows of prompts in a pass beside texts that are written; 0: as many as fit */
    int self_max;    /* self-start: ids that a leader may write beyond the last Ack; 0, 1: none; SELF_MEASURED */
    /* Called after each new token: whether the text ends with one of its request's stops. Pure. NULL: never. */
    bool (*stops)(const struct stops *stops, const struct seq *s);
};

enum event_kind {
    EVENT_SUBMIT, /* seq waits, and starts when a slot is free */
    EVENT_CANCEL, /* seq, waiting or running, ends as it is: SEQ_ABORTED; NULL: all do */
    EVENT_DRAFT,
    EVENT_VERDICT,
    EVENT_DRAFTER_LOST /* a drafter answers no more: its exact texts go on without drafts, lossy ones fail */
};
struct event {
    enum event_kind kind;
    uint64_t now_ns;
    struct seq *seq; /* SEQ_WAITING; borrowed until its ACTION_DONE */
    int group;       /* EVENT_VERDICT, and EVENT_DRAFT of a leader's: that sent it */
    int drafter;     /* EVENT_DRAFT of a little model's, EVENT_DRAFTER_LOST: which of them */
    const struct draft *draft;
    const struct verdict *verdict;
    const char *why; /* EVENT_DRAFTER_LOST */
};

enum action_kind {
    ACTION_POST,   /* message to peer */
    ACTION_TOKENS, /* seq has new final tokens */
    ACTION_DONE    /* seq is done, and no longer borrowed */
};
struct action {
    enum action_kind kind;
    int peer;
    struct message message;
    struct seq *seq;
};
struct actions { /* borrowed until the next step */
    const struct action *list;
    size_t n;
};

struct spec;

int spec_open(struct spec **out, const struct spec_config *config, struct err *err);
void spec_close(struct spec *s); /* sequences that wait or run stay as they are */

/* E_PEER: an answer to no question, or a verifier that refuses again what was sent anew from the start. */
int spec_step(struct spec *s, const struct event *event, struct actions *out, struct err *err);

/* The links from the coordinator to the drafter and to a group, together, as measured. Only time depends on them, never
 * a text. */
struct spec_link {
    uint64_t rtt_ns;                    /* the round trips of both; 0: not known */
    struct draft_policy_bytes bytes_ns; /* of each */
};
void spec_set_link(struct spec *s, int group, struct spec_link link);

/* How many ids a leader may write beyond the last Ack, so that it never waits for one: twice what it writes in a round
 * trip, as an Ack comes every quarter of them. 0: not known, and taken as far, or as quick, as may be. */
int spec_self_most(int self_max, uint64_t rtt_ns, double token_ns);

bool spec_idle(const struct spec *s); /* nothing waits, nothing runs */
/* Whether texts of the group are unfinished; whether one of them waits for its verifiers, and not for drafts alone. */
bool spec_runs(const struct spec *s, int group);
bool spec_awaits_verdicts(const struct spec *s, int group);

/* The prompts that are being read now: their ids, and how many of these have been read. False: there are none. */
bool spec_reading(const struct spec *s, int *n_read, int *n_ids);

#endif
