/* role.h -- what a worker has, and how it sends and receives: shared by all roles.
 *
 *   worker_run (worker.h) ──fills──▶ struct worker ──▶ verifier_serve or drafter_serve ──▶ worker_next, worker_post
 *
 * From Ready to Quit a worker answers the coordinator's Pings, whatever it does: while it waits for a message, between
 * two blocks of a pass, and while a gather waits for other shards (worker_look). As often it sends Pongs of its own to
 * the ranks of its group that it has links to (links.h). If nothing comes from the coordinator for SILENCE_S, that is
 * lost, and the worker ends. A worker that was itself stopped for a while counts from then on.
 */
#ifndef WORKER_ROLES_ROLE_H
#define WORKER_ROLES_ROLE_H

#include "proto/mailbox.h"
#include "worker/engine/engine.h"
#include "worker/roles/lead.h"
#include "worker/roles/links.h"
#include "worker/roles/slots.h"
#include "worker/worker_config.h"

enum { JOB_ARENA = 1 << 20 }; /* ten times the message of a part of PASS_ROWS_MOST rows */
enum {
    SILENCE_S = 60,    /* without a message from the coordinator */
    GATHER_S = 10,     /* that a gather waits for another shard */
    QUIT_GATHER_S = 1, /* and once the job is over */
    STOPPED_S = 5,     /* between two looks: this process was stopped */
    LOOK_MS = 50,      /* between two looks in a pass, at least */
    WAIT_MS = 250      /* between two looks at the clock while nothing is to do */
};

struct kept { /* mail that came during a pass, oldest first */
    struct kept *next;
    struct mail mail;
};

struct pulse {                 /* of a worker that serves: what its Pongs say, and what it knows of the coordinator */
    uint64_t heard_ns;         /* when the coordinator's last message came; 0: not Ready yet */
    uint64_t looked_ns;        /* the last look at the mailbox */
    uint64_t gather_ns;        /* since when the gather waits that waits, or waited last */
    unsigned n_gathers;        /* its number */
    uint64_t quit_ns;          /* when Quit came during a pass */
    uint32_t n_passes;         /* done */
    uint64_t ready_ns;         /* the first Ping's time; 0: none came */
    uint64_t pass_ns, busy_ns; /* when this pass began, 0: none runs; that those before took */
    uint32_t block_us, last_block_us; /* the longest time between two looks in this pass; in the last one */
    bool alone;                       /* the coordinator is lost */
    bool busy;                        /* a pass runs, or is due */
    int waits_for;                    /* a peer; PEER_COORDINATOR: none */
    const char *draft_plan;           /* borrowed: by which it drafts, if it looks for one */
    uint32_t n_trials;                /* of plans */
    uint32_t n_dropped;               /* rows that were of no use any more */
};

struct worker {
    const struct worker_config *config;
    const struct group *group; /* its own; in config */
    struct mailbox *mailbox;
    struct device_pick device;
    struct engine *engine; /* owns */
    struct engine_info info;
    struct slots slots; /* in every role: each worker checks what a part or an ask follows */
    struct wire_arena in, out;
    uint64_t told_bytes, told_ns; /* how much is loaded, as last reported, and when */
    struct kept *kept;            /* owns */
    struct pulse pulse;
    struct links links;
    bool quit; /* Quit has come */
};

/* Rows that a pass of this worker has room for; those that it may have, by --max-rows, too. */
int worker_pass_rows(const struct worker *w);
int worker_max_rows(const struct worker *w);

/* Encodes in w->out. */
int worker_post(struct worker *w, int to, const struct message *m, struct err *err);

/* The next message, decoded into `arena` and borrowed until its next use; Pings are answered. MAIL_NONE: none within
 * wait_us (0: none now; UINT64_MAX: it waits for ever). E_PEER: not a message that its sender may send, or the
 * coordinator is lost. */
int worker_next(struct worker *w, struct wire_arena *arena, uint64_t wait_us, struct message *out, struct err *err);
/* The next message of this tag that is here, before others that came earlier. MAIL_NONE: there is none. */
int worker_next_of(struct worker *w, struct wire_arena *arena, int tag, struct message *out, struct err *err);
void worker_drop_kept(struct worker *w);

/* engine_config's `between` and collective's `waits` for a struct worker: answer Pings, and keep other messages.
 * E_PEER: the coordinator, or the shard that the gather waits for, is lost. */
int worker_look(void *w, struct err *err);
int worker_waits(void *w, int shard, struct err *err);
/* Before and after a pass. */
void worker_begin_pass(struct worker *w);
void worker_end_pass(struct worker *w);

#endif
