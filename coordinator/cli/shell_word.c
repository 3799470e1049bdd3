#include "coordinator/cli/shell_word.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

void shell_append(char *line, size_t size, const char *word)
{
    bool plain =
        *word && !word[strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./=:,+@%")];
    size_t n = strlen(line);
    if (plain) {
        snprintf(line + n, size - n, " %s", word);
        return;
    }
    n += (size_t)snprintf(line + n, size - n, " '");
    for (; *word && n + 6 < size; word++)
        n += (size_t)snprintf(line + n, size - n, *word == '\'' ? "'\\''" : "%c", *word);
    if (n + 1 < size) snprintf(line + n, size - n, "'");
}
