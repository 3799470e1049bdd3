#include "worker/roles/links.h"

#include "proto/deadline.h"

static const uint64_t ms_ns = 1000000;

bool links_has(const struct layout *l, int a, int b)
{
    const struct group *g = layout_group(l, a);
    return l->n_ranks > 1 && g && g == layout_group(l, b) && group_has_link(g, a, b);
}

void links_begin(struct links *k, const struct layout *l, int self, uint64_t now_ns)
{
    for (int p = 0; p < l->n_peers; p++)
        if (links_has(l, self, p)) k->of[p].since_ns = now_ns;
}

bool links_look(struct links *k, uint64_t now_ns)
{
    bool away = k->looked_ns && now_ns - k->looked_ns > AWAY_MS * ms_ns, due = now_ns - k->told_ns >= PING_MS * ms_ns;
    for (int p = 0; p < MAX_PEERS && away; p++)
        if (k->of[p].since_ns) k->of[p].since_ns = now_ns;
    k->looked_ns = now_ns;
    if (due) k->told_ns = now_ns;
    return due;
}

bool links_tell(struct links *k, int peer)
{
    bool tell = k->of[peer].heard || !k->of[peer].told;
    k->of[peer].told = true;
    return tell;
}

void links_heard(struct links *k, int peer, uint32_t block_us, uint64_t now_ns)
{
    k->of[peer] = (struct link){.since_ns = now_ns, .block_us = block_us, .heard = true, .told = k->of[peer].told};
}

int links_missed(const struct links *k, uint64_t now_ns)
{
    for (int p = PEER_COORDINATOR + 1; p < MAX_PEERS; p++) {
        uint64_t silent_ns = deadline_since(k->of[p].since_ns, now_ns);
        if (k->of[p].since_ns && silent_ns > deadline_ns(k->of[p].block_us) + LINK_LATER_MS * ms_ns) return p;
    }
    return PEER_COORDINATOR;
}
