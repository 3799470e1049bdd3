/* safetensors.h -- the container of weights of Hugging Face's libraries: a length, a JSON object of names, then the
 * numbers. Files of one model are read one after the other into one list.
 *
 * Source of the format: https://github.com/huggingface/safetensors ("Format"): 8 bytes of length, little-endian, then
 * {"name": {"dtype": "BF16", "shape": [rows, columns], "data_offsets": [begin, end]}, ...}; offsets count from the end
 * of this object.
 */
#ifndef PROTO_FILES_SAFETENSORS_H
#define PROTO_FILES_SAFETENSORS_H

#include "proto/files/gguf.h"

struct safetensor {
    char *name;    /* owns */
    char dtype[8]; /* as in the file: "BF16" */
    int type;      /* as in GGUF files: F32, F16 or BF16; -1: another dtype */
    int n_dims;
    uint64_t dim[4]; /* in the file's order: dim[n_dims - 1] varies fastest */
    const uint8_t *data;
    size_t n_bytes;
    bool used; /* for the caller's notes */
};

struct safetensors { /* zeroed: empty */
    struct safetensor *list;
    size_t n, room;
};

/* Adds the tensors of a file's bytes, which are borrowed; `path` is for messages. E_MODEL: damaged. */
int safetensors_add(struct safetensors *s, const char *path, const uint8_t *bytes, size_t n_bytes, struct err *err);

/* Called when all are added, and before safetensors_find. E_MODEL: a name is there twice. */
int safetensors_sort(struct safetensors *s, const char *path, struct err *err);

struct safetensor *safetensors_find(const struct safetensors *s, const char *name); /* NULL: absent */
void safetensors_free(struct safetensors *s);

#endif
