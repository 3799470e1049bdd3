#include "worker/roles/role.h"

#include <stdlib.h>

#include "proto/clock.h"

static const uint64_t second_ns = 1000000000;

int worker_pass_rows(const struct worker *w)
{
    const struct device_table *device = w->device.table;
    bool alone = group_n_peers(w->group) == 1; /* else another of its group may have no device */
    int most = device && alone && device->rows > PASS_ROWS ? device->rows : PASS_ROWS;
    return most < PASS_ROWS_MOST ? most : PASS_ROWS_MOST;
}

int worker_max_rows(const struct worker *w)
{
    int asked = w->config->max_rows, most = worker_pass_rows(w);
    return asked && asked < most ? asked : most;
}

int worker_post(struct worker *w, int to, const struct message *m, struct err *err)
{
    const uint8_t *data;
    size_t n_bytes;
    int rc = wire_encode(&w->out, m, &data, &n_bytes, err);
    return rc == OK ? mailbox_post(w->mailbox, to, m->tag, data, n_bytes, err) : rc;
}

/* A Pass comes from the leader, or from the same shard of the stage before; everything else from the coordinator. */
static int sender_of(const struct worker *w, int tag)
{
    const struct group *g = w->group;
    int peer = w->config->peer, stage = group_stage(g, peer);
    if (tag == TAG_TOKEN) return group_last(g);
    if (tag != TAG_PASS) return PEER_COORDINATOR;
    return stage == 0 ? group_leader(g) : group_peer(g, stage - 1, group_shard(g, peer));
}

static int check_sender(const struct worker *w, int from, int tag, struct err *err)
{
    bool right = tag == TAG_PONG ? links_has(&w->config->layout, from, w->config->peer) : from == sender_of(w, tag);
    if (right) return OK;
    return err_set(err, E_PEER, "peer %d: a %s from peer %d", w->config->peer, wire_tags[tag].name, from);
}

/* ---- signs of life ---- */

static bool serves(const struct worker *w)
{
    return w->pulse.heard_ns != 0;
}

static void note_heard(struct worker *w, int from)
{
    if (serves(w) && from == PEER_COORDINATOR) w->pulse.heard_ns = clock_now_ns();
}

/* In memory of its own: a pass borrows both arenas. */
static int post_pong(struct worker *w, int to, struct pong pong, struct err *err)
{
    _Alignas(16) uint8_t room[WIRE_LAST_WORDS];
    struct wire_arena arena = {.base = room, .size = sizeof room};
    const struct pulse *p = &w->pulse;
    const uint8_t *data;
    size_t n_bytes;
    pong.n_passes = p->n_passes;
    pong.busy = p->busy;
    pong.block_us = p->block_us > p->last_block_us ? p->block_us : p->last_block_us;
    pong.waits_for = (uint32_t)p->waits_for;
    int rc = wire_encode(&arena, &(struct message){.tag = TAG_PONG, .pong = pong}, &data, &n_bytes, err);
    return rc == OK ? mailbox_post(w->mailbox, to, TAG_PONG, data, n_bytes, err) : rc;
}

static int answer_ping(struct worker *w, const struct ping *ping, struct err *err)
{
    struct pulse *p = &w->pulse;
    uint64_t now = clock_now_ns(), busy_ns = p->busy_ns + (p->pass_ns ? now - p->pass_ns : 0);
    if (!p->ready_ns) p->ready_ns = now;
    return post_pong(w, PEER_COORDINATOR,
                     (struct pong){.sent_ns = ping->sent_ns,
                                   .n_load = (uint32_t)ping->n_load,
                                   .busy_us = busy_ns / 1000,
                                   .ready_us = (now - p->ready_ns) / 1000,
                                   .misses = (uint32_t)links_missed(&w->links, now),
                                   .draft_plan = p->draft_plan,
                                   .n_trials = p->n_trials,
                                   .n_dropped = p->n_dropped},
                     err);
}

/* Before messages are taken: the clock may say that this process was stopped, and that others must hear of it. */
static int look_at_clock(struct worker *w, struct err *err)
{
    struct pulse *p = &w->pulse;
    const struct group *g = w->group;
    uint64_t now = clock_now_ns();
    int rc = OK;
    if (!serves(w)) return OK;
    if (now - p->looked_ns > STOPPED_S * second_ns) p->heard_ns = p->gather_ns = now;
    p->looked_ns = now;
    bool due = links_look(&w->links, now);
    for (int to = g->first_peer; due && to < g->first_peer + group_n_peers(g) && rc == OK; to++)
        if (links_has(&w->config->layout, w->config->peer, to) && links_tell(&w->links, to))
            rc = post_pong(w, to, (struct pong){0}, err);
    return rc;
}

/* One of a job before, over the same ranks, may come before this worker serves. */
static int take_sign_of_life(struct worker *w, struct mail *mail, struct err *err)
{
    _Alignas(16) uint8_t room[WIRE_LAST_WORDS];
    struct wire_arena arena = {.base = room, .size = sizeof room};
    struct message m;
    int rc = check_sender(w, mail->from, mail->tag, err);
    if (rc == OK) rc = wire_decode(&arena, mail->tag, mail->data, mail->n_bytes, &m, err);
    if (rc == OK && m.tag == TAG_PING) rc = look_at_clock(w, err); /* it may have been stopped while it waited */
    if (rc == OK && m.tag == TAG_PING) rc = answer_ping(w, &m.ping, err);
    if (rc == OK && m.tag == TAG_PONG && serves(w)) links_heard(&w->links, mail->from, m.pong.block_us, clock_now_ns());
    mail_free(mail);
    return rc;
}

static int check_silence(struct worker *w, struct err *err)
{
    struct pulse *p = &w->pulse;
    if (!serves(w)) return OK;
    p->alone = clock_now_ns() - p->heard_ns > SILENCE_S * second_ns;
    if (!p->alone) return OK;
    return err_set(err, E_PEER, "peer %d: nothing came from the coordinator for %d s: it is lost", w->config->peer,
                   SILENCE_S);
}

/* ---- during a pass ---- */

static int keep(struct worker *w, struct mail *mail, struct err *err)
{
    struct kept *k = malloc(sizeof *k), **last = &w->kept;
    if (!k) {
        mail_free(mail);
        return err_set(err, E_LAYOUT, "out of memory for a message");
    }
    *k = (struct kept){.mail = *mail};
    while (*last) last = &(*last)->next;
    *last = k;
    if (mail->tag == TAG_QUIT) w->pulse.quit_ns = clock_now_ns();
    return OK;
}

static int keep_all(struct worker *w, struct err *err)
{
    struct mail mail;
    int rc = look_at_clock(w, err);
    while (rc == OK && (rc = mailbox_poll(w->mailbox, &mail, err)) == OK) {
        note_heard(w, mail.from);
        rc = wire_is_sign_of_life(mail.tag) ? take_sign_of_life(w, &mail, err) : keep(w, &mail, err);
    }
    return rc == MAIL_NONE ? check_silence(w, err) : rc;
}

static int look(struct worker *w, struct err *err)
{
    struct pulse *p = &w->pulse;
    uint64_t us = (clock_now_ns() - p->looked_ns) / 1000;
    if (!serves(w) || us < LOOK_MS * 1000) return OK;
    if (us > p->block_us && us < STOPPED_S * 1000000) p->block_us = (uint32_t)us;
    return keep_all(w, err);
}

int worker_look(void *arg, struct err *err)
{
    struct worker *w = arg;
    w->pulse.waits_for = PEER_COORDINATOR;
    return look(w, err);
}

int worker_waits(void *arg, int shard, struct err *err)
{
    struct worker *w = arg;
    struct pulse *p = &w->pulse;
    unsigned n_gathers = w->config->collective->n_gathers;
    if (n_gathers != p->n_gathers) p->gather_ns = clock_now_ns();
    p->n_gathers = n_gathers;
    if (shard >= 0) p->waits_for = group_peer(w->group, group_stage(w->group, w->config->peer), shard);
    int rc = look(w, err);
    if (rc != OK) return rc;
    /* After Quit the others have a moment to come to this gather, too. */
    uint64_t since_ns = p->quit_ns > p->gather_ns ? p->quit_ns : p->gather_ns;
    uint64_t waited_ns = clock_now_ns() - since_ns;
    if (waited_ns < (p->quit_ns ? QUIT_GATHER_S : GATHER_S) * second_ns) return OK;
    int s = (int)(waited_ns / second_ns), self = w->config->peer;
    if (shard < 0) return err_set(err, E_PEER, "peer %d has waited for the shards of its stage for %d s", self, s);
    return err_set(err, E_PEER, "peer %d has waited for peer %d, a shard of the same stage, for %d s: it is lost", self,
                   p->waits_for, s);
}

void worker_begin_pass(struct worker *w)
{
    w->pulse.busy = true;
    w->pulse.last_block_us = w->pulse.block_us;
    w->pulse.block_us = 0;
    w->pulse.looked_ns = w->pulse.pass_ns = clock_now_ns();
}

void worker_end_pass(struct worker *w)
{
    w->pulse.n_passes++;
    if (w->pulse.pass_ns) w->pulse.busy_ns += clock_now_ns() - w->pulse.pass_ns;
    w->pulse.pass_ns = 0;
    w->pulse.busy = false;
    w->pulse.waits_for = PEER_COORDINATOR;
}

/* ---- between passes ---- */

void worker_drop_kept(struct worker *w)
{
    for (struct kept *k; (k = w->kept);) {
        w->kept = k->next;
        mail_free(&k->mail);
        free(k);
    }
}

/* The oldest, or the oldest of a tag; any: 0. */
static bool take_kept(struct worker *w, int tag, struct mail *out)
{
    struct kept **at = &w->kept, *k;
    while ((k = *at) && tag && k->mail.tag != tag) at = &k->next;
    if (!k) return false;
    *out = k->mail;
    *at = k->next;
    free(k);
    return true;
}

/* Until the next look at the silence, at most; rounded up. */
static int wait_ms(const struct worker *w, uint64_t left_us)
{
    uint64_t ms = left_us / 1000 + 1;
    if (ms > WAIT_MS) return serves(w) ? WAIT_MS : -1;
    return (int)ms;
}

static int next_mail(struct worker *w, uint64_t wait_us, struct mail *out, struct err *err)
{
    if (take_kept(w, 0, out)) return OK;
    uint64_t start_us = clock_now_us();
    int rc = look_at_clock(w, err);
    if (rc == OK) rc = mailbox_poll(w->mailbox, out, err);
    for (uint64_t waited_us = 0; rc == MAIL_NONE && waited_us < wait_us; waited_us = clock_now_us() - start_us) {
        rc = look_at_clock(w, err);
        if (rc == OK) rc = check_silence(w, err);
        if (rc == OK) rc = mailbox_wait(w->mailbox, out, wait_ms(w, wait_us - waited_us), err);
    }
    return rc;
}

/* From its sender, as it should be; takes the mail. */
static int decode(struct worker *w, struct wire_arena *arena, struct mail *mail, struct message *out, struct err *err)
{
    int from = mail->from;
    int rc = wire_decode(arena, mail->tag, mail->data, mail->n_bytes, out, err);
    mail_free(mail);
    return rc == OK ? check_sender(w, from, (int)out->tag, err) : rc;
}

int worker_next_of(struct worker *w, struct wire_arena *arena, int tag, struct message *out, struct err *err)
{
    struct mail mail;
    int rc = keep_all(w, err);
    if (rc != OK) return rc;
    return take_kept(w, tag, &mail) ? decode(w, arena, &mail, out, err) : MAIL_NONE;
}

int worker_next(struct worker *w, struct wire_arena *arena, uint64_t wait_us, struct message *out, struct err *err)
{
    struct mail mail;
    for (;;) {
        int rc = next_mail(w, wait_us, &mail, err);
        if (rc != OK) return rc;
        note_heard(w, mail.from);
        if (!wire_is_sign_of_life(mail.tag)) break;
        rc = take_sign_of_life(w, &mail, err);
        if (rc != OK) return rc;
    }
    int rc = decode(w, arena, &mail, out, err);
    if (rc == OK && out->tag == TAG_QUIT) w->quit = true;
    return rc;
}
