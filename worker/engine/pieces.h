/* pieces.h -- which rows of a model file's tensors are kept, in the order in which a pass reads them, and where each
 * will be in memory. A tensor is found by its name, and must have the expected shape and a format that runs here. No
 * weights are read. */
#ifndef WORKER_ENGINE_PIECES_H
#define WORKER_ENGINE_PIECES_H

#include <stdbool.h>
#include <stddef.h>

#include "kernels/device.h"
#include "kernels/kernels.h"
#include "proto/err.h"
#include "proto/files/gguf.h"

enum { PIECE_ALIGN = 64 };

/* A tensor, or rows of it. The matrices of a stack count their rows on. */
struct piece {
    const struct gguf_tensor *tensor;
    const int32_t *listed; /* borrowed: row i is the tensor's row listed[i]; NULL: its row i */
    int row_from, row_to;
    struct weights *matrix; /* one of the two */
    float **vector;
};

struct pieces {
    const struct gguf *file; /* borrowed */
    bool requantize;         /* matrices of more bits become Q4_1 (requantize.h) */
    int block;               /* names follow "blk.N." with this N; -1: no such prefix */
    struct piece *list;      /* [n] owns */
    int n, room;
};

struct matrix_rows { /* rows [from, to) of [n_out, n_in] */
    const char *name;
    int n_in, n_out, from, to;
    struct weights *w;
};

struct vector_part { /* numbers [from, to) of [n] */
    const char *name;
    int n, from, to;
    float **v;
    bool optional; /* the file may be without it */
};

/* E_MODEL: no such tensor, or not of this shape. They set w's shape and format. */
int pieces_add_matrix(struct pieces *p, const struct matrix_rows *m, struct err *err);
int pieces_add_vector(struct pieces *p, const struct vector_part *v, struct err *err);

/* A tensor of n_stack matrices [n_out, n_in]; NULL: err has the cause. */
const struct gguf_tensor *pieces_stack(const struct pieces *p, const char *suffix, int n_in, int n_out, int n_stack,
                                       struct err *err);
/* Keeps rows [from, to) of the n_stack * n_out rows of such a tensor. */
int pieces_add_rows(struct pieces *p, const struct gguf_tensor *t, int from, int to, struct weights *w,
                    struct err *err);
/* Keeps rows listed[from .. to) of such a tensor; borrowed for as long as the pieces. */
int pieces_add_listed(struct pieces *p, const struct gguf_tensor *t, const int32_t *listed, int from, int to,
                      struct weights *w, struct err *err);
void pieces_free(struct pieces *p);

/* The format in which a matrix is kept. */
enum quant pieces_kept_type(const struct pieces *p, const struct gguf_tensor *t);

enum { LOAD_STEP = 16 << 20 }; /* bytes; before each so many of a matrix a load says how far it is */

/* Bytes of memory, once packed by the kernels, or by a device (NULL: none), in its own. */
size_t matrix_bytes(const struct kernels *k, const struct device_table *device, enum quant type, int n_in, int n_rows);
size_t piece_bytes(const struct piece *p, const struct kernels *k, const struct device_table *device);

#endif
