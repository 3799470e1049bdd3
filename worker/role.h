/* role.h -- what the roles share: the inside of a worker, for worker.c, role_verifier.c and role_drafter.c. */
#ifndef WORKER_ROLE_H
#define WORKER_ROLE_H

#include "worker/engine/engine.h"
#include "worker/slots.h"
#include "worker/worker.h"

enum {
    PASS_ROWS = 128,      /* rows of a pass: enough for a prompt to run at the speed of arithmetic */
    MAX_JOBS = 256,       /* unanswered parts of a group */
    JOB_ARENA = 256 << 10 /* a part of PASS_ROWS rows takes a tenth of it, in its message */
};

struct worker {
    const struct worker_config *config;
    const struct group *group; /* its own; in config */
    struct mailbox *mailbox;
    struct engine *engine; /* owns; NULL for n-gram */
    struct engine_info info;
    struct slots slots; /* of every role: what a part or an ask goes on from is checked by all who compute it */
    struct wire_arena in, out;
    uint64_t told_bytes; /* of what is loaded */
    bool quit;           /* Quit has come */
};

int worker_post(struct worker *w, int to, const struct message *m, struct err *err);

/* The next message, decoded into `arena` and borrowed until its next use. MAIL_NONE: none now (block false). */
int worker_next(struct worker *w, struct wire_arena *arena, bool block, struct message *out, struct err *err);

int verifier_serve(struct worker *w, struct err *err);
int drafter_serve(struct worker *w, struct err *err);

#endif
