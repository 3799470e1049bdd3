/* launch_config.h -- what rank 0 decides for all ranks; another rank needs only this and its own model. */
#ifndef PROTO_LAUNCH_CONFIG_H
#define PROTO_LAUNCH_CONFIG_H

#include <stdbool.h>

#include "proto/layout.h"
#include "proto/plan.h"

struct launch_config {
    struct layout layout; /* n_ranks 0: there is no job */
    const char *plan;     /* that the big model is served under, a text of plan.h; NULL: the plain one. Borrowed */
    /* Those by which the big model drafts for itself, likewise; NULL behind the last. */
    const char *draft_plans[DRAFT_PLANS_MOST];
    /* Weights (layout_read_share), likewise: by which stages take entries, NULL: by bytes; by which shards take heads,
     * MLP and vocabulary, NULL: equal. "auto": as NULL at first, until Welcome has others. */
    const char *stage_share, *shard_share;
    int max_rows;    /* of a pass of verifiers; 0: as many as they take */
    bool time_reads; /* each worker times its read loop, together with those of its host */
    bool requantize; /* the little model's weights (requantize.h) */
    /* Rank 0 has no file of that model: the leader, or the drafter, sends the keys of its own (Metadata). */
    bool send_big_metadata, send_little_metadata;
};

#endif
