#include "worker/roles/lead_inside.h"

#include <assert.h>
#include <math.h>

enum {
    WAITS_LONG = 8, /* passes without a row of a slot; then it goes before what is taken whole, in every other pass */
    REST = 4        /* at most, passes: the answers come long before */
};

static const double right_before = 0.8; /* before any draft was judged */
static const double newest = 0.05;      /* weight of a draft in the mean */
static const double forgets = 0.01; /* of it, a token for which a slot wrote no draft: else a bad start would last */

/* ---- how often a slot's drafts are right ---- */

void lead_forget(struct self *s)
{
    s->right = right_before;
}

void lead_learn_late(struct self *s, bool right)
{
    s->right += newest * (right - s->right);
}

void lead_learn(struct lead *l, const struct token *t)
{
    struct self *s = &l->self[t->slot];
    const struct slot *slot = &l->c.slots->slot[t->slot];
    bool goes_on = s->n_final >= s->n_prompt && t->at > s->n_final && t->at - s->n_final <= DRAFTS_MOST + 1;
    bool has_draft = slot->len > (int)t->at; /* at its place */
    if (!goes_on) return;
    for (uint32_t i = s->n_final + 1; i < t->at; i++) lead_learn_late(s, true);
    if (has_draft) lead_learn_late(s, slot->ids[t->at] == t->id);
    bool writes_none = !has_draft && t->at == s->n_final + 1 && s->open.draft_max;
    if (writes_none) s->right += forgets * (right_before - s->right);
}

/* ---- a pass ---- */

/* The window of a text that is not adaptive is the user's; what is copied begins a text. */
bool lead_is_shared(const struct lead *l, const struct part *part)
{
    if (part->slot >= (uint32_t)l->c.slots->n || part->plan || part->from || !part->rows[0].wanted) return false;
    return l->self[part->slot].on && l->self[part->slot].open.adaptive;
}

int lead_rows_left(const struct lead *l, const struct self *s)
{
    bool bound = l->shares && s->on && s->open.adaptive;
    if (!bound) return PASS_ROWS_MOST;
    return s->budget.most ? s->budget.most - s->budget.used + l->n_spare : 0;
}

/* A part that may stay behind: the first of its slot that applies, or what follows it. */
static void want_part(struct lead *l, struct part part)
{
    struct self *s = &l->self[part.slot];
    struct slot_budget *sh = &s->budget;
    if (sh->least && part.at != sh->end) return;
    if (!sh->least) {
        sh->blocked |= lead_must_wait(l, &part);
        bool applies = slots_check(l->c.slots, part.slot, part.at, part.prefix_hash, part.n_rows) == VERDICT_OK;
        if (sh->blocked || !applies || (lead_is_late(l, &part) && !lead_trim(l, &part))) return;
        bool in_work = s->job || s->part.in_work; /* its answer will say which of these are of use */
        sh->n_before = !in_work ? 0 : part.at > s->n_final ? (int)(part.at - s->n_final) : 1;
        sh->least = (int)part.n_rows;
    } else {
        sh->more += (int)part.n_rows;
    }
    sh->end = part.at + (uint32_t)part.n_rows;
    sh->has_last = part.rows[part.n_rows - 1].n_judge > 0;
}

/* The chance of each of n drafts, if it is the same, of which n_right are expected to be right in a row. */
static double chance_of_each(int n, double n_right)
{
    enum { HALVES = 12 };
    double low = 0, high = 1;
    for (int k = 0; k < HALVES; k++) {
        double right = (low + high) / 2, chance = 1, sum = 0;
        for (int i = 0; i < n; i++) sum += chance *= right;
        *(sum < n_right ? &low : &high) = right;
    }
    return low;
}

/* Big's next id, and drafts behind it that the slot writes by itself. */
static void want_own(struct lead *l, struct self *s)
{
    int64_t room = s->open.draft_max ? lead_draft_room(l, s, 0) : 0;
    if (s->budget.least || s->budget.blocked || !lead_would_go_on(s)) return;
    s->budget.own = true;
    s->budget.least = 1;
    s->budget.more = room > 0 ? draft_policy_window(&s->policy, (int)room) : 0;
}

/* Its own drafts of earlier text are known now; how likely they are is the mean of what the match says and of how often
 * the slot's drafts were right. */
static void look_up_own(struct lead *l, uint32_t slot)
{
    struct self *s = &l->self[slot];
    if (!s->budget.own || l->c.drafts.write || s->budget.more <= 0) return;
    struct suffix_draft d = lead_look_up(l, slot, s->budget.more);
    s->budget.more = d.n;
    s->budget.right = sqrt(s->right * chance_of_each(d.n, (double)d.n_right));
}

/* Sets what each slot wants. Returns the rows of those that have waited for long. */
static int want(struct lead *l)
{
    int n_long = 0;
    for (int i = 0; i < l->c.slots->n; i++) l->self[i].budget = (struct slot_budget){.right = l->self[i].right};
    for (size_t i = 0; i < l->n_queued; i++) {
        const struct part *part = &lead_queue_at(l, i)->part;
        if (lead_is_shared(l, part))
            want_part(l, *part);
        else if (part->slot < (uint32_t)l->c.slots->n)
            l->self[part->slot].budget.blocked = true;
    }
    for (int i = 0; i < l->c.slots->n; i++) {
        struct self *s = &l->self[i];
        want_own(l, s);
        if (s->budget.least && l->n_passes - s->last_pass > WAITS_LONG) n_long += s->budget.least;
    }
    return n_long;
}

/* The rows of parts that are taken whole, in their order. A part behind a shared one of its slot waits, and so does one
 * for its slot's Token. */
static void take_whole(const struct lead *l, struct budget *b, int most)
{
    for (size_t i = 0; i < l->n_queued; i++) {
        const struct part *part = &lead_queue_at(l, i)->part;
        bool waits = part->slot < (uint32_t)l->c.slots->n && l->self[part->slot].budget.least;
        if (waits || lead_is_shared(l, part) || lead_must_wait(l, part)) continue;
        if (b->n_rows + (int)part->n_rows > most) return;
        b->n_rows += (int)part->n_rows;
    }
}

/* Those of slots that go on but do not share: behind parts that are taken whole, which would wait for ever else. */
static void take_plain(const struct lead *l, struct budget *b, int most)
{
    for (int i = 0; i < l->c.slots->n && b->n_rows < most; i++) {
        if (!l->self[i].budget.least || l->self[i].open.adaptive) continue;
        b->n_rows++;
        b->n_tokens++;
    }
}

static bool shares(const struct self *s)
{
    return s->budget.least && s->open.adaptive;
}

static int n_sharing(const struct lead *l)
{
    int n = 0;
    for (int i = 0; i < l->c.slots->n; i++) n += shares(&l->self[i]);
    return n;
}

static int n_writing(const struct lead *l)
{
    int n = 0;
    for (int i = 0; i < l->c.slots->n; i++) n += l->self[i].on;
    return n;
}

void lead_rest(struct lead *l, uint64_t now_us)
{
    double us = REST * pass_times_ns(&l->times, n_writing(l)) / 1e3;
    l->rests_until_us = now_us + (us > 1 ? (uint64_t)us : 1);
}

/* With several stages all slots may wait for answers, while drafts behind those are there. A pass of these alone is
 * worth it only if it is expected to give more for its time than one that all slots share; else the answers come
 * first. */
static bool is_worth(const struct lead *l, double rate)
{
    int n = n_writing(l);
    double ns = pass_times_ns(&l->times, n);
    return rate * ns >= n;
}

bool lead_budget_rows(struct lead *l)
{
    struct budget b = {.times = &l->times, .max_rows = l->c.max_rows};
    struct budget_ask asks[SLOTS_MOST];
    int slots[SLOTS_MOST], rows[SLOTS_MOST], n = 0, n_must = 0;
    static_assert((int)SLOTS_MOST <= (int)BUDGET_ASKS_MOST, "a request for each slot");
    l->shares = l->spares = false;
    l->n_spare = l->n_taken_whole = 0;
    int n_long = want(l);
    l->shares = n_sharing(l) > 1;
    if (!l->shares) return true;
    for (int i = 0; i < l->c.slots->n; i++) {
        const struct self *s = &l->self[i];
        const struct slot_budget *sh = &s->budget;
        if (!shares(s)) continue;
        look_up_own(l, (uint32_t)i);
        asks[n] = (struct budget_ask){sh->least, sh->more + sh->has_last, sh->n_before, sh->right, s->last_part};
        bool may_wait = sh->n_before > 0 && l->n_passes - s->last_pass <= WAITS_LONG;
        if (may_wait) asks[n].more += asks[n].least;
        if (may_wait) asks[n].least = 0;
        n_must += !may_wait;
        slots[n++] = i;
    }
    if (l->n_passes % 2) n_long = 0; /* in turns, or where many wait for long nothing would be taken whole */
    take_whole(l, &b, b.max_rows - n_long);
    l->n_whole = b.n_others = b.n_rows;
    take_plain(l, &b, b.max_rows - n_long);
    double rate = budget_rows(&b, asks, n, rows);
    if (n_must == 0 && b.n_rows == 0 && !is_worth(l, rate)) return false;
    for (int i = 0; i < n; i++) b.n_rows += l->self[slots[i]].budget.most = rows[i];
    l->spares = b.n_rows >= b.max_rows; /* else a row more was worth less than its time */
    return true;
}
