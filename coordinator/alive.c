#include "coordinator/alive.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "proto/clock.h"
#include "proto/deadline.h"
#include "proto/show.h"
#include "proto/wire.h"

enum { UNREAD_MOST = 20, SELDOM = 20 }; /* while so many rounds are unread, one of SELDOM is sent */
enum { LOADED_OF = 2 };                 /* rounds, one that is loaded: so little that it takes nothing from the text */

struct alive {
    struct router *router;         /* borrows */
    const struct workers *workers; /* borrows */
    struct heartbeat heartbeat;
    const struct layout *layout; /* the heartbeat's */

    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned n_rounds;     /* the thread's */
    bool started, closing; /* closing: under the lock */
    atomic_uint n_unread;  /* rounds of Pings since the coordinator has read a Pong */
    atomic_bool added[MAX_PEERS];
};

/* ---- the thread ---- */

static void ping(struct alive *a, int peer, bool loaded)
{
    static const uint8_t load[PING_LOAD];
    _Alignas(16) uint8_t room[WIRE_LAST_WORDS];
    struct wire_arena arena = {.base = room, .size = sizeof room};
    struct err ignored; /* without memory there is none: the next one may find some */
    struct message m = {.tag = TAG_PING, .ping = {clock_now_ns(), load, loaded ? sizeof load : 0}};
    const uint8_t *data;
    size_t n_bytes;
    if (wire_encode(&arena, &m, &data, &n_bytes, &ignored) == OK)
        router_post(a->router, PEER_COORDINATOR, peer, TAG_PING, data, n_bytes, &ignored);
}

static void ping_all(struct alive *a)
{
    unsigned n = atomic_fetch_add(&a->n_unread, 1);
    if (n >= UNREAD_MOST && n % SELDOM) return;
    for (int peer = 0; peer < a->layout->n_peers; peer++)
        if (atomic_load(&a->added[peer])) ping(a, peer, a->n_rounds % LOADED_OF == 1);
    a->n_rounds++;
}

static void *ping_on(void *arg)
{
    struct alive *a = arg;
    pthread_mutex_lock(&a->lock);
    while (!a->closing) {
        struct timespec until = clock_after_us(PING_MS * 1000);
        ping_all(a);
        for (int late = 0; !late && !a->closing;) late = pthread_cond_timedwait(&a->changed, &a->lock, &until);
    }
    pthread_mutex_unlock(&a->lock);
    return NULL;
}

int alive_open(struct alive **out, struct router *router, const struct workers *workers, struct err *err)
{
    struct alive *a = calloc(1, sizeof *a);
    if (!a) return err_set(err, E_FAIL, "out of memory");
    a->router = router;
    a->workers = workers;
    pthread_mutex_init(&a->lock, NULL);
    clock_cond_init(&a->changed);
    int rc = heartbeat_init(&a->heartbeat, &workers->layout, err);
    a->layout = &a->heartbeat.layout;
    if (rc == OK) {
        a->started = pthread_create(&a->thread, NULL, ping_on, a) == 0;
        if (!a->started) rc = err_set(err, E_FAIL, "cannot start the thread that pings the workers");
    }
    if (rc == OK)
        *out = a;
    else
        alive_close(a);
    return rc;
}

void alive_close(struct alive *a)
{
    if (!a) return;
    pthread_mutex_lock(&a->lock);
    a->closing = true;
    pthread_cond_signal(&a->changed);
    pthread_mutex_unlock(&a->lock);
    if (a->started) pthread_join(a->thread, NULL);
    pthread_cond_destroy(&a->changed);
    pthread_mutex_destroy(&a->lock);
    heartbeat_free(&a->heartbeat);
    free(a);
}

/* ---- the coordinator's side ---- */

void alive_await(struct alive *a, int peer, int start_s)
{
    heartbeat_await(&a->heartbeat, peer, (uint64_t)start_s * UINT64_C(1000000000), clock_now_ns());
}

void alive_begin(struct alive *a, int peer)
{
    heartbeat_begin(&a->heartbeat, peer, clock_now_ns());
    atomic_store(&a->added[peer], true);
    atomic_store(&a->n_unread, 0); /* there was nobody to answer */
    ping(a, peer, false);
}

void alive_heard(struct alive *a, int peer, const struct message *m)
{
    heartbeat_heard(&a->heartbeat, peer, m, clock_now_ns());
    if (m->tag == TAG_PONG) atomic_store(&a->n_unread, 0);
}

void alive_sent(struct alive *a, int peer)
{
    heartbeat_sent(&a->heartbeat, peer, clock_now_ns());
}

int alive_look(struct alive *a, const enum heartbeat_awaits *awaits, struct heartbeat_found *found, struct err *err)
{
    uint64_t now_ns = clock_now_ns();
    for (int p = PEER_COORDINATOR + 1; p < a->layout->n_peers; p++)
        heartbeat_due(&a->heartbeat, p, router_due_ns(a->router, p));
    *found = heartbeat_look(&a->heartbeat, awaits, now_ns);
    if (found->loss == LOST_NOTHING) return OK;
    struct worker_name name = workers_name(a->workers, found->peer);
    struct heartbeat_said last = heartbeat_last(&a->heartbeat, found->peer, now_ns);
    if (found->loss == LOST_LINK)
        return err_set(err, E_PEER, "%s hears nothing from %s: the link between them is lost", name.text,
                       workers_name(a->workers, found->other).text);
    if (found->loss == LOST_MESSAGE)
        return err_set(err, E_PEER, "a message between two workers was lost: nobody works on the text; %s was %s",
                       name.text, last.text);
    char others[400] = "";
    for (int p = PEER_COORDINATOR + 1; p < a->layout->n_peers; p++) {
        size_t n = strlen(others);
        if (p != found->peer && heartbeat_is_silent(&a->heartbeat, p, now_ns))
            snprintf(others + n, sizeof others - n, "; nor does %s", workers_name(a->workers, p).text);
    }
    return err_set(err, E_PEER, "%s does not answer: %s%s", name.text, last.text, others);
}

void alive_lose(struct alive *a, int peer)
{
    atomic_store(&a->added[peer], false);
    heartbeat_lose(&a->heartbeat, peer);
}

bool alive_is_lost(const struct alive *a, int peer)
{
    return heartbeat_is_lost(&a->heartbeat, peer);
}

void alive_wrap(const struct alive *a, int peer, struct err *err)
{
    int other = heartbeat_waits_for(&a->heartbeat, peer);
    if (other == PEER_COORDINATOR) return;
    err_wrap(err, "%s waits for %s", workers_name(a->workers, peer).text, workers_name(a->workers, other).text);
}

void alive_forget_rtts(struct alive *a)
{
    heartbeat_forget_rtts(&a->heartbeat, clock_now_ns());
}

bool alive_has_rtts(const struct alive *a)
{
    return heartbeat_has_rtts(&a->heartbeat);
}

/* The drafter whose round trips take longest, of those that are there; PEER_COORDINATOR: there is none. */
static int far_drafter(const struct alive *a)
{
    int far = PEER_COORDINATOR;
    for (int i = 0; i < layout_n_drafters(a->layout); i++) {
        int peer = group_leader(layout_drafter(a->layout, i));
        if (heartbeat_is_lost(&a->heartbeat, peer)) continue;
        bool further = !far || heartbeat_rtt_ns(&a->heartbeat, peer) > heartbeat_rtt_ns(&a->heartbeat, far);
        if (further) far = peer;
    }
    return far;
}

uint64_t alive_rtt_ns(const struct alive *a, int group)
{
    int drafter = far_drafter(a);
    uint64_t rtt_ns = heartbeat_rtt_ns(&a->heartbeat, group_leader(layout_verifier(a->layout, group)));
    return rtt_ns + (drafter ? heartbeat_rtt_ns(&a->heartbeat, drafter) : 0);
}

static double byte_ns(const struct alive *a, int peer)
{
    uint64_t bits_per_s = heartbeat_bits_per_s(&a->heartbeat, peer);
    return bits_per_s ? 8e9 / (double)bits_per_s : 0;
}

struct draft_policy_bytes alive_bytes_ns(const struct alive *a, int group)
{
    int drafter = far_drafter(a);
    return (struct draft_policy_bytes){.drafter_ns = drafter ? byte_ns(a, drafter) : 0,
                                       .verifier_ns = byte_ns(a, group_leader(layout_verifier(a->layout, group)))};
}

uint64_t alive_worker_rtt_ns(const struct alive *a, int peer)
{
    return heartbeat_rtt_ns(&a->heartbeat, peer);
}

void alive_worker_times(const struct alive *a, int peer, uint64_t *busy_us, uint64_t *ready_us)
{
    const struct pong *last = &a->heartbeat.workers[peer].pong;
    *busy_us = last->busy_us;
    *ready_us = last->ready_us;
}

static void put_draft_plan(const struct alive *a, int peer, FILE *to)
{
    const struct heartbeat_worker *w = &a->heartbeat.workers[peer];
    char shown[PART_PLAN_MOST + 1];
    if (!*w->draft_plan) return;
    show_text(shown, sizeof shown, w->draft_plan, strlen(w->draft_plan));
    fprintf(to, "drafts by %s, after %u trials of plans, at %s\n", shown, w->pong.n_trials,
            workers_name(a->workers, peer).text);
}

static void put_dropped(const struct alive *a, int peer, FILE *to)
{
    uint32_t n = a->heartbeat.workers[peer].pong.n_dropped;
    if (n) fprintf(to, "%u rows behind wrong drafts were not computed at %s\n", n, workers_name(a->workers, peer).text);
}

void alive_list(const struct alive *a, FILE *to)
{
    for (int p = PEER_COORDINATOR + 1; p < a->layout->n_peers; p++) {
        uint64_t rtt_ns = heartbeat_rtt_ns(&a->heartbeat, p);
        put_draft_plan(a, p, to);
        put_dropped(a, p, to);
        if (!rtt_ns) continue;
        uint64_t bits_per_s = heartbeat_bits_per_s(&a->heartbeat, p);
        fprintf(to, "round trip %.2f ms", (double)rtt_ns * 1e-6);
        if (bits_per_s) fprintf(to, ", at least %.3g Mbit/s,", (double)bits_per_s * 1e-6);
        fprintf(to, " to %s\n", workers_name(a->workers, p).text);
    }
}
