#include "worker/tools/bench_step.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "proto/clock.h"
#include "worker/engine/engine.h"
#include "worker/memory.h"
#include "worker/tools/limits.h"
#include "worker/tools/timing.h"

enum { PROMPT_ROWS = 128 };
static const double loop_s = 0.1;       /* of each of the two loops, a round */
static const double best_kernel = 0.59; /* of bare products */

struct figure { /* a pass, and what its rounds gave */
    bool little;
    int context, n_rows;
    double *s, *over; /* [n_rounds]: seconds; over the first figure's of the same round */
    double *s_beside; /* [n_rounds]: while the other model computes one row after the other on other cores */
};

struct subject { /* a model */
    struct engine *engine;
    struct engine_info info;
    int n_ctx, n_ids;        /* n_ids: see engine_row.h */
    float *x;                /* [max_rows, n_embd] */
    int32_t *ids;            /* [max_rows] */
    struct row *asks;        /* [max_rows] */
    struct engine_row *rows; /* [max_rows] */
};

struct bench {
    const struct bench_step_input *in;
    struct device_pick device; /* no table: the CPU */
    struct subject big, little;
    struct figure *figures;
    int n_figures;
    double *read, *multiply; /* [n_rounds] */
    double *prompt_s;        /* [n_contexts]: of the ids since the context before */
    bool has_beside;         /* there are cores for both models */
};

/* ---- a pass ---- */

/* All rows wanted, and each judges the id that follows, as when drafts are checked; or none, as in a prompt. */
static int pass(struct subject *s, int at, int n, bool wanted, struct err *err)
{
    const struct verdict_row *answers;
    for (int i = 0; i < n; i++) {
        s->ids[i] = (at + i) * 7919 % s->info.shape.n_vocab;
        s->asks[i] = (struct row){.id = s->ids[i], .wanted = wanted};
        s->rows[i] = (struct engine_row){.pos = at + i, .ask = &s->asks[i], .n_ids = s->n_ids};
        if (wanted && i > 0) s->asks[i - 1].judge = &s->ids[i], s->asks[i - 1].n_judge = 1;
    }
    engine_embed(s->engine, s->ids, n, s->x);
    int rc = engine_pass(s->engine, s->rows, n, s->x, &answers, err);
    for (int i = 0; i < n && rc == OK; i++) rc = engine_row_error(s->engine, i, err);
    return rc;
}

struct taking { /* of a pass whose rows are wanted */
    struct subject *s;
    int at, n;
    struct err *err;
};

static int take(void *arg)
{
    const struct taking *t = arg;
    return pass(t->s, t->at, t->n, true, t->err);
}

/* ---- one beside the other ---- */

struct other { /* computes one row after the other until it is told to end */
    struct subject *s;
    int at;
    atomic_bool ends;
    int rc;
    struct err err;
};

static void *compute_on(void *arg)
{
    struct other *o = arg;
    while (o->rc == OK && !atomic_load(&o->ends)) o->rc = pass(o->s, o->at, 1, true, &o->err);
    return NULL;
}

static int take_beside(struct bench *b, const struct figure *f, double *took, struct err *err)
{
    struct other other = {.s = f->little ? &b->big : &b->little, .at = f->context};
    struct taking timed = {f->little ? &b->little : &b->big, f->context, f->n_rows, err};
    pthread_t thread;
    if (pthread_create(&thread, NULL, compute_on, &other)) return err_set(err, E_LAYOUT, "no further thread");
    int rc = timing_take(take, &timed, 2 * b->in->n_threads, took);
    atomic_store(&other.ends, true);
    pthread_join(thread, NULL);
    if (rc != OK || other.rc == OK) return rc;
    *err = other.err;
    return other.rc;
}

/* ---- models ---- */

static int largest(const int *list, int n)
{
    int most = 0;
    for (int i = 0; i < n; i++)
        if (list[i] > most) most = list[i];
    return most;
}

static int subject_open(struct bench *b, struct subject *s, const char *path, bool little, struct err *err)
{
    const struct bench_step_input *in = b->in;
    const struct device_pick *device = little ? NULL : &b->device;
    int most = largest(in->rows, in->n_rows), max_rows = most > PROMPT_ROWS ? most : PROMPT_ROWS;
    struct engine_config config = {.path = path,
                                   .share = {.n_stages = 1, .n_shards = 1},
                                   .plan = little ? NULL : in->plan,
                                   .requantize = little && in->requantize,
                                   .kernels = in->kernels,
                                   .device = device ? device->table : NULL,
                                   .device_number = device ? device->number : 0,
                                   .device_name = device ? device->name : NULL,
                                   .n_threads = in->n_threads,
                                   .spin = true,
                                   .max_rows = max_rows,
                                   .watch = in->watch};
    int rc = engine_open(&s->engine, &config, err);
    if (rc != OK) return rc;
    engine_info(s->engine, &s->info);
    s->n_ctx = largest(in->contexts, in->n_contexts) + most;
    if (s->n_ctx > s->info.shape.n_ctx)
        return err_set(err, E_USAGE, "%s was trained for %d positions: smaller --contexts, --rows", path,
                       s->info.shape.n_ctx);
    s->x = malloc((size_t)max_rows * (size_t)s->info.shape.n_embd * sizeof *s->x);
    s->ids = calloc((size_t)max_rows, sizeof *s->ids);
    s->asks = calloc((size_t)max_rows, sizeof *s->asks);
    s->rows = calloc((size_t)max_rows, sizeof *s->rows);
    if (!s->x || !s->ids || !s->asks || !s->rows) return err_set(err, E_LAYOUT, "out of memory for %d rows", max_rows);
    rc = engine_load(s->engine, 1, s->n_ctx, err);
    s->n_ids = little ? in->draft_vocab : 0;
    return rc;
}

static void subject_close(struct subject *s)
{
    engine_close(s->engine);
    free(s->x);
    free(s->ids);
    free(s->asks);
    free(s->rows);
}

/* Contexts rise: each goes on from the one before. */
static int read_prompt(struct bench *b, struct subject *s, double *took, struct err *err)
{
    const struct bench_step_input *in = b->in;
    for (int i = 0, at = 0; i < in->n_contexts; i++) {
        double began = clock_now_s();
        for (int n; at < in->contexts[i]; at += n) {
            n = in->contexts[i] - at < PROMPT_ROWS ? in->contexts[i] - at : PROMPT_ROWS;
            watch_show(&in->watch, "reading a prompt", "tokens", (uint64_t)at,
                       (uint64_t)largest(in->contexts, in->n_contexts));
            int rc = pass(s, at, n, false, err);
            if (rc != OK) return rc;
        }
        if (took) took[i] = clock_now_s() - began;
    }
    return OK;
}

/* ---- rounds ---- */

static bool add_figure(struct bench *b, bool little, int context, int n_rows)
{
    size_t n = (size_t)b->in->n_rounds;
    struct figure *f = &b->figures[b->n_figures++];
    *f = (struct figure){
        little, context, n_rows, calloc(n, sizeof *f->s), calloc(n, sizeof *f->over), calloc(n, sizeof *f->s_beside)};
    return f->s && f->over && f->s_beside;
}

/* Big's by context and rows, the first one what all others are compared with; then little's one row. */
static int list_figures(struct bench *b, struct err *err)
{
    const struct bench_step_input *in = b->in;
    size_t n_rounds = (size_t)in->n_rounds;
    bool ok = (b->figures = calloc((size_t)(in->n_contexts * (in->n_rows + 1)), sizeof *b->figures)) &&
              (b->read = calloc(n_rounds, sizeof *b->read)) && (b->multiply = calloc(n_rounds, sizeof *b->multiply)) &&
              (b->prompt_s = calloc((size_t)in->n_contexts, sizeof *b->prompt_s));
    for (int c = 0; c < in->n_contexts && ok; c++)
        for (int r = 0; r < in->n_rows && ok; r++) ok = add_figure(b, false, in->contexts[c], in->rows[r]);
    for (int c = 0; c < in->n_contexts && ok && in->little; c++) ok = add_figure(b, true, in->contexts[c], 1);
    return ok ? OK : err_set(err, E_LAYOUT, "out of memory for %d rounds", in->n_rounds);
}

static int one_round(struct bench *b, int round, struct err *err)
{
    int rc = OK;
    const bool on_device = b->device.table;
    b->read[round] = on_device ? 0 : limits_read(b->in->n_threads, loop_s);
    b->multiply[round] = on_device ? 0 : limits_multiply(b->in->n_threads, loop_s);
    for (int i = 0; i < b->n_figures && rc == OK; i++) {
        struct figure *f = &b->figures[i];
        watch_show(&b->in->watch, "timed", "passes", (uint64_t)(round * b->n_figures + i),
                   (uint64_t)(b->in->n_rounds * b->n_figures));
        struct taking pass = {f->little ? &b->little : &b->big, f->context, f->n_rows, err};
        rc = timing_take(take, &pass, on_device && !f->little ? 1 : b->in->n_threads, &f->s[round]);
        f->over[round] = f->s[round] / b->figures[0].s[round];
        if (rc == OK && b->has_beside) rc = take_beside(b, f, &f->s_beside[round], err);
    }
    return rc;
}

/* ---- what is printed ---- */

static double row_bytes(const struct bench *b, const struct subject *s)
{
    double part = 1;
    if (s == &b->little && b->in->draft_vocab && b->in->draft_vocab < s->info.shape.n_vocab)
        part = (double)b->in->draft_vocab / s->info.shape.n_vocab;
    return (double)s->info.body_bytes + part * (double)s->info.head_bytes;
}

static void put_figure(const struct bench *b, struct figure *f, double read, double t_row, FILE *out)
{
    const struct subject *s = f->little ? &b->little : &b->big;
    double took = timing_median(f->s, b->in->n_rounds), over = timing_median(f->over, b->in->n_rounds);
    double first = took / over, least = first > f->n_rows * t_row ? first : f->n_rows * t_row;
    double beside = b->has_beside ? timing_median(f->s_beside, b->in->n_rounds) : 0;
    double bytes = row_bytes(b, s), part = read > 0 ? bytes / took / read : 0;
    const char *name = f->little ? "little" : "big";
    if (b->in->json) {
        fprintf(out,
                "{\"model\": \"%s\", \"context\": %d, \"rows\": %d, \"ms\": %.4f, \"over_first\": %.4f, \"bytes\": "
                "%.0f, \"read_gbps\": %.3f",
                name, f->context, f->n_rows, took * 1e3, over, bytes, bytes / took * 1e-9);
        if (read > 0) fprintf(out, ", \"of_read_loop\": %.4f", part);
        if (!f->little && t_row > 0) fprintf(out, ", \"over_limit\": %.4f", took / least);
        if (b->has_beside) fprintf(out, ", \"beside_ms\": %.4f", beside * 1e3);
        fprintf(out, "}\n");
    } else {
        fprintf(out, "%-8s %7d %5d %9.2f %10.2f %7.1f", name, f->context, f->n_rows, took * 1e3, over,
                bytes / took * 1e-9);
        if (read > 0) fprintf(out, " %8.0f %%", 100 * part);
        if (!f->little && t_row > 0) fprintf(out, " %10.2f", took / least);
        if (b->has_beside) fprintf(out, f->little ? "%21.2f" : " %9.2f", beside / took);
        fprintf(out, "\n");
    }
}

static void put_device(const struct bench *b, FILE *out)
{
    const struct bench_step_input *in = b->in;
    if (in->json)
        fprintf(out, "{\"device\": \"%s\", \"rounds\": %d}\n", b->device.name, in->n_rounds);
    else
        fprintf(out, "%s; medians of %d rounds\n\n%-8s %7s %5s %9s %10s %7s\n", b->device.name, in->n_rounds, "model",
                "context", "rows", "ms", "over first", "GB/s");
}

static void put_all(struct bench *b, FILE *out)
{
    const struct bench_step_input *in = b->in;
    double read = timing_median(b->read, in->n_rounds), multiply = timing_median(b->multiply, in->n_rounds);
    double t_row = multiply > 0 ? b->big.info.multiply_adds / (best_kernel * multiply) : 0;
    if (b->device.table)
        put_device(b, out);
    else if (in->json)
        fprintf(
            out,
            "{\"kernels\": \"%s\", \"threads\": %d, \"rounds\": %d, \"read_loop_gbps\": %.3f, \"multiply_adds_ps\": "
            "%.4g, \"row_ms\": %.4f}\n",
            in->kernels->name, in->n_threads, in->n_rounds, read * 1e-9, multiply, t_row * 1e3);
    else
        fprintf(out,
                "%s, %d threads, medians of %d rounds; read loop %.1f GB/s; bare products %.0f G multiply-adds/s, so a "
                "row's take %.1f ms\n\n%-8s %7s %5s %9s %10s %7s %10s %10s%s\n",
                in->kernels->name, in->n_threads, in->n_rounds, read * 1e-9, multiply * 1e-9, t_row * 1e3, "model",
                "context", "rows", "ms", "over first", "GB/s", "of read", "over limit",
                b->has_beside ? "    beside" : "");
    for (int i = 0; i < b->n_figures; i++) put_figure(b, &b->figures[i], read, t_row, out);
    for (int i = 0, from = 0; i < in->n_contexts; from = in->contexts[i++]) {
        if (in->contexts[i] == from) continue;
        double rate = (in->contexts[i] - from) / b->prompt_s[i];
        fprintf(out,
                in->json ? "{\"prompt_from\": %d, \"to\": %d, \"tokens_per_s\": %.2f}\n"
                         : "prompt, tokens %d to %d: %.1f token/s\n",
                from, in->contexts[i], rate);
    }
}

static int run(struct bench *b, struct err *err)
{
    const struct bench_step_input *in = b->in;
    int rc = device_pick(&b->device, &in->device, err);
    if (rc == OK) rc = subject_open(b, &b->big, in->big, false, err);
    if (rc == OK && in->little) rc = subject_open(b, &b->little, in->little, true, err);
    if (rc == OK) rc = list_figures(b, err);
    if (rc == OK) rc = read_prompt(b, &b->big, b->prompt_s, err);
    if (rc == OK && in->little) rc = read_prompt(b, &b->little, NULL, err);
    b->has_beside = in->little && !b->device.table && 2 * in->n_threads <= memory_cores();
    for (int i = 0; i < in->n_rounds && rc == OK; i++) rc = one_round(b, i, err);
    watch_show(&in->watch, NULL, NULL, 0, 0);
    return rc;
}

int bench_step(const struct bench_step_input *in, FILE *out, struct err *err)
{
    struct bench b = {.in = in};
    int rc = run(&b, err);
    if (rc == OK) put_all(&b, out);
    for (int i = 0; i < b.n_figures; i++) free(b.figures[i].s), free(b.figures[i].over), free(b.figures[i].s_beside);
    free(b.figures);
    free(b.read);
    free(b.multiply);
    free(b.prompt_s);
    subject_close(&b.little);
    subject_close(&b.big);
    return rc;
}
