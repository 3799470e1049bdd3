/* slots.h -- what a worker holds of each sequence: its ids, and the hash of every prefix of them.
 *
 * A part of a message has (at, prefix_hash): it applies if `at <= len` and the slot's prefix hash there is equal; then
 * the length is set to `at`, and the ids are appended. There is no message for rewinding. The owner has one KV row for
 * each id: row i is that of ids[i], for all i that it has fed.
 */
#ifndef WORKER_ROLES_SLOTS_H
#define WORKER_ROLES_SLOTS_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/err.h"
#include "proto/wire.h"

enum { SLOT_ERROR = sizeof((struct err *)0)->text };

struct slot {
    int len;
    char *error;           /* [SLOT_ERROR] why the ids after len could not be computed; "": no error */
    int32_t *ids;          /* [n_ctx] */
    uint64_t *prefix_hash; /* [n_ctx + 1]; prefix_hash[i] is of the first i ids */
};

struct slots {
    int n, n_ctx;
    struct slot *slot; /* owns */
};

int slots_init(struct slots *s, int n, int n_ctx, uint64_t root, struct err *err);
void slots_free(struct slots *s);

/* Whether n_ids more may follow the first `at` ids, whose prefix hash is h. VERDICT_FAILED: a gap, because the ids that
 * were there could not be computed. */
enum verdict_status slots_check(const struct slots *s, uint32_t slot, uint32_t at, uint64_t h, size_t n_ids);

/* What every drafter checks of an ask. E_PEER: an id outside the vocabulary. *end: DRAFT_WINDOW if it applies, else why
 * it is refused. */
int slots_check_ask(const struct slots *s, const struct draft_ask *ask, int n_vocab, enum draft_end *end,
                    struct err *err);

/* How many ids the slot holds; 0 where there is no such slot. */
uint32_t slots_held(const struct slots *s, uint32_t slot);

/* Whether these ids are what follows its first `at`. */
bool slots_has(const struct slots *s, uint32_t slot, uint32_t at, const int32_t *ids, size_t n_ids);

/* Sets the length to `at` and appends; slots_check was VERDICT_OK. Returns how many of the ids, from the first on, were
 * already there: their KV rows stay valid. */
int slots_apply(struct slots *s, uint32_t slot, uint32_t at, const int32_t *ids, size_t n_ids);

/* The first n ids of one slot become those of another, which then holds no more; the one holds so many. */
void slots_copy(struct slots *s, uint32_t to, uint32_t from, uint32_t n);

/* What follows the first `at` ids could not be computed: the slot drops it, and keeps why. */
void slots_fail(struct slots *s, uint32_t slot, uint32_t at, const char *why);
/* Why slots_check returned VERDICT_FAILED. */
const char *slots_error(const struct slots *s, uint32_t slot);

/* Drops what follows the first `len` ids; the slot holds at least so many. */
void slots_cut(struct slots *s, uint32_t slot, uint32_t len);

#endif
