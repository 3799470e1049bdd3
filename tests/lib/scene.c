#include "tests/lib/scene.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

void scene_open_with(struct scene *c, struct suffix_memory *memory)
{
    struct err err;
    *c = (struct scene){0};
    assert_int_equal(slots_init(&c->slots, N_SLOTS, N_CTX, ROOT, &err), OK);
    const struct lead_config config = {.slots = &c->slots, .memory = memory, .max_rows = MAX_ROWS, .n_vocab = N_VOCAB};
    assert_int_equal(lead_open(&c->lead, &config, &err), OK);
}

void scene_open(struct scene *c)
{
    scene_open_with(c, NULL);
}

void scene_close(struct scene *c)
{
    lead_close(c->lead);
    slots_free(&c->slots);
}

int scene_post(struct scene *c, uint32_t slot, uint32_t at, int n, uint64_t hash, struct err *err)
{
    struct row rows[PASS_ROWS + 1] = {0};
    for (int i = 0; i < n; i++) rows[i] = (struct row){.id = 1 + (int32_t)at + i, .wanted = i + 1 == n};
    if (!hash) hash = slot < N_SLOTS ? c->slots.slot[slot].prefix_hash[at] : ROOT;
    const struct part part = {
        .job = ++c->n_jobs, .slot = slot, .round = 1, .at = at, .prefix_hash = hash, .rows = rows, .n_rows = (size_t)n};
    if (slot < N_SLOTS) c->jobs[slot] = part.job;
    return lead_on_verify(c->lead, &part, 10 * c->n_jobs, err);
}

void scene_let(struct scene *c, uint32_t slot, uint32_t last_position, uint32_t self_max)
{
    static const int32_t end_ids[] = {END};
    struct err err;
    const struct open_slot open = {.slot = slot,
                                   .end_ids = end_ids,
                                   .n_end_ids = 1,
                                   .last_position = last_position,
                                   .round = 1,
                                   .self_max = self_max};
    assert_int_equal(lead_on_open(c->lead, &open, &err), OK);
}

void scene_token(struct scene *c, uint32_t slot, int32_t id, bool self)
{
    struct err err;
    const struct slot *s = &c->slots.slot[slot];
    const struct token t = {self ? 0 : c->jobs[slot], slot, 1, (uint32_t)s->len, s->prefix_hash[s->len], id, 0};
    assert_int_equal(lead_on_token(c->lead, &t, 0, &err), OK);
}

void scene_open_writing(struct scene *c)
{
    struct err err;
    scene_open(c);
    scene_let(c, 0, 30, 10);
    assert_int_equal(scene_post(c, 0, 0, 2, 0, &err), OK);
    lead_next(c->lead, 0);
    scene_token(c, 0, 7, false);
}
