/* line.h -- a line from a person (with editing and recall, by libedit) or from a pipe. */
#ifndef COORDINATOR_LINE_H
#define COORDINATOR_LINE_H

#include <stdbool.h>

/* Standard input is a person's terminal, and so is standard output. Under mpirun it never is. */
bool line_is_typed(void);
/* Without its newline; malloc'd. NULL: there are no more. prompt: shown where it is typed. */
char *line_read(const char *prompt);

#endif
