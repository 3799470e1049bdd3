#include "coordinator/cli/closing.h"

#include "coordinator/cli/marks.h"
#include "coordinator/cli/stats.h"
#include "proto/show.h"

/* Requests whose text is not big's greedy one: how many, the first one's settings, and whether all have these. */
struct method {
    int n, n_seeded; /* n_seeded: by the seed of the run, not one of their own */
    bool alike;
    const struct settings *first;
    struct stats cost;
};

static bool is_sampled(const struct settings *s)
{
    return s->sampler.temp > 0;
}

static bool is_bild(const struct settings *s)
{
    return settings_lossy(s) && s->drafting;
}

static bool is_sampled_alike(const struct settings *one, const struct settings *other)
{
    const struct sampler *x = &one->sampler, *y = &other->sampler;
    return x->temp == y->temp && x->top_k == y->top_k && x->top_p == y->top_p && x->min_p == y->min_p;
}

static bool is_bild_alike(const struct settings *x, const struct settings *y)
{
    return x->fallback == y->fallback && x->rule.kind == y->rule.kind && x->rule.rollback == y->rule.rollback &&
           x->draft_max == y->draft_max;
}

static struct method method_of(const struct answers *a, bool (*is)(const struct settings *),
                               bool (*is_alike)(const struct settings *, const struct settings *))
{
    struct method m = {.alike = true};
    for (int i = 0; i < a->n; i++) {
        const struct seq *s = a->seqs[i];
        const struct settings *set = s ? &s->request.settings : NULL;
        if (!s || !is(set)) continue;
        if (!m.n++) m.first = set;
        m.n_seeded += set->sampler.seed == (uint32_t)a->o->seed;
        m.alike &= is_alike(set, m.first);
        stats_add(&m.cost, s);
    }
    return m;
}

/* "lossy: bild (2 of 3 prompts), " and what they have in common. */
static void put_method(const struct answers *a, const struct method *m, const char *name, const char *between,
                       const char *settings, FILE *to)
{
    fputs(name, to);
    if (m->n < a->n) fprintf(to, " (%d of %d prompts)", m->n, a->n);
    fprintf(to, "%s%s", between, m->alike ? settings : "with settings of their own");
}

static void put_sampled(const struct answers *a, FILE *to)
{
    char settings[120];
    const struct method m = method_of(a, is_sampled, is_sampled_alike);
    if (!m.n) return;
    const struct sampler *s = &m.first->sampler;
    snprintf(settings, sizeof settings, "temperature %g, top-k %u, top-p %g, min-p %g", (double)s->temp, s->top_k,
             (double)s->top_p, (double)s->min_p);
    put_method(a, &m, "sampled", ": ", settings, to);
    if (m.n_seeded) fprintf(to, "; --seed %d gives %s again", a->o->seed, m.n > 1 ? "these texts" : "this text");
    fputc('\n', to);
}

static void put_bild(const struct answers *a, FILE *to)
{
    char settings[120];
    const struct method m = method_of(a, is_bild, is_bild_alike);
    if (!m.n) return;
    const struct rule *r = &m.first->rule;
    snprintf(settings, sizeof settings, "fallback %g, rollback %g (%s), window %d", (double)m.first->fallback,
             (double)r->rollback, r->kind == RULE_REPO ? "repo" : "strict", m.first->draft_max);
    put_method(a, &m, "lossy: bild", ", ", settings, to);
    fputs("; ", to);
    stats_bild_line(&m.cost, to);
    fputc('\n', to);
}

/* A row for each group of verifiers: what went there. */
static void put_groups(const struct answers *a, FILE *to)
{
    for (int g = 0; g < a->o->groups && a->o->groups > 1; g++) {
        char name[48];
        struct stats cost = {0};
        int n = 0;
        for (int i = 0; i < a->n; i++) {
            if (!a->seqs[i] || a->seqs[i]->group != g) continue;
            stats_add(&cost, a->seqs[i]);
            n++;
        }
        snprintf(name, sizeof name, "group %d, %d text%s", g + 1, n, n == 1 ? "" : "s");
        stats_table_row(&cost, name, to);
    }
}

static void put_table(const struct answers *a, const struct stats *total, FILE *to)
{
    stats_table_head(to);
    for (int i = 0; i < a->n && a->n > 1; i++) {
        char number[16];
        struct stats cost = {0};
        if (!a->seqs[i]) continue;
        stats_add(&cost, a->seqs[i]);
        stats_table_row(&cost, show_name(prompt_name(&a->prompts[i], i, number)).s, to);
    }
    put_groups(a, to);
    stats_table_row(total, "all", to);
    if (a->n > 1)
        fputs("draft, verify, net: seconds, summed over requests; net has also the wait for one another's passes\n",
              to);
}

/* Answers that the model would have gone on with. */
static void put_cuts(const struct answers *a, const struct stats *total, FILE *to)
{
    char several[24] = "";
    int n_predict = 0; /* of those cut there; -1: not of all the same */
    for (int i = 0; i < a->n; i++) {
        const struct seq *s = a->seqs[i];
        if (!s || s->end != SEQ_LENGTH) continue;
        n_predict = !n_predict || n_predict == s->request.settings.n_predict ? s->request.settings.n_predict : -1;
    }
    if (a->n > 1) snprintf(several, sizeof several, "%llu ", (unsigned long long)total->n_at_length);
    if (n_predict > 0) fprintf(to, "; %scut at -n %d", several, n_predict);
    if (n_predict < 0) fprintf(to, "; %scut at -n, each at its own", several);
    if (a->n > 1) snprintf(several, sizeof several, "%llu ", (unsigned long long)total->n_at_context);
    if (total->n_at_context) fprintf(to, "; %scut at the end of the context", several);
}

static bool is_whole(const struct seq *s)
{
    return s && s->end != SEQ_RUNNING && s->end != SEQ_ABORTED && s->end != SEQ_FAILED;
}

static void put_closing_line(const struct answers *a, const struct stats *total, double seconds, bool interrupted,
                             FILE *to)
{
    int n_bad = 0, n_whole = 0;
    for (int i = 0; i < a->n; i++) {
        n_bad += a->prompts[i].error || (a->seqs[i] && a->seqs[i]->end == SEQ_FAILED);
        n_whole += is_whole(a->seqs[i]);
    }
    if (n_bad == a->n) return;
    if (interrupted) fputs("interrupted; ", to);
    if (n_whole < a->n && a->n > 1) fprintf(to, "%d of ", n_whole);
    if (a->n > 1)
        fprintf(to, "%d prompts, %llu tokens in %.1f s; ", a->n, (unsigned long long)total->n_tokens, seconds);
    stats_line(total, to);
    put_cuts(a, total, to);
    fputc('\n', to);
    char why[512];
    if (a->o->stats && total->n_prompt_copied) stats_prompts_line(total, to), fputc('\n', to);
    if (a->o->stats && stats_choice(total, why, sizeof why)) fprintf(to, "%s\n", why);
    if (stats_withheld(total, why, sizeof why)) fprintf(to, "%s\n", why);
    put_sampled(a, to);
    put_bild(a, to);
    marks_line(a->o, to);
}

void closing_put(const struct answers *a, uint64_t now_ns, bool interrupted, FILE *to)
{
    struct stats total = {0};
    uint64_t start_ns = now_ns; /* one that never left the queue has none */
    for (int i = 0; i < a->n; i++) {
        const struct seq *s = a->seqs[i];
        if (!s) continue;
        stats_add(&total, s);
        if (s->stats.start_ns && s->stats.start_ns < start_ns) start_ns = s->stats.start_ns;
    }
    if (a->o->stats) put_table(a, &total, to);
    put_closing_line(a, &total, (double)(now_ns - start_ns) * 1e-9, interrupted, to);
    fflush(to);
}
