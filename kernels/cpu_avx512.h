/* cpu_avx512.h -- what cpu_avx512.c (products, the table), cpu_avx512_rows.c (the rest) and cpu_amx.c share. */
#ifndef KERNELS_CPU_AVX512_H
#define KERNELS_CPU_AVX512_H

#include "kernels/kernels.h"
#include "kernels/panel.h"

#define INLINE static inline __attribute__((always_inline))

/* Before a loop whose arrays of vectors must become registers. */
#if defined(__clang__)
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

void avx512_matmul(float *out, size_t ld_out, const struct weights *w, const struct acts *a, int n_rows, int from,
                   int to);
int avx512_quantize(struct acts *a, int i_row, const float *x);
void avx512_norm(float *out, const float *x, const float *w, int n, float eps);
void avx512_add(float *x, const float *y, int n);
void avx512_add_step(float *x, const float *y, float step, int n);
void avx512_silu_mul(float *out, const float *gate, const float *up, int n);
void avx512_gelu_mul(float *out, const float *gate, const float *up, int n);
void avx512_rope(float *x, const float *cs, int n_heads, int d, bool neox);
void avx512_to_f16(uint16_t *out, const float *x, int n);
void avx512_attention(float *out, struct softmax *so_far, const float *q, int n_heads, const uint16_t *k,
                      const uint16_t *v, size_t ld, int from, int to, int d, float *scratch);
struct head_part avx512_head(const float *logits, int32_t first, int n);

/* Members that the tables of both paths share. */
#define AVX512_BUT_PRODUCTS                                                                                            \
    .panel_bytes = panel_bytes, .pack = panel_pack, .row = panel_row, .quantize = avx512_quantize,                     \
    .norm = avx512_norm, .add = avx512_add, .add_step = avx512_add_step, .silu_mul = avx512_silu_mul,                  \
    .gelu_mul = avx512_gelu_mul, .rope = avx512_rope, .to_f16 = avx512_to_f16, .attention = avx512_attention,          \
    .head = avx512_head

#endif
