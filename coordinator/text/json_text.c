#include "coordinator/text/json_text.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "proto/utf8.h"

static const char replacement[] = "\xef\xbf\xbd";
enum { REPLACEMENT_BYTES = sizeof replacement - 1 };

json_t *json_text(const char *bytes, size_t n_bytes)
{
    char *valid = malloc(n_bytes * REPLACEMENT_BYTES + 1);
    size_t n_valid = 0;
    if (!valid) return NULL;
    for (size_t i = 0; i < n_bytes;) {
        uint32_t cp;
        int n = utf8_next(bytes + i, n_bytes - i, &cp);
        if (n > 0)
            memcpy(valid + n_valid, bytes + i, (size_t)n);
        else
            memcpy(valid + n_valid, replacement, REPLACEMENT_BYTES);
        n_valid += n > 0 ? (size_t)n : (size_t)REPLACEMENT_BYTES;
        i += n > 0 ? (size_t)n : 1;
    }
    json_t *text = json_stringn(valid, n_valid);
    free(valid);
    return text;
}

json_t *json_unless(int lost, json_t *value)
{
    if (!lost) return value;
    json_decref(value);
    return NULL;
}

/* What json_dumps gives. Where its buffer cannot grow that loses keys without a word. */
static char *dumped(const json_t *line, size_t flags)
{
    size_t n = json_dumpb(line, NULL, 0, flags);
    char *text = n ? malloc(n + 1) : NULL;
    if (text && json_dumpb(line, text, n, flags) == n) {
        text[n] = '\0';
        return text;
    }
    free(text);
    return NULL;
}

int json_put_line(json_t *line, size_t flags, FILE *to, struct err *err)
{
    return json_save_line(line, flags, to, "standard output", err);
}

int json_save_line(json_t *line, size_t flags, FILE *to, const char *path, struct err *err)
{
    char *text = line ? dumped(line, flags) : NULL;
    json_decref(line);
    if (!text) return err_set(err, E_FAIL, "no memory for a line of JSON");
    bool written = fputs(text, to) >= 0 && fputc('\n', to) >= 0 && fflush(to) == 0;
    free(text);
    return written ? OK : err_set(err, E_FAIL, "%s: %s", path, strerror(errno));
}
