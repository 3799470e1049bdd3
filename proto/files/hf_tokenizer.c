#include "proto/files/hf_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/show.h"

enum { MOST_TOKENS = 1 << 24, MOST_STEPS = 8 };

#define BLANKS "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define LINES "[\r\n]"
#define CASED(endings, digits)                                                                                         \
    "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+" endings                \
    "|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*" endings "|" digits    \
    "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|" BLANKS
#define HAN                                                                                                            \
    "[\xe4\xb8\x80-\xe9\xbe\xa5\xe0\xa0\x80-\xe4\xb8\x80\xea\xb0\x80-\xed\x9f\xbf]+" /* 4e00-9fa5 0800-4e00 ac00-d7ff */

/* Pre-tokenizers by what tokenizer.json says of them, step by step: the expression of a Split, or the type of
 * another one. The names are coordinator/text/split.c's, which has what they do. A * stands for the rest. */
static const struct {
    const char *pre, *step[MOST_STEPS];
} known[] = {
    {"qwen2",
     {"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|" BLANKS}},
    {"qwen35",
     {"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| "
      "?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|" BLANKS}},
    {"llama-bpe",
     {"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|" BLANKS}},
    {"tekken", {CASED("", "\\p{N}")}},
    {"gpt-4o", {CASED("(?i:'s|'t|'re|'ve|'m|'ll|'d)?", "\\p{N}{1,3}")}},
    {"deepseek-v3",
     {"\\p{N}{1,3}",
      "[\xe4\xb8\x80-\xe9\xbe\xa5\xe3\x81\x80-\xe3\x82\x9f\xe3\x82\xa0-\xe3\x83\xbf]+", /* 4e00-9fa5 3040-30ff */
      "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| "
      "?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|"
      "\\s+(?!\\S)|\\s+"}},
    {"smollm", {"Digits", "ByteLevel"}},
    {"gpt-2", {"ByteLevel"}},
    {"deepseek-coder", {LINES, "\\s?\\p{L}+", "\\s?\\p{P}+", HAN, "Digits"}},
    {"deepseek-llm",
     {LINES, "\\s?[A-Za-z*",
      "\\s?[!-/"
      ":-~\xef\xbc\x81-\xef\xbc\x8f\xef\xbc\x9a-\xef\xbd\x9e\xe2\x80\x98-\xe2\x80\x9f\xe3\x80\x80-\xe3\x80\x82]+",
      "\\s+$", HAN, "Digits"}},
};
enum { N_KNOWN = sizeof known / sizeof *known };

struct vocabulary {
    const char *path;
    struct err *err;
    json_t *root;          /* of tokenizer.json */
    size_t n;              /* as config.json says */
    struct gguf_str *text; /* [n] of root */
    int32_t *type, *flags; /* [n] */
    bool has_flags;
    bool sentencepiece;
};

static const char *text_of(const json_t *object, const char *name)
{
    const char *s = json_string_value(json_object_get(object, name));
    return s ? s : "";
}

static struct gguf_str str_of(const json_t *string)
{
    return (struct gguf_str){json_string_value(string), json_string_length(string)};
}

/* ---- tokens ---- */

/* Of ids from vocab_size on the model knows nothing: they are left out (Gemma 3 has one, for images). */
static int set_token(struct vocabulary *v, struct gguf_str text, const json_t *number, int32_t type)
{
    json_int_t id = json_integer_value(number);
    if (!json_is_integer(number) || id < 0)
        return err_set(v->err, E_MODEL, "%s: token '%s' has no id", v->path, gguf_show(text).s);
    if ((size_t)id >= v->n) return OK;
    v->text[id] = text;
    v->type[id] = type;
    return OK;
}

/* Such tokens end or begin something, whatever their file says of them; so llama.cpp has it. */
static bool looks_special(struct gguf_str text)
{
    static const struct {
        const char *from, *to;
    } forms[] = {{"<|", "|>"}, {"<\xef\xbd\x9c", "\xef\xbd\x9c>"}};
    for (int i = 0; i < 2; i++) {
        size_t n_from = strlen(forms[i].from), n_to = strlen(forms[i].to);
        if (text.n >= n_from + n_to && memcmp(text.s, forms[i].from, n_from) == 0 &&
            memcmp(text.s + text.n - n_to, forms[i].to, n_to) == 0)
            return true;
    }
    return gguf_str_is(text, "<pad>") || gguf_str_is(text, "<mask>");
}

static bool is_byte(struct gguf_str text)
{
    return text.n == 6 && memcmp(text.s, "<0x", 3) == 0 && text.s[5] == '>';
}

static void set_flags(struct vocabulary *v, const json_t *token)
{
    static const struct {
        const char *name;
        int32_t flag;
    } flags[] = {{"lstrip", TOKEN_LSTRIP},
                 {"rstrip", TOKEN_RSTRIP},
                 {"single_word", TOKEN_SINGLE_WORD},
                 {"normalized", TOKEN_NORMALIZED}};
    json_int_t id = json_integer_value(json_object_get(token, "id"));
    if ((size_t)id >= v->n) return;
    for (int i = 0; i < 4; i++)
        if (json_is_true(json_object_get(token, flags[i].name))) v->flags[id] |= flags[i].flag;
    v->has_flags = v->has_flags || v->flags[id];
}

static int read_tokens(struct vocabulary *v, const json_t *model)
{
    json_t *vocab = json_object_get(model, "vocab"), *added = json_object_get(v->root, "added_tokens"), *value;
    const char *text;
    size_t i;
    if (!json_is_object(vocab)) return err_set(v->err, E_MODEL, "%s: no object model.vocab", v->path);
    v->text = calloc(v->n + 1, sizeof *v->text);
    v->type = calloc(v->n + 1, sizeof *v->type);
    v->flags = calloc(v->n + 1, sizeof *v->flags);
    if (!v->text || !v->type || !v->flags)
        return err_set(v->err, E_LAYOUT, "%s: no memory for %zu tokens", v->path, v->n);
    int rc = OK;
    json_object_foreach(vocab, text, value)
    {
        struct gguf_str s = {text, strlen(text)};
        if (rc == OK) rc = set_token(v, s, value, v->sentencepiece && is_byte(s) ? TOKEN_BYTE : TOKEN_NORMAL);
    }
    json_array_foreach(added, i, value)
    {
        const json_t *content = json_object_get(value, "content");
        if (rc == OK && !json_is_string(content))
            rc = err_set(v->err, E_MODEL, "%s: added token %zu has no content", v->path, i);
        if (rc != OK) break;
        struct gguf_str s = str_of(content);
        bool special = json_is_true(json_object_get(value, "special")) || looks_special(s);
        rc = set_token(v, s, json_object_get(value, "id"), special ? TOKEN_CONTROL : TOKEN_USER);
        if (rc == OK) set_flags(v, value);
    }
    return rc;
}

/* Ids that have no token, padding of the embedding among them, have a name that no text has. */
static int write_tokens(struct gguf_writer *w, struct vocabulary *v)
{
    char(*names)[24] = malloc((v->n + 1) * sizeof *names);
    if (!names) return err_set(v->err, E_LAYOUT, "%s: no memory for %zu tokens", v->path, v->n);
    for (size_t id = 0; id < v->n; id++) {
        if (v->text[id].s) continue;
        v->text[id] = (struct gguf_str){names[id], (size_t)snprintf(names[id], sizeof *names, "[PAD%zu]", id)};
        v->type[id] = TOKEN_UNUSED;
    }
    gguf_put_strs(w, "tokenizer.ggml.tokens", v->text, v->n);
    gguf_put_i32s(w, "tokenizer.ggml.token_type", v->type, v->n);
    if (v->has_flags) gguf_put_i32s(w, "tokenizer.ggml.token_flags", v->flags, v->n);
    free(names);
    return OK;
}

/* ---- merges ---- */

/* "left right", or a list of the two. */
static bool read_merge(const json_t *merge, struct gguf_str *left, struct gguf_str *right)
{
    if (json_is_array(merge)) {
        const json_t *a = json_array_get(merge, 0), *b = json_array_get(merge, 1);
        *left = str_of(a);
        *right = str_of(b);
        return json_is_string(a) && json_is_string(b) && json_array_size(merge) == 2;
    }
    const char *s = json_string_value(merge), *space = s ? strchr(s, ' ') : NULL;
    if (!space) return false;
    *left = (struct gguf_str){s, (size_t)(space - s)};
    *right = (struct gguf_str){space + 1, json_string_length(merge) - left->n - 1};
    return true;
}

/* The two as one, with a space between them if that is asked for; the caller frees it. NULL: out of memory. */
static char *join(struct gguf_str left, struct gguf_str right, const char *between, struct gguf_str *out)
{
    size_t n_between = strlen(between);
    char *s = malloc(left.n + n_between + right.n + 1);
    if (!s) return NULL;
    memcpy(s, left.s, left.n);
    memcpy(s + left.n, between, n_between);
    memcpy(s + left.n + n_between, right.s, right.n);
    s[left.n + n_between + right.n] = 0;
    *out = (struct gguf_str){s, left.n + n_between + right.n};
    return s;
}

static int write_merges(struct gguf_writer *w, const struct vocabulary *v, const json_t *merges)
{
    size_t n = json_array_size(merges), i = 0;
    struct gguf_str *list = calloc(n + 1, sizeof *list), left, right;
    int rc = list ? OK : err_set(v->err, E_LAYOUT, "%s: no memory for %zu merges", v->path, n);
    for (; rc == OK && i < n; i++) {
        if (!read_merge(json_array_get(merges, i), &left, &right) || memchr(left.s, ' ', left.n))
            rc = err_set(v->err, E_MODEL, "%s: merge %zu is not two tokens", v->path, i);
        else if (!join(left, right, " ", &list[i]))
            rc = err_set(v->err, E_LAYOUT, "%s: no memory for %zu merges", v->path, n);
    }
    if (rc == OK) gguf_put_strs(w, "tokenizer.ggml.merges", list, n);
    for (i = 0; list && i < n; i++) free((char *)(uintptr_t)list[i].s);
    free(list);
    return rc;
}

/* SentencePiece's scores order its tokens as the merges that lead to them are ordered here; those that none leads to
 * are last. */
static int write_scores(struct gguf_writer *w, const struct vocabulary *v, const json_t *vocab, const json_t *merges)
{
    size_t n = json_array_size(merges);
    float *scores = malloc((v->n + 1) * sizeof *scores);
    int rc = scores ? OK : err_set(v->err, E_LAYOUT, "%s: no memory for %zu scores", v->path, v->n);
    for (size_t id = 0; scores && id < v->n; id++) scores[id] = -(float)(n + 1);
    for (size_t i = n; rc == OK && i-- > 0;) { /* the first merge to a token counts */
        struct gguf_str left, right, both;
        if (!read_merge(json_array_get(merges, i), &left, &right)) {
            rc = err_set(v->err, E_MODEL, "%s: merge %zu is not two tokens", v->path, i);
            break;
        }
        char *text = join(left, right, "", &both);
        const json_t *id = text ? json_object_get(vocab, text) : NULL;
        if (id && (size_t)json_integer_value(id) < v->n) scores[json_integer_value(id)] = -(float)i;
        rc = text ? OK : err_set(v->err, E_LAYOUT, "%s: no memory for %zu merges", v->path, n);
        free(text);
    }
    if (rc == OK) gguf_put_f32s(w, "tokenizer.ggml.scores", scores, v->n);
    free(scores);
    return rc;
}

/* ---- pre-tokenizers, normalizers ---- */

/* A tree of Sequences as a list; what it cannot hold is counted. `list_name` is the key of a Sequence's list. */
static void flatten(const json_t *node, const char *list_name, const json_t *list[MOST_STEPS], size_t *n, int depth)
{
    const json_t *parts = json_object_get(node, list_name);
    if (json_is_array(parts) && depth < MOST_STEPS) {
        for (size_t i = 0; i < json_array_size(parts); i++)
            flatten(json_array_get(parts, i), list_name, list, n, depth + 1);
    } else if (json_is_object(node)) {
        if (*n < MOST_STEPS) list[*n] = node;
        ++*n;
    }
}

/* As `known` writes it; "": it does not cut. */
static const char *step_of(const json_t *node)
{
    const char *type = text_of(node, "type");
    if (strcmp(type, "Split") == 0) {
        const json_t *pattern = json_object_get(node, "pattern");
        const char *expression = text_of(pattern, "Regex"), *behavior = text_of(node, "behavior");
        bool inverted = json_is_true(json_object_get(node, "invert")), removes = strcmp(behavior, "Removed") == 0;
        if (inverted ? !removes : strcmp(behavior, "Isolated") != 0) return "Split that does not isolate";
        if (strcmp(expression, "[\\r\\n]") == 0) return LINES; /* the same, written otherwise */
        return *expression ? expression : text_of(pattern, "String");
    }
    if (strcmp(type, "Digits") == 0) return json_is_true(json_object_get(node, "individual_digits")) ? type : "Digits+";
    if (strcmp(type, "ByteLevel") == 0 && json_is_true(json_object_get(node, "add_prefix_space")))
        return "ByteLevel that adds a space";
    if (strcmp(type, "ByteLevel") == 0) return json_is_false(json_object_get(node, "use_regex")) ? "" : type;
    return type;
}

static bool step_is(const char *step, const char *wanted)
{
    size_t n = strlen(wanted);
    return wanted[n - 1] == '*' ? strncmp(step, wanted, n - 1) == 0 : strcmp(step, wanted) == 0;
}

static int write_pre(struct gguf_writer *w, const struct vocabulary *v)
{
    const json_t *list[MOST_STEPS];
    const char *step[MOST_STEPS] = {0};
    size_t n = 0, n_steps = 0;
    flatten(json_object_get(v->root, "pre_tokenizer"), "pretokenizers", list, &n, 0);
    for (size_t i = 0; i < n && i < MOST_STEPS; i++)
        if (*step_of(list[i])) step[n_steps++] = step_of(list[i]);
    char all[256] = "";
    for (int i = 0; i < N_KNOWN; i++) {
        size_t k = 0;
        while (k < n_steps && known[i].step[k] && step_is(step[k], known[i].step[k])) k++;
        if (n <= MOST_STEPS && k == n_steps && n_steps > 0 && (k == MOST_STEPS || !known[i].step[k])) {
            gguf_put_text(w, "tokenizer.ggml.pre", known[i].pre);
            return OK;
        }
        snprintf(all + strlen(all), sizeof all - strlen(all), i ? ", %s" : "%s", known[i].pre);
    }
    return err_set(v->err, E_MODEL, "%s: its pre-tokenizer, %s, is not supported (known: those of %s)", v->path,
                   step[0] ? show_name(step[0]).s : "none", all);
}

/* SentencePiece's say whether a text begins with a space that it does not have. */
static int read_normalizer(const struct vocabulary *v, bool *adds_space, bool *nfc)
{
    const json_t *list[MOST_STEPS];
    size_t n = 0;
    flatten(json_object_get(v->root, "normalizer"), "normalizers", list, &n, 0);
    for (size_t i = 0; i < n; i++) {
        const char *type = i < MOST_STEPS ? text_of(list[i], "type") : "of many steps";
        bool prepends = strcmp(type, "Prepend") == 0, replaces = strcmp(type, "Replace") == 0;
        if (strcmp(type, "NFC") == 0) *nfc = true;
        if (v->sentencepiece && prepends) *adds_space = true;
        if (strcmp(type, "NFC") == 0 || (v->sentencepiece && (prepends || replaces))) continue;
        return err_set(v->err, E_MODEL, "%s: its normalizer, %s, is not supported", v->path, show_name(type).s);
    }
    return OK;
}

/* Cutting before spaces changes nothing, as no token has a space but at its front (Gemma's Split). */
static int read_metaspace(const struct vocabulary *v, bool *adds_space)
{
    const json_t *list[MOST_STEPS];
    size_t n = 0;
    flatten(json_object_get(v->root, "pre_tokenizer"), "pretokenizers", list, &n, 0);
    for (size_t i = 0; i < n; i++) {
        const char *type = i < MOST_STEPS ? text_of(list[i], "type") : "of many steps";
        if (strcmp(type, "Split") == 0 && strcmp(text_of(json_object_get(list[i], "pattern"), "String"), " ") == 0)
            continue;
        if (strcmp(type, "Metaspace") != 0)
            return err_set(v->err, E_MODEL, "%s: its pre-tokenizer, %s, is not supported with byte_fallback", v->path,
                           show_name(type).s);
        const char *scheme = text_of(list[i], "prepend_scheme");
        *adds_space =
            *scheme ? strcmp(scheme, "never") != 0 : !json_is_false(json_object_get(list[i], "add_prefix_space"));
    }
    return OK;
}

/* ---- special tokens ---- */

/* -1: no token has this text. */
static int64_t find_token(const struct vocabulary *v, const json_t *vocab, const char *text)
{
    const json_t *added = json_object_get(v->root, "added_tokens"), *value, *id = json_object_get(vocab, text);
    size_t i;
    json_array_foreach(added, i, value)
    {
        if (strcmp(text_of(value, "content"), text) == 0) id = json_object_get(value, "id");
    }
    return id && (size_t)json_integer_value(id) < v->n ? json_integer_value(id) : -1;
}

/* tokenizer_config.json has a text, alone or as content; config.json and generation_config.json an id, or a list of
 * them. */
static int64_t named_token(const struct vocabulary *v, const json_t *vocab, const json_t *config, const char *name)
{
    const json_t *value = json_object_get(config, name);
    if (json_is_object(value)) value = json_object_get(value, "content");
    return json_is_string(value) ? find_token(v, vocab, json_string_value(value)) : -1;
}

struct ids {
    const char *key; /* for messages */
    int32_t *list;   /* owns */
    size_t n;
};

static int add_id(const struct vocabulary *v, struct ids *ids, int64_t id)
{
    if (id < 0 || (size_t)id >= v->n) return OK; /* of those the model knows nothing */
    for (size_t i = 0; i < ids->n; i++)
        if (ids->list[i] == id) return OK;
    int32_t *list = realloc(ids->list, (ids->n + 1) * sizeof *list);
    if (!list) return err_set(v->err, E_LAYOUT, "%s: no memory for end ids", v->path);
    list[ids->n++] = (int32_t)id;
    ids->list = list;
    return OK;
}

static int add_numbered(const struct vocabulary *v, struct ids *ids, const json_t *config)
{
    const json_t *value = json_object_get(config, ids->key);
    size_t n = json_is_array(value) ? json_array_size(value) : 1;
    int rc = OK;
    if (!value || json_is_null(value)) return OK;
    for (size_t i = 0; i < n && rc == OK; i++) {
        const json_t *number = json_is_array(value) ? json_array_get(value, i) : value;
        rc =
            json_is_integer(number)
                ? add_id(v, ids, json_integer_value(number))
                : err_set(v->err, E_MODEL, "%s: the configuration's %s is no id and no list of ids", v->path, ids->key);
    }
    return rc;
}

/* The token with which a TemplateProcessing begins each text (first) or ends it; -1: with none. */
static int64_t of_template(const struct vocabulary *v, const json_t *vocab, bool first)
{
    const json_t *list[MOST_STEPS];
    size_t n = 0;
    flatten(json_object_get(v->root, "post_processor"), "processors", list, &n, 0);
    for (size_t i = 0; i < n && i < MOST_STEPS; i++) {
        const json_t *single = json_object_get(list[i], "single");
        size_t n_parts = json_array_size(single);
        const json_t *part = json_array_get(single, first || n_parts == 0 ? 0 : n_parts - 1);
        const char *text = text_of(json_object_get(part, "SpecialToken"), "id");
        if (*text) return find_token(v, vocab, text);
    }
    return -1;
}

static int write_ends(struct gguf_writer *w, const struct vocabulary *v, const json_t *vocab, const json_t *configs[3])
{
    struct ids ends = {.key = "eos_token_id"};
    int rc = add_id(v, &ends, named_token(v, vocab, configs[0], "eos_token"));
    for (int i = 1; i < 3 && rc == OK; i++) rc = add_numbered(v, &ends, configs[i]);
    if (rc == OK && ends.n == 1)
        gguf_put_u32(w, "tokenizer.ggml.eos_token_id", (uint32_t)ends.list[0]);
    else if (rc == OK && ends.n)
        gguf_put_i32s(w, "tokenizer.ggml.eos_token_id", ends.list, ends.n);
    free(ends.list);
    return rc;
}

static int write_specials(struct gguf_writer *w, const struct vocabulary *v, const json_t *vocab,
                          const json_t *configs[3])
{
    const json_t *tokenizer = configs[0], *config = configs[1];
    struct ids numbered = {.key = "bos_token_id"};
    int64_t first = of_template(v, vocab, true), bos = named_token(v, vocab, tokenizer, "bos_token");
    int rc = add_numbered(v, &numbered, config);
    if (bos < 0 && numbered.n) bos = numbered.list[0];
    if (bos < 0) bos = first;
    free(numbered.list);
    if (rc != OK) return rc;
    if (of_template(v, vocab, false) >= 0 || json_is_true(json_object_get(tokenizer, "add_eos_token")))
        return err_set(v->err, E_MODEL,
                       "%s: texts that end with a token (post_processor, add_eos_token) cannot go on; "
                       "they are not supported",
                       v->path);
    const json_t *adds = json_object_get(tokenizer, "add_bos_token");
    if (bos >= 0) gguf_put_u32(w, "tokenizer.ggml.bos_token_id", (uint32_t)bos);
    gguf_put_bool(w, "tokenizer.ggml.add_bos_token",
                  bos >= 0 && (json_is_boolean(adds) ? json_is_true(adds) : first >= 0));
    return write_ends(w, v, vocab, configs);
}

/* A file of its own, the text in tokenizer_config.json, or of several there the one named default. */
static void write_template(struct gguf_writer *w, const struct hf_file *file, const json_t *config)
{
    const json_t *list = json_object_get(config, "chat_template"), *value = list, *named;
    size_t i;
    json_array_foreach(list, i, named)
    {
        if (strcmp(text_of(named, "name"), "default") == 0) value = json_object_get(named, "template");
    }
    if (file->n_bytes)
        gguf_put_str(w, "tokenizer.chat_template", (struct gguf_str){(const char *)file->bytes, file->n_bytes});
    else if (json_is_string(value))
        gguf_put_str(w, "tokenizer.chat_template", str_of(value));
}

/* ---- all of it ---- */

static int read_kind(struct vocabulary *v, const json_t *model)
{
    const char *type = text_of(model, "type");
    if (*type && strcmp(type, "BPE") != 0)
        return err_set(v->err, E_MODEL, "%s: a tokenizer of type %s is not supported; BPE is", v->path,
                       show_name(type).s);
    static const char *const affixes[] = {"continuing_subword_prefix", "end_of_word_suffix"};
    for (int i = 0; i < 2; i++)
        if (*text_of(model, affixes[i]))
            return err_set(v->err, E_MODEL, "%s: a tokenizer with %s is not supported", v->path, affixes[i]);
    if (json_number_value(json_object_get(model, "dropout")) != 0)
        return err_set(v->err, E_MODEL, "%s: a tokenizer that leaves out merges by chance (dropout) is not supported",
                       v->path);
    v->sentencepiece = json_is_true(json_object_get(model, "byte_fallback"));
    return OK;
}

static int write_all(struct gguf_writer *w, struct vocabulary *v, const struct hf_files *files,
                     const json_t *configs[3])
{
    const json_t *model = json_object_get(v->root, "model"), *vocab = json_object_get(model, "vocab"),
                 *merges = json_object_get(model, "merges");
    bool adds_space = false, nfc = false;
    int rc = read_kind(v, model);
    if (rc == OK) rc = read_normalizer(v, &adds_space, &nfc);
    if (rc == OK && v->sentencepiece) rc = read_metaspace(v, &adds_space);
    if (rc == OK) rc = read_tokens(v, model);
    if (rc != OK) return rc;
    int64_t unknown = find_token(v, vocab, text_of(model, "unk_token"));
    if (unknown >= 0 && v->sentencepiece) {
        v->type[unknown] = TOKEN_UNKNOWN;
        gguf_put_u32(w, "tokenizer.ggml.unknown_token_id", (uint32_t)unknown);
    }
    gguf_put_text(w, "tokenizer.ggml.model", v->sentencepiece ? "llama" : "gpt2");
    if (nfc) gguf_put_bool(w, "tokenizer.ggml.normalizer.nfc", true);
    if (v->sentencepiece)
        gguf_put_bool(w, "tokenizer.ggml.add_space_prefix", adds_space);
    else
        gguf_put_bool(w, "tokenizer.ggml.ignore_merges", json_is_true(json_object_get(model, "ignore_merges")));
    if (!v->sentencepiece) rc = write_pre(w, v);
    if (rc == OK) rc = v->sentencepiece ? write_scores(w, v, vocab, merges) : write_merges(w, v, merges);
    if (rc == OK) rc = write_tokens(w, v);
    if (rc != OK) return rc;
    rc = write_specials(w, v, vocab, configs);
    write_template(w, &files->chat_template, configs[0]);
    return rc;
}

int hf_read_tokenizer(struct gguf_writer *w, const struct hf_shape *s, const struct hf_files *files, struct err *err)
{
    const struct hf_file *const sources[] = {&files->tokenizer_config, &files->config, &files->generation};
    json_t *configs[3] = {0};
    struct vocabulary v = {.path = files->tokenizer.path, .err = err, .n = (size_t)s->n_vocab};
    int rc = v.n <= MOST_TOKENS ? OK : err_set(err, E_MODEL, "%s: vocab_size is %zu", files->config.path, v.n);
    for (int i = 0; i < 3 && rc == OK; i++)
        if (sources[i]->n_bytes && !(configs[i] = hf_json(sources[i], err))) rc = E_MODEL;
    if (rc == OK && !(v.root = hf_json(&files->tokenizer, err))) rc = E_MODEL;
    if (rc == OK) rc = write_all(w, &v, files, (const json_t **)configs);
    for (int i = 0; i < 3; i++) json_decref(configs[i]);
    json_decref(v.root);
    free(v.text);
    free(v.type);
    free(v.flags);
    return rc;
}
