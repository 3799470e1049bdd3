#include "coordinator/cli/bench_spec.h"

#include "coordinator/cli/network.h"
#include "coordinator/cli/pass_seen.h"
#include "coordinator/cli/spec_bench.h"

struct spec_run {
    const struct options *point;
    const struct launch *launch;
    struct job *job;
    struct runtime pair; /* of real models */
    struct prompts prompts;
    int seed; /* one for all points */
};

static int change_network(struct spec_run *r, const struct options *point, struct err *err)
{
    const struct net net = network_of(point);
    r->point = point;
    router_change(r->launch->router, &net);
    return job_measure_links(r->job, err);
}

struct listener {
    struct spec_use *use;
    struct pass_seen last;
};

static void on_message(void *arg, int group, const struct message *m, uint64_t now_ns)
{
    struct listener *l = arg;
    (void)group;
    if (m->tag == TAG_DRAFT) l->use->little_ns += m->draft.us * 1e3;
    if (m->tag == TAG_VERDICT && pass_is_new(&l->last, now_ns, &m->verdict))
        l->use->big_ns += m->verdict.computed_us * 1e3;
}

/* The profile is the job's for this text. */
static int write_text(void *arg, struct seq *s, struct draft_profile *profile, struct spec_use *use,
                      struct trace *trace, struct err *err)
{
    struct listener listener = {.use = use};
    const struct job_watch watch = {.message = on_message, .arg = &listener};
    struct job *j = ((struct spec_run *)arg)->job;
    struct job_traffic before = job_traffic(j);
    int n_groups = layout_n_verifiers(&((struct spec_run *)arg)->launch->layout);
    for (int i = 0; i < n_groups; i++) *job_profile(j, i) = *profile;
    job_set_trace(j, trace);
    int rc = job_run(j, s, 1, &watch, err);
    job_set_watch(j, NULL);
    job_set_trace(j, NULL);
    struct job_traffic after = job_traffic(j);
    *profile = *job_profile(j, s->group);
    use->bytes_up += (double)(after.bytes_up - before.bytes_up);
    use->bytes_down += (double)(after.bytes_down - before.bytes_down);
    use->rtt_ms += (double)job_rtt_ns(j, s->group) * 1e-6;
    use->n_rtts++;
    return rc;
}

/* ---- timed waits ---- */

static int begin_timed(void *arg, const struct options *point, int *n_texts, struct err *err)
{
    *n_texts = point->texts;
    return change_network(arg, point, err);
}

static void request_timed(void *arg, struct spec_text *text, struct request *out)
{
    spec_synthetic_request(((struct spec_run *)arg)->point, text, out);
}

static int open_job(struct spec_run *r, const struct options *o, struct err *err)
{
    const struct job_config config = {.layout = r->launch->layout,
                                      .vocab_big = synthetic_vocab_hash(),
                                      .vocab_little = synthetic_vocab_hash(),
                                      .n_ctx = SYNTHETIC_CONTEXT,
                                      .n_slots = 1,
                                      .n_ids = SYNTHETIC_VOCAB,
                                      .n_proposed = SYNTHETIC_VOCAB,
                                      .self_max = o->self_max,
                                      .start_s = o->start_wait_s,
                                      .host_of = r->launch->host_of,
                                      .on_lost = r->launch->on_lost,
                                      .on_lost_arg = r->launch->arg};
    int rc = r->launch->start(r->launch->arg, err);
    return rc == OK ? job_open(&r->job, &config, r->launch->router, err) : rc;
}

static int run_timed(struct spec_run *r, const struct options *o, struct err *err)
{
    struct progress progress;
    const struct spec_backend backend = {"timed", SYNTHETIC_CONTEXT, begin_timed, request_timed, write_text, r};
    progress_init(&progress);
    int rc = open_job(r, o, err);
    if (rc == OK) rc = spec_bench(o, &backend, &progress, err);
    job_close(r->job);
    job_quit(r->launch->router, &r->launch->layout, rc, rc == OK ? "" : err->text);
    return rc;
}

/* ---- a pair of models ---- */

/* The prompts have the settings of the point. */
static int begin_pair(void *arg, const struct options *point, int *n_texts, struct err *err)
{
    struct spec_run *r = arg;
    r->pair.o = *point;
    r->pair.o.seed = r->seed;
    prompts_free(&r->prompts);
    r->prompts = (struct prompts){0};
    int rc = runtime_prompts(&r->pair, &r->prompts, err);
    if (rc == OK) rc = prompts_refused(&r->prompts, err);
    if (rc == OK && r->prompts.n > TEXTS_MOST)
        rc = err_set(err, E_USAGE, "%s: %d prompts: at most %d", point->prompts_file, r->prompts.n, TEXTS_MOST);
    *n_texts = r->prompts.n;
    return rc == OK ? change_network(r, point, err) : rc;
}

static void request_pair(void *arg, struct spec_text *text, struct request *out)
{
    const struct spec_run *r = arg;
    int i = text->i < 0 ? (-1 - text->i) % r->prompts.n : text->i;
    const struct prompt *p = &r->prompts.items[i];
    *out = (struct request){.index = i, .prompt = p->ids, .n_prompt = p->n_ids, .settings = p->settings};
}

static int run_pair(struct spec_run *r, const struct options *o, struct err *err)
{
    int rc = runtime_open(&r->pair, o, r->launch, err);
    r->seed = r->pair.o.seed;
    if (rc == OK) rc = runtime_start(&r->pair, 1, err);
    r->job = r->pair.job;
    struct spec_backend backend = {"measured", r->pair.info.n_ctx, begin_pair, request_pair, write_text, r};
    if (rc == OK) rc = spec_bench(o, &backend, &r->pair.progress, err);
    r->pair.o = *o;
    runtime_close(&r->pair, rc, err);
    prompts_free(&r->prompts);
    return rc;
}

int command_bench_spec(const struct options *o, const struct launch *launch, struct err *err)
{
    struct spec_run r = {.launch = launch};
    return o->synthetic.n_pass_ms ? run_timed(&r, o, err) : run_pair(&r, o, err);
}
