#include "coordinator/metadata.h"

#include <stdlib.h>
#include <string.h>

#include "proto/layout.h"
#include "proto/wire.h"

enum { ARENA = 256 << 10, PARTS_MOST = 1 << 14 /* a GiB */ };

struct hearing {
    struct metadata *list;
    int n;
    struct wire_arena arena;
    struct mail *others; /* owns: messages that are not ours */
    int n_others;
};

static int put_aside(struct hearing *h, const struct mail *mail, struct err *err)
{
    struct mail *more = realloc(h->others, ((size_t)h->n_others + 1) * sizeof *more);
    if (!more) return err_set(err, E_FAIL, "out of memory for messages");
    h->others = more;
    more[h->n_others++] = *mail;
    return OK;
}

static int add_part(struct metadata *m, const struct metadata_part *p, struct err *err)
{
    if (p->part != m->n_received || p->n_parts <= p->part || p->n_parts > PARTS_MOST ||
        (m->n_received && p->n_parts != m->n_parts))
        return err_set(err, E_PEER, "peer %d sends part %u of %u of its vocabulary, expected part %u", m->peer, p->part,
                       p->n_parts, m->n_received);
    if (m->n + p->n_bytes > m->room) {
        size_t room = 2 * (m->n + p->n_bytes);
        uint8_t *bytes = realloc(m->bytes, room);
        if (!bytes) return err_set(err, E_FAIL, "out of memory for a vocabulary of %zu bytes", room);
        m->bytes = bytes;
        m->room = room;
    }
    if (p->n_bytes) memcpy(m->bytes + m->n, p->bytes, p->n_bytes);
    m->n += p->n_bytes;
    m->n_parts = p->n_parts;
    m->n_received++;
    return OK;
}

static struct metadata *of_peer(struct hearing *h, int peer)
{
    for (int i = 0; i < h->n; i++)
        if (h->list[i].peer == peer) return &h->list[i];
    return NULL;
}

/* Takes the message. */
static int on_mail(struct hearing *h, struct mail *mail, struct err *err)
{
    struct message m;
    int sender = mail->from;
    struct metadata *from = of_peer(h, sender);
    if (mail->tag != TAG_FAIL && (mail->tag != TAG_METADATA || !from)) return put_aside(h, mail, err);
    int rc = wire_decode(&h->arena, mail->tag, mail->data, mail->n_bytes, &m, err);
    if (rc == OK && m.tag == TAG_FAIL)
        rc = wire_fail(&m.fail, sender, err);
    else if (rc == OK)
        rc = add_part(from, &m.metadata, err);
    mail_free(mail);
    return rc;
}

static const struct metadata *first_open(const struct hearing *h)
{
    for (int i = 0; i < h->n; i++)
        if (!h->list[i].n_parts || h->list[i].n_received < h->list[i].n_parts) return &h->list[i];
    return NULL;
}

static int hear_all(struct hearing *h, struct mailbox *mailbox, int start_s, struct err *err)
{
    const struct metadata *m;
    while ((m = first_open(h))) {
        struct mail mail;
        int rc = mailbox_wait(mailbox, &mail, start_s ? start_s * 1000 : -1, err);
        if (rc == MAIL_NONE)
            return err_set(err, E_PEER, "%s does not answer: no vocabulary came from it within %d s", m->who, start_s);
        if (rc == OK) rc = on_mail(h, &mail, err);
        if (rc != OK) return rc;
    }
    return OK;
}

/* Workers send nothing more before these are answered, so each is still the last message of its sender. */
static int put_back(struct hearing *h, struct router *router, struct err *err)
{
    int rc = OK;
    for (int i = 0; i < h->n_others; i++) {
        if (rc == OK) rc = router_deliver(router, &h->others[i], err);
        mail_free(&h->others[i]);
    }
    free(h->others);
    return rc;
}

int metadata_receive(struct router *router, struct metadata *list, int n, int start_s, struct err *err)
{
    struct hearing h = {.list = list, .n = n};
    struct err second;
    int rc = wire_arena_init(&h.arena, ARENA, err);
    struct mailbox *mailbox = rc == OK ? router_mailbox(router, PEER_COORDINATOR, NULL, NULL) : NULL;
    if (rc == OK && !mailbox) rc = err_set(err, E_FAIL, "out of memory");
    if (rc == OK) rc = hear_all(&h, mailbox, start_s, err);
    mailbox_close(mailbox);
    int back = put_back(&h, router, rc == OK ? err : &second);
    wire_arena_free(&h.arena);
    return rc == OK ? back : rc;
}

void metadata_free(struct metadata *m)
{
    free(m->bytes);
    *m = (struct metadata){0};
}
