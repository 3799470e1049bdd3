/* The short forms are read item by item, without knowing the model; then the items make a plan for it. */
#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/files/side.h"
#include "proto/plan.h"

enum form { FORM_SKIP, FORM_LAYERSKIP, FORM_ODE, FORM_BALCONY, N_FORMS };
static const char *const form_names[N_FORMS] = {"skip:", "layerskip:", "ode:", "balcony:"};
static const char forms_help[] = "skip:3,7-9,12a, layerskip:8, balcony:FILE, ode:0,1x4@2.5,2, or a file";

struct item { /* blocks [from, to], `times` times */
    int from, to, times;
    enum plan_part part;
    float step;
};

/* What a text of this form names; N_FORMS: it is none. */
static enum form form_of(const char *text, const char **list)
{
    for (int form = 0; form < N_FORMS; form++) {
        *list = text + strlen(form_names[form]);
        if (!strncmp(text, form_names[form], strlen(form_names[form]))) return (enum form)form;
    }
    return N_FORMS;
}

/* A block or a count. */
static bool read_whole(const char **at, int *out)
{
    char *end;
    if (!isdigit((unsigned char)**at)) return false;
    long n = strtol(*at, &end, 10);
    *out = n < 1 << 24 ? (int)n : 1 << 24; /* more than any model has */
    *at = end;
    return true;
}

static bool read_step(const char **at, float *out)
{
    char *end;
    if (!isdigit((unsigned char)**at) && !strchr("-.", **at)) return false;
    *out = strtof(*at, &end);
    bool any = end != *at;
    *at = end;
    return any && isfinite(*out);
}

/* The next item, and the comma behind it. False: there is none, or it cannot be read. */
static bool read_item(const char **at, enum form form, struct item *out)
{
    *out = (struct item){.times = 1, .part = PART_BOTH, .step = 1};
    if (!read_whole(at, &out->from)) return false;
    out->to = out->from;
    if (form == FORM_LAYERSKIP) return !**at && out->from > 0;
    if (**at == '-' && (++*at, !read_whole(at, &out->to))) return false;
    if (**at == 'a' || **at == 'm') out->part = *(*at)++ == 'a' ? PART_ATTENTION : PART_MLP;
    if (form == FORM_ODE && **at == 'x' && (++*at, !read_whole(at, &out->times))) return false;
    if (form == FORM_ODE && **at == '@' && (++*at, !read_step(at, &out->step))) return false;
    bool ends = !**at, goes_on = **at == ',' && (*at)[1];
    *at += goes_on;
    return (ends || goes_on) && out->from <= out->to && out->times > 0;
}

/* ---- a plan grows ---- */

static int append(struct plan *p, struct plan_entry e, struct err *err)
{
    if (p->n_entries == PLAN_ENTRIES_MOST) return err_set(err, E_MODEL, "more than %d entries", PLAN_ENTRIES_MOST);
    e.cache = e.part & PART_ATTENTION ? p->n_caches++ : -1;
    p->entries[p->n_entries++] = e;
    return OK;
}

static int check_block(int block, int n_blocks, struct err *err)
{
    if (block >= 0 && block < n_blocks) return OK;
    return err_set(err, E_MODEL, "block %d, but the model has blocks 0 to %d", block, n_blocks - 1);
}

static int build_ode(struct plan *p, const char *list, int n_blocks, struct err *err)
{
    struct item item;
    int rc = OK;
    while (rc == OK && *list && read_item(&list, FORM_ODE, &item)) {
        rc = check_block(item.to, n_blocks, err);
        for (int time = 0; time < item.times && rc == OK; time++)
            for (int i = item.from; i <= item.to && rc == OK; i++)
                rc = append(p, (struct plan_entry){.block = i, .part = item.part, .step = item.step}, err);
    }
    return rc;
}

static int build_skip(struct plan *p, const char *list, int n_blocks, struct err *err)
{
    struct item item;
    int rc = OK;
    unsigned char *off = calloc((size_t)n_blocks, 1);
    if (!off) return err_set(err, E_LAYOUT, "out of memory for a plan of %d blocks", n_blocks);
    while (rc == OK && *list && read_item(&list, FORM_SKIP, &item)) {
        rc = check_block(item.to, n_blocks, err);
        for (int i = item.from; i <= item.to && rc == OK; i++) off[i] |= (unsigned char)item.part;
    }
    for (int i = 0; i < n_blocks && rc == OK; i++) {
        enum plan_part part = (enum plan_part)(PART_BOTH & ~off[i]);
        if (part) rc = append(p, (struct plan_entry){.block = i, .part = part, .step = 1}, err);
    }
    free(off);
    return rc;
}

static int build_layerskip(struct plan *p, const char *list, int n_blocks, struct err *err)
{
    struct item item;
    int rc = OK;
    read_item(&list, FORM_LAYERSKIP, &item);
    if (item.from > n_blocks)
        return err_set(err, E_MODEL, "an exit after %d blocks, but the model has %d", item.from, n_blocks);
    for (int i = 0; i < item.from && rc == OK; i++)
        rc = append(p, (struct plan_entry){.block = i, .part = PART_BOTH, .step = 1}, err);
    return rc;
}

struct exits { /* from blocks to blocks; 0: none is said */
    int from, to;
};

/* "E" or "E-F". */
static bool read_exits(struct exits *out, const char *at)
{
    if (!read_whole(&at, &out->from)) return false;
    out->to = out->from;
    return !*at || (*at++ == '-' && read_whole(&at, &out->to) && !*at);
}

/* How long the path of "FILE", "FILE:E" or "FILE:E-F" is. */
static size_t path_of(const char *list, struct exits *exits)
{
    const char *colon = strrchr(list, ':');
    if (colon && read_exits(exits, colon + 1)) return (size_t)(colon - list);
    *exits = (struct exits){0};
    return strlen(list);
}

/* The block that the side file has for an exit, behind what is there. */
static int append_side(struct plan *p, const char *path, int exit, int n_blocks, struct err *err)
{
    if (!(p->side = strdup(path))) return err_set(err, E_LAYOUT, "out of memory for a plan");
    p->side_exit = exit;
    return append(p, (struct plan_entry){.block = n_blocks, .part = PART_BOTH, .step = 1}, err);
}

static int build_balcony(struct plan *p, const char *list, int n_blocks, struct err *err)
{
    struct exits exits;
    int exit, i_exit = 0;
    size_t n = path_of(list, &exits);
    struct side side;
    char path[PLAN_TEXT_MOST];
    snprintf(path, sizeof path, "%.*s", (int)n, list);
    int rc = side_open(&side, path, err);
    if (rc != OK) return rc;
    rc = side_find(&side, exits.from, &i_exit, err);
    exit = side.exits[i_exit];
    if (rc == OK && exit > n_blocks)
        rc = err_set(err, E_MODEL, "an exit after %d blocks, but the model has %d", exit, n_blocks);
    for (int i = 0; i < exit && rc == OK; i++)
        rc = append(p, (struct plan_entry){.block = i, .part = PART_BOTH, .step = 1}, err);
    side_close(&side);
    return rc == OK ? append_side(p, path, exit, n_blocks, err) : rc;
}

/* ---- a file ---- */

static bool known_keys(json_t *object, const char *const names[], const char **unknown)
{
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value)
    {
        int i = 0;
        while (names[i] && strcmp(names[i], key)) i++;
        *unknown = key;
        if (!names[i]) return false;
    }
    return true;
}

static enum plan_part part_named(const json_t *value)
{
    if (!value) return PART_BOTH;
    for (int part = PART_ATTENTION; part <= PART_BOTH; part++)
        if (json_is_string(value) && !strcmp(json_string_value(value), plan_part_names[part]))
            return (enum plan_part)part;
    return 0;
}

/* A cache may be named, and is then the one that it must be. */
static int check_cache(const struct plan *p, enum plan_part part, const json_t *cache, struct err *err)
{
    if (!cache) return OK;
    json_int_t n = json_is_integer(cache) ? json_integer_value(cache) : -2;
    if (!(part & PART_ATTENTION)) return n == -1 ? OK : err_set(err, E_MODEL, "an MLP alone has no cache");
    if (n == p->n_caches) return OK;
    if (n >= 0 && n < p->n_caches)
        return err_set(err, E_MODEL, "cache %d is an earlier entry's: each entry has its own, this one %d", (int)n,
                       p->n_caches);
    return err_set(err, E_MODEL, "a wrong cache: caches are numbered in order, this one is %d", p->n_caches);
}

static bool is_side(const json_t *value)
{
    const char *block = json_string_value(json_object_get(value, "block"));
    const json_t *exit = json_object_get(value, "exit");
    bool fits = !exit || (json_integer_value(exit) > 0 && json_integer_value(exit) < 1 << 24);
    return block && !strcmp(block, "side") && json_object_size(value) == 1 + (exit != NULL) && fits;
}

static bool is_id(const json_t *value)
{
    return json_is_integer(value) && json_integer_value(value) >= 0 && json_integer_value(value) < 1 << 24;
}

/* Of a cut head: "ids", a number or a list. */
static int read_ids(struct plan *p, const json_t *ids, struct err *err)
{
    size_t n = json_array_size(ids);
    if (!ids) return OK;
    if (is_id(ids) && json_integer_value(ids)) {
        p->n_ids = (int)json_integer_value(ids);
        return OK;
    }
    if (n && !(p->ids = calloc(n, sizeof *p->ids))) return err_set(err, E_LAYOUT, "out of memory for a plan");
    for (size_t i = 0; i < n; i++, p->n_ids++) {
        const json_t *id = json_array_get(ids, i);
        p->ids[i] = is_id(id) ? (int32_t)json_integer_value(id) : -1;
        if (p->ids[i] < 0 || (i && p->ids[i] <= p->ids[i - 1])) break;
    }
    if (n && p->n_ids == (int)n) return OK;
    return err_set(err, E_MODEL, "\"ids\" is no number of ids, nor a list of ids that rise");
}

static int read_entry(struct plan *p, json_t *value, int n_blocks, struct err *err)
{
    static const char *const names[] = {"block", "part", "step", "cache", NULL};
    const json_t *block = json_object_get(value, "block"), *step = json_object_get(value, "step");
    enum plan_part part = part_named(json_object_get(value, "part"));
    const char *unknown;
    if (!json_is_object(value)) return err_set(err, E_MODEL, "not an object");
    if (!known_keys(value, names, &unknown))
        return err_set(err, E_MODEL, "unknown key \"%.40s\": block, part, step, cache", unknown);
    if (!json_is_integer(block)) return err_set(err, E_MODEL, "\"block\" is no whole number");
    if (!part) return err_set(err, E_MODEL, "\"part\" is none of attention, mlp, both");
    if (step && !json_is_number(step)) return err_set(err, E_MODEL, "\"step\" is no number");
    float size = step ? (float)json_number_value(step) : 1;
    if (!isfinite(size)) return err_set(err, E_MODEL, "\"step\" is not finite");
    json_int_t n = json_integer_value(block);
    int rc = check_block(n < 0 || n > 1 << 24 ? -1 : (int)n, n_blocks, err);
    if (rc == OK) rc = check_cache(p, part, json_object_get(value, "cache"), err);
    return rc == OK ? append(p, (struct plan_entry){.block = (int)n, .part = part, .step = size}, err) : rc;
}

/* The entries of a plan in JSON; NULL: err says why there are none. The caller json_decrefs *root. */
static json_t *entries_of(json_t **root, const char *text, struct err *err)
{
    static const char *const names[] = {"entries", "side", "ids", "about", NULL};
    json_error_t bad;
    const char *unknown;
    *root = json_loads(text, JSON_REJECT_DUPLICATES, &bad);
    json_t *entries = json_object_get(*root, "entries");
    if (!*root)
        err_set(err, E_MODEL, "not JSON: line %d: %s", bad.line, bad.text);
    else if (!json_is_array(entries))
        err_set(err, E_MODEL, "no plan: an object with \"entries\" was expected");
    else if (!known_keys(*root, names, &unknown))
        err_set(err, E_MODEL, "unknown key \"%.40s\": entries, side, ids, about", unknown);
    else
        return entries;
    return NULL;
}

static int build_json(struct plan *p, const char *text, int n_blocks, struct err *err)
{
    json_t *root, *entries = entries_of(&root, text, err);
    const char *side = json_string_value(json_object_get(root, "side"));
    size_t n = json_array_size(entries);
    int rc = entries ? OK : E_MODEL;
    if (side && n && is_side(json_array_get(entries, n - 1))) n--;
    for (size_t i = 0; i < n && rc == OK; i++) {
        rc = read_entry(p, json_array_get(entries, i), n_blocks, err);
        if (rc != OK) err_wrap(err, "entry %zu", i);
    }
    if (rc == OK && json_object_get(root, "side") && n == json_array_size(entries))
        rc = err_set(err, E_MODEL, "\"side\" names a file whose block the last entry must be: {\"block\": \"side\"}");
    if (rc == OK && n < json_array_size(entries)) {
        const json_t *exit = json_object_get(json_array_get(entries, n), "exit");
        rc = append_side(p, side, (int)json_integer_value(exit), n_blocks, err);
    }
    if (rc == OK) rc = read_ids(p, json_object_get(root, "ids"), err);
    json_decref(root);
    return rc;
}

/* ---- the other way ---- */

static bool is_same(const struct plan_entry *a, const struct plan_entry *b, int further)
{
    return b->block == a->block + further && b->part == a->part && b->step == a->step;
}

/* How many entries from this one on are an item: the same again, or each the next block. */
static int item_length(const struct plan_entry *e, int n, int further)
{
    int length = 1;
    while (length < n && is_same(&e[length - 1], &e[length], further)) length++;
    return length;
}

static int spell_item(const struct plan_entry *e, int n, FILE *to)
{
    int same = item_length(e, n, 0), rising = item_length(e, n, 1);
    fprintf(to, "%d", e->block);
    if (rising > 1) fprintf(to, "-%d", e->block + rising - 1);
    fputs(plan_part_letters[e->part], to);
    if (same > 1) fprintf(to, "x%d", same);
    if (e->step != 1) fprintf(to, "@%.9g", (double)e->step);
    return same > rising ? same : rising;
}

void plan_spell(const struct plan *p, char *out, size_t size)
{
    FILE *to = fmemopen(out, size, "w");
    *out = 0;
    if (!to) return;
    fputs(form_names[FORM_ODE], to);
    int n = p->n_entries - (p->side != NULL);
    for (int i = 0; i < n;) {
        if (i) fputc(',', to);
        i += spell_item(&p->entries[i], n - i, to);
    }
    if (p->side) fprintf(to, ",side %s", p->side);
    fclose(to);
    out[size - 1] = 0;
}

/* ---- the two ends ---- */

static int check_form(const char *spelled, enum form form, const char *list, struct err *err)
{
    struct item item;
    struct exits exits;
    bool ok = *list;
    if (form == FORM_BALCONY) {
        size_t n = path_of(list, &exits);
        ok = n > 0 && list[n - 1] != ':' && (!list[n] || (exits.from > 0 && exits.to == exits.from));
    }
    while (ok && form != FORM_BALCONY && *list) ok = read_item(&list, form, &item);
    return ok ? OK : err_set(err, E_USAGE, "%.200s: cannot be read; plans are spelled %s", spelled, forms_help);
}

static int read_file(char **text, const char *path, struct err *err)
{
    FILE *f = fopen(path, "re");
    char *bytes = f ? malloc(PLAN_TEXT_MOST) : NULL;
    if (!f) return err_set(err, E_USAGE, "%.200s: %s; plans are spelled %s", path, strerror(errno), forms_help);
    size_t n = bytes ? fread(bytes, 1, PLAN_TEXT_MOST, f) : 0;
    bool failed = ferror(f);
    fclose(f);
    int rc = OK;
    if (!bytes) rc = err_set(err, E_LAYOUT, "out of memory for a plan");
    if (rc == OK && failed) rc = err_set(err, E_USAGE, "%.200s: %s", path, strerror(EIO));
    if (rc == OK && n == PLAN_TEXT_MOST)
        rc = err_set(err, E_MODEL, "%.200s: no plan has %d bytes or more", path, PLAN_TEXT_MOST);
    if (rc == OK) bytes[n] = 0;
    json_t *root = NULL;
    if (rc == OK && !entries_of(&root, bytes, err)) rc = err_wrap(err, "%.200s", path);
    json_decref(root);
    if (rc != OK) free(bytes);
    if (rc == OK) *text = bytes;
    return rc;
}

/* ---- searches ---- */

static const char search_name[] = "swift";

static bool names_search(const char *text)
{
    const char *behind = text + sizeof search_name - 1;
    return !strncmp(text, search_name, sizeof search_name - 1) && (!*behind || *behind == ':');
}

static bool read_search_of_exits(struct plan_search *out, const char *text)
{
    const char *at;
    struct exits exits = {0};
    enum form form = form_of(text, &at);
    out->sides = form == FORM_BALCONY && path_of(at, &exits) > 0;
    if (form == FORM_LAYERSKIP && !read_exits(&exits, at)) return false;
    out->exit_from = exits.from;
    out->exit_to = exits.to;
    return 0 < exits.from && exits.from < exits.to && (form == FORM_LAYERSKIP || out->sides);
}

char *plan_search_side(const char *text)
{
    const char *at;
    struct exits exits;
    form_of(text, &at);
    return strndup(at, path_of(at, &exits));
}

bool plan_search_read(struct plan_search *out, const char *text)
{
    enum { PERCENT = 3 };
    int percent = PERCENT;
    *out = (struct plan_search){.share = PERCENT / 100.0};
    bool ok = read_search_of_exits(out, text);
    if (!ok && names_search(text)) {
        const char *at = text + sizeof search_name - 1;
        ok = (!*at || (at++, read_whole(&at, &percent))) && !*at && percent > 0;
        *out = (struct plan_search){.share = percent / 100.0};
    }
    if (!ok) *out = (struct plan_search){0};
    return ok;
}

int plan_text(char **text, const char *spelled, struct err *err)
{
    const char *list;
    enum form form = form_of(spelled, &list);
    struct plan_search search;
    if (plan_search_read(&search, spelled) || names_search(spelled))
        return err_set(err, E_USAGE, "%.200s: a search of plans for drafts, no plan: use --draft-plan", spelled);
    if (!*spelled) return err_set(err, E_USAGE, "nothing is given; plans are spelled %s", forms_help);
    if (form == N_FORMS) return read_file(text, spelled, err);
    int rc = check_form(spelled, form, list, err);
    if (rc == OK && !(*text = strdup(spelled))) rc = err_set(err, E_LAYOUT, "out of memory for a plan");
    return rc;
}

int plan_draft_text(char **text, const char *spelled, struct err *err)
{
    struct plan_search search;
    const char *list;
    bool searches = plan_search_read(&search, spelled);
    if (!searches && (names_search(spelled) || (form_of(spelled, &list) == FORM_LAYERSKIP && strchr(list, '-'))))
        return err_set(err, E_USAGE,
                       "%.200s: cannot be read; a search is spelled swift, swift:5 for 5 %% of the time, or "
                       "layerskip:2-6 for the best of these exits",
                       spelled);
    if (!searches) return plan_text(text, spelled, err);
    *text = strdup(spelled);
    return *text ? OK : err_set(err, E_LAYOUT, "out of memory for a plan");
}

int plan_at_depth(char **out, const char *spelled, const char *depth, struct err *err)
{
    const char *list = "";
    struct exits exits;
    int n = 0;
    enum form form = spelled ? form_of(spelled, &list) : FORM_LAYERSKIP;
    if (!read_exits(&exits, depth) || exits.from < 1 || exits.to < exits.from)
        return err_set(err, E_USAGE, "--depth %.40s: blocks before the exit: 8, or 2-8", depth);
    if (form == FORM_LAYERSKIP)
        n = asprintf(out, "%s%s", form_names[form], depth);
    else if (form == FORM_BALCONY)
        n = asprintf(out, "%s%.*s:%s", form_names[form], (int)path_of(list, &exits), list, depth);
    else
        return err_set(err, E_USAGE, "--depth %.40s chooses an exit, which %.200s has not: layerskip: or balcony:FILE",
                       depth, spelled);
    return n < 0 ? err_set(err, E_LAYOUT, "out of memory for a plan") : OK;
}

int plan_depth(const char *text)
{
    const char *list;
    struct exits exits = {0};
    enum form form = form_of(text, &list);
    if (form == FORM_BALCONY) path_of(list, &exits);
    bool named = form == FORM_BALCONY || (form == FORM_LAYERSKIP && read_exits(&exits, list));
    return named && exits.from == exits.to ? exits.from : 0;
}

int plan_read(struct plan *out, const char *text, int n_blocks, struct err *err)
{
    static int (*const build[N_FORMS + 1])(struct plan *, const char *, int, struct err *) = {
        [FORM_SKIP] = build_skip, [FORM_LAYERSKIP] = build_layerskip,
        [FORM_ODE] = build_ode,   [FORM_BALCONY] = build_balcony,
        [N_FORMS] = build_json,
    };
    const char *list;
    enum form form = form_of(text, &list);
    struct plan p = {.entries = calloc(PLAN_ENTRIES_MOST, sizeof *p.entries)};
    if (!p.entries) return err_set(err, E_LAYOUT, "out of memory for a plan");
    int rc = build[form](&p, form == N_FORMS ? text : list, n_blocks, err);
    if (rc == OK && !p.n_entries) rc = err_set(err, E_MODEL, "nothing is left of the model");
    if (rc == OK && !p.n_caches) rc = err_set(err, E_MODEL, "no attention is left of the model");
    if (rc != OK) {
        plan_free(&p);
        return form == N_FORMS ? err_wrap(err, "the plan") : err_wrap(err, "plan %.200s", text);
    }
    *out = p;
    return OK;
}
