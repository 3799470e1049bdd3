#include "simulate.h"

#include <math.h>
#include <stdlib.h>

#include "coordinator/cli/accept_trace.h"
#include "coordinator/cli/network.h"
#include "coordinator/cli/option_rules.h"
#include "proto/synthetic.h"

enum { DRAFTER = PEER_COORDINATOR + 1, LEADER, ROWS = 256, JOBS = 64 };

static int32_t big(void *arg, const int32_t *ids, int n)
{
    (void)arg;
    return synthetic_big(ids[n - 1]);
}

static int32_t little(void *arg, const int32_t *ids, int n, float *p)
{
    return synthetic_little(arg, ids[n - 1], p);
}

static float lp(void *arg, const int32_t *ids, int n, int32_t id)
{
    return synthetic_lp(arg, ids[n - 1], id);
}

static uint64_t pass_ns(void *arg, int n_rows)
{
    return synthetic_pass_ns(arg, n_rows);
}

static uint64_t draft_ns(void *arg, int n_read, int n_drafted)
{
    (void)n_read;
    return synthetic_draft_ns(arg, n_drafted);
}

static struct spec_config spec_config(const struct options *o, struct draft_profile *profile)
{
    return (struct spec_config){.n_ctx = SYNTHETIC_CONTEXT,
                                .drafter = {.kind = DRAFTER_LITTLE,
                                            .peer = DRAFTER,
                                            .prior = synthetic_prior(&o->synthetic),
                                            .n_ids = SYNTHETIC_VOCAB,
                                            .n_proposed = SYNTHETIC_VOCAB},
                                .n_groups = 1,
                                .groups = {{LEADER, 1, ROWS, JOBS, SYNTHETIC_VOCAB, profile}},
                                .self_max = o->self_max};
}

struct traced {
    struct trace *trace; /* NULL: none */
    struct simulator *sim;
    struct net net;
};

static void show(const struct traced *t, int peer, const struct message *m)
{
    bool drafter = peer == DRAFTER;
    const struct net_path *path = &t->net.to[drafter ? ROLE_DRAFTER : ROLE_VERIFIER];
    const struct trace_link link = {.group = drafter ? -1 : 0, .rtt_ns = 2 * path->delay_ns};
    if (t->trace) trace_message(t->trace, simulator_now_ns(t->sim), &link, m);
}

static void on_departure(void *arg, int from, int to, const struct message *m)
{
    if (from == PEER_COORDINATOR) show(arg, to, m);
}

static void on_arrival(void *arg, int from, int to, const struct message *m)
{
    if (to == PEER_COORDINATOR) show(arg, from, m);
}

static double byte_ns(const struct net_path *path)
{
    return path->bits_per_s ? 8e9 / (double)path->bits_per_s : 0;
}

int simulate_text(const struct options *point, struct seq *s, struct draft_profile *profile,
                  struct simulator_counts *counts, struct trace *trace, struct err *err)
{
    const struct net net = network_of(point);
    struct synthetic pair = point->synthetic;
    struct traced traced = {.trace = trace, .net = net};
    const struct simulator_config config = {
        .spec = spec_config(point, profile),
        .to = {net.to[0], net.to[1]},
        .link = {.rtt_ns = 2 * (net.to[ROLE_DRAFTER].delay_ns + net.to[ROLE_VERIFIER].delay_ns),
                 .bytes_ns = {byte_ns(&net.to[ROLE_DRAFTER]), byte_ns(&net.to[ROLE_VERIFIER])}},
        .seed = pair.seed,
        .models = {big, little, lp, &pair},
        .costs = {pass_ns, draft_ns, &pair},
        .watch = {.departure = on_departure, .arrival = on_arrival, .arg = &traced}};
    int rc = simulator_open(&traced.sim, &config, err);
    if (rc == OK) rc = simulator_step(traced.sim, &(struct event){.kind = EVENT_SUBMIT, .seq = s}, err);
    if (rc == OK) rc = simulator_run(traced.sim, err);
    if (rc == OK) *counts = simulator_counts(traced.sim);
    simulator_close(traced.sim);
    return rc;
}

/* ---- the backend ---- */

static int begin(void *arg, const struct options *point, int *n_texts, struct err *err)
{
    (void)err;
    *(const struct options **)arg = point;
    *n_texts = point->texts;
    return OK;
}

static void request(void *arg, struct spec_text *text, struct request *out)
{
    spec_synthetic_request(*(const struct options **)arg, text, out);
}

static int write_text(void *arg, struct seq *s, struct draft_profile *profile, struct spec_use *use,
                      struct trace *trace, struct err *err)
{
    struct simulator_counts counts;
    int rc = simulate_text(*(const struct options **)arg, s, profile, &counts, trace, err);
    if (rc != OK) return rc;
    use->big_ns += (double)counts.pass_ns;
    use->little_ns += (double)counts.draft_ns;
    use->bytes_up += (double)counts.bytes_up;
    use->bytes_down += (double)counts.bytes_down;
    return OK;
}

static int sweep(const struct options *o, struct err *err)
{
    const struct options *point = o;
    struct progress progress;
    const struct spec_backend backend = {"simulated", SYNTHETIC_CONTEXT, begin, request, write_text, &point};
    progress_init(&progress);
    return spec_bench(o, &backend, &progress, err);
}

/* The rows name the file, and how many drafts were right there. */
static int simulate_places(const struct options *o, struct err *err)
{
    struct options told = *o;
    struct synthetic_places *places = malloc(sizeof *places);
    if (!places) return err_set(err, E_FAIL, "out of memory");
    int rc = accept_trace_read(o->accept_trace, SPEC_PROMPT, places, err);
    if (rc == OK && option_origin(o, "texts") != FROM_DEFAULT && o->texts > places->n_texts)
        rc = err_set(err, E_USAGE, "--texts %d: %s has %d", o->texts, o->accept_trace, places->n_texts);
    if (rc == OK && option_origin(o, "texts") == FROM_DEFAULT) told.texts = places->n_texts;
    if (rc == OK && told.texts + told.warmup > SYNTHETIC_PROMPTS) told.warmup = SYNTHETIC_PROMPTS - told.texts;
    told.synthetic.places = places;
    told.accept_rate = (float)(round(places->right * 1000) / 1000);
    told.prompts_file = (char *)o->accept_trace;
    if (rc == OK) rc = sweep(&told, err);
    free(places);
    return rc;
}

int command_simulate(const struct options *o, struct err *err)
{
    return o->accept_trace ? simulate_places(o, err) : sweep(o, err);
}
