/* cpu_avx2_matmul.c -- products of the AVX2 path. A half is 8 output rows of a panel, a lane each.
 *
 * vpmaddubsw multiplies unsigned weights with signed activations and adds pairs in 16 bits, saturating. How many pairs
 * may then be added in 16 bits follows from the largest weight (|q| <= 127): 15 * 254 * 8 = 30480 all of a block; 31 *
 * 254 * 4 = 31496 half of it; 63 * 254 * 2 = 32004 two quads; 128 * 254 = 32512 one, and only of |w|: Q8_0 moves the
 * sign to q.
 *
 * Row counts are compile-time constants, so that sums and accumulators can stay in registers. Sixteen hold those of five
 * rows and one half, so a group of 8 blocks, small enough for L1, is walked once a half and five rows.
 */
#include <immintrin.h>

#include "kernels/cpu_avx2.h"
#include "kernels/panel.h"

#define INLINE static inline __attribute__((always_inline))
#define IN_ORDER(v)                                                                                                    \
    __asm__ volatile("" : "+x"(v)) /* gcc 12 gathers loads and regroups sums, and spills: 1.5 times slower */

enum {
    MAX_ROWS = 8,
    MAX_TILE = 5,         /* rows at once: their sums, and their accumulators, stay in registers */
    MAX_FLOAT_ROWS = 5,   /* of both halves at once: six and more spill, 2.5 times slower */
    PREFETCH_BYTES = 8192 /* always: one row of Q4_K and 1536 k is three times slower without */
};

/* ---- scales of a group, 8 output rows of a half ---- */

struct scales {
    __m256 s[2 * PANEL_GROUP]; /* a block; Q6_K: 16 k */
    __m256 m[PANEL_GROUP];
};

INLINE __m256 load_f16(const uint8_t *at)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)at));
}

INLINE __m256i load(const uint8_t *at)
{
    return _mm256_loadu_si256((const __m256i *)at);
}

/* Bits of `mask` in every byte, shifted right by n; what comes from the next byte is masked off. */
INLINE __m256i bits(__m256i v, int n, int mask)
{
    return _mm256_and_si256(_mm256_srli_epi16(v, n), _mm256_set1_epi8((char)mask));
}

INLINE __m256i or3(__m256i a, __m256i b, __m256i c)
{
    return _mm256_or_si256(_mm256_or_si256(a, b), c);
}

/* Byte i of every dword, as float. */
INLINE __m256 byte_of(__m256i v, int i)
{
    return _mm256_cvtepi32_ps(_mm256_and_si256(_mm256_srli_epi32(v, 8 * i), _mm256_set1_epi32(255)));
}

INLINE void scales_q4_k(struct scales *to, const uint8_t *head, int half)
{
    __m256 d = load_f16(head + 16 * half), dmin = load_f16(head + 32 + 16 * half), sign = _mm256_set1_ps(-0.0f);
    __m256i l[3];
    for (int i = 0; i < 3; i++) l[i] = load(head + PANEL_LINE * (i + 1) + 32 * half);
    __m256i scale[2] = {bits(l[0], 0, 63), bits(l[1], 0, 63)};
    __m256i min[2] = {bits(l[2], 0, 63), or3(bits(l[0], 6, 3), bits(l[1], 4, 12), bits(l[2], 2, 48))};
    for (int i = 0; i < PANEL_GROUP; i++) {
        to->s[i] = _mm256_mul_ps(d, byte_of(scale[i / 4], i % 4));
        to->m[i] = _mm256_xor_ps(_mm256_mul_ps(dmin, byte_of(min[i / 4], i % 4)), sign);
    }
}

INLINE void scales_q6_k(struct scales *to, const uint8_t *head, const uint8_t *front, int half)
{
    __m256 d = load_f16(front + 16 * half);
    for (int i = 0; i < 2 * PANEL_GROUP; i++) {
        __m128i eight = _mm_loadl_epi64((const __m128i *)(head + PANEL * i + 8 * half));
        to->s[i] = _mm256_mul_ps(d, _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(eight)));
    }
}

INLINE void scales_read(struct scales *to, const uint8_t *head, const uint8_t *front, int n_blocks, int half,
                        enum quant type)
{
    if (type == QUANT_Q4_K) scales_q4_k(to, head, half);
    if (type == QUANT_Q6_K) scales_q6_k(to, head, front, half);
    if (type == QUANT_Q5_0 || type == QUANT_Q8_0)
        for (int i = 0; i < n_blocks; i++) to->s[i] = load_f16(head + PANEL * 2 * i + 16 * half);
    if (type == QUANT_Q4_1)
        for (int i = 0; i < n_blocks; i++) {
            to->s[i] = load_f16(head + PANEL * 4 * i + 16 * half);
            to->m[i] = load_f16(head + PANEL * 4 * i + PANEL * 2 + 16 * half);
        }
}

/* ---- values of a block ---- */

/* Quad j, read from the lines that hold it. */
INLINE __m256i quad_weights(const uint8_t *at, int j, enum quant type)
{
#define LINE(i) load(at + PANEL_LINE * (i))
    switch (type) {
    case QUANT_Q5_0:
        if (j < 5) return bits(LINE(j), 0, 31);
        if (j < 7) return _mm256_or_si256(bits(LINE(2 * j - 10), 5, 7), bits(LINE(2 * j - 9), 3, 24));
        return or3(bits(LINE(4), 5, 7), bits(LINE(1), 2, 8), bits(LINE(3), 1, 16));
    case QUANT_Q8_0: return _mm256_xor_si256(LINE(j), _mm256_set1_epi8((char)0x80)); /* signed */
    case QUANT_Q6_K:
        if (j % 4 < 3) return bits(LINE(j - j / 4), 0, 63);
        j = j / 4 * 3;
        return or3(bits(LINE(j), 6, 3), bits(LINE(j + 1), 4, 12), bits(LINE(j + 2), 2, 48));
    default: return bits(LINE(j % 4), j / 4 * 4, 15);
    }
#undef LINE
}

/* The same four activations in every lane. */
INLINE __m256i quad(const int8_t *q, int j)
{
    int32_t four;
    __builtin_memcpy(&four, q + 4 * j, sizeof four);
    return _mm256_set1_epi32(four);
}

/* 16-bit sums of pairs. */
INLINE __m256i pairs(__m256i w, __m256i q, enum quant type)
{
    if (type == QUANT_Q8_0) return _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(q, w));
    return _mm256_maddubs_epi16(w, q);
}

/* How many quads may be added in 16 bits. */
INLINE int run_of(enum quant type)
{
    return type == QUANT_Q8_0 ? 1 : type == QUANT_Q6_K ? 2 : type == QUANT_Q5_0 ? 4 : 8;
}

/* total[r] = sum over quads from .. to-1 of weights times activations, of n rows; row r's are at q + r * ld_q. A quad
 * goes to all rows before the next: so many independent sums hide each other's latencies, and only one quad's weights
 * are held at a time. */
INLINE void dots(__m256i total[MAX_TILE], const uint8_t *at, const int8_t *q, size_t ld_q, int from, int to,
                 enum quant type, int n)
{
    __m256i sum[MAX_TILE];
    int run = run_of(type);
#pragma GCC unroll 8
    for (int j = from; j < to; j++) {
        __m256i w = quad_weights(at, j, type);
        IN_ORDER(w);
#pragma GCC unroll 8
        for (int r = 0; r < n; r++) {
            __m256i p = pairs(w, quad(q + (size_t)r * ld_q, j), type);
            sum[r] = j % run == 0 ? p : _mm256_add_epi16(sum[r], p);
            IN_ORDER(sum[r]);
            if (j % run < run - 1) continue;
            p = _mm256_madd_epi16(sum[r], _mm256_set1_epi16(1));
            total[r] = j < from + run ? p : _mm256_add_epi32(total[r], p);
        }
    }
}

/* isum - sum of q << shift: what the weights' offset has added. */
INLINE __m256i take_off(__m256i isum, int32_t sum, int shift)
{
    return _mm256_sub_epi32(isum, _mm256_slli_epi32(_mm256_set1_epi32(sum), shift));
}

INLINE __m256 step(__m256 acc, __m256 s_w, float s_x, __m256i isum)
{
    return _mm256_fmadd_ps(_mm256_mul_ps(_mm256_set1_ps(s_x), s_w), _mm256_cvtepi32_ps(isum), acc);
}

/* ---- products ---- */

/* Where the stream will be: spread over the blocks, for a burst at the head of a group loses 10 %. */
INLINE void prefetch(const uint8_t *at, int n_bytes)
{
    for (int i = 0; i < n_bytes; i += PANEL_LINE) _mm_prefetch((const char *)at + PREFETCH_BYTES + i, _MM_HINT_T0);
}

/* Adds n_blocks blocks from block i_block on to acc, of token rows row .. row+n-1. */
INLINE void group_product(__m256 acc[MAX_TILE], const uint8_t *at, const struct scales *scales, const struct acts *a,
                          int row, int i_block, int n_blocks, enum quant type, int n, bool first_time)
{
    size_t n_all = (size_t)(a->n_in / BLOCK);
    for (int i = 0; i < n_blocks; i++, at += panel_block_bytes(type)) {
        if (first_time) prefetch(at, panel_block_bytes(type));
        size_t b = (size_t)row * n_all + (size_t)(i_block + i);
        const int8_t *q = a->q + b * BLOCK;
        const int32_t *sum = a->sum + 2 * b;
        const float *s = a->s + b, *u = a->u + b;
        __m256i isum[2][MAX_TILE];
        if (type == QUANT_Q6_K) {
            dots(isum[0], at, q, n_all * BLOCK, 0, 4, type, n);
            dots(isum[1], at, q, n_all * BLOCK, 4, 8, type, n);
        } else {
            dots(isum[0], at, q, n_all * BLOCK, 0, 8, type, n);
        }
#pragma GCC unroll 8
        for (int r = 0; r < n; r++, sum += 2 * n_all, s += n_all, u += n_all) {
            if (type == QUANT_Q6_K) {
                acc[r] = step(acc[r], scales->s[2 * i], *s, take_off(isum[0][r], sum[0], 5));
                acc[r] = step(acc[r], scales->s[2 * i + 1], *s, take_off(isum[1][r], sum[1], 5));
            } else if (type == QUANT_Q5_0) {
                acc[r] = step(acc[r], scales->s[i], *s, take_off(isum[0][r], sum[0] + sum[1], 4));
            } else {
                acc[r] = step(acc[r], scales->s[i], *s, isum[0][r]);
                if (type != QUANT_Q8_0) acc[r] = _mm256_fmadd_ps(scales->m[i], _mm256_set1_ps(*u), acc[r]);
            }
        }
    }
}

INLINE void product(float *out, size_t ld_out, const uint8_t *panel, const struct acts *a, int row, enum quant type,
                    int n)
{
    const uint8_t *front = panel, *group = panel + panel_front_bytes(type, a->n_in);
    __m256 acc[2][MAX_ROWS];
    int tile = n > MAX_TILE ? (n + 1) / 2 : n;
    for (int r = 0; r < n; r++) acc[0][r] = acc[1][r] = _mm256_setzero_ps();
    for (int b = 0; b < a->n_in / BLOCK; b += PANEL_GROUP) {
        int n_blocks = a->n_in / BLOCK - b < PANEL_GROUP ? a->n_in / BLOCK - b : PANEL_GROUP;
        const uint8_t *at = group + panel_head_bytes(type, n_blocks);
        prefetch(group, panel_head_bytes(type, PANEL_GROUP));
        for (int half = 0; half < 2; half++) {
            struct scales scales;
            scales_read(&scales, group, front, n_blocks, half, type);
            group_product(acc[half], at + 32 * half, &scales, a, row, b, n_blocks, type, tile, half == 0);
            if (n > tile)
                group_product(acc[half] + tile, at + 32 * half, &scales, a, row + tile, b, n_blocks, type, n - tile,
                              false);
        }
        group += panel_group_bytes(type);
        front += PANEL * 2;
    }
    for (int r = 0; r < n; r++)
        for (int half = 0; half < 2; half++) _mm256_storeu_ps(out + (size_t)r * ld_out + 8 * half, acc[half][r]);
}

INLINE void product_floats(float *out, size_t ld_out, const uint8_t *panel, const struct acts *a, int row,
                           enum quant type, int n)
{
    __m256 acc[2][MAX_ROWS];
    const float *x = a->x + (size_t)row * (size_t)a->n_in;
    for (int r = 0; r < n; r++) acc[0][r] = acc[1][r] = _mm256_setzero_ps();
    for (int k = 0; k < a->n_in; k++)
        for (int half = 0; half < 2; half++) {
            size_t at = (size_t)k * PANEL + 8 * (size_t)half;
            __m256 w = type == QUANT_F32 ? _mm256_loadu_ps((const float *)panel + at) : load_f16(panel + 2 * at);
            for (int r = 0; r < n; r++)
                acc[half][r] = _mm256_fmadd_ps(w, _mm256_set1_ps(x[r * a->n_in + k]), acc[half][r]);
        }
    for (int r = 0; r < n; r++)
        for (int half = 0; half < 2; half++) _mm256_storeu_ps(out + (size_t)r * ld_out + 8 * half, acc[half][r]);
}

typedef void product_fn(float *out, size_t ld_out, const uint8_t *panel, const struct acts *a, int row);

#define PRODUCT(how, type, n)                                                                                          \
    static void type##_##n(float *out, size_t ld_out, const uint8_t *panel, const struct acts *a, int row)             \
    {                                                                                                                  \
        how(out, ld_out, panel, a, row, QUANT_##type, n);                                                              \
    }
#define PRODUCTS(how, type)                                                                                            \
    PRODUCT(how, type, 1)                                                                                              \
    PRODUCT(how, type, 2)                                                                                              \
    PRODUCT(how, type, 3)                                                                                              \
    PRODUCT(how, type, 4)                                                                                              \
    PRODUCT(how, type, 5)                                                                                              \
    PRODUCT(how, type, 6)                                                                                              \
    PRODUCT(how, type, 7)                                                                                              \
    PRODUCT(how, type, 8)                                                                                              \
    static product_fn *const of_##type[] = {type##_1, type##_2, type##_3, type##_4,                                    \
                                            type##_5, type##_6, type##_7, type##_8};

PRODUCTS(product_floats, F32)
PRODUCTS(product_floats, F16)
PRODUCTS(product, Q4_1)
PRODUCTS(product, Q5_0)
PRODUCTS(product, Q8_0)
PRODUCTS(product, Q4_K)
PRODUCTS(product, Q6_K)

void avx2_matmul(float *out, size_t ld_out, const struct weights *w, const struct acts *a, int n_rows, int from, int to)
{
    static product_fn *const *const products[] = {
        [QUANT_F32] = of_F32,   [QUANT_F16] = of_F16,   [QUANT_Q4_1] = of_Q4_1, [QUANT_Q5_0] = of_Q5_0,
        [QUANT_Q8_0] = of_Q8_0, [QUANT_Q4_K] = of_Q4_K, [QUANT_Q6_K] = of_Q6_K,
    };
    int most = w->type == QUANT_F32 || w->type == QUANT_F16 ? MAX_FLOAT_ROWS : MAX_ROWS;
    int n_turns = (n_rows + most - 1) / most; /* of like size: nine rows are 4 and 5, not 8 and 1 */
    for (int p = from; p < to; p++)
        for (int t = 0; t < n_turns; t++) {
            int first = n_rows * t / n_turns, n = n_rows * (t + 1) / n_turns - first;
            float *to_rows = out + (size_t)first * ld_out + (size_t)p * PANEL;
            products[w->type][n - 1](to_rows, ld_out, w->panels + (size_t)p * w->panel_bytes, a, first);
        }
}
