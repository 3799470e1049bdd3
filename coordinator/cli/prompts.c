#include "coordinator/cli/prompts.h"

#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "coordinator/cli/option_rules.h"
#include "coordinator/cli/prompt_ids.h"
#include "coordinator/cli/row_options.h"
#include "coordinator/cli/settings.h"
#include "coordinator/cli/terminal.h"
#include "coordinator/text/read_text.h"
#include "coordinator/text/stop.h"
#include "proto/launcher.h"
#include "proto/show.h"

enum { PATIENCE_MS = 1000 };

struct reader {
    const struct options *o;
    const struct prompts_from *from;
    struct prompt_encoder encoder;
    struct prompts p;
    int n_room; /* of p.items */
    struct {
        bool read;       /* in some line it has an effect, that line's own or the command line's */
        bool own;        /* a line has it of its own, in vain */
        const char *why; /* it has none, in some line */
    } of[MAX_OPTIONS];
    bool noted_misspelt; /* once a file is enough */
};

static void prompt_free(struct prompt *p)
{
    free(p->ids);
    free(p->name);
    free(p->solution);
    free(p->error);
    free(p->stops);
}

void prompts_free(struct prompts *p)
{
    for (int i = 0; i < p->n; i++) prompt_free(&p->items[i]);
    free(p->items);
    *p = (struct prompts){0};
}

int prompts_refused(const struct prompts *p, struct err *err)
{
    int n_bad = p->n - p->n_good, first = 0;
    if (!n_bad) return OK;
    while (!p->items[first].error) first++;
    if (p->n == 1) return err_set(err, E_USAGE, "%s", p->items[0].error);
    return err_set(err, E_USAGE, "%d of %d prompts not answered%s: %s", n_bad, p->n, n_bad > 1 ? ", the first" : "",
                   p->items[first].error);
}

/* Requests with one seed have the noise of their place. */
static struct prompt new_prompt(const struct reader *r)
{
    struct prompt p = {.settings = settings_of(r->o, r->from->tokenizer, r->from->stops)};
    p.settings.sampler.sample = (uint32_t)r->p.n;
    return p;
}

/* Takes the prompt. */
static int add(struct reader *r, struct prompt *item, struct err *err)
{
    if (r->p.n == r->n_room) {
        int n_room = r->n_room ? 2 * r->n_room : 8;
        struct prompt *items = realloc(r->p.items, (size_t)n_room * sizeof *items);
        if (!items) {
            prompt_free(item);
            return err_set(err, E_FAIL, "no memory for %d prompts", n_room);
        }
        r->p.items = items;
        r->n_room = n_room;
    }
    r->p.items[r->p.n++] = *item;
    r->p.n_good += !item->error;
    return OK;
}

/* The one prompt of a run. place: for messages. */
static int add_text(struct reader *r, const char *place, const char *text, size_t n_text, struct err *err)
{
    struct prompt item = new_prompt(r);
    int rc = prompt_encode_text(&r->encoder, text, n_text, &item.ids, &item.n_ids, err);
    if (rc == OK) return add(r, &item, err);
    prompt_free(&item);
    return err_wrap(err, "%s", place);
}

/* --- sources --------------------------------------------------------------------------------------------------------
 */

static void close_source(const struct reader *r, FILE *f)
{
    if (f != r->from->in) fclose(f);
}

static int read_file(struct reader *r, const char *path, struct err *err)
{
    FILE *f;
    const char *place;
    char *bytes = NULL;
    size_t n = 0;
    int rc = text_open(path, r->from->in, &f, &place, err);
    if (rc != OK) return rc;
    rc = text_read_plain(f, place, &bytes, &n, err);
    close_source(r, f);
    if (rc != OK) return rc;
    if (n && bytes[n - 1] == '\n') n--; /* editors and echo put it there; no one means it */
    rc = add_text(r, place, bytes, n, err);
    free(bytes);
    return rc;
}

static int take_name(struct prompt *item, const json_t *row, struct err *err)
{
    const json_t *id = json_object_get(row, "id");
    char number[32];
    if (!id) id = json_object_get(row, "question_id");
    if (!id) return OK;
    if (!json_is_string(id) && !json_is_integer(id))
        return err_set(err, E_USAGE, "an id must be a string or a whole number");
    snprintf(number, sizeof number, "%lld", (long long)json_integer_value(id));
    item->name = strdup(json_is_integer(id) ? number : json_string_value(id));
    return item->name ? OK : err_set(err, E_FAIL, "no memory for a prompt");
}

static int take_solution(struct prompt *item, const json_t *row, struct err *err)
{
    const json_t *reference = json_object_get(row, "reference");
    if (json_is_array(reference)) reference = json_array_get(reference, 0);
    if (!json_is_string(reference)) return OK;
    item->solution = strdup(json_string_value(reference));
    return item->solution ? OK : err_set(err, E_FAIL, "no memory for a prompt");
}

static void look_for_idle(struct reader *r, const struct options *own)
{
    for (size_t i = 0; i < n_options; i++) {
        const char *why = option_lacks(own, option_table[i].needs);
        if (!why) r->of[i].read = true;
        if (why) r->of[i].why = why;
        if (why && own->origin[i] == FROM_ROW) r->of[i].own = true;
    }
}

/* Each once. */
static void note_idle(const struct reader *r, const char *source)
{
    for (size_t i = 0; i < n_options; i++) {
        const struct option *p = &option_table[i];
        bool given = r->o->origin[i] == FROM_LINE && option_depends_on_method(p->needs);
        if (r->of[i].own)
            fprintf(r->from->notes, "note: --%s in a line of %s has no effect: %s\n", p->name, show_name(source).s,
                    r->of[i].why);
        else if (given && r->of[i].why && !r->of[i].read)
            fprintf(r->from->notes, "note: --%s has no effect: %s\n", p->name, r->of[i].why);
    }
}

/* A seed of its own is the whole name of the noise: the line's place does not count. */
static int take_settings(struct reader *r, struct prompt *item, json_t *row, struct err *err)
{
    struct options own;
    int rc = row_options(&own, r->o, row, err);
    if (rc != OK) return rc;
    look_for_idle(r, &own);
    bool own_stops = option_origin(&own, "stop") == FROM_ROW;
    if (own_stops) item->stops = stops_copy(&(struct stops){own.stops, own.n_stops, r->from->tokenizer});
    if (own_stops && !item->stops) return err_set(err, E_FAIL, "no memory for a prompt");
    uint32_t place = item->settings.sampler.sample;
    item->settings = settings_of(&own, r->from->tokenizer, own_stops ? item->stops : r->from->stops);
    item->settings.sampler.sample = option_origin(&own, "seed") == FROM_ROW ? 0 : place;
    return OK;
}

/* Spec-Bench: {"question_id": 81, "turns": ["first", ...]}; others: {"id": "a", "prompt" or "text": "..."}; OpenAI's:
 * {"messages": [{"role": "user", "content": "..."}, ...]}. */
static int read_row(struct reader *r, struct prompt *item, json_t *row, struct err *err)
{
    json_t *messages = json_object_get(row, "messages");
    const json_t *text = json_array_get(json_object_get(row, "turns"), 0);
    if (!text) text = json_object_get(row, "prompt");
    if (!text) text = json_object_get(row, "text");
    int rc = take_name(item, row, err);
    if (rc == OK) rc = take_solution(item, row, err);
    if (rc == OK) rc = take_settings(r, item, row, err);
    if (rc == OK && messages) rc = prompt_encode_messages(&r->encoder, messages, &item->ids, &item->n_ids, err);
    if (rc != OK || messages) return rc;
    if (!json_is_string(text))
        return err_set(err, E_USAGE,
                       "no prompt: no \"messages\", no \"turns\": [\"...\"], no \"prompt\" and no \"text\"");
    return prompt_encode_text(&r->encoder, json_string_value(text), json_string_length(text), &item->ids, &item->n_ids,
                              err);
}

static void note_misspelt(struct reader *r, json_t *row, const char *place)
{
    char near[WORD_ROOM];
    const char *key = r->noted_misspelt ? NULL : row_misspelt(row, near);
    if (!key) return;
    r->noted_misspelt = true;
    fprintf(r->from->notes, "note: %s: nothing reads \"%s\": did you mean \"%s\"?\n", show_name(place).s,
            show_name(key).s, near);
}

/* What is wrong with a line is kept with it. */
static int read_line(struct reader *r, const char *place, const char *line, size_t n, struct err *err)
{
    json_error_t bad;
    struct prompt item = new_prompt(r);
    struct err why;
    json_t *row = json_loadb(line, n, JSON_ALLOW_NUL, &bad);
    int rc = json_is_object(row) ? read_row(r, &item, row, &why)
                                 : err_set(&why, E_USAGE, "not a JSON object%s%s (each line must be one)",
                                           row ? "" : ": ", row ? "" : bad.text);
    if (json_is_object(row)) note_misspelt(r, row, place);
    json_decref(row);
    if (rc == E_USAGE) {
        err_wrap(&why, "%s", place);
        free(item.ids);
        item.ids = NULL;
        item.n_ids = 0;
        item.error = strdup(why.text);
        if (item.error) rc = OK;
    }
    if (rc == OK) return add(r, &item, err);
    prompt_free(&item);
    return err_set(err, E_FAIL, "%s: %s", place, why.text);
}

static int read_rows(struct reader *r, const char *path, struct err *err)
{
    FILE *f;
    const char *source;
    char *line = NULL, place[512];
    size_t room = 0;
    ssize_t n;
    int rc = text_open(path, r->from->in, &f, &source, err);
    if (rc != OK) return rc;
    for (int i = 1; rc == OK && (errno = 0, n = getline(&line, &room, f)) >= 0; i++) {
        if (i == 1 && (rc = text_check(line, (size_t)n, source, err)) != OK) break;
        size_t n_plain = text_plain(line, (size_t)n);
        line[n_plain] = 0;
        if (strspn(line, " \t\n") == n_plain) continue;
        snprintf(place, sizeof place, "%s:%d", source, i);
        rc = read_line(r, place, line, n_plain, err);
    }
    if (rc == OK && ferror(f)) rc = err_set(err, E_USAGE, "%s: %s", source, strerror(errno));
    if (rc == OK && !r->p.n) rc = err_set(err, E_USAGE, "%s: no prompts in it", source);
    if (rc == OK) note_idle(r, source);
    free(line);
    close_source(r, f);
    return rc;
}

/* --- the whole ------------------------------------------------------------------------------------------------------
 */

/* Something was put there on purpose: a launcher of another name gives every rank 0 a pipe. */
static bool is_piped(FILE *in)
{
    int rank, size;
    struct stat s;
    if (terminal_is(in) || (launcher_is_there(&rank, &size) && !getenv("PILOTFISH_LAUNCHER"))) return false;
    return fstat(fileno(in), &s) == 0 && (S_ISFIFO(s.st_mode) || S_ISREG(s.st_mode));
}

/* A pipe that does not end: a note tells what the program waits for. */
static void note_wait(const struct reader *r)
{
    struct pollfd input = {.fd = fileno(r->from->in), .events = POLLIN};
    if (poll(&input, 1, PATIENCE_MS) == 0)
        fputs("note: waiting for the end of standard input, which follows the prompt; < /dev/null leaves it out\n",
              r->from->notes);
}

/* The prompt, and behind a blank line what is piped in: a question about a text. */
static int read_prompt(struct reader *r, struct err *err)
{
    const char *prompt = r->o->prompt, *place = "command line";
    char *input = NULL, *both = NULL;
    size_t n_input = 0, n = 0;
    int rc = OK;
    if (*prompt && is_piped(r->from->in)) {
        note_wait(r);
        rc = text_read_plain(r->from->in, "standard input", &input, &n_input, err);
    }
    if (n_input && input[n_input - 1] == '\n') n_input--;
    FILE *f = rc == OK ? open_memstream(&both, &n) : NULL;
    if (f) {
        fputs(prompt, f);
        if (n_input) fputs("\n\n", f), fwrite(input, 1, n_input, f);
    }
    if (rc == OK && (!f || fclose(f))) rc = err_set(err, E_FAIL, "no memory for a prompt");
    if (rc == OK && n_input) {
        fprintf(r->from->notes, "note: %zu bytes of standard input go behind the prompt, after a blank line\n",
                n_input);
        place = "command line and standard input";
    }
    if (rc == OK) rc = add_text(r, place, both, n, err);
    free(both);
    free(input);
    return rc;
}

/* The note is for the text that a person gave; messages need a template. */
static int find_chat(struct reader *r, struct err *err)
{
    int rc = prompt_encoder_init(&r->encoder, r->o, r->from->big, r->from->tokenizer, r->from->n_ctx, err);
    if (rc == OK && !r->encoder.has_chat && !r->o->raw)
        fprintf(r->from->notes, "note: %s has no chat template: the text is continued as it is (--raw)\n",
                show_name(r->from->big->path).s);
    return rc;
}

int prompts_read(struct prompts *out, const struct options *o, const struct prompts_from *from, struct err *err)
{
    struct reader r = {.o = o, .from = from};
    int rc = find_chat(&r, err);
    if (rc != OK) return rc;
    if (o->prompt)
        rc = read_prompt(&r, err);
    else if (o->prompts_file)
        rc = read_rows(&r, o->prompts_file, err);
    else if (o->prompt_file)
        rc = read_file(&r, o->prompt_file, err);
    else if (!terminal_is(from->in))
        rc = read_file(&r, "-", err);
    else
        rc = err_set(err, E_USAGE, "no prompt: give a text, --file, --prompts, or pipe one in");
    if (rc == OK)
        *out = r.p;
    else
        prompts_free(&r.p);
    return rc;
}
