#include "proto/files/gguf_writer.h"

#include <stdlib.h>
#include <string.h>

enum { ALIGNMENT = 32 };

/* NULL: out of memory. */
static uint8_t *more(struct gguf_writer *w, size_t n)
{
    if (w->failed) return NULL;
    if (w->room - w->n < n) {
        size_t room = 2 * w->room + n + 4096;
        uint8_t *keys = realloc(w->keys, room);
        if (!keys) {
            w->failed = true;
            return NULL;
        }
        w->keys = keys;
        w->room = room;
    }
    w->n += n;
    return w->keys + w->n - n;
}

static void put(struct gguf_writer *w, const void *bytes, size_t n)
{
    uint8_t *to = more(w, n);
    if (to && n) memcpy(to, bytes, n);
}

static void put_str(struct gguf_writer *w, struct gguf_str s)
{
    uint64_t n = s.n;
    put(w, &n, sizeof n);
    put(w, s.s, s.n);
}

static void put_key(struct gguf_writer *w, const char *key, enum gguf_value type)
{
    uint32_t number = type;
    put_str(w, (struct gguf_str){key, strlen(key)});
    put(w, &number, sizeof number);
    w->n_keys++;
}

static void put_array(struct gguf_writer *w, const char *key, enum gguf_value type, uint64_t n)
{
    uint32_t number = type;
    put_key(w, key, GGUF_ARR);
    put(w, &number, sizeof number);
    put(w, &n, sizeof n);
}

void gguf_put_str(struct gguf_writer *w, const char *key, struct gguf_str value)
{
    put_key(w, key, GGUF_STR);
    put_str(w, value);
}

void gguf_put_text(struct gguf_writer *w, const char *key, const char *value)
{
    gguf_put_str(w, key, (struct gguf_str){value, strlen(value)});
}

void gguf_put_u32(struct gguf_writer *w, const char *key, uint32_t value)
{
    put_key(w, key, GGUF_U32);
    put(w, &value, sizeof value);
}

void gguf_put_i32(struct gguf_writer *w, const char *key, int32_t value)
{
    put_key(w, key, GGUF_I32);
    put(w, &value, sizeof value);
}

void gguf_put_f32(struct gguf_writer *w, const char *key, float value)
{
    put_key(w, key, GGUF_F32);
    put(w, &value, sizeof value);
}

void gguf_put_bool(struct gguf_writer *w, const char *key, bool value)
{
    uint8_t byte = value;
    put_key(w, key, GGUF_BOOL);
    put(w, &byte, sizeof byte);
}

void gguf_put_strs(struct gguf_writer *w, const char *key, const struct gguf_str *items, size_t n)
{
    put_array(w, key, GGUF_STR, n);
    for (size_t i = 0; i < n; i++) put_str(w, items[i]);
}

void gguf_put_i32s(struct gguf_writer *w, const char *key, const int32_t *items, size_t n)
{
    put_array(w, key, GGUF_I32, n);
    put(w, items, n * sizeof *items);
}

void gguf_put_f32s(struct gguf_writer *w, const char *key, const float *items, size_t n)
{
    put_array(w, key, GGUF_F32, n);
    put(w, items, n * sizeof *items);
}

float *gguf_put_vector(struct gguf_writer *w, const char *name, size_t n)
{
    if (w->failed) return NULL;
    if (w->n_vectors == w->vectors_room) {
        size_t room = 2 * w->vectors_room + 64;
        struct gguf_written_vector *vectors = realloc(w->vectors, room * sizeof *vectors);
        if (!vectors) {
            w->failed = true;
            return NULL;
        }
        w->vectors = vectors;
        w->vectors_room = room;
    }
    struct gguf_written_vector *v = &w->vectors[w->n_vectors++];
    *v = (struct gguf_written_vector){strdup(name), n, calloc(n + 1, sizeof(float))};
    w->failed = !v->name || !v->x;
    return w->failed ? NULL : v->x;
}

static size_t align_up(size_t n)
{
    return (n + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

/* Behind the keys: the vectors' directory, then their numbers. */
static void put_vectors(struct gguf_writer *w, size_t head_bytes)
{
    uint64_t offset = 0;
    for (size_t i = 0; i < w->n_vectors; i++) {
        const uint32_t n_dims = 1, type = GGUF_TYPE_F32;
        uint64_t n = w->vectors[i].n;
        put_str(w, (struct gguf_str){w->vectors[i].name, strlen(w->vectors[i].name)});
        put(w, &n_dims, sizeof n_dims);
        put(w, &n, sizeof n);
        put(w, &type, sizeof type);
        put(w, &offset, sizeof offset);
        offset += align_up(n * sizeof(float));
    }
    size_t at = head_bytes + w->n, gap = align_up(at) - at;
    for (size_t i = 0; i < w->n_vectors; i++) {
        static const uint8_t zeros[ALIGNMENT];
        size_t n = w->vectors[i].n * sizeof(float);
        put(w, zeros, gap);
        put(w, w->vectors[i].x, n);
        gap = align_up(n) - n;
    }
}

uint8_t *gguf_written(struct gguf_writer *w, size_t *n_bytes)
{
    const uint32_t version = 3;
    const uint64_t n_tensors = w->n_vectors, n_keys = w->n_keys;
    uint8_t head[24] = "GGUF";
    memcpy(head + 4, &version, sizeof version);
    memcpy(head + 8, &n_tensors, sizeof n_tensors);
    memcpy(head + 16, &n_keys, sizeof n_keys);
    put_vectors(w, sizeof head);
    uint8_t *out = w->failed ? NULL : malloc(sizeof head + w->n);
    if (out) {
        memcpy(out, head, sizeof head);
        if (w->n) memcpy(out + sizeof head, w->keys, w->n);
        *n_bytes = sizeof head + w->n;
    }
    gguf_writer_free(w);
    return out;
}

void gguf_writer_free(struct gguf_writer *w)
{
    if (!w) return;
    for (size_t i = 0; i < w->n_vectors; i++) {
        free(w->vectors[i].name);
        free(w->vectors[i].x);
    }
    free(w->vectors);
    free(w->keys);
    *w = (struct gguf_writer){0};
}
