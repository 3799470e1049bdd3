/* soak SECONDS [SEED] -- random clusters over random networks, to which requests come and from which they go, until the
 * time is over.
 *
 * An episode is a cluster of this process on a toy, drawn from the seed: shards, stages, threads, slots, drafter, how
 * far the leader writes by itself, delays, jitter and rates of the links. Requests join its job at drawn times; some
 * are cancelled, or all at once. Then
 *
 *   no text depends on it:  a greedy or sampled text is that of the request alone, in one process without a network,
 *                           ids, ln p and best ids bit for bit; a cancelled one is its beginning. A lossy text may be
 *                           any, but ends as others do
 *   nothing is lost:        each request ends once; each token is reported once, in order, before the end; each drafted
 *                           one is judged, late or dropped, once
 *   memory is flat:         at_rest.h, after a warm-up of a quarter of the time
 *
 * It says its seed: the same seed draws the same episodes, but what happens first in one is the threads' business. */
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <uv.h>

#include "cluster.h"
#include "coordinator/job.h"
#include "proto/clock.h"
#include "proto/prefix_hash.h"
#include "tests/lib/at_rest.h"
#include "tests/lib/grid.h"
#include "tests/lib/soak_toy.h"

enum { N_TOYS = 2, GUESTS_MOST = 12, MOST_DRAFTS = 8, TICK_MS = 2, COMING_MS = 400, HANGS_S = 90, PLANS = 2 };

static const uint64_t ns_of_ms = 1000000;

struct soak {
    uint64_t seed;
    struct soak_toy toys[N_TOYS];
    const struct kernels *kernels;
    long n_episodes, n_requests, n_cancelled, n_lossy, n_tokens;
};

struct guest {      /* a request of an episode */
    struct seq seq; /* first: what the job names */
    struct episode *episode;
    const struct soak_text *text;
    bool lossy, here, cancelled;
    uint64_t come_ns, cancel_ns; /* from the episode's begin; cancel 0: never */
    int n_seen, n_done;
};

struct episode {
    struct soak *soak;
    struct soak_toy *toy;
    uint64_t random;
    enum grid_drafter drafter;
    const char *const *draft_plans; /* [PLANS] of GRID_PLAN; the second may be NULL */
    int groups, max_rows, tp, pp, threads, n_slots, self_max, dies_after;
    struct net net;
    struct layout layout;
    uint64_t cancel_all_ns; /* 0: never */
    int n_guests;
    struct guest guests[GUESTS_MOST];
    uint64_t began_ns;
    uv_timer_t ticks;
};

/* ---- what it says ---- */

static void describe(const struct episode *e, char *out, size_t size)
{
    static const char *const drafters[] = {
        [GRID_NONE] = "none", "little", "suffix", [GRID_DYING] = "dying", [GRID_PLAN] = "plan"};
    const struct net_path *p = &e->net.to[ROLE_VERIFIER];
    snprintf(out, size,
             "%s, groups %d, max-rows %d, tp %d, pp %d, %d threads, %d slots, drafter %s, self-max %d, %g ms + %g ms, "
             "%g Mbit/s%s",
             e->toy->architecture, e->groups, e->max_rows, e->tp, e->pp, e->threads, e->n_slots, drafters[e->drafter],
             e->self_max, (double)p->delay_ns * 1e-6, (double)p->jitter_ns * 1e-6, (double)p->bits_per_s * 1e-6,
             net_path_is_zero(&e->net.to[ROLE_DRAFTER]) ? "" : ", the drafter's link too");
}

/* At once: threads of the episode still run. */
__attribute__((format(printf, 2, 3), noreturn)) static void fail(const struct episode *e, const char *format, ...)
{
    char where[256], what[512];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    describe(e, where, sizeof where);
    fprintf(stderr, "soak: seed %llu, episode %ld (%s): %s\n", (unsigned long long)e->soak->seed, e->soak->n_episodes,
            where, what);
    _exit(1);
}

/* ---- what is compared ---- */

static bool same_bits(const float *a, const float *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

static bool same_token(const struct seq *a, const struct seq *b, int i)
{
    bool same = a->ids[i] == b->ids[i] && same_bits(&a->lp[i], &b->lp[i]);
    for (int k = i * SOAK_TOP; k < (i + 1) * SOAK_TOP; k++)
        same &= a->top[k].id == b->top[k].id && same_bits(&a->top[k].lp, &b->top[k].lp);
    return same;
}

static int on_tokens(void *arg, const struct seq *s, struct err *err)
{
    struct guest *g = (struct guest *)s;
    struct episode *e = arg;
    const struct seq *alone = &g->text->alone;
    int i = s->n_prompt + g->n_seen, request = (int)(g - e->guests);
    (void)err;
    if (g->n_done) fail(e, "request %d has tokens after its end", request);
    if (s->n_ids <= i) fail(e, "request %d: tokens are reported, but %d are as before", request, g->n_seen);
    for (; i < s->n_ids && !g->lossy; i++) {
        if (i >= alone->n_ids) fail(e, "request %d: %d ids, alone %d", request, s->n_ids, alone->n_ids);
        if (!same_token(s, alone, i))
            fail(e, "request %d: at %d id %d (ln p %a), alone %d (%a)", request, i, s->ids[i], (double)s->lp[i],
                 alone->ids[i], (double)alone->lp[i]);
    }
    e->soak->n_tokens += seq_n_generated(s) - g->n_seen;
    g->n_seen = seq_n_generated(s);
    alarm(HANGS_S);
    return OK;
}

static int on_done(void *arg, const struct seq *s, struct err *err)
{
    struct guest *g = (struct guest *)s;
    struct episode *e = arg;
    const struct seq *alone = &g->text->alone;
    int request = (int)(g - e->guests);
    (void)err;
    alarm(HANGS_S);
    if (g->n_done++) fail(e, "request %d ends twice", request);
    if (s->n_prompt && g->n_seen != seq_n_generated(s))
        fail(e, "request %d: %d tokens reported, %d generated", request, g->n_seen, seq_n_generated(s));
    const struct seq_stats *t = &s->stats;
    if (t->n_drafted != t->n_judged + t->n_late + t->n_dropped)
        fail(e, "request %d: %u drafted, but %u judged, %u late and %u dropped", request, t->n_drafted, t->n_judged,
             t->n_late, t->n_dropped);
    if (s->end == SEQ_ABORTED && g->cancelled) return OK;
    if (s->end == SEQ_FAILED && g->lossy && e->drafter == GRID_DYING) return OK;
    if (s->end == SEQ_ABORTED || s->end == SEQ_FAILED) fail(e, "request %d ends %d: %s", request, s->end, s->why.text);
    if (!g->lossy && (s->end != alone->end || s->n_ids != alone->n_ids))
        fail(e, "request %d ends %d after %d ids, alone %d after %d", request, s->end, s->n_ids, alone->end,
             alone->n_ids);
    return OK;
}

/* ---- an episode's draws ---- */

/* Mostly short ones: an episode over long ones takes its time. */
static uint64_t draw_ns(uint64_t *r, int most_ms)
{
    double x = draw_below(r, 1001) * 1e-3;
    return (uint64_t)(x * x * most_ms * 1e6);
}

static struct net_path draw_path(uint64_t *r)
{
    struct net_path p = {.delay_ns = draw_one_of(r, 4) ? 0 : draw_ns(r, 30)};
    if (draw_below(r, 2)) p.jitter_ns = draw_ns(r, 20);
    if (draw_below(r, 2))
        p.bits_per_s = (uint64_t)(200e3 * pow(250, draw_below(r, 1001) * 1e-3)); /* 0.2 to 50 Mbit/s */
    return p;
}

/* It may be lossy where a model drafts. What is drafted, and when, is its own business. */
static void draw_guest(struct episode *e, struct guest *g)
{
    uint64_t *r = &e->random;
    struct err err = {0};
    *g = (struct guest){.episode = e, .text = &e->toy->texts[draw_below(r, SOAK_TEXTS)]};
    struct request request = g->text->request;
    struct settings *set = &request.settings;
    request.index = (int)(g - e->guests);
    set->drafting = e->drafter != GRID_NONE && !draw_one_of(r, 5);
    if (e->drafter == GRID_PLAN && e->draft_plans[1]) set->draft_plan = draw_below(r, PLANS);
    set->adaptive = draw_below(r, 2);
    set->draft_max = 1 + draw_below(r, MOST_DRAFTS);
    set->draft_ahead = draw_below(r, 2) ? -1 : draw_below(r, 24);
    set->draft_block = draw_below(r, 5);
    set->draft_ctx = draw_below(r, 2) ? SOAK_CTX : 16;
    set->fallback = draw_below(r, 2) ? 0 : .01f;
    set->fresh = draw_one_of(r, 8);
    bool models = e->drafter == GRID_LITTLE || e->drafter == GRID_DYING || e->drafter == GRID_PLAN;
    g->lossy = models && draw_one_of(r, 5);
    if (g->lossy) set->rule = (struct rule){draw_below(r, 2) ? RULE_STRICT : RULE_REPO, 3};
    if (g->lossy) set->drafting = true, set->adaptive = false, set->draft_ctx = SOAK_CTX;
    g->come_ns = (uint64_t)draw_below(r, COMING_MS) * ns_of_ms;
    if (draw_one_of(r, 4)) g->cancel_ns = g->come_ns + (uint64_t)draw_below(r, COMING_MS) * ns_of_ms + 1;
    if (seq_init(&g->seq, &request, SOAK_CTX, &err) != OK) fail(e, "%s", err.text);
}

static void draw_episode(struct soak *s, struct episode *e)
{
    static const enum grid_drafter drafters[] = {GRID_NONE,   GRID_LITTLE, GRID_LITTLE,
                                                 GRID_SUFFIX, GRID_DYING,  GRID_PLAN};
    static const char *const plans[][PLANS] = {{"layerskip:1"},           {"swift:50"}, {"layerskip:1", "ode:0x2"},
                                               {"layerskip:3", "skip:2"}, {"skip:2"},   {"skip:1a,3m", "ode:0x2@.5"}};
    enum { OF_ANY_STAGE = 3, N_LISTS = 6 };
    static const int self_most[] = {0, 5, 64, SELF_MEASURED}, rows_most[] = {0, MOST_DRAFTS + 1, 30};
    struct err err = {0};
    uint64_t random = prefix_hash_mix(s->seed ^ prefix_hash_mix((uint64_t)s->n_episodes + 1)), *r = &random;
    *e = (struct episode){.soak = s, .toy = &s->toys[draw_below(r, N_TOYS)]};
    e->drafter = drafters[draw_below(r, 6)];
    e->groups = draw_below(r, 2) ? 1 : 1 + draw_below(r, 3);
    e->max_rows = rows_most[draw_below(r, 3)];
    e->tp = 1 + draw_below(r, 3);
    e->pp = 1 + draw_below(r, 3);
    e->draft_plans = plans[draw_below(r, e->pp > 1 ? OF_ANY_STAGE : N_LISTS)];
    e->threads = 1 + draw_below(r, 2);
    e->n_slots = 1 + draw_below(r, 4);
    e->self_max = self_most[draw_below(r, 4)];
    e->dies_after = 1 + draw_below(r, 20);
    if (!draw_one_of(r, 8)) e->net.to[ROLE_VERIFIER] = draw_path(r);
    if (draw_below(r, 2)) e->net.to[ROLE_DRAFTER] = draw_path(r);
    if (draw_one_of(r, 5)) e->cancel_all_ns = (uint64_t)(1 + draw_below(r, 2 * COMING_MS)) * ns_of_ms;
    e->n_guests = 1 + draw_below(r, GUESTS_MOST / 4 * e->n_slots);
    if (layout_make(&e->layout, 1, 1, e->groups, e->tp, e->pp, grid_layout_drafter(e->drafter), &err) != OK)
        fail(e, "%s", err.text);
    e->random = random;
    for (int i = 0; i < e->n_guests; i++) draw_guest(e, &e->guests[i]);
}

/* ---- an episode ---- */

static int cancel(struct episode *e, struct job *job, struct guest *only, struct err *err)
{
    for (int i = 0; i < e->n_guests; i++) {
        struct guest *g = &e->guests[i];
        if ((only && g != only) || !g->here || g->n_done) continue;
        g->cancelled = true;
        e->soak->n_cancelled++;
    }
    return job_cancel(job, only ? &only->seq : NULL, err);
}

/* What is due now. Of those that are to be cancelled some are done by then. */
static int come_and_go(struct episode *e, struct job *job, struct err *err)
{
    uint64_t now_ns = clock_now_ns() - e->began_ns;
    int rc = OK;
    for (int i = 0; i < e->n_guests && rc == OK; i++) {
        struct guest *g = &e->guests[i];
        if (!g->here && now_ns >= g->come_ns) {
            g->here = true;
            e->soak->n_requests++;
            e->soak->n_lossy += g->lossy;
            rc = job_submit(job, &g->seq, err);
        }
        if (rc == OK && g->here && g->cancel_ns && now_ns >= g->cancel_ns) {
            g->cancel_ns = 0;
            rc = cancel(e, job, g, err);
        }
    }
    if (rc != OK || !e->cancel_all_ns || now_ns < e->cancel_all_ns) return rc;
    e->cancel_all_ns = 0;
    return cancel(e, job, NULL, err);
}

static void on_tick(uv_timer_t *timer)
{
    (void)timer; /* the loop has turned: that is all */
}

static bool all_done(const struct episode *e)
{
    for (int i = 0; i < e->n_guests; i++)
        if (!e->guests[i].n_done) return false;
    return true;
}

static void run_job(struct episode *e, struct job *job)
{
    const struct job_watch watch = {.tokens = on_tokens, .done = on_done, .arg = e};
    struct err err = {0};
    job_set_watch(job, &watch);
    uv_timer_init(job_loop(job), &e->ticks);
    uv_timer_start(&e->ticks, on_tick, TICK_MS, TICK_MS);
    e->began_ns = clock_now_ns();
    while (!all_done(e)) {
        int rc = come_and_go(e, job, &err);
        if (rc == OK) uv_run(job_loop(job), UV_RUN_ONCE);
        if (rc == OK) rc = job_error(job, &err);
        if (rc != OK) fail(e, "%s", err.text);
    }
}

/* Big's own next id, mostly: the drafter that dies has seen the texts. */
static int32_t propose(void *arg, const int32_t *ids, int n)
{
    const struct soak_toy *toy = arg;
    for (int i = 0; i < SOAK_TEXTS && n % 5; i++) {
        const struct seq *a = &toy->texts[i].alone;
        if (n < a->n_ids && !memcmp(a->ids, ids, (size_t)n * sizeof *ids)) return a->ids[n];
    }
    return n % SOAK_IDS;
}

static void run_over(struct episode *e, struct router *router)
{
    struct err err = {0};
    struct job *job = NULL;
    struct job_config config = {.layout = e->layout,
                                .vocab_big = grid_vocab_hash(e->toy->big),
                                .n_ids = SOAK_IDS,
                                .n_proposed = SOAK_IDS,
                                .n_ctx = SOAK_CTX,
                                .n_slots = e->n_slots,
                                .self_max = e->self_max};
    config.vocab_little = config.vocab_big;
    if (job_open(&job, &config, router, &err) != OK) fail(e, "%s", err.text);
    run_job(e, job);
    job_close(job);
    job_quit(router, &e->layout, OK, "");
}

static void run_episode(struct episode *e)
{
    struct err err = {0};
    struct cluster *cluster = NULL;
    struct proposer dying = {grid_vocab_hash(e->toy->big), propose, e->toy, e->dies_after};
    bool plans = e->drafter == GRID_PLAN;
    struct cluster_config config = {.launch = {.layout = e->layout, .max_rows = e->max_rows},
                                    .draft_memory_bytes = 1 << 12,
                                    .big = e->toy->big,
                                    .little = e->toy->little,
                                    .kernels = e->soak->kernels,
                                    .n_threads = e->threads};
    for (int i = 0; i < PLANS && plans; i++) config.launch.draft_plans[i] = e->draft_plans[i];
    if (e->drafter == GRID_DYING) config.drafter = proposer_run, config.drafter_arg = &dying;
    struct router *router = router_open(e->layout.n_peers);
    if (!router) fail(e, "no memory for a router");
    if (router_emulate(router, &e->layout, &e->net, &err) != OK) fail(e, "%s", err.text);
    if (cluster_start(&cluster, &config, router, &err) != OK) fail(e, "%s", err.text);
    run_over(e, router);
    cluster_join(cluster);
    router_close(router);
    for (int i = 0; i < e->n_guests; i++) seq_free(&e->guests[i].seq);
}

/* ---- all of them ---- */

static struct episode episode; /* the one that runs, for the signal's handler */

/* Something was lost, or a thread waits for ever: no token for so long, or no end of the cluster. */
static void on_alarm(int signum)
{
    (void)signum;
    fail(&episode, "nothing happened for %d s", HANGS_S);
}

/* The warm-up is a quarter of the time. What is compared with it is the least of two episodes at the end: what one of
 * them needs for a moment is no growth. */
static void soak(struct soak *s, double seconds)
{
    struct at_rest first = {0}, last[2] = {{0}};
    const double begin_s = clock_now_s(), warm_s = begin_s + seconds / 4;
    char why[128];
    signal(SIGALRM, on_alarm);
    for (bool warm = false; clock_now_s() < begin_s + seconds; s->n_episodes++) {
        alarm(HANGS_S);
        draw_episode(s, &episode);
        run_episode(&episode);
        last[s->n_episodes % 2] = at_rest_now();
        if (!warm) at_rest_join(&first, last[s->n_episodes % 2]);
        warm = clock_now_s() >= warm_s;
    }
    if (at_rest_grew(&first, &last[0], why, sizeof why) && at_rest_grew(&first, &last[1], why, sizeof why))
        fail(&episode, "%s", why);
    alarm(0);
    printf("soak: seed %llu, %.0f s: %ld episodes, %ld requests (%ld cancelled, %ld lossy), %ld tokens; heap at rest "
           "%zu, then %zu KB, resident %zu, then %zu MB\n",
           (unsigned long long)s->seed, clock_now_s() - begin_s, s->n_episodes, s->n_requests, s->n_cancelled,
           s->n_lossy, s->n_tokens, first.heap_bytes >> 10, last[0].heap_bytes >> 10, first.resident_bytes >> 20,
           last[0].resident_bytes >> 20);
}

static int open_toys(struct soak *s, const char *folder, struct err *err)
{
    static const struct {
        const char *architecture;
        enum quant type;
    } toys[N_TOYS] = {{"qwen2", QUANT_F32}, {"gemma3", QUANT_Q8_0}};
    int rc = OK;
    for (int i = 0; i < N_TOYS && rc == OK; i++)
        rc = soak_toy_open(&s->toys[i], folder, toys[i].architecture, toys[i].type, s->seed + (uint64_t)i, s->kernels,
                           err);
    return rc;
}

int main(int argc, char **argv)
{
    static struct soak s;
    char folder[] = "/tmp/pilotfish-soak-XXXXXX";
    const char *why = "";
    struct err err = {0};
    double seconds = argc > 1 ? atof(argv[1]) : 0;
    at_rest_begin();
    if (argc > 3 || seconds <= 0) {
        fputs("usage: soak SECONDS [SEED]\n", stderr);
        return 2;
    }
    s.seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    s.kernels = kernels_pick(NULL, &why);
    if (!s.kernels || !mkdtemp(folder) || open_toys(&s, folder, &err) != OK) {
        fprintf(stderr, "soak: cannot begin: %s%s\n", why, err.text);
        return 1;
    }
    soak(&s, seconds);
    for (int i = 0; i < N_TOYS; i++) soak_toy_close(&s.toys[i]);
    rmdir(folder);
    return 0;
}
