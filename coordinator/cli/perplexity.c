#include "coordinator/cli/perplexity.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/cli/marks.h"
#include "coordinator/cli/scored_text.h"
#include "coordinator/text/json_text.h"
#include "proto/plan.h"

struct measured {
    struct score *plain, *score; /* own; plain: of the plan to agree with, NULL: none */
    char plan[PART_PLAN_MOST + 2];
};

static int put_result(const struct runtime *s, const struct measured *m, struct err *err)
{
    const struct score *score = m->score;
    int n;
    double sum, squares;
    score_sum(score, &n, &sum, &squares);
    double agreement = m->plain ? score_agreement(score, score_own_ids(m->plain)) : 0;
    double mean = sum / n, deviation = sqrt(fmax(0, squares / n - mean * mean) / n), perplexity = exp(-mean);
    if (s->o.format == FORMAT_TEXT) {
        printf("perplexity %.4f +- %.4f (standard error), ln p a token %.6f, %d tokens in %d windows of %d\n",
               perplexity, perplexity * deviation, mean, n, score_n_windows(score), s->o.window);
        if (m->plain) printf("%.2f %% of the likeliest tokens are those under %s\n", 100 * agreement, s->o.agreement);
        marks_line(&s->o, stdout);
        return OK;
    }
    json_t *line = json_pack("{sf sf sf si si si}", "perplexity", perplexity, "standard_error", perplexity * deviation,
                             "lp_token", mean, "tokens", n, "windows", score_n_windows(score), "window", s->o.window);
    int lost = m->plain ? json_object_set_new(line, "agreement", json_real(agreement)) : 0;
    line = json_unless(lost | marks_json(&s->o, line), line);
    return json_put_line(line, JSON_REAL_PRECISION(17), stdout, err);
}

/* --plan as the plan of a text: within its bytes. */
static int read_plan(const struct runtime *s, char *out, size_t size, struct err *err)
{
    int n_blocks;
    char *text = NULL;
    struct plan plan = {0};
    int rc = scored_text_n_blocks(s, &n_blocks, err);
    if (rc == OK) rc = plan_text(&text, s->o.plan, err);
    if (rc == OK) rc = plan_read(&plan, text, n_blocks, err);
    const char *extra = plan.side ? "side file" : plan.n_ids ? "cut head" : NULL;
    if (rc == OK && extra) rc = err_set(err, E_MODEL, "a %s is loaded at the start: leave --agreement out", extra);
    if (rc == OK) plan_spell(&plan, out, size);
    plan_free(&plan);
    free(text);
    if (rc != OK) return err_wrap(err, "--plan");
    if (strlen(out) <= PART_PLAN_MOST) return OK;
    return err_set(err, E_USAGE, "--plan: as ode:... it has more than %d bytes: too long to measure its --agreement",
                   PART_PLAN_MOST);
}

static int score_both(const struct scored_text *text, struct runtime *s, struct measured *m, struct err *err)
{
    bool agree = s->o.agreement != NULL;
    int rc = agree ? read_plan(s, m->plan, sizeof m->plan, err) : OK;
    if (rc == OK && agree) rc = scored_text_score(text, s, NULL, &m->plain, err);
    return rc == OK ? scored_text_score(text, s, agree ? m->plan : NULL, &m->score, err) : rc;
}

static int measure(struct runtime *s, struct err *err)
{
    struct scored_text text = {0};
    struct measured m = {0};
    int rc = scored_text_open(&text, s, err);
    if (rc == OK) rc = score_both(&text, s, &m, err);
    if (rc == OK) rc = put_result(s, &m, err);
    score_close(m.plain);
    score_close(m.score);
    scored_text_close(&text);
    return rc;
}

int command_perplexity(const struct options *o, const struct launch *launch, struct err *err)
{
    struct runtime s;
    int rc = runtime_open(&s, o, launch, err);
    if (rc == OK) rc = measure(&s, err);
    runtime_close(&s, rc, err);
    return rc;
}
