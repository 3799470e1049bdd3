/* render FILE.gguf USER NEXT [SYSTEM] -- the name of the file's chat template, the prompt of a first turn, and what follows an
 * answer that ended, up to the opening of the next; a zero byte behind each. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/template.h"

int main(int argc, char **argv)
{
    struct gguf g;
    struct err err;
    struct template t;
    struct tokenizer *tokenizer;
    size_t n_first, n_next;
    if (argc < 4 || gguf_open(&g, argv[1], &err) != OK) return 2;
    if (template_find(&t, &g) != TEMPLATE_OK) return 1;
    if (tokenizer_open(&tokenizer, &g, &err) != OK) return 2;
    char *first = template_render(&t, tokenizer, argc > 4 ? argv[4] : NULL, argv[2], strlen(argv[2]), &n_first);
    char *next = template_next(&t, tokenizer, true, argv[3], strlen(argv[3]), &n_next);
    if (!first || !next) return 2;
    printf("%s%c%s%c%s%c%d%c", t.name, 0, first, 0, next, 0, t.no_system, 0);
    free(first);
    free(next);
    tokenizer_close(tokenizer);
    gguf_close(&g);
    return 0;
}
