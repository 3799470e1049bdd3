/* immintrin.h -- AVX-512 and AMX on CPUs that lack them: what kernels/cpu_a*.c use of them, lane by lane as Intel's
 * Software Developer's Manual (volume 2) defines it. Tests find this file in place of the compiler's, whose types and
 * narrower vectors it keeps, and so hold those paths to the reference wherever there is AVX2. What a source uses and is
 * not here does not compile.
 */
#ifndef TESTS_EMULATED_IMMINTRIN_H
#define TESTS_EMULATED_IMMINTRIN_H

#pragma GCC system_header /* some of these are macros already, and may be defined anew in a file of this kind */
#include_next <immintrin.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#ifdef __AVX512F__
#error "compile for AVX2: this file stands in for what is beyond"
#endif

#define EMULATED static inline __attribute__((always_inline, unused))
#define LANES_16 for (int i = 0; i < 16; i++)

/* ---- bits ---- */

#define _mm512_castps_si512(a) ((__m512i)(__m512)(a))
#define _mm512_castsi512_ps(a) ((__m512)(__m512i)(a))
#define _mm512_and_si512(a, b) ((__m512i)((__v8du)(__m512i)(a) & (__v8du)(__m512i)(b)))
#define _mm512_xor_ps(a, b) ((__m512)((__v8du)(__m512)(a) ^ (__v8du)(__m512)(b)))
#define _mm512_setzero_ps() ((__m512){0})
#define _mm512_setzero_si512() ((__m512i){0})
#define _mm512_slli_epi32(a, n) ((__m512i)((__v16su)(__m512i)(a) << (n)))
#define _mm512_srli_epi32(a, n) ((__m512i)((__v16su)(__m512i)(a) >> (n)))
#define _mm512_srli_epi16(a, n) ((__m512i)((__v32hu)(__m512i)(a) >> (n)))
#define _mm512_ternarylogic_epi32(a, b, c, table) emulated_ternarylogic(a, b, c, table)
EMULATED __m512i emulated_ternarylogic(__m512i a, __m512i b, __m512i c, int table)
{
    __v8du x = (__v8du)a, y = (__v8du)b, z = (__v8du)c, out = {0};
    for (int i = 0; i < 8; i++)
        if (table >> i & 1) out |= (i & 4 ? x : ~x) & (i & 2 ? y : ~y) & (i & 1 ? z : ~z);
    return (__m512i)out;
}

/* ---- one value in every lane, or the lanes one by one ---- */

#define _mm512_set1_ps(x) emulated_set1_ps(x)
EMULATED __m512 emulated_set1_ps(float x)
{
    __v16sf out;
    LANES_16 out[i] = x;
    return (__m512)out;
}

#define _mm512_set1_epi32(x) emulated_set1_epi32(x)
EMULATED __m512i emulated_set1_epi32(int x)
{
    __v16si out;
    LANES_16 out[i] = x;
    return (__m512i)out;
}

#define _mm512_set1_epi8(x) emulated_set1_epi8((char)(x))
EMULATED __m512i emulated_set1_epi8(char x)
{
    __m512i out;
    memset(&out, x, sizeof out);
    return out;
}

#define _mm512_setr_epi32(...) ((__m512i)(__v16si){__VA_ARGS__})

/* ---- memory ---- */

#define _mm512_load_si512(at) (*(const __m512i *)(at))
#define _mm512_load_ps(at) (*(const __m512 *)(at))
#define _mm512_loadu_ps(at) emulated_loadu_ps(at)
EMULATED __m512 emulated_loadu_ps(const float *at)
{
    __m512 out;
    memcpy(&out, at, sizeof out);
    return out;
}

#define _mm512_store_si512(at, a) (*(__m512i *)(at) = (a))
#define _mm512_storeu_ps(at, a) emulated_storeu_ps(at, a)
EMULATED void emulated_storeu_ps(float *at, __m512 a)
{
    memcpy(at, &a, sizeof a);
}

#define _mm512_maskz_loadu_ps(mask, at) emulated_maskz_loadu_ps(mask, at)
EMULATED __m512 emulated_maskz_loadu_ps(__mmask16 mask, const float *at)
{
    __v16sf out = {0};
    LANES_16 if (mask >> i & 1) out[i] = at[i];
    return (__m512)out;
}

#define _mm512_mask_storeu_ps(at, mask, a) emulated_mask_storeu_ps(at, mask, a)
EMULATED void emulated_mask_storeu_ps(float *at, __mmask16 mask, __m512 a)
{
    LANES_16 if (mask >> i & 1) at[i] = a[i];
}

#define _mm256_maskz_loadu_epi16(mask, at) emulated_maskz_loadu_epi16(mask, at)
EMULATED __m256i emulated_maskz_loadu_epi16(__mmask16 mask, const uint16_t *at)
{
    __v16hi out = {0};
    LANES_16 if (mask >> i & 1) out[i] = (short)at[i];
    return (__m256i)out;
}

#define _mm256_mask_storeu_epi16(at, mask, a) emulated_mask_storeu_epi16(at, mask, a)
EMULATED void emulated_mask_storeu_epi16(uint16_t *at, __mmask16 mask, __m256i a)
{
    LANES_16 if (mask >> i & 1) at[i] = (uint16_t)((__v16hi)a)[i];
}

/* ---- arithmetic ---- */

#define _mm512_add_ps(a, b) ((__m512)(a) + (__m512)(b))
#define _mm512_sub_ps(a, b) ((__m512)(a) - (__m512)(b))
#define _mm512_mul_ps(a, b) ((__m512)(a) * (__m512)(b))
#define _mm512_div_ps(a, b) ((__m512)(a) / (__m512)(b))
#define _mm512_add_epi32(a, b) ((__m512i)((__v16su)(__m512i)(a) + (__v16su)(__m512i)(b)))
#define _mm512_sub_epi32(a, b) ((__m512i)((__v16su)(__m512i)(a) - (__v16su)(__m512i)(b)))
#define _mm512_abs_ps(a) ((__m512)((__v16su)(__m512)(a)&0x7fffffffu))
#define _mm512_fmadd_ps(a, b, c) emulated_fmadd_ps(a, b, c)
#define _mm512_fnmadd_ps(a, b, c) emulated_fmadd_ps(-(__m512)(a), b, c)
EMULATED __m512 emulated_fmadd_ps(__m512 a, __m512 b, __m512 c)
{
    LANES_16 c[i] = fmaf(a[i], b[i], c[i]);
    return c;
}

/* The second operand where either is a NaN or both are zeros. */
#define _mm512_max_ps(a, b) emulated_max_ps(a, b)
EMULATED __m512 emulated_max_ps(__m512 a, __m512 b)
{
    LANES_16 b[i] = a[i] > b[i] ? a[i] : b[i];
    return b;
}

/* acc + the four products of unsigned and signed bytes, in every lane. */
#define _mm512_dpbusd_epi32(acc, a, b) emulated_dpbusd(acc, a, b)
EMULATED __m512i emulated_dpbusd(__m512i acc, __m512i a, __m512i b)
{
    __v16si sum = (__v16si)acc;
    for (int i = 0; i < 64; i++) sum[i / 4] += (int)((__v64qu)a)[i] * (int)(int8_t)((__v64qi)b)[i];
    return (__m512i)sum;
}

/* ---- masks ---- */

#define _mm512_mask_mov_ps(src, mask, a) emulated_select(mask, a, src)
#define _mm512_maskz_mov_ps(mask, a) emulated_select(mask, a, (__m512){0})
#define _mm512_mask_add_ps(src, mask, a, b) emulated_select(mask, _mm512_add_ps(a, b), src)
#define _mm512_mask_sub_ps(src, mask, a, b) emulated_select(mask, _mm512_sub_ps(a, b), src)
#define _mm512_mask_max_ps(src, mask, a, b) emulated_select(mask, _mm512_max_ps(a, b), src)
#define _mm512_mask3_fmadd_ps(a, b, c, mask) emulated_select(mask, _mm512_fmadd_ps(a, b, c), c)
EMULATED __m512 emulated_select(__mmask16 mask, __m512 a, __m512 b)
{
    LANES_16 b[i] = mask >> i & 1 ? a[i] : b[i];
    return b;
}

#define _mm512_cmp_ps_mask(a, b, how) emulated_cmp(0xffff, a, b, how)
#define _mm512_mask_cmp_ps_mask(mask, a, b, how) emulated_cmp(mask, a, b, how)
EMULATED __mmask16 emulated_cmp(__mmask16 mask, __m512 a, __m512 b, int how)
{
    unsigned out = 0;
    LANES_16
    {
        bool unordered = a[i] != a[i] || b[i] != b[i], is;
        switch (how) {
        case _CMP_EQ_OQ: is = a[i] == b[i]; break;
        case _CMP_LT_OQ: is = a[i] < b[i]; break;
        case _CMP_GT_OQ: is = a[i] > b[i]; break;
        case _CMP_NEQ_UQ: is = unordered || a[i] != b[i]; break;
        case _CMP_UNORD_Q: is = unordered; break;
        default: __builtin_trap();
        }
        out |= (unsigned)is << i;
    }
    return (__mmask16)(out & mask);
}

/* ---- conversions, all to nearest, ties to even ---- */

#define _mm512_cvtepi32_ps(a) emulated_cvtepi32_ps(a)
EMULATED __m512 emulated_cvtepi32_ps(__m512i a)
{
    return (__m512) __builtin_convertvector((__v16si)a, __v16sf);
}

/* In range only: beyond it the CPU gives INT_MIN, and callers take no notice. */
#define _mm512_cvtps_epi32(a) emulated_cvtps_epi32(a)
EMULATED __m512i emulated_cvtps_epi32(__m512 a)
{
    __v16si out;
    LANES_16 out[i] = _mm_cvtss_si32(_mm_set_ss(a[i]));
    return (__m512i)out;
}

#define _mm512_cvtepi8_epi32(a) emulated_cvtepi8_epi32(a)
EMULATED __m512i emulated_cvtepi8_epi32(__m128i a)
{
    __v16si out;
    LANES_16 out[i] = (int8_t)((__v16qi)a)[i];
    return (__m512i)out;
}

#define _mm512_cvtepi32_epi8(a) emulated_cvtepi32_epi8(a)
EMULATED __m128i emulated_cvtepi32_epi8(__m512i a)
{
    __v16qi out;
    LANES_16 out[i] = (char)((__v16si)a)[i];
    return (__m128i)out;
}

#define _mm512_cvtepu16_epi32(a) emulated_cvtepu16_epi32(a)
EMULATED __m512i emulated_cvtepu16_epi32(__m256i a)
{
    __v16si out;
    LANES_16 out[i] = (uint16_t)((__v16hi)a)[i];
    return (__m512i)out;
}

#define _mm512_cvtph_ps(a) emulated_cvtph_ps(a)
EMULATED __m512 emulated_cvtph_ps(__m256i a)
{
    __m256 half[2] = {_mm256_cvtph_ps(_mm256_castsi256_si128(a)), _mm256_cvtph_ps(_mm256_extracti128_si256(a, 1))};
    return emulated_loadu_ps((const float *)half);
}

#define _mm512_cvtps_ph(a, how) emulated_cvtps_ph(a)
EMULATED __m256i emulated_cvtps_ph(__m512 a)
{
    __m256 half[2];
    memcpy(half, &a, sizeof half);
    return _mm256_set_m128i(_mm256_cvtps_ph(half[1], _MM_FROUND_TO_NEAREST_INT),
                            _mm256_cvtps_ph(half[0], _MM_FROUND_TO_NEAREST_INT));
}

#define _mm512_roundscale_ps(a, how) emulated_round(a)
EMULATED __m512 emulated_round(__m512 a)
{
    LANES_16 a[i] = rintf(a[i]);
    return a;
}

/* ---- lanes among each other ---- */

#define _mm512_cvtss_f32(a) (((__m512)(a))[0])
#define _mm512_castps512_ps256(a) emulated_half(a, 0)
#define _mm512_extractf32x8_ps(a, which) emulated_half(a, which)
EMULATED __m256 emulated_half(__m512 a, int which)
{
    __m256 half[2];
    memcpy(half, &a, sizeof half);
    return half[which];
}

#define _mm512_movehdup_ps(a) emulated_pick(a, a, (int[]){1, 1, 3, 3})
#define _mm512_moveldup_ps(a) emulated_pick(a, a, (int[]){0, 0, 2, 2})
#define _mm512_permute_ps(a, how) emulated_pick(a, a, (int[]){(how)&3, (how) >> 2 & 3, (how) >> 4 & 3, (how) >> 6 & 3})
#define _mm512_shuffle_ps(a, b, how)                                                                                   \
    emulated_pick(a, b, (int[]){(how)&3, (how) >> 2 & 3, (how) >> 4 & 3, (how) >> 6 & 3})
/* In every quarter: two elements of a's, then two of b's. */
EMULATED __m512 emulated_pick(__m512 a, __m512 b, const int from[4])
{
    __m512 out;
    LANES_16 out[i] = (i % 4 < 2 ? a : b)[i / 4 * 4 + from[i % 4]];
    return out;
}

/* Whole quarters: two of a's, then two of b's. */
#define _mm512_shuffle_f32x4(a, b, how) emulated_shuffle_quarters(a, b, how)
EMULATED __m512 emulated_shuffle_quarters(__m512 a, __m512 b, int how)
{
    __m512 out;
    LANES_16 out[i] = (i < 8 ? a : b)[(how >> i / 4 * 2 & 3) * 4 + i % 4];
    return out;
}

#define _mm512_permutex2var_ps(a, index, b) emulated_permutex2var_ps(a, index, b)
EMULATED __m512 emulated_permutex2var_ps(__m512 a, __m512i index, __m512 b)
{
    __m512 out;
    LANES_16
    {
        int from = ((__v16si)index)[i];
        out[i] = (from & 16 ? b : a)[from & 15];
    }
    return out;
}

#define _mm512_reduce_max_ps(a) emulated_reduce_max(a)
EMULATED float emulated_reduce_max(__m512 a)
{
    float max = a[0];
    LANES_16 max = a[i] > max ? a[i] : max;
    return max;
}

#define _mm512_reduce_add_epi32(a) emulated_reduce_add(0xffff, a)
#define _mm512_mask_reduce_add_epi32(mask, a) emulated_reduce_add(mask, a)
EMULATED int emulated_reduce_add(__mmask16 mask, __m512i a)
{
    int sum = 0;
    LANES_16 sum += mask >> i & 1 ? ((__v16si)a)[i] : 0;
    return sum;
}

/* ---- tiles ---- */

static _Thread_local struct emulated_tiles {
    int rows[8], row_bytes[8];
    uint8_t data[8][16][64];
} emulated_tiles;

/* What the CPU would refuse ends the program. */
#define _tile_loadconfig(at) emulated_tile_config(at)
EMULATED void emulated_tile_config(const void *at)
{
    const uint8_t *c = (const uint8_t *)at;
    if (c[0] != 1) __builtin_trap();
    for (int i = 1; i < 16; i++)
        if (c[i]) __builtin_trap();
    memset(&emulated_tiles, 0, sizeof emulated_tiles);
    for (int i = 0; i < 16; i++) {
        int row_bytes = c[16 + 2 * i] | c[17 + 2 * i] << 8, rows = c[48 + i];
        if (row_bytes > 64 || rows > 16 || !row_bytes != !rows || (i >= 8 && rows)) __builtin_trap();
        if (i < 8) emulated_tiles.rows[i] = rows, emulated_tiles.row_bytes[i] = row_bytes;
    }
}

#define _tile_release() memset(&emulated_tiles, 0, sizeof emulated_tiles)
#define _tile_zero(tile) memset(emulated_tiles.data[tile], 0, sizeof emulated_tiles.data[tile])
#define _tile_loadd(tile, at, stride) emulated_tile_load(tile, at, (size_t)(stride))
EMULATED void emulated_tile_load(int tile, const void *at, size_t stride)
{
    struct emulated_tiles *t = &emulated_tiles;
    if (!t->rows[tile]) __builtin_trap();
    memset(t->data[tile], 0, sizeof t->data[tile]);
    for (int r = 0; r < t->rows[tile]; r++)
        memcpy(t->data[tile][r], (const uint8_t *)at + (size_t)r * stride, (size_t)t->row_bytes[tile]);
}

#define _tile_stored(tile, at, stride) emulated_tile_store(tile, at, (size_t)(stride))
EMULATED void emulated_tile_store(int tile, void *at, size_t stride)
{
    const struct emulated_tiles *t = &emulated_tiles;
    for (int r = 0; r < t->rows[tile]; r++)
        memcpy((uint8_t *)at + (size_t)r * stride, t->data[tile][r], (size_t)t->row_bytes[tile]);
}

/* sums[m][n] += a[m][4k + i], signed, times b[k][4n + i], unsigned. */
#define _tile_dpbsud(sums, a, b) emulated_tile_dpbsud(sums, a, b)
EMULATED void emulated_tile_dpbsud(int sums, int a, int b)
{
    struct emulated_tiles *t = &emulated_tiles;
    if (t->rows[sums] != t->rows[a] || t->row_bytes[sums] != t->row_bytes[b] || t->row_bytes[a] / 4 != t->rows[b])
        __builtin_trap();
    for (int m = 0; m < t->rows[sums]; m++)
        for (int n = 0; n < t->row_bytes[sums] / 4; n++) {
            int32_t sum;
            memcpy(&sum, &t->data[sums][m][4 * n], sizeof sum);
            for (int k = 0; k < t->row_bytes[a]; k++)
                sum += (int8_t)t->data[a][m][k] * t->data[b][k / 4][4 * n + k % 4];
            memcpy(&t->data[sums][m][4 * n], &sum, sizeof sum);
        }
}

#undef LANES_16
#endif
