#include "coordinator/text/vocab.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "proto/utf8.h"

/* GPT-2's alphabet (its bytes_to_unicode): printable Latin-1 stands for itself, the other 68 bytes, in ascending order,
 * for U+0100 and on. */
enum { ALPHABET_END = 256 + 68 };

static int is_printable(int b)
{
    return (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
}

static uint32_t byte_char(int b)
{
    if (is_printable(b)) return (uint32_t)b;
    uint32_t c = 256;
    for (int other = 0; other < b; other++) c += !is_printable(other);
    return c;
}

/* ---- id <-> text ---- */

/* The slot of a text: the one that holds it, or the free one where it belongs. */
static size_t text_slot(const struct vocab *v, const char *text, size_t n)
{
    size_t slot = XXH64(text, n, 0) & v->by_text_mask;
    for (; v->by_text[slot] >= 0; slot = (slot + 1) & v->by_text_mask) {
        struct gguf_str have = v->text[v->by_text[slot]];
        if (have.n == n && memcmp(have.s, text, n) == 0) break;
    }
    return slot;
}

int32_t vocab_find(const struct vocab *v, const char *text, size_t n)
{
    return v->by_text[text_slot(v, text, n)];
}

/* In the alphabet: one or two bytes. Returns what follows them. */
static char *put_byte_char(char *out, unsigned char b)
{
    uint32_t c = byte_char(b);
    if (c >= 0x80) *out++ = (char)(0xC0 | c >> 6);
    *out++ = (char)(c < 0x80 ? c : 0x80 | (c & 0x3F));
    return out;
}

int32_t vocab_find_bytes(const struct vocab *v, const char *s, size_t n)
{
    char text[2 * 256], *end = text;
    if (n > v->longest || n > sizeof text / 2) return -1;
    for (size_t i = 0; i < n; i++) end = put_byte_char(end, (unsigned char)s[i]);
    return vocab_find(v, text, (size_t)(end - text));
}

int32_t vocab_find_byte(const struct vocab *v, unsigned char b)
{
    char text[8];
    if (v->kind == VOCAB_BYTE_LEVEL) return vocab_find_bytes(v, (const char *)&b, 1);
    int32_t id = vocab_find(v, text, (size_t)snprintf(text, sizeof text, "<0x%02X>", b));
    return id >= 0 && v->type[id] == TOKEN_BYTE ? id : -1;
}

static int index_texts(struct vocab *v, struct err *err)
{
    size_t n_slots = 16;
    while (n_slots < (size_t)v->n * 2) n_slots *= 2;
    v->by_text = malloc(n_slots * sizeof *v->by_text);
    if (!v->by_text) return err_set(err, E_FAIL, "out of memory for a vocabulary of %d", v->n);
    v->by_text_mask = n_slots - 1;
    memset(v->by_text, 0xFF, n_slots * sizeof *v->by_text);
    for (int32_t id = 0; id < v->n; id++) {
        size_t slot = text_slot(v, v->text[id].s, v->text[id].n);
        if (v->by_text[slot] < 0) v->by_text[slot] = id;
    }
    return OK;
}

/* ---- text -> bytes ---- */

/* Characters outside the alphabet stay as they are: some files carry normal tokens in plain text. */
static size_t decode_text(char *out, struct gguf_str text, const int16_t byte_of[ALPHABET_END])
{
    size_t n_out = 0;
    for (size_t i = 0; i < text.n;) {
        uint32_t cp = ALPHABET_END;
        int len = utf8_next(text.s + i, text.n - i, &cp);
        if (len > 0 && cp < ALPHABET_END && byte_of[cp] >= 0) {
            out[n_out++] = (char)byte_of[cp];
        } else {
            len = len > 0 ? len : 1;
            memcpy(out + n_out, text.s + i, (size_t)len);
            n_out += (size_t)len;
        }
        i += (size_t)len;
    }
    return n_out;
}

/* Of a SentencePiece token. */
static size_t decode_spaces(char *out, struct gguf_str text)
{
    size_t n_out = 0, n_space = strlen(VOCAB_SPACE);
    for (size_t i = 0; i < text.n;) {
        bool space = text.n - i >= n_space && memcmp(text.s + i, VOCAB_SPACE, n_space) == 0;
        out[n_out++] = space ? ' ' : text.s[i];
        i += space ? n_space : 1;
    }
    return n_out;
}

/* "<0x0A>" is one byte; -1: it is not written like that. */
static int byte_of_text(struct gguf_str text)
{
    static const char digits[] = "0123456789ABCDEF";
    if (text.n != 6 || memcmp(text.s, "<0x", 3) != 0 || text.s[5] != '>') return -1;
    const char *high = memchr(digits, text.s[3], 16), *low = memchr(digits, text.s[4], 16);
    return high && low ? (int)((high - digits) * 16 + (low - digits)) : -1;
}

static int decode_texts(struct vocab *v, struct err *err)
{
    size_t total = 0;
    for (int32_t id = 0; id < v->n; id++) total += v->text[id].n;
    v->arena = malloc(total + 1);
    if (!v->arena) return err_set(err, E_FAIL, "out of memory for a vocabulary of %d", v->n);

    int16_t byte_of[ALPHABET_END];
    memset(byte_of, 0xFF, sizeof byte_of);
    for (int b = 0; b < 256; b++) byte_of[byte_char(b)] = (int16_t)b;
    char *end = v->arena;
    for (int32_t id = 0; id < v->n; id++) {
        struct gguf_str text = v->text[id];
        size_t n = 0;
        int byte = v->type[id] == TOKEN_BYTE ? byte_of_text(text) : -1;
        if (byte >= 0)
            *end = (char)byte, n = 1;
        else if (v->kind == VOCAB_SENTENCEPIECE && (v->type[id] == TOKEN_NORMAL || v->type[id] == TOKEN_USER))
            n = decode_spaces(end, text);
        else if (v->kind == VOCAB_BYTE_LEVEL && v->type[id] == TOKEN_NORMAL)
            n = decode_text(end, text, byte_of);
        v->bytes[id] = n ? (struct gguf_str){end, n} : text;
        end += n;
    }
    return OK;
}

/* ---- special tokens ---- */

static bool is_between(struct gguf_str text, const char *open, const char *close)
{
    size_t n_open = strlen(open), n_close = strlen(close);
    return text.n > n_open + n_close && memcmp(text.s, open, n_open) == 0 &&
           memcmp(text.s + text.n - n_close, close, n_close) == 0;
}

bool vocab_is_mark(const struct vocab *v, int32_t id)
{
    if (v->type[id] != TOKEN_USER) return v->type[id] == TOKEN_CONTROL;
    return is_between(v->text[id], "<|", "|>") || is_between(v->text[id], "<\xEF\xBD\x9C", "\xEF\xBD\x9C>");
}

static bool is_special(const struct vocab *v, int32_t id)
{
    return (v->type[id] == TOKEN_CONTROL || v->type[id] == TOKEN_USER) && v->text[id].n > 0;
}

static int text_order(const void *a, const void *b, void *vocab)
{
    const struct vocab *v = vocab;
    int32_t ia = *(const int32_t *)a, ib = *(const int32_t *)b;
    struct gguf_str ta = v->text[ia], tb = v->text[ib];
    int order = memcmp(ta.s, tb.s, ta.n < tb.n ? ta.n : tb.n);
    if (order == 0 && ta.n != tb.n) order = ta.n < tb.n ? -1 : 1;
    return order ? order : (ia > ib) - (ia < ib);
}

/* Each place of a text is compared with those that begin as it does: what is too long for a mark is refused. */
enum { LONGEST_SPECIAL = 1024 };

static int sort_specials(struct vocab *v, struct err *err)
{
    int n = 0;
    for (int32_t id = 0; id < v->n; id++) {
        n += is_special(v, id);
        if (is_special(v, id) && v->text[id].n > LONGEST_SPECIAL)
            return err_set(err, E_MODEL, "token %d, a control or user-defined one, has %zu bytes, known are %d", id,
                           v->text[id].n, LONGEST_SPECIAL);
    }
    free(v->special);
    v->n_special = 0;
    v->special = malloc(((size_t)n + 1) * sizeof *v->special);
    if (!v->special) return err_set(err, E_FAIL, "out of memory for %d special tokens", n);
    for (int32_t id = 0; id < v->n; id++)
        if (is_special(v, id)) v->special[v->n_special++] = id;
    qsort_r(v->special, (size_t)n, sizeof *v->special, text_order, v);
    for (int b = 0, i = 0; b <= 256; b++) {
        while (i < n && (unsigned char)v->text[v->special[i]].s[0] < b) i++;
        v->special_from[b] = i;
    }
    return OK;
}

/* The first of special[lo .. hi - 1], which agree in their first k bytes, whose byte k is at least c. */
static int special_bound(const struct vocab *v, int lo, int hi, size_t k, int c)
{
    while (lo < hi) {
        int mid = lo + (hi - lo) / 2;
        if ((unsigned char)v->text[v->special[mid]].s[k] < c)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* The longest special token that s begins with. The sorted list serves as a trie: each further byte narrows the range.
 */
static int32_t special_at(const struct vocab *v, const struct special_search *search, const char *s, size_t n,
                          const uint8_t *message, size_t *len)
{
    int32_t best = -1;
    bool marks = search->marks;
    int lo = v->special_from[(unsigned char)s[0]], hi = v->special_from[(unsigned char)s[0] + 1];
    for (size_t k = 1; lo < hi; k++) {
        int32_t before = best;
        if (message && message[k - 1]) marks = false;
        for (; lo < hi && v->text[v->special[lo]].n == k; lo++) { /* the same text may stand twice: the first counts */
            bool normalized = v->flags && v->flags[v->special[lo]] & TOKEN_NORMALIZED;
            bool wanted = normalized == search->normalized && (marks || !vocab_is_mark(v, v->special[lo]));
            if (!wanted || best != before) continue;
            best = v->special[lo];
            *len = k;
        }
        if (k == n) break;
        int c = (unsigned char)s[k];
        lo = special_bound(v, lo, hi, k, c);
        hi = special_bound(v, lo, hi, k, c + 1);
    }
    return best;
}

struct special_found vocab_find_special(const struct vocab *v, const struct special_search *search, const char *s,
                                        size_t n, const uint8_t *message)
{
    struct special_found found = {.id = -1};
    for (; found.at < n; found.at++) {
        found.id = special_at(v, search, s + found.at, n - found.at, message ? message + found.at : NULL, &found.len);
        if (found.id >= 0) break;
    }
    return found;
}

/* ---- opening ---- */

static bool is_list(const struct gguf_kv *kv, bool of_strings)
{
    if (!kv || kv->type != GGUF_ARR) return false;
    if (of_strings) return kv->item_type == GGUF_STR;
    return kv->item_type == GGUF_I32 || kv->item_type == GGUF_U32;
}

static int read_tokens(struct vocab *v, const struct gguf *g, const struct gguf_kv *tokens, const struct gguf_kv *types,
                       struct err *err)
{
    v->text = calloc((size_t)v->n, sizeof *v->text);
    v->bytes = calloc((size_t)v->n, sizeof *v->bytes);
    v->type = calloc((size_t)v->n, sizeof *v->type);
    if (!v->text || !v->bytes || !v->type) return err_set(err, E_FAIL, "out of memory for a vocabulary of %d", v->n);

    const uint8_t *cursor = tokens->data;
    for (int32_t id = 0; id < v->n; id++) {
        if (!gguf_next_str(g, &cursor, &v->text[id]))
            return err_set(err, E_MODEL, "tokenizer.ggml.tokens ends at item %d of %d", id, v->n);
        if (v->text[id].n > v->longest) v->longest = v->text[id].n;
        int64_t type = types ? gguf_item_int(types, (uint64_t)id) : TOKEN_NORMAL;
        if (type < TOKEN_NORMAL || type > TOKEN_BYTE)
            return err_set(err, E_MODEL, "token %d has type %lld, known are 1 to 6", id, (long long)type);
        v->type[id] = (uint8_t)type;
    }
    return OK;
}

static int read_flags(struct vocab *v, const struct gguf *g, struct err *err)
{
    const struct gguf_kv *flags = gguf_find(g, "tokenizer.ggml.token_flags");
    if (!flags) return OK;
    if (!is_list(flags, false) || flags->n_items != (uint64_t)v->n)
        return err_set(err, E_MODEL, "tokenizer.ggml.token_flags does not fit the %d tokens", v->n);
    v->flags = malloc((size_t)v->n);
    if (!v->flags) return err_set(err, E_FAIL, "out of memory for a vocabulary of %d", v->n);
    for (int32_t id = 0; id < v->n; id++) v->flags[id] = (uint8_t)gguf_item_int(flags, (uint64_t)id);
    return OK;
}

int vocab_open(struct vocab *v, enum vocab_kind kind, const struct gguf *g, struct err *err)
{
    *v = (struct vocab){.kind = kind};
    const struct gguf_kv *tokens = gguf_find(g, "tokenizer.ggml.tokens");
    const struct gguf_kv *types = gguf_find(g, "tokenizer.ggml.token_type");
    if (!is_list(tokens, true) || tokens->n_items == 0 || tokens->n_items > INT32_MAX / 4)
        return err_set(err, E_MODEL, "no list of tokens (tokenizer.ggml.tokens)");
    if (types && (!is_list(types, false) || types->n_items != tokens->n_items))
        return err_set(err, E_MODEL, "tokenizer.ggml.token_type does not fit the %llu tokens",
                       (unsigned long long)tokens->n_items);

    v->n = (int)tokens->n_items;
    int rc = read_tokens(v, g, tokens, types, err);
    if (rc == OK) rc = read_flags(v, g, err);
    if (rc == OK) rc = index_texts(v, err);
    if (rc == OK) rc = decode_texts(v, err);
    if (rc == OK) rc = sort_specials(v, err);
    if (rc != OK) vocab_close(v);
    return rc;
}

int vocab_make_control(struct vocab *v, int32_t id, struct err *err)
{
    if (v->type[id] == TOKEN_CONTROL) return OK;
    v->type[id] = TOKEN_CONTROL;
    v->bytes[id] = v->text[id];
    return sort_specials(v, err);
}

void vocab_close(struct vocab *v)
{
    if (!v) return;
    free(v->text);
    free(v->bytes);
    free(v->type);
    free(v->flags);
    free(v->arena);
    free(v->by_text);
    free(v->special);
    *v = (struct vocab){0};
}
