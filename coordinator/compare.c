#include "coordinator/compare.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>

#include "coordinator/metrics.h"
#include "coordinator/prompts.h"
#include "coordinator/stats.h"

struct compare {
    struct session s;
    struct prompts prompts;
    struct seq *lossy, *plain; /* [prompts.n] */
    const char *now;           /* what is being written */
    int n_done;
};

struct likeness { /* of one text, and summed over all */
    bool exact;
    int first_difference; /* token; -1: none */
    double rouge;
    double lp_lossy, lp_plain; /* sums of ln p under big */
    int n_lossy, n_plain, n_scored;
};

/* ---- writing ---- */

static int on_tokens(void *arg, const struct seq *s, struct err *err)
{
    (void)arg, (void)s, (void)err;
    return OK;
}

static int on_done(void *arg, const struct seq *s, struct err *err)
{
    struct compare *c = arg;
    (void)s, (void)err;
    fprintf(stderr, "%s: %d of %d\n", c->now, ++c->n_done, c->prompts.n);
    return OK;
}

static int write_all(struct compare *c, const char *name, const struct job_run *run, struct seq **out, struct err *err)
{
    struct job_watch watch = {on_tokens, on_done, c};
    int rc = OK, n = c->prompts.n;
    struct seq *seqs = calloc((size_t)n, sizeof *seqs);
    if (!seqs) return err_set(err, E_FAIL, "out of memory for %d sequences", n);
    *out = seqs;
    for (int i = 0; i < n && rc == OK; i++)
        rc = seq_init(&seqs[i], i, c->prompts.items[i].ids, c->prompts.items[i].n_ids, c->s.o.n_predict,
                      c->s.info.n_ctx, 0, session_root(&c->s), err);
    c->now = name;
    c->n_done = 0;
    return rc == OK ? job_run(c->s.job, run, seqs, n, &watch, err) : rc;
}

/* ---- comparing ---- */

static int first_difference(const struct seq *a, const struct seq *b)
{
    int i = a->n_prompt;
    while (i < a->n_ids && i < b->n_ids && a->ids[i] == b->ids[i]) i++;
    return i == a->n_ids && i == b->n_ids ? -1 : i - a->n_prompt;
}

/* A token that big has not seen (the last draft under the authors' rule) has no ln p. */
static double sum_lp(const struct seq *s, int *n)
{
    double sum = 0;
    for (int i = s->n_prompt; i < s->n_ids; i++) {
        if (isnan(s->lp[i])) continue;
        sum += (double)s->lp[i];
        if (n) ++*n;
    }
    return sum;
}

static int compare_texts(const struct compare *c, int i, struct likeness *like, struct bleu *bleu, struct err *err)
{
    const struct seq *a = &c->lossy[i], *b = &c->plain[i];
    char *text = NULL, *own = NULL;
    size_t n_text = stop_text_from(&c->s.stops, a, 0, &text), n_own = stop_text_from(&c->s.stops, b, 0, &own);
    *like = (struct likeness){.first_difference = first_difference(a, b),
                              .n_lossy = seq_n_generated(a),
                              .n_plain = seq_n_generated(b),
                              .lp_plain = sum_lp(b, NULL)};
    like->lp_lossy = sum_lp(a, &like->n_scored);
    like->exact = like->first_difference < 0;
    bool ok = text && own;
    if (ok) {
        n_text = stop_cut(&c->s.stops, a, text, n_text);
        n_own = stop_cut(&c->s.stops, b, own, n_own);
        like->rouge = rouge_l(text, n_text, own, n_own);
        ok = like->rouge >= 0 && bleu_add(bleu, text, n_text, own, n_own) == 0;
    }
    free(text);
    free(own);
    return ok ? OK : err_set(err, E_FAIL, "no memory to compare texts");
}

static double over(double a, double b)
{
    return b > 0 ? a / b : 0;
}

static int put_text(const struct compare *c, int i, const struct likeness *like, struct err *err)
{
    if (c->s.o.output != OUT_JSONL) return OK;
    char number[16];
    snprintf(number, sizeof number, "%d", i);
    json_t *line = json_pack("{ss sb si sf sf sf si si}", "id", c->prompts.names[i] ? c->prompts.names[i] : number,
                             "exact", like->exact, "first_difference", like->first_difference, "rouge_l", like->rouge,
                             "lp_token", over(like->lp_lossy, like->n_scored), "lp_token_big",
                             over(like->lp_plain, like->n_plain), "tokens", like->n_lossy, "tokens_big", like->n_plain);
    if (!line) return err_set(err, E_FAIL, "no memory for a line of JSON");
    json_dumpf(line, stdout, JSON_REAL_PRECISION(9));
    json_decref(line);
    putchar('\n');
    return OK;
}

struct summary {
    int n, n_exact, first_differences; /* the last: summed over those that differ */
    double bleu, rouge, lp_token, lp_token_big, length, tokens_per_s, tokens_per_s_big;
};

static int put_summary(const struct compare *c, const struct summary *s, struct err *err)
{
    if (c->s.o.output == OUT_JSONL) {
        json_t *line =
            json_pack("{si si sf sf sf sf sf sf sf sf}", "prompts", s->n, "exact", s->n_exact, "first_difference",
                      over(s->first_differences, s->n - s->n_exact), "bleu", s->bleu, "rouge_l", s->rouge, "lp_token",
                      s->lp_token, "lp_token_big", s->lp_token_big, "length_ratio", s->length, "tokens_per_s",
                      s->tokens_per_s, "tokens_per_s_big", s->tokens_per_s_big);
        if (!line) return err_set(err, E_FAIL, "no memory for a line of JSON");
        json_dumpf(line, stdout, JSON_REAL_PRECISION(9));
        json_decref(line);
        putchar('\n');
        return OK;
    }
    printf("%d of %d texts are big's own", s->n_exact, s->n);
    if (s->n_exact < s->n)
        printf("; the others differ from token %.1f on (mean)", over(s->first_differences, s->n - s->n_exact));
    printf("\nBLEU %.2f, ROUGE-L %.4f, ln p a token %.4f (big's own text: %.4f), %.3f times as long\n"
           "%.1f token/s, big alone %.1f\n",
           s->bleu, s->rouge, s->lp_token, s->lp_token_big, s->length, s->tokens_per_s, s->tokens_per_s_big);
    return OK;
}

static int gate(const struct compare *c, const struct summary *s, struct err *err)
{
    const struct options *o = &c->s.o;
    double exact = 100.0 * s->n_exact / s->n;
    const struct {
        const char *what, *option;
        double is, least;
    } gates[] = {{"big's own texts, percent", "min-exact", exact, (double)o->min_exact},
                 {"BLEU", "min-bleu", s->bleu, (double)o->min_bleu},
                 {"ROUGE-L", "min-rouge", s->rouge, (double)o->min_rouge}};
    for (size_t i = 0; i < sizeof gates / sizeof *gates; i++)
        if (gates[i].is < gates[i].least)
            return err_set(err, E_CHECK, "%s: %.4g, under --%s %.4g", gates[i].what, gates[i].is, gates[i].option,
                           gates[i].least);
    return OK;
}

static int compare_all(const struct compare *c, struct err *err)
{
    struct bleu bleu = {0};
    struct likeness all = {0};
    struct stats lossy = {0}, plain = {0};
    struct summary s = {.n = c->prompts.n};
    int rc = OK;
    for (int i = 0; i < s.n && rc == OK; i++) {
        struct likeness like;
        rc = compare_texts(c, i, &like, &bleu, err);
        if (rc == OK) rc = put_text(c, i, &like, err);
        if (rc != OK) break;
        s.n_exact += like.exact;
        if (!like.exact) s.first_differences += like.first_difference;
        all.rouge += like.rouge;
        all.lp_lossy += like.lp_lossy;
        all.lp_plain += like.lp_plain;
        all.n_scored += like.n_scored;
        all.n_lossy += like.n_lossy;
        all.n_plain += like.n_plain;
        stats_add(&lossy, &c->lossy[i]);
        stats_add(&plain, &c->plain[i]);
    }
    if (rc != OK) return rc;
    s.bleu = bleu_score(&bleu);
    s.rouge = all.rouge / s.n;
    s.lp_token = over(all.lp_lossy, all.n_scored);
    s.lp_token_big = over(all.lp_plain, all.n_plain);
    s.length = over(all.n_lossy, all.n_plain);
    s.tokens_per_s = stats_tokens_per_s(&lossy);
    s.tokens_per_s_big = stats_tokens_per_s(&plain);
    rc = put_summary(c, &s, err);
    return rc == OK ? gate(c, &s, err) : rc;
}

static int compare(struct compare *c, struct err *err)
{
    struct prompts_from from = {
        .big = &c->s.big, .tokenizer = c->s.big_t, .n_ctx = c->s.o.ctx, .in = stdin, .notes = stderr};
    int rc = prompts_read(&c->prompts, &c->s.o, &from, err);
    int n_lanes = c->prompts.n < c->s.o.parallel ? c->prompts.n : c->s.o.parallel;
    if (rc == OK) rc = session_start(&c->s, n_lanes, err);
    if (rc != OK) return rc;
    struct job_run run = session_run(&c->s, c->s.o.drafter != DRAFTER_NONE, n_lanes);
    rc = write_all(c, "as asked", &run, &c->lossy, err);
    run.drafting = false;
    run.rule = (struct rule){0};
    run.sampler = (struct sampler){0};
    if (rc == OK) rc = write_all(c, "big alone", &run, &c->plain, err);
    return rc == OK ? compare_all(c, err) : rc;
}

int command_compare(const struct options *o, const struct host *host, struct err *err)
{
    struct compare c = {0};
    int rc = session_open(&c.s, o, host, err);
    if (rc == OK) rc = compare(&c, err);
    session_close(&c.s, rc, err);
    for (int i = 0; i < c.prompts.n; i++) {
        if (c.lossy) seq_free(&c.lossy[i]);
        if (c.plain) seq_free(&c.plain[i]);
    }
    free(c.lossy);
    free(c.plain);
    prompts_free(&c.prompts);
    return rc;
}
