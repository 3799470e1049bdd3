#include "kernels/noise.h"

#include "kernels/gumbel.h"

void noise_philox(uint32_t out[4], const uint32_t counter[4], const uint32_t key[2])
{
    philox_of(out, counter, key);
}

float noise_gumbel(uint32_t seed, uint32_t sample, uint32_t position, uint32_t id)
{
    return gumbel_of(draw_of(seed, sample, position, id));
}
