/* bench_tokenizer MODEL.gguf [TEXT] -- how long opening takes, and a megabyte of each kind of text. Not a test. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/text/tokenizer.h"
#include "proto/clock.h"
#include "proto/files/gguf_open.h"

enum { N_BYTES = 1 << 20 };

static void measure(const struct tokenizer *t, const char *name, const char *text, size_t n)
{
    int32_t *ids = NULL;
    size_t n_ids = 0;
    struct err err;
    double start = clock_now_s();
    const struct tokenizer_text in = {text, n, .special = true, .add_bos = true};
    if (tokenizer_encode(t, &in, &ids, &n_ids, &err) == OK)
        printf("%-24s %8zu bytes %8zu ids %6.0f ms\n", name, n, n_ids, (clock_now_s() - start) * 1e3);
    else
        printf("%-24s %s\n", name, err.text);
    free(ids);
}

static void measure_all(const struct tokenizer *t, const char *path, char *text)
{
    FILE *f = path ? fopen(path, "r") : NULL;
    if (f) {
        measure(t, path, text, fread(text, 1, N_BYTES, f));
        fclose(f);
    }
    static const struct {
        const char *name;
        char byte;
    } runs[] = {{"one letter", 'a'}, {"spaces", ' '}, {"<", '<'}, {"no characters", (char)0x80}};
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++) {
        memset(text, runs[i].byte, N_BYTES);
        measure(t, runs[i].name, text, N_BYTES);
    }
    uint32_t state = 1;
    for (size_t i = 0; i < N_BYTES; i++) {
        state = state * 1664525u + 1013904223u;
        text[i] = "etaoinshrdlu"[(state >> 16) % 12];
    }
    measure(t, "one word of 12 letters", text, N_BYTES);
}

int main(int argc, char **argv)
{
    struct gguf g;
    struct tokenizer *t;
    struct err err;
    char *text = malloc(N_BYTES);
    if (argc < 2 || !text) {
        fputs("usage: bench_tokenizer MODEL.gguf [TEXT]\n", stderr);
        return E_USAGE;
    }
    int rc = gguf_open(&g, argv[1], &err);
    if (rc == OK) {
        double start = clock_now_s();
        rc = tokenizer_open(&t, &g, &err);
        if (rc == OK) {
            printf("%s: open %.1f ms\n", tokenizer_model(t), (clock_now_s() - start) * 1e3);
            measure_all(t, argc > 2 ? argv[2] : NULL, text);
            tokenizer_close(t);
        }
        gguf_close(&g);
    }
    if (rc != OK) fprintf(stderr, "%s\n", err.text);
    free(text);
    return rc;
}
