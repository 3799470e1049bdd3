/* simulator_drafter.h -- the simulator's drafter: it holds texts and answers asks as role_drafter.c does, with a
 * function for its little model. Pure: a DraftAsk in, a Draft out; or, where the ask lets it run ahead, an id of each
 * such text a pass.
 */
#ifndef SIMULATOR_DRAFTER_H
#define SIMULATOR_DRAFTER_H

#include "simulator.h"

struct drafter_text {                 /* in a slot */
    int n_fed;                        /* ids whose KV rows are good */
    bool runs_ahead;                  /* an ask with a block is in work */
    uint32_t round, block, until, at; /* of it; at: the first drafted position that was not sent */
    float p_min, p_joint_min;
    double chance; /* that all drafted behind its ids is right */
    float *p;      /* [n_ctx] owns */
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
/* What is drafted is borrowed until the next call. fails: a number is not finite. E_PEER: an ask that no coordinator
 * sends. */
int simulator_drafter_draft(struct simulator_drafter *d, const struct simulator_models *models,
                            const struct draft_ask *ask, bool fails, struct draft *out, struct err *err);
uint32_t simulator_drafter_round(const struct simulator_drafter *d,
                                 uint32_t slot); /* of the ask in work, or the last */
/* Ends the ask in work of this slot: true if there was one, and *out is its last Draft. */
bool simulator_drafter_end(struct simulator_drafter *d, uint32_t slot, struct draft *out);
/* An ask with a block; the one before has ended. True: it is refused, or fails, by *out. */
int simulator_drafter_run(struct simulator_drafter *d, const struct draft_ask *ask, bool fails, bool *refused,
                          struct draft *out, struct err *err);
/* Whether some text is in work, and how many ids a pass over all of them reads. */
bool simulator_drafter_works(const struct simulator_drafter *d, int *n_read);
/* The slot's id of a pass. True: *out is to be sent. */
bool simulator_drafter_step(struct simulator_drafter *d, const struct simulator_models *models, uint32_t slot,
                            struct draft *out);

#endif
