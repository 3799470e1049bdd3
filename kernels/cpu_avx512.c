/* cpu_avx512.c -- AVX-512 F, BW, VL, DQ, VNNI and F16C: one zmm is 16 output rows, or 16 elements of a token row. */
#include "kernels/cpu_avx512_panel.h"

enum {
    ONE_ROW_AHEAD = 4096, /* bytes of its prefetch, into L1: by T1, as for more rows, a Zen 4 reads 0.8 times as fast */
    ROWS = 8, /* token rows of a pass over a panel: 8 accumulators, 8 quads and their scales fill 32 registers */
    TURN = 4  /* groups of k (1024) after which the next 8 rows take their turn: the weights are still in L2 */
};

/* ---- products of quantized weights ---- */

/* acc + the dot products of 4 bytes: w unsigned, q signed and the same for every lane. The memory operand is broadcast
 * for free, but compilers load it on its own first. */
INLINE __m512i dot_quad(__m512i acc, __m512i w, const int8_t *q)
{
#ifdef __AVX512VNNI__
    __asm__("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(acc) : "v"(w), "m"(*(const int32_t *)(const void *)q));
    return acc;
#else /* tests emulate this path */
    return _mm512_dpbusd_epi32(acc, w, _mm512_set1_epi32(*(const int32_t *)(const void *)q));
#endif
}

INLINE __m512i dot(const __m512i *w, const int8_t *q, int n_quads)
{
    __m512i acc = _mm512_setzero_si512();
    UNROLL for (int j = 0; j < n_quads; j++) acc = dot_quad(acc, w[j], q + 4 * j);
    return acc;
}

/* A block of one token row. */
INLINE __m512 block_apply(__m512 acc, const __m512i w[PANEL_QUADS], const struct scales *s, int i, enum quant type,
                          const struct act *a)
{
    bool halves = panel_format(type).head == HEAD_BYTES;
    __m512i dots[2] = {dot(w, a->q, halves ? 4 : PANEL_QUADS)};
    if (halves) dots[1] = dot(w + 4, a->q + 16, 4);
    return block_add(acc, dots, s, i, type, a);
}

INLINE void prefetch_for(int n_rows, const uint8_t *at, int n_bytes)
{
    if (n_rows > 1) {
        prefetch(at + AHEAD_BYTES, n_bytes);
        return;
    }
    UNROLL for (int i = 0; i < n_bytes; i += PANEL_LINE)
    {
        _mm_prefetch((const char *)at + ONE_ROW_AHEAD + i, _MM_HINT_T0);
    }
}

/* What a pass over part of a panel works on: token rows i_row .. i_row+n-1, groups from .. to-1 of k. */
struct pass {
    const struct acts *a;
    float *out; /* of the first row; the sums so far where from > 0 */
    size_t ld_out;
    const uint8_t *panel;
    int i_row, from, to;
};

/* The loop of every format and row count: both are constants wherever this is inlined. */
INLINE void pass_run(const struct pass *p, enum quant type, const int n)
{
    const int n_blocks = p->a->n_in / BLOCK;
    const uint8_t *front = p->panel + p->from * PANEL * 2;
    const uint8_t *at =
        p->panel + panel_front_bytes(type, p->a->n_in) + (size_t)p->from * (size_t)panel_group_bytes(type);
    struct scales s;
    __m512 acc[ROWS];
    UNROLL for (int r = 0; r < n; r++)
    {
        acc[r] = p->from > 0 ? _mm512_loadu_ps(p->out + (size_t)r * p->ld_out) : _mm512_setzero_ps();
    }
    for (int g = p->from; g < p->to; g++, front += PANEL * 2) {
        int left = n_blocks - g * PANEL_GROUP, n_here = left < PANEL_GROUP ? left : PANEL_GROUP;
        const struct act *a = p->a->blocks + (size_t)p->i_row * (size_t)n_blocks + (size_t)(g * PANEL_GROUP);
        scales_read(&s, type, at, front, n_here);
        prefetch_for(n, at, panel_head_bytes(type, PANEL_GROUP));
        at += panel_head_bytes(type, n_here);
        for (int i = 0; i < n_here; i++, a++, at += panel_block_bytes(type)) {
            __m512i w[PANEL_QUADS];
            quads_read(w, panel_format(type).bits, at);
            prefetch_for(n, at, panel_block_bytes(type));
            UNROLL for (int r = 0; r < n; r++)
            {
                acc[r] = block_apply(acc[r], w, &s, i, type, a + (size_t)r * (size_t)n_blocks);
            }
        }
    }
    UNROLL for (int r = 0; r < n; r++) _mm512_storeu_ps(p->out + (size_t)r * p->ld_out, acc[r]);
}

typedef void pass_fn(const struct pass *p);

#define PASS(type, n)                                                                                                  \
    static void pass_##type##_##n(const struct pass *p)                                                                \
    {                                                                                                                  \
        pass_run(p, QUANT_##type, n);                                                                                  \
    }
#define PASSES(type)                                                                                                   \
    PASS(type, 1)                                                                                                      \
    PASS(type, 2)                                                                                                      \
    PASS(type, 3)                                                                                                      \
    PASS(type, 4)                                                                                                      \
    PASS(type, 5)                                                                                                      \
    PASS(type, 6)                                                                                                      \
    PASS(type, 7)                                                                                                      \
        PASS(type, 8) static pass_fn *const passes_##type[ROWS] = {pass_##type##_1, pass_##type##_2, pass_##type##_3,  \
                                                                   pass_##type##_4, pass_##type##_5, pass_##type##_6,  \
                                                                   pass_##type##_7, pass_##type##_8};
PASSES(Q4_0)
PASSES(Q4_1)
PASSES(Q5_0)
PASSES(Q5_1)
PASSES(Q8_0)
PASSES(Q4_K)
PASSES(Q5_K)
PASSES(Q6_K)

static pass_fn *const *passes_of(enum quant type)
{
    switch (type) {
    case QUANT_Q4_0: return passes_Q4_0;
    case QUANT_Q4_1: return passes_Q4_1;
    case QUANT_Q5_0: return passes_Q5_0;
    case QUANT_Q5_1: return passes_Q5_1;
    case QUANT_Q8_0: return passes_Q8_0;
    case QUANT_Q4_K: return passes_Q4_K;
    case QUANT_Q5_K: return passes_Q5_K;
    case QUANT_Q3_K:
    case QUANT_Q6_K: return passes_Q6_K;
    default: return NULL;
    }
}

/* ---- products of float weights ---- */

/* 16 floats from element i of a panel on. */
INLINE __m512 floats_at(const uint8_t *panel, size_t i, enum quant type)
{
    if (type == QUANT_F32) return _mm512_load_ps((const float *)(const void *)panel + i);
    if (type == QUANT_F16) return halfs_at(panel + 2 * i);
    __m256i bf16 = _mm256_load_si256((const __m256i *)(const void *)(panel + 2 * i));
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bf16), 16));
}

/* Rows i_row .. i_row+n-1. Toy models only: simple, not fast. */
INLINE void floats_run(float *out, size_t ld_out, const uint8_t *panel, enum quant type, const float *x, int n_in,
                       int n)
{
    __m512 acc[ROWS];
    for (int r = 0; r < n; r++) acc[r] = _mm512_setzero_ps();
    for (size_t k = 0; k < (size_t)n_in; k++) {
        __m512 w = floats_at(panel, k * PANEL, type);
        for (int r = 0; r < n; r++)
            acc[r] = _mm512_fmadd_ps(w, _mm512_set1_ps(x[(size_t)r * (size_t)n_in + k]), acc[r]);
    }
    for (int r = 0; r < n; r++) _mm512_storeu_ps(out + (size_t)r * ld_out, acc[r]);
}

static void floats_panel(float *out, size_t ld_out, const uint8_t *panel, enum quant type, const struct acts *a,
                         int n_rows)
{
    for (int r = 0; r < n_rows; r += ROWS) {
        int n = n_rows - r < ROWS ? n_rows - r : ROWS;
        const float *x = a->x + (size_t)r * (size_t)a->n_in;
        float *to = out + (size_t)r * ld_out;
        switch (type) {
        case QUANT_F16: floats_run(to, ld_out, panel, QUANT_F16, x, a->n_in, n); break;
        case QUANT_BF16: floats_run(to, ld_out, panel, QUANT_BF16, x, a->n_in, n); break;
        default: floats_run(to, ld_out, panel, QUANT_F32, x, a->n_in, n);
        }
    }
}

void avx512_matmul(float *out, size_t ld_out, const struct weights *w, const struct acts *a, int n_rows, int from,
                   int to)
{
    if (!panel_has(w->type)) {
        kernels_ref.matmul(out, ld_out, w, a, n_rows, from, to);
        return;
    }
    pass_fn *const *passes = passes_of(w->type);
    const int n_groups = panel_n_groups(w->n_in), turn = n_rows > ROWS ? TURN : n_groups;
    struct pass p = {.a = a, .ld_out = ld_out};
    for (int i = from; i < to; i++) {
        p.panel = w->panels + (size_t)i * w->panel_bytes;
        if (!passes) {
            floats_panel(out + i * PANEL, ld_out, p.panel, w->type, a, n_rows);
            continue;
        }
        for (p.from = 0; p.from < n_groups; p.from = p.to) {
            p.to = n_groups - p.from < turn ? n_groups : p.from + turn;
            for (p.i_row = 0; p.i_row < n_rows; p.i_row += ROWS) {
                int n = n_rows - p.i_row < ROWS ? n_rows - p.i_row : ROWS;
                p.out = out + (size_t)p.i_row * ld_out + i * PANEL;
                passes[n - 1](&p);
            }
        }
    }
}

const struct kernels kernels_avx512 = {
    .name = "avx512",
    .matmul = avx512_matmul,
    AVX512_BUT_PRODUCTS,
};
