#include "cluster.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "coordinator/job.h"
#include "proto/mail_mpi.h"
#include "worker/memory.h"
#include "worker/tools/limits.h"
#include "worker/worker.h"

struct worker_thread { /* a worker's thread */
    struct cluster *cluster;
    struct worker_config config;
    struct mailbox *mailbox;
    pthread_t thread;
    bool started;
};

struct cluster {
    struct cluster_config c;
    int n_workers;
    struct worker_thread *workers;   /* [n_peers] owns */
    struct collective **collectives; /* [n_peers] owns: each stage's, by its shards' peers; NULL with one shard */
    struct collective **stages;      /* [n_peers] owns: of the same shard of all stages; NULL with one stage */
};

static const double read_s = 0.2; /* of a read loop: longer than what disturbs one for a moment */

static int threads_of(const struct cluster_config *c)
{
    return c->n_threads ? c->n_threads : memory_cores();
}

static const char *list_of(const char *share)
{
    return layout_share_is_auto(share) ? NULL : share;
}

static void note(const char *text)
{
    fprintf(stderr, "note: %s\n", text);
}

static struct worker_config worker_config(const struct cluster_config *c, int peer)
{
    const struct layout *l = &c->launch.layout;
    bool drafts = layout_group(l, peer)->role == ROLE_DRAFTER,
         sends = drafts ? c->launch.send_little_metadata : c->launch.send_big_metadata;
    const struct group *first = drafts ? layout_drafter(l, 0) : layout_verifier(l, 0);
    struct worker_config w = {.layout = *l,
                              .peer = peer,
                              .path = c->synthetic ? "the synthetic pair"
                                      : drafts     ? c->little
                                                   : c->big,
                              .synthetic = c->synthetic,
                              .plan = drafts ? NULL : c->launch.plan,
                              .max_rows = drafts ? 0 : c->launch.max_rows,
                              .drops_nothing = c->drops_nothing,
                              .hold_us = c->hold_us,
                              .stage_share = drafts ? NULL : list_of(c->launch.stage_share),
                              .shard_share = drafts ? NULL : list_of(c->launch.shard_share),
                              .requantize = drafts && c->launch.requantize,
                              .sends_metadata = sends && peer == group_leader(first),
                              .kernels = c->kernels,
                              .device = drafts ? c->draft_device : c->device,
                              .note = note,
                              .n_threads = threads_of(c),
                              .draft_memory_bytes = c->draft_memory_bytes};
    if (!drafts) memcpy(w.draft_plans, c->launch.draft_plans, sizeof w.draft_plans);
    return w;
}

/* Verifiers of a host take its devices in order of peers. The drafter's is the first, unless it has a number: it often
 * computes while they wait. */
static int verifiers_before(const struct layout *l, const int *peers, int n, int self)
{
    int before = 0;
    if (layout_i_verifier(l, self) < 0) return 0;
    for (int i = 0; i < n; i++) before += peers[i] < self && layout_i_verifier(l, peers[i]) >= 0;
    return before;
}

static void *worker_main(void *arg)
{
    struct worker_thread *m = arg;
    struct err err;
    const struct cluster_config *c = &m->cluster->c;
    if (c->drafter && layout_group(&m->config.layout, m->config.peer)->role == ROLE_DRAFTER)
        c->drafter(c->drafter_arg, m->mailbox);
    else
        worker_run(&m->config, m->mailbox, &err);
    /* The other shards must not wait for this one: after Quit too, which a leader amid a pass reads later. */
    if (m->config.collective) collective_local_break(m->config.collective);
    if (m->config.stages) collective_local_break(m->config.stages);
    mailbox_close(m->mailbox);
    return NULL;
}

static int open_stages(struct cluster *c, const struct group *g, int shard, struct err *err)
{
    struct collective *members[MAX_PEERS];
    int rc = collective_local_open(members, g->pp, err);
    for (int stage = 0; stage < g->pp && rc == OK; stage++) c->stages[group_peer(g, stage, shard)] = members[stage];
    return rc;
}

/* The shards of a stage are threads of this process: they gather through memory. */
static int open_collectives(struct cluster *c, struct err *err)
{
    const struct layout *l = &c->c.launch.layout;
    int rc = OK;
    for (const struct group *g = l->groups; g < l->groups + l->n_groups; g++)
        for (int stage = 0; stage < g->pp && g->tp > 1 && rc == OK; stage++)
            rc = collective_local_open(&c->collectives[group_peer(g, stage, 0)], g->tp, err);
    for (const struct group *g = l->groups; g < l->groups + l->n_groups; g++)
        for (int shard = 0; shard < g->tp && g->pp > 1 && rc == OK; shard++) rc = open_stages(c, g, shard, err);
    return rc;
}

/* The drafter and the verifier take turns on one sequence, but the shards of a stage do not: their threads all count.
 */
static bool may_spin(const struct cluster_config *c)
{
    const struct layout *l = &c->launch.layout;
    int n_peers = layout_n_verifiers(l) * group_n_peers(layout_verifier(l, 0));
    return !c->synthetic && threads_of(c) * n_peers <= memory_cores();
}

/* Each worker's, where all are threads of this process: one loop of all their threads. */
static uint64_t time_read(const struct cluster_config *c)
{
    int n_workers = c->launch.layout.n_peers - 1;
    return (uint64_t)(limits_read(threads_of(c) * n_workers, read_s) / n_workers);
}

/* In which turn a worker times its read loop. All do at once; but where they have more threads than the host has cores,
 * stages of one number do, as they take turns with the others on these cores. */
static int read_turn(const struct layout *l, int peer, bool crowded)
{
    const struct group *g = layout_group(l, peer);
    if (!crowded) return 0;
    return g->role == ROLE_DRAFTER ? layout_verifier(l, 0)->pp : group_stage(g, peer);
}

/* The workers' ranks of this host take their turns together, and go on when all are done and have given their memory
 * back. One that cannot work only lets the others go on. */
static uint64_t time_read_of_rank(const struct cluster_config *c, int peer, bool works)
{
    const struct layout *l = &c->launch.layout;
    bool crowded = mpi_host_sum(works ? threads_of(c) : 0) > sysconf(_SC_NPROCESSORS_ONLN);
    int own = read_turn(l, peer, crowded), n_turns = crowded ? layout_verifier(l, 0)->pp + 1 : 1;
    double rate = 0;
    for (int turn = 0; turn < n_turns; turn++) {
        int n_beside = mpi_host_sum(turn == own) - 1;
        if (works && turn == own)
            rate = limits_read_beside(threads_of(c), read_s, n_beside, mpi_host_barrier, NULL);
        else
            mpi_host_barrier(NULL);
        mpi_host_barrier(NULL);
    }
    return (uint64_t)rate;
}

int cluster_start(struct cluster **out, const struct cluster_config *config, struct router *router, struct err *err)
{
    const struct layout *l = &config->launch.layout;
    struct cluster *c = calloc(1, sizeof *c);
    if (!c) return err_set(err, E_LAYOUT, "out of memory");
    c->c = *config;
    c->workers = calloc((size_t)l->n_peers, sizeof *c->workers);
    c->collectives = calloc((size_t)l->n_peers, sizeof *c->collectives);
    c->stages = calloc((size_t)l->n_peers, sizeof *c->stages);
    int rc = c->workers && c->collectives && c->stages ? OK : err_set(err, E_LAYOUT, "out of memory");
    if (rc == OK && l->n_ranks == 1) rc = open_collectives(c, err);
    int peers[MAX_PEERS];
    for (int i = 0; i < l->n_peers; i++) peers[i] = i;
    uint64_t read_bytes_per_s = rc == OK && l->n_ranks == 1 && config->launch.time_reads ? time_read(config) : 0;
    for (int peer = PEER_COORDINATOR + 1; peer < l->n_peers && rc == OK; peer++) {
        if (layout_rank(l, peer) != 0) continue;
        struct worker_thread *m = &c->workers[c->n_workers++];
        *m = (struct worker_thread){.cluster = c, .config = worker_config(config, peer)};
        m->config.collective = c->collectives[peer];
        m->config.stages = c->stages[peer];
        m->config.device.n_before = verifiers_before(l, peers, l->n_peers, peer);
        m->config.read_bytes_per_s = read_bytes_per_s;
        m->config.spin = may_spin(config);
        m->mailbox = router_mailbox(router, peer, NULL, NULL);
        if (!m->mailbox || pthread_create(&m->thread, NULL, worker_main, m))
            rc = err_set(err, E_FAIL, "cannot start a thread for a worker");
        else
            m->started = true;
    }
    if (rc != OK) {
        job_quit(router, l, rc, err->text);
        cluster_join(c);
    } else {
        *out = c;
    }
    return rc;
}

void cluster_join(struct cluster *c)
{
    if (!c) return;
    for (int i = 0; i < c->n_workers; i++)
        if (c->workers[i].started) pthread_join(c->workers[i].thread, NULL);
    for (int peer = 0; c->collectives && peer < c->c.launch.layout.n_peers; peer++)
        collective_close(c->collectives[peer]);
    for (int peer = 0; c->stages && peer < c->c.launch.layout.n_peers; peer++) collective_close(c->stages[peer]);
    free(c->collectives);
    free(c->stages);
    free(c->workers);
    free(c);
}

int cluster_run_rank(const struct cluster_config *config, int rank, void *comm, struct err *err)
{
    const struct layout *l = &config->launch.layout;
    struct worker_config w = worker_config(config, layout_peer(l, rank));
    struct collective *collective = NULL, *stages = NULL;
    struct mailbox *mailbox = mail_mpi_open(l, w.peer);
    int rc = mailbox ? OK : err_set(err, E_PEER, "rank %d: out of memory for messages", rank);
    int peers[MAX_PEERS], n_here = 0;
    const int *ranks = mpi_ranks_here(&n_here);
    for (int i = 0; i < n_here && i < MAX_PEERS; i++) peers[i] = layout_peer(l, ranks[i]);
    w.device.n_before = verifiers_before(l, peers, n_here < MAX_PEERS ? n_here : MAX_PEERS, w.peer);
    w.spin = false; /* ranks of one host share its cores in ways that a rank does not see */
    if (rc == OK && layout_group(l, w.peer)->tp > 1) rc = collective_mpi_open(&collective, comm, err);
    if (rc == OK && mpi_stages()) rc = collective_mpi_open(&stages, mpi_stages(), err);
    if (mailbox && rc != OK) err_wrap(err, "rank %d", rank);
    w.collective = collective;
    w.stages = stages;
    if (config->launch.time_reads) w.read_bytes_per_s = time_read_of_rank(config, w.peer, rc == OK);
    if (rc == OK)
        rc = worker_run(&w, mailbox, err);
    else if (mailbox)
        worker_refuse(mailbox, err);
    mailbox_close(mailbox);
    collective_close(collective);
    collective_close(stages);
    return rc;
}
