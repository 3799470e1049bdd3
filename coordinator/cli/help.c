/* help.c -- prints the tables of commands and options: at most 100 columns. */
#include <stdio.h>
#include <string.h>

#include "coordinator/cli/option_table.h"
#include "proto/launcher.h"

enum { HELP_COLUMN = 32, COLUMNS = 100, ROOM = 120 };

/* The script that launches ranks has another name where it is installed. */
static void print_text(const char *text)
{
    static const char in_source[] = "scripts/mpirun";
    for (const char *at; (at = strstr(text, in_source)); text = at + strlen(in_source))
        printf("%.*s%s", (int)(at - text), text, launcher_script());
    printf("%s", text);
}

static void print_option(const struct option *p)
{
    char left[ROOM], preset[PRESET_ROOM];
    bool is_short = p->aliases && p->aliases[1] != '-';
    int n_alias = is_short ? (int)strcspn(p->aliases, " ") : 0;
    int n = snprintf(left, sizeof left, "  %.*s%s--%s%s%s", n_alias, is_short ? p->aliases : "", is_short ? ", " : "",
                     p->name, p->value ? " " : "", p->value ? p->value : "");
    printf("%s", left);
    if (n > HELP_COLUMN - 2) printf("\n"), n = 0;
    option_preset(p, preset);
    for (const char *line = p->help; line;) {
        size_t length = strcspn(line, "\n");
        printf("%*s%.*s", HELP_COLUMN - n, "", (int)length, line);
        n = 0;
        if (!line[length] && *preset) {
            bool fits = HELP_COLUMN + length + 1 + strlen(preset) <= COLUMNS;
            if (!fits) printf("\n%*s", HELP_COLUMN - 1, "");
            printf(" %s", preset);
        }
        printf("\n");
        line = line[length] ? line + length + 1 : NULL;
    }
}

static void print_command(enum command command)
{
    const struct command_text *text = &command_texts[command];
    const char *heading = NULL;
    printf("pilotfish %s%s\n\n%s\n", text->name, text->synopsis, text->sentence);
    for (size_t i = 0; i < n_options; i++) {
        const struct option *p = &option_table[i];
        if (p->heading) heading = p->heading;
        if (!(p->commands & 1u << command)) continue;
        if (heading) printf("\n%s:\n", heading);
        heading = NULL;
        print_option(p);
    }
    if (text->examples) printf("\nExamples:\n");
    if (text->examples) print_text(text->examples);
    if (text->more) printf("\n%s", text->more);
}

static void print_all(void)
{
    printf("Pilotfish: %s\n\n", program_sentences);
    for (int i = 0; i < N_COMMANDS; i++) {
        printf("  pilotfish %s%s\n      %s\n", command_texts[i].name, command_texts[i].synopsis,
               command_texts[i].sentence);
    }
    printf("\nFirst steps:\n");
    if (!launcher_is_installed())
        printf("  scripts/quickstart                    installs, builds, fetches models, generates\n");
    printf("  pilotfish generate --big B.gguf --little L.gguf \"Write a haiku about the sea\"\n"
           "  pilotfish help generate               lists its options, with examples\n");
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
