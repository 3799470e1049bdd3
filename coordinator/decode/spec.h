/* spec.h -- the heart: speculation over many sequences. An event in, actions out; no clock, no I/O, no text.
 *
 *              ┌──── policy: draft ──▶ DraftAsk ──▶ Draft ──▶ Verify (rows: feed, judge) ───┐
 *   Verify     │                                                                            ▼
 *   (prompt) ─▶ Verdict ── policy: plain ──────────────────▶ Verify (one row) ──────────▶ Verdict
 *              ▲                                                                            │
 *              └──────── commit what the rule keeps, and one token of big's own ◀───────────┘
 *
 * A sequence that runs has a lane, and the lane's slot on every worker. A prompt, a replay after a refusal, and a
 * verification are the same thing: rows from where the verifier's history ends, of which the last are wanted. A verify
 * of a text of n ids and k drafts feeds ids n-1 .. n+k-1: row i judges draft i, the last row yields the bonus token.
 */
#ifndef COORDINATOR_DECODE_SPEC_H
#define COORDINATOR_DECODE_SPEC_H

#include <stdbool.h>
#include <stdint.h>

#include "coordinator/decode/policy.h"
#include "coordinator/decode/seq.h"
#include "proto/err.h"
#include "proto/rule.h"
#include "proto/wire.h"

struct spec_config {
    bool drafting;         /* there is a drafter, and it may be asked */
    int drafter, verifier; /* their peers; drafter: where drafting */
    int draft_max, draft_ctx;
    bool guard;
    struct cost_prior prior;       /* the drafter's, as the guard knows it before it has measured */
    struct draft_profile *profile; /* borrowed: what the texts before have taught; each text adds to it */
    int n_lanes;                   /* sequences at once */
    int n_ctx, max_rows, max_jobs;
    int n_vocab;    /* big's own ids are below it */
    int n_ids;      /* ids below it are known to both models */
    int n_proposed; /* ids below it may be drafted; at most n_ids */
    uint64_t root;
    const int32_t *end_ids; /* borrowed */
    int n_end_ids;
    bool ignore_eos;
    int n_top;
    struct rule rule;       /* another than exact: the window is part of the method, and the guard has no say */
    float fallback;         /* a draft ends before a token where no id's probability reaches it; above 1: never draft */
    struct sampler sampler; /* of all sequences, but for what is a sequence's own: seed and sample */
    /* After each new token: does the text end with it? Pure. NULL: never. */
    bool (*stops)(const void *arg, const struct seq *s);
    const void *stops_arg;
};

/* start: the sequences taken; stop: those not done end as they are, aborted. */
enum event_kind { EVENT_START, EVENT_STOP, EVENT_DRAFT, EVENT_VERDICT };
struct event {
    enum event_kind kind;
    uint64_t now_ns;
    const struct draft *draft;
    const struct verdict *verdict;
};

enum action_kind {
    ACTION_POST,   /* message to peer */
    ACTION_TOKENS, /* seq has new final tokens */
    ACTION_DONE    /* seq is done */
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
void spec_close(struct spec *s);

/* Sequences that are SEQ_WAITING, borrowed until all are done; they run in order, n_lanes at once. Those taken
 * before are done. What workers still hold of them is not computed again where a new one begins alike. */
void spec_take(struct spec *s, struct seq *seqs, int n_seqs);

/* E_PEER: an answer that nobody asked for, or a worker that refuses again what was sent anew from the start. */
int spec_step(struct spec *s, const struct event *event, struct actions *out, struct err *err);

bool spec_done(const struct spec *s); /* every sequence is */

/* Of the prompts that are being read now: how many ids, and how many of them the verifier holds. False: none is. */
bool spec_reading(const struct spec *s, int *n_read, int *n_ids);

#endif
