/* gguf_parts.h -- a model that is split over files, NAME-00001-of-00003.gguf and so on, seen as one: how gguf_open joins
 * them. The first part has all metadata; split.no, split.count and split.tensors.count say what belongs together
 * (llama.cpp's gguf-split). Between gguf.c and gguf_parts.c only.
 */
#ifndef PROTO_GGUF_PARTS_H
#define PROTO_GGUF_PARTS_H

#include "proto/gguf.h"

/* One file, whatever it says of others. */
int gguf_open_file(struct gguf *g, const char *path, struct err *err);

/* Opens the parts behind the first, which is open, and adds their tensors to it. Nothing to do for a file that is whole.
 * E_MODEL: another part than the first was given, one is missing or is not of this model. */
int gguf_add_parts(struct gguf *g, struct err *err);

/* E_MODEL: a name is there twice. */
int gguf_check_tensor_names(const struct gguf *g, struct err *err);

#endif
