#include "simulate.h"

#include <math.h>
#include <stdlib.h>

#include "coordinator/cli/accept_trace.h"
#include "coordinator/cli/network.h"
#include "coordinator/cli/option_rules.h"
#include "proto/synthetic.h"
#include "worker/roles/lead.h"

enum { DRAFTER = PEER_COORDINATOR + 1, LEADER, ROWS = PASS_ROWS, JOBS = 64 };

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

static uint64_t draft_ns(void *arg, int n_texts, int n_read, int n_drafted)
{
    (void)n_texts, (void)n_read;
    return synthetic_draft_ns(arg, n_drafted);
}

static double beside(void *arg, int n_rows)
{
    return synthetic_beside(arg, n_rows);
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
    const struct trace_link link = {
        .group = drafter ? -1 : 0, .drafter = drafter ? 0 : -1, .rtt_ns = 2 * path->delay_ns};
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
        .costs = {pass_ns, draft_ns, &pair, beside},
        .watch = {.departure = on_departure, .arrival = on_arrival, .arg = &traced}};
    int rc = simulator_open(&traced.sim, &config, err);
    if (rc == OK) rc = simulator_step(traced.sim, &(struct event){.kind = EVENT_SUBMIT, .seq = s}, err);
    if (rc == OK) rc = simulator_run(traced.sim, err);
    if (rc == OK) *counts = simulator_counts(traced.sim);
    simulator_close(traced.sim);
    return rc;
}

/* ---- a layout ---- */

enum { LAYOUT_IDS = 400, LAYOUT_TEXTS = 4, CROWD_MOST = SYNTHETIC_CURVES * SYNTHETIC_PROMPTS };

struct layout_run {
    const struct planner_input *in;
    const struct planner_layout *layout;
    struct synthetic pair; /* what models write, with as many curves as there may be texts; and the costs' priors */
    struct planner_pass pass;
    int n_texts;
    struct seq seqs[CROWD_MOST];
    struct draft_profile profile;
};

static uint64_t layout_pass_ns(void *arg, int n_rows)
{
    const struct layout_run *r = arg;
    return (uint64_t)planner_pass_ns(r->in, &r->pass, n_rows);
}

static uint64_t layout_draft_ns(void *arg, int n_texts, int n_read, int n_drafted)
{
    const struct layout_run *r = arg;
    (void)n_read;
    return (uint64_t)(planner_pass_ns(r->in, &r->layout->draft, n_texts) * (n_drafted > 0 ? n_drafted : 1));
}

/* The simulator's stages take equal parts of a pass, and its groups are alike. */
static struct planner_pass mean_pass(const struct planner_layout *l)
{
    struct planner_pass sum = {0};
    for (int i = 0; i < l->groups; i++) {
        const struct planner_group *g = &l->group[i];
        bool full = l->n_running > 1 && l->pp > 1;
        const struct planner_pass *p = full ? &g->slowest : &g->all;
        double times = (full ? l->pp : 1) / (double)l->groups;
        sum.base_ns += times * p->base_ns;
        sum.product_ns += times * p->product_ns;
        sum.fixed_ns += times * p->fixed_ns;
        sum.row_ns += times * p->row_ns;
    }
    return sum;
}

static int submit_text(struct layout_run *r, struct simulator *sim, int i, struct err *err)
{
    int32_t prompt[SPEC_PROMPT];
    bool drafts = r->layout->drafters > 0;
    int most = r->layout->window > PLANNER_ROUND_MOST ? r->layout->window : PLANNER_ROUND_MOST;
    for (int k = 0; k < SPEC_PROMPT; k++)
        prompt[k] = synthetic_id(i / SYNTHETIC_PROMPTS % SYNTHETIC_CURVES, i % SYNTHETIC_PROMPTS, k);
    const struct request request = {.index = i,
                                    .prompt = prompt,
                                    .n_prompt = SPEC_PROMPT,
                                    .settings = {.n_predict = LAYOUT_IDS,
                                                 .drafting = drafts,
                                                 .adaptive = drafts,
                                                 .draft_max = most,
                                                 .draft_ahead = -1,
                                                 .draft_block = 0,
                                                 .draft_ctx = SPEC_PROMPT}};
    int rc = seq_init(&r->seqs[r->n_texts], &request, SYNTHETIC_CONTEXT, err);
    if (rc != OK) return rc;
    return simulator_step(sim, &(struct event){.kind = EVENT_SUBMIT, .seq = &r->seqs[r->n_texts++]}, err);
}

static struct net_path path_of(double rtt_ns, double byte_ns)
{
    return (struct net_path){.delay_ns = (uint64_t)(rtt_ns / 2),
                             .bits_per_s = byte_ns > 0 ? (uint64_t)(8e9 / byte_ns) : 0};
}

static struct simulator_config layout_config(struct layout_run *r)
{
    const struct planner_layout *l = r->layout;
    const struct planner_group *g = &l->group[0];
    int rows = l->max_rows ? l->max_rows : ROWS, leader = DRAFTER + l->drafters;
    struct simulator_config c = {
        .spec = {.n_ctx = SYNTHETIC_CONTEXT,
                 .drafter = {.kind = l->drafters ? DRAFTER_LITTLE : DRAFTER_NONE,
                             .peer = DRAFTER,
                             .n = l->drafters,
                             .prior = synthetic_prior(&r->pair),
                             .shares_cores = l->shares_cores,
                             .n_ids = SYNTHETIC_VOCAB,
                             .n_proposed = SYNTHETIC_VOCAB},
                 .n_groups = l->groups,
                 .self_max = SELF_MEASURED},
        .n_stages = l->pp,
        .to = {[ROLE_DRAFTER] = path_of(l->draft_rtt_ns, l->draft_byte_ns),
               [ROLE_VERIFIER] = path_of(g->rtt_ns, g->byte_ns)},
        .link = {.rtt_ns = (uint64_t)(l->draft_rtt_ns + g->rtt_ns), .bytes_ns = {l->draft_byte_ns, g->byte_ns}},
        .models = {big, little, lp, &r->pair},
        .costs = {layout_pass_ns, layout_draft_ns, r, NULL}};
    for (int i = 0; i < l->groups; i++)
        c.spec.groups[i] = (struct spec_group){
            leader + i, layout_group_slots(l->groups, l->n_running), rows, MAX_JOBS, SYNTHETIC_VOCAB, &r->profile};
    return c;
}

/* All of its texts at once. */
static int run_layout(struct layout_run *r, int first, int n, struct err *err)
{
    struct simulator *sim;
    const struct simulator_config config = layout_config(r);
    int rc = simulator_open(&sim, &config, err);
    for (int i = 0; i < n && rc == OK; i++) rc = submit_text(r, sim, first + i, err);
    if (rc == OK) rc = simulator_run(sim, err);
    simulator_close(sim);
    return rc;
}

static double layout_ms(double ns)
{
    return fmax(ns, 1) * 1e-6;
}

int simulate_layout(const struct planner_input *in, struct planner_layout *l, struct err *err)
{
    struct layout_run *r = calloc(1, sizeof *r);
    if (!r) return err_set(err, E_LAYOUT, "out of memory");
    *r = (struct layout_run){.in = in, .layout = l, .pass = mean_pass(l)};
    r->pair = (struct synthetic){.draft_ms = layout_ms(planner_pass_ns(in, &l->draft, 1)),
                                 .pass_ms = {layout_ms(planner_pass_ns(in, &r->pass, 1))},
                                 .n_pass_ms = 1,
                                 .n_curves = SYNTHETIC_CURVES};
    for (int i = 0; i < SYNTHETIC_CURVES; i++) r->pair.curves[i] = in->pair.curves[0];
    int n = l->n_running < CROWD_MOST ? l->n_running : CROWD_MOST, n_runs = n == 1 ? LAYOUT_TEXTS : 1, rc = OK;
    for (int i = 0; i < n_runs && rc == OK; i++) rc = run_layout(r, i, n, err);
    double token_ns = 0;
    for (int i = 0; i < r->n_texts; i++) {
        const struct seq *s = &r->seqs[i];
        if (rc == OK && s->end == SEQ_FAILED) rc = err_set(err, s->why.code, "%s", s->why.text);
        token_ns += (double)(s->stats.last_ns - s->stats.first_ns) / (LAYOUT_IDS - 1) / r->n_texts;
    }
    if (rc == OK) l->tokens_per_s = l->n_running * 1e9 / token_ns;
    for (int i = 0; i < r->n_texts; i++) seq_free(&r->seqs[i]);
    free(r);
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
