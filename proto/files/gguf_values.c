#include "proto/files/gguf.h"

#include <assert.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "proto/prefix_hash.h"

static bool int_at(enum gguf_value type, const uint8_t *p, int64_t *out)
{
    uint64_t bits = 0;
    int n_bytes = gguf_value_bytes(type);
    if (n_bytes == 0 || type == GGUF_F32 || type == GGUF_F64) return false;
    memcpy(&bits, p, (size_t)n_bytes);
    bool is_signed = type == GGUF_I8 || type == GGUF_I16 || type == GGUF_I32;
    uint64_t sign = is_signed ? (uint64_t)1 << (8 * n_bytes - 1) : 0;
    if (type == GGUF_U64 && bits > INT64_MAX) return false;
    *out = type == GGUF_BOOL ? bits != 0 : (int64_t)((bits ^ sign) - sign);
    return true;
}

static bool float_at(enum gguf_value type, const uint8_t *p, double *out)
{
    int64_t i;
    float f;
    uint64_t u;
    if (type == GGUF_F32) {
        memcpy(&f, p, sizeof f);
        *out = (double)f;
    } else if (type == GGUF_F64) {
        memcpy(out, p, sizeof *out);
    } else if (type == GGUF_U64) {
        memcpy(&u, p, sizeof u);
        *out = (double)u;
    } else if (int_at(type, p, &i)) {
        *out = (double)i;
    } else {
        return false;
    }
    return true;
}

/* The type of a number, or of each of equal ones; GGUF_ARR: it is none. */
static enum gguf_value number_type(const struct gguf_kv *kv)
{
    if (!kv || kv->type != GGUF_ARR) return kv ? kv->type : GGUF_ARR;
    size_t n = gguf_value_bytes(kv->item_type);
    bool equal = n > 0 && kv->n_items > 0 && memcmp(kv->data, kv->data + n, n * (kv->n_items - 1)) == 0;
    return equal ? kv->item_type : GGUF_ARR;
}

bool gguf_get_int(const struct gguf *g, const char *key, int64_t *out)
{
    const struct gguf_kv *kv = gguf_find(g, key);
    return kv && int_at(number_type(kv), kv->data, out);
}

bool gguf_get_own_int(const struct gguf *g, const char *key, int64_t *out)
{
    struct gguf_str architecture;
    char whole[160];
    if (!gguf_get_str(g, "general.architecture", &architecture) || architecture.n > 100) return false;
    snprintf(whole, sizeof whole, "%.*s.%s", (int)architecture.n, architecture.s, key);
    return gguf_get_int(g, whole, out);
}

int gguf_context(const struct gguf *g)
{
    static const char *const keys[] = {"context_length", "attention.sliding_window"};
    struct gguf_str architecture = {"", 0};
    int64_t n, least = INT_MAX;
    gguf_get_str(g, "general.architecture", &architecture);
    for (int i = 0; i < (gguf_str_is(architecture, "gemma3") ? 1 : 2); i++)
        if (gguf_get_own_int(g, keys[i], &n) && n > 0 && n < least) least = n;
    return (int)least;
}

bool gguf_get_float(const struct gguf *g, const char *key, double *out)
{
    const struct gguf_kv *kv = gguf_find(g, key);
    return kv && float_at(number_type(kv), kv->data, out);
}

bool gguf_get_str(const struct gguf *g, const char *key, struct gguf_str *out)
{
    const struct gguf_kv *kv = gguf_find(g, key);
    const uint8_t *cursor = kv ? kv->data : NULL;
    return kv && kv->type == GGUF_STR && gguf_next_str(g, &cursor, out);
}

static int other_type(const struct gguf *g, const char *key, const char *expected, struct err *err)
{
    static const char *const names[] = {"u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
                                        "bool", "string", "array", "u64", "i64", "f64"};
    const struct gguf_kv *kv = gguf_find(g, key);
    if (!kv) return OK;
    bool list = kv->type == GGUF_ARR, unequal = list && kv->n_items > 0 && kv->item_type != GGUF_STR;
    return err_set(err, E_MODEL, "%s has type %s%s%s, expected %s", key, list ? "array of " : "",
                   names[list ? kv->item_type : kv->type], unequal ? " that differ" : "", expected);
}

int gguf_read_int(const struct gguf *g, const char *key, int64_t *out, struct err *err)
{
    return gguf_get_int(g, key, out) ? OK : other_type(g, key, "an integer", err);
}

int gguf_read_float(const struct gguf *g, const char *key, double *out, struct err *err)
{
    return gguf_get_float(g, key, out) ? OK : other_type(g, key, "a number", err);
}

int gguf_read_str(const struct gguf *g, const char *key, struct gguf_str *out, struct err *err)
{
    return gguf_get_str(g, key, out) ? OK : other_type(g, key, "a string", err);
}

bool gguf_next_str(const struct gguf *g, const uint8_t **cursor, struct gguf_str *out)
{
    const uint8_t *at = *cursor, *end = g->head + g->head_bytes;
    uint64_t n;
    if ((size_t)(end - at) < sizeof n) return false;
    memcpy(&n, at, sizeof n);
    at += sizeof n;
    if (n > (uint64_t)(end - at)) return false;
    *out = (struct gguf_str){(const char *)at, n};
    *cursor = at + n;
    return true;
}

double gguf_item_float(const struct gguf_kv *kv, uint64_t i)
{
    double value = 0;
    assert(i < kv->n_items && gguf_value_bytes(kv->item_type) > 0);
    float_at(kv->item_type, kv->data + i * gguf_value_bytes(kv->item_type), &value);
    return value;
}

/* What an int64 cannot hold is cut to its nearest; a NaN is 0. */
int64_t gguf_item_int(const struct gguf_kv *kv, uint64_t i)
{
    int64_t value = 0;
    assert(i < kv->n_items && gguf_value_bytes(kv->item_type) > 0);
    if (int_at(kv->item_type, kv->data + i * gguf_value_bytes(kv->item_type), &value)) return value;
    double f = gguf_item_float(kv, i);
    if (f >= 0x1p63) return INT64_MAX;
    if (f < -0x1p63) return INT64_MIN;
    return f == f ? (int64_t)f : 0;
}

static uint64_t hash_bytes(uint64_t h, const void *data, size_t n)
{
    const uint8_t *bytes = data;
    h = prefix_hash_mix(h ^ n);
    for (size_t i = 0; i < n; i += sizeof h) {
        uint64_t word = 0;
        memcpy(&word, bytes + i, n - i < sizeof word ? n - i : sizeof word);
        h = prefix_hash_mix(h ^ word);
    }
    return h;
}

uint64_t gguf_array_hash(const struct gguf *g, const char *key)
{
    const struct gguf_kv *kv = gguf_find(g, key);
    if (!kv || kv->type != GGUF_ARR) return 0;
    if (kv->item_type != GGUF_STR)
        return hash_bytes(kv->n_items, kv->data, kv->n_items * gguf_value_bytes(kv->item_type));
    uint64_t h = kv->n_items;
    const uint8_t *cursor = kv->data;
    struct gguf_str s;
    for (uint64_t i = 0; i < kv->n_items && gguf_next_str(g, &cursor, &s); i++) h = hash_bytes(h, s.s, s.n);
    return h;
}

uint64_t gguf_vocab_hash(const struct gguf *g)
{
    return gguf_array_hash(g, "tokenizer.ggml.tokens") ^
           prefix_hash_mix(gguf_array_hash(g, "tokenizer.ggml.token_type"));
}

uint64_t gguf_fingerprint(const struct gguf *g)
{
    enum { BYTES = 64 };
    uint64_t h = g->n_tensors;
    for (size_t i = 0; i < g->n_tensors; i++) {
        const struct gguf_tensor *t = &g->tensors[i];
        for (size_t k = 0; k < t->name.n; k++) h = prefix_hash_next(h, (uint8_t)t->name.s[k]);
        for (int k = 0; k < 4; k++) h = prefix_hash_mix(h ^ t->dim[k]);
        h = prefix_hash_next(h, (int32_t)t->type);
        h = t->random_key ? prefix_hash_mix(h ^ t->random_key) : h;
        for (size_t k = 0; k < BYTES && k < t->n_bytes && !t->random_key; k++) h = prefix_hash_next(h, t->data[k]);
    }
    return h;
}
