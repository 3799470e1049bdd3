/* gumbel.h -- noise.h's functions as text that a device has too (MATH_OF as expf.h has it), and bounds of the noise that
 * take no logarithm: most ids cannot have the greatest key, whatever lies between. */
#ifndef KERNELS_GUMBEL_H
#define KERNELS_GUMBEL_H

#include <stdint.h>

#include "kernels/ln.h"
#include "kernels/noise.h"

enum { PHILOX_ROUNDS = 10 };

MATH_OF void philox_of(uint32_t out[4], const uint32_t counter[4], const uint32_t key[2])
{
    uint32_t c[4] = {counter[0], counter[1], counter[2], counter[3]}, k0 = key[0], k1 = key[1];
    for (int i = 0; i < PHILOX_ROUNDS; i++) {
        uint64_t a = UINT64_C(0xD2511F53) * c[0], b = UINT64_C(0xCD9E8D57) * c[2];
        uint32_t next[4] = {(uint32_t)(b >> 32) ^ c[1] ^ k0, (uint32_t)b, (uint32_t)(a >> 32) ^ c[3] ^ k1, (uint32_t)a};
        for (int j = 0; j < 4; j++) c[j] = next[j];
        k0 += 0x9E3779B9;
        k1 += 0xBB67AE85;
    }
    for (int j = 0; j < 4; j++) out[j] = c[j];
}

/* What the noise of an id is made of. */
MATH_OF uint32_t draw_of(uint32_t seed, uint32_t sample, uint32_t position, uint32_t id)
{
    const uint32_t counter[4] = {position, id, 0, 0}, key[2] = {seed, sample};
    uint32_t r[4];
    philox_of(r, counter, key);
    return r[0];
}

MATH_OF float gumbel_of(uint32_t draw)
{
    double u = (draw + 0.5) * 0x1p-32;
    return (float)-ln_of(-ln_of(1.0 - u)); /* 1 - u is exact: u has 33 bits */
}

/* u is in [2^-(n+1), 2^-n). */
MATH_OF int draw_n(uint32_t draw)
{
#ifdef __CUDA_ARCH__
    return __clz((int)draw);
#else
    return draw ? __builtin_clz(draw) : 32;
#endif
}

/* Not below gumbel_of(draw): -ln(1 - u) >= u, and ln 2 < 0.69315. */
MATH_OF float gumbel_most(uint32_t draw)
{
    return (float)(draw_n(draw) + 1) * 0.69315f;
}

/* Not above it: -ln(1 - u) <= 2 u ln 2 for u up to a half, and -ln(2 ln 2) > -0.3267. */
MATH_OF float gumbel_least(uint32_t draw)
{
    int n = draw_n(draw);
    return n ? (float)n * 0.69314f - 0.3267f : -NOISE_MOST / 6;
}

#endif
