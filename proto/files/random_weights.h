/* random_weights.h -- weights that are in no file. A model file with the key pilotfish.random_seed ends behind its
 * directory (scripts/make-model writes such); each row of a tensor follows from the seed, the tensor's name and the
 * row's number, so every machine and every shard makes the same bytes, of the rows that it asks for.
 *
 * A value is a hash of its counter (SplitMix64: Steele, Lea, Flood, OOPSLA 2014): the sum of its four 16-bit words,
 * nearly normal within 3.5 deviations. Rows of n values have the deviation 1 / sqrt(n). Of integer formats q is the
 * sum's highest bits, and scales vary twofold. A tensor of one dimension is all ones, which norms are, unless its name
 * ends in ".bias".
 */
#ifndef PROTO_FILES_RANDOM_WEIGHTS_H
#define PROTO_FILES_RANDOM_WEIGHTS_H

#include "proto/files/gguf.h"

#define RANDOM_SEED_KEY "pilotfish.random_seed"

/* False: there are none of this format. */
bool random_weights_format(uint32_t type);

/* Never 0. */
uint64_t random_weights_key(uint64_t seed, struct gguf_str name);

/* out: a row's bytes, of a tensor with a random_key. */
void random_weights_row(uint8_t *out, const struct gguf_tensor *t, uint64_t row);

#endif
