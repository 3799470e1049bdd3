/* simulator.h -- the cluster without its models, on a virtual clock.
 *
 *   spec ──messages──▶ links ──▶ leaders of the verifiers: lead.c, slots.c, lookup.c    models.big, costs.pass_ns
 *    ▲                       ──▶ drafter: drafting.c, slots.c                           models.little, costs.draft_ns
 *    └────── answers ◀── links ◀──┘
 *
 * The real heart of the coordinator and the real leaders run in it; their messages go through the real wire, over links
 * of the emulated network (net_delay.h). There is no engine, no thread, no MPI and no real time: what models write and
 * how long it takes is given by the user. A stage of a group has one pass in work at a time, which takes its share of
 * the pass's time there, as far as its parts are of use by then (drops.h), and what arrives at the leader meanwhile
 * waits for the next. A drafter that shares cores with the verifiers takes turns with them. A run is the same each
 * time.
 *
 * Only this file, simulate.c, main.c and cluster.c see both coordinator and workers.
 *
 *     simulator_open(&sim, &config, &err);
 *     simulator_step(sim, &(struct event){.kind = EVENT_SUBMIT, .seq = &seq}, &err);
 *     simulator_run(sim, &err);  // seq.stats has its times
 *     simulator_close(sim);
 */
#ifndef SIMULATOR_H
#define SIMULATOR_H

#include <stdbool.h>
#include <stdint.h>

#include "coordinator/decode/spec.h"
#include "proto/net_delay.h"
#include "worker/roles/slots.h"

/* What the models write behind the first n ids of a text; pure. A drafter has the last ids of a long prompt only. */
struct simulator_models {
    int32_t (*big)(void *arg, const int32_t *ids, int n);
    int32_t (*little)(void *arg, const int32_t *ids, int n, float *p); /* p: how sure it is */
    float (*lp)(void *arg, const int32_t *ids, int n, int32_t id);     /* ln p of id, under big */
    void *arg;
};

/* Models that draw: big's next id from the last two, and little's is the same one with a chance, of which both are
 * aware. */
struct simulator_chance {
    double p_right;
    int n_vocab;
};
struct simulator_models simulator_chance_models(struct simulator_chance *chance); /* borrowed as long as they are */

/* How long a computation takes. */
struct simulator_costs {
    uint64_t (*pass_ns)(void *arg, int n_rows); /* of a group of verifiers */
    /* Of a drafter, that reads some ids and drafts n more of each of n_texts. */
    uint64_t (*draft_ns)(void *arg, int n_texts, int n_read, int n_drafted);
    void *arg;
    /* How many times as long a pass of n rows takes that begins while the drafter computes, and a draft that begins
     * while such a pass is computed, as cores share a memory; NULL: as long. */
    double (*beside)(void *arg, int n_rows);
};

/* Called as things happen; a member may be NULL. None but `event` may call the simulator, but for simulator_now_ns. */
struct simulator_watch {
    void (*action)(void *arg, const struct action *action);                  /* of spec's, before its message leaves */
    void (*departure)(void *arg, int from, int to, const struct message *m); /* when the sender knows the message */
    void (*arrival)(void *arg, int from, int to, const struct message *m);
    const char *(*fails)(void *arg, int peer,
                         uint32_t slot); /* asked once for each part and ask; NULL: it is computed */
    int (*event)(void *arg, int what, int i, struct err *err); /* of simulator_at */
    void *arg;
};

struct simulator_config {
    struct spec_config spec; /* its peers are the simulator's; the profiles are borrowed */
    int max_parts;           /* of a pass; 0: as many as have room */
    int n_stages;            /* of each group; 0: one */
    bool drops_nothing;      /* see lead.h, drops.h */
    struct net_path to[2];   /* by enum role */
    struct spec_link link;   /* that spec is told of (spec_set_link) */
    uint64_t seed;           /* of the jitter; 0: the one that the emulated network has */
    struct simulator_models models;
    struct simulator_costs costs;
    struct simulator_watch watch;
};

struct simulator_counts {
    uint64_t n_passes, n_rows;     /* of all groups */
    uint64_t n_dropped;            /* rows that a later stage did not compute (drops.h) */
    uint64_t n_drafter_rows;       /* of KV, that the drafter computed */
    uint64_t bytes_up, bytes_down; /* of messages to the groups, and from them */
    uint64_t pass_ns, draft_ns;    /* that passes took; that drafts took */
};

struct simulator;
int simulator_open(struct simulator **out, const struct simulator_config *config, struct err *err);
void simulator_close(struct simulator *s); /* NULL is fine */

/* An event for spec, now (now_ns is not read). Requests may ask for one best id at most (settings.n_top). After
 * EVENT_DRAFTER_LOST the drafter answers nothing. */
int simulator_step(struct simulator *s, const struct event *event, struct err *err);
/* watch.event(what, i) is called at that moment. */
int simulator_at(struct simulator *s, uint64_t at_ns, int what, int i, struct err *err);
/* Until nothing moves. E_FAIL: a request is not done then. It may be called again. */
int simulator_run(struct simulator *s, struct err *err);

uint64_t simulator_now_ns(const struct simulator *s);
struct simulator_counts simulator_counts(const struct simulator *s);
struct slots *simulator_slots(struct simulator *s, int peer); /* what a leader or the drafter holds; for faults */

#endif
