#include "coordinator/cli/generate.h"

#include "coordinator/cli/output.h"
#include "proto/clock.h"

struct generate {
    struct runtime s;
    struct prompts prompts;
    struct output *output;
    struct seq *seqs, *plain; /* [prompts.n_good]; plain: by big alone, for --check */
    int n_dropped;            /* of seqs, the first ones */
};

/* Those that promise the same text, in front; how many. None has started. */
static int keep_exact(struct seq *seqs, int n)
{
    int n_exact = 0;
    for (int i = 0; i < n; i++)
        if (!settings_lossy(&seqs[i].request.settings)) seqs[n_exact++] = seqs[i];
    for (int i = n_exact; i < n; i++) seqs[i] = (struct seq){0};
    return n_exact;
}

/* Big alone over the same prompts: the same ids and log-probabilities, bit for bit. Lossy texts are no such promise. */
static int check(struct generate *g, struct err *err)
{
    struct job_watch watch = {0};
    int rc = runtime_seqs(&g->s, &g->prompts, false, &g->plain, err), n = 0, n_tokens = 0;
    if (rc == OK) n = keep_exact(g->plain, g->prompts.n_good);
    progress_within(&g->s.progress, "check:", 0, 0, clock_now_ns());
    if (rc == OK) rc = job_run(g->s.job, g->plain, n, &watch, err);
    if (rc == OK) rc = seqs_failed(g->plain, n, err);
    const struct seq *drafted = g->seqs;
    for (int i = 0; i < n && rc == OK; i++, drafted++) {
        while (settings_lossy(&drafted->request.settings)) drafted++;
        rc = seq_check(drafted, &g->plain[i], err);
        n_tokens += seq_n_generated(&g->plain[i]);
    }
    progress_clear(&g->s.progress);
    if (rc != OK) return rc;
    fprintf(stderr, "check: %d tokens are the big model's own, ids and log-probabilities bit for bit", n_tokens);
    int n_lossy = g->prompts.n_good - n;
    if (n_lossy) fprintf(stderr, "; %d lossy text%s not compared", n_lossy, n_lossy > 1 ? "s are" : " is");
    fputc('\n', stderr);
    return OK;
}

static int on_tokens(void *arg, const struct seq *s, struct err *err)
{
    return output_tokens(((struct generate *)arg)->output, s, err);
}

/* What was shown is not kept, unless it is to be compared. */
static int on_done(void *arg, const struct seq *s, struct err *err)
{
    struct generate *g = arg;
    int rc = output_done(g->output, s, err), n_shown = output_n_shown(g->output);
    if (g->s.o.check) return rc;
    while (g->n_dropped < g->prompts.n_good && g->seqs[g->n_dropped].request.index < n_shown)
        seq_drop(&g->seqs[g->n_dropped++]);
    return rc;
}

static bool is_writing(const void *arg)
{
    return output_is_writing(((const struct generate *)arg)->output);
}

static int start(struct generate *g, struct err *err)
{
    int rc = runtime_trace(&g->s, err);
    if (rc == OK) rc = runtime_start(&g->s, runtime_n_slots(&g->s, &g->prompts), err);
    return rc == OK ? runtime_seqs(&g->s, &g->prompts, true, &g->seqs, err) : rc;
}

static int generate(struct generate *g, struct err *err)
{
    const struct options *o = &g->s.o;
    struct job_watch watch = {.tokens = on_tokens, .done = on_done, .writing = is_writing, .arg = g};
    int rc = runtime_prompts(&g->s, &g->prompts, err);
    bool any = g->prompts.n_good > 0;
    if (rc == OK && any) rc = start(g, err);
    if (rc == OK) rc = output_open(&g->output, o, g->s.big_t, &g->prompts, err);
    if (rc != OK) return rc;
    output_set_job(g->output, g->s.job);
    if (any) rc = job_run(g->s.job, g->seqs, g->prompts.n_good, &watch, err);
    struct err ignored;
    int shown =
        output_finish(g->output, clock_now_ns(), rc == E_INTERRUPT || rc == E_TERMINATED, rc == OK ? err : &ignored);
    if (rc == OK) rc = shown;
    if (rc == OK) rc = seqs_failed(g->seqs, any ? g->prompts.n_good : 0, err);
    if (rc == OK && o->check && any) rc = check(g, err);
    return rc == OK ? prompts_refused(&g->prompts, err) : rc;
}

int command_generate(const struct options *o, const struct launch *launch, struct err *err)
{
    struct generate g = {0};
    int rc = runtime_open(&g.s, o, launch, err);
    if (rc == OK) rc = generate(&g, err);
    output_close(g.output);
    rc = runtime_close(&g.s, rc, err);
    seqs_free(g.seqs, g.prompts.n_good);
    seqs_free(g.plain, g.prompts.n_good);
    prompts_free(&g.prompts);
    return rc;
}
