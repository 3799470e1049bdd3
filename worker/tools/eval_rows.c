#include "worker/tools/eval_rows.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "worker/engine/engine.h"

enum { N_TOP = 48, ROWS = 64 };

struct writer {
    const struct eval_rows_input *in;
    struct engine *engine;
    struct engine_info info;
    FILE *to;
    int n_top;
    struct row asks[ROWS];
    struct engine_row rows[ROWS];
    float *x;     /* [ROWS, n_embd] owns */
    float *exits; /* [n_exits, ROWS, n_embd] owns */
};

static int check_written(const struct writer *w, struct err *err)
{
    return ferror(w->to) ? err_set(err, E_FAIL, "%.200s: %s", w->in->save, strerror(errno)) : OK;
}

static int open_all(struct writer *w, struct err *err)
{
    const struct engine_config config = {.path = w->in->big,
                                         .share = {.n_stages = 1, .n_shards = 1},
                                         .kernels = w->in->kernels,
                                         .n_threads = w->in->n_threads,
                                         .max_rows = ROWS,
                                         .watch = w->in->watch};
    int rc = engine_open(&w->engine, &config, err);
    if (rc != OK) return rc;
    engine_info(w->engine, &w->info);
    int last = w->in->exits[w->in->n_exits - 1];
    if (last > w->info.entry_to)
        return err_set(err, E_MODEL, "%s: --exit %d, but the model has %d blocks", w->in->big, last, w->info.entry_to);
    if (w->in->window > w->info.shape.n_ctx)
        return err_set(err, E_USAGE, "--window %d: the model's context is %d", w->in->window, w->info.shape.n_ctx);
    w->n_top = w->info.shape.n_vocab < N_TOP ? w->info.shape.n_vocab : N_TOP;
    size_t n = (size_t)ROWS * (size_t)w->info.shape.n_embd;
    w->x = calloc(n, sizeof *w->x);
    w->exits = calloc((size_t)w->in->n_exits * n, sizeof *w->exits);
    if (!w->x || !w->exits) return err_set(err, E_LAYOUT, "out of memory");
    if (!(w->to = fopen(w->in->save, "wbe"))) return err_set(err, E_USAGE, "%.200s: %s", w->in->save, strerror(errno));
    fprintf(w->to, "{\"format\": \"pilotfish-rows\", \"version\": 2, \"base\": \"%016llx\", \"exits\": [",
            (unsigned long long)w->info.model_hash);
    for (int i = 0; i < w->in->n_exits; i++) fprintf(w->to, "%s%d", i ? ", " : "", w->in->exits[i]);
    fprintf(w->to, "], \"n_embd\": %d, \"n_top\": %d, \"window\": %d}\n", w->info.shape.n_embd, w->n_top,
            w->in->window);
    return engine_load(w->engine, 1, w->in->window, err);
}

/* The i-th of a run. */
static void write_row(struct writer *w, int i, const struct verdict_row *answer)
{
    int32_t id = w->asks[i].id, pos = w->rows[i].pos;
    size_t n_embd = (size_t)w->info.shape.n_embd;
    int32_t ids[N_TOP] = {0};
    float lp[N_TOP] = {0};
    for (size_t k = 0; k < answer->n_top; k++) {
        ids[k] = answer->top[k].id;
        lp[k] = answer->top[k].lp;
    }
    fwrite(&id, sizeof id, 1, w->to);
    fwrite(&pos, sizeof pos, 1, w->to);
    for (int k = 0; k < w->in->n_exits; k++)
        fwrite(w->exits + ((size_t)k * ROWS + (size_t)i) * n_embd, sizeof *w->exits, n_embd, w->to);
    fwrite(ids, sizeof *ids, (size_t)w->n_top, w->to);
    fwrite(lp, sizeof *lp, (size_t)w->n_top, w->to);
}

/* Rows of a window from `pos` on. */
static int run(struct writer *w, const int32_t *ids, int pos, int n, struct err *err)
{
    size_t n_embd = (size_t)w->info.shape.n_embd;
    const struct verdict_row *answers = NULL;
    for (int i = 0; i < n; i++) {
        w->asks[i] = (struct row){.id = ids[i], .wanted = true, .n_top = (uint32_t)w->n_top};
        w->rows[i] = (struct engine_row){.pos = pos + i, .ask = &w->asks[i]};
    }
    engine_embed(w->engine, ids, n, w->x);
    struct engine_span span = {ENGINE_SERVED, 0, 0, w->rows, n, w->x, NULL, false};
    int rc = OK;
    for (int k = 0; k <= w->in->n_exits && rc == OK; k++, span.from = span.to) {
        bool exits = k < w->in->n_exits;
        span.to = exits ? w->in->exits[k] : w->info.entry_to;
        if (span.from < span.to) rc = engine_run(w->engine, &span, &answers, err);
        for (int i = 0; i < n && rc == OK; i++) rc = engine_row_error(w->engine, i, err);
        if (exits) memcpy(w->exits + (size_t)k * ROWS * n_embd, w->x, (size_t)n * n_embd * sizeof *w->x);
    }
    for (int i = 0; i < n && rc == OK; i++) write_row(w, i, &answers[i]);
    return rc == OK ? check_written(w, err) : rc;
}

int eval_rows(const struct eval_rows_input *in, FILE *out, struct err *err)
{
    struct writer *w = calloc(1, sizeof *w);
    if (!w) return err_set(err, E_LAYOUT, "out of memory");
    w->in = in;
    int rc =
        in->n_ids > 1 ? open_all(w, err) : err_set(err, E_USAGE, "the text has %d tokens: a longer one", in->n_ids);
    for (int at = 0; at < in->n_ids && rc == OK;) {
        int pos = at % in->window, n = in->window - pos < ROWS ? in->window - pos : ROWS;
        if (n > in->n_ids - at) n = in->n_ids - at;
        rc = run(w, in->ids + at, pos, n, err);
        at += n;
        watch_show(&in->watch, "written", "rows", (uint64_t)at, (uint64_t)in->n_ids);
    }
    watch_show(&in->watch, NULL, NULL, 0, 0);
    if (w->to && fclose(w->to) && rc == OK) rc = err_set(err, E_FAIL, "%.200s: %s", in->save, strerror(errno));
    if (rc == OK)
        fprintf(out, "%s: %d rows behind %d exits, in %d windows\n", in->save, in->n_ids, in->n_exits,
                (in->n_ids + in->window - 1) / in->window);
    engine_close(w->engine);
    free(w->x);
    free(w->exits);
    free(w);
    return rc;
}
