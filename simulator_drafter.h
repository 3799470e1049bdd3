/* simulator_drafter.h -- the simulator's drafter: it holds texts and answers asks as role_drafter.c does, with a
 * function for its little model. Pure: a DraftAsk in, a Draft out.
 */
#ifndef SIMULATOR_DRAFTER_H
#define SIMULATOR_DRAFTER_H

#include "simulator.h"

struct drafter_text { /* in a slot */
    int n_fed;        /* ids whose KV rows are good */
    size_t n_end_ids;
    int32_t end_ids[OPEN_END_IDS_MOST];
};

struct simulator_drafter {
    struct slots slots;                 /* owns */
    struct drafter_text *texts;         /* [slots.n] owns */
    uint64_t n_rows;                    /* of KV, that it has computed */
    struct draft_row rows[DRAFTS_MOST]; /* of the last answer */
};

int simulator_drafter_init(struct simulator_drafter *d, int n_slots, int n_ctx, uint64_t root, struct err *err);
void simulator_drafter_free(struct simulator_drafter *d); /* zeroed is fine */

void simulator_drafter_open(struct simulator_drafter *d, const struct open_slot *open);
/* *out is borrowed until the next call. fails: a number is not finite. E_PEER: an ask that no coordinator sends. */
int simulator_drafter_draft(struct simulator_drafter *d, const struct simulator_models *models,
                            const struct draft_ask *ask, bool fails, struct draft *out, struct err *err);

#endif
