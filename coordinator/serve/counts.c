#include "coordinator/serve/counts.h"

#include <stddef.h>

/* Seconds; 0 ends the list. */
static const double long_bounds[BUCKETS_MOST + 1] = {.005, .01, .025, .05, .1, .25, .5,  1,
                                                     2.5,  5,   10,   30,  60, 120, 300, 600};
static const double short_bounds[BUCKETS_MOST + 1] = {.0005, .001, .0025, .005, .01, .025, .05, .075,
                                                      .1,    .15,  .2,    .3,   .5,  1,    2.5, 5};

static void observe(struct histogram *h, const double *bounds, uint64_t from_ns, uint64_t to_ns, int n)
{
    double s = to_ns > from_ns ? (double)(to_ns - from_ns) * 1e-9 / n : 0;
    int i = 0;
    while (i < BUCKETS_MOST && s > bounds[i]) i++;
    h->n_in[i]++;
    h->sum += s;
}

void counts_add_tokens(struct counts *c, int n, uint64_t between_ns)
{
    for (int i = 0; i < n; i++) observe(&c->between_s, short_bounds, 0, between_ns, n);
}

void counts_add(struct counts *c, const struct seq *s, uint64_t asked_ns, uint64_t now_ns)
{
    const struct seq_stats *cost = &s->stats;
    int n = seq_n_generated(s);
    c->n_ended[s->end]++;
    stats_add(&c->total, s);
    c->n_drafted_by[s->request.settings.draft_plan] += cost->n_drafted;
    c->n_accepted_by[s->request.settings.draft_plan] += cost->n_accepted;
    observe(&c->whole_s, long_bounds, asked_ns, now_ns, 1);
    observe(&c->queue_s, long_bounds, asked_ns, cost->start_ns ? cost->start_ns : now_ns, 1);
    if (!n) return;
    c->n_cached += (uint64_t)s->n_prompt - cost->n_prompt_rows;
    observe(&c->first_s, long_bounds, asked_ns, cost->first_ns, 1);
    if (n > 1) observe(&c->token_s, short_bounds, cost->first_ns, cost->last_ns, n - 1);
}

/* ---- as text ---- */

/* Counters that are one number. vllm NULL: it has none such. */
static const struct {
    const char *name, *vllm, *help;
    size_t offset;
} counters[] = {
    {"prompt_tokens_total", "prompt_tokens_total", "Tokens of prompts, once for each answer.",
     offsetof(struct counts, total.n_prompt)},
    {"cached_tokens_total", "prefix_cache_hits_total", "Tokens of prompts that slots held, and that were not computed.",
     offsetof(struct counts, n_cached)},
    {"copied_tokens_total", NULL, "Tokens of prompts, of the cached ones, that another answer's slot held.",
     offsetof(struct counts, total.n_prompt_copied)},
    {"generation_tokens_total", "generation_tokens_total", "Tokens of answers.",
     offsetof(struct counts, total.n_tokens)},
    {"verifies_total", NULL, "Passes of the big model over a text, with drafts or without.",
     offsetof(struct counts, total.n_verifies)},
    {"drafts_total", "spec_decode_num_drafts_total", "Passes of the big model over a text with drafts.",
     offsetof(struct counts, total.n_drafts)},
    {"drafted_tokens_total", "spec_decode_num_draft_tokens_total", "Drafted tokens.",
     offsetof(struct counts, total.n_drafted)},
    {"judged_tokens_total", NULL, "Drafted tokens that the big model judged.", offsetof(struct counts, total.n_judged)},
    {"accepted_tokens_total", "spec_decode_num_accepted_tokens_total", "Drafted tokens that were accepted.",
     offsetof(struct counts, total.n_accepted)},
    {"late_tokens_total", NULL, "Drafted tokens that came after the big model had written the same.",
     offsetof(struct counts, total.n_late)},
    {"dropped_tokens_total", NULL, "Drafted tokens that were neither judged nor late.",
     offsetof(struct counts, total.n_dropped)},
    {"draft_pauses_total", NULL, "How often the draft policy paused drafting.",
     offsetof(struct counts, total.n_pauses)},
    {"fallbacks_total", NULL, "Drafts that ended because the drafter was unsure.",
     offsetof(struct counts, total.n_lows)},
    {"rollbacks_total", NULL, "Drafts that the big model cut short.", offsetof(struct counts, total.n_rollbacks)},
    {"taken_back_tokens_total", NULL, "Drafted tokens that rollbacks took back.",
     offsetof(struct counts, total.n_taken_back)},
};

/* Sums of nanoseconds, as seconds. */
static const struct {
    const char *name, *help;
    size_t offset;
} times[] = {
    {"draft_seconds_total", "Computing of drafters.", offsetof(struct counts, total.draft_ns)},
    {"verify_seconds_total", "Computing of verifiers; answers that share a pass have all its time each.",
     offsetof(struct counts, total.verify_ns)},
    {"wait_seconds_total", "Waiting for answers beyond that: the network, and passes of other requests.",
     offsetof(struct counts, total.wait_ns)},
};

static const struct {
    const char *name, *vllm, *help;
    const double *bounds;
    size_t offset;
} histograms[] = {
    {"queue_seconds", "request_queue_time_seconds", "From a request to its slot, or to its end without one.",
     long_bounds, offsetof(struct counts, queue_s)},
    {"first_token_seconds", "time_to_first_token_seconds", "From a request to its first token.", long_bounds,
     offsetof(struct counts, first_s)},
    {"token_seconds", "request_time_per_output_token_seconds", "Between tokens: the mean of an answer.", short_bounds,
     offsetof(struct counts, token_s)},
    {"between_tokens_seconds", "inter_token_latency_seconds",
     "Between tokens, each one; those that come together share their time.", short_bounds,
     offsetof(struct counts, between_s)},
    {"request_seconds", "e2e_request_latency_seconds", "From a request to its answer's end.", long_bounds,
     offsetof(struct counts, whole_s)},
};

struct form { /* how names and labels are written */
    const char *prefix;
    bool vllm;
    char labels[160]; /* for every sample; "": none */
    FILE *to;
};

static void put_head(const struct form *f, const char *name, const char *help, const char *type)
{
    fprintf(f->to, "# HELP %s%s %s\n# TYPE %s%s %s\n", f->prefix, name, help, f->prefix, name, type);
}

static void put_labels(const struct form *f, const char *label, const char *value)
{
    const char *comma = *f->labels ? "," : "";
    if (label)
        fprintf(f->to, "{%s%s%s=\"%s\"}", f->labels, comma, label, value);
    else if (*f->labels)
        fprintf(f->to, "{%s}", f->labels);
}

static void put_sample(const struct form *f, const char *name, const char *label, const char *value, double x)
{
    fprintf(f->to, "%s%s", f->prefix, name);
    put_labels(f, label, value);
    fprintf(f->to, " %.17g\n", x);
}

static void put_one(const struct form *f, const char *name, const char *help, const char *type, double x)
{
    put_head(f, name, help, type);
    put_sample(f, name, NULL, NULL, x);
}

static void put_histogram(const struct form *f, const char *name, const char *help, const double *bounds,
                          const struct histogram *h)
{
    char part[96], bound[32];
    uint64_t n = 0;
    put_head(f, name, help, "histogram");
    snprintf(part, sizeof part, "%s_bucket", name);
    for (int i = 0; i <= BUCKETS_MOST; i++) {
        n += h->n_in[i];
        if (i < BUCKETS_MOST)
            snprintf(bound, sizeof bound, "%g", bounds[i]);
        else
            snprintf(bound, sizeof bound, "+Inf");
        put_sample(f, part, "le", bound, (double)n);
    }
    snprintf(part, sizeof part, "%s_sum", name);
    put_sample(f, part, NULL, NULL, h->sum);
    snprintf(part, sizeof part, "%s_count", name);
    put_sample(f, part, NULL, NULL, (double)n);
}

static double value_of(const struct counts *c, size_t offset)
{
    return (double)*(const uint64_t *)(const void *)((const char *)c + offset);
}

/* A draft at a place is accepted in each pass that kept more drafts than stand before it. */
static void put_positions(const struct form *f, const char *name, const uint64_t n_keeping[DRAFTS_MOST + 1])
{
    uint64_t n = 0;
    for (int i = 1; i <= DRAFTS_MOST; i++) n += n_keeping[i];
    for (int i = 0; i < DRAFTS_MOST && (i == 0 || n); i++) {
        char place[16];
        snprintf(place, sizeof place, "%d", i);
        put_sample(f, name, "position", place, (double)n);
        n -= n_keeping[i + 1];
    }
}

static void put_shared(const struct form *f, const struct counts *c, const struct counts_now *now)
{
    for (size_t i = 0; i < sizeof counters / sizeof *counters; i++) {
        const char *name = f->vllm ? counters[i].vllm : counters[i].name;
        if (name) put_one(f, name, counters[i].help, "counter", value_of(c, counters[i].offset));
    }
    for (size_t i = 0; i < sizeof histograms / sizeof *histograms; i++)
        put_histogram(f, f->vllm ? histograms[i].vllm : histograms[i].name, histograms[i].help, histograms[i].bounds,
                      (const void *)((const char *)c + histograms[i].offset));
    const char *at = f->vllm ? "spec_decode_num_accepted_tokens_per_pos_total" : "accepted_tokens_at_total";
    put_head(f, at, "Drafted tokens that were accepted, by their place in their pass, from 0.", "counter");
    put_positions(f, at, c->total.n_keeping);
    put_one(f, f->vllm ? "num_requests_running" : "answers_running", "Answers that have a slot.", "gauge",
            now->n_running);
    put_one(f, f->vllm ? "num_requests_waiting" : "answers_waiting", "Answers that wait for a slot.", "gauge",
            now->n_waiting);
}

static void put_ends(const struct form *f, const struct counts *c)
{
    static const struct {
        enum seq_end end;
        const char *name;
    } ends[] = {{SEQ_END_ID, "end_id"},   {SEQ_STOP, "stop"},       {SEQ_LENGTH, "length"},
                {SEQ_CONTEXT, "context"}, {SEQ_ABORTED, "aborted"}, {SEQ_FAILED, "failed"}};
    put_head(f, "answers_total", "Answers, by how they ended.", "counter");
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        put_sample(f, "answers_total", "end", ends[i].name, (double)c->n_ended[ends[i].end]);
}

static void put_plans(const struct form *f, const char *name, const char *help, const uint64_t *counts,
                      const struct options *o)
{
    put_head(f, name, help, "counter");
    for (int i = 0; i < o->n_draft_plans; i++) {
        size_t n;
        int depth = plan_depth(options_draft_plan(o, i, &n));
        fprintf(f->to, "%s%s{plan=\"%.*s\"", f->prefix, name, (int)n, o->draft_plans[i]);
        if (depth) fprintf(f->to, ",depth=\"%d\"", depth);
        fprintf(f->to, "} %.17g\n", (double)counts[i]);
    }
}

/* A measure of each worker. way, state: a label more, or NULL. */
static void put_worker(const struct form *f, const char *name, const struct job_worker *w, const char *label,
                       const char *value, double x)
{
    fprintf(f->to, "%s%s{rank=\"%d\",role=\"%s\",group=\"%d\",stage=\"%d\",shard=\"%d\"", f->prefix, name, w->rank,
            w->role == ROLE_DRAFTER ? "drafter" : "verifier", w->group, w->stage, w->shard);
    if (label) fprintf(f->to, ",%s=\"%s\"", label, value);
    fprintf(f->to, "} %.17g\n", x);
}

enum measure { ROUND_TRIP, MESSAGES, BYTES, SECONDS };

static void put_measure(const struct form *f, const char *name, enum measure what, const struct job_worker *w)
{
    double busy_s = (double)w->busy_us * 1e-6, ready_s = (double)w->ready_us * 1e-6;
    switch (what) {
    case ROUND_TRIP:
        if (w->rtt_ns) put_worker(f, name, w, NULL, NULL, (double)w->rtt_ns * 1e-9);
        break;
    case MESSAGES:
        put_worker(f, name, w, "way", "to", (double)w->up.n_messages);
        put_worker(f, name, w, "way", "from", (double)w->down.n_messages);
        break;
    case BYTES:
        put_worker(f, name, w, "way", "to", (double)w->up.n_bytes);
        put_worker(f, name, w, "way", "from", (double)w->down.n_bytes);
        break;
    case SECONDS:
        put_worker(f, name, w, "state", "busy", busy_s);
        put_worker(f, name, w, "state", "idle", ready_s > busy_s ? ready_s - busy_s : 0);
        break;
    }
}

static void put_workers(const struct form *f, const struct job *job)
{
    static const struct {
        const char *name, *type, *help;
        enum measure what;
    } measures[] = {
        {"round_trip_seconds", "gauge", "Of a message to a worker and its answer, without its computing.", ROUND_TRIP},
        {"link_messages_total", "counter", "Messages to and from a worker, without Pings and their answers.", MESSAGES},
        {"link_bytes_total", "counter", "Bytes of these messages.", BYTES},
        {"worker_seconds_total", "counter", "Of a worker since it was ready: in passes (busy), or between them.",
         SECONDS},
    };
    struct job_info info;
    job_info(job, &info);
    for (size_t k = 0; k < sizeof measures / sizeof *measures; k++) {
        put_head(f, measures[k].name, measures[k].help, measures[k].type);
        for (int i = 0; i < info.n_workers; i++) {
            struct job_worker w;
            job_worker(job, i, &w);
            put_measure(f, measures[k].name, measures[k].what, &w);
        }
    }
}

void counts_put(const struct counts *c, const struct counts_now *now, FILE *to)
{
    const struct form f = {.prefix = "pilotfish_", .to = to};
    put_shared(&f, c, now);
    put_ends(&f, c);
    if (now->o->drafter == DRAFTER_PLAN) {
        put_plans(&f, "plan_drafted_tokens_total", "Drafted tokens, by the plan that drafted them.", c->n_drafted_by,
                  now->o);
        put_plans(&f, "plan_accepted_tokens_total", "Of these, tokens that were accepted.", c->n_accepted_by, now->o);
    }
    for (size_t i = 0; i < sizeof times / sizeof *times; i++)
        put_one(&f, times[i].name, times[i].help, "counter", value_of(c, times[i].offset) * 1e-9);
    put_head(&f, "http_replies_total", "Replies of HTTP, by the first digit of their status.", "counter");
    for (int i = 2; i < 6; i++) {
        char status[8];
        snprintf(status, sizeof status, "%dxx", i);
        put_sample(&f, "http_replies_total", "status", status, (double)c->n_replies[i]);
    }
    put_one(&f, "slots", "Answers that are computed at once, at most.", "gauge", now->n_slots);
    put_one(&f, "ready", "1: the models are loaded, and requests are taken.", "gauge", now->ready);
    if (now->job) put_workers(&f, now->job);
}

void counts_put_vllm(const struct counts *c, const struct counts_now *now, FILE *to)
{
    struct form f = {.prefix = "vllm:", .vllm = true, .to = to};
    size_t n = (size_t)snprintf(f.labels, sizeof f.labels, "model_name=\"");
    for (const char *s = now->model; *s && n + 4 < sizeof f.labels; s++) {
        if (*s == '"' || *s == '\\') f.labels[n++] = '\\';
        f.labels[n++] = *s;
    }
    snprintf(f.labels + n, sizeof f.labels - n, "\"");
    put_shared(&f, c, now);
}
