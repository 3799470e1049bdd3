/* help.c -- prints the tables of commands and options: at most 100 columns. */
#include <stdio.h>
#include <string.h>

#include "coordinator/cli/option_table.h"

enum { HELP_COLUMN = 32, COLUMNS = 100, ROOM = 120 };

/* "(default: 8; with --accept bild 10)", or nothing. */
static void default_of(const struct option *p, char out[ROOM])
{
    static const char *const accepts[ACCEPT_N] = {"exact", "sample", "bild"};
    size_t n = 0;
    out[0] = 0;
    if (!p->preset) return;
    n += (size_t)snprintf(out, ROOM, "(default: %s", p->preset);
    for (int i = 0; i < ACCEPT_N; i++)
        if (p->preset_of[i])
            n += (size_t)snprintf(out + n, ROOM - n, "; with --accept %s %s", accepts[i], p->preset_of[i]);
    snprintf(out + n, ROOM - n, ")");
}

static void print_option(const struct option *p)
{
    char left[ROOM], preset[ROOM];
    bool is_short = p->aliases && p->aliases[1] != '-';
    int n_alias = is_short ? (int)strcspn(p->aliases, " ") : 0;
    int n = snprintf(left, sizeof left, "  %.*s%s--%s%s%s", n_alias, is_short ? p->aliases : "", is_short ? ", " : "",
                     p->name, p->value ? " " : "", p->value ? p->value : "");
    printf("%s", left);
    if (n > HELP_COLUMN - 2) printf("\n"), n = 0;
    default_of(p, preset);
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
    if (text->examples) printf("\nExamples:\n%s", text->examples);
    if (text->more) printf("\n%s", text->more);
}

static void print_all(void)
{
    printf("Pilotfish: a little model drafts, a big model checks many drafts in one pass, and the text is the\n"
           "big model's own, bit for bit. On one machine, or sharded over MPI ranks.\n\n");
    for (int i = 0; i < N_COMMANDS; i++) {
        printf("  pilotfish %s%s\n      %s\n", command_texts[i].name, command_texts[i].synopsis,
               command_texts[i].sentence);
    }
    printf("\nFirst steps:\n"
           "  scripts/quickstart                    installs, builds, fetches models, generates\n"
           "  pilotfish generate --big B.gguf --little L.gguf \"Write a haiku about the sea\"\n"
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
