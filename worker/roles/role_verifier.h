/* role_verifier.h -- a shard of the big model.
 *
 *   coordinator ──Verify──▶ leader: queue ─ check (at, prefix_hash) ─ merge parts of many sequences ─▶ pass
 *      leader ──Pass──▶ the other shards of its stage        stage s, shard i ──Pass──▶ stage s+1, shard i
 *      last stage, shard 0 ──Verdict──▶ coordinator          (the leader answers parts that do not apply)
 *
 * The leader (first stage, shard 0) decides alone what is in a pass; every other shard does what the Pass says, in the
 * leader's order, so shards never disagree. With several stages the leader goes on with the next pass while later
 * stages still work on this one.
 *
 * A part with a row that comes to a number that is not finite fails alone, and with it what goes on from it: all shards
 * of a stage see the same numbers, so all give its slot back to where the part began. With its error it goes through
 * the later stages, whose slots go back too, and which leave it out. They remember why: parts of that slot that the
 * leader sent on meanwhile fail with the same words, until one begins where the slot ends or before. The leader does
 * not hear of it, and may think that the slot holds more: what a failed verdict says is held is what counts.
 */
#ifndef WORKER_ROLES_ROLE_VERIFIER_H
#define WORKER_ROLES_ROLE_VERIFIER_H

#include "worker/roles/role.h"

/* Returns after Quit. */
int verifier_serve(struct worker *w, struct err *err);

#endif
