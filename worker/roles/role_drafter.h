/* role_drafter.h -- the drafter: the little model writes drafts, token by token, for all sequences that ask, in one
 * pass for each token of all.
 *
 *   coordinator ──DraftAsk (at, prefix_hash) ids until──▶ read ids ─▶ draft, draft, ... ──Draft rows──▶ coordinator
 *
 * A slot holds its own drafts too. After full acceptance the next ask begins with them, so they are kept, and only ids
 * that were never fed are fed: the last draft, whose KV row is still missing, and big's own token.
 */
#ifndef WORKER_ROLES_ROLE_DRAFTER_H
#define WORKER_ROLES_ROLE_DRAFTER_H

#include "worker/roles/role.h"

/* Returns after Quit. */
int drafter_serve(struct worker *w, struct err *err);

#endif
