#include "coordinator/cli/config.h"

#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "coordinator/cli/note.h"
#include "coordinator/cli/option_value.h"
#include "coordinator/cli/suggest.h"
#include "proto/show.h"

#define PREFIX "PILOTFISH_"
enum { VARIABLE_ROOM = 64 };

/* What else is called PILOTFISH_...: settings of the program and its scripts that are no options. */
static const char *const own_variables[] = {
    "BUILD",    "CONFIG", "CPU",    "CUDA",       "DATA",      "DEVICE_MODULE", "DIRECT",
    "LAUNCHER", "MODELS", "MPIRUN", "STDERR_TTY", "STDIN_TTY", "TTY",
};
enum { N_OWN = sizeof own_variables / sizeof *own_variables };

/* What a file or a variable may not say: it is about this one call. */
static bool is_of_the_line(const struct option *p)
{
    return p->kind == OPTION_HELP || !strcmp(p->name, "config") || !strcmp(p->name, "show");
}

static void variable_of(const struct option *p, char out[VARIABLE_ROOM])
{
    int n = snprintf(out, VARIABLE_ROOM, PREFIX "%s", p->name);
    for (int i = 0; i < n && i < VARIABLE_ROOM - 1; i++)
        out[i] = out[i] == '-' ? '_' : (char)toupper((unsigned char)out[i]);
}

/* A flag's "yes" is given, its "no" is not. */
static int offer(config_take *take, void *arg, const struct option *p, const char *value, enum value_origin origin,
                 struct err *err)
{
    static const char *const yes[] = {"yes", "true", "on", "1"}, *const no[] = {"no", "false", "off", "0"};
    if (p->kind != OPTION_FLAG) return take(arg, p, value, origin, err);
    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++) {
        if (!strcasecmp(value, yes[i])) return take(arg, p, NULL, origin, err);
        if (!strcasecmp(value, no[i])) return OK;
    }
    return err_set(err, E_USAGE, "%s %s: must be yes or no", p->name, value);
}

static void note_unknown(char **notes, const char *variable, size_t n)
{
    char of_options[MAX_OPTIONS][VARIABLE_ROOM];
    const char *names[N_OWN + MAX_OPTIONS], *tail = variable + strlen(PREFIX);
    memcpy(names, own_variables, sizeof own_variables);
    for (size_t i = 0; i < n_options; i++) {
        variable_of(&option_table[i], of_options[i]);
        names[N_OWN + i] = is_of_the_line(&option_table[i]) ? NULL : of_options[i] + strlen(PREFIX);
    }
    const char *like = suggest(tail, n - strlen(PREFIX), names, N_OWN + n_options);
    note_keep(notes, "%.*s has no effect: there is no such option%s%s%s", (int)n, variable,
              like ? "; did you mean " PREFIX : "", like ? like : "", like ? "?" : "");
}

/* By its name or an alias, in capitals. NULL: no option, or none that a variable may say. */
static const struct option *option_of(const char *tail, size_t n)
{
    char name[VARIABLE_ROOM] = "";
    for (size_t i = 0; i < n && n < sizeof name; i++) {
        if (islower((unsigned char)tail[i])) return NULL;
        name[i] = (char)tolower((unsigned char)tail[i]);
    }
    const struct option *p = option_named(name);
    return p && !is_of_the_line(p) ? p : NULL;
}

static bool is_own(const char *tail, size_t n)
{
    for (size_t i = 0; i < N_OWN; i++)
        if (strlen(own_variables[i]) == n && !memcmp(own_variables[i], tail, n)) return true;
    return false;
}

static int fill_from_environment(config_take *take, void *arg, char **notes, struct err *err)
{
    for (char **at = environ; *at; at++) {
        const char *variable = *at, *tail = variable + strlen(PREFIX), *equals = strchr(variable, '=');
        if (!equals || strncmp(variable, PREFIX, strlen(PREFIX)) || is_own(tail, (size_t)(equals - tail))) continue;
        const struct option *p = option_of(tail, (size_t)(equals - tail));
        if (!p)
            note_unknown(notes, variable, (size_t)(equals - variable));
        else if (equals[1] && offer(take, arg, p, equals + 1, FROM_ENVIRONMENT, err) != OK)
            return err_wrap(err, "%.*s", (int)(equals - variable), variable);
    }
    return OK;
}

/* ---- the file ---- */

struct reading {
    FILE *f;
    int line, bad_line; /* bad_line: of what `err` says; 0: nothing yet */
    config_take *take;
    void *arg;
    struct err *err;
};

/* fgets, for inih: which cuts a line that is longer than its buffer. */
static char *read_line(char *to, int room, void *arg)
{
    struct reading *r = arg;
    if (r->bad_line || !fgets(to, room, r->f)) return NULL;
    r->line++;
    size_t n = strlen(to);
    if ((n == 0 || to[n - 1] != '\n') && !feof(r->f)) {
        r->bad_line = r->line;
        err_set(r->err, E_USAGE, "longer than %d characters, or not text", room - 3);
        return NULL;
    }
    return to;
}

static int unknown_name(const char *name, struct err *err)
{
    const char *names[MAX_OPTIONS];
    for (size_t i = 0; i < n_options; i++) names[i] = is_of_the_line(&option_table[i]) ? NULL : option_table[i].name;
    const char *like = suggest(name, strlen(name), names, n_options);
    if (like) return err_set(err, E_USAGE, "there is no option %s; did you mean %s?", name, like);
    return err_set(err, E_USAGE, "there is no option %s: see pilotfish help", name);
}

static int take_named(struct reading *r, const char *name, const char *value)
{
    const struct option *p = option_named(name);
    if (!p || is_of_the_line(p)) return unknown_name(name, r->err);
    return offer(r->take, r->arg, p, value, FROM_FILE, r->err);
}

static int on_pair(void *arg, const char *section, const char *name, const char *value)
{
    struct reading *r = arg;
    if (r->bad_line) return 0;
    int rc = *section ? err_set(r->err, E_USAGE, "[%s]: there are no sections", section) : take_named(r, name, value);
    if (rc != OK) r->bad_line = r->line;
    return rc == OK;
}

static int fill_from_file(const char *path, config_take *take, void *arg, struct err *err)
{
    struct reading r = {.f = fopen(path, "r"), .take = take, .arg = arg, .err = err};
    if (!r.f) return err_set(err, E_USAGE, "--config %s: %s", path, strerror(errno));
    int line = ini_parse_stream(read_line, &r, on_pair, &r);
    bool unread = ferror(r.f);
    fclose(r.f);
    if (unread) return err_set(err, E_USAGE, "--config %s: cannot be read", path);
    if (line < 0) return err_set(err, E_FAIL, "--config %s: out of memory", path);
    if (line > 0 && (!r.bad_line || line < r.bad_line)) {
        r.bad_line = line;
        err_set(err, E_USAGE, "not NAME = VALUE");
    }
    return r.bad_line ? err_wrap(err, "%s:%d", path, r.bad_line) : OK;
}

int config_fill(const char *path, config_take *take, void *arg, char **notes, struct err *err)
{
    int rc = fill_from_environment(take, arg, notes, err);
    return rc == OK && path ? fill_from_file(path, take, arg, err) : rc;
}

/* ---- what came of it ---- */

static void put_origin(FILE *to, const struct option *option, enum value_origin origin, const char *path)
{
    char name[VARIABLE_ROOM];
    switch (origin) {
    case FROM_DEFAULT: fputs(" ; default\n", to); break;
    case FROM_FILE: fprintf(to, " ; %s\n", path); break;
    case FROM_ENVIRONMENT: variable_of(option, name), fprintf(to, " ; %s\n", name); break;
    case FROM_ROW:
    case FROM_LINE: fputs(" ; command line\n", to); break;
    }
}

/* Whether a line of a file gives it back: blanks around it and what is behind " ;" are no part of a value there. */
static bool fits_a_line(const char *value)
{
    size_t n = strlen(value);
    if (value[strcspn(value, "\r\n")] ||
        (n && (isspace((unsigned char)*value) || isspace((unsigned char)value[n - 1]))))
        return false;
    for (size_t i = 1; i < n; i++)
        if (value[i] == ';' && isspace((unsigned char)value[i - 1])) return false;
    return true;
}

static void put_text(FILE *to, const char *name, const char *value)
{
    if (fits_a_line(value))
        fprintf(to, "%s = %s", name, value);
    else
        fprintf(to, "; %s = \"%s\", which no line of a file can say", name, show_name(value).s);
}

/* Of an option that may have many. */
static void put_texts(FILE *to, const struct options *p, size_t i, const char *const texts[], int n, const char *path)
{
    for (int k = 0; k < n; k++) {
        put_text(to, option_table[i].name, texts[k]);
        put_origin(to, &option_table[i], p->origin[i], path);
    }
    if (!n) fprintf(to, "; %s is not given\n", option_table[i].name);
}

static void put_option(FILE *to, const struct options *p, size_t i, const char *path)
{
    const struct option *option = &option_table[i];
    if (option_has_many(option)) {
        bool plans = option->kind == OPTION_PLAN;
        put_texts(to, p, i, plans ? p->draft_plans : p->stops, plans ? p->n_draft_plans : p->n_stops, path);
        return;
    }
    if (option->kind == OPTION_TEXT) {
        const char *value = *(const char *const *)((const char *)p + option->offset);
        if (value && option->commands & SECRET) {
            fprintf(to, "; %s is given, and not shown", option->name);
            put_origin(to, option, p->origin[i], path);
        } else if (value) {
            fputs(p->origin[i] == FROM_DEFAULT ? "; " : "", to);
            put_text(to, option->name, value);
            put_origin(to, option, p->origin[i], path);
        } else {
            fprintf(to, "; %s is not given\n", option->name);
        }
        return;
    }
    fprintf(to, "%s%s = ", p->origin[i] == FROM_DEFAULT ? "; " : "", option->name); /* read again, it stays one */
    option_put(p, option, to);
    put_origin(to, option, p->origin[i], path);
}

char *config_text(const struct options *p, const char *path)
{
    char *text = NULL;
    size_t n = 0;
    FILE *to = open_memstream(&text, &n);
    if (!to) return NULL;
    for (size_t i = 0; i < n_options; i++) {
        if (!is_of_the_line(&option_table[i])) put_option(to, p, i, path);
    }
    if (fclose(to) == 0) return text;
    free(text);
    return NULL;
}
