/* lookup.h -- drafts for a coordinator that asks and has no little model: what followed earlier in the text
 * (suffix.h). Pure: a DraftAsk in, a Draft out; no engine, no mailbox, no clock.
 *
 * A slot holds a text's ids and the drafts behind them, as the little model's drafter does, so the same asks are
 * answered the same way: with drafts, or with what the slot lacks. These slots have nothing to do with those of the
 * verifier's KV rows. The leader of the verifiers has one for lossy texts with --draft suffix or --draft-plan: those it
 * cannot write by itself (lead.h). A lossy text depends on its drafts, so these do not depend on other texts, nor end
 * where they are doubtful: the draft window is a part of the method.
 */
#ifndef WORKER_ROLES_LOOKUP_H
#define WORKER_ROLES_LOOKUP_H

#include "proto/wire.h"
#include "worker/roles/slots.h"

/* Who writes drafts in place of what followed earlier: at most `most`, behind the slot's text, to the ask's bounds;
 * returns how many, with *end why no more. */
struct lookup_writer {
    int (*write)(void *arg, const struct draft_ask *ask, const struct slot *text, int most, struct draft_row *rows,
                 enum draft_end *end);
    void *arg;
};

struct lookup {
    struct lookup_writer writer; /* set after lookup_init; write NULL: of earlier text */
    struct slots slots;          /* owns */
    int n_vocab;
    struct draft_row rows[DRAFTS_MOST]; /* of the last answer */
};

/* root: the prefix hash of no ids. */
int lookup_init(struct lookup *l, int n_slots, int n_ctx, uint64_t root, int n_vocab, struct err *err);
void lookup_free(struct lookup *l); /* NULL and zeroed are fine */

/* *out is borrowed until the next call. E_PEER: an id outside the vocabulary. */
int lookup_draft(struct lookup *l, const struct draft_ask *ask, struct draft *out, struct err *err);

#endif
