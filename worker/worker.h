/* worker.h -- a peer that computes: it introduces itself, makes room, serves its role until Quit.
 *
 *   worker_run:  (Metadata ──▶)  Hello ──▶ ◀── Welcome   Loading ──▶ ...   Ready ──▶   serve ...   ◀── Quit
 *                 └──────── Fail ──▶ ◀── Quit   (whatever goes wrong, at any step)
 *
 * A verifier's shard runs passes over its share of the big model; a drafter runs the little model, or looks for the
 * text's end earlier in the text (n-gram). Neither knows text, clocks other than for reporting, or why a threshold has
 * its value.
 */
#ifndef WORKER_WORKER_H
#define WORKER_WORKER_H

#include "proto/err.h"
#include "proto/mailbox.h"
#include "worker/worker_config.h"

/* Returns after Quit. OK, or the code of what went wrong here, which the coordinator has been told already. */
int worker_run(const struct worker_config *config, struct mailbox *mailbox, struct err *err);

#endif
