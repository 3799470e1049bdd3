/* ids MODEL [special]: texts from standard input, a zero byte behind each -> a line of ids for each, without BOS,
 * the text of a special token as that token or as text. What directories.py calls where `pilotfish tokenize` would
 * open the model for every text. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/text/tokenizer.h"
#include "proto/files/gguf_open.h"

static int print_ids(const struct tokenizer *t, const char *text, size_t n, bool special, struct err *err)
{
    int32_t *ids = NULL;
    size_t n_ids = 0;
    const struct tokenizer_text in = {text, n, .special = special};
    int rc = tokenizer_encode(t, &in, &ids, &n_ids, err);
    for (size_t i = 0; rc == OK && i < n_ids; i++) printf(i ? " %d" : "%d", ids[i]);
    if (rc == OK) putchar('\n');
    free(ids);
    return rc;
}

int main(int argc, char **argv)
{
    struct gguf g = {0};
    struct tokenizer *t = NULL;
    struct err err = {0};
    char *text = NULL;
    size_t room = 0;
    ssize_t n;
    int rc = argc >= 2 ? gguf_open(&g, argv[1], &err) : err_set(&err, E_USAGE, "usage: ids MODEL [special] < TEXTS");
    if (rc == OK) rc = tokenizer_open(&t, &g, &err);
    while (rc == OK && (n = getdelim(&text, &room, 0, stdin)) > 0)
        rc = print_ids(t, text, (size_t)n - 1, argc > 2, &err);
    if (rc != OK) fprintf(stderr, "ids: %s\n", err.text);
    free(text);
    tokenizer_close(t);
    gguf_close(&g);
    return rc;
}
