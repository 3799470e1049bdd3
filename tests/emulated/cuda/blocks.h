/* blocks.h -- what the emulator's own files share. */
#ifndef TESTS_EMULATED_CUDA_BLOCKS_H
#define TESTS_EMULATED_CUDA_BLOCKS_H

#include "cuda_runtime.h"

/* Runs every block of a grid, in an order drawn from the seed. */
void emulated_grid(const char *name, dim3 grid, dim3 block, size_t n_shared, const std::function<void()> &body);

/* Ends the program with one line: where the kernel is, and what is wrong. */
[[noreturn]] void emulated_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

uint32_t emulated_random(uint32_t n); /* below n */

#endif
