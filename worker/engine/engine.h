/* engine.h -- one worker's share of a model: a pass over rows of many sequences.
 *
 *   engine_open ─▶ engine_info (what a load will take) ─▶ engine_load ─▶ engine_embed, engine_pass ... ─▶ engine_close
 *
 * A pass takes rows (slot, position) with their hidden state x[n_rows, n_embd], runs this stage's plan entries over
 * them, writes K and V of each row into the cache, and leaves the new x in place. On the last stage it also answers
 * the rows that are wanted. Rows of one slot come in increasing position; a row sees the cache at positions up to its
 * own, so rewinding is just a pass at an earlier position. The engine handles no text and no drafts.
 */
#ifndef WORKER_ENGINE_ENGINE_H
#define WORKER_ENGINE_ENGINE_H

#include <stdint.h>

#include "kernels/kernels.h"
#include "proto/err.h"
#include "proto/synthetic.h"
#include "worker/engine/collective.h"
#include "worker/engine/engine_row.h"
#include "worker/engine/model.h"
#include "worker/watch.h"

struct engine;

struct pair_part {                     /* of a pair without models */
    const struct synthetic *synthetic; /* borrowed; NULL: there is a model */
    bool little;
};

struct engine_config {
    const char *path;
    struct pair_part pair; /* in place of a model (timed.h); path is then its name */
    struct share share;
    bool requantize; /* a drafter's: fewer bits where the file has more than Q4_K (requantize.h) */
    const struct kernels *kernels;
    struct collective *collective; /* borrowed; NULL with one shard */
    int n_threads;
    bool spin; /* this host has a core for every thread */
    int max_rows;
    struct watch watch; /* gets the progress of engine_check and engine_load */
    /* Called again and again in a pass, on its thread: between blocks, and within what takes long (a product of many
     * rows, attention over a long text, experts, the head). An error is the pass's. NULL: none. */
    int (*between)(void *arg, struct err *err);
    void *between_arg;
};

struct engine_info {
    struct shape shape;
    uint64_t model_hash, vocab_hash, plan_hash;
    uint64_t weights_bytes, kv_position_bytes;
    uint64_t body_bytes, head_bytes; /* what a pass streams of the weights */
    double multiply_adds;            /* of one row with the head */
};

int engine_open(struct engine **out, const struct engine_config *config, struct err *err);
void engine_close(struct engine *e);
void engine_info(const struct engine *e, struct engine_info *out);

/* gguf_keys of the model's file; before engine_load only. */
uint8_t *engine_metadata(const struct engine *e, size_t *n_bytes);

/* Whether the weights can be loaded (check.h), before engine_load or instead of it. */
int engine_check(struct engine *e, struct err *err);

/* Memory for n_slots sequences of n_ctx positions, and the weights. */
int engine_load(struct engine *e, int n_slots, int n_ctx, struct err *err);

/* x[n, n_embd] = embeddings of ids; first stage, shard 0. Ids are below n_vocab. */
void engine_embed(struct engine *e, const int32_t *ids, int n, float *x);

/* 1 <= n_rows <= max_rows. On the last stage answers[i] is set for the i-th wanted row and borrowed until the next
 * pass. An error is one of the whole pass; errors of single rows: */
int engine_pass(struct engine *e, const struct engine_row *rows, int n_rows, float *x,
                const struct verdict_row **answers, struct err *err);

/* E_MODEL: row i of the last pass has a number that is not finite (the error names block and position). Its K, V, x and
 * answer are then undefined, and so are those of later rows of its slot; all other rows have the bits that they have
 * without it. All shards of a stage agree on it. */
int engine_row_error(const struct engine *e, int i_row, struct err *err);

#endif
