/* workers.h -- what the workers of a job say of themselves before they serve, and whether they fit together.
 *
 *   Hello from every peer ──workers_fit──▶ Welcome ──▶ Loading ... Ready from every peer
 *
 * Messages in, facts out: no I/O, no clock. Whatever does not fit is an error that names both hosts.
 */
#ifndef COORDINATOR_WORKERS_H
#define COORDINATOR_WORKERS_H

#include <stdbool.h>
#include <stdio.h>

#include "coordinator/decode/policy.h"
#include "proto/layout.h"
#include "proto/wire.h"

enum { EPOCH = 1 }; /* of a job whose workers are never replaced */

struct worker_seen { /* what a peer said of itself */
    bool hello, ready;
    char host[64], path[256], cpu[160];
    struct hello h;        /* its strings are the copies above */
    uint64_t loaded_bytes; /* of its weights_bytes */
};

struct workers {
    struct layout layout;
    struct worker_seen *seen; /* [n_peers] owns */
    int n, n_hello, n_ready;  /* n: peers that work */
    int n_slots, n_ctx;       /* n_ctx: set by workers_fit */
};

int workers_init(struct workers *w, const struct layout *l, struct err *err);
void workers_free(struct workers *w); /* zeroed is fine */

/* E_PEER: a message that cannot come now, or says what cannot be. */
int workers_hello(struct workers *w, int from, const struct hello *h, struct err *err);
int workers_loading(struct workers *w, int from, uint64_t n_bytes, struct err *err);
int workers_ready(struct workers *w, int from, const struct ready *r, struct err *err);

struct workers_need {
    uint64_t vocab_big, vocab_little; /* fingerprints of the vocabularies as the coordinator read them */
    int n_slots, n_ctx;               /* n_ctx: asked; the model's own context caps it */
};
/* All have said Hello. E_MODEL: not one model, or not the coordinator's vocabulary. E_LAYOUT: different bits, or memory
 * that does not hold it. */
int workers_fit(struct workers *w, const struct workers_need *need, struct err *err);

const struct hello *workers_leader(const struct workers *w);  /* of the verification group */
const struct hello *workers_drafter(const struct workers *w); /* all zero without one */
uint64_t workers_weights_bytes(const struct workers *w);
uint64_t workers_loaded_bytes(const struct workers *w);
uint64_t workers_kv_bytes(const struct workers *w);
/* What a drafted token is expected to cost, of n_proposed ids. */
struct cost_prior workers_cost_prior(const struct workers *w, int n_proposed);
void workers_list(const struct workers *w, FILE *to); /* a line each: host, threads, kernels */

#endif
