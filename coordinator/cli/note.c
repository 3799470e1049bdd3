#include "coordinator/cli/note.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/show.h"

enum { LINE_ROOM = 600 };

/* Foreign text in it is shown as in errors. */
static void line_of(char out[LINE_ROOM], const char *format, va_list arguments)
{
    char line[LINE_ROOM];
    vsnprintf(line, sizeof line, format, arguments);
    show_text(out, LINE_ROOM, line, strlen(line));
}

void note(const char *format, ...)
{
    char line[LINE_ROOM];
    va_list arguments;
    va_start(arguments, format);
    line_of(line, format, arguments);
    va_end(arguments);
    fprintf(stderr, "note: %s\n", line);
}

void note_keep(char **notes, const char *format, ...)
{
    char line[LINE_ROOM], *all;
    va_list arguments;
    va_start(arguments, format);
    line_of(line, format, arguments);
    va_end(arguments);
    if (asprintf(&all, "%snote: %s\n", *notes ? *notes : "", line) < 0) return;
    free(*notes);
    *notes = all;
}
