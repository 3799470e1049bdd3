#include "coordinator/pinger.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "proto/clock.h"
#include "proto/wire.h"

enum { UNREAD_MOST = 20, SELDOM = 20 }; /* while so many rounds are unread, one of SELDOM is sent */

struct pinger {
    struct router *router;
    int n_peers;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool started, closing; /* closing: under the lock */
    atomic_uint n_unread;  /* rounds of Pings since the coordinator has read a Pong */
    atomic_bool added[];   /* [n_peers] */
};

static void ping(struct pinger *p, int peer)
{
    _Alignas(16) uint8_t room[WIRE_LAST_WORDS];
    struct wire_arena arena = {.base = room, .size = sizeof room};
    struct err ignored; /* without memory there is none: the next one may find some */
    struct message m = {.tag = TAG_PING, .ping = {clock_now_ns()}};
    const uint8_t *data;
    size_t n_bytes;
    if (wire_encode(&arena, &m, &data, &n_bytes, &ignored) != OK) return;
    struct mail mail = {.from = PEER_COORDINATOR, .to = peer, .tag = TAG_PING, .n_bytes = n_bytes};
    mail.data = malloc(n_bytes);
    if (!mail.data) return;
    memcpy(mail.data, data, n_bytes);
    router_deliver(p->router, &mail, &ignored);
}

static void ping_all(struct pinger *p)
{
    unsigned n = atomic_fetch_add(&p->n_unread, 1);
    if (n >= UNREAD_MOST && n % SELDOM) return;
    for (int peer = 0; peer < p->n_peers; peer++)
        if (atomic_load(&p->added[peer])) ping(p, peer);
}

static void *pinger_main(void *arg)
{
    struct pinger *p = arg;
    pthread_mutex_lock(&p->lock);
    while (!p->closing) {
        struct timespec until = clock_after_us(PING_MS * 1000);
        ping_all(p);
        for (int late = 0; !late && !p->closing;) late = pthread_cond_timedwait(&p->changed, &p->lock, &until);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

int pinger_open(struct pinger **out, struct router *router, const struct layout *l, struct err *err)
{
    struct pinger *p = calloc(1, sizeof *p + (size_t)l->n_peers * sizeof p->added[0]);
    if (!p) return err_set(err, E_FAIL, "out of memory");
    p->router = router;
    p->n_peers = l->n_peers;
    pthread_mutex_init(&p->lock, NULL);
    clock_cond_init(&p->changed);
    p->started = pthread_create(&p->thread, NULL, pinger_main, p) == 0;
    if (!p->started) {
        pinger_close(p);
        return err_set(err, E_FAIL, "cannot start the thread that pings the workers");
    }
    *out = p;
    return OK;
}

void pinger_close(struct pinger *p)
{
    if (!p) return;
    pthread_mutex_lock(&p->lock);
    p->closing = true;
    pthread_cond_signal(&p->changed);
    pthread_mutex_unlock(&p->lock);
    if (p->started) pthread_join(p->thread, NULL);
    pthread_cond_destroy(&p->changed);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

void pinger_add(struct pinger *p, int peer)
{
    atomic_store(&p->added[peer], true);
    ping(p, peer);
    pinger_read(p); /* there was nobody to answer */
}

void pinger_read(struct pinger *p)
{
    atomic_store(&p->n_unread, 0);
}
