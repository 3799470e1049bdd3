/* mma.h -- one step of Hopper's tensor cores, mma.sync.m16n8k16 with f16 or bf16 inputs and fp32 sums, bit for bit as
 * published: microsoft/MMA-Sim (arXiv 2511.10909). An output's 16 products and its C are aligned to the greatest of
 * their exponents, 25 fraction bits stay, cut toward zero; their exact sum is cut to fp32 toward zero. Zero has the
 * exponent -126. Ampere adds two halves of 8 with 24 bits: other bits. No card has been compared with this file.
 */
#ifndef TESTS_EMULATED_CUDA_MMA_H
#define TESTS_EMULATED_CUDA_MMA_H

#include <stdint.h>

/* d[16, 8] = a[16, 16] . b[16, 8] + c[16, 8]; a and b as bits of f16, or of bf16. d may be c. */
void emulated_mma(float *d, const uint16_t *a, const uint16_t *b, const float *c, bool bf16);

/* The same by a warp: fragments as PTX has them (a: 4 words, b: 2 words, c and d: 4 floats a lane). */
void emulated_warp_mma(float d[4], const uint32_t a[4], const uint32_t b[2], const float c[4], bool bf16);

#endif
