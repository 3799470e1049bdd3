/* hf.h -- a model as Hugging Face's transformers keep it, a directory of config.json, tokenizer.json and
 * model*.safetensors, seen as the GGUF file that would be made of it: the same keys, the same names of tensors, the
 * same rows in the same order. Nothing else in the project knows of it, and text and bits are those of the GGUF file.
 *
 * Keys and vectors are made anew in memory, as F32; matrices (BF16, F16, F32) stay views of the files. Two kinds of
 * them lie otherwise than in a GGUF file: experts are tensors of their own (gguf_tensor.row_chunks), and q and k of the
 * llama family have the two halves of each head one behind the other (gguf_tensor.rope_permuted). See gguf_row.
 *
 * Sources: the directories' own files as transformers' documentation describes them; the keys, docs/gguf.md of ggml;
 * what is renamed, permuted, added to (Gemma's norms are kept less 1) and computed (Llama 3's factors), as llama.cpp's
 * converter does it.
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

/* What gguf_open does with a directory. E_MODEL, and one line of the file that is wrong or not supported. */
int hf_open(struct gguf *g, const char *path, struct err *err);

/* The same of bytes in memory; what fuzzing calls. `path` names the model. */
int hf_parse(struct gguf *g, const char *path, const struct hf_files *files, struct err *err);

#endif
