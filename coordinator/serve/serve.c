#include "coordinator/serve/serve.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/cli/marks.h"
#include "coordinator/cli/note.h"
#include "coordinator/serve/routes.h"
#include "coordinator/text/json_text.h"
#include "proto/launcher.h"
#include "proto/prefix_hash.h"
#include "proto/show.h"

enum { LOOK_MS = 1000, FAILED_MS = 2000, SAME_SIGNAL_MS = 1000 };

static const int signals[] = {SIGINT, SIGTERM, SIGUSR2};
enum { N_SIGNALS = sizeof signals / sizeof *signals };

struct serve {
    struct runtime s;
    struct server v;
    struct http *http;
    uv_timer_t looks;
    uv_signal_t signals[N_SIGNALS];
    uint64_t drains_ms;    /* since when it drains */
    uint64_t until_ms;     /* while it drains, or has failed: when it ends at the latest */
    bool draining, ending; /* ending: those that drained for too long have their errors, and leave */
    int rc;
    struct err err;
    char model[1024], fingerprint[32];
};

/* ---- HTTP ---- */

static void on_request(void *arg, struct exchange *x)
{
    struct serve *z = arg;
    route(&z->v, x);
}

static void on_over(void *arg, struct exchange *x)
{
    struct serve *z = arg;
    int status = exchange_status(x);
    if (status >= 200 && status < 600) z->v.counts.n_replies[status / 100]++;
    page_over(&z->v.page, x);
    if (z->v.calls) calls_over(z->v.calls, x);
}

static int open_http(void *arg, struct uv_loop_s *loop, struct err *err)
{
    struct serve *z = arg;
    const struct http_config c = {z->s.o.host, z->s.o.port, on_request, on_over, z};
    int rc = http_open(&z->http, &c, loop, err);
    if (rc == OK) fprintf(stderr, "listening on http://%s\n", http_address(z->http));
    return rc;
}

static void close_http(void *arg)
{
    http_stop(((struct serve *)arg)->http);
}

/* ---- the end ---- */

static void set_limit(struct serve *z, uint64_t ms)
{
    z->until_ms = uv_now(job_loop(z->s.job)) + ms;
}

static void end_with(struct serve *z, const struct err *why)
{
    struct err ignored;
    if (z->rc != OK) return;
    z->rc = why->code;
    z->err = *why;
    z->v.closed = z->err.text;
    page_close(&z->v.page);
    calls_end(z->v.calls, z->err.text, job_error(z->s.job, &ignored) != OK);
    set_limit(z, FAILED_MS);
}

static void drain(struct serve *z)
{
    z->draining = true;
    z->drains_ms = uv_now(job_loop(z->s.job));
    z->v.closed = "the server is being shut down";
    set_limit(z, (uint64_t)z->s.o.drain_s * 1000);
    page_close(&z->v.page);
    calls_drain(z->v.calls, z->v.closed);
}

/* That a rank is gone, a launcher says by SIGTERM to its own children, and scripts/mpirun, which starts rank 0 itself,
 * by SIGUSR2. A second SIGTERM soon after the first is the same one, sent to a whole group of processes. */
static void on_signal(uv_signal_t *handle, int signum)
{
    struct serve *z = handle->data;
    struct err why = {0};
    bool by_launcher = signum == SIGTERM && z->s.launch->layout.n_ranks > 1 && !launcher_is_direct();
    if (by_launcher || signum == SIGUSR2)
        job_terminated(z->s.job, &why);
    else if (signum == SIGINT)
        err_set(&why, E_INTERRUPT, "interrupted");
    else if (!z->draining)
        drain(z);
    else if (uv_now(job_loop(z->s.job)) - z->drains_ms > SAME_SIGNAL_MS)
        err_set(&why, E_TERMINATED, "terminated");
    if (why.code != OK) end_with(z, &why);
}

static void on_look(uv_timer_t *handle)
{
    struct serve *z = handle->data;
    calls_look(z->v.calls);
    if (page_is_watched(&z->v.page)) page_tell(&z->v.page, server_state(&z->v));
}

/* Some are not done when --drain is over. */
static void give_up(struct serve *z)
{
    z->ending = true;
    calls_end(z->v.calls, "the server is shut down, and the answer took longer than --drain", false);
    set_limit(z, FAILED_MS);
}

static bool is_late(const struct serve *z)
{
    return uv_now(job_loop(z->s.job)) >= z->until_ms;
}

static bool is_over(const struct serve *z)
{
    if (z->rc != OK || z->ending) return is_late(z) || http_idle(z->http);
    return z->draining && calls_idle(z->v.calls);
}

static void run(struct serve *z)
{
    struct err why;
    while (!is_over(z)) {
        uv_run(job_loop(z->s.job), UV_RUN_ONCE);
        calls_go_on(z->v.calls);
        if (job_error(z->s.job, &why) != OK || calls_error(z->v.calls, &why) != OK) end_with(z, &why);
        if (z->draining && z->rc == OK && !z->ending && is_late(z)) give_up(z);
    }
}

/* ---- the beginning ---- */

/* The file's name without its folder and ending; as UTF-8, whatever bytes the file's has. */
static void name_model(struct serve *z)
{
    const char *path = z->s.o.alias ? z->s.o.alias : z->s.o.big ? z->s.o.big : z->s.big.path;
    const char *slash = z->s.o.alias ? NULL : strrchr(path, '/');
    snprintf(z->model, sizeof z->model, "%s", slash && slash[1] ? slash + 1 : path);
    char *end = strstr(z->model, ".gguf");
    if (!z->s.o.alias && end && !end[5]) *end = 0;
    json_t *name = json_text(z->model, strlen(z->model));
    if (name) snprintf(z->model, sizeof z->model, "%s", json_string_value(name));
    json_decref(name);
    z->v.model = z->model;
}

/* Of what decides a text: the build, the models and what is computed of them, the policy; not the layout. */
static void make_fingerprint(struct serve *z)
{
    char all[2048];
    const struct options *o = &z->s.o;
    const struct job_info *i = &z->s.info;
    const uint64_t parts[] = {gguf_vocab_hash(&z->s.big), i->big, i->plan, i->little, i->arithmetic};
    uint64_t h = 0;
    for (size_t k = 0; k < sizeof parts / sizeof *parts; k++) h = prefix_hash_mix(h ^ parts[k]);
    snprintf(all, sizeof all, "%s %s %d %d %g %g %d %d", PILOTFISH_VERSION, z->model, (int)o->drafter, (int)o->accept,
             (double)o->fallback, (double)o->rollback, (int)o->rollback_rule, o->draft_max);
    for (const char *c = all; *c; c++) h = prefix_hash_next(h, *c);
    for (int k = 0; k < o->n_draft_plans; k++)
        for (const char *c = o->draft_plans[k]; *c; c++) h = prefix_hash_next(h, *c);
    snprintf(z->fingerprint, sizeof z->fingerprint, "fp_%016llx", (unsigned long long)h);
    z->v.fingerprint = z->fingerprint;
}

static int prepare(struct serve *z, struct err *err)
{
    const struct options *o = &z->s.o;
    name_model(z);
    z->v.began = time(NULL);
    int rc = keys_read(&z->v.keys, o->api_key, o->api_key_file, err);
    if (rc == OK) rc = prompt_encoder_init(&z->v.encoder, o, &z->s.big, z->s.big_t, gguf_context(&z->s.big), err);
    if (rc == OK && !z->v.encoder.has_chat && !o->raw)
        note("%s has no chat template: chats are refused; --template NAME applies one", show_name(z->model).s);
    return rc;
}

static int open_calls(struct serve *z, struct err *err)
{
    const struct calls_config c = {
        .job = z->s.job,
        .from = {.o = &z->s.o, .stops = &z->s.stops, .encoder = &z->v.encoder, .model = z->v.model},
        .fingerprint = z->v.fingerprint,
        .n_ctx = z->s.info.n_ctx,
        .n_slots = z->s.o.parallel,
        .n_queued = z->s.o.queue,
        .timeout_s = z->s.o.timeout_s,
        .counts = &z->v.counts,
        .page = &z->v.page,
    };
    return calls_open(&z->v.calls, &c, err);
}

static int watch(struct serve *z, struct err *err)
{
    uv_loop_t *loop = job_loop(z->s.job);
    int rc = 0;
    z->looks.data = z;
    uv_timer_init(loop, &z->looks);
    uv_timer_start(&z->looks, on_look, LOOK_MS, LOOK_MS);
    for (int i = 0; i < N_SIGNALS && !rc; i++) {
        rc = uv_signal_init(loop, &z->signals[i]);
        z->signals[i].data = z;
        if (!rc) rc = uv_signal_start(&z->signals[i], on_signal, signals[i]);
    }
    return rc ? err_set(err, E_FAIL, "cannot watch signals: %s", uv_strerror(rc)) : OK;
}

static int serve(struct serve *z, struct err *err)
{
    int rc = prepare(z, err);
    if (rc != OK) return rc;
    z->v.s = &z->s;
    z->s.guest = (struct job_guest){open_http, close_http, z};
    rc = runtime_trace(&z->s, err);
    if (rc == OK) rc = runtime_start(&z->s, z->s.o.parallel, err);
    if (rc != OK) return rc;
    make_fingerprint(z);
    rc = open_calls(z, err);
    if (rc == OK) rc = watch(z, err);
    if (rc != OK) return rc;
    marks_line(&z->s.o, stderr);
    fprintf(stderr, "ready: %s on http://%s\n", show_name(z->model).s, http_address(z->http));
    run(z);
    if (z->rc != OK) *err = z->err;
    return z->rc;
}

int command_serve(const struct options *o, const struct launch *launch, struct err *err)
{
    struct serve *z = calloc(1, sizeof *z);
    if (!z) return err_set(err, E_FAIL, "out of memory");
    int rc = runtime_open(&z->s, o, launch, err);
    if (rc == OK) rc = serve(z, err);
    rc = runtime_close(&z->s, rc, err);
    calls_close(z->v.calls);
    http_free(z->http);
    keys_free(&z->v.keys);
    free(z);
    return rc;
}
