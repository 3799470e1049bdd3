/* gguf.h -- the container of model files (GGUF v2 and v3): bytes -> named values and a tensor directory.
 *
 * It gives no meaning to any name: worker/engine reads shapes, coordinator/text the vocabulary. The file is mapped
 * read-only; tensors are views of the map, strings and arrays are views of a copy of its head, so a file that changes
 * later does not change them; all are valid until gguf_close. Every length and offset is checked before use, so a
 * hostile file costs an error, and never more memory than a small multiple of its size.
 *
 * Source of the format: ggml's docs/gguf.md (fields little-endian; tensor data aligned to general.alignment, default
 * 32).
 */
#ifndef PROTO_FILES_GGUF_H
#define PROTO_FILES_GGUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/err.h"
#include "proto/show.h"

enum gguf_value { /* numbered as in files */
                  GGUF_U8,
                  GGUF_I8,
                  GGUF_U16,
                  GGUF_I16,
                  GGUF_U32,
                  GGUF_I32,
                  GGUF_F32,
                  GGUF_BOOL,
                  GGUF_STR,
                  GGUF_ARR,
                  GGUF_U64,
                  GGUF_I64,
                  GGUF_F64
};

enum { /* of the types of tensors, as in files, those that gguf.c's neighbours write or read themselves */
       GGUF_TYPE_F32 = 0,
       GGUF_TYPE_F16 = 1,
       GGUF_TYPE_BF16 = 30
};

enum token_type { /* tokenizer.ggml.token_type, as in files */
                  TOKEN_NORMAL = 1,
                  TOKEN_UNKNOWN,
                  TOKEN_CONTROL,
                  TOKEN_USER,
                  TOKEN_UNUSED,
                  TOKEN_BYTE
};

enum token_flags { /* tokenizer.ggml.token_flags, only of directories: the flags of an added token in tokenizer.json */
                   TOKEN_LSTRIP = 1,      /* it takes the blanks before it */
                   TOKEN_RSTRIP = 2,      /* and behind it */
                   TOKEN_SINGLE_WORD = 4, /* it is found only where no word goes on */
                   TOKEN_NORMALIZED = 8   /* it is found only in what those without this flag leave */
};

struct gguf_str { /* not zero-terminated */
    const char *s;
    size_t n;
};

struct gguf_kv {
    struct gguf_str key;
    enum gguf_value type;
    enum gguf_value item_type; /* arrays only; arrays of arrays are refused */
    uint64_t n_items;          /* arrays only */
    const uint8_t *data;       /* the value's first byte in the file (of an array: its first item) */
};

struct gguf_type {    /* how a tensor's elements are stored */
    const char *name; /* "Q4_K"; NULL in the table's holes */
    int block;        /* elements that share a block */
    int block_bytes;
};

struct gguf_tensor {
    struct gguf_str name;
    int n_dims;
    uint64_t dim[4];     /* dim[0] varies fastest: a matrix [n_out, n_in] has dim = {n_in, n_out}; unused ones are 1 */
    uint32_t type;       /* number as in files: gguf_type(type) names it */
    const uint8_t *data; /* of the first row; gguf_row reads it */
    size_t n_bytes;
    /* For tensors whose rows are in another order in their files (hf.h); gguf_row uses them. */
    const uint8_t **row_chunks; /* borrowed: where every chunk_rows rows begin; NULL: all follow from data on */
    uint64_t chunk_rows;
    uint64_t rope_permuted; /* rows of a head: rows i and i + rope_permuted / 2 are side by side here; 0: not so */
    uint64_t random_key;    /* not 0: gguf_row makes the row that it is asked for (random_weights.h) */
};

struct gguf {
    const char *path; /* owns: a copy */
    const uint8_t *base;
    size_t n_bytes;
    const uint8_t *head;         /* what stands before the tensors' data; owns it if the bytes are mapped */
    size_t head_bytes, keys_end; /* keys_end: the head without the tensors' directory */
    uint8_t *random; /* owns: room for the tensors of a file without weights (random_weights.h); NULL: it has them */
    size_t random_bytes;
    bool mapped, made; /* made: owns the bytes, which stand for a directory's keys and vectors */
    uint32_t version;
    size_t n_kv, n_tensors;
    struct gguf_kv *kv;                               /* owns */
    struct gguf_tensor *tensors;                      /* owns the list; of all parts */
    const struct gguf_str **kv_names, **tensor_names; /* owns: of the two lists, sorted */
    struct gguf *parts; /* owns: files 2 .. n of a model that is split (gguf_open.h); a directory's files */
    int n_parts;
    const uint8_t **row_chunks; /* owns: of all tensors that have some */
    char *names;                /* owns: of tensors that are not named in a file */
};

/* Maps and parses one file alone, even if it is a part of a split model: gguf_open.h opens models. E_MODEL and one line
 * if anything is wrong. */
int gguf_open_file(struct gguf *g, const char *path, struct err *err);

/* The same for bytes in memory, which are borrowed until gguf_close; `name` is for messages. Fuzzing calls it. */
int gguf_parse(struct gguf *g, const char *name, const void *bytes, size_t n_bytes, struct err *err);
void gguf_close(struct gguf *g); /* NULL and zeroed are fine */
/* A GGUF file of these keys, without tensors, for gguf_parse on another rank. The caller frees it; NULL: out of memory.
 */
uint8_t *gguf_keys(const struct gguf *g, size_t *n_bytes);
int gguf_n_files(const struct gguf *g);
size_t gguf_file_bytes(const struct gguf *g); /* of all files with tensors */

/* A row's first byte; a row is dim[0] elements. row < dim[1] * dim[2] * dim[3]. Random rows stay until gguf_release;
 * threads may ask for different ones. */
const uint8_t *gguf_row(const struct gguf_tensor *t, uint64_t row);
/* The most tokens that a text may have: what the model was trained for, or the window if all blocks have one (not all
 * of gemma3's do). INT_MAX: the file has no such key. */
int gguf_context(const struct gguf *g);

/* The number of that row in its file, in which heads of `rope_permuted` rows have their halves one behind the other;
 * rope_permuted 0: the same number. */
uint64_t gguf_row_in_file(uint64_t rope_permuted, uint64_t row);

/* For modules that make a model of several files: maps a file, which the caller unmaps. E_MODEL: it is no file, is
 * empty or cannot be read. */
int gguf_map(const char *path, const uint8_t **out, size_t *n_bytes, struct err *err);
/* The same modules call it when the list of tensors has changed: sorts their names, for gguf_tensor. E_MODEL: a name is
 * there twice. */
int gguf_sort_tensors(struct gguf *g, struct err *err);

/* Gives the pages of a tensor back to the kernel (they are the file's, nothing is lost). */
void gguf_release(const struct gguf *g, const struct gguf_tensor *t);

int gguf_value_bytes(enum gguf_value type); /* 0: of no fixed size */

/* NULL: a type that GGUF does not define. */
const struct gguf_type *gguf_type(uint32_t type);

const struct gguf_kv *gguf_find(const struct gguf *g, const char *key);        /* NULL: absent */
const struct gguf_tensor *gguf_tensor(const struct gguf *g, const char *name); /* NULL: absent */

/* Any integer, float or bool, converted; a list of equal values counts as one value. False: absent or of another kind.
 * `out` is set only on success. */
bool gguf_get_int(const struct gguf *g, const char *key, int64_t *out);
bool gguf_get_float(const struct gguf *g, const char *key, double *out);
bool gguf_get_str(const struct gguf *g, const char *key, struct gguf_str *out);
/* Of a key that stands behind the architecture's name: "block_count" of "llama.block_count". */
bool gguf_get_own_int(const struct gguf *g, const char *key, int64_t *out);

/* The same, but an absent key leaves `out` as it is, and one of another kind is an error: E_MODEL, "KEY has type T,
 * expected U" (without the file's path). */
int gguf_read_int(const struct gguf *g, const char *key, int64_t *out, struct err *err);
int gguf_read_float(const struct gguf *g, const char *key, double *out, struct err *err);
int gguf_read_str(const struct gguf *g, const char *key, struct gguf_str *out, struct err *err);

/* Walks an array of strings: start with cursor = kv->data; true while there was another. At most n_items times. */
bool gguf_next_str(const struct gguf *g, const uint8_t **cursor, struct gguf_str *out);

/* Item i of an array of numbers. i < n_items. */
double gguf_item_float(const struct gguf_kv *kv, uint64_t i);
int64_t gguf_item_int(const struct gguf_kv *kv, uint64_t i);

/* A hash of the array under `key` (0: absent), by which the models of two ranks are compared. */
uint64_t gguf_array_hash(const struct gguf *g, const char *key);

/* A hash of the vocabulary, its tokens and their types: Hello has it, and the coordinator compares. */
uint64_t gguf_vocab_hash(const struct gguf *g);
/* Names a model by its directory and the first bytes of each tensor: two trainings of one architecture differ. */
uint64_t gguf_fingerprint(const struct gguf *g);

bool gguf_str_is(struct gguf_str s, const char *text);

/* A name from a file, for a message. */
static inline struct shown_name gguf_show(struct gguf_str name)
{
    return show_bytes(name.s, name.n);
}

#endif
