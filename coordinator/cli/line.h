/* line.h -- lines for a conversation: typed by a person (with editing and recall, by libedit), or read from a pipe.
 *
 * Text is UTF-8, whatever the locale says. At a terminal a paste is one line, with the newlines that it has, until
 * Enter (bracketed paste). Ctrl-C there takes back what is typed and asks for a second one, which ends with
 * E_INTERRUPT; while nobody waits for a line, signals are not watched here.
 */
#ifndef COORDINATOR_CLI_LINE_H
#define COORDINATOR_CLI_LINE_H

#include <stdbool.h>
#include <stddef.h>

#include "proto/err.h"

struct lines; /* owns the terminal's settings while it waits for a line */

enum line_kind { LINE_TEXT, LINE_TAKEN_BACK, LINE_NO_MORE };

struct line {
    enum line_kind kind;
    char *text; /* of LINE_TEXT: without the newline at its end, nor the CR before it; borrowed until the next one */
    size_t n;
};

int lines_open(struct lines **out, struct err *err);
void lines_close(struct lines *l); /* NULL is fine */

/* Standard input is a person's terminal, and so is standard output. Under mpirun it never is. */
bool lines_are_typed(const struct lines *l);
int lines_n_read(const struct lines *l);

/* prompt: shown where it is typed. E_INTERRUPT, E_TERMINATED: by the signal. */
int lines_next(struct lines *l, const char *prompt, struct line *out, struct err *err);

#endif
