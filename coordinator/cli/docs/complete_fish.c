/* complete_fish.c -- a line an option, with the commands that take it. Spellings of other programs with two dashes are
 * left out: fish lists each by itself. */
#include <string.h>

#include "coordinator/cli/docs/docs.h"

static const char head[] =
    "# Completion of pilotfish for fish; printed by its build from its tables of commands and options.\n"
    "\n"
    "# The line has exactly these words so far, after the program's and perhaps help.\n"
    "function __pilotfish_begins\n"
    "    set -l words (commandline -opc)[2..]\n"
    "    test \"$words[1]\" = help; and set -e words[1]\n"
    "    test \"$words\" = \"$argv\"\n"
    "end\n"
    "\n"
    "# The command is one of these.\n"
    "function __pilotfish_is\n"
    "    set -l words (commandline -opc)[2..]\n"
    "    if contains -- \"$words[1]\"";
static const char rest_of_head[] = "; and set -q words[2]; and not string match -q -- '-*' $words[2]\n"
                                   "        contains -- \"$words[1..2]\" $argv\n"
                                   "    else\n"
                                   "        contains -- \"$words[1]\" $argv\n"
                                   "    end\n"
                                   "end\n"
                                   "\n"
                                   "complete -c pilotfish -f\n";

static void put(FILE *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '\'' || *text == '\\') fputc('\\', out);
        fputc(*text, out);
    }
}

static void print_groups(FILE *out)
{
    const struct command_text *about;
    char room[NAME_ROOM];
    int i = 0;
    for (const char *word; (word = docs_next_word("", &i, &about, room));)
        if (!about) fprintf(out, " %s", word);
}

static void print_names(FILE *out, const char *before)
{
    const struct command_text *about;
    char room[NAME_ROOM];
    int i = 0;
    for (const char *word; (word = docs_next_word(before, &i, &about, room));) {
        fprintf(out, "complete -c pilotfish -n '__pilotfish_begins %s' -a %s -d '", before, word);
        if (about) put(out, about->sentence);
        fprintf(out, "'\n");
        if (!about) print_names(out, word);
    }
}

static void print_option(FILE *out, const struct option *p)
{
    char word[WORD_ROOM], summary[SUMMARY_ROOM];
    enum docs_value value = docs_value_of(p);
    fprintf(out, "complete -c pilotfish -n '__pilotfish_is");
    for (int i = 0; i < N_COMMANDS; i++)
        if (command_takes((enum command)i, p)) fprintf(out, " \"%s\"", command_texts[i].name);
    fprintf(out, "' -l %s", p->name);
    for (size_t i = 1; option_spelling(p, i, word); i++)
        if (word[1] != '-') fprintf(out, " -%c %s", word[2] ? 'o' : 's', word + 1);
    if (value != VALUE_NONE) fprintf(out, value == VALUE_FILE ? " -r -F" : " -x");
    if (value == VALUE_WORDS) fprintf(out, " -a '");
    for (const char *c = p->value; value == VALUE_WORDS && *c; c++) fputc(*c == '|' ? ' ' : *c, out);
    fprintf(out, value == VALUE_WORDS ? "' -d '" : " -d '");
    docs_summary(p, summary);
    put(out, summary);
    fprintf(out, "'\n");
}

void docs_fish(FILE *out)
{
    fputs(head, out);
    print_groups(out);
    fputs(rest_of_head, out);
    print_names(out, "");
    fprintf(out, "complete -c pilotfish -F -n '__pilotfish_is");
    for (int i = 0; i < N_COMMANDS; i++)
        if (docs_takes_file(&command_texts[i])) fprintf(out, " \"%s\"", command_texts[i].name);
    fprintf(out, "'\n");
    for (size_t i = 0; i < n_options; i++) print_option(out, &option_table[i]);
}
