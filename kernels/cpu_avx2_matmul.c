/* cpu_avx2_matmul.c -- products of the AVX2 path. A half is 8 output rows of a panel, a lane each.
 *
 * vpmaddubsw multiplies unsigned weights with signed activations and adds pairs in 16 bits, saturating: 63 * 254 =
 * 16002 fits, 255 * 254 does not, so Q8_0 moves the sign to q, 128 * 254 = 32512. Further sums in 16 bits may wrap on
 * the way if what is left at the end fits (|q| <= 127): a lane has 16 products of a block, with 4 bits 15 * 127 * 16 =
 * 30480; 5 bits less 16 each, 16 * 127 * 16 = 32512; 6 bits less 32, of the 16 k of a scale, 32 * 127 * 8 = 32512.
 *
 * Row counts are compile-time constants. Sixteen registers hold the sums of both halves of four rows, a tile, for which
 * one broadcast of activations then serves; the accumulators of more than two rows wait in L1. Where there are more
 * tiles, the first one leaves the values of a group unpacked in L1 for the others: unpacking costs nothing among its
 * products, 10 % before them.
 *
 * On Zen 3 products go at half the rate of bare vpmaddubsw, with 6 bits at 42 %. As mixes of instructions are timed,
 * vpmaddubsw, vpmaddwd, fma and mul share one of the four pipes, and these are so many as fill it.
 */
#include <immintrin.h>

#include "kernels/cpu_avx2.h"
#include "kernels/panel.h"

#define INLINE static inline __attribute__((always_inline))
#define IN_ORDER(v)                                                                                                    \
    __asm__ volatile("" : "+x"(v)) /* gcc 12 gathers loads and regroups sums, and spills: 1.5 times slower */

enum {
    MAX_ROWS = 16,
    MAX_TILE = 4,         /* rows at once: the sums of both halves stay in registers */
    ROWS_HELD = 2,        /* rows whose accumulators stay in registers too */
    MAX_FLOAT_ROWS = 5,   /* of both halves at once: six and more spill, 2.5 times slower */
    PREFETCH_BYTES = 8192 /* always: one row of Q4_K and 1536 k is three times slower without */
};

/* ---- scales of a group, by half ---- */

struct scales {
    __m256 s[2 * PANEL_GROUP][2]; /* a block; HEAD_BYTES: 16 k */
    __m256 m[PANEL_GROUP][2];
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

INLINE void scales_six_bits(struct scales *to, const uint8_t *head, int half)
{
    __m256 d = load_f16(head + 16 * half), dmin = load_f16(head + 32 + 16 * half), sign = _mm256_set1_ps(-0.0f);
    __m256i l[3];
    for (int i = 0; i < 3; i++) l[i] = load(head + PANEL_LINE * (i + 1) + 32 * half);
    __m256i scale[2] = {bits(l[0], 0, 63), bits(l[1], 0, 63)};
    __m256i min[2] = {bits(l[2], 0, 63), or3(bits(l[0], 6, 3), bits(l[1], 4, 12), bits(l[2], 2, 48))};
    for (int i = 0; i < PANEL_GROUP; i++) {
        to->s[i][half] = _mm256_mul_ps(d, byte_of(scale[i / 4], i % 4));
        to->m[i][half] = _mm256_xor_ps(_mm256_mul_ps(dmin, byte_of(min[i / 4], i % 4)), sign);
    }
}

INLINE void scales_bytes(struct scales *to, const uint8_t *head, const uint8_t *front, int half)
{
    __m256 d = load_f16(front + 16 * half);
    for (int i = 0; i < 2 * PANEL_GROUP; i++) {
        __m128i eight = _mm_loadl_epi64((const __m128i *)(head + PANEL * i + 8 * half));
        to->s[i][half] = _mm256_mul_ps(d, _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(eight)));
    }
}

INLINE void scales_half(struct scales *to, const uint8_t *head, const uint8_t *front, int n_blocks, int half,
                        enum quant type)
{
    switch (panel_format(type).head) {
    case HEAD_SIX_BITS: scales_six_bits(to, head, half); return;
    case HEAD_BYTES: scales_bytes(to, head, front, half); return;
    case HEAD_D:
        for (int i = 0; i < n_blocks; i++) to->s[i][half] = load_f16(head + PANEL * 2 * i + 16 * half);
        return;
    case HEAD_D_M:
        for (int i = 0; i < n_blocks; i++) {
            to->s[i][half] = load_f16(head + PANEL * 4 * i + 16 * half);
            to->m[i][half] = load_f16(head + PANEL * 4 * i + PANEL * 2 + 16 * half);
        }
    }
}

INLINE void scales_read(struct scales *to, const uint8_t *head, const uint8_t *front, int n_blocks, enum quant type)
{
    for (int half = 0; half < 2; half++) scales_half(to, head, front, n_blocks, half, type);
}

/* ---- values of a block ---- */

enum { UNPACKED = 0 }; /* for n_bits: a byte each, a line a quad */

struct values { /* of a block */
    const uint8_t *at;
    int n_bits;
    uint8_t *keep; /* where to leave them unpacked, [PANEL_QUADS][PANEL_LINE], or NULL */
};

/* Quad j, read from the lines that hold it. 8 bits: signed. */
INLINE __m256i quad_weights(const uint8_t *at, int j, int n_bits)
{
#define LINE(i) load(at + PANEL_LINE * (i))
    switch (n_bits) {
    case UNPACKED: return LINE(j);
    case 5:
        if (j < 5) return bits(LINE(j), 0, 31);
        if (j < 7) return _mm256_or_si256(bits(LINE(2 * j - 10), 5, 7), bits(LINE(2 * j - 9), 3, 24));
        return or3(bits(LINE(4), 5, 7), bits(LINE(1), 2, 8), bits(LINE(3), 1, 16));
    case 8: return _mm256_xor_si256(LINE(j), _mm256_set1_epi8((char)0x80));
    case 6:
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

/* sum[r] = sum over quads from .. to-1 of weights times activations, of n rows, ld blocks apart, and both halves. 16
 * bits a lane, of 8-bit weights (wide) 32. A quad goes to all rows before the next: so many independent sums hide each
 * other's latencies, and only one quad's weights are held at a time. */
INLINE void dots(__m256i sum[MAX_TILE][2], struct values v, const struct act *a, size_t ld, int from, int to, bool wide,
                 int n)
{
    __m256i w[2], p[2];
#pragma GCC unroll 8
    for (int j = from; j < to; j++) {
        for (int half = 0; half < 2; half++) {
            w[half] = quad_weights(v.at + 32 * half, j, v.n_bits);
            IN_ORDER(w[half]);
            if (v.keep) _mm256_store_si256((__m256i *)(v.keep + PANEL_LINE * j + 32 * half), w[half]);
        }
#pragma GCC unroll 8
        for (int r = 0; r < n; r++) {
            __m256i x = quad(a[(size_t)r * ld].q, j);
            for (int half = 0; half < 2; half++) {
                p[half] = wide ? _mm256_maddubs_epi16(_mm256_abs_epi8(w[half]), _mm256_sign_epi8(x, w[half]))
                               : _mm256_maddubs_epi16(w[half], x);
                if (wide) p[half] = _mm256_madd_epi16(p[half], _mm256_set1_epi16(1));
                IN_ORDER(p[half]);
            }
            for (int half = 0; half < 2; half++) {
                if (j > from)
                    p[half] = wide ? _mm256_add_epi32(sum[r][half], p[half]) : _mm256_add_epi16(sum[r][half], p[half]);
                sum[r][half] = p[half];
                IN_ORDER(sum[r][half]);
            }
        }
    }
}

/* ---- products ---- */

/* Where the stream will be: spread over the blocks, for a burst at the head of a group loses 10 %. */
INLINE void prefetch(const uint8_t *at, int n_bytes)
{
    for (int i = 0; i < n_bytes; i += PANEL_LINE) _mm_prefetch((const char *)at + PREFETCH_BYTES + i, _MM_HINT_T0);
}

/* The sums of q that go to both 16-bit lanes of a sum: of a block, or of the 16 k of a part of it. */
INLINE __m256i pair_sums(const int16_t *pair, int part, int n_parts)
{
    int32_t both[2];
    __builtin_memcpy(both, pair, sizeof both);
    if (n_parts == 2) return _mm256_set1_epi32(both[part]);
    return _mm256_add_epi16(_mm256_set1_epi32(both[0]), _mm256_set1_epi32(both[1]));
}

/* Adds block i of a group to acc[r], or where scales are 16 wide one half of it, for n token rows, which are ld blocks
 * apart. */
INLINE void part_product(__m256 acc[MAX_TILE][2], struct values v, const struct scales *scales, int i, int part,
                         const struct act *a, size_t ld, enum quant type, int n)
{
    const struct panel_format f = panel_format(type);
    int n_parts = f.head == HEAD_BYTES ? 2 : 1, n_quads = PANEL_QUADS / n_parts;
    /* Half of what n bits hold is taken off each weight: the offset, or what would not fit 16 bits. */
    bool takes_off = f.bits < 8 && (f.offset || f.bits == 5), gives_back = takes_off && !f.offset;
    __m256i sum[MAX_TILE][2];
    dots(sum, v, a, ld, part * n_quads, (part + 1) * n_quads, f.bits == 8, n);
#pragma GCC unroll 8
    for (int r = 0; r < n; r++) {
        const struct act *x = &a[(size_t)r * ld];
        __m256 s_x = _mm256_set1_ps(x->s), u_x = _mm256_set1_ps(x->u);
        __m256i sums = pair_sums(x->pair, part, n_parts), ones = _mm256_set1_epi16(1);
        for (int half = 0; half < 2; half++) {
            __m256i dot = sum[r][half];
            if (takes_off) dot = _mm256_sub_epi16(dot, _mm256_slli_epi16(sums, f.bits - 1));
            if (f.bits < 8) dot = _mm256_madd_epi16(dot, ones);
            if (gives_back) dot = _mm256_add_epi32(dot, _mm256_slli_epi32(_mm256_madd_epi16(sums, ones), f.bits - 1));
            __m256 s_all = _mm256_mul_ps(s_x, scales->s[n_parts * i + part][half]);
            __m256 to = _mm256_fmadd_ps(s_all, _mm256_cvtepi32_ps(dot), acc[r][half]);
            if (panel_has_min(type)) to = _mm256_fmadd_ps(scales->m[i][half], u_x, to);
            acc[r][half] = to;
        }
    }
}

INLINE void block_product(__m256 acc[MAX_TILE][2], struct values v, const struct scales *scales, int i,
                          const struct act *a, size_t ld, enum quant type, int n)
{
    part_product(acc, v, scales, i, 0, a, ld, type, n);
    if (panel_format(type).head == HEAD_BYTES) part_product(acc, v, scales, i, 1, a, ld, type, n);
    if (n > ROWS_HELD) __asm__ volatile("" ::: "memory"); /* no second copy of acc in registers */
}

/* The blocks of an unpacked group. */
INLINE void tile_product(__m256 acc[MAX_TILE][2], uint8_t unpacked[][PANEL_QUADS * PANEL_LINE],
                         const struct scales *scales, int n_blocks, const struct act *a, size_t ld, enum quant type,
                         int n)
{
    for (int i = 0; i < n_blocks; i++)
        block_product(acc, (struct values){unpacked[i], UNPACKED, NULL}, scales, i, a + i, ld, type, n);
}

/* most: n_rows, or for more than a tile MAX_ROWS; a constant. */
INLINE void product(float *out, size_t ld_out, const uint8_t *panel, const struct acts *acts, int row, int n_rows,
                    enum quant type, int most)
{
    const bool many = most > MAX_TILE;
    const int n = many ? n_rows : most, tile = many ? MAX_TILE : most;
    const uint8_t *front = panel, *at = panel + panel_front_bytes(type, acts->n_in);
    const int n_blocks = acts->n_in / BLOCK, n_bits = panel_format(type).bits;
    size_t ld = (size_t)n_blocks;
    const struct act *a = acts->blocks + (size_t)row * ld;
    __m256 held[MAX_ROWS][2], (*acc)[2] = held;
    if (tile > ROWS_HELD) __asm__ volatile("" : "+r"(acc)); /* anywhere in memory, for all that the compiler knows */
    for (int r = 0; r < n; r++) acc[r][0] = acc[r][1] = _mm256_setzero_ps();
    for (int b = 0; b < n_blocks; b += PANEL_GROUP, front += PANEL * 2, a += PANEL_GROUP) {
        int n_here = n_blocks - b < PANEL_GROUP ? n_blocks - b : PANEL_GROUP;
        struct scales scales;
        _Alignas(PANEL_LINE) uint8_t unpacked[PANEL_GROUP][PANEL_QUADS * PANEL_LINE];
        scales_read(&scales, at, front, n_here, type);
        prefetch(at, panel_head_bytes(type, PANEL_GROUP));
        at += panel_head_bytes(type, n_here);
        for (int i = 0; i < n_here; i++, at += panel_block_bytes(type)) {
            struct values v = {at, n_bits, many ? unpacked[i] : NULL};
            prefetch(at, panel_block_bytes(type));
            block_product(acc, v, &scales, i, a + i, ld, type, tile);
        }
        for (int r = tile; many && r < n; r += MAX_TILE) {
            const struct act *rest = a + (size_t)r * ld;
            switch (n - r) {
            case 1: tile_product(acc + r, unpacked, &scales, n_here, rest, ld, type, 1); break;
            case 2: tile_product(acc + r, unpacked, &scales, n_here, rest, ld, type, 2); break;
            case 3: tile_product(acc + r, unpacked, &scales, n_here, rest, ld, type, 3); break;
            default: tile_product(acc + r, unpacked, &scales, n_here, rest, ld, type, MAX_TILE);
            }
        }
    }
    for (int r = 0; r < n; r++)
        for (int half = 0; half < 2; half++) _mm256_storeu_ps(out + (size_t)r * ld_out + 8 * half, acc[r][half]);
}

/* 8 floats from element i of a panel on. */
INLINE __m256 load_floats(const uint8_t *panel, size_t i, enum quant type)
{
    if (type == QUANT_F32) return _mm256_loadu_ps((const float *)panel + i);
    if (type == QUANT_F16) return load_f16(panel + 2 * i);
    __m256i upper = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(panel + 2 * i))); /* BF16 */
    return _mm256_castsi256_ps(_mm256_slli_epi32(upper, 16));
}

INLINE void product_floats(float *out, size_t ld_out, const uint8_t *panel, const struct acts *a, int row, int n_rows,
                           enum quant type, int n)
{
    __m256 acc[2][MAX_FLOAT_ROWS];
    (void)n_rows; /* it is n, which is a constant */
    const float *x = a->x + (size_t)row * (size_t)a->n_in;
    for (int r = 0; r < n; r++) acc[0][r] = acc[1][r] = _mm256_setzero_ps();
    for (int k = 0; k < a->n_in; k++)
        for (int half = 0; half < 2; half++) {
            size_t at = (size_t)k * PANEL + 8 * (size_t)half;
            __m256 w = load_floats(panel, at, type);
            for (int r = 0; r < n; r++)
                acc[half][r] = _mm256_fmadd_ps(w, _mm256_set1_ps(x[r * a->n_in + k]), acc[half][r]);
        }
    for (int r = 0; r < n; r++)
        for (int half = 0; half < 2; half++) _mm256_storeu_ps(out + (size_t)r * ld_out + 8 * half, acc[half][r]);
}

typedef void product_fn(float *out, size_t ld_out, const uint8_t *panel, const struct acts *a, int row, int n_rows);

#define PRODUCT(how, type, n)                                                                                          \
    static void type##_##n(float *out, size_t ld_out, const uint8_t *panel, const struct acts *a, int row, int n_rows) \
    {                                                                                                                  \
        how(out, ld_out, panel, a, row, n_rows, QUANT_##type, n);                                                      \
    }
/* For 1, 2, 3, 4 and up to `most` rows. */
#define PRODUCTS(how, type, most)                                                                                      \
    PRODUCT(how, type, 1)                                                                                              \
    PRODUCT(how, type, 2)                                                                                              \
    PRODUCT(how, type, 3)                                                                                              \
    PRODUCT(how, type, 4)                                                                                              \
    PRODUCT(how, type, most)                                                                                           \
    static product_fn *const of_##type[] = {type##_1, type##_2, type##_3, type##_4, type##_##most};

PRODUCTS(product_floats, F32, 5)
PRODUCTS(product_floats, F16, 5)
PRODUCTS(product_floats, BF16, 5)
PRODUCTS(product, Q4_0, 16)
PRODUCTS(product, Q4_1, 16)
PRODUCTS(product, Q5_0, 16)
PRODUCTS(product, Q5_1, 16)
PRODUCTS(product, Q8_0, 16)
PRODUCTS(product, Q4_K, 16)
PRODUCTS(product, Q5_K, 16)
PRODUCTS(product, Q6_K, 16)

void avx2_matmul(float *out, size_t ld_out, const struct weights *w, const struct acts *a, int n_rows, int from, int to)
{
    static product_fn *const *const products[] = {
        [QUANT_F32] = of_F32,   [QUANT_F16] = of_F16,   [QUANT_BF16] = of_BF16, [QUANT_Q4_0] = of_Q4_0,
        [QUANT_Q4_1] = of_Q4_1, [QUANT_Q5_0] = of_Q5_0, [QUANT_Q5_1] = of_Q5_1, [QUANT_Q8_0] = of_Q8_0,
        [QUANT_Q4_K] = of_Q4_K, [QUANT_Q5_K] = of_Q5_K, [QUANT_Q6_K] = of_Q6_K, [QUANT_Q3_K] = of_Q6_K,
    };
    if (!panel_has(w->type)) {
        kernels_ref.matmul(out, ld_out, w, a, n_rows, from, to);
        return;
    }
    int most = quant_is_float(w->type) ? MAX_FLOAT_ROWS : MAX_ROWS;
    int n_turns = (n_rows + most - 1) / most; /* of like size: nine rows are 4 and 5, not 8 and 1 */
    for (int p = from; p < to; p++)
        for (int t = 0; t < n_turns; t++) {
            int first = n_rows * t / n_turns, n = n_rows * (t + 1) / n_turns - first;
            float *to_rows = out + (size_t)first * ld_out + (size_t)p * PANEL;
            product_fn *run = products[w->type][n > MAX_TILE ? MAX_TILE : n - 1];
            run(to_rows, ld_out, w->panels + (size_t)p * w->panel_bytes, a, first, n);
        }
}
