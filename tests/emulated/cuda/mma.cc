#include "mma.h"

#include "blocks.h"
#include "cuda_fp16.h"

enum { M = 16, N = 8, K = 16, KEPT = 25, ZERO_EXPONENT = -126, FAR = 60 };

namespace
{

struct number { /* significand * 2^exponent */
    float significand;
    int exponent;
};

/* [1, 2), below 1 for denormals of a format whose least exponent is `least`. */
number split(float x, int least)
{
    uint32_t bits = __float_as_uint(x);
    int exponent = (int)(bits >> 23 & 255) - 127;
    if (x == 0) return {0, ZERO_EXPONENT};
    if (exponent < least) return {ldexpf(x, -least), least};
    return {__uint_as_float((bits & 0x807fffffu) | 127u << 23), exponent};
}

float value_of(uint16_t bits, bool bf16)
{
    return bf16 ? __uint_as_float((uint32_t)bits << 16) : emulated_f32_of_f16(bits);
}

/* Toward zero. */
float f32_of(double x)
{
    float f = (float)x;
    if (fabs((double)f) > fabs(x) && fabs(x) < 0x1p128) f = __uint_as_float(__float_as_uint(f) - 1);
    return f;
}

double power_of_two(int n)
{
    uint64_t bits = (uint64_t)(n + 1023) << 52;
    double d;
    memcpy(&d, &bits, sizeof d);
    return d;
}

struct powers { /* of[i] = 2^(KEPT - i), 0 from FAR on: nothing is left there */
    float of[FAR + 1];
    powers()
    {
        for (int i = 0; i <= FAR; i++) of[i] = i < FAR ? ldexpf(1, KEPT - i) : 0;
    }
} const power;

float dot(const float *a, const int *ea, const float *b, const int *eb, number c)
{
    int exponents[K], most = c.exponent;
    int64_t sum = 0;
    for (int k = 0; k < K; k++) {
        exponents[k] = ea[k] + eb[k];
        most = exponents[k] > most ? exponents[k] : most;
    }
    for (int k = 0; k < K; k++) {
        int by = most - exponents[k];
        sum += (int32_t)(a[k] * b[k] * power.of[by < FAR ? by : FAR]); /* exact but for the cut */
    }
    int by = most - c.exponent;
    sum += (int32_t)(c.significand * power.of[by < FAR ? by : FAR]);
    return f32_of((double)sum * power_of_two(most - KEPT));
}

void unpack(float *significand, int *exponent, bool *finite, uint16_t bits, bool bf16)
{
    float x = value_of(bits, bf16);
    number n = split(x, bf16 ? -126 : -14);
    *significand = n.significand;
    *exponent = n.exponent;
    if (x - x != 0) *finite = false;
}

/* A tile with a NaN or an infinity, or the output of a finite row and column in it. */
float not_finite(const uint16_t *a, const uint16_t *b, float c, bool bf16)
{
    double plain = c;
    float significands[2][K];
    int exponents[2][K];
    bool finite = true;
    for (int k = 0; k < K; k++) {
        plain += (double)value_of(a[k], bf16) * value_of(b[k * N], bf16);
        unpack(&significands[0][k], &exponents[0][k], &finite, a[k], bf16);
        unpack(&significands[1][k], &exponents[1][k], &finite, b[k * N], bf16);
    }
    if (plain - plain == 0) return dot(significands[0], exponents[0], significands[1], exponents[1], split(c, -126));
    return plain != plain ? __uint_as_float(0x7fffffff) : (float)plain;
}

} // namespace

void emulated_mma(float *d, const uint16_t *a, const uint16_t *b, const float *c, bool bf16)
{
    float sa[M][K], sb[N][K];
    int ea[M][K], eb[N][K];
    bool finite = true, zero[N];
    for (int j = 0; j < N; j++) zero[j] = true;
    for (int k = 0; k < K; k++) {
        for (int i = 0; i < M; i++) unpack(&sa[i][k], &ea[i][k], &finite, a[i * K + k], bf16);
        for (int j = 0; j < N; j++) {
            unpack(&sb[j][k], &eb[j][k], &finite, b[k * N + j], bf16);
            zero[j] = zero[j] && sb[j][k] == 0;
        }
    }
    for (int i = 0; i < M; i++)
        for (int j = 0; j < N; j++) {
            float at = c[i * N + j];
            if (finite && zero[j] && (at == 0 || fabsf(at) >= 0x1p-80f)) { /* padding: nothing of C is cut */
                d[i * N + j] = at + 0.0f;
                continue;
            }
            d[i * N + j] = finite && at - at == 0 ? dot(sa[i], ea[i], sb[j], eb[j], split(at, -126))
                                                  : not_finite(a + i * K, b + j, at, bf16);
        }
}

static void apply(emulated_lane *lanes, unsigned mask, int bf16)
{
    uint16_t a[M * K], b[K * N];
    float c[M * N];
    if (mask != 0xffffffffu) emulated_fail("mma.sync by lanes %08x", mask);
    for (int lane = 0; lane < EMULATED_WARP; lane++) {
        const uint32_t *in = lanes[lane].in;
        int g = lane / 4, t = lane % 4;
        for (int i = 0; i < 8; i++)
            a[(g + (i / 2 % 2) * 8) * K + 2 * t + i % 2 + i / 4 * 8] = (uint16_t)(in[i / 2] >> 16 * (i % 2));
        for (int i = 0; i < 4; i++) b[(2 * t + i % 2 + i / 2 * 8) * N + g] = (uint16_t)(in[4 + i / 2] >> 16 * (i % 2));
        for (int i = 0; i < 4; i++) c[(g + i / 2 * 8) * N + 2 * t + i % 2] = __uint_as_float(in[6 + i]);
    }
    emulated_mma(c, a, b, c, bf16);
    for (int lane = 0; lane < EMULATED_WARP; lane++)
        for (int i = 0; i < 4; i++)
            lanes[lane].out[i] = __float_as_uint(c[(lane / 4 + i / 2 * 8) * N + 2 * (lane % 4) + i % 2]);
}

void emulated_warp_mma(float d[4], const uint32_t a[4], const uint32_t b[2], const float c[4], bool bf16)
{
    uint32_t in[10], out[4];
    memcpy(in, a, 4 * sizeof *a);
    memcpy(in + 4, b, 2 * sizeof *b);
    memcpy(in + 6, c, 4 * sizeof *c);
    emulated_warp("mma.sync", 0xffffffffu, in, 10, out, 4, apply, bf16);
    memcpy(d, out, sizeof out);
}
