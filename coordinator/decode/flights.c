#include "coordinator/decode/flights.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

int flights_init(struct flights *f, int room, int n_vocab, struct err *err)
{
    struct flight *list = calloc((size_t)room, sizeof *list);
    if (!list) return err_set(err, E_FAIL, "no memory for %d parts at once", room);
    *f = (struct flights){.n_vocab = n_vocab, .list = list, .room = (size_t)room};
    return OK;
}

void flights_free(struct flights *f)
{
    free(f->list);
    *f = (struct flights){0};
}

struct flight *flights_add(struct flights *f, struct part *part, uint64_t now_ns)
{
    assert(f->n < f->room);
    struct flight *flight = &f->list[f->n++];
    part->job = ++f->n_sent;
    *flight = (struct flight){.job = part->job,
                              .slot = part->slot,
                              .round = part->round,
                              .at = part->at,
                              .prefix_hash = part->prefix_hash,
                              .n_rows = part->n_rows,
                              .sent_ns = now_ns};
    for (size_t i = 0; i < part->n_rows; i++) {
        const struct row *row = &part->rows[i];
        if (!row->wanted) continue;
        flight->n_wanted++;
        flight->n_judging += row->n_judge;
        flight->n_top = row->n_top;
    }
    return flight;
}

static bool answers(const struct flight *a, const struct verdict *v)
{
    if (a->job != v->job || a->slot != v->slot || a->round != v->round) return false;
    if (v->at == a->at) return v->prefix_hash == a->prefix_hash;
    return a->may_be_late && v->status == VERDICT_OK && v->at > a->at && v->at - a->at < a->n_rows;
}

/* In order mostly: the first is the one. */
static struct flight *find(struct flights *f, const struct verdict *v)
{
    for (struct flight *a = f->list; a < f->list + f->n; a++)
        if (answers(a, v)) return a;
    return NULL;
}

size_t flight_n_skipped(const struct flight *f, const struct verdict *v)
{
    size_t n_rows = v->at - f->at, n_fed = f->n_rows - f->n_wanted;
    return n_rows > n_fed ? n_rows - n_fed : 0;
}

int flights_check_row(const struct flights *f, const struct verdict *v, size_t i, size_t n_judged, size_t n_top,
                      struct err *err)
{
    const struct verdict_row *row = &v->rows[i];
    if (row->n_judged != n_judged)
        return err_set(err, E_PEER, "a verdict for slot %u whose row %zu judges %zu ids", v->slot, i, row->n_judged);
    if (row->n_top > n_top || (n_top && !row->n_top)) /* fewer where the head has fewer: a plan may cut it */
        return err_set(err, E_PEER, "a verdict for slot %u with the %zu best ids, asked for %zu", v->slot, row->n_top,
                       n_top);
    bool bad = row->next >= f->n_vocab;
    for (size_t k = 0; k < row->n_top; k++) bad |= row->top[k].id >= f->n_vocab;
    return bad ? err_set(err, E_PEER, "a verdict for slot %u with an id outside the vocabulary of %d", v->slot,
                         f->n_vocab)
               : OK;
}

int flights_land(struct flights *f, const struct verdict *v, struct flight *out, struct err *err)
{
    struct flight *flight = find(f, v);
    if (!flight)
        return err_set(err, E_PEER, "a verdict for slot %u at %u (job %u, round %u), of which nothing was asked",
                       v->slot, v->at, v->job, v->round);
    size_t n_skipped = flight_n_skipped(flight, v), n_rows = v->status == VERDICT_OK ? flight->n_wanted - n_skipped : 0;
    bool fed_last = n_rows > 0 && flight->may_be_late && flight->n_judging == flight->n_wanted;
    if (fed_last && v->n_rows == n_rows + 1) n_rows++;
    if (v->n_rows != n_rows)
        return err_set(err, E_PEER, "a verdict for slot %u of %zu rows, expected %zu", v->slot, v->n_rows, n_rows);
    for (size_t i = 0; i < n_rows; i++) {
        int rc = flights_check_row(f, v, i, i + n_skipped < flight->n_judging, flight->n_top, err);
        if (rc != OK) return rc;
    }
    *out = *flight;
    memmove(flight, flight + 1, (size_t)(f->list + f->n - flight - 1) * sizeof *flight);
    f->n--;
    return OK;
}

int flights_of_slot(const struct flights *f, uint32_t slot)
{
    int n = 0;
    for (size_t i = 0; i < f->n; i++) n += f->list[i].slot == slot;
    return n;
}
