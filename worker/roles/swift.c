#include "worker/roles/swift.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/math.h"
#include "proto/files/side.h"
#include "proto/prefix_hash.h"

enum {
    PARTS_MOST = 2 * PLAN_ENTRIES_MOST,
    WINDOW_MOST = 8,      /* of a draft, in what is expected of a plan */
    TRIALS_TO_WIN = 3,    /* of a candidate, each of which it must stand */
    TRIALS_TO_AGE = 8,    /* after so many of other plans the best one is tried again */
    REMEMBERED_ROWS = 256 /* of a plan: older ones weigh less */
};

struct sub { /* a sub-layer that may be off */
    int entry;
    enum plan_part part;
    double cost;
    double ln_kept; /* ln of the share of drafts that stay right without it; <= 0 */
    bool known;
};

struct candidate {
    unsigned char off[PARTS_MOST]; /* of each sub-layer */
    double n_same, n_rows;
    int n_trials;
    bool is_whole; /* the model itself: right, without a trial */
};

struct swift {
    struct plan served;
    struct sub *sub; /* [n] owns */
    int n;
    int *order; /* [n] owns: in which each is tried alone */
    int next_alone;
    double whole_cost, way;
    bool is_whole; /* see struct swift_config */
    int exit_from;
    const char *side; /* borrows */
    int side_at[SIDE_EXITS_MOST], n_sides;
    uint64_t random;
    struct candidate best, tried; /* tried: in work */
    bool in_work;                 /* it stood a trial, and is tried again */
    unsigned char *expected;      /* [n] owns: the set of best_expected */
    int turn, since_best, n_trials;
    uint64_t tried_at; /* n_written of the last trial */
    char plan[PART_PLAN_MOST + 1], candidate[PART_PLAN_MOST + 1];
};

/* ---- what is expected ---- */

static double speed_of(double right, double cost)
{
    double most = 0, tokens = 1, product = 1;
    for (int k = 1; k <= WINDOW_MOST; k++) {
        product *= right;
        tokens += product;
        double speed = tokens / (1 + k * cost);
        if (speed > most) most = speed;
    }
    return most;
}

static double share_of(double n_same, double n_rows)
{
    return (n_same + .25) / (n_rows + .5);
}

static double cost_of(const struct swift *s, const unsigned char *off)
{
    double cost = s->whole_cost;
    for (int i = 0; i < s->n; i++) cost -= off[i] ? s->sub[i].cost : 0;
    return cost / s->way;
}

static double candidate_speed(const struct swift *s, const struct candidate *c)
{
    double right = c->is_whole ? 1 : share_of(c->n_same, c->n_rows);
    return speed_of(right, cost_of(s, c->off));
}

static double expected_ln(const struct swift *s, const unsigned char *off)
{
    double ln = 0;
    for (int i = 0; i < s->n; i++) ln += off[i] ? s->sub[i].ln_kept : 0;
    return ln;
}

/* ---- plans ---- */

/* What is left; false: it cannot be said in a message. */
static bool spell(const struct swift *s, const unsigned char *off, char text[PART_PLAN_MOST + 1])
{
    struct plan left = {.entries = calloc((size_t)s->served.n_entries, sizeof *left.entries)};
    if (!left.entries) return false;
    char room[PART_PLAN_MOST + 2];
    for (int i = 0, k = 0; i < s->served.n_entries; i++) {
        struct plan_entry e = s->served.entries[i];
        for (; k < s->n && s->sub[k].entry == i; k++)
            if (off[k]) e.part &= ~s->sub[k].part;
        if (e.part) left.entries[left.n_entries++] = e;
    }
    plan_spell(&left, room, sizeof room);
    free(left.entries);
    if (s->side) snprintf(room, sizeof room, "balcony:%s:%d", s->side, left.n_entries);
    bool fits = strlen(room) <= PART_PLAN_MOST;
    if (fits) memcpy(text, room, strlen(room) + 1);
    return fits;
}

static uint32_t draw_below(struct swift *s, uint32_t n)
{
    s->random = prefix_hash_mix(s->random + 1);
    return (uint32_t)((s->random >> 32) * n >> 32);
}

/* ---- proposals ---- */

static void propose(struct swift *s, const unsigned char *off)
{
    s->tried = (struct candidate){0};
    memcpy(s->tried.off, off, (size_t)s->n);
}

static bool is_best(const struct swift *s, const unsigned char *off)
{
    return !memcmp(off, s->best.off, (size_t)s->n);
}

/* Every other block, but the first and the last (SWIFT's start). */
static void propose_start(struct swift *s)
{
    unsigned char off[PARTS_MOST] = {0};
    for (int i = 0; i < s->n; i++) off[i] = s->sub[i].entry % 2 && s->sub[i].entry + 1 < s->served.n_entries;
    propose(s, off);
}

static void propose_alone(struct swift *s)
{
    unsigned char off[PARTS_MOST] = {0};
    off[s->order[s->next_alone++ % s->n]] = 1;
    propose(s, off);
}

static void propose_neighbour(struct swift *s)
{
    unsigned char off[PARTS_MOST];
    memcpy(off, s->best.off, (size_t)s->n);
    off[draw_below(s, (uint32_t)s->n)] ^= 1;
    propose(s, off);
}

/* Sub-layers that are known join in the order of what they lose for what they save, and the fastest set counts. False:
 * it is the best plan, or no faster. */
static bool propose_expected(struct swift *s)
{
    unsigned char off[PARTS_MOST] = {0};
    double most = candidate_speed(s, &s->best);
    bool found = false;
    for (int n_off = 1; n_off <= s->n; n_off++) {
        int at = -1;
        for (int i = 0; i < s->n; i++) {
            if (off[i] || !s->sub[i].known) continue;
            if (at < 0 || s->sub[i].ln_kept * s->sub[at].cost > s->sub[at].ln_kept * s->sub[i].cost) at = i;
        }
        if (at < 0) break;
        off[at] = 1;
        double speed = speed_of(math_exp(expected_ln(s, off)), cost_of(s, off));
        if (speed <= most || is_best(s, off)) continue;
        most = speed;
        memcpy(s->expected, off, (size_t)s->n);
        found = true;
    }
    if (found) propose(s, s->expected);
    return found;
}

static void propose_exit(struct swift *s)
{
    unsigned char off[PARTS_MOST] = {0};
    int n = s->side ? s->n_sides : s->served.n_entries - s->exit_from + 1, k = s->turn++ % n;
    int exit = s->side ? s->side_at[k] : s->exit_from + k;
    for (int i = 0; i < s->n; i++) off[i] = s->sub[i].entry >= exit;
    propose(s, off);
}

static void choose(struct swift *s)
{
    if (s->exit_from) {
        propose_exit(s);
        return;
    }
    enum { KINDS = 3 };
    int kind = s->turn++ % KINDS;
    if (s->turn == 1) {
        propose_start(s);
    } else if (s->next_alone < s->n && kind != 1) {
        propose_alone(s);
    } else if (kind == 1 && propose_expected(s)) {
        return;
    } else if (kind == 2) {
        propose_neighbour(s);
    } else {
        propose_alone(s);
    }
}

const char *swift_next(struct swift *s, uint64_t n_written)
{
    if (!s->n || n_written < s->tried_at + SWIFT_ROWS_LEAST) return NULL;
    bool ages = !s->best.is_whole && (!s->best.n_trials || s->since_best >= TRIALS_TO_AGE);
    if (!s->in_work) {
        if (!ages) choose(s);
        if (ages || is_best(s, s->tried.off)) s->tried = s->best; /* with what is known of it */
    }
    if (!spell(s, s->tried.off, s->candidate)) return NULL;
    s->tried_at = n_written;
    return s->candidate;
}

/* ---- answers ---- */

/* What was found and was not expected is the doing of each sub-layer that was off: of one alone all of it. */
static void learn(struct swift *s, double right)
{
    double more = math_ln(right) - expected_ln(s, s->tried.off);
    int n_off = 0, n_known = 0;
    for (int i = 0; i < s->n; i++) {
        n_off += s->tried.off[i];
        n_known += s->tried.off[i] && s->sub[i].known;
    }
    if (n_off > 1 && n_known < n_off) return;
    for (int i = 0; i < s->n; i++) {
        struct sub *sub = &s->sub[i];
        if (!s->tried.off[i]) continue;
        double learned = sub->ln_kept + (sub->known ? more / n_off / 2 : more);
        sub->ln_kept = learned < 0 ? learned : 0;
        sub->known = true;
    }
}

static void count(struct candidate *c, int n_same, int n_rows)
{
    if (c->n_rows + n_rows > REMEMBERED_ROWS) {
        c->n_same /= 2;
        c->n_rows /= 2;
    }
    c->n_same += n_same;
    c->n_rows += n_rows;
    c->n_trials++;
}

static void take(struct swift *s, const struct candidate *c)
{
    s->best = *c;
    s->since_best = 0;
    spell(s, s->best.off, s->plan);
}

/* The best one was tried again. The whole model is never slower than itself. */
static bool renew(struct swift *s)
{
    take(s, &s->tried);
    if (!s->is_whole || candidate_speed(s, &s->best) >= 1) return false;
    take(s, &(struct candidate){.is_whole = true});
    return true;
}

bool swift_note(struct swift *s, int n_same, int n_rows)
{
    bool of_best = is_best(s, s->tried.off);
    count(&s->tried, n_same, n_rows);
    s->n_trials++;
    s->since_best++;
    learn(s, (n_same ? n_same : .5) / n_rows);
    if (of_best && !s->best.is_whole) return renew(s);
    bool better = !of_best && candidate_speed(s, &s->tried) > candidate_speed(s, &s->best);
    s->in_work = better && s->tried.n_trials < TRIALS_TO_WIN;
    if (!better || s->in_work) return false;
    take(s, &s->tried);
    return true;
}

/* ---- the rest ---- */

const char *swift_plan(const struct swift *s)
{
    return s->plan;
}

double swift_cost(const struct swift *s)
{
    return cost_of(s, s->best.off);
}

double swift_speed(const struct swift *s)
{
    return candidate_speed(s, &s->best);
}

int swift_n_trials(const struct swift *s)
{
    return s->n_trials;
}

/* All but the first attention: a plan needs one. */
static void list_subs(struct swift *s, const struct swift_config *c)
{
    bool attends = false;
    for (int i = 0; i < c->n_entries; i++) {
        enum plan_part has = c->served->entries[i].part;
        if (has & PART_ATTENTION && attends)
            s->sub[s->n++] = (struct sub){.entry = i, .part = PART_ATTENTION, .cost = c->costs[i].attention};
        attends |= has & PART_ATTENTION;
        if (has & PART_MLP) s->sub[s->n++] = (struct sub){.entry = i, .part = PART_MLP, .cost = c->costs[i].mlp};
    }
}

static void shuffle(struct swift *s)
{
    for (int i = 0; i < s->n; i++) {
        int k = (int)draw_below(s, (uint32_t)i + 1);
        s->order[i] = s->order[k];
        s->order[k] = i;
    }
}

int swift_open(struct swift **out, const struct swift_config *c, struct err *err)
{
    struct swift *s = calloc(1, sizeof *s);
    size_t n = (size_t)c->n_entries;
    *out = s;
    if (s) {
        s->served.n_entries = c->n_entries;
        s->served.entries = calloc(n, sizeof *s->served.entries);
        s->sub = calloc(2 * n, sizeof *s->sub);
        s->order = calloc(2 * n, sizeof *s->order);
        s->expected = calloc(2 * n, 1);
    }
    if (!s || !s->served.entries || !s->sub || !s->order || !s->expected) {
        swift_close(s);
        *out = NULL;
        return err_set(err, E_LAYOUT, "out of memory for a search of plans");
    }
    memcpy(s->served.entries, c->served->entries, n * sizeof *s->served.entries);
    list_subs(s, c);
    s->whole_cost = c->whole_cost;
    s->way = c->way;
    s->is_whole = c->is_whole;
    s->exit_from = c->exit_from;
    s->side = c->side;
    s->n_sides = c->n_sides;
    for (int i = 0; c->side && i < c->n_sides; i++) s->side_at[i] = c->side_at[i];
    s->random = c->seed;
    shuffle(s);
    take(s, &(struct candidate){.is_whole = c->is_whole});
    return OK;
}

void swift_close(struct swift *s)
{
    if (!s) return;
    free(s->served.entries);
    free(s->sub);
    free(s->order);
    free(s->expected);
    free(s);
}
