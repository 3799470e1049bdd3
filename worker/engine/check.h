/* check.h -- whether the numbers in a file can be weights. What is not finite, or far from any trained weight, comes of
 * a damaged file: products of it overflow, sooner or later, and a text would end in the middle. Pure.
 */
#ifndef WORKER_ENGINE_CHECK_H
#define WORKER_ENGINE_CHECK_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/kernels.h"

/* Of a row of n numbers in the file's format: floats are at most WEIGHT_MOST in size, scales of blocks are finite. */
#define WEIGHT_MOST 1e6f
bool check_row(enum quant type, const uint8_t *row, int n);

#endif
