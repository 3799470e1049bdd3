#include "proto/budget.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>

static const double newest = 0.2;      /* weight of a new time in its mean */
static const uint32_t forgets = 4096;  /* passes */
static const double least_gain = 1e-9; /* tokens: less is none */

/* ---- what a pass takes ---- */

/* One for each number up to 8, then four for each power of two. */
static int range_of(int n_rows)
{
    int exponent = 3;
    if (n_rows < 8) return n_rows - 1;
    while (n_rows >> (exponent + 1)) exponent++;
    int i = 7 + 4 * (exponent - 3) + (n_rows >> (exponent - 2) & 3);
    return i < PASS_TIMES ? i : PASS_TIMES - 1;
}

void pass_times_note(struct pass_times *t, int n_rows, double ns)
{
    struct pass_time *of = &t->list[range_of(n_rows)];
    double weight = of->noted ? newest : 1;
    of->n_rows += weight * (n_rows - of->n_rows);
    of->ns += weight * (ns - of->ns);
    of->noted = ++t->n_noted;
}

static bool is_known(const struct pass_times *t, int i)
{
    return t->list[i].noted && t->n_noted - t->list[i].noted < forgets;
}

/* Rows, and their time, in order of rows. A longer pass that took less shows that the shorter one had a slow moment. */
static int known_times(const struct pass_times *t, double rows[PASS_TIMES], double ns[PASS_TIMES])
{
    int n = 0;
    for (int i = 0; i < PASS_TIMES; i++) {
        if (!is_known(t, i)) continue;
        rows[n] = t->list[i].n_rows;
        ns[n++] = t->list[i].ns;
    }
    for (int i = n - 1; i > 0; i--) ns[i - 1] = fmin(ns[i - 1], ns[i]);
    return n;
}

/* Between two that are known, on a line; beyond them, on the line from the first to the last. Fewer rows never take
 * more for each. */
static double time_of(const double *rows, const double *ns, int n, double n_rows)
{
    int i = 1;
    if (n < 2) return n ? ns[0] : 0;
    while (i < n && n_rows > rows[i]) i++;
    int from = i - 1;
    if (i == n || n_rows < rows[0]) from = 0, i = n - 1;
    double line = ns[from] + (n_rows - rows[from]) * (ns[i] - ns[from]) / (rows[i] - rows[from]);
    return n_rows < rows[0] ? fmax(line, ns[0] * n_rows / rows[0]) : line;
}

double pass_times_ns(const struct pass_times *t, int n_rows)
{
    double rows[PASS_TIMES], ns[PASS_TIMES];
    return time_of(rows, ns, known_times(t, rows, ns), n_rows);
}

/* ---- who gets its rows ---- */

/* The one without rows that has waited for the longest; -1: all have some. */
static int longest(const struct budget_ask *asks, int n, const int *rows)
{
    int best = -1;
    for (int i = 0; i < n; i++)
        if (!rows[i] && asks[i].least > 0 && (best < 0 || asks[i].last < asks[best].last)) best = i;
    return best;
}

/* The rows that go together. If those of the one that is next do not fit, nobody goes before it: it would wait for
 * ever. Returns how many rows that is. */
static int give_least(const struct budget_ask *asks, int n, int room, int *rows)
{
    int sum = 0;
    for (int i = 0; i < n; i++) sum += asks[i].least, rows[i] = 0;
    if (sum <= room) {
        for (int i = 0; i < n; i++) rows[i] = asks[i].least;
        return sum;
    }
    sum = 0;
    for (int i; (i = longest(asks, n, rows)) >= 0 && sum + asks[i].least <= room;) sum += rows[i] = asks[i].least;
    return sum;
}

/* Rows as they are handed out. */
struct hand {
    const struct budget *b;
    const struct budget_ask *asks;
    int n, n_rows; /* n_rows: of the pass */
    double tokens; /* of the pass */
    double time_rows[PASS_TIMES], time_ns[PASS_TIMES];
    int n_times;
    double chance[BUDGET_ASKS_MOST]; /* of the next row of each */
    int given[BUDGET_ASKS_MOST];     /* of drafts */
};

static void begin(struct hand *h, const int *rows)
{
    h->n_rows = h->b->n_rows;
    h->tokens = h->b->n_tokens;
    for (int i = 0; i < h->n; i++) {
        const struct budget_ask *a = &h->asks[i];
        h->given[i] = 0;
        h->chance[i] = pow(a->right, a->n_before);
        h->n_rows += rows[i];
        for (int k = 0; k < rows[i]; k++, h->chance[i] *= a->right) h->tokens += h->chance[i];
    }
}

static double time_of_pass(const struct hand *h, int n_rows)
{
    return time_of(h->time_rows, h->time_ns, h->n_times, n_rows);
}

/* One row more, where it is the likeliest to give a token. False: there is none. */
static bool give_row(struct hand *h, const int *rows)
{
    int best = -1;
    if (h->n_rows >= h->b->max_rows) return false;
    for (int i = 0; i < h->n; i++) {
        bool has_room = (rows[i] > 0 || h->asks[i].least == 0) && h->given[i] < h->asks[i].more;
        if (has_room && (best < 0 || h->chance[i] > h->chance[best])) best = i;
    }
    if (best < 0) return false;
    h->tokens += h->chance[best];
    h->chance[best] *= h->asks[best].right;
    h->n_rows++;
    h->given[best]++;
    return true;
}

/* The most tokens that a pass without the others' rows gives for its time: what a row of this one must give, too. */
static double best_rate(struct hand *h, const int *rows)
{
    double best = 0;
    begin(h, rows);
    do {
        double ns = time_of_pass(h, h->n_rows - h->b->n_others);
        if (ns > 0) best = fmax(best, h->tokens / ns);
    } while (give_row(h, rows));
    return best;
}

/* The rows are handed out in one order, so the best number of them is found by trying each. */
double budget_rows(const struct budget *b, const struct budget_ask *asks, int n, int *rows)
{
    struct hand h = {.b = b, .asks = asks, .n = n};
    int n_best = 0;
    assert(n <= BUDGET_ASKS_MOST);
    h.n_times = known_times(b->times, h.time_rows, h.time_ns);
    give_least(asks, n, b->max_rows - b->n_rows, rows);
    double rate = best_rate(&h, rows), best = -INFINITY;
    begin(&h, rows);
    for (int i = 0; i == 0 || give_row(&h, rows); i++) {
        double gain = h.tokens - rate * time_of_pass(&h, h.n_rows);
        if (gain < best - least_gain) continue; /* of equal ones the most: where no time is known, all */
        best = gain;
        n_best = i;
    }
    begin(&h, rows);
    for (int i = 0; i < n_best; i++) give_row(&h, rows);
    for (int i = 0; i < n; i++) rows[i] += h.given[i];
    return rate;
}
