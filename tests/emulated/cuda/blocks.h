/* blocks.h -- what the emulator's own files share. */
#ifndef TESTS_EMULATED_CUDA_BLOCKS_H
#define TESTS_EMULATED_CUDA_BLOCKS_H

#include "cuda_runtime.h"

#include <memory>
#include <vector>

struct emulated_cluster; /* blocks that have begun, and wait for their inputs */

struct emulated_kernel { /* a launch */
    const char *name;
    dim3 grid, block;
    size_t n_shared;
    unsigned cluster; /* blocks beside each other along x that run together */
    std::function<void()> body;
    bool beside; /* it may begin before the kernel before it in the stream is done */
    std::vector<std::shared_ptr<emulated_cluster>> begun;
};

/* Runs every cluster of a grid, in an order drawn from the seed. */
void emulated_run(emulated_kernel *k);
/* Begins a cluster or two of it, each until its threads wait for inputs. What that reads is from before the kernels that
 * have not run yet. */
void emulated_begin(emulated_kernel *k);

/* Ends the program with one line: where the kernel is, and what is wrong. */
[[noreturn]] void emulated_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

uint32_t emulated_random(uint32_t n); /* below n */
void emulated_set_generation(int generation);

#endif
