/* slots.h -- what a worker knows of each sequence: its ids, and the name of every prefix of them.
 *
 * A part of a message says (at, prefix_hash): it applies iff `at <= len` and the prefix hash there is equal; then the length is
 * set to `at` and ids are appended. Nothing ever says "rewind". The owner keeps KV rows beside it, one an id, and takes
 * care that row i is that of ids[i] for all i it has fed.
 */
#ifndef WORKER_ROLES_SLOTS_H
#define WORKER_ROLES_SLOTS_H

#include <stdint.h>

#include "proto/err.h"
#include "proto/wire.h"

enum { SLOT_ERROR = sizeof((struct err *)0)->text };

struct slot {
    int len;
    char *error;           /* [SLOT_ERROR] why what followed could not be computed; "": nothing such */
    int32_t *ids;          /* [n_ctx] */
    uint64_t *prefix_hash; /* [n_ctx + 1]; prefix_hash[i] names the first i ids */
};

struct slots {
    int n, n_ctx;
    struct slot *slot; /* owns */
};

int slots_init(struct slots *s, int n, int n_ctx, uint64_t root, struct err *err);
void slots_free(struct slots *s);

/* Whether n_ids more may follow the first `at` ids, whose prefix hash is this: any but VERDICT_FAILED, which is a gap
 * where what stood there could not be computed. */
enum verdict_status slots_check(const struct slots *s, uint32_t slot, uint32_t at, uint64_t h, size_t n_ids);

/* How many ids the slot holds; 0 where there is no such slot. */
uint32_t slots_held(const struct slots *s, uint32_t slot);

/* Sets the length to `at` and appends. The check was VERDICT_OK. Returns how many of the ids were already there, one
 * after the other from `at` on: their KV rows stay good. */
int slots_apply(struct slots *s, uint32_t slot, uint32_t at, const int32_t *ids, size_t n_ids);

/* What follows the first `at` ids could not be computed, or goes on from what could not: it is forgotten. */
void slots_fail(struct slots *s, uint32_t slot, uint32_t at, const char *why);
/* Why, where the check says VERDICT_FAILED. */
const char *slots_error(const struct slots *s, uint32_t slot);

/* Forgets what follows the first `len` ids, of a slot that holds as many. */
void slots_cut(struct slots *s, uint32_t slot, uint32_t len);

#endif
