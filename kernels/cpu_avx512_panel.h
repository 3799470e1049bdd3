/* cpu_avx512_panel.h -- how the paths with zmm registers read a panel's group, and add a block's sums. */
#ifndef KERNELS_CPU_AVX512_PANEL_H
#define KERNELS_CPU_AVX512_PANEL_H

#include <immintrin.h>

#include "kernels/cpu_avx512.h"

enum { AHEAD_BYTES = 8192 /* of the prefetch into L2 */ };

/* ---- values of a block ---- */

INLINE __m512i line_at(const uint8_t *at, int i)
{
    return _mm512_load_si512(at + i * PANEL_LINE);
}

/* Bits of a where mask has them, else of b. */
INLINE __m512i bits_select(__m512i mask, __m512i a, __m512i b)
{
    return _mm512_ternarylogic_epi32(mask, a, b, 0xca);
}

INLINE void quads_nibbles(__m512i w[PANEL_QUADS], const uint8_t *at)
{
    const __m512i low = _mm512_set1_epi8(15);
    UNROLL for (int i = 0; i < 4; i++)
    {
        __m512i l = line_at(at, i);
        w[i] = _mm512_and_si512(l, low);
        w[i + 4] = _mm512_and_si512(_mm512_srli_epi16(l, 4), low);
    }
}

INLINE void quads_fives(__m512i w[PANEL_QUADS], const uint8_t *at)
{
    const __m512i five = _mm512_set1_epi8(31), three = _mm512_set1_epi8(7), four = _mm512_set1_epi8(15);
    __m512i l[5];
    UNROLL for (int i = 0; i < 5; i++)
    {
        l[i] = line_at(at, i);
        w[i] = _mm512_and_si512(l[i], five);
    }
    UNROLL for (int i = 0; i < 2; i++)
    {
        __m512i low = _mm512_srli_epi16(l[2 * i], 5), high = _mm512_srli_epi16(l[2 * i + 1], 3);
        w[5 + i] = _mm512_and_si512(bits_select(three, low, high), five);
    }
    __m512i high = bits_select(four, _mm512_srli_epi16(l[1], 2), _mm512_srli_epi16(l[3], 1));
    w[7] = _mm512_and_si512(bits_select(three, _mm512_srli_epi16(l[4], 5), high), five);
}

INLINE void quads_sixes(__m512i w[PANEL_QUADS], const uint8_t *at)
{
    const __m512i six = _mm512_set1_epi8(63), two = _mm512_set1_epi8(3), four = _mm512_set1_epi8(15);
    UNROLL for (int i = 0; i < 2; i++)
    {
        __m512i a = line_at(at, 3 * i), b = line_at(at, 3 * i + 1), c = line_at(at, 3 * i + 2);
        w[4 * i] = _mm512_and_si512(a, six);
        w[4 * i + 1] = _mm512_and_si512(b, six);
        w[4 * i + 2] = _mm512_and_si512(c, six);
        __m512i ab = bits_select(two, _mm512_srli_epi16(a, 6), _mm512_srli_epi16(b, 4));
        w[4 * i + 3] = _mm512_and_si512(bits_select(four, ab, _mm512_srli_epi16(c, 2)), six);
    }
}

INLINE void quads_read(__m512i w[PANEL_QUADS], int bits, const uint8_t *at)
{
    switch (bits) {
    case 4: quads_nibbles(w, at); break;
    case 5: quads_fives(w, at); break;
    case 6: quads_sixes(w, at); break;
    default: UNROLL for (int i = 0; i < PANEL_QUADS; i++) w[i] = line_at(at, i);
    }
}

/* ---- scales of a group ---- */

struct scales {
    __m512 w[2 * PANEL_GROUP]; /* s_w, of each block or (HEAD_BYTES) of each 16 k */
    __m512 min[PANEL_GROUP];   /* m_w */
};

INLINE __m512 halfs_at(const uint8_t *at)
{
    return _mm512_cvtph_ps(_mm256_load_si256((const __m256i *)(const void *)at));
}

INLINE void scales_six_bits(struct scales *s, const uint8_t *head)
{
    const __m512i six = _mm512_set1_epi32(63), two = _mm512_set1_epi8(3), four = _mm512_set1_epi8(15);
    __m512 d = halfs_at(head), minus_dmin = _mm512_sub_ps(_mm512_setzero_ps(), halfs_at(head + PANEL * 2));
    __m512i a = line_at(head, 1), b = line_at(head, 2), c = line_at(head, 3);
    __m512i ab = bits_select(two, _mm512_srli_epi16(a, 6), _mm512_srli_epi16(b, 4));
    __m512i high_mins = bits_select(four, ab, _mm512_srli_epi16(c, 2));
    __m512i from[4] = {a, b, c, high_mins}; /* six bits of each byte count */
    UNROLL for (int i = 0; i < PANEL_GROUP; i++)
    {
        __m512i scale = _mm512_and_si512(_mm512_srli_epi32(from[i / 4], 8 * (i % 4)), six);
        __m512i min = _mm512_and_si512(_mm512_srli_epi32(from[2 + i / 4], 8 * (i % 4)), six);
        s->w[i] = _mm512_mul_ps(d, _mm512_cvtepi32_ps(scale));
        s->min[i] = _mm512_mul_ps(minus_dmin, _mm512_cvtepi32_ps(min));
    }
}

INLINE void scales_bytes(struct scales *s, const uint8_t *head, const uint8_t *front)
{
    __m512 d = halfs_at(front);
    UNROLL for (int i = 0; i < 2 * PANEL_GROUP; i++)
    {
        __m128i scale = _mm_load_si128((const __m128i *)(const void *)(head + PANEL * i));
        s->w[i] = _mm512_mul_ps(d, _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(scale)));
    }
}

INLINE void scales_read(struct scales *s, enum quant type, const uint8_t *head, const uint8_t *front, int n_blocks)
{
    switch (panel_format(type).head) {
    case HEAD_SIX_BITS: scales_six_bits(s, head); return;
    case HEAD_BYTES: scales_bytes(s, head, front); return;
    case HEAD_D:
        for (int i = 0; i < n_blocks; i++) s->w[i] = halfs_at(head + PANEL * 2 * i);
        return;
    case HEAD_D_M:
        for (int i = 0; i < n_blocks; i++) {
            s->w[i] = halfs_at(head + PANEL * 4 * i);
            s->min[i] = halfs_at(head + PANEL * 4 * i + PANEL * 2);
        }
    }
}

/* ---- a block's sums ---- */

/* Of products with values as they are stored, the sum of those with the file's; n_sums of 16 q each. */
INLINE __m512i less_offset(__m512i dot, const int32_t *sum, int n_sums, int offset)
{
    if (offset == 0) return dot;
    __m512i q_sum = _mm512_set1_epi32(sum[0]);
    if (n_sums == 2) q_sum = _mm512_add_epi32(q_sum, _mm512_set1_epi32(sum[1]));
    return _mm512_sub_epi32(dot, _mm512_slli_epi32(q_sum, __builtin_ctz((unsigned)offset)));
}

/* acc and block i of a token row: dots[0], or where scales are 16 wide dots[0] and dots[1]. */
INLINE __m512 block_add(__m512 acc, const __m512i dots[2], const struct scales *s, int i, enum quant type,
                        const struct act *a)
{
    const __m512 s_x = _mm512_set1_ps(a->s);
    const int offset = panel_format(type).offset;
    if (panel_format(type).head == HEAD_BYTES) {
        __m512i low = less_offset(dots[0], a->sum, 1, offset), high = less_offset(dots[1], a->sum + 1, 1, offset);
        acc = _mm512_fmadd_ps(_mm512_mul_ps(s_x, s->w[2 * i]), _mm512_cvtepi32_ps(low), acc);
        return _mm512_fmadd_ps(_mm512_mul_ps(s_x, s->w[2 * i + 1]), _mm512_cvtepi32_ps(high), acc);
    }
    __m512i isum = less_offset(dots[0], a->sum, 2, offset);
    acc = _mm512_fmadd_ps(_mm512_mul_ps(s_x, s->w[i]), _mm512_cvtepi32_ps(isum), acc);
    if (panel_has_min(type)) acc = _mm512_fmadd_ps(s->min[i], _mm512_set1_ps(a->u), acc);
    return acc;
}

INLINE void prefetch(const uint8_t *at, int n_bytes)
{
    UNROLL for (int i = 0; i < n_bytes; i += PANEL_LINE) _mm_prefetch((const char *)at + i, _MM_HINT_T1);
}

#endif
