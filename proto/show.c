#include "proto/show.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "proto/utf8.h"

/* What terminals obey, what ends a line (U+2028, U+2029), what turns the order of a text (the others). */
static bool is_control(uint32_t cp)
{
    return cp < 0x20 || (cp >= 0x7f && cp < 0xa0) || cp == 0x200e || cp == 0x200f || (cp >= 0x2028 && cp <= 0x202e) ||
           (cp >= 0x2066 && cp <= 0x2069);
}

static size_t escape(char out[5], uint8_t byte)
{
    char letter = byte == '\n' ? 'n' : byte == '\t' ? 't' : byte == '\r' ? 'r' : 0;
    return (size_t)(letter ? snprintf(out, 5, "\\%c", letter) : snprintf(out, 5, "\\x%02x", byte));
}

void show_text(char *out, size_t size, const char *text, size_t n)
{
    size_t used = 0;
    for (size_t i = 0; i < n;) {
        uint32_t cp = 0;
        int length = utf8_next(text + i, n - i, &cp);
        size_t n_shown = length > 0 ? (size_t)length : 0;
        char escaped[5];
        const char *shown = text + i;
        if (length <= 0 || is_control(cp)) {
            n_shown = escape(escaped, (uint8_t)text[i]);
            shown = escaped;
            length = 1;
        }
        if (n_shown >= size - used) break;
        memcpy(out + used, shown, n_shown);
        used += n_shown;
        i += (size_t)length;
    }
    out[used] = '\0';
}

struct shown_name show_bytes(const char *name, size_t n)
{
    struct shown_name out;
    show_text(out.s, sizeof out.s, name, n);
    return out;
}

struct shown_name show_name(const char *name)
{
    return show_bytes(name, strlen(name));
}
