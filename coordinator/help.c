/* help.c -- prints the tables of commands and options: at most 100 columns. */
#include <stdio.h>
#include <string.h>

#include "coordinator/option_table.h"

enum { HELP_COLUMN = 32 };

static void print_option(const struct option *p)
{
    char left[80];
    int n = snprintf(left, sizeof left, "  %s%s--%s%s%s", p->alias ? p->alias : "", p->alias ? ", " : "", p->name,
                     p->value ? " " : "", p->value ? p->value : "");
    printf("%s", left);
    if (n > HELP_COLUMN - 2) printf("\n"), n = 0;
    for (const char *line = p->help; line;) {
        const char *end = strchr(line, '\n');
        printf("%*s%.*s\n", HELP_COLUMN - n, "", end ? (int)(end - line) : (int)strlen(line), line);
        n = 0;
        line = end ? end + 1 : NULL;
    }
}

static void print_command(enum command command)
{
    const struct command_text *text = &command_texts[command];
    printf("pilotfish %s%s\n\n%s\n\n", text->name, text->synopsis, text->sentence);
    for (size_t i = 0; i < n_options; i++) {
        if (option_table[i].commands & 1u << command) print_option(&option_table[i]);
    }
    if (text->more) printf("\n%s", text->more);
}

static void print_all(void)
{
    printf("Pilotfish: a little model drafts, a big one checks many drafts in one pass, and the text is exactly\n"
           "the big one's. On one machine, or sharded over MPI ranks.\n\n");
    for (int i = 0; i < N_COMMANDS; i++) {
        printf("  pilotfish %s%s\n      %s\n", command_texts[i].name, command_texts[i].synopsis,
               command_texts[i].sentence);
    }
    printf("\nFirst steps:\n"
           "  scripts/quickstart                    install, build, fetch models, generate\n"
           "  pilotfish generate --big B.gguf --little L.gguf \"Write a haiku about the sea\"\n"
           "  pilotfish help generate               all its options\n");
}

bool options_help(const char *command)
{
    if (!command) {
        print_all();
        return true;
    }
    for (int i = 0; i < N_COMMANDS; i++) {
        if (strcmp(command, command_texts[i].name)) continue;
        print_command((enum command)i);
        return true;
    }
    return false;
}
