#include "tests/lib/toy_vocab.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MAX_TOKENS = 2048, TEXT_ROOM = 128 };

void toy_str(struct toy *t, const char *key, const char *value)
{
    gguf_put_text(&t->writer, key, value);
}

void toy_int(struct toy *t, const char *key, int32_t value)
{
    gguf_put_i32(&t->writer, key, value);
}

void toy_bool(struct toy *t, const char *key, bool value)
{
    gguf_put_bool(&t->writer, key, value);
}

void toy_strs(struct toy *t, const char *key, const char *const *items, size_t n)
{
    struct gguf_str *list = calloc(n + 1, sizeof *list);
    assert_non_null(list);
    for (size_t i = 0; i < n; i++) list[i] = (struct gguf_str){items[i], strlen(items[i])};
    gguf_put_strs(&t->writer, key, list, n);
    free(list);
}

void toy_ints(struct toy *t, const char *key, const int32_t *items, size_t n)
{
    gguf_put_i32s(&t->writer, key, items, n);
}

void toy_floats(struct toy *t, const char *key, const float *items, size_t n)
{
    gguf_put_f32s(&t->writer, key, items, n);
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
    size_t n;
    struct err err;
    t->bytes = gguf_written(&t->writer, &n);
    assert_non_null(t->bytes);
    if (gguf_parse(g, "toy", t->bytes, n, &err) != OK) fail_msg("%s", err.text);
}

void toy_close(struct toy *t, struct gguf *g)
{
    gguf_close(g);
    gguf_writer_free(&t->writer);
    free(t->bytes);
    *t = (struct toy){0};
}
