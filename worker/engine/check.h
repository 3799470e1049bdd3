/* check.h -- whether the numbers in a file can be weights. Numbers that are not finite, or far larger than trained
 * weights are, come from a damaged file: sooner or later their products overflow, and a text would end in the middle.
 * Pure. */
#ifndef WORKER_ENGINE_CHECK_H
#define WORKER_ENGINE_CHECK_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/kernels.h"
#include "worker/engine/pieces.h"

/* True if in a row of n numbers, in the file's format, all floats are at most WEIGHT_MOST in size, and all scales of
 * blocks are finite. */
#define WEIGHT_MOST 1e6f
bool check_row(enum quant type, const uint8_t *row, int n);

/* Where the rows of a matrix's panel are in the file; NULL past the last. False: one of them is bad. */
bool check_panel(const struct piece *p, int i_panel, const void *rows[PANEL]);
bool check_vector(const struct piece *p);
/* E_MODEL: says of the file at `path` that the piece was bad. */
int check_failed(const struct piece *p, const char *path, struct err *err);

#endif
