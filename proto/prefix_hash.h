/* prefix_hash.h -- a hash for each prefix of a text's ids.
 *
 * prefix_hash[0] is the job's root; prefix_hash[i+1] follows from prefix_hash[i] and id i. Every part carries (at,
 * prefix_hash): it applies after the first `at` ids of a slot, if their prefix hash is this one. No other rule is
 * needed for work that is stale, too early, replicated or replayed.
 */
#ifndef PROTO_PREFIX_HASH_H
#define PROTO_PREFIX_HASH_H

#include <stdint.h>

/* MurmurHash3's 64-bit finalizer. */
static inline uint64_t prefix_hash_mix(uint64_t x)
{
    x = (x ^ (x >> 33)) * 0xff51afd7ed558ccdULL;
    x = (x ^ (x >> 33)) * 0xc4ceb9fe1a85ec53ULL;
    return x ^ (x >> 33);
}

static inline uint64_t prefix_hash_next(uint64_t h, int32_t id)
{
    return prefix_hash_mix(h ^ ((uint64_t)(uint32_t)id + 1) * 0x9E3779B97F4A7C15ULL);
}

#endif
