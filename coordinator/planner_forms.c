#include "coordinator/planner_forms.h"

#include <math.h>

enum { BLOCK_MOST = 32 }; /* drafts */

double planner_pass_ns(const struct planner_input *in, const struct planner_pass *pass, double n_rows)
{
    int low = n_rows > 1 ? (int)n_rows : 1;
    double one = (double)synthetic_pass_ns(&in->pair, 1), at = (double)synthetic_pass_ns(&in->pair, low),
           next = (double)synthetic_pass_ns(&in->pair, low + 1);
    double ratio = (at + (fmax(n_rows, 1) - low) * (next - at)) / one;
    double computes = fmax(pass->base_ns * ratio, pass->product_ns * fmax(n_rows, 1));
    return computes + pass->fixed_ns + pass->row_ns * fmax(n_rows, 1);
}

int forms_requests(const struct planner_input *in)
{
    return in->goal == PLANNER_LATENCY ? 1 : in->clients;
}

/* A group's requests, which pass through its stages in so many flights, each of their rows. */
struct crowd {
    const struct planner_input *in;
    const struct planner_layout *layout;
    const struct planner_group *group;
    int n, flights;
    double right; /* the chance of a draft */
};

/* A round of all of them, with so many rows of each: how often there is one. */
static double beat_ns(const struct crowd *c, double rows_each)
{
    double rows = c->n * rows_each, flights = c->flights;
    flights = fmax(flights, ceil(rows / (c->in->max_rows > 0 ? c->in->max_rows : c->in->rows_most)));
    double pass = planner_pass_ns(c->in, &c->group->all, rows / flights),
           slowest = planner_pass_ns(c->in, &c->group->slowest, rows / flights);
    return fmax(pass, flights * slowest);
}

/* 1 + a + .. + a^g */
static double tokens_of(double a, int g)
{
    return a < 1 ? (1 - pow(a, g + 1)) / (1 - a) : g + 1;
}

/* ---- ns of a token ---- */

static double plain(const struct crowd *c)
{
    return beat_ns(c, 1);
}

/* Of a drafter that writes an id of each of so many texts. */
static double draft_ns(const struct crowd *c, double n_texts)
{
    return planner_pass_ns(c->in, &c->layout->draft, n_texts);
}

static double rtt_ns(const struct crowd *c)
{
    return c->group->rtt_ns + c->layout->draft_rtt_ns;
}

/* With several texts of a group drafts ahead are better; those of other groups may wait for the same drafter. */
static double sequential(const struct crowd *c, int g)
{
    double draft = g * draft_ns(c, 1), queue = draft * planner_drafter_texts(c->layout);
    return fmax(draft + beat_ns(c, g + 1) + rtt_ns(c), queue) / tokens_of(c->right, g);
}

/* Blocks of k, of which a request has one in each pass while its drafts are right; behind a wrong one, what is on its
 * way is dropped, and it has a row until drafts come again. So how long it takes decides how many rows there are. The
 * drafter does not know of a wrong draft before, and so writes all of its texts. */
static double ahead(const struct crowd *c, int k)
{
    enum { ROUNDS = 4 };
    double a = c->right, live = 1, token_ns = 0, draft = draft_ns(c, planner_drafter_texts(c->layout));
    for (int i = 0; i < ROUNDS; i++) {
        double beat = beat_ns(c, live * k + 1 - live), right_ns = a * fmax(k * draft, beat) / tokens_of(a, k - 1);
        token_ns = (1 - a) * (beat + rtt_ns(c)) + right_ns;
        live = right_ns / token_ns;
    }
    return token_ns;
}

/* ---- what gives the most ---- */

struct choice {
    enum planner_way way;
    int window;
    double token_ns;
};

static void take(struct choice *best, enum planner_way way, int window, double token_ns)
{
    if (token_ns < best->token_ns) *best = (struct choice){way, window, token_ns};
}

/* Several draft only where the little model has cores of its own. */
static struct choice choose(const struct crowd *c)
{
    const struct planner_input *in = c->in;
    const struct planner_layout *l = c->layout;
    struct choice best = {PLANNER_PLAIN, 0, plain(c)};
    if (!l->drafters || (l->shares_cores && l->n_running > 1)) return best;
    for (int g = 1; g <= PLANNER_ROUND_MOST && c->n == 1; g++) take(&best, PLANNER_SEQUENTIAL, g, sequential(c, g));
    bool parts = !l->shares_cores; /* a draft goes as a part of its own */
    for (int k = 1; k <= BLOCK_MOST && parts && k * c->n <= in->parts_most; k++)
        take(&best, PLANNER_AHEAD, k, ahead(c, k));
    return best;
}

static struct crowd crowd_of(const struct planner_input *in, const struct planner_layout *l, int i_group, int flights)
{
    int n = forms_requests(in);
    return (struct crowd){.in = in,
                          .layout = l,
                          .group = &l->group[i_group],
                          .n = n / l->groups + (i_group < n % l->groups),
                          .flights = flights,
                          .right = in->pair.curves[0].s[0]};
}

/* Requests go to the groups in equal numbers. */
static double rate(const struct planner_input *in, const struct planner_layout *l, int flights, struct choice *first)
{
    double sum = 0;
    for (int i = 0; i < l->groups; i++) {
        const struct crowd c = crowd_of(in, l, i, flights);
        if (!c.n) break;
        struct choice choice = choose(&c);
        if (i == 0) *first = choice;
        sum += c.n * 1e9 / choice.token_ns;
    }
    return sum;
}

void forms_apply(const struct planner_input *in, struct planner_layout *l)
{
    int n = forms_requests(in), in_group = (n + l->groups - 1) / l->groups;
    l->n_running = n;
    l->tokens_per_s = 0;
    for (int flights = 1; flights <= l->pp && flights <= in_group; flights++) {
        struct choice choice = {0};
        double tokens_per_s = rate(in, l, flights, &choice);
        if (tokens_per_s <= l->tokens_per_s) continue;
        int rows = (int)ceil((double)in_group * (choice.way == PLANNER_PLAIN ? 1 : choice.window + 1) / flights);
        l->tokens_per_s = tokens_per_s;
        l->way = choice.way;
        l->window = choice.window;
        l->flights = flights;
        l->max_rows = flights > 1 ? rows : in->max_rows;
        if (flights > 1 && in->max_rows > 0 && in->max_rows < rows) l->max_rows = in->max_rows;
        if (l->max_rows == 1) l->max_rows = 2; /* the least that there is */
    }
}

double planner_more(const struct planner_input *in, const struct planner_layout *l)
{
    const struct crowd c = crowd_of(in, l, 0, 1);
    if (l->way != PLANNER_AHEAD || c.n != 1) return 1;
    double a = c.right, T = planner_pass_ns(in, &c.group->all, 2),
           floor_ns = a * draft_ns(&c, 1) + (1 - a) * (T + rtt_ns(&c));
    return fmax(1, choose(&c).token_ns / floor_ns);
}
