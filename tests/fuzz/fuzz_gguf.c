/* fuzz_gguf -- any bytes as a model file: refused with one line, or every view that the reader hands out is in bounds.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "proto/files/gguf_open.h"

static void require(bool holds)
{
    if (!holds) abort();
}

/* Reads the bytes, so that a sanitizer sees them. */
static uint64_t touch(const struct gguf *g, const void *at, size_t n)
{
    const uint8_t *p = at;
    uint64_t sum = 0;
    bool in_head = p >= g->head && n <= g->head_bytes && (size_t)(p - g->head) <= g->head_bytes - n;
    require(in_head || (p >= g->base && n <= g->n_bytes && (size_t)(p - g->base) <= g->n_bytes - n));
    for (size_t i = 0; i < n; i++) sum += p[i];
    return sum;
}

/* Some bytes, so that no file takes long. */
static uint64_t touch_random(const struct gguf *g, const struct gguf_tensor *t)
{
    const uint64_t n_rows = t->dim[1] * t->dim[2] * t->dim[3];
    require(t->data >= g->random && t->n_bytes <= g->random_bytes - (size_t)(t->data - g->random));
    return t->dim[0] > 4096 ? 0 : *gguf_row(t, 0) + *gguf_row(t, n_rows - 1);
}

static uint64_t walk_array(const struct gguf *g, const struct gguf_kv *kv)
{
    const uint8_t *cursor = kv->data;
    struct gguf_str s;
    uint64_t sum = 0;
    for (uint64_t i = 0; i < kv->n_items; i++) {
        if (kv->item_type == GGUF_STR) {
            require(gguf_next_str(g, &cursor, &s));
            sum += touch(g, s.s, s.n);
        } else {
            sum += (uint64_t)gguf_item_int(kv, i) + (gguf_item_float(kv, i) > 0);
        }
    }
    return sum;
}

static uint64_t walk_value(const struct gguf *g, const struct gguf_kv *kv)
{
    char *key = strndup(kv->key.s, kv->key.n); /* shorter than the key where that holds a zero byte */
    struct gguf_str s;
    int64_t i;
    double f;
    bool is_str = gguf_get_str(g, key, &s);
    uint64_t sum = gguf_array_hash(g, key) + (is_str ? touch(g, s.s, s.n) : 0);
    sum += (uint64_t)gguf_get_int(g, key, &i) + (uint64_t)gguf_get_float(g, key, &f);
    if (strlen(key) == kv->key.n) require(gguf_find(g, key) == kv);
    free(key);
    return kv->type == GGUF_ARR ? sum + walk_array(g, kv) : sum;
}

static uint64_t walk(const struct gguf *g)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < g->n_kv; i++) sum += walk_value(g, &g->kv[i]);
    for (size_t i = 0; i < g->n_tensors; i++) {
        const struct gguf_tensor *t = &g->tensors[i];
        require(gguf_type(t->type) && t->n_dims >= 1 && t->n_dims <= 4 && t->n_bytes > 0);
        gguf_release(g, t);
        if (t->random_key)
            sum += touch_random(g, t);
        else
            sum += touch(g, t->data, t->n_bytes);
    }
    return sum + (gguf_tensor(g, "token_embd.weight") != NULL);
}

static void check(int rc, struct gguf *g, const struct err *err, size_t n_bytes)
{
    static volatile uint64_t sink;
    if (rc != OK) {
        require(err->code == rc && err->text[0] && !strchr(err->text, '\n') && strlen(err->text) < 500);
        return;
    }
    require(g->n_kv <= n_bytes && g->n_tensors <= n_bytes);
    sink = walk(g);
    (void)sink;
    gguf_close(g);
}

static void check_as_file(const uint8_t *bytes, size_t n_bytes)
{
    struct gguf g = {0};
    struct err err = {0};
    char path[64];
    int fd = memfd_create("gguf", MFD_CLOEXEC);
    if (fd < 0 || write(fd, bytes, n_bytes) != (ssize_t)n_bytes) abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    check(gguf_open(&g, path, &err), &g, &err, n_bytes);
    close(fd);
}

/* What goes over the wire of a file that can be read can be read there. */
static void check_keys(const struct gguf *g)
{
    struct gguf sent = {0};
    struct err err = {0};
    size_t n;
    uint8_t *keys = gguf_keys(g, &n);
    require(keys && n <= g->n_bytes && gguf_parse(&sent, "keys", keys, n, &err) == OK);
    require(sent.n_kv == g->n_kv && sent.n_tensors == 0 && gguf_vocab_hash(&sent) == gguf_vocab_hash(g));
    gguf_close(&sent);
    free(keys);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    struct gguf g = {0};
    struct err err = {0};
    int rc = gguf_parse(&g, "fuzz", bytes, n_bytes, &err);
    if (rc == OK || n_bytes < 64) check_as_file(bytes, n_bytes);
    if (rc == OK) check_keys(&g);
    check(rc, &g, &err, n_bytes);
    return 0;
}
