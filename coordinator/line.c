#include "coordinator/line.h"

#include <editline/readline.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/mailbox.h"

bool line_is_typed(void)
{
    int rank, size;
    return isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) && !mpi_launched(&rank, &size);
}

char *line_read(const char *prompt)
{
    char *line = NULL;
    if (line_is_typed()) {
        line = readline(prompt);
        if (line && *line) add_history(line);
        return line;
    }
    size_t room = 0;
    ssize_t n = getline(&line, &room, stdin);
    if (n < 0) {
        free(line);
        return NULL;
    }
    if (n && line[n - 1] == '\n') line[n - 1] = 0;
    return line;
}
