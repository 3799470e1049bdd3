/* fuzz_tokenizer -- any bytes as a text: every pre-tokenizer and SentencePiece give it back from its ids.
 *
 * The first byte: which tokenizer in its low 7 bits, whether the text of control tokens is a token in the other.
 */
#include <stdlib.h>
#include <string.h>

#include "coordinator/text/tokenizer.h"
#include "tests/lib/toy_vocab.h"

static const char *const pres[] = {"qwen2",          "llama-bpe",    "smollm", "gpt-2",  "falcon",     "default",
                                   "deepseek-coder", "deepseek-llm", "tekken", "gpt-4o", "deepseek-v3"};
enum { N_PRES = sizeof pres / sizeof *pres, N = N_PRES + 1 };

static const char *const merges[] = {"a a",      "aa a",          "h i",           "1 2", "12 3",
                                     "\u0120 a", "\u0120 \u0120", "\u010a \u010a", NULL};
static const struct toy_token specials[] = {{"<s>", 3},    {"</s>", 3}, {"<s><s>", 3},
                                            {"<tool>", 4}, {"  ", 4},   {NULL, 0}};
#define SPACE "\xE2\x96\x81"
static const struct toy_text texts[] = {
    {SPACE, -9},    {"a", -6},         {"b", -7}, {"ab", -2}, {SPACE "a", -1},      {"ba", -3},
    {"\u00e9", -8}, {SPACE SPACE, -4}, {"<", -9}, {"s", -9},  {"\xE4\xBD\xA0", -9}, {NULL, 0},
};

static void must(bool right)
{
    if (!right) abort();
}

static const struct tokenizer *tokenizer(int i)
{
    static struct tokenizer *opened[N];
    static struct toy toys[N];
    static struct gguf files[N];
    if (opened[i]) return opened[i];
    if (i < N_PRES)
        toy_vocab(&toys[i], &(struct toy_vocab){.pre = pres[i], .merges = merges, .extra = specials});
    else
        toy_sentencepiece(&toys[i], texts, false);
    toy_open(&toys[i], &files[i]);
    struct err err;
    must(tokenizer_open(&opened[i], &files[i], &err) == OK);
    return opened[i];
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    if (n_bytes == 0) return 0;
    const struct tokenizer *t = tokenizer((bytes[0] & 127) % N);
    const char *text = (const char *)bytes + 1;
    size_t n = n_bytes - 1, n_ids = 0, at = 0;
    int32_t *ids = NULL;
    struct err err;
    const struct tokenizer_text in = {text, n, .special = bytes[0] & 128};
    must(tokenizer_encode(t, &in, &ids, &n_ids, &err) == OK);
    for (size_t i = 0; i < n_ids; i++) {
        struct gguf_str piece = tokenizer_piece(t, ids[i], true);
        size_t spaced = tokenizer_adds_space(t, i > 0 ? ids[i - 1] : -1) && piece.n > 0 && piece.s[0] == ' ';
        must(piece.n - spaced <= n - at && memcmp(text + at, piece.s + spaced, piece.n - spaced) == 0);
        at += piece.n - spaced;
    }
    must(at == n);
    free(ids);
    return 0;
}
