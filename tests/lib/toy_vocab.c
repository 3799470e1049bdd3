#include "tests/lib/toy_vocab.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { HEAD = 24, MAX_TOKENS = 2048, TEXT_ROOM = 128 };

static void add(struct toy *t, const void *from, size_t n)
{
    if (t->n == 0) t->n = HEAD; /* magic, version and counts are written by toy_open */
    if (t->n + n > t->room) {
        t->room = 2 * (t->n + n);
        t->bytes = realloc(t->bytes, t->room);
        assert_non_null(t->bytes);
    }
    memcpy(t->bytes + t->n, from, n);
    t->n += n;
}

static void add_u32(struct toy *t, uint32_t x)
{
    add(t, &x, sizeof x);
}
static void add_u64(struct toy *t, uint64_t x)
{
    add(t, &x, sizeof x);
}

static void add_text(struct toy *t, const char *s)
{
    add_u64(t, strlen(s));
    add(t, s, strlen(s));
}

static void add_key(struct toy *t, const char *key, enum gguf_value type)
{
    add_text(t, key);
    add_u32(t, type);
    t->n_keys++;
}

void toy_str(struct toy *t, const char *key, const char *value)
{
    add_key(t, key, GGUF_STR);
    add_text(t, value);
}

void toy_int(struct toy *t, const char *key, int32_t value)
{
    add_key(t, key, GGUF_I32);
    add(t, &value, sizeof value);
}

void toy_bool(struct toy *t, const char *key, bool value)
{
    add_key(t, key, GGUF_BOOL);
    add(t, &(uint8_t){value}, 1);
}

void toy_strs(struct toy *t, const char *key, const char *const *items, size_t n)
{
    add_key(t, key, GGUF_ARR);
    add_u32(t, GGUF_STR);
    add_u64(t, n);
    for (size_t i = 0; i < n; i++) add_text(t, items[i]);
}

void toy_ints(struct toy *t, const char *key, const int32_t *items, size_t n)
{
    add_key(t, key, GGUF_ARR);
    add_u32(t, GGUF_I32);
    add_u64(t, n);
    add(t, items, n * sizeof *items);
}

void toy_floats(struct toy *t, const char *key, const float *items, size_t n)
{
    add_key(t, key, GGUF_ARR);
    add_u32(t, GGUF_F32);
    add_u64(t, n);
    add(t, items, n * sizeof *items);
}

/* GPT-2's alphabet: a printable byte is its own Latin-1 character, the others follow from U+0100. */
static void byte_texts(char out[256][TEXT_ROOM])
{
    int next = 0x100;
    for (int b = 0; b < 256; b++) {
        bool printable = (b > ' ' && b < 0x7F) || (b > 0xA0 && b != 0xAD);
        int c = printable ? b : next++;
        if (c < 0x80)
            snprintf(out[b], TEXT_ROOM, "%c", c);
        else
            snprintf(out[b], TEXT_ROOM, "%c%c", 0xC0 | c >> 6, 0x80 | (c & 0x3F));
    }
}

void toy_vocab(struct toy *t, const struct toy_vocab *v)
{
    char(*text)[TEXT_ROOM] = calloc(MAX_TOKENS, sizeof *text);
    assert_non_null(text);
    const char *list[MAX_TOKENS];
    int32_t type[MAX_TOKENS];
    size_t n = 256, n_merges = 0;
    byte_texts(text);
    for (; v->merges && v->merges[n_merges]; n_merges++, n++) {
        const char *merge = v->merges[n_merges], *space = strchr(merge, ' ');
        snprintf(text[n], TEXT_ROOM, "%.*s%s", (int)(space - merge), merge, space + 1);
    }
    for (size_t id = 0; id < n; id++) list[id] = text[id], type[id] = 1;
    for (const struct toy_token *e = v->extra; e && e->text; e++, n++) list[n] = e->text, type[n] = e->type;
    assert_true(n < MAX_TOKENS);

    toy_str(t, "tokenizer.ggml.model", v->model ? v->model : "gpt2");
    toy_str(t, "tokenizer.ggml.pre", v->pre ? v->pre : "qwen2");
    toy_strs(t, "tokenizer.ggml.tokens", list, n);
    toy_ints(t, "tokenizer.ggml.token_type", type, n);
    toy_strs(t, "tokenizer.ggml.merges", v->merges, n_merges);
    free(text);
}

void toy_sentencepiece(struct toy *t, const struct toy_text *texts, bool without_bytes)
{
    enum { ROOM = 400, NORMAL = 1, UNKNOWN, CONTROL, USER, BYTE = 6 };
    const char *text[ROOM] = {"<unk>", "<s>", "</s>"};
    int32_t type[ROOM] = {UNKNOWN, CONTROL, CONTROL};
    float score[ROOM] = {0};
    char of_byte[256][8];
    size_t n = 3;
    for (int b = 0; b < 256 && !without_bytes; b++, n++) {
        snprintf(of_byte[b], sizeof *of_byte, "<0x%02X>", (unsigned)b);
        text[n] = of_byte[b];
        type[n] = BYTE;
    }
    for (; texts->text; texts++, n++) {
        assert_true(n + 1 < ROOM);
        text[n] = texts->text;
        type[n] = NORMAL;
        score[n] = texts->score;
    }
    text[n] = "<tool>";
    type[n++] = USER;
    toy_str(t, "tokenizer.ggml.model", "llama");
    toy_strs(t, "tokenizer.ggml.tokens", text, n);
    toy_ints(t, "tokenizer.ggml.token_type", type, n);
    toy_floats(t, "tokenizer.ggml.scores", score, n);
    toy_int(t, "tokenizer.ggml.bos_token_id", 1);
    toy_int(t, "tokenizer.ggml.unknown_token_id", 0);
}

void toy_open(struct toy *t, struct gguf *g)
{
    add(t, "", 0); /* a toy without keys has a head too */
    const uint32_t version = 3;
    const uint64_t n_tensors = 0;
    memcpy(t->bytes, "GGUF", 4);
    memcpy(t->bytes + 4, &version, sizeof version);
    memcpy(t->bytes + 8, &n_tensors, sizeof n_tensors);
    memcpy(t->bytes + 16, &t->n_keys, sizeof t->n_keys);
    struct err err;
    if (gguf_parse(g, "toy", t->bytes, t->n, &err) != OK) fail_msg("%s", err.text);
}

void toy_close(struct toy *t, struct gguf *g)
{
    gguf_close(g);
    free(t->bytes);
    *t = (struct toy){0};
}
