#include "proto/net_delay.h"

#include <pthread.h>
#include <stdlib.h>

#include "proto/clock.h"
#include "proto/prefix_hash.h"

enum { HELD_AT_OPEN = 64, AGAIN_NS = 1000000 }; /* AGAIN: where there was no memory for a message to arrive */

struct held {
    uint64_t due_ns;
    struct mail mail; /* owns */
};

struct net_delay {
    struct net net;
    struct net_sink sink;
    struct layout layout;
    int n_peers;
    struct net_link *links; /* [2 * n_peers] owns: to each peer, from each peer */

    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct held *held; /* [room] owns; the latest first, so that the next to arrive is the last */
    size_t n_held, room;
    bool ended, closing;

    pthread_t thread;
    bool started;
};

/* ---- a link ---- */

bool net_path_is_zero(const struct net_path *p)
{
    return !p->delay_ns && !p->jitter_ns && !p->bits_per_s;
}

uint64_t net_link_due(struct net_link *l, uint64_t now_ns, size_t n_bytes)
{
    const struct net_path *p = &l->path;
    uint64_t drawn = prefix_hash_next(l->seed, (int32_t)l->n_messages++);
    uint64_t there = now_ns + p->delay_ns + drawn % (p->jitter_ns + 1);
    uint64_t bytes_ns = p->bits_per_s ? (uint64_t)n_bytes * 8 * 1000000000 / p->bits_per_s : 0;
    l->last_due_ns = (there > l->last_due_ns ? there : l->last_due_ns) + bytes_ns;
    return l->last_due_ns;
}

/* NULL: neither end is the coordinator, or there is no such peer. */
static struct net_link *link_of(const struct net_delay *d, const struct mail *m)
{
    bool from = m->to == PEER_COORDINATOR;
    int worker = from ? m->from : m->to;
    bool ours = (from || m->from == PEER_COORDINATOR) && worker > PEER_COORDINATOR && worker < d->n_peers;
    return ours ? &d->links[2 * worker + from] : NULL;
}

/* ---- what is held; under the lock ---- */

static bool make_room(struct net_delay *d)
{
    if (d->n_held < d->room) return true;
    struct held *more = realloc(d->held, 2 * d->room * sizeof *more);
    if (!more) return false;
    d->held = more;
    d->room *= 2;
    return true;
}

/* Of two that are due at once the first one stays the first. */
static void hold(struct net_delay *d, const struct mail *m, uint64_t due_ns)
{
    size_t i = d->n_held++;
    for (; i > 0 && d->held[i - 1].due_ns <= due_ns; i--) d->held[i] = d->held[i - 1];
    d->held[i] = (struct held){due_ns, *m};
}

static uint64_t now_ns(const struct net_delay *d)
{
    return d->net.now_ns ? d->net.now_ns(d->net.now_arg) : clock_now_ns();
}

static const struct held *next_held(const struct net_delay *d)
{
    return d->n_held ? &d->held[d->n_held - 1] : NULL;
}

/* False: one of them found no memory. */
static bool let_arrive(struct net_delay *d, uint64_t until_ns)
{
    for (const struct held *next; (next = next_held(d)) && next->due_ns <= until_ns; d->n_held--)
        if (!d->sink.put(d->sink.arg, &next->mail)) return false;
    return true;
}

/* ---- the thread ---- */

static void *watch(void *arg)
{
    struct net_delay *d = arg;
    pthread_mutex_lock(&d->lock);
    while (!d->closing) {
        bool fits = let_arrive(d, now_ns(d));
        const struct held *next = next_held(d);
        struct timespec until = clock_at_ns(!fits ? now_ns(d) + AGAIN_NS : next ? next->due_ns : 0);
        if (next)
            pthread_cond_timedwait(&d->changed, &d->lock, &until);
        else
            pthread_cond_wait(&d->changed, &d->lock);
    }
    pthread_mutex_unlock(&d->lock);
    return NULL;
}

/* ---- the other threads' side ---- */

bool net_delay_has(const struct net_delay *d, const struct mail *m)
{
    const struct net_link *l = link_of(d, m);
    return l && (d->net.changes || !net_path_is_zero(&l->path));
}

bool net_delay_put(struct net_delay *d, const struct mail *m)
{
    pthread_mutex_lock(&d->lock);
    bool done = d->ended ? d->sink.put(d->sink.arg, m) : make_room(d);
    if (done && !d->ended) {
        hold(d, m, net_link_due(link_of(d, m), now_ns(d), m->n_bytes));
        pthread_cond_signal(&d->changed);
    }
    pthread_mutex_unlock(&d->lock);
    return done;
}

uint64_t net_delay_due_ns(struct net_delay *d, int peer)
{
    uint64_t due = 0;
    pthread_mutex_lock(&d->lock);
    for (size_t i = 0; i < d->n_held; i++) {
        const struct held *h = &d->held[i];
        if ((h->mail.from == peer || h->mail.to == peer) && h->due_ns > due) due = h->due_ns;
    }
    pthread_mutex_unlock(&d->lock);
    return due;
}

void net_delay_arrive(struct net_delay *d)
{
    pthread_mutex_lock(&d->lock);
    let_arrive(d, now_ns(d));
    pthread_mutex_unlock(&d->lock);
}

static void free_held(struct net_delay *d)
{
    while (d->n_held) mail_free(&d->held[--d->n_held].mail);
}

void net_delay_end(struct net_delay *d)
{
    pthread_mutex_lock(&d->lock);
    d->ended = true;
    let_arrive(d, UINT64_MAX);
    free_held(d); /* for which there is no memory: the job is over */
    pthread_mutex_unlock(&d->lock);
}

static void lay_links(struct net_delay *d)
{
    for (int peer = PEER_COORDINATOR + 1; peer < d->n_peers; peer++)
        for (int from = 0; from < 2; from++) {
            struct net_link *l = &d->links[2 * peer + from];
            l->path = d->net.to[layout_group(&d->layout, peer)->role];
            l->seed = prefix_hash_mix((uint64_t)(2 * peer + from));
        }
}

void net_delay_change(struct net_delay *d, const struct net *net)
{
    pthread_mutex_lock(&d->lock);
    for (int role = 0; role < 2; role++) d->net.to[role] = net->to[role];
    lay_links(d);
    pthread_mutex_unlock(&d->lock);
}

int net_delay_open(struct net_delay **out, const struct layout *l, const struct net *net, const struct net_sink *sink,
                   struct err *err)
{
    struct net_delay *d = calloc(1, sizeof *d);
    if (!d) return err_set(err, E_LAYOUT, "out of memory");
    *d = (struct net_delay){.net = *net, .sink = *sink, .layout = *l, .n_peers = l->n_peers, .room = HELD_AT_OPEN};
    pthread_mutex_init(&d->lock, NULL);
    clock_cond_init(&d->changed);
    d->links = calloc(2 * (size_t)l->n_peers, sizeof *d->links);
    d->held = calloc(d->room, sizeof *d->held);
    int rc = d->links && d->held ? OK : err_set(err, E_LAYOUT, "out of memory");
    if (rc == OK) lay_links(d);
    if (rc == OK && !net->now_ns) {
        d->started = pthread_create(&d->thread, NULL, watch, d) == 0;
        if (!d->started) rc = err_set(err, E_FAIL, "cannot start the thread of the emulated network");
    }
    if (rc == OK)
        *out = d;
    else
        net_delay_close(d);
    return rc;
}

void net_delay_close(struct net_delay *d)
{
    if (!d) return;
    pthread_mutex_lock(&d->lock);
    d->closing = true;
    pthread_cond_signal(&d->changed);
    pthread_mutex_unlock(&d->lock);
    if (d->started) pthread_join(d->thread, NULL);
    free_held(d);
    free(d->held);
    free(d->links);
    pthread_cond_destroy(&d->changed);
    pthread_mutex_destroy(&d->lock);
    free(d);
}
