/* output.h -- what a person or a program sees of a generation: text as it is accepted, a closing line, JSON lines.
 *
 * Text goes to standard output and nothing else does; all else goes to standard error. Accepted drafts and big's own
 * tokens have different colours (auto: where standard output is a terminal; PILOTFISH_TTY=1 or 0 decides where it is
 * set, since under mpirun isatty lies, and scripts/mpirun knows). Bytes that end inside a character are held back until
 * it is complete. Every write is flushed. With several prompts, text and JSON lines come out in input order, however
 * they finish; of texts, the one whose turn it is streams. A prompt that cannot be answered has its turn too: a line of
 * JSON with its error, or the error on standard error; so has a request that failed, beside what it had so far. The
 * error of the only one is the program's to print.
 *
 * Requests may differ in all their settings: what is said of one is said by its own.
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

/* Of the prompts their names, for JSON lines, and their errors; a seq's index is its prompt's. Borrows all until
 * output_close. */
int output_open(struct output **out, const struct options *o, const struct tokenizer *t, const struct prompts *prompts,
                struct err *err);
int output_open_io(struct output **out, const struct options *o, const struct tokenizer *t,
                   const struct prompts *prompts, const struct output_io *io, struct err *err);

/* New final tokens of a sequence (those past what was shown before). A write that fails (closed pipe) is an error. The
 * seq is borrowed until output_close, its ids until it was shown. */
int output_tokens(struct output *f, const struct seq *s, struct err *err);
/* The sequence is done: shows it where its turn has come. */
int output_done(struct output *f, const struct seq *s, struct err *err);
/* So many of the first prompts have been shown to their end. */
int output_n_shown(const struct output *f);
/* The terminal's cursor is within a text. */
bool output_is_writing(const struct output *f);
/* All of them, for a job to call. */
struct job_watch output_watch(struct output *f);
/* Shows what sequences that are not done have so far, then the closing line over all; with --stats a table.
 * interrupted: says so. */
int output_finish(struct output *f, uint64_t now_ns, bool interrupted, struct err *err);
void output_close(struct output *f);

/* Of a prompt that was not answered: why, as a line of JSON or of notes. */
int output_refuse(const struct output_io *io, enum format format, const struct prompt *p, int index, const char *why,
                  struct err *err);

#endif
