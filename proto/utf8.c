#include "proto/utf8.h"

/* Unicode 15, table 3-7: only the second byte's range depends on the first byte. */
static void second_range(unsigned char first, unsigned char *lo, unsigned char *hi)
{
    *lo = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
    *hi = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
}

int utf8_next(const char *s, size_t n, uint32_t *cp)
{
    const unsigned char *u = (const unsigned char *)s;
    if (n == 0) return 0;
    if (u[0] < 0x80) {
        *cp = u[0];
        return 1;
    }
    if (u[0] < 0xC2 || u[0] > 0xF4) return -1;

    int len = u[0] < 0xE0 ? 2 : u[0] < 0xF0 ? 3 : 4;
    uint32_t c = u[0] & (0x7Fu >> len);
    unsigned char lo, hi;
    second_range(u[0], &lo, &hi);
    for (int i = 1; i < len; i++) {
        if ((size_t)i == n) return 0;
        if (u[i] < lo || u[i] > hi) return -1;
        c = c << 6 | (u[i] & 0x3F);
        lo = 0x80, hi = 0xBF;
    }
    *cp = c;
    return len;
}

size_t utf8_complete(const char *s, size_t n)
{
    uint32_t cp;
    for (size_t back = 1; back <= 3 && back <= n; back++) {
        unsigned char c = (unsigned char)s[n - back];
        if (c >= 0x80 && c <= 0xBF) continue; /* a later byte of a character: its first byte stands further back */
        return utf8_next(s + n - back, back, &cp) == 0 ? n - back : n;
    }
    return n;
}

size_t utf8_put(char out[4], uint32_t cp)
{
    if (cp < 0x80) return out[0] = (char)cp, 1;
    size_t n = cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;
    out[0] = (char)(0xF00 >> n | cp >> 6 * (n - 1));
    for (size_t i = 1; i < n; i++) out[i] = (char)(0x80 | (cp >> 6 * (n - 1 - i) & 0x3F));
    return n;
}
