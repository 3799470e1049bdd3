#include "worker/roles/role.h"

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

int worker_next(struct worker *w, struct wire_arena *arena, bool block, struct message *out, struct err *err)
{
    struct mail mail;
    int rc = block ? mailbox_wait(w->mailbox, &mail, -1, err) : mailbox_poll(w->mailbox, &mail, err);
    if (rc != OK) return rc;
    int from = mail.from;
    rc = wire_decode(arena, mail.tag, mail.data, mail.n_bytes, out, err);
    mail_free(&mail);
    if (rc == OK && from != sender_of(w, (int)out->tag))
        rc = err_set(err, E_PEER, "peer %d: a %s from peer %d", w->config->peer, wire_tags[out->tag].name, from);
    if (rc == OK && out->tag == TAG_QUIT) w->quit = true;
    return rc;
}
