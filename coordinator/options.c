#include "coordinator/options.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/config.h"
#include "coordinator/option_table.h"
#include "coordinator/suggest.h"

struct parser {
    struct parsed p;
    int argc, i; /* argv[i] is being read */
    char **argv;
    const char *positional;
    char name[64]; /* of a command of two words */
    char **owned;  /* NULL behind the last */
    int n_owned;
};

static const char *command_name(const struct parser *r)
{
    return command_texts[r->p.o.command].name;
}

/* -1: no such command. */
static int find_command(const char *name)
{
    for (int i = 0; i < N_COMMANDS; i++) {
        if (!strcmp(name, command_texts[i].name)) return i;
    }
    return -1;
}

/* Commands of two words begin with one of these. */
static bool is_group(const char *word)
{
    return !strcmp(word, "eval") || !strcmp(word, "bench");
}

/* The command's name at argv[i]. Moves r->i past it. */
static const char *take_name(struct parser *r)
{
    const char *word = r->argv[r->i++];
    if (!is_group(word) || r->i == r->argc || *r->argv[r->i] == '-') return word;
    snprintf(r->name, sizeof r->name, "%s %s", word, r->argv[r->i++]);
    return r->name;
}

static bool takes(enum command command, const struct option *p)
{
    return command == CMD_CONFIG || p->commands & 1u << command;
}

/* --- what is wrong with an option that is none ---------------------------------------------------------------------
 */

/* The nearest long name among the options of a command. */
static const char *nearest(enum command command, const char *name, size_t n)
{
    const char *names[MAX_OPTIONS];
    for (size_t k = 0; k < n_options; k++) {
        names[k] = takes(command, &option_table[k]) ? option_table[k].name : NULL;
    }
    return suggest(name, n, names, n_options);
}

static int unknown_option(const struct parser *r, const char *arg, struct err *err)
{
    bool is_long = arg[1] == '-';
    const char *name = arg + 1 + is_long;
    size_t n = strcspn(name, "=");
    for (size_t k = 0; k < n_options; k++) {
        const struct option *p = &option_table[k];
        bool named = strlen(p->name) == n && !memcmp(p->name, name, n);
        if (named && !takes(r->p.o.command, p)) {
            return err_set(err, E_USAGE, "%s has no option --%s: see pilotfish help %s", command_name(r), p->name,
                           command_name(r));
        }
        if (named && !is_long) return err_set(err, E_USAGE, "unknown option %s: write --%s", arg, p->name);
        if (!is_long && p->alias && takes(r->p.o.command, p) && strlen(p->alias) == 2 && arg[1] == p->alias[1]) {
            return err_set(err, E_USAGE, "unknown option %s: write %s %s, or --%s", arg, p->alias, arg + 2, p->name);
        }
    }
    const char *like = nearest(r->p.o.command, name, n);
    if (like) return err_set(err, E_USAGE, "unknown option %.*s: did you mean --%s?", (int)(name - arg + n), arg, like);
    return err_set(err, E_USAGE, "unknown option %s: see pilotfish help %s", arg, command_name(r));
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
    return err_set(err, E_USAGE, "%s what:%s", word, line);
}

static int unknown_command(const char *word, struct err *err)
{
    const char *names[N_COMMANDS];
    if (is_group(word)) return group_alone(word, err);
    for (int i = 0; i < N_COMMANDS; i++) names[i] = command_texts[i].name;
    const char *like = suggest(word, strlen(word), names, N_COMMANDS);
    if (*word == '-')
        return err_set(err, E_USAGE, "%s: a command comes first, as in pilotfish generate %s", word, word);
    if (like) return err_set(err, E_USAGE, "unknown command %s: did you mean %s?", word, like);
    return err_set(err, E_USAGE, "unknown command %s: see pilotfish help", word);
}

/* --- values --------------------------------------------------------------------------------------------------------
 */

static int set_count(int *out, const struct option *p, const char *value, struct err *err)
{
    char *end;
    errno = 0;
    long n = strtol(value, &end, 10);
    if (end == value || *end) return err_set(err, E_USAGE, "--%s %s: not a whole number", p->name, value);
    if (errno || n < p->low || n > p->high) {
        return err_set(err, E_USAGE, "--%s %s: must be from %d to %d", p->name, value, p->low, p->high);
    }
    *out = (int)n;
    return OK;
}

static int set_number(float *out, const struct option *p, const char *value, struct err *err)
{
    char *end;
    double x = strtod(value, &end);
    if (end == value || *end || x != x) return err_set(err, E_USAGE, "--%s %s: not a number", p->name, value);
    if (x < p->low || (x > p->high && p->high < INT_MAX))
        return err_set(err, E_USAGE, "--%s %s: must be from %d to %d", p->name, value, p->low, p->high);
    *out = (float)x;
    return OK;
}

/* "1,2,4", "1-16", or both. */
static int set_list(struct numbers *out, const struct option *p, const char *value, struct err *err)
{
    struct numbers numbers = {0};
    for (const char *at = value;; at++) {
        char *end;
        long from = strtol(at, &end, 10), to = from;
        bool ok = end != at;
        if (ok && *end == '-') {
            at = end + 1;
            to = strtol(at, &end, 10);
            ok = end != at;
        }
        if (!ok || (*end && *end != ','))
            return err_set(err, E_USAGE, "--%s %s: not a list of whole numbers like 1,2,4-8", p->name, value);
        if (from < p->low || to > p->high || from > to)
            return err_set(err, E_USAGE, "--%s %s: must be from %d to %d, rising", p->name, value, p->low, p->high);
        if (to - from >= MAX_NUMBERS - numbers.n)
            return err_set(err, E_USAGE, "--%s %s: at most %d numbers", p->name, value, MAX_NUMBERS);
        for (; from <= to; from++) numbers.list[numbers.n++] = (int)from;
        if (!*end) break;
        at = end;
    }
    *out = numbers;
    return OK;
}

static int add_stop(struct options *o, const char *value, struct err *err)
{
    if (!*value) return err_set(err, E_USAGE, "--stop \"\": an empty text stands everywhere");
    if (o->n_stops == MAX_STOPS) return err_set(err, E_USAGE, "--stop: at most %d", MAX_STOPS);
    o->stops[o->n_stops++] = value;
    return OK;
}

/* The index of `value` among words parted by '|'; -1: not among them. */
static int choice_index(const char *words, const char *value)
{
    for (int i = 0;; i++) {
        size_t n = strcspn(words, "|");
        if (n == strlen(value) && !memcmp(words, value, n)) return i;
        if (!words[n]) return -1;
        words += n + 1;
    }
}

static int set_value(struct parser *r, const struct option *p, const char *value, struct err *err)
{
    char *at = (char *)&r->p + p->offset;
    int choice;
    switch (p->kind) {
    case OPTION_FLAG: *(bool *)at = true; return OK;
    case OPTION_TEXT: *(const char **)at = value; return OK;
    case OPTION_COUNT: return set_count((int *)at, p, value, err);
    case OPTION_NUMBER: return set_number((float *)at, p, value, err);
    case OPTION_LIST: return set_list((struct numbers *)at, p, value, err);
    case OPTION_STOP: return add_stop(&r->p.o, value, err);
    case OPTION_CHOICE:
    case OPTION_SWITCH:
        choice = choice_index(p->value, value);
        if (choice < 0) return err_set(err, E_USAGE, "--%s %s: must be one of %s", p->name, value, p->value);
        if (p->kind == OPTION_SWITCH)
            *(bool *)at = choice;
        else
            *(unsigned *)at = (unsigned)choice; /* an enum of ours */
        return OK;
    case OPTION_HELP:
        r->p.o.help_topic = command_name(r);
        r->p.o.command = CMD_HELP;
        return OK;
    }
    return OK;
}

/* A higher origin counts: the line is read first, then the environment, then the file. */
static int take_value(struct parser *r, const struct option *p, const char *value, enum value_origin origin,
                      struct err *err)
{
    enum value_origin *have = &r->p.origin[p - option_table];
    if (*have > origin) return OK;
    if (*have == origin && p->kind != OPTION_STOP) return err_set(err, E_USAGE, "--%s is given twice", p->name);
    *have = origin;
    return set_value(r, p, value, err);
}

/* --- one argument --------------------------------------------------------------------------------------------------
 */

static const struct option *find_option(const struct parser *r, const char *arg, const char **value)
{
    *value = NULL;
    for (size_t k = 0; k < n_options; k++) {
        const struct option *p = &option_table[k];
        size_t n = strlen(p->name);
        if (!takes(r->p.o.command, p)) continue;
        if (p->alias && !strcmp(arg, p->alias)) return p;
        if (strncmp(arg, "--", 2) || strncmp(arg + 2, p->name, n)) continue;
        if (arg[2 + n] == '=') *value = arg + 2 + n + 1;
        if (!arg[2 + n] || *value) return p;
    }
    return NULL;
}

static int take_option(struct parser *r, struct err *err)
{
    const char *arg = r->argv[r->i], *value, *unused;
    const struct option *p = find_option(r, arg, &value);
    if (!strcmp(arg, "-ngl") || !strcmp(arg, "--n-gpu-layers")) {
        return err_set(err, E_USAGE,
                       "%s: no layers are offloaded here; workers compute on CPU cores: --threads N sets how many each "
                       "uses, --tp N and --pp N spread the big model over ranks",
                       arg);
    }
    if (!p) return unknown_option(r, arg, err);
    if (!p->value && value) return err_set(err, E_USAGE, "--%s takes no value", p->name);
    if (p->value && !value) {
        if (r->i + 1 >= r->argc)
            return err_set(err, E_USAGE, "--%s needs a value: --%s %s", p->name, p->name, p->value);
        value = r->argv[++r->i];
        if (find_option(r, value, &unused)) {
            return err_set(err, E_USAGE, "--%s needs a value, and %s is an option; if it is meant: --%s=%s", p->name,
                           value, p->name, value);
        }
    }
    return take_value(r, p, value, FROM_LINE, err);
}

static int take_positional(struct parser *r, struct err *err)
{
    const char *arg = r->argv[r->i], *what = command_texts[r->p.o.command].positional;
    if (!what) return err_set(err, E_USAGE, "%s takes no argument: %s", command_name(r), arg);
    if (r->positional) {
        return err_set(err, E_USAGE, "more than one %s: \"%s\" and \"%s\"; a text with spaces needs quotes", what,
                       r->positional, arg);
    }
    r->positional = arg;
    return OK;
}

static enum value_origin origin_of(const struct parser *r, const char *name)
{
    enum value_origin origin = FROM_DEFAULT;
    for (size_t k = 0; k < n_options; k++)
        if (r->p.origin[k] > origin && !strcmp(option_table[k].name, name)) origin = r->p.origin[k];
    return origin;
}

static bool was_given(const struct parser *r, const char *name)
{
    return origin_of(r, name) != FROM_DEFAULT;
}

/* --- the environment and the file ---------------------------------------------------------------------------------
 */

/* A copy that goes with the options. NULL: out of memory. */
static const char *keep(struct parser *r, const char *text)
{
    char **more = realloc(r->owned, ((size_t)r->n_owned + 2) * sizeof *more);
    if (!more) return NULL;
    r->owned = more;
    more[r->n_owned] = strdup(text);
    more[r->n_owned + 1] = NULL;
    return more[r->n_owned] ? more[r->n_owned++] : NULL;
}

/* Another way to say the same was given higher up: the prompt, or who drafts. */
static bool is_outdone(const struct parser *r, const struct option *p, enum value_origin origin)
{
    static const char *const prompts[] = {"prompt", "file", "prompts"}, *const drafters[] = {"draft", "no-draft"};
    for (int i = 0; i < 3; i++) {
        if (strcmp(p->name, prompts[i])) continue;
        for (int k = 0; k < 3; k++)
            if (r->positional || origin_of(r, prompts[k]) > origin) return true;
    }
    for (int i = 0; i < 2; i++) /* --little says who drafts too, --no-draft may stand beside it */
        if (!strcmp(p->name, drafters[i]) && (origin_of(r, "little") > origin || origin_of(r, drafters[!i]) > origin))
            return true;
    return !strcmp(p->name, "little") && r->p.draft == DRAFTER_NGRAM && origin_of(r, "draft") > origin;
}

/* Of options that this command does not take a file may speak. */
static int fill_in(void *arg, const struct option *p, const char *value, enum value_origin origin, struct err *err)
{
    struct parser *r = arg;
    if (!takes(r->p.o.command, p) || is_outdone(r, p, origin)) return OK;
    if (value && !(value = keep(r, value))) return err_set(err, E_FAIL, "out of memory");
    return take_value(r, p, value, origin, err);
}

/* --- what only the whole line says ---------------------------------------------------------------------------------
 */

static int finish_prompt(struct parser *r, struct err *err)
{
    struct options *o = &r->p.o;
    if (r->positional && (o->prompt || o->prompt_file || o->prompts_file)) {
        return err_set(err, E_USAGE, "two prompts: \"%s\" and %s", r->positional,
                       o->prompt        ? "--prompt"
                       : o->prompt_file ? "--file"
                                        : "--prompts");
    }
    if (r->positional && !strcmp(r->positional, "-"))
        o->prompt_file = "-";
    else if (r->positional)
        o->prompt = r->positional;
    if (!!o->prompt + !!o->prompt_file + !!o->prompts_file > 1) {
        return err_set(err, E_USAGE, "two prompts: only one of --prompt, --file, --prompts goes");
    }
    if (o->chat_template && o->raw)
        return err_set(err, E_USAGE, "--template and --raw, which leaves the chat template out: only one goes");
    if (o->system && o->raw) {
        return err_set(err, E_USAGE, "--system is a part of the chat template, which --raw leaves out: only one goes");
    }
    return OK;
}

/* --no-draft may stand beside --little: the same command line, big alone. */
static int finish_drafter(struct parser *r, struct err *err)
{
    bool draft_given = was_given(r, "draft");
    struct options *o = &r->p.o;
    enum drafter draft = r->p.draft;
    if (draft_given && draft == DRAFTER_NGRAM && o->little) {
        return err_set(err, E_USAGE, "--draft ngram drafts without a model: leave --little out, or --draft");
    }
    if (draft_given && draft != DRAFTER_NONE && r->p.no_draft) {
        return err_set(err, E_USAGE, "--draft and --no-draft: only one goes");
    }
    o->drafter = r->p.no_draft ? DRAFTER_NONE : draft_given ? draft : o->little ? DRAFTER_LITTLE : DRAFTER_NONE;
    return OK;
}

static int need_little(const struct options *o, struct err *err)
{
    if (o->drafter != DRAFTER_LITTLE || o->little) return OK;
    return err_set(err, E_USAGE, "--draft little needs the little model: --little FILE");
}

/* The first of these on the command line; NULL: none. A file may have settings of a method that is not in use. */
static const char *first_on_line(const struct parser *r, const char *const *names)
{
    for (; *names; names++)
        if (origin_of(r, *names) == FROM_LINE) return *names;
    return NULL;
}

static int finish_bild(struct parser *r, struct err *err)
{
    struct options *o = &r->p.o;
    if (o->temp > 0) return err_set(err, E_USAGE, "--accept bild is greedy: leave --temp out");
    if (o->check)
        return err_set(err, E_USAGE, "--check compares with big alone, whose text --accept bild does not promise");
    if (o->drafter == DRAFTER_NONE && !r->p.no_draft)
        return err_set(err, E_USAGE, "--accept bild needs a drafter: --little FILE");
    if (!was_given(r, "fallback")) o->fallback = 0.6f;
    if (!was_given(r, "rollback")) o->rollback = 3;
    if (!was_given(r, "draft-max")) o->draft_max = 10;
    return OK;
}

/* After finish_drafter. */
static int finish_accept(struct parser *r, struct err *err)
{
    static const char *const of_bild[] = {"rollback", "rollback-rule", NULL}, *const of_sampling[] = {"top-k", "top-p",
                                                                                                      "min-p", "seed",
                                                                                                      NULL};
    struct options *o = &r->p.o;
    const char *stray;
    if (!was_given(r, "accept") && o->temp > 0) o->accept = ACCEPT_SAMPLE;
    if (o->accept == ACCEPT_SAMPLE && !was_given(r, "temp")) o->temp = 1;
    if (o->accept == ACCEPT_SAMPLE && o->temp == 0)
        return err_set(err, E_USAGE, "--accept sample needs a --temp over 0");
    if (o->accept == ACCEPT_EXACT && o->temp > 0)
        return err_set(err, E_USAGE, "--accept exact is greedy: leave --temp out, or --accept");
    if (o->top_p == 0) return err_set(err, E_USAGE, "--top-p 0 leaves no id: greedy is --temp 0");
    if (o->accept != ACCEPT_BILD && (stray = first_on_line(r, of_bild)))
        return err_set(err, E_USAGE, "--%s belongs to --accept bild", stray);
    if (o->accept != ACCEPT_SAMPLE && (stray = first_on_line(r, of_sampling)))
        return err_set(err, E_USAGE, "--%s belongs to sampling: --temp T", stray);
    return o->accept == ACCEPT_BILD ? finish_bild(r, err) : OK;
}

static int finish(struct parser *r, struct err *err)
{
    struct options *o = &r->p.o;
    int rc = OK;
    switch (o->command) {
    case CMD_HELP:
        if (!r->positional) break;
        if (find_command(r->positional) < 0) return unknown_command(r->positional, err);
        o->help_topic = command_texts[find_command(r->positional)].name; /* not r's copy: it goes with r */
        break;
    case CMD_GENERATE:
    case CMD_CHAT:
    case CMD_COMPARE:
    case CMD_BENCH_PAIR:
        if ((o->command == CMD_COMPARE || o->command == CMD_BENCH_PAIR) && !o->prompts_file)
            return err_set(err, E_USAGE, "%s needs prompts: --prompts FILE.jsonl", command_name(r));
        if ((rc = finish_prompt(r, err)) != OK) return rc;
        if ((rc = finish_drafter(r, err)) != OK) return rc;
        if (o->command == CMD_BENCH_PAIR && o->drafter == DRAFTER_NONE)
            return err_set(err, E_USAGE, "bench pair needs a drafter: --little FILE, or --draft ngram");
        return finish_accept(r, err);
    case CMD_BENCH_STEP:
        if (!o->big) return err_set(err, E_USAGE, "%s needs a model: --big FILE.gguf", command_name(r));
        for (int i = 1; i < o->contexts.n; i++)
            if (o->contexts.list[i] <= o->contexts.list[i - 1])
                return err_set(err, E_USAGE, "--contexts: %d after %d: they must rise", o->contexts.list[i],
                               o->contexts.list[i - 1]);
        break;
    case CMD_PERPLEXITY:
        if (!r->positional)
            return err_set(err, E_USAGE, "eval perplexity needs a text: a file, or - for standard input");
        o->text = r->positional;
        o->ctx = o->window; /* a slot holds no more */
        break;
    case CMD_WORKER:
        if (!o->model) return err_set(err, E_USAGE, "worker needs a model: --model FILE.gguf");
        o->big = o->little = o->model;
        break;
    case CMD_CONFIG:
        if (!r->p.show) return err_set(err, E_USAGE, "config what: pilotfish config --show");
        if ((rc = finish_drafter(r, err)) != OK || (rc = finish_accept(r, err)) != OK) return rc;
        r->p.draft = o->drafter;
        o->settings = config_text(&r->p, r->p.config);
        return o->settings ? OK : err_set(err, E_FAIL, "out of memory");
    case CMD_DOCTOR:
        rc = finish_drafter(r, err);
        return rc == OK ? need_little(o, err) : rc;
    case CMD_TOKENIZE:
        if (!o->model) return err_set(err, E_USAGE, "tokenize needs a model: --model FILE.gguf");
        o->text = r->positional;
        break;
    case CMD_INSPECT:
        if (!r->positional) return err_set(err, E_USAGE, "inspect needs a file: pilotfish inspect FILE.gguf");
        o->model = r->positional;
        break;
    case CMD_BENCH_KERNELS:
    case CMD_VERSION: break;
    }
    return rc;
}

/* `pilotfish`, `pilotfish --help` and `pilotfish --version` are commands too. */
static int take_command(struct parser *r, struct err *err)
{
    const char *word = "help";
    r->i = 1;
    if (r->argc > 1) word = take_name(r);
    if (!strcmp(word, "-h") || !strcmp(word, "--help")) word = "help";
    if (!strcmp(word, "--version")) word = "version";
    int command = find_command(word);
    if (command < 0) return unknown_command(word, err);
    r->p.o.command = (enum command)command;
    if (command == CMD_HELP && r->i < r->argc && *r->argv[r->i] != '-') r->positional = take_name(r);
    return OK;
}

int options_parse(struct options *o, int argc, char **argv, struct err *err)
{
    struct parser r = {
        .p.o = {.draft_max = 8,
                .draft_ctx = 64,
                .draft_vocab = 65536,
                .guard = true,
                .ctx = 4096,
                .window = 512,
                .rows = {5, {1, 2, 4, 8, 16}},
                .contexts = {1, {0}},
                .rounds = 9,
                .tp = 1,
                .pp = 1,
                .parallel = 4,
                .top_p = 1,
                .seed = -1},
        .argc = argc,
        .argv = argv,
    };
    bool only_positional = false;
    int rc = take_command(&r, err);
    for (; rc == OK && r.i < argc && !r.p.o.help_topic; r.i++) {
        const char *arg = argv[r.i];
        if (!only_positional && !strcmp(arg, "--"))
            only_positional = true;
        else if (only_positional || arg[0] != '-' || !arg[1])
            rc = take_positional(&r, err);
        else
            rc = take_option(&r, err);
    }
    bool works = rc == OK && !r.p.o.help_topic && r.p.o.command != CMD_HELP && r.p.o.command != CMD_VERSION;
    if (!r.p.config) r.p.config = getenv("PILOTFISH_CONFIG");
    if (works) rc = config_fill(r.p.config, fill_in, &r, err);
    if (rc == OK && !r.p.o.help_topic) rc = finish(&r, err);
    r.p.o.owned = r.owned;
    if (rc == OK)
        *o = r.p.o;
    else
        options_free(&r.p.o);
    return rc;
}

int options_need_models(const struct options *o, struct err *err)
{
    if (!o->big) return err_set(err, E_USAGE, "%s needs a model: --big FILE.gguf", command_texts[o->command].name);
    return need_little(o, err);
}

void options_free(struct options *o)
{
    for (char **text = o->owned; text && *text; text++) free(*text);
    free(o->owned);
    free(o->settings);
    o->owned = NULL;
    o->settings = NULL;
}
