/* layout.h -- which peer plays which role on which rank: a pure function of a few numbers.
 *
 * A *peer* is a role that can be written to: 0 the coordinator, 1 the drafter, then the verifier's shards, stage by
 * stage: 2 + stage * tp + shard. Peers are numbered alike in every layout, so nothing but the mailbox knows where a
 * peer lives.
 *
 *   one process:  every peer on rank 0, as a thread
 *   under MPI:    rank 0 the coordinator; rank 1 the little model's drafter, if any; then the shards, one a rank.
 *                 An n-gram drafter is a thread of rank 0.
 */
#ifndef PROTO_LAYOUT_H
#define PROTO_LAYOUT_H

#include <stdbool.h>

#include "proto/err.h"

enum peer { PEER_COORDINATOR = 0, PEER_DRAFTER = 1, PEER_VERIFIER = 2 };
enum drafter { DRAFTER_NONE, DRAFTER_LITTLE, DRAFTER_NGRAM };
enum { MAX_PEERS = 256 };

struct layout {
    int tp, pp; /* shards of a stage; stages */
    enum drafter drafter;
    int n_ranks; /* 1: one process */
    int n_peers; /* 2 + tp * pp; peer 1 is there but unused without a drafter */
};

/* n_ranks 1 is always right. Any other must be 1 + (1 with a little model) + tp * pp; else E_LAYOUT with the right
 * one. */
int layout_make(struct layout *l, int n_ranks, int tp, int pp, enum drafter drafter, struct err *err);

int layout_rank(const struct layout *l, int peer);           /* where the peer lives */
int layout_peer(const struct layout *l, int rank);           /* the peer of an MPI rank (rank 0: the coordinator) */
int layout_shard_peer(const struct layout *l, int stage, int shard);
int layout_stage(const struct layout *l, int peer); /* of a verifier's peer */
int layout_shard(const struct layout *l, int peer);
bool layout_has(const struct layout *l, int peer); /* false: the drafter's number without a drafter */

#endif
