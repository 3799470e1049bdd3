/* drops.h -- which parts of passes under way a later stage need not compute: those behind a draft that big has
 * contradicted since the leader began their pass.
 *
 *   last: a part's answers ─▶ Token ─drops_note─▶ the last stage itself, and the stages between it and the leader
 *   each of these, before it computes a pass:     drops_find ─▶ (shards agree) ─▶ drops_settle, for each part in order
 *
 * The last numbers its Tokens, and a Pass says which one the leader had taken when it began: only what is older can be
 * of no use. A dropped part is answered as a gap, in its turn; slots do not get its ids, nor those of parts behind it.
 * So dropping only saves: what is computed of other parts is the same, and so is the text if nothing is dropped.
 */
#ifndef WORKER_ROLES_DROPS_H
#define WORKER_ROLES_DROPS_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/err.h"
#include "proto/wire.h"
#include "worker/roles/slots.h"

struct slot_drops {
    struct token token; /* big's last id there; number 0: none, or a part has put it into the slot since */
    bool lacks;         /* a part was dropped: what goes on behind its first row goes on from nothing */
    uint32_t from;      /* the place of that row */
};

struct drops {
    int n;
    struct slot_drops *slot; /* owns */
    uint32_t n_rows;         /* dropped so far */
};

int drops_init(struct drops *d, int n_slots, struct err *err);
void drops_free(struct drops *d); /* zeroed is fine */

/* `slots`: what this stage holds. A Token that says what the slot has, or nothing of its text, is of no interest. */
void drops_note(struct drops *d, const struct slots *slots, const struct token *token);
/* The part goes on from what big has contradicted. n_tokens: the Pass's. */
bool drops_find(struct drops *d, const struct part *part, uint32_t n_tokens);
/* found: by this shard or another one. True: the part is dropped. */
bool drops_settle(struct drops *d, const struct part *part, bool found);
/* Of a dropped part: from where its text must come. */
uint32_t drops_held(const struct drops *d, const struct part *part);

#endif
