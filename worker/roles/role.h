/* role.h -- what a worker has, and how it sends and receives: shared by all roles.
 *
 *   worker_run (worker.h) ──fills──▶ struct worker ──▶ verifier_serve or drafter_serve ──▶ worker_next, worker_post
 */
#ifndef WORKER_ROLES_ROLE_H
#define WORKER_ROLES_ROLE_H

#include "proto/mailbox.h"
#include "worker/engine/engine.h"
#include "worker/roles/lead.h"
#include "worker/roles/slots.h"
#include "worker/worker_config.h"

enum { JOB_ARENA = 256 << 10 }; /* ten times the message of a part of PASS_ROWS rows */

struct worker {
    const struct worker_config *config;
    const struct group *group; /* its own; in config */
    struct mailbox *mailbox;
    struct engine *engine; /* owns */
    struct engine_info info;
    struct slots slots; /* in every role: each worker checks what a part or an ask follows */
    struct wire_arena in, out;
    uint64_t told_bytes; /* how much is loaded, as last reported */
    bool quit;           /* Quit has come */
};

/* Encodes in w->out. */
int worker_post(struct worker *w, int to, const struct message *m, struct err *err);

/* The next message, decoded into `arena` and borrowed until its next use. MAIL_NONE: none now (block false). E_PEER:
 * not a message that its sender may send. */
int worker_next(struct worker *w, struct wire_arena *arena, bool block, struct message *out, struct err *err);

#endif
