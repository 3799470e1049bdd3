#include "coordinator/text/unicode.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "proto/utf8.h"

/* Bytes of the first character of s, or the last: 0 where it is none. */
static size_t one_char(const char *s, size_t n, bool at_end, uint32_t *cp)
{
    size_t len = n > 0 && !at_end ? n : 0;
    for (size_t back = 1; at_end && back <= 4 && back <= n && len == 0; back++)
        if (((unsigned char)s[n - back] & 0xC0) != 0x80) len = back;
    int got = utf8_next(at_end ? s + n - len : s, len, cp);
    return got > 0 && (!at_end || (size_t)got == len) ? (size_t)got : 0;
}

/* Unicode's White_Space. */
static bool is_blank(uint32_t c)
{
    return (c >= '\t' && c <= '\r') || c == ' ' || c == 0x85 || c == 0xA0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

size_t unicode_blanks(const char *s, size_t n, bool at_end)
{
    size_t blanks = 0;
    for (;;) {
        uint32_t cp;
        size_t len = one_char(at_end ? s : s + blanks, n - blanks, at_end, &cp);
        if (len == 0 || !is_blank(cp)) return blanks;
        blanks += len;
    }
}

bool unicode_is_word(const char *s, size_t n, bool at_end)
{
    uint32_t cp;
    if (one_char(s, n, at_end, &cp) == 0) return false;
    if (cp == 0x200C || cp == 0x200D) return true;
    switch (utf8proc_category((utf8proc_int32_t)cp)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC: return true;
    default: return false;
    }
}

/* Of n bytes all of which are UTF-8. */
static int put_nfc(char *out, size_t room, const char *s, size_t n, size_t *n_out, struct err *err)
{
    utf8proc_uint8_t *made;
    utf8proc_ssize_t got =
        utf8proc_map((const utf8proc_uint8_t *)s, (utf8proc_ssize_t)n, &made, UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    if (got < 0 || (size_t)got > room) {
        if (got >= 0) free(made);
        return err_set(err, E_FAIL, "NFC of %zu bytes: %s", n, got < 0 ? utf8proc_errmsg(got) : "it grows too much");
    }
    memcpy(out, made, (size_t)got);
    free(made);
    *n_out = (size_t)got;
    return OK;
}

int unicode_nfc(const char *s, size_t n, char **out, size_t *n_out, struct err *err)
{
    enum { FIRST_TO_CHANGE = 0xCC, GROWTH = 3 }; /* U+0300; in UTF-8, NFC has at most three times the bytes (UAX 15) */
    size_t at = 0, end = 0;
    *out = NULL;
    while (at < n && (unsigned char)s[at] < FIRST_TO_CHANGE) at++;
    if (at == n) return OK;
    char *made = malloc(GROWTH * n + 1);
    if (!made) return err_set(err, E_FAIL, "out of memory for a text of %zu bytes", n);
    for (at = 0; at < n;) {
        uint32_t cp;
        size_t to = at, got = 0;
        for (int len; to < n && (len = utf8_next(s + to, n - to, &cp)) > 0;) to += (size_t)len;
        int rc = to > at ? put_nfc(made + end, GROWTH * (to - at), s + at, to - at, &got, err) : OK;
        if (rc != OK) {
            free(made);
            return rc;
        }
        end += got;
        at = to;
        if (at < n) made[end++] = s[at++]; /* no character begins here */
    }
    *out = made;
    *n_out = end;
    return OK;
}
