/* terminal.h -- whether a standard stream is a terminal that a person looks at.
 *
 * Under mpirun isatty is wrong: every rank's output is a terminal of the launcher's, and its input never is one;
 * except for a rank 0 that scripts/mpirun runs itself (proto/launcher.h). For the others scripts/mpirun sets
 * PILOTFISH_STDIN_TTY, PILOTFISH_TTY and PILOTFISH_STDERR_TTY (1 or 0).
 */
#ifndef COORDINATOR_CLI_TERMINAL_H
#define COORDINATOR_CLI_TERMINAL_H

#include <stdbool.h>
#include <stdio.h>

/* f: stdin, stdout or stderr. */
bool terminal_is(FILE *f);

#endif
