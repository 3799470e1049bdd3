/* gguf.h -- the container of model files (GGUF v2 and v3): bytes -> named values and a tensor directory.
 *
 * It gives no meaning to any name: worker/engine reads shapes, coordinator/tokenizer reads the vocabulary. The file is
 * mapped read-only; tensors are views of the map, strings and arrays of a copy of its head, so that a file that changes
 * later does not change them; all live until gguf_close. Every length and offset is checked before use, so a hostile
 * file costs an error and never more memory than a small multiple of its size.
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

enum token_flags { /* tokenizer.ggml.token_flags, of directories: what tokenizer.json says of an added token */
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
    const uint8_t *data; /* of the first row */
    size_t n_bytes;
    /* Of tensors that lie otherwise in their files than here (hf.h); gguf_row knows. */
    const uint8_t **row_chunks; /* borrowed: where every chunk_rows rows begin; NULL: all follow from data on */
    uint64_t chunk_rows;
    uint64_t rope_permuted; /* rows of a head: rows i and i + rope_permuted / 2 are side by side here; 0: not so */
};

struct gguf {
    const char *path; /* owns: a copy */
    const uint8_t *base;
    size_t n_bytes;
    const uint8_t *head;         /* what stands before the tensors' data; owns it where the bytes are mapped */
    size_t head_bytes, keys_end; /* keys_end: the head without the tensors' directory */
    bool mapped, made;           /* made: owns the bytes, which stand for a directory's keys and vectors */
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

/* Maps and parses one file, whatever it says of others: gguf_open.h opens models. E_MODEL and one line on anything
 * wrong. */
int gguf_open_file(struct gguf *g, const char *path, struct err *err);

/* The same for bytes in memory, which are borrowed until gguf_close; `name` is for messages. What fuzzing calls. */
int gguf_parse(struct gguf *g, const char *name, const void *bytes, size_t n_bytes, struct err *err);
void gguf_close(struct gguf *g); /* NULL and zeroed are fine */
/* A file of this one's keys alone, without tensors, for gguf_parse elsewhere. The caller frees it; NULL: out of
 * memory. */
uint8_t *gguf_keys(const struct gguf *g, size_t *n_bytes);
int gguf_n_files(const struct gguf *g);
size_t gguf_file_bytes(const struct gguf *g); /* of all files with tensors */

/* Where a row lies: dim[0] elements. row < dim[1] * dim[2] * dim[3]. */
const uint8_t *gguf_row(const struct gguf_tensor *t, uint64_t row);
/* Tokens that a text may have: what the model was trained for, or the window where all its blocks see no more (those of
 * gemma3 do not all). INT_MAX: the file does not say. */
int gguf_context(const struct gguf *g);

/* The number of that row in its file, where heads of `rope_permuted` rows have their halves one
 * behind the other; 0: the same. */
uint64_t gguf_row_in_file(uint64_t rope_permuted, uint64_t row);

/* For those who make a model of several files. A file's bytes, for munmap; E_MODEL: it is no file, is empty or cannot
 * be read. Sorting the tensors' names, for gguf_tensor, whenever the list has changed; E_MODEL: a name is there
 * twice. */
int gguf_map(const char *path, const uint8_t **out, size_t *n_bytes, struct err *err);
int gguf_sort_tensors(struct gguf *g, struct err *err);

/* Tells the kernel that the pages of a tensor are not needed any more (they are the file's, nothing is lost). */
void gguf_release(const struct gguf *g, const struct gguf_tensor *t);

int gguf_value_bytes(enum gguf_value type); /* 0: of no fixed size */

/* NULL: a type that GGUF does not define. */
const struct gguf_type *gguf_type(uint32_t type);

const struct gguf_kv *gguf_find(const struct gguf *g, const char *key);        /* NULL: absent */
const struct gguf_tensor *gguf_tensor(const struct gguf *g, const char *name); /* NULL: absent */

/* Any integer, float or bool as asked; a list of equal ones counts as one. false: absent or of another kind. `out`
 * is set only on success. */
bool gguf_get_int(const struct gguf *g, const char *key, int64_t *out);
bool gguf_get_float(const struct gguf *g, const char *key, double *out);
bool gguf_get_str(const struct gguf *g, const char *key, struct gguf_str *out);

/* The same where an absent key leaves `out` as it is, and one of another kind is an error: E_MODEL, "KEY has type T,
 * expected U" (without the file's path). */
int gguf_read_int(const struct gguf *g, const char *key, int64_t *out, struct err *err);
int gguf_read_float(const struct gguf *g, const char *key, double *out, struct err *err);
int gguf_read_str(const struct gguf *g, const char *key, struct gguf_str *out, struct err *err);

/* Walks an array of strings: start with cursor = kv->data; true while there was another. At most n_items times. */
bool gguf_next_str(const struct gguf *g, const uint8_t **cursor, struct gguf_str *out);

/* Item i of an array of numbers. i < n_items. */
double gguf_item_float(const struct gguf_kv *kv, uint64_t i);
int64_t gguf_item_int(const struct gguf_kv *kv, uint64_t i);

/* Names the array under `key` by its content (0: absent), so that two files can be compared over a wire. */
uint64_t gguf_array_hash(const struct gguf *g, const char *key);

/* Names the vocabulary, its tokens and their types: what Hello says and the coordinator compares. */
uint64_t gguf_vocab_hash(const struct gguf *g);

bool gguf_str_is(struct gguf_str s, const char *text);

/* A name from a file, for a message. */
static inline struct shown_name gguf_show(struct gguf_str name)
{
    return show_bytes(name.s, name.n);
}

#endif
