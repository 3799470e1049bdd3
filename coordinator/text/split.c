#include "coordinator/text/split.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "proto/utf8.h"

/* \s as the models' own tokenizers mean it: Unicode's White_Space, written out because PCRE2's \s adds U+180E with
 * PCRE2_UCP and stops at ASCII without it. */
#define W "\\t-\\r\\x20\\x85\\xa0\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}"

#define GPT2                                                                                                           \
    "'s|'t|'re|'ve|'m|'ll|'d|\\x20?\\p{L}+|\\x20?\\p{N}+|\\x20?[^" W "\\p{L}\\p{N}]+|[" W "]+(?![^" W "])|[" W "]+"
#define SIGNS_BUT "[\\p{P}$+<=>^~|"
#define HAN "[\\x{4e00}-\\x{9fa5}\\x{800}-\\x{4e00}\\x{ac00}-\\x{d7ff}]+"
/* Llama 3's and Qwen's differ in whether marks are letters, and in how many digits go together. */
#define WORDS(marks, digits)                                                                                           \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}" marks "]+|" digits "|\\x20?[^" W "\\p{L}" marks       \
    "\\p{N}]+[\\r\\n]*|"                                                                                               \
    "[" W "]*[\\r\\n]+|[" W "]+(?![^" W "])|[" W "]+"

/* Tekken's and o200k's: a word is cut where capital letters follow small ones. */
#define CAPITALS "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define SMALL "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define CASED(endings, digits)                                                                                         \
    "[^\\r\\n\\p{L}\\p{N}]?" CAPITALS "*" SMALL "+" endings "|[^\\r\\n\\p{L}\\p{N}]?" CAPITALS "+" SMALL "*" endings   \
    "|" digits "|\\x20?[^" W "\\p{L}\\p{N}]+[\\r\\n/]*|[" W "]*[\\r\\n]+|[" W "]+(?![^" W "])|[" W "]+"

/* The names of a row, parted by spaces, mean the same; the first is that of splitter.pre. Its expressions come one
 * after the other: each cuts what the one before has left, and what it does not match is a piece too. DeepSeek's
 * letters with two cases are a list in its file; PCRE2's L& has those that came since. */
static const struct {
    const char *pre, *step[SPLIT_STEPS];
} known[] = {
    {"qwen2 deepseek-r1-qwen megrez", {WORDS("", "\\p{N}")}},
    {"qwen35", {WORDS("\\p{M}", "\\p{N}")}},
    {"llama-bpe llama3 llama-v3 falcon3 pixtral", {WORDS("", "\\p{N}{1,3}")}},
    {"dbrx smaug-bpe", {WORDS("", "\\p{N}{1,3}")}},
    {"tekken", {CASED("", "\\p{N}")}},
    {"gpt-4o llama4", {CASED("(?i:'s|'t|'re|'ve|'m|'ll|'d)?", "\\p{N}{1,3}")}},
    {"smollm", {"\\p{N}", GPT2}},
    {"starcoder", {"\\p{N}", GPT2}},
    {"refact", {"\\p{N}", GPT2}},
    {"command-r", {"\\p{N}", GPT2}},
    {"gpt-2", {GPT2}},
    {"mpt", {GPT2}},
    {"falcon", {SIGNS_BUT "`]+", GPT2, "[0-9][0-9][0-9]"}},
    {"default", {SIGNS_BUT "]+", GPT2, "\\p{N}+", "[0-9][0-9][0-9]"}},
    {"deepseek-v3",
     {"\\p{N}{1,3}", "[\\x{4e00}-\\x{9fa5}\\x{3040}-\\x{30ff}]+",
      "[!-/:-@\\[-`{-~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+|\\x20?[\\p{P}\\p{S}]+[\\r\\n]*|[" W
      "]*[\\r\\n]+|[" W "]+(?![^" W "])|[" W "]+"}},
    {"deepseek-coder", {"[\\r\\n]", "[" W "]?\\p{L}+", "[" W "]?\\p{P}+", HAN, "\\p{N}"}},
    {"deepseek-llm",
     {"[\\r\\n]", "[" W "]?\\p{L&}+",
      "[" W "]?[!-/:-~\\x{ff01}-\\x{ff0f}\\x{ff1a}-\\x{ff5e}\\x{2018}-\\x{201f}\\x{3000}-\\x{3002}]+",
      "(?<![" W "])[" W "]+\\z", HAN, "\\p{N}+"}},
};
enum { N_KNOWN = sizeof known / sizeof known[0] };

static void pcre_message(int code, char *out, size_t n_out)
{
    if (pcre2_get_error_message(code, (PCRE2_UCHAR *)out, n_out) < 0) snprintf(out, n_out, "error %d", code);
}

static int unknown_name(struct gguf_str pre, struct err *err)
{
    char all[512] = "";
    for (int i = 0; i < N_KNOWN; i++)
        snprintf(all + strlen(all), sizeof all - strlen(all), i ? " %s" : "%s", known[i].pre);
    return err_set(err, E_MODEL, "pre-tokenizer \"%.*s\" is not supported (known: %s)", pre.n < 64 ? (int)pre.n : 64,
                   pre.s, all);
}

static bool has_name(const char *names, struct gguf_str name)
{
    for (size_t n; *names; names += n + (names[n] == ' ')) {
        n = strcspn(names, " ");
        if (n == name.n && memcmp(names, name.s, n) == 0) return true;
    }
    return false;
}

static int add_step(struct splitter *s, const char *expression, struct err *err)
{
    int code;
    size_t where;
    pcre2_code *re = pcre2_compile((PCRE2_SPTR)expression, PCRE2_ZERO_TERMINATED, PCRE2_UTF, &code, &where, NULL);
    if (!re) {
        char why[160];
        pcre_message(code, why, sizeof why);
        return err_set(err, E_FAIL, "PCRE2 refuses expression %d of %s at %zu: %s", s->n_steps + 1, s->pre, where, why);
    }
    pcre2_jit_compile(re, PCRE2_JIT_COMPLETE); /* failure is fine: pcre2_match interprets then */
    s->step[s->n_steps++] = re;
    return OK;
}

int split_open(struct splitter *s, struct gguf_str pre, struct err *err)
{
    *s = (struct splitter){0};
    int i = 0, rc = OK;
    while (i < N_KNOWN && !has_name(known[i].pre, pre)) i++;
    if (i == N_KNOWN) return unknown_name(pre, err);
    snprintf(s->pre, sizeof s->pre, "%.*s", (int)strcspn(known[i].pre, " "), known[i].pre);
    for (int k = 0; k < SPLIT_STEPS && known[i].step[k] && rc == OK; k++) rc = add_step(s, known[i].step[k], err);
    if (rc != OK) split_close(s);
    return rc;
}

void split_close(struct splitter *s)
{
    if (!s) return;
    for (int i = 0; i < s->n_steps; i++) pcre2_code_free(s->step[i]);
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
    r->pos = 0;
    r->depth = -1;
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

/* The next match of a step in what is left of its segment; where there is none, an empty one at the end. */
static int find_match(struct split_run *r, int step, struct split_level *l, struct err *err)
{
    const pcre2_code *code = r->splitter->step[step];
    PCRE2_SPTR rest = (PCRE2_SPTR)r->text + l->at;
    size_t n = l->end - l->at;
    /* The stretch was checked once: checking it again at every piece would be quadratic. */
    int rc = pcre2_match(code, rest, n, 0, PCRE2_NO_UTF_CHECK, r->match, r->context);
    if (rc == PCRE2_ERROR_JIT_STACKLIMIT)
        rc = pcre2_match(code, rest, n, 0, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, r->match, r->context);
    if (rc < 0 && rc != PCRE2_ERROR_NOMATCH) {
        char why[160];
        pcre_message(rc, why, sizeof why);
        return err_set(err, E_FAIL, "splitting the text for %s at byte %zu: %s", r->splitter->pre, l->at, why);
    }
    const size_t *found = pcre2_get_ovector_pointer(r->match);
    l->match = rc < 0 ? l->end : l->at + found[0];
    l->match_end = rc < 0 ? l->end : l->at + found[1];
    return OK;
}

/* What a step cuts off its segment next: a match, or what stands before one. */
static int next_part(struct split_run *r, int step, struct split_level *l, size_t *end, struct err *err)
{
    if (l->match_end <= l->at) {
        int rc = find_match(r, step, l, err);
        if (rc != OK) return rc;
    }
    *end = l->at < l->match ? l->match : l->match_end;
    return OK;
}

int split_next(struct split_run *r, struct gguf_str *piece, struct err *err)
{
    for (;;) {
        if (r->depth < 0) { /* the next stretch */
            size_t start = r->pos, end = stretch_end(r, start, true);
            r->pos = end > start ? end : stretch_end(r, start, false);
            *piece = (struct gguf_str){r->text + start, r->pos - start};
            if (end == start) return OK;
            r->depth = 0;
            r->level[0] = (struct split_level){.at = start, .end = end};
        }
        struct split_level *l = &r->level[r->depth];
        if (l->at == l->end) {
            r->depth--;
            continue;
        }
        size_t start = l->at, end;
        int rc = next_part(r, r->depth, l, &end, err);
        if (rc != OK) return rc;
        l->at = end;
        if (r->depth + 1 == r->splitter->n_steps) {
            *piece = (struct gguf_str){r->text + start, end - start};
            return OK;
        }
        r->level[++r->depth] = (struct split_level){.at = start, .end = end};
    }
}
