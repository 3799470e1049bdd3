#include "worker/roles/role_drafter.h"

#include <stdlib.h>
#include <string.h>

#include "kernels/math.h"
#include "proto/clock.h"

struct drafting { /* a slot's ask in work */
    bool active;
    uint32_t round, at, until; /* at: the first drafted position that was not sent */
    uint32_t block;            /* rows of a Draft that is not the last; 0: there is none */
    float p_min, p_joint_min;
    double chance; /* that all of the draft behind the ask's ids is right */
    struct sampler sampler;
    int n_fed;         /* ids of the slot whose KV rows are good; stays when the ask is done */
    float *p;          /* [n_ctx] owns; p[i]: probability of the drafted id at i */
    uint64_t start_us; /* of the ask, or of what comes after the last Draft */
    size_t n_end_ids;
    int32_t end_ids[OPEN_END_IDS_MOST];
    int last_position, n_ids; /* n_ids: of the vocabulary, which may be proposed */
    int n_extra_ids;
    int32_t
        extra_ids[MAX_EXTRA_IDS]; /* ids of the text past those that little may propose: it may propose them again */
};

struct draft_role {
    struct worker *w;
    struct drafting *slot; /* [n_slots] owns */
    struct draft_row *out; /* [n_ctx] owns */
    int n_active;
    float *x; /* [PASS_ROWS, n_embd] owns */
};

static int send_drafted(struct draft_role *d, uint32_t i_slot, enum draft_end end, struct err *err)
{
    struct drafting *g = &d->slot[i_slot];
    struct slot *s = &d->w->slots.slot[i_slot];
    uint32_t at = g->at;
    uint64_t now_us = clock_now_us(), start_us = g->start_us;
    size_t n = 0;
    for (int i = (int)at; i < s->len; i++) d->out[n++] = (struct draft_row){s->ids[i], g->p[i]};
    g->at = (uint32_t)s->len;
    g->start_us = now_us;
    struct message m = {.tag = TAG_DRAFT,
                        .draft = {.slot = i_slot,
                                  .round = g->round,
                                  .at = at,
                                  .prefix_hash = s->prefix_hash[at],
                                  .rows = d->out,
                                  .n_rows = n,
                                  .end = end,
                                  .held = (uint32_t)s->len,
                                  .us = (uint32_t)(now_us - start_us)}};
    return worker_post(d->w, PEER_COORDINATOR, &m, err);
}

static int finish(struct draft_role *d, uint32_t i_slot, enum draft_end end, struct err *err)
{
    d->slot[i_slot].active = false;
    d->n_active--;
    return send_drafted(d, i_slot, end, err);
}

/* The row at pos could not be computed: it is as if the ask had ended before. */
static int fail_ask(struct draft_role *d, uint32_t i_slot, uint32_t pos, struct err *err)
{
    struct drafting *g = &d->slot[i_slot];
    uint32_t held = pos < g->at ? pos : g->at;
    slots_cut(&d->w->slots, i_slot, held);
    g->n_fed = (int)held;
    return finish(d, i_slot, DRAFT_FAILED, err);
}

static int refuse(struct draft_role *d, const struct draft_ask *ask, enum draft_end end, struct err *err)
{
    struct message m = {.tag = TAG_DRAFT,
                        .draft = {.slot = ask->slot,
                                  .round = ask->round,
                                  .at = ask->at,
                                  .prefix_hash = ask->prefix_hash,
                                  .end = end,
                                  .held = slots_held(&d->w->slots, ask->slot)}};
    return worker_post(d->w, PEER_COORDINATOR, &m, err);
}

/* The ids join the slot. One that goes on with drafts of its own keeps those behind them. */
static void read_ask(struct draft_role *d, const struct draft_ask *ask)
{
    struct slots *slots = &d->w->slots;
    struct drafting *g = &d->slot[ask->slot];
    uint32_t from = ask->at + (uint32_t)ask->n_ids;
    bool same_round = ask->block && g->block && g->round == ask->round;
    g->chance = 1;
    if (!same_round || !slots_has(slots, ask->slot, ask->at, ask->ids, ask->n_ids)) {
        int kept = (int)ask->at + slots_apply(slots, ask->slot, ask->at, ask->ids, ask->n_ids);
        if (g->n_fed > kept) g->n_fed = kept;
    }
    g->at = slots_held(slots, ask->slot);
    for (uint32_t i = from; i < g->at; i++) g->chance *= (double)g->p[i];
}

static int take_ask(struct draft_role *d, const struct draft_ask *ask, struct err *err)
{
    struct worker *w = d->w;
    enum draft_end end;
    int rc = slots_check_ask(&w->slots, ask, w->info.shape.n_vocab, &end, err);
    if (rc != OK) return rc;
    if (ask->slot < (uint32_t)w->slots.n && d->slot[ask->slot].active) { /* every ask is answered exactly once */
        rc = finish(d, ask->slot, DRAFT_WINDOW, err);
        if (rc != OK) return rc;
    }
    if (end != DRAFT_WINDOW) return refuse(d, ask, end, err);
    struct drafting *g = &d->slot[ask->slot];
    read_ask(d, ask);
    g->active = true;
    d->n_active++;
    g->round = ask->round;
    g->block = ask->block;
    g->until = ask->until < (uint32_t)w->slots.n_ctx ? ask->until : (uint32_t)w->slots.n_ctx;
    if (g->until > (uint32_t)g->last_position) g->until = (uint32_t)g->last_position;
    g->p_min = ask->p_min;
    g->p_joint_min = ask->p_joint_min;
    g->sampler = ask->sampler;
    g->start_us = clock_now_us();
    return OK;
}

static int limit_of(const struct draft_role *d, int n_ids)
{
    int n_vocab = d->w->info.shape.n_vocab;
    return n_ids > 0 && n_ids < n_vocab ? n_ids : n_vocab;
}

static int take_open(struct draft_role *d, const struct open_slot *open, struct err *err)
{
    if (open->slot >= (uint32_t)d->w->slots.n || open->n_end_ids > OPEN_END_IDS_MOST)
        return err_set(err, E_PEER, "an Open of slot %u with %zu end ids", open->slot, open->n_end_ids);
    struct drafting *g = &d->slot[open->slot];
    g->n_end_ids = open->n_end_ids;
    if (open->n_end_ids) memcpy(g->end_ids, open->end_ids, open->n_end_ids * sizeof *open->end_ids);
    g->last_position = (int)open->last_position;
    g->n_ids = limit_of(d, (int)open->n_ids);
    return OK;
}

/* What is drafted of the ask is its answer. */
static int take_cut(struct draft_role *d, const struct cut *cut, struct err *err)
{
    if (cut->slot >= (uint32_t)d->w->slots.n) return err_set(err, E_PEER, "a Cut of slot %u", cut->slot);
    const struct drafting *g = &d->slot[cut->slot];
    return g->active && g->round == cut->round ? finish(d, cut->slot, DRAFT_WINDOW, err) : OK;
}

/* One message. MAIL_NONE: there was none. */
static int take(struct draft_role *d, uint64_t wait_us, struct err *err)
{
    struct message m;
    int rc = worker_next(d->w, &d->w->in, wait_us, &m, err);
    if (rc != OK || d->w->quit) return rc;
    if (m.tag == TAG_OPEN) return take_open(d, &m.open, err);
    if (m.tag == TAG_CUT) return take_cut(d, &m.cut, err);
    if (m.tag == TAG_DRAFT_ASK) return take_ask(d, &m.ask, err);
    return err_set(err, E_PEER, "peer %d: an unexpected %s", d->w->config->peer, wire_tags[m.tag].name);
}

static bool is_end(const struct drafting *g, int32_t id)
{
    for (size_t i = 0; i < g->n_end_ids; i++)
        if (g->end_ids[i] == id) return true;
    return false;
}

/* A drafted id joins the history, or ends the draft. */
static int take_drafted(struct draft_role *d, uint32_t i_slot, const struct verdict_row *answer, struct err *err)
{
    struct drafting *g = &d->slot[i_slot];
    struct slot *s = &d->w->slots.slot[i_slot];
    float p = (float)math_exp((double)answer->top[0].lp);
    if (p < g->p_min) return finish(d, i_slot, DRAFT_LOW, err);
    g->p[s->len] = p;
    slots_apply(&d->w->slots, i_slot, (uint32_t)s->len, &answer->next, 1);
    g->chance *= (double)p;
    if (is_end(g, answer->next)) return finish(d, i_slot, DRAFT_EOS, err);
    if (g->chance < (double)g->p_joint_min) return finish(d, i_slot, DRAFT_JOINT_LOW, err);
    if ((uint32_t)s->len >= g->until) return finish(d, i_slot, DRAFT_WINDOW, err);
    bool is_block = g->block && (uint32_t)s->len - g->at >= g->block;
    return is_block ? send_drafted(d, i_slot, DRAFT_MORE, err) : OK;
}

/* The newest ids of the slot's text that are at or past its limit, each once. */
static void note_more(struct drafting *g, const struct slot *s)
{
    g->n_extra_ids = 0;
    for (int i = s->len; i-- > 0 && g->n_extra_ids < MAX_EXTRA_IDS;) {
        if (s->ids[i] < g->n_ids) continue;
        int k = 0;
        while (k < g->n_extra_ids && g->extra_ids[k] != s->ids[i]) k++;
        if (k == g->n_extra_ids) g->extra_ids[g->n_extra_ids++] = s->ids[i];
    }
}

/* Every active slot feeds what it has not fed, as room allows; one that is through gets its next id. */
static int draft_pass(struct draft_role *d, struct err *err)
{
    static const struct row plain = {.wanted = false}, asks = {.wanted = true, .n_top = 1};
    struct worker *w = d->w;
    struct engine_row rows[PASS_ROWS];
    int32_t ids[PASS_ROWS];
    uint32_t answered[PASS_ROWS];
    int n_rows = 0, n_answered = 0;
    for (uint32_t i = 0; i < (uint32_t)w->slots.n; i++) {
        struct drafting *g = &d->slot[i];
        struct slot *s = &w->slots.slot[i];
        if (!g->active) continue;
        bool wants = g->until > (uint32_t)s->len;
        if (wants && g->n_fed == s->len) g->n_fed--; /* its answer was not asked for when it was fed */
        while (g->n_fed < s->len && n_rows < PASS_ROWS) {
            bool asked = wants && g->n_fed + 1 == s->len;
            if (asked) answered[n_answered++] = i;
            ids[n_rows] = s->ids[g->n_fed];
            rows[n_rows] = (struct engine_row){(int)i, g->n_fed++, asked ? &asks : &plain, &g->sampler, 0, NULL, 0};
            if (asked) {
                note_more(g, s);
                rows[n_rows].n_ids = g->n_ids;
                rows[n_rows].extra_ids = g->extra_ids;
                rows[n_rows].n_extra_ids = g->n_extra_ids;
            }
            n_rows++;
        }
    }
    const struct verdict_row *answers = NULL;
    int rc = OK;
    if (n_rows) {
        engine_embed(w->engine, ids, n_rows, d->x);
        worker_begin_pass(w);
        rc = engine_pass(w->engine, rows, n_rows, d->x, &answers, err);
        worker_end_pass(w);
        for (int i = 0; i < n_rows && rc == OK; i++) {
            struct err why; /* not reported: the text does not need this draft */
            if (d->slot[rows[i].slot].active && engine_row_error(w->engine, i, &why) != OK)
                rc = fail_ask(d, (uint32_t)rows[i].slot, (uint32_t)rows[i].pos, err);
        }
    }
    for (int i = 0; i < n_answered && rc == OK; i++)
        if (d->slot[answered[i]].active) rc = take_drafted(d, answered[i], &answers[i], err);
    for (uint32_t i = 0; i < (uint32_t)w->slots.n && rc == OK; i++) { /* asks that only read */
        struct drafting *g = &d->slot[i];
        if (g->active && g->n_fed == w->slots.slot[i].len && g->until <= (uint32_t)w->slots.slot[i].len)
            rc = finish(d, i, DRAFT_WINDOW, err);
    }
    return rc;
}

static int drafter_init(struct draft_role *d, struct worker *w, struct err *err)
{
    *d = (struct draft_role){.w = w};
    size_t n_ctx = (size_t)w->slots.n_ctx;
    bool ok = (d->slot = calloc((size_t)w->slots.n, sizeof *d->slot)) && (d->out = calloc(n_ctx, sizeof *d->out));
    if (ok) ok = (d->x = calloc((size_t)PASS_ROWS * (size_t)w->info.shape.n_embd, sizeof *d->x));
    for (int i = 0; ok && i < w->slots.n; i++) {
        d->slot[i].last_position = w->slots.n_ctx;
        d->slot[i].n_ids = limit_of(d, 0);
        ok = (d->slot[i].p = calloc(n_ctx, sizeof *d->slot[i].p));
    }
    return ok ? OK : err_set(err, E_LAYOUT, "out of memory for %d drafts", w->slots.n);
}

static void drafter_free(struct draft_role *d)
{
    for (int i = 0; d->slot && i < d->w->slots.n; i++) free(d->slot[i].p);
    free(d->slot);
    free(d->out);
    free(d->x);
}

int drafter_serve(struct worker *w, struct err *err)
{
    struct draft_role d;
    int rc = drafter_init(&d, w, err);
    while (rc == OK && !w->quit) {
        w->pulse.busy = d.n_active > 0;
        rc = take(&d, d.n_active ? 0 : UINT64_MAX, err);
        while (rc == OK && !w->quit) rc = take(&d, 0, err); /* all that is there, then a pass */
        if (rc == MAIL_NONE) rc = OK;
        if (rc == OK && !w->quit && d.n_active) rc = draft_pass(&d, err);
    }
    drafter_free(&d);
    return rc;
}
