/* hf_parts.h -- the parts of the model that hf.c puts together: hf_config.c reads the shape, hf_tokenizer.c the
 * vocabulary, hf_weights.c the tensors. */
#ifndef PROTO_FILES_HF_PARTS_H
#define PROTO_FILES_HF_PARTS_H

#include <jansson.h>

#include "proto/files/gguf_writer.h"
#include "proto/files/hf.h"
#include "proto/files/safetensors.h"

enum hf_head { HF_HEAD_UNSAID, HF_HEAD_TIED, HF_HEAD_OWN };

/* What the other files need of config.json. */
struct hf_shape {
    const char *arch;   /* as GGUF files name it; static */
    bool rope_permuted; /* q and k lie by halves of a head */
    bool gemma;
    int64_t n_blocks, n_embd, n_head, n_head_kv, d_head, n_experts, n_vocab;
    enum hf_head head;
};

/* The object of a JSON file, which the caller json_decrefs. NULL: err has what is wrong with it. */
json_t *hf_json(const struct hf_file *file, struct err *err);

/* Writes the keys of the shape, and the vector of rotary factors. */
int hf_read_config(struct hf_shape *s, struct gguf_writer *w, const struct hf_file *file, struct err *err);

/* Writes the keys of the vocabulary and the chat template. */
int hf_read_tokenizer(struct gguf_writer *w, const struct hf_shape *s, const struct hf_files *files, struct err *err);

/* Writes the vectors (norms, biases) and marks them as used. */
int hf_write_vectors(struct gguf_writer *w, const struct hf_shape *s, struct safetensors *weights, const char *path,
                     struct err *err);

/* Adds the matrices to the tensors of g; every tensor must have been used then. */
int hf_add_matrices(struct gguf *g, const struct hf_shape *s, struct safetensors *weights, struct err *err);

#endif
