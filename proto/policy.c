#include "proto/policy.h"

#include <assert.h>
#include <math.h>
#include <string.h>

enum {
    ROUNDS_TO_JUDGE = 4,   /* drafting rounds before their time counts */
    AHEAD_SPARE = 2,       /* drafts that are out beyond what two passes and a round trip give time for */
    FIRST_MOST = 8,        /* drafts that a pass waits for */
    DRAFTS_AT_ONCE = 32,   /* of a text in a pass */
    AHEAD_TO_JUDGE = 24,   /* verdicts */
    AHEAD_WRONG_MOST = 16, /* of them in a row, with no draft that was right */
    TURNS_TEXTS = 16       /* in rounds, before running ahead is tried again */
};
/* Guesses before anything was seen, from Qwen2.5-Coder 0.5B for 1.5B on Spec-Bench, 42 texts of 64 tokens. */
static const double p_target_before = 0.9, accept_ratio_before[2] = {0.9, 0.6}; /* [1]: of unread prompts */
static const double n_tokens_before = 48; /* that a text is expected to go on for, at least */

static const double accept_ratio_most = 1.25; /* a draft of unsure words that is right says little */
static const double chance_most = 0.9;        /* to ask for more would end drafts that were right */
static const double hold_spare = 1.25; /* of the time that the drafts of a wait should take: they may take longer */
static const double hold_worth =
    0.95; /* of what a wait loses; a little less, for only drafts that are judged show it */
static const double fade = 0.9, fade_ahead = 0.97; /* of a sum, a round; a verdict */
static const double slower_least = 1.1;            /* times as long, of a pass beside drafts */
static const double turns_rtt_most = 0.25;         /* of a plain token's time: each round waits for a round trip */
static const double turns_least = 0.95;    /* of the time of a token: what rounds must be expected to take at most */
static const double noise_most = 1.02;     /* of a plain token's time, where most tokens of running ahead are plain */
static const double lost_part = 0.02;      /* of the time: what trials may cost */
static const double lost_most = 6;         /* plain tokens that running ahead may cost before it is judged */
static const double newest = 0.3;          /* weight of a new time in its mean */
static const double newest_p_target = 0.1; /* of a token's probability */
static const double newest_draft = 0.05, newest_draft_ahead = 0.015;
static const double forgets = 0.01; /* of what was learned of a drafter, a plain token: else a bad start would last */

/* Bytes that a stage's shards on the host of one of them stream: at once, but they share its memory and cores. */
static double on_host(const struct rank_bytes *of, const struct rank_bytes *shards, int n_shards, bool head)
{
    double bytes = 0;
    for (int i = 0; i < n_shards; i++)
        if (shards[i].stage == of->stage && !strcmp(shards[i].host, of->host))
            bytes += shards[i].body + (head ? shards[i].head : 0);
    return bytes;
}

/* A stage takes as long as its fullest host, and stages follow one another. */
static double of_stages(const struct rank_bytes *shards, int n_shards, bool head)
{
    double sum = 0, fullest = 0;
    for (int i = 0; i < n_shards; i++) {
        fullest = fmax(fullest, on_host(&shards[i], shards, n_shards, head));
        if (i + 1 < n_shards && shards[i + 1].stage == shards[i].stage) continue;
        sum += fullest;
        fullest = 0;
    }
    return sum;
}

struct cost_prior draft_policy_prior(const struct rank_bytes *little, const struct rank_bytes *shards, int n_shards)
{
    double body = of_stages(shards, n_shards, false), whole = of_stages(shards, n_shards, true);
    if (body <= 0) return (struct cost_prior){0};
    return (struct cost_prior){.draft = (little->body + little->head) / whole, .read = little->body / body};
}

void draft_policy_init(struct draft_policy *g, bool enabled, bool unread, struct cost_prior prior,
                       const struct draft_profile *profile)
{
    double accept_ratio = profile->accept_ratio[unread];
    *g = (struct draft_policy){.enabled = enabled,
                               .unread = unread,
                               .prior = prior,
                               .measured = profile->measured,
                               .n_tokens = profile->n_tokens > 0 ? profile->n_tokens : n_tokens_before,
                               .pause = profile->pause ? profile->pause : DRAFT_PAUSE_FIRST,
                               .paused = profile->left > 0,
                               .left = profile->left,
                               .goes_on = profile->left > 0,
                               .in_turns = profile->in_turns > 0,
                               .p_target = p_target_before,
                               .accept_ratio = accept_ratio > 0 ? accept_ratio : accept_ratio_before[unread]};
}

/* The chance that a draft is right. */
static double right(const struct draft_policy *g)
{
    return fmin(1, g->p_target * g->accept_ratio);
}

/* What has not been measured is guessed at its best, from bytes and from big's reading of the prompt: a trial costs
 * little and puts it right, but a guess that forbids the trial would stand for ever. */
static double draft_ns(const struct draft_policy *g)
{
    return g->measured.draft_ns != 0 ? fmax(0, g->measured.draft_ns) : g->prior.draft * g->measured.plain_ns;
}

/* An id that is read with others takes no longer than one drafted alone, however slow the moment it was timed in. */
static double read_ns(const struct draft_policy *g)
{
    return fmin(draft_ns(g), g->measured.read_ns != 0 ? fmax(0, g->measured.read_ns) : g->prior.read * g->prompt_ns);
}

/* What a draft's bytes take on the links, one after the other; and on the slower one. */
static double way_ns(const struct draft_policy *g)
{
    return DRAFT_BYTES * g->bytes_ns.drafter_ns + CHECK_BYTES * g->bytes_ns.verifier_ns;
}

static double slowest_ns(const struct draft_policy *g)
{
    return fmax(DRAFT_BYTES * g->bytes_ns.drafter_ns, CHECK_BYTES * g->bytes_ns.verifier_ns);
}

/* Rows of a check hide behind the reading of weights, but not their bytes; what was measured of rounds has these in it,
 * what was measured of passes has not. */
static double row_ns(const struct draft_policy *g)
{
    bool has_way = g->measured.row_ns != 0 || draft_policy_runs_ahead(g);
    return has_way ? fmax(0, g->measured.row_ns) : way_ns(g);
}

/* From one draft to the next, where they come one after the other. */
static double paced_ns(const struct draft_policy *g)
{
    return fmax(draft_ns(g), slowest_ns(g));
}

/* Of a draft: its writing and its checking, over a plain token's time. */
static double draft_cost(const struct draft_policy *g)
{
    return (draft_ns(g) + row_ns(g)) / g->measured.plain_ns;
}

/* Tokens that drafts are expected to give for the time of one plain token, at their best length. 1: no better than
 * plain. */
static double gain(const struct draft_policy *g, int most)
{
    double chance = 1, tokens = 1, best = 1;
    for (int window = 1; window <= most; window++) {
        tokens += chance *= right(g);
        best = fmax(best, tokens / (1 + window * draft_cost(g)));
    }
    return best;
}

/* What the drafter writes, and its links let through, in two passes and a round trip: with so many drafts out it need
 * not wait, and a pass has all that it can have. */
static int window_ahead(const struct draft_policy *g, int most)
{
    double n = AHEAD_SPARE + (2 * g->measured.plain_ns + g->rtt_ns) / fmax(paced_ns(g), 1);
    return n < most ? (int)n : most;
}

/* Of n drafts so many are expected to be right, in a row. */
static double expected_right(const struct draft_policy *g, int n)
{
    double chance = 1, sum = 0;
    for (int i = 0; i < n; i++) sum += chance *= right(g);
    return sum;
}

/* From a verdict until drafts that go on from it begin to come. */
static double turn_ns(const struct draft_policy *g)
{
    return g->rtt_ns + WAIT_BYTES * (g->bytes_ns.drafter_ns + g->bytes_ns.verifier_ns);
}

/* While a pass waits, text of the usual rate is lost: as many drafts as the pass before it lets the drafter write make
 * that rate. */
int draft_policy_first(const struct draft_policy *g, int most, double *hold_ns)
{
    *hold_ns = 0;
    if (!g->enabled) return 0;
    double tokens_before = 1 + expected_right(g, window_ahead(g, DRAFTS_AT_ONCE)), best = 0;
    int first = 0;
    for (int n = 1; n <= most && n <= FIRST_MOST; n++) {
        double ns = turn_ns(g) + n * paced_ns(g), lost = ns / g->measured.plain_ns * tokens_before;
        double gained = expected_right(g, n) - hold_worth * lost;
        if (gained <= best) continue;
        best = gained;
        first = n;
        *hold_ns = hold_spare * ns;
    }
    return first;
}

bool draft_policy_runs_ahead(const struct draft_policy *g)
{
    return g->apart && (!g->enabled || (g->timed && g->prior.draft != 0 && !g->in_turns));
}

int draft_policy_block(const struct draft_policy *g)
{
    return g->enabled && slowest_ns(g) > draft_ns(g) ? 2 : 1;
}

/* Big writes an id before a draft's bytes have come, and each draft makes big's ids wait for the link. */
static bool comes_late(const struct draft_policy *g)
{
    return slowest_ns(g) >= g->measured.plain_ns;
}

int draft_policy_window(const struct draft_policy *g, int most)
{
    if (!g->enabled) return most;
    if (g->paused || !g->timed) return 0; /* without a plain token's time there is nothing to compare with */
    if (draft_policy_runs_ahead(g)) return comes_late(g) ? 0 : window_ahead(g, most);
    if (most > DRAFT_WRONG_MOST - g->n_wrong) most = DRAFT_WRONG_MOST - g->n_wrong;
    return g->prior.draft == 0 || gain(g, most) > 1 ? most : 0;
}

bool draft_policy_prefers(const struct draft_policy *g, int most, int n, double n_right)
{
    if (!g->enabled || !g->timed) return false;
    double of_drafter = draft_policy_window(g, most) > 0 ? gain(g, most) : 1;
    return (2 + n_right) / (2 + n * row_ns(g) / g->measured.plain_ns) > of_drafter;
}

/* Of a text's token, drafts and all, as it goes now. */
static double token_ns(const struct draft_policy *g)
{
    if (g->n_rounds < ROUNDS_TO_JUDGE) return g->measured.plain_ns / 2;
    return g->drafting_ns / g->drafting_tokens;
}

/* How many times as long a pass of big's takes beside drafts; 0: not known. */
static double slower(const struct draft_policy *g)
{
    return g->measured.beside_ns / g->measured.plain_ns;
}

/* With one more draft, tokens grow by chance * right and time by its cost: worth it if that beats the rate as it is. Of
 * one in a later pass, both count only if all in the pass before were right; but writing it must not slow big down. */
float draft_policy_chance(const struct draft_policy *g, int most, int n_before)
{
    if (!g->enabled) return 0;
    double before = slower(g) < slower_least ? pow(right(g), n_before) : 1;
    if (draft_policy_runs_ahead(g)) return (float)fmin(chance_most, before * row_ns(g) / token_ns(g));
    return (float)fmin(chance_most, gain(g, most) * draft_cost(g) / right(g));
}

static struct withheld costs(const struct draft_policy *g)
{
    return (struct withheld){.why = WITHHELD_COST,
                             .draft_ns = draft_ns(g),
                             .row_ns = draft_policy_runs_ahead(g) ? fmax(row_ns(g), slowest_ns(g)) : row_ns(g),
                             .plain_ns = g->measured.plain_ns,
                             .right = right(g)};
}

struct withheld draft_policy_withheld(const struct draft_policy *g)
{
    if (!g->enabled || g->withheld.why != WITHHELD_NOT) return g->withheld;
    if (!g->timed) return (struct withheld){.why = WITHHELD_SHORT};
    return draft_policy_window(g, DRAFT_WRONG_MOST) == 0 ? costs(g) : (struct withheld){0};
}

struct draft_choice draft_policy_choice(const struct draft_policy *g, int most)
{
    if (!g->enabled || !g->timed) return (struct draft_choice){.timed = false};
    double hold_ns;
    bool ahead = draft_policy_runs_ahead(g);
    int window = draft_policy_window(g, ahead ? DRAFTS_AT_ONCE : most);
    return (struct draft_choice){.timed = true,
                                 .ahead = ahead,
                                 .window = window,
                                 .first = ahead ? draft_policy_first(g, window, &hold_ns) : 0,
                                 .block = ahead ? draft_policy_block(g) : 0,
                                 .draft_ns = draft_ns(g),
                                 .read_ns = read_ns(g),
                                 .row_ns = row_ns(g),
                                 .plain_ns = g->measured.plain_ns,
                                 .rtt_ns = g->rtt_ns,
                                 .right = right(g),
                                 .slower = slower(g)};
}

/* A refusal is remembered: the one that came nearest to paying. */
static void refuse(struct draft_policy *g, struct withheld reading)
{
    struct withheld *w = &g->withheld;
    if (w->why == WITHHELD_NOT ||
        (w->why == WITHHELD_READING && reading.saved_ns - reading.read_ns > w->saved_ns - w->read_ns))
        *w = reading;
}

bool draft_policy_reads(struct draft_policy *g, int most, int n_ids, int n_so_far, int n_left)
{
    if (!g->enabled || g->prior.draft == 0) return true;
    double n_more = fmin(n_left, fmax(n_so_far, g->n_tokens));
    struct withheld reading = {.why = WITHHELD_READING,
                               .n_ids = n_ids,
                               .n_tokens = (int)n_more,
                               .read_ns = read_ns(g) * n_ids,
                               .saved_ns = g->measured.plain_ns * (1 - 1 / gain(g, most)) * n_more};
    bool pays = reading.saved_ns > reading.read_ns;
    if (!pays) refuse(g, reading);
    return pays;
}

static void move(double *mean, double value)
{
    *mean = *mean == 0 ? value : *mean + newest * (value - *mean);
}

/* By n values at once, whose mean is `value`. */
static void move_by(double *mean, double weight, double value, int n)
{
    *mean += (1 - pow(1 - weight, n)) * (value - *mean);
}

static void pause_drafting(struct draft_policy *g)
{
    g->paused = true;
    g->n_pauses++;
    g->withheld = costs(g);
    if (g->n_wrong >= DRAFT_WRONG_MOST) g->withheld.why = WITHHELD_WRONG;
    g->left = (int)fmax(g->pause, g->lost_ns / g->measured.plain_ns / lost_part);
    if (g->pause < DRAFT_PAUSE_MOST) g->pause *= 2;
}

/* All that was measured of drafting so far says nothing of what comes now. */
static void begin_anew(struct draft_policy *g)
{
    g->n_rounds = 0;
    g->measured.row_ns = g->measured.draft_ns = g->drafting_ns = g->drafting_tokens = g->lost_ns = 0;
}

/* A trial after a pause: few tokens, and times are measured anew. */
static void resume(struct draft_policy *g)
{
    g->paused = g->goes_on = false;
    g->n_wrong = DRAFT_WRONG_MOST / 2;
    begin_anew(g);
}

/* As measured in a text before, whatever may be right: but that may have been in a slow moment. */
static bool found_slow(const struct draft_policy *g)
{
    return g->timed && g->measured.draft_ns != 0 && draft_policy_window(g, 1) == 0 &&
           draft_cost(g) >= g->p_target * accept_ratio_before[g->unread];
}

/* Of tokens while the drafter runs ahead, drafted or not: it may slow down big's own. */
static void time_ahead(struct draft_policy *g, const struct draft_policy_round *r)
{
    double plain_ns = g->measured.plain_ns;
    g->drafting_ns = fade_ahead * g->drafting_ns + r->ns;
    g->drafting_tokens = fade_ahead * g->drafting_tokens + r->n_tokens;
    /* No more than a token's time of each, or a moment in which the machine is away would count for much. */
    if (r->ahead) g->lost_ns = fmax(0, g->lost_ns + fmin(r->ns - plain_ns * r->n_tokens, plain_ns));
    g->n_rounds++;
}

/* Rounds pay where a token of theirs is expected to take less than running ahead does, and than big alone. Only cores
 * that share a memory can make it so, and then drafts too are written faster by themselves. */
static bool turns_pay(const struct draft_policy *g)
{
    const struct cost_measured *m = &g->measured;
    double times = slower(g), best = INFINITY;
    if (times < slower_least || g->rtt_ns > turns_rtt_most * m->plain_ns || g->ahead_ns > 0) return false;
    for (int n = 1; n <= DRAFT_WRONG_MOST; n++) {
        double ns = n * (draft_ns(g) / times + row_ns(g)) + m->plain_ns + g->rtt_ns;
        best = fmin(best, ns / (1 + expected_right(g, n)));
    }
    return best < turns_least * fmin(m->plain_ns, g->drafting_ns / g->drafting_tokens);
}

static bool has_lost(const struct draft_policy *g)
{
    return g->lost_ns > lost_most * g->measured.plain_ns;
}

static bool is_slow(const struct draft_policy *g)
{
    double plain_ns = g->measured.plain_ns * g->drafting_tokens;
    if (draft_policy_runs_ahead(g))
        return has_lost(g) || (g->n_rounds >= AHEAD_TO_JUDGE && g->drafting_ns > noise_most * plain_ns);
    return g->n_rounds >= ROUNDS_TO_JUDGE && g->drafting_ns > plain_ns;
}

static void take_turns(struct draft_policy *g)
{
    g->in_turns = true;
    g->ahead_ns = g->drafting_ns / g->drafting_tokens;
    g->n_wrong = 0;
    begin_anew(g);
}

/* Rounds were expected to be faster than running ahead was, and are not. */
static bool turns_failed(const struct draft_policy *g)
{
    return g->in_turns && g->ahead_ns > 0 && g->n_rounds >= 2 * ROUNDS_TO_JUDGE &&
           g->drafting_ns > g->ahead_ns * g->drafting_tokens;
}

/* hopeless: whatever it takes, no draft would pay. */
static void judge(struct draft_policy *g, bool hopeless)
{
    bool slow = is_slow(g), ahead = draft_policy_runs_ahead(g);
    if (ahead && (slow || g->n_rounds >= AHEAD_TO_JUDGE) && turns_pay(g)) {
        take_turns(g);
    } else if (turns_failed(g)) {
        g->in_turns = false;
        begin_anew(g);
    } else if (slow || hopeless) {
        pause_drafting(g);
    } else if (g->n_rounds >= 2 * ROUNDS_TO_JUDGE) {
        g->pause = DRAFT_PAUSE_FIRST; /* it has paid for a while */
    }
}

static void note_plain(struct draft_policy *g, const struct draft_policy_round *r)
{
    g->accept_ratio += forgets * (accept_ratio_before[g->unread] - g->accept_ratio);
    if (r->measured) {
        move(&g->measured.plain_ns, r->ns / r->n_tokens);
        g->timed = true;
    }
    if (g->paused) {
        g->left -= r->n_tokens;
        if (g->left <= 0) resume(g);
        return;
    }
    if (r->ahead && draft_policy_runs_ahead(g)) {
        time_ahead(g, r);
        if (is_slow(g)) judge(g, false);
    } else if (found_slow(g)) {
        pause_drafting(g);
    }
}

/* One id of those read goes with the first draft, in its pass. A round that read much tells what reading takes. */
static void time_drafting(struct draft_policy *g, const struct draft_policy_round *r)
{
    struct cost_measured *p = &g->measured;
    double read = r->n_read > 1 ? r->n_read - 1 : 0, check_ns = r->ns - r->draft_ns;
    if (draft_policy_runs_ahead(g)) {
        time_ahead(g, r);
    } else if (r->measured && !r->beside) {
        move(&p->draft_ns, (r->draft_ns - read * read_ns(g)) / r->n_drafted);
        move(&p->row_ns, (check_ns - p->plain_ns) / r->n_drafted);
        if (p->row_ns < 0 && check_ns < p->plain_ns) /* the plain token was timed in a slow moment */
            move(&p->plain_ns, check_ns);
        g->drafting_ns = fade * g->drafting_ns + r->ns;
        g->drafting_tokens = fade * g->drafting_tokens + r->n_tokens;
        g->n_rounds++;
    } else if (read > 0) {
        move(&p->read_ns, (r->draft_ns - r->n_drafted * draft_ns(g)) / read);
    }
}

static void note_drafting(struct draft_policy *g, const struct draft_policy_round *r)
{
    bool ahead = draft_policy_runs_ahead(g);
    bool in_trial =
        !ahead && g->n_rounds < ROUNDS_TO_JUDGE; /* later, what follows a wrong one counts by its time only */
    g->n_wrong = r->n_accepted ? 0 : g->n_wrong + (in_trial ? r->n_drafted : 1);
    int n_judged = r->n_accepted + (r->n_accepted < r->n_drafted);
    move_by(&g->accept_ratio, ahead ? newest_draft_ahead : newest_draft,
            fmin(accept_ratio_most, r->n_accepted / (g->p_target * n_judged)), n_judged);
    time_drafting(g, r);
    if (r->beside)
        g->n_wrong = g->n_wrong < DRAFT_WRONG_MOST / 2 ? g->n_wrong : DRAFT_WRONG_MOST / 2;
    else
        judge(g, ahead ? g->n_wrong >= AHEAD_WRONG_MOST : draft_policy_window(g, 1) == 0);
}

void draft_policy_note(struct draft_policy *g, const struct draft_policy_round *r)
{
    assert(r->n_tokens > 0);
    if (!g->enabled) return;
    move_by(&g->p_target, newest_p_target, r->p_target / r->n_tokens, r->n_tokens);
    if (r->n_drafted)
        note_drafting(g, r);
    else
        note_plain(g, r);
}

void draft_policy_learn(struct draft_profile *profile, const struct draft_policy *g, int n_tokens)
{
    if (!g->timed) return;
    profile->measured = g->measured;
    profile->accept_ratio[g->unread] = g->accept_ratio;
    profile->pause = g->pause;
    profile->left = g->paused && (g->goes_on || has_lost(g)) ? g->left : 0;
    if (!g->in_turns)
        profile->in_turns = 0;
    else if (g->ahead_ns > 0) /* since this text */
        profile->in_turns = TURNS_TEXTS;
    else if (profile->in_turns > 0)
        profile->in_turns--;
    move(&profile->n_tokens, n_tokens);
}

void draft_policy_note_draft(struct draft_policy *g, double ns)
{
    if (g->enabled) move(&g->measured.draft_ns, ns);
}

void draft_policy_note_pass(struct draft_policy *g, double ns, int n_rows)
{
    if (!g->enabled || !g->timed) return;
    if (n_rows == 1) move(&g->measured.beside_ns, ns);
    if (ns < g->measured.plain_ns) /* which was timed in a slow moment; in this one the drafter may take its share */
        move(&g->measured.plain_ns, ns);
    double one_ns = fmax(g->measured.plain_ns, g->measured.beside_ns);
    if (n_rows > 1) move(&g->measured.row_ns, (ns - one_ns) / (n_rows - 1));
}
