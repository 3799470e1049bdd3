#include "coordinator/heartbeat.h"

#include <stdio.h>
#include <stdlib.h>

#include "proto/deadline.h"

static const uint64_t second_ns = 1000000000, ms_ns = 1000000;

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

void heartbeat_await(struct heartbeat *h, int peer, uint64_t start_ns, uint64_t now_ns)
{
    h->workers[peer].begun_ns = now_ns;
    h->workers[peer].start_ns = start_ns;
    if (!h->looked_ns) h->looked_ns = now_ns;
}

void heartbeat_begin(struct heartbeat *h, int peer, uint64_t now_ns)
{
    h->workers[peer] =
        (struct heartbeat_worker){.begun = true, .begun_ns = now_ns, .heard_ns = now_ns, .tag = TAG_READY};
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
    if (m->tag == TAG_HELLO) w->start_ns = 0;
    if (m->tag != TAG_PONG) {
        w->moved_ns = now_ns;
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

void heartbeat_sent(struct heartbeat *h, int peer, uint64_t now_ns)
{
    h->workers[peer].moved_ns = now_ns;
}

void heartbeat_due(struct heartbeat *h, int peer, uint64_t due_ns)
{
    struct heartbeat_worker *w = &h->workers[peer];
    if (due_ns > w->heard_ns) w->heard_ns = due_ns;
    if (due_ns > w->moved_ns) w->moved_ns = due_ns;
}

/* ---- a look ---- */

bool heartbeat_is_silent(const struct heartbeat *h, int peer, uint64_t now_ns)
{
    const struct heartbeat_worker *w = &h->workers[peer];
    if (w->lost || layout_rank(&h->layout, peer) == 0) return false;
    if (w->begun) return deadline_since(w->heard_ns, now_ns) > deadline_ns(w->pong.block_us);
    uint64_t since_ns = w->heard_ns > w->begun_ns ? w->heard_ns : w->begun_ns;
    return w->start_ns && deadline_since(since_ns, now_ns) > w->start_ns;
}

/* From whom it gets nothing any more, though that one serves for long enough and answers the coordinator;
 * PEER_COORDINATOR: none. What it said before the coordinator was away does not count. */
static int missed_by(const struct heartbeat *h, int peer, uint64_t now_ns)
{
    const struct heartbeat_worker *w = &h->workers[peer];
    int other = (int)w->pong.misses;
    const struct group *g = layout_group(&h->layout, peer);
    if (!w->begun || w->lost || other == peer || layout_group(&h->layout, other) != g) return PEER_COORDINATOR;
    const struct heartbeat_worker *o = &h->workers[other];
    bool long_enough = w->pong.sent_ns >= h->back_ns && w->pong.sent_ns > o->begun_ns + DEADLINE_S * second_ns;
    bool answers = deadline_since(o->heard_ns, now_ns) < 2 * PING_MS * ms_ns; /* or it may be lost itself */
    return o->begun && !o->lost && long_enough && answers ? other : PEER_COORDINATOR;
}

/* It has got all that was sent to its group, and has nothing to do. */
static bool is_idle(const struct heartbeat_worker *w, uint64_t moved_ns)
{
    return w->lost || (w->begun && w->n_pongs && !w->pong.busy && w->pong.sent_ns > moved_ns);
}

/* Whether all of the group are; *moved_ns: the last message to or from one of it. */
static bool rests(const struct heartbeat *h, const struct group *g, uint64_t *moved_ns)
{
    const struct heartbeat_worker *first = h->workers + g->first_peer, *end = first + group_n_peers(g);
    for (const struct heartbeat_worker *w = first; w < end; w++)
        if (w->moved_ns > *moved_ns) *moved_ns = w->moved_ns;
    for (const struct heartbeat_worker *w = first; w < end; w++)
        if (!is_idle(w, *moved_ns)) return false;
    return true;
}

static bool is_stalled(struct heartbeat *h, int i, enum heartbeat_awaits awaits, uint64_t now_ns)
{
    uint64_t moved_ns = 0, asked_ns = 0;
    bool idle = awaits != AWAITS_NOTHING && rests(h, layout_verifier(&h->layout, i), &moved_ns);
    for (int k = 0; k < layout_n_drafters(&h->layout) && awaits == AWAITS_DRAFTS; k++)
        idle = idle && rests(h, layout_drafter(&h->layout, k), &asked_ns);
    if (!idle) h->busy_ns[i] = now_ns;
    uint64_t still_ns = h->busy_ns[i] > moved_ns ? h->busy_ns[i] : moved_ns;
    return deadline_since(still_ns > asked_ns ? still_ns : asked_ns, now_ns) > STALL_S * second_ns;
}

/* Of a group, one that has done fewer passes than another; its leader: there is none. */
static int behind(const struct heartbeat *h, const struct group *g)
{
    int first = g->first_peer, least = first;
    bool differ = false;
    for (int p = first + 1; p < first + group_n_peers(g); p++) {
        differ |= h->workers[p].pong.n_passes != h->workers[first].pong.n_passes;
        if (h->workers[p].pong.n_passes < h->workers[least].pong.n_passes) least = p;
    }
    return differ ? least : group_leader(g);
}

struct heartbeat_found heartbeat_look(struct heartbeat *h, const enum heartbeat_awaits *awaits, uint64_t now_ns)
{
    bool away = deadline_since(h->looked_ns, now_ns) > AWAY_MS * ms_ns;
    struct heartbeat_found found = {LOST_NOTHING, PEER_COORDINATOR, PEER_COORDINATOR};
    h->looked_ns = now_ns;
    if (away) h->back_ns = now_ns;
    for (int p = PEER_COORDINATOR + 1; p < h->layout.n_peers && away; p++) heartbeat_due(h, p, now_ns);
    for (int i = 0; i < layout_n_verifiers(&h->layout); i++)
        if (is_stalled(h, i, awaits ? awaits[i] : AWAITS_NOTHING, now_ns))
            found = (struct heartbeat_found){LOST_MESSAGE, behind(h, layout_verifier(&h->layout, i)), 0};
    for (int p = h->layout.n_peers; --p > PEER_COORDINATOR;) { /* the first one counts */
        int other = missed_by(h, p, now_ns);
        if (other != PEER_COORDINATOR) found = (struct heartbeat_found){LOST_LINK, p, other};
    }
    for (int p = PEER_COORDINATOR + 1; p < h->layout.n_peers; p++) {
        bool first = found.loss != LOST_WORKER || h->workers[p].heard_ns < h->workers[found.peer].heard_ns;
        if (heartbeat_is_silent(h, p, now_ns) && first)
            found = (struct heartbeat_found){LOST_WORKER, p, PEER_COORDINATOR};
    }
    return found;
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
    if (!w->tag) {
        snprintf(said.text, sizeof said.text, "nothing came from it within %.1f s",
                 (double)deadline_since(w->begun_ns, now_ns) / (double)second_ns);
        return said;
    }
    const char *state = !w->n_pongs ? "" : w->pong.busy ? ", computing" : ", idle";
    if (w->n_pongs) snprintf(what, sizeof what, " after pass %u", w->pong.n_passes);
    snprintf(said.text, sizeof said.text, "last heard %.1f s ago (%s%s%s)",
             (double)deadline_since(w->heard_ns, now_ns) / (double)second_ns, wire_tags[w->tag].name, state, what);
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

bool heartbeat_has_rtts(const struct heartbeat *h)
{
    for (int i = 0; i < h->layout.n_groups; i++) {
        int peer = group_leader(&h->layout.groups[i]);
        if (!h->workers[peer].lost && !heartbeat_rtt_ns(h, peer)) return false;
    }
    return true;
}

uint64_t heartbeat_bits_per_s(const struct heartbeat *h, int peer)
{
    uint64_t bare_ns = least_ns(&h->workers[peer].bare), loaded_ns = least_ns(&h->workers[peer].loaded);
    bool is_clear = bare_ns && h->workers[peer].loaded.n >= LOADS_LEAST && loaded_ns > bare_ns + LOAD_LEAST_NS &&
                    loaded_ns > bare_ns + bare_ns / 20;
    return is_clear ? PING_LOAD * UINT64_C(8000000000) / (loaded_ns - bare_ns) : 0;
}
