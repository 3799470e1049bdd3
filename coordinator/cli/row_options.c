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

/* What a row may have beside options. */
static const char *const other_keys[] = {"id", "question_id", "prompt", "text", "turns", "messages", "reference"};
enum {
    N_OTHER_KEYS = sizeof other_keys / sizeof *other_keys,
    MOST_KEYS = 4 * MAX_OPTIONS,
    SLIP_MOST = 2 /* letters too many or too few: "prompt_ids" is a key of its own */
};

/* All keys that are read: long spellings of options, with '_' for '-'. Returns how many. */
static size_t list_keys(char keys[MOST_KEYS][WORD_ROOM])
{
    size_t n = 0;
    for (size_t i = 0; i < N_OTHER_KEYS; i++) snprintf(keys[n++], WORD_ROOM, "%s", other_keys[i]);
    for (size_t i = 0; i < n_options; i++) {
        char word[WORD_ROOM];
        if (!(option_table[i].commands & OF_ROWS)) continue;
        for (size_t k = 0; n < MOST_KEYS && option_spelling(&option_table[i], k, word); k++) {
            if (strncmp(word, "--", 2) != 0) continue;
            snprintf(keys[n], WORD_ROOM, "%s", word + 2);
            for (char *at = keys[n]; (at = strchr(at, '-')); *at = '_') continue;
            n++;
        }
    }
    return n;
}

static bool is_other(const char *key)
{
    for (size_t i = 0; i < N_OTHER_KEYS; i++)
        if (!strcmp(key, other_keys[i])) return true;
    return false;
}

const char *row_misspelt(json_t *row, char near[WORD_ROOM])
{
    char keys[MOST_KEYS][WORD_ROOM];
    const char *names[MOST_KEYS], *key, *found;
    size_t n = list_keys(keys);
    json_t *value;
    for (size_t i = 0; i < n; i++) names[i] = keys[i];
    json_object_foreach(row, key, value)
    {
        if (row_option(key) || is_other(key)) continue;
        found = suggest(key, strlen(key), names, n);
        if (!found || abs((int)strlen(found) - (int)strlen(key)) > SLIP_MOST) continue;
        snprintf(near, WORD_ROOM, "%s", found);
        return key;
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
