/* gguf_parts.h -- a model that is split over files, NAME-00001-of-00003.gguf and so on, seen as one: gguf_open, which
 * gguf.h declares, opens the first and joins the others to it. The first part has all metadata; split.no, split.count
 * and split.tensors.count say what belongs together (llama.cpp's gguf-split). Here is what gguf_parts.c and hf.c need
 * of gguf.c.
 */
#ifndef PROTO_FILES_GGUF_PARTS_H
#define PROTO_FILES_GGUF_PARTS_H

#include "proto/files/gguf.h"

/* One file, whatever it says of others. */
int gguf_open_file(struct gguf *g, const char *path, struct err *err);

/* A file's bytes, for munmap. E_MODEL: it is no file, is empty or cannot be read. */
int gguf_map(const char *path, const uint8_t **out, size_t *n_bytes, struct err *err);

/* Sorts the tensors' names for gguf_tensor, whenever the list has changed. E_MODEL: a name is there twice. */
int gguf_sort_tensors(struct gguf *g, struct err *err);

#endif
