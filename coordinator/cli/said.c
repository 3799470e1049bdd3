#include "coordinator/cli/said.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/text/read_text.h"

static const char quotes[] = "\"\"\"", blanks[] = " \t\r\n";
enum { N_QUOTES = sizeof quotes - 1 };

static bool is_blank(const char *text, size_t n)
{
    return strspn(text, blanks) == n;
}

static int no_memory(struct err *err)
{
    return err_set(err, E_FAIL, "no memory for a message");
}

/* Puts n bytes behind those that are there. */
static int append(struct said *s, const char *text, size_t n, struct err *err)
{
    char *more = realloc(s->text, s->n + n + 1);
    if (!more) return no_memory(err);
    s->text = more;
    memcpy(s->text + s->n, text, n);
    s->text[s->n += n] = 0;
    return OK;
}

static int take(struct said *s, enum said_kind kind, const char *text, size_t n, struct err *err)
{
    s->kind = kind;
    s->n = 0;
    return append(s, text, n, err);
}

/* Where it is of a pipe, and why. */
static int unreadable(struct said *s, const struct lines *lines, const char *why, struct err *err)
{
    char text[512];
    int n = lines_are_typed(lines) ? snprintf(text, sizeof text, "%s", why)
                                   : snprintf(text, sizeof text, "standard input:%d: %s", lines_n_read(lines), why);
    return take(s, SAID_UNREADABLE, text, n < (int)sizeof text ? (size_t)n : sizeof text - 1, err);
}

/* ---- the forms of a message ---- */

/* A line of a block, less the quotes that end it: then *ended. */
static int append_line(struct said *s, const char *text, size_t n, bool *ended, struct err *err)
{
    size_t to = n;
    while (to && strchr(blanks, text[to - 1])) to--;
    *ended = to >= N_QUOTES && !memcmp(text + to - N_QUOTES, quotes, N_QUOTES);
    return append(s, text, *ended ? to - N_QUOTES : n, err);
}

/* Text may stand beside the quotes. */
static int read_block(struct said *s, const struct line *first, struct lines *lines, bool *taken_back, struct err *err)
{
    struct line line;
    bool ended;
    int rc = take(s, SAID_MESSAGE, "", 0, err);
    if (rc == OK) rc = append_line(s, first->text + N_QUOTES, first->n - N_QUOTES, &ended, err);
    while (rc == OK && !ended) {
        rc = lines_next(lines, "... ", &line, err);
        *taken_back = rc == OK && line.kind == LINE_TAKEN_BACK;
        if (rc != OK || *taken_back) return rc;
        if (line.kind == LINE_NO_MORE) return unreadable(s, lines, "no \"\"\" ends the message", err);
        if (s->n) rc = append(s, "\n", 1, err);
        if (rc == OK) rc = append_line(s, line.text, line.n, &ended, err);
    }
    *taken_back = rc == OK && is_blank(s->text, s->n);
    return rc;
}

static int read_json(struct said *s, const struct line *line, const struct lines *lines, struct err *err)
{
    json_error_t bad;
    char why[256];
    int rc;
    json_t *json = json_loadb(line->text, line->n, JSON_DECODE_ANY | JSON_ALLOW_NUL, &bad);
    const json_t *text = json_is_object(json) ? json_object_get(json, "content") : json;
    const json_t *role = json_object_get(json, "role");
    if (!json)
        snprintf(why, sizeof why, "not JSON: %s", bad.text);
    else if (!json_is_string(text))
        snprintf(why, sizeof why, "no message: neither {\"content\": \"...\"} nor a string");
    else if (role && (!json_is_string(role) || strcmp(json_string_value(role), "user")))
        snprintf(why, sizeof why, "a message of another role than \"user\"");
    else if (is_blank(json_string_value(text), json_string_length(text)))
        snprintf(why, sizeof why, "the message is empty");
    else
        *why = 0;
    rc = *why ? unreadable(s, lines, why, err)
              : take(s, SAID_MESSAGE, json_string_value(text), json_string_length(text), err);
    json_decref(json);
    return rc;
}

static int read_file(struct said *s, const char *path, const struct lines *lines, struct err *err)
{
    struct err why;
    FILE *f;
    const char *place;
    char *bytes = NULL;
    size_t n = 0;
    int rc = strcmp(path, "-") ? text_open(path, NULL, &f, &place, &why) : err_set(&why, E_USAGE, "/file takes a path");
    if (rc == OK) {
        rc = text_read_plain(f, place, &bytes, &n, &why);
        fclose(f);
    }
    while (rc == OK && n && strchr(blanks, bytes[n - 1])) n--;
    if (rc == OK && !n) rc = err_set(&why, E_USAGE, "%s: the message is empty", path);
    rc = rc == OK ? take(s, SAID_MESSAGE, bytes, n, err) : unreadable(s, lines, why.text, err);
    free(bytes);
    return rc;
}

/* ---- which of them it is ---- */

static bool begins(const struct line *line, const char *with)
{
    return !strncmp(line->text, with, strlen(with));
}

static int read_said(struct said *s, const struct line *line, struct lines *lines, bool json, bool *taken_back,
                     struct err *err)
{
    static const char file[] = "/file ";
    bool pasted = memchr(line->text, '\n', line->n);
    if (pasted) return take(s, SAID_MESSAGE, line->text, line->n, err);
    if (begins(line, quotes)) return read_block(s, line, lines, taken_back, err);
    if (json && (begins(line, "{") || begins(line, "\""))) return read_json(s, line, lines, err);
    if (begins(line, "//")) return take(s, SAID_MESSAGE, line->text + 1, line->n - 1, err);
    if (!begins(line, "/")) return take(s, SAID_MESSAGE, line->text, line->n, err);
    size_t n = line->n;
    while (strchr(blanks, line->text[n - 1])) n--;
    int rc = take(s, SAID_COMMAND, line->text, n, err);
    if (rc == OK && !strcmp(s->text, "/file")) return unreadable(s, lines, "/file takes a path", err);
    if (rc != OK || strncmp(s->text, file, sizeof file - 1)) return rc;
    char *path = s->text + sizeof file - 1 + strspn(s->text + sizeof file - 1, blanks);
    char *own = strdup(path);
    rc = own ? read_file(s, own, lines, err) : no_memory(err);
    free(own);
    return rc;
}

int said_next(struct said *out, struct lines *lines, bool json, struct err *err)
{
    struct line line;
    int rc;
    *out = (struct said){.kind = SAID_NO_MORE};
    while ((rc = lines_next(lines, "> ", &line, err)) == OK && line.kind != LINE_NO_MORE) {
        bool taken_back = line.kind == LINE_TAKEN_BACK || is_blank(line.text, line.n);
        if (!taken_back) rc = read_said(out, &line, lines, json, &taken_back, err);
        if (rc != OK || !taken_back) return rc;
        said_free(out);
    }
    return rc;
}

void said_free(struct said *s)
{
    free(s->text);
    *s = (struct said){.kind = SAID_NO_MORE};
}
