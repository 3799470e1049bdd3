#include "coordinator/cli/row_options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/cli/option_rules.h"
#include "coordinator/cli/option_value.h"
#include "coordinator/cli/suggest.h"

enum { DIGITS = 15 }; /* so that 0.7 is shown as such */

const struct option *row_option(const char *key)
{
    char word[WORD_ROOM];
    int n = snprintf(word, sizeof word, "--%s", key);
    for (size_t i = 0; i < n_options && n < (int)sizeof word; i++)
        if (option_table[i].commands & OF_ROWS && option_is(&option_table[i], word, (size_t)n)) return &option_table[i];
    return NULL;
}

/* What a row may have beside options, and the longer names of some. */
static const char *const other_keys[] = {
    "id",          "question_id", "prompt", "text",  "turns",     "messages",  "max_tokens",   "max_completion_tokens",
    "temperature", "top_p",       "top_k",  "min_p", "n_predict", "draft_max", "rollback_rule"};
enum {
    N_OTHER_KEYS = sizeof other_keys / sizeof *other_keys,
    SLIP_MOST = 2 /* letters too many or too few: "prompt_ids" is a key of its own */
};

const char *row_misspelt(json_t *row, const char **near)
{
    const char *names[N_OTHER_KEYS + MAX_OPTIONS] = {0}, *key;
    json_t *value;
    for (size_t i = 0; i < N_OTHER_KEYS; i++) names[i] = other_keys[i];
    for (size_t i = 0; i < n_options; i++) /* names with a dash are among those above */
        if (option_table[i].commands & OF_ROWS && !strchr(option_table[i].name, '-'))
            names[N_OTHER_KEYS + i] = option_table[i].name;
    json_object_foreach(row, key, value)
    {
        bool read = row_option(key);
        for (size_t i = 0; i < N_OTHER_KEYS && !read; i++) read = !strcmp(key, other_keys[i]);
        *near = read ? NULL : suggest(key, strlen(key), names, N_OTHER_KEYS + n_options);
        if (*near && abs((int)strlen(*near) - (int)strlen(key)) <= SLIP_MOST) return key;
    }
    return NULL;
}

static int set_stop(struct options *o, const struct option *p, const json_t *text, struct err *err)
{
    const char *bytes = json_string_value(text);
    if (!bytes) return err_set(err, E_USAGE, "--%s: must be a text, or a list of texts", p->name);
    if (strlen(bytes) < json_string_length(text))
        return err_set(err, E_USAGE, "--%s %s: a stop cannot have a NUL", p->name, bytes);
    return option_set(o, p, bytes, err);
}

static int set_stops(struct options *o, const struct option *p, const json_t *value, struct err *err)
{
    o->n_stops = 0;
    if (!json_is_array(value)) return set_stop(o, p, value, err);
    int rc = OK;
    for (size_t i = 0; i < json_array_size(value) && rc == OK; i++) rc = set_stop(o, p, json_array_get(value, i), err);
    return rc;
}

/* A number is read as it would be typed, so a string in its place is none. */
static int set_value(struct options *o, const struct option *p, const json_t *value, struct err *err)
{
    if (p->kind == OPTION_STOP) return set_stops(o, p, value, err);
    if (p->kind == OPTION_CHOICE && json_is_string(value)) return option_set(o, p, json_string_value(value), err);
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(DIGITS));
    int rc = text ? option_set(o, p, text, err) : err_set(err, E_FAIL, "no memory for a prompt");
    free(text);
    return rc;
}

static int take(struct options *o, const struct option *p, const json_t *value, struct err *err)
{
    enum value_origin *origin = &o->origin[p - option_table];
    if (*origin == FROM_ROW) return err_set(err, E_USAGE, "--%s is given twice", p->name);
    *origin = FROM_ROW;
    return set_value(o, p, value, err);
}

/* -1 draws one for all rows. */
static void keep_seed(struct options *o, const struct options *run)
{
    size_t i = (size_t)(option_named("seed") - option_table);
    if (o->seed >= 0) return;
    o->seed = run->seed;
    o->origin[i] = run->origin[i];
}

int row_options(struct options *out, const struct options *run, json_t *row, struct err *err)
{
    struct options o = *run;
    const char *key;
    json_t *value;
    int rc = OK, n = 0;
    json_object_foreach(row, key, value)
    {
        const struct option *p = json_is_null(value) ? NULL : row_option(key);
        if (p && rc == OK) rc = take(&o, p, value, err), n++;
    }
    if (n) keep_seed(&o, run);
    if (rc == OK && n) rc = options_settle(&o, err);
    if (rc == OK) *out = o;
    return rc;
}
