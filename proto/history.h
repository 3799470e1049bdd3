/* history.h -- a history of ids, named by its content.
 *
 * h[0] is the job's root; h[i+1] follows from h[i] and id i. Every part of a message says (at, h): "apply this after the
 * first `at` ids whose history is h". Stale, ahead, replicated and replayed work need no further rule.
 */
#ifndef PROTO_HISTORY_H
#define PROTO_HISTORY_H

#include <stdint.h>

/* MurmurHash3's 64-bit finalizer. */
static inline uint64_t history_mix(uint64_t x)
{
    x = (x ^ (x >> 33)) * 0xff51afd7ed558ccdULL;
    x = (x ^ (x >> 33)) * 0xc4ceb9fe1a85ec53ULL;
    return x ^ (x >> 33);
}

static inline uint64_t history_next(uint64_t h, int32_t id)
{
    return history_mix(h ^ ((uint64_t)(uint32_t)id + 1) * 0x9E3779B97F4A7C15ULL);
}

#endif
