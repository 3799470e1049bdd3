#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/text/jinja_parts.h"
#include "proto/utf8.h"

/* ---- memory ---- */

struct jinja_chunk {
    struct jinja_chunk *next;
    max_align_t bytes[];
};

enum { CHUNK = 16 << 10, ALIGN = sizeof(max_align_t) };

void *jinja_alloc(struct jinja_arena *a, size_t n)
{
    n = (n + ALIGN - 1) / ALIGN * ALIGN;
    if (a->failed) return NULL;
    if (n > a->n_left) {
        size_t size = n > CHUNK ? n : CHUNK;
        bool too_much = a->n_total + size > a->n_most;
        struct jinja_chunk *c = too_much ? NULL : calloc(1, sizeof *c + size);
        if (!c) {
            if (too_much)
                jinja_fail(a, "takes more than %zu bytes", a->n_most);
            else
                jinja_fail(a, "out of memory");
            return NULL;
        }
        c->next = a->chunks;
        a->chunks = c;
        a->next = (char *)c->bytes;
        a->n_left = size;
        a->n_total += size;
    }
    void *at = a->next;
    a->next += n;
    a->n_left -= n;
    return at;
}

void jinja_arena_free(struct jinja_arena *a)
{
    for (struct jinja_chunk *c = a->chunks, *next; c; c = next) {
        next = c->next;
        free(c);
    }
    *a = (struct jinja_arena){0};
}

void jinja_fail(struct jinja_arena *a, const char *fmt, ...)
{
    char why[512];
    if (a->failed) return; /* the first cause counts */
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(why, sizeof why, fmt, ap);
    va_end(ap);
    err_set(a->err, E_MODEL, "%s", why);
    a->failed = true;
}

/* ---- tokens ---- */

struct lexer {
    struct jinja_arena *a;
    const char *s;
    size_t n, at;
    struct token *tokens;
    size_t n_tokens, room;
};

static void add_token(struct lexer *l, enum token_kind kind, const char *s, size_t n)
{
    if (l->n_tokens == l->room) {
        size_t room = l->room ? 2 * l->room : 512;
        struct token *more = jinja_alloc(l->a, room * sizeof *more);
        if (!more) return;
        if (l->n_tokens) memcpy(more, l->tokens, l->n_tokens * sizeof *more);
        l->tokens = more;
        l->room = room;
    }
    l->tokens[l->n_tokens++] = (struct token){.kind = kind, .text = {.s = s, .n = n}};
}

static bool at_word(const struct lexer *l, const char *word)
{
    size_t n = strlen(word);
    return l->n - l->at >= n && memcmp(l->s + l->at, word, n) == 0;
}

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Behind a tag: with a minus all blanks go, else, behind a block or a comment, one line end (trim_blocks). */
static void skip_behind(struct lexer *l, bool minus, bool line_end)
{
    while (minus && l->at < l->n && is_blank(l->s[l->at])) l->at++;
    if (!minus && line_end && l->at < l->n && l->s[l->at] == '\n') l->at++;
}

/* What stands before a tag that opens at `end`: with a minus without the blanks at its end, else, before a block or a
 * comment, without those that begin its line (lstrip_blocks). */
static void add_text(struct lexer *l, size_t from, size_t end, char kind, char sign)
{
    size_t to = end;
    if (sign == '-') {
        while (to > from && is_blank(l->s[to - 1])) to--;
    } else if (kind != '{' && sign != '+') {
        while (to > from && (l->s[to - 1] == ' ' || l->s[to - 1] == '\t')) to--;
        if (to > 0 && l->s[to - 1] != '\n') to = end;
    }
    if (to > from) add_token(l, TOK_TEXT, l->s + from, to - from);
}

static int hex_value(const char *s, size_t n)
{
    int value = 0;
    for (size_t i = 0; i < n; i++) {
        if (!isxdigit((unsigned char)s[i])) return -1;
        value = value * 16 + (isdigit((unsigned char)s[i]) ? s[i] - '0' : tolower((unsigned char)s[i]) - 'a' + 10);
    }
    return value;
}

static char *put_utf8(char *out, unsigned c)
{
    if (c < 0x80) {
        *out++ = (char)c;
    } else if (c < 0x800) {
        *out++ = (char)(0xC0 | c >> 6);
        *out++ = (char)(0x80 | (c & 0x3F));
    } else {
        *out++ = (char)(0xE0 | c >> 12);
        *out++ = (char)(0x80 | (c >> 6 & 0x3F));
        *out++ = (char)(0x80 | (c & 0x3F));
    }
    return out;
}

/* A literal of n bytes without its quotes; an escape is never shorter than what it stands for. */
static struct jstr unescaped(struct lexer *l, const char *s, size_t n)
{
    static const char from[] = "ntrabfv\\'\"", to[] = "\n\t\r\a\b\f\v\\'\"";
    char *out = jinja_alloc(l->a, n + 1), *end = out;
    for (size_t i = 0; out && i < n; i++) {
        const char *known = s[i] == '\\' && i + 1 < n ? strchr(from, s[i + 1]) : NULL;
        size_t digits = s[i] != '\\' || i + 1 >= n ? 0 : s[i + 1] == 'x' ? 2 : s[i + 1] == 'u' ? 4 : 0;
        int hex = digits && i + 1 + digits < n ? hex_value(s + i + 2, digits) : -1;
        if (known && s[i + 1]) {
            *end++ = to[known - from];
            i++;
        } else if (hex >= 0) {
            end = put_utf8(end, (unsigned)hex);
            i += 1 + digits;
        } else if (s[i] == '\\' && i + 1 < n && s[i + 1] == '\n') {
            i++;
        } else {
            *end++ = s[i];
        }
    }
    return (struct jstr){.s = out, .n = out ? (size_t)(end - out) : 0};
}

static void lex_string(struct lexer *l)
{
    char quote = l->s[l->at];
    size_t from = ++l->at;
    while (l->at < l->n && l->s[l->at] != quote) l->at += l->s[l->at] == '\\' ? 2 : 1;
    if (l->at >= l->n) {
        jinja_fail(l->a, "a text has no end");
        return;
    }
    add_token(l, TOK_STRING, NULL, 0);
    if (!l->a->failed) l->tokens[l->n_tokens - 1].text = unescaped(l, l->s + from, l->at - from);
    l->at++;
}

static void lex_number(struct lexer *l)
{
    size_t from = l->at;
    int64_t number = 0;
    for (; l->at < l->n && (isdigit((unsigned char)l->s[l->at]) || l->s[l->at] == '_'); l->at++)
        if (l->s[l->at] != '_' && number < INT64_MAX / 100) number = number * 10 + (l->s[l->at] - '0');
    if (l->at + 1 < l->n && l->s[l->at] == '.' && isdigit((unsigned char)l->s[l->at + 1]))
        jinja_fail(l->a, "fractions are not known here");
    add_token(l, TOK_NUMBER, l->s + from, l->at - from);
    if (!l->a->failed) l->tokens[l->n_tokens - 1].number = number;
}

static void lex_word(struct lexer *l)
{
    static const char *const signs[] = {"==", "!=", "<=", ">=", "//", "**"};
    unsigned char c = (unsigned char)l->s[l->at];
    size_t from = l->at;
    if (c == '\'' || c == '"') {
        lex_string(l);
    } else if (isdigit(c)) {
        lex_number(l);
    } else if (isalpha(c) || c == '_') {
        while (l->at < l->n && (isalnum((unsigned char)l->s[l->at]) || l->s[l->at] == '_')) l->at++;
        add_token(l, TOK_NAME, l->s + from, l->at - from);
    } else {
        size_t n = 1;
        for (size_t i = 0; i < sizeof signs / sizeof *signs; i++)
            if (at_word(l, signs[i])) n = 2;
        if (!strchr("=!<>+-*/%~|.,:()[]{}", c) || c == 0) jinja_fail(l->a, "a character 0x%02x inside a tag", c);
        l->at += n;
        add_token(l, TOK_SIGN, l->s + from, n);
    }
}

/* From behind "{%" or "{{" to behind its end, which does not count inside brackets. */
static void lex_tag(struct lexer *l, char kind)
{
    const char *end = kind == '%' ? "%}" : "}}", *minus_end = kind == '%' ? "-%}" : "-}}";
    int depth = 0;
    add_token(l, TOK_OPEN, kind == '%' ? "{%" : "{{", 2);
    if (at_word(l, "-") || (kind == '%' && at_word(l, "+"))) l->at++;
    while (!l->a->failed) {
        while (l->at < l->n && is_blank(l->s[l->at])) l->at++;
        bool minus = depth == 0 && at_word(l, minus_end);
        if (l->at >= l->n) {
            jinja_fail(l->a, "a tag has no end");
        } else if (minus || (depth == 0 && at_word(l, end))) {
            add_token(l, TOK_CLOSE, end, 2);
            l->at += minus ? 3 : 2;
            skip_behind(l, minus, kind == '%');
            return;
        } else {
            if (strchr("([{", l->s[l->at])) depth++;
            if (strchr(")]}", l->s[l->at])) depth--;
            lex_word(l);
        }
    }
}

static void lex_comment(struct lexer *l)
{
    const char *end = memmem(l->s + l->at, l->n - l->at, "#}", 2);
    if (!end) {
        jinja_fail(l->a, "a comment has no end");
        return;
    }
    l->at = (size_t)(end - l->s) + 2;
    skip_behind(l, end > l->s && end[-1] == '-', true);
}

/* One kind of line ends, and none at the end of all. */
static struct gguf_str plain_lines(struct jinja_arena *a, struct gguf_str source)
{
    char *out = jinja_alloc(a, source.n + 1);
    size_t n = 0;
    for (size_t i = 0; out && i < source.n; i++) {
        bool line_end = source.s[i] == '\r';
        if (line_end && i + 1 < source.n && source.s[i + 1] == '\n') i++;
        out[n++] = line_end ? '\n' : source.s[i];
    }
    if (n && out[n - 1] == '\n') n--;
    return (struct gguf_str){out, n};
}

struct token *jinja_lex(struct jinja_arena *a, struct gguf_str source)
{
    source = plain_lines(a, source);
    struct lexer l = {.a = a, .s = source.s, .n = source.n};
    size_t from = 0;
    while (!a->failed) {
        while (l.at < l.n && !at_word(&l, "{%") && !at_word(&l, "{{") && !at_word(&l, "{#")) l.at++;
        char kind = l.at < l.n ? l.s[l.at + 1] : 0, sign = l.at + 2 < l.n ? l.s[l.at + 2] : 0;
        add_text(&l, from, l.at, kind ? kind : '{', kind ? sign : 0);
        if (!kind) break;
        l.at += 2;
        if (kind == '#')
            lex_comment(&l);
        else
            lex_tag(&l, kind);
        from = l.at;
    }
    add_token(&l, TOK_END, "the end", 7);
    return a->failed ? NULL : l.tokens;
}
