/* terminal.h -- whether a standard stream is a terminal that a person looks at.
 *
 * Under mpirun isatty lies: every rank's output is a terminal of the launcher's, its input never one, but for a rank 0
 * that scripts/mpirun runs itself (proto/launcher.h). There scripts/mpirun says it, in PILOTFISH_STDIN_TTY,
 * PILOTFISH_TTY and PILOTFISH_STDERR_TTY (1 or 0).
 */
#ifndef COORDINATOR_CLI_TERMINAL_H
#define COORDINATOR_CLI_TERMINAL_H

#include <stdbool.h>
#include <stdio.h>

/* f: stdin, stdout or stderr. */
bool terminal_is(FILE *f);

#endif
