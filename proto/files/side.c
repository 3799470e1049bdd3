#include "proto/files/side.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EXIT_MOST = 1 << 20, IDS_MOST = 1 << 24, BASE_DIGITS = 16 };

bool side_is(const struct gguf *g)
{
    struct gguf_str name;
    return gguf_get_str(g, "general.architecture", &name) && gguf_str_is(name, "pilotfish-side");
}

static bool read_base(const struct gguf *g, uint64_t *out)
{
    struct gguf_str base;
    char digits[BASE_DIGITS + 1] = "", *end;
    if (!gguf_get_str(g, "side.base", &base) || base.n != BASE_DIGITS) return false;
    memcpy(digits, base.s, BASE_DIGITS);
    *out = strtoull(digits, &end, 16);
    return !*end && strspn(digits, "0123456789abcdef") == BASE_DIGITS;
}

static bool is_integer(enum gguf_value type)
{
    return type <= GGUF_I32 || type == GGUF_U64 || type == GGUF_I64;
}

/* A whole number, or a list of them that rise; each in [least, most]. The caller frees *list. */
static int read_rising(const struct gguf *g, const char *key, int least, int most, int32_t **list, int *n,
                       struct err *err)
{
    const struct gguf_kv *kv = gguf_find(g, key);
    bool several = kv && kv->type == GGUF_ARR, whole = false;
    int64_t one = 0, before = least - 1;
    *n = several && kv->n_items <= IDS_MOST ? (int)kv->n_items : several ? 0 : 1;
    if (several)
        whole = *n > 0 && is_integer(kv->item_type);
    else
        whole = gguf_get_int(g, key, &one);
    if (!(*list = calloc((size_t)*n + 1, sizeof **list))) return err_set(err, E_LAYOUT, "out of memory for %s", key);
    for (int i = 0; i < *n && whole; i++) {
        int64_t item = several ? gguf_item_int(kv, (uint64_t)i) : one;
        whole = item > before && item <= most;
        (*list)[i] = (int32_t)(before = item);
    }
    return whole ? OK
                 : err_set(err, E_MODEL, "%.200s: %s is no whole number from %d to %d, nor a list of such that rise",
                           g->path, key, least, most);
}

static int read_exits(struct side *s, const struct gguf *g, struct err *err)
{
    int32_t *list = NULL;
    int rc = read_rising(g, "side.exit", 1, EXIT_MOST, &list, &s->n_exits, err);
    if (rc == OK && s->n_exits > SIDE_EXITS_MOST)
        rc = err_set(err, E_MODEL, "%.200s: %d exits, but no side file has more than %d", g->path, s->n_exits,
                     SIDE_EXITS_MOST);
    for (int i = 0; i < s->n_exits && rc == OK; i++) s->exits[i] = list[i];
    free(list);
    return rc;
}

static int read_ids(struct side *s, const struct gguf *g, struct err *err)
{
    const struct gguf_kv *kv = gguf_find(g, "side.ids");
    if (!kv) return OK;
    bool several = kv->type == GGUF_ARR;
    int rc = read_rising(g, "side.ids", !several, IDS_MOST, &s->ids, &s->n_ids, err);
    if (rc != OK || several) return rc;
    s->n_ids = s->ids[0];
    free(s->ids);
    s->ids = NULL;
    return OK;
}

int side_read(struct side *s, const struct gguf *g, struct err *err)
{
    if (!side_is(g)) return err_set(err, E_MODEL, "%.200s: no side file (scripts/train/balcony.py makes one)", g->path);
    if (!read_base(g, &s->base))
        return err_set(err, E_MODEL, "%.200s: side.base is no fingerprint of %d digits", g->path, BASE_DIGITS);
    int rc = read_exits(s, g, err);
    return rc == OK ? read_ids(s, g, err) : rc;
}

int side_find(const struct side *s, int exit, int *i_exit, struct err *err)
{
    char all[160] = "";
    for (int i = 0; i < s->n_exits; i++) {
        *i_exit = i;
        if (s->exits[i] == exit || (!exit && s->n_exits == 1)) return OK;
        size_t n = strlen(all);
        snprintf(all + n, sizeof all - n, "%s%d", i ? ", " : "", s->exits[i]);
    }
    if (!exit)
        return err_set(err, E_MODEL, "%.200s has several exits: say after which of %s blocks", s->file.path, all);
    return err_set(err, E_MODEL, "%.200s is for an exit after %s blocks, not %d", s->file.path, all, exit);
}

int side_open(struct side *s, const char *path, struct err *err)
{
    struct side new = {0};
    int rc = gguf_open_file(&new.file, path, err);
    if (rc == OK) rc = side_read(&new, &new.file, err);
    if (rc == OK)
        *s = new;
    else
        side_close(&new);
    return rc;
}

void side_close(struct side *s)
{
    if (!s) return;
    gguf_close(&s->file);
    free(s->ids);
    *s = (struct side){0};
}
