/* requantize.h -- fewer bits a weight, made at load: what a drafter reads decides how fast it is, and its drafts are
 * judged by the big model anyway.
 *
 * Q4_1: w = d * q + m, q of 0..15, for each 32 weights: 5 bits a weight. Steps: q from the range of the weights, then d
 * and m by least squares for these q, and once more (alternating minimization; the second time gains a few per cent).
 */
#ifndef WORKER_ENGINE_REQUANTIZE_H
#define WORKER_ENGINE_REQUANTIZE_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/kernels.h"

enum { Q4_1_BYTES = 20 }; /* of 32 weights: d and m in fp16, then 16 bytes of two values */

/* row[n / 32 * Q4_1_BYTES] = x[n]; n is a multiple of 32. */
void requantize_q4_1(const struct kernels *k, uint8_t *row, const float *x, int n);

#endif
