/* hard.h -- inputs that are hard on purpose, for tests of kernels: outliers, zeros, denormals, ties, random file
 * blocks.
 *
 * Everything comes from one seeded generator. hard_value decodes a weight of a file's row by a formula of its own, so
 * that no kernel is held to itself.
 */
#ifndef TESTS_LIB_HARD_H
#define TESTS_LIB_HARD_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/kernels.h"

struct hard {
    uint64_t state;
};

uint32_t hard_bits(struct hard *h);

/* Bell-shaped values of about 1 with outliers of 60. */
void hard_floats(struct hard *h, float *x, int n);

/* A token row whose blocks of 32 are of kinds in turn: bell-shaped, zeros, one outlier, all under 2^-100, just there,
 * denormals among ordinary values, large, ties of the rounding. n is a multiple of 32. */
void hard_row(struct hard *h, float *x, int n);

/* Bytes of a row in the file's format, and a row of random blocks: any quants, finite scales of every size and sign. */
size_t hard_row_bytes(enum quant type, int n_in);
void hard_weights(struct hard *h, uint8_t *row, enum quant type, int n_in);

/* Weight k of a row. */
double hard_value(enum quant type, const uint8_t *row, int k);

/* Aligned memory of n bytes full of 0xa5; the test ends where there is none. */
void *hard_alloc(size_t n);

#endif
