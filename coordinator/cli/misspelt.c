#include "coordinator/cli/misspelt.h"

#include <stdio.h>
#include <string.h>

#include "coordinator/cli/suggest.h"

/* The nearest long spelling among the options of a command; "": none is near. Without dashes, word and answer. */
static void nearest(char out[WORD_ROOM], enum command command, const char *word, size_t n)
{
    enum { MOST = 4 * MAX_OPTIONS };
    char spellings[MOST][WORD_ROOM];
    const char *names[MOST];
    size_t n_names = 0;
    for (size_t k = 0; k < n_options; k++) {
        if (!command_takes(command, &option_table[k])) continue;
        for (size_t i = 0; n_names < MOST && option_spelling(&option_table[k], i, spellings[n_names]); i++)
            if (spellings[n_names][1] == '-') names[n_names] = spellings[n_names] + 2, n_names++;
    }
    const char *like = suggest(word, n, names, n_names);
    snprintf(out, WORD_ROOM, "%s", like ? like : "");
}

/* "-n64", "-prompt x": one dash where there are two, or no space. */
static int short_option_gone_wrong(enum command command, const char *arg, size_t n, struct err *err)
{
    char word[WORD_ROOM];
    int n_word = snprintf(word, sizeof word, "-%.*s", (int)n, arg);
    if (n_word >= (int)sizeof word) return OK;
    for (size_t k = 0; k < n_options; k++) {
        const struct option *p = &option_table[k];
        if (!command_takes(command, p)) continue;
        if (option_is(p, word, (size_t)n_word)) return err_set(err, E_USAGE, "unknown option %s: write %s", arg, word);
        if (n > 2 && strspn(arg + 2, "0123456789") == n - 2 && option_is(p, arg, 2))
            return err_set(err, E_USAGE, "unknown option %s: write %.2s %s, or --%s", arg, arg, arg + 2, p->name);
    }
    return OK;
}

int misspelt_option(enum command command, const char *arg, struct err *err)
{
    const char *name = command_texts[command].name;
    bool is_long = arg[1] == '-';
    size_t n = strcspn(arg, "=");
    const struct foreign_word *foreign = foreign_find(foreign_options, arg);
    if (foreign) return err_set(err, E_USAGE, "%.*s: %s", (int)n, arg, foreign->sentence);
    for (size_t k = 0; k < n_options; k++) {
        if (!option_is(&option_table[k], arg, n)) continue;
        return err_set(err, E_USAGE, "%s has no option %.*s: see pilotfish help %s", name, (int)n, arg, name);
    }
    int rc = is_long ? OK : short_option_gone_wrong(command, arg, n, err);
    if (rc != OK) return rc;
    char like[WORD_ROOM];
    size_t n_dashes = strspn(arg, "-");
    nearest(like, command, arg + n_dashes, n - n_dashes);
    if (*like) return err_set(err, E_USAGE, "unknown option %.*s: did you mean --%s?", (int)n, arg, like);
    return err_set(err, E_USAGE, "unknown option %s: see pilotfish help %s", arg, name);
}

static int group_alone(const char *word, struct err *err)
{
    char line[200] = "";
    size_t n = 0;
    for (int i = 0; i < N_COMMANDS; i++) {
        const char *name = command_texts[i].name;
        if (strncmp(name, word, strlen(word)) || name[strlen(word)] != ' ') continue;
        n += (size_t)snprintf(line + n, sizeof line - n, "%s pilotfish %s", n ? ", or" : "", name);
    }
    return err_set(err, E_USAGE, "%s needs a second word:%s", word, line);
}

int misspelt_command(const char *word, struct err *err)
{
    const char *names[N_COMMANDS];
    if (command_is_group(word)) return group_alone(word, err);
    for (int i = 0; i < N_COMMANDS; i++) names[i] = command_texts[i].name;
    const char *like = suggest(word, strlen(word), names, N_COMMANDS);
    const struct foreign_word *foreign = foreign_find(*word == '-' ? foreign_options : foreign_commands, word);
    if (foreign) return err_set(err, E_USAGE, "%s: %s", word, foreign->sentence);
    if (*word == '-')
        return err_set(err, E_USAGE, "%s: a command comes first, as in pilotfish generate %s", word, word);
    if (like) return err_set(err, E_USAGE, "unknown command %s: did you mean %s?", word, like);
    return err_set(err, E_USAGE, "unknown command %s: see pilotfish help", word);
}
