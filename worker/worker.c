#include "worker/worker.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/clock.h"
#include "proto/deadline.h"
#include "proto/launcher.h"
#include "worker/memory.h"
#include "worker/roles/role_drafter.h"
#include "worker/roles/role_verifier.h"

static bool is_verifier(const struct worker *w)
{
    return w->group->role == ROLE_VERIFIER;
}

/* A message for every percent, at the end, and every PING_MS in which something came. That one is lost is no reason to
 * stop: whatever is wrong, Ready meets it too. */
static void tell_loaded(void *arg, const char *what, const char *unit, uint64_t done, uint64_t total)
{
    struct worker *w = arg;
    struct err ignored;
    (void)what, (void)unit;
    uint64_t now_ns = clock_now_ns();
    bool is_much = done == total || done - w->told_bytes >= total / 100;
    if (done == w->told_bytes || (!is_much && now_ns - w->told_ns < PING_MS * UINT64_C(1000000))) return;
    w->told_bytes = done;
    w->told_ns = now_ns;
    worker_post(w, PEER_COORDINATOR, &(struct message){.tag = TAG_LOADING, .loading = {done}}, &ignored);
}

/* The shares: lists; NULL: by bytes, equal. */
static int open_engine(struct worker *w, const char *stage_share, const char *shard_share, struct err *err)
{
    const struct worker_config *c = w->config;
    const struct group *g = w->group;
    struct engine_config config = {
        .path = c->path,
        .pair = {c->synthetic, g->role == ROLE_DRAFTER},
        .plan = c->plan,
        .draft_plans = c->draft_plans,
        .stage_share = stage_share,
        .shard_share = shard_share,
        .requantize = c->requantize,
        .share = {group_stage(g, c->peer), g->pp, group_shard(g, c->peer), g->tp},
        .kernels = c->kernels,
        .device = w->device.table,
        .device_number = w->device.number,
        .device_name = w->device.name,
        .collective = c->collective,
        .stages = c->stages,
        .note = c->note,
        .n_threads = c->n_threads,
        .spin = c->spin,
        .max_rows = worker_pass_rows(w),
        .watch = {tell_loaded, w},
        .between = worker_look,
        .between_arg = w,
    };
    if (c->collective) {
        c->collective->waits = worker_waits;
        c->collective->waits_arg = w;
    }
    int rc = engine_open(&w->engine, &config, err);
    if (rc == OK) engine_info(w->engine, &w->info);
    return rc;
}

static int say_hello(struct worker *w, struct err *err)
{
    char host[256] = "";
    const struct device_pick *device = &w->device;
    const struct worker_config *c = w->config;
    gethostname(host, sizeof host - 32);
    if (c->synthetic) /* it shares no cores: as if it had a host for itself */
        snprintf(host + strlen(host), 32, ", synthetic %d", c->peer);
    char cpu[160];
    snprintf(cpu, sizeof cpu, "%s%s%s", c->kernels->name, c->kernels->calibrate ? ", " : "",
             c->kernels->calibrate ? c->kernels->calibrate() : "");
    struct message m = {.tag = TAG_HELLO,
                        .hello = {.version = WIRE_VERSION,
                                  .host = host,
                                  .cores = (uint32_t)memory_cores(),
                                  .peer = c->peer,
                                  .model = w->info.model_hash,
                                  .vocab = w->info.vocab_hash,
                                  .plan = w->info.plan_hash,
                                  .arithmetic = (uint32_t)(device->table ? device->table->arithmetic : ARITHMETIC_ID),
                                  .selftest = device->table ? device->about.selftest : kernels_selftest(c->kernels),
                                  .path = c->path,
                                  .weights_bytes = w->info.weights_bytes,
                                  .body_bytes = w->info.body_bytes,
                                  .head_bytes = w->info.head_bytes,
                                  .kv_position_bytes = w->info.kv_position_bytes,
                                  .memory_bytes = memory_available(),
                                  .n_vocab = (uint32_t)w->info.shape.n_vocab,
                                  .n_ctx_max = (uint32_t)w->info.shape.n_ctx,
                                  .max_rows = (uint32_t)worker_max_rows(w),
                                  .max_jobs = MAX_JOBS,
                                  .threads = (uint32_t)w->info.n_threads,
                                  .cpu = cpu,
                                  .read_bytes_per_s = c->read_bytes_per_s,
                                  .entry_from = (uint32_t)w->info.entry_from,
                                  .entry_to = (uint32_t)w->info.entry_to,
                                  .n_heads = (uint32_t)w->info.n_heads,
                                  .gather_bytes = w->info.gather_bytes,
                                  .gather_float_bytes = w->info.gather_float_bytes,
                                  .device = device->name,
                                  .device_bytes = device->about.memory_bytes}};
    return worker_post(w, PEER_COORDINATOR, &m, err);
}

/* The keys of the model's file, for a coordinator that has none. */
static int send_metadata(struct worker *w, struct err *err)
{
    size_t n = 0;
    uint8_t *keys = engine_metadata(w->engine, &n);
    if (!keys) return err_set(err, E_LAYOUT, "out of memory for a vocabulary");
    uint32_t n_parts = (uint32_t)((n + METADATA_PART - 1) / METADATA_PART);
    int rc = OK;
    for (uint32_t i = 0; i < n_parts && rc == OK; i++) {
        size_t from = (size_t)i * METADATA_PART, left = n - from;
        struct metadata_part part = {i, n_parts, keys + from, left < METADATA_PART ? left : METADATA_PART};
        rc = worker_post(w, PEER_COORDINATOR, &(struct message){.tag = TAG_METADATA, .metadata = part}, err);
    }
    free(keys);
    return rc;
}

/* Room for the largest message of this group: the hidden rows of a pass. */
static int init_arenas(struct worker *w, struct err *err)
{
    size_t hidden = (size_t)worker_pass_rows(w) * (size_t)w->info.shape.n_embd * sizeof(float);
    size_t size = JOB_ARENA + (group_n_peers(w->group) > 1 ? 3 * hidden : 0);
    wire_arena_free(&w->in);
    wire_arena_free(&w->out);
    int rc = wire_arena_init(&w->in, size, err);
    return rc == OK ? wire_arena_init(&w->out, size, err) : rc;
}

static const char *or_else(const char *share, const char *other)
{
    return *share ? share : other;
}

/* Another share of the same model. */
static int take_share(struct worker *w, const struct welcome *welcome, struct err *err)
{
    const struct worker_config *c = w->config;
    engine_close(w->engine);
    w->engine = NULL;
    return open_engine(w, or_else(welcome->stage_share, c->stage_share), or_else(welcome->shard_share, c->shard_share),
                       err);
}

/* Hello, and the answer. */
static int be_welcomed(struct worker *w, struct welcome *out, struct err *err)
{
    struct message m;
    int rc = say_hello(w, err);
    do { /* a Pass or a Token is of a job before, over the same ranks */
        if (rc == OK) rc = worker_next(w, &w->in, UINT64_MAX, &m, err);
        if (rc != OK || w->quit) return rc;
    } while (m.tag == TAG_PASS || m.tag == TAG_TOKEN);
    if (m.tag != TAG_WELCOME)
        return err_set(err, E_PEER, "peer %d: expected Welcome, got %s", w->config->peer, wire_tags[m.tag].name);
    *out = m.welcome;
    return OK;
}

/* Hello, Welcome, (again with another share,) Loading ..., Ready. */
static int introduce(struct worker *w, struct err *err)
{
    struct welcome welcome = {0};
    int rc = w->config->sends_metadata ? send_metadata(w, err) : OK;
    if (rc == OK) rc = be_welcomed(w, &welcome, err);
    if (rc == OK && !w->quit && (*welcome.stage_share || *welcome.shard_share)) {
        rc = take_share(w, &welcome, err);
        if (rc == OK) rc = be_welcomed(w, &welcome, err);
    }
    if (rc != OK || w->quit) return rc;
    rc = slots_init(&w->slots, (int)welcome.n_slots, (int)welcome.n_ctx, welcome.root, err);
    if (rc == OK) rc = engine_load(w->engine, (int)welcome.n_slots, (int)welcome.n_ctx, err);
    if (rc == OK) rc = init_arenas(w, err);
    if (rc != OK) return rc;
    w->pulse.heard_ns = w->pulse.looked_ns = clock_now_ns();
    links_begin(&w->links, &w->config->layout, w->config->peer, w->pulse.heard_ns);
    return worker_post(w, PEER_COORDINATOR, &(struct message){.tag = TAG_READY, .ready = {welcome.epoch}}, err);
}

static int serve(struct worker *w, struct err *err)
{
    return is_verifier(w) ? verifier_serve(w, err) : drafter_serve(w, err);
}

/* The coordinator prints the cause and answers with Quit within wait_ms (below 0: when the job ends). Whether it did:
 * then nobody else is to print it. */
static bool tell_failure(struct mailbox *mailbox, const struct err *cause, int wait_ms)
{
    _Alignas(16) uint8_t room[WIRE_LAST_WORDS]; /* the memory for messages may be what is missing */
    struct wire_arena arena = {.base = room, .size = sizeof room};
    struct err ignored;
    struct message m = {.tag = TAG_FAIL, .fail = {(uint32_t)cause->code, cause->text}};
    const uint8_t *data;
    size_t n_bytes;
    if (wire_encode(&arena, &m, &data, &n_bytes, &ignored) != OK) return false;
    if (mailbox_post(mailbox, PEER_COORDINATOR, TAG_FAIL, data, n_bytes, &ignored) != OK) return false;
    struct mail mail;
    bool quit = false;
    for (; !quit && mailbox_wait(mailbox, &mail, wait_ms, &ignored) == OK; mail_free(&mail))
        quit = mail.tag == TAG_QUIT; /* whatever else comes, sense or not, is of no use any more */
    return quit;
}

void worker_refuse(struct mailbox *mailbox, struct err *why)
{
    if (tell_failure(mailbox, why, SILENCE_S * 1000)) why->text[0] = 0;
}

static int no_model(const struct worker *w, struct err *err)
{
    return err_set(
        err, E_USAGE,
        "rank %d is a %s here, but has no model for that: ranks are the coordinator, the drafter where a little "
        "model drafts, then the verifiers",
        layout_rank(&w->config->layout, w->config->peer), is_verifier(w) ? "verifier" : "drafter");
}

/* Over ranks a file may be missing on one host alone. */
static int check_readable(const struct worker *w, struct err *err)
{
    const struct layout *l = &w->config->layout;
    int rank = layout_rank(l, w->config->peer), n_behind = l->n_ranks - 1 - rank;
    char host[256] = "", behind[48] = "";
    if (l->n_ranks == 1 || access(w->config->path, R_OK) == 0) return OK;
    const char *why = strerror(errno);
    gethostname(host, sizeof host - 1);
    if (n_behind) snprintf(behind, sizeof behind, " : -n %d pilotfish ...", n_behind);
    return err_set(err, E_MODEL,
                   "%s: cannot be opened: %s (host %s, rank %d). Do: put it there too, or give that rank a path of its "
                   "own: %s -n %d pilotfish ... : -n 1 pilotfish worker --model FILE%s",
                   w->config->path, why, host, rank, launcher_script(), rank, behind);
}

static int pick_device(struct worker *w, struct err *err)
{
    char host[256] = "";
    int rc = device_pick(&w->device, &w->config->device, err);
    gethostname(host, sizeof host - 1);
    return rc == OK ? OK : err_wrap(err, "host %s", host);
}

int worker_run(const struct worker_config *config, struct mailbox *mailbox, struct err *err)
{
    struct worker w = {.config = config, .group = layout_group(&config->layout, config->peer), .mailbox = mailbox};
    int rc = wire_arena_init(&w.in, JOB_ARENA, err);
    if (rc == OK) rc = wire_arena_init(&w.out, JOB_ARENA, err);
    if (rc == OK && config->path && !config->synthetic) rc = check_readable(&w, err);
    if (rc == OK && config->path && !config->synthetic) rc = pick_device(&w, err);
    if (rc == OK)
        rc = config->path ? open_engine(&w, config->stage_share, config->shard_share, err) : no_model(&w, err);
    if (rc == OK) rc = introduce(&w, err);
    if (rc == OK && !w.quit) rc = serve(&w, err);
    bool told = w.quit || w.pulse.quit_ns; /* there is nobody left to tell */
    /* Texts go on without a drafter, and nothing is sent to it until the end. */
    if (rc != OK && !told && !w.pulse.alone) told = tell_failure(mailbox, err, is_verifier(&w) ? SILENCE_S * 1000 : -1);
    if (rc != OK && told) err->text[0] = 0;
    if (!config->collective || !config->collective->broken) engine_close(w.engine); /* else MPI may have its buffers */
    worker_drop_kept(&w);
    slots_free(&w.slots);
    wire_arena_free(&w.in);
    wire_arena_free(&w.out);
    return rc;
}
