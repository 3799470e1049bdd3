/* device.h -- a device that computes passes: one versioned table, which a device fills and the engine calls.
 *
 *   open ─▶ matrix, fill ..., vector ... ─▶ begin ─▶ record ... ─▶ run ─▶ poll until it is done ─▶ end ─▶ logits
 *                                             ▲──────────────────── the next pass ──────────────────────┘
 *
 * It knows no model: the caller records what is done, step by step, over rows that stay on the device, and the device
 * does it in this order. It owns its copies of weights and rows, and the KV caches. One thread calls it. Nothing is
 * taken after open, matrix and vector but room for the ops of the longest pass.
 *
 * DEVICE_VERSION changes with whatever is added here; a table of another version is refused. Not there yet: experts,
 * the exchange between devices, K and V alone of a block, reducing the logits on the device. The caller refuses what
 * needs them.
 */
#ifndef KERNELS_DEVICE_H
#define KERNELS_DEVICE_H

#include <stdint.h>

#include "kernels/kernels.h"

enum { DEVICE_VERSION = 2, DEVICE_NONE = -1 };

struct device;

struct device_shape {
    int max_rows, n_embd, n_head, n_head_kv, d_head, n_ff;
    int n_caches, n_slots, n_ctx;
    float eps, q_scale;
    bool rope_neox, gelu;
};

struct device_row {
    int slot, pos;
    int bad; /* the entry in which a number was not finite; below 0: none yet. end sets it */
};

/* Rows on the device, [n_rows, width]. READY: those that a product reads, as it reads them. */
enum device_buffer {
    DEVICE_X,
    DEVICE_Q,
    DEVICE_K,
    DEVICE_V,
    DEVICE_ATTN,
    DEVICE_FF,
    DEVICE_UP,
    DEVICE_Y,
    N_DEVICE_BUFFERS
};

enum device_op_kind {
    DEVICE_READY,    /* READY = rows of `buffer`, normed by `norm`; a row with a number that is not finite is bad */
    DEVICE_PRODUCT,  /* buffer = READY . matrix^T */
    DEVICE_PLACE,    /* q, k, v += bias; q, k normed by head and turned; q *= q_scale; K and V into the cache */
    DEVICE_ATTEND,   /* ATTN = attention of Q over the cache */
    DEVICE_ACTIVATE, /* FF = activation(FF) * UP */
    DEVICE_ADD,      /* X += step * Y, Y normed by `norm` */
};

struct device_op {
    enum device_op_kind kind;
    enum device_buffer buffer;
    int matrix; /* of matrix() */
    int norm;   /* of vector(); DEVICE_NONE: none. So are these: */
    int bias[3], norm_q, norm_k;
    int cache, n_window; /* n_window: positions that a row sees, its own included; 0: all */
    bool local;          /* PLACE: turned by the second half of cs */
    float step;
    int entry;       /* READY: what a bad row is marked with */
    const int *rows; /* READY: [n_rows] rows of the pass, in place of all; NULL. Borrowed until end */
    int n_rows;
};

struct device_table {
    int version, arithmetic; /* DEVICE_VERSION; whose bits it gives (kernels.h) */
    const char *name;
    /* NULL: it cannot; *why is a static string. */
    struct device *(*open)(const struct device_shape *shape, const char **why);
    void (*close)(struct device *d);
    /* A matrix [n_out, n_in], and the rows of its panel (kernels.h, pack); a vector. Below 0: out of memory. */
    int (*matrix)(struct device *d, enum quant type, int n_in, int n_out);
    void (*fill)(struct device *d, int matrix, int i_panel, const void *const rows[PANEL]);
    int (*vector)(struct device *d, const float *x, int n);
    /* out[n_in] = row i_row of a matrix. */
    void (*row)(struct device *d, float *out, int matrix, int i_row);
    /* A pass over rows, of which x[n_rows, n_embd] comes in; cs[2, max_rows, d_head/2, 2] as kernels.h's rope has it.
     */
    void (*begin)(struct device *d, const struct device_row *rows, int n_rows, const float *x, const float *cs);
    int (*record)(struct device *d, const struct device_op *op); /* not 0: out of memory */
    void (*run)(struct device *d);
    int (*poll)(struct device *d, uint64_t until_ns); /* 1: done; 0: not yet, at this time of the clock; -1: lost */
    /* x goes out, and which rows are bad. */
    void (*end)(struct device *d, struct device_row *rows, float *x);
    /* out[n_rows, ld] = READY rows [row, row + n_rows) . rows [16 i_panel, + n) of a matrix; whole panels. */
    void (*logits)(struct device *d, float *out, size_t ld, int matrix, int row, int n_rows, int i_panel, int n);
    /* Between passes: K and V of a slot's first n positions, in all caches, become those of another slot. */
    void (*copy)(struct device *d, int to, int from, int n);
};

/* The reference's kernels behind the table: it proves the cut, and is for tests. */
extern const struct device_table device_ref;

#endif
