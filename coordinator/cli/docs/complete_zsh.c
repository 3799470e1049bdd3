/* complete_zsh.c -- one _arguments call a command; zsh itself knows how an option's spellings exclude each other. */
#include <string.h>

#include "coordinator/cli/docs/docs.h"

static const char head[] =
    "#compdef pilotfish\n"
    "# Completion of pilotfish for zsh; printed by its build from its tables of commands and options.\n"
    "\n"
    "_pilotfish() {\n"
    "    local command at=2\n"
    "    [[ $words[2] != help || CURRENT -eq 2 ]] || at=3\n"
    "    command=$words[at]\n";

static const char tail[] = "    ((at == 2)) || return 1\n"
                           "    shift words\n"
                           "    ((CURRENT--))\n"
                           "    case $command in\n";

/* Within single quotes; `marks` get a backslash. */
static void put(FILE *out, const char *text, const char *marks)
{
    for (; *text; text++) {
        if (strchr(marks, *text)) fputc('\\', out);
        fputs(*text == '\'' ? "'\\''" : (char[]){*text, 0}, out);
    }
}

static void print_names(FILE *out, const char *before, const char *indent)
{
    const struct command_text *about;
    char room[NAME_ROOM];
    int i = 0;
    fprintf(out, "%slocal -a names=(", indent);
    for (const char *word; (word = docs_next_word(before, &i, &about, room));) {
        fprintf(out, "\n%s    '%s", indent, word);
        if (about) fputc(':', out);
        if (about) put(out, about->sentence, "");
        fputc('\'', out);
    }
    fprintf(out, "\n%s)\n%s_describe command names\n%sreturn\n", indent, indent, indent);
}

static void print_commands(FILE *out)
{
    const struct command_text *about;
    char room[NAME_ROOM];
    int i = 0;
    fprintf(out, "    if ((CURRENT == at)); then\n");
    print_names(out, "", "        ");
    fprintf(out, "    fi\n    case $command in\n");
    for (const char *word; (word = docs_next_word("", &i, &about, room));) {
        if (about) continue;
        fprintf(out, "    %s)\n        if [[ \"$words[at + 1]\" != -* ]]; then\n", word);
        fprintf(out, "            if ((CURRENT == at + 1)); then\n");
        print_names(out, word, "                ");
        fprintf(out, "            fi\n            command+=\" $words[at + 1]\"\n            shift words\n"
                     "            ((CURRENT--))\n        fi\n        ;;\n");
    }
    fprintf(out, "    esac\n");
}

static void print_spelling(FILE *out, const struct option *p, const char *spelling)
{
    char word[WORD_ROOM], summary[SUMMARY_ROOM];
    enum docs_value value = docs_value_of(p);
    fprintf(out, " \\\n            '");
    if (option_has_many(p)) {
        fputc('*', out);
    } else {
        for (size_t i = 0; option_spelling(p, i, word); i++) fprintf(out, "%s%s", i ? " " : "(", word);
        fputc(')', out);
    }
    docs_summary(p, summary);
    fprintf(out, "%s%s[", spelling, value != VALUE_NONE && spelling[1] == '-' ? "=" : "");
    put(out, summary, "[]\\");
    fputc(']', out);
    if (value != VALUE_NONE) fputc(':', out);
    if (value != VALUE_NONE) put(out, p->value, ":\\");
    if (value == VALUE_FILE) fputs(":_files", out);
    if (value == VALUE_FREE) fputs(": ", out);
    if (value == VALUE_WORDS) fputs(":(", out);
    for (const char *c = p->value; value == VALUE_WORDS && *c; c++) fputc(*c == '|' ? ' ' : *c, out);
    fputs(value == VALUE_WORDS ? ")'" : "'", out);
}

static void print_command(FILE *out, enum command command)
{
    const struct command_text *text = &command_texts[command];
    char word[WORD_ROOM];
    fprintf(out, "    '%s')\n        _arguments", text->name);
    for (size_t i = 0; i < n_options; i++)
        for (size_t k = 0; command_takes(command, &option_table[i]) && option_spelling(&option_table[i], k, word); k++)
            print_spelling(out, &option_table[i], word);
    if (text->positional)
        fprintf(out, " \\\n            ':%s:%s'", text->positional, docs_takes_file(text) ? "_files" : " ");
    fprintf(out, "\n        ;;\n");
}

void docs_zsh(FILE *out)
{
    fputs(head, out);
    print_commands(out);
    fputs(tail, out);
    for (int i = 0; i < N_COMMANDS; i++) print_command(out, (enum command)i);
    fprintf(out, "    esac\n}\n\n_pilotfish \"$@\"\n");
}
