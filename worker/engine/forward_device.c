#include "worker/engine/forward_device.h"

#include <stdlib.h>
#include <string.h>

#include "kernels/device.h"
#include "proto/clock.h"
#include "worker/engine/check.h"
#include "worker/engine/forward.h"
#include "worker/engine/head.h"
#include "worker/engine/pass.h"
#include "worker/engine/pieces.h"

enum { LOOK_NS = 50000000 }; /* between two looks at the messages */

struct on_device { /* a block's matrices and vectors; DEVICE_NONE: it has none */
    int q, k, v, o, gate, up, down;
    int norm_attn, norm_mlp, norm_attn_out, norm_mlp_out, bias[3], norm_q, norm_k;
};

struct forward_device {
    const struct device_table *table; /* borrows */
    struct device *device;            /* owns */
    struct on_device *blocks;         /* [n_blocks] owns */
    int embed, head, norm_out;
    struct device_row *rows; /* [max_rows] owns */
};

int forward_device_check(const struct engine *e, struct err *err)
{
    const struct device_table *table = e->table;
    const struct model *m = &e->model;
    const char *lacks = m->share.n_shards > 1           ? "shards of a stage: use --tp 1"
                        : m->shape.n_experts            ? "models with experts"
                        : m->plan.side || m->draft.side ? "plans with a side file"
                        : m->requantize                 ? "requantized weights: use --little-quant file"
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
    free(d->rows);
    free(d);
}

/* ---- load ---- */

static int load_matrix(struct engine *e, const struct piece *p, int *handle, struct err *err)
{
    struct forward_device *d = e->device;
    int n_out = p->row_to - p->row_from;
    *handle = d->table->matrix(d->device, (enum quant)p->tensor->type, (int)p->tensor->dim[0], n_out);
    if (*handle < 0) return err_set(err, E_LAYOUT, "%s: the device has no memory for the weights", e->path);
    for (int panel = 0; panel * PANEL < n_out; panel++) {
        const void *rows[PANEL];
        if (!check_panel(p, panel, rows)) return check_failed(p, e->path, err);
        d->table->fill(d->device, *handle, panel, rows);
    }
    return OK;
}

static int load_vector(struct engine *e, const struct piece *p, int *handle, struct err *err)
{
    int n = p->row_to - p->row_from;
    const float *x = (const float *)p->tensor->data + p->row_from;
    if (!check_vector(p)) return check_failed(p, e->path, err);
    *handle = e->device->table->vector(e->device->device, x, n);
    if (*handle < 0) return err_set(err, E_LAYOUT, "%s: the device has no memory for the weights", e->path);
    return OK;
}

static int load_pieces(struct engine *e, const struct pieces *p, int *handles, struct err *err)
{
    int rc = OK;
    uint64_t n_bytes = 0;
    for (int i = 0; i < p->n && rc == OK; i++) {
        const struct piece *piece = &p->list[i];
        rc = piece->matrix ? load_matrix(e, piece, &handles[i], err) : load_vector(e, piece, &handles[i], err);
        n_bytes += piece_bytes(piece, e->k);
        gguf_release(&e->model.file, piece->tensor);
        if (rc == OK) watch_show(&e->watch, "loading", NULL, n_bytes, e->model.n_bytes);
    }
    return rc;
}

/* Where the piece went that is of this matrix or vector. */
static int handle_of(const struct pieces *p, const int *handles, const void *of)
{
    for (int i = 0; i < p->n; i++)
        if ((const void *)p->list[i].matrix == of || (const void *)p->list[i].vector == of) return handles[i];
    return DEVICE_NONE;
}

static void note_handles(struct engine *e, const struct pieces *p, const int *handles)
{
    const struct model *m = &e->model;
    struct forward_device *d = e->device;
    for (int i = 0; i < m->shape.n_blocks; i++) {
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
        for (size_t j = 0; j < sizeof list / sizeof *list; j++) *list[j].to = handle_of(p, handles, list[j].of);
    }
    d->embed = handle_of(p, handles, &m->embed);
    d->head = handle_of(p, handles, &m->head);
    if (d->head < 0) d->head = d->embed; /* tied */
    d->norm_out = handle_of(p, handles, &m->norm_out);
}

static int open_device(struct engine *e, int n_slots, int n_ctx, struct err *err)
{
    const struct shape *s = &e->model.shape;
    const char *why = "out of memory";
    const struct device_shape shape = {.max_rows = e->max_rows,
                                       .n_embd = s->n_embd,
                                       .n_head = s->n_head,
                                       .n_head_kv = s->n_head_kv,
                                       .d_head = s->d_head,
                                       .n_ff = s->n_ff,
                                       .n_caches = e->kv.n_caches,
                                       .n_slots = n_slots,
                                       .n_ctx = n_ctx,
                                       .eps = s->eps,
                                       .q_scale = s->q_scale,
                                       .rope_neox = s->rope_neox,
                                       .gelu = s->gelu};
    struct forward_device *d = e->device = calloc(1, sizeof *d);
    if (d) d->table = e->table;
    if (!d || !(d->rows = calloc((size_t)e->max_rows, sizeof *d->rows)) ||
        !(d->blocks = calloc((size_t)s->n_blocks, sizeof *d->blocks)) || !(d->device = e->table->open(&shape, &why)))
        return err_set(err, E_LAYOUT, "%s: the device %s: %s", e->path, e->table->name, why);
    return OK;
}

/* The host turns positions: it needs the factors. */
static int copy_factors(struct engine *e, const struct pieces *p, struct err *err)
{
    for (int i = 0; i < p->n; i++) {
        if (p->list[i].vector != &e->model.rope_factors) continue;
        size_t n = (size_t)(e->model.shape.d_head / 2);
        if (!(e->factors = malloc(n * sizeof *e->factors))) return err_set(err, E_LAYOUT, "out of memory");
        memcpy(e->factors, p->list[i].tensor->data, n * sizeof *e->factors);
        e->model.rope_factors = e->factors;
    }
    return OK;
}

int forward_device_load(struct engine *e, int n_slots, int n_ctx, struct err *err)
{
    struct pieces p;
    int *handles = NULL, rc = model_pieces(&e->model, &p, err);
    if (rc == OK) rc = open_device(e, n_slots, n_ctx, err);
    if (rc == OK && !(handles = calloc((size_t)p.n, sizeof *handles))) rc = err_set(err, E_LAYOUT, "out of memory");
    if (rc == OK) rc = load_pieces(e, &p, handles, err);
    if (rc == OK) rc = copy_factors(e, &p, err);
    if (rc == OK) note_handles(e, &p, handles);
    if (rc == OK) gguf_close(&e->model.file);
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

static void record_product(struct engine *e, enum device_buffer buffer, int matrix)
{
    record(e, (struct device_op){.kind = DEVICE_PRODUCT, .buffer = buffer, .matrix = matrix});
}

static void record_add(struct engine *e, int norm, float step)
{
    record(e, (struct device_op){.kind = DEVICE_ADD, .norm = norm, .step = step});
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
                                 .local = n_window > 0});
    record(e, (struct device_op){.kind = DEVICE_ATTEND, .cache = cache, .n_window = n_window});
    record_ready(e, DEVICE_ATTN, DEVICE_NONE, i_entry);
    record_product(e, DEVICE_Y, b->o);
    record_add(e, b->norm_attn_out, entry->step);
}

static void record_mlp(struct engine *e, const struct plan_entry *entry, int i_entry)
{
    const struct on_device *b = &e->device->blocks[entry->block];
    record_ready(e, DEVICE_X, b->norm_mlp, i_entry);
    record_product(e, DEVICE_FF, b->gate);
    record_product(e, DEVICE_UP, b->up);
    record(e, (struct device_op){.kind = DEVICE_ACTIVATE});
    record_ready(e, DEVICE_FF, DEVICE_NONE, i_entry);
    record_product(e, DEVICE_Y, b->down);
    record_add(e, b->norm_mlp_out, entry->step);
}

/* The wanted rows, normed for the head; without one all rows are only looked at, as forward_run does. */
static void record_end(struct engine *e)
{
    struct device_op op = {.kind = DEVICE_READY, .buffer = DEVICE_X, .norm = DEVICE_NONE, .entry = e->to};
    if (e->heads) {
        op.norm = e->device->norm_out;
        op.rows = e->wanted;
        op.n_rows = e->n_wanted;
    }
    record(e, op);
}

static void wait(struct engine *e)
{
    int done = 0;
    e->device->table->run(e->device->device);
    while (e->rc == OK && done == 0) {
        done = e->device->table->poll(e->device->device, clock_now_ns() + LOOK_NS);
        pass_between(e, 0);
    }
    if (e->rc == OK && done < 0) e->rc = err_set(&e->err, E_PEER, "the device %s is lost", e->table->name);
}

void forward_device_run(void *arg, int t)
{
    struct engine *e = arg;
    struct forward_device *d = e->device;
    forward_turn_positions(e, t);
    for (int i = 0; i < e->n_rows; i++)
        d->rows[i] = (struct device_row){e->rows[i].slot, e->rows[i].pos, atomic_load(&e->bad_entry[i])};
    d->table->begin(d->device, d->rows, e->n_rows, e->x, e->cs);
    for (int i = e->from; i < e->to; i++) {
        const struct plan_entry *entry = &e->plan->entries[i];
        if (entry->part & PART_ATTENTION) record_attention(e, entry, i);
        if (entry->part & PART_MLP) record_mlp(e, entry, i);
    }
    record_end(e);
    wait(e);
    if (e->rc != OK) return;
    d->table->end(d->device, d->rows, e->x);
    for (int i = 0; i < e->n_rows; i++) atomic_store(&e->bad_entry[i], d->rows[i].bad);
    if (e->heads) head_run(e, t);
}

void forward_device_copy(struct engine *e, int to, int from, int n)
{
    e->device->table->copy(e->device->device, to, from, n);
}

void forward_device_embed(struct engine *e, int32_t id, float *x)
{
    e->device->table->row(e->device->device, x, e->device->embed, id);
}

void forward_device_logits(struct engine *e, float *out, int row, int n_rows, int i_panel, int n)
{
    const struct forward_device *d = e->device;
    d->table->logits(d->device, out, HEAD_CHUNK, d->head, row, n_rows, i_panel, n);
}
