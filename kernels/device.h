/* device.h -- a device that computes passes: one versioned table, which a device fills and the engine calls.
 *
 *   open ─▶ matrix, fill ..., vector ... ─▶ begin ─▶ record ... ─▶ run ─▶ poll until it is done ─▶ end ─▶ logits
 *                                             ▲──────────────────── the next pass ──────────────────────┘
 *
 * It knows no model: the caller records what is done, step by step, over rows that stay on the device, and the device
 * does it in this order. It owns its copies of weights and rows, and the KV caches. One thread calls it. Nothing is
 * taken after open, matrix and vector but room for the ops of the longest pass.
 *
 * Shards: a device has its own heads and its own rows of matrices, so of ATTN, FF and Y it computes some columns: they
 * come first in a row. Devices that are members of DEVICE_SHARDS exchange them (GATHER); else the caller gets them
 * between two runs of a pass, exchanges them with the other shards, and puts all columns there. Then they are read
 * whole. Likewise X goes from stage to stage by DEVICE_STAGES, or by the caller.
 *
 * Experts: the caller gets SCORES, picks experts for each row, and records for each expert the ops of its rows alone:
 * the first n_rows of FF, UP and PAIR then hold what it computed for the rows of the pass that `rows` names.
 *
 * Steps: behind a HEAD a pass may go on with rows of the ids that it found (next), as a drafter does, and the host sees
 * all that came of it at the end. A pass without next is of one step.
 *
 * A module (worker/device_pick.h) exports `const struct device_table *pf_device(int version)`; NULL: it has another
 * version. DEVICE_VERSION changes with whatever is added here, at the end of a struct; a table of another version is
 * refused.
 */
#ifndef KERNELS_DEVICE_H
#define KERNELS_DEVICE_H

#include <stdint.h>

#include "kernels/kernels.h"

enum { DEVICE_VERSION = 4, DEVICE_NONE = -1, DEVICE_JUDGED = 16, DEVICE_BEST = 4096, DEVICE_STEPS = 8 };

struct device;

struct device_shape {
    int max_rows, n_embd, n_head, n_head_kv, d_head, n_ff;
    int n_caches, n_slots, n_ctx;
    float eps, q_scale;
    bool rope_neox, gelu;
    int device;           /* of those that probe counts */
    int n_attn, n_ff_all; /* columns of ATTN and FF as products read them: of all shards. n_head, n_ff: this shard's */
    int group, head_at;   /* query heads that share a KV head; of the first own one, its place among these */
    int n_experts;        /* columns of SCORES; 0: no experts */
};

struct device_about {
    char name[96];         /* with its place: no two devices of a host have the same */
    uint64_t memory_bytes; /* that can still be taken; 0: it takes the host's */
    uint64_t selftest;     /* shows its arithmetic: devices of one job have the same */
};

struct device_row {
    int slot, pos;
    int bad; /* the entry in which a number was not finite; below 0: none yet. end sets it */
};

/* Beside its parts, of a row of HEAD: */
struct device_ask {
    float inv_t; /* 1 / temperature: the greatest key of its ids, by this noise (noise.h); 0: none */
    uint32_t seed, sample, position;
    uint32_t best; /* 1: its best n_best ids; 0: none */
};

struct device_best { /* id INT32_MAX: there are no more */
    int32_t id;
    float logit;
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
    DEVICE_SCORES, /* of a router; of experts, before they are added up in Y: */
    DEVICE_PAIR,
    N_DEVICE_BUFFERS
};

/* Columns of a buffer; 0: the model needs none. */
static inline int device_width(const struct device_shape *s, enum device_buffer b)
{
    const int n_q = s->n_head * s->d_head, n_kv = s->n_head_kv * s->d_head;
    const int widths[N_DEVICE_BUFFERS] = {s->n_embd,   n_q,     n_kv,      n_kv,         s->n_attn,
                                          s->n_ff_all, s->n_ff, s->n_embd, s->n_experts, s->n_experts ? s->n_embd : 0};
    return widths[b];
}

enum device_op_kind {
    DEVICE_READY,    /* READY = rows of `buffer`, normed by `norm`; a row with a number that is not finite is bad */
    DEVICE_PRODUCT,  /* buffer = READY . matrix^T; of the first n_rows, 0: of all rows of the pass. So is */
    DEVICE_PLACE,    /* q, k, v += bias; q, k normed by head and turned; q *= q_scale; K and V into the cache; a row
                      * whose K or V the cache cannot hold may be bad: then its ATTN is not finite */
    DEVICE_ATTEND,   /* ATTN = attention of Q over the cache */
    DEVICE_ACTIVATE, /* FF = activation(FF) * UP */
    DEVICE_ADD,      /* X += step * Y, Y normed by `norm` */
    DEVICE_CLEAR,    /* Y = +0 */
    DEVICE_MIX,      /* row rows[i] of Y += weights[i] * row i of PAIR, rounded twice */
    DEVICE_HEAD,     /* logits of the first n_rows of READY, reduced (`head`, `chosen`); the last op of a step */
    DEVICE_GATHER,   /* columns [from[i], from[i+1]) of `buffer`, of the first n_rows: what shard i computed of them */
    DEVICE_SHARE,    /* X = that of shard 0 */
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
    int entry;       /* READY, PLACE: what a bad row is marked with */
    const int *rows; /* READY, MIX: [n_rows] rows of the pass, in place of all; NULL. Borrowed until it has run; for */
    int n_rows;      /* the READY before end until end */
    bool first; /* READY: it reads the first n_rows of the buffer; `rows` only says which of the pass are bad then */
    const float *weights; /* MIX: borrowed likewise */
    /* HEAD: of the first n_ids rows of the matrix; row i may have those below rows[i]. Of judge[n_rows, n_judge], rows
     * of the matrix, the logits are asked for, below 0: none; n_judge <= DEVICE_JUDGED. Both borrowed until `head` and
     * `chosen`. */
    const int32_t *judge;
    int n_judge, n_ids;
    bool whole;      /* the chunks of a row are merged, in increasing order */
    const int *from; /* GATHER: [shards + 1], ascending; parts may be empty. Borrowed as `rows` */
    /* HEAD: [n_rows], borrowed as `judge`; NULL: of all rows their parts alone. Row i of the matrix is of id
     * first_id + i. n_best <= HEAD_CHUNK, n_rows * n_best <= DEVICE_BEST. */
    const struct device_ask *asks;
    int first_id, n_best;
};

/* Devices that exchange rows by themselves: the shards of a stage; the same shard of all stages. */
enum device_comm { DEVICE_SHARDS, DEVICE_STAGES, N_DEVICE_COMMS };
enum { DEVICE_ID_BYTES = 128, DEVICE_LATE = -2 }; /* of comm_id; of comm_open */

struct device_exchanges {
    const char *error; /* an exchange failed: a static string; NULL: none did */
    bool waits;        /* one has begun and is not done: others may not have come to it */
    unsigned n_done;
};

struct device_table {
    int version, arithmetic; /* DEVICE_VERSION; whose bits it gives (kernels.h) */
    const char *name;
    /* NULL: it cannot; *why is a static string. */
    struct device *(*open)(const struct device_shape *shape, const char **why);
    void (*close)(struct device *d);
    /* A matrix [n_out, n_in], and the rows of its panel (kernels.h, pack); a vector. Below 0: it is out of memory, or
     * lost, which poll tells. */
    int (*matrix)(struct device *d, enum quant type, int n_in, int n_out);
    void (*fill)(struct device *d, int matrix, int i_panel, const void *const rows[PANEL]);
    int (*vector)(struct device *d, const float *x, int n);
    /* out[n_in] = row i_row of a matrix. */
    void (*row)(struct device *d, float *out, int matrix, int i_row);
    /* A pass over rows, of which x[n_rows, n_embd] comes in (NULL: they are there, or come by SHARE);
     * cs[2, max_rows, d_head/2, 2] as kernels.h's rope has it. */
    void (*begin)(struct device *d, const struct device_row *rows, int n_rows, const float *x, const float *cs);
    int (*record)(struct device *d, const struct device_op *op); /* not 0: out of memory */
    void (*run)(struct device *d); /* what was recorded since begin, or since the run before */
    /* 1: done; 0: not yet, at this time of the clock; -1: lost, also since it was done: then what get, end, logits and
     * row gave since the last poll is nothing. */
    int (*poll)(struct device *d, uint64_t until_ns);
    /* x goes out (NULL: it stays), and which rows are bad. Then another HEAD of the pass may be recorded, run and
     * polled. */
    void (*end)(struct device *d, struct device_row *rows, float *x);
    /* out[n_rows, ld] = READY rows [row, row + n_rows) . rows [16 i_panel, + n) of a matrix; whole panels. */
    void (*logits)(struct device *d, float *out, size_t ld, int matrix, int row, int n_rows, int i_panel, int n);
    /* How many devices there are, and the i-th of them, if there is one, in *about (NULL: they are only counted).
     * Below 0: none answers; *why has the driver's words, a static string. */
    int (*probe)(int i, struct device_about *about, const char **why);
    /* x[n_rows, ld] = the first n columns of the first n_rows of a buffer, and the other way. After poll, before end.
     * NULL: the device lacks shards of a stage. */
    void (*get)(struct device *d, float *x, size_t ld, enum device_buffer buffer, int n_rows, int n);
    void (*put)(struct device *d, enum device_buffer buffer, const float *x, size_t ld, int n_rows, int n);
    /* Between passes: K and V of a slot's first n positions, in all caches, become those of another slot. */
    void (*copy)(struct device *d, int to, int from, int n);
    bool experts; /* it has SCORES, PAIR, CLEAR, MIX, and `first` */
    /* After end, of the pass's HEAD: parts[n_rows, ceil(n_ids / HEAD_CHUNK)], [n_rows] if whole, of which those that a
     * row may have are set, their ids rows of the matrix; judged[n_rows, n_judge]: -inf where none was asked for, or
     * the row may not have it. NULL: the device lacks HEAD. */
    void (*head)(struct device *d, struct head_part *parts, float *judged);
    /* Exchanges by the devices; NULL, all of them: it has none. Those that fail below 0 set *why to a static string.
     * comm_there: whether there can be any. comm_id: made by one member, for all to open with. comm_open: each of the n
     * members calls it, with a device of its own; it returns when all have, or fails at this time of the clock
     * (DEVICE_LATE).
     * comm_close: before any exchange, if another member has failed. */
    int (*comm_there)(const char **why);
    int (*comm_id)(uint8_t id[DEVICE_ID_BYTES], const char **why);
    int (*comm_open)(struct device *d, enum device_comm which, const uint8_t id[DEVICE_ID_BYTES], int n, int self,
                     uint64_t until_ns, const char **why);
    void (*comm_close)(struct device *d, enum device_comm which);
    /* Between passes. Rows rows[n] (ascending) of X go to the next stage. Of n_rows that come from the stage before,
     * rows[n] become the first rows of X: those of a pass whose begin gets no x. */
    void (*send)(struct device *d, const int *rows, int n);
    void (*receive)(struct device *d, int n_rows, const int *rows, int n);
    /* After an error poll answers -1. comm_abort: nothing waits for others any more; then there is only close. */
    void (*exchanges)(struct device *d, struct device_exchanges *out);
    void (*comm_abort)(struct device *d);
    /* What a matrix takes of the memory that probe tells. */
    size_t (*matrix_bytes)(enum quant type, int n_in, int n_out);
    /* After end, of a HEAD with asks: picks[n_rows], best[n_rows, n_best], best first; ids are rows of the matrix.
     * NULL where head is. */
    void (*chosen)(struct device *d, struct head_pick *picks, struct device_best *best);
    /* A pass of several steps, DEVICE_STEPS at most, run at once: recorded behind a HEAD. All of its HEADs are whole,
     * judge no ids and have no asks. What is recorded from here on is of these rows, as many as that HEAD's; X of row i
     * is scale * the row of `matrix` that it found for its row i. cs: as begin's, of these rows. All rows of the pass
     * are max_rows at most. It gives no x; what end and head give is of all steps, one behind another. NULL: the device
     * lacks it. */
    void (*next)(struct device *d, const struct device_row *rows, int n_rows, const float *cs, int matrix, float scale);
    int rows; /* of a prompt that a pass is to have, where there are as many; 0: as many as the CPU takes */
};

typedef const struct device_table *device_module(int version); /* pf_device */

/* The reference's kernels behind the table: it proves the cut, and is for tests. It has no exchanges. */
extern const struct device_table device_ref;

#endif
