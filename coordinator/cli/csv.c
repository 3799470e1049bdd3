#include "coordinator/cli/csv.h"

#include <stdbool.h>
#include <string.h>

void csv_put_text(const char *text, FILE *to)
{
    bool quoted = text[strcspn(text, ",\"\r\n")];
    if (quoted) fputc('"', to);
    for (; *text; text++) fprintf(to, *text == '"' ? "\"\"" : "%c", *text);
    if (quoted) fputc('"', to);
}
