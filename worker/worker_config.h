/* worker_config.h -- what the caller of worker_run gives to a worker; the rest comes in messages. */
#ifndef WORKER_WORKER_CONFIG_H
#define WORKER_WORKER_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/kernels.h"
#include "proto/layout.h"
#include "proto/plan.h"
#include "proto/synthetic.h"
#include "worker/device_pick.h"
#include "worker/engine/collective.h"

struct worker_config { /* all borrowed until worker_run returns */
    struct layout layout;
    int peer;
    const char *path;                  /* the model; NULL: there is none, which is an error */
    const struct synthetic *synthetic; /* in place of a model; path is its name. NULL: none */
    const char *plan;                  /* see engine.h */
    const char *draft_plans[DRAFT_PLANS_MOST];
    const char *stage_share, *shard_share; /* likewise */
    int max_rows;                          /* of a pass; 0: as many as there may be */
    bool drops_nothing;                    /* tests: a verifier computes what is of no use, too (lead.h, drops.h) */
    uint32_t hold_us;                      /* tests: see lead.h */
    uint64_t read_bytes_per_s;             /* of its read loop, for Hello; 0: not timed */
    bool requantize;                       /* see engine.h */
    bool sends_metadata;                   /* the coordinator has no file of this model: Metadata goes before Hello */
    const struct kernels *kernels;
    struct device_wish device;
    struct collective *collective;  /* of this stage's shards; NULL with one */
    struct collective *stages;      /* of the same shard of all stages; NULL with one */
    void (*note)(const char *text); /* what people should know of this worker's load; NULL: nobody is told */
    int n_threads;
    size_t draft_memory_bytes; /* of a leader, for what it drafts; 0: it remembers no earlier texts */
    bool spin;                 /* this host has a core for every thread of every worker on it */
};

#endif
