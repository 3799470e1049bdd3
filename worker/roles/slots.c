#include "worker/roles/slots.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/prefix_hash.h"

int slots_init(struct slots *s, int n, int n_ctx, uint64_t root, struct err *err)
{
    *s = (struct slots){.n = n, .n_ctx = n_ctx, .slot = calloc((size_t)n, sizeof *s->slot)};
    for (int i = 0; s->slot && i < n; i++) {
        struct slot *slot = &s->slot[i];
        slot->ids = calloc((size_t)n_ctx, sizeof *slot->ids);
        slot->prefix_hash = calloc((size_t)n_ctx + 1, sizeof *slot->prefix_hash);
        slot->error = calloc(1, SLOT_ERROR);
        if (!slot->ids || !slot->prefix_hash || !slot->error) {
            slots_free(s);
            break;
        }
        slot->prefix_hash[0] = root;
    }
    return s->slot ? OK : err_set(err, E_LAYOUT, "no memory for %d sequences of %d ids", n, n_ctx);
}

void slots_free(struct slots *s)
{
    if (!s) return;
    for (int i = 0; s->slot && i < s->n; i++) {
        free(s->slot[i].ids);
        free(s->slot[i].prefix_hash);
        free(s->slot[i].error);
    }
    free(s->slot);
    *s = (struct slots){0};
}

enum verdict_status slots_check(const struct slots *s, uint32_t slot, uint32_t at, uint64_t h, size_t n_ids)
{
    if (slot >= (uint32_t)s->n || at > (uint32_t)s->n_ctx || n_ids > (size_t)s->n_ctx - at) return VERDICT_FULL;
    if (at > (uint32_t)s->slot[slot].len) return *s->slot[slot].error ? VERDICT_FAILED : VERDICT_GAP;
    return s->slot[slot].prefix_hash[at] == h ? VERDICT_OK : VERDICT_STALE;
}

int slots_check_ask(const struct slots *s, const struct draft_ask *ask, int n_vocab, enum draft_end *end,
                    struct err *err)
{
    static const enum draft_end ends[] = {[VERDICT_OK] = DRAFT_WINDOW,
                                          [VERDICT_STALE] = DRAFT_STALE,
                                          [VERDICT_GAP] = DRAFT_GAP,
                                          [VERDICT_FULL] = DRAFT_FULL,
                                          [VERDICT_FAILED] = DRAFT_FAILED};
    for (size_t i = 0; i < ask->n_ids; i++)
        if (ask->ids[i] < 0 || ask->ids[i] >= n_vocab)
            return err_set(err, E_PEER, "a DraftAsk with id %d, outside the vocabulary of %d", ask->ids[i], n_vocab);
    *end = ends[slots_check(s, ask->slot, ask->at, ask->prefix_hash, ask->n_ids)];
    if (*end == DRAFT_WINDOW && ask->at + ask->n_ids == 0) *end = DRAFT_GAP; /* nothing to go on from */
    return OK;
}

uint32_t slots_held(const struct slots *s, uint32_t slot)
{
    return slot < (uint32_t)s->n ? (uint32_t)s->slot[slot].len : 0;
}

/* How many of the ids, from the first on, it has. */
static size_t n_same(const struct slot *slot, uint32_t at, const int32_t *ids, size_t n_ids)
{
    size_t n = 0;
    while (n < n_ids && at + n < (size_t)slot->len && slot->ids[at + n] == ids[n]) n++;
    return n;
}

bool slots_has(const struct slots *s, uint32_t slot, uint32_t at, const int32_t *ids, size_t n_ids)
{
    return n_same(&s->slot[slot], at, ids, n_ids) == n_ids;
}

int slots_apply(struct slots *s, uint32_t slot, uint32_t at, const int32_t *ids, size_t n_ids)
{
    struct slot *to = &s->slot[slot];
    size_t kept = n_same(to, at, ids, n_ids);
    for (size_t i = kept; i < n_ids; i++) {
        to->ids[at + i] = ids[i];
        to->prefix_hash[at + i + 1] = prefix_hash_next(to->prefix_hash[at + i], ids[i]);
    }
    to->len = (int)(at + n_ids);
    *to->error = '\0';
    return (int)kept;
}

void slots_copy(struct slots *s, uint32_t to, uint32_t from, uint32_t n)
{
    const struct slot *a = &s->slot[from];
    struct slot *b = &s->slot[to];
    assert((int)n <= a->len);
    if (a != b) {
        memcpy(b->ids, a->ids, n * sizeof *b->ids);
        memcpy(b->prefix_hash, a->prefix_hash, (n + 1) * sizeof *b->prefix_hash);
    }
    b->len = (int)n;
    *b->error = '\0';
}

void slots_cut(struct slots *s, uint32_t slot, uint32_t len)
{
    assert((int)len <= s->slot[slot].len);
    s->slot[slot].len = (int)len;
}

void slots_fail(struct slots *s, uint32_t slot, uint32_t at, const char *why)
{
    struct slot *to = &s->slot[slot];
    if (at > (uint32_t)to->len) return; /* what it goes on from has failed, and says why */
    slots_cut(s, slot, at);
    snprintf(to->error, SLOT_ERROR, "%s", why);
}

const char *slots_error(const struct slots *s, uint32_t slot)
{
    return s->slot[slot].error;
}
