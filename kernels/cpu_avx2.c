/* cpu_avx2.c -- AVX2, FMA, F16C: two ymm of 8 output rows a panel. See cpu_ref.c for the bits and the ladder, panel.h
 * for the bytes. Products are in cpu_avx2_matmul.c; here are rows, attention and the head.
 *
 * 16 partials are two ymm: `low` has partials 0..7, `high` 8..15. Lanes past the end of a row are zeros that are fed to
 * sums of non-negative terms, where adding +0 changes nothing.
 */
#include <assert.h>
#include <immintrin.h>
#include <math.h>
#include <string.h>

#include "kernels/cpu_avx2.h"
#include "kernels/kernels.h"
#include "kernels/math_tables.h"
#include "kernels/panel.h"

#define TINY 0x1p-100f
#define INLINE static inline __attribute__((always_inline))

enum {
    NEAR = 32 /* positions whose values stay in L1 */
};

struct parts {
    __m256 low, high;
};

/* Halves, i with i + 8, 4, 2, 1. */
static float tree(struct parts p)
{
    __m256 eight = _mm256_add_ps(p.low, p.high);
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

/* All ones in the first n lanes, n <= 8. */
static __m256i first_lanes(int n)
{
    static const int32_t lanes[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
    return _mm256_loadu_si256((const __m256i *)(lanes + 8 - n));
}

/* x[0..8) where n >= 8, fewer and zeros otherwise; the same for storing. */
static __m256 load_up_to(const float *x, int n)
{
    return n >= 8 ? _mm256_loadu_ps(x) : n <= 0 ? _mm256_setzero_ps() : _mm256_maskload_ps(x, first_lanes(n));
}

static void store_up_to(float *x, __m256 v, int n)
{
    if (n >= 8)
        _mm256_storeu_ps(x, v);
    else
        _mm256_maskstore_ps(x, first_lanes(n), v);
}

/* math_expf in 8 lanes. */
static __m256 exp8(__m256 x)
{
    __m256 n =
        _mm256_round_ps(_mm256_mul_ps(x, _mm256_set1_ps(EXPF_LOG2E)), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m256 r = _mm256_fnmadd_ps(n, _mm256_set1_ps(EXPF_LN2_HI), x), one = _mm256_set1_ps(1.0f);
    r = _mm256_fnmadd_ps(n, _mm256_set1_ps(EXPF_LN2_LO), r);
    __m256 p = _mm256_fmadd_ps(_mm256_set1_ps(EXPF_C6), r, _mm256_set1_ps(EXPF_C5));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(EXPF_C4));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(EXPF_C3));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(EXPF_C2));
    p = _mm256_fmadd_ps(p, r, one);
    p = _mm256_fmadd_ps(p, r, one);
    __m256i exponent = _mm256_slli_epi32(_mm256_cvtps_epi32(n), 23);
    p = _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(p), exponent));
    p = _mm256_blendv_ps(p, _mm256_setzero_ps(), _mm256_cmp_ps(x, _mm256_set1_ps(EXPF_MIN), _CMP_LT_OQ));
    p = _mm256_blendv_ps(p, _mm256_set1_ps(INFINITY), _mm256_cmp_ps(x, _mm256_set1_ps(EXPF_MAX), _CMP_GT_OQ));
    return _mm256_blendv_ps(p, x, _mm256_cmp_ps(x, x, _CMP_UNORD_Q));
}

static float exp1(float x)
{
    return _mm256_cvtss_f32(exp8(_mm256_set1_ps(x)));
}

/* Greatest of n >= 1 values. Which zero of two it is does not matter to its users. */
static float greatest(const float *x, int n)
{
    __m256 max = _mm256_set1_ps(x[0]);
    int i = 0;
    for (; i + 8 <= n; i += 8) max = _mm256_max_ps(max, _mm256_loadu_ps(x + i));
    for (; i < n; i++) max = _mm256_max_ps(max, _mm256_set1_ps(x[i]));
    __m128 four = _mm_max_ps(_mm256_castps256_ps128(max), _mm256_extractf128_ps(max, 1));
    four = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(four, _mm_movehdup_ps(four)));
}

/* Sum of exp(x[i] - max), kept in p where that is not NULL. */
static float exp_sum(float *p, const float *x, float max, int n)
{
    struct parts sum = {_mm256_setzero_ps(), _mm256_setzero_ps()};
    __m256 m = _mm256_set1_ps(max);
    for (int i = 0; i < n; i += 8) {
        __m256 e = exp8(_mm256_sub_ps(load_up_to(x + i, n - i), m));
        if (n - i < 8) e = _mm256_and_ps(e, _mm256_castsi256_ps(first_lanes(n - i)));
        if (p) store_up_to(p + i, e, n - i);
        if (i % 16 == 0)
            sum.low = _mm256_add_ps(sum.low, e);
        else
            sum.high = _mm256_add_ps(sum.high, e);
    }
    return tree(sum);
}

/* ---- token rows ---- */

/* As integers, sizes of floats order like floats, and what is not finite is above all others. */
static __m256i size_bits(const float *x)
{
    return _mm256_and_si256(_mm256_loadu_si256((const __m256i *)x), _mm256_set1_epi32(0x7fffffff));
}

static int first_not_finite(const float *x, int n)
{
    int i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256i bad = _mm256_cmpgt_epi32(size_bits(x + i), _mm256_set1_epi32(0x7f7fffff));
        if (!_mm256_testz_si256(bad, bad))
            return i + __builtin_ctz((unsigned)_mm256_movemask_ps(_mm256_castsi256_ps(bad)));
    }
    for (; i < n; i++)
        if (x[i] - x[i] != 0.0f) return i;
    return -1;
}

/* Sums of 16 q, at k and k + 8 in the same lane: of those with k%4 < 2, and of the others. */
static int32_t sum_lanes(int16_t pair[2], __m256i v)
{
    __m128i four = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0xb1));
    int32_t low = _mm_cvtsi128_si32(four), high = _mm_extract_epi32(four, 2);
    pair[0] = (int16_t)low;
    pair[1] = (int16_t)high;
    return low + high;
}

static void quantize_block(struct act *a, const float *x)
{
    __m256i size = _mm256_max_epi32(_mm256_max_epi32(size_bits(x), size_bits(x + 8)),
                                    _mm256_max_epi32(size_bits(x + 16), size_bits(x + 24)));
    __m128i four = _mm_max_epi32(_mm256_castsi256_si128(size), _mm256_extracti128_si256(size, 1));
    four = _mm_max_epi32(four, _mm_shuffle_epi32(four, 0x4e));
    four = _mm_max_epi32(four, _mm_shuffle_epi32(four, 0xb1));
    float m = _mm_cvtss_f32(_mm_castsi128_ps(four));
    if (!(m >= TINY)) {
        *a = (struct act){.s = 0};
        return;
    }
    a->s = m / 127.0f;
    __m256i v[4];
    for (int i = 0; i < 4; i++)
        v[i] = _mm256_cvtps_epi32(_mm256_div_ps(_mm256_loadu_ps(x + 8 * i), _mm256_set1_ps(a->s)));
    a->sum[0] = sum_lanes(a->pair, _mm256_add_epi32(v[0], v[1]));
    a->sum[1] = sum_lanes(a->pair + 2, _mm256_add_epi32(v[2], v[3]));
    a->u = a->s * (float)(a->sum[0] + a->sum[1]);
    /* The packs work in halves of 128 bits: put their dwords back in order. */
    __m256i bytes = _mm256_packs_epi16(_mm256_packs_epi32(v[0], v[1]), _mm256_packs_epi32(v[2], v[3]));
    bytes = _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
    _mm256_store_si256((__m256i *)a->q, bytes);
}

static int avx2_quantize(struct acts *a, int i_row, const float *x)
{
    int n = a->n_in, bad = first_not_finite(x, n);
    if (bad >= 0) return bad;
    if (a->x) memmove(a->x + (size_t)i_row * (size_t)n, x, (size_t)n * sizeof *x);
    if (!a->blocks) return -1;
    assert(n % BLOCK == 0);
    struct act *row = a->blocks + (size_t)i_row * (size_t)(n / BLOCK);
    for (int i = 0; i < n / BLOCK; i++) quantize_block(&row[i], x + i * BLOCK);
    return -1;
}

/* ---- rows ---- */

static void avx2_norm(float *out, const float *x, const float *w, int n, float eps)
{
    struct parts sum = {_mm256_setzero_ps(), _mm256_setzero_ps()};
    for (int i = 0; i < n; i += 16) {
        __m256 low = load_up_to(x + i, n - i), high = load_up_to(x + i + 8, n - i - 8);
        sum.low = _mm256_fmadd_ps(low, low, sum.low);
        sum.high = _mm256_fmadd_ps(high, high, sum.high);
    }
    float mean = tree(sum) / (float)n, inv = 1.0f / sqrtf(mean + eps);
    for (int i = 0; i < n; i += 8) {
        __m256 scaled = _mm256_mul_ps(load_up_to(x + i, n - i), _mm256_set1_ps(inv));
        store_up_to(out + i, _mm256_mul_ps(scaled, load_up_to(w + i, n - i)), n - i);
    }
}

static void avx2_add(float *x, const float *y, int n)
{
    for (int i = 0; i < n; i += 8)
        store_up_to(x + i, _mm256_add_ps(load_up_to(x + i, n - i), load_up_to(y + i, n - i)), n - i);
}

static void avx2_add_step(float *x, const float *y, float step, int n)
{
    for (int i = 0; i < n; i += 8) {
        __m256 stepped = _mm256_mul_ps(_mm256_set1_ps(step), load_up_to(y + i, n - i));
        store_up_to(x + i, _mm256_add_ps(load_up_to(x + i, n - i), stepped), n - i);
    }
}

/* (g / (1 + exp(-z))) * up */
static __m256 gated(__m256 g, __m256 z, __m256 up)
{
    __m256 minus = _mm256_xor_ps(z, _mm256_set1_ps(-0.0f));
    return _mm256_mul_ps(_mm256_div_ps(g, _mm256_add_ps(_mm256_set1_ps(1.0f), exp8(minus))), up);
}

static void avx2_silu_mul(float *out, const float *gate, const float *up, int n)
{
    for (int i = 0; i < n; i += 8) {
        __m256 g = load_up_to(gate + i, n - i);
        store_up_to(out + i, gated(g, g, load_up_to(up + i, n - i)), n - i);
    }
}

static void avx2_gelu_mul(float *out, const float *gate, const float *up, int n)
{
    const __m256 c1 = _mm256_set1_ps(GELU_C1), c3 = _mm256_set1_ps(GELU_C3);
    for (int i = 0; i < n; i += 8) {
        __m256 g = load_up_to(gate + i, n - i), z = _mm256_mul_ps(g, _mm256_fmadd_ps(_mm256_mul_ps(g, g), c3, c1));
        store_up_to(out + i, gated(g, z, load_up_to(up + i, n - i)), n - i);
    }
}

static void turn(float *a, float *b, const float cs[2])
{
    float a0 = *a, b0 = *b;
    *a = a0 * cs[0] - b0 * cs[1];
    *b = a0 * cs[1] + b0 * cs[0];
}

/* (a, b) beside each other: addsub gives (a*cos - b*sin, b*cos + a*sin). */
static void turn_pairs(float *x, const float *cs, int d)
{
    int i = 0;
    for (; i + 8 <= d; i += 8) {
        __m256 ab = _mm256_loadu_ps(x + i), ba = _mm256_permute_ps(ab, 0xb1), c = _mm256_loadu_ps(cs + i);
        __m256 by_cos = _mm256_mul_ps(ab, _mm256_moveldup_ps(c)), by_sin = _mm256_mul_ps(ba, _mm256_movehdup_ps(c));
        _mm256_storeu_ps(x + i, _mm256_addsub_ps(by_cos, by_sin));
    }
    for (; i < d; i += 2) turn(x + i, x + i + 1, cs + i);
}

static void turn_halves(float *x, const float *cs, int d)
{
    int i = 0;
    for (; i + 8 <= d / 2; i += 8) {
        __m256 a = _mm256_loadu_ps(x + i), b = _mm256_loadu_ps(x + d / 2 + i);
        __m256 low = _mm256_loadu_ps(cs + 2 * i), high = _mm256_loadu_ps(cs + 2 * i + 8);
        __m256d cos_mixed = _mm256_castps_pd(_mm256_shuffle_ps(low, high, 0x88));
        __m256d sin_mixed = _mm256_castps_pd(_mm256_shuffle_ps(low, high, 0xdd));
        __m256 cos = _mm256_castpd_ps(_mm256_permute4x64_pd(cos_mixed, 0xd8));
        __m256 sin = _mm256_castpd_ps(_mm256_permute4x64_pd(sin_mixed, 0xd8));
        _mm256_storeu_ps(x + i, _mm256_sub_ps(_mm256_mul_ps(a, cos), _mm256_mul_ps(b, sin)));
        _mm256_storeu_ps(x + d / 2 + i, _mm256_add_ps(_mm256_mul_ps(a, sin), _mm256_mul_ps(b, cos)));
    }
    for (; i < d / 2; i++) turn(x + i, x + d / 2 + i, cs + 2 * i);
}

static void avx2_rope(float *x, const float *cs, int n_heads, int d, bool neox)
{
    for (int h = 0; h < n_heads; h++, x += d)
        if (neox)
            turn_halves(x, cs, d);
        else
            turn_pairs(x, cs, d);
}

static void avx2_to_f16(uint16_t *out, const float *x, int n)
{
    int i = 0;
    for (; i + 8 <= n; i += 8)
        _mm_storeu_si128((__m128i *)(out + i), _mm256_cvtps_ph(_mm256_loadu_ps(x + i), _MM_FROUND_TO_NEAREST_INT));
    for (; i < n; i++) out[i] = _cvtss_sh(x[i], _MM_FROUND_TO_NEAREST_INT);
}

/* ---- attention ---- */

static __m256 load_f16(const uint16_t *h)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)h));
}

/* The tree of eight, from its second step on: lane i of the result is that of v[i]. Two vectors are put side by side
 * at a time, so that each step adds the same halves as one tree does. */
static __m256 trees(const __m256 v[8])
{
    __m256 four[4], two[2];
    for (int i = 0; i < 4; i++)
        four[i] =
            _mm256_add_ps(_mm256_permute2f128_ps(v[i], v[i + 4], 0x20), _mm256_permute2f128_ps(v[i], v[i + 4], 0x31));
    for (int i = 0; i < 2; i++)
        two[i] = _mm256_add_ps(_mm256_shuffle_ps(four[2 * i], four[2 * i + 1], 0x44),
                               _mm256_shuffle_ps(four[2 * i], four[2 * i + 1], 0xee));
    return _mm256_add_ps(_mm256_shuffle_ps(two[0], two[1], 0x88), _mm256_shuffle_ps(two[0], two[1], 0xdd));
}

/* n rows of d halfs, ld apart, into L1. Past the end of what is mapped it does nothing. */
INLINE void prefetch_rows(const uint16_t *at, size_t ld, int n, int d)
{
    for (int i = 0; i < n; i++)
        for (int j = 0; j < d; j += 32) _mm_prefetch((const char *)(at + (size_t)i * ld + j), _MM_HINT_T0);
}

/* score[h][i] = q[h].k of n positions; up to 7 more are written. */
INLINE void scores(float *score, const float *q, const uint16_t *k, size_t ld, int n, int d, int n_heads)
{
    for (int from = 0; from < n; from += 8) {
        __m256 eight[ATTN_HEADS][8];
        for (int i = 0; i < 8; i++) {
            const uint16_t *at = k + (size_t)(from + i < n ? from + i : n - 1) * ld;
            struct parts sum[ATTN_HEADS];
            prefetch_rows(at + NEAR * ld, ld, 1, d);
            for (int h = 0; h < n_heads; h++) sum[h].low = sum[h].high = _mm256_setzero_ps();
            for (int j = 0; j < d; j += 16) {
                __m256 low = load_f16(at + j), high = load_f16(at + j + 8);
                for (int h = 0; h < n_heads; h++) {
                    sum[h].low = _mm256_fmadd_ps(_mm256_loadu_ps(q + h * d + j), low, sum[h].low);
                    sum[h].high = _mm256_fmadd_ps(_mm256_loadu_ps(q + h * d + j + 8), high, sum[h].high);
                }
            }
            for (int h = 0; h < n_heads; h++) eight[h][i] = _mm256_add_ps(sum[h].low, sum[h].high);
        }
        for (int h = 0; h < n_heads; h++) _mm256_storeu_ps(score + h * ATTN_CHUNK + from, trees(eight[h]));
    }
}

/* o[h] = sum of p[h] * v by increasing position: 16 elements of every head at a time, over so few positions that all of
 * their v stay in L1. */
INLINE void weigh(float *o, const float *p, const uint16_t *v, size_t ld, int n, int d, int n_heads)
{
    for (int from = 0, to; from < n; from = to) {
        to = n - from < NEAR ? n : from + NEAR;
        for (int j = 0; j < d; j += 16) {
            struct parts sum[ATTN_HEADS];
            prefetch_rows(v + (size_t)(from + NEAR + j * NEAR / d) * ld, ld, NEAR * 16 / d, d);
            for (int h = 0; h < n_heads; h++) {
                sum[h].low = from > 0 ? _mm256_loadu_ps(o + h * d + j) : _mm256_setzero_ps();
                sum[h].high = from > 0 ? _mm256_loadu_ps(o + h * d + j + 8) : _mm256_setzero_ps();
            }
            for (int i = from; i < to; i++) {
                const uint16_t *at = v + (size_t)i * ld + j;
                __m256 low = load_f16(at), high = load_f16(at + 8);
                for (int h = 0; h < n_heads; h++) {
                    __m256 weight = _mm256_set1_ps(p[h * ATTN_CHUNK + i]);
                    sum[h].low = _mm256_fmadd_ps(weight, low, sum[h].low);
                    sum[h].high = _mm256_fmadd_ps(weight, high, sum[h].high);
                }
            }
            for (int h = 0; h < n_heads; h++) {
                _mm256_storeu_ps(o + h * d + j, sum[h].low);
                _mm256_storeu_ps(o + h * d + j + 8, sum[h].high);
            }
        }
    }
}

/* x[i] = x[i] * scale + y[i], or y[i] * scale + x[i]. */
static void merge_values(float *x, const float *y, float scale, int d, bool scale_x)
{
    __m256 s = _mm256_set1_ps(scale);
    for (int i = 0; i < d; i += 8) {
        __m256 a = _mm256_loadu_ps(x + i), b = _mm256_loadu_ps(y + i);
        _mm256_storeu_ps(x + i, scale_x ? _mm256_fmadd_ps(a, s, b) : _mm256_fmadd_ps(b, s, a));
    }
}

static void merge_chunk(float *out, struct softmax *all, const float *o, struct softmax c, int d)
{
    bool higher = c.max > all->max;
    float scale = higher ? exp1(all->max - c.max) : exp1(c.max - all->max);
    all->sum = higher ? fmaf(all->sum, scale, c.sum) : fmaf(c.sum, scale, all->sum);
    merge_values(out, o, scale, d, higher);
    if (higher) all->max = c.max;
}

INLINE void attend(float *out, struct softmax *all, const float *q, const uint16_t *k, const uint16_t *v, size_t ld,
                   int from, int to, int d, float *scratch, int n_heads)
{
    float *score = scratch;
    bool fresh = all->sum == 0.0f;
    float *o = fresh ? out : scratch + n_heads * ATTN_CHUNK;
    struct softmax c[ATTN_HEADS];
    /* It begins at a multiple of the 16 partials: what is masked there weighs +0. */
    int start = from & ~15, n = to - start;
    scores(score, q, k + (size_t)start * ld, ld, n, d, n_heads);
    for (int h = 0; h < n_heads; h++) {
        float *of_head = score + h * ATTN_CHUNK;
        for (int i = 0; i < from - start; i++) of_head[i] = -INFINITY;
        c[h].max = greatest(of_head, n);
        c[h].sum = exp_sum(of_head, of_head, c[h].max, n);
    }
    weigh(o, score, v + (size_t)start * ld, ld, n, d, n_heads);
    for (int h = 0; h < n_heads; h++)
        if (fresh)
            all[h] = c[h];
        else
            merge_chunk(out + h * d, &all[h], o + h * d, c[h], d);
}

static void avx2_attention(float *out, struct softmax *so_far, const float *q, int n_heads, const uint16_t *k,
                           const uint16_t *v, size_t ld, int from, int to, int d, float *scratch)
{
    if (d % 16) { /* toys: slow will do */
        kernels_ref.attention(out, so_far, q, n_heads, k, v, ld, from, to, d, scratch);
        return;
    }
    switch (n_heads) { /* constants, so that sums stay in registers */
    case 1: attend(out, so_far, q, k, v, ld, from, to, d, scratch, 1); break;
    case 2: attend(out, so_far, q, k, v, ld, from, to, d, scratch, 2); break;
    case 3: attend(out, so_far, q, k, v, ld, from, to, d, scratch, 3); break;
    case 4: attend(out, so_far, q, k, v, ld, from, to, d, scratch, 4); break;
    case 5: attend(out, so_far, q, k, v, ld, from, to, d, scratch, 5); break;
    default: attend(out, so_far, q, k, v, ld, from, to, d, scratch, ATTN_HEADS);
    }
}

/* ---- head ---- */

static struct head_part avx2_head(const float *logits, int32_t first, int n)
{
    float max = greatest(logits, n);
    int best = 0;
    while (best + 8 <= n) {
        __m256 found = _mm256_cmp_ps(_mm256_loadu_ps(logits + best), _mm256_set1_ps(max), _CMP_EQ_OQ);
        int lanes = _mm256_movemask_ps(found);
        if (lanes) {
            best += __builtin_ctz((unsigned)lanes);
            break;
        }
        best += 8;
    }
    while (best < n && logits[best] != max) best++;
    if (best == n) best = 0; /* none is a number: the pass fails */
    return (struct head_part){logits[best], first + best, exp_sum(NULL, logits, logits[best], n)};
}

const struct kernels kernels_avx2 = {
    .name = "avx2",
    .panel_bytes = panel_bytes,
    .pack = panel_pack,
    .row = panel_row,
    .quantize = avx2_quantize,
    .matmul = avx2_matmul,
    .norm = avx2_norm,
    .add = avx2_add,
    .add_step = avx2_add_step,
    .silu_mul = avx2_silu_mul,
    .gelu_mul = avx2_gelu_mul,
    .rope = avx2_rope,
    .to_f16 = avx2_to_f16,
    .attention = avx2_attention,
    .head = avx2_head,
};
