#include "worker/roles/role_drafter.h"

#include <stdlib.h>

#include "kernels/math.h"
#include "proto/clock.h"
#include "worker/roles/drafting.h"

struct extra { /* ids of a text past those that little may propose: it may propose them again */
    int n;
    int32_t ids[MAX_EXTRA_IDS];
};

struct draft_role {
    struct worker *w;
    struct drafting drafting;
    struct extra *extra; /* [n_slots] owns */
    /* [n_slots] owns: ids that a text may get in a pass, at most: what is written behind a draft's end costs as much as
     * what is of use, so there are as many as the last draft had, or twice as many, if it might have gone on. */
    int *n_steps;
    float *x; /* [worker_pass_rows, n_embd] owns */
};

static int post(struct draft_role *d, const struct draft *draft, struct err *err)
{
    struct message m = {.tag = TAG_DRAFT, .draft = *draft};
    return worker_post(d->w, PEER_COORDINATOR, &m, err);
}

static int take_ask(struct draft_role *d, const struct draft_ask *ask, struct err *err)
{
    struct draft draft;
    bool refused = false;
    int rc = OK;
    if (drafting_end(&d->drafting, ask->slot, clock_now_us(), &draft)) rc = post(d, &draft, err);
    int n_rows = rc == OK ? drafting_copy(&d->drafting, ask) : 0;
    if (n_rows) rc = engine_copy(d->w->engine, (int)ask->slot, (int)ask->from - 1, n_rows, err);
    if (rc == OK) rc = drafting_ask(&d->drafting, ask, clock_now_us(), &refused, &draft, err);
    return rc == OK && refused ? post(d, &draft, err) : rc;
}

static int take_cut(struct draft_role *d, const struct cut *cut, struct err *err)
{
    struct draft draft;
    if (cut->slot >= (uint32_t)d->w->slots.n) return err_set(err, E_PEER, "a Cut of slot %u", cut->slot);
    return drafting_cut(&d->drafting, cut, clock_now_us(), &draft) ? post(d, &draft, err) : OK;
}

/* One message. MAIL_NONE: there was none. */
static int take(struct draft_role *d, uint64_t wait_us, struct err *err)
{
    struct message m;
    int rc = worker_next(d->w, &d->w->in, wait_us, &m, err);
    if (rc != OK || d->w->quit) return rc;
    if (m.tag == TAG_OPEN) return drafting_open(&d->drafting, &m.open, err);
    if (m.tag == TAG_CUT) return take_cut(d, &m.cut, err);
    if (m.tag == TAG_DRAFT_ASK) return take_ask(d, &m.ask, err);
    return err_set(err, E_PEER, "peer %d: an unexpected %s", d->w->config->peer, wire_tags[m.tag].name);
}

/* The newest ids of the slot's text that are at or past the limit n_ids, each once. */
static void note_extra(struct extra *extra, const struct slot *s, int n_ids)
{
    extra->n = 0;
    for (int i = s->len; i-- > 0 && extra->n < MAX_EXTRA_IDS;) {
        if (s->ids[i] < n_ids) continue;
        int k = 0;
        while (k < extra->n && extra->ids[k] != s->ids[i]) k++;
        if (k == extra->n) extra->ids[extra->n++] = s->ids[i];
    }
}

struct batch { /* of a pass */
    struct engine_row rows[PASS_ROWS_MOST];
    int32_t ids[PASS_ROWS_MOST];
    struct {
        uint32_t slot;
        int row, n_ids;         /* of the first step; that it got */
    } answered[PASS_ROWS_MOST]; /* whose last row gives an id, in order */
    int n_rows, n_answered;
    int n_steps, n_all; /* n_rows and n_answered are of the first; n_all: rows of all */
};

static bool is_greedy(const struct drafting_text *t)
{
    return t->sampler.temp < TEMP_LEAST;
}

/* Every active slot feeds what it has not fed, as room allows; one that is through gets its next id. */
static void fill(struct draft_role *d, struct batch *b)
{
    static const struct row plain = {.wanted = false}, asks = {.wanted = true}, samples = {.wanted = true, .n_top = 1};
    const int most = worker_pass_rows(d->w);
    for (uint32_t i = 0; i < (uint32_t)d->w->slots.n; i++) {
        struct drafting_text *t = &d->drafting.texts[i];
        const struct slot *s = &d->w->slots.slot[i];
        if (!t->active) continue;
        bool wants = t->until > (uint32_t)s->len;
        if (wants && t->n_fed == s->len) t->n_fed--; /* its answer was not asked for when it was fed */
        while (t->n_fed < s->len && b->n_rows < most) {
            bool asked = wants && t->n_fed + 1 == s->len;
            struct engine_row *row = &b->rows[b->n_rows];
            const struct row *ask = !asked ? &plain : is_greedy(t) ? &asks : &samples;
            b->ids[b->n_rows++] = s->ids[t->n_fed];
            *row = (struct engine_row){(int)i, t->n_fed++, ask, &t->sampler, 0, NULL, 0};
            if (!asked) continue;
            b->answered[b->n_answered].slot = i;
            b->answered[b->n_answered++].row = b->n_rows - 1;
            note_extra(&d->extra[i], s, t->n_ids);
            row->n_ids = t->n_ids;
            row->extra_ids = d->extra[i].ids;
            row->n_extra_ids = d->extra[i].n;
        }
    }
}

/* Ids that a text may get in a pass. */
static int steps_of(const struct draft_role *d, uint32_t i_slot)
{
    const struct drafting_text *t = &d->drafting.texts[i_slot];
    uint32_t len = (uint32_t)d->w->slots.slot[i_slot].len, n = t->until - len;
    if (!is_greedy(t) || d->extra[i_slot].n) return 1;
    if (t->block && t->at + t->block - len < n) n = t->at + t->block - len;
    return (int)n < d->n_steps[i_slot] ? (int)n : d->n_steps[i_slot];
}

/* A device writes several ids of each text at once, if none waits for its first. */
static void add_steps(struct draft_role *d, struct batch *b)
{
    int n = b->n_answered < d->drafting.n_active ? 1 : engine_steps_most(d->w->engine);
    for (int i = 0; i < b->n_answered; i++) {
        int of_text = steps_of(d, b->answered[i].slot);
        int of_room = 1 + (worker_pass_rows(d->w) - b->n_rows) / b->n_answered;
        if (of_text < n) n = of_text;
        if (of_room < n) n = of_room;
    }
    b->n_steps = 1;
    b->n_all = b->n_rows;
    for (; b->n_steps < n; b->n_steps++)
        for (int i = 0; i < b->n_answered; i++) {
            b->rows[b->n_all] = b->rows[b->answered[i].row];
            b->rows[b->n_all++].pos += b->n_steps;
        }
}

static int compute(struct draft_role *d, const struct batch *b, const struct verdict_row **answers, struct err *err)
{
    struct worker *w = d->w;
    engine_embed(w->engine, b->ids, b->n_rows, d->x);
    worker_begin_pass(w);
    int rc = engine_steps(w->engine, b->rows, b->n_all, b->n_steps, d->x, answers, err);
    worker_end_pass(w);
    return rc;
}

/* Texts with a row of [from, to) that could not be computed. */
static int take_bad(struct draft_role *d, const struct batch *b, int from, int to, struct err *err)
{
    struct draft draft;
    int rc = OK;
    for (int i = from; i < to && rc == OK; i++) {
        struct err why; /* not reported: the text does not need this draft */
        uint32_t slot = (uint32_t)b->rows[i].slot;
        if (!d->drafting.texts[slot].active || engine_row_error(d->w->engine, i, &why) == OK) continue;
        drafting_fail(&d->drafting, slot, (uint32_t)b->rows[i].pos, clock_now_us(), &draft);
        rc = post(d, &draft, err);
    }
    return rc;
}

/* The ids of a step. Of a text whose draft has ended they are of no use. */
static int take_ids(struct draft_role *d, struct batch *b, int step, const struct verdict_row *answers, struct err *err)
{
    struct draft draft;
    int rc = OK;
    for (int i = 0; i < b->n_answered && rc == OK; i++) {
        uint32_t slot = b->answered[i].slot;
        struct drafting_text *t = &d->drafting.texts[slot];
        if (!t->active) continue;
        t->n_fed += step > 0; /* the id before; those of the first step are counted */
        b->answered[i].n_ids++;
        float p = (float)math_exp((double)(is_greedy(t) ? answers[i].lp_next : answers[i].top[0].lp));
        if (drafting_take(&d->drafting, slot, answers[i].next, p, clock_now_us(), &draft)) rc = post(d, &draft, err);
    }
    return rc;
}

static void note_steps(struct draft_role *d, const struct batch *b)
{
    for (int i = 0; i < b->n_answered; i++) {
        int n = b->answered[i].n_ids, *steps = &d->n_steps[b->answered[i].slot];
        if (n < b->n_steps)
            *steps = n ? n : 1;
        else if (*steps < 2 * n)
            *steps = 2 * n;
    }
}

static int draft_pass(struct draft_role *d, struct err *err)
{
    struct batch b = {.n_rows = 0};
    struct draft draft;
    const struct verdict_row *answers = NULL;
    int rc = OK;
    fill(d, &b);
    add_steps(d, &b);
    if (b.n_rows) rc = compute(d, &b, &answers, err);
    for (int step = 0, from = 0, to = b.n_rows; step < b.n_steps && rc == OK; step++, from = to, to += b.n_answered) {
        rc = take_bad(d, &b, from, to, err);
        if (rc == OK && b.n_answered) rc = take_ids(d, &b, step, answers + step * b.n_answered, err);
    }
    note_steps(d, &b);
    for (uint32_t i = 0; i < (uint32_t)d->w->slots.n && rc == OK; i++)
        if (drafting_rest(&d->drafting, i, clock_now_us(), &draft)) rc = post(d, &draft, err);
    return rc;
}

static int drafter_init(struct draft_role *d, struct worker *w, struct err *err)
{
    *d = (struct draft_role){.w = w};
    d->extra = calloc((size_t)w->slots.n, sizeof *d->extra);
    d->n_steps = calloc((size_t)w->slots.n, sizeof *d->n_steps);
    d->x = calloc((size_t)worker_pass_rows(w) * (size_t)w->info.shape.n_embd, sizeof *d->x);
    for (int i = 0; d->n_steps && i < w->slots.n; i++) d->n_steps[i] = DEVICE_STEPS;
    int rc = drafting_init(&d->drafting, &w->slots, w->info.shape.n_vocab, err);
    return rc == OK && !(d->extra && d->n_steps && d->x)
               ? err_set(err, E_LAYOUT, "out of memory for %d drafts", w->slots.n)
               : rc;
}

static void drafter_free(struct draft_role *d)
{
    drafting_free(&d->drafting);
    free(d->extra);
    free(d->n_steps);
    free(d->x);
}

int drafter_serve(struct worker *w, struct err *err)
{
    struct draft_role d;
    int rc = drafter_init(&d, w, err);
    while (rc == OK && !w->quit) {
        int n_active = d.drafting.n_active;
        w->pulse.busy = n_active > 0;
        rc = take(&d, n_active ? 0 : UINT64_MAX, err);
        while (rc == OK && !w->quit) rc = take(&d, 0, err); /* all that is there, then a pass */
        if (rc == MAIL_NONE) rc = OK;
        if (rc == OK && !w->quit && d.drafting.n_active) rc = draft_pass(&d, err);
    }
    drafter_free(&d);
    return rc;
}
