#include "proto/mail_mpi.h"

#include <limits.h>
#include <mpi.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "proto/backoff.h"
#include "proto/clock.h"
#include "proto/launcher.h"
#include "proto/wire.h"

enum {
    FLUSH_MS = 2000,
    LOOKS_ALONE = 200, /* some 40 us */
    LOOKS_CROWDED = 4,
    SLEEP_SENDING_US = 50 /* a long message on its way needs us to look now and then */
};

enum { HOST_BYTES = 64 };

/* A message's last bytes: from, to, and its tag. They are at the end, so that the data is aligned as malloc's. */
enum { TAIL = 4, LONGEST = (64 << 20) + TAIL };
_Static_assert(MAX_PEERS <= 256, "a peer is one byte of the tail");

/* The texts of a launch configuration. */
enum { TEXT_PLAN, TEXT_STAGE_SHARE, TEXT_SHARD_SHARE, TEXT_DRAFT_PLANS, N_TEXTS = TEXT_DRAFT_PLANS + DRAFT_PLANS_MOST };

/* MPI itself is one a process, and so is this. */
static struct {
    MPI_Comm mail, stage, stages; /* stage: its shards; stages: the same shard of each */
    MPI_Comm host;                /* of workers; only where their read loops are timed */
    bool crowded;                 /* more ranks than cores on this host */
    int *here, n_here;            /* owns: the ranks of this host */
    char *hosts;                  /* owns: [size][HOST_BYTES], each rank's */
    int start_s;
    char *texts[N_TEXTS]; /* owns: of the launch configuration that was received */
} world = {
    .mail = MPI_COMM_NULL, .stage = MPI_COMM_NULL, .stages = MPI_COMM_NULL, .host = MPI_COMM_NULL, .crowded = true};

static int mpi_failed(int code, const char *what, struct err *err)
{
    char text[MPI_MAX_ERROR_STRING] = "";
    int n = 0;
    MPI_Error_string(code, text, &n);
    return err_set(err, E_PEER, "MPI: %s: %s", what, text);
}

/* ---- the limit of the start ---- */

/* A thread, because nothing else runs while MPI waits for a rank. */
static struct {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool runs, over;
    int rank, limit_s;
} start = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* In seconds that are counted: one in which this process was stopped is one, however long. */
static void *limit_start(void *unused)
{
    (void)unused;
    pthread_mutex_lock(&start.lock);
    for (int s = 0; s < start.limit_s && !start.over; s++) {
        struct timespec until = clock_after_us(1000000);
        for (int late = 0; !late && !start.over;) late = pthread_cond_timedwait(&start.changed, &start.lock, &until);
    }
    bool over = start.over;
    pthread_mutex_unlock(&start.lock);
    if (over) return NULL;
    char which[80] = "a rank is stopped, or cannot be reached", why[200];
    int stopped;
    if (launcher_stopped(&stopped)) snprintf(which, sizeof which, "rank %d, on this host, is stopped", stopped);
    snprintf(why, sizeof why, "rank %d has waited for %d s for all ranks to start: %s", start.rank, start.limit_s,
             which);
    if (start.rank <= 0 || !launcher_tell(why)) fprintf(stderr, "pilotfish: %s\n", why);
    launcher_leave(E_PEER);
    _exit(E_PEER);
}

static void begin_limit(int rank, int start_s)
{
    clock_cond_init(&start.changed);
    start.rank = rank;
    start.limit_s = rank > 0 ? 2 * start_s : start_s;
    start.over = false;
    start.runs = start_s && pthread_create(&start.thread, NULL, limit_start, NULL) == 0;
}

static void end_limit(void)
{
    if (!start.runs) return;
    pthread_mutex_lock(&start.lock);
    start.over = true;
    pthread_cond_signal(&start.changed);
    pthread_mutex_unlock(&start.lock);
    pthread_join(start.thread, NULL);
    pthread_cond_destroy(&start.changed);
    start.runs = false;
}

/* ---- start and end ---- */

static void set_open_mpi(void)
{
    setenv("OMPI_MCA_mpi_yield_when_idle", "1", 0);
    /* The rows of a stage go off without waiting until the receiver looks. */
    setenv("OMPI_MCA_btl_tcp_eager_limit", "4194304", 0);
}

/* MPI_SUCCESS too where there is no memory: then no rank is known. */
static int note_ranks_here(MPI_Comm host)
{
    MPI_Group here, all = MPI_GROUP_NULL;
    int n = 0, code = MPI_Comm_group(host, &here);
    if (code != MPI_SUCCESS) return code;
    code = MPI_Comm_group(MPI_COMM_WORLD, &all);
    if (code == MPI_SUCCESS) code = MPI_Group_size(here, &n);
    int *own = calloc((size_t)n + 1, sizeof *own);
    free(world.here);
    world.here = calloc((size_t)n + 1, sizeof *world.here);
    for (int i = 0; own && i < n; i++) own[i] = i;
    world.n_here = own && world.here ? n : 0;
    if (code == MPI_SUCCESS) code = MPI_Group_translate_ranks(here, world.n_here, own, all, world.here);
    free(own);
    MPI_Group_free(&here);
    if (all != MPI_GROUP_NULL) MPI_Group_free(&all);
    return code;
}

/* Without memory none is known. */
static int gather_hosts(int size)
{
    char own[HOST_BYTES] = "";
    gethostname(own, sizeof own - 1);
    free(world.hosts);
    world.hosts = calloc((size_t)size, HOST_BYTES);
    if (!world.hosts) return MPI_SUCCESS;
    return MPI_Allgather(own, HOST_BYTES, MPI_CHAR, world.hosts, HOST_BYTES, MPI_CHAR, MPI_COMM_WORLD);
}

static int look_around(struct mpi_world *w)
{
    MPI_Comm host;
    int n;
    int code = MPI_Comm_rank(MPI_COMM_WORLD, &w->rank);
    if (code == MPI_SUCCESS) code = MPI_Comm_size(MPI_COMM_WORLD, &w->size);
    if (code == MPI_SUCCESS) code = MPI_Comm_dup(MPI_COMM_WORLD, &world.mail);
    if (code == MPI_SUCCESS) code = gather_hosts(w->size);
    if (code == MPI_SUCCESS) code = MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &host);
    if (code != MPI_SUCCESS) return code;
    MPI_Comm_size(host, &n);
    code = note_ranks_here(host);
    MPI_Comm_free(&host);
    if (code != MPI_SUCCESS) return code;
    world.crowded = n > sysconf(_SC_NPROCESSORS_ONLN);
    char library[MPI_MAX_LIBRARY_VERSION_STRING] = "";
    MPI_Get_library_version(library, &n);
    size_t line = strcspn(library, "\n");
    if (line >= sizeof w->library) line = sizeof w->library - 1;
    memcpy(w->library, library, line);
    w->library[line] = '\0';
    return MPI_SUCCESS;
}

int mpi_start(struct mpi_world *w, int start_s, struct err *err)
{
    int level, launcher_rank, launcher_size;
    launcher_is_there(&launcher_rank, &launcher_size);
    begin_limit(launcher_rank, start_s);
    world.start_s = start_s;
    set_open_mpi();
    prctl(PR_SET_TIMERSLACK, 1000UL); /* ns: else a sleep of 5 us takes 55 */
    int code = MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &level);
    if (code != MPI_SUCCESS) {
        end_limit();
        return err_set(err, E_PEER, "MPI does not start (code %d)", code);
    }
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    struct mpi_world here = {0};
    code = look_around(&here);
    int rc = OK;
    if (code != MPI_SUCCESS)
        rc = mpi_failed(code, "starting", err);
    else if (level < MPI_THREAD_FUNNELED)
        rc = err_set(err, E_PEER, "%s has no thread support", here.library);
    else if (launcher_size > 0 && launcher_size != here.size)
        rc = err_set(
            err, E_LAYOUT,
            "the launcher started %d ranks, but %s sees %d: use the launcher of the MPI that pilotfish is built "
            "with (pilotfish doctor)",
            launcher_size, here.library, here.size);
    if (rc == OK)
        *w = here;
    else
        mpi_finish();
    if (rc == OK && here.size == 1) end_limit(); /* it may have nobody to lead */
    return rc;
}

const char *mpi_host_of(int rank)
{
    return world.hosts ? world.hosts + (size_t)rank * HOST_BYTES : "";
}

void mpi_finish(void)
{
    end_limit();
    if (world.stage != MPI_COMM_NULL) MPI_Comm_free(&world.stage);
    if (world.stages != MPI_COMM_NULL) MPI_Comm_free(&world.stages);
    if (world.host != MPI_COMM_NULL) MPI_Comm_free(&world.host);
    if (world.mail != MPI_COMM_NULL) MPI_Comm_free(&world.mail);
    free(world.here);
    world.here = NULL;
    world.n_here = 0;
    free(world.hosts);
    world.hosts = NULL;
    for (int i = 0; i < N_TEXTS; i++) {
        free(world.texts[i]);
        world.texts[i] = NULL;
    }
    int ended = 0;
    MPI_Finalized(&ended);
    if (!ended) MPI_Finalize();
}

void mpi_abort(int code)
{
    int started = 0, ended = 0;
    launcher_leave(code);
    MPI_Initialized(&started);
    MPI_Finalized(&ended);
    if (started && !ended) MPI_Abort(MPI_COMM_WORLD, code);
    _exit(code);
}

/* The launch configuration as MPI carries them. */
enum {
    TERM_RANKS,
    TERM_DRAFTERS,
    TERM_GROUPS,
    TERM_TP,
    TERM_PP,
    TERM_DRAFTER,
    TERM_MAX_ROWS,
    TERM_REQUANTIZE,
    TERM_TELL_BIG,
    TERM_TELL_LITTLE,
    TERM_SURVEY,
    TERM_TIME_READS,
    TERM_TEXT_BYTES, /* of each text; 0: NULL */
    N_TERMS = TERM_TEXT_BYTES + N_TEXTS
};

/* A communicator of n peers, in this order; each of them calls it, and waits for no other rank. */
static int join_peers(const struct layout *l, const int *peers, int n, MPI_Comm *out)
{
    MPI_Group all, group;
    int ranks[MAX_PEERS];
    for (int i = 0; i < n; i++) ranks[i] = layout_rank(l, peers[i]);
    int code = MPI_Comm_group(MPI_COMM_WORLD, &all);
    if (code != MPI_SUCCESS) return code;
    code = MPI_Group_incl(all, n, ranks, &group);
    MPI_Group_free(&all);
    if (code != MPI_SUCCESS) return code;
    code = MPI_Comm_create_group(MPI_COMM_WORLD, group, 0, out);
    MPI_Group_free(&group);
    return code;
}

static int join_stages(const struct layout *l, int self, struct err *err)
{
    const struct group *g = layout_group(l, self);
    int peers[MAX_PEERS];
    for (int i = 0; i < g->tp; i++) peers[i] = group_peer(g, group_stage(g, self), i);
    int code = join_peers(l, peers, g->tp, &world.stage);
    for (int i = 0; i < g->pp; i++) peers[i] = group_peer(g, i, group_shard(g, self));
    if (g->pp > 1 && code == MPI_SUCCESS) code = join_peers(l, peers, g->pp, &world.stages);
    return code == MPI_SUCCESS ? OK : mpi_failed(code, "joining the ranks of a stage", err);
}

static int join_host(const struct layout *l, struct err *err)
{
    MPI_Comm workers = MPI_COMM_NULL;
    int peers[MAX_PEERS];
    for (int p = PEER_COORDINATOR + 1; p < l->n_peers; p++) peers[p - 1] = p;
    int code = join_peers(l, peers, l->n_peers - 1, &workers);
    if (code == MPI_SUCCESS) code = MPI_Comm_split_type(workers, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &world.host);
    if (workers != MPI_COMM_NULL) MPI_Comm_free(&workers);
    return code == MPI_SUCCESS ? OK : mpi_failed(code, "joining the ranks of a host", err);
}

/* That this rank has begun: from here on it may wait for others. */
static int tell_begun(const struct layout *l, int self, struct err *err)
{
    _Alignas(16) uint8_t room[WIRE_LAST_WORDS];
    struct wire_arena arena = {.base = room, .size = sizeof room};
    const struct message m = {.tag = TAG_LOADING};
    struct mailbox *mailbox = mail_mpi_open(l, self);
    const uint8_t *data;
    size_t n_bytes;
    if (!mailbox) return err_set(err, E_LAYOUT, "out of memory");
    int rc = wire_encode(&arena, &m, &data, &n_bytes, err);
    if (rc == OK) rc = mailbox_post(mailbox, PEER_COORDINATOR, m.tag, data, n_bytes, err);
    mailbox_close(mailbox);
    return rc;
}

void *mpi_stages(void)
{
    return world.stages == MPI_COMM_NULL ? NULL : &world.stages;
}

const int *mpi_ranks_here(int *n)
{
    *n = world.n_here;
    return world.here;
}

int mpi_host_sum(int n)
{
    int sum = n;
    if (world.host != MPI_COMM_NULL) MPI_Allreduce(&n, &sum, 1, MPI_INT, MPI_SUM, world.host);
    return sum;
}

void mpi_host_barrier(void *unused)
{
    (void)unused;
    if (world.host != MPI_COMM_NULL) MPI_Barrier(world.host);
}

/* A code of MPI, which only reads what the root sends. */
static int send_text(const char *text, int n_bytes)
{
    return n_bytes ? MPI_Bcast((void *)text, n_bytes, MPI_CHAR, 0, MPI_COMM_WORLD) : MPI_SUCCESS;
}

int mpi_lead(const struct launch_config *t, struct mpi_rank *ranks, struct err *err)
{
    const char *texts[N_TEXTS] = {NULL};
    int said[N_TERMS] = {[TERM_SURVEY] = !t && ranks};
    if (t) {
        said[TERM_RANKS] = t->layout.n_ranks;
        said[TERM_DRAFTERS] = t->layout.drafter == DRAFTER_LITTLE ? layout_n_drafters(&t->layout) : 1;
        said[TERM_GROUPS] = layout_n_verifiers(&t->layout);
        said[TERM_TP] = layout_verifier(&t->layout, 0)->tp;
        said[TERM_PP] = layout_verifier(&t->layout, 0)->pp;
        said[TERM_DRAFTER] = (int)t->layout.drafter;
        said[TERM_MAX_ROWS] = t->max_rows;
        said[TERM_REQUANTIZE] = t->requantize;
        said[TERM_TIME_READS] = t->time_reads;
        said[TERM_TELL_BIG] = t->send_big_metadata;
        said[TERM_TELL_LITTLE] = t->send_little_metadata;
        texts[TEXT_PLAN] = t->plan;
        memcpy(&texts[TEXT_DRAFT_PLANS], t->draft_plans, sizeof t->draft_plans);
        texts[TEXT_STAGE_SHARE] = t->stage_share;
        texts[TEXT_SHARD_SHARE] = t->shard_share;
    }
    for (int i = 0; i < N_TEXTS; i++) said[TERM_TEXT_BYTES + i] = texts[i] ? (int)strlen(texts[i]) : 0;
    int code = MPI_Bcast(said, N_TERMS, MPI_INT, 0, MPI_COMM_WORLD);
    for (int i = 0; i < N_TEXTS && code == MPI_SUCCESS; i++) code = send_text(texts[i], said[TERM_TEXT_BYTES + i]);
    end_limit();
    if (code != MPI_SUCCESS) return mpi_failed(code, "telling the ranks what they are", err);
    return !t && ranks ? mpi_survey(ranks, world.start_s, err) : OK;
}

static int receive_text(char **text, int n_bytes, struct err *err)
{
    if (!n_bytes) return OK;
    *text = calloc((size_t)n_bytes + 1, 1);
    if (!*text) return err_set(err, E_LAYOUT, "out of memory for a plan");
    int code = MPI_Bcast(*text, n_bytes, MPI_CHAR, 0, MPI_COMM_WORLD);
    return code == MPI_SUCCESS ? OK : mpi_failed(code, "receiving the plans", err);
}

int mpi_join_survey(const struct mpi_rank *own, struct err *err)
{
    int said[N_TERMS] = {0}, code = MPI_Bcast(said, N_TERMS, MPI_INT, 0, MPI_COMM_WORLD);
    end_limit();
    if (code != MPI_SUCCESS) return mpi_failed(code, "receiving what this rank is", err);
    return said[TERM_SURVEY] ? mpi_survey_answer(own, err) : OK;
}

int mpi_join(struct launch_config *t, void **comm, struct err *err)
{
    int said[N_TERMS] = {0}, rank = 0;
    *t = (struct launch_config){0};
    *comm = NULL;
    int code = MPI_Bcast(said, N_TERMS, MPI_INT, 0, MPI_COMM_WORLD);
    if (code == MPI_SUCCESS) code = MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    end_limit();
    if (code != MPI_SUCCESS) return mpi_failed(code, "receiving what this rank is", err);
    if (said[TERM_RANKS] == 0) return said[TERM_SURVEY] ? mpi_survey_answer(&(struct mpi_rank){0}, err) : OK;
    int rc = layout_make(&t->layout, said[TERM_RANKS], said[TERM_DRAFTERS], said[TERM_GROUPS], said[TERM_TP],
                         said[TERM_PP], (enum drafter)said[TERM_DRAFTER], err);
    for (int i = 0; i < N_TEXTS && rc == OK; i++) rc = receive_text(&world.texts[i], said[TERM_TEXT_BYTES + i], err);
    t->plan = world.texts[TEXT_PLAN];
    for (int i = 0; i < DRAFT_PLANS_MOST; i++) t->draft_plans[i] = world.texts[TEXT_DRAFT_PLANS + i];
    t->stage_share = world.texts[TEXT_STAGE_SHARE];
    t->shard_share = world.texts[TEXT_SHARD_SHARE];
    t->max_rows = said[TERM_MAX_ROWS];
    t->requantize = said[TERM_REQUANTIZE];
    t->time_reads = said[TERM_TIME_READS];
    t->send_big_metadata = said[TERM_TELL_BIG];
    t->send_little_metadata = said[TERM_TELL_LITTLE];
    int self = layout_peer(&t->layout, rank);
    if (rc == OK) rc = tell_begun(&t->layout, self, err);
    if (rc == OK) rc = join_stages(&t->layout, self, err);
    if (rc == OK && t->time_reads) rc = join_host(&t->layout, err);
    if (rc == OK && world.stage != MPI_COMM_NULL) *comm = &world.stage;
    return rc;
}

/* ---- messages ---- */

struct outgoing { /* owned until MPI has sent it */
    struct outgoing *next;
    MPI_Request request;
    uint8_t bytes[]; /* data, tail */
};

struct mpi_mailbox {
    struct mailbox base;
    struct layout layout;
    struct outgoing *sending;
    MPI_Request receiving; /* of the one message that is coming in; MPI_REQUEST_NULL: none */
    uint8_t *data;         /* owns: that message's [n_bytes] */
    int n_bytes, sender;   /* sender: its rank */
    struct backoff backoff;
};

/* Frees what MPI is done with. Looking also moves the rest on. */
static int retire(struct mpi_mailbox *r, struct err *err)
{
    for (struct outgoing **at = &r->sending; *at;) {
        struct outgoing *o = *at;
        int done, code = MPI_Test(&o->request, &done, MPI_STATUS_IGNORE);
        if (code != MPI_SUCCESS) return mpi_failed(code, "sending a message", err);
        if (done) {
            *at = o->next;
            free(o);
        } else {
            at = &o->next;
        }
    }
    return OK;
}

static int ranks_post(struct mailbox *mb, int to, int tag, const void *data, size_t n_bytes, struct err *err)
{
    struct mpi_mailbox *r = (struct mpi_mailbox *)mb;
    if (to < 0 || to >= r->layout.n_peers) return err_set(err, E_FAIL, "a message to peer %d, which is not there", to);
    if (n_bytes > INT_MAX - TAIL) return err_set(err, E_FAIL, "a message of %zu bytes is too long for MPI", n_bytes);
    struct outgoing *o = malloc(sizeof *o + n_bytes + TAIL);
    if (!o) return err_set(err, E_LAYOUT, "out of memory for a message of %zu bytes", n_bytes);
    if (n_bytes) memcpy(o->bytes, data, n_bytes);
    const uint8_t tail[TAIL] = {(uint8_t)mb->self, (uint8_t)to, (uint8_t)tag};
    memcpy(o->bytes + n_bytes, tail, TAIL);
    int code =
        MPI_Isend(o->bytes, (int)n_bytes + TAIL, MPI_BYTE, layout_rank(&r->layout, to), 0, world.mail, &o->request);
    if (code != MPI_SUCCESS) {
        free(o);
        return mpi_failed(code, "sending a message", err);
    }
    struct outgoing **last = &r->sending;
    while (*last) last = &(*last)->next;
    o->next = NULL;
    *last = o;
    return retire(r, err);
}

/* Begins to receive the next message, if one is there. Only one at a time: so order is kept, and nothing blocks. */
static int receive_next(struct mpi_mailbox *r, struct err *err)
{
    int there, n;
    MPI_Message message;
    MPI_Status status;
    int code = MPI_Improbe(MPI_ANY_SOURCE, 0, world.mail, &there, &message, &status);
    if (code != MPI_SUCCESS) return mpi_failed(code, "looking for messages", err);
    if (!there) return MAIL_NONE;
    MPI_Get_count(&status, MPI_BYTE, &n);
    if (n < TAIL || n > LONGEST)
        return err_set(err, E_PEER, "rank %d sends a message of %d bytes", status.MPI_SOURCE, n);
    r->data = malloc((size_t)n);
    if (!r->data) return err_set(err, E_LAYOUT, "out of memory for a message of %d bytes", n);
    r->n_bytes = n;
    r->sender = status.MPI_SOURCE;
    code = MPI_Imrecv(r->data, n, MPI_BYTE, &message, &r->receiving);
    return code == MPI_SUCCESS ? OK : mpi_failed(code, "receiving a message", err);
}

static bool lives_on(const struct mpi_mailbox *r, int peer, int rank)
{
    return peer < r->layout.n_peers && layout_rank(&r->layout, peer) == rank;
}

static int ranks_poll(struct mailbox *mb, struct mail *out, struct err *err)
{
    struct mpi_mailbox *r = (struct mpi_mailbox *)mb;
    int done, rc = retire(r, err);
    if (rc == OK && r->receiving == MPI_REQUEST_NULL) rc = receive_next(r, err);
    if (rc != OK) return rc;
    int code = MPI_Test(&r->receiving, &done, MPI_STATUS_IGNORE);
    if (code != MPI_SUCCESS) return mpi_failed(code, "receiving a message", err);
    if (!done) return MAIL_NONE;
    size_t n = (size_t)r->n_bytes - TAIL;
    const uint8_t *tail = r->data + n;
    *out = (struct mail){.from = tail[0], .to = tail[1], .tag = tail[2], .n_bytes = n, .data = r->data};
    r->data = NULL;
    if (lives_on(r, out->from, r->sender) && lives_on(r, out->to, layout_rank(&r->layout, mb->self))) return OK;
    rc = err_set(err, E_PEER, "rank %d sends a message from peer %d to peer %d", r->sender, out->from, out->to);
    mail_free(out);
    return rc;
}

static void sleep_us(int us)
{
    if (us > 0)
        nanosleep(&(struct timespec){.tv_nsec = us * 1000L}, NULL);
    else if (world.crowded)
        sched_yield();
}

static int ranks_wait(struct mailbox *mb, struct mail *out, int wait_ms, struct err *err)
{
    struct mpi_mailbox *r = (struct mpi_mailbox *)mb;
    uint64_t until = wait_ms < 0 ? UINT64_MAX : clock_now_us() + (uint64_t)wait_ms * 1000;
    for (;;) {
        int rc = ranks_poll(mb, out, err);
        if (rc == OK && !wire_is_sign_of_life(out->tag)) backoff_reset(&r->backoff);
        if (rc != MAIL_NONE) return rc;
        if (wait_ms >= 0 && clock_now_us() >= until) return MAIL_NONE;
        bool moving = r->sending || r->data;
        sleep_us(backoff_next(&r->backoff, world.crowded ? LOOKS_CROWDED : LOOKS_ALONE,
                              moving ? SLEEP_SENDING_US : BACKOFF_MAX_US));
    }
}

static void ranks_close(struct mailbox *mb)
{
    struct mpi_mailbox *r = (struct mpi_mailbox *)mb;
    struct err ignored;
    uint64_t until = clock_now_us() + FLUSH_MS * 1000;
    while (retire(r, &ignored) == OK && r->sending && clock_now_us() < until) sleep_us(BACKOFF_MIN_US);
    /* What MPI still reads or writes stays allocated: the process is about to end. */
    free(r);
}

struct mailbox *mail_mpi_open(const struct layout *l, int self)
{
    static const struct mailbox_ops ops = {ranks_post, ranks_poll, ranks_wait, ranks_close};
    struct mpi_mailbox *r = malloc(sizeof *r);
    if (!r) return NULL;
    *r = (struct mpi_mailbox){.base = {.ops = &ops, .self = self}, .layout = *l, .receiving = MPI_REQUEST_NULL};
    return &r->base;
}
