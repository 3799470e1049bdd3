/* role_drafter.h -- the little model writes drafts, token by token, for all sequences that ask, in one pass a token; an
 * n-gram drafter, which has no model, copies what followed the text's end when it stood earlier in the text.
 *
 *   coordinator ──DraftAsk (at, prefix_hash) ids until──▶ read ids ─▶ draft, draft, ... ──Draft rows──▶ coordinator
 *
 * The slot's history holds its own drafts too. After full acceptance the ask begins with them, so they are kept and
 * only what was never fed is fed: the last draft, whose KV row is still missing, and big's own token.
 */
#ifndef WORKER_ROLES_ROLE_DRAFTER_H
#define WORKER_ROLES_ROLE_DRAFTER_H

#include "worker/roles/role.h"

/* Returns after Quit. */
int drafter_serve(struct worker *w, struct err *err);

#endif
