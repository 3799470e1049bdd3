/* kernels.h -- arithmetic on buffers: one table of functions, chosen once at start.
 *
 * kernels/ARITHMETIC.md defines the bits; cpu_ref.c decides what that page leaves open, and stays readable. Every
 * other path gives the reference's bits (memcmp), so callers have no #ifdef and no tolerance. Output first, then
 * inputs, then sizes. Nothing here allocates, locks, logs or depends on a model. Functions are reentrant: threads
 * split rows, panels, heads or chunks among them, and no result depends on the split.
 *
 * Weights are in panels of 16 output rows: a lane of the widest vector is an output row, and one output element is one
 * fp32 accumulator that adds over K in increasing order. The layout of a panel's bytes is private to its path (the
 * reference keeps the file's blocks): pack() and matmul() of one table belong together.
 */
#ifndef KERNELS_KERNELS_H
#define KERNELS_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    ARITHMETIC_ID = 1, /* of kernels/ARITHMETIC.md: machines of different ids may not serve one job */
    PANEL = 16,        /* output rows of a panel */
    BLOCK = 32,        /* elements of a token row that share a scale */
    ATTN_CHUNK = 256,  /* positions of an attention chunk */
    ATTN_HEADS = 6,    /* the most query heads at once: they share the reads of K and V, their sums fill registers */
    HEAD_CHUNK = 1024  /* ids of a head chunk */
};

/* Formats of weights, numbered as GGUF numbers its tensor types. */
enum quant {
    QUANT_F32 = 0,
    QUANT_F16 = 1,
    QUANT_Q4_0 = 2,
    QUANT_Q4_1 = 3,
    QUANT_Q5_0 = 6,
    QUANT_Q5_1 = 7,
    QUANT_Q8_0 = 8,
    QUANT_Q2_K = 10,
    QUANT_Q3_K = 11,
    QUANT_Q4_K = 12,
    QUANT_Q5_K = 13,
    QUANT_Q6_K = 14,
    QUANT_BF16 = 30
};

static inline bool quant_is_float(enum quant type)
{
    return type == QUANT_F32 || type == QUANT_F16 || type == QUANT_BF16;
}

/* A matrix [n_out, n_in] in panels. Panel p holds rows 16p .. 16p+15; rows past n_out are zero rows. */
struct weights {
    enum quant type;
    int n_in, n_out;
    size_t panel_bytes; /* a multiple of 64 */
    uint8_t *panels;    /* [ceil(n_out/16), panel_bytes], 64-byte aligned; owned by the caller that made it */
};

/* 32 elements of a token row made ready for a product (ARITHMETIC.md, Products): a cache line. */
struct act {
    _Alignas(64) int8_t q[BLOCK];
    int32_t sum[2];  /* of 16 q each */
    int16_t pair[4]; /* of those with k%4 < 2, and of the others, of 16 q each; for paths that add in 16 bits */
    float s, u;      /* the scale; s * (sum of the q), rounded once */
};

/* Token rows. Float weights read x, all others the blocks. */
struct acts {
    int n_in;
    float *x;           /* [n_rows, n_in]; filled by quantize only where not NULL */
    struct act *blocks; /* [n_rows, n_in/32], 64-byte aligned; NULL where only float weights read these rows */
};

/* One chunk of the head: (max, smallest id of it, sum of exp(l - max)). */
struct head_part {
    float max;
    int32_t id;
    float sum;
};

struct head_pick { /* the greatest key, and its logit (ARITHMETIC.md, Sampling); id INT32_MAX: there is none */
    float key, logit;
    int32_t id;
};

struct softmax { /* over the positions so far: the sum of exp(score - max); {0}: no position */
    float max, sum;
};

struct kernels {
    const char *name; /* "ref", "avx2", "avx512", "amx" */

    /* Panels. rows[i] is a row in the file's format, NULL a row of zeros. */
    size_t (*panel_bytes)(enum quant type, int n_in);
    void (*pack)(void *panel, const void *const rows[PANEL], enum quant type, int n_in);
    /* out[n_in] = row i_row of w: fmaf(s_w, q, m_w) an element (embedding). */
    void (*row)(float *out, const struct weights *w, int i_row);

    /* Row i_row of `a` from x[a->n_in]. Returns -1, or the index of the first element that is not finite. */
    int (*quantize)(struct acts *a, int i_row, const float *x);

    /* out[r*ld_out + 16p + lane] for panels p in [from, to) and token rows r in [0, n_rows): all 16 lanes are written,
     * so ld_out >= 16 * panels of w. */
    void (*matmul)(float *out, size_t ld_out, const struct weights *w, const struct acts *a, int n_rows, int from,
                   int to);

    /* RMSNorm: out[i] = (x[i] * (1 / sqrt(mean(x^2) + eps))) * w[i]; out may be x. */
    void (*norm)(float *out, const float *x, const float *w, int n, float eps);
    /* x[i] += y[i]; */
    void (*add)(float *x, const float *y, int n);
    /* x[i] += step * y[i], two roundings: a plan entry's step (2310.12818). step 1 equals add. */
    void (*add_step)(float *x, const float *y, float step, int n);
    /* out[i] = (gate[i] / (1 + exp(-gate[i]))) * up[i]; out may be gate. */
    void (*silu_mul)(float *out, const float *gate, const float *up, int n);
    /* The same of z(gate) in place of the inner gate, z = gate * fmaf(gate * gate, GELU_C3, GELU_C1): GELU by tanh
     * (1606.08415, section 2), for (1 + tanh(z/2)) / 2 = 1 / (1 + exp(-z)). */
    void (*gelu_mul)(float *out, const float *gate, const float *up, int n);
    /* Turns n_heads vectors of d. cs[d/2][2] = cos, sin of this position. neox: i pairs with i + d/2; else 2i with
     * 2i+1. a' = a*cos - b*sin, b' = a*sin + b*cos, one rounding an operation. */
    void (*rope)(float *x, const float *cs, int n_heads, int d, bool neox);
    /* F32 -> F16, ties to even. */
    void (*to_f16)(uint16_t *out, const float *x, int n);
    /* Query heads of one row that share a KV head, at most ATTN_HEADS, over positions from .. to-1 of one chunk
     * (ARITHMETIC.md, Attention): the result is merged into out[n_heads, d] and so_far[n_heads]. q[n_heads, d] is
     * scaled already; k and v begin at position 0 and step by ld elements. scratch: n_heads * (ATTN_CHUNK + d) floats.
     * See attention_rows. */
    void (*attention)(float *out, struct softmax *so_far, const float *q, int n_heads, const uint16_t *k,
                      const uint16_t *v, size_t ld, int from, int to, int d, float *scratch);
    /* Reduces logits[n] of ids first .. first+n-1, n <= HEAD_CHUNK, first a multiple of HEAD_CHUNK. */
    struct head_part (*head)(const float *logits, int32_t first, int n);
    /* NULL, or: measures once what this path chooses by itself, and returns its choice in words. kernels_pick calls
     * it. */
    const char *(*calibrate)(void);
};

struct attention_row {
    const float *q;   /* [n_heads, d], scaled already */
    float *out;       /* [n_heads, d] */
    int first, n_pos; /* it sees positions first .. n_pos-1 */
};

/* The attention of rows of one sequence, for query heads that share a KV head: chunk by chunk, so that all rows share
 * the reads of K and V. scratch: n_heads * (ATTN_CHUNK + d + 2 * n_rows) floats. */
void attention_rows(const struct kernels *k, const struct attention_row *rows, int n_rows, int n_heads,
                    const uint16_t *keys, const uint16_t *values, size_t ld, int d, float *scratch);

/* The formats that every path has, NULL past the last; their names are GGUF's. */
const enum quant *kernels_format(int i);
bool kernels_supports(int type);

/* The fastest path of this CPU that passes its self-test, or the one that PILOTFISH_CPU names: ref, avx2, avx512, amx;
 * calibrated. NULL: the name is unknown, the CPU lacks it, or its self-test fails; *why is then the reason, a static
 * string. The caller picks once and passes the table on. */
const struct kernels *kernels_pick(const char *forced, const char **why);

/* The i-th path that this CPU has, the reference first; NULL past the last. For tests and `doctor`. */
const struct kernels *kernels_path(int i);

/* a and b merged, a's ids all before b's: greater logit wins, then the smaller id. */
struct head_part head_merge(struct head_part a, struct head_part b);

/* A hash of the results of every kernel of the table on fixed hard inputs: KERNELS_SELFTEST on every path and machine
 * of this arithmetic id. If it changes while the self-test itself does not, the contract has changed: give
 * ARITHMETIC_ID its next value. */
#define KERNELS_SELFTEST 0xb5325845c51b1296u
uint64_t kernels_selftest(const struct kernels *k);

extern const struct kernels kernels_ref, kernels_avx2, kernels_avx512, kernels_amx; /* callers use kernels_pick */

#endif
