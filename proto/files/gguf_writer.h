/* gguf_writer.h -- a GGUF file made in memory: keys and vectors of F32, then the whole for gguf_parse.
 *
 *     struct gguf_writer w = {0};
 *     gguf_put_str(&w, "general.architecture", (struct gguf_str){"llama", 5});
 *     float *norm = gguf_put_vector(&w, "output_norm.weight", 64);
 *     if (norm) memset(norm, 0, 64 * sizeof *norm);
 *     uint8_t *bytes = gguf_written(&w, &n_bytes);
 *
 * If memory is out, every later call does nothing, and gguf_written returns NULL.
 */
#ifndef PROTO_FILES_GGUF_WRITER_H
#define PROTO_FILES_GGUF_WRITER_H

#include "proto/files/gguf.h"

struct gguf_written_vector {
    char *name;
    size_t n;
    float *x;
};

struct gguf_writer { /* zeroed: empty */
    uint8_t *keys;   /* owns, as the rest; without the file's head */
    size_t n, room;
    uint64_t n_keys;
    struct gguf_written_vector *vectors;
    size_t n_vectors, vectors_room;
    bool failed;
};

void gguf_put_str(struct gguf_writer *w, const char *key, struct gguf_str value);
void gguf_put_text(struct gguf_writer *w, const char *key, const char *value); /* zero-terminated */
void gguf_put_u32(struct gguf_writer *w, const char *key, uint32_t value);
void gguf_put_i32(struct gguf_writer *w, const char *key, int32_t value);
void gguf_put_f32(struct gguf_writer *w, const char *key, float value);
void gguf_put_bool(struct gguf_writer *w, const char *key, bool value);
void gguf_put_strs(struct gguf_writer *w, const char *key, const struct gguf_str *items, size_t n);
void gguf_put_i32s(struct gguf_writer *w, const char *key, const int32_t *items, size_t n);
void gguf_put_f32s(struct gguf_writer *w, const char *key, const float *items, size_t n);

/* A tensor of n zeros, which the caller fills until gguf_written. NULL: out of memory. */
float *gguf_put_vector(struct gguf_writer *w, const char *name, size_t n);

/* Returns the file, which the caller frees, and empties the writer. NULL: out of memory. */
uint8_t *gguf_written(struct gguf_writer *w, size_t *n_bytes);
void gguf_writer_free(struct gguf_writer *w);

#endif
