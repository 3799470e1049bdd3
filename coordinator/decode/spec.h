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
 * A request that runs has a decode slot: a slot of one verification group, and one of the drafter's beside it. A
 * prompt, a replay after a refusal, and a verification are the same thing: rows from where the verifier's text ends,
 * of which the last are wanted. A verify of a text of n ids and k drafts feeds ids n-1 .. n+k-1: row i judges draft i,
 * the last row yields the bonus token.
 *
 * An exact text that has no drafts is written on by the verifiers' leader itself (Open with self_max; verdicts of job 0):
 * it takes no round trip a token. Ack says how far its ids have come, Cut that the text is over.
 *
 * Requests start in the order in which they were submitted, each in the free slot whose workers hold the longest part of
 * it. Which slot that is, and who runs beside it, changes no text.
 */
#ifndef COORDINATOR_DECODE_SPEC_H
#define COORDINATOR_DECODE_SPEC_H

#include <stdbool.h>
#include <stdint.h>

#include "coordinator/decode/policy.h"
#include "coordinator/decode/seq.h"
#include "proto/err.h"
#include "proto/layout.h"
#include "proto/wire.h"

struct spec_group { /* of verifiers */
    int peer;       /* its leader */
    int n_slots, max_rows, max_jobs;
    int n_vocab; /* big's own ids are below it */
};

struct spec_drafter {
    int peer;                      /* PEER_COORDINATOR: there is none */
    struct cost_prior prior;       /* as the draft policy has it before it has measured */
    struct draft_profile *profile; /* borrowed: what the texts before have taught; each text adds to it */
    int n_ids;                     /* ids below it are known to both models */
    int n_proposed;                /* ids below it may be drafted; at most n_ids */
};

struct spec_config {
    int n_ctx;
    uint64_t root; /* the prefix hash of no ids */
    struct spec_drafter drafter;
    int n_groups;
    struct spec_group groups[GROUPS_MOST];
    int self_max; /* ids that a leader may write beyond what it knows that we have; 0: none by itself */
    /* After each new token: does the text end with one of its request's stops? Pure. NULL: never. */
    bool (*stops)(const struct stops *stops, const struct seq *s);
};

enum event_kind {
    EVENT_SUBMIT, /* seq waits, and starts where a slot is free */
    EVENT_CANCEL, /* seq, wherever it is, ends as it is, aborted; NULL: all do */
    EVENT_DRAFT,
    EVENT_VERDICT,
    EVENT_DRAFTER_LOST /* no answer will come from it any more: exact texts go on without drafts, lossy ones fail */
};
struct event {
    enum event_kind kind;
    uint64_t now_ns;
    struct seq *seq; /* SEQ_WAITING; borrowed until its ACTION_DONE */
    const struct draft *draft;
    int group; /* whose verdict */
    const struct verdict *verdict;
    const char *why;
};

enum action_kind {
    ACTION_POST,   /* message to peer */
    ACTION_TOKENS, /* seq has new final tokens */
    ACTION_DONE    /* seq is done, and the caller's again */
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

/* E_PEER: an answer that nobody asked for, or a verifier that refuses again what was sent anew from the start. */
int spec_step(struct spec *s, const struct event *event, struct actions *out, struct err *err);

bool spec_idle(const struct spec *s); /* nothing waits, nothing runs */

/* Of the prompts that are being read now: how many ids, and how many of them the verifier holds. False: none is. */
bool spec_reading(const struct spec *s, int *n_read, int *n_ids);

#endif
