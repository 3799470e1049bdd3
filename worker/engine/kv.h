/* kv.h -- keys and values of past tokens, F16. The engine owns them.
 *
 * A cache belongs to a plan entry, not to a block: [n_caches, n_slots, n_heads, n_ctx, d]. There is no length here:
 * each row has its position, and rows past the last one that was fed are garbage that will be overwritten. Rewinding
 * costs nothing.
 */
#ifndef WORKER_ENGINE_KV_H
#define WORKER_ENGINE_KV_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include "proto/err.h"

struct kv {
    int n_caches, n_slots, n_heads, n_ctx, d;
    size_t n_bytes;  /* of k and v together */
    uint16_t *k, *v; /* owns: one mapping, zero pages until written */
};

static inline uint64_t kv_position_bytes(int n_caches, int n_heads, int d)
{
    return (uint64_t)n_caches * (uint64_t)n_heads * (uint64_t)d * 2 * sizeof(uint16_t);
}

/* All sizes but n_bytes are set. */
static inline int kv_init(struct kv *kv, struct err *err)
{
    kv->n_bytes =
        (size_t)(kv_position_bytes(kv->n_caches, kv->n_heads, kv->d) * (uint64_t)kv->n_slots * (uint64_t)kv->n_ctx);
    if (!kv->n_bytes) return OK; /* a stage of a plan's MLPs */
    void *memory = mmap(NULL, kv->n_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return err_set(err, E_LAYOUT, "no memory for %zu MiB of KV: use a smaller --ctx", kv->n_bytes >> 20);
    kv->k = memory;
    kv->v = kv->k + kv->n_bytes / 4;
    return OK;
}

static inline void kv_free(struct kv *kv)
{
    if (kv && kv->k) munmap(kv->k, kv->n_bytes);
    if (kv) *kv = (struct kv){0};
}

/* Offset of position 0 of a head, in elements; positions are d apart. */
static inline size_t kv_at(const struct kv *kv, int cache, int slot, int head)
{
    return (((size_t)cache * (size_t)kv->n_slots + (size_t)slot) * (size_t)kv->n_heads + (size_t)head) *
           (size_t)kv->n_ctx * (size_t)kv->d;
}

/* The first n rows of a slot in one cache become those of another slot. */
static inline void kv_copy(struct kv *kv, int cache, int to, int from, int n)
{
    size_t n_bytes = (size_t)n * (size_t)kv->d * sizeof *kv->k;
    for (int head = 0; head < kv->n_heads; head++) {
        size_t a = kv_at(kv, cache, from, head), b = kv_at(kv, cache, to, head);
        memcpy(kv->k + b, kv->k + a, n_bytes);
        memcpy(kv->v + b, kv->v + a, n_bytes);
    }
}

#endif
