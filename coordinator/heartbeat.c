#include "coordinator/heartbeat.h"

#include <stdio.h>
#include <stdlib.h>

static const uint64_t second_ns = 1000000000, ms_ns = 1000000, us_ns = 1000;

int heartbeat_init(struct heartbeat *h, const struct layout *l, struct err *err)
{
    *h = (struct heartbeat){.layout = *l, .workers = calloc((size_t)l->n_peers, sizeof *h->workers)};
    return h->workers ? OK : err_set(err, E_FAIL, "out of memory");
}

void heartbeat_free(struct heartbeat *h)
{
    free(h->workers);
    *h = (struct heartbeat){0};
}

void heartbeat_begin(struct heartbeat *h, int peer, uint64_t now_ns)
{
    h->workers[peer] = (struct heartbeat_worker){.begun = true, .heard_ns = now_ns, .tag = TAG_READY};
}

void heartbeat_lose(struct heartbeat *h, int peer)
{
    h->workers[peer].lost = true;
}

bool heartbeat_is_lost(const struct heartbeat *h, int peer)
{
    return peer > PEER_COORDINATOR && peer < h->layout.n_peers && h->workers[peer].lost;
}

void heartbeat_heard(struct heartbeat *h, int peer, const struct message *m, uint64_t now_ns)
{
    struct heartbeat_worker *w = &h->workers[peer];
    w->heard_ns = now_ns;
    w->tag = (int)m->tag;
    if (m->tag != TAG_PONG) {
        h->moved_ns = now_ns;
        return;
    }
    w->pong = m->pong;
    w->pong.draft_plan = NULL;
    snprintf(w->draft_plan, sizeof w->draft_plan, "%s", m->pong.draft_plan ? m->pong.draft_plan : "");
    w->n_pongs++;
    bool in_time = now_ns - h->looked_ns <= AWAY_MS * ms_ns && m->pong.sent_ns >= h->back_ns;
    struct round_trips *r = m->pong.n_load == PING_LOAD ? &w->loaded : &w->bare;
    if (in_time && m->pong.sent_ns < now_ns) r->ns[r->n++ % RTTS_MOST] = now_ns - m->pong.sent_ns;
}

void heartbeat_sent(struct heartbeat *h, uint64_t now_ns)
{
    h->moved_ns = now_ns;
}

void heartbeat_due(struct heartbeat *h, int peer, uint64_t due_ns)
{
    struct heartbeat_worker *w = &h->workers[peer];
    if (due_ns > w->heard_ns) w->heard_ns = due_ns;
    if (due_ns > h->moved_ns) h->moved_ns = due_ns;
}

/* ---- a look ---- */

static uint64_t since(uint64_t then_ns, uint64_t now_ns)
{
    return now_ns > then_ns ? now_ns - then_ns : 0;
}

static bool is_lost(const struct heartbeat *h, int peer, uint64_t now_ns)
{
    const struct heartbeat_worker *w = &h->workers[peer];
    uint64_t deadline = DEADLINE_S * second_ns, block = us_ns * w->pong.block_us;
    uint64_t blocks = DEADLINE_BLOCKS * (block < BLOCK_MOST_S * second_ns ? block : BLOCK_MOST_S * second_ns);
    if (!w->begun || w->lost || layout_rank(&h->layout, peer) == 0) return false;
    return since(w->heard_ns, now_ns) > (blocks > deadline ? blocks : deadline);
}

/* It has got all that was sent to it, and has nothing to do. */
static bool is_idle(const struct heartbeat *h, const struct heartbeat_worker *w)
{
    return w->lost || (w->begun && w->n_pongs && !w->pong.busy && w->pong.sent_ns > h->moved_ns);
}

int heartbeat_look(struct heartbeat *h, bool working, uint64_t now_ns)
{
    bool away = since(h->looked_ns, now_ns) > AWAY_MS * ms_ns, idle = working;
    h->looked_ns = now_ns;
    if (away) h->back_ns = now_ns;
    for (int p = PEER_COORDINATOR + 1; p < h->layout.n_peers && away; p++) heartbeat_due(h, p, now_ns);
    for (int p = PEER_COORDINATOR + 1; p < h->layout.n_peers; p++) {
        if (is_lost(h, p, now_ns)) return p;
        idle = idle && is_idle(h, &h->workers[p]);
    }
    if (!idle) h->busy_ns = now_ns;
    uint64_t still_ns = h->busy_ns > h->moved_ns ? h->busy_ns : h->moved_ns;
    return since(still_ns, now_ns) > STALL_S * second_ns ? ALL_STALLED : NOBODY_LOST;
}

int heartbeat_behind(const struct heartbeat *h)
{
    for (int i = 0; i < layout_n_verifiers(&h->layout); i++) {
        const struct group *g = layout_verifier(&h->layout, i);
        int first = g->first_peer, behind = first;
        bool differ = false;
        for (int p = first + 1; p < first + group_n_peers(g); p++) {
            differ |= h->workers[p].pong.n_passes != h->workers[first].pong.n_passes;
            if (h->workers[p].pong.n_passes < h->workers[behind].pong.n_passes) behind = p;
        }
        if (differ) return behind;
    }
    return NOBODY_LOST;
}

int heartbeat_waits_for(const struct heartbeat *h, int peer)
{
    uint32_t other = h->workers[peer].pong.waits_for;
    return other < (uint32_t)h->layout.n_peers ? (int)other : PEER_COORDINATOR;
}

struct heartbeat_said heartbeat_last(const struct heartbeat *h, int peer, uint64_t now_ns)
{
    const struct heartbeat_worker *w = &h->workers[peer];
    struct heartbeat_said said;
    char what[64] = "";
    const char *state = !w->n_pongs ? "" : w->pong.busy ? ", computing" : ", idle";
    if (w->n_pongs) snprintf(what, sizeof what, " after pass %u", w->pong.n_passes);
    snprintf(said.text, sizeof said.text, "last heard %.1f s ago (%s%s%s)",
             (double)since(w->heard_ns, now_ns) / (double)second_ns, wire_tags[w->tag].name, state, what);
    return said;
}

void heartbeat_forget_rtts(struct heartbeat *h, uint64_t now_ns)
{
    h->back_ns = now_ns;
    for (int p = PEER_COORDINATOR + 1; p < h->layout.n_peers; p++) h->workers[p].bare.n = h->workers[p].loaded.n = 0;
}

static uint64_t least_ns(const struct round_trips *r)
{
    uint64_t least = 0;
    for (unsigned i = 0; i < RTTS_MOST && i < r->n; i++)
        if (!least || r->ns[i] < least) least = r->ns[i];
    return least;
}

uint64_t heartbeat_rtt_ns(const struct heartbeat *h, int peer)
{
    return least_ns(&h->workers[peer].bare);
}

uint64_t heartbeat_bits_per_s(const struct heartbeat *h, int peer)
{
    uint64_t bare_ns = least_ns(&h->workers[peer].bare), loaded_ns = least_ns(&h->workers[peer].loaded);
    bool is_clear = bare_ns && h->workers[peer].loaded.n >= LOADS_LEAST && loaded_ns > bare_ns + LOAD_LEAST_NS &&
                    loaded_ns > bare_ns + bare_ns / 20;
    return is_clear ? PING_LOAD * UINT64_C(8000000000) / (loaded_ns - bare_ns) : 0;
}
