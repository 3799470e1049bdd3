#include "coordinator/decode/spec_inside.h"

#include <math.h>

/* Beside others on shared cores drafts must be worth this much more: what is measured has its noise. */
static const double worth = 1.1;

/* What drafts there may take from all: in advance, and of the time. More is saved up for rounds that take more, and of
 * what they gained. */
static const double advance_ns = 160e6, share = 0.004;
enum { PURSE_PASSES = 8, PURSE_GAINS = 4 };

void spec_note_pass(struct verifiers *g, const struct verdict *v)
{
    bool says = v->status == VERDICT_OK && v->pass_rows > 0 && v->pass_rows <= (uint32_t)g->c.max_rows;
    if (says && v->computed_us > 0) pass_times_note(&g->times, (int)v->pass_rows, v->computed_us * 1e3);
}

struct rate { /* tokens a ns, and the drafts of each round that give it */
    double rate;
    int n;
};

/* If one of n_texts had drafts, at their best length. The others go on meanwhile: two of their passes begin without it,
 * as its draft is asked for, and as it comes. */
static struct rate rate_of_one(const struct pass_times *times, const struct draft_choice *c, int n_texts, int most)
{
    enum { MISSED = 2 };
    double chance = 1, tokens = n_texts + MISSED * (n_texts - 1),
           missed_ns = MISSED * pass_times_ns(times, n_texts - 1);
    struct rate best = {0, 0};
    for (int n = 1; n <= most; n++) {
        tokens += chance *= c->right;
        double rate = tokens / (missed_ns + n * c->draft_ns + pass_times_ns(times, n_texts + n));
        if (rate > best.rate) best = (struct rate){rate, n};
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

/* Tokens that a round of n drafts is expected to give to all requests, for n from 0 to most. right_else: of a text of
 * which nothing is known yet. */
static void tokens_of_rounds(const struct spec *s, double right_else, int most, double tokens[DRAFTS_MOST + 1])
{
    for (int n = 0; n <= most; n++) tokens[n] = s->n_running;
    for (int i = 0; i < s->n_slots; i++) {
        const struct decode_slot *q = &s->slots[i];
        struct draft_choice c = draft_policy_choice(&q->policy, most);
        double right = !q->seq || !q->policy.enabled ? 0 : c.timed ? c.right : right_else, chance = 1, sum = 0;
        for (int n = 1; n <= most; n++) tokens[n] += sum += chance *= right;
    }
}

/* If all had drafts at once: they are written one after the other, and share a pass. */
static struct rate rate_in_rounds(const struct spec *s, const struct draft_choice *c, int most)
{
    double tokens[DRAFTS_MOST + 1];
    struct rate best = {0, 0};
    if (most > DRAFTS_MOST) most = DRAFTS_MOST;
    tokens_of_rounds(s, c->right, most, tokens);
    for (int n = 1; n <= most; n++) {
        double ns = s->n_running * n * c->draft_ns;
        for (int i = 0; i < s->c.n_groups; i++)
            ns += pass_times_ns(&s->groups[i].times, n_running(&s->groups[i]) * (n + 1));
        if (tokens[n] / ns > best.rate) best = (struct rate){tokens[n] / ns, n};
    }
    return best;
}

/* ---- what drafts beside others may cost ---- */

void spec_begin_trials(struct spec *s)
{
    s->trials.purse_ns = advance_ns;
}

/* Of a pass in which all of a group have a row. */
static double plain_pass_ns(const struct verifiers *g)
{
    return pass_times_ns(&g->times, n_running(g));
}

static double purse_most(const struct verifiers *g)
{
    return fmax(advance_ns, PURSE_PASSES * plain_pass_ns(g));
}

static double staked_ns(const struct spec *s)
{
    double sum = 0;
    for (const struct decode_slot *p = s->slots; p < s->slots + s->n_slots; p++) sum += p->seq ? p->stake_ns : 0;
    return sum;
}

static bool reads_prompts(const struct verifiers *g)
{
    for (int i = 0; i < g->c.n_slots; i++)
        if (g->slots[i].seq && g->slots[i].seq->state == SEQ_PROMPT) return true;
    return false;
}

/* Drafts of any request take from all. How long each waits for its tokens is compared with what it would have waited;
 * while a prompt is read beside it nobody knows that. A text without the draft policy drafts whatever it takes: that is
 * not the purse's to pay. */
void spec_note_tokens(struct spec *s, struct decode_slot *p, int n, bool by_itself)
{
    struct trials *t = &s->trials;
    const struct verifiers *g = group_of(s, p);
    double ns = (double)(s->now - p->self_ns), plain_ns = n * plain_pass_ns(g), most = purse_most(g);
    bool drafted = !by_itself || staked_ns(s) > 0 || t->drafted_ns >= p->self_ns;
    p->stake_ns = 0;
    if (!is_beside(s) || !p->policy.enabled || seq_n_generated(p->seq) == n) return;
    if (t->read_ns > p->self_ns || reads_prompts(g)) return;
    double gain_ns = (share * ns + (drafted ? plain_ns - ns : 0)) / s->n_running;
    if (drafted && plain_ns > ns) most *= PURSE_GAINS;
    if (gain_ns < 0 || t->purse_ns < most) t->purse_ns = fmin(t->purse_ns + gain_ns, most);
}

/* What one request has found of the drafter all may know, whatever their texts. */
void spec_note_drafts(struct spec *s, const struct decode_slot *p)
{
    const struct draft_policy *g = &p->policy;
    if (s->c.drafter.kind != DRAFTER_LITTLE || !g->enabled || g->unread || g->measured.draft_ns <= 0) return;
    s->trials.draft_ns = g->measured.draft_ns;
    s->trials.accept_ratio = g->accept_ratio;
}

static void take_over(const struct trials *t, struct decode_slot *p)
{
    if (!t->draft_ns || p->policy.unread || p->seq->stats.n_drafted) return;
    p->policy.measured.draft_ns = t->draft_ns;
    p->policy.accept_ratio = t->accept_ratio;
}

/* What the drafter reads before a request's drafts. */
static double reading_ns(const struct decode_slot *q, double read_ns)
{
    int n = q->seq->n_ids - drafter_view_held(&q->drafter), most = q->seq->request.settings.draft_ctx;
    return ((n < most ? n : most) - 1) * read_ns;
}

/* The time that all would lose if all of n drafts were wrong. */
static double stake_of(const struct spec *s, const struct decode_slot *p, const struct draft_choice *c, int n)
{
    const struct verifiers *g = &s->groups[p->group];
    int n_texts = n_running(g);
    double rows_ns = (pass_times_ns(&g->times, n_texts * (n + 1)) - plain_pass_ns(g)) / n_texts;
    return n * c->draft_ns + rows_ns + reading_ns(p, c->read_ns);
}

static double stake_of_all(const struct spec *s, const struct draft_choice *c, int n)
{
    double sum = 0;
    for (const struct decode_slot *q = s->slots; q < s->slots + s->n_slots; q++)
        if (q->seq) sum += q->stake_ns > 0 ? q->stake_ns : stake_of(s, q, c, n);
    return sum;
}

/* How many drafts one should have where the others have n each, as they are expected to be right here. */
static int n_beside(const struct spec *s, const struct decode_slot *p, const struct draft_choice *c, int n, int most)
{
    const struct verifiers *g = &s->groups[p->group];
    double all[DRAFTS_MOST + 1], chance = 1, own = 0, best = 0;
    int n_rows = (n_running(g) - 1) * (n + 1) + 1, n_best = 0;
    tokens_of_rounds(s, c->right, n, all);
    for (int i = 0; i < n; i++) own += chance *= c->right;
    double tokens = all[n] - own;
    chance = 1;
    for (int i = 0; i <= most; i++) {
        double ns = ((s->n_running - 1) * n + i) * c->draft_ns + pass_times_ns(&g->times, n_rows + i);
        if (i) tokens += chance *= c->right;
        if (tokens / ns <= best) continue;
        best = tokens / ns;
        n_best = i;
    }
    return n_best;
}

/* All are to think of it now, that their rounds may begin together. */
static void call_all(struct spec *s)
{
    for (struct decode_slot *q = s->slots; q < s->slots + s->n_slots; q++)
        if (q->seq && q->policy.enabled && q->goes_on && q->self_left > 1) q->self_left = 1;
}

static int beside_window(struct spec *s, struct decode_slot *p, int most, int n_left)
{
    const struct verifiers *g = group_of(s, p);
    double plain = rate_together(s), purse_ns = s->trials.purse_ns;
    struct draft_choice c = draft_policy_choice(&p->policy, most);
    if (!c.timed || (reads_prompts(g) && purse_ns <= purse_most(g))) return 0;
    struct rate one = rate_of_one(&g->times, &c, s->n_running, most), all = rate_in_rounds(s, &c, most);
    bool together = all.rate >= worth * plain && stake_of_all(s, &c, all.n) <= purse_ns;
    struct rate best = together ? all : one;
    if (together) best.n = n_beside(s, p, &c, all.n, most);
    if (!best.n) return 0;
    double n_more = fmin(n_left, fmax(seq_n_generated(p->seq), p->policy.n_tokens));
    double read_ns = reading_ns(p, c.read_ns), saved_ns = plain_pass_ns(g) * (1 - plain / best.rate) * n_more;
    double stake_ns = stake_of(s, p, &c, best.n);
    if (best.rate < worth * plain || read_ns * s->n_running > saved_ns || staked_ns(s) + stake_ns > purse_ns) return 0;
    p->stake_ns = stake_ns;
    s->trials.rounds = together;
    if (together) call_all(s);
    return best.n;
}

int spec_beside_window(struct spec *s, struct decode_slot *p, int most, int n_left)
{
    p->stake_ns = 0;
    if (!is_beside(s) || !p->policy.enabled || rate_together(s) <= 0) return most; /* or no pass was timed */
    take_over(&s->trials, p);
    int n = beside_window(s, p, most, n_left);
    p->together |= n == 0;
    return n;
}

bool spec_gathers(const struct spec *s, const struct decode_slot *p)
{
    return goes_on_beside(s, p) && s->trials.rounds;
}

void spec_post_gathered(struct spec *s)
{
    bool any = false;
    for (struct decode_slot *p = s->slots; p < s->slots + s->n_slots; p++) {
        if (p->seq && p->stake_ns > 0 && p->drafter.n_out > 0 && p->drafter.round == p->round) return;
        any |= p->seq && p->stake_ns > 0;
    }
    s->trials.rounds &= any;
    for (struct decode_slot *p = s->slots; p < s->slots + s->n_slots; p++) {
        if (!p->seq || !p->gathers) continue;
        p->gathers = false;
        if (!p->seq->n_tail) p->round_ns = s->now; /* the wait for drafts is not what a token takes */
        spec_post_verify(s, p);
    }
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
