/* line.h -- the lines of a conversation: typed by a person (with editing and recall, by libedit), or read from a pipe.
 *
 * Text is UTF-8, in any locale. At a terminal a paste is one line, with its newlines, until Enter (bracketed paste).
 * At a terminal the first Ctrl-C drops the typed line, and a second one ends with E_INTERRUPT. Signals are handled
 * here only while lines_next waits, and what the caller has to look at meanwhile it does in `idle`.
 */
#ifndef COORDINATOR_CLI_LINE_H
#define COORDINATOR_CLI_LINE_H

#include <stdbool.h>
#include <stddef.h>

#include "proto/err.h"

struct lines; /* owns the terminal's settings while it waits for a line */

enum line_kind { LINE_TEXT, LINE_TAKEN_BACK, LINE_NO_MORE }; /* taken back: by Ctrl-C */

struct line {
    enum line_kind kind;
    char *text; /* of LINE_TEXT: without the newline at its end and a CR before it; borrowed until the next one */
    size_t n;
};

struct lines_idle { /* called LINES_IDLE_MS after each other while a line is awaited; an error ends lines_next */
    int (*look)(void *arg, struct err *err); /* NULL: there is nothing to look at */
    void *arg;
};
enum { LINES_IDLE_MS = 200 };

int lines_open(struct lines **out, struct lines_idle idle, struct err *err);
void lines_close(struct lines *l); /* NULL is fine */

/* Whether standard input and output are both a person's terminal. Under plain mpirun they never are. */
bool lines_are_typed(const struct lines *l);
int lines_n_read(const struct lines *l);

/* prompt: shown if lines are typed. E_INTERRUPT, E_TERMINATED: by the signal; or the error of `idle`. */
int lines_next(struct lines *l, const char *prompt, struct line *out, struct err *err);

#endif
