/* Tokenizers of real models, against llama.cpp's ids and against every kind of bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "coordinator/text/tokenizer.h"
#include "tests/lib/real.h"

#define GEMMA "gemma-3-270m-q4_k_m"
#define SMOLLM "SmolLM2-135M-Instruct.Q4_1"
#define LITTLE "qwen2.5-coder-0.5b-instruct-q4_k_m"
#define BIG "qwen2.5-coder-1.5b-instruct-q4_k_m"

struct model {
    struct gguf g;
    struct tokenizer *t;
};

static void open_model(struct model *m, const char *name)
{
    struct err err;
    real_open(&m->g, name);
    if (tokenizer_open(&m->t, &m->g, &err) != OK) fail_msg("%s", err.text);
}

static void close_model(struct model *m)
{
    tokenizer_close(m->t);
    gguf_close(&m->g);
}

struct ids {
    int32_t *id;
    size_t n;
};

static struct ids encode(const struct model *m, const char *text, size_t n, bool special)
{
    struct ids ids = {0};
    struct err err;
    const struct tokenizer_text in = {.bytes = text, .n_bytes = n, .special = special, .add_bos = true};
    if (tokenizer_encode(m->t, &in, &ids.id, &ids.n, &err) != OK) fail_msg("%s", err.text);
    return ids;
}

static void check_text(const struct model *m, const struct ids *ids, const char *text, size_t n, const char *what)
{
    size_t at = 0;
    for (size_t i = 0; i < ids->n; i++) {
        struct gguf_str piece = tokenizer_piece(m->t, ids->id[i], true);
        if (i == 0 && tokenizer_adds_space(m->t, -1)) piece.s++, piece.n--;
        if (piece.n > n - at || memcmp(text + at, piece.s, piece.n) != 0)
            fail_msg("%s: id %zu, %d, is not the text at byte %zu", what, i, ids->id[i], at);
        at += piece.n;
    }
    if (at != n) fail_msg("%s: %zu bytes of %zu", what, at, n);
}

static struct ids json_ids(const json_t *row, const char *key)
{
    const json_t *list = json_object_get(row, key);
    struct ids ids = {calloc(json_array_size(list) + 1, sizeof *ids.id), json_array_size(list)};
    assert_non_null(ids.id);
    for (size_t i = 0; i < ids.n; i++) ids.id[i] = (int32_t)json_integer_value(json_array_get(list, i));
    return ids;
}

static void check_ids(const struct ids *got, const struct ids *want, const char *what)
{
    for (size_t i = 0; i < got->n && i < want->n; i++)
        if (got->id[i] != want->id[i]) fail_msg("%s: id %zu is %d, expected %d", what, i, got->id[i], want->id[i]);
    if (got->n != want->n) fail_msg("%s: %zu ids, expected %zu", what, got->n, want->n);
}

static void check_golden(const char *name)
{
    struct model m;
    open_model(&m, name);
    json_t *rows = real_golden(name), *row;
    size_t i;
    json_array_foreach(rows, i, row)
    {
        const char *what = json_string_value(json_object_get(row, "id"));
        const json_t *text = json_object_get(row, "text"), *greedy = json_object_get(row, "greedy_text");
        struct ids want = json_ids(row, "prompt_ids"), said = json_ids(row, "greedy_ids");
        struct ids got = encode(&m, json_string_value(text), json_string_length(text), true);
        check_ids(&got, &want, what);
        if (tokenizer_adds_bos(m.t)) memmove(want.id, want.id + 1, --want.n * sizeof *want.id);
        check_text(&m, &want, json_string_value(text), json_string_length(text), what);
        check_text(&m, &said, json_string_value(greedy), json_string_length(greedy), what);
        free(got.id);
        free(want.id);
        free(said.id);
    }
    json_decref(rows);
    close_model(&m);
}

static void prompts_of_smollm_have_their_golden_ids(void **state)
{
    (void)state, check_golden(SMOLLM);
}
static void prompts_of_the_little_qwen_have_their_golden_ids(void **state)
{
    (void)state, check_golden(LITTLE);
}
static void prompts_of_the_big_qwen_have_their_golden_ids(void **state)
{
    (void)state, check_golden(BIG);
}

static void prompts_of_gemma_have_their_golden_ids(void **state)
{
    (void)state, check_golden(GEMMA);
}

/* ---- llama.cpp's strings ---- */

static char *read_file(const char *path)
{
    FILE *f = fopen(path, "r");
    if (!f) fail_msg("%s: cannot be opened", path);
    char *text = calloc(1, 1 << 16);
    assert_non_null(text);
    size_t n = fread(text, 1, (1 << 16) - 1, f);
    assert_true(n < (1 << 16) - 1);
    fclose(f);
    return text;
}

/* `inp`: the file of strings; the last one is empty and has no line. */
static void check_strings(const char *name, const char *inp, int n_expected)
{
    static const char marker[] = "\n__ggml_vocab_test__\n";
    struct model m;
    struct err err;
    char path[128];
    snprintf(path, sizeof path, "tests/data/tokenizer/%s.out", name);
    real_vocabulary(&m.g, name);
    if (tokenizer_open(&m.t, &m.g, &err) != OK) fail_msg("%s", err.text);
    char *lines = read_file(path);
    snprintf(path, sizeof path, "tests/data/tokenizer/%s.inp", inp);
    char *strings = read_file(path);
    char *text = strings, *line = lines;
    int n_strings = 0;
    while (text) {
        char *next = strstr(text, marker);
        size_t n = next ? (size_t)(next - text) : strlen(text);
        struct ids got = {0}, want = {calloc(n + 512, sizeof *want.id), 0};
        const struct tokenizer_text in = {.bytes = text, .n_bytes = n};
        if (tokenizer_encode(m.t, &in, &got.id, &got.n, &err) != OK) fail_msg("%s", err.text);
        char *line_end = line + strcspn(line, "\n"), what[64];
        char *next_line = *line_end ? line_end + 1 : line_end;
        *line_end = 0;
        while (*line) want.id[want.n++] = (int32_t)strtol(line, &line, 10);
        snprintf(what, sizeof what, "%s: string %d", name, ++n_strings);
        check_ids(&got, &want, what);
        check_text(&m, &got, text, n, what);
        free(got.id);
        free(want.id);
        line = next_line;
        text = next ? next + strlen(marker) : NULL;
    }
    assert_int_equal(n_strings, n_expected);
    assert_int_equal(*line, 0);
    free(strings);
    free(lines);
    close_model(&m);
}

static void strings_of_llama_cpp_have_its_ids(void **state)
{
    (void)state;
    static const char *const names[] = {"command-r", "deepseek-coder", "deepseek-llm", "falcon",
                                        "gpt-2",     "llama-bpe",      "llama-spm",    "mpt",
                                        "phi-3",     "qwen2",          "refact",       "starcoder"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) check_strings(names[i], "all", 47);
    check_strings("qwen35", "qwen35", 51); /* marks */
}

/* ---- every kind of bytes ---- */

static uint32_t draw(uint64_t *state, uint32_t below)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33) % below;
}

static const char *const words[] = {
    "<|im_start|>",
    "<|im_end|>",
    "<|im_",
    "<|endoftext|>",
    "<tool_call>",
    "</tool_call",
    "<file_sep>",
    "|>",
    "'LL",
    "'s",
    " the",
    "Hello",
    "\r\n",
    "\n\n\n",
    "\t",
    "   ",
    "\u3000",
    "\u00a0",
    "é",
    "мир",
    "你好",
    "\xF0\x9F\x98\x80",
    "\xF0\x9F\x98",
    "\xED\xA0\x80",
    "\xC0\xAF",
    "\xE4\xBD",
    "\x80",
    "1234",
    "٣",
    "a\u0301",
    "\u200d",
    "():",
    "...",
};

/* Up to about 400 bytes of words, random bytes and runs. */
static size_t draw_text(char out[1024], uint64_t *state)
{
    size_t n = 0, n_wanted = draw(state, 400);
    while (n < n_wanted) {
        uint32_t kind = draw(state, 8);
        size_t n_more = kind == 0 ? 1 + draw(state, 300) : kind <= 2 ? 1 + draw(state, 4) : 0;
        if (kind == 0) memset(out + n, "a \n=7\xE4"[draw(state, 6)], n_more);
        for (size_t i = 0; kind > 0 && i < n_more; i++) out[n + i] = (char)draw(state, 256);
        if (kind > 2) n_more = (size_t)(stpcpy(out + n, words[draw(state, sizeof words / sizeof *words)]) - (out + n));
        n += n_more;
    }
    return n;
}

static void check_random(const char *name, const char *lacking, size_t n_lacking)
{
    struct model m;
    open_model(&m, name);
    uint64_t seed = 11;
    int n_kept = 0;
    for (int i = 0; i < 2000; i++) {
        char text[1024], what[32];
        size_t n = draw_text(text, &seed);
        bool special = i % 2, can = true;
        for (size_t k = 0; k < n; k++) can = can && !memchr(lacking, text[k], n_lacking);
        struct ids ids = {0};
        struct err err;
        const struct tokenizer_text in = {.bytes = text, .n_bytes = n, .special = special};
        int rc = tokenizer_encode(m.t, &in, &ids.id, &ids.n, &err);
        snprintf(what, sizeof what, "text %d", i);
        if (rc != (can ? OK : E_USAGE)) fail_msg("%s: %d, %s", what, rc, rc == OK ? "taken" : err.text);
        if (can) check_text(&m, &ids, text, n, what);
        n_kept += can;
        free(ids.id);
    }
    assert_true(n_kept > 500);
    close_model(&m);
}

static void any_bytes_come_back_from_their_ids(void **state)
{
    (void)state, check_random(LITTLE, "", 0), check_random(GEMMA, "", 0);
}

static void a_byte_that_smollm_lacks_is_refused_and_all_else_comes_back(void **state)
{
    (void)state;
    static const char lacking[] =
        "\x04\x06\x13\x14\x16\x1D\xC0\xC1\xF1\xF2\xF5\xF6\xF7\xF8\xF9\xFA\xFB\xFC\xFD\xFE\xFF";
    check_random(SMOLLM, lacking, sizeof lacking - 1);
}

static void a_megabyte_of_one_letter_comes_back(void **state)
{
    (void)state;
    size_t n = 1 << 20;
    char *text = malloc(n);
    assert_non_null(text);
    struct model m;
    open_model(&m, LITTLE);
    for (const char *letter = "a \n\x80"; *letter; letter++) {
        memset(text, *letter, n);
        struct ids ids = encode(&m, text, n, true);
        check_text(&m, &ids, text, n, "a megabyte");
        free(ids.id);
    }
    close_model(&m);
    free(text);
}

/* ---- what ends a text, what goes together ---- */

static void models_end_with_their_own_ids(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int32_t end[2];
    } rows[] = {{SMOLLM, {0, 2}}, {LITTLE, {151643, 151645}}, {BIG, {151643, 151645}}, {GEMMA, {1, 106}}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct model m;
        const int32_t *ids;
        open_model(&m, rows[i].name);
        assert_int_equal(tokenizer_end_ids(m.t, &ids), 2);
        assert_memory_equal(ids, rows[i].end, sizeof rows[i].end);
        close_model(&m);
    }
}

static void the_qwens_go_together_and_smollm_with_none(void **state)
{
    (void)state;
    struct model big, little, smollm;
    struct err err;
    int n_common = 0;
    open_model(&big, BIG);
    open_model(&little, LITTLE);
    open_model(&smollm, SMOLLM);
    assert_int_equal(tokenizer_compatible(big.t, little.t, &n_common, &err), OK);
    assert_int_equal(n_common, 151936);
    assert_true(tokenizer_hash(big.t) == tokenizer_hash(little.t));
    assert_int_equal(tokenizer_compatible(big.t, smollm.t, &n_common, &err), E_MODEL);
    assert_string_equal(err.text, "the vocabularies differ: id 0 is \"!\" in the big model, \"<|endoftext|>\" "
                                  "in the little one");
    assert_true(tokenizer_hash(big.t) != tokenizer_hash(smollm.t));
    close_model(&big);
    close_model(&little);
    close_model(&smollm);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prompts_of_smollm_have_their_golden_ids),
        cmocka_unit_test(prompts_of_the_little_qwen_have_their_golden_ids),
        cmocka_unit_test(prompts_of_gemma_have_their_golden_ids),
        cmocka_unit_test(prompts_of_the_big_qwen_have_their_golden_ids),
        cmocka_unit_test(strings_of_llama_cpp_have_its_ids),
        cmocka_unit_test(any_bytes_come_back_from_their_ids),
        cmocka_unit_test(a_byte_that_smollm_lacks_is_refused_and_all_else_comes_back),
        cmocka_unit_test(a_megabyte_of_one_letter_comes_back),
        cmocka_unit_test(models_end_with_their_own_ids),
        cmocka_unit_test(the_qwens_go_together_and_smollm_with_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
