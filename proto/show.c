#include "proto/show.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* Bytes of the UTF-8 character that begins here; 0: none does. */
static size_t character(const uint8_t *s, size_t n)
{
    size_t length = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : s[0] < 0xf5 ? 4 : 0;
    if (length > n) return 0;
    for (size_t i = 1; i < length; i++)
        if ((s[i] & 0xc0) != 0x80) return 0;
    if (length == 3 && ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f))) return 0;
    if (length == 4 && ((s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))) return 0;
    return length;
}

/* Of a whole character: what terminals obey, what ends a line (U+2028, U+2029), what turns the order of a text (U+200E,
 * U+202A to U+202E, U+2066 to U+2069). */
static bool is_control(const uint8_t *s)
{
    if (s[0] == 0xe2 && s[1] == 0x80) return (s[2] & 0xfe) == 0x8e || (s[2] >= 0xa8 && s[2] <= 0xae);
    if (s[0] == 0xe2 && s[1] == 0x81) return s[2] >= 0xa6 && s[2] <= 0xa9;
    return s[0] < 0x20 || s[0] == 0x7f || (s[0] == 0xc2 && s[1] < 0xa0);
}

static size_t escape(char out[5], uint8_t byte)
{
    char letter = byte == '\n' ? 'n' : byte == '\t' ? 't' : byte == '\r' ? 'r' : 0;
    return (size_t)(letter ? snprintf(out, 5, "\\%c", letter) : snprintf(out, 5, "\\x%02x", byte));
}

void show_text(char *out, size_t size, const char *text, size_t n)
{
    const uint8_t *s = (const uint8_t *)text;
    size_t used = 0;
    for (size_t i = 0; i < n;) {
        size_t length = character(s + i, n - i), n_shown = length;
        char escaped[5];
        const char *shown = text + i;
        if (length == 0 || is_control(s + i)) {
            n_shown = escape(escaped, s[i]);
            shown = escaped;
            length = 1;
        }
        if (n_shown >= size - used) break;
        memcpy(out + used, shown, n_shown);
        used += n_shown;
        i += length;
    }
    out[used] = '\0';
}

struct shown_name show_name(const char *name)
{
    struct shown_name out;
    show_text(out.s, sizeof out.s, name, strlen(name));
    return out;
}
