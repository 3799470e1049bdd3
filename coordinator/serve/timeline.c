#include "coordinator/serve/timeline.h"

#include "coordinator/text/json_text.h"

static void add(struct timeline *t, enum span_kind kind, uint64_t from_ns, uint64_t to_ns, size_t n_rows)
{
    if (t->n < SPANS_MOST) t->spans[t->n++] = (struct span){kind, from_ns, to_ns, (int)n_rows};
}

static void add_computed(struct timeline *t, enum span_kind kind, uint64_t now_ns, uint32_t took_us, size_t n_rows)
{
    uint64_t took_ns = took_us * 1000ull;
    add(t, kind, now_ns > took_ns ? now_ns - took_ns : 0, now_ns, n_rows);
}

static struct flight_seen *flight_of(struct timeline *t, int group, uint32_t job)
{
    return &t->flights[group][job % FLIGHTS_MOST];
}

/* Job 0: of the leader's own, which nothing was sent for. */
static void take_verdict(struct timeline *t, int group, const struct verdict *v, uint64_t now_ns)
{
    struct flight_seen *f = flight_of(t, group, v->job);
    if (v->job && f->sent_ns && f->job == v->job) {
        add(t, SPAN_FLIGHT, f->sent_ns, now_ns, (size_t)f->n_rows);
        f->sent_ns = 0;
    }
    if (pass_is_new(&t->last[group], now_ns, v)) add_computed(t, SPAN_VERIFY, now_ns, v->computed_us, v->pass_rows);
}

void timeline_message(struct timeline *t, int group, const struct message *m, uint64_t now_ns)
{
    if (m->tag == TAG_DRAFT && m->draft.n_rows)
        add_computed(t, SPAN_DRAFT, now_ns, m->draft.us, m->draft.n_rows);
    else if (m->tag == TAG_VERIFY && group >= 0)
        *flight_of(t, group, m->verify.job) = (struct flight_seen){(int)m->verify.n_rows, m->verify.job, now_ns};
    else if (m->tag == TAG_VERDICT && group >= 0)
        take_verdict(t, group, &m->verdict, now_ns);
}

static double ms_before(uint64_t now_ns, uint64_t ns)
{
    return (double)(now_ns - ns) * 1e-6;
}

json_t *timeline_take(struct timeline *t, uint64_t now_ns)
{
    static const char *const names[] = {[SPAN_DRAFT] = "draft", [SPAN_FLIGHT] = "flight", [SPAN_VERIFY] = "verify"};
    json_t *list = json_array();
    int lost = 0;
    for (const struct span *s = t->spans; s < t->spans + t->n; s++)
        lost |= json_array_append_new(list, json_pack("[sffi]", names[s->kind], ms_before(now_ns, s->from_ns),
                                                      ms_before(now_ns, s->to_ns), s->n_rows));
    t->n = 0;
    return json_unless(lost, list);
}
