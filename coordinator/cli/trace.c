#include "coordinator/cli/trace.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "coordinator/cli/pass_seen.h"
#include "proto/layout.h"

enum { COORDINATOR = 1, WORKERS }; /* rows of a page; from WORKERS on one for each drafter, then for each group */
enum { OUT_MOST = 1024, ASK_SLOTS = GROUPS_MOST * SLOTS_MOST + DRAFTERS_MOST };
enum { SAVE_NS = 100000000, SAVE_BYTES = 1 << 16 }; /* events are kept so long, and so many of them */

static const char file_end[] = "\n]}\n";
static const struct rule exact = {RULE_EXACT, 0};

struct out {
    uint32_t job, slot, at; /* job 0: free */
    int group;
    size_t n_rows, n_wanted;
    double sent_us;
    struct rule rule;
    int n_judged;
    int32_t judged[DRAFTS_MOST]; /* by the rows that are wanted, in order */
};

struct asks { /* of a slot: they are answered in order */
    uint32_t n_asked, n_answered;
};

struct trace {
    FILE *to;   /* in memory: the events since the last save */
    char *text; /* owns: of `to` */
    size_t n_text;
    int fd;
    bool seekable;
    off_t saved;      /* bytes of the file, without its end */
    uint64_t save_ns; /* when the next save is due */
    int failed;       /* the errno of the first save that did; 0: none has */
    const char *path; /* borrows */
    int n_pages, n_events;
    int n_drafters; /* rows for them; at least 1 */
    bool begun;     /* a message of this page has come */
    uint64_t start_ns, now_ns;
    struct out out[OUT_MOST];
    struct asks asks[ASK_SLOTS];
    struct pass_seen last[GROUPS_MOST];
    double free_us[WORKERS + DRAFTERS_MOST + GROUPS_MOST]; /* of each row: the end of what it computed last */
};

static void trace_free(struct trace *t)
{
    fclose(t->to);
    free(t->text);
    free(t);
}

/* The events since the last time, and behind them the file's end, which the next ones overwrite: so the file is whole
 * whenever the process is killed. A pipe gets its end only at the last. */
static void save(struct trace *t, bool is_last)
{
    size_t n_end = t->seekable || is_last ? strlen(file_end) : 0;
    fputs(n_end ? file_end : "", t->to);
    if (fflush(t->to) != 0 || ferror(t->to)) t->failed = ENOMEM;
    for (size_t done = 0; done < t->n_text && !t->failed;) {
        const char *from = t->text + done;
        size_t n_left = t->n_text - done;
        ssize_t n = t->seekable ? pwrite(t->fd, from, n_left, t->saved + (off_t)done) : write(t->fd, from, n_left);
        if (n < 0 && errno != EINTR) t->failed = errno;
        if (n > 0) done += (size_t)n;
    }
    t->saved += (off_t)t->n_text - (off_t)n_end;
    rewind(t->to);
}

int trace_open(struct trace **out, const char *path, struct err *err)
{
    struct trace *t = calloc(1, sizeof *t);
    if (!t || !(t->to = open_memstream(&t->text, &t->n_text))) {
        free(t);
        return err_set(err, E_FAIL, "out of memory");
    }
    t->path = path;
    t->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (t->fd < 0) {
        err_set(err, E_USAGE, "--trace %s: %s", path, strerror(errno));
        trace_free(t);
        return E_USAGE;
    }
    t->seekable = lseek(t->fd, 0, SEEK_CUR) == 0;
    fputs("{\"displayTimeUnit\": \"ms\", \"traceEvents\": [", t->to);
    *out = t;
    return OK;
}

/* ---- events ---- */

/* The front of every event. */
static void put(struct trace *t, const char *phase, const char *name, int row)
{
    fprintf(t->to, "%s\n{\"ph\": \"%s\", \"name\": \"%s\", \"pid\": %d, \"tid\": %d", t->n_events++ ? "," : "", phase,
            name, t->n_pages, row);
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

struct way { /* of a message and its answer */
    const char *name;
    int group;
    uint32_t id;
};

/* phase b: it begins; e: it ends. inside: a part of it, NULL: all. */
static void put_way(struct trace *t, const char *phase, const struct way *w, const char *inside, double at_us)
{
    put(t, phase, inside ? inside : w->name, COORDINATOR);
    fprintf(t->to, ", \"cat\": \"%s\", \"id\": \"%d.%u\", \"ts\": %.3f", w->name, w->group, w->id, at_us);
}

static void put_ids(struct trace *t, uint32_t slot, uint32_t at, size_t n)
{
    fprintf(t->to, ", \"args\": {\"slot\": %u, \"at\": %u, \"ids\": %zu}}", slot, at, n);
}

/* Of a worker. */
static int row_of(const struct trace *t, const struct trace_link *link)
{
    return WORKERS + (link->group < 0 ? link->drafter : t->n_drafters + link->group);
}

static void put_computing(struct trace *t, const char *name, int row, uint64_t end_ns, uint32_t took_us)
{
    double end = us(t, end_ns), start = end > took_us ? end - took_us : 0;
    if (start < t->free_us[row]) start = t->free_us[row];
    if (end < start) end = start;
    t->free_us[row] = end;
    put(t, "X", name, row);
    fprintf(t->to, ", \"ts\": %.3f, \"dur\": %.3f", start, end - start);
}

static void put_rollback(struct trace *t, uint32_t slot, int n_right, int n)
{
    put(t, "i", "rollback", COORDINATOR);
    fprintf(t->to, ", \"s\": \"t\", \"ts\": %.3f, \"args\": {\"slot\": %u, \"right\": %d, \"drafted\": %d}}",
            us(t, t->now_ns), slot, n_right, n);
}

/* ---- verifies ---- */

static struct out *find_out(struct trace *t, int group, uint32_t job)
{
    for (struct out *o = t->out; o < t->out + OUT_MOST; o++)
        if (o->job == job && (!job || o->group == group)) return o;
    return NULL;
}

static void end_verify(struct trace *t, struct out *o, size_t n_ids)
{
    put_way(t, "e", &(struct way){"verify", o->group, o->job}, NULL, us(t, t->now_ns));
    put_ids(t, o->slot, o->at, n_ids);
    o->job = 0;
}

static void end_page(struct trace *t)
{
    for (struct out *o = t->out; o < t->out + OUT_MOST; o++)
        if (o->job) end_verify(t, o, 0);
    for (uint32_t slot = 0; slot < ASK_SLOTS; slot++)
        while (t->asks[slot].n_answered < t->asks[slot].n_asked) {
            uint32_t id = slot + ASK_SLOTS * ++t->asks[slot].n_answered;
            put_way(t, "e", &(struct way){"ask", 0, id}, NULL, us(t, t->now_ns));
            put_ids(t, slot, 0, 0);
        }
}

static void take_verify(struct trace *t, const struct trace_link *link, const struct part *part)
{
    struct out *o = find_out(t, 0, 0);
    if (!o) return;
    *o = (struct out){.job = part->job,
                      .slot = part->slot,
                      .at = part->at,
                      .group = link->group,
                      .n_rows = part->n_rows,
                      .sent_us = us(t, t->now_ns),
                      .rule = link->rule ? *link->rule : exact};
    for (size_t i = 0; i < part->n_rows; i++) {
        o->n_wanted += part->rows[i].wanted;
        if (part->rows[i].wanted && part->rows[i].n_judge && o->n_judged < DRAFTS_MOST)
            o->judged[o->n_judged++] = part->rows[i].judge[0];
    }
    put_way(t, "b", &(struct way){"verify", o->group, o->job}, NULL, o->sent_us);
    put_ids(t, o->slot, o->at, o->n_rows);
}

/* Not checked yet: a row may judge nothing. */
static void compare(struct trace *t, const struct rule *rule, const struct verdict *v, const int32_t *drafts, int n)
{
    int n_rows = 0;
    while (n_rows < n && (size_t)n_rows < v->n_rows && v->rows[n_rows].n_judged > 0) n_rows++;
    int n_right = (int)rule_first_bad(rule, v->rows, drafts, (size_t)n_rows);
    if (n_right < n_rows) put_rollback(t, v->slot, n_right, n);
}

/* Of the wanted rows, those that the leader had written by itself. */
static int n_skipped(const struct out *o, const struct verdict *v)
{
    size_t n = v->at > o->at ? v->at - o->at : 0, n_fed = o->n_rows - o->n_wanted;
    return n > n_fed ? (int)(n - n_fed) : 0;
}

static void put_pass(struct trace *t, const struct trace_link *link, const struct verdict *v)
{
    put_computing(t, v->job ? "pass" : "pass, by itself", row_of(t, link), t->now_ns - link->rtt_ns / 2,
                  v->computed_us);
    fprintf(t->to, ", \"args\": {\"slot\": %u, \"at\": %u, \"rows\": %u, \"computed_us\": %u}}", v->slot, v->at,
            v->pass_rows, v->computed_us);
}

/* Between its arrival and the pass, and not before it was sent, however long a busy worker's Pong took. */
static void put_queued(struct trace *t, const struct trace_link *link, const struct out *o, const struct verdict *v)
{
    uint64_t back_us = link->rtt_ns / 2000 + v->computed_us;
    double end = us(t, t->now_ns - (t->now_ns > back_us * 1000 ? back_us * 1000 : t->now_ns));
    const struct way w = {"verify", link->group, v->job};
    double start = end - v->queued_us;
    if (!v->queued_us || start < 0) return;
    if (start < o->sent_us) start = o->sent_us;
    if (end < start) end = start;
    put_way(t, "b", &w, "queued", start);
    fputc('}', t->to);
    put_way(t, "e", &w, "queued", end);
    fputc('}', t->to);
}

/* Job 0: the leader's own, which judge what it drafted. */
static void take_verdict(struct trace *t, const struct trace_link *link, const struct verdict *v)
{
    struct out *o = v->job ? find_out(t, link->group, v->job) : NULL;
    if (v->job && !o) return; /* of a page before */
    if (v->status == VERDICT_OK) {
        if (pass_is_new(&t->last[link->group], t->now_ns, v)) put_pass(t, link, v);
        if (o) put_queued(t, link, o, v);
        if (!o) compare(t, &exact, v, v->drafts, (int)v->n_drafts);
        int n = o ? n_skipped(o, v) : 0;
        if (o && n < o->n_judged) compare(t, &o->rule, v, o->judged + n, o->n_judged - n);
    } else if (v->status == VERDICT_LATE) {
        put_rollback(t, v->slot, 0, o ? o->n_judged : 0);
    }
    if (o) end_verify(t, o, v->n_rows);
}

/* ---- drafts ---- */

/* Each drafter numbers its slots from 0 on, and so does each leader that drafts. */
static struct asks *asks_of(struct trace *t, const struct trace_link *link, uint32_t slot, uint32_t *i)
{
    if (link->group < 0)
        *i = slot * (uint32_t)t->n_drafters + (uint32_t)link->drafter;
    else
        *i = (uint32_t)link->group * SLOTS_MOST + slot;
    return *i < ASK_SLOTS ? &t->asks[*i] : NULL;
}

static void take_ask(struct trace *t, const struct trace_link *link, const struct draft_ask *ask)
{
    uint32_t i;
    struct asks *a = asks_of(t, link, ask->slot, &i);
    if (!a) return;
    put_way(t, "b", &(struct way){"ask", 0, i + ASK_SLOTS * ++a->n_asked}, NULL, us(t, t->now_ns));
    put_ids(t, ask->slot, ask->at, ask->n_ids);
}

/* A leader drafts in its own row. */
static void take_draft(struct trace *t, const struct trace_link *link, const struct draft *d)
{
    uint32_t i;
    struct asks *a = asks_of(t, link, d->slot, &i);
    if (!a || a->n_answered == a->n_asked) return;
    put_computing(t, "draft", row_of(t, link), t->now_ns - link->rtt_ns / 2, d->us);
    put_ids(t, d->slot, d->at, d->n_rows);
    if (d->end == DRAFT_MORE) return;
    put_way(t, "e", &(struct way){"ask", 0, i + ASK_SLOTS * ++a->n_answered}, NULL, us(t, t->now_ns));
    put_ids(t, d->slot, d->at, d->n_rows);
}

/* ---- pages ---- */

void trace_begin(struct trace *t, const char *name, int n_drafters, int n_groups)
{
    char row[32];
    end_page(t);
    t->n_pages++;
    t->n_drafters = n_drafters > 1 ? n_drafters : 1;
    t->begun = false;
    memset(t->out, 0, sizeof t->out);
    memset(t->asks, 0, sizeof t->asks);
    memset(t->last, 0, sizeof t->last);
    memset(t->free_us, 0, sizeof t->free_us);
    put_name(t, "process_name", 0, name);
    put_name(t, "thread_name", COORDINATOR, "coordinator");
    for (int i = 0; i < t->n_drafters; i++) {
        snprintf(row, sizeof row, t->n_drafters > 1 ? "drafter %d" : "drafter", i + 1);
        put_name(t, "thread_name", WORKERS + i, row);
    }
    for (int i = 0; i < n_groups; i++) {
        snprintf(row, sizeof row, n_groups > 1 ? "verifiers, group %d" : "verifiers", i + 1);
        put_name(t, "thread_name", WORKERS + t->n_drafters + i, row);
    }
    save(t, false);
}

void trace_message(struct trace *t, uint64_t now_ns, const struct trace_link *link, const struct message *m)
{
    if (!t->begun) t->start_ns = now_ns;
    t->begun = true;
    t->now_ns = now_ns;
    switch (m->tag) {
    case TAG_VERIFY: take_verify(t, link, &m->verify); break;
    case TAG_VERDICT:
        if (link->group >= 0) take_verdict(t, link, &m->verdict);
        break;
    case TAG_DRAFT_ASK: take_ask(t, link, &m->ask); break;
    case TAG_DRAFT: take_draft(t, link, &m->draft); break;
    default: break;
    }
    if (now_ns >= t->save_ns || ftello(t->to) >= SAVE_BYTES) {
        save(t, false);
        t->save_ns = now_ns + SAVE_NS;
    }
}

int trace_close(struct trace *t, struct err *err)
{
    if (!t) return OK;
    end_page(t);
    save(t, true);
    if (close(t->fd) != 0 && !t->failed) t->failed = errno;
    int rc = t->failed ? err_set(err, E_FAIL, "--trace %s: %s", t->path, strerror(t->failed)) : OK;
    trace_free(t);
    return rc;
}
