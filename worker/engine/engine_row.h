/* engine_row.h -- a row of a pass: its slot and position, and what is asked of it. */
#ifndef WORKER_ENGINE_ENGINE_ROW_H
#define WORKER_ENGINE_ENGINE_ROW_H

#include <stdint.h>

#include "proto/wire.h"

enum { MAX_TOP = 20, ENGINE_TOP_MOST = 64 }; /* of n_top: in messages; in a pass */
enum { MAX_EXTRA_IDS = 256 };

struct engine_row {
    int slot, pos;
    const struct row *ask;         /* wanted, judge, n_top; borrowed during the pass */
    const struct sampler *sampler; /* borrowed; NULL: greedy */
    int n_ids;                     /* only ids below it may be chosen (a drafter proposes frequent ids); 0: all */
    /* [n_extra_ids <= MAX_EXTRA_IDS] ids at or past n_ids that may be chosen too; borrowed. */
    const int32_t *extra_ids;
    int n_extra_ids; /* 0 if there are several shards */
};

#endif
