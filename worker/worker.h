/* worker.h -- a peer that computes: it sends Hello, makes room, and serves its role until Quit.
 *
 *   worker_run:  (Metadata ──▶)  Hello ──▶ ◀── Welcome   Loading ──▶ ...   Ready ──▶   serve ...   ◀── Quit
 *                            (a share in Welcome: Hello ──▶ ◀── Welcome once more)
 *                 └──────── Fail ──▶ ◀── Quit   (whatever goes wrong, at any step)
 *
 * A verifier runs passes over its share of the big model; a drafter runs the little model. Workers handle ids, never
 * text, and get thresholds without their reasons. They read the clock to report times, and for the leader's draft
 * policy (lead.h).
 */
#ifndef WORKER_WORKER_H
#define WORKER_WORKER_H

#include "proto/err.h"
#include "proto/mailbox.h"
#include "worker/worker_config.h"

/* Returns after Quit. OK, or the code of what went wrong here; the coordinator has got it as a Fail already, or the job
 * was over: then err has no text. */
int worker_run(const struct worker_config *config, struct mailbox *mailbox, struct err *err);

/* In place of worker_run, where a worker cannot even begin: the coordinator gets the cause. Returns after Quit; the
 * cause keeps its text only where that did not come. */
void worker_refuse(struct mailbox *mailbox, struct err *why);

#endif
