#include "coordinator/text/read_text.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_ROOM = 1 << 16, MOST_ROOM = 64 << 20 };

int text_open(const char *path, FILE *in, FILE **out, const char **place, struct err *err)
{
    bool is_stdin = !strcmp(path, "-");
    *place = is_stdin ? "standard input" : path;
    *out = is_stdin ? in : fopen(path, "rb");
    return *out ? OK : err_set(err, E_USAGE, "%s: %s", path, strerror(errno));
}

int text_read(FILE *f, const char *place, char **bytes, size_t *n_bytes, struct err *err)
{
    char *all = NULL;
    size_t n = 0, room = 0;
    for (size_t got = 1; got; n += got) {
        if (n == room) {
            room = room ? 2 * room : FIRST_ROOM;
            char *more = room <= MOST_ROOM ? realloc(all, room) : NULL;
            if (!more) {
                free(all);
                return err_set(err, E_USAGE, "%s: too long for a text (over %zu bytes)", place, n);
            }
            all = more;
        }
        got = fread(all + n, 1, room - n, f);
    }
    if (ferror(f)) {
        free(all);
        return err_set(err, E_USAGE, "%s: %s", place, strerror(errno));
    }
    *bytes = all;
    *n_bytes = n;
    return OK;
}

size_t text_plain(char *text, size_t n_bytes)
{
    static const char mark[] = {'\xef', '\xbb', '\xbf'};
    size_t from = n_bytes >= sizeof mark && !memcmp(text, mark, sizeof mark) ? sizeof mark : 0, n = 0;
    for (; from < n_bytes; from++)
        if (text[from] != '\r' || (from + 1 < n_bytes && text[from + 1] != '\n')) text[n++] = text[from];
    return n;
}

int text_check(const char *bytes, size_t n_bytes, const char *place, struct err *err)
{
    bool utf16 = n_bytes >= 2 && (!memcmp(bytes, "\xff\xfe", 2) || !memcmp(bytes, "\xfe\xff", 2));
    return utf16 ? err_set(err, E_USAGE, "%s: text in UTF-16: save it as UTF-8", place) : OK;
}

int text_read_plain(FILE *f, const char *place, char **bytes, size_t *n_bytes, struct err *err)
{
    char *all;
    size_t n;
    int rc = text_read(f, place, &all, &n, err);
    if (rc == OK && (rc = text_check(all, n, place, err)) != OK) free(all);
    if (rc != OK) return rc;
    *bytes = all;
    *n_bytes = text_plain(all, n);
    return OK;
}

int text_read_string(const char *path, FILE *in, char **text, struct err *err)
{
    FILE *f;
    const char *place;
    char *bytes = NULL;
    size_t n = 0;
    int rc = text_open(path, in, &f, &place, err);
    if (rc != OK) return rc;
    rc = text_read_plain(f, place, &bytes, &n, err);
    if (f != in) fclose(f);
    if (rc == OK && memchr(bytes, 0, n)) rc = err_set(err, E_USAGE, "%s: no text", place);
    if (rc != OK) {
        free(bytes);
        return rc;
    }
    bytes[n] = 0;
    *text = bytes;
    return OK;
}
