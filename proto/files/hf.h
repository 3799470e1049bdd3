/* hf.h -- a model in the form of Hugging Face's transformers, a directory of config.json, tokenizer.json and
 * model*.safetensors, seen as the GGUF file that would be made of it: the same keys, the same names of tensors, the
 * same rows in the same order. No other part of the project depends on it, and text and bits are those of the GGUF
 * file.
 *
 * Keys and vectors are made anew in memory, as F32; matrices (BF16, F16, F32) stay views of the files. Two kinds of
 * them have another order than in a GGUF file: experts are separate tensors (gguf_tensor.row_chunks), and q and k of
 * the llama family have the two halves of each head one behind the other (gguf_tensor.rope_permuted). See gguf_row.
 *
 * Sources: for the directories' files, transformers' documentation; for the keys, docs/gguf.md of ggml; for what is
 * renamed, permuted, added to (Gemma's norms are kept less 1) and computed (Llama 3's factors), llama.cpp's converter.
 */
#ifndef PROTO_FILES_HF_H
#define PROTO_FILES_HF_H

#include "proto/files/gguf.h"

struct hf_file {
    const char *path; /* for messages */
    const uint8_t *bytes;
    size_t n_bytes; /* 0: there is none */
};

struct hf_files {
    struct hf_file config, tokenizer;                           /* config.json, tokenizer.json */
    struct hf_file tokenizer_config, generation, chat_template; /* absent or *_config.json, *_config.json, *.jinja */
    const struct hf_file *weights;                              /* model*.safetensors; borrowed until gguf_close */
    int n_weights;
};

/* gguf_open calls it for a directory. E_MODEL, and one line about the file that is wrong or not supported. */
int hf_open(struct gguf *g, const char *path, struct err *err);

/* The same for bytes in memory; fuzzing calls it. `path` names the model. */
int hf_parse(struct gguf *g, const char *path, const struct hf_files *files, struct err *err);

#endif
