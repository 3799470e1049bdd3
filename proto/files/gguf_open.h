/* gguf_open.h -- a model at a path, seen as one GGUF file: a file, files that it is split over, or a directory (hf.h).
 *
 * Of NAME-00001-of-00003.gguf and so on the path names the first, and the others are joined to it. The first has all
 * metadata; split.no, split.count and split.tensors.count tell which files belong together (llama.cpp's gguf-split).
 */
#ifndef PROTO_FILES_GGUF_OPEN_H
#define PROTO_FILES_GGUF_OPEN_H

#include "proto/files/gguf.h"

/* E_MODEL and one line if anything is wrong. */
int gguf_open(struct gguf *g, const char *path, struct err *err);

#endif
