/* role_verifier.h -- a verifier: one shard of the big model.
 *
 *   coordinator ──Verify──▶ leader: queue ─ check (at, prefix_hash) ─ merge parts of many sequences ─▶ pass
 *      leader ──Pass──▶ the other shards of its stage        stage s, shard i ──Pass──▶ stage s+1, shard i
 *      last stage, shard 0 ──Verdict──▶ coordinator          (the leader answers parts that do not apply)
 *      last stage, shard 0 ──Token──▶ leader                 (if it asked for one: lead.h, self-start)
 *                          ──Token──▶ stages between         (if it contradicts a draft: drops.h)
 *   coordinator ──DraftAsk──▶ leader ──Draft──▶ coordinator  (of lossy texts, without a little model: lookup.h)
 *
 * Only the leader (first stage, shard 0) decides what is in a pass; all other shards compute what the Pass lists, in
 * the leader's order, so shards never differ. With several stages the leader starts the next pass while later stages
 * still compute this one.
 *
 * Before a later stage computes a pass, it drops the parts of it that are of no use by now, because the last has
 * contradicted a draft before them (drops.h). Shards of the last stage all know its answers, so they drop the same;
 * those of a stage between tell each other what they know, in one gather. Later stages get such a part as dropped, and
 * the last answers that it does not follow.
 *
 * If a number of a row is not finite, the row's part fails, and so do parts that follow from it; other parts do not.
 * All shards of a stage see the same numbers, so all set the slot back to where the part began. The part goes to the
 * later stages with its error; they set their slots back too, and do not compute it. A stage keeps the error with the
 * slot: parts of that slot that the leader sent meanwhile fail with the same error, until a part begins at or before
 * the slot's end. The leader gets no message about it and may count more ids as held: `held` of the failed verdict is
 * what is true.
 */
#ifndef WORKER_ROLES_ROLE_VERIFIER_H
#define WORKER_ROLES_ROLE_VERIFIER_H

#include "worker/roles/role.h"

/* Returns after Quit. */
int verifier_serve(struct worker *w, struct err *err);

#endif
