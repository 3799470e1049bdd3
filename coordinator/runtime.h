/* runtime.h -- what every command that computes has: vocabularies, workers, and a job over them, as the options
 * demand.
 *
 * Vocabularies are opened here, weights are not: workers load them, and `launch` starts the workers of this process
 * (in main.c, because the coordinator cannot see them).
 */
#ifndef COORDINATOR_RUNTIME_H
#define COORDINATOR_RUNTIME_H

#include "coordinator/job.h"
#include "coordinator/metadata.h"
#include "coordinator/cli/options.h"
#include "coordinator/cli/prompts.h"
#include "coordinator/text/stop.h"
#include "coordinator/text/tokenizer.h"
#include "proto/router.h"

struct trace;
struct launch { /* where a command runs */
    struct layout layout;
    struct router *router;
    int (*start)(void *arg, struct err *err); /* the workers of this process */
    void (*on_lost)(void *arg);               /* a worker is lost: nothing may wait for it */
    const char *(*host_of)(int rank);         /* before its Hello; NULL: not known */
    void *arg;
};

struct runtime {
    struct options o; /* with a seed drawn */
    const struct launch *launch;
    struct metadata metadata[2]; /* of the models that only workers have */
    struct gguf big, little;     /* borrow from it */
    struct tokenizer *big_t, *little_t;
    int n_ids; /* ids below it are in both vocabularies */
    struct stops stops;
    struct job_guest guest; /* for the job's loop; the command may set it before runtime_start */
    struct job *job;        /* after runtime_start */
    struct trace *trace;    /* owns; NULL: none */
    struct job_info info;
    struct progress progress;
};

/* Reads the vocabularies. The caller calls runtime_close after an error too. */
int runtime_open(struct runtime *s, const struct options *o, const struct launch *launch, struct err *err);
/* Starts the workers, with n_slots slots, waits until all are ready, and prints on standard error how much memory they
 * take. */
int runtime_start(struct runtime *s, int n_slots, struct err *err);
/* Before runtime_start. Opens the file of --trace, if there is one, which gets all messages of the job. E_USAGE. */
int runtime_trace(struct runtime *s, struct err *err);
/* The settings of a request that has none of its own: those of the options. Borrows the runtime. */
struct settings runtime_settings(const struct runtime *s);

/* The prompts that the options name, each with its settings; and how many of them run at once. */
int runtime_prompts(const struct runtime *s, struct prompts *out, struct err *err);
int runtime_n_slots(const struct runtime *s, const struct prompts *p);
/* The sequences of all prompts that can be answered, in order: p->n_good of them, for seqs_free. They borrow the ids
 * until they start. drafting false: none of them has drafts. */
int runtime_seqs(const struct runtime *s, const struct prompts *p, bool drafting, struct seq **out, struct err *err);
int runtime_seq(const struct runtime *s, const struct prompt *p, int index, bool drafting, struct seq *out,
                struct err *err);

/* rc, why: how the command ends; the workers get it with Quit. rc, or the trace could not be written. */
int runtime_close(struct runtime *s, int rc, struct err *why);

#endif
