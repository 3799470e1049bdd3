#include "proto/plan.h"

#include <stdlib.h>
#include <string.h>

#include "proto/files/side.h"
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

int plan_join_side(struct plan *p, const struct side *s, uint64_t base, struct err *err)
{
    int i_exit;
    if (s->base != base)
        return err_set(err, E_MODEL, "%.200s was made for another model: its base is %016llx, this one %016llx",
                       p->side, (unsigned long long)s->base, (unsigned long long)base);
    int rc = side_find(s, p->side_exit, &i_exit, err);
    if (rc != OK) return rc;
    p->side_exit = s->exits[i_exit];
    p->entries[p->n_entries - 1].block += i_exit;
    p->side_hash = gguf_fingerprint(&s->file);
    if (p->n_ids) return OK;
    size_t n = (size_t)s->n_ids * sizeof *s->ids;
    if (s->ids && !(p->ids = malloc(n))) return err_set(err, E_LAYOUT, "out of memory for a list of ids");
    if (s->ids) memcpy(p->ids, s->ids, n);
    p->n_ids = s->n_ids;
    return OK;
}

void plan_free(struct plan *p)
{
    if (!p) return;
    free(p->entries);
    free(p->side);
    free(p->ids);
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
    if (p->side_exit || p->n_ids) h = prefix_hash_mix(h ^ ((uint64_t)p->side_exit << 32 | (uint32_t)p->n_ids));
    for (int i = 0; p->ids && i < p->n_ids; i++) h = prefix_hash_mix(h ^ (uint64_t)(uint32_t)p->ids[i]);
    return h;
}
