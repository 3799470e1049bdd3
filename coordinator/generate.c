#include "coordinator/generate.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "coordinator/front.h"
#include "coordinator/job.h"
#include "coordinator/prompts.h"
#include "coordinator/stop.h"
#include "proto/history.h"

enum { NGRAM_CTX_MOST = 16384 }; /* ids of one DraftAsk: its bound is 64 KiB */

struct generate {
    const struct options *o; /* `own` */
    struct options own;      /* with a seed */
    const struct generate_host *host;
    struct gguf big, little;
    struct tokenizer *big_t, *little_t;
    struct prompts prompts;
    int n_ids; /* known to both models */
    struct job *job;
    struct job_info info;
    struct front *front;
    struct seq *seqs, *plain; /* [prompts.n]; plain: by big alone, for --check */
};

static int open_vocabularies(struct generate *g, struct err *err)
{
    int rc = gguf_open(&g->big, g->o->big, err);
    if (rc == OK) rc = tokenizer_open(&g->big_t, &g->big, err);
    if (rc != OK) return rc;
    g->n_ids = tokenizer_n_vocab(g->big_t);
    if (g->o->drafter != DRAFTER_LITTLE) return OK;
    rc = gguf_open(&g->little, g->o->little, err);
    if (rc == OK) rc = tokenizer_open(&g->little_t, &g->little, err);
    if (rc == OK) rc = tokenizer_compatible(g->big_t, g->little_t, &g->n_ids, err);
    return rc == OK ? OK : err_wrap(err, "--little");
}

static int read_prompts(struct generate *g, struct err *err)
{
    struct prompts_from from = {
        .big = &g->big, .tokenizer = g->big_t, .n_ctx = g->o->ctx, .in = stdin, .notes = stderr};
    return prompts_read(&g->prompts, g->o, &from, err);
}

static int n_lanes(const struct generate *g)
{
    return g->prompts.n < g->o->parallel ? g->prompts.n : g->o->parallel;
}

static int open_job(struct generate *g, struct err *err)
{
    struct job_config config = {
        .layout = g->host->layout,
        .vocab_big = gguf_vocab_hash(&g->big),
        .vocab_little = g->little_t ? gguf_vocab_hash(&g->little) : 0,
        .n_ctx = g->o->ctx,
        .n_slots = n_lanes(g),
    };
    int rc = g->host->start(g->host->arg, err);
    if (rc == OK) rc = job_open(&g->job, &config, g->host->office, err);
    if (rc != OK) return rc;
    job_info(g->job, &g->info);
    fprintf(stderr, "%llu MiB of weights, %llu MiB of KV (%d x %d positions)\n",
            (unsigned long long)(g->info.weights_bytes >> 20), (unsigned long long)(g->info.kv_bytes >> 20), n_lanes(g),
            g->info.n_ctx);
    return OK;
}

static int make_seqs(const struct generate *g, struct seq **out, struct err *err)
{
    struct seq *seqs = calloc((size_t)g->prompts.n, sizeof *seqs);
    if (!seqs) return err_set(err, E_FAIL, "out of memory for %d sequences", g->prompts.n);
    *out = seqs;
    int rc = OK;
    for (int i = 0; i < g->prompts.n && rc == OK; i++)
        rc = seq_init(&seqs[i], i, g->prompts.items[i].ids, g->prompts.items[i].n_ids, g->o->n_predict, g->info.n_ctx,
                      g->o->logprobs, job_root(gguf_vocab_hash(&g->big)), err);
    return rc;
}

static int run(const struct generate *g, struct seq *seqs, bool drafting, const struct job_watch *watch,
               struct err *err)
{
    const struct options *o = g->o;
    struct job_run r = {
        .drafting = drafting,
        .guard = o->guard,
        .ignore_eos = o->ignore_eos,
        .draft_max = o->draft_max,
        .draft_ctx = o->drafter == DRAFTER_NGRAM ? NGRAM_CTX_MOST : o->draft_ctx,
        .n_lanes = n_lanes(g),
        .n_ids = g->n_ids,
        .n_proposed = o->draft_vocab && o->draft_vocab < g->n_ids ? o->draft_vocab : g->n_ids,
        .n_top = o->logprobs,
        .fallback = o->fallback,
    };
    struct stops stops = {o->stops, o->n_stops, g->big_t};
    if (o->n_stops) {
        r.stops = stop_reached;
        r.stops_arg = &stops;
    }
    if (o->accept == ACCEPT_BILD)
        r.rule = (struct rule){o->rollback_rule == ROLLBACK_REPO ? RULE_REPO : RULE_STRICT, o->rollback};
    if (o->accept == ACCEPT_SAMPLE)
        r.sampler = (struct sampler){.temp = o->temp,
                                     .top_k = (uint32_t)o->top_k,
                                     .top_p = o->top_p,
                                     .min_p = o->min_p,
                                     .seed = (uint32_t)o->seed};
    r.n_end_ids = (int)tokenizer_end_ids(g->big_t, &r.end_ids);
    return job_run(g->job, &r, seqs, g->prompts.n, watch, err);
}

static int show_tokens(void *arg, const struct seq *s, struct err *err)
{
    return front_tokens(arg, s, err);
}

static int show_done(void *arg, const struct seq *s, struct err *err)
{
    return front_done(arg, s, err);
}

static int silent(void *arg, const struct seq *s, struct err *err)
{
    (void)arg, (void)s, (void)err;
    return OK;
}

static int compare(const struct seq *a, const struct seq *b, struct err *err)
{
    for (int i = a->n_prompt; i < a->n_ids && i < b->n_ids; i++) {
        if (a->ids[i] != b->ids[i])
            return err_set(err, E_CHECK, "prompt %d, token %d: id %d with drafts, %d by big alone", a->index + 1,
                           i - a->n_prompt, a->ids[i], b->ids[i]);
        if (memcmp(&a->lp[i], &b->lp[i], sizeof a->lp[i]))
            return err_set(err, E_CHECK, "prompt %d, token %d: ln p %.9g with drafts, %.9g by big alone", a->index + 1,
                           i - a->n_prompt, (double)a->lp[i], (double)b->lp[i]);
    }
    if (a->n_ids != b->n_ids)
        return err_set(err, E_CHECK, "prompt %d: %d tokens with drafts, %d by big alone", a->index + 1,
                       seq_n_generated(a), seq_n_generated(b));
    return OK;
}

/* Big alone over the same prompts: the same ids and log-probabilities, bit for bit. */
static int check(struct generate *g, struct err *err)
{
    struct job_watch watch = {silent, silent, NULL};
    int rc = make_seqs(g, &g->plain, err), n_tokens = 0;
    if (rc == OK) rc = run(g, g->plain, false, &watch, err);
    for (int i = 0; i < g->prompts.n && rc == OK; i++) {
        rc = compare(&g->seqs[i], &g->plain[i], err);
        n_tokens += seq_n_generated(&g->plain[i]);
    }
    if (rc == OK) fprintf(stderr, "check: %d tokens are big's own, ids and log-probabilities bit for bit\n", n_tokens);
    return rc;
}

static int generate(struct generate *g, struct err *err)
{
    int rc = open_vocabularies(g, err);
    if (rc == OK) rc = read_prompts(g, err);
    if (rc == OK) rc = open_job(g, err);
    if (rc == OK) rc = make_seqs(g, &g->seqs, err);
    if (rc == OK) rc = front_open(&g->front, g->o, g->big_t, g->prompts.n, (const char *const *)g->prompts.names, err);
    if (rc != OK) return rc;
    struct job_watch watch = {show_tokens, show_done, g->front};
    rc = run(g, g->seqs, g->o->drafter != DRAFTER_NONE, &watch, err);
    struct err ignored;
    int shown =
        front_finish(g->front, job_now_ns(), rc == E_INTERRUPT || rc == E_TERMINATED, rc == OK ? err : &ignored);
    if (rc == OK) rc = shown;
    return rc == OK && g->o->check ? check(g, err) : rc;
}

int command_generate(const struct options *o, const struct generate_host *host, struct err *err)
{
    struct generate g = {.own = *o, .host = host};
    g.o = &g.own;
    if (g.own.seed < 0) g.own.seed = (int)(history_mix(job_now_ns() ^ (uint64_t)getpid() << 40) & INT_MAX);
    int rc = generate(&g, err);
    front_close(g.front);
    job_close(g.job);
    job_quit(host->office, &host->layout, rc, rc == OK ? "" : err->text);
    for (int i = 0; i < g.prompts.n; i++) {
        if (g.seqs) seq_free(&g.seqs[i]);
        if (g.plain) seq_free(&g.plain[i]);
    }
    free(g.seqs);
    free(g.plain);
    prompts_free(&g.prompts);
    tokenizer_close(g.little_t);
    tokenizer_close(g.big_t);
    gguf_close(&g.little);
    gguf_close(&g.big);
    return rc;
}
