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
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kernels/cpu_amx.h"
#include "kernels/cpu_avx512_panel.h"
#include "kernels/now.h"

enum { MAX_ROWS = 16, MAX_BITS = 8 };

/* Rows from which tiles are used, by bits of a stored value. Changed once, before there are threads. */
static int least_rows[MAX_BITS + 1];

bool amx_is_there(void)
{
#if defined(__AMX_INT8__) || defined(__AMXINT8__)                   /* the latter: clang 14 */
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

/* Numbers of tiles; instructions are written with them, so they are no enum. */
#define SUMS 0
#define Q 1
#define WEIGHTS 2

static void configure(int n_rows, int k)
{
    _Alignas(64) struct tile_config c = {.palette = 1};
    c.rows[SUMS] = c.rows[Q] = (uint8_t)n_rows;
    c.rows[WEIGHTS] = (uint8_t)(k / 4);
    c.row_bytes[SUMS] = c.row_bytes[WEIGHTS] = PANEL_LINE;
    c.row_bytes[Q] = (uint16_t)k;
    written(&c);
    _tile_loadconfig(&c);
}

/* dots[r] = the products of row r's q, ld_q bytes apart, with the weights of a block, or of half of one. */
INLINE void multiply(int32_t dots[MAX_ROWS][PANEL], const int8_t *q, size_t ld_q, const uint8_t *weights)
{
    _tile_loadd(WEIGHTS, weights, PANEL_LINE);
    _tile_loadd(Q, q, ld_q);
    _tile_zero(SUMS);
    _tile_dpbsud(SUMS, Q, WEIGHTS);
    _tile_stored(SUMS, dots, PANEL_LINE);
}

/* ---- products ---- */

/* Token rows row .. row+n-1, up to MAX_ROWS; type is a constant. */
INLINE void product(float *out, size_t ld_out, const uint8_t *panel, const struct acts *acts, int row, int n,
                    enum quant type)
{
    const int n_blocks = acts->n_in / BLOCK, n_groups = panel_n_groups(acts->n_in);
    const int n_parts = panel_format(type).head == HEAD_BYTES ? 2 : 1, k = BLOCK / n_parts;
    const size_t ld = (size_t)n_blocks;
    const uint8_t *front = panel, *at = panel + panel_front_bytes(type, acts->n_in);
    const struct act *a = acts->blocks + (size_t)row * ld;
    _Alignas(PANEL_LINE) int32_t dots[2][MAX_ROWS][PANEL];
    _Alignas(PANEL_LINE) uint8_t weights[PANEL_QUADS * PANEL_LINE];
    __m512 acc[MAX_ROWS];
    struct scales s;
    for (int r = 0; r < n; r++) acc[r] = _mm512_setzero_ps();
    for (int g = 0; g < n_groups; g++, front += PANEL * 2) {
        int left = n_blocks - g * PANEL_GROUP, n_here = left < PANEL_GROUP ? left : PANEL_GROUP;
        scales_read(&s, type, at, front, n_here);
        prefetch(at + AHEAD_BYTES, panel_head_bytes(type, PANEL_GROUP));
        at += panel_head_bytes(type, n_here);
        for (int i = 0; i < n_here; i++, a++, at += panel_block_bytes(type)) {
            __m512i w[PANEL_QUADS];
            quads_read(w, panel_format(type).bits, at);
            prefetch(at + AHEAD_BYTES, panel_block_bytes(type));
            for (int j = 0; j < PANEL_QUADS; j++) _mm512_store_si512(weights + j * PANEL_LINE, w[j]);
            written(weights);
            for (int part = 0; part < n_parts; part++)
                multiply(dots[part], a->q + part * k, ld * sizeof *a, weights + part * k / 4 * PANEL_LINE);
            for (int r = 0; r < n; r++) {
                const __m512i of_row[2] = {_mm512_load_si512(dots[0][r]), _mm512_load_si512(dots[n_parts - 1][r])};
                acc[r] = block_add(acc[r], of_row, &s, i, type, a + (size_t)r * ld);
            }
        }
    }
    for (int r = 0; r < n; r++) _mm512_storeu_ps(out + (size_t)r * ld_out, acc[r]);
}

typedef void product_fn(float *out, size_t ld_out, const uint8_t *panel, const struct acts *acts, int row, int n);

#define PRODUCT(type)                                                                                                  \
    static void of_##type(float *out, size_t ld_out, const uint8_t *panel, const struct acts *acts, int row, int n)    \
    {                                                                                                                  \
        product(out, ld_out, panel, acts, row, n, QUANT_##type);                                                       \
    }
PRODUCT(Q4_0)
PRODUCT(Q4_1)
PRODUCT(Q5_0)
PRODUCT(Q5_1)
PRODUCT(Q8_0)
PRODUCT(Q4_K)
PRODUCT(Q5_K)
PRODUCT(Q6_K)

static void amx_matmul(float *out, size_t ld_out, const struct weights *w, const struct acts *a, int n_rows, int from,
                       int to)
{
    static product_fn *const products[] = {
        [QUANT_Q4_0] = of_Q4_0, [QUANT_Q4_1] = of_Q4_1, [QUANT_Q5_0] = of_Q5_0,
        [QUANT_Q5_1] = of_Q5_1, [QUANT_Q8_0] = of_Q8_0, [QUANT_Q4_K] = of_Q4_K,
        [QUANT_Q5_K] = of_Q5_K, [QUANT_Q6_K] = of_Q6_K, [QUANT_Q3_K] = of_Q6_K,
    };
    int bits = panel_format(w->type).bits;
    if (bits == 0 || n_rows < least_rows[bits]) {
        avx512_matmul(out, ld_out, w, a, n_rows, from, to);
        return;
    }
    const int n_turns = (n_rows + MAX_ROWS - 1) / MAX_ROWS, k = panel_format(w->type).head == HEAD_BYTES ? 16 : 32;
    for (int p = from, configured = 0; p < to; p++)
        for (int t = 0; t < n_turns; t++) {
            int first = n_rows * t / n_turns, n = n_rows * (t + 1) / n_turns - first;
            if (n != configured) configure(configured = n, k);
            float *to_rows = out + (size_t)first * ld_out + (size_t)p * PANEL;
            products[w->type](to_rows, ld_out, w->panels + (size_t)p * w->panel_bytes, a, first, n);
        }
    _tile_release();
}

/* ---- calibration ---- */

enum { CALIBRATE_OUT = 64, CALIBRATE_IN = 1536, CALIBRATE_TIMES = 9 };

/* The least of a few: what disturbs only adds. */
static long long time_of_ns(const struct weights *w, const struct acts *a, int n_rows, bool tiles)
{
    static float out[MAX_ROWS * CALIBRATE_OUT];
    long long least = LLONG_MAX;
    for (int i = 0; i < CALIBRATE_TIMES; i++) {
        long long from = now_ns();
        (tiles ? amx_matmul : avx512_matmul)(out, CALIBRATE_OUT, w, a, n_rows, 0, CALIBRATE_OUT / PANEL);
        long long took = now_ns() - from;
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
        least_rows[bits] = 1;
        while (least > 1 && time_of_ns(&w, &a, least - 1, true) < time_of_ns(&w, &a, least - 1, false)) least--;
        least_rows[bits] = least > MAX_ROWS ? INT_MAX : least;
        n += (size_t)snprintf(said + n, sizeof said - n, "%s %d rows of %d bits", i ? "," : "", least, bits);
    }
    return said;
}

const struct kernels kernels_amx = {
    .name = "amx",
    .matmul = amx_matmul,
    .calibrate = amx_calibrate,
    AVX512_BUT_PRODUCTS,
};
