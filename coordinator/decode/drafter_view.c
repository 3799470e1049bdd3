#include "coordinator/decode/drafter_view.h"

#include <stdlib.h>

#include "proto/prefix_hash.h"

bool drafter_view_init(struct drafter_view *v, int n_ctx)
{
    *v = (struct drafter_view){.first = -1, .prefix_hash = calloc((size_t)n_ctx + 1, sizeof *v->prefix_hash)};
    return v->prefix_hash != NULL;
}

void drafter_view_free(struct drafter_view *v)
{
    free(v->prefix_hash);
    *v = (struct drafter_view){0};
}

void drafter_view_forget(struct drafter_view *v, int first)
{
    v->first = first;
    v->len = v->n_reused = v->n_hashed = 0;
    v->from = 0;
}

void drafter_view_copy(struct drafter_view *v, const struct drafter_view *of, int n, uint32_t from)
{
    drafter_view_forget(v, of->first);
    v->len = n - of->first;
    v->from = from;
}

int drafter_view_held(const struct drafter_view *v)
{
    return v->first < 0 ? 0 : v->first + v->len + v->n_reused;
}

void drafter_view_keep(struct drafter_view *v, int n)
{
    int held = drafter_view_held(v) < n ? drafter_view_held(v) : n;
    if (v->first < 0 || held <= v->first) {
        drafter_view_forget(v, -1);
        return;
    }
    if (v->len > held - v->first) v->len = held - v->first;
    v->n_reused = held - v->first - v->len;
    if (v->n_hashed > v->len) v->n_hashed = v->len;
}

void drafter_view_hash(struct drafter_view *v, uint64_t root, const int32_t *ids, int n_ids)
{
    v->prefix_hash[0] = root;
    for (; v->n_hashed < n_ids - v->first; v->n_hashed++)
        v->prefix_hash[v->n_hashed + 1] = prefix_hash_next(v->prefix_hash[v->n_hashed], ids[v->first + v->n_hashed]);
}

uint64_t drafter_view_hash_of(struct drafter_view *v, uint64_t root, const int32_t *ids, int n_final, int n)
{
    int n_hashed = n < n_final ? n : n_final;
    drafter_view_hash(v, root, ids, n_hashed);
    uint64_t hash = v->prefix_hash[n_hashed - v->first];
    for (int i = n_hashed; i < n; i++) hash = prefix_hash_next(hash, ids[i]);
    return hash;
}
