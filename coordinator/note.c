#include "coordinator/note.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { LINE_ROOM = 600 };

void note(const char *format, ...)
{
    char line[LINE_ROOM];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    fprintf(stderr, "note: %s\n", line);
}

void note_keep(char **notes, const char *format, ...)
{
    char line[LINE_ROOM], *all;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    if (asprintf(&all, "%snote: %s\n", *notes ? *notes : "", line) < 0) return;
    free(*notes);
    *notes = all;
}
