/* tokenizer.h -- text <-> token ids, from the vocabulary inside a model file.
 *
 * Byte-level BPE ("gpt2" in tokenizer.ggml.model): the pre-tokenizer's expressions (tokenizer.ggml.pre, split.c) split
 * the text, and each piece is merged by rank. SentencePiece ("llama"): tokens are merged by score, and what is no
 * token is written as bytes; if the file asks for it, a space is put before the text, and removed again where a whole
 * text is decoded (tokenizer_adds_space). Special (control and user-defined) tokens are recognised in the text.
 * Directories may ask for NFC, and for blanks around special tokens to be removed.
 *
 * The tokenizer owns its tables and the decoded bytes of the tokens, and borrows the gguf until tokenizer_close. It
 * does not change after open: threads may share it. Encoding is O(n log n) in the text; decoding gives bytes, which
 * may end inside a UTF-8 character.
 */
#ifndef COORDINATOR_TEXT_TOKENIZER_H
#define COORDINATOR_TEXT_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/err.h"
#include "proto/files/gguf.h"

struct tokenizer;

/* E_MODEL: the file has no vocabulary, or one of a kind that is not supported (the error names it). */
int tokenizer_open(struct tokenizer **out, const struct gguf *g, struct err *err);
void tokenizer_close(struct tokenizer *t);

int tokenizer_n_vocab(const struct tokenizer *t);
const char *tokenizer_model(const struct tokenizer *t); /* "gpt2 / qwen2", for messages */

/* The text of the file's BOS, empty if it has none; whether tokenizer_encode puts it first. */
struct gguf_str tokenizer_bos(const struct tokenizer *t);
bool tokenizer_adds_bos(const struct tokenizer *t);

/* Whether the piece after this id (-1: the first piece) begins with a space that is not in the text: SentencePiece puts
 * one at the beginning, and after a special token. */
bool tokenizer_adds_space(const struct tokenizer *t, int32_t before);

struct tokenizer_text { /* borrowed during a call */
    const char *bytes;
    size_t n_bytes;
    const uint8_t *message; /* [n_bytes] not 0: the byte is a message's, and no part of a mark; NULL: none is */
    bool special;           /* the text of a mark (vocab.h) is that token; that of other user-defined ones always is */
    bool add_bos;           /* the file's BOS comes first, if the file asks for it (tokenizer.ggml.add_bos_token) */
    size_t n_most;          /* ids; 0: no limit */
};

/* The fewest tokens that a text of so many bytes can have, by the length of the longest token. */
size_t tokenizer_least(const struct tokenizer *t, size_t n_bytes);

/* Appends to *ids (realloc'd; the caller frees), sets *n_ids. Every byte string is encoded, UTF-8 or not, and the
 * pieces of its ids are the string again (except for NFC, and removed blanks). E_USAGE: the vocabulary has no token for
 * a byte of it (SmolLM2 lacks 21 rare ones), because a silent loss would be worse; or there are more than n_most ids,
 * and it ends as soon as that is certain. */
int tokenizer_encode(const struct tokenizer *t, const struct tokenizer_text *in, int32_t **ids, size_t *n_ids,
                     struct err *err);

/* The bytes of one id: borrowed until close, not zero-terminated. special: control tokens have their text, else they
 * are empty. Ids outside the vocabulary are empty. */
struct gguf_str tokenizer_piece(const struct tokenizer *t, int32_t id, bool special);

/* The id of a token by its exact text in the file's list; -1: none. */
int32_t tokenizer_find(const struct tokenizer *t, const char *text);

/* Ids that end a text (ends.h), ascending, without repeats. Borrowed until close. */
size_t tokenizer_end_ids(const struct tokenizer *t, const int32_t **ids);
/* Adds one, before any text is encoded: the end of a template that is not the file's. */
int tokenizer_add_end(struct tokenizer *t, const char *text, struct err *err);

/* Vocabularies fit together if all text ids below the smaller count have equal bytes. Types may differ, and so may the
 * texts of control, user-defined and unused tokens: drafts are ids, and the big model keeps only its own. Sets
 * *n_common; else E_MODEL with the first differing id and both strings. */
int tokenizer_compatible(const struct tokenizer *big, const struct tokenizer *little, int *n_common, struct err *err);
/* The same of two model files. */
int tokenizer_check_files(const char *big, const char *little, struct err *err);

/* A fingerprint of all tokens and types, for Hello. */
uint64_t tokenizer_hash(const struct tokenizer *t);

#endif
