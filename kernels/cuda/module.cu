/* module.cu -- the device table (kernels/device.h) on CUDA: passes on one stream, graphs, exchanges.
 *
 *   run ─▶ lists to pinned memory ─▶ the same ops as once before? ─ no ─▶ copies and kernels, one by one
 *                                          └ yes ─▶ a graph of them, captured at their second time: one launch
 *
 * A graph is of a class of rows: 8, 16, 32 or 64. What differs between two passes of a class is in tables on the
 * device, which the graph's first nodes bring: rows, of which those past the pass have no slot, and lists, which end in
 * places of no row. Passes of more rows, and experts, whose ops differ each time, are launched one by one. The steps of
 * a pass follow one another in the stream, or in one graph: each brings its own tables, in place of those before. */
#include "kernels/cuda/device_fuse.cuh"
#include "kernels/cuda/selftest.h"
#include "kernels/now.h"

#include <string.h>

/* ---- a pass ---- */

/* Rows from one on that a unit takes: of one slot, in increasing position. */
static int rows_together(const device *d, const device_row *rows, int n_rows)
{
    const int most = 16 * d->tiles_most / d->heads;
    int n = 1;
    while (n < n_rows && n < most && rows[n].slot == rows[0].slot && rows[n].pos > rows[n - 1].pos) n++;
    return n;
}

/* Cuts what the rows of a step see into units: a chunk each, if there are too few rows to fill the card. */
static void plan_attention(device *d, step *s, const device_row *rows)
{
    attend_unit *units = d->host.units + s->unit;
    const int n_rows = s->n_rows;
    int n_groups = 0, n_chunks = 0, most = 0, n_units = 0;
    s->attention.merges = false;
    for (int i = 0, n; i < n_rows; i += n, n_groups++) {
        n = rows_together(d, rows + i, n_rows - i);
        n_chunks += rows[i + n - 1].pos / ATTN_CHUNK + 1;
        most = n > most ? n : most;
    }
    const bool splits = n_groups * d->s.n_head_kv * d->n_z < ATTEND_SPLIT_BELOW && n_chunks <= d->units_room;
    for (int i = 0, n; i < n_rows; i += n) {
        n = rows_together(d, rows + i, n_rows - i);
        const int n_here = rows[i + n - 1].pos / ATTN_CHUNK + 1;
        const bool whole = !splits || n_here == 1;
        for (int k = i; k < i + n; k++) d->host.of_row[s->row + k] = {n_units, whole ? 0 : n_here};
        for (int chunk = 0; chunk < (whole ? 1 : n_here); chunk++)
            units[n_units++] = {i, n, chunk, whole ? n_here : chunk + 1, whole};
        s->attention.merges = s->attention.merges || !whole;
    }
    s->attention.n_units = power_above(n_units);
    s->attention.tiles = most * d->heads > 16 ? 2 : 1;
    while (n_units < s->attention.n_units) units[n_units++] = {};
}

/* cs: [2, max_rows, d_head], of which the first n_rows are there. */
static void add_step(device *d, const device_row *rows, int n_rows, const float *cs, int matrix, float scale)
{
    const size_t n_cs = (size_t)d->s.d_head, n_bytes = (size_t)n_rows * n_cs * sizeof *cs;
    const step *last = d->n_steps ? &d->steps[d->n_steps - 1] : nullptr;
    step *s = &d->steps[d->n_steps++];
    *s = {};
    s->op = d->ops.size();
    s->n_rows = n_rows;
    s->row = last ? last->row + class_of(last->n_rows) : 0;
    s->unit = last ? last->unit + last->attention.n_units : 0;
    s->matrix = matrix;
    s->scale = scale;
    for (int i = 0; i < class_of(n_rows); i++) d->host.rows[s->row + i] = i < n_rows ? rows[i] : device_row{-1, 0, -1};
    plan_attention(d, s, rows);
    for (size_t half = 0; half < 2; half++)
        memcpy(d->host.cs + (half * (size_t)d->steps_room + (size_t)s->row) * n_cs,
               cs + half * (size_t)d->s.max_rows * n_cs, n_bytes);
}

/* Makes a step the one to run. */
static void enter_step(device *d, int i, bool padded)
{
    const step *s = &d->steps[i];
    d->i_step = i;
    d->n_rows = s->n_rows;
    d->n_run = padded ? class_of(s->n_rows) : s->n_rows;
    d->attention = s->attention;
}

static void cuda_begin(device *d, const device_row *rows, int n_rows, const float *x, const float *cs)
{
    const size_t n_x = (size_t)n_rows * (size_t)d->s.n_embd;
    d->next = 0;
    d->n_steps = d->i_step = 0;
    d->is_back = true; /* of no ops */
    d->is_latent = false;
    d->ready_tiles = 0;
    d->ops.clear();
    d->x_comes = x != nullptr;
    d->x_is_back = d->x_comes;
    add_step(d, rows, n_rows, cs, DEVICE_NONE, 1.0f);
    enter_step(d, 0, false);
    if (x) memcpy(d->host.x, x, n_x * sizeof *x);
}

static void cuda_next(device *d, const device_row *rows, int n_rows, const float *cs, int matrix, float scale)
{
    add_step(d, rows, n_rows, cs, matrix, scale);
}

static int cuda_record(device *d, const device_op *op)
{
    device_op own;
    memset(&own, 0, sizeof own); /* what lies between members, too: ops are compared */
    own.kind = op->kind;
    own.buffer = op->buffer;
    own.matrix = op->matrix;
    own.norm = op->norm;
    for (int i = 0; i < 3; i++) own.bias[i] = op->bias[i];
    own.norm_q = op->norm_q;
    own.norm_k = op->norm_k;
    own.cache = op->cache;
    own.n_window = op->n_window;
    own.local = op->local;
    own.step = op->step;
    own.entry = op->entry;
    own.rows = op->rows;
    own.n_rows = op->n_rows;
    own.first = op->first;
    own.weights = op->weights;
    own.judge = op->judge;
    own.n_judge = op->n_judge;
    own.n_ids = op->n_ids;
    if (op->kind == DEVICE_HEAD) d->n_headed = op->n_rows;
    own.whole = op->whole;
    own.from = op->from;
    own.asks = op->asks;
    own.first_id = op->first_id;
    own.n_best = op->n_best;
    d->ops.push_back(own);
    return 0;
}

/* Whether ops are padded to a class, so that they may be a graph: not behind those of a pass which are not, whose rows
 * came alone. Exchanges are in none: members would have to capture together. */
static bool pads(const device *d)
{
    bool is = true;
    for (int i = d->i_step; i < d->n_steps; i++) is = is && d->steps[i].n_rows <= CLASS_MOST;
    for (size_t i = 0; i < d->ops.size(); i++) {
        const device_op *op = &d->ops[i];
        is = is && op->kind != DEVICE_MIX && op->kind != DEVICE_GATHER && op->kind != DEVICE_SHARE && !op->first;
    }
    return is;
}

/* A list among those that the device gets, with places of no row up to n_padded. */
static void *place_list(device *d, const void *words, int n, int n_padded, int *n_words)
{
    uint32_t *to = d->host.lists + *n_words;
    memcpy(to, words, (size_t)n * sizeof *to);
    for (int i = n; i < n_padded; i++) to[i] = UINT32_MAX;
    *n_words += n_padded;
    return d->lists + (to - d->host.lists);
}

/* Makes an op's lists those on the device. False: there is no room for them before the ops so far have run. */
static bool place_lists(device *d, device_op *op, bool padded, int *n_words)
{
    const int n = op->n_rows, n_padded = padded && n ? class_of(n) : n, n_ask = sizeof *op->asks / sizeof(uint32_t);
    if (*n_words + (2 + op->n_judge + n_ask) * n_padded > N_LISTED * d->rows_room) return false;
    if (op->rows) op->rows = static_cast<int *>(place_list(d, op->rows, n, n_padded, n_words));
    if (op->weights) op->weights = static_cast<float *>(place_list(d, op->weights, n, n_padded, n_words));
    if (op->n_judge)
        op->judge = static_cast<int32_t *>(place_list(d, op->judge, n * op->n_judge, n_padded * op->n_judge, n_words));
    if (op->asks) op->asks = static_cast<device_ask *>(place_list(d, op->asks, n * n_ask, n_padded * n_ask, n_words));
    op->n_rows = n_padded;
    return true;
}

static int copy_in(device *d)
{
    const step *s = &d->steps[d->i_step];
    const size_t n = (size_t)d->s.n_embd * sizeof(float), n_cs = (size_t)d->s.d_head * sizeof(float),
                 rows = (size_t)d->n_run, most = (size_t)d->s.max_rows;
    int rc = cudaMemcpyAsync(d->rows, d->host.rows + s->row, rows * sizeof *d->rows, cudaMemcpyHostToDevice, d->stream);
    if (rc == 0)
        rc = cudaMemcpyAsync(d->units, d->host.units + s->unit, (size_t)d->attention.n_units * sizeof *d->units,
                             cudaMemcpyHostToDevice, d->stream);
    if (rc == 0)
        rc = cudaMemcpyAsync(d->of_row, d->host.of_row + s->row, rows * sizeof *d->of_row, cudaMemcpyHostToDevice,
                             d->stream);
    if (rc == 0)
        rc = cudaMemcpy2DAsync(d->cs, most * n_cs, d->host.cs + s->row * d->s.d_head, (size_t)d->steps_room * n_cs,
                               (rows < most ? rows : most) * n_cs, 2, cudaMemcpyHostToDevice, d->stream);
    if (rc == 0 && d->x_comes && d->i_step == 0)
        rc = cudaMemcpy2DAsync(d->of[DEVICE_X], d->ld[DEVICE_X] * sizeof(float), d->host.x, n, n, rows,
                               cudaMemcpyHostToDevice, d->stream);
    return rc;
}

static bool x_goes(const device *d)
{
    return d->x_comes && d->n_steps == 1;
}

static int copy_back(device *d, bool x)
{
    const size_t n = (size_t)d->s.n_embd * sizeof(float), rows = (size_t)d->n_run;
    int rc = cudaMemcpyAsync(d->host.rows + d->steps[d->i_step].row, d->rows, rows * sizeof *d->rows,
                             cudaMemcpyDeviceToHost, d->stream);
    if (rc == 0 && x)
        rc = cudaMemcpy2DAsync(d->host.x, n, d->of[DEVICE_X], d->ld[DEVICE_X] * sizeof(float), n, rows,
                               cudaMemcpyDeviceToHost, d->stream);
    return rc;
}

/* What came of a HEAD: a few numbers a row. */
static int copy_verdict(device *d, const device_op *op)
{
    const size_t rows = (size_t)op->n_rows, ld = (size_t)d->ld_parts * sizeof(head_part),
                 n_judge = (size_t)op->n_judge * sizeof(float), n_all = rows * (size_t)op->n_best, most = DEVICE_BEST,
                 n_best = n_all < most ? n_all : most; /* without those of rows that pad */
    const size_t n_chunks = (size_t)(op->n_ids + HEAD_CHUNK - 1) / HEAD_CHUNK,
                 n = (op->whole ? 1 : n_chunks) * sizeof(head_part);
    int rc = cudaMemcpy2DAsync(d->host.parts + d->steps[d->i_step].row, n, d->parts + (op->whole ? n_chunks : 0), ld, n,
                               rows, cudaMemcpyDeviceToHost, d->stream);
    if (rc == 0 && n_judge)
        rc = cudaMemcpyAsync(d->host.judged, d->judged, rows * n_judge, cudaMemcpyDeviceToHost, d->stream);
    if (rc == 0 && op->asks)
        rc = cudaMemcpy2DAsync(d->host.picks, sizeof *d->picks, d->picks + n_chunks,
                               (size_t)d->ld_parts * sizeof *d->picks, sizeof *d->picks, rows, cudaMemcpyDeviceToHost,
                               d->stream);
    if (rc == 0 && op->asks && n_best)
        rc = cudaMemcpyAsync(d->host.best, d->best, n_best * sizeof *d->best, cudaMemcpyDeviceToHost, d->stream);
    return rc;
}

/* A pass ends with its rows made ready for the head, or looked at, or with the head. */
static bool ends_pass(const device_op *op)
{
    return op->kind == DEVICE_HEAD || (op->kind == DEVICE_READY && op->buffer == DEVICE_X);
}

/* Whether an op is the first of the step behind the one that runs. */
static bool begins_step(const device *d, size_t i)
{
    return d->i_step + 1 < d->n_steps && d->steps[d->i_step + 1].op == i;
}

/* What came of a step goes to the host, and the next one's rows are found. */
static int go_on(device *d, const device_op *head, bool padded)
{
    int rc = copy_verdict(d, head);
    if (rc == 0) rc = copy_back(d, false);
    enter_step(d, d->i_step + 1, padded);
    if (rc == 0) rc = copy_in(d);
    d->after_kernel = false;
    return rc == 0 ? run_next(d, &d->steps[d->i_step], head) : rc;
}

/* Ops [from, next), and what goes in before the first of the pass and out behind its last. */
static int launch_ops(device *d, size_t from, bool padded, int n_words)
{
    int rc = from == 0 ? copy_in(d) : 0;
    d->after_kernel = false;
    if (rc == 0 && n_words)
        rc = cudaMemcpyAsync(d->lists, d->host.lists, (size_t)n_words * sizeof *d->lists, cudaMemcpyHostToDevice,
                             d->stream);
    for (size_t i = from; i < d->next && rc == 0 && !d->comms.error;) {
        if (begins_step(d, i)) rc = go_on(d, &d->ops[i - 1], padded);
        if (rc == 0) rc = run_some(d, from, &i);
    }
    const device_op *last = &d->ops[d->next - 1];
    if (rc == 0 && last->kind == DEVICE_HEAD) rc = copy_verdict(d, last);
    return rc == 0 && ends_pass(last) ? copy_back(d, x_goes(d)) : rc;
}

/* Of one class. */
static bool alike(const step &a, const step &b)
{
    return a.op == b.op && class_of(a.n_rows) == class_of(b.n_rows) && a.matrix == b.matrix && a.scale == b.scale &&
           a.attention.n_units == b.attention.n_units && a.attention.tiles == b.attention.tiles &&
           a.attention.merges == b.attention.merges;
}

static bool is_of_pass(const device *d, const replay *r, size_t from)
{
    const size_t n = d->next - from;
    bool is = r->begins == (from == 0) && r->x_comes == d->x_comes && r->ready_tiles == d->ready_tiles &&
              r->ops.size() == n && r->steps.size() == (size_t)d->n_steps &&
              !memcmp(r->ops.data(), &d->ops[from], n * sizeof(device_op));
    for (size_t i = 0; is && i < r->steps.size(); i++) is = alike(r->steps[i], d->steps[i]);
    return is;
}

/* NULL: they were never seen before, or there is no room to remember them. */
static replay *replay_of(device *d, size_t from)
{
    for (replay &r : d->replays)
        if (is_of_pass(d, &r, from)) return &r;
    if (d->replays.size() < REPLAYS_MOST)
        d->replays.push_back({{d->ops.begin() + (ptrdiff_t)from, d->ops.begin() + (ptrdiff_t)d->next},
                              {d->steps, d->steps + d->n_steps},
                              from == 0,
                              d->x_comes,
                              d->ready_tiles,
                              nullptr});
    return nullptr;
}

static void capture(device *d, replay *r, size_t from, int n_words)
{
    const int step = d->i_step;
    cudaGraph_t graph = nullptr;
    bool ok = cudaStreamBeginCapture(d->stream, cudaStreamCaptureModeThreadLocal) == cudaSuccess;
    if (ok) {
        const int rc = launch_ops(d, from, true, n_words);
        enter_step(d, step, true);
        ok = cudaStreamEndCapture(d->stream, &graph) == cudaSuccess && rc == 0;
    }
    d->captures = ok && cudaGraphInstantiate(&r->graph, graph, 0) == cudaSuccess;
    if (graph) cudaGraphDestroy(graph);
    if (d->captures) return;
    r->graph = nullptr;
    (void)cudaGetLastError();
}

static void run_ops(device *d, size_t from, bool padded, int n_words)
{
    replay *r = padded && d->captures ? replay_of(d, from) : nullptr;
    if (r && !r->graph) capture(d, r, from, n_words);
    if (r && r->graph) {
        for (size_t i = from; i < d->next; i++)
            if (begins_step(d, i)) enter_step(d, d->i_step + 1, true);
        note_replay(d, from);
        check(d, cudaGraphLaunch(r->graph, d->stream));
    } else {
        check(d, launch_ops(d, from, padded, n_words));
    }
    d->is_back = ends_pass(&d->ops[d->next - 1]);
    d->x_is_back = d->is_back && x_goes(d);
}

static void cuda_run(device *d)
{
    if (!enter(d)) return;
    while (d->next < d->ops.size() && !d->lost && !d->comms.error) {
        const size_t from = d->next;
        const bool padded = pads(d);
        if (!check(d, write_ready(d))) return;
        int n_words = 0;
        enter_step(d, d->i_step, padded);
        while (d->next < d->ops.size() && place_lists(d, &d->ops[d->next], padded, &n_words)) d->next++;
        run_ops(d, from, padded, n_words);
        if (d->next < d->ops.size()) check(d, cudaStreamSynchronize(d->stream)); /* the lists are read */
    }
}

static int cuda_poll(device *d, uint64_t until_ns)
{
    while (enter(d)) {
        const cudaError_t rc = cudaStreamQuery(d->stream);
        if (rc == cudaSuccess) return exchanges_go_on(&d->comms) ? 1 : -1;
        if (rc != cudaErrorNotReady) d->lost = true;
        if ((uint64_t)now_ns() >= until_ns) break;
    }
    return d->lost || !exchanges_go_on(&d->comms) ? -1 : 0;
}

/* The first n columns of rows, to the host and back; it waits. */
static void copy_rows(device *d, float *to, size_t ld_to, const float *from, size_t ld_from, int n_rows, int n,
                      enum cudaMemcpyKind kind)
{
    if (!enter(d) || n_rows == 0 || n == 0) return;
    check(d, cudaMemcpy2DAsync(to, ld_to * sizeof *to, from, ld_from * sizeof *from, (size_t)n * sizeof *to,
                               (size_t)n_rows, kind, d->stream));
    check(d, cudaStreamSynchronize(d->stream));
}

static void cuda_get(device *d, float *x, size_t ld, enum device_buffer b, int n_rows, int n)
{
    copy_rows(d, x, ld, d->of[b], d->ld[b], n_rows, n, cudaMemcpyDeviceToHost);
}

static void cuda_put(device *d, enum device_buffer b, const float *x, size_t ld, int n_rows, int n)
{
    copy_rows(d, d->of[b], d->ld[b], x, ld, n_rows, n, cudaMemcpyHostToDevice);
}

/* The stream orders it between passes. Of values whole pairs of positions. */
static void cuda_copy(device *d, int to, int from, int n)
{
    const device_shape *s = &d->s;
    const size_t heads = (size_t)s->n_head_kv, n_head = (size_t)d->ctx_room * (size_t)s->d_head,
                 ld = n_head * sizeof *d->keys, n_bytes = (size_t)((n + 1) / 2 * 2 * s->d_head) * sizeof *d->keys;
    if (!enter(d) || n == 0) return;
    for (int i = 0; i < s->n_caches; i++) {
        const cache_args c = cache_of(d, i);
        for (uint16_t *cache : {c.keys, c.values})
            check(d, cudaMemcpy2DAsync(cache + (size_t)to * heads * n_head, ld, cache + (size_t)from * heads * n_head,
                                       ld, n_bytes, heads, cudaMemcpyDeviceToDevice, d->stream));
    }
}

static void cuda_end(device *d, device_row *rows, float *x)
{
    if (!enter(d)) return;
    const bool copies = !d->is_back || (x && !d->x_is_back);
    if (copies && check(d, copy_back(d, x != nullptr))) check(d, cudaStreamSynchronize(d->stream));
    if (d->lost) return;
    for (const step *s = d->steps; s < d->steps + d->n_steps; rows += s++->n_rows)
        memcpy(rows, d->host.rows + s->row, (size_t)s->n_rows * sizeof *rows);
    if (x) memcpy(x, d->host.x, (size_t)d->n_rows * (size_t)d->s.n_embd * sizeof *x);
}

static void cuda_head(device *d, head_part *parts, float *judged)
{
    const device_op *op = &d->ops.back();
    const size_t n = (size_t)d->n_headed, n_parts = op->whole ? 1 : (size_t)(op->n_ids + HEAD_CHUNK - 1) / HEAD_CHUNK;
    for (const step *s = d->steps; s < d->steps + d->n_steps; s++, parts += n * n_parts)
        memcpy(parts, d->host.parts + s->row, n * n_parts * sizeof *parts);
    memcpy(judged, d->host.judged, n * (size_t)op->n_judge * sizeof *judged);
}

static void cuda_chosen(device *d, head_pick *picks, device_best *best)
{
    const size_t n = (size_t)d->n_headed;
    memcpy(picks, d->host.picks, n * sizeof *picks);
    memcpy(best, d->host.best, n * (size_t)d->ops.back().n_best * sizeof *best);
}

static void cuda_logits(device *d, float *out, size_t ld, int i_matrix, int row, int n_rows, int i_panel, int n)
{
    const int n_panels = (n + PANEL - 1) / PANEL;
    if (!enter(d) || n_rows == 0) return;
    if (check(d, write_ready(d)) &&
        check(d, run_product(d, i_matrix, row, n_rows, i_panel, n_panels, d->logits, HEAD_CHUNK, alone_on(d))))
        copy_rows(d, out, ld, d->logits, HEAD_CHUNK, n_rows, n_panels * PANEL, cudaMemcpyDeviceToHost);
}

static void cuda_row(device *d, float *out, int i_matrix, int i_row)
{
    const matrix *m = &d->matrices[(size_t)i_matrix];
    mm_args a = mm_args_of(m);
    a.out = d->of[DEVICE_Y]; /* free between passes */
    if (enter(d) && check(d, launch_mm_row(m->type, a, i_row, alone_on(d))))
        copy_rows(d, out, (size_t)m->n_in, a.out, (size_t)m->n_in, 1, m->n_in, cudaMemcpyDeviceToHost);
}

/* ---- exchanges ---- */

static int cuda_comm_there(const char **why)
{
    return nccl_open(why) ? 0 : -1;
}

static int cuda_comm_id(uint8_t id[DEVICE_ID_BYTES], const char **why)
{
    const nccl *lib = nccl_open(why);
    nccl_id made;
    const int rc = lib ? lib->GetUniqueId(&made) : NCCL_SUCCESS;
    if (lib && rc != NCCL_SUCCESS) *why = lib->GetErrorString(rc);
    if (!lib || rc != NCCL_SUCCESS) return -1;
    memcpy(id, &made, sizeof made);
    return 0;
}

/* Room for the widest gather. */
static bool take_parts(device *d)
{
    size_t widest = SHARDS_AT_ONCE;
    for (int i = 0; i < N_DEVICE_BUFFERS; i++) widest = d->ld[i] > widest ? d->ld[i] : widest;
    if (d->comms.parts) return true;
    if (!take(d, &d->comms.parts, (size_t)d->s.max_rows * widest) || !pin(d, &d->comms.counts, 2)) return false;
    memset(d->comms.counts, 0, 2 * sizeof *d->comms.counts);
    return true;
}

static bool finishes(device *d, uint64_t until_ns)
{
    int done;
    while ((done = cuda_poll(d, until_ns)) == 0 && (uint64_t)now_ns() < until_ns) continue;
    return done > 0;
}

static void cuda_comm_close(device *d, enum device_comm which)
{
    exchanges *x = &d->comms;
    if (x->of[which].comm) x->lib->CommAbort(x->of[which].comm);
    x->of[which].comm = nullptr;
}

static int cuda_comm_open(device *d, enum device_comm which, const uint8_t id[DEVICE_ID_BYTES], int n, int self,
                          uint64_t until_ns, const char **why)
{
    exchanges *x = &d->comms;
    *why = n > SHARDS_AT_ONCE ? "too many members" : "out of memory";
    if (n > SHARDS_AT_ONCE || !enter(d) || !take_parts(d) || !(x->lib = nccl_open(why))) return -1;
    x->of[which].n = n;
    x->of[which].self = self;
    x->error = nccl_join(x->lib, &x->of[which].comm, id, n, self, until_ns);
    if (!x->error && connect(x, which, x->parts, d->stream) && finishes(d, until_ns)) return 0;
    *why = x->error ? x->error : NCCL_LATE;
    cuda_comm_close(d, which);
    x->error = nullptr; /* rows may go by way of the host */
    return *why == NCCL_LATE ? DEVICE_LATE : -1;
}

/* The rows that go are X's first ones then: what is left of it is of no use. */
static void keep_rows(device *d, const int *rows, int n)
{
    const size_t ld = d->ld[DEVICE_X];
    float *x = d->of[DEVICE_X];
    for (int i = 0; i < n; i++)
        if (rows[i] != i)
            check(d, cudaMemcpyAsync(x + (size_t)i * ld, x + (size_t)rows[i] * ld, ld * sizeof *x,
                                     cudaMemcpyDeviceToDevice, d->stream));
}

static void cuda_send(device *d, const int *rows, int n)
{
    exchanges *x = &d->comms;
    if (!enter(d) || n == 0 || x->error) return;
    keep_rows(d, rows, n);
    went_well(x, DEVICE_STAGES,
              x->lib->Send(d->of[DEVICE_X], (size_t)n * d->ld[DEVICE_X], NCCL_FLOAT, x->of[DEVICE_STAGES].self + 1,
                           x->of[DEVICE_STAGES].comm, d->stream));
}

static void cuda_receive(device *d, int n_rows, const int *rows, int n)
{
    exchanges *x = &d->comms;
    if (!enter(d) || n_rows == 0 || x->error) return;
    check(d, counted(d, false));
    const int rc = x->lib->Recv(d->of[DEVICE_X], (size_t)n_rows * d->ld[DEVICE_X], NCCL_FLOAT,
                                x->of[DEVICE_STAGES].self - 1, x->of[DEVICE_STAGES].comm, d->stream);
    if (!went_well(x, DEVICE_STAGES, rc)) return;
    check(d, counted(d, true));
    keep_rows(d, rows, n);
}

static void cuda_exchanges(device *d, device_exchanges *out)
{
    const volatile unsigned *counts = d->comms.counts;
    *out = {};
    out->error = d->comms.error;
    if (!counts) return;
    out->n_done = counts[1];
    out->waits = counts[0] != out->n_done;
}

static void cuda_comm_abort(device *d)
{
    if (!d->comms.error) d->comms.error = "aborted";
    cudaSetDevice(d->s.device);
    exchanges_abort(&d->comms);
}

/* ---- the table ---- */

static int cuda_probe(int i, device_about *about, const char **why);

static device_table table_of()
{
    device_table t = {};
    t.version = DEVICE_VERSION;
    t.arithmetic = CUDA_ARITHMETIC_ID;
    t.name = "cuda";
    t.open = cuda_open;
    t.close = cuda_close;
    t.matrix = cuda_matrix;
    t.fill = cuda_fill;
    t.vector = cuda_vector;
    t.row = cuda_row;
    t.begin = cuda_begin;
    t.record = cuda_record;
    t.run = cuda_run;
    t.poll = cuda_poll;
    t.end = cuda_end;
    t.logits = cuda_logits;
    t.probe = cuda_probe;
    t.get = cuda_get;
    t.put = cuda_put;
    t.copy = cuda_copy;
    t.experts = true;
    t.head = cuda_head;
    t.comm_there = cuda_comm_there;
    t.comm_id = cuda_comm_id;
    t.comm_open = cuda_comm_open;
    t.comm_close = cuda_comm_close;
    t.send = cuda_send;
    t.receive = cuda_receive;
    t.exchanges = cuda_exchanges;
    t.comm_abort = cuda_comm_abort;
    t.matrix_bytes = cuda_matrix_bytes;
    t.chosen = cuda_chosen;
    t.next = cuda_next;
    t.rows = 4 * WIDE_ROWS; /* tiles of 128 rows, four of them beside each other to fill a card */
    return t;
}

static int cuda_probe(int i, device_about *about, const char **why)
{
    return card_probe(i, about, why, [i] {
        const device_table table = table_of();
        return selftest(&table, i);
    });
}

const struct device_table *pf_device(int version)
{
    static const device_table table = table_of();
    return version == DEVICE_VERSION ? &table : nullptr;
}
