#include "coordinator/text/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "coordinator/text/bpe.h"
#include "coordinator/text/ends.h"
#include "coordinator/text/split.h"
#include "coordinator/text/unicode.h"
#include "coordinator/text/vocab.h"
#include "proto/files/gguf_open.h"

/* What files of these pre-tokenizers leave out (llama.cpp's llama-vocab.cpp). */
static const char *const of_llama3[] = {"llama-bpe", "tekken"};

/* Keys that would change ids and are not built: each must be 0, or an empty list. */
static const char *const refused_keys[] = {
    "tokenizer.ggml.add_eos_token",        "tokenizer.ggml.add_sep_token",
    "tokenizer.ggml.normalizer.lowercase", "tokenizer.ggml.normalizer.strip_accents",
    "tokenizer.ggml.precompiled_charsmap", "tokenizer.ggml.remove_extra_whitespaces",
    "tokenizer.ggml.suppress_tokens",
};
#define N(list) (sizeof(list) / sizeof *(list))

struct tokenizer {
    struct vocab vocab;
    struct splitter splitter; /* byte-level */
    struct bpe bpe;
    bool nfc;          /* texts are normalized so */
    bool adds_space;   /* SentencePiece: before a text, and after a special token */
    bool whole_pieces; /* a piece that is a token is not merged: its merges need not lead there */
    int32_t bos;       /* -1: none */
    bool adds_bos;
    struct ends ends;
    char model[32];
};

/* ---- opening ---- */

/* *id stays as it is where the file has no such key. */
static int read_id(const struct tokenizer *t, const struct gguf *g, const char *key, int32_t *id, struct err *err)
{
    int64_t value = *id;
    int rc = gguf_read_int(g, key, &value, err);
    if (rc != OK || !gguf_find(g, key)) return rc;
    if (value < 0 || value >= t->vocab.n)
        return err_set(err, E_MODEL, "%s is %lld, the vocabulary ends at %d", key, (long long)value, t->vocab.n - 1);
    *id = (int32_t)value;
    return OK;
}

/* SentencePiece's own ids of <unk>, <s> and </s>, where the file names no others. */
static int32_t usual_id(const struct tokenizer *t, int32_t id, enum token_type type)
{
    return t->vocab.kind == VOCAB_SENTENCEPIECE && id < t->vocab.n && t->vocab.type[id] == type ? id : -1;
}

static bool is_of_llama3(const struct tokenizer *t)
{
    for (size_t i = 0; t->vocab.kind == VOCAB_BYTE_LEVEL && i < N(of_llama3); i++)
        if (strcmp(t->splitter.pre, of_llama3[i]) == 0) return true;
    return false;
}

static int read_bos(struct tokenizer *t, const struct gguf *g, struct err *err)
{
    static const char *const adds = "tokenizer.ggml.add_bos_token";
    int64_t wanted = t->vocab.kind == VOCAB_SENTENCEPIECE || is_of_llama3(t);
    t->bos = usual_id(t, 1, TOKEN_CONTROL);
    int rc = gguf_read_int(g, adds, &wanted, err);
    if (rc != OK) return rc;
    struct err ignored; /* one that is not asked for does no harm, if it makes no sense */
    rc = read_id(t, g, "tokenizer.ggml.bos_token_id", &t->bos, wanted ? err : &ignored);
    if (!wanted) return OK;
    if (rc == OK && gguf_find(g, adds) && t->bos < 0)
        rc = err_set(err, E_MODEL, "add_bos_token without tokenizer.ggml.bos_token_id");
    t->adds_bos = t->bos >= 0;
    return rc;
}

static int read_ends(struct tokenizer *t, const struct gguf *g, struct err *err)
{
    int32_t usual = usual_id(t, 2, TOKEN_CONTROL);
    int rc = ends_read(&t->ends, &t->vocab, g, err);
    if (rc != OK || usual < 0 || gguf_find(g, "tokenizer.ggml.eos_token_id")) return rc;
    return ends_add_text(&t->ends, &t->vocab, "</s>", err);
}

static int open_byte_level(struct tokenizer *t, const struct gguf *g, struct err *err)
{
    struct gguf_str pre = {"default", 7};
    int rc = gguf_read_str(g, "tokenizer.ggml.pre", &pre, err);
    if (rc == OK) rc = split_open(&t->splitter, pre, err);
    if (rc != OK) return rc;
    int64_t whole = is_of_llama3(t);
    rc = gguf_read_int(g, "tokenizer.ggml.ignore_merges", &whole, err); /* hf_tokenizer.c's */
    if (rc != OK) return rc;
    t->whole_pieces = whole;
    snprintf(t->model, sizeof t->model, "gpt2 / %s", t->splitter.pre);
    return vocab_open(&t->vocab, VOCAB_BYTE_LEVEL, g, err);
}

static int open_sentencepiece(struct tokenizer *t, const struct gguf *g, struct err *err)
{
    int64_t adds_space = 1;
    int rc = gguf_read_int(g, "tokenizer.ggml.add_space_prefix", &adds_space, err);
    if (rc != OK) return rc;
    t->adds_space = adds_space;
    snprintf(t->model, sizeof t->model, "llama");
    return vocab_open(&t->vocab, VOCAB_SENTENCEPIECE, g, err);
}

static int check_refused(const struct gguf *g, struct err *err)
{
    for (size_t i = 0; i < N(refused_keys); i++) {
        const struct gguf_kv *kv = gguf_find(g, refused_keys[i]);
        int64_t value = kv && kv->type == GGUF_ARR ? (int64_t)kv->n_items : 0;
        int rc = value ? OK : gguf_read_int(g, refused_keys[i], &value, err);
        if (kv && kv->type == GGUF_ARR && !value) continue;
        if (rc != OK) return rc;
        if (value) return err_set(err, E_MODEL, "%s changes texts, and is not supported", refused_keys[i]);
    }
    return OK;
}

static int open_parts(struct tokenizer *t, const struct gguf *g, struct err *err)
{
    struct gguf_str model = {NULL, 0};
    int rc = gguf_read_str(g, "tokenizer.ggml.model", &model, err);
    if (rc != OK) return rc;
    if (!model.s) return err_set(err, E_MODEL, "no vocabulary (tokenizer.ggml.model)");
    bool sentencepiece = gguf_str_is(model, "llama");
    if (!sentencepiece && !gguf_str_is(model, "gpt2"))
        return err_set(err, E_MODEL, "tokenizer \"%.*s\" is not supported (known: gpt2, llama)",
                       model.n < 64 ? (int)model.n : 64, model.s);

    int64_t nfc = 0;
    rc = check_refused(g, err);
    if (rc == OK) rc = gguf_read_int(g, "tokenizer.ggml.normalizer.nfc", &nfc, err); /* hf_tokenizer.c's */
    t->nfc = nfc;
    if (rc == OK) rc = sentencepiece ? open_sentencepiece(t, g, err) : open_byte_level(t, g, err);
    if (rc == OK) rc = read_ends(t, g, err);
    if (rc == OK) rc = bpe_open(&t->bpe, &t->vocab, g, err);
    if (rc == OK && sentencepiece) {
        t->bpe.unknown = usual_id(t, 0, TOKEN_UNKNOWN);
        rc = read_id(t, g, "tokenizer.ggml.unknown_token_id", &t->bpe.unknown, err);
    }
    if (rc == OK) rc = read_bos(t, g, err);
    return rc;
}

int tokenizer_open(struct tokenizer **out, const struct gguf *g, struct err *err)
{
    struct tokenizer *t = calloc(1, sizeof *t);
    if (!t) return err_set(err, E_FAIL, "%s: out of memory for a tokenizer", g->path);
    int rc = open_parts(t, g, err);
    if (rc != OK) {
        tokenizer_close(t);
        err_wrap(err, "%s", g->path);
        return rc;
    }
    *out = t;
    return OK;
}

void tokenizer_close(struct tokenizer *t)
{
    if (!t) return;
    vocab_close(&t->vocab);
    split_close(&t->splitter);
    bpe_close(&t->bpe);
    ends_free(&t->ends);
    free(t);
}

/* ---- asking ---- */

int tokenizer_n_vocab(const struct tokenizer *t)
{
    return t->vocab.n;
}

const char *tokenizer_model(const struct tokenizer *t)
{
    return t->model;
}

bool tokenizer_adds_space(const struct tokenizer *t, int32_t before)
{
    if (before < 0) return t->adds_space;
    int type = before < t->vocab.n ? t->vocab.type[before] : TOKEN_NORMAL;
    return t->adds_space && (type == TOKEN_CONTROL || type == TOKEN_USER);
}

struct gguf_str tokenizer_piece(const struct tokenizer *t, int32_t id, bool special)
{
    struct gguf_str none = {"", 0};
    if (id < 0 || id >= t->vocab.n) return none;
    switch ((enum token_type)t->vocab.type[id]) {
    case TOKEN_UNKNOWN:
    case TOKEN_CONTROL:
    case TOKEN_UNUSED: return special ? t->vocab.bytes[id] : none;
    case TOKEN_NORMAL:
    case TOKEN_USER:
    case TOKEN_BYTE: break;
    }
    return t->vocab.bytes[id];
}

struct gguf_str tokenizer_bos(const struct tokenizer *t)
{
    return tokenizer_piece(t, t->bos, true);
}

bool tokenizer_adds_bos(const struct tokenizer *t)
{
    return t->adds_bos;
}

int32_t tokenizer_find(const struct tokenizer *t, const char *text)
{
    return vocab_find(&t->vocab, text, strlen(text));
}

size_t tokenizer_end_ids(const struct tokenizer *t, const int32_t **ids)
{
    *ids = t->ends.ids;
    return t->ends.n;
}

int tokenizer_add_end(struct tokenizer *t, const char *text, struct err *err)
{
    return ends_add_text(&t->ends, &t->vocab, text, err);
}

uint64_t tokenizer_hash(const struct tokenizer *t)
{
    uint64_t hash = 0; /* each token's hash seeds the next one's, so lengths need no separators */
    for (int32_t id = 0; id < t->vocab.n; id++) {
        hash = XXH64(t->vocab.text[id].s, t->vocab.text[id].n, hash);
        hash = XXH64(&t->vocab.type[id], 1, hash);
    }
    return hash;
}

static bool is_text(const struct tokenizer *t, int32_t id)
{
    return t->vocab.type[id] == TOKEN_NORMAL || t->vocab.type[id] == TOKEN_BYTE;
}

static bool is_unused(const struct tokenizer *t, int32_t id)
{
    return t->vocab.type[id] == TOKEN_UNUSED;
}

int tokenizer_compatible(const struct tokenizer *big, const struct tokenizer *little, int *n_common, struct err *err)
{
    int n = big->vocab.n < little->vocab.n ? big->vocab.n : little->vocab.n;
    for (int32_t id = 0; id < n; id++) {
        struct gguf_str a = big->vocab.text[id], b = little->vocab.text[id];
        if (a.n == b.n && memcmp(a.s, b.s, a.n) == 0) continue;
        bool in_use = !is_unused(big, id) && !is_unused(little, id);
        if (!in_use || (!is_text(big, id) && !is_text(little, id))) continue;
        return err_set(err, E_MODEL,
                       "the vocabularies differ: id %d is \"%.*s\" in the big model, \"%.*s\" in the little one", id,
                       a.n < 200 ? (int)a.n : 200, a.s, b.n < 200 ? (int)b.n : 200, b.s);
    }
    *n_common = n;
    return OK;
}

int tokenizer_check_files(const char *big, const char *little, struct err *err)
{
    const char *const paths[] = {big, little};
    struct gguf g[2];
    struct tokenizer *t[2] = {NULL, NULL};
    int rc = OK, n_open = 0, n_common;
    for (; n_open < 2 && rc == OK; n_open++) {
        if ((rc = gguf_open(&g[n_open], paths[n_open], err)) != OK) break;
        rc = tokenizer_open(&t[n_open], &g[n_open], err);
        if (rc != OK) err_wrap(err, "%s", paths[n_open]);
    }
    if (rc == OK && (rc = tokenizer_compatible(t[0], t[1], &n_common, err)) != OK) err_wrap(err, "--little");
    while (n_open-- > 0) {
        tokenizer_close(t[n_open]);
        gguf_close(&g[n_open]);
    }
    return rc;
}

/* ---- encoding ---- */

/* NFC makes one byte of three at most; tokens with flags take any number of blanks. */
size_t tokenizer_least(const struct tokenizer *t, size_t n_bytes)
{
    return t->vocab.flags ? 0 : n_bytes / (t->vocab.longest + 1) / (t->nfc ? 3 : 1);
}

struct encoding { /* one call's state: the tokenizer itself is shared */
    const struct tokenizer *t;
    struct split_run run;
    struct bpe_work work;
    int32_t *ids;
    size_t n, room, n_most;
    char *spaced; /* SentencePiece: a text with its spaces as VOCAB_SPACE */
};

/* Room for n ids more. */
static int reserve(struct encoding *e, size_t n, struct err *err)
{
    if (e->n + n <= e->room) return OK;
    size_t room = e->n + n + e->room;
    int32_t *ids = realloc(e->ids, room * sizeof *ids);
    if (!ids) return err_set(err, E_FAIL, "out of memory for %zu ids", room);
    e->ids = ids;
    e->room = room;
    return OK;
}

static int too_many(const struct encoding *e, struct err *err)
{
    return err_set(err, E_USAGE, "the text has more than %zu tokens: shorten it", e->n_most);
}

static int put_id(struct encoding *e, int32_t id, struct err *err)
{
    int rc = reserve(e, 1, err);
    if (rc == OK) e->ids[e->n++] = id;
    return rc;
}

static int encode_piece(struct encoding *e, struct gguf_str piece, struct err *err)
{
    size_t n;
    if (piece.n == 0) return OK;
    if (e->n > e->n_most) return too_many(e, err);
    int32_t whole = e->t->whole_pieces ? vocab_find_bytes(&e->t->vocab, piece.s, piece.n) : -1;
    if (whole >= 0 && e->t->vocab.type[whole] == TOKEN_NORMAL) return put_id(e, whole, err);
    int rc = reserve(e, piece.n, err);
    if (rc == OK) rc = bpe_encode(&e->t->bpe, &e->work, piece, e->ids + e->n, &n, err);
    if (rc == OK) e->n += n;
    return rc;
}

/* Where a space stands for VOCAB_SPACE, that character itself must not: it is written as its bytes. */
static int encode_spaced(struct encoding *e, const char *text, size_t n_bytes, bool space_before, struct err *err)
{
    static const size_t n_space = sizeof VOCAB_SPACE - 1;
    const int32_t *byte_id = e->t->bpe.byte_id;
    char *end = e->spaced;
    if (space_before) end = stpcpy(end, VOCAB_SPACE);
    for (size_t i = 0; i < n_bytes; i++) {
        bool is_mark = n_bytes - i >= n_space && memcmp(text + i, VOCAB_SPACE, n_space) == 0 && byte_id[0xE2] >= 0 &&
                       byte_id[0x96] >= 0 && byte_id[0x81] >= 0;
        if (text[i] == ' ') {
            end = stpcpy(end, VOCAB_SPACE);
        } else if (!is_mark) {
            *end++ = text[i];
        } else {
            int rc = encode_piece(e, (struct gguf_str){e->spaced, (size_t)(end - e->spaced)}, err);
            end = e->spaced;
            for (size_t k = 0; rc == OK && k < n_space; k++) rc = put_id(e, byte_id[(unsigned char)text[i + k]], err);
            if (rc != OK) return rc;
            i += n_space - 1;
        }
    }
    return encode_piece(e, (struct gguf_str){e->spaced, (size_t)(end - e->spaced)}, err);
}

/* A text without special tokens, which follows one or stands first. */
static int encode_pieces(struct encoding *e, const char *text, size_t n_bytes, struct err *err)
{
    if (e->t->vocab.kind == VOCAB_SENTENCEPIECE)
        return n_bytes ? encode_spaced(e, text, n_bytes, e->t->adds_space, err) : OK;
    split_text(&e->run, text, n_bytes);
    for (;;) {
        struct gguf_str piece;
        int rc = split_next(&e->run, &piece, err);
        if (rc != OK || piece.n == 0) return rc;
        rc = encode_piece(e, piece, err);
        if (rc != OK) return rc;
    }
}

static int encode_plain(struct encoding *e, const char *text, size_t n_bytes, struct err *err)
{
    char *normal = NULL;
    size_t n = n_bytes;
    int rc = e->t->nfc ? unicode_nfc(text, n_bytes, &normal, &n, err) : OK;
    if (rc == OK) rc = encode_pieces(e, normal ? normal : text, normal ? n : n_bytes, err);
    free(normal);
    return rc;
}

static int encode_between(struct encoding *e, const struct tokenizer_text *in, size_t from, size_t to, bool normalized,
                          struct err *err);

/* What has no special token that was looked for. */
static int encode_rest(struct encoding *e, const struct tokenizer_text *in, size_t from, size_t to, bool normalized,
                       struct err *err)
{
    if (from >= to) return OK;
    return normalized || !e->t->vocab.flags ? encode_plain(e, in->bytes + from, to - from, err)
                                            : encode_between(e, in, from, to, true, err);
}

/* Special tokens of in->bytes[from .. to - 1], and what is between them: first those that are found in a text as it is,
 * then those that are found in it normalized. Flags as the package tokenizers has them (AddedVocabulary). */
static int encode_between(struct encoding *e, const struct tokenizer_text *in, size_t from, size_t to, bool normalized,
                          struct err *err)
{
    const struct special_search search = {in->special, normalized};
    const char *s = in->bytes;
    size_t rest = from; /* what is before it is encoded */
    for (size_t at = from; at < to;) {
        const uint8_t *message = in->message ? in->message + at : NULL;
        struct special_found found = vocab_find_special(&e->t->vocab, &search, s + at, to - at, message);
        if (found.id < 0) break;
        size_t start = at + found.at, end = start + found.len;
        int flags = e->t->vocab.flags ? e->t->vocab.flags[found.id] : 0;
        at = end;
        if (flags & TOKEN_SINGLE_WORD &&
            (unicode_is_word(s + from, start - from, true) || unicode_is_word(s + end, to - end, false)))
            continue;
        if (flags & TOKEN_LSTRIP && start > rest) start -= unicode_blanks(s + rest, start - rest, true);
        if (flags & TOKEN_RSTRIP) end += unicode_blanks(s + end, to - end, false);
        int rc = encode_rest(e, in, rest, start, normalized, err);
        if (rc == OK) rc = put_id(e, found.id, err);
        if (rc != OK) return rc;
        rest = end;
    }
    return encode_rest(e, in, rest, to, normalized, err);
}

static int encode_text(struct encoding *e, const struct tokenizer_text *in, struct err *err)
{
    int rc = encode_between(e, in, 0, in->n_bytes, false, err);
    return rc == OK && e->n > e->n_most ? too_many(e, err) : rc;
}

static int encode_into(struct encoding *e, const struct tokenizer_text *in, struct err *err)
{
    bool spaces = e->t->vocab.kind == VOCAB_SENTENCEPIECE;
    if (in->n_bytes / (e->t->vocab.longest + 1) > e->n_most)
        return too_many(e, err); /* not a byte of it need be read */
    if (in->n_bytes > INT32_MAX / 8) return err_set(err, E_USAGE, "a text of %zu bytes is too long", in->n_bytes);
    e->spaced = spaces ? malloc(3 * in->n_bytes + 4) : NULL;
    if (spaces && !e->spaced) return err_set(err, E_FAIL, "out of memory for a text of %zu bytes", in->n_bytes);
    int rc = split_run_init(&e->run, &e->t->splitter, err);
    if (rc == OK && in->add_bos && e->t->adds_bos) rc = put_id(e, e->t->bos, err);
    return rc == OK ? encode_text(e, in, err) : rc;
}

int tokenizer_encode(const struct tokenizer *t, const struct tokenizer_text *in, int32_t **ids, size_t *n_ids,
                     struct err *err)
{
    struct encoding e = {.t = t, .n_most = in->n_most ? in->n_most : SIZE_MAX};
    int rc = encode_into(&e, in, err);
    if (rc == OK) {
        int32_t *all = realloc(*ids, (*n_ids + e.n + 1) * sizeof *all);
        if (all) {
            if (e.n) memcpy(all + *n_ids, e.ids, e.n * sizeof *all);
            *ids = all;
            *n_ids += e.n;
        } else {
            rc = err_set(err, E_FAIL, "out of memory for %zu ids", e.n);
        }
    }
    split_run_free(&e.run);
    bpe_work_free(&e.work);
    free(e.ids);
    free(e.spaced);
    return rc;
}
