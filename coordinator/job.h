/* job.h -- the coordinator's shell: libuv's loop around the pure spec. Messages in, events to spec, actions out as
 * messages.
 *
 *   job_open:  Hello from every peer ─ check that they fit together ─ Welcome ─ Ready
 *   job_run:   any number of runs over the same workers, each with its own sequences and policy
 *              or its parts: job_begin, any number of job_turn, job_end; a turn goes on from what workers hold of the
 *              ones before
 *   job_close: Quit
 *
 * It owns the loop, the coordinator's mailbox and the signals (Ctrl-C ends a run with E_INTERRUPT, SIGTERM with
 * E_TERMINATED; the text so far has been shown by then). Whatever a worker reports as Fail is returned as the error of
 * the call.
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
    int n_ctx;                        /* asked; the model's own context caps it */
    int n_slots;
    struct progress *progress; /* borrowed until job_close: how far the load, a turn, a score is; NULL: nobody looks */
};

struct job_info {             /* known once job_open is done */
    int n_workers, n_threads; /* that said Hello; of the verifier's leader */
    int n_ctx;
    uint64_t weights_bytes, kv_bytes; /* over all workers */
    uint64_t little_bytes;            /* of the weights the little model's */
};

struct job_run { /* what differs from run to run; see spec_config */
    bool drafting, guard, ignore_eos;
    bool interruptible; /* Ctrl-C ends the sequences of a turn as they are, and is nobody's between turns */
    int draft_max, draft_ctx;
    int n_lanes;
    int n_ids, n_proposed;
    const int32_t *end_ids;
    int n_end_ids, n_top;
    struct rule rule;
    float fallback;
    struct sampler sampler;
    bool (*stops)(const void *arg, const struct seq *s); /* NULL: none */
    const void *stops_arg;
};

struct job_watch { /* called on the loop; an error ends the run; NULL: nobody looks */
    int (*tokens)(void *arg, const struct seq *s, struct err *err);
    int (*done)(void *arg, const struct seq *s, struct err *err);
    void *arg;
    bool (*writing)(const void *arg); /* within a line on the terminal, which progress would tear; NULL: never */
};

/* h[0] of every history of a job over this vocabulary. */
uint64_t job_root(uint64_t vocab_big);

/* Borrows the router until job_close. */
int job_open(struct job **out, const struct job_config *config, struct router *router, struct err *err);
void job_info(const struct job *j, struct job_info *out);
void job_say_workers(const struct job *j, FILE *to); /* a line each: host, threads, kernels */
int job_begin(struct job *j, const struct job_run *run, struct err *err);
int job_turn(struct job *j, struct seq *seqs, int n_seqs, const struct job_watch *watch, struct err *err);
void job_end(struct job *j);
int job_run(struct job *j, const struct job_run *run, struct seq *seqs, int n_seqs, const struct job_watch *watch,
            struct err *err);

/* Scores a text (slots and bounds of the config are the job's own; the rest is the caller's). *out is the caller's to
 * close. */
int job_score(struct job *j, const struct score_config *config, struct score **out, struct err *err);

/* Tells every worker why the job is over: OK, or the code of what failed. Also the way out when job_open was never
 * called or failed: workers that said Hello wait for an answer. */
void job_quit(struct router *router, const struct layout *l, int code, const char *text);
void job_close(struct job *j); /* NULL is fine; does not say Quit */

uint64_t job_now_ns(void);

#endif
