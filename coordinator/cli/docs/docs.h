/* docs.h -- what is installed beside the program, printed from the tables of commands and options (option_table.h): man
 * pages, and completions for bash, zsh and fish. docs_main.c is a program of the build, which is not installed; nothing
 * here is part of pilotfish itself.
 *
 * Pages name the launching script as it is called once installed: pilotfish-mpirun. All print to `out`, and whoever
 * closes it checks that it was written.
 */
#ifndef COORDINATOR_CLI_DOCS_DOCS_H
#define COORDINATOR_CLI_DOCS_DOCS_H

#include <stdio.h>

#include "coordinator/cli/option_table.h"

/* What follows an option on the command line, as far as a shell can complete it. */
enum docs_value { VALUE_NONE, VALUE_FREE, VALUE_FILE, VALUE_WORDS /* option->value, separated by '|' */ };
enum docs_value docs_value_of(const struct option *p);
bool docs_takes_file(const struct command_text *text); /* as its argument */

/* One line: the help of an option up to its first ';' or the end of its first sentence. */
enum { SUMMARY_ROOM = 320 };
void docs_summary(const struct option *p, char out[SUMMARY_ROOM]);

/* The words that may follow `before`: "" for commands and groups, else a group. Each call returns the next, from
 * *i = 0 on; NULL after the last. *about: its command, or NULL for a group, which may be a command too
 * (command_is_group): its options then follow it. */
enum { NAME_ROOM = 32 };
const char *docs_next_word(const char *before, int *i, const struct command_text **about, char room[NAME_ROOM]);

struct docs_edition {
    const char *version, *date; /* YYYY-MM-DD */
};

void docs_man_program(FILE *out, const struct docs_edition *edition);
void docs_man_command(FILE *out, const struct docs_edition *edition, enum command command);
/* A script's page: its help as it is. */
void docs_man_script(FILE *out, const struct docs_edition *edition, const char *name, FILE *help);

void docs_bash(FILE *out);
void docs_zsh(FILE *out);
void docs_fish(FILE *out);

#endif
