/* front.h -- what a person or a program sees of a generation: text as it is accepted, a closing line, JSON lines.
 *
 * Text goes to standard output and nothing else does; all else goes to standard error. Accepted drafts and big's own
 * tokens have different colours (auto: where standard output is a terminal; PILOTFISH_TTY=1 or 0 decides where it is
 * set, since under mpirun isatty lies, and scripts/mpirun knows). Bytes that end inside a character are held back until
 * it is complete. Every write is flushed. With several prompts, text and JSON lines come out in input order, however
 * they finish; of texts, the one whose turn it is streams.
 */
#ifndef COORDINATOR_FRONT_H
#define COORDINATOR_FRONT_H

#include <stdio.h>

#include "coordinator/job.h"
#include "coordinator/options.h"
#include "coordinator/seq.h"
#include "coordinator/tokenizer.h"

struct front;

struct front_io { /* where a front writes; borrowed */
    FILE *out, *notes;
    bool terminal; /* out is one */
};

/* names[i]: the prompt's id or question_id for JSON lines; NULL: numbered. Borrows all until front_close. */
int front_open(struct front **out, const struct options *o, const struct tokenizer *t, int n_seqs,
               const char *const *names, struct err *err);
int front_open_io(struct front **out, const struct options *o, const struct tokenizer *t, int n_seqs,
                  const char *const *names, const struct front_io *io, struct err *err);

/* New final tokens of a sequence (those past what was shown before). A write that fails (closed pipe) is an error. The
 * seq is borrowed until front_close. */
int front_tokens(struct front *f, const struct seq *s, struct err *err);
/* The sequence is done: shows it where its turn has come. The seq is borrowed until front_close. */
int front_done(struct front *f, const struct seq *s, struct err *err);
/* Both, for a job to call. */
struct job_watch front_watch(struct front *f);
/* Shows what sequences that are not done have so far, then the closing line over all; with --stats a table.
 * interrupted: says so. */
int front_finish(struct front *f, uint64_t now_ns, bool interrupted, struct err *err);
void front_close(struct front *f);

#endif
