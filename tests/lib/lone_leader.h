/* lone_leader.h -- the one worker of a big model that drafts for itself, without the cluster around it: what tests of
 * such drafts call as a verifier's leader does. */
#ifndef TESTS_LIB_LONE_LEADER_H
#define TESTS_LIB_LONE_LEADER_H

#include "worker/roles/self_draft.h"

struct lone_leader {
    struct worker w;
    struct worker_config config;
    struct group group;
    struct self_draft d;
};

/* plans: for drafts, NULL behind the last. Fails the test where the model does not load. */
void lone_leader_open(struct lone_leader *l, const char *path, const char *const plans[DRAFT_PLANS_MOST], int n_slots,
                      int n_ctx);
void lone_leader_close(struct lone_leader *l);

#endif
