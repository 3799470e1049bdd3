#include "worker/engine/requantize.h"

#include <stdlib.h>
#include <string.h>

enum { Q_MOST = 15, N_FITS = 2, LANES = 4, N = BLOCK / LANES };

/* A block is N times LANES values, side by side (vectors as gcc and clang have them on every CPU). */
typedef float floats __attribute__((vector_size(LANES * sizeof(float))));
typedef int32_t ints __attribute__((vector_size(LANES * sizeof(int32_t))));

struct line { /* w = d * q + m */
    float d, m;
};

static floats pick(ints mask, floats yes, floats no)
{
    return (floats)((mask & (ints)yes) | (~mask & (ints)no));
}

static floats least(floats a, floats b)
{
    return pick(a < b, a, b);
}

static floats most(floats a, floats b)
{
    return pick(a > b, a, b);
}

static float sum_of(floats v)
{
    return (v[0] + v[1]) + (v[2] + v[3]);
}

static struct line line_of_range(const floats x[N])
{
    floats low = x[0], high = x[0];
    for (int i = 1; i < N; i++) {
        low = least(low, x[i]);
        high = most(high, x[i]);
    }
    for (int j = 1; j < LANES; j++) {
        low[0] = low[j] < low[0] ? low[j] : low[0];
        high[0] = high[j] > high[0] ? high[j] : high[0];
    }
    return (struct line){(high[0] - low[0]) / Q_MOST, low[0]};
}

static void nearest(ints q[N], struct line l, const floats x[N])
{
    const floats zero = {0}, top = zero + Q_MOST;
    float inv = l.d > 0 ? 1.0f / l.d : 0;
    for (int i = 0; i < N; i++) q[i] = __builtin_convertvector(least(most((x[i] - l.m) * inv + 0.5f, zero), top), ints);
}

/* Least squares of x over q. */
static struct line fit(const ints q[N], const floats x[N], struct line otherwise)
{
    enum { COUNT = N * LANES };
    floats q_sum = {0}, qq_sum = {0}, x_sum = {0}, qx_sum = {0};
    for (int i = 0; i < N; i++) {
        floats f = __builtin_convertvector(q[i], floats);
        q_sum += f;
        qq_sum += f * f;
        x_sum += x[i];
        qx_sum += f * x[i];
    }
    float sq = sum_of(q_sum), sqq = sum_of(qq_sum), sx = sum_of(x_sum), sqx = sum_of(qx_sum);
    float det = COUNT * sqq - sq * sq, d = (COUNT * sqx - sq * sx) / det;
    if (!(det > 0 && d > 0)) return otherwise;
    return (struct line){d, (sx - d * sq) / COUNT};
}

void requantize_q4_1(const struct kernels *k, uint8_t *row, const float *x, int n)
{
    for (const float *end = x + n; x < end; x += BLOCK, row += Q4_1_BYTES) {
        floats block[N];
        ints q[N];
        memcpy(block, x, sizeof block);
        struct line l = line_of_range(block);
        for (int i = 0; i < N_FITS; i++) {
            nearest(q, l, block);
            l = fit(q, block, l);
        }
        nearest(q, l, block);
        uint16_t half[2];
        k->to_f16(half, (const float[]){l.d, l.m}, 2);
        memcpy(row, half, sizeof half);
        int32_t flat[BLOCK];
        memcpy(flat, q, sizeof flat);
        for (int i = 0; i < BLOCK / 2; i++) row[4 + i] = (uint8_t)(flat[i] | flat[i + BLOCK / 2] << 4);
    }
}

bool requantizer_open(struct requantizer *r, size_t panel_bytes, int n_in)
{
    enum { ALIGN = 64 };
    r->panel = aligned_alloc(ALIGN, (panel_bytes + ALIGN - 1) / ALIGN * ALIGN);
    r->rows = malloc((size_t)PANEL * (size_t)(n_in / BLOCK) * Q4_1_BYTES);
    r->row = malloc((size_t)n_in * sizeof *r->row);
    return r->panel && r->rows && r->row;
}

void requantizer_close(struct requantizer *r)
{
    free(r->panel);
    free(r->rows);
    free(r->row);
}

void requantizer_run(struct requantizer *r, const struct kernels *k, const void *rows[PANEL], enum quant type, int n_in)
{
    struct weights w = {type, n_in, PANEL, k->panel_bytes(type, n_in), r->panel};
    k->pack(r->panel, rows, type, n_in);
    for (int i = 0; i < PANEL; i++) {
        if (!rows[i]) continue;
        uint8_t *row = r->rows + (size_t)i * (size_t)(n_in / BLOCK) * Q4_1_BYTES;
        k->row(r->row, &w, i);
        requantize_q4_1(k, row, r->row, n_in);
        rows[i] = row;
    }
}
