#include "coordinator/decode/unanswered.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>

int unanswered_init(struct unanswered *u, int room, int n_vocab, struct err *err)
{
    struct asked *list = calloc((size_t)room, sizeof *list);
    if (!list) return err_set(err, E_FAIL, "no memory for %d parts at once", room);
    *u = (struct unanswered){.n_vocab = n_vocab, .list = list, .room = (size_t)room};
    return OK;
}

void unanswered_free(struct unanswered *u)
{
    free(u->list);
    *u = (struct unanswered){0};
}

void unanswered_add(struct unanswered *u, const struct part *part)
{
    struct asked a = {
        .job = part->job, .slot = part->slot, .round = part->round, .at = part->at, .prefix_hash = part->prefix_hash};
    for (size_t i = 0; i < part->n_rows; i++) {
        const struct row *row = &part->rows[i];
        if (!row->wanted) continue;
        a.n_wanted++;
        a.n_judging += row->n_judge;
        a.n_top = row->n_top < (uint32_t)u->n_vocab ? row->n_top : (size_t)u->n_vocab;
    }
    assert(u->n < u->room);
    u->list[u->n++] = a;
}

/* In order mostly: the first is the one. */
static struct asked *find(struct unanswered *u, const struct verdict *v)
{
    for (size_t i = 0; i < u->n; i++) {
        struct asked *a = &u->list[i];
        if (a->job == v->job && a->slot == v->slot && a->round == v->round && a->at == v->at &&
            a->prefix_hash == v->prefix_hash)
            return a;
    }
    return NULL;
}

static int check_row(const struct unanswered *u, const struct asked *a, const struct verdict *v, size_t i,
                     struct err *err)
{
    const struct verdict_row *row = &v->rows[i];
    if (row->n_judged != (i < a->n_judging))
        return err_set(err, E_PEER, "a verdict for slot %u whose row %zu judges %zu ids", v->slot, i, row->n_judged);
    if (row->n_top != a->n_top)
        return err_set(err, E_PEER, "a verdict for slot %u with the %zu best ids, asked for %zu", v->slot, row->n_top,
                       a->n_top);
    bool bad = row->next >= u->n_vocab;
    for (size_t k = 0; k < row->n_top; k++) bad |= row->top[k].id >= u->n_vocab;
    return bad ? err_set(err, E_PEER, "a verdict for slot %u with an id outside the vocabulary of %d", v->slot,
                         u->n_vocab)
               : OK;
}

int unanswered_take(struct unanswered *u, const struct verdict *v, struct err *err)
{
    struct asked *a = find(u, v);
    if (!a)
        return err_set(err, E_PEER, "a verdict for slot %u at %u (job %u, round %u), of which nothing was asked",
                       v->slot, v->at, v->job, v->round);
    size_t n_rows = v->status == VERDICT_OK ? a->n_wanted : 0;
    if (v->n_rows != n_rows)
        return err_set(err, E_PEER, "a verdict for slot %u of %zu rows, expected %zu", v->slot, v->n_rows, n_rows);
    for (size_t i = 0; i < n_rows; i++) {
        int rc = check_row(u, a, v, i, err);
        if (rc != OK) return rc;
    }
    *a = u->list[--u->n];
    return OK;
}
