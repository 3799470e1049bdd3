/* layout.h -- which groups there are, which peers each has, and on which rank each peer is: a pure function of a few
 * numbers.
 *
 *   peer 0         1 ...        first_peer ... of the next group
 *   coordinator │ drafter ... │ verifier: stage 0: shard 0, 1 .. tp-1 │ stage 1: shard 0 .. │ ... stage pp-1
 *                                              ▲ leader                                     ▲ last: it answers
 *
 * A *peer* is a role that messages can be sent to; a *group* is the peers that hold one model together, ordered by
 * stage, then by shard. Peers have the same numbers in every launch; only mailboxes use ranks. There are one or more
 * groups of verifiers, all alike, and each request has one of them; and if a little model drafts, one or more groups of
 * a drafter, of which each request has one, too: without one the leader of a request's group drafts.
 *
 *   one process:  every peer on rank 0, as a thread
 *   under MPI:    rank 0 the coordinator; then the workers in order of peers, one a rank
 */
#ifndef PROTO_LAYOUT_H
#define PROTO_LAYOUT_H

#include <stdbool.h>

#include "proto/err.h"

enum { PEER_COORDINATOR = 0, MAX_PEERS = 256, GROUPS_MOST = 8, DRAFTERS_MOST = 8 }; /* GROUPS_MOST: of verifiers */
enum { SHARDS_MOST = MAX_PEERS - 2 }; /* of all verifiers: groups x tp x pp */
enum drafter { DRAFTER_NONE, DRAFTER_LITTLE, DRAFTER_SUFFIX, DRAFTER_PLAN };
enum role { ROLE_DRAFTER, ROLE_VERIFIER };

/* The verifiers' leaders draft, and there is no little model. */
static inline bool drafter_is_leader(enum drafter drafter)
{
    return drafter == DRAFTER_SUFFIX || drafter == DRAFTER_PLAN;
}

struct group {
    enum role role;
    int first_peer;
    int tp, pp; /* shards of a stage; stages. A drafter's are 1 */
};

struct layout {
    enum drafter drafter;
    int n_ranks; /* 1: one process */
    int n_peers; /* the coordinator's with them */
    int n_groups;
    struct group groups[DRAFTERS_MOST + GROUPS_MOST]; /* in order of peers */
};

/* n_ranks 1 is always right. Any other must be layout_ranks_needed; else E_LAYOUT with the right one. drafters: how
 * many, if a little model drafts. */
int layout_make(struct layout *l, int n_ranks, int drafters, int groups, int tp, int pp, enum drafter drafter,
                struct err *err);
int layout_ranks_needed(int drafters, int groups, int tp, int pp, enum drafter drafter); /* under MPI */

/* Sequences of each of `groups`, of n_slots that run at once: together as many or a few more, at most SLOTS_MOST. A
 * drafter has its part of those of all groups. */
int layout_group_slots(int groups, int n_slots);
int layout_drafter_slots(int drafters, int groups, int n_group_slots);
/* Which drafter a group's slot has: one group's own as far as there are enough, and all of them in turn. */
int layout_drafter_of(int drafters, int groups, int group, int slot);

/* Reads "20,10": the weights of n_parts stages or shards, which `of` names, each at least 1. E_USAGE: it cannot be
 * read, or is of another number. */
int layout_read_share(const char *text, const char *of, int n_parts, int share[], struct err *err);

bool layout_share_is_auto(const char *text); /* "auto": chosen at start, by what the workers are. NULL is not */

/* Part i is units [from[i], from[i+1]) of n: as many as its weight is of the sum, to the nearest of the parts' borders.
 * Each has at least `least`; n >= n_parts * least. */
void layout_cut(int from[], int n, int n_parts, const int weight[], int least);

int layout_rank(const struct layout *l, int peer); /* where the peer is */
int layout_peer(const struct layout *l, int rank); /* the peer of an MPI rank (rank 0: the coordinator) */

/* The drafters: how many; the i-th of them, NULL: there is none; and which one a peer is; -1: none. */
int layout_n_drafters(const struct layout *l);
const struct group *layout_drafter(const struct layout *l, int i);
int layout_i_drafter(const struct layout *l, int peer);
/* The groups of verifiers: how many, the i-th of them, and which one has the peer; -1: none. */
int layout_n_verifiers(const struct layout *l);
const struct group *layout_verifier(const struct layout *l, int i);
int layout_i_verifier(const struct layout *l, int peer);
const struct group *layout_group(const struct layout *l, int peer); /* that has the peer; NULL: no worker */

int group_n_peers(const struct group *g);
int group_peer(const struct group *g, int stage, int shard);
int group_stage(const struct group *g, int peer);
int group_shard(const struct group *g, int peer);
int group_leader(const struct group *g); /* shard 0 of the first stage, which gets the coordinator's messages */
int group_last(const struct group *g);   /* shard 0 of the last stage, which answers */
/* Two peers send each other something: shards of a stage, the same shard of stages that follow, the last and the
 * leader, the last and the shards of the stages between. Other peers of the group do not. */
bool group_has_link(const struct group *g, int a, int b);

#endif
