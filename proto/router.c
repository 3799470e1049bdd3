#include "proto/router.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "proto/clock.h"

/* Looks at an empty queue before sleeping: a few microseconds, what going to sleep and waking up cost. */
enum { SPINS = 64 };

struct queue { /* a peer's messages: a ring that grows */
    pthread_mutex_t lock;
    pthread_cond_t filled;
    struct mail *ring; /* [room] owns; a power of two */
    size_t room, first;
    atomic_size_t n; /* changed under the lock, looked at without it */
    int n_waiting;
    atomic_int gate; /* whose queue takes this peer's messages: its own, unless routed */
    void (*wake)(void *);
    void *wake_arg;
};

struct router {
    int n_peers;
    struct net_delay *delay; /* owns; NULL: no network is emulated */
    struct queue queues[];   /* [n_peers] */
};

struct local {
    struct mailbox base;
    struct router *router;
    bool hooked; /* the queue's hook is this mailbox's */
};

/* ---- a queue; under its lock ---- */

static bool make_room(struct queue *q)
{
    size_t n = atomic_load(&q->n);
    if (n < q->room) return true;
    size_t room = q->room ? 2 * q->room : 16;
    struct mail *ring = malloc(room * sizeof *ring);
    if (!ring) return false;
    for (size_t i = 0; i < n; i++) ring[i] = q->ring[(q->first + i) & (q->room - 1)];
    free(q->ring);
    q->ring = ring;
    q->room = room;
    q->first = 0;
    return true;
}

static bool take(struct queue *q, struct mail *out)
{
    size_t n = atomic_load(&q->n);
    if (n == 0) return false;
    *out = q->ring[q->first];
    q->first = (q->first + 1) & (q->room - 1);
    atomic_store(&q->n, n - 1);
    return true;
}

/* Takes m. The hook is called under the lock: once a mailbox is closed, its hook is not running and never will. */
static bool put(struct queue *q, const struct mail *m)
{
    pthread_mutex_lock(&q->lock);
    bool done = make_room(q);
    if (done) {
        size_t n = atomic_load(&q->n);
        q->ring[(q->first + n) & (q->room - 1)] = *m;
        atomic_store(&q->n, n + 1);
        if (q->n_waiting) pthread_cond_signal(&q->filled);
        if (q->wake) q->wake(q->wake_arg);
    }
    pthread_mutex_unlock(&q->lock);
    return done;
}

/* ---- the router ---- */

struct router *router_open(int n_peers)
{
    struct router *o = calloc(1, sizeof *o + (size_t)n_peers * sizeof *o->queues);
    if (!o) return NULL;
    o->n_peers = n_peers;
    for (int i = 0; i < n_peers; i++) {
        pthread_mutex_init(&o->queues[i].lock, NULL);
        clock_cond_init(&o->queues[i].filled);
        atomic_init(&o->queues[i].gate, i);
    }
    bool ok = true; /* room for a few messages: Quit and Fail must find some */
    for (int i = 0; i < n_peers; i++) ok &= make_room(&o->queues[i]);
    if (ok) return o;
    router_close(o);
    return NULL;
}

void router_close(struct router *o)
{
    if (!o) return;
    net_delay_close(o->delay);
    for (int i = 0; i < o->n_peers; i++) {
        struct queue *q = &o->queues[i];
        for (struct mail m; take(q, &m);) mail_free(&m);
        free(q->ring);
        pthread_cond_destroy(&q->filled);
        pthread_mutex_destroy(&q->lock);
    }
    free(o);
}

void router_route(struct router *o, int peer, int gate)
{
    atomic_store(&o->queues[peer].gate, gate);
}

/* Takes m, which its peer's mailbox, or the gate's, sees from now on. */
static bool arrive(void *arg, const struct mail *m)
{
    struct router *o = arg;
    return put(&o->queues[atomic_load(&o->queues[m->to].gate)], m);
}

int router_emulate(struct router *o, const struct layout *l, const struct net *net, struct err *err)
{
    return net_delay_open(&o->delay, l, net, &(struct net_sink){arrive, o}, err);
}

void router_change(struct router *o, const struct net *net)
{
    net_delay_change(o->delay, net);
}

uint64_t router_due_ns(struct router *o, int peer)
{
    return o->delay ? net_delay_due_ns(o->delay, peer) : 0;
}

void router_arrive(struct router *o)
{
    net_delay_arrive(o->delay);
}

void router_hurry(struct router *o)
{
    if (o->delay) net_delay_end(o->delay);
}

/* At once, or when the emulated network lets it. */
static bool send(struct router *o, const struct mail *m)
{
    return o->delay && net_delay_has(o->delay, m) ? net_delay_put(o->delay, m) : arrive(o, m);
}

int router_deliver(struct router *o, struct mail *m, struct err *err)
{
    int to = m->to, rc = OK;
    if (to < 0 || to >= o->n_peers)
        rc = err_set(err, E_FAIL, "a message to peer %d, but there are only %d", to, o->n_peers);
    else if (!send(o, m))
        rc = err_set(err, E_LAYOUT, "out of memory for a message to peer %d", to);
    if (rc != OK) mail_free(m);
    *m = (struct mail){0};
    return rc;
}

int router_post(struct router *o, int from, int to, int tag, const void *data, size_t n_bytes, struct err *err)
{
    struct mail m = {.from = from, .to = to, .tag = tag, .n_bytes = n_bytes};
    m.data = malloc(n_bytes ? n_bytes : 1);
    if (!m.data) return err_set(err, E_LAYOUT, "out of memory for a message of %zu bytes to peer %d", n_bytes, to);
    if (n_bytes) memcpy(m.data, data, n_bytes);
    return router_deliver(o, &m, err);
}

/* ---- a mailbox ---- */

static struct queue *queue_of(struct mailbox *mb)
{
    return &((struct local *)mb)->router->queues[mb->self];
}

static int local_post(struct mailbox *mb, int to, int tag, const void *data, size_t n_bytes, struct err *err)
{
    return router_post(((struct local *)mb)->router, mb->self, to, tag, data, n_bytes, err);
}

static int local_poll(struct mailbox *mb, struct mail *out, struct err *err)
{
    (void)err; /* queues of a process do not fail */
    struct queue *q = queue_of(mb);
    if (atomic_load(&q->n) == 0) return MAIL_NONE;
    pthread_mutex_lock(&q->lock);
    bool taken = take(q, out);
    pthread_mutex_unlock(&q->lock);
    return taken ? OK : MAIL_NONE;
}

static int local_wait(struct mailbox *mb, struct mail *out, int wait_ms, struct err *err)
{
    (void)err;
    struct queue *q = queue_of(mb);
    for (int i = 0; i < SPINS && atomic_load_explicit(&q->n, memory_order_relaxed) == 0; i++) clock_pause();
    struct timespec until = clock_after_us(wait_ms < 0 ? 0 : (uint64_t)wait_ms * 1000);
    pthread_mutex_lock(&q->lock);
    bool taken = take(q, out);
    for (int late = 0; !taken && !late; taken = take(q, out)) {
        q->n_waiting++;
        late = wait_ms < 0 ? pthread_cond_wait(&q->filled, &q->lock)
                           : pthread_cond_timedwait(&q->filled, &q->lock, &until);
        q->n_waiting--;
    }
    pthread_mutex_unlock(&q->lock);
    return taken ? OK : MAIL_NONE;
}

static void set_hook(struct queue *q, void (*wake)(void *), void *wake_arg)
{
    pthread_mutex_lock(&q->lock);
    q->wake = wake;
    q->wake_arg = wake_arg;
    pthread_mutex_unlock(&q->lock);
}

static void local_close(struct mailbox *mb)
{
    if (((struct local *)mb)->hooked) set_hook(queue_of(mb), NULL, NULL);
    free(mb);
}

struct mailbox *router_mailbox(struct router *o, int self, void (*wake)(void *), void *wake_arg)
{
    static const struct mailbox_ops ops = {local_post, local_poll, local_wait, local_close};
    struct local *l = malloc(sizeof *l);
    if (!l) return NULL;
    *l = (struct local){.base = {.ops = &ops, .self = self}, .router = o, .hooked = wake != NULL};
    if (wake) set_hook(&o->queues[self], wake, wake_arg);
    return &l->base;
}
