/* fuzz_hf -- any bytes as the files of a directory: refused with one line, or every key and every row of every tensor
 * can be read. The input is config.json, tokenizer.json, tokenizer_config.json, generation_config.json,
 * chat_template.jinja and the weights, a line "%%" between any two.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/files/hf.h"

enum { N_TEXTS = 5, MOST_WEIGHTS = 3 };

static void require(bool holds)
{
    if (!holds) abort();
}

/* A copy with no byte more, so that a sanitizer sees reads past it. Returns what follows. */
static const uint8_t *cut(const uint8_t *at, const uint8_t *end, struct hf_file *file)
{
    static const char line[] = "\n%%\n";
    const uint8_t *next = memmem(at, (size_t)(end - at), line, strlen(line));
    size_t n = (size_t)((next ? next : end) - at);
    uint8_t *copy = malloc(n ? n : 1);
    require(copy != NULL);
    memcpy(copy, at, n);
    *file = (struct hf_file){"fuzz/file", copy, n};
    return next ? next + strlen(line) : end;
}

static uint64_t walk(const struct gguf *g)
{
    uint64_t sum = gguf_vocab_hash(g);
    for (size_t i = 0; i < g->n_kv; i++) sum += g->kv[i].key.n;
    for (size_t i = 0; i < g->n_tensors; i++) {
        const struct gguf_tensor *t = &g->tensors[i];
        uint64_t n_rows = t->dim[1] * t->dim[2] * t->dim[3];
        require(n_rows > 0 && t->n_bytes % n_rows == 0);
        for (uint64_t row = 0; row < n_rows; row++) {
            const uint8_t *bytes = gguf_row(t, row);
            for (size_t k = 0; k < t->n_bytes / n_rows; k++) sum += bytes[k];
        }
    }
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    static volatile uint64_t sink;
    struct hf_file texts[N_TEXTS], weights[MOST_WEIGHTS];
    const uint8_t *at = bytes, *end = bytes + n_bytes;
    for (int i = 0; i < N_TEXTS; i++) at = cut(at, end, &texts[i]);
    int n_weights = 0;
    while (at < end && n_weights < MOST_WEIGHTS) at = cut(at, end, &weights[n_weights++]);
    struct hf_files files = {texts[0], texts[1], texts[2], texts[3], texts[4], weights, n_weights};
    struct gguf g = {0};
    struct err err = {0};
    int rc = hf_parse(&g, "fuzz", &files, &err);
    if (rc == OK)
        sink = walk(&g);
    else
        require(err.code == rc && err.text[0] && !strchr(err.text, '\n') && strlen(err.text) < 800);
    (void)sink;
    gguf_close(&g);
    for (int i = 0; i < N_TEXTS; i++) free((void *)(uintptr_t)texts[i].bytes);
    for (int i = 0; i < n_weights; i++) free((void *)(uintptr_t)weights[i].bytes);
    return 0;
}
