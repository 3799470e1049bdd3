/* complete_bash.c -- one function over the words of the line: commands, then options, then the value of the option
 * before the cursor. bash parts "--name=value" into three words. */
#include <string.h>

#include "coordinator/cli/docs/docs.h"

static const char head[] =
    "# Completion of pilotfish for bash; printed by its build from its tables of commands and options.\n"
    "_pilotfish_words() { mapfile -t COMPREPLY < <(compgen -W \"$1\" -- \"$cur\"); }\n"
    "_pilotfish_files() {\n"
    "    mapfile -t COMPREPLY < <(compgen -f -- \"$cur\")\n"
    "    compopt -o filenames 2> /dev/null\n"
    "}\n"
    "\n"
    "_pilotfish() {\n"
    "    local cur=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} at=1 command\n"
    "    COMPREPLY=()\n"
    "    [ \"$cur\" != = ] || cur=''\n"
    "    [ \"$before\" != = ] || before=${COMP_WORDS[COMP_CWORD - 2]}\n"
    "    [ \"${COMP_WORDS[1]}\" != help ] || ((COMP_CWORD == 1)) || at=2\n"
    "    command=${COMP_WORDS[at]}\n";

static const char tail[] = "    if [ $at = 2 ]; then return; fi\n"
                           "    case $before in\n";

static void print_names(FILE *out, const char *before)
{
    const struct command_text *about;
    char room[NAME_ROOM];
    int i = 0;
    for (const char *word; (word = docs_next_word(before, &i, &about, room));) fprintf(out, " %s", word);
}

/* Positions of the line that are a command's words. */
static void print_commands(FILE *out)
{
    const struct command_text *about;
    char room[NAME_ROOM];
    int i = 0;
    fprintf(out, "    if ((COMP_CWORD == at)); then\n        _pilotfish_words '");
    print_names(out, "");
    fprintf(out, "'\n        return\n    fi\n    case $command in\n");
    for (const char *word; (word = docs_next_word("", &i, &about, room));) {
        if (about) continue;
        fprintf(out, "    %s)\n        if [[ ${COMP_WORDS[at + 1]} != -* ]]; then\n", word);
        fprintf(out, "            if ((COMP_CWORD == at + 1)); then\n                _pilotfish_words '");
        print_names(out, word);
        fprintf(out, "'\n                return\n            fi\n");
        fprintf(out, "            command+=\" ${COMP_WORDS[at + 1]}\"\n        fi\n        ;;\n");
    }
    fprintf(out, "    esac\n");
}

static void print_values(FILE *out, const struct option *p)
{
    char word[WORD_ROOM];
    enum docs_value value = docs_value_of(p);
    if (value == VALUE_NONE) return;
    for (size_t i = 0; option_spelling(p, i, word); i++) fprintf(out, "%s%s", i ? " | " : "    ", word);
    fprintf(out, ")");
    if (value == VALUE_FILE) fprintf(out, " _pilotfish_files;");
    if (value == VALUE_WORDS) fprintf(out, " _pilotfish_words '");
    for (const char *c = p->value; value == VALUE_WORDS && *c; c++) fputc(*c == '|' ? ' ' : *c, out);
    fprintf(out, "%s return ;;\n", value == VALUE_WORDS ? "';" : "");
}

static void print_options(FILE *out, enum command command)
{
    fprintf(out, "    '%s') [[ $cur == -* ]] && _pilotfish_words '", command_texts[command].name);
    for (size_t i = 0; i < n_options; i++)
        if (command_takes(command, &option_table[i])) fprintf(out, " --%s", option_table[i].name);
    fprintf(out, "'%s ;;\n", docs_takes_file(&command_texts[command]) ? " || _pilotfish_files" : "");
}

void docs_bash(FILE *out)
{
    fputs(head, out);
    print_commands(out);
    fputs(tail, out);
    for (size_t i = 0; i < n_options; i++) print_values(out, &option_table[i]);
    fprintf(out, "    esac\n    case $command in\n");
    for (int i = 0; i < N_COMMANDS; i++) print_options(out, (enum command)i);
    fprintf(out, "    esac\n}\ncomplete -F _pilotfish pilotfish\n");
}
