#include "coordinator/cli/trace.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/cli/pass_seen.h"

enum { COORDINATOR = 1, DRAFTER, VERIFIERS }; /* rows of a text */
enum { OUT_MOST = 256 };                      /* verifies without an answer */

struct out {
    uint32_t job; /* 0: free */
    int n_judged;
    int32_t judged[DRAFTS_MOST]; /* by the rows that are wanted, in order */
};

struct trace {
    FILE *to;
    const char *path; /* borrows */
    int n_texts, n_events;
    bool begun; /* a message of this text has come */
    uint64_t start_ns, verifier_rtt_ns, drafter_rtt_ns;
    struct out out[OUT_MOST];
    struct pass_seen last;
    uint32_t n_asked, n_answered; /* asks, which are answered in order */
};

int trace_open(struct trace **out, const char *path, struct err *err)
{
    struct trace *t = calloc(1, sizeof *t);
    if (!t) return err_set(err, E_FAIL, "out of memory");
    t->path = path;
    t->to = fopen(path, "w");
    if (!t->to) {
        free(t);
        return err_set(err, E_USAGE, "--trace %s: %s", path, strerror(errno));
    }
    fputs("{\"displayTimeUnit\": \"ms\", \"traceEvents\": [", t->to);
    *out = t;
    return OK;
}

int trace_close(struct trace *t, struct err *err)
{
    if (!t) return OK;
    fputs("\n]}\n", t->to);
    bool lost = ferror(t->to);
    lost |= fclose(t->to) != 0;
    int rc = lost ? err_set(err, E_FAIL, "--trace %s: %s", t->path, strerror(errno)) : OK;
    free(t);
    return rc;
}

/* ---- events ---- */

/* The front of every event. */
static void put(struct trace *t, const char *phase, const char *name, int row)
{
    fprintf(t->to, "%s\n{\"ph\": \"%s\", \"name\": \"%s\", \"pid\": %d, \"tid\": %d", t->n_events++ ? "," : "", phase,
            name, t->n_texts, row);
}

static double us(const struct trace *t, uint64_t ns)
{
    return ns > t->start_ns ? (double)(ns - t->start_ns) * 1e-3 : 0;
}

static void put_name(struct trace *t, const char *what, int row, const char *name)
{
    put(t, "M", what, row);
    fprintf(t->to, ", \"args\": {\"name\": \"%s\"}}", name);
}

/* On its way: phase b at its start, e at its end. */
static void put_way(struct trace *t, const char *phase, const char *name, uint32_t id, uint64_t now_ns, uint32_t at,
                    size_t n)
{
    put(t, phase, name, COORDINATOR);
    fprintf(t->to, ", \"cat\": \"%s\", \"id\": %u, \"ts\": %.3f, \"args\": {\"at\": %u, \"ids\": %zu}}", name, id,
            us(t, now_ns), at, n);
}

static void put_computing(struct trace *t, const char *name, int row, uint64_t end_ns, uint32_t took_us, uint32_t at,
                          size_t n)
{
    put(t, "X", name, row);
    fprintf(t->to, ", \"ts\": %.3f, \"dur\": %u, \"args\": {\"at\": %u, \"ids\": %zu}}",
            us(t, end_ns > took_us * 1000ull ? end_ns - took_us * 1000ull : 0), took_us, at, n);
}

static void put_rollback(struct trace *t, uint64_t now_ns, int n_right, int n)
{
    put(t, "i", "rollback", COORDINATOR);
    fprintf(t->to, ", \"s\": \"t\", \"ts\": %.3f, \"args\": {\"right\": %d, \"drafted\": %d}}", us(t, now_ns), n_right,
            n);
}

/* ---- messages ---- */

static struct out *find_out(struct trace *t, uint32_t job)
{
    for (struct out *o = t->out; o < t->out + OUT_MOST; o++)
        if (o->job == job) return o;
    return NULL;
}

static void take_verify(struct trace *t, uint64_t now_ns, const struct part *part)
{
    struct out *o = find_out(t, 0);
    put_way(t, "b", "verify", part->job, now_ns, part->at, part->n_rows);
    if (!o) return;
    o->job = part->job;
    o->n_judged = 0;
    for (size_t i = 0; i < part->n_rows && o->n_judged < DRAFTS_MOST; i++)
        if (part->rows[i].wanted && part->rows[i].n_judge) o->judged[o->n_judged++] = part->rows[i].judge[0];
}

static void compare(struct trace *t, uint64_t now_ns, const struct verdict *v, const int32_t *drafts, int n)
{
    int n_right = 0;
    while (n_right < n && (size_t)n_right < v->n_rows && v->rows[n_right].next == drafts[n_right]) n_right++;
    if (n_right < n) put_rollback(t, now_ns, n_right, n);
}

/* Job 0: the leader's own. */
static void take_verdict(struct trace *t, uint64_t now_ns, const struct verdict *v)
{
    struct out *o = v->job ? find_out(t, v->job) : NULL;
    if (v->job && !o) return; /* of a text before */
    if (o) put_way(t, "e", "verify", v->job, now_ns, v->at, v->n_rows);
    if (v->status == VERDICT_OK) {
        if (pass_is_new(&t->last, now_ns, v))
            put_computing(t, v->job ? "pass" : "pass, by itself", VERIFIERS, now_ns - t->verifier_rtt_ns / 2,
                          v->computed_us, v->at, v->n_rows);
        if (v->n_drafts) compare(t, now_ns, v, v->drafts, (int)v->n_drafts);
        if (o) compare(t, now_ns, v, o->judged, o->n_judged);
    } else if (v->status == VERDICT_LATE) {
        put_rollback(t, now_ns, 0, o ? o->n_judged : 0);
    }
    if (o) o->job = 0;
}

void trace_begin(struct trace *t, const char *name, uint64_t verifier_rtt_ns, uint64_t drafter_rtt_ns)
{
    t->n_texts++;
    t->begun = false;
    t->verifier_rtt_ns = verifier_rtt_ns;
    t->drafter_rtt_ns = drafter_rtt_ns;
    memset(t->out, 0, sizeof t->out);
    t->n_asked = t->n_answered = 0;
    t->last = (struct pass_seen){0};
    put_name(t, "process_name", 0, name);
    put_name(t, "thread_name", COORDINATOR, "coordinator");
    put_name(t, "thread_name", DRAFTER, "drafter");
    put_name(t, "thread_name", VERIFIERS, "verifiers");
}

void trace_message(struct trace *t, uint64_t now_ns, const struct message *m)
{
    if (!t->begun) t->start_ns = now_ns;
    t->begun = true;
    switch (m->tag) {
    case TAG_VERIFY: take_verify(t, now_ns, &m->verify); break;
    case TAG_VERDICT: take_verdict(t, now_ns, &m->verdict); break;
    case TAG_DRAFT_ASK: put_way(t, "b", "ask", ++t->n_asked, now_ns, m->ask.at, m->ask.n_ids); break;
    case TAG_DRAFT:
        if (m->draft.end != DRAFT_MORE && t->n_answered < t->n_asked)
            put_way(t, "e", "ask", ++t->n_answered, now_ns, m->draft.at, m->draft.n_rows);
        put_computing(t, "draft", DRAFTER, now_ns - t->drafter_rtt_ns / 2, m->draft.us, m->draft.at, m->draft.n_rows);
        break;
    default: break;
    }
}
