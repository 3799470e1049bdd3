#include "coordinator/policy.h"

#include <math.h>

enum { ROUNDS_TO_JUDGE = 3 }; /* drafting rounds before their time counts */
/* Figures from Qwen2.5-Coder 0.5B for 1.5B on Spec-Bench: 42 texts of 64 tokens. */
static const double right_before = 0.8, n_before = 4; /* what is guessed of a draft before anything was seen */
static const double row_before = 0.05; /* of a checked draft, over a plain token's time, before any was seen */
static const double read_share = 0.9;  /* a prompt's ids skip the head, a larger part of little */
static const int n_more_before = 24;   /* tokens that a text is expected to go on for, at least */
static const double fade = 0.8;        /* of a sum, a round */
static const double newest = 0.3;      /* weight of a new time in its average */

void guard_init(struct guard *g, bool enabled, double cost)
{
    *g = (struct guard){.enabled = enabled,
                        .cost = cost,
                        .pause = GUARD_PAUSE_FIRST,
                        .n_right = right_before * n_before,
                        .n_judged = n_before};
}

/* Tokens that drafts of a length are expected to give for the time of one plain token. 1: no better than plain. */
static double gain(const struct guard *g, int window)
{
    double right = g->n_right / g->n_judged, chance = 1, tokens = 1;
    double cost = g->draft_ns > 0 ? g->draft_ns / g->plain_ns : g->cost;
    double row = g->row_cost > 0 ? g->row_cost : row_before;
    for (int i = 0; i < window; i++) tokens += chance *= right;
    return tokens / (1 + window * (cost + row));
}

int guard_window(const struct guard *g, int most)
{
    if (!g->enabled) return most;
    if (g->paused || g->plain_ns == 0) return 0; /* without a plain token's time there is nothing to compare with */
    if (most > GUARD_WRONG_MOST - g->n_wrong) most = GUARD_WRONG_MOST - g->n_wrong;
    if (g->cost == 0) return most;
    int best = 0;
    for (int window = 1; window <= most; window++)
        if (gain(g, window) > gain(g, best)) best = window;
    return best;
}

bool guard_reads(const struct guard *g, int window, int n_ids, int n_so_far, int n_left)
{
    if (!g->enabled || g->cost == 0) return true;
    double saved_ns = g->plain_ns * (1 - 1 / gain(g, window));
    int n_more = n_so_far > n_more_before ? n_so_far : n_more_before;
    return saved_ns * (n_more < n_left ? n_more : n_left) > g->cost * read_share * g->read_ns * n_ids;
}

static void average(double *mean, double value)
{
    *mean = *mean == 0 ? value : *mean + newest * (value - *mean);
}

static void pause_drafting(struct guard *g)
{
    g->paused = true;
    g->n_pauses++;
    g->left = g->pause;
    if (g->pause < GUARD_PAUSE_MOST) g->pause *= 2;
}

/* A trial after a pause: few tokens, and times are measured anew. */
static void resume(struct guard *g)
{
    g->paused = false;
    g->n_wrong = GUARD_WRONG_MOST / 2;
    g->n_rounds = 0;
    g->row_cost = g->draft_ns = g->drafting_ns = g->drafting_tokens = 0;
}

static void note_plain(struct guard *g, const struct guard_round *r)
{
    g->n_right += r->sure;
    g->n_judged += r->n_tokens;
    if (r->measured) average(&g->plain_ns, r->ns / r->n_tokens);
    if (!g->paused) return;
    g->left -= r->n_tokens;
    if (g->left <= 0) resume(g);
}

static void note_drafting(struct guard *g, const struct guard_round *r)
{
    g->n_wrong = r->n_accepted ? 0 : g->n_wrong + r->n_drafted;
    g->n_right += r->n_accepted;
    g->n_judged += r->n_accepted + (r->n_accepted < r->n_drafted);
    if (r->measured) {
        average(&g->draft_ns, r->draft_ns / r->n_drafted);
        average(&g->row_cost, fmax(0, (r->ns - r->draft_ns) / g->plain_ns - 1) / r->n_drafted);
        g->drafting_ns = fade * g->drafting_ns + r->ns;
        g->drafting_tokens = fade * g->drafting_tokens + r->n_tokens;
        g->n_rounds++;
    }
    bool slow = g->n_rounds >= ROUNDS_TO_JUDGE && g->drafting_ns > g->plain_ns * g->drafting_tokens;
    if (slow || guard_window(g, 1) == 0) /* too many wrong, or as measured no draft would pay */
        pause_drafting(g);
    else if (g->n_rounds >= 2 * ROUNDS_TO_JUDGE)
        g->pause = GUARD_PAUSE_FIRST; /* it has paid for a while */
}

void guard_note(struct guard *g, const struct guard_round *r)
{
    if (!g->enabled || r->n_tokens < 1) return;
    if (r->n_drafted)
        note_drafting(g, r);
    else
        note_plain(g, r);
}
