/* run.h -- what the threads of one pass share: the inside of the engine, for forward.c and head.c. */
#ifndef WORKER_ENGINE_RUN_H
#define WORKER_ENGINE_RUN_H

#include <stdatomic.h>

#include "kernels/pool.h"
#include "worker/engine/engine.h"
#include "worker/engine/kv.h"

enum { HEAD_ROWS = 16 }; /* rows whose logits a thread holds at once */

struct scratch {   /* of one thread */
    float *row;    /* [max(n_embd, n_ff) + PANEL] */
    float *attn;   /* [ATTN_CHUNK + d_head] */
    float *logits; /* [HEAD_ROWS, HEAD_CHUNK], last stage */
};

struct engine {
    char *path; /* owns */
    struct model model;
    const struct kernels *k;
    struct collective *col; /* borrows; NULL with one shard */
    struct pool *pool;
    struct kv kv;
    int max_rows, n_threads, n_slots, n_ctx, n_ids, n_chunks;
    int cache_from;    /* the first cache of this stage's entries: kv counts from it */
    double *rope_freq; /* [d/2] base^(-2i/d) */

    /* One pass: buffers of max_rows rows. Rows of a product's output are padded by a panel. */
    const struct engine_row *rows;
    int n_rows;
    float *x;                       /* borrows: the caller's hidden rows */
    struct acts norm, attn, hidden; /* made ready for: qkv, gate and up, head; o; down */
    float *q, *k_new, *v_new;       /* [max_rows, ld_*] */
    float *attn_out, *ff, *up, *y;
    size_t ld_q, ld_kv, ld_attn, ld_ff, ld_y;
    float *cs; /* [max_rows, d/2, 2] */
    struct scratch *scratch;

    /* The head's answers. */
    int n_wanted, n_judge_max, n_top_max;
    int *wanted;        /* [max_rows] indexes of rows */
    float *parts;       /* [max_rows, n_chunks, 3] struct head_part */
    float *judged;      /* [max_rows, n_shards * n_judge_max]: each shard's logits of the ids in its part */
    size_t judged_room; /* floats */
    float *tops;        /* [max_rows, n_chunks, 2 * n_top_max] (logit, id) of each chunk's best */
    size_t tops_room;
    struct verdict_row *answers; /* [max_rows] */
    float *lp_judged;
    struct top *top;
    size_t lp_judged_room, top_room;

    /* The first thing that went wrong in this pass: (plan entry << 32 | row), or all ones. */
    _Atomic uint64_t bad;
    int rc;
    struct err err;
};

static inline int n_panels(const struct weights *w)
{
    return (w->n_out + PANEL - 1) / PANEL;
}

/* Every thread of the pool runs this: the pass, and on the last stage the head. */
void forward_run(void *engine, int i_thread);
void head_run(struct engine *e, int i_thread);
/* Room for what the head leaves, before a pass; what the shards gathered turned into answers, after it. One thread. */
int head_room(struct engine *e, struct err *err);
void head_answers(struct engine *e);

/* x of row i -> its place in `a`; notes a number that is not finite. */
void run_quantize(struct engine *e, struct acts *a, int i_row, const float *x, int i_entry, int i_pass_row);
/* Thread 0 gathers between two barriers; nothing with one shard. */
void run_gather(struct engine *e, int i_thread, float *buf, size_t ld, int n_rows, const int *from);

#endif
