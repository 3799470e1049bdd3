/* noise.h -- the noise of sampling: a pure function of (seed, sample, position, id), so that a sampled text does not
 * depend on how it was computed (kernels/ARITHMETIC.md, Sampling).
 *
 * argmax over ids of l/T + G, with G independent Gumbel(0, 1), is a sample of softmax(l/T) (the Gumbel-max trick,
 * Gumbel 1954; Maddison et al. 2014). Drafter and verifier add the same noise, so they mostly agree.
 */
#ifndef KERNELS_NOISE_H
#define KERNELS_NOISE_H

#include <stdint.h>

/* No noise is greater, nor smaller than minus a sixth of it. */
#define NOISE_MOST 22.9f

/* Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"). */
void noise_philox(uint32_t out[4], const uint32_t counter[4], const uint32_t key[2]);

/* sample: index of the request. position: of the token that is chosen, counted from the beginning of the text. */
float noise_gumbel(uint32_t seed, uint32_t sample, uint32_t position, uint32_t id);

#endif
