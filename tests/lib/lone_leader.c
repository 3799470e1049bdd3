#include "tests/lib/lone_leader.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

void lone_leader_open(struct lone_leader *l, const char *path, const char *const plans[DRAFT_PLANS_MOST], int n_slots,
                      int n_ctx)
{
    const char *why;
    struct err err;
    *l = (struct lone_leader){.group = {.pp = 1, .tp = 1}};
    const struct engine_config c = {.path = path,
                                    .draft_plans = plans,
                                    .share = {.n_stages = 1, .n_shards = 1},
                                    .kernels = kernels_pick(NULL, &why),
                                    .n_threads = 1,
                                    .max_rows = PASS_ROWS};
    l->w.config = &l->config;
    l->w.group = &l->group;
    if (engine_open(&l->w.engine, &c, &err) != OK || engine_load(l->w.engine, n_slots, n_ctx, &err) != OK)
        fail_msg("%s", err.text);
    engine_info(l->w.engine, &l->w.info);
    assert_int_equal(slots_init(&l->w.slots, n_slots, n_ctx, 7, &err), OK);
    assert_int_equal(self_draft_open(&l->d, &l->w, &err), OK);
}

void lone_leader_close(struct lone_leader *l)
{
    self_draft_close(&l->d);
    slots_free(&l->w.slots);
    engine_close(l->w.engine);
}
