#include "coordinator/split.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdint.h>
#include <stdio.h>

#include "coordinator/utf8.h"

/* \s as the models' own tokenizers mean it: Unicode's White_Space, written out because PCRE2's \s adds U+180E with
 * PCRE2_UCP and stops at ASCII without it. Every character is W, \p{L}, \p{N} or none of them, and each expression has
 * an alternative for each of the four, so a match at every position is certain. */
#define W "\\t-\\r\\x20\\x85\\xa0\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}"

static const struct {
    const char *pre, *expression;
} known[] = {
    {"qwen2", "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}|\\x20?[^" W "\\p{L}\\p{N}]+[\\r\\n]*|"
              "[" W "]*[\\r\\n]+|[" W "]+(?![^" W "])|[" W "]+"},
    /* Two steps in one: digits stand alone first, and GPT-2's expression then sees only what is between them. So its
     * \p{N} never matches, and its "end of text" in \s+(?!\S) is also the place before a digit. */
    {"smollm", "\\p{N}|'s|'t|'re|'ve|'m|'ll|'d|\\x20?\\p{L}+|\\x20?[^" W "\\p{L}\\p{N}]+|"
               "[" W "]+(?![^" W "\\p{N}])|[" W "]+"},
};
enum { N_KNOWN = sizeof known / sizeof known[0] };

static void pcre_message(int code, char *out, size_t n_out)
{
    if (pcre2_get_error_message(code, (PCRE2_UCHAR *)out, n_out) < 0) snprintf(out, n_out, "error %d", code);
}

int split_open(struct splitter *s, struct gguf_str pre, struct err *err)
{
    *s = (struct splitter){0};
    int i = 0;
    while (i < N_KNOWN && !gguf_str_is(pre, known[i].pre)) i++;
    if (i == N_KNOWN)
        return err_set(err, E_MODEL, "pre-tokenizer \"%.*s\" is not supported (known: qwen2, smollm)",
                       pre.n < 64 ? (int)pre.n : 64, pre.s);

    int code;
    size_t where;
    pcre2_code *re = pcre2_compile((PCRE2_SPTR)known[i].expression, PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_ANCHORED,
                                   &code, &where, NULL);
    if (!re) {
        char why[160];
        pcre_message(code, why, sizeof why);
        return err_set(err, E_FAIL, "PCRE2 refuses the expression of %s at %zu: %s", known[i].pre, where, why);
    }
    pcre2_jit_compile(re, PCRE2_JIT_COMPLETE); /* failure is fine: pcre2_match interprets then */
    s->pre = known[i].pre;
    s->code = re;
    return OK;
}

void split_close(struct splitter *s)
{
    if (!s) return;
    pcre2_code_free(s->code);
    *s = (struct splitter){0};
}

int split_run_init(struct split_run *r, const struct splitter *s, struct err *err)
{
    *r = (struct split_run){.splitter = s};
    r->match = pcre2_match_data_create(1, NULL);
    r->context = pcre2_match_context_create(NULL);
    if (!r->match || !r->context) {
        split_run_free(r);
        return err_set(err, E_FAIL, "out of memory for matching");
    }
    pcre2_set_match_limit(r->context, UINT32_MAX); /* a long run of spaces steps back once a space */
    return OK;
}

void split_run_free(struct split_run *r)
{
    if (!r) return;
    pcre2_match_data_free(r->match);
    pcre2_match_context_free(r->context);
    *r = (struct split_run){0};
}

void split_text(struct split_run *r, const char *text, size_t n)
{
    r->text = text;
    r->n = n;
    r->from = r->pos = r->until = 0;
}

/* Where the stretch that starts at pos ends, of characters (text) or of bytes at which none begins (!text). */
static size_t stretch_end(const struct split_run *r, size_t pos, bool text)
{
    uint32_t cp;
    while (pos < r->n) {
        int len = utf8_next(r->text + pos, r->n - pos, &cp);
        if ((len > 0) != text) break;
        pos += text ? (size_t)len : 1;
    }
    return pos;
}

static int match_here(struct split_run *r, size_t *end, struct err *err)
{
    const pcre2_code *code = r->splitter->code;
    PCRE2_SPTR stretch = (PCRE2_SPTR)r->text + r->from;
    size_t n = r->until - r->from, at = r->pos - r->from;
    /* The stretch was checked once: checking it again at every piece would be quadratic. */
    int rc = pcre2_match(code, stretch, n, at, PCRE2_NO_UTF_CHECK, r->match, r->context);
    if (rc == PCRE2_ERROR_JIT_STACKLIMIT)
        rc = pcre2_match(code, stretch, n, at, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, r->match, r->context);
    if (rc < 0) {
        char why[160];
        pcre_message(rc, why, sizeof why);
        return err_set(err, E_FAIL, "splitting the text for %s at byte %zu: %s", r->splitter->pre, r->pos, why);
    }
    *end = r->from + pcre2_get_ovector_pointer(r->match)[1];
    return OK;
}

int split_next(struct split_run *r, struct gguf_str *piece, struct err *err)
{
    size_t start = r->pos, end = start;
    if (start == r->until) {
        r->from = start;
        r->until = stretch_end(r, start, true);
    }
    if (start == r->until) {
        r->from = r->until = end = stretch_end(r, start, false);
    } else {
        int rc = match_here(r, &end, err);
        if (rc != OK) return rc;
    }
    r->pos = end;
    *piece = (struct gguf_str){r->text + start, end - start};
    return OK;
}
