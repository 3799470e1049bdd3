/* other_plans.h -- plans over the weights and KV caches that a served plan has.
 *
 * By some the model drafts for itself (--draft-plan): self-speculation as in LayerSkip (2404.16710), with the blocks
 * that such a plan leaves. Where it begins as the served plan does, what the draft computes is what that would compute,
 * bit for bit: K, V and hidden rows. So the draft writes the served plan's own caches, and a pass that judges it goes
 * on behind these entries (LayerSkip, section 4.3). Behind them each entry reads and writes the cache of the served
 * plan's entry with the same block, at the nearest time (the sum of the steps before it): the context is as the served
 * plan has it, the drafted positions are written again by the pass that judges them. (If that cache is of an entry that
 * both begin with, the pass goes on before that one.) The draft runs where the first stage is, and needs no weights and
 * no caches beyond what that has, but for the head: so it is the same however many stages there are.
 *
 * A side file's block (Balcony, 2503.05005) has a cache of its own, and no part in the served plan. Its K and V are
 * needed at each position: of drafted ids the draft writes them, of all others the pass that feeds them
 * (engine_span.fills). Where there are several such blocks, of several plans or of a search over exits, they are
 * written of each, whichever it is that drafts: so any plan may draft behind any text.
 *
 * By another, which a part of a message may name, all of a text is run, over all stages: each of its entries has one of
 * the served plan's caches to itself.
 */
#ifndef WORKER_ENGINE_OTHER_PLANS_H
#define WORKER_ENGINE_OTHER_PLANS_H

#include "proto/err.h"

struct model;

/* Sets m->drafts from texts of plan.h, NULL behind the last, after the stages are cut; of a search, which is the only
 * one, all of the first stage's entries, and m->part_costs. E_MODEL: one does not fit the model or the served plan.
 * E_LAYOUT: it needs what only later stages have. */
int draft_plans_open(struct model *m, const char *const texts[], struct err *err);

/* Gives the drafts' side blocks their caches, when m->sides have theirs. */
void other_plans_place(struct model *m);

/* Another plan for drafts than the only one, of a model that is loaded. E_MODEL, E_LAYOUT: likewise; then there is
 * none. */
int draft_plan_change(struct model *m, const char *text, struct err *err);

/* Sets m->other, and which of its entries this stage runs. E_MODEL: it does not fit the model or the served plan.
 * E_LAYOUT: it does not run through the stages in order. */
int other_plan_open(struct model *m, const char *text, struct err *err);

#endif
