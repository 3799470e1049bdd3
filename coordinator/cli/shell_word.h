/* shell_word.h -- command lines for people to paste. */
#ifndef COORDINATOR_CLI_SHELL_WORD_H
#define COORDINATOR_CLI_SHELL_WORD_H

#include <stddef.h>

/* Appends a blank and the word, as a shell reads it back as one word; what has no room is cut off. */
void shell_append(char *line, size_t size, const char *word);

#endif
