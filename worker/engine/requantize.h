/* requantize.h -- fewer bits a weight, made at load: how many bytes a drafter reads decides how fast it is, and the
 * big model judges its drafts anyway.
 *
 * Q4_1: w = d * q + m, q of 0..15, for each 32 weights: 5 bits a weight. Steps: q from the range of the weights, then
 * d and m by least squares for these q, and once more (alternating minimization; the second time gains a few per
 * cent).
 */
#ifndef WORKER_ENGINE_REQUANTIZE_H
#define WORKER_ENGINE_REQUANTIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/kernels.h"

enum { Q4_1_BYTES = 20 }; /* of 32 weights: d and m in fp16, then 16 bytes of two values */

/* row[n / 32 * Q4_1_BYTES] = x[n]; n is a multiple of 32. */
void requantize_q4_1(const struct kernels *k, uint8_t *row, const float *x, int n);

/* One thread's room to change a panel's rows. */
struct requantizer {
    uint8_t *panel, *rows; /* a panel's rows in the file's format; in Q4_1 */
    float *row;
};

/* For panels of up to panel_bytes and rows of up to n_in. False: out of memory; it must be closed even then. */
bool requantizer_open(struct requantizer *r, size_t panel_bytes, int n_in);
void requantizer_close(struct requantizer *r);
/* rows of `type` (NULL: none) become rows of Q4_1, borrowed until the next call. */
void requantizer_run(struct requantizer *r, const struct kernels *k, const void *rows[PANEL], enum quant type,
                     int n_in);

#endif
