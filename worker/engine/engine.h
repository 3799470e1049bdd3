/* engine.h -- one worker's share of a model: a pass over rows of many sequences.
 *
 *   engine_open ─▶ engine_info (what a load will take) ─▶ engine_load ─▶ engine_embed, engine_pass ... ─▶ engine_close
 *
 * A pass takes rows (slot, position) with their hidden state x[n_rows, n_embd], runs this stage's plan entries over
 * them, writes K and V of each row into the cache, and leaves the new x in place. On the last stage it also answers
 * the rows that are wanted. Rows of one slot come in increasing position; a row sees the cache at positions up to its
 * own, so rewinding is just a pass at an earlier position.
 *
 * A model may have plans by which it drafts, and another one for some texts (other_plans.h). engine_run takes entries
 * of any: a draft's rows through what its plan shares with the served one are kept by the caller, and a later pass of
 * the served plan begins there with them.
 * The engine handles no text, and does not know which ids are drafts.
 */
#ifndef WORKER_ENGINE_ENGINE_H
#define WORKER_ENGINE_ENGINE_H

#include <stdint.h>

#include "kernels/device.h"
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
    const char *plan; /* a text of plan.h: what is run of the model; NULL: all of it. Borrowed during engine_open */
    const char *const *draft_plans; /* [DRAFT_PLANS_MOST] by which it drafts as well, NULL behind the last; NULL: by
                                       none. Borrowed likewise */
    const char *stage_share; /* weights by which stages take the plan's entries; NULL: by bytes. Borrowed likewise */
    /* Weights by which shards take heads, MLP and vocabulary; NULL: equal. Borrowed likewise. */
    const char *shard_share;
    bool requantize; /* a drafter's: fewer bits where the file has more than Q4_K (requantize.h) */
    const struct kernels *kernels;
    const struct device_table *device; /* computes the passes (forward_device.h); borrowed. NULL: the kernels do */
    int device_number;                 /* of those that its probe counts */
    const char *device_name;           /* for errors, borrowed; NULL: the table's */
    struct collective *collective;     /* borrowed; NULL with one shard */
    struct collective *stages;         /* the same shard of all stages; borrowed; NULL: rows go by messages alone */
    void (*note)(const char *text);    /* of a load: what people should know; NULL: nobody is told */
    int n_threads;
    bool spin; /* this host has a core for every thread */
    int max_rows;
    struct watch watch; /* gets the progress of engine_check and engine_load */
    /* Called again and again in a pass, on its thread: between blocks, and within what takes long (a product of many
     * rows, attention over a long text, experts, the head). An error is the pass's. NULL: none. */
    int (*between)(void *arg, struct err *err);
    void *between_arg;
};

struct draft_info {
    int n_entries; /* of the plan */
    int n_shared;  /* that it and the served plan begin with */
    int i_side;    /* of the blocks of side files, its own; -1: it has none */
    double cost;   /* weights that a drafted id reads, over those that one of the model's own does */
};

struct engine_info {
    struct shape shape;
    uint64_t model_hash, vocab_hash, plan_hash;
    uint64_t weights_bytes, kv_position_bytes;
    uint64_t body_bytes, head_bytes; /* what a pass of the served plan streams of the weights */
    double multiply_adds;            /* of one row with the head */
    int entry_from, entry_to;        /* of the served plan, that this stage runs */
    uint64_t gather_bytes;           /* that the stage's shards exchange for a row; without the head */
    uint64_t gather_float_bytes;     /* if all of it were floats */
    int n_heads;                     /* query heads of this shard */
    int n_drafts;                    /* plans for drafts */
    struct draft_info drafts[DRAFT_PLANS_MOST];
    int n_sides;               /* blocks of side files that drafts have: see engine_span.fills */
    const int *side_at;        /* [n_sides] borrowed: entries of the served plan before each, rising */
    int n_threads;             /* that compute its passes */
    struct plan_search search; /* for another plan than drafts[0]; share 0: it stays */
    const char *search_side;   /* borrowed: the path of its side file; NULL: there is none */
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

/* A pass over entries [from, to) of a plan, which this stage must have. The head follows the last entry of a plan for
 * drafts, and on the last stage that of the others; then *answers is set. */
enum engine_plan {
    ENGINE_SERVED,
    ENGINE_OTHER,
    ENGINE_SIDES /* for fills: an entry for each */,
    ENGINE_DRAFT /* + i */
};
struct engine_span {
    enum engine_plan plan;
    int from, to;
    const struct engine_row *rows;
    int n_rows;
    float *x;             /* [n_rows, n_embd] as entry `from` finds them; then as the entry behind `to` does */
    const int *bad_entry; /* [n_rows] engine_bad_entry of the entries before; NULL: no row is bad yet */
    bool fills;           /* only K and V of the one entry are computed: x stays as it is, and there is no head */
};
int engine_run(struct engine *e, const struct engine_span *span, const struct verdict_row **answers, struct err *err);

/* A pass of steps, which follow one another on the device. The wanted rows of the first have a row in each further one,
 * in their order, each at the next position: its id is the one chosen before. These rows are behind those of the first
 * step, and all wanted ones are greedy, have no extra ids and ask for nothing but the next id. Of x those of the first
 * step come, and none go. Bits and errors are those of single passes. */
int engine_steps(struct engine *e, const struct engine_row *rows, int n_rows, int n_steps, float *x,
                 const struct verdict_row **answers, struct err *err);
int engine_steps_most(const struct engine *e); /* after engine_load; 1: it cannot */

/* After engine_load: which hidden rows go from device to device, and not through x of a pass. shares: those of shard 0
 * are the first stage's; x of the others is not read. receives: they come from the stage before, by engine_receive; x
 * is not read. sends: they go to the next one, by engine_send; x is not written. With a plan for drafts none do. */
struct engine_links {
    bool shares, receives, sends;
};
struct engine_links engine_links(const struct engine *e);

/* Rows rows[n] of the last pass, ascending, go to the next stage. Of n_rows that come from the one before, rows[n] are
 * those of the next pass. */
int engine_send(struct engine *e, const int *rows, int n, struct err *err);
int engine_receive(struct engine *e, int n_rows, const int *rows, int n, struct err *err);

/* K and V of a slot's first n positions, in all caches of this stage, are copied to another slot. */
int engine_copy(struct engine *e, int to, int from, int n, struct err *err);

/* Makes the plan of a text (plan.h) the other one, in the caches of the served plan's entries; sets which of its
 * entries this stage runs. E_MODEL: it does not fit the model or the served plan. E_LAYOUT: it does not run through the
 * stages in order. */
int engine_set_other(struct engine *e, const char *text, int *from, int *to, struct err *err);

/* With a search: makes the plan of a text (plan.h) that of the drafts; engine_info tells what changes. Errors: as
 * engine_set_other. */
int engine_set_draft(struct engine *e, const char *text, struct err *err);
/* With a search (engine_info.search): the served plan, and what its entries cost, of this stage. Borrowed. */
const struct plan *engine_served(const struct engine *e);
const struct part_cost *engine_part_costs(const struct engine *e);

/* K and V of positions [from, from + n) of a slot, in all caches of this stage, to `kept` and back: what is computed
 * between the two leaves no trace. kept: of n times engine_info.kv_position_bytes. */
void engine_keep_kv(const struct engine *e, int slot, int from, int n, void *kept);
void engine_put_kv(struct engine *e, int slot, int from, int n, const void *kept);

/* The entry in which a number of row i of the last pass was not finite. */
enum { ENGINE_NOT_BAD = -1 };
int engine_bad_entry(const struct engine *e, int i_row);

/* E_MODEL: row i of the last pass has a number that is not finite (the error names block and position). Its K, V, x and
 * answer are then undefined, and so are those of later rows of its slot; all other rows have the bits that they have
 * without it. All shards of a stage agree on it. */
int engine_row_error(const struct engine *e, int i_row, struct err *err);

#endif
