/* toy_vocab.h -- model files without tensors, in memory: whatever keys a test wants, and a whole byte-level vocabulary.
 *
 *     struct toy toy = {0};
 *     toy_vocab(&toy, &(struct toy_vocab){.merges = merges, .extra = extra});
 *     toy_int(&toy, "tokenizer.ggml.eos_token_id", 258);
 *     toy_open(&toy, &g);   // g borrows the toy
 *
 * Out of memory or refused by the reader: the test fails. A zeroed toy is empty.
 */
#ifndef TESTS_LIB_TOY_VOCAB_H
#define TESTS_LIB_TOY_VOCAB_H

#include <stddef.h>
#include <stdint.h>

#include "proto/files/gguf_writer.h"

struct toy {
    struct gguf_writer writer;
    uint8_t *bytes; /* owns, from toy_open on */
};

void toy_str(struct toy *t, const char *key, const char *value);
void toy_int(struct toy *t, const char *key, int32_t value);
void toy_bool(struct toy *t, const char *key, bool value);
void toy_strs(struct toy *t, const char *key, const char *const *items, size_t n);
void toy_ints(struct toy *t, const char *key, const int32_t *items, size_t n);
void toy_floats(struct toy *t, const char *key, const float *items, size_t n);

struct toy_token {
    const char *text;
    int32_t type;
};

/* Ids: 0..255 the bytes, then one for each merge, then the extra ones. Lists end with NULL. */
struct toy_vocab {
    const char *model, *pre;       /* NULL: gpt2, qwen2 */
    const char *const *merges;     /* "left right"; NULL: none */
    const struct toy_token *extra; /* NULL: none */
};
void toy_vocab(struct toy *t, const struct toy_vocab *v);

/* <unk>, <s> (BOS), </s>; then, unless without_bytes, the 256 bytes; then the texts, and <tool>, a user-defined
 * token. Only the texts have scores. */
struct toy_text {
    const char *text; /* NULL ends the list; U+2581 is a space */
    float score;
};
void toy_sentencepiece(struct toy *t, const struct toy_text *texts, bool without_bytes);

void toy_open(struct toy *t, struct gguf *g);
void toy_close(struct toy *t, struct gguf *g);

#endif
