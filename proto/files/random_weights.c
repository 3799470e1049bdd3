#include "proto/files/random_weights.h"

#include <math.h>
#include <string.h>

enum { F32, F16, Q4_0, Q4_1, Q5_0 = 6, Q5_1, Q8_0, Q2_K = 10, Q3_K, Q4_K, Q5_K, Q6_K, BF16 = 30 }; /* as in files */

#define STEP 0x9e3779b97f4a7c15u
static const double deviation = 37837.2;  /* of the sum: 65536 * sqrt(4 / 12) */
static const double sum_most = 262144;    /* all sums are below it */
static const double scale_factor = 48.39; /* root of the mean square of 32..63 */

static uint64_t mix(uint64_t z)
{
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* 0 .. 4 * 65535 */
static inline uint32_t sum_of(uint64_t key, uint64_t i)
{
    const uint64_t h = mix(key + (i + 1) * STEP), pairs = (h & 0x0000ffff0000ffffu) + (h >> 16 & 0x0000ffff0000ffffu);
    return (uint32_t)pairs + (uint32_t)(pairs >> 32);
}

bool random_weights_format(uint32_t type)
{
    return type == F32 || type == F16 || type == BF16 || (type >= Q4_0 && type <= Q4_1) ||
           (type >= Q5_0 && type <= Q8_0) || (type >= Q2_K && type <= Q6_K);
}

uint64_t random_weights_key(uint64_t seed, struct gguf_str name)
{
    uint64_t key = mix(seed + STEP);
    for (size_t i = 0; i < name.n; i++) key = mix(key + (uint8_t)name.s[i] + STEP);
    return key ? key : 1;
}

/* ---- floats ---- */

static uint32_t bits_of(float f)
{
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return bits;
}

/* Of |f| < 65504, ties to even. */
static uint16_t f16_of(float f)
{
    int e = (int)(bits_of(f) >> 23 & 255) - 127;
    if (e < -14) e = -14;
    const uint32_t mantissa = (uint32_t)lrintf(ldexpf(fabsf(f), 10 - e));
    return (uint16_t)(((uint32_t)(e + 14) << 10) + mantissa + (bits_of(f) >> 31 << 15));
}

static uint16_t bf16_of(float f)
{
    const uint32_t bits = bits_of(f);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static void put_half(uint8_t *at, uint16_t half)
{
    memcpy(at, &half, sizeof half);
}

static void floats(uint8_t *out, uint32_t type, uint64_t key, uint64_t first, uint64_t n)
{
    const float unit = (float)(1 / (deviation * sqrt((double)n)));
    for (uint64_t i = 0; i < n; i++) {
        const float f = (float)((int32_t)sum_of(key, first + i) - 2 * 65535) * unit;
        if (type == F32)
            memcpy(out + 4 * i, &f, sizeof f);
        else
            put_half(out + 2 * i, type == F16 ? f16_of(f) : bf16_of(f));
    }
}

static void ones(uint8_t *out, uint32_t type, uint64_t n)
{
    const float one = 1;
    for (uint64_t i = 0; i < n; i++)
        if (type == F32)
            memcpy(out + 4 * i, &one, sizeof one);
        else
            put_half(out + 2 * i, type == F16 ? f16_of(one) : bf16_of(one));
}

/* ---- integers: blocks as ggml's docs/gguf.md and ggml-common.h have them ---- */

static int bits_per_value(uint32_t type)
{
    switch (type) {
    case Q2_K: return 2;
    case Q3_K: return 3;
    case Q5_0:
    case Q5_1:
    case Q5_K: return 5;
    case Q6_K: return 6;
    case Q8_0: return 8;
    default: return 4;
    }
}

/* Value i of a block whose bytes are zero; q is below 2^bits. */
static inline __attribute__((always_inline)) void put_value(uint8_t *b, uint32_t type, int i, uint32_t q)
{
    const int part = i / 32, in = i % 32;
    switch (type) {
    case Q4_0: b[2 + in % 16] |= (uint8_t)(q << in / 16 * 4); break;
    case Q4_1: b[4 + in % 16] |= (uint8_t)(q << in / 16 * 4); break;
    case Q5_0:
    case Q5_1: {
        const int high = type == Q5_0 ? 2 : 4;
        b[high + 4 + in % 16] |= (uint8_t)((q & 15) << in / 16 * 4);
        b[high + in / 8] |= (uint8_t)(q >> 4 << in % 8);
        break;
    }
    case Q8_0: b[2 + in] = (uint8_t)(q - 128); break;
    case Q2_K: b[16 + part / 4 * 32 + in] |= (uint8_t)(q << part % 4 * 2); break;
    case Q3_K:
        b[32 + part / 4 * 32 + in] |= (uint8_t)((q & 3) << part % 4 * 2);
        b[in] |= (uint8_t)(q >> 2 << part);
        break;
    case Q4_K: b[16 + part / 2 * 32 + in] |= (uint8_t)(q << part % 2 * 4); break;
    case Q5_K:
        b[48 + part / 2 * 32 + in] |= (uint8_t)((q & 15) << part % 2 * 4);
        b[16 + in] |= (uint8_t)(q >> 4 << part);
        break;
    case Q6_K:
        b[part / 4 * 64 + part % 2 * 32 + in] |= (uint8_t)((q & 15) << part % 4 / 2 * 4);
        b[128 + part / 4 * 32 + in] |= (uint8_t)(q >> 4 << part % 4 * 2);
        break;
    default: break;
    }
}

/* Of Q4_K and Q5_K: scale and minimum of 32 values, both `scale`, 6 bits each, in 12 bytes. */
static void put_six_bits(uint8_t *packed, int j, uint32_t scale)
{
    if (j < 4) {
        packed[j] |= (uint8_t)scale;
        packed[j + 4] |= (uint8_t)scale;
    } else {
        packed[j + 4] |= (uint8_t)((scale & 15) | (scale & 15) << 4);
        packed[j - 4] |= (uint8_t)(scale >> 4 << 6);
        packed[j] |= (uint8_t)(scale >> 4 << 6);
    }
}

/* Scale j of a block, 32..63, as the format has it; unit: of a scale of 1. A minimum is -2^(bits - 1) scales, so that
 * values have no mean. */
static void put_scale(uint8_t *b, uint32_t type, int j, uint32_t scale, float unit)
{
    const float d = unit * (float)scale;
    switch (type) {
    case Q4_0:
    case Q5_0:
    case Q8_0: put_half(b, f16_of(d)); break;
    case Q4_1:
    case Q5_1:
        put_half(b, f16_of(d));
        put_half(b + 2, f16_of(d * (type == Q4_1 ? -8 : -16)));
        break;
    case Q2_K: b[j] = (uint8_t)(scale >> 2 | scale >> 2 << 4); break; /* 4 bits each */
    case Q3_K:                                                        /* 32 + 16 .. 31 */
        b[96 + j % 8] |= (uint8_t)((scale >> 1 & 15) << j / 8 * 4);
        b[104 + j % 4] |= (uint8_t)(3 << j / 4 * 2);
        break;
    case Q4_K:
    case Q5_K: put_six_bits(b + 4, j, scale); break;
    case Q6_K: b[192 + j] = (uint8_t)scale; break;
    default: break;
    }
}

static void put_block_scale(uint8_t *b, uint32_t type, float unit)
{
    switch (type) {
    case Q2_K:
        put_half(b + 80, f16_of(unit * 4));
        put_half(b + 82, f16_of(unit * 8));
        break;
    case Q3_K: put_half(b + 108, f16_of(unit * 2)); break;
    case Q4_K:
    case Q5_K:
        put_half(b, f16_of(unit));
        put_half(b + 2, f16_of(unit * (type == Q4_K ? 8 : 16)));
        break;
    case Q6_K: put_half(b + 208, f16_of(unit)); break;
    default: break;
    }
}

static inline __attribute__((always_inline)) void integers(uint8_t *out, uint32_t type, const struct gguf_type *format,
                                                           uint64_t key, uint64_t first, uint64_t n)
{
    const int bits = bits_per_value(type), shift = 18 - bits;
    const int n_scale = type == Q2_K || type == Q3_K || type == Q6_K ? 16 : 32;
    const uint32_t most = (1u << bits) - 1, half = 1u << (shift - 1);
    const double step = sum_most / (deviation * (double)(most + 1)); /* of q, in deviations */
    const float unit = (float)(step / (scale_factor * sqrt((double)n)));
    for (uint64_t at = 0; at < n; at += (uint64_t)format->block, out += format->block_bytes) {
        memset(out, 0, (size_t)format->block_bytes);
        put_block_scale(out, type, unit);
        for (int j = 0; j < format->block / n_scale; j++)
            put_scale(out, type, j, 32 + (sum_of(~key, first + at + (uint64_t)j) & 31), unit);
        for (int i = 0; i < format->block; i++) {
            const uint32_t q = (sum_of(key, first + at + (uint64_t)i) + half) >> shift;
            put_value(out, type, i, q < most ? q : most);
        }
    }
}

void random_weights_row(uint8_t *out, const struct gguf_tensor *t, uint64_t row)
{
    static const char bias[] = ".bias";
    const uint64_t key = t->random_key, n = t->dim[0], first = row * n;
    const struct gguf_type *format = gguf_type(t->type);
    const size_t n_bias = sizeof bias - 1;
    const bool is_bias = t->name.n >= n_bias && !memcmp(t->name.s + t->name.n - n_bias, bias, n_bias);
    if (format->block == 1 && t->n_dims == 1 && !is_bias) {
        ones(out, t->type, n);
        return;
    }
    switch (t->type) { /* constants, so that each is a loop of its own */
    case Q4_0: integers(out, Q4_0, format, key, first, n); break;
    case Q4_1: integers(out, Q4_1, format, key, first, n); break;
    case Q5_0: integers(out, Q5_0, format, key, first, n); break;
    case Q5_1: integers(out, Q5_1, format, key, first, n); break;
    case Q8_0: integers(out, Q8_0, format, key, first, n); break;
    case Q2_K: integers(out, Q2_K, format, key, first, n); break;
    case Q3_K: integers(out, Q3_K, format, key, first, n); break;
    case Q4_K: integers(out, Q4_K, format, key, first, n); break;
    case Q5_K: integers(out, Q5_K, format, key, first, n); break;
    case Q6_K: integers(out, Q6_K, format, key, first, n); break;
    default: floats(out, t->type, key, first, n); break;
    }
}
