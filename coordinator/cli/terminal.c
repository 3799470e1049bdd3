#include "coordinator/cli/terminal.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/launcher.h"

bool terminal_is(FILE *f)
{
    static const char *const names[] = {"PILOTFISH_STDIN_TTY", "PILOTFISH_TTY", "PILOTFISH_STDERR_TTY"};
    int fd = fileno(f), rank, size;
    const char *says = fd >= STDIN_FILENO && fd <= STDERR_FILENO ? getenv(names[fd]) : NULL;
    return says ? !strcmp(says, "1") : isatty(fd) && (!launcher_is_there(&rank, &size) || launcher_is_direct());
}
