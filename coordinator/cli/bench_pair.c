#include "coordinator/cli/bench_pair.h"

#include <errno.h>
#include <string.h>

#include "coordinator/cli/marks.h"
#include "coordinator/cli/output.h"
#include "coordinator/text/json_text.h"
#include "coordinator/cli/stats.h"
#include "proto/clock.h"
#include "proto/show.h"

enum way { PLAIN, DRAFTS, N_WAYS };

struct cost {
    double whole, first; /* seconds: of requests, and until their first token */
    struct stats stats;
};

struct bench {
    struct runtime s;
    struct prompts prompts;
    struct cost total[N_WAYS];
    int n_failed;
    struct err why; /* of the first that failed */
};

/* n turns, of which seq is the last. */
static void add(struct cost *c, const struct cost *turns, int n, const struct seq *s)
{
    c->whole += turns->whole / n;
    c->first += turns->first / n;
    stats_add(&c->stats, s);
}

/* ---- what is printed ---- */

static void put_head(void)
{
    printf("%-16s %7s %8s %8s %6s %6s %6s %9s %14s     token/s, whole requests\n", "prompt", "tokens", "plain",
           "drafts", "ratio", "decode", "first", "accepted", "tokens/verify");
}

static int put_row(const char *name, const struct cost cost[N_WAYS], struct err *err)
{
    const struct cost *plain = &cost[PLAIN], *drafts = &cost[DRAFTS];
    const struct stats *s = &drafts->stats;
    printf("%-16.16s %7llu %8.2f %8.2f %6.2f %6.2f %6.2f %8.0f%% %14.2f\n", name, (unsigned long long)s->n_tokens,
           stats_ratio((double)plain->stats.n_tokens, plain->whole), stats_ratio((double)s->n_tokens, drafts->whole),
           stats_ratio(plain->whole, drafts->whole),
           stats_ratio(plain->whole - plain->first, drafts->whole - drafts->first),
           stats_ratio(drafts->first, plain->first), 100 * stats_ratio((double)s->n_accepted, (double)s->n_judged),
           stats_tokens_per_verify(s));
    return fflush(stdout) ? err_set(err, E_FAIL, "standard output: %s", strerror(errno)) : OK;
}

/* NULL when memory is out. */
static json_t *cost_json(const struct options *o, const struct cost *c)
{
    json_t *line = stats_json(&c->stats);
    int lost = json_object_set_new(line, "seconds", json_real(c->whole));
    lost |= json_object_set_new(line, "first_seconds", json_real(c->first));
    lost |= marks_json(o, line);
    return json_unless(lost, line);
}

static int put_json(const struct options *o, const char *name, const struct cost cost[N_WAYS], struct err *err)
{
    json_t *line = json_pack("{so so so}", "id", json_text(name, strlen(name)), "plain", cost_json(o, &cost[PLAIN]),
                             "drafts", cost_json(o, &cost[DRAFTS]));
    return json_put_line(line, JSON_REAL_PRECISION(6), stdout, err);
}

/* ---- requests ---- */

static int request(struct bench *b, int i, enum way way, struct seq *s, struct err *err)
{
    static const struct job_watch nobody;
    seq_free(s);
    int rc = runtime_seq(&b->s, &b->prompts.items[i], i, way == DRAFTS, s, err);
    s->request.settings.fresh = true; /* neither way begins with what the other has read */
    return rc == OK ? job_run(b->s.job, s, 1, &nobody, err) : rc;
}

/* Turn by turn: AB BA AB ..., so that a machine that slows down wrongs neither. sum: seconds of all turns; seqs: of the
 * last. One that fails ends them. */
static int take_turns(struct bench *b, int i, struct cost sum[N_WAYS], int *n_turns, struct seq seqs[N_WAYS],
                      struct err *err)
{
    int n = 0;
    do {
        for (int turn = 0; turn < N_WAYS; turn++) {
            enum way way = (b->s.o.first + (unsigned)(i + n + turn)) % N_WAYS;
            int rc = request(b, i, way, &seqs[way], err);
            if (rc != OK || seqs[way].end == SEQ_FAILED) return rc;
            const struct seq_stats *c = &seqs[way].stats;
            sum[way].whole += (double)(c->last_ns - c->start_ns) * 1e-9;
            sum[way].first += (double)(c->first_ns - c->start_ns) * 1e-9;
        }
        n++;
    } while (sum[PLAIN].whole < b->s.o.seconds || sum[DRAFTS].whole < b->s.o.seconds);
    *n_turns = n;
    bool lossy = settings_lossy(&seqs[DRAFTS].request.settings);
    return lossy ? OK : seq_check(&seqs[DRAFTS], &seqs[PLAIN], err);
}

static int refuse(struct bench *b, int i, const struct err *why, struct err *err)
{
    struct output_io io = {.out = stdout, .notes = stderr};
    if (!b->n_failed++) b->why = *why;
    return output_refuse(&io, b->s.o.format, &b->prompts.items[i], i, why->text, err);
}

static int put(struct bench *b, int i, const struct cost cost[N_WAYS], struct err *err)
{
    char number[16];
    const char *name = prompt_name(&b->prompts.items[i], i, number);
    if (b->s.o.format == FORMAT_JSONL) return put_json(&b->s.o, name, cost, err);
    return put_row(show_name(name).s, cost, err);
}

static int both_ways(struct bench *b, int i, struct err *err)
{
    struct seq seqs[N_WAYS] = {0};
    struct cost cost[N_WAYS] = {0}, sum[N_WAYS] = {0};
    struct err why;
    progress_within(&b->s.progress, "request", i, b->prompts.n, clock_now_ns());
    int n_turns = 1, rc = take_turns(b, i, sum, &n_turns, seqs, err);
    progress_clear(&b->s.progress);
    bool failed = false;
    for (int w = 0; w < N_WAYS && rc == OK && !failed; w++) failed = seqs_failed(&seqs[w], 1, &why) != OK;
    for (int w = 0; w < N_WAYS && rc == OK && !failed; w++) {
        add(&cost[w], &sum[w], n_turns, &seqs[w]);
        add(&b->total[w], &sum[w], n_turns, &seqs[w]);
    }
    for (int w = 0; w < N_WAYS; w++) seq_free(&seqs[w]);
    if (rc != OK) return rc;
    return failed ? refuse(b, i, &why, err) : put(b, i, cost, err);
}

static int bench(struct bench *b, struct err *err)
{
    struct output_io io = {.out = stdout, .notes = stderr};
    int rc = runtime_prompts(&b->s, &b->prompts, err);
    bool any = b->prompts.n_good > 0, table = any && b->s.o.format == FORMAT_TEXT;
    if (rc == OK && any) rc = runtime_start(&b->s, 1, err);
    if (rc == OK && table) put_head();
    for (int i = 0; i < b->prompts.n && rc == OK; i++) {
        const struct prompt *p = &b->prompts.items[i];
        rc = p->error ? output_refuse(&io, b->s.o.format, p, i, p->error, err) : both_ways(b, i, err);
    }
    if (rc == OK && table) rc = put_row("all", b->total, err);
    if (rc == OK && table) marks_line(&b->s.o, stdout);
    if (rc == OK && b->n_failed) {
        *err = b->why;
        return err_wrap(err, "%d of %d prompts failed, the first", b->n_failed, b->prompts.n_good);
    }
    return rc == OK ? prompts_refused(&b->prompts, err) : rc;
}

int command_bench_pair(const struct options *o, const struct launch *launch, struct err *err)
{
    struct bench b = {0};
    int rc = runtime_open(&b.s, o, launch, err);
    if (rc == OK) rc = bench(&b, err);
    runtime_close(&b.s, rc, err);
    prompts_free(&b.prompts);
    return rc;
}
