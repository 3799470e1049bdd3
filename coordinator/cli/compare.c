#include "coordinator/cli/compare.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/cli/marks.h"
#include "coordinator/cli/output.h"
#include "coordinator/text/json_text.h"
#include "coordinator/text/metrics.h"
#include "coordinator/cli/stats.h"
#include "proto/clock.h"

struct compare {
    struct runtime s;
    struct prompts prompts;
    struct seq *asked, *own; /* [prompts.n_good]: as asked; by big alone, greedily */
};

/* ---- writing ---- */

/* The i-th of two ways: as asked, or the big model alone, greedily. */
static int write_all(struct compare *c, const char *way, int i, struct seq **out, struct err *err)
{
    static const struct job_watch nobody;
    bool alone = i > 0;
    int rc = runtime_seqs(&c->s, &c->prompts, !alone, out, err), n = c->prompts.n_good;
    progress_within(&c->s.progress, way, i, 2, clock_now_ns());
    for (int k = 0; k < n && rc == OK; k++) {
        struct settings *set = &(*out)[k].request.settings;
        set->fresh = true;
        if (alone) set->rule = (struct rule){0};
        if (alone) set->sampler = (struct sampler){0};
    }
    if (rc == OK) rc = job_run(c->s.job, *out, n, &nobody, err);
    progress_clear(&c->s.progress);
    return rc;
}

/* ---- comparing ---- */

struct scored { /* under big */
    double lp;  /* summed */
    int n;      /* tokens: one that big has not seen (the last draft under the authors' rule) has no ln p */
};

static struct scored score_of(const struct seq *s)
{
    struct scored sum = {0};
    for (int i = s->n_prompt; i < s->n_ids; i++) {
        if (isnan(s->lp[i])) continue;
        sum.lp += (double)s->lp[i];
        sum.n++;
    }
    return sum;
}

static void add(struct scored *sum, struct scored more)
{
    sum->lp += more.lp;
    sum->n += more.n;
}

/* The first token that differs; -1: none does. */
static int first_difference(const struct seq *a, const struct seq *b)
{
    int i = a->n_prompt;
    while (i < a->n_ids && i < b->n_ids && a->ids[i] == b->ids[i]) i++;
    return i == a->n_ids && i == b->n_ids ? -1 : i - a->n_prompt;
}

struct sums {                    /* over texts */
    int n, n_exact, differences; /* differences: where they begin, of the texts that are not exact */
    struct rouge rouge;
    int n_problems, n_right, n_right_own; /* prompts with a solution of GSM8K; with its number at the end */
    struct bleu bleu;
    struct scored asked, own;
    struct stats asked_cost, own_cost;
};

/* Adds to the sums; *rouge: of this text. */
static int compare_texts(const struct compare *c, int i, struct sums *sums, struct rouge *rouge, struct err *err)
{
    char *text = NULL, *own = NULL;
    const char *solution = c->prompts.items[c->asked[i].request.index].solution;
    size_t n_text = stop_answer(c->s.big_t, &c->asked[i], &text), n_own = stop_answer(c->s.big_t, &c->own[i], &own);
    bool ok = text && own && rouge_score(rouge, text, n_text, own, n_own) == 0 &&
              bleu_add(&sums->bleu, text, n_text, own, n_own) == 0;
    int right = ok && solution ? gsm8k_right(text, n_text, solution, strlen(solution)) : -1;
    if (right >= 0) {
        sums->n_problems++;
        sums->n_right += right;
        sums->n_right_own += gsm8k_right(own, n_own, solution, strlen(solution));
    }
    free(text);
    free(own);
    if (!ok) return err_set(err, E_FAIL, "no memory to compare texts");
    sums->rouge.one += rouge->one;
    sums->rouge.two += rouge->two;
    sums->rouge.l += rouge->l;
    sums->rouge.l_sum += rouge->l_sum;
    return OK;
}

static int lost_rouge(json_t *to, const struct rouge *r)
{
    return json_object_set_new(to, "rouge_1", json_real(r->one)) |
           json_object_set_new(to, "rouge_2", json_real(r->two)) | json_object_set_new(to, "rouge_l", json_real(r->l)) |
           json_object_set_new(to, "rouge_lsum", json_real(r->l_sum));
}

static int compare_one(const struct compare *c, int i, struct sums *sums, struct err *err)
{
    const struct seq *a = &c->asked[i], *b = &c->own[i];
    struct scored asked = score_of(a), own = score_of(b);
    int difference = first_difference(a, b);
    struct rouge rouge;
    int rc = compare_texts(c, i, sums, &rouge, err);
    if (rc != OK) return rc;
    sums->n++;
    sums->n_exact += difference < 0;
    sums->differences += difference < 0 ? 0 : difference;
    add(&sums->asked, asked);
    add(&sums->own, own);
    stats_add(&sums->asked_cost, a);
    stats_add(&sums->own_cost, b);
    if (c->s.o.format != FORMAT_JSONL) return OK;
    char number[16];
    const char *name = prompt_name(&c->prompts.items[a->request.index], a->request.index, number);
    json_t *line =
        json_pack("{so sb si sf sf si si}", "id", json_text(name, strlen(name)), "exact", difference < 0,
                  "first_difference", difference, "lp_token", stats_ratio(asked.lp, asked.n), "lp_token_big",
                  stats_ratio(own.lp, own.n), "tokens", seq_n_generated(a), "tokens_big", seq_n_generated(b));
    line = json_unless(lost_rouge(line, &rouge), line);
    return json_put_line(line, JSON_REAL_PRECISION(9), stdout, err);
}

struct summary {
    double exact, first_difference; /* exact: percent */
    struct rouge rouge;             /* means */
    double right, right_own;        /* percent of the problems; 0: there are none */
    double bleu, lp_token, lp_token_big, length, tokens_per_s, tokens_per_s_big;
};

static struct summary sum_up(const struct sums *s)
{
    return (struct summary){
        .exact = 100.0 * s->n_exact / s->n,
        .first_difference = stats_ratio(s->differences, s->n - s->n_exact),
        .bleu = bleu_score(&s->bleu),
        .rouge = {s->rouge.one / s->n, s->rouge.two / s->n, s->rouge.l / s->n, s->rouge.l_sum / s->n},
        .right = 100 * stats_ratio(s->n_right, s->n_problems),
        .right_own = 100 * stats_ratio(s->n_right_own, s->n_problems),
        .lp_token = stats_ratio(s->asked.lp, s->asked.n),
        .lp_token_big = stats_ratio(s->own.lp, s->own.n),
        .length = stats_ratio((double)s->asked_cost.n_tokens, (double)s->own_cost.n_tokens),
        .tokens_per_s = stats_tokens_per_s(&s->asked_cost),
        .tokens_per_s_big = stats_tokens_per_s(&s->own_cost),
    };
}

static int put_summary(const struct compare *c, const struct sums *sums, const struct summary *s, struct err *err)
{
    if (c->s.o.format == FORMAT_JSONL) {
        json_t *line = json_pack("{si si sf sf sf sf sf sf sf}", "prompts", sums->n, "exact", sums->n_exact,
                                 "first_difference", s->first_difference, "bleu", s->bleu, "lp_token", s->lp_token,
                                 "lp_token_big", s->lp_token_big, "length_ratio", s->length, "tokens_per_s",
                                 s->tokens_per_s, "tokens_per_s_big", s->tokens_per_s_big);
        int lost = lost_rouge(line, &s->rouge) | marks_json(&c->s.o, line);
        if (sums->n_problems) lost |= json_object_set_new(line, "problems", json_integer(sums->n_problems));
        if (sums->n_problems) lost |= json_object_set_new(line, "right", json_integer(sums->n_right));
        if (sums->n_problems) lost |= json_object_set_new(line, "right_big", json_integer(sums->n_right_own));
        line = json_unless(lost, line);
        return json_put_line(line, JSON_REAL_PRECISION(9), stdout, err);
    }
    printf("%d of %d texts are the big model's own", sums->n_exact, sums->n);
    if (sums->n_exact < sums->n) printf("; the others differ from token %.1f on (mean)", s->first_difference);
    printf("\nBLEU %.2f, ROUGE-1 %.4f, ROUGE-2 %.4f, ROUGE-L %.4f, ROUGE-Lsum %.4f\n", s->bleu, s->rouge.one,
           s->rouge.two, s->rouge.l, s->rouge.l_sum);
    if (sums->n_problems)
        printf("%d of %d word problems are right (%.1f %%), of the big model's own %d (%.1f %%)\n", sums->n_right,
               sums->n_problems, s->right, sums->n_right_own, s->right_own);
    printf("ln p a token %.4f (the big model's own text: %.4f), %.3f times as long\n"
           "%.1f token/s, the big model alone %.1f\n",
           s->lp_token, s->lp_token_big, s->length, s->tokens_per_s, s->tokens_per_s_big);
    marks_line(&c->s.o, stdout);
    return OK;
}

static int gate(const struct options *o, const struct summary *s, struct err *err)
{
    const struct {
        const char *what, *option;
        double is, least;
    } gates[] = {{"the big model's own texts, percent", "min-exact", s->exact, (double)o->min_exact},
                 {"BLEU", "min-bleu", s->bleu, (double)o->min_bleu},
                 {"ROUGE-1", "min-rouge-1", s->rouge.one, (double)o->min_rouge_1},
                 {"ROUGE-2", "min-rouge-2", s->rouge.two, (double)o->min_rouge_2},
                 {"ROUGE-L", "min-rouge", s->rouge.l, (double)o->min_rouge},
                 {"ROUGE-Lsum", "min-rouge-lsum", s->rouge.l_sum, (double)o->min_rouge_lsum},
                 {"word problems that are right, percent", "min-right", s->right, (double)o->min_right}};
    for (size_t i = 0; i < sizeof gates / sizeof *gates; i++)
        if (gates[i].is < gates[i].least)
            return err_set(err, E_CHECK, "%s: %.4g, under --%s %.4g", gates[i].what, gates[i].is, gates[i].option,
                           gates[i].least);
    return OK;
}

/* Of the i-th that could be answered, either way; NULL: it was. */
static const char *why_failed(const struct compare *c, int i)
{
    if (c->asked[i].end == SEQ_FAILED) return c->asked[i].why.text;
    return c->own[i].end == SEQ_FAILED ? c->own[i].why.text : NULL;
}

static int compare_all(const struct compare *c, struct err *err)
{
    struct sums sums = {0};
    struct output_io io = {.out = stdout, .notes = stderr};
    int rc = OK, n = 0;
    for (int i = 0; i < c->prompts.n && rc == OK; i++) {
        const struct prompt *p = &c->prompts.items[i];
        const char *why = p->error;
        if (!why) why = why_failed(c, n++);
        rc = why ? output_refuse(&io, c->s.o.format, p, i, why, err) : compare_one(c, n - 1, &sums, err);
    }
    if (rc != OK || !sums.n) return rc;
    struct summary summary = sum_up(&sums);
    rc = put_summary(c, &sums, &summary, err);
    return rc == OK ? gate(&c->s.o, &summary, err) : rc;
}

/* Twice over all prompts. */
static int write_both(struct compare *c, struct err *err)
{
    int rc = runtime_start(&c->s, runtime_n_slots(&c->s, &c->prompts), err);
    if (rc == OK) rc = write_all(c, "as asked,", 0, &c->asked, err);
    return rc == OK ? write_all(c, "the big model alone,", 1, &c->own, err) : rc;
}

static int compare(struct compare *c, struct err *err)
{
    int rc = runtime_prompts(&c->s, &c->prompts, err);
    if (rc == OK && c->prompts.n_good) rc = write_both(c, err);
    if (rc == OK) rc = compare_all(c, err);
    if (rc == OK && c->asked) rc = seqs_failed(c->asked, c->prompts.n_good, err);
    if (rc == OK && c->own) rc = seqs_failed(c->own, c->prompts.n_good, err);
    return rc == OK ? prompts_refused(&c->prompts, err) : rc;
}

int command_compare(const struct options *o, const struct launch *launch, struct err *err)
{
    struct compare c = {0};
    int rc = runtime_open(&c.s, o, launch, err);
    if (rc == OK) rc = compare(&c, err);
    runtime_close(&c.s, rc, err);
    seqs_free(c.asked, c.prompts.n_good);
    seqs_free(c.own, c.prompts.n_good);
    prompts_free(&c.prompts);
    return rc;
}
