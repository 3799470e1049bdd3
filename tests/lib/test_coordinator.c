#include "tests/lib/test_coordinator.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/router.h"
#include "worker/worker.h"

enum { ARENA = 1 << 20, PATIENCE_MS = 60000, MAX_HERE = 16, TAG_LOOK_AWAY = 1 << 20 };

struct eyes { /* a worker's mailbox, as it sees it */
    struct mailbox base;
    struct mailbox *mailbox; /* owns */
    bool away;               /* it sees nothing until it has begun a pass: n_embedded was so many then */
    unsigned n_embedded;
};

struct seat { /* a worker */
    struct worker_config config;
    struct kernels kernels;
    struct eyes eyes;
    pthread_t thread;
    uint64_t weights_bytes, loaded_bytes; /* as it says */
    bool taken, sits, was_seen;           /* there is one; its thread runs; its end was looked at */
    int rc;
    struct err err;
};

struct test_coordinator {
    struct coordinator_config c;
    struct layout layout;
    struct router *router;
    struct mailbox *mailbox;          /* the coordinator's */
    struct mailbox *absent[MAX_HERE]; /* of peers that are not there */
    struct wire_arena in, out;
    struct collective *collectives[MAX_HERE]; /* of each shard's peer; NULL with one */
    struct seat seats[MAX_HERE];
    int n_seats, n_hello, n_ready;
    bool started;
    struct message seen; /* the last message */
};

int coordinator_drafter(const struct test_coordinator *d)
{
    return group_leader(layout_drafter(&d->layout, 0));
}

int coordinator_leader(const struct test_coordinator *d)
{
    return group_leader(layout_verifier(&d->layout, 0));
}

/* ---- a worker's side ---- */

static int eyes_post(struct mailbox *mb, int to, int tag, const void *data, size_t n_bytes, struct err *err)
{
    return mailbox_post(((struct eyes *)mb)->mailbox, to, tag, data, n_bytes, err);
}

static bool looks_away(const struct mail *m)
{
    return m->tag == TAG_LOOK_AWAY;
}

/* A worker embeds the ids of a pass before it computes, and looks at its mailbox in a pass that takes long, too. */
static atomic_uint n_embedded;
static _Atomic(void (*)(float *, const struct weights *, int)) embed; /* of the last worker: all give the same bits */

static void count_embedded(float *out, const struct weights *w, int i_row)
{
    void (*row)(float *, const struct weights *, int) = atomic_load(&embed);
    atomic_fetch_add(&n_embedded, 1);
    row(out, w, i_row);
}

static int eyes_poll(struct mailbox *mb, struct mail *out, struct err *err)
{
    struct eyes *eyes = (struct eyes *)mb;
    unsigned n = atomic_load(&n_embedded);
    if (eyes->away && eyes->n_embedded == n) return MAIL_NONE;
    eyes->away = false;
    int rc = mailbox_poll(eyes->mailbox, out, err);
    if (rc != OK || !looks_away(out)) return rc;
    mail_free(out);
    eyes->away = true;
    eyes->n_embedded = n;
    return MAIL_NONE;
}

/* Who waits has nothing else to do. */
static int eyes_wait(struct mailbox *mb, struct mail *out, int wait_ms, struct err *err)
{
    struct eyes *eyes = (struct eyes *)mb;
    int rc;
    eyes->away = false;
    while ((rc = mailbox_wait(eyes->mailbox, out, wait_ms, err)) == OK && looks_away(out)) mail_free(out);
    return rc;
}

static void *work(void *arg)
{
    struct seat *s = arg;
    s->rc = worker_run(&s->config, &s->eyes.base, &s->err);
    if (s->config.collective) collective_local_break(s->config.collective);
    return NULL;
}

/* ---- messages ---- */

/* A Pass is another shard's message, a Token the last one's. */
static int sender(const struct test_coordinator *d, int peer, int tag)
{
    const struct group *g = layout_group(&d->layout, peer);
    if (tag == TAG_TOKEN) return group_last(g);
    if (tag != TAG_PASS) return PEER_COORDINATOR;
    int stage = group_stage(g, peer);
    return stage == 0 ? group_leader(g) : group_peer(g, stage - 1, group_shard(g, peer));
}

void coordinator_post_bytes(struct test_coordinator *d, int peer, int tag, const void *data, size_t n_bytes)
{
    struct err err = {0};
    struct mail mail = {
        .from = sender(d, peer, tag), .to = peer, .tag = tag, .n_bytes = n_bytes, .data = malloc(n_bytes + 1)};
    assert_non_null(mail.data);
    if (n_bytes) memcpy(mail.data, data, n_bytes);
    if (router_deliver(d->router, &mail, &err) != OK) fail_msg("%s", err.text);
}

void coordinator_post(struct test_coordinator *d, int peer, const struct message *m)
{
    struct err err = {0};
    const uint8_t *data;
    size_t n_bytes;
    if (wire_encode(&d->out, m, &data, &n_bytes, &err) != OK) fail_msg("%s", err.text);
    coordinator_post_bytes(d, peer, (int)m->tag, data, n_bytes);
}

static const struct message *next_message(struct test_coordinator *d, struct mailbox *mailbox, int *from, int wait_ms)
{
    struct mail mail;
    struct err err = {0};
    int rc = mailbox_wait(mailbox, &mail, wait_ms, &err);
    if (rc == MAIL_NONE) return NULL;
    *from = mail.from;
    rc = wire_decode(&d->in, mail.tag, mail.data, mail.n_bytes, &d->seen, &err);
    mail_free(&mail);
    if (rc != OK) fail_msg("peer %d: %s", *from, err.text);
    return &d->seen;
}

/* Hello, Loading and Ready are not for the test. What is loaded grows until all is. */
static bool is_greeting(struct test_coordinator *d, int from)
{
    const struct message *m = &d->seen;
    struct seat *s = &d->seats[from];
    if (m->tag == TAG_HELLO) s->weights_bytes = m->hello.weights_bytes;
    if (m->tag == TAG_LOADING && m->loading.n_bytes <= s->loaded_bytes) fail_msg("peer %d loads less and less", from);
    if (m->tag == TAG_LOADING) s->loaded_bytes = m->loading.n_bytes;
    if (m->tag == TAG_READY && s->loaded_bytes != s->weights_bytes) fail_msg("peer %d is ready too early", from);
    if (m->tag == TAG_HELLO && m->hello.peer != from) fail_msg("peer %d says Hello as %d", from, m->hello.peer);
    d->n_hello += m->tag == TAG_HELLO;
    d->n_ready += m->tag == TAG_READY;
    return m->tag == TAG_HELLO || m->tag == TAG_LOADING || m->tag == TAG_READY;
}

void coordinator_look_away(struct test_coordinator *d, int peer)
{
    coordinator_post_bytes(d, peer, TAG_LOOK_AWAY, "", 0);
}

static void start(struct test_coordinator *d)
{
    for (int peer = 0; peer < d->layout.n_peers && !d->started; peer++) {
        struct seat *s = &d->seats[peer];
        if (!s->taken) continue;
        assert_int_equal(pthread_create(&s->thread, NULL, work, s), 0);
        s->sits = true;
    }
    d->started = true;
}

const struct message *coordinator_next(struct test_coordinator *d, int *from)
{
    int who;
    const struct message *m;
    start(d);
    do {
        m = next_message(d, d->mailbox, &who, PATIENCE_MS);
        if (!m) fail_msg("no answer comes");
    } while (is_greeting(d, who));
    if (from) *from = who;
    return m;
}

const struct message *coordinator_read(struct test_coordinator *d, int peer)
{
    const struct message *m;
    int from;
    start(d);
    do {
        m = next_message(d, d->absent[peer], &from, PATIENCE_MS);
        if (!m) fail_msg("nothing comes to peer %d", peer);
    } while (wire_is_sign_of_life((int)m->tag));
    return m;
}

/* ---- open ---- */

static void seat(struct test_coordinator *d, int peer)
{
    static const struct mailbox_ops ops = {eyes_post, eyes_poll, eyes_wait, NULL};
    const struct coordinator_config *c = &d->c;
    struct seat *s = &d->seats[peer];
    bool drafts = layout_group(&d->layout, peer)->role == ROLE_DRAFTER;
    const char *why, *path = drafts ? c->little : c->big;
    s->kernels = c->kernels ? *c->kernels : *kernels_pick(NULL, &why);
    atomic_store(&embed, s->kernels.row);
    s->kernels.row = count_embedded;
    s->config = (struct worker_config){.layout = d->layout,
                                       .peer = peer,
                                       .path = path,
                                       .kernels = &s->kernels,
                                       .collective = d->collectives[peer],
                                       .drops_nothing = c->drops_nothing,
                                       .n_threads = 1};
    s->eyes = (struct eyes){{&ops, peer}, router_mailbox(d->router, peer, NULL, NULL), false, 0};
    assert_non_null(s->eyes.mailbox);
    s->taken = true;
    d->n_seats++;
    struct welcome welcome = {.epoch = 1, .root = COORDINATOR_ROOT, .n_slots = c->n_slots, .n_ctx = c->n_ctx};
    if (!c->unwelcome) coordinator_post(d, peer, &(struct message){.tag = TAG_WELCOME, .welcome = welcome});
}

struct test_coordinator *coordinator_open(const struct coordinator_config *c)
{
    struct test_coordinator *d = calloc(1, sizeof *d);
    struct err err = {0};
    assert_non_null(d);
    d->c = *c;
    int tp = c->tp ? c->tp : 1, pp = c->pp ? c->pp : 1;
    int rc = layout_make(&d->layout, 1, 1, 1, tp, pp, c->drafter, &err);
    if (rc == OK) rc = wire_arena_init(&d->in, ARENA, &err);
    if (rc == OK) rc = wire_arena_init(&d->out, ARENA, &err);
    for (int s = 0; s < pp && tp > 1 && rc == OK; s++)
        rc = collective_local_open(&d->collectives[group_peer(layout_verifier(&d->layout, 0), s, 0)], tp, &err);
    if (rc != OK) fail_msg("%s", err.text);
    assert_true(d->layout.n_peers <= MAX_HERE);
    assert_non_null(d->router = router_open(d->layout.n_peers));
    assert_non_null(d->mailbox = router_mailbox(d->router, PEER_COORDINATOR, NULL, NULL));
    if (c->drafter == DRAFTER_LITTLE) seat(d, coordinator_drafter(d));
    for (int peer = coordinator_leader(d); peer < d->layout.n_peers && c->big; peer++) {
        bool is_there = !c->stage || group_stage(layout_verifier(&d->layout, 0), peer) == c->stage;
        if (is_there) seat(d, peer);
        if (!is_there) assert_non_null(d->absent[peer] = router_mailbox(d->router, peer, NULL, NULL));
    }
    return d;
}

/* ---- close ---- */

static void post_quit(struct test_coordinator *d, int peer)
{
    coordinator_post(d, peer, &(struct message){.tag = TAG_QUIT, .fail = {OK, ""}});
}

static void join(struct test_coordinator *d, int peer)
{
    pthread_join(d->seats[peer].thread, NULL);
    d->seats[peer].sits = false;
}

int coordinator_quit(struct test_coordinator *d, int peer)
{
    start(d);
    post_quit(d, peer);
    join(d, peer);
    d->seats[peer].was_seen = true;
    return d->seats[peer].rc;
}

const char *coordinator_why(const struct test_coordinator *d, int peer)
{
    return d->seats[peer].err.text;
}

static void send_home(struct test_coordinator *d)
{
    start(d);
    for (int peer = 0; peer < d->layout.n_peers; peer++)
        if (d->seats[peer].sits) post_quit(d, peer);
    for (int peer = 0; peer < d->layout.n_peers; peer++)
        if (d->seats[peer].sits) join(d, peer);
}

static void check_ends(struct test_coordinator *d)
{
    struct mail mail;
    struct err err;
    int from;
    while (next_message(d, d->mailbox, &from, 0))
        if (!is_greeting(d, from)) fail_msg("peer %d: a %s that nobody asked for", from, wire_tags[d->seen.tag].name);
    if (d->n_hello != d->n_seats) fail_msg("%d of %d said Hello", d->n_hello, d->n_seats);
    if (!d->c.unwelcome && d->n_ready != d->n_seats) fail_msg("%d of %d were ready", d->n_ready, d->n_seats);
    for (int peer = 0; peer < d->layout.n_peers; peer++) {
        struct seat *s = &d->seats[peer];
        if (!s->taken) continue;
        if (s->rc != OK && !s->was_seen) fail_msg("peer %d: %s", peer, s->err.text);
        if (mailbox_poll(s->eyes.mailbox, &mail, &err) == OK) fail_msg("peer %d left a message unread", peer);
    }
}

static void coordinator_free(struct test_coordinator *d)
{
    for (int peer = 0; peer < d->layout.n_peers; peer++) {
        mailbox_close(d->seats[peer].eyes.mailbox);
        mailbox_close(d->absent[peer]);
        collective_close(d->collectives[peer]);
    }
    mailbox_close(d->mailbox);
    router_close(d->router);
    wire_arena_free(&d->in);
    wire_arena_free(&d->out);
    free(d);
}

void coordinator_close(struct test_coordinator *d)
{
    send_home(d);
    check_ends(d);
    coordinator_free(d);
}

void coordinator_abandon(struct test_coordinator *d)
{
    send_home(d);
    coordinator_free(d);
}
