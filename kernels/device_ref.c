/* device_ref.c -- a device that is this CPU: each op by cpu_ref's functions, on its own copies. The bits are those of
 * ARITHMETIC.md. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/device.h"
#include "kernels/noise.h"
#include "kernels/now.h"

enum { ALIGN = 64, MANY = 64, DEVICES = 256 }; /* each is this CPU */

static const struct kernels *const k = &kernels_ref;

struct device {
    struct device_shape s;
    struct weights *matrices; /* [n_matrices] owns, with their panels */
    float **vectors;          /* [n_vectors] owns */
    struct device_op *ops;    /* [n_ops] of this pass */
    int n_matrices, n_vectors, n_ops, ops_room, next;
    struct device_row *rows; /* [max_rows] */
    int n_rows;
    float *of[N_DEVICE_BUFFERS]; /* [max_rows, ld[]] */
    size_t ld[N_DEVICE_BUFFERS];
    struct acts ready;
    float *cs, *row, *scratch, *logits;
    uint16_t *keys, *values; /* [n_caches, n_slots, n_head_kv, n_ctx, d_head] */
};

static void *zeros(size_t n)
{
    n = (n + ALIGN) / ALIGN * ALIGN;
    void *p = aligned_alloc(ALIGN, n);
    return p ? memset(p, 0, n) : NULL;
}

static void ref_close(struct device *d)
{
    if (!d) return;
    for (int i = 0; i < d->n_matrices; i++) free(d->matrices[i].panels);
    for (int i = 0; i < d->n_vectors; i++) free(d->vectors[i]);
    for (int i = 0; i < N_DEVICE_BUFFERS; i++) free(d->of[i]);
    void *owned[] = {d->matrices, d->vectors, d->ops,     d->rows,   d->ready.x, d->ready.blocks,
                     d->cs,       d->row,     d->scratch, d->logits, d->keys,    d->values};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++) free(owned[i]);
    free(d);
}

static struct device *ref_open(const struct device_shape *s, const char **why)
{
    struct device *d = calloc(1, sizeof *d);
    *why = "out of memory";
    if (!d) return NULL;
    d->s = *s;
    int n_kv = s->n_head_kv * s->d_head;
    int widest = s->n_attn > s->n_ff_all ? s->n_attn : s->n_ff_all;
    if (s->n_embd > widest) widest = s->n_embd;
    size_t rows = (size_t)s->max_rows, width = (size_t)widest,
           n_cache = (size_t)s->n_caches * (size_t)s->n_slots * (size_t)n_kv * (size_t)s->n_ctx;
    bool ok = (d->rows = calloc(rows, sizeof *d->rows)) && (d->ready.x = zeros(rows * width * sizeof(float))) &&
              (d->ready.blocks = zeros(rows * (width / BLOCK + 1) * sizeof(struct act))) &&
              (d->cs = zeros(2 * rows * (size_t)s->d_head * sizeof(float))) &&
              (d->row = zeros((width + PANEL) * sizeof(float))) &&
              (d->scratch = zeros((size_t)s->group * (size_t)(ATTN_CHUNK + s->d_head + 2) * sizeof(float))) &&
              (d->logits = zeros((HEAD_CHUNK + PANEL) * sizeof(float))) &&
              (d->keys = zeros(n_cache * sizeof *d->keys)) && (d->values = zeros(n_cache * sizeof *d->values));
    for (int i = 0; i < N_DEVICE_BUFFERS && ok; i++) {
        d->ld[i] = (size_t)(device_width(s, (enum device_buffer)i) + PANEL);
        ok = (d->of[i] = zeros(rows * d->ld[i] * sizeof(float))) != NULL;
    }
    if (ok) return d;
    ref_close(d);
    return NULL;
}

static size_t ref_matrix_bytes(enum quant type, int n_in, int n_out)
{
    return (size_t)((n_out + PANEL - 1) / PANEL) * k->panel_bytes(type, n_in);
}

static int ref_matrix(struct device *d, enum quant type, int n_in, int n_out)
{
    struct weights w = {type, n_in, n_out, k->panel_bytes(type, n_in), NULL};
    struct weights *grown =
        d->n_matrices % MANY ? d->matrices : realloc(d->matrices, (size_t)(d->n_matrices + MANY) * sizeof *d->matrices);
    if (!grown) return -1;
    d->matrices = grown;
    if (!(w.panels = zeros(ref_matrix_bytes(type, n_in, n_out)))) return -1;
    d->matrices[d->n_matrices] = w;
    return d->n_matrices++;
}

static void ref_fill(struct device *d, int matrix, int i_panel, const void *const rows[PANEL])
{
    const struct weights *w = &d->matrices[matrix];
    k->pack(w->panels + (size_t)i_panel * w->panel_bytes, rows, w->type, w->n_in);
}

static int ref_vector(struct device *d, const float *x, int n)
{
    float **grown =
        d->n_vectors % MANY ? d->vectors : realloc(d->vectors, (size_t)(d->n_vectors + MANY) * sizeof *d->vectors);
    if (!grown) return -1;
    d->vectors = grown;
    if (!(d->vectors[d->n_vectors] = zeros((size_t)n * sizeof *x))) return -1;
    memcpy(d->vectors[d->n_vectors], x, (size_t)n * sizeof *x);
    return d->n_vectors++;
}

static void ref_row(struct device *d, float *out, int matrix, int i_row)
{
    k->row(out, &d->matrices[matrix], i_row);
}

/* ---- ops ---- */

static float *at(const struct device *d, enum device_buffer b, int i_row)
{
    return d->of[b] + (size_t)i_row * d->ld[b];
}

static const float *vector(const struct device *d, int i)
{
    return i < 0 ? NULL : d->vectors[i];
}

static size_t cache_at(const struct device *d, int cache, int slot, int head)
{
    const struct device_shape *s = &d->s;
    return (((size_t)cache * (size_t)s->n_slots + (size_t)slot) * (size_t)s->n_head_kv + (size_t)head) *
           (size_t)s->n_ctx * (size_t)s->d_head;
}

static void ready(struct device *d, const struct device_op *op)
{
    const struct device_shape *s = &d->s;
    const float *norm = vector(d, op->norm);
    int n = device_width(s, op->buffer);
    d->ready.n_in = n;
    struct acts a = d->ready;
    if (n % BLOCK) a.blocks = NULL; /* only float weights read such rows */
    for (int i = 0; i < (op->rows ? op->n_rows : d->n_rows); i++) {
        int row = op->rows ? op->rows[i] : i;
        const float *x = at(d, op->buffer, op->first ? i : row);
        if (norm) k->norm(d->row, x, norm, n, s->eps);
        if (k->quantize(&a, i, norm ? d->row : x) >= 0 && d->rows[row].bad < 0) d->rows[row].bad = op->entry;
    }
}

static void add_bias(const struct device *d, float *x, int bias, int n)
{
    if (bias >= 0) k->add(x, d->vectors[bias], n);
}

static void norm_heads(const struct device *d, float *x, int norm, int n_heads)
{
    for (int h = 0; norm >= 0 && h < n_heads; h++, x += d->s.d_head)
        k->norm(x, x, d->vectors[norm], d->s.d_head, d->s.eps);
}

static void place(struct device *d, const struct device_op *op, int i)
{
    const struct device_shape *s = &d->s;
    int n_q = s->n_head * s->d_head, n_kv = s->n_head_kv * s->d_head;
    float *q = at(d, DEVICE_Q, i), *key = at(d, DEVICE_K, i), *value = at(d, DEVICE_V, i);
    const float *cs = d->cs + ((size_t)(op->local ? s->max_rows : 0) + (size_t)i) * (size_t)s->d_head;
    add_bias(d, q, op->bias[0], n_q);
    add_bias(d, key, op->bias[1], n_kv);
    add_bias(d, value, op->bias[2], n_kv);
    norm_heads(d, q, op->norm_q, s->n_head);
    norm_heads(d, key, op->norm_k, s->n_head_kv);
    k->rope(q, cs, s->n_head, s->d_head, s->rope_neox);
    k->rope(key, cs, s->n_head_kv, s->d_head, s->rope_neox);
    for (int j = 0; j < n_q; j++) q[j] *= s->q_scale;
    for (int h = 0; h < s->n_head_kv; h++) {
        size_t to = cache_at(d, op->cache, d->rows[i].slot, h) + (size_t)d->rows[i].pos * (size_t)s->d_head;
        k->to_f16(d->keys + to, key + h * s->d_head, s->d_head);
        k->to_f16(d->values + to, value + h * s->d_head, s->d_head);
    }
}

static void attend(struct device *d, const struct device_op *op, int i)
{
    const struct device_shape *s = &d->s;
    int pos = d->rows[i].pos, end = 0;
    for (int h = 0, head = 0; h < s->n_head_kv; h++, head = end) { /* own heads [head, end) share KV head h */
        end = (h + 1) * s->group - s->head_at;
        if (end > s->n_head) end = s->n_head;
        size_t from = cache_at(d, op->cache, d->rows[i].slot, h);
        struct attention_row row = {at(d, DEVICE_Q, i) + head * s->d_head, at(d, DEVICE_ATTN, i) + head * s->d_head,
                                    op->n_window && pos >= op->n_window ? pos + 1 - op->n_window : 0, pos + 1};
        attention_rows(k, &row, 1, end - head, d->keys + from, d->values + from, (size_t)s->d_head, s->d_head,
                       d->scratch);
    }
}

static void add(struct device *d, const struct device_op *op, int i)
{
    float *x = at(d, DEVICE_X, i), *y = at(d, DEVICE_Y, i);
    if (op->norm >= 0) k->norm(y, y, d->vectors[op->norm], d->s.n_embd, d->s.eps);
    if (op->step == 1.0f)
        k->add(x, y, d->s.n_embd);
    else
        k->add_step(x, y, op->step, d->s.n_embd);
}

static void activate(struct device *d, int i)
{
    float *ff = at(d, DEVICE_FF, i);
    (d->s.gelu ? k->gelu_mul : k->silu_mul)(ff, ff, at(d, DEVICE_UP, i), d->s.n_ff);
}

static void mix(struct device *d, const struct device_op *op)
{
    for (int i = 0; i < op->n_rows; i++)
        k->add_step(at(d, DEVICE_Y, op->rows[i]), at(d, DEVICE_PAIR, i), op->weights[i], d->s.n_embd);
}

/* Of ops that may be of the first rows alone. */
static int rows_of(const struct device *d, const struct device_op *op)
{
    return op->n_rows ? op->n_rows : d->n_rows;
}

static void product(struct device *d, const struct device_op *op)
{
    const struct weights *w = &d->matrices[op->matrix];
    k->matmul(d->of[op->buffer], d->ld[op->buffer], w, &d->ready, rows_of(d, op), 0, (w->n_out + PANEL - 1) / PANEL);
}

static void run_op(struct device *d, const struct device_op *op)
{
    if (op->kind == DEVICE_READY) ready(d, op);
    if (op->kind == DEVICE_PRODUCT) product(d, op);
    if (op->kind == DEVICE_MIX) mix(d, op);
    for (int i = 0; op->kind == DEVICE_ACTIVATE && i < rows_of(d, op); i++) activate(d, i);
    for (int i = 0; i < d->n_rows; i++) {
        if (op->kind == DEVICE_PLACE) place(d, op, i);
        if (op->kind == DEVICE_ATTEND) attend(d, op, i);
        if (op->kind == DEVICE_ADD) add(d, op, i);
        if (op->kind == DEVICE_CLEAR) memset(at(d, DEVICE_Y, i), 0, (size_t)d->s.n_embd * sizeof(float));
    }
}

/* ---- a pass ---- */

static void ref_begin(struct device *d, const struct device_row *rows, int n_rows, const float *x, const float *cs)
{
    size_t n = (size_t)d->s.n_embd;
    d->n_rows = n_rows;
    d->n_ops = d->next = 0;
    memcpy(d->rows, rows, (size_t)n_rows * sizeof *rows);
    memcpy(d->cs, cs, 2 * (size_t)d->s.max_rows * (size_t)d->s.d_head * sizeof *cs);
    for (int i = 0; x && i < n_rows; i++) memcpy(at(d, DEVICE_X, i), x + (size_t)i * n, n * sizeof *x);
}

static int ref_record(struct device *d, const struct device_op *op)
{
    if (d->n_ops == d->ops_room) {
        struct device_op *grown = realloc(d->ops, (size_t)(d->ops_room + MANY) * sizeof *d->ops);
        if (!grown) return -1;
        d->ops = grown;
        d->ops_room += MANY;
    }
    d->ops[d->n_ops++] = *op;
    return 0;
}

static void ref_run(struct device *d)
{
    (void)d; /* poll runs what it has not run yet */
}

static int ref_poll(struct device *d, uint64_t until_ns)
{
    while (d->next < d->n_ops) {
        run_op(d, &d->ops[d->next++]);
        if ((uint64_t)now_ns() >= until_ns) break;
    }
    return d->next == d->n_ops;
}

static void ref_end(struct device *d, struct device_row *rows, float *x)
{
    size_t n = (size_t)d->s.n_embd;
    memcpy(rows, d->rows, (size_t)d->n_rows * sizeof *rows);
    for (int i = 0; x && i < d->n_rows; i++) memcpy(x + (size_t)i * n, at(d, DEVICE_X, i), n * sizeof *x);
}

static void ref_logits(struct device *d, float *out, size_t ld, int matrix, int row, int n_rows, int i_panel, int n)
{
    struct weights w = d->matrices[matrix];
    struct acts a = d->ready;
    a.x += (size_t)row * (size_t)a.n_in;
    a.blocks += (size_t)row * (size_t)(a.n_in / BLOCK);
    w.panels += (size_t)i_panel * w.panel_bytes;
    w.n_out = n;
    k->matmul(out, ld, &w, &a, n_rows, 0, (n + PANEL - 1) / PANEL);
}

/* The HEAD of the pass is its last op. */
static void ref_head(struct device *d, struct head_part *parts, float *judged)
{
    const struct device_op *op = &d->ops[d->n_ops - 1];
    for (int i = 0; i < op->n_rows; i++) {
        struct head_part all, part;
        for (int j = 0; j < op->n_judge; j++) judged[i * op->n_judge + j] = -INFINITY;
        for (int first = 0; first < op->n_ids; first += HEAD_CHUNK) {
            int n = op->n_ids - first < HEAD_CHUNK ? op->n_ids - first : HEAD_CHUNK, most = op->rows[i] - first;
            if (most <= 0) continue;
            ref_logits(d, d->logits, HEAD_CHUNK, op->matrix, i, 1, first / PANEL, n);
            part = k->head(d->logits, first, n < most ? n : most);
            all = first && op->whole ? head_merge(all, part) : part;
            parts[op->whole ? i : i * ((op->n_ids + HEAD_CHUNK - 1) / HEAD_CHUNK) + first / HEAD_CHUNK] = all;
            for (int j = 0; j < op->n_judge; j++) {
                int id = op->judge[i * op->n_judge + j] - first;
                if (id >= 0 && id < n && id < most) judged[i * op->n_judge + j] = d->logits[id];
            }
        }
    }
}

/* Greater logit (or key) first, then the smaller id. */
static bool better(float a, int32_t id_a, float b, int32_t id_b)
{
    return a > b || (a == b && id_a < id_b);
}

static void best_insert(struct device_best *best, int n_best, struct device_best new)
{
    int to = n_best - 1;
    if (!better(new.logit, new.id, best[to].logit, best[to].id)) return;
    for (; to > 0 && better(new.logit, new.id, best[to - 1].logit, best[to - 1].id); to--) best[to] = best[to - 1];
    best[to] = new;
}

/* Of row i all ids, one after another. */
static void choose(struct device *d, const struct device_op *op, int i, struct head_pick *pick,
                   struct device_best *best)
{
    const struct device_ask *c = &op->asks[i];
    *pick = (struct head_pick){-INFINITY, -INFINITY, INT32_MAX};
    for (int n = 0; n < op->n_best; n++) best[n] = (struct device_best){INT32_MAX, -INFINITY};
    for (int id = 0; id < op->rows[i] && (c->inv_t > 0 || c->best); id++) {
        if (id % HEAD_CHUNK == 0)
            ref_logits(d, d->logits, HEAD_CHUNK, op->matrix, i, 1, id / PANEL,
                       op->n_ids - id < HEAD_CHUNK ? op->n_ids - id : HEAD_CHUNK);
        float logit = d->logits[id % HEAD_CHUNK];
        if (c->inv_t > 0) {
            uint32_t of_noise = (uint32_t)(op->first_id + id);
            float key = fmaf(logit, c->inv_t, noise_gumbel(c->seed, c->sample, c->position, of_noise));
            if (better(key, id, pick->key, pick->id)) *pick = (struct head_pick){key, logit, id};
        }
        if (c->best) best_insert(best, op->n_best, (struct device_best){id, logit});
    }
}

static void ref_chosen(struct device *d, struct head_pick *picks, struct device_best *best)
{
    const struct device_op *op = &d->ops[d->n_ops - 1];
    for (int i = 0; i < op->n_rows; i++) choose(d, op, i, &picks[i], best + i * op->n_best);
}

static void ref_copy(struct device *d, int to, int from, int n)
{
    size_t n_bytes = (size_t)n * (size_t)d->s.d_head * sizeof *d->keys;
    for (int cache = 0; cache < d->s.n_caches; cache++)
        for (int head = 0; head < d->s.n_head_kv; head++) {
            size_t a = cache_at(d, cache, from, head), b = cache_at(d, cache, to, head);
            memcpy(d->keys + b, d->keys + a, n_bytes);
            memcpy(d->values + b, d->values + a, n_bytes);
        }
}

static int ref_probe(int i, struct device_about *about, const char **why)
{
    *why = "";
    if (!about || i < 0 || i >= DEVICES) return DEVICES;
    *about = (struct device_about){.selftest = kernels_selftest(k)};
    snprintf(about->name, sizeof about->name, "the reference kernels of this CPU");
    return DEVICES;
}

static void copy_rows(float *to, size_t ld_to, const float *from, size_t ld_from, int n_rows, int n)
{
    for (int i = 0; i < n_rows; i++, to += ld_to, from += ld_from) memcpy(to, from, (size_t)n * sizeof *to);
}

static void ref_get(struct device *d, float *x, size_t ld, enum device_buffer b, int n_rows, int n)
{
    copy_rows(x, ld, d->of[b], d->ld[b], n_rows, n);
}

static void ref_put(struct device *d, enum device_buffer b, const float *x, size_t ld, int n_rows, int n)
{
    copy_rows(d->of[b], d->ld[b], x, ld, n_rows, n);
}

const struct device_table device_ref = {.version = DEVICE_VERSION,
                                        .arithmetic = ARITHMETIC_ID,
                                        .name = "reference",
                                        .open = ref_open,
                                        .close = ref_close,
                                        .matrix = ref_matrix,
                                        .fill = ref_fill,
                                        .vector = ref_vector,
                                        .row = ref_row,
                                        .begin = ref_begin,
                                        .record = ref_record,
                                        .run = ref_run,
                                        .poll = ref_poll,
                                        .end = ref_end,
                                        .logits = ref_logits,
                                        .probe = ref_probe,
                                        .get = ref_get,
                                        .put = ref_put,
                                        .copy = ref_copy,
                                        .experts = true,
                                        .head = ref_head,
                                        .matrix_bytes = ref_matrix_bytes,
                                        .chosen = ref_chosen};
