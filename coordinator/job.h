/* job.h -- the coordinator's shell: libuv's loop around the pure spec. Messages in, events to spec, actions out as
 * messages.
 *
 *   job_open:    Hello from every peer ─ check that they fit together ─ Welcome ─ Ready
 *   job_submit:  a request that starts when a slot is free; job_cancel ends it. Any number, at any moment of the loop
 *   job_run:     submits some and runs the loop until all are done; again and again, over what the workers hold by then
 *   job_close:   Quit
 *
 * It owns the loop (job_loop: others may register on it), the coordinator's mailbox and the signals (Ctrl-C ends a run
 * with E_INTERRUPT, SIGTERM with E_TERMINATED; the text so far has been shown by then). What a worker reports as Fail is
 * returned as the error of the call, but for a drafter that serves already: its requests go on without it, or fail.
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

struct job_config {
    struct layout layout;
    uint64_t vocab_big, vocab_little; /* fingerprints of the vocabularies as this side read them */
    int n_ids, n_proposed;            /* see struct spec_drafter */
    int n_ctx;                        /* asked; the model's own context caps it */
    int n_slots;                      /* requests that run at once */
    int self_max;                     /* see struct spec_config */
    bool interruptible; /* Ctrl-C ends the requests of a run as they are; between runs it does what it does elsewhere */
    bool (*stops)(const struct stops *stops, const struct seq *s); /* NULL: none */
    struct progress *progress; /* borrowed until job_close: how far the load, a run, a score is; NULL: nobody looks */
};

struct job_info {             /* known once job_open is done */
    int n_workers, n_threads; /* that said Hello; of the verifier's leader */
    int n_ctx;
    uint64_t weights_bytes, kv_bytes; /* over all workers */
    uint64_t little_bytes;            /* of the weights the little model's */
};

struct job_watch { /* called on the loop; an error ends the run; NULL: nobody looks */
    int (*tokens)(void *arg, const struct seq *s, struct err *err);
    int (*done)(void *arg, const struct seq *s, struct err *err);
    void *arg;
    bool (*writing)(const void *arg); /* within a line on the terminal, which progress would tear; NULL: never */
};

/* The prefix hash of no ids, in a job over this vocabulary. */
uint64_t job_root(uint64_t vocab_big);

/* Borrows the router until job_close. */
int job_open(struct job **out, const struct job_config *config, struct router *router, struct err *err);
void job_info(const struct job *j, struct job_info *out);
void job_list_workers(const struct job *j, FILE *to); /* a line each: host, threads, kernels */

struct uv_loop_s *job_loop(struct job *j);
/* OK, or what went wrong on the loop: nothing works any more then. */
int job_error(const struct job *j, struct err *err);
/* Who is told of tokens and ends from now on; borrowed until the next call. */
void job_set_watch(struct job *j, const struct job_watch *watch);
/* From anywhere on the loop but a watch. s is SEQ_WAITING, and borrowed until its `done`. */
int job_submit(struct job *j, struct seq *s, struct err *err);
/* The same. It ends as it is, SEQ_ABORTED; nothing where it has ended already. */
int job_cancel(struct job *j, struct seq *s, struct err *err);

/* Submits them all, and runs the loop until they are done. */
int job_run(struct job *j, struct seq *seqs, int n_seqs, const struct job_watch *watch, struct err *err);

/* Scores a text (slots and bounds of the config are the job's own; the rest is the caller's). *out is the caller's to
 * close. */
int job_score(struct job *j, const struct score_config *config, struct score **out, struct err *err);

/* Tells every worker why the job is over: OK, or the code of what failed. Also the way out when job_open was never
 * called or failed: workers that said Hello wait for an answer. They hear it at once, over an emulated network too. */
void job_quit(struct router *router, const struct layout *l, int code, const char *text);
void job_close(struct job *j); /* NULL is fine; does not say Quit */

#endif
