#include "coordinator/cli/plan_json.h"

#include <stdbool.h>

#include "coordinator/text/json_text.h"

json_t *plan_json(const struct plan *p)
{
    json_t *entries = json_array();
    int lost = 0;
    for (int i = 0; i < p->n_entries; i++) {
        const struct plan_entry *e = &p->entries[i];
        bool side = p->side && i == p->n_entries - 1;
        lost |= json_array_append_new(
            entries, json_pack("{so ss sf si}", "block", side ? json_string("side") : json_integer(e->block), "part",
                               plan_part_names[e->part], "step", (double)e->step, "cache", e->cache));
    }
    return json_unless(lost, entries);
}
