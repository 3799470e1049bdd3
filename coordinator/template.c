#include "coordinator/template.h"

#include <stdlib.h>
#include <string.h>

static const char marker[] = "<|im_start|>";
const char template_end[] = "<|im_end|>";

struct span { /* what is left to read of the template */
    const char *s, *end;
};

static bool take(struct span *in, const char *word)
{
    size_t n = strlen(word);
    if ((size_t)(in->end - in->s) < n || memcmp(in->s, word, n) != 0) return false;
    in->s += n;
    return true;
}

static bool has(struct gguf_str text, const char *word)
{
    return memmem(text.s, text.n, word, strlen(word)) != NULL;
}

/* The next place right after `word`, at or after in->s. */
static bool find_after(struct span *in, const char *word)
{
    const char *at = memmem(in->s, (size_t)(in->end - in->s), word, strlen(word));
    if (!at) return false;
    in->s = at + strlen(word);
    return true;
}

static void skip_spaces(struct span *in)
{
    while (in->s < in->end && *in->s == ' ') in->s++;
}

/* The turn of ChatML: '<|im_start|>' + message['role'] ... or message.role, in either kind of quotes. */
static bool has_turn(struct gguf_str text)
{
    struct span in = {text.s, text.s + text.n};
    while (find_after(&in, marker)) {
        struct span rest = in;
        if (!take(&rest, "'") && !take(&rest, "\"")) continue;
        skip_spaces(&rest);
        if (!take(&rest, "+")) continue;
        skip_spaces(&rest);
        if (take(&rest, "message")) return true;
    }
    return false;
}

/* One character of a literal, unescaped where it is quoted; -1: the literal ends, or opens an expression. */
static int literal_char(struct span *in, char quote)
{
    if (in->s == in->end || (quote && *in->s == quote)) return -1;
    if (!quote && *in->s == '{') return -1;
    char c = *in->s++;
    if (!quote || c != '\\' || in->s == in->end) return (unsigned char)c;
    c = *in->s++;
    return c == 'n' ? '\n' : c == 't' ? '\t' : (unsigned char)c;
}

/* The text from in->s to <|im_end|>, if nothing but a literal stands between. False: it is too long for n_out. `n` is
 * -1 where it is no literal. */
static bool read_literal(struct span in, char quote, char *out, size_t n_out, int *n)
{
    *n = -1;
    for (size_t i = 0;; i++) {
        struct span end = in;
        if (take(&end, template_end)) {
            out[i] = 0;
            *n = (int)i;
            return true;
        }
        int c = literal_char(&in, quote);
        if (c < 0) return true;
        if (i + 1 == n_out) return false;
        out[i] = (char)c;
    }
}

/* The default system message stands in the template as literal text, between the opening of a system turn and its end;
 * an opening that a message's content follows is passed over. */
static bool find_system(struct gguf_str text, char *out, size_t n_out)
{
    struct span in = {text.s, text.s + text.n};
    out[0] = 0;
    while (find_after(&in, "<|im_start|>system")) {
        const char *open = in.s - strlen("<|im_start|>system");
        char quote = open > text.s && (open[-1] == '\'' || open[-1] == '"') ? open[-1] : 0;
        struct span rest = in;
        int n;
        if (literal_char(&rest, quote) != '\n') continue;
        if (!read_literal(rest, quote, out, n_out, &n)) return false;
        if (n >= 0) return true;
    }
    out[0] = 0;
    return true;
}

enum template_found template_find(struct template *t, const struct gguf *g)
{
    struct gguf_str text;
    if (!gguf_get_str(g, "tokenizer.chat_template", &text) || text.n == 0) return TEMPLATE_NONE;
    if (!has(text, "for message in messages") || !has(text, template_end) || !has(text, "<|im_start|>assistant") ||
        !has_turn(text))
        return TEMPLATE_UNKNOWN;
    struct template found = {.name = "chatml"};
    if (!find_system(text, found.system, sizeof found.system)) return TEMPLATE_UNKNOWN;
    *t = found;
    return TEMPLATE_OK;
}

/* Room for n bytes of user and system, and what the template sets around them. */
static char *make_room(size_t n)
{
    return malloc(n + 128);
}

static char *put_user(char *end, const char *user, size_t n_user)
{
    end = mempcpy(stpcpy(stpcpy(end, marker), "user\n"), user, n_user);
    return stpcpy(stpcpy(stpcpy(stpcpy(end, template_end), "\n"), marker), "assistant\n");
}

char *template_render(const struct template *t, const char *system, const char *user, size_t n_user, size_t *n_bytes)
{
    if (!system) system = t->system;
    char *out = make_room(n_user + strlen(system)), *end = out;
    if (!out) return NULL;
    if (system[0]) end = stpcpy(stpcpy(stpcpy(stpcpy(stpcpy(end, marker), "system\n"), system), template_end), "\n");
    *n_bytes = (size_t)(put_user(end, user, n_user) - out);
    return out;
}

char *template_next(bool ended, const char *user, size_t n_user, size_t *n_bytes)
{
    char *out = make_room(n_user);
    if (!out) return NULL;
    char *end = stpcpy(stpcpy(out, ended ? "" : template_end), "\n");
    *n_bytes = (size_t)(put_user(end, user, n_user) - out);
    return out;
}
