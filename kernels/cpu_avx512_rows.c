/* The kernels of cpu_avx512.c that are not products: one zmm is 16 elements of a token row, or 16 scores. */
#include "kernels/cpu_avx512.h"

#include <immintrin.h>
#include <math.h>
#include <string.h>

#include "kernels/math_tables.h"

enum {
    LANES = 16,
    MAX_TILE = 8, /* positions of K, or vectors of V, at once: half as many where heads are more than two */
    NEAR = 32     /* positions whose values stay in L1; rows are prefetched as far ahead */
};

/* ---- small things ---- */

INLINE __mmask16 mask_first(int n)
{
    return n >= LANES ? (__mmask16)0xffff : (__mmask16)((1u << n) - 1);
}

/* The contract's tree: i with i + 8, 4, 2, 1. */
INLINE float tree(__m512 part)
{
    __m256 v8 = _mm256_add_ps(_mm512_castps512_ps256(part), _mm512_extractf32x8_ps(part, 1));
    __m128 v4 = _mm_add_ps(_mm256_castps256_ps128(v8), _mm256_extractf128_ps(v8, 1));
    __m128 v2 = _mm_add_ps(v4, _mm_movehl_ps(v4, v4));
    return _mm_cvtss_f32(_mm_add_ss(v2, _mm_movehdup_ps(v2)));
}

/* math_expf, lane by lane. */
INLINE __m512 vector_exp(__m512 x)
{
    __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(EXPF_LOG2E)),
                                    _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(EXPF_LN2_HI), x);
    r = _mm512_fnmadd_ps(n, _mm512_set1_ps(EXPF_LN2_LO), r);
    __m512 p = _mm512_fmadd_ps(_mm512_set1_ps(EXPF_C6), r, _mm512_set1_ps(EXPF_C5));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(EXPF_C4));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(EXPF_C3));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(EXPF_C2));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f));
    __m512i bits = _mm512_add_epi32(_mm512_castps_si512(p), _mm512_slli_epi32(_mm512_cvtps_epi32(n), 23));
    __mmask16 under = _mm512_cmp_ps_mask(x, _mm512_set1_ps(EXPF_MIN), _CMP_LT_OQ);
    __mmask16 over = _mm512_cmp_ps_mask(x, _mm512_set1_ps(EXPF_MAX), _CMP_GT_OQ);
    __mmask16 nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
    __m512 e = _mm512_maskz_mov_ps((__mmask16)~under, _mm512_castsi512_ps(bits));
    e = _mm512_mask_mov_ps(e, over, _mm512_set1_ps(INFINITY));
    return _mm512_mask_mov_ps(e, nan, x);
}

/* ---- rows ---- */

static int first_not_finite(const float *x, int n)
{
    for (int i = 0; i < n; i += LANES) {
        __m512 v = _mm512_maskz_loadu_ps(mask_first(n - i), x + i);
        unsigned bad = _mm512_cmp_ps_mask(_mm512_sub_ps(v, v), _mm512_setzero_ps(), _CMP_NEQ_UQ);
        if (bad) return i + __builtin_ctz(bad);
    }
    return -1;
}

/* 16 quotients, rounded to even, and their sums. */
INLINE int quantize_half(int8_t *q, int16_t pair[2], __m512 x, __m512 s)
{
    __m512i v = _mm512_cvtps_epi32(_mm512_div_ps(x, s));
    _mm_storeu_si128((__m128i *)(void *)q, _mm512_cvtepi32_epi8(v));
    int sum = _mm512_reduce_add_epi32(v), low = _mm512_mask_reduce_add_epi32(0x3333, v);
    pair[0] = (int16_t)low;
    pair[1] = (int16_t)(sum - low);
    return sum;
}

static void quantize_block(struct act *a, const float *x)
{
    __m512 low = _mm512_loadu_ps(x), high = _mm512_loadu_ps(x + LANES);
    float m = _mm512_reduce_max_ps(_mm512_max_ps(_mm512_abs_ps(low), _mm512_abs_ps(high)));
    if (!(m >= 0x1p-100f)) { /* as if it were all zero: m / 127 stays a normal number */
        *a = (struct act){.s = 0};
        return;
    }
    a->s = m / 127.0f;
    a->sum[0] = quantize_half(a->q, a->pair, low, _mm512_set1_ps(a->s));
    a->sum[1] = quantize_half(a->q + LANES, a->pair + 2, high, _mm512_set1_ps(a->s));
    a->u = a->s * (float)(a->sum[0] + a->sum[1]);
}

int avx512_quantize(struct acts *a, int i_row, const float *x)
{
    int n = a->n_in, bad = first_not_finite(x, n);
    if (bad >= 0) return bad;
    if (a->x) memmove(a->x + (size_t)i_row * (size_t)n, x, (size_t)n * sizeof *x);
    if (!a->blocks) return -1;
    struct act *row = a->blocks + (size_t)i_row * (size_t)(n / BLOCK);
    for (int i = 0; i < n / BLOCK; i++) quantize_block(&row[i], x + i * BLOCK);
    return -1;
}

void avx512_norm(float *out, const float *x, const float *w, int n, float eps)
{
    __m512 part = _mm512_setzero_ps();
    for (int i = 0; i < n; i += LANES) {
        __m512 v = _mm512_maskz_loadu_ps(mask_first(n - i), x + i);
        part = _mm512_fmadd_ps(v, v, part); /* squares: +0 in a lane past n changes nothing */
    }
    float mean = tree(part) / (float)n;
    __m512 inv = _mm512_set1_ps(1.0f / sqrtf(mean + eps));
    for (int i = 0; i < n; i += LANES) {
        __mmask16 mask = mask_first(n - i);
        __m512 v = _mm512_mul_ps(_mm512_maskz_loadu_ps(mask, x + i), inv);
        _mm512_mask_storeu_ps(out + i, mask, _mm512_mul_ps(v, _mm512_maskz_loadu_ps(mask, w + i)));
    }
}

void avx512_add(float *x, const float *y, int n)
{
    for (int i = 0; i < n; i += LANES) {
        __mmask16 mask = mask_first(n - i);
        __m512 v = _mm512_add_ps(_mm512_maskz_loadu_ps(mask, x + i), _mm512_maskz_loadu_ps(mask, y + i));
        _mm512_mask_storeu_ps(x + i, mask, v);
    }
}

void avx512_add_step(float *x, const float *y, float step, int n)
{
    for (int i = 0; i < n; i += LANES) {
        __mmask16 mask = mask_first(n - i);
        __m512 v = _mm512_mul_ps(_mm512_set1_ps(step), _mm512_maskz_loadu_ps(mask, y + i));
        _mm512_mask_storeu_ps(x + i, mask, _mm512_add_ps(_mm512_maskz_loadu_ps(mask, x + i), v));
    }
}

/* (g / (1 + exp(-z))) * up */
static __m512 gated(__m512 g, __m512 z, __m512 up)
{
    __m512 minus = _mm512_xor_ps(z, _mm512_set1_ps(-0.0f));
    return _mm512_mul_ps(_mm512_div_ps(g, _mm512_add_ps(_mm512_set1_ps(1.0f), vector_exp(minus))), up);
}

void avx512_silu_mul(float *out, const float *gate, const float *up, int n)
{
    for (int i = 0; i < n; i += LANES) {
        __mmask16 mask = mask_first(n - i);
        __m512 g = _mm512_maskz_loadu_ps(mask, gate + i);
        _mm512_mask_storeu_ps(out + i, mask, gated(g, g, _mm512_maskz_loadu_ps(mask, up + i)));
    }
}

void avx512_gelu_mul(float *out, const float *gate, const float *up, int n)
{
    const __m512 c1 = _mm512_set1_ps(GELU_C1), c3 = _mm512_set1_ps(GELU_C3);
    for (int i = 0; i < n; i += LANES) {
        __mmask16 mask = mask_first(n - i);
        __m512 g = _mm512_maskz_loadu_ps(mask, gate + i);
        __m512 z = _mm512_mul_ps(g, _mm512_fmadd_ps(_mm512_mul_ps(g, g), c3, c1));
        _mm512_mask_storeu_ps(out + i, mask, gated(g, z, _mm512_maskz_loadu_ps(mask, up + i)));
    }
}

/* Halves of a head: i pairs with i + d/2. */
static void rope_neox(float *x, const float *cs, int half)
{
    const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const __m512i odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
    for (int i = 0; i < half; i += LANES) {
        __mmask16 mask = mask_first(half - i);
        __m512 a = _mm512_maskz_loadu_ps(mask, x + i), b = _mm512_maskz_loadu_ps(mask, x + half + i);
        __m512 low = _mm512_maskz_loadu_ps(mask_first(2 * (half - i)), cs + 2 * i);
        __m512 high = _mm512_maskz_loadu_ps(half - i > 8 ? mask_first(2 * (half - i) - LANES) : 0, cs + 2 * i + LANES);
        __m512 cos = _mm512_permutex2var_ps(low, even, high), sin = _mm512_permutex2var_ps(low, odd, high);
        _mm512_mask_storeu_ps(x + i, mask, _mm512_sub_ps(_mm512_mul_ps(a, cos), _mm512_mul_ps(b, sin)));
        _mm512_mask_storeu_ps(x + half + i, mask, _mm512_add_ps(_mm512_mul_ps(a, sin), _mm512_mul_ps(b, cos)));
    }
}

/* Neighbours: 2i pairs with 2i + 1. */
static void rope_pairs(float *x, const float *cs, int d)
{
    for (int i = 0; i < d; i += LANES) {
        __mmask16 mask = mask_first(d - i);
        __m512 v = _mm512_maskz_loadu_ps(mask, x + i), turn = _mm512_maskz_loadu_ps(mask, cs + i);
        __m512 straight = _mm512_mul_ps(v, _mm512_moveldup_ps(turn));
        __m512 crossed = _mm512_mul_ps(_mm512_permute_ps(v, 0xb1), _mm512_movehdup_ps(turn));
        __m512 sum = _mm512_add_ps(straight, crossed);
        _mm512_mask_storeu_ps(x + i, mask, _mm512_mask_sub_ps(sum, 0x5555, straight, crossed));
    }
}

void avx512_rope(float *x, const float *cs, int n_heads, int d, bool neox)
{
    for (int h = 0; h < n_heads; h++, x += d)
        if (neox)
            rope_neox(x, cs, d / 2);
        else
            rope_pairs(x, cs, d);
}

void avx512_to_f16(uint16_t *out, const float *x, int n)
{
    for (int i = 0; i < n; i += LANES) {
        __mmask16 mask = mask_first(n - i);
        __m256i h = _mm512_cvtps_ph(_mm512_maskz_loadu_ps(mask, x + i), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
        _mm256_mask_storeu_epi16(out + i, mask, h);
    }
}

/* ---- attention ---- */

INLINE __m512 halfs_at(const uint16_t *at)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)at));
}

/* The tree of sixteen, in two halves of its steps, each for many sums at once: vectors are put side by side, so that
 * each step adds the same halves as one tree does. The i-th 128 bits of a quarter are what sum[i] comes to after two
 * steps, */
INLINE __m512 trees_begin(const __m512 sum[4])
{
    __m512 v8[2];
    UNROLL for (int i = 0; i < 2; i++)
    {
        __m512 a = sum[2 * i], b = sum[2 * i + 1];
        v8[i] = _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xee));
    }
    return _mm512_add_ps(_mm512_shuffle_f32x4(v8[0], v8[1], 0x88), _mm512_shuffle_f32x4(v8[0], v8[1], 0xdd));
}

/* and element 4 i + j of the result is the tree that the i-th 128 bits of quarter[j] began. */
INLINE __m512 trees_end(const __m512 quarter[4])
{
    __m512 v2[2];
    UNROLL for (int i = 0; i < 2; i++)
    {
        __m512 a = quarter[2 * i], b = quarter[2 * i + 1];
        v2[i] = _mm512_add_ps(_mm512_shuffle_ps(a, b, 0x44), _mm512_shuffle_ps(a, b, 0xee));
    }
    return _mm512_add_ps(_mm512_shuffle_ps(v2[0], v2[1], 0x88), _mm512_shuffle_ps(v2[0], v2[1], 0xdd));
}

/* n rows of d halfs, ld apart, into L2: into L1 was slower. Past the end of what is mapped it does nothing. */
INLINE void prefetch_rows(const uint16_t *at, size_t ld, int n, int d)
{
    for (int i = 0; i < n; i++)
        for (int j = 0; j < d; j += 32) _mm_prefetch((const char *)(at + (size_t)i * ld + j), _MM_HINT_T1);
}

/* Of K's positions or V's vectors as many as keep the registers full of sums. */
INLINE int tile_of(int n_heads)
{
    return n_heads <= ATTN_HEADS / 3 ? MAX_TILE : MAX_TILE / 2;
}

/* score[h][i] = q[h].k of n positions; up to 15 more are written, of the last one. */
INLINE void scores(float *score, const float *q, const uint16_t *k, size_t ld, int n, int d, const int n_heads)
{
    const int n_rows = tile_of(n_heads);
    for (int from = 0; from < n; from += LANES) {
        __m512 quarter[ATTN_HEADS][4]; /* i: of positions i, i + 4, i + 8, i + 12 */
        for (int i_quarter = 0; i_quarter < 4; i_quarter += n_rows / 4) {
            const uint16_t *row[MAX_TILE];
            __m512 sum[ATTN_HEADS][MAX_TILE];
            const uint16_t *later = k + (size_t)(from + 4 * i_quarter + NEAR) * ld;
            UNROLL for (int i = 0; i < n_rows; i++)
            {
                int at = from + i_quarter + i / 4 + i % 4 * 4;
                row[i] = k + (size_t)(at < n ? at : n - 1) * ld;
                UNROLL for (int h = 0; h < n_heads; h++) sum[h][i] = _mm512_setzero_ps();
            }
            for (int j = 0; j < d; j += LANES) {
                __m512 k_j[MAX_TILE];
                prefetch_rows(later + j, ld, n_rows, LANES); /* a line twice: no slower than asking which */
                UNROLL for (int i = 0; i < n_rows; i++) k_j[i] = halfs_at(row[i] + j);
                UNROLL for (int h = 0; h < n_heads; h++)
                {
                    __m512 q_j = _mm512_loadu_ps(q + h * d + j);
                    UNROLL for (int i = 0; i < n_rows; i++) sum[h][i] = _mm512_fmadd_ps(q_j, k_j[i], sum[h][i]);
                }
            }
            UNROLL for (int h = 0; h < n_heads; h++)
            {
                UNROLL for (int i = 0; i < n_rows; i += 4) quarter[h][i_quarter + i / 4] = trees_begin(sum[h] + i);
            }
        }
        UNROLL for (int h = 0; h < n_heads; h++)
        {
            _mm512_storeu_ps(score + h * ATTN_CHUNK + from, trees_end(quarter[h]));
        }
    }
}

/* score[n] becomes exp(score - max), +0 of positions before `seen`, of which there are fewer than LANES. */
static struct softmax chunk_weights(float *score, int seen, int n)
{
    __m512 max = _mm512_mask_mov_ps(_mm512_loadu_ps(score), mask_first(seen), _mm512_set1_ps(-INFINITY));
    __m512 part = _mm512_setzero_ps();
    _mm512_storeu_ps(score, max);
    for (int p = LANES; p < n; p += LANES)
        max = _mm512_max_ps(max, _mm512_loadu_ps(score + p)); /* those past n repeat the last */
    struct softmax c = {.max = _mm512_reduce_max_ps(max)};
    for (int p = 0; p < n; p += LANES) {
        __m512 e = vector_exp(_mm512_sub_ps(_mm512_loadu_ps(score + p), _mm512_set1_ps(c.max)));
        part = _mm512_mask_add_ps(part, mask_first(n - p), part, e);
        _mm512_storeu_ps(score + p, e);
    }
    c.sum = tree(part);
    return c;
}

/* Adds score * v by increasing position, n_vectors of every head: to +0 where fresh, else to what o has. */
INLINE void weigh_tile(float *o, const float *score, const uint16_t *v, size_t ld, int n, int d, bool fresh,
                       const int n_heads, const int n_vectors)
{
    __m512 sum[ATTN_HEADS][MAX_TILE];
    UNROLL for (int h = 0; h < n_heads; h++)
    {
        UNROLL for (int i = 0; i < n_vectors; i++)
        {
            sum[h][i] = fresh ? _mm512_setzero_ps() : _mm512_loadu_ps(o + h * d + LANES * i);
        }
    }
    for (int p = 0; p < n; p++, v += ld) {
        __m512 v_p[MAX_TILE];
        prefetch_rows(v + NEAR * ld, ld, 1, LANES * n_vectors);
        UNROLL for (int i = 0; i < n_vectors; i++) v_p[i] = halfs_at(v + LANES * i);
        UNROLL for (int h = 0; h < n_heads; h++)
        {
            __m512 weight = _mm512_set1_ps(score[h * ATTN_CHUNK + p]);
            UNROLL for (int i = 0; i < n_vectors; i++) sum[h][i] = _mm512_fmadd_ps(weight, v_p[i], sum[h][i]);
        }
    }
    UNROLL for (int h = 0; h < n_heads; h++)
    {
        UNROLL for (int i = 0; i < n_vectors; i++) _mm512_storeu_ps(o + h * d + LANES * i, sum[h][i]);
    }
}

/* o[h] = sum of score[h] * v by increasing position, over so few positions at a time that all of their v stay in L1. */
INLINE void weigh(float *o, const float *score, const uint16_t *v, size_t ld, int n, int d, const int n_heads)
{
    for (int from = 0, to; from < n; from = to) {
        to = n - from < NEAR ? n : from + NEAR;
        const uint16_t *at = v + (size_t)from * ld;
        const float *weight = score + from;
        bool fresh = from == 0;
        int j = 0, n_left = to - from;
        if (tile_of(n_heads) == MAX_TILE)
            for (; j + MAX_TILE * LANES <= d; j += MAX_TILE * LANES)
                weigh_tile(o + j, weight, at + j, ld, n_left, d, fresh, n_heads, MAX_TILE);
        for (; j + MAX_TILE / 2 * LANES <= d; j += MAX_TILE / 2 * LANES)
            weigh_tile(o + j, weight, at + j, ld, n_left, d, fresh, n_heads, MAX_TILE / 2);
        for (; j < d; j += LANES) weigh_tile(o + j, weight, at + j, ld, n_left, d, fresh, n_heads, 1);
    }
}

static float exp_one(float x)
{
    return _mm512_cvtss_f32(vector_exp(_mm512_set1_ps(x)));
}

/* to = fmaf(by_scale, scale, plus), elements */
static void scale_add(float *to, const float *by_scale, float scale, const float *plus, int d)
{
    for (int i = 0; i < d; i += LANES) {
        __mmask16 mask = mask_first(d - i);
        __m512 a = _mm512_maskz_loadu_ps(mask, by_scale + i), b = _mm512_maskz_loadu_ps(mask, plus + i);
        _mm512_mask_storeu_ps(to + i, mask, _mm512_fmadd_ps(a, _mm512_set1_ps(scale), b));
    }
}

static void chunk_merge(float *out, struct softmax *all, const float *o, struct softmax c, int d)
{
    if (c.max > all->max) {
        float scale = exp_one(all->max - c.max);
        all->sum = fmaf(all->sum, scale, c.sum);
        scale_add(out, out, scale, o, d);
        all->max = c.max;
    } else {
        float scale = exp_one(c.max - all->max);
        all->sum = fmaf(c.sum, scale, all->sum);
        scale_add(out, o, scale, out, d);
    }
}

INLINE void attend(float *out, struct softmax *all, const float *q, const uint16_t *k, const uint16_t *v, size_t ld,
                   int from, int to, int d, float *scratch, const int n_heads)
{
    /* It begins at a multiple of the 16 partials: what is masked there weighs +0. */
    int start = from & ~15, n = to - start;
    bool fresh = all->sum == 0.0f;
    float *score = scratch, *o = fresh ? out : scratch + n_heads * ATTN_CHUNK;
    struct softmax c[ATTN_HEADS];
    scores(score, q, k + (size_t)start * ld, ld, n, d, n_heads);
    for (int h = 0; h < n_heads; h++) c[h] = chunk_weights(score + h * ATTN_CHUNK, from - start, n);
    weigh(o, score, v + (size_t)start * ld, ld, n, d, n_heads);
    for (int h = 0; h < n_heads; h++)
        if (fresh)
            all[h] = c[h];
        else
            chunk_merge(out + h * d, &all[h], o + h * d, c[h], d);
}

void avx512_attention(float *out, struct softmax *so_far, const float *q, int n_heads, const uint16_t *k,
                      const uint16_t *v, size_t ld, int from, int to, int d, float *scratch)
{
    if (d % LANES) { /* toys: slow will do */
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

struct head_part avx512_head(const float *logits, int32_t first, int n)
{
    __m512 top = _mm512_set1_ps(-INFINITY), part = _mm512_setzero_ps();
    for (int i = 0; i < n; i += LANES) {
        __mmask16 mask = mask_first(n - i);
        top = _mm512_mask_max_ps(top, mask, top, _mm512_maskz_loadu_ps(mask, logits + i));
    }
    const __m512 max = _mm512_set1_ps(_mm512_reduce_max_ps(top));
    int best = -1; /* stays so only where all are NaN */
    for (int i = 0; i < n; i += LANES) {
        __mmask16 mask = mask_first(n - i);
        __m512 l = _mm512_maskz_loadu_ps(mask, logits + i);
        unsigned equal = _mm512_mask_cmp_ps_mask(mask, l, max, _CMP_EQ_OQ);
        if (best < 0 && equal) best = i + __builtin_ctz(equal);
        part = _mm512_mask_add_ps(part, mask, part, vector_exp(_mm512_sub_ps(l, max)));
    }
    best = best < 0 ? 0 : best;
    return (struct head_part){.max = logits[best], .id = first + best, .sum = tree(part)};
}
