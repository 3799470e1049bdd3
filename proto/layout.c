#include "proto/layout.h"

static int ranks_needed(const struct layout *l)
{
    return 1 + (l->drafter == DRAFTER_LITTLE) + l->tp * l->pp;
}

int layout_make(struct layout *l, int n_ranks, int tp, int pp, enum drafter drafter, struct err *err)
{
    if (tp < 1 || pp < 1 || tp > MAX_PEERS || pp > MAX_PEERS || tp * pp > MAX_PEERS - 2)
        return err_set(err, E_LAYOUT, "--tp %d --pp %d: each is at least 1, and tp x pp at most %d", tp, pp,
                       MAX_PEERS - 2);
    struct layout made = {.tp = tp, .pp = pp, .drafter = drafter, .n_ranks = n_ranks, .n_peers = 2 + tp * pp};
    if (n_ranks != 1 && n_ranks != ranks_needed(&made))
        return err_set(err, E_LAYOUT, "%d ranks, but --tp %d --pp %d%s takes %d", n_ranks, tp, pp,
                       drafter == DRAFTER_LITTLE ? " with --little" : "", ranks_needed(&made));
    *l = made;
    return OK;
}

int layout_rank(const struct layout *l, int peer)
{
    if (l->n_ranks == 1 || peer == PEER_COORDINATOR) return 0;
    bool little = l->drafter == DRAFTER_LITTLE;
    if (peer == PEER_DRAFTER) return little ? 1 : 0;
    return 1 + little + peer - PEER_VERIFIER;
}

int layout_peer(const struct layout *l, int rank)
{
    if (rank == 0) return PEER_COORDINATOR;
    bool little = l->drafter == DRAFTER_LITTLE;
    if (rank == 1 && little) return PEER_DRAFTER;
    return PEER_VERIFIER + rank - 1 - little;
}

int layout_shard_peer(const struct layout *l, int stage, int shard) { return PEER_VERIFIER + stage * l->tp + shard; }

int layout_stage(const struct layout *l, int peer) { return (peer - PEER_VERIFIER) / l->tp; }

int layout_shard(const struct layout *l, int peer) { return (peer - PEER_VERIFIER) % l->tp; }

bool layout_has(const struct layout *l, int peer)
{
    return peer >= 0 && peer < l->n_peers && (peer != PEER_DRAFTER || l->drafter != DRAFTER_NONE);
}
