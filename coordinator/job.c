#include "coordinator/job.h"

#include <assert.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/alive.h"
#include "coordinator/cli/note.h"
#include "coordinator/cli/trace.h"
#include "coordinator/fit.h"
#include "coordinator/loop.h"
#include "coordinator/shares.h"
#include "coordinator/workers.h"
#include "proto/clock.h"
#include "proto/launcher.h"
#include "proto/prefix_hash.h"

enum { ARENA = 1 << 20, TICK_MS = 200 };

struct job {
    struct job_config c;
    struct router *router; /* borrows */
    struct mailbox *mailbox;
    struct wire_arena in, out;
    struct workers workers;
    struct alive *alive; /* owns */

    uv_loop_t loop;
    uv_async_t mail_came;
    uv_signal_t on_int, on_term;
    uv_timer_t ticks, looks; /* ticks: for progress; looks: whether all are alive */
    bool has_guest;

    struct draft_profile profiles[GROUPS_MOST];     /* from all texts of a group so far */
    struct job_link up[MAX_PEERS], down[MAX_PEERS]; /* by peer */
    struct score *score;                            /* during job_score */
    struct spec *spec;                              /* once the workers are ready */
    bool stepping;                                  /* its actions are being carried out */
    struct trace *trace;                            /* borrowed; NULL: none */
    const struct job_watch *watch;                  /* of this run, as are its sequences */
    struct seq *seqs;
    int n_seqs;
    int rc; /* the first thing that went wrong */
    struct err err;
};

uint64_t job_root(uint64_t vocab_big)
{
    return prefix_hash_mix(vocab_big);
}

static void fail(struct job *j, const struct err *err)
{
    if (j->rc != OK) return;
    j->rc = err->code;
    j->err = *err;
}

/* rule: of the text that it belongs to; NULL: none, or not known. */
static void show_message(const struct job *j, int peer, const struct message *m, const struct rule *rule)
{
    const struct layout *l = &j->c.layout;
    int group = layout_i_verifier(l, peer);
    if (j->watch && j->watch->message) j->watch->message(j->watch->arg, group, m, clock_now_ns());
    if (!j->trace) return;
    const struct trace_link link = {group, layout_i_drafter(l, peer), alive_worker_rtt_ns(j->alive, peer), rule};
    trace_message(j->trace, clock_now_ns(), &link, m);
}

static void count(struct job_link *link, size_t n_bytes)
{
    link->n_messages++;
    link->n_bytes += n_bytes;
}

static int post(struct job *j, int peer, const struct message *m, const struct rule *rule, struct err *err)
{
    const uint8_t *data;
    size_t n_bytes;
    int rc = wire_encode(&j->out, m, &data, &n_bytes, err);
    alive_sent(j->alive, peer);
    if (rc == OK) count(&j->up[peer], n_bytes);
    if (rc == OK) show_message(j, peer, m, rule);
    return rc == OK ? mailbox_post(j->mailbox, peer, m->tag, data, n_bytes, err) : rc;
}

static struct workers_need need_of(const struct job *j)
{
    int n_slots = layout_group_slots(layout_n_verifiers(&j->c.layout), j->c.n_slots);
    return (struct workers_need){j->c.vocab_big, j->c.vocab_little, n_slots, j->c.n_ctx};
}

static int welcome(struct job *j, int peer, const struct shares *shares, struct err *err)
{
    const struct message m = {.tag = TAG_WELCOME,
                              .welcome = {.epoch = EPOCH,
                                          .root = job_root(j->c.vocab_big),
                                          .n_slots = (uint32_t)workers_n_slots(&j->workers, peer),
                                          .n_ctx = (uint32_t)j->workers.n_ctx,
                                          .stage_share = shares->stages,
                                          .shard_share = shares->shards}};
    alive_await(j->alive, peer, j->c.start_s);
    return post(j, peer, &m, NULL, err);
}

static int welcome_all(struct job *j, struct err *err)
{
    static const struct shares as_they_are;
    const struct workers_need need = need_of(j);
    int rc = fit_check(&j->workers, &need, err);
    for (int p = PEER_COORDINATOR + 1; p < j->c.layout.n_peers && rc == OK; p++) rc = welcome(j, p, &as_they_are, err);
    return rc;
}

/* The verifiers of each group take the shares that suit them. Where none fit, fit_check decides about those that they
 * have. */
static int send_shares(struct job *j, struct err *err)
{
    const struct workers_need need = need_of(j);
    struct shares shares;
    int rc = OK;
    workers_set_context(&j->workers, &need);
    for (int i = 0; i < layout_n_verifiers(&j->c.layout) && rc == OK; i++) {
        const struct group *g = layout_verifier(&j->c.layout, i);
        if (!shares_choose(&shares, &j->workers, i, j->c.auto_stages, j->c.auto_shards)) continue;
        for (int k = 0; k < group_n_peers(g) && rc == OK; k++) rc = welcome(j, g->first_peer + k, &shares, err);
        workers_expect_again(&j->workers, i);
    }
    return rc;
}

/* ---- how far it is ---- */

static void clear_progress(struct job *j)
{
    if (j->c.progress) progress_clear(j->c.progress);
}

static void show_turn(struct job *j, uint64_t now_ns)
{
    int n_done = 0, n_read, n_ids;
    if (j->watch->writing && j->watch->writing(j->watch->arg)) return;
    for (int i = 0; i < j->n_seqs; i++) n_done += j->seqs[i].state == SEQ_DONE;
    if (j->n_seqs > 1)
        progress_show(j->c.progress, "answered", "prompts", (uint64_t)n_done, (uint64_t)j->n_seqs, now_ns);
    else if (spec_reading(j->spec, &n_read, &n_ids))
        progress_show(j->c.progress, "reading the prompt", "tokens", (uint64_t)n_read, (uint64_t)n_ids, now_ns);
    else
        progress_show(j->c.progress, "writing", "tokens", (uint64_t)seq_n_generated(j->seqs), 0, now_ns);
}

static void on_tick(uv_timer_t *handle)
{
    struct job *j = handle->data;
    uint64_t now_ns = clock_now_ns();
    if (j->workers.n_ready < j->workers.n)
        progress_show(j->c.progress, "loading", NULL, workers_loaded_bytes(&j->workers),
                      workers_weights_bytes(&j->workers), now_ns);
    else if (j->score)
        progress_show(j->c.progress, "read", "windows", (uint64_t)score_n_done(j->score),
                      (uint64_t)score_n_windows(j->score), now_ns);
    else if (j->n_seqs)
        show_turn(j, now_ns);
}

/* ---- messages and actions ---- */

static int show(struct job *j, int (*look)(void *arg, const struct seq *s, struct err *err), const struct seq *s,
                struct err *err)
{
    if (look) clear_progress(j);
    return look ? look(j->watch->arg, s, err) : OK;
}

static int carry_out(struct job *j, const struct actions *actions, struct err *err)
{
    int rc = OK;
    for (size_t i = 0; i < actions->n && rc == OK; i++) {
        const struct action *a = &actions->list[i];
        switch (a->kind) {
        case ACTION_POST:
            rc = post(j, a->peer, &a->message, a->seq ? &a->seq->request.settings.rule : NULL, err);
            break;
        case ACTION_TOKENS: rc = show(j, j->watch->tokens, a->seq, err); break;
        case ACTION_DONE: rc = show(j, j->watch->done, a->seq, err); break;
        }
    }
    return rc;
}

static int step(struct job *j, struct event event, struct err *err)
{
    struct actions actions; /* the spec's, until its next step */
    assert(!j->stepping);
    j->stepping = true;
    event.now_ns = clock_now_ns();
    int rc = spec_step(j->spec, &event, &actions, err);
    if (rc == OK) rc = carry_out(j, &actions, err);
    j->stepping = false;
    return rc;
}

static int step_score(struct job *j, const struct verdict *verdict, struct err *err)
{
    const struct message *messages;
    int n = 0, rc = score_step(j->score, verdict, &messages, &n, err);
    for (int i = 0; i < n && rc == OK; i++)
        rc = post(j, group_leader(layout_verifier(&j->c.layout, 0)), &messages[i], NULL, err);
    return rc;
}

/* Verdicts come from the first shard of the last stage, and refusals from the leader: but a gap from either, as the
 * last one says that of what was dropped under way. Answers to a run that is over are of no use any more. */
static int on_answer(struct job *j, int from, const struct message *m, struct err *err)
{
    const struct group *g = layout_group(&j->c.layout, from);
    if (!j->workers.seen[from].hello) return OK; /* of a job before, over the same ranks */
    bool refused = m->tag == TAG_VERDICT && m->verdict.status != VERDICT_OK;
    bool at_leader = drafter_is_leader(j->c.layout.drafter);
    bool from_drafter = g->role == ROLE_DRAFTER || (at_leader && from == group_leader(g));
    bool failed = refused && m->verdict.status == VERDICT_FAILED; /* the leader says so of what would go on from it */
    bool gap = refused && m->verdict.status == VERDICT_GAP;
    bool answers = from == group_last(g) && (failed || gap || !refused);
    bool from_verifier = g->role == ROLE_VERIFIER && (answers || (refused && from == group_leader(g)));
    if (j->workers.n_ready < j->workers.n || !(m->tag == TAG_DRAFT ? from_drafter : from_verifier))
        return err_set(err, E_PEER, "peer %d sends an unexpected %s", from, wire_tags[m->tag].name);
    if (m->tag == TAG_VERDICT && j->score) return step_score(j, &m->verdict, err);
    struct event event = {.kind = EVENT_VERDICT, .verdict = &m->verdict};
    if (m->tag == TAG_DRAFT) event = (struct event){.kind = EVENT_DRAFT, .draft = &m->draft};
    if (g->role == ROLE_VERIFIER)
        event.group = layout_i_verifier(&j->c.layout, from);
    else
        event.drafter = layout_i_drafter(&j->c.layout, from);
    return step(j, event, err);
}

/* A drafter that served and cannot go on is no more than drafts that do not come. */
static int lose(struct job *j, int peer, const struct err *why, struct err *err)
{
    int drafter = layout_i_drafter(&j->c.layout, peer);
    if (drafter < 0 || !j->spec) {
        *err = *why;
        return why->code;
    }
    alive_lose(j->alive, peer);
    clear_progress(j);
    note("%s; %sexact and sampled texts go on without drafts", why->text,
         layout_n_drafters(&j->c.layout) > 1 ? "its " : "");
    return step(j, (struct event){.kind = EVENT_DRAFTER_LOST, .drafter = drafter, .why = why->text}, err);
}

static int on_fail(struct job *j, int from, const struct fail *fail, struct err *err)
{
    struct err why;
    wire_fail(fail, from, &why);
    if (why.code == E_PEER) alive_wrap(j->alive, from, &why);
    if (layout_group(&j->c.layout, from)->role == ROLE_DRAFTER && j->spec) err_wrap(&why, "the drafter failed");
    return lose(j, from, &why, err);
}

static int on_ready(struct job *j, int from, const struct ready *ready, struct err *err)
{
    int rc = workers_ready(&j->workers, from, ready, err);
    if (rc == OK) alive_begin(j->alive, from);
    return rc;
}

static int on_pong(struct job *j)
{
    for (int i = 0; j->spec && i < layout_n_verifiers(&j->c.layout); i++)
        spec_set_link(j->spec, i, (struct spec_link){alive_rtt_ns(j->alive, i), alive_bytes_ns(j->alive, i)});
    return OK;
}

static int on_message(struct job *j, int from, const struct message *m, struct err *err)
{
    switch (m->tag) {
    case TAG_HELLO: return workers_hello(&j->workers, from, &m->hello, err);
    case TAG_READY: return on_ready(j, from, &m->ready, err);
    case TAG_PONG: return on_pong(j);
    case TAG_LOADING: return workers_loading(&j->workers, from, m->loading.n_bytes, err);
    case TAG_FAIL: return on_fail(j, from, &m->fail, err);
    case TAG_DRAFT:
    case TAG_VERDICT: return on_answer(j, from, m, err);
    default: return err_set(err, E_PEER, "peer %d sends an unexpected %s", from, wire_tags[m->tag].name);
    }
}

static void on_mail(uv_async_t *handle)
{
    struct job *j = handle->data;
    struct mail mail;
    struct message m;
    struct err err = {0};
    while (j->rc == OK) {
        int rc = mailbox_poll(j->mailbox, &mail, &err);
        if (rc == MAIL_NONE) return;
        if (rc == OK && alive_is_lost(j->alive, mail.from)) {
            mail_free(&mail);
            continue;
        }
        if (rc == OK) {
            int from = mail.from, tag = mail.tag;
            size_t n_bytes = mail.n_bytes;
            rc = wire_decode(&j->in, mail.tag, mail.data, mail.n_bytes, &m, &err);
            mail_free(&mail);
            if (rc == OK && (from <= PEER_COORDINATOR || from >= j->c.layout.n_peers))
                rc = err_set(&err, E_PEER, "a message from peer %d", from);
            if (rc == OK) alive_heard(j->alive, from, &m);
            if (rc == OK && tag != TAG_PONG) count(&j->down[from], n_bytes);
            if (rc == OK) show_message(j, from, &m, NULL);
            if (rc == OK) rc = on_message(j, from, &m, &err);
        }
        if (rc != OK) fail(j, &err);
    }
}

int job_terminated(const struct job *j, struct err *err)
{
    if (j->c.layout.n_ranks == 1) return err_set(err, E_TERMINATED, "terminated");
    int rank, signum;
    if (!launcher_lost(&rank, &signum) || rank <= 0 || rank >= j->c.layout.n_ranks)
        return err_set(err, E_PEER, "the launcher ended this job: a rank was lost, or the launcher was told to stop");
    int peer = layout_peer(&j->c.layout, rank);
    const char *name = signum > 0 ? sigabbrev_np(signum) : NULL;
    char by[40] = "";
    struct worker_name who;
    snprintf(who.text, sizeof who.text, "rank %d", rank);
    if (*j->workers.seen[peer].host) who = workers_name(&j->workers, peer);
    if (name)
        snprintf(by, sizeof by, " to signal %d (%s)", signum, name);
    else if (signum > 0)
        snprintf(by, sizeof by, " to signal %d", signum);
    return err_set(err, E_PEER, "%s was lost%s", who.text, by);
}

static void on_signal(uv_signal_t *handle, int signum)
{
    struct job *j = handle->data;
    struct err err;
    if (signum == SIGINT && j->n_seqs && j->c.interruptible) {
        if (step(j, (struct event){.kind = EVENT_CANCEL}, &err) != OK) fail(j, &err);
        return;
    }
    if (signum == SIGTERM)
        job_terminated(j, &err);
    else
        err_set(&err, E_INTERRUPT, "interrupted");
    fail(j, &err);
}

static enum heartbeat_awaits awaited(const struct job *j, int group)
{
    if (j->score && group == 0) return AWAITS_VERDICTS;
    if (!j->spec || !spec_runs(j->spec, group)) return AWAITS_NOTHING;
    return spec_awaits_verdicts(j->spec, group) ? AWAITS_VERDICTS : AWAITS_DRAFTS;
}

/* A worker is silent for too long, or a link, or none works on what is unfinished. */
static void on_look(uv_timer_t *handle)
{
    struct job *j = handle->data;
    enum heartbeat_awaits awaits[GROUPS_MOST];
    struct heartbeat_found found;
    struct err why, err;
    for (int i = 0; i < layout_n_verifiers(&j->c.layout); i++) awaits[i] = awaited(j, i);
    if (alive_look(j->alive, awaits, &found, &why) == OK) return;
    if (j->c.on_lost) j->c.on_lost(j->c.on_lost_arg);
    if (found.loss != LOST_WORKER)
        fail(j, &why);
    else if (lose(j, found.peer, &why, &err) != OK)
        fail(j, &err);
}

static void wake(void *mail_came)
{
    uv_async_send(mail_came);
}

/* Runs the loop until *count is that of all workers, or something goes wrong. */
static int run_until(struct job *j, const int *count)
{
    while (j->rc == OK && *count < j->workers.n) uv_run(&j->loop, UV_RUN_ONCE);
    return j->rc;
}

/* ---- open, run, close ---- */

static void watch_signals(struct job *j)
{
    uv_signal_start(&j->on_int, on_signal, SIGINT);
    uv_signal_start(&j->on_term, on_signal, SIGTERM);
}

/* While the loop does not run, signals do what they do to any program. */
static void leave_signals(struct job *j)
{
    uv_signal_stop(&j->on_int);
    uv_signal_stop(&j->on_term);
}

static int watch_loop(struct job *j, struct err *err)
{
    uv_handle_t *handles[] = {(uv_handle_t *)&j->mail_came, (uv_handle_t *)&j->on_int, (uv_handle_t *)&j->on_term,
                              (uv_handle_t *)&j->ticks, (uv_handle_t *)&j->looks};
    int rc = loop_open(&j->loop, err);
    if (rc != OK) return rc;
    rc = uv_async_init(&j->loop, &j->mail_came, on_mail);
    if (rc == 0) rc = uv_signal_init(&j->loop, &j->on_int);
    if (rc == 0) rc = uv_signal_init(&j->loop, &j->on_term);
    if (rc) {
        loop_close(&j->loop);
        return err_set(err, E_LAYOUT, "cannot start the event loop: %s", uv_strerror(rc));
    }
    uv_timer_init(&j->loop, &j->ticks);
    uv_timer_init(&j->loop, &j->looks);
    for (size_t i = 0; i < sizeof handles / sizeof *handles; i++) handles[i]->data = j;
    if (j->c.progress) uv_timer_start(&j->ticks, on_tick, TICK_MS, TICK_MS);
    watch_signals(j);
    return OK;
}

void job_close(struct job *j)
{
    if (!j) return;
    if (j->has_guest) j->c.guest.close(j->c.guest.arg);
    alive_close(j->alive);
    mailbox_close(j->mailbox); /* first: its wake hook names the loop */
    loop_close(&j->loop);
    spec_close(j->spec);
    wire_arena_free(&j->in);
    wire_arena_free(&j->out);
    workers_free(&j->workers);
    free(j);
}

/* For a device the whole head is little beside a step's delays, and it writes several ids at once only where all of a
 * text's are below the limit. */
static int n_proposed(const struct job *j)
{
    const char *device = workers_drafter(&j->workers)->device;
    return device && *device ? j->c.n_ids : j->c.n_proposed; /* NULL: no drafter */
}

static int open_spec(struct job *j, struct err *err)
{
    const struct group *drafter = layout_drafter(&j->c.layout, 0);
    struct spec_config c = {
        .n_ctx = j->workers.n_ctx,
        .root = job_root(j->c.vocab_big),
        .drafter = {.kind = j->c.layout.drafter,
                    .peer = drafter ? group_leader(drafter) : PEER_COORDINATOR,
                    .n = layout_n_drafters(&j->c.layout),
                    .prior = workers_cost_prior(&j->workers, n_proposed(j)),
                    .shares_cores = workers_share_cores(&j->workers),
                    .n_ids = j->c.n_ids,
                    .n_proposed = n_proposed(j)},
        .n_groups = layout_n_verifiers(&j->c.layout),
        .self_max = j->c.self_max,
        .prompt_rows = j->c.prompt_rows,
        .stops = j->c.stops,
    };
    for (int i = 0; i < c.n_groups; i++) {
        const struct hello *leader = workers_leader(&j->workers, i);
        c.groups[i] = (struct spec_group){.peer = group_leader(layout_verifier(&j->c.layout, i)),
                                          .n_slots = j->workers.n_slots,
                                          .max_rows = (int)leader->max_rows,
                                          .max_jobs = (int)leader->max_jobs,
                                          .n_vocab = (int)leader->n_vocab,
                                          .profile = &j->profiles[i]};
    }
    return spec_open(&j->spec, &c, err);
}

static int open_guest(struct job *j, struct err *err)
{
    const struct job_guest *guest = &j->c.guest;
    if (!guest->open) return OK;
    int rc = guest->open(guest->arg, &j->loop, err);
    j->has_guest = rc == OK;
    return rc;
}

int job_open(struct job **out, const struct job_config *config, struct router *router, struct err *err)
{
    struct job *j = calloc(1, sizeof *j);
    if (!j) return err_set(err, E_FAIL, "out of memory");
    j->c = *config;
    j->router = router;
    int rc = watch_loop(j, err);
    if (rc != OK) {
        free(j);
        return rc;
    }
    rc = workers_init(&j->workers, &config->layout, config->host_of, err);
    if (rc == OK) rc = alive_open(&j->alive, router, &j->workers, err);
    if (rc == OK) rc = wire_arena_init(&j->in, ARENA, err);
    if (rc == OK) rc = wire_arena_init(&j->out, ARENA, err);
    if (rc == OK) j->mailbox = router_mailbox(router, PEER_COORDINATOR, wake, &j->mail_came);
    if (rc == OK && !j->mailbox) rc = err_set(err, E_FAIL, "out of memory");
    if (rc == OK) rc = open_guest(j, err);
    if (rc == OK) {
        uv_timer_start(&j->looks, on_look, LOOK_MS, LOOK_MS);
        for (int p = PEER_COORDINATOR + 1; p < config->layout.n_peers; p++) alive_await(j->alive, p, config->start_s);
        uv_async_send(&j->mail_came); /* messages that came before the hook was there */
        rc = run_until(j, &j->workers.n_hello);
        if (rc == OK && (config->auto_stages || config->auto_shards)) {
            rc = send_shares(j, &j->err);
            if (rc == OK) rc = run_until(j, &j->workers.n_hello);
        }
        if (rc == OK) rc = welcome_all(j, &j->err);
        if (rc == OK) rc = run_until(j, &j->workers.n_ready);
        clear_progress(j);
        if (rc != OK) *err = j->err;
        if (rc == OK) rc = open_spec(j, err);
        if (config->interruptible) leave_signals(j);
    }
    if (rc != OK)
        job_close(j);
    else
        *out = j;
    return rc;
}

void job_info(const struct job *j, struct job_info *out)
{
    const struct workers *w = &j->workers;
    *out = (struct job_info){.n_workers = w->n,
                             .n_threads = (int)workers_leader(w, 0)->threads,
                             .n_groups = layout_n_verifiers(&j->c.layout),
                             .n_slots = w->n_slots * layout_n_verifiers(&j->c.layout),
                             .n_ctx = w->n_ctx,
                             .weights_bytes = workers_weights_bytes(w),
                             .kv_bytes = workers_kv_bytes(w),
                             .little_bytes = workers_drafter(w)->weights_bytes,
                             .big = workers_leader(w, 0)->model,
                             .little = workers_drafter(w)->model,
                             .plan = workers_leader(w, 0)->plan,
                             .arithmetic = workers_leader(w, 0)->arithmetic};
}

void job_list_workers(const struct job *j, FILE *to)
{
    workers_list(&j->workers, to);
}

bool job_device_note(const struct job *j, int i, bool chosen, char *line, size_t size)
{
    return workers_device_note(&j->workers, i, chosen, line, size);
}

void job_list_links(const struct job *j, FILE *to)
{
    alive_list(j->alive, to);
}

void job_worker(const struct job *j, int i, struct job_worker *out)
{
    int peer = PEER_COORDINATOR + 1 + i;
    const struct group *g = layout_group(&j->c.layout, peer);
    const struct worker_seen *seen = &j->workers.seen[peer];
    *out = (struct job_worker){.role = g->role,
                               .rank = layout_rank(&j->c.layout, peer),
                               .group = g->role == ROLE_VERIFIER ? layout_i_verifier(&j->c.layout, peer) : 0,
                               .stage = group_stage(g, peer),
                               .shard = group_shard(g, peer),
                               .n_threads = (int)seen->h.threads,
                               .host = seen->host,
                               .weights_bytes = seen->h.weights_bytes,
                               .rtt_ns = alive_worker_rtt_ns(j->alive, peer),
                               .up = j->up[peer],
                               .down = j->down[peer]};
    alive_worker_times(j->alive, peer, &out->busy_us, &out->ready_us);
}

struct uv_loop_s *job_loop(struct job *j)
{
    return &j->loop;
}

int job_error(const struct job *j, struct err *err)
{
    if (j->rc != OK) *err = j->err;
    return j->rc;
}

void job_set_trace(struct job *j, struct trace *trace)
{
    j->trace = trace;
}

void job_set_watch(struct job *j, const struct job_watch *watch)
{
    j->watch = watch;
}

int job_submit(struct job *j, struct seq *s, struct err *err)
{
    return step(j, (struct event){.kind = EVENT_SUBMIT, .seq = s}, err);
}

int job_cancel(struct job *j, struct seq *s, struct err *err)
{
    return step(j, (struct event){.kind = EVENT_CANCEL, .seq = s}, err);
}

static bool all_done(const struct job *j)
{
    for (int i = j->n_seqs; i-- > 0;)
        if (j->seqs[i].state != SEQ_DONE) return false;
    return true;
}

int job_run(struct job *j, struct seq *seqs, int n_seqs, const struct job_watch *watch, struct err *err)
{
    struct err why;
    job_set_watch(j, watch);
    watch_signals(j); /* before anything begins */
    j->seqs = seqs;
    j->n_seqs = n_seqs;
    for (int i = 0; i < n_seqs && j->rc == OK; i++)
        if (job_submit(j, &seqs[i], &why) != OK) fail(j, &why);
    while (j->rc == OK && !all_done(j)) uv_run(&j->loop, UV_RUN_ONCE);
    if (j->c.interruptible) leave_signals(j);
    j->n_seqs = 0;
    if (j->c.progress) progress_part_over(j->c.progress);
    return job_error(j, err);
}

int job_look(struct job *j, struct err *err)
{
    uv_run(&j->loop, UV_RUN_NOWAIT);
    return job_error(j, err);
}

struct draft_profile *job_profile(struct job *j, int group)
{
    return &j->profiles[group];
}

int job_measure_links(struct job *j, struct err *err)
{
    alive_forget_rtts(j->alive);
    while (j->rc == OK && !alive_has_rtts(j->alive)) uv_run(&j->loop, UV_RUN_ONCE);
    return job_error(j, err);
}

struct job_traffic job_traffic(const struct job *j)
{
    struct job_traffic traffic = {0};
    for (int p = PEER_COORDINATOR + 1; p < j->c.layout.n_peers; p++) {
        if (layout_group(&j->c.layout, p)->role != ROLE_VERIFIER) continue;
        traffic.bytes_up += j->up[p].n_bytes;
        traffic.bytes_down += j->down[p].n_bytes;
    }
    return traffic;
}

uint64_t job_rtt_ns(const struct job *j, int group)
{
    return alive_rtt_ns(j->alive, group);
}

int job_score(struct job *j, const struct score_config *config, struct score **out, struct err *err)
{
    struct score_config c = *config;
    struct err started;
    const struct hello *leader = workers_leader(&j->workers, 0); /* one group reads all of it */
    c.n_slots = j->workers.n_slots;
    c.max_rows = (int)leader->max_rows;
    c.max_jobs = (int)leader->max_jobs;
    c.n_vocab = (int)leader->n_vocab;
    c.root = job_root(j->c.vocab_big);
    int rc = score_open(&j->score, &c, err);
    if (rc != OK) return rc;
    *out = j->score;
    if (step_score(j, NULL, &started) != OK) fail(j, &started);
    while (j->rc == OK && score_n_done(*out) < score_n_windows(*out)) uv_run(&j->loop, UV_RUN_ONCE);
    j->score = NULL;
    clear_progress(j);
    if (j->rc != OK) *err = j->err;
    return j->rc;
}

void job_quit(struct router *router, const struct layout *l, int code, const char *text)
{
    _Alignas(16) uint8_t room[WIRE_LAST_WORDS];
    struct wire_arena arena = {.base = room, .size = sizeof room};
    struct err ignored;
    struct message m = {.tag = TAG_QUIT, .fail = {(uint32_t)code, text}};
    const uint8_t *data;
    size_t n_bytes;
    if (wire_encode(&arena, &m, &data, &n_bytes, &ignored) != OK) n_bytes = 0;
    for (int p = PEER_COORDINATOR + 1; p < l->n_peers; p++) {
        struct mail quit = {.from = PEER_COORDINATOR, .to = p, .tag = TAG_QUIT, .data = malloc(n_bytes)};
        if (quit.data) memcpy(quit.data, data, quit.n_bytes = n_bytes); /* without memory for its words it is a Quit */
        router_deliver(router, &quit, &ignored);
    }
    router_hurry(router);
}
