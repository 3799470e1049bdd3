#include "coordinator/cli/docs/docs.h"

#include <string.h>

enum docs_value docs_value_of(const struct option *p)
{
    if (p->kind == OPTION_FLAG || p->kind == OPTION_HELP) return VALUE_NONE;
    if (p->kind == OPTION_CHOICE || p->kind == OPTION_SWITCH) return VALUE_WORDS;
    return p->kind == OPTION_TEXT && !strcmp(p->value, "FILE") ? VALUE_FILE : VALUE_FREE;
}

bool docs_takes_file(const struct command_text *text)
{
    return text->positional && strstr(text->positional, "FILE");
}

void docs_summary(const struct option *p, char out[SUMMARY_ROOM])
{
    size_t n = 0;
    for (const char *c = p->help; *c && *c != ';' && n + 1 < SUMMARY_ROOM; c++) {
        if (*c == '.' && (c[1] == ' ' || c[1] == '\n')) break;
        out[n++] = *c == '\n' ? ' ' : *c;
    }
    out[n] = 0;
}

const char *docs_next_word(const char *before, int *i, const struct command_text **about, char room[NAME_ROOM])
{
    for (; *i < N_COMMANDS; ++*i) {
        const char *name = command_texts[*i].name;
        size_t n = strcspn(name, " "), n_before = strlen(before);
        bool is_in_group = name[n] == ' ';
        *about = &command_texts[*i];
        if (!*before && !is_in_group && command_is_group(name)) continue; /* both: it is listed as a group */
        if (*before && !(is_in_group && n == n_before && !memcmp(name, before, n))) continue;
        ++*i;
        if (*before) return name + n + 1;
        if (!is_in_group) return name;
        *about = NULL;
        while (*i < N_COMMANDS && !strncmp(command_texts[*i].name, name, n + 1)) ++*i; /* a group's rows are together */
        snprintf(room, NAME_ROOM, "%.*s", (int)n, name);
        return room;
    }
    return NULL;
}
