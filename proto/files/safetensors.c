#include "proto/files/safetensors.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/show.h"

static const struct {
    const char *dtype;
    int type; /* as in GGUF files */
    unsigned bytes;
} dtypes[] = {{"BF16", GGUF_TYPE_BF16, 2}, {"F16", GGUF_TYPE_F16, 2}, {"F32", GGUF_TYPE_F32, 4}};
enum { N_DTYPES = sizeof dtypes / sizeof *dtypes };

struct place { /* what is read, for messages */
    const char *path, *name;
    const uint8_t *data;
    size_t n_data;
    struct err *err;
};

static int damaged(const struct place *p, const char *what)
{
    struct shown_name name = show_name(p->name);
    return err_set(p->err, E_MODEL, "%s: tensor '%s' %s; the file is damaged: fetch it again", p->path, name.s, what);
}

static bool read_offset(const json_t *offsets, size_t i, size_t most, size_t *out)
{
    const json_t *value = json_array_get(offsets, i);
    json_int_t n = json_integer_value(value);
    *out = (size_t)n;
    return json_is_integer(value) && n >= 0 && (uint64_t)n <= most;
}

/* The elements of the shape; 0: it cannot be. */
static uint64_t read_shape(struct safetensor *t, const json_t *shape)
{
    uint64_t n = 1;
    if (!json_is_array(shape) || json_array_size(shape) > 4) return 0;
    t->n_dims = (int)json_array_size(shape);
    for (int d = 0; d < 4; d++) {
        json_int_t size = d < t->n_dims ? json_integer_value(json_array_get(shape, (size_t)d)) : 1;
        t->dim[d] = (uint64_t)size;
        if (size < 1 || __builtin_mul_overflow(n, (uint64_t)size, &n) || n > INT64_MAX / 8) return 0;
    }
    return n;
}

static int read_tensor(struct safetensor *t, const struct place *p, const json_t *value)
{
    const char *dtype = json_string_value(json_object_get(value, "dtype"));
    const json_t *offsets = json_object_get(value, "data_offsets");
    size_t from, to;
    uint64_t n = read_shape(t, json_object_get(value, "shape"));
    if (!dtype || n == 0) return damaged(p, "has no dtype or an impossible shape");
    if (!read_offset(offsets, 0, p->n_data, &from) || !read_offset(offsets, 1, p->n_data, &to) || from > to)
        return damaged(p, "lies outside the file");
    snprintf(t->dtype, sizeof t->dtype, "%s", dtype);
    t->type = -1;
    t->data = p->data + from;
    t->n_bytes = to - from;
    for (int i = 0; i < N_DTYPES; i++) {
        if (strcmp(dtype, dtypes[i].dtype) != 0) continue;
        t->type = dtypes[i].type;
        if (t->n_bytes != n * dtypes[i].bytes) return damaged(p, "has a size that does not fit its shape");
        if ((uintptr_t)t->data % dtypes[i].bytes) return damaged(p, "does not lie where its numbers can be read");
    }
    return OK;
}

static int add_tensor(struct safetensors *s, const struct place *p, const json_t *value)
{
    if (s->n == s->room) {
        size_t room = 2 * s->room + 64;
        struct safetensor *list = realloc(s->list, room * sizeof *list);
        if (!list) return err_set(p->err, E_LAYOUT, "%s: no memory for its directory", p->path);
        s->list = list;
        s->room = room;
    }
    struct safetensor t = {0};
    int rc = read_tensor(&t, p, value);
    if (rc != OK) return rc;
    if (!(t.name = strdup(p->name))) return err_set(p->err, E_LAYOUT, "%s: no memory for its directory", p->path);
    s->list[s->n++] = t;
    return OK;
}

int safetensors_add(struct safetensors *s, const char *path, const uint8_t *bytes, size_t n_bytes, struct err *err)
{
    uint64_t n_head = 0;
    if (n_bytes >= sizeof n_head) memcpy(&n_head, bytes, sizeof n_head);
    if (n_bytes < sizeof n_head || n_head > n_bytes - sizeof n_head)
        return err_set(err, E_MODEL, "%s: the file ends inside its header; it is cut off or damaged: fetch it again",
                       path);
    const uint8_t *head = bytes + sizeof n_head;
    json_error_t why;
    json_t *root = json_loadb((const char *)head, n_head, JSON_REJECT_DUPLICATES, &why);
    if (!json_is_object(root)) {
        json_decref(root);
        return err_set(err, E_MODEL, "%s: its header is no JSON object (byte %d: %s); it is damaged: fetch it again",
                       path, root ? 0 : why.position, root ? "another value" : why.text);
    }
    struct place p = {.path = path, .data = head + n_head, .n_data = n_bytes - sizeof n_head - n_head, .err = err};
    json_t *value;
    int rc = OK;
    json_object_foreach(root, p.name, value)
    {
        if (rc == OK && strcmp(p.name, "__metadata__") != 0) rc = add_tensor(s, &p, value);
    }
    json_decref(root);
    return rc;
}

static int order(const void *a, const void *b)
{
    return strcmp(((const struct safetensor *)a)->name, ((const struct safetensor *)b)->name);
}

int safetensors_sort(struct safetensors *s, const char *path, struct err *err)
{
    if (s->n) qsort(s->list, s->n, sizeof *s->list, order);
    for (size_t i = 1; i < s->n; i++)
        if (order(&s->list[i - 1], &s->list[i]) == 0)
            return err_set(err, E_MODEL, "%s: tensor '%s' is there twice; fetch the model again", path,
                           show_name(s->list[i].name).s);
    return OK;
}

struct safetensor *safetensors_find(const struct safetensors *s, const char *name)
{
    struct safetensor key = {.name = (char *)(uintptr_t)name};
    return s->n ? bsearch(&key, s->list, s->n, sizeof key, order) : NULL;
}

void safetensors_free(struct safetensors *s)
{
    if (!s) return;
    for (size_t i = 0; i < s->n; i++) free(s->list[i].name);
    free(s->list);
    *s = (struct safetensors){0};
}
