#include "coordinator/prompts.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "coordinator/read_text.h"
#include "coordinator/template.h"
#include "proto/show.h"

struct reader {
    const struct options *o;
    const struct prompts_from *from;
    struct template chat;
    bool has_chat; /* it is applied */
    struct prompts p;
    int n_room; /* of p's arrays */
};

void prompts_free(struct prompts *p)
{
    for (int i = 0; i < p->n; i++) {
        free(p->items[i].ids);
        free(p->names[i]);
    }
    free(p->items);
    free(p->names);
    *p = (struct prompts){0};
}

/* --- text -> ids ----------------------------------------------------------------------------------------------------
 */

static int make_room(struct reader *r, struct err *err)
{
    if (r->p.n < r->n_room) return OK;
    int n_room = r->n_room ? 2 * r->n_room : 8;
    struct prompt *items = realloc(r->p.items, (size_t)n_room * sizeof *items);
    if (items) r->p.items = items;
    char **names = realloc(r->p.names, (size_t)n_room * sizeof *names);
    if (names) r->p.names = names;
    if (!items || !names) return err_set(err, E_FAIL, "no memory for %d prompts", n_room);
    r->n_room = n_room;
    return OK;
}

static int check_length(const struct reader *r, const char *place, size_t n_ids, struct err *err)
{
    int n_ctx = r->from->n_ctx;
    if (!n_ids) return err_set(err, E_USAGE, "%s: the prompt is empty", place);
    if (n_ids < (size_t)n_ctx) return OK;
    if (n_ctx < r->o->ctx) {
        return err_set(err, E_USAGE,
                       "%s: the prompt has %zu tokens, the model's context %d, one of them for the answer", place,
                       n_ids, n_ctx);
    }
    return err_set(
        err, E_USAGE,
        "%s: the prompt has %zu tokens, the context %d, one of them for the answer: shorten it, or try --ctx %zu",
        place, n_ids, n_ctx, n_ids + 1);
}

/* place: for messages. name may be NULL. */
static int add_text(struct reader *r, const char *place, const char *name, const char *text, size_t n_text,
                    struct err *err)
{
    char *rendered = NULL, *own_name = NULL;
    struct prompt item = {0};
    size_t n_ids = 0;
    if (!n_text) return err_set(err, E_USAGE, "%s: the prompt is empty", place);
    int rc = make_room(r, err);
    if (rc != OK) return rc;
    if (name) own_name = strdup(name);
    if (r->has_chat) {
        rendered = template_render(&r->chat, r->from->tokenizer, r->o->system, text, n_text, &n_text);
        text = rendered;
    }
    if ((r->has_chat && !rendered) || (name && !own_name)) {
        rc = err_set(err, E_FAIL, "no memory for a prompt");
        goto out;
    }
    rc = tokenizer_encode(r->from->tokenizer, text, n_text, true, true, &item.ids, &n_ids, err);
    if (rc == OK) rc = check_length(r, place, n_ids, err);
    if (rc != OK) goto out;
    item.n_ids = (int)n_ids;
    r->p.items[r->p.n] = item;
    r->p.names[r->p.n++] = own_name;
out:
    free(rendered);
    if (rc != OK) free(item.ids), free(own_name);
    return rc;
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
    rc = text_read(f, place, &bytes, &n, err);
    close_source(r, f);
    if (rc != OK) return rc;
    if (n && bytes[n - 1] == '\n') n--; /* editors and echo put it there; no one means it */
    rc = add_text(r, place, NULL, bytes, n, err);
    free(bytes);
    return rc;
}

/* Spec-Bench: {"question_id": 81, "turns": ["first", ...]}; others: {"id": "a", "prompt" or "text": "..."}. */
static int add_row(struct reader *r, const char *place, const json_t *row, struct err *err)
{
    const json_t *text = json_array_get(json_object_get(row, "turns"), 0), *id = json_object_get(row, "id");
    char number[32];
    if (!text) text = json_object_get(row, "prompt");
    if (!text) text = json_object_get(row, "text");
    if (!id) id = json_object_get(row, "question_id");
    if (!json_is_string(text)) {
        return err_set(err, E_USAGE, "%s: no prompt: neither \"turns\": [\"...\"] nor \"prompt\" nor \"text\"", place);
    }
    if (id && !json_is_string(id) && !json_is_integer(id)) {
        return err_set(err, E_USAGE, "%s: an id must be a string or a whole number", place);
    }
    snprintf(number, sizeof number, "%lld", (long long)json_integer_value(id));
    const char *name = json_is_integer(id) ? number : json_string_value(id);
    return add_text(r, place, name, json_string_value(text), json_string_length(text), err);
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
        json_error_t bad;
        if (strspn(line, " \t\r\n") == (size_t)n) continue;
        snprintf(place, sizeof place, "%s:%d", source, i);
        json_t *row = json_loadb(line, (size_t)n, 0, &bad);
        if (json_is_object(row))
            rc = add_row(r, place, row, err);
        else
            rc = err_set(err, E_USAGE, "%s: not a JSON object%s%s", place, row ? "" : ": ", row ? "" : bad.text);
        json_decref(row);
    }
    if (rc == OK && ferror(f)) rc = err_set(err, E_USAGE, "%s: %s", source, strerror(errno));
    if (rc == OK && !r->p.n) rc = err_set(err, E_USAGE, "%s: no prompts in it", source);
    free(line);
    close_source(r, f);
    return rc;
}

/* --- the whole ------------------------------------------------------------------------------------------------------
 */

static int find_chat(struct reader *r, struct err *err)
{
    const char *path = r->from->big->path;
    if (r->o->raw) return OK;
    enum template_found found;
    int rc = template_choose(&r->chat, r->from->big, r->o->chat_template, r->o->system, &found, err);
    if (rc != OK) return rc;
    if (found == TEMPLATE_UNKNOWN)
        return err_set(
            err, E_MODEL,
            "%s: its chat template is none that is known here: --template names one, --raw continues the text "
            "as it is",
            path);
    r->has_chat = found == TEMPLATE_OK;
    if (r->has_chat) return OK;
    if (r->o->system) return err_set(err, E_USAGE, "%s has no chat template, so no place for --system", path);
    fprintf(r->from->notes, "%s has no chat template: the text is continued as it is (--raw)\n", show_name(path).s);
    return OK;
}

/* scripts/mpirun says whether its own standard input is a terminal: a rank's never is. */
static bool is_terminal(FILE *in)
{
    const char *says = getenv("PILOTFISH_STDIN_TTY");
    return isatty(fileno(in)) || (says && !strcmp(says, "1"));
}

int prompts_read(struct prompts *out, const struct options *o, const struct prompts_from *from, struct err *err)
{
    struct reader r = {.o = o, .from = from};
    int rc = find_chat(&r, err);
    if (rc != OK) return rc;
    if (o->prompt)
        rc = add_text(&r, "command line", NULL, o->prompt, strlen(o->prompt), err);
    else if (o->prompts_file)
        rc = read_rows(&r, o->prompts_file, err);
    else if (o->prompt_file)
        rc = read_file(&r, o->prompt_file, err);
    else if (!is_terminal(from->in))
        rc = read_file(&r, "-", err);
    else
        rc = err_set(err, E_USAGE, "no prompt: give a text, --file, --prompts, or pipe one in");
    if (rc == OK)
        *out = r.p;
    else
        prompts_free(&r.p);
    return rc;
}
