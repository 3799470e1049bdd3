#include "tests/lib/hard.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Of a file's block: elements, bytes, places of its 16-bit scales. */
static const struct shape {
    int n_elements, n_bytes, n_scales, scales[2];
} shapes[] = {
    [QUANT_F32] = {1, 4, 0, {0}},        [QUANT_F16] = {1, 2, 1, {0}},         [QUANT_BF16] = {1, 2, 0, {0}},
    [QUANT_Q4_0] = {32, 18, 1, {0}},     [QUANT_Q4_1] = {32, 20, 2, {0, 2}},   [QUANT_Q5_0] = {32, 22, 1, {0}},
    [QUANT_Q5_1] = {32, 24, 2, {0, 2}},  [QUANT_Q8_0] = {32, 34, 1, {0}},      [QUANT_Q2_K] = {256, 84, 2, {80, 82}},
    [QUANT_Q3_K] = {256, 110, 1, {108}}, [QUANT_Q4_K] = {256, 144, 2, {0, 2}}, [QUANT_Q5_K] = {256, 176, 2, {0, 2}},
    [QUANT_Q6_K] = {256, 210, 1, {208}},
};

uint32_t hard_bits(struct hard *h)
{
    h->state += 0x9e3779b97f4a7c15u;
    uint64_t z = h->state;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (uint32_t)(z >> 32);
}

static float bell(struct hard *h)
{
    float sum = 0.0f;
    for (int i = 0; i < 4; i++) sum += (float)(int32_t)hard_bits(h) * 0x1p-31f;
    return sum;
}

void hard_floats(struct hard *h, float *x, int n)
{
    for (int i = 0; i < n; i++) {
        x[i] = bell(h);
        if (hard_bits(h) % 64 == 0) x[i] *= 60.0f;
    }
}

void hard_row(struct hard *h, float *x, int n)
{
    static const float sizes[] = {1.0f, 0.0f, 1.0f, 0x1p-103f, 0x1p-103f, 1.0f, 300.0f, 1.0f};
    uint32_t first = hard_bits(h);
    for (int b = 0; b < n / BLOCK; b++, x += BLOCK) {
        unsigned kind = (first + (unsigned)b) % 8;
        for (int i = 0; i < BLOCK; i++) {
            x[i] = bell(h) * sizes[kind];
            if (kind == 5 && i % 3) x[i] *= 0x1p-130f;
            if (kind == 7) x[i] = (float)((int)(hard_bits(h) % 253) - 126) + 0.5f;
        }
        if (kind == 1) x[7] = -0.0f;
        if (kind == 2) x[hard_bits(h) % BLOCK] = -97.0f;
        if (kind == 4) x[hard_bits(h) % BLOCK] = 0x1p-100f;
        if (kind == 7) x[hard_bits(h) % BLOCK] = -127.0f; /* a scale of 1: the halves above are exact ties */
    }
}

size_t hard_row_bytes(enum quant type, int n_in)
{
    return (size_t)(n_in / shapes[type].n_elements) * (size_t)shapes[type].n_bytes;
}

void hard_weights(struct hard *h, uint8_t *row, enum quant type, int n_in)
{
    const struct shape *s = &shapes[type];
    if (type == QUANT_F32 || type == QUANT_BF16) { /* the upper half is a BF16 */
        size_t width = (size_t)s->n_bytes;
        float x;
        for (int i = 0; i < n_in; i++, row += width) {
            hard_floats(h, &x, 1);
            memcpy(row, (const uint8_t *)&x + sizeof x - width, width);
        }
        return;
    }
    size_t n = hard_row_bytes(type, n_in);
    for (size_t i = 0; i < n; i++) row[i] = (uint8_t)hard_bits(h);
    for (size_t at = 0; at < n; at += (size_t)s->n_bytes)
        for (int i = 0; i < s->n_scales; i++) {
            uint8_t *high = &row[at + (size_t)s->scales[i] + 1]; /* sign, exponent, two bits */
            uint32_t kind = hard_bits(h) % 8;
            if (kind == 0)
                *high &= 0x83; /* zero or denormal */
            else
                *high = (uint8_t)((*high & 0x83) | (6 + hard_bits(h) % 8) << 2);
        }
}

static double half_at(const uint8_t *at)
{
    int bits = at[0] | at[1] << 8, exponent = bits >> 10 & 31, fraction = bits & 1023;
    double size = exponent ? ldexp(1024 + fraction, exponent - 25) : ldexp(fraction, -24);
    return bits & 0x8000 ? -size : size;
}

/* Scale (n = 0) or minimum (n = 1) of part i: six bits of a string of 12 bytes. */
static int k_scale(const uint8_t *packed, int i, int n)
{
    if (i < 4) return packed[i + 4 * n] % 64;
    return (packed[i + 4] >> 4 * n) % 16 + packed[i - 4 + 4 * n] / 64 * 16;
}

double hard_value(enum quant type, const uint8_t *row, int k)
{
    const uint8_t *b = row + k / shapes[type].n_elements * shapes[type].n_bytes;
    int i = k % shapes[type].n_elements, j = i % 32, byte, q;
    float f;
    switch (type) {
    case QUANT_F32: memcpy(&f, b, sizeof f); return f;
    case QUANT_F16: return half_at(b);
    case QUANT_BF16:
        f = 0;
        memcpy((uint8_t *)&f + 2, b, 2);
        return f;
    case QUANT_Q4_0: byte = b[2 + i % 16]; return half_at(b) * ((i < 16 ? byte % 16 : byte / 16) - 8);
    case QUANT_Q4_1: byte = b[4 + i % 16]; return half_at(b) * (i < 16 ? byte % 16 : byte / 16) + half_at(b + 2);
    case QUANT_Q5_0:
        byte = b[6 + i % 16];
        q = (i < 16 ? byte % 16 : byte / 16) + (b[2 + i / 8] >> i % 8) % 2 * 16;
        return half_at(b) * (q - 16);
    case QUANT_Q5_1:
        byte = b[8 + i % 16];
        q = (i < 16 ? byte % 16 : byte / 16) + (b[4 + i / 8] >> i % 8) % 2 * 16;
        return half_at(b) * q + half_at(b + 2);
    case QUANT_Q2_K:
        q = b[16 + i / 128 * 32 + j] / (1 << i % 128 / 32 * 2) % 4;
        byte = b[i / 16];
        return half_at(b + 80) * (byte % 16) * q - half_at(b + 82) * (byte / 16);
    case QUANT_Q3_K:
        q = b[32 + i / 128 * 32 + j] / (1 << i % 128 / 32 * 2) % 4 + (b[j] >> i / 32) % 2 * 4;
        byte = b[96 + i / 16 % 8] / (i < 128 ? 1 : 16) % 16 + b[104 + i / 16 % 4] / (1 << i / 64 * 2) % 4 * 16;
        return half_at(b + 108) * (byte - 32) * (q - 4);
    case QUANT_Q5_K:
        byte = b[48 + i / 64 * 32 + j];
        q = (i % 64 < 32 ? byte % 16 : byte / 16) + (b[16 + j] >> i / 32) % 2 * 16;
        return half_at(b) * k_scale(b + 4, i / 32, 0) * q - half_at(b + 2) * k_scale(b + 4, i / 32, 1);
    case QUANT_Q8_0: return half_at(b) * (b[2 + i] < 128 ? b[2 + i] : b[2 + i] - 256);
    case QUANT_Q4_K:
        byte = b[16 + i / 64 * 32 + j];
        q = i % 64 < 32 ? byte % 16 : byte / 16;
        return half_at(b) * k_scale(b + 4, i / 32, 0) * q - half_at(b + 2) * k_scale(b + 4, i / 32, 1);
    case QUANT_Q6_K:
        byte = b[i / 128 * 64 + i % 64];
        q = (i % 128 < 64 ? byte % 16 : byte / 16) + (b[128 + i / 128 * 32 + j] >> i % 128 / 32 * 2) % 4 * 16;
        byte = b[192 + i / 16];
        return half_at(b + 208) * (byte < 128 ? byte : byte - 256) * (q - 32);
    }
    return NAN;
}

void *hard_alloc(size_t n)
{
    void *p = aligned_alloc(64, (n + 63) / 64 * 64 + 64);
    if (!p) abort();
    memset(p, 0xa5, n);
    return p;
}
