#include "coordinator/cli/serve_report.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/cli/percentile.h"
#include "coordinator/text/json_text.h"
#include "proto/show.h"

static const char *const names[N_SERVED_TIMES] = {"ttft", "tpot", "e2el"};

int goodput_read(struct goodput *out, const char *text, struct err *err)
{
    *out = (struct goodput){.ms = {-1, -1, -1}, .any = text};
    while (text && *text) {
        size_t n = strcspn(text, ",");
        int which = 0;
        while (which < N_SERVED_TIMES && (strncmp(text, names[which], 4) || text[4] != ':')) which++;
        char *end = NULL;
        double ms = which < N_SERVED_TIMES ? strtod(text + 5, &end) : -1;
        if (which == N_SERVED_TIMES || end == text + 5 || end != text + n || !(ms >= 0))
            return err_set(err, E_USAGE,
                           "--goodput %s: must be one of ttft, tpot, e2el with ms, as in ttft:500,tpot:50",
                           show_name(text).s);
        out->ms[which] = ms;
        text += n + (text[n] == ',');
    }
    return OK;
}

static double time_ms(const struct served *s, enum served_time which)
{
    switch (which) {
    case SERVED_TTFT: return (double)(s->first_ns - s->begun_ns) * 1e-6;
    case SERVED_TPOT:
        return s->n_tokens > 1 ? (double)(s->last_ns - s->first_ns) * 1e-6 / (double)(s->n_tokens - 1) : 0;
    default: return (double)(s->last_ns - s->begun_ns) * 1e-6;
    }
}

int served_good(const struct served *served, int n, const struct goodput *limits)
{
    int n_good = 0;
    for (int i = 0; i < n; i++) {
        bool good = served[i].done;
        for (int k = 0; k < N_SERVED_TIMES; k++)
            good &= limits->ms[k] < 0 || time_ms(&served[i], (enum served_time)k) <= limits->ms[k];
        n_good += good;
    }
    return n_good;
}

/* ---- many times ---- */

static int put_number(json_t *to, const char *what, const char *name, double value)
{
    char key[48];
    snprintf(key, sizeof key, "%s_%s_ms", what, name);
    return json_object_set_new(to, key, json_real(value));
}

/* Sorts them. */
static int put_times(json_t *to, const char *name, double *ms, size_t n)
{
    static const struct {
        const char *name;
        double percent;
    } points[] = {{"median", 50}, {"p50", 50}, {"p90", 90}, {"p99", 99}};
    double sum = 0, squares = 0;
    if (!n) return 0;
    for (size_t i = 0; i < n; i++) sum += ms[i];
    for (size_t i = 0; i < n; i++) squares += (ms[i] - sum / (double)n) * (ms[i] - sum / (double)n);
    int lost = put_number(to, "mean", name, sum / (double)n);
    lost |= put_number(to, "std", name, sqrt(squares / (double)n));
    for (size_t i = 0; i < sizeof points / sizeof *points; i++)
        lost |= put_number(to, points[i].name, name, percentile(ms, n, points[i].percent));
    return lost;
}

static int put_all_times(json_t *to, const struct served *served, int n)
{
    size_t n_parts = 1, n_ms;
    for (int i = 0; i < n; i++) n_parts += (size_t)served[i].n_parts + 1;
    double *ms = malloc(n_parts * sizeof *ms);
    int lost = !ms;
    for (int k = 0; k < N_SERVED_TIMES && !lost; k++) {
        n_ms = 0;
        for (int i = 0; i < n; i++) {
            bool counts = served[i].done && (k != SERVED_TPOT || served[i].n_tokens > 1);
            if (counts) ms[n_ms++] = time_ms(&served[i], (enum served_time)k);
        }
        lost |= put_times(to, names[k], ms, n_ms);
    }
    n_ms = 0;
    for (int i = 0; i < n && !lost; i++)
        for (int k = 0; k < served[i].n_parts - 1 && served[i].done; k++)
            ms[n_ms++] = (double)served[i].parts_ns[k] * 1e-6;
    if (!lost) lost = put_times(to, "itl", ms, n_ms);
    free(ms);
    return lost;
}

/* ---- the whole ---- */

struct sums {
    int n_done, n_failed;
    uint64_t n_prompt, n_tokens, n_drafts, n_drafted, n_accepted;
};

static struct sums sums_of(const struct served *served, int n)
{
    struct sums t = {0};
    for (int i = 0; i < n; i++) {
        const struct served *s = &served[i];
        t.n_failed += s->failed;
        if (!s->done) continue;
        t.n_done++;
        t.n_prompt += s->n_prompt;
        t.n_tokens += s->n_tokens;
        t.n_drafts += s->n_drafts;
        t.n_drafted += s->n_drafted;
        t.n_accepted += s->n_accepted;
    }
    return t;
}

/* As vLLM has them: the rate in percent, the length with the big model's own token. */
static int put_drafts(json_t *to, const struct sums *t)
{
    if (!t->n_drafted || !t->n_drafts) return 0;
    json_t *more =
        json_pack("{sf sf sI sI sI}", "spec_decode_acceptance_rate", 100 * (double)t->n_accepted / (double)t->n_drafted,
                  "spec_decode_acceptance_length", 1 + (double)t->n_accepted / (double)t->n_drafts,
                  "spec_decode_num_drafts", (json_int_t)t->n_drafts, "spec_decode_draft_tokens",
                  (json_int_t)t->n_drafted, "spec_decode_accepted_tokens", (json_int_t)t->n_accepted);
    int lost = more ? json_object_update(to, more) : -1;
    json_decref(more);
    return lost;
}

json_t *served_json(const struct served *served, int n, double seconds, const struct goodput *limits)
{
    const struct sums t = sums_of(served, n);
    double s = seconds > 0 ? seconds : 1e-9;
    json_t *out =
        json_pack("{sf si si si sI sI sf sf sf}", "duration", seconds, "num_prompts", n, "completed", t.n_done,
                  "failed", t.n_failed, "total_input_tokens", (json_int_t)t.n_prompt, "total_output_tokens",
                  (json_int_t)t.n_tokens, "request_throughput", (double)t.n_done / s, "output_throughput",
                  (double)t.n_tokens / s, "total_token_throughput", (double)(t.n_prompt + t.n_tokens) / s);
    int lost = put_all_times(out, served, n) | put_drafts(out, &t);
    if (limits->any) lost |= json_object_set_new(out, "request_goodput", json_real(served_good(served, n, limits) / s));
    return json_unless(lost, out);
}
