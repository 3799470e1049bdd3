#include "coordinator/decode/score.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/decode/flights.h"
#include "proto/prefix_hash.h"

struct window {
    int index;             /* -1: the slot is free */
    int fed;               /* rows sent */
    uint64_t *prefix_hash; /* [window + 1] owns */
};

struct score {
    struct score_config c;
    int n_windows, n_started, n_done;
    float *lp;            /* [n_windows, window - n_before] owns */
    int32_t *own_ids;     /* likewise */
    struct window *slots; /* [n_slots] owns */
    struct row *rows;     /* [n_slots, window] owns */
    struct message *out;  /* [max_jobs] owns */
    int n_out;
    struct flights flights;
};

int score_open(struct score **out, const struct score_config *config, struct err *err)
{
    const struct score_config *c = config;
    struct score *s = calloc(1, sizeof *s);
    if (!s) return err_set(err, E_FAIL, "out of memory");
    *s = (struct score){.c = *c, .n_windows = c->n_ids / c->window};
    size_t n_slots = (size_t)c->n_slots, n_jobs = (size_t)c->max_jobs, window = (size_t)c->window;
    s->lp = calloc((size_t)s->n_windows * (window - (size_t)c->n_before), sizeof *s->lp);
    s->own_ids = calloc((size_t)s->n_windows * (window - (size_t)c->n_before), sizeof *s->own_ids);
    s->slots = calloc(n_slots, sizeof *s->slots);
    s->rows = calloc(n_slots * window, sizeof *s->rows);
    s->out = calloc(n_jobs, sizeof *s->out);
    bool ok = s->lp && s->own_ids && s->slots && s->rows && s->out &&
              flights_init(&s->flights, c->max_jobs, c->n_vocab, err) == OK;
    for (int i = 0; ok && i < c->n_slots; i++) {
        s->slots[i].index = -1;
        ok = (s->slots[i].prefix_hash = calloc(window + 1, sizeof *s->slots[i].prefix_hash));
    }
    if (!ok) {
        score_close(s);
        return err_set(err, E_FAIL, "no memory to score %d tokens", c->n_ids);
    }
    *out = s;
    return OK;
}

void score_close(struct score *s)
{
    if (!s) return;
    for (int i = 0; s->slots && i < s->c.n_slots; i++) free(s->slots[i].prefix_hash);
    free(s->slots);
    free(s->lp);
    free(s->own_ids);
    free(s->rows);
    free(s->out);
    flights_free(&s->flights);
    free(s);
}

static const int32_t *ids_of(const struct score *s, const struct window *w)
{
    return s->c.ids + (size_t)w->index * (size_t)s->c.window;
}

static void start(struct score *s, struct window *w)
{
    w->index = s->n_started++;
    w->fed = 0;
    w->prefix_hash[0] = s->c.root;
    for (int i = 0; i < s->c.window; i++) w->prefix_hash[i + 1] = prefix_hash_next(w->prefix_hash[i], ids_of(s, w)[i]);
}

/* The last id of a window has nothing after it, and is not fed. */
static void post_part(struct score *s, struct window *w)
{
    int slot = (int)(w - s->slots), at = w->fed, left = s->c.window - 1 - at;
    int n = left < s->c.max_rows ? left : s->c.max_rows;
    struct row *rows = s->rows + (size_t)slot * (size_t)s->c.window + at;
    const int32_t *ids = ids_of(s, w);
    for (int i = 0; i < n; i++) {
        bool wanted = at + i + 1 >= s->c.n_before;
        rows[i] = (struct row){.id = ids[at + i], .wanted = wanted, .judge = &ids[at + i + 1], .n_judge = wanted};
    }
    struct part part = {.slot = (uint32_t)slot,
                        .round = (uint32_t)w->index,
                        .at = (uint32_t)at,
                        .prefix_hash = w->prefix_hash[at],
                        .rows = rows,
                        .n_rows = (size_t)n,
                        .plan = s->c.plan};
    flights_add(&s->flights, &part, 0);
    s->out[s->n_out++] = (struct message){.tag = TAG_VERIFY, .verify = part};
    w->fed += n;
}

static int take(struct score *s, const struct verdict *v, struct err *err)
{
    struct flight f;
    int rc = flights_land(&s->flights, v, &f, err);
    if (rc != OK) return rc;
    if (v->status == VERDICT_FAILED) return err_set(err, E_MODEL, "%s", v->error);
    if (v->status != VERDICT_OK)
        return err_set(err, E_PEER, "the verifier refuses slot %u at %u (status %d, holds %u)", v->slot, v->at,
                       v->status, v->held);
    struct window *w = &s->slots[v->slot];
    int first = (int)v->at + 1 > s->c.n_before ? (int)v->at + 1 : s->c.n_before; /* the first id judged */
    size_t at = (size_t)w->index * (size_t)(s->c.window - s->c.n_before) + (size_t)(first - s->c.n_before);
    for (size_t i = 0; i < v->n_rows; i++) {
        if (isinf(v->rows[i].lp_judged[0]))
            return err_set(err, E_MODEL, "the text has id %d, which the plan's head has not: no perplexity",
                           s->c.ids[w->index * s->c.window + first + (int)i]);
        s->lp[at + i] = v->rows[i].lp_judged[0];
        s->own_ids[at + i] = v->rows[i].next;
    }
    if (w->fed == s->c.window - 1 && flights_of_slot(&s->flights, v->slot) == 0) {
        w->index = -1;
        s->n_done++;
    }
    return OK;
}

int score_step(struct score *s, const struct verdict *verdict, const struct message **messages, int *n_messages,
               struct err *err)
{
    int rc = verdict ? take(s, verdict, err) : OK, most = s->c.max_jobs / s->c.n_slots;
    s->n_out = 0;
    for (int i = 0; rc == OK && i < s->c.n_slots; i++) {
        struct window *w = &s->slots[i];
        if (w->index < 0 && s->n_started < s->n_windows) start(s, w);
        while (w->index >= 0 && w->fed < s->c.window - 1 && flights_of_slot(&s->flights, (uint32_t)i) < most)
            post_part(s, w);
    }
    *messages = s->out;
    *n_messages = s->n_out;
    return rc;
}

int score_n_windows(const struct score *s)
{
    return s->n_windows;
}

int score_n_done(const struct score *s)
{
    return s->n_done;
}

static int n_scored(const struct score *s)
{
    return s->n_windows * (s->c.window - s->c.n_before);
}

const int32_t *score_own_ids(const struct score *s)
{
    return s->own_ids;
}

double score_agreement(const struct score *s, const int32_t *ids)
{
    int n_same = 0, n = n_scored(s);
    for (int i = 0; i < n; i++) n_same += s->own_ids[i] == ids[i];
    return (double)n_same / n;
}

void score_sum(const struct score *s, int *n, double *sum, double *sum_of_squares)
{
    *n = n_scored(s);
    *sum = *sum_of_squares = 0;
    for (int i = 0; i < *n; i++) {
        *sum += (double)s->lp[i];
        *sum_of_squares += (double)s->lp[i] * (double)s->lp[i];
    }
}
