/* workers.h -- what the workers of a job report before they serve.
 *
 *   Hello from every peer ──fit_check (fit.h)──▶ Welcome ──▶ Loading ... Ready from every peer
 *
 * Messages in, facts out: no I/O, no clock.
 */
#ifndef COORDINATOR_WORKERS_H
#define COORDINATOR_WORKERS_H

#include <stdbool.h>
#include <stdio.h>

#include "proto/layout.h"
#include "proto/policy.h"
#include "proto/wire.h"

enum { EPOCH = 1 }; /* of a job whose workers are never replaced */

struct worker_seen { /* what a peer has reported */
    bool hello, ready;
    char host[64], path[256], cpu[160], device[160];
    struct hello h;        /* its strings are the copies above */
    uint64_t loaded_bytes; /* of its weights_bytes */
};

struct workers {
    struct layout layout;
    struct worker_seen *seen; /* [n_peers] owns */
    int n, n_hello, n_ready;  /* n: workers */
    int n_slots, n_ctx;       /* n_slots: of each group of verifiers. Both are set by workers_set_context */
};

/* host_of: what is known of a rank's host before its Hello; NULL: nothing. */
int workers_init(struct workers *w, const struct layout *l, const char *(*host_of)(int rank), struct err *err);
void workers_free(struct workers *w); /* zeroed is fine */

/* E_PEER: a message that may not come now, or has values that cannot be. */
int workers_hello(struct workers *w, int from, const struct hello *h, struct err *err);
int workers_loading(struct workers *w, int from, uint64_t n_bytes, struct err *err);
int workers_ready(struct workers *w, int from, const struct ready *r, struct err *err);

/* A group of verifiers, that have said Hello, will say it again. */
void workers_expect_again(struct workers *w, int group);

struct workers_need {
    uint64_t vocab_big, vocab_little; /* fingerprints of the vocabularies that the coordinator has read */
    int n_slots, n_ctx; /* n_slots: of each group of verifiers. n_ctx: wanted; the model's own context is the limit */
};
/* Called when all have sent Hello: how long contexts will be, of how many slots. */
void workers_set_context(struct workers *w, const struct workers_need *need);

int workers_n_slots(const struct workers *w, int peer); /* its own; a drafter has its part of those of all groups */
const struct hello *workers_leader(const struct workers *w, int group); /* of a group of verifiers */
const struct hello *workers_drafter(const struct workers *w);           /* the first one; all zero without one */
uint64_t workers_weights_bytes(const struct workers *w);
uint64_t workers_loaded_bytes(const struct workers *w);
const char *workers_computes_by(const struct worker_seen *seen); /* the device's name, or else the kernels' path */
/* What a worker's weights and KV go to: its device's memory, or its host's; and whether two take the same. */
uint64_t workers_memory_bytes(const struct worker_seen *seen);
bool workers_same_memory(const struct worker_seen *a, const struct worker_seen *b);
uint64_t workers_kv_bytes(const struct workers *w);
uint64_t workers_worker_kv_bytes(const struct workers *w, int peer);
/* A leader of verifiers and a drafter are on one host, whose workers have more threads than it has cores. */
bool workers_share_cores(const struct workers *w);
/* What a drafted token is expected to cost beside the first group's, chosen from n_proposed ids. */
struct cost_prior workers_cost_prior(const struct workers *w, int n_proposed);
struct worker_name { /* for people: its role and host, its rank, and where there are several its place and group */
    char text[160];
};
struct worker_name workers_name(const struct workers *w, int peer);
/* What a person should know of devices, a line at each call, by `i` from 0; false: no more. `chosen`: they were to be
 * chosen (--device auto), so the choice is told. */
bool workers_device_note(const struct workers *w, int i, bool chosen, char *line, size_t size);
void workers_list(const struct workers *w, FILE *to); /* a line each: host, threads, kernels, share of the model */

#endif
