/* render FILE.gguf USER NEXT [SYSTEM [on|off]] -- of the file's chat template, a zero byte behind each: its name, the
 * prompt of a first turn, what follows an answer that ended, up to the opening of the next, whether it takes no system
 * message and whether it can switch its thinking (1 or 0), what ends an answer, its own system message. The day is
 * 29 November 2026. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/text/template.h"
#include "coordinator/text/tokenizer.h"
#include "proto/files/gguf_open.h"

static int say(const struct err *err)
{
    fprintf(stderr, "%s\n", err->text);
    return 1;
}

static struct gguf_str str_of(const char *s)
{
    return (struct gguf_str){s, strlen(s)};
}

int main(int argc, char **argv)
{
    struct gguf g;
    struct err err = {0};
    struct template t;
    struct tokenizer *tokenizer;
    struct jinja_text first = {0}, next = {0};
    if (argc < 4 || gguf_open(&g, argv[1], &err) != OK) return 2;
    if (template_find(&t, &g, &err) != TEMPLATE_OK) return say(&err);
    if (argc > 5) t.thinking = strcmp(argv[5], "on") == 0;
    const char *system = argc > 4 && *argv[4] ? argv[4] : NULL;
    t.now = (struct tm){.tm_year = 126, .tm_mon = 10, .tm_mday = 29};
    if (tokenizer_open(&tokenizer, &g, &err) != OK) return 2;
    template_set_bos(&t, tokenizer_bos(tokenizer), tokenizer_adds_bos(tokenizer));
    if (template_render(&t, system, str_of(argv[2]), &first, &err) != OK) return say(&err);
    const struct template_turn turn = {system, true, str_of(argv[3])};
    if (template_next(&t, &turn, &next, &err) != OK) return say(&err);
    printf("%s%c%s%c%s%c%d%c%d%c%s%c%s%c", t.name, 0, first.bytes, 0, next.bytes, 0, t.no_system, 0, t.can_think, 0,
           t.end, 0, t.system, 0);
    jinja_text_free(&first);
    jinja_text_free(&next);
    tokenizer_close(tokenizer);
    gguf_close(&g);
    return 0;
}
