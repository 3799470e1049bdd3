#include "worker/engine/forward_device.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernels/device.h"
#include "proto/clock.h"
#include "worker/engine/check.h"
#include "worker/engine/forward.h"
#include "worker/engine/head.h"
#include "worker/engine/pass.h"
#include "worker/engine/pieces.h"

enum { LOOK_NS = 50000000 }; /* between two looks at the messages */
enum { EXCHANGE_S = 10 };    /* that a device waits for others, where no collective says how long */

struct expert_on_device {
    int gate, up, down;
};

struct on_device { /* a block's matrices and vectors; DEVICE_NONE: it has none */
    int q, k, v, o, gate, up, down;
    int norm_attn, norm_mlp, norm_attn_out, norm_mlp_out, bias[3], norm_q, norm_k;
    int router;
    struct expert_on_device *experts; /* [n_experts] borrows; NULL: none */
};

struct forward_device {
    const struct device_table *table; /* borrows */
    struct device *device;            /* owns */
    struct on_device *blocks;         /* [n_blocks + n_exits] owns: as the model's */
    struct expert_on_device *experts; /* [n_blocks + n_exits, n_experts] owns; NULL: none */
    float *weights;                   /* [max_rows * n_used] owns: of the mixture's pairs */
    int embed, head, norm_out;
    int heads_listed[DRAFT_PLANS_MOST + 1], norms_side[SIDE_EXITS_MOST]; /* as the model's */
    struct device_row *rows;                                             /* [max_rows] owns */
    int *limits;                   /* [max_rows] owns: of wanted rows, how many of this shard's ids each may have */
    int32_t *judge;                /* [max_rows, DEVICE_JUDGED] owns */
    float *judged;                 /* the same */
    struct head_part *parts;       /* [max_rows, n_chunks] owns */
    struct device_ask *asks;       /* [max_rows] owns */
    struct head_pick *picks;       /* the same */
    struct device_best *best;      /* [DEVICE_BEST] owns */
    int attn_from[MAX_SHARDS + 1]; /* the shards' columns of attention out */
    unsigned n_exchanges;          /* done, as the device last said; */
    uint64_t exchange_ns;          /* and when that was */
};

int forward_device_check(const struct engine *e, struct err *err)
{
    const struct device_table *table = e->table;
    const struct model *m = &e->model;
    const char *lacks = m->share.n_shards > 1 && !table->get    ? "shards of a stage: use --tp 1"
                        : m->shape.n_experts && !table->experts ? "models with experts"
                        : m->search.share > 0                   ? "a search of plans: use another --draft-plan"
                        : m->requantize                         ? "requantized weights: use --little-quant file"
                                                                : NULL;
    if (table->version != DEVICE_VERSION)
        return err_set(err, E_LAYOUT, "the device %s has version %d of the table, this program %d: install both alike",
                       table->name, table->version, DEVICE_VERSION);
    return lacks ? err_set(err, E_LAYOUT, "%s: the device %s lacks %s", e->path, table->name, lacks) : OK;
}

void forward_device_close(struct forward_device *d)
{
    if (!d) return;
    if (d->device) d->table->close(d->device);
    free(d->blocks);
    free(d->experts);
    free(d->weights);
    free(d->rows);
    free(d->limits);
    free(d->judge);
    free(d->judged);
    free(d->parts);
    free(d->asks);
    free(d->picks);
    free(d->best);
    free(d);
}

/* ---- a lost device ---- */

static bool exchanges(const struct engine *e)
{
    return e->by_device[DEVICE_SHARDS] || e->by_device[DEVICE_STAGES];
}

/* Itself, or what it exchanges with others. */
static int say_lost(const struct engine *e, struct err *err)
{
    struct device_exchanges x = {0};
    char host[256] = "";
    gethostname(host, sizeof host - 1);
    if (exchanges(e)) e->device->table->exchanges(e->device->device, &x);
    if (x.error)
        return err_set(err, E_PEER, "host %s: the device %s has lost the others that it exchanges rows with: %s", host,
                       e->device_name, x.error);
    return err_set(err, E_PEER, "host %s: the device %s is lost: its driver may say why (dmesg)", host, e->device_name);
}

static void lose(struct engine *e)
{
    e->rc = say_lost(e, &e->err);
}

/* ---- load ---- */

/* Why it took no weights. */
static int say_no_room(const struct engine *e, struct err *err)
{
    if (e->device->table->poll(e->device->device, 0) < 0) return say_lost(e, err);
    return err_set(err, E_LAYOUT, "%s: the device has no memory for the weights", e->path);
}

static int take_matrix(struct engine *e, const struct piece *p, int *handle, struct err *err)
{
    const struct forward_device *d = e->device;
    int n_out = p->row_to - p->row_from;
    *handle = DEVICE_NONE;
    if (n_out == 0) return OK;
    *handle = d->table->matrix(d->device, (enum quant)p->tensor->type, (int)p->tensor->dim[0], n_out);
    return *handle < 0 ? say_no_room(e, err) : OK;
}

/* n_before: bytes that are loaded already. */
static int load_matrix(struct engine *e, const struct piece *p, size_t n_before, int handle, struct err *err)
{
    const struct forward_device *d = e->device;
    size_t said = 0;
    for (int panel = 0; panel * PANEL < p->row_to - p->row_from; panel++) {
        const void *rows[PANEL];
        size_t n_bytes = matrix_bytes(e->k, e->table, p->matrix->type, p->matrix->n_in, panel * PANEL);
        for (; said <= n_bytes; said += LOAD_STEP)
            watch_show(&e->watch, "loading", NULL, n_before + said, e->model.n_bytes);
        if (!check_panel(p, panel, rows)) return check_failed(p, e->path, err);
        d->table->fill(d->device, handle, panel, rows);
    }
    return OK;
}

static int load_vector(struct engine *e, const struct piece *p, int *handle, struct err *err)
{
    int n = p->row_to - p->row_from;
    const float *x = (const float *)gguf_row(p->tensor, 0) + p->row_from;
    if (!check_vector(p)) return check_failed(p, e->path, err);
    *handle = e->device->table->vector(e->device->device, x, n);
    return *handle < 0 ? say_no_room(e, err) : OK;
}

/* Room for all matrices is taken before the first is read. */
static int load_pieces(struct engine *e, const struct pieces *p, int *handles, struct err *err)
{
    int rc = OK;
    size_t n_bytes = 0;
    for (int i = 0; i < p->n && rc == OK; i++)
        if (p->list[i].matrix) rc = take_matrix(e, &p->list[i], &handles[i], err);
    for (int i = 0; i < p->n && rc == OK; i++) {
        const struct piece *piece = &p->list[i];
        rc = piece->matrix ? load_matrix(e, piece, n_bytes, handles[i], err) : load_vector(e, piece, &handles[i], err);
        n_bytes += piece_bytes(piece, e->k, e->table);
        gguf_release(&e->model.file, piece->tensor);
        if (rc == OK) watch_show(&e->watch, "loading", NULL, n_bytes, e->model.n_bytes);
    }
    return rc;
}

struct went { /* where each piece went */
    const struct pieces *pieces;
    const int *handles; /* [pieces->n] */
    int at;             /* the piece behind the one that was looked up last */
};

/* Of the piece that is of this matrix or vector. Most are looked up in the order of pieces. */
static int handle_of(struct went *w, const void *of)
{
    const struct pieces *p = w->pieces;
    for (int n = 0; n < p->n; n++) {
        const struct piece *piece = &p->list[(w->at + n) % p->n];
        if ((const void *)piece->matrix != of && (const void *)piece->vector != of) continue;
        w->at = (w->at + n + 1) % p->n;
        return w->handles[piece - p->list];
    }
    return DEVICE_NONE;
}

static void note_experts(struct engine *e, struct went *w, int i_block)
{
    const struct block *b = &e->model.blocks[i_block];
    struct on_device *at = &e->device->blocks[i_block];
    int n = e->model.shape.n_experts;
    if (!b->experts) return;
    at->router = handle_of(w, &b->router);
    at->experts = e->device->experts + (size_t)i_block * (size_t)n;
    for (int k = 0; k < n; k++)
        at->experts[k] = (struct expert_on_device){handle_of(w, &b->experts[k].gate), handle_of(w, &b->experts[k].up),
                                                   handle_of(w, &b->experts[k].down)};
}

static void note_handles(struct engine *e, struct went *w)
{
    const struct model *m = &e->model;
    struct forward_device *d = e->device;
    for (int i = 0; i < m->shape.n_blocks + model_n_side_exits(m); i++) {
        const struct block *b = &m->blocks[i];
        struct on_device *at = &d->blocks[i];
        const struct {
            int *to;
            const void *of;
        } list[] = {
            {&at->q, &b->q},
            {&at->k, &b->k},
            {&at->v, &b->v},
            {&at->o, &b->o},
            {&at->gate, &b->gate},
            {&at->up, &b->up},
            {&at->down, &b->down},
            {&at->norm_attn, &b->norm_attn},
            {&at->norm_mlp, &b->norm_mlp},
            {&at->norm_attn_out, &b->norm_attn_out},
            {&at->norm_mlp_out, &b->norm_mlp_out},
            {&at->bias[0], &b->bias_q},
            {&at->bias[1], &b->bias_k},
            {&at->bias[2], &b->bias_v},
            {&at->norm_q, &b->norm_q},
            {&at->norm_k, &b->norm_k},
        };
        for (size_t j = 0; j < sizeof list / sizeof *list; j++) *list[j].to = handle_of(w, list[j].of);
        note_experts(e, w, i);
    }
    d->embed = handle_of(w, &m->embed);
    d->head = handle_of(w, &m->head);
    if (d->head < 0) d->head = d->embed; /* tied */
    for (int i = 0; i < m->n_listed; i++) d->heads_listed[i] = handle_of(w, &m->listed[i].head);
    d->norm_out = handle_of(w, &m->norm_out);
    for (int i = 0; i < model_n_side_exits(m); i++) d->norms_side[i] = handle_of(w, &m->norm_side[i]);
}

static bool experts_init(struct forward_device *d, const struct shape *s, size_t n_blocks, int max_rows)
{
    size_t n = (size_t)s->n_experts;
    return !n || ((d->experts = calloc(n_blocks * n, sizeof *d->experts)) &&
                  (d->weights = calloc((size_t)(max_rows * s->n_used), sizeof *d->weights)));
}

static bool head_init(struct forward_device *d, const struct engine *e)
{
    size_t n = (size_t)e->max_rows;
    return (d->limits = calloc(n, sizeof *d->limits)) && (d->judge = calloc(n * DEVICE_JUDGED, sizeof *d->judge)) &&
           (d->judged = calloc(n * DEVICE_JUDGED, sizeof *d->judged)) &&
           (d->parts = calloc(n * (size_t)e->n_chunks, sizeof *d->parts)) && (d->asks = calloc(n, sizeof *d->asks)) &&
           (d->picks = calloc(n, sizeof *d->picks)) && (d->best = calloc(DEVICE_BEST, sizeof *d->best));
}

int forward_device_open(struct engine *e, int n_slots, int n_ctx, struct err *err)
{
    const struct shape *s = &e->model.shape;
    const struct model *m = &e->model;
    const char *why = "out of memory";
    int shard = m->share.shard, head_from = m->heads_from[shard], group = s->n_head / s->n_head_kv;
    const struct device_shape shape = {.max_rows = e->max_rows,
                                       .n_embd = s->n_embd,
                                       .n_head = m->heads_from[shard + 1] - head_from,
                                       .n_head_kv = m->kv_to - m->kv_from,
                                       .d_head = s->d_head,
                                       .n_ff = m->ff_from[shard + 1] - m->ff_from[shard],
                                       .n_caches = e->kv.n_caches,
                                       .n_slots = n_slots,
                                       .n_ctx = n_ctx,
                                       .eps = s->eps,
                                       .q_scale = s->q_scale,
                                       .rope_neox = s->rope_neox,
                                       .gelu = s->gelu,
                                       .device = e->device_number,
                                       .n_attn = s->n_head * s->d_head,
                                       .n_ff_all = s->n_ff,
                                       .group = group,
                                       .head_at = head_from - m->kv_from * group,
                                       .n_experts = s->n_experts};
    size_t n_blocks = (size_t)(s->n_blocks + model_n_side_exits(m));
    struct forward_device *d = e->device = calloc(1, sizeof *d);
    if (d) d->table = e->table;
    if (!d || !(d->rows = calloc((size_t)e->max_rows, sizeof *d->rows)) ||
        !(d->blocks = calloc(n_blocks, sizeof *d->blocks)) || !experts_init(d, s, n_blocks, e->max_rows) ||
        !head_init(d, e) || !(d->device = e->table->open(&shape, &why)))
        return err_set(err, E_LAYOUT, "%s: the device %s: %s", e->path, e->table->name, why);
    for (int i = 0; i <= m->share.n_shards; i++) d->attn_from[i] = m->heads_from[i] * s->d_head;
    return OK;
}

struct device_member forward_device_member(const struct engine *e)
{
    return (struct device_member){e->table, e->device ? e->device->device : NULL, e->device_name};
}

/* The host turns positions: it needs the factors. */
static int copy_factors(struct engine *e, const struct pieces *p, struct err *err)
{
    for (int i = 0; i < p->n; i++) {
        if (p->list[i].vector != &e->model.rope_factors) continue;
        size_t n = (size_t)(e->model.shape.d_head / 2);
        if (!(e->factors = malloc(n * sizeof *e->factors))) return err_set(err, E_LAYOUT, "out of memory");
        memcpy(e->factors, gguf_row(p->list[i].tensor, 0), n * sizeof *e->factors);
        e->model.rope_factors = e->factors;
    }
    return OK;
}

int forward_device_load(struct engine *e, struct err *err)
{
    struct pieces p;
    int *handles = NULL, rc = model_pieces(&e->model, &p, err);
    if (rc == OK && !(handles = calloc((size_t)p.n, sizeof *handles))) rc = err_set(err, E_LAYOUT, "out of memory");
    if (rc == OK) rc = load_pieces(e, &p, handles, err);
    if (rc == OK && e->device->table->poll(e->device->device, 0) < 0) rc = say_lost(e, err);
    if (rc == OK) rc = copy_factors(e, &p, err);
    if (rc == OK) note_handles(e, &(struct went){&p, handles, 0});
    if (rc == OK) model_close_files(&e->model);
    free(handles);
    pieces_free(&p);
    return rc;
}

/* ---- a pass ---- */

static void record(struct engine *e, struct device_op op)
{
    if (e->rc == OK && e->device->table->record(e->device->device, &op))
        e->rc = err_set(&e->err, E_LAYOUT, "the device has no memory for the steps of a pass");
}

static void record_ready(struct engine *e, enum device_buffer buffer, int norm, int i_entry)
{
    record(e, (struct device_op){.kind = DEVICE_READY, .buffer = buffer, .norm = norm, .entry = i_entry});
}

/* A shard may have no rows of it. */
static void record_product_of(struct engine *e, enum device_buffer buffer, int matrix, int n_rows)
{
    if (matrix < 0) return;
    record(e, (struct device_op){.kind = DEVICE_PRODUCT, .buffer = buffer, .matrix = matrix, .n_rows = n_rows});
}

static void record_product(struct engine *e, enum device_buffer buffer, int matrix)
{
    record_product_of(e, buffer, matrix, 0);
}

/* From here on the device waits for others anew. */
static void note_exchanges(struct engine *e, unsigned n_done)
{
    e->device->n_exchanges = n_done;
    e->device->exchange_ns = clock_now_ns();
    if (exchanges(e) && e->col) e->col->n_gathers++;
}

/* While a pass is not done: others may never come to what it waits for. */
static void look_at_exchanges(struct engine *e)
{
    const uint64_t second_ns = 1000000000;
    struct forward_device *d = e->device;
    struct device_exchanges x;
    char host[256] = "";
    gethostname(host, sizeof host - 1);
    if (e->rc != OK || !exchanges(e)) return;
    d->table->exchanges(d->device, &x);
    if (!x.waits || x.n_done != d->n_exchanges) {
        note_exchanges(e, x.n_done);
    } else if (e->col && e->col->waits) {
        e->rc = e->col->waits(e->col->waits_arg, e->col->n == 2 ? !e->col->self : -1, &e->err);
        if (e->rc != OK) err_wrap(&e->err, "host %s", host);
    } else if (clock_now_ns() - d->exchange_ns > EXCHANGE_S * second_ns) {
        e->rc = err_set(&e->err, E_PEER, "host %s: the device %s has waited for another stage's for %d s: it is lost",
                        host, e->device_name, EXCHANGE_S);
    }
}

void forward_device_look(struct engine *e)
{
    if (e->rc == OK && e->device->table->poll(e->device->device, 0) < 0) lose(e);
}

static void wait(struct engine *e)
{
    int done = 0;
    if (e->rc != OK) return;
    note_exchanges(e, e->device->n_exchanges);
    e->device->table->run(e->device->device);
    while (e->rc == OK && done == 0) {
        done = e->device->table->poll(e->device->device, clock_now_ns() + LOOK_NS);
        pass_between(e, 0);
        if (done == 0) look_at_exchanges(e);
    }
    if (e->rc == OK && done < 0) lose(e);
    if (e->rc != OK && exchanges(e)) e->device->table->comm_abort(e->device->device);
}

static void exchange_by_host(struct engine *e, enum device_buffer buffer, struct strided host, const int *from)
{
    const struct forward_device *d = e->device;
    int shard = e->model.share.shard, n_shards = e->model.share.n_shards;
    wait(e);
    if (e->rc == OK)
        d->table->get(d->device, host.at + from[shard], host.ld, buffer, host.n_rows, from[shard + 1] - from[shard]);
    forward_device_look(e);
    pass_gather(e, 0, host.at, host.ld, host.n_rows, from);
    if (e->rc == OK) d->table->put(d->device, buffer, host.at, host.ld, host.n_rows, from[n_shards]);
}

/* What the shards of the stage computed of a buffer's columns; with one shard nothing is done. host: its room here. */
static void exchange(struct engine *e, enum device_buffer buffer, struct strided host, const int *from)
{
    if (!e->col) return;
    if (!e->by_device[DEVICE_SHARDS])
        exchange_by_host(e, buffer, host, from);
    else
        record(e, (struct device_op){.kind = DEVICE_GATHER, .buffer = buffer, .n_rows = host.n_rows, .from = from});
}

static void exchange_y(struct engine *e)
{
    exchange(e, DEVICE_Y, (struct strided){e->y, e->ld_y, e->n_rows}, e->model.out_from);
}

static void record_add(struct engine *e, int norm, float step)
{
    record(e, (struct device_op){.kind = DEVICE_ADD, .norm = norm, .step = step});
}

static void exchange_attention(struct engine *e)
{
    exchange(e, DEVICE_ATTN, (struct strided){e->attn_out, e->ld_attn, e->n_rows}, e->device->attn_from);
}

static void record_attention(struct engine *e, const struct plan_entry *entry, int i_entry)
{
    const struct on_device *b = &e->device->blocks[entry->block];
    int n_window = e->model.blocks[entry->block].n_window, cache = entry->cache - e->cache_from;
    record_ready(e, DEVICE_X, b->norm_attn, i_entry);
    record_product(e, DEVICE_Q, b->q);
    record_product(e, DEVICE_K, b->k);
    record_product(e, DEVICE_V, b->v);
    record(e, (struct device_op){.kind = DEVICE_PLACE,
                                 .bias = {b->bias[0], b->bias[1], b->bias[2]},
                                 .norm_q = b->norm_q,
                                 .norm_k = b->norm_k,
                                 .cache = cache,
                                 .local = n_window > 0,
                                 .entry = i_entry});
    if (e->fills) return;
    record(e, (struct device_op){.kind = DEVICE_ATTEND, .cache = cache, .n_window = n_window});
    exchange_attention(e);
    record_ready(e, DEVICE_ATTN, DEVICE_NONE, i_entry);
    record_product(e, DEVICE_Y, b->o);
    exchange_y(e);
    record_add(e, b->norm_attn_out, entry->step);
}

/* ---- experts, as experts.c has them ---- */

/* Which experts each row needs: the router's scores come to the host. */
static void route(struct engine *e, const struct on_device *b)
{
    struct mixture *x = &e->mixture;
    const struct shape *s = &e->model.shape;
    const struct forward_device *d = e->device;
    record_product(e, DEVICE_SCORES, b->router);
    wait(e);
    if (e->rc != OK) return;
    d->table->get(d->device, x->scores, x->ld_scores, DEVICE_SCORES, e->n_rows, s->n_experts);
    forward_device_look(e);
    for (int i = 0; i < e->n_rows; i++)
        mixture_pick(x->picks + i * s->n_used, x->scores + (size_t)i * x->ld_scores, s->n_experts, s->n_used);
    mixture_sort(x, e->n_rows, s->n_experts, s->n_used);
    for (int i = 0; i < e->n_rows * s->n_used; i++) d->weights[x->pair_of[i]] = x->picks[i].weight;
}

/* Y += its weighed outputs of its pairs [pair, pair + n). */
static void record_expert(struct engine *e, const struct on_device *b, int k, int i_entry)
{
    const struct mixture *x = &e->mixture;
    int pair = x->from[k], n = x->from[k + 1] - pair;
    struct device_op op = {.norm = DEVICE_NONE, .entry = i_entry, .rows = x->row_of + pair, .n_rows = n}, ready = op;
    ready.kind = DEVICE_READY;
    ready.norm = b->norm_mlp;
    record(e, ready);
    record_product_of(e, DEVICE_FF, b->experts[k].gate, n);
    record_product_of(e, DEVICE_UP, b->experts[k].up, n);
    record(e, (struct device_op){.kind = DEVICE_ACTIVATE, .n_rows = n});
    exchange(e, DEVICE_FF, (struct strided){x->ff, e->ld_ff, n}, e->model.ff_from);
    ready.buffer = DEVICE_FF;
    ready.norm = DEVICE_NONE;
    ready.first = true;
    record(e, ready);
    record_product_of(e, DEVICE_PAIR, b->experts[k].down, n);
    op.kind = DEVICE_MIX;
    op.weights = e->device->weights + pair;
    record(e, op);
}

static void record_experts(struct engine *e, const struct on_device *b, int i_entry)
{
    route(e, b);
    record(e, (struct device_op){.kind = DEVICE_CLEAR});
    for (int k = 0; k < e->model.shape.n_experts && e->rc == OK; k++)
        if (e->mixture.from[k] < e->mixture.from[k + 1]) record_expert(e, b, k, i_entry);
}

/* ---- an entry ---- */

static void record_hidden(struct engine *e, const struct on_device *b, int i_entry)
{
    record_product(e, DEVICE_FF, b->gate);
    record_product(e, DEVICE_UP, b->up);
    record(e, (struct device_op){.kind = DEVICE_ACTIVATE});
    exchange(e, DEVICE_FF, (struct strided){e->ff, e->ld_ff, e->n_rows}, e->model.ff_from);
    record_ready(e, DEVICE_FF, DEVICE_NONE, i_entry);
    record_product(e, DEVICE_Y, b->down);
}

static void record_mlp(struct engine *e, const struct plan_entry *entry, int i_entry)
{
    const struct on_device *b = &e->device->blocks[entry->block];
    record_ready(e, DEVICE_X, b->norm_mlp, i_entry);
    if (b->experts)
        record_experts(e, b, i_entry);
    else
        record_hidden(e, b, i_entry);
    exchange_y(e);
    record_add(e, b->norm_mlp_out, entry->step);
}

/* This shard's ids of the pass: from its first one on. */
static int n_ids_here(const struct engine *e)
{
    const struct model *m = &e->model;
    int from = m->vocab_from[m->share.shard], to = m->vocab_from[m->share.shard + 1];
    return (to < e->n_ids ? to : e->n_ids) - from;
}

static int32_t within(int32_t i, int32_t n)
{
    return i < 0 ? 0 : i < n ? i : n;
}

/* Of a sampler that cuts, its best ids; of another, its greatest key. */
static struct device_ask ask_of(const struct engine_row *row)
{
    const struct sampler *s = row->sampler;
    bool cuts = s && truncates(s);
    if (!s || !samples(s) || cuts) return (struct device_ask){.best = cuts || row->ask->n_top > 0};
    return (struct device_ask){.inv_t = 1.0f / s->temp,
                               .seed = s->seed,
                               .sample = s->sample,
                               .position = s->offset + (uint32_t)row->pos + 1,
                               .best = row->ask->n_top > 0};
}

static bool chooses(const struct engine *e)
{
    return e->any_samples || e->n_best > 0;
}

static void record_head(struct engine *e)
{
    struct forward_device *d = e->device;
    int from = e->model.vocab_from[e->model.share.shard], n = n_ids_here(e), n_judge = e->n_judge_max;
    if (n <= 0 || e->n_wanted == 0) return;
    for (int i = 0; i < e->n_wanted; i++) {
        const struct engine_row *row = &e->rows[e->wanted[i]];
        d->limits[i] = within(id_limit(e, row) - from, n);
        d->asks[i] = ask_of(row);
        for (int k = 0; k < n_judge; k++) {
            int32_t id = k < (int)row->ask->n_judge ? row->ask->judge[k] - from : -1;
            d->judge[i * n_judge + k] = id < d->limits[i] ? id : -1;
        }
    }
    record(e, (struct device_op){.kind = DEVICE_HEAD,
                                 .matrix = d->head,
                                 .rows = d->limits,
                                 .n_rows = e->n_wanted,
                                 .judge = d->judge,
                                 .n_judge = n_judge,
                                 .n_ids = n,
                                 .whole = e->model.share.n_shards == 1,
                                 .asks = chooses(e) ? d->asks : NULL,
                                 .first_id = from,
                                 .n_best = e->n_best});
}

/* What rows chose, as what the one thread has found (head.h). */
static void note_chosen(struct engine *e, int from)
{
    struct forward_device *d = e->device;
    struct scratch *scratch = &e->scratch[0];
    d->table->chosen(d->device, d->picks, d->best);
    for (int i = 0; i < e->n_wanted; i++) {
        scratch->pick[i] = d->picks[i];
        if (d->picks[i].id != INT32_MAX) scratch->pick[i].id += from;
    }
    for (int i = 0; i < e->n_wanted * e->n_best; i++) {
        int32_t id = d->best[i].id;
        scratch->best[i] = (struct top){id == INT32_MAX ? id : id + from, d->best[i].logit};
    }
}

void forward_device_head(struct engine *e)
{
    struct forward_device *d = e->device;
    size_t shards = (size_t)e->model.share.n_shards, shard = (size_t)e->model.share.shard;
    int from = e->model.vocab_from[shard], n = n_ids_here(e), n_judge = e->n_judge_max;
    int n_parts = shards == 1 ? 1 : n_chunks_of(n);
    if (n <= 0 || e->n_wanted == 0 || e->rc != OK) return;
    d->table->head(d->device, d->parts, d->judged);
    for (int i = 0; i < e->n_wanted; i++) {
        struct head_part *part = d->parts + (size_t)i * (size_t)n_parts;
        for (int c = 0; c < n_parts; c++) part[c].id += from;
        memcpy(e->parts + ((size_t)i * (size_t)e->n_chunks + (size_t)(from / HEAD_CHUNK)) * 3, part,
               (size_t)n_parts * sizeof *part);
        for (int k = 0; k < n_judge; k++)
            e->judged[((size_t)i * shards + shard) * (size_t)n_judge + (size_t)k] = d->judged[i * n_judge + k];
    }
    if (chooses(e)) note_chosen(e, from);
}

void forward_device_head_again(void *arg, int t)
{
    struct engine *e = arg;
    record_head(e);
    wait(e);
    if (e->rc == OK) head_run(e, t);
}

/* The wanted rows, normed for the head; without one all rows are only looked at, as forward_run does. */
static void record_end(struct engine *e)
{
    struct device_op op = {.kind = DEVICE_READY, .buffer = DEVICE_X, .norm = DEVICE_NONE, .entry = e->to};
    if (e->heads) {
        op.norm = e->i_exit < 0 ? e->device->norm_out : e->device->norms_side[e->i_exit];
        op.rows = e->wanted;
        op.n_rows = e->n_wanted;
    }
    record(e, op);
    if (e->on_device) record_head(e);
}

void forward_device_run(void *arg, int t)
{
    struct engine *e = arg;
    struct forward_device *d = e->device;
    forward_turn_positions(e, t);
    for (int i = 0; i < e->n_rows; i++)
        d->rows[i] = (struct device_row){e->rows[i].slot, e->rows[i].pos, atomic_load(&e->bad_entry[i])};
    const struct engine_links links = engine_links(e);
    bool given = !links.receives && (!links.shares || e->model.share.shard == 0);
    d->table->begin(d->device, d->rows, e->n_rows, given ? e->x : NULL, e->cs);
    if (links.shares) record(e, (struct device_op){.kind = DEVICE_SHARE});
    for (int i = e->from; i < e->to; i++) {
        const struct plan_entry *entry = &e->plan->entries[i];
        if (entry->part & PART_ATTENTION) record_attention(e, entry, i);
        if ((entry->part & PART_MLP) && !e->fills) record_mlp(e, entry, i);
    }
    if (!e->fills) record_end(e);
    wait(e);
    if (e->rc != OK) return;
    d->table->end(d->device, d->rows, links.sends ? NULL : e->x);
    forward_device_look(e);
    if (e->rc != OK) return;
    for (int i = 0; i < e->n_rows; i++) atomic_store(&e->bad_entry[i], d->rows[i].bad);
    if (e->heads) head_run(e, t);
}

void forward_device_copy(struct engine *e, int to, int from, int n)
{
    e->device->table->copy(e->device->device, to, from, n);
}

void forward_device_send(struct engine *e, const int *rows, int n)
{
    e->device->table->send(e->device->device, rows, n);
    forward_device_look(e);
}

void forward_device_receive(struct engine *e, int n_rows, const int *rows, int n)
{
    e->device->table->receive(e->device->device, n_rows, rows, n);
    forward_device_look(e);
}

void forward_device_embed(struct engine *e, int32_t id, float *x)
{
    e->device->table->row(e->device->device, x, e->device->embed, id);
}

void forward_device_logits(struct engine *e, float *out, int row, int n_rows, int i_panel, int n)
{
    const struct forward_device *d = e->device;
    int head = e->listed ? d->heads_listed[e->listed - e->model.listed] : d->head;
    d->table->logits(d->device, out, HEAD_CHUNK, head, row, n_rows, i_panel, n);
}
