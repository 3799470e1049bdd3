/* pass.h -- what the threads of one pass share: the inside of the engine, and steps that several files use.
 *
 *   engine_pass ─▶ forward_run ─▶ experts_run          every thread of the pool runs them: each computes its part of
 *                      └────────▶ head_run             the rows, panels or heads, and waits for the others at barriers
 *   engine_pass ─▶ sample_answers                      one thread
 */
#ifndef WORKER_ENGINE_PASS_H
#define WORKER_ENGINE_PASS_H

#include <stdatomic.h>

#include "kernels/pool.h"
#include "worker/engine/buffers.h"
#include "worker/engine/collective.h"
#include "worker/engine/engine.h"
#include "worker/engine/engine_row.h"
#include "worker/engine/kv.h"
#include "worker/engine/mixture.h"
#include "worker/watch.h"

enum { HEAD_ROWS = 16 }; /* rows whose logits a thread holds at once */

struct scratch {                     /* of one thread */
    float *row;                      /* [max(n_embd, n_ff) + PANEL] */
    float *attn;                     /* of attention_rows, of the query heads of a KV head */
    struct attention_row *attn_rows; /* [max_rows] */
    float *logits;                   /* [HEAD_ROWS, HEAD_CHUNK], last stage */
    struct top *best;       /* [n_wanted, n_best], logits in place of lp: best first, of this thread's chunks */
    struct head_pick *pick; /* [max_rows]: of those that sample from all ids */
    size_t best_room;
};

struct engine {
    char *path;  /* owns */
    char *other; /* owns: the text of the model's other plan; NULL: there is none */
    struct pair_part pair;
    uint64_t late_ns; /* timed.h */
    struct model model;
    const struct kernels *k;
    struct collective *col, *stages;  /* borrow; NULL with one shard; with one stage */
    bool by_device[N_DEVICE_COMMS];   /* rows are exchanged so (collective_device.h) */
    void (*note)(const char *text);   /* NULL: nobody is told */
    const struct device_table *table; /* borrows; NULL: this CPU computes. Then there is one thread, and no kv here */
    int device_number;
    const char *device_name;       /* borrows */
    struct forward_device *device; /* owns: forward_device.h */
    float *factors;                /* owns: the model's rope_factors, where a device has the rest */
    struct pool *pool;
    struct kv kv;
    struct watch watch; /* of the load */
    int (*between)(void *arg, struct err *err);
    void *between_arg;
    int max_rows, n_threads, n_slots, n_ctx, n_chunks;
    int cache_from;    /* the first cache of this stage's entries: kv counts from it */
    double *rope_freq; /* [2, d/2] base^(-2i/d) / (factor * scale); then those of blocks with a window */

    /* One pass: buffers of max_rows rows. Rows of a product's output are padded by a panel. */
    const struct plan *plan; /* of the model: one of its own */
    int from, to;            /* entries of it */
    bool heads;              /* the head follows */
    bool fills;              /* only K and V of entry `from` */
    int i_exit;              /* of the side files' exits, the plan's, whose norm is the head's; -1: it has none */
    /* The head of this plan: row i is that of id ids[i], or i. */
    const struct listed_head *listed; /* of the plan; NULL: it has no list of ids */
    const struct weights *head;
    const int32_t *ids;   /* NULL: all */
    const int *head_from; /* [n_shards + 1] each shard's rows */
    int n_choices;        /* rows that may be chosen, over all shards */
    const struct engine_row *rows;
    int n_rows;
    float *x;                       /* borrows: the caller's hidden rows */
    struct acts norm, attn, hidden; /* made ready for: qkv, gate and up, head; o; down */
    float *q, *k_new, *v_new;       /* [max_rows, ld_*] */
    float *attn_out, *ff, *up, *y;
    float *sent; /* of gather_acts.h; NULL with one shard */
    struct mixture mixture;
    size_t ld_q, ld_kv, ld_attn, ld_ff, ld_y;
    float *cs; /* [2, max_rows, d/2, 2] cosine and sine of position * rope_freq */
    struct scratch *scratch;

    /* The head's answers. */
    int n_wanted, n_judge_max;
    int n_ids; /* the greatest id_limit of the rows */
    bool any_samples;
    bool on_device;   /* the device reduces the logits; with one shard, `parts` then has one part a row */
    int n_best;       /* ids that each shard offers for a row: enough for its top ids, and for its top-k, -p, min-p */
    int *wanted;      /* [max_rows] indexes of rows */
    float *parts;     /* [max_rows, n_chunks, 3] struct head_part */
    float *judged;    /* [n_wanted, n_shards * n_judge_max]: each shard's logits of the ids in its part */
    struct top *best; /* [n_wanted, n_shards, n_best], logits in place of lp: each shard's best, best first */
    struct head_pick *picks;     /* [max_rows, n_shards] */
    struct verdict_row *answers; /* [max_rows] */
    float *lp_judged;            /* [n_wanted, n_judge_max] */
    struct top *top;             /* [n_wanted, ENGINE_TOP_MOST] */
    struct top *merged;          /* [n_shards * n_best]: of one row */
    size_t judged_room, best_room, lp_judged_room, top_room, merged_room;

    /* [max_rows] The plan entry in which a number of the row was not finite; ENGINE_NOT_BAD: all were. */
    _Atomic int *bad_entry;
    int rc; /* of the whole pass, with err */
    struct err err;
};

struct strided { /* rows of floats, ld apart */
    float *at;
    size_t ld;
    int n_rows;
};

static inline int n_panels(const struct weights *w)
{
    return (w->n_out + PANEL - 1) / PANEL;
}

static inline int n_chunks_of(int n_ids)
{
    return (n_ids + HEAD_CHUNK - 1) / HEAD_CHUNK;
}

/* Rows of the head below it may be chosen. */
static inline int id_limit(const struct engine *e, const struct engine_row *row)
{
    return row->n_ids > 0 && row->n_ids < e->n_choices ? row->n_ids : e->n_choices;
}

/* Of e->parts, for the ids below it; behind them is the part of the extra ids. */
static inline int n_parts_of(const struct engine *e, const struct engine_row *row)
{
    return e->on_device && e->model.share.n_shards == 1 ? 1 : n_chunks_of(id_limit(e, row));
}

/* The id of a row of the head. */
static inline int32_t id_of(const struct engine *e, int32_t i_row)
{
    return e->ids ? e->ids[i_row] : i_row;
}

static inline bool samples(const struct sampler *s)
{
    return s->temp >= TEMP_LEAST;
}

/* Not all ids may be chosen. */
static inline bool truncates(const struct sampler *s)
{
    return samples(s) && (s->top_k > 0 || s->top_p < 1 || s->min_p > 0);
}

/* Greater logit (or key) first, then the smaller id. */
static inline bool better(float a, int32_t id_a, float b, int32_t id_b)
{
    return a > b || (a == b && id_a < id_b);
}

static inline bool row_is_bad(const struct engine *e, int i_row)
{
    return atomic_load(&e->bad_entry[i_row]) != ENGINE_NOT_BAD;
}

/* Row i_row of `a` from x; records a number that is not finite. */
void pass_quantize(struct engine *e, struct acts *a, int i_row, const float *x, int i_entry, int i_pass_row);
/* This thread's panels of out = w . a. Without a barrier. */
void pass_product(struct engine *e, int i_thread, struct strided out, const struct weights *w, const struct acts *a);
/* gate = activation(gate) * up, in the columns that this thread computed in pass_product of `w`: no barrier is needed
 * between the two. */
void pass_activate(struct engine *e, int i_thread, float *gate, const float *up, const struct weights *w, int n_rows);
/* Thread 0 lets the caller look at its messages; the others do nothing. */
void pass_between(struct engine *e, int i_thread);
/* Thread 0 gathers, between two barriers; with one shard nothing is done. */
void pass_gather(struct engine *e, int i_thread, float *buf, size_t ld, int n_rows, const int *from);
/* Gathers y, after a barrier. A row that is bad on one shard is bad on all afterwards, so that shards never differ. */
void pass_gather_y(struct engine *e, int i_thread);

#endif
