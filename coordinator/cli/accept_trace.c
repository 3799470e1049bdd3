#include "coordinator/cli/accept_trace.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* False: there are no origins in it. */
static bool take_line(const json_t *line, struct synthetic_text_places *out)
{
    const json_t *origins = json_object_get(line, "origin"), *origin;
    size_t i;
    int n_right = 0, n_wrong = 0;
    if (!json_is_array(origins)) return false;
    json_array_foreach(origins, i, origin)
    {
        const char *name = json_string_value(origin);
        if (!name) return false;
        bool right = !strcmp(name, "draft"), wrong = !strcmp(name, "correction");
        n_right += right;
        n_wrong += wrong;
        if (i < SYNTHETIC_CONTEXT) out->told[i] = right ? PLACE_RIGHT : wrong ? PLACE_WRONG : PLACE_NOT_TOLD;
    }
    out->right = n_right + n_wrong ? (double)n_right / (n_right + n_wrong) : 0;
    return n_right + n_wrong > 0;
}

static int read_lines(FILE *from, const char *path, struct synthetic_places *out, struct err *err)
{
    char *text = NULL;
    size_t room = 0;
    int rc = OK;
    for (int number = 1; rc == OK && getline(&text, &room, from) > 0; number++) {
        json_t *line = json_loads(text, JSON_ALLOW_NUL, NULL);
        if (out->n_texts == SYNTHETIC_PROMPTS)
            rc = err_set(err, E_USAGE, "--accept-trace %s: more than %d texts", path, SYNTHETIC_PROMPTS);
        else if (!line || !take_line(line, &out->texts[out->n_texts++]))
            rc = err_set(err, E_USAGE,
                         "--accept-trace %s:%d: no text with drafts: generate -o jsonl --guard off writes some", path,
                         number);
        json_decref(line);
    }
    free(text);
    if (rc == OK && ferror(from)) rc = err_set(err, E_USAGE, "--accept-trace %s: %s", path, strerror(errno));
    if (rc == OK && !out->n_texts) rc = err_set(err, E_USAGE, "--accept-trace %s: no texts", path);
    return rc;
}

int accept_trace_read(const char *path, int first, struct synthetic_places *out, struct err *err)
{
    memset(out, 0, sizeof *out);
    out->first = first;
    FILE *from = fopen(path, "r");
    if (!from) return err_set(err, E_USAGE, "--accept-trace %s: %s", path, strerror(errno));
    int rc = read_lines(from, path, out, err);
    fclose(from);
    for (int i = 0; i < out->n_texts; i++) out->right += out->texts[i].right / out->n_texts;
    return rc;
}
