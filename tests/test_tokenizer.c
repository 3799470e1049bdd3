/* Tokenizers over toy vocabularies: special tokens, what a file says and what it must not say. tests/test_text.c has
 * the real ones. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "coordinator/text/tokenizer.h"
#include "tests/lib/toy_vocab.h"

#define N(rows) (sizeof(rows) / sizeof *(rows))

enum { NORMAL = 1, UNKNOWN, CONTROL, USER, UNUSED };

struct model {
    struct toy toy;
    struct gguf g;
    struct tokenizer *t;
};

/* `m->toy` may have keys already. */
static void open_model(struct model *m, const struct toy_vocab *v)
{
    struct err err;
    toy_vocab(&m->toy, v);
    toy_open(&m->toy, &m->g);
    if (tokenizer_open(&m->t, &m->g, &err) != OK) fail_msg("%s", err.text);
}

static void close_model(struct model *m)
{
    tokenizer_close(m->t);
    toy_close(&m->toy, &m->g);
}

/* The ids as text: "104 105". */
static void encode(const struct model *m, const char *text, bool special, bool add_bos, char out[256])
{
    int32_t *ids = NULL;
    size_t n_ids = 0, n = 0;
    struct err err;
    const struct tokenizer_text in = {text, strlen(text), .special = special, .add_bos = add_bos};
    assert_int_equal(tokenizer_encode(m->t, &in, &ids, &n_ids, &err), OK);
    out[0] = 0;
    for (size_t i = 0; i < n_ids; i++) n += (size_t)snprintf(out + n, 256 - n, i ? " %d" : "%d", ids[i]);
    free(ids);
}

static const char *const merges[] = {"a a", "aa a", "h i", NULL}; /* 256 257 258 */

static const struct toy_token specials[] = {
    {"<s>", CONTROL},        /* 259 */
    {"<s><s>", CONTROL},     /* 260 */
    {"<s>hi", USER},         /* 261 */
    {"<tool>", USER},        /* 262 */
    {"[PAD]", UNUSED},       /* 263 */
    {"<unk>", UNKNOWN},      /* 264 */
    {"<tool>", CONTROL},     /* 265: the same text again */
    {"", CONTROL},           /* 266: no text, never found */
    {"<|im_end|>", CONTROL}, /* 267 */
    {"</s>", NORMAL},        /* 268: ends nothing, it is not a control token */
    {NULL, 0},
};

static const struct {
    const char *name, *text;
    bool special;
    const char *ids;
} rows[] = {
    {"no text has no ids", "", true, ""},
    {"merges by rank", "aaaaa hi", true, "256 257 32 258"},
    {"a special token cuts the text", "hi<s>a", true, "258 259 97"},
    {"the longest one counts", "<s><s>", true, "260"},
    {"the first one counts, then the longest", "<s><s><s>hi", true, "260 261"},
    {"the longest may end in plain text", "<s>h", true, "259 104"},
    {"a user-defined one too", "a<tool>a", true, "97 262 97"},
    {"of two equal texts the lower id", "<tool>", true, "262"},
    {"a part of one is plain text", "<s", true, "60 115"},
    {"merges do not reach over one", "aa<s>aa", true, "256 259 256"},
    {"not where special tokens are off", "<s>", false, "60 115 62"},
    {"user-defined ones are found all the same", "<tool><s>", false, "262 60 115 62"},
    {"unused and unknown ones are not found", "[PAD]<unk>", true, "91 80 65 68 93 60 117 110 107 62"},
};

static void special_tokens_are_found_in_the_text(void **state)
{
    (void)state;
    struct model m = {0};
    open_model(&m, &(struct toy_vocab){.merges = merges, .extra = specials});
    assert_string_equal(tokenizer_model(m.t), "gpt2 / qwen2");
    assert_int_equal(tokenizer_n_vocab(m.t), 269);
    for (size_t i = 0; i < N(rows); i++) {
        char got[256];
        encode(&m, rows[i].text, rows[i].special, true, got);
        if (strcmp(got, rows[i].ids) != 0) fail_msg("%s: %s, expected %s", rows[i].name, got, rows[i].ids);
    }
    close_model(&m);
}

/* A message stands between [ ], which are left out. */
static const struct {
    const char *name, *text, *ids;
} message_rows[] = {
    {"a mark of the template", "<s>[a]</s>", "259 97 60 47 115 62"},
    {"a mark in a message is its text", "<s>[<s>]<s>", "259 60 115 62 259"},
    {"whatever its type, if it looks like one", "<|u|>[<|u|>]", "269 60 124 117 124 62"},
    {"other user-defined ones are found", "[<tool>]<tool>", "262 262"},
    {"one that begins in the template and ends in a message", "<s[>]", "60 115 62"},
    {"one that begins in a message", "[<]s>", "60 115 62"},
    {"one of which a message has the middle", "<[s]>", "60 115 62"},
    {"a shorter one before a message", "<s>[<s>]", "259 60 115 62"},
    {"a user-defined one that a message ends", "<to[ol>]", "262"},
    {"merges reach from the template into a message", "a[aa]a", "256 256"},
};

static void marks_in_a_message_are_text(void **state)
{
    (void)state;
    static const struct toy_token looks[] = {{"<s>", CONTROL}, {"<s><s>", CONTROL}, {"[]", CONTROL}, {"<tool>", USER},
                                             {"1", CONTROL},   {"2", CONTROL},      {"3", CONTROL},  {"4", CONTROL},
                                             {"5", CONTROL},   {"6", CONTROL},      {"<|u|>", USER}, {NULL, 0}};
    struct model m = {0};
    open_model(&m, &(struct toy_vocab){.merges = merges, .extra = looks});
    for (size_t i = 0; i < N(message_rows); i++) {
        char text[64], got[256] = "";
        uint8_t message[64];
        int32_t *ids = NULL;
        size_t n_ids = 0, n = 0, n_got = 0;
        struct err err;
        bool inside = false;
        for (const char *c = message_rows[i].text; *c; c++) {
            if (*c == '[' || *c == ']') {
                inside = *c == '[';
                continue;
            }
            text[n] = *c;
            message[n++] = inside;
        }
        const struct tokenizer_text in = {text, n, message, .special = true};
        assert_int_equal(tokenizer_encode(m.t, &in, &ids, &n_ids, &err), OK);
        for (size_t k = 0; k < n_ids; k++)
            n_got += (size_t)snprintf(got + n_got, sizeof got - n_got, k ? " %d" : "%d", ids[k]);
        if (strcmp(got, message_rows[i].ids) != 0)
            fail_msg("%s: %s, expected %s", message_rows[i].name, got, message_rows[i].ids);
        free(ids);
    }
    close_model(&m);
}

/* A token has at most 5 bytes here: 1000 bytes have more than 100 tokens, and not one need be looked at. */
static void a_text_of_too_many_tokens_is_refused_as_soon_as_that_is_known(void **state)
{
    (void)state;
    struct model m = {0};
    struct err err;
    char text[1000];
    memset(text, ' ', sizeof text);
    open_model(&m, &(struct toy_vocab){.merges = merges});
    static const struct {
        size_t n_bytes, n_most;
        int rc;
    } limits[] = {{100, 100, OK}, {101, 100, E_USAGE}, {1000, 100, E_USAGE}, {1000, 0, OK}};
    for (size_t i = 0; i < N(limits); i++) {
        int32_t *ids = NULL;
        size_t n_ids = 0;
        const struct tokenizer_text in = {.bytes = text, .n_bytes = limits[i].n_bytes, .n_most = limits[i].n_most};
        assert_int_equal(tokenizer_encode(m.t, &in, &ids, &n_ids, &err), limits[i].rc);
        if (limits[i].rc != OK) assert_string_equal(err.text, "the text has more than 100 tokens: shorten it");
        assert_int_equal(n_ids, limits[i].rc == OK ? limits[i].n_bytes : 0);
        free(ids);
    }
    close_model(&m);
}

static void control_tokens_are_silent_unless_asked(void **state)
{
    (void)state;
    static const struct {
        int32_t id;
        const char *plain, *special;
    } pieces[] = {{'h', "h", "h"},    {' ', " ", " "},         {257, "aaa", "aaa"},
                  {259, "", "<s>"},   {261, "<s>hi", "<s>hi"}, {263, "", "[PAD]"},
                  {264, "", "<unk>"}, {269, "", ""},           {-1, "", ""}};
    struct model m = {0};
    open_model(&m, &(struct toy_vocab){.merges = merges, .extra = specials});
    for (size_t i = 0; i < N(pieces); i++) {
        struct gguf_str plain = tokenizer_piece(m.t, pieces[i].id, false);
        struct gguf_str special = tokenizer_piece(m.t, pieces[i].id, true);
        if (!gguf_str_is(plain, pieces[i].plain)) fail_msg("plain piece of %d", pieces[i].id);
        if (!gguf_str_is(special, pieces[i].special)) fail_msg("special piece of %d", pieces[i].id);
    }
    assert_int_equal(tokenizer_find(m.t, "<s>hi"), 261);
    assert_int_equal(tokenizer_find(m.t, "\u0120"), ' ');
    assert_int_equal(tokenizer_find(m.t, "<none>"), -1);
    close_model(&m);
}

static void ids_are_appended_to_what_is_there(void **state)
{
    (void)state;
    struct model m = {0};
    struct err err;
    int32_t *ids = NULL;
    size_t n = 0;
    open_model(&m, &(struct toy_vocab){.merges = merges, .extra = specials});
    const struct tokenizer_text hi = {"hi", 2, .special = true, .add_bos = true},
                                aa = {"aa", 2, .special = true, .add_bos = true};
    assert_int_equal(tokenizer_encode(m.t, &hi, &ids, &n, &err), OK);
    assert_int_equal(tokenizer_encode(m.t, &aa, &ids, &n, &err), OK);
    assert_int_equal(n, 2);
    assert_int_equal(ids[0], 258);
    assert_int_equal(ids[1], 256);
    free(ids);
    close_model(&m);
}

static void bos_comes_first_where_file_and_caller_ask(void **state)
{
    (void)state;
    static const struct {
        bool in_file, asked;
        const char *ids;
    } cases[] = {{true, true, "259 258"}, {true, false, "258"}, {false, true, "258"}};
    for (size_t i = 0; i < N(cases); i++) {
        struct model m = {0};
        char got[256];
        toy_int(&m.toy, "tokenizer.ggml.bos_token_id", 259);
        toy_bool(&m.toy, "tokenizer.ggml.add_bos_token", cases[i].in_file);
        open_model(&m, &(struct toy_vocab){.merges = merges, .extra = specials});
        encode(&m, "hi", true, cases[i].asked, got);
        assert_string_equal(got, cases[i].ids);
        close_model(&m);
    }
}

static void texts_end_with_ids_of_keys_and_of_names(void **state)
{
    (void)state;
    struct model m = {0};
    const int32_t *ids;
    toy_int(&m.toy, "tokenizer.ggml.eos_token_id", 267); /* also known by its name */
    toy_int(&m.toy, "tokenizer.ggml.eot_token_id", 104);
    toy_int(&m.toy, "tokenizer.ggml.eom_token_id", 259);
    open_model(&m, &(struct toy_vocab){.merges = merges, .extra = specials});
    assert_int_equal(tokenizer_end_ids(m.t, &ids), 3);
    assert_memory_equal(ids, ((int32_t[]){104, 259, 267}), 3 * sizeof *ids);
    close_model(&m);
}

/* ---- two vocabularies ---- */

static const struct toy_token end_only[] = {{"<|im_end|>", CONTROL}, {NULL, 0}};
static const struct toy_token padded[] = {{"<|im_end|>", CONTROL}, {"[PAD1]", UNUSED}, {"[PAD2]", UNUSED}, {NULL, 0}};
static const struct toy_token other_name[] = {{"<|im_bend|>", CONTROL}, {NULL, 0}};
static const struct toy_token a_word[] = {{"<|im_end|>", CONTROL}, {"word", NORMAL}, {NULL, 0}};
static const struct toy_token another[] = {{"<|im_end|>", CONTROL}, {"another", NORMAL}, {NULL, 0}};
static const struct toy_token of_word[] = {{"word", NORMAL}, {NULL, 0}};
static const struct toy_token a_tool[] = {{"<tool>", CONTROL}, {NULL, 0}};
static const struct toy_token other_type[] = {{"<tool>", USER}, {NULL, 0}};

static const struct {
    const char *name;
    const struct toy_token *big, *little;
    const char *error; /* NULL: they go together */
} pairs[] = {
    {"equal", end_only, end_only, NULL},
    {"the big one is padded", padded, end_only, NULL},
    {"the little one is padded", end_only, padded, NULL},
    {"another name of a control token", end_only, other_name, NULL},
    {"another type", a_tool, other_type, NULL},
    {"a word where the other has padding", padded, a_word, NULL},
    {"another word", a_word, another,
     "the vocabularies differ: id 260 is \"word\" in the big model, \"another\" in the little one"},
    {"a word where the other has a control token", end_only, of_word,
     "the vocabularies differ: id 259 is \"<|im_end|>\" in the big model, \"word\" in the little one"},
};

static void vocabularies_go_together_where_their_words_are_the_same(void **state)
{
    (void)state;
    for (size_t i = 0; i < N(pairs); i++) {
        struct model big = {0}, little = {0};
        struct err err = {0};
        int n_common = -1;
        open_model(&big, &(struct toy_vocab){.merges = merges, .extra = pairs[i].big});
        open_model(&little, &(struct toy_vocab){.merges = merges, .extra = pairs[i].little});
        int n_big = tokenizer_n_vocab(big.t), n_little = tokenizer_n_vocab(little.t);
        int rc = tokenizer_compatible(big.t, little.t, &n_common, &err);
        if (rc != (pairs[i].error ? E_MODEL : OK)) fail_msg("%s: %d %s", pairs[i].name, rc, err.text);
        assert_int_equal(n_common, pairs[i].error ? -1 : n_big < n_little ? n_big : n_little);
        if (pairs[i].error) assert_string_equal(err.text, pairs[i].error);
        bool same_hash = tokenizer_hash(big.t) == tokenizer_hash(little.t);
        assert_int_equal(same_hash, pairs[i].big == pairs[i].little);
        close_model(&big);
        close_model(&little);
    }
}

/* ---- SentencePiece ---- */

#define SPACE "\xE2\x96\x81"

enum { FIRST_BYTE = 3 };

static const struct toy_text texts[] = {
    {SPACE, -9}, {"a", -6}, {"b", -7}, {"ab", -2}, {SPACE "a", -1}, {"ba", -3}, {"aa", -3}, {"\u00e9", -8}, {NULL, 0},
}; /* ids 259 to 266 */

static void open_sentencepiece(struct model *m, bool without_bytes)
{
    struct err err;
    toy_sentencepiece(&m->toy, texts, without_bytes);
    toy_open(&m->toy, &m->g);
    if (tokenizer_open(&m->t, &m->g, &err) != OK) fail_msg("%s", err.text);
}

static const struct {
    const char *name, *text, *ids; /* behind <s>, with special tokens */
} spaced_rows[] = {
    {"no text, no space", "", "1"},
    {"a space before the text, and the greatest score first", "ab", "1 263 261"},
    {"the greater score first, wherever it stands", "bab", "1 259 261 262"},
    {"of equal scores the leftmost", "baa", "1 259 264 260"},
    {"each space is one", "a  b", "1 263 259 259 261"},
    {"what is no token is its bytes", "a\u20ac\n", "1 263 229 133 175 13"},
    {"bytes that are no character too", "\xff", "1 259 258"},
    {"the mark of a space is not a space", "a" SPACE "b", "1 263 229 153 132 261"},
    {"a space after a special token", "a</s>a<tool>\u00e9", "1 263 2 263 267 259 266"},
};

static void sentencepiece_merges_by_score_and_writes_the_rest_as_bytes(void **state)
{
    (void)state;
    struct model m = {0};
    open_sentencepiece(&m, false);
    assert_string_equal(tokenizer_model(m.t), "llama");
    for (size_t i = 0; i < N(spaced_rows); i++) {
        char got[256];
        encode(&m, spaced_rows[i].text, true, true, got);
        if (strcmp(got, spaced_rows[i].ids) != 0)
            fail_msg("%s: %s, expected %s", spaced_rows[i].name, got, spaced_rows[i].ids);
    }
    assert_true(gguf_str_is(tokenizer_piece(m.t, 263, false), " a"));
    assert_true(gguf_str_is(tokenizer_piece(m.t, FIRST_BYTE + '\n', false), "\n"));
    close_model(&m);
}

/* Any bytes, of few kinds, so that all that can meet does meet. */
static void sentencepiece_gives_every_byte_string_back(void **state)
{
    (void)state;
    static const char *const parts[] = {"a",        "b",  " ",  SPACE, "\u00e9", "\xe2",
                                        "\x96\x81", "\0", "\n", "ab",  "<",      "\xf0"};
    struct model m = {0};
    uint32_t random = 1;
    open_sentencepiece(&m, false);
    assert_true(tokenizer_adds_space(m.t, -1));
    assert_false(tokenizer_adds_space(m.t, 260));
    for (int turn = 0; turn < 20000; turn++) {
        char text[64];
        size_t n = 0, at = 0, n_ids = 0;
        int32_t *ids = NULL;
        struct err err;
        for (uint32_t k = (random >> 8) % 12; k > 0; k--) {
            random = random * 1664525 + 1013904223;
            const char *part = parts[(random >> 16) % N(parts)];
            size_t n_part = *part ? strlen(part) : 1;
            memcpy(text + n, part, n_part);
            n += n_part;
        }
        random = random * 1664525 + 1013904223;
        const struct tokenizer_text in = {text, n, .special = true};
        assert_int_equal(tokenizer_encode(m.t, &in, &ids, &n_ids, &err), OK);
        for (size_t i = 0; i < n_ids; i++) {
            struct gguf_str piece = tokenizer_piece(m.t, ids[i], false);
            size_t skip = i == 0; /* the space that was added */
            if (skip) assert_int_equal(piece.s[0], ' ');
            if (piece.n - skip > n - at || memcmp(text + at, piece.s + skip, piece.n - skip) != 0)
                fail_msg("turn %d: id %zu, %d, is not the text at byte %zu", turn, i, ids[i], at);
            at += piece.n - skip;
        }
        assert_int_equal(at, n);
        free(ids);
    }
    close_model(&m);
}

static void without_bytes_the_unknown_id_stands_for_them(void **state)
{
    (void)state;
    struct model m = {0};
    char got[256];
    open_sentencepiece(&m, true);
    encode(&m, "az", true, true, got);
    assert_string_equal(got, "1 7 0");
    close_model(&m);
}

/* ---- files that are refused ---- */

static void no_keys(struct toy *t)
{
    (void)t;
}

static void of_model(struct toy *t)
{
    toy_vocab(t, &(struct toy_vocab){.model = "bert", .merges = merges});
}

static void of_pre(struct toy *t)
{
    toy_vocab(t, &(struct toy_vocab){.pre = "bloom", .merges = merges});
}

static void names_only(struct toy *t)
{
    toy_str(t, "tokenizer.ggml.model", "gpt2");
    toy_str(t, "tokenizer.ggml.pre", "smollm");
}

static void without_pre(struct toy *t)
{
    toy_str(t, "tokenizer.ggml.model", "gpt2");
}

static void two_tokens(struct toy *t)
{
    names_only(t);
    toy_strs(t, "tokenizer.ggml.tokens", (const char *const[]){"a", "b"}, 2);
}

static void without_scores(struct toy *t)
{
    toy_str(t, "tokenizer.ggml.model", "llama");
    toy_strs(t, "tokenizer.ggml.tokens", (const char *const[]){"a", "b"}, 2);
}

static void strange_score(struct toy *t)
{
    without_scores(t);
    toy_floats(t, "tokenizer.ggml.scores", (const float[]){1, NAN}, 2);
}

static void too_few_types(struct toy *t)
{
    two_tokens(t);
    toy_ints(t, "tokenizer.ggml.token_type", (const int32_t[]){1}, 1);
}

static void strange_type(struct toy *t)
{
    two_tokens(t);
    toy_ints(t, "tokenizer.ggml.token_type", (const int32_t[]){1, 7}, 2);
}

static void merge_without_result(struct toy *t)
{
    two_tokens(t);
    toy_strs(t, "tokenizer.ggml.merges", (const char *const[]){"a b"}, 1);
}

static void merge_without_space(struct toy *t)
{
    two_tokens(t);
    toy_strs(t, "tokenizer.ggml.merges", (const char *const[]){"ab"}, 1);
}

static void long_mark(struct toy *t)
{
    static char text[1026];
    memset(text, 'a', 1025);
    toy_vocab(t, &(struct toy_vocab){.merges = merges, .extra = (const struct toy_token[]){{text, USER}, {NULL, 0}}});
}

static void eos_outside(struct toy *t)
{
    toy_vocab(t, &(struct toy_vocab){.merges = merges});
    toy_int(t, "tokenizer.ggml.eos_token_id", 259);
}

static void bos_unnamed(struct toy *t)
{
    toy_vocab(t, &(struct toy_vocab){.merges = merges});
    toy_bool(t, "tokenizer.ggml.add_bos_token", true);
}

static const struct {
    void (*fill)(struct toy *t);
    const char *error;
} refused[] = {
    {no_keys, "toy: no vocabulary (tokenizer.ggml.model)"},
    {of_model, "toy: tokenizer \"bert\" is not supported (known: gpt2, llama)"},
    {of_pre,
     "toy: pre-tokenizer \"bloom\" is not supported (known: qwen2 deepseek-r1-qwen megrez qwen35 llama-bpe llama3 "
     "llama-v3 falcon3 pixtral dbrx smaug-bpe tekken gpt-4o llama4 smollm starcoder refact command-r gpt-2 mpt falcon "
     "default deepseek-v3 deepseek-coder deepseek-llm)"},
    {without_pre, "toy: no list of tokens (tokenizer.ggml.tokens)"},
    {without_scores, "toy: no list of 2 scores (tokenizer.ggml.scores)"},
    {strange_score, "toy: the score of token 1 is not a finite number"},
    {names_only, "toy: no list of tokens (tokenizer.ggml.tokens)"},
    {two_tokens, "toy: no list of merges (tokenizer.ggml.merges)"},
    {too_few_types, "toy: tokenizer.ggml.token_type does not fit the 2 tokens"},
    {strange_type, "toy: token 1 has type 7, known are 1 to 6"},
    {merge_without_result, "toy: merge 0 \"a b\" is not of two tokens that make a third"},
    {merge_without_space, "toy: merge 0 \"ab\" is not of two tokens that make a third"},
    {long_mark, "toy: token 259, a control or user-defined one, has 1025 bytes, known are 1024"},
    {eos_outside, "toy: tokenizer.ggml.eos_token_id is 259, the vocabulary ends at 258"},
    {bos_unnamed, "toy: add_bos_token without tokenizer.ggml.bos_token_id"},
};

static void a_file_that_cannot_be_used_is_refused_with_its_cause(void **state)
{
    (void)state;
    for (size_t i = 0; i < N(refused); i++) {
        struct toy toy = {0};
        struct gguf g;
        struct err err = {0};
        struct tokenizer *t = NULL;
        refused[i].fill(&toy);
        toy_open(&toy, &g);
        assert_int_equal(tokenizer_open(&t, &g, &err), E_MODEL);
        assert_string_equal(err.text, refused[i].error);
        assert_null(t);
        toy_close(&toy, &g);
    }
}

static void a_byte_without_a_token_is_refused_and_nothing_is_set(void **state)
{
    (void)state;
    struct toy toy = {0};
    struct gguf g;
    struct err err;
    struct tokenizer *t;
    int32_t *ids = NULL;
    size_t n = 0;
    two_tokens(&toy);
    toy_strs(&toy, "tokenizer.ggml.merges", NULL, 0);
    toy_open(&toy, &g);
    assert_int_equal(tokenizer_open(&t, &g, &err), OK);
    const struct tokenizer_text abc = {"abc", 3, .special = true, .add_bos = true};
    assert_int_equal(tokenizer_encode(t, &abc, &ids, &n, &err), E_USAGE);
    assert_string_equal(err.text, "the vocabulary has no token for byte 0x63");
    assert_null(ids);
    assert_int_equal(n, 0);
    tokenizer_close(t);
    toy_close(&toy, &g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(special_tokens_are_found_in_the_text),
        cmocka_unit_test(marks_in_a_message_are_text),
        cmocka_unit_test(a_text_of_too_many_tokens_is_refused_as_soon_as_that_is_known),
        cmocka_unit_test(control_tokens_are_silent_unless_asked),
        cmocka_unit_test(ids_are_appended_to_what_is_there),
        cmocka_unit_test(bos_comes_first_where_file_and_caller_ask),
        cmocka_unit_test(texts_end_with_ids_of_keys_and_of_names),
        cmocka_unit_test(vocabularies_go_together_where_their_words_are_the_same),
        cmocka_unit_test(sentencepiece_merges_by_score_and_writes_the_rest_as_bytes),
        cmocka_unit_test(sentencepiece_gives_every_byte_string_back),
        cmocka_unit_test(without_bytes_the_unknown_id_stands_for_them),
        cmocka_unit_test(a_file_that_cannot_be_used_is_refused_with_its_cause),
        cmocka_unit_test(a_byte_without_a_token_is_refused_and_nothing_is_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
