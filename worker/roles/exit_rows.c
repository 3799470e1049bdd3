#include "worker/roles/exit_rows.h"

#include <stdlib.h>
#include <string.h>

#include "proto/prefix_hash.h"

int exit_rows_init(struct exit_rows *r, int n_slots, int n_embd, struct err *err)
{
    *r = (struct exit_rows){.n_slots = n_slots, .n_embd = n_embd};
    r->slot = calloc((size_t)n_slots, sizeof *r->slot);
    r->x = calloc((size_t)n_slots * DRAFTS_MOST * (size_t)n_embd, sizeof *r->x);
    return r->slot && r->x ? OK : err_set(err, E_LAYOUT, "out of memory for drafts of %d slots", n_slots);
}

void exit_rows_free(struct exit_rows *r)
{
    free(r->slot);
    free(r->x);
    *r = (struct exit_rows){0};
}

static float *row_of(const struct exit_rows *r, uint32_t slot, uint32_t i)
{
    return r->x + ((size_t)slot * DRAFTS_MOST + i) * (size_t)r->n_embd;
}

void exit_rows_keep(struct exit_rows *r, const struct part *part, int plan, const float *x)
{
    struct held_rows *h = &r->slot[part->slot];
    bool follows =
        h->n && h->plan == plan && part->at == h->at + (uint32_t)h->n && part->prefix_hash == h->prefix_hash[h->n];
    if (!follows) *h = (struct held_rows){.at = part->at, .plan = plan, .prefix_hash = {part->prefix_hash}};
    if (h->n == DRAFTS_MOST) return;
    memcpy(row_of(r, part->slot, (uint32_t)h->n), x, (size_t)r->n_embd * sizeof *x);
    h->prefix_hash[h->n + 1] = prefix_hash_next(h->prefix_hash[h->n], part->rows[0].id);
    h->n++;
}

int exit_rows_held(const struct exit_rows *r, const struct part *part)
{
    const struct held_rows *h = &r->slot[part->slot];
    if (part->at < h->at || part->at - h->at >= (uint32_t)h->n) return 0;
    int from = (int)(part->at - h->at), n = 0;
    uint64_t hash = part->prefix_hash;
    for (; from + n < h->n && (size_t)n < part->n_rows && hash == h->prefix_hash[from + n]; n++) {
        hash = prefix_hash_next(hash, part->rows[n].id);
        if (hash != h->prefix_hash[from + n + 1]) break;
    }
    return n;
}

const float *exit_rows_at(const struct exit_rows *r, uint32_t slot, uint32_t pos)
{
    return row_of(r, slot, pos - r->slot[slot].at);
}

void exit_rows_drop(struct exit_rows *r, uint32_t slot)
{
    r->slot[slot].n = 0;
}
