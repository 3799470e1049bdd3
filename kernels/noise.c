#include "kernels/noise.h"

#include "kernels/math.h"

enum { ROUNDS = 10 };

void noise_philox(uint32_t out[4], const uint32_t counter[4], const uint32_t key[2])
{
    uint32_t c[4] = {counter[0], counter[1], counter[2], counter[3]}, k0 = key[0], k1 = key[1];
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t a = UINT64_C(0xD2511F53) * c[0], b = UINT64_C(0xCD9E8D57) * c[2];
        uint32_t next[4] = {(uint32_t)(b >> 32) ^ c[1] ^ k0, (uint32_t)b, (uint32_t)(a >> 32) ^ c[3] ^ k1, (uint32_t)a};
        for (int j = 0; j < 4; j++) c[j] = next[j];
        k0 += 0x9E3779B9;
        k1 += 0xBB67AE85;
    }
    for (int j = 0; j < 4; j++) out[j] = c[j];
}

float noise_gumbel(uint32_t seed, uint32_t sample, uint32_t position, uint32_t id)
{
    uint32_t r[4];
    noise_philox(r, (const uint32_t[4]){position, id, 0, 0}, (const uint32_t[2]){seed, sample});
    double u = (r[0] + 0.5) * 0x1p-32;
    return (float)-math_ln(-math_ln(1.0 - u)); /* 1 - u is exact: u has 33 bits */
}
