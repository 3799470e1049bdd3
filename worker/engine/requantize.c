#include "worker/engine/requantize.h"

#include <stdlib.h>
#include <string.h>

enum { N = BLOCK, Q_MOST = 15, N_FITS = 2 };

struct line { /* w = d * q + m */
    float d, m;
};

static struct line line_of_range(const float *x)
{
    float low = x[0], high = x[0];
    for (int i = 1; i < N; i++) {
        low = x[i] < low ? x[i] : low;
        high = x[i] > high ? x[i] : high;
    }
    return (struct line){(high - low) / Q_MOST, low};
}

static void nearest(float *q, struct line l, const float *x)
{
    float inv = l.d > 0 ? 1.0f / l.d : 0;
    for (int i = 0; i < N; i++) {
        float v = (x[i] - l.m) * inv + 0.5f;
        v = v < 0 ? 0 : v > Q_MOST ? Q_MOST : v;
        q[i] = (float)(int)v;
    }
}

/* Least squares of x over q. */
static struct line fit(const float *q, const float *x, struct line otherwise)
{
    float sq = 0, sqq = 0, sx = 0, sqx = 0;
    for (int i = 0; i < N; i++) {
        sq += q[i];
        sqq += q[i] * q[i];
        sx += x[i];
        sqx += q[i] * x[i];
    }
    float det = N * sqq - sq * sq, d = (N * sqx - sq * sx) / det;
    if (!(det > 0 && d > 0)) return otherwise;
    return (struct line){d, (sx - d * sq) / N};
}

void requantize_q4_1(const struct kernels *k, uint8_t *row, const float *x, int n)
{
    for (const float *end = x + n; x < end; x += N, row += Q4_1_BYTES) {
        float q[N];
        struct line l = line_of_range(x);
        for (int i = 0; i < N_FITS; i++) {
            nearest(q, l, x);
            l = fit(q, x, l);
        }
        nearest(q, l, x);
        uint16_t half[2];
        k->to_f16(half, (const float[]){l.d, l.m}, 2);
        memcpy(row, half, sizeof half);
        for (int i = 0; i < N / 2; i++) row[4 + i] = (uint8_t)((int)q[i] | (int)q[i + N / 2] << 4);
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
