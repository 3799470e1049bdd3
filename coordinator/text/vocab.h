/* vocab.h -- the list of tokens of a model file: id <-> text, types, and special tokens found in a text.
 *
 * A token has a `text`, as it is in the file, and `bytes`, its meaning. Normal tokens of byte-level BPE are written in
 * GPT-2's alphabet of 256 printable characters, one for each byte. SentencePiece writes a space as U+2581, and has
 * tokens of one byte, "<0x0A>". All others are written as they are. The vocabulary owns its tables and the decoded
 * bytes; `text` is borrowed from the gguf until vocab_close. Nothing changes after vocab_open, so threads may share
 * it.
 */
#ifndef COORDINATOR_TEXT_VOCAB_H
#define COORDINATOR_TEXT_VOCAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/err.h"
#include "proto/files/gguf.h"

enum vocab_kind { VOCAB_BYTE_LEVEL, VOCAB_SENTENCEPIECE };

#define VOCAB_SPACE "\xE2\x96\x81" /* SentencePiece's: U+2581 */

struct vocab {
    enum vocab_kind kind;
    int n;
    size_t longest;         /* bytes of the longest text */
    struct gguf_str *text;  /* [n] */
    struct gguf_str *bytes; /* [n] into `arena`, or equal to text */
    uint8_t *type;          /* [n] */
    uint8_t *flags;         /* [n] of enum token_flags; NULL: none has any */
    char *arena;
    int32_t *by_text;    /* open addressing: id, -1 for a free slot; [by_text_mask + 1] */
    size_t by_text_mask; /* a power of two less one */
    int32_t *special;    /* control and user-defined ids, ascending by text; [n_special] */
    int n_special;
    int special_from[257]; /* those whose first byte is b: special[special_from[b] .. special_from[b + 1] - 1] */
};

/* E_MODEL: the lists are absent or do not fit each other. */
int vocab_open(struct vocab *v, enum vocab_kind kind, const struct gguf *g, struct err *err);
void vocab_close(struct vocab *v);

/* Makes this token a control token, of whatever type it is in the file; only while a vocabulary is being opened. */
int vocab_make_control(struct vocab *v, int32_t id, struct err *err);

/* The id of a text as it is in the file (the lowest, if it is there twice); -1: none. */
int32_t vocab_find(const struct vocab *v, const char *text, size_t n);

/* The id of the byte-level token that means these bytes; -1: none. */
int32_t vocab_find_bytes(const struct vocab *v, const char *s, size_t n);

/* The id of the token that is byte b alone; -1: none. */
int32_t vocab_find_byte(const struct vocab *v, unsigned char b);

/* Whether a token structures a text and is no word of it: control tokens, and tokens written <|like this|>, which are
 * user-defined in some files. */
bool vocab_is_mark(const struct vocab *v, int32_t id);

struct special_search {
    bool marks;      /* marks too; false: only other user-defined tokens */
    bool normalized; /* only tokens with TOKEN_NORMALIZED; false: only tokens without */
};

struct special_found {
    int32_t id; /* -1: none */
    size_t at, len;
};

/* The first special token in s[n], and the longest that begins there. A byte of a message (message[i] != 0; NULL: no
 * byte is one) belongs to no mark. */
struct special_found vocab_find_special(const struct vocab *v, const struct special_search *search, const char *s,
                                        size_t n, const uint8_t *message);

#endif
