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

int layout_ranks_needed(int drafters, int groups, int tp, int pp, enum drafter drafter)
{
    return 1 + (drafter == DRAFTER_LITTLE ? drafters : 0) + groups * tp * pp;
}

int layout_make(struct layout *l, int n_ranks, int drafters, int groups, int tp, int pp, enum drafter drafter,
                struct err *err)
{
    char several[32] = "", with[48] = "";
    if (tp < 1 || pp < 1 || tp > SHARDS_MOST || pp > SHARDS_MOST || tp * pp > SHARDS_MOST)
        return err_set(err, E_LAYOUT, "--tp %d --pp %d: each is at least 1, and tp x pp at most %d", tp, pp,
                       SHARDS_MOST);
    if (groups < 1 || groups > GROUPS_MOST || groups * tp * pp > SHARDS_MOST)
        return err_set(err, E_LAYOUT, "--groups %d --tp %d --pp %d: 1 to %d groups, and groups x tp x pp at most %d",
                       groups, tp, pp, GROUPS_MOST, SHARDS_MOST);
    if (drafters < 1 || drafters > DRAFTERS_MOST)
        return err_set(err, E_LAYOUT, "--drafters %d: 1 to %d", drafters, DRAFTERS_MOST);
    if (groups > 1) snprintf(several, sizeof several, "--groups %d ", groups);
    if (drafter == DRAFTER_LITTLE) snprintf(with, sizeof with, " with --little");
    if (drafter == DRAFTER_LITTLE && drafters > 1)
        snprintf(with, sizeof with, " with --little --drafters %d", drafters);
    int needed = layout_ranks_needed(drafters, groups, tp, pp, drafter);
    if (needed > MAX_PEERS)
        return err_set(err, E_LAYOUT, "%s--tp %d --pp %d%s takes %d ranks, at most %d", several, tp, pp, with, needed,
                       MAX_PEERS);
    if (n_ranks != 1 && n_ranks != needed)
        return err_set(err, E_LAYOUT, "%d ranks, but %s--tp %d --pp %d%s takes %d", n_ranks, several, tp, pp, with,
                       needed);
    *l = (struct layout){.drafter = drafter, .n_ranks = n_ranks, .n_peers = PEER_COORDINATOR + 1};
    for (int i = 0; i < drafters && drafter == DRAFTER_LITTLE; i++) add_group(l, ROLE_DRAFTER, 1, 1);
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

int layout_drafter_slots(int drafters, int groups, int n_group_slots)
{
    return (groups * n_group_slots + drafters - 1) / drafters;
}

/* The slots of all groups are counted in turn. */
int layout_drafter_of(int drafters, int groups, int group, int slot)
{
    return (slot * groups + group) % drafters;
}

int layout_n_drafters(const struct layout *l)
{
    int n = 0;
    while (n < l->n_groups && l->groups[n].role == ROLE_DRAFTER) n++;
    return n;
}

const struct group *layout_drafter(const struct layout *l, int i)
{
    return i < layout_n_drafters(l) ? &l->groups[i] : NULL;
}

int layout_i_drafter(const struct layout *l, int peer)
{
    const struct group *g = layout_group(l, peer);
    return g && g->role == ROLE_DRAFTER ? (int)(g - l->groups) : -1;
}

int layout_n_verifiers(const struct layout *l)
{
    return l->n_groups - layout_n_drafters(l);
}

const struct group *layout_verifier(const struct layout *l, int i)
{
    return &l->groups[layout_n_drafters(l) + i];
}

int layout_i_verifier(const struct layout *l, int peer)
{
    const struct group *g = layout_group(l, peer);
    return g && g->role == ROLE_VERIFIER ? (int)(g - l->groups) - layout_n_drafters(l) : -1;
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
