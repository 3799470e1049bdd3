#include "proto/plan.h"

#include <stdlib.h>
#include <string.h>

#include "proto/prefix_hash.h"

const char *const plan_part_names[] = {"", "attention", "mlp", "both"};
const char *const plan_part_letters[] = {"", "a", "m", ""};

int plan_plain(struct plan *p, int n_blocks, struct err *err)
{
    struct plan_entry *entries = malloc((size_t)n_blocks * sizeof *entries);
    if (!entries) return err_set(err, E_LAYOUT, "out of memory for a plan of %d blocks", n_blocks);
    for (int i = 0; i < n_blocks; i++)
        entries[i] = (struct plan_entry){.block = i, .part = PART_BOTH, .step = 1.0f, .cache = i};
    *p = (struct plan){.n_entries = n_blocks, .n_caches = n_blocks, .entries = entries};
    return OK;
}

void plan_free(struct plan *p)
{
    if (!p) return;
    free(p->entries);
    free(p->side);
    *p = (struct plan){0};
}

uint64_t plan_hash(const struct plan *p)
{
    uint64_t h = (uint64_t)p->n_entries ^ p->side_hash;
    for (int i = 0; i < p->n_entries; i++) {
        uint32_t step;
        memcpy(&step, &p->entries[i].step, sizeof step);
        h = prefix_hash_mix(h ^ (uint64_t)(uint32_t)p->entries[i].block);
        h = prefix_hash_mix(h ^ ((uint64_t)p->entries[i].part << 32 | step));
        h = prefix_hash_mix(h ^ (uint64_t)(uint32_t)p->entries[i].cache);
    }
    return h;
}
