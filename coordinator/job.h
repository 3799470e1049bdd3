/* job.h -- the coordinator's loop: libuv around the pure spec. Messages in, events to spec, actions out as messages.
 *
 *   job_open:    Hello from every peer ─ check that they fit together ─ Welcome ─ Ready
 *   job_submit:  a request, which starts when a slot is free; job_cancel ends it. Any number, at any time on the loop
 *   job_run:     submits some and runs the loop until all are done; any number of times: slots keep what they hold
 *   job_close:   Quit
 *
 * It owns the loop (job_loop: other modules may register on it), the coordinator's mailbox and the signals (Ctrl-C
 * ends a run with E_INTERRUPT, SIGTERM as job_terminated says; the text so far has been shown by then). A worker's Fail
 * is returned as the error of the call, except from a drafter that serves already: its requests go on without drafts,
 * or fail if they are lossy.
 */
#ifndef COORDINATOR_JOB_H
#define COORDINATOR_JOB_H

#include <stdio.h>

#include "coordinator/cli/progress.h"
#include "coordinator/decode/score.h"
#include "coordinator/decode/seq.h"
#include "coordinator/decode/spec.h"
#include "proto/layout.h"
#include "proto/router.h"

struct job;
struct trace;
struct uv_loop_s;

struct job_guest { /* a module on the job's loop; NULL functions: none */
    int (*open)(void *arg, struct uv_loop_s *loop, struct err *err); /* before the workers are awaited */
    void (*close)(void *arg);                                        /* before the loop is closed, if it was opened */
    void *arg;
};

struct job_config {
    struct layout layout;
    uint64_t vocab_big, vocab_little; /* fingerprints of the vocabularies that the coordinator has read */
    int n_ids, n_proposed;            /* see struct spec_drafter */
    int n_ctx;                        /* wanted; the model's own context is the limit */
    int n_slots;                      /* requests that run at once: of all groups, shared out evenly */
    bool auto_stages, auto_shards;    /* the workers' shares are chosen when all have said Hello (shares.h) */
    int self_max, prompt_rows;        /* see struct spec_config */
    int start_s;                      /* how long a worker may be silent before it is Ready (deadline.h) */
    const char *(*host_of)(int rank); /* see workers_init */
    bool interruptible; /* during a run Ctrl-C ends its requests as they are; between runs the job watches no signal */
    bool (*stops)(const struct stops *stops, const struct seq *s); /* NULL: none */
    void (*on_lost)(void *arg); /* called when a worker is lost without a word: nothing may wait for it; NULL: none */
    void *on_lost_arg;
    struct job_guest guest;
    struct progress *progress; /* borrowed until job_close: gets the progress of loads, runs and scores; NULL: none */
};

struct job_info {                     /* set when job_open is done */
    int n_workers, n_threads;         /* n_threads: of the first group's leader */
    int n_groups;                     /* of verifiers */
    int n_slots, n_ctx;               /* n_slots: of all groups */
    uint64_t weights_bytes, kv_bytes; /* over all workers */
    uint64_t little_bytes;            /* of weights_bytes, the little model's */
    uint64_t big, little, plan;       /* fingerprints, see struct hello; little 0: there is none */
    uint32_t arithmetic;              /* of big */
};

struct job_watch { /* called on the loop; an error ends the run; a member may be NULL */
    int (*tokens)(void *arg, const struct seq *s, struct err *err);
    int (*done)(void *arg, const struct seq *s, struct err *err);
    /* Posted to, or received from, a verifier of the group; -1: a drafter. */
    void (*message)(void *arg, int group, const struct message *m, uint64_t now_ns);
    void *arg;
    bool (*writing)(const void *arg); /* the terminal's line is not complete, so no progress is shown; NULL: never */
};

/* The prefix hash of no ids, in a job over this vocabulary. */
uint64_t job_root(uint64_t vocab_big);

/* Borrows the router until job_close. */
int job_open(struct job **out, const struct job_config *config, struct router *router, struct err *err);
void job_info(const struct job *j, struct job_info *out);
void job_list_workers(const struct job *j, FILE *to);                                   /* workers_list */
bool job_device_note(const struct job *j, int i, bool chosen, char *line, size_t size); /* workers_device_note */
void job_list_links(const struct job *j, FILE *to); /* a line for each worker that has answered a Ping: round trip */

struct job_link { /* what went over one way of a link, without Pings and Pongs */
    uint64_t n_messages, n_bytes;
};

struct job_worker { /* what is known of one */
    enum role role;
    int rank, group, stage, shard, n_threads; /* group: of verifiers; 0 for a drafter */
    const char *host;                         /* borrowed until job_close */
    uint64_t weights_bytes;
    uint64_t rtt_ns;            /* of a message and its answer; 0: not measured yet */
    struct job_link up, down;   /* up: to it */
    uint64_t busy_us, ready_us; /* in passes; since it was ready; as it last said */
};
/* The i-th of job_info's n_workers. */
void job_worker(const struct job *j, int i, struct job_worker *out);

struct uv_loop_s *job_loop(struct job *j);
/* What SIGTERM says: of one process E_TERMINATED; over ranks E_PEER, since so mpirun tells them that one is gone. It
 * names the one of which scripts/mpirun says so. */
int job_terminated(const struct job *j, struct err *err);
/* OK, or the error that ended the job on the loop. */
int job_error(const struct job *j, struct err *err);
/* Its functions are called for tokens and ends from now on; borrowed until the next call. */
void job_set_watch(struct job *j, const struct job_watch *watch);
/* Gets all messages from now on; borrowed until the next call. NULL: none does. */
void job_set_trace(struct job *j, struct trace *trace);
/* Called on the loop, but not from a watch. s is SEQ_WAITING, and borrowed until its `done`. */
int job_submit(struct job *j, struct seq *s, struct err *err);
/* Called as job_submit. The request ends as it is: SEQ_ABORTED; nothing happens if it has ended already. */
int job_cancel(struct job *j, struct seq *s, struct err *err);

/* Submits them all, and runs the loop until they are done. */
int job_run(struct job *j, struct seq *seqs, int n_seqs, const struct job_watch *watch, struct err *err);

/* Between runs, now and then: takes what has come, and looks whether all workers live. Does not wait. An error ends the
 * job. */
int job_look(struct job *j, struct err *err);

/* For benchmarks, between runs. What texts of a group have taught so far: it may be replaced. */
struct draft_profile *job_profile(struct job *j, int group);
/* The links have changed: waits until round trips are measured anew. */
int job_measure_links(struct job *j, struct err *err);
struct job_traffic {
    uint64_t bytes_up, bytes_down; /* with the verifiers, since job_open; without Pings and Pongs */
};
struct job_traffic job_traffic(const struct job *j);
uint64_t job_rtt_ns(const struct job *j, int group); /* to the group's leader and the drafter, together */

/* Scores a text. The job sets slots and bounds of the config, the caller the rest, and closes *out. */
int job_score(struct job *j, const struct score_config *config, struct score **out, struct err *err);

/* Sends Quit to every worker, with the reason: OK, or the code of what failed. Needed also if job_open was not called
 * or failed: workers that have sent Hello wait for an answer. An emulated network does not delay it. */
void job_quit(struct router *router, const struct layout *l, int code, const char *text);
void job_close(struct job *j); /* NULL is fine; does not send Quit */

#endif
