/* 3 ranks. A coordinator behind its bridge and two shards of one stage: messages arrive in order, whole, both ways
 * at once; the stage has a communicator of its own. Rank 0 is this program's coordinator thread, and MPI is the
 * bridge's. */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/launcher.h"
#include "proto/mpi_bridge.h"
#include "proto/wire.h"

enum {
    N_SMALL = 2000,
    BIG = 8 << 20,
    N_BIG = 3,
    TAG_SMALL = 1,
    TAG_BIG = 2,
    TAG_DONE = 3, /* number of things that were wrong */
    PATIENCE_MS = 60000
};

static int n_wrong;

static void expect(int right, const char *what)
{
    if (!right) fprintf(stderr, "wrong: %s\n", what);
    n_wrong += !right;
}

static uint8_t big_byte(int from, int i, size_t at)
{
    return (uint8_t)(from * 31 + i * 7 + (int)(at % 251));
}

/* Many small messages to each of the others, and big ones among them. */
static void post_all(struct mailbox *mb, const struct layout *l)
{
    struct err err;
    uint8_t *big = malloc(BIG);
    for (int i = 0; i < N_SMALL; i++) {
        int32_t n = i;
        for (int to = 0; to < l->n_peers; to++)
            if (to != mb->self)
                expect(mailbox_post(mb, to, TAG_SMALL, &n, sizeof n, &err) == OK, "posting a small message");
        if (i % (N_SMALL / N_BIG) != 0 || i / (N_SMALL / N_BIG) >= N_BIG) continue;
        for (size_t at = 0; at < BIG; at++) big[at] = big_byte(mb->self, i, at);
        for (int to = 0; to < l->n_peers; to++)
            if (to != mb->self) expect(mailbox_post(mb, to, TAG_BIG, big, BIG, &err) == OK, "posting a big message");
    }
    free(big); /* posting copies */
}

struct seen {
    int n_small, n_big;
};

static void check(const struct mail *m, int self, struct seen *seen)
{
    struct seen *s = &seen[m->from];
    expect(m->to == self, "a message is for whom it says");
    if (m->tag == TAG_SMALL) {
        int32_t n = -1;
        if (m->n_bytes == sizeof n) memcpy(&n, m->data, sizeof n);
        expect(n == s->n_small++, "small messages come in order");
        return;
    }
    int i = s->n_big++ * (N_SMALL / N_BIG), right = m->tag == TAG_BIG && m->n_bytes == BIG;
    for (size_t at = 0; right && at < BIG; at++) right = m->data[at] == big_byte(m->from, i, at);
    expect(right, "a big message is whole");
    expect(s->n_small == i + 1, "a big message keeps its place among small ones");
}

static int n_reports, n_begun;

static void check_report(const struct mail *m)
{
    int theirs = -1;
    if (m->tag == TAG_DONE && m->n_bytes == sizeof theirs) memcpy(&theirs, m->data, sizeof theirs);
    expect(theirs == 0, "a shard found everything right");
    n_reports++;
}

static void take_all(struct mailbox *mb, const struct layout *l)
{
    struct seen seen[8] = {0};
    struct mail m;
    struct err err = {0};
    for (int left = (l->n_ranks - 1) * (N_SMALL + N_BIG); left > 0;) {
        int rc = mailbox_wait(mb, &m, PATIENCE_MS, &err);
        expect(rc == OK, "every message comes");
        if (rc != OK) return;
        if (m.tag == TAG_DONE) { /* a shard may be through before another has begun */
            check_report(&m);
        } else if (m.tag == TAG_LOADING) {
            n_begun++;
        } else {
            check(&m, mb->self, seen);
            left--;
        }
        mail_free(&m);
    }
}

static void check_stage(const struct layout *l, int self, void *comm)
{
    int size = 0, rank = -1, sum = 0;
    MPI_Comm stage = *(MPI_Comm *)comm;
    MPI_Comm_size(stage, &size);
    MPI_Comm_rank(stage, &rank);
    MPI_Allreduce(&self, &sum, 1, MPI_INT, MPI_SUM, stage);
    const struct group *g = layout_group(l, self);
    expect(size == g->tp && rank == group_shard(g, self), "a stage's ranks are its shards, in order");
    expect(sum == group_peer(g, 0, 0) + group_peer(g, 0, 1), "shards exchange numbers over their communicator");
}

static int run_shard(void)
{
    struct mpi_world w;
    struct layout l;
    struct err err;
    void *comm = NULL;
    int rc = mpi_start(&w, 0, &err);
    struct launch_config launch_config = {0};
    if (rc == OK) rc = mpi_join(&launch_config, &comm, &err);
    l = launch_config.layout;
    int self = rc == OK ? layout_peer(&l, w.rank) : -1;
    if (rc != OK) {
        fprintf(stderr, "a shard does not start: %s\n", err.text);
        mpi_abort(rc);
    }
    check_stage(&l, self, comm);
    struct mailbox *mb = mail_mpi_open(&l, self);
    post_all(mb, &l);
    take_all(mb, &l);
    expect(mailbox_post(mb, l.n_peers, TAG_SMALL, NULL, 0, &err) == E_FAIL, "a peer that is not there is refused");
    mailbox_post(mb, PEER_COORDINATOR, TAG_DONE, &n_wrong, sizeof n_wrong, &err);
    mailbox_close(mb);
    mpi_finish();
    return n_wrong != 0;
}

static void take_reports(struct mailbox *mb, int n)
{
    struct mail m;
    struct err err;
    while (n_reports < n && mailbox_wait(mb, &m, PATIENCE_MS, &err) == OK) {
        check_report(&m);
        mail_free(&m);
    }
    expect(n_reports == n, "every shard reports");
    expect(mailbox_wait(mb, &m, 1, &err) == MAIL_NONE, "no message comes twice");
}

static int run_coordinator(void)
{
    struct mpi_bridge *p;
    struct mpi_world w;
    struct layout l;
    struct err err;
    int rc = mpi_bridge_open(&p, &w, 0, &err);
    if (rc == OK) rc = layout_make(&l, w.size, 1, 1, 2, 1, DRAFTER_NONE, &err);
    struct router *o = rc == OK ? router_open(l.n_peers) : NULL;
    if (rc == OK) rc = mpi_bridge_run(p, o, &(struct launch_config){.layout = l}, &err);
    if (rc != OK) {
        fprintf(stderr, "the bridge does not start: %s\n", err.text);
        mpi_abort(rc);
    }
    struct mailbox *mb = router_mailbox(o, PEER_COORDINATOR, NULL, NULL);
    post_all(mb, &l);
    take_all(mb, &l);
    take_reports(mb, l.n_ranks - 1);
    expect(n_begun == l.n_ranks - 1, "every shard has told that it begins");
    mailbox_close(mb);
    expect(mpi_bridge_close(p, &err) == OK, "the bridge ends well");
    router_close(o);
    printf("%s: 3 ranks, %d messages and %d of 8 MiB each way between any two: %d wrong\n", w.library, N_SMALL, N_BIG,
           n_wrong);
    return n_wrong != 0;
}

int main(void)
{
    int rank, size;
    if (!launcher_is_there(&rank, &size) || rank < 0) {
        fprintf(stderr, "start me with mpirun -n 3\n");
        return 2;
    }
    return rank == 0 ? run_coordinator() : run_shard();
}
