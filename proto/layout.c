#include "proto/layout.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/wire.h"

static void add_group(struct layout *l, enum role role, int tp, int pp)
{
    l->groups[l->n_groups++] = (struct group){role, l->n_peers, tp, pp};
    l->n_peers += tp * pp;
}

int layout_ranks_needed(int groups, int tp, int pp, enum drafter drafter)
{
    return 1 + (drafter == DRAFTER_LITTLE) + groups * tp * pp;
}

int layout_make(struct layout *l, int n_ranks, int groups, int tp, int pp, enum drafter drafter, struct err *err)
{
    char several[32] = "";
    if (tp < 1 || pp < 1 || tp > SHARDS_MOST || pp > SHARDS_MOST || tp * pp > SHARDS_MOST)
        return err_set(err, E_LAYOUT, "--tp %d --pp %d: each is at least 1, and tp x pp at most %d", tp, pp,
                       SHARDS_MOST);
    if (groups < 1 || groups > GROUPS_MOST || groups * tp * pp > SHARDS_MOST)
        return err_set(err, E_LAYOUT, "--groups %d --tp %d --pp %d: 1 to %d groups, and groups x tp x pp at most %d",
                       groups, tp, pp, GROUPS_MOST, SHARDS_MOST);
    if (groups > 1) snprintf(several, sizeof several, "--groups %d ", groups);
    int needed = layout_ranks_needed(groups, tp, pp, drafter);
    if (n_ranks != 1 && n_ranks != needed)
        return err_set(err, E_LAYOUT, "%d ranks, but %s--tp %d --pp %d%s takes %d", n_ranks, several, tp, pp,
                       drafter == DRAFTER_LITTLE ? " with --little" : "", needed);
    *l = (struct layout){.drafter = drafter, .n_ranks = n_ranks, .n_peers = PEER_COORDINATOR + 1};
    if (drafter == DRAFTER_LITTLE) add_group(l, ROLE_DRAFTER, 1, 1);
    for (int i = 0; i < groups; i++) add_group(l, ROLE_VERIFIER, tp, pp);
    return OK;
}

int layout_group_slots(int groups, int n_slots)
{
    int n = (n_slots + groups - 1) / groups;
    return n * groups > SLOTS_MOST ? SLOTS_MOST / groups : n;
}

int layout_rank(const struct layout *l, int peer)
{
    return l->n_ranks == 1 ? 0 : peer;
}

int layout_peer(const struct layout *l, int rank)
{
    (void)l;
    return rank;
}

static int n_drafters(const struct layout *l)
{
    return l->drafter == DRAFTER_LITTLE;
}

const struct group *layout_drafter(const struct layout *l)
{
    return n_drafters(l) ? &l->groups[0] : NULL;
}

int layout_n_verifiers(const struct layout *l)
{
    return l->n_groups - n_drafters(l);
}

const struct group *layout_verifier(const struct layout *l, int i)
{
    return &l->groups[n_drafters(l) + i];
}

int layout_i_verifier(const struct layout *l, int peer)
{
    const struct group *g = layout_group(l, peer);
    return g && g->role == ROLE_VERIFIER ? (int)(g - l->groups) - n_drafters(l) : -1;
}

const struct group *layout_group(const struct layout *l, int peer)
{
    for (int i = 0; i < l->n_groups; i++) {
        const struct group *g = &l->groups[i];
        if (peer >= g->first_peer && peer < g->first_peer + group_n_peers(g)) return g;
    }
    return NULL;
}

int group_n_peers(const struct group *g)
{
    return g->tp * g->pp;
}

int group_peer(const struct group *g, int stage, int shard)
{
    return g->first_peer + stage * g->tp + shard;
}

int group_stage(const struct group *g, int peer)
{
    return (peer - g->first_peer) / g->tp;
}

int group_shard(const struct group *g, int peer)
{
    return (peer - g->first_peer) % g->tp;
}

int group_leader(const struct group *g)
{
    return group_peer(g, 0, 0);
}

int group_last(const struct group *g)
{
    return group_peer(g, g->pp - 1, 0);
}

bool group_has_link(const struct group *g, int a, int b)
{
    int n_stages = abs(group_stage(g, a) - group_stage(g, b)), last = group_last(g), other = a == last ? b : a;
    if (a == b) return false;
    bool next = n_stages == 1 && group_shard(g, a) == group_shard(g, b);
    bool hears_last = (a == last || b == last) && (other == group_leader(g) || group_stage(g, other) > 0);
    return n_stages == 0 || next || hears_last;
}

int layout_read_share(const char *text, const char *of, int n_parts, int share[], struct err *err)
{
    const char *at = text;
    for (int i = 0; i < n_parts; i++) {
        char *end;
        long n = strtol(at, &end, 10);
        bool ok = end != at && n >= 1 && n <= 1 << 16 && *end == (i + 1 < n_parts ? ',' : 0);
        if (!ok) return err_set(err, E_USAGE, "%.100s: not the weights of %d %s, as in 20,10", text, n_parts, of);
        share[i] = (int)n;
        at = end + 1;
    }
    return OK;
}

bool layout_share_is_auto(const char *text)
{
    return text && !strcmp(text, "auto");
}

void layout_cut(int from[], int n, int n_parts, const int weight[], int least)
{
    int64_t sum = 0, upto = 0;
    for (int i = 0; i < n_parts; i++) sum += weight[i];
    from[0] = 0;
    for (int i = 0; i < n_parts; i++) {
        upto += weight[i];
        int to = (int)((n * upto * 2 + sum) / (2 * sum)), most = n - (n_parts - 1 - i) * least;
        if (to < from[i] + least) to = from[i] + least;
        from[i + 1] = to > most ? most : to;
    }
}
