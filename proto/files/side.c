#include "proto/files/side.h"

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

int side_read(struct side *s, const struct gguf *g, struct err *err)
{
    int64_t e, n_ids = 0;
    if (!side_is(g)) return err_set(err, E_MODEL, "%.200s: no side file (scripts/train/balcony.py makes one)", g->path);
    if (!read_base(g, &s->base))
        return err_set(err, E_MODEL, "%.200s: side.base is no fingerprint of %d digits", g->path, BASE_DIGITS);
    if (!gguf_get_int(g, "side.exit", &e) || e < 1 || e > EXIT_MOST)
        return err_set(err, E_MODEL, "%.200s: side.exit is no number of blocks", g->path);
    if (gguf_find(g, "side.ids") && (!gguf_get_int(g, "side.ids", &n_ids) || n_ids < 1 || n_ids > IDS_MOST))
        return err_set(err, E_MODEL, "%.200s: side.ids is no number of ids", g->path);
    s->exit = (int)e;
    s->n_ids = (int)n_ids;
    return OK;
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
    *s = (struct side){0};
}
