#include "worker/engine/collective.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/clock.h"
#include "worker/memory.h"

/* About 20 us, a few gathers of one token row: shards of one model arrive together. Longer waits sleep. */
enum { SPINS = 1000 };

struct member {
    struct collective base;
    struct team *team;
};

/* What the shards share. The last one to close it frees it. */
struct team {
    int n;
    bool spin; /* there is a core for every shard */
    atomic_int users;

    pthread_mutex_t lock;
    pthread_cond_t moved; /* phase or broken has changed */
    int arrived;          /* under lock */
    atomic_uint phase;    /* changes under lock; read without it while spinning */
    bool broken;          /* under lock */

    struct { /* of each shard, between the two barriers of a gather */
        const float *buf;
        size_t ld;
        int n_rows;
        const int *from;
    } parts[];
};

/* True: all have come, and what they wrote before is seen. False, only where it may be broken: not all will come. */
static bool team_barrier(struct team *t, bool breakable)
{
    pthread_mutex_lock(&t->lock);
    unsigned phase = atomic_load_explicit(&t->phase, memory_order_relaxed);
    bool fails = breakable && t->broken;
    if (!fails && ++t->arrived == t->n) {
        t->arrived = 0;
        atomic_store_explicit(&t->phase, phase + 1, memory_order_release);
        pthread_cond_broadcast(&t->moved);
    }
    pthread_mutex_unlock(&t->lock);
    for (int i = 0; !fails && t->spin && i < SPINS; i++) {
        if (atomic_load_explicit(&t->phase, memory_order_acquire) != phase) return true;
        clock_pause();
    }
    pthread_mutex_lock(&t->lock);
    while (!fails && atomic_load_explicit(&t->phase, memory_order_relaxed) == phase) {
        fails = breakable && t->broken;
        if (!fails) pthread_cond_wait(&t->moved, &t->lock);
    }
    pthread_mutex_unlock(&t->lock);
    return !fails;
}

static int local_gather(struct collective *c, float *buf, size_t ld, int n_rows, const int *from, struct err *err)
{
    struct team *t = ((struct member *)c)->team;
    t->parts[c->self].buf = buf;
    t->parts[c->self].ld = ld;
    t->parts[c->self].n_rows = n_rows;
    t->parts[c->self].from = from;
    if (!team_barrier(t, true)) return err_set(err, E_PEER, "shard %d: another shard of this stage stopped", c->self);
    bool alike = true; /* or some would read what others do not have; all find it */
    for (int i = 0; i < c->n; i++)
        alike &= t->parts[i].n_rows == n_rows && !memcmp(t->parts[i].from, from, (size_t)(c->n + 1) * sizeof *from);
    for (int i = 0; i < c->n && alike; i++) {
        size_t width = (size_t)(from[i + 1] - from[i]);
        if (i == c->self || width == 0) continue;
        const float *src = t->parts[i].buf + from[i];
        for (int r = 0; r < n_rows; r++)
            memcpy(buf + (size_t)r * ld + from[i], src + (size_t)r * t->parts[i].ld, width * sizeof *buf);
    }
    /* No shard may write or free its buffer before all have read it. All have come, so this wait needs no way out. */
    team_barrier(t, false);
    return alike ? OK : err_set(err, E_PEER, "shard %d: the shards of this stage do not compute the same", c->self);
}

static void local_close(struct collective *c)
{
    struct team *t = ((struct member *)c)->team;
    free(c);
    if (atomic_fetch_sub(&t->users, 1) > 1) return;
    pthread_cond_destroy(&t->moved);
    pthread_mutex_destroy(&t->lock);
    free(t);
}

int collective_local_open(struct collective **out, int n, struct err *err)
{
    struct team *t = calloc(1, sizeof *t + (size_t)n * sizeof t->parts[0]);
    struct member *members[n];
    int n_made = 0;
    if (!t) goto no_memory;
    for (; n_made < n; n_made++) {
        members[n_made] = malloc(sizeof *members[n_made]);
        if (!members[n_made]) goto no_memory;
        struct collective base = {.n = n, .self = n_made, .gather = local_gather, .close = local_close};
        *members[n_made] = (struct member){.base = base, .team = t};
    }
    t->n = n;
    t->spin = n <= memory_cores();
    atomic_init(&t->users, n);
    pthread_mutex_init(&t->lock, NULL);
    pthread_cond_init(&t->moved, NULL);
    for (int i = 0; i < n; i++) out[i] = &members[i]->base;
    return OK;
no_memory:
    while (n_made > 0) free(members[--n_made]);
    free(t);
    return err_set(err, E_LAYOUT, "out of memory for %d shards", n);
}

void collective_local_break(struct collective *any)
{
    struct team *t = ((struct member *)any)->team;
    pthread_mutex_lock(&t->lock);
    t->broken = true;
    pthread_cond_broadcast(&t->moved);
    pthread_mutex_unlock(&t->lock);
}
