/* cpu_amx.c -- products on AMX's int8 tiles; all else is the AVX-512 path's.
 *
 * A block of a panel, unpacked, is a tile as it stands: 8 quads of k by 16 outputs of 4 bytes. The q of up to 16 token
 * rows are the other factor, 32 bytes a row, read where they lie; the product has 16 x 16 exact sums, to which scales
 * are applied as everywhere. Where scales are 16 wide a block is two such products.
 *
 * Unpacking and scales are vector work beside the tiles', so few rows are faster without: from how many on they pay is
 * measured once at start.
 */
#include <cpuid.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "kernels/cpu_amx.h"
#include "kernels/cpu_avx512_panel.h"

enum { MAX_ROWS = 16, MAX_BITS = 8 };

/* Rows from which tiles are used, by bits of a stored value. */
static _Atomic int least_rows[MAX_BITS + 1];

bool amx_is_there(void)
{
#ifdef __AMX_INT8__
    enum { AMX_TILE = 1 << 24, AMX_INT8 = 1 << 25 };                /* of CPUID 7, EDX */
    enum { ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILEDATA = 18 }; /* the kernel saves tiles of those who ask */
    unsigned a, b, c, d;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(d & AMX_TILE) || !(d & AMX_INT8)) return false;
    return syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0;
#else
    return true; /* tests emulate this path */
#endif
}

/* ---- tiles ---- */

/* Compilers do not know that the instructions of tiles read memory: what is at p is to be there. */
INLINE void written(const void *p)
{
    __asm__ volatile("" : : "r"(p) : "memory");
}

/* What LDTILECFG reads. */
struct tile_config {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
};

/* Tiles 0, 1: sums; 2, 3: q; 4, 5: weights. One of each for even and for odd products, which then overlap. */
static void configure(int n_rows, int k)
{
    _Alignas(64) struct tile_config c = {.palette = 1};
    for (int i = 0; i < 2; i++) {
        c.rows[i] = c.rows[2 + i] = (uint8_t)n_rows;
        c.row_bytes[i] = c.row_bytes[4 + i] = PANEL_LINE;
        c.row_bytes[2 + i] = (uint16_t)k;
        c.rows[4 + i] = (uint8_t)(k / 4);
    }
    written(&c);
    _tile_loadconfig(&c);
}

#define MULTIPLY(dots, q, ld_q, weights, sums, of_q, of_weights)                                                       \
    do {                                                                                                               \
        _tile_loadd(of_weights, weights, PANEL_LINE);                                                                  \
        _tile_loadd(of_q, q, ld_q);                                                                                    \
        _tile_zero(sums);                                                                                              \
        _tile_dpbsud(sums, of_q, of_weights);                                                                          \
        _tile_stored(sums, dots, PANEL_LINE);                                                                          \
    } while (0)

/* dots[r] = the products of row r's q, ld_q bytes apart, with the weights of a block, or of half of one. */
INLINE void multiply(int32_t dots[MAX_ROWS][PANEL], const int8_t *q, size_t ld_q, const uint8_t *weights, bool odd)
{
    if (odd)
        MULTIPLY(dots, q, ld_q, weights, 1, 3, 5);
    else
        MULTIPLY(dots, q, ld_q, weights, 0, 2, 4);
}

/* ---- products ---- */

/* Up to MAX_ROWS rows; type is a constant. The scales of a block are applied while the next one is multiplied. */
INLINE void pass_run(const struct pass *p, enum quant type, int n)
{
    const int n_blocks = p->a->n_in / BLOCK, n_groups = panel_n_groups(p->a->n_in);
    const int n_parts = panel_format(type).head == HEAD_BYTES ? 2 : 1, k = BLOCK / n_parts;
    const size_t ld = (size_t)n_blocks;
    const uint8_t *front = p->panel, *at = p->panel + panel_front_bytes(type, p->a->n_in);
    const struct act *a = p->a->blocks + (size_t)p->i_row * ld;
    _Alignas(PANEL_LINE) int32_t dots[2][2][MAX_ROWS][PANEL];
    _Alignas(PANEL_LINE) uint8_t weights[2][PANEL_QUADS * PANEL_LINE];
    __m512 acc[MAX_ROWS];
    struct scales s;
    for (int r = 0; r < n; r++) acc[r] = _mm512_setzero_ps();
    for (int g = 0; g < n_groups; g++, front += PANEL * 2, a += PANEL_GROUP) {
        int left = n_blocks - g * PANEL_GROUP, n_here = left < PANEL_GROUP ? left : PANEL_GROUP;
        scales_read(&s, type, at, front, n_here);
        prefetch(at + AHEAD_BYTES, panel_head_bytes(type, PANEL_GROUP));
        at += panel_head_bytes(type, n_here);
        for (int i = 0; i <= n_here; i++) {
            if (i < n_here) {
                __m512i w[PANEL_QUADS];
                quads_read(w, panel_format(type).bits, at);
                prefetch(at + AHEAD_BYTES, panel_block_bytes(type));
                at += panel_block_bytes(type);
                for (int j = 0; j < PANEL_QUADS; j++) _mm512_store_si512(weights[i % 2] + j * PANEL_LINE, w[j]);
                written(weights);
                for (int part = 0; part < n_parts; part++)
                    multiply(dots[i % 2][part], a[i].q + part * k, ld * sizeof *a,
                             weights[i % 2] + part * k / 4 * PANEL_LINE, n_parts == 2 ? part : i % 2);
            }
            for (int r = 0; i > 0 && r < n; r++) {
                const __m512i of_row[2] = {_mm512_load_si512(dots[(i - 1) % 2][0][r]),
                                           _mm512_load_si512(dots[(i - 1) % 2][n_parts - 1][r])};
                acc[r] = block_add(acc[r], of_row, &s, i - 1, type, a + i - 1 + (size_t)r * ld);
            }
        }
    }
    for (int r = 0; r < n; r++) _mm512_storeu_ps(p->out + (size_t)r * p->ld_out, acc[r]);
}

static void pass_of(const struct pass *p, enum quant type, int n)
{
    switch (type) {
    case QUANT_Q4_0: pass_run(p, QUANT_Q4_0, n); return;
    case QUANT_Q4_1: pass_run(p, QUANT_Q4_1, n); return;
    case QUANT_Q5_0: pass_run(p, QUANT_Q5_0, n); return;
    case QUANT_Q5_1: pass_run(p, QUANT_Q5_1, n); return;
    case QUANT_Q8_0: pass_run(p, QUANT_Q8_0, n); return;
    case QUANT_Q4_K: pass_run(p, QUANT_Q4_K, n); return;
    case QUANT_Q5_K: pass_run(p, QUANT_Q5_K, n); return;
    default: pass_run(p, QUANT_Q6_K, n); /* and Q3_K */
    }
}

static void amx_matmul(float *out, size_t ld_out, const struct weights *w, const struct acts *a, int n_rows, int from,
                       int to)
{
    int bits = panel_format(w->type).bits;
    if (bits == 0 || n_rows < atomic_load_explicit(&least_rows[bits], memory_order_relaxed)) {
        avx512_matmul(out, ld_out, w, a, n_rows, from, to);
        return;
    }
    const int n_turns = (n_rows + MAX_ROWS - 1) / MAX_ROWS, k = panel_format(w->type).head == HEAD_BYTES ? 16 : 32;
    struct pass p = {.a = a, .ld_out = ld_out};
    for (int i = from, configured = 0; i < to; i++) {
        p.panel = w->panels + (size_t)i * w->panel_bytes;
        for (int t = 0; t < n_turns; t++) {
            p.i_row = n_rows * t / n_turns;
            int n = n_rows * (t + 1) / n_turns - p.i_row;
            if (n != configured) configure(configured = n, k);
            p.out = out + (size_t)p.i_row * ld_out + i * PANEL;
            pass_of(&p, w->type, n);
        }
    }
    _tile_release();
}

/* ---- calibration ---- */

enum { CALIBRATE_OUT = 64, CALIBRATE_IN = 1536, CALIBRATE_TIMES = 9 };

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The least of a few: what disturbs only adds. */
static double time_of(const struct weights *w, const struct acts *a, int n_rows, bool tiles)
{
    static float out[MAX_ROWS * CALIBRATE_OUT];
    double least = 1e9;
    for (int i = 0; i < CALIBRATE_TIMES; i++) {
        double from = now_s();
        (tiles ? amx_matmul : avx512_matmul)(out, CALIBRATE_OUT, w, a, n_rows, 0, CALIBRATE_OUT / PANEL);
        double took = now_s() - from;
        if (took < least) least = took;
    }
    return least;
}

static const char *amx_calibrate(void)
{
    static _Alignas(PANEL_LINE)
        uint8_t panels[CALIBRATE_OUT * CALIBRATE_IN * 5 / 4]; /* of zeros: times do not depend on them */
    static struct act blocks[MAX_ROWS * CALIBRATE_IN / BLOCK];
    static char said[120];
    if (*said) return said;
    static const enum quant types[] = {QUANT_Q4_K, QUANT_Q5_K, QUANT_Q6_K, QUANT_Q8_0};
    const struct acts a = {.n_in = CALIBRATE_IN, .blocks = blocks};
    size_t n = (size_t)snprintf(said, sizeof said, "tiles from");
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        int bits = panel_format(types[i]).bits, least = MAX_ROWS + 1;
        struct weights w = {types[i], CALIBRATE_IN, CALIBRATE_OUT, panel_bytes(types[i], CALIBRATE_IN), panels};
        atomic_store(&least_rows[bits], 1);
        while (least > 1 && time_of(&w, &a, least - 1, true) < time_of(&w, &a, least - 1, false)) least--;
        atomic_store(&least_rows[bits], least > MAX_ROWS ? INT_MAX : least);
        n += (size_t)snprintf(said + n, sizeof said - n, "%s %d rows of %d bits", i ? "," : "", least, bits);
    }
    return said;
}

const struct kernels kernels_amx = {
    .name = "amx",
    .panel_bytes = panel_bytes,
    .pack = panel_pack,
    .row = panel_row,
    .quantize = avx512_quantize,
    .matmul = amx_matmul,
    .norm = avx512_norm,
    .add = avx512_add,
    .add_step = avx512_add_step,
    .silu_mul = avx512_silu_mul,
    .gelu_mul = avx512_gelu_mul,
    .rope = avx512_rope,
    .to_f16 = avx512_to_f16,
    .attention = avx512_attention,
    .head = avx512_head,
    .calibrate = amx_calibrate,
};
