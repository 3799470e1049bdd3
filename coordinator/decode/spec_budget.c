#include "coordinator/decode/spec_inside.h"

#include <math.h>

enum { TRIAL = 32, PAUSE_FIRST = 64, PAUSE_MOST = 4096 }; /* tokens of each request */

/* Beside others on shared cores drafts must be worth this much more: their rounds get in each other's way. */
static const double worth = 1.2;

void spec_note_pass(struct verifiers *g, const struct verdict *v)
{
    bool says = v->status == VERDICT_OK && v->pass_rows > 0 && v->pass_rows <= (uint32_t)g->c.max_rows;
    if (says && v->computed_us > 0) pass_times_note(&g->times, (int)v->pass_rows, v->computed_us * 1e3);
}

/* Tokens a ns, if all cores were its own: at the best length of its drafts. */
static double rate_alone(const struct pass_times *times, const struct draft_choice *c, int most)
{
    double chance = 1, tokens = 1, best = 0;
    for (int n = 1; n <= most; n++) {
        tokens += chance *= c->right;
        best = fmax(best, tokens / (n * c->draft_ns + pass_times_ns(times, n + 1)));
    }
    return best;
}

/* Tokens a ns of all requests, if none had drafts. */
static double rate_together(const struct spec *s)
{
    double sum = 0;
    for (int i = 0; i < s->c.n_groups; i++) {
        int n = n_running(&s->groups[i]);
        double ns = pass_times_ns(&s->groups[i].times, n);
        if (n > 0 && ns > 0) sum += n / ns;
    }
    return sum;
}

/* Tokens that a round of n drafts is expected to give to all requests, for n from 0 to most. */
static void tokens_of_rounds(const struct spec *s, int most, double tokens[DRAFTS_MOST + 1])
{
    for (int n = 0; n <= most; n++) tokens[n] = s->n_running;
    for (int i = 0; i < s->n_slots; i++) {
        const struct decode_slot *q = &s->slots[i];
        double right = q->seq ? draft_policy_choice(&q->policy, most).right : 0, chance = 1, sum = 0;
        for (int n = 1; n <= most; n++) tokens[n] += sum += chance *= right;
    }
}

/* Tokens a ns, if all had drafts at once: they are written one after the other, and share a pass. */
static double rate_in_rounds(const struct spec *s, double draft_ns, int most)
{
    double tokens[DRAFTS_MOST + 1], best = 0;
    if (most > DRAFTS_MOST) most = DRAFTS_MOST;
    tokens_of_rounds(s, most, tokens);
    for (int n = 1; n <= most; n++) {
        double ns = s->n_running * n * draft_ns;
        for (int i = 0; i < s->c.n_groups; i++)
            ns += pass_times_ns(&s->groups[i].times, n_running(&s->groups[i]) * (n + 1));
        best = fmax(best, tokens[n] / ns);
    }
    return best;
}

/* Several requests, and a drafter that takes the verifiers' cores. */
static bool is_beside(const struct spec *s)
{
    return s->c.drafter.kind == DRAFTER_LITTLE && s->c.drafter.shares_cores && s->n_running > 1;
}

void spec_note_tokens(struct spec *s, int n)
{
    struct trial *t = &s->trial;
    bool over = !is_beside(s) || t->left > 0;
    t->left = is_beside(s) && t->left > n ? t->left - n : 0;
    t->n_tokens = over ? 0 : t->n_tokens + n;
    if (over) t->begun_ns = s->now;
    if (t->n_tokens < TRIAL * s->n_running) return;
    bool slow = (double)(s->now - t->begun_ns) * rate_together(s) > 1.03 * t->n_tokens;
    if (t->pause < PAUSE_FIRST || (t->drafted && !slow)) t->pause = PAUSE_FIRST;
    if (t->drafted && slow) {
        t->left = t->pause * s->n_running;
        if (t->pause < PAUSE_MOST) t->pause *= 2;
    }
    t->n_tokens = 0;
    t->begun_ns = s->now;
    t->drafted = false;
}

bool spec_is_crowded(struct spec *s, const struct decode_slot *p, int most)
{
    if (!is_beside(s) || !p->policy.enabled) return false;
    if (s->trial.left > 0) return true;
    struct draft_choice c = draft_policy_choice(&p->policy, most);
    double least = worth * rate_together(s);
    bool pays = least <= 0; /* no pass was timed */
    if (!pays && c.timed)
        pays = rate_alone(&group_of(s, p)->times, &c, most) >= least || rate_in_rounds(s, c.draft_ns, most) >= least;
    s->trial.drafted |= pays;
    return !pays;
}

int spec_budget_window(struct spec *s, const struct decode_slot *p, int window)
{
    const struct verifiers *g = group_of(s, p);
    struct budget b = {.times = &g->times, .max_rows = g->c.max_rows};
    struct budget_ask asks[SLOTS_MOST];
    int rows[SLOTS_MOST], n = 0, own = 0;
    if (!p->policy.enabled || n_running(g) < 2) return window;
    for (int i = 0; i < g->c.n_slots; i++) {
        const struct decode_slot *q = &g->slots[i];
        if (!q->seq) continue;
        struct draft_choice c = draft_policy_choice(&q->policy, window);
        if (q == p) own = n;
        asks[n++] = (struct budget_ask){.least = 1, .more = q == p ? window : c.window, .right = c.right};
    }
    budget_rows(&b, asks, n, rows);
    return rows[own] > 1 ? rows[own] - 1 : 0;
}
