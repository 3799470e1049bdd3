#include "proto/mpi_bridge.h"

#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>

#include "proto/backoff.h"
#include "proto/clock.h"
#include "proto/wire.h"

/* Starting ──mpi_bridge_open returns──▶ ready ──mpi_bridge_run──▶ carrying ──mpi_bridge_close──▶ ended
 *                                         └────────────mpi_bridge_close───────────────────────────▲      */
enum mpi_bridge_state { STARTING, READY, CARRYING, ENDING };

enum {
    BATCH = 64, /* messages one way before a look the other way */
    LOOKS = 20,
};

struct mpi_bridge {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    enum mpi_bridge_state state;
    bool called; /* a message wants out */
    int start_s;
    struct mpi_world world;
    struct launch_config launch;
    struct router *router;
    struct mailbox *inside; /* the gate's: messages to peers of other ranks. NULL: nothing to carry */
    int rc;
    struct err err; /* the first */
};

static void mpi_bridge_set(struct mpi_bridge *p, enum mpi_bridge_state state)
{
    pthread_mutex_lock(&p->lock);
    p->state = state;
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->lock);
}

/* Waits while the state is `state`; returns the next. */
static enum mpi_bridge_state mpi_bridge_await(struct mpi_bridge *p, enum mpi_bridge_state state)
{
    pthread_mutex_lock(&p->lock);
    while (p->state == state) pthread_cond_wait(&p->changed, &p->lock);
    state = p->state;
    pthread_mutex_unlock(&p->lock);
    return state;
}

static void mpi_bridge_call(void *arg)
{
    struct mpi_bridge *p = arg;
    pthread_mutex_lock(&p->lock);
    p->called = true;
    pthread_cond_signal(&p->changed);
    pthread_mutex_unlock(&p->lock);
}

/* Sleeps for at most `us`, less if a message wants out or the bridge shall end. Returns whether it goes on. */
static bool mpi_bridge_sleep(struct mpi_bridge *p, int us)
{
    if (us == 0) sched_yield();
    struct timespec until = clock_after_us((uint64_t)us);
    pthread_mutex_lock(&p->lock);
    int late = us == 0;
    while (!late && !p->called && p->state == CARRYING) late = pthread_cond_timedwait(&p->changed, &p->lock, &until);
    p->called = false;
    bool goes_on = p->state == CARRYING;
    pthread_mutex_unlock(&p->lock);
    return goes_on;
}

/* ---- the thread ---- */

static int carry_out(struct mpi_bridge *p, struct mailbox *outside, int *n_moved)
{
    struct mail m;
    int rc = OK;
    for (int i = 0; i < BATCH && rc == OK; i++) {
        rc = mailbox_poll(p->inside, &m, &p->err);
        if (rc != OK) break;
        *n_moved += !wire_is_sign_of_life(m.tag);
        rc = mailbox_post(outside, m.to, m.tag, m.data, m.n_bytes, &p->err);
        mail_free(&m);
    }
    return rc == MAIL_NONE ? OK : rc;
}

static int carry_in(struct mpi_bridge *p, struct mailbox *outside, int *n_moved)
{
    struct mail m;
    int rc = OK;
    for (int i = 0; i < BATCH && rc == OK; i++) {
        rc = mailbox_poll(outside, &m, &p->err);
        *n_moved += rc == OK && !wire_is_sign_of_life(m.tag);
        if (rc == OK) rc = router_deliver(p->router, &m, &p->err);
    }
    return rc == MAIL_NONE ? OK : rc;
}

/* Until mpi_bridge_close, and then until nothing is left to send. */
static int carry(struct mpi_bridge *p, struct mailbox *outside)
{
    struct backoff b = {0};
    for (bool goes_on = true;;) {
        int n_moved = 0;
        int rc = carry_out(p, outside, &n_moved);
        if (rc == OK) rc = carry_in(p, outside, &n_moved);
        if (rc != OK) return rc;
        if (n_moved)
            backoff_reset(&b);
        else if (!goes_on)
            return OK;
        else
            goes_on = mpi_bridge_sleep(p, backoff_next(&b, LOOKS, BACKOFF_MAX_US));
    }
}

static int carry_all(struct mpi_bridge *p)
{
    int rc = mpi_lead(&p->launch, NULL, &p->err);
    if (rc != OK) return rc;
    struct mailbox *outside = mail_mpi_open(&p->launch.layout, PEER_COORDINATOR);
    if (!outside) return err_set(&p->err, E_LAYOUT, "out of memory");
    rc = carry(p, outside);
    if (rc == OK) mailbox_close(outside); /* else MPI may still use what it owns */
    return rc;
}

/* The coordinator must get the error: nothing else will answer its messages any more. */
static void tell_failure(struct mpi_bridge *p)
{
    _Alignas(16) uint8_t room[WIRE_LAST_WORDS];
    struct wire_arena arena = {.base = room, .size = sizeof room};
    struct err ignored;
    const uint8_t *data;
    size_t n_bytes;
    struct message m = {.tag = TAG_FAIL, .fail = {(uint32_t)p->err.code, p->err.text}};
    if (wire_encode(&arena, &m, &data, &n_bytes, &ignored) == OK)
        mailbox_post(p->inside, PEER_COORDINATOR, TAG_FAIL, data, n_bytes, &ignored);
}

static void *mpi_bridge_main(void *arg)
{
    struct mpi_bridge *p = arg;
    p->rc = mpi_start(&p->world, p->start_s, &p->err);
    bool started = p->rc == OK;
    mpi_bridge_set(p, READY);
    if (mpi_bridge_await(p, READY) == CARRYING) {
        if (p->inside) p->rc = carry_all(p);
    } else if (started) {
        p->rc = mpi_lead(NULL, NULL, &p->err);
    }
    if (started && p->rc != OK) tell_failure(p);
    mpi_bridge_await(p, CARRYING);
    if (p->rc == OK) mpi_finish();
    return NULL;
}

/* ---- the other threads' side ---- */

int mpi_bridge_open(struct mpi_bridge **out, struct mpi_world *w, int start_s, struct err *err)
{
    struct mpi_bridge *p = calloc(1, sizeof *p);
    if (!p) return err_set(err, E_LAYOUT, "out of memory");
    p->start_s = start_s;
    clock_cond_init(&p->changed);
    pthread_mutex_init(&p->lock, NULL);
    if (pthread_create(&p->thread, NULL, mpi_bridge_main, p)) {
        free(p);
        return err_set(err, E_FAIL, "cannot start the thread that talks to other ranks");
    }
    mpi_bridge_await(p, STARTING);
    if (p->rc != OK) return mpi_bridge_close(p, err);
    *w = p->world;
    *out = p;
    return OK;
}

int mpi_bridge_run(struct mpi_bridge *p, struct router *o, const struct launch_config *t, struct err *err)
{
    const struct layout *l = &t->layout;
    const int gate = group_leader(layout_verifier(l, 0)); /* on another rank, if any is: its queue is not read here */
    p->router = o;
    p->launch = *t;
    if (l->n_ranks > 1) {
        p->inside = router_mailbox(o, gate, mpi_bridge_call, p);
        if (!p->inside) return err_set(err, E_LAYOUT, "out of memory");
        for (int peer = 0; peer < l->n_peers; peer++)
            if (layout_rank(l, peer) != 0) router_route(o, peer, gate);
    }
    mpi_bridge_set(p, CARRYING);
    return OK;
}

int mpi_bridge_close(struct mpi_bridge *p, struct err *err)
{
    if (!p) return OK;
    mpi_bridge_set(p, ENDING);
    pthread_join(p->thread, NULL);
    mailbox_close(p->inside);
    int rc = p->rc;
    if (rc != OK && err) *err = p->err;
    pthread_cond_destroy(&p->changed);
    pthread_mutex_destroy(&p->lock);
    free(p);
    return rc;
}
