/* cpu_avx2.h -- what the two files of the AVX2 path share. */
#ifndef KERNELS_CPU_AVX2_H
#define KERNELS_CPU_AVX2_H

#include "kernels/kernels.h"

void avx2_matmul(float *out, size_t ld_out, const struct weights *w, const struct acts *a, int n_rows, int from,
                 int to);

#endif
