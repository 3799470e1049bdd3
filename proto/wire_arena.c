#include <stdlib.h>
#include <string.h>

#include "proto/wire_inside.h"

enum { ALIGN = 16 };

const char wire_no_room[] = "takes more memory than there is for a message";

int wire_arena_init(struct wire_arena *a, size_t size, struct err *err)
{
    uint8_t *base = malloc(size);
    if (!base) return err_set(err, E_LAYOUT, "out of memory for messages of %zu bytes", size);
    *a = (struct wire_arena){.base = base, .size = size};
    return OK;
}

void wire_arena_free(struct wire_arena *a)
{
    if (!a) return;
    free(a->base);
    *a = (struct wire_arena){0};
}

void *wire_take(struct wire_arena *a, size_t n, size_t size)
{
    size_t room = a->size - a->used, n_bytes;
    if (__builtin_mul_overflow(n, size, &n_bytes) || n_bytes > room) return NULL;
    void *taken = a->base + a->used;
    size_t padded = (n_bytes + ALIGN - 1) / ALIGN * ALIGN;
    a->used += padded < room ? padded : room;
    return taken;
}

char *wire_text_out(struct wire_arena *a, const char *text, size_t max)
{
    if (!text) return (char *)"";
    if (strnlen(text, max + 1) <= max) return (char *)text; /* the generated structs have no const */
    char *cut = wire_take(a, max + 1, 1);
    if (!cut) return NULL;
    memcpy(cut, text, max);
    cut[max] = '\0';
    return cut;
}

const char *wire_text_in(char *text, size_t max)
{
    if (strnlen(text, max + 1) > max) text[max] = '\0';
    return text;
}
