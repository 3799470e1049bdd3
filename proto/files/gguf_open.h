/* gguf_open.h -- a model at a path, seen as one GGUF file: a file, files that it is split over, or a directory (hf.h).
 *
 * Of NAME-00001-of-00003.gguf and so on the first is given, and the others are joined to it. The first has all metadata;
 * split.no, split.count and split.tensors.count say what belongs together (llama.cpp's gguf-split).
 */
#ifndef PROTO_FILES_GGUF_OPEN_H
#define PROTO_FILES_GGUF_OPEN_H

#include "proto/files/gguf.h"

/* E_MODEL and one line on anything wrong. */
int gguf_open(struct gguf *g, const char *path, struct err *err);

#endif
