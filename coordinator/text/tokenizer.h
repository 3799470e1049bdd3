/* tokenizer.h -- text <-> token ids, from the vocabulary inside a model file.
 *
 * Byte-level BPE ("gpt2" in tokenizer.ggml.model) with the pre-tokenizers that split.c knows (tokenizer.ggml.pre): text
 * is split by the pre-tokenizer's expressions (PCRE2), each piece is merged by rank. SentencePiece ("llama"): merged by
 * score, what is no token as its bytes; a text has a space put before it where the file asks for that, which is taken
 * off again where a whole text is decoded (tokenizer_adds_space). Special (control and user-defined) tokens are
 * recognised in the text. Directories may ask for NFC, and for blanks around special tokens to go. The tokenizer owns
 * its tables and the decoded bytes of the tokens, and borrows the gguf until tokenizer_close. It does not change after
 * open: threads may share it. Encoding is O(n log n) in the text; decoding gives bytes, which may end inside a UTF-8
 * character.
 */
#ifndef COORDINATOR_TEXT_TOKENIZER_H
#define COORDINATOR_TEXT_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/err.h"
#include "proto/files/gguf.h"

struct tokenizer;

/* E_MODEL where the file has no vocabulary or a kind that is not supported (named). */
int tokenizer_open(struct tokenizer **out, const struct gguf *g, struct err *err);
void tokenizer_close(struct tokenizer *t);

int tokenizer_n_vocab(const struct tokenizer *t);
const char *tokenizer_model(const struct tokenizer *t); /* "gpt2 / qwen2", for messages */

/* The text of the file's BOS, empty where it has none; whether tokenizer_encode puts it first. */
struct gguf_str tokenizer_bos(const struct tokenizer *t);
bool tokenizer_adds_bos(const struct tokenizer *t);

/* The piece of text behind this id (-1: the first of all) begins with a space that is not the text's: SentencePiece's
 * first one, and that after a special token. */
bool tokenizer_adds_space(const struct tokenizer *t, int32_t before);

struct tokenizer_text { /* borrowed during a call */
    const char *bytes;
    size_t n_bytes;
    const uint8_t *message; /* [n_bytes] not 0: the byte is a message's, and no part of a mark; NULL: none is */
    bool special;           /* the text of a mark (vocab.h) is that token; that of other user-defined ones always is */
    bool add_bos;           /* the file's BOS comes first, where it asks for that (tokenizer.ggml.add_bos_token) */
    size_t n_most;          /* ids; 0: no limit */
};

/* How many tokens a text of so many bytes has at least, for none is longer than the longest. */
size_t tokenizer_least(const struct tokenizer *t, size_t n_bytes);

/* Appends to *ids (realloc'd; the caller frees), sets *n_ids. Every byte string is encoded, UTF-8 or not, and the
 * pieces of its ids are the string again (but for NFC, and blanks that go). E_USAGE where the vocabulary lacks a
 * byte of it (SmolLM2 lacks 21, none of them usual), for a silent loss is the worse answer, and where there are more
 * than n_most ids: it ends as soon as that is known. */
int tokenizer_encode(const struct tokenizer *t, const struct tokenizer_text *in, int32_t **ids, size_t *n_ids,
                     struct err *err);

/* The bytes of one id: borrowed until close, not zero-terminated. special: the text of control tokens too, else they
 * are empty. Unknown ids are empty. */
struct gguf_str tokenizer_piece(const struct tokenizer *t, int32_t id, bool special);

/* The id of a token by its exact text as it stands in the file's list; -1: none. */
int32_t tokenizer_find(const struct tokenizer *t, const char *text);

/* Ids that end a text (ends.h), ascending, without repeats. Borrowed until close. */
size_t tokenizer_end_ids(const struct tokenizer *t, const int32_t **ids);
/* One more, before any text is encoded: the end of a template that is not the file's. */
int tokenizer_add_end(struct tokenizer *t, const char *text, struct err *err);
bool tokenizer_is_end(const struct tokenizer *t, int32_t id);

/* Vocabularies go together where all ids of text below the smaller count have equal bytes. Their types may differ, and
 * what control, user-defined and unused tokens are called: drafts are ids, of which the big model keeps its own. Sets
 * *n_common; else E_MODEL with the first differing id and both strings. */
int tokenizer_compatible(const struct tokenizer *big, const struct tokenizer *little, int *n_common, struct err *err);

/* A fingerprint of all tokens and types, for Hello. */
uint64_t tokenizer_hash(const struct tokenizer *t);

#endif
