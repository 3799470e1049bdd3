/* output.h -- what a person or a program reads of a generation: text as it is accepted, a closing line, JSON lines.
 *
 * Text goes to standard output and nothing else does; everything else goes to standard error. Accepted drafts and
 * corrections have colours (auto: if standard output is a terminal; see terminal.h). Bytes that end inside a character
 * are held back until it is complete. Every write is flushed. With several prompts, text and JSON lines come out in
 * the order of the input, in whatever order they finish; the text whose turn it is streams. A prompt that cannot be
 * answered has its turn too: a line of JSON with its error, or the error on standard error; so has a request that
 * failed, with its text so far. If there is only one prompt, the program prints its error at the end.
 *
 * Requests may differ in all their settings: each is shown by its own.
 */
#ifndef COORDINATOR_CLI_OUTPUT_H
#define COORDINATOR_CLI_OUTPUT_H

#include <stdio.h>

#include "coordinator/job.h"
#include "coordinator/cli/options.h"
#include "coordinator/cli/prompts.h"
#include "coordinator/decode/seq.h"
#include "coordinator/text/tokenizer.h"

struct output;

struct output_io { /* where an output writes; borrowed */
    FILE *out, *notes;
    bool terminal; /* out is one */
};

/* prompts: for their names in JSON lines, and their errors; a seq's index is its prompt's. Borrows all until
 * output_close. */
int output_open(struct output **out, const struct options *o, const struct tokenizer *t, const struct prompts *prompts,
                struct err *err);
/* JSON lines have the round trips to the job's workers, as far as they are measured. Borrowed until output_close. */
void output_set_job(struct output *f, const struct job *job);
int output_open_io(struct output **out, const struct options *o, const struct tokenizer *t,
                   const struct prompts *prompts, const struct output_io *io, struct err *err);

/* Shows new final tokens of a sequence. A write that fails (closed pipe) is an error. The seq is borrowed until
 * output_close, its ids until they are shown. */
int output_tokens(struct output *f, const struct seq *s, struct err *err);
/* The sequence is done: shows it when its turn has come. */
int output_done(struct output *f, const struct seq *s, struct err *err);
/* How many prompts, from the first on, have been shown completely. */
int output_n_shown(const struct output *f);
/* Whether the last line of text on the terminal is not complete. */
bool output_is_writing(const struct output *f);
/* These functions as a watch of a job. */
struct job_watch output_watch(struct output *f);
/* Shows what unfinished sequences have so far, then the closing lines (closing.h). interrupted: a line reports it. */
int output_finish(struct output *f, uint64_t now_ns, bool interrupted, struct err *err);
void output_close(struct output *f);

/* Writes why a prompt was not answered, as a line of JSON or on io->notes. */
int output_refuse(const struct output_io *io, enum format format, const struct prompt *p, int index, const char *why,
                  struct err *err);

#endif
