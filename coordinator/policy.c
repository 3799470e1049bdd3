#include "coordinator/policy.h"

enum {
    ROUNDS_TO_JUDGE = 3, /* drafting rounds before their time counts */
    LEFT_MOST = 256,     /* an answer without a limit is taken to have this many tokens to come */
    READ_LEAST = 32      /* fewer ids than these make a poor draft */
};
static const double fade = 0.8;           /* of a sum, a round */
static const double plain_weight = 0.3;   /* of a new plain token in its average */
static const double right_expected = 0.8; /* of each draft, before anything was measured */
static const double spend_of_gain = 0.4;  /* how much of the expected gain may go into reading */

void guard_init(struct guard *g, bool enabled)
{
    *g = (struct guard){.enabled = enabled, .pause = GUARD_PAUSE_FIRST};
}

int guard_window(const struct guard *g, int window)
{
    if (!g->enabled) return window;
    if (g->paused || g->plain_ns == 0) return 0; /* without a plain token's time there is nothing to compare with */
    int room = GUARD_WRONG_MOST - g->n_wrong;
    return window < room ? window : room;
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
    g->drafting_ns = g->drafting_tokens = 0;
}

static void note_plain(struct guard *g, const struct guard_round *r)
{
    double ns = r->ns / r->n_tokens;
    if (r->measured) g->plain_ns = g->plain_ns == 0 ? ns : g->plain_ns + plain_weight * (ns - g->plain_ns);
    if (!g->paused) return;
    g->left -= r->n_tokens;
    if (g->left <= 0) resume(g);
}

static void note_drafting(struct guard *g, const struct guard_round *r)
{
    g->n_wrong = r->n_accepted ? 0 : g->n_wrong + r->n_drafted;
    if (r->measured) {
        g->drafting_ns = fade * g->drafting_ns + r->ns;
        g->drafting_tokens = fade * g->drafting_tokens + r->n_tokens;
        g->n_rounds++;
    }
    bool slow = g->n_rounds >= ROUNDS_TO_JUDGE && g->drafting_ns > g->plain_ns * g->drafting_tokens;
    if (slow || g->n_wrong >= GUARD_WRONG_MOST)
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

int policy_read(int n_ids, int draft_ctx, int window, double cost, double read_ns, double plain_ns, int n_left)
{
    int n = n_ids < draft_ctx ? n_ids : draft_ctx;
    if (cost <= 0) return n; /* an n-gram reads for nothing */
    double right = 1, tokens = 1;
    for (int i = 0; i < window; i++) tokens += right *= right_expected;
    double gain_ns = plain_ns - plain_ns * (1 + cost * window) / tokens; /* a token */
    if (n_left > LEFT_MOST) n_left = LEFT_MOST;
    double affordable = spend_of_gain * gain_ns * n_left / (cost * read_ns);
    if (affordable < n) n = affordable > 0 ? (int)affordable : 0;
    return n < READ_LEAST && n < n_ids ? 0 : n;
}
