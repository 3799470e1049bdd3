/* model.h -- a model file as shapes and panels: which tensors there are, and which of their rows this shard keeps.
 *
 * model_open reads only the directory of the file: shapes, formats, this shard's rows, and how many bytes a load will
 * take (model_load.h fills the panels).
 *
 * How a model is split (kernels/ARITHMETIC.md, Tensor parallel): stages take plan entries by bytes, counting the head,
 * or by given weights. Shards take, equally or by weights, whole query heads with the KV heads that these need, rows of
 * the MLP in blocks as the next product quantizes them, panels of the outputs, and the vocabulary in chunks of 1024.
 * Only shard 0 of the first stage has the embedding; the last stage has a head, and the first one too where its drafts
 * exit.
 */
#ifndef WORKER_ENGINE_MODEL_H
#define WORKER_ENGINE_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/kernels.h"
#include "proto/err.h"
#include "proto/files/side.h"
#include "proto/plan.h"
#include "worker/engine/shape.h"

enum { MAX_SHARDS = 256 };

struct share {
    int stage, n_stages, shard, n_shards;
};

struct model_config { /* borrowed during model_open */
    const char *path;
    struct share share;
    const char *plan;                  /* plan.h; NULL: the plain one */
    const char *const *draft_plans;    /* [DRAFT_PLANS_MOST] other_plans.h; NULL behind the last */
    const char *stage_share;           /* layout_read_share; NULL: by bytes */
    const char *shard_share;           /* likewise; NULL: equal */
    bool requantize;                   /* matrices of more bits become Q4_1 (requantize.h) */
    const struct device_table *device; /* that will have the weights; NULL: this CPU */
};

struct expert {
    struct weights gate, up, down;
};

struct block {
    int n_window;                        /* positions that a row sees, its own included; 0: all */
    float *norm_attn, *norm_mlp;         /* [n_embd] */
    float *norm_attn_out, *norm_mlp_out; /* [n_embd] of what is added to x (gemma3); NULL: none */
    float *bias_q, *bias_k, *bias_v;     /* this shard's rows; NULL: none */
    float *norm_q, *norm_k;              /* [d_head] of each head, before its rotation (qwen3, gemma3); NULL: none */
    struct weights q, k, v, o, gate, up, down;
    struct weights router;  /* [n_experts, n_embd], on every shard; empty without experts */
    struct expert *experts; /* [n_experts] owns; NULL: none. With experts gate, up and down are empty */
};

struct draft_plan {   /* by which the first stage drafts */
    struct plan plan; /* no entries: none */
    int n_shared;     /* entries that it and the served plan begin with: the draft computes what that would */
    double cost;      /* bytes of weights that a drafted id reads, over those of one that all stages compute */
};

struct side_file {
    struct side side;
    int first; /* its exits' blocks are the model's n_blocks + first, and so on */
};

struct listed_head { /* of the plans with this list of ids: row i is that of ids[i] */
    int32_t *ids;    /* [n_ids] owns */
    int n_ids;
    struct weights head; /* this shard's rows, cut as a vocabulary of n_ids */
    int from[MAX_SHARDS + 1];
};

struct model {
    struct gguf file; /* open until model_load is done */
    struct shape shape;
    struct plan plan; /* of the whole model; this stage runs entries [entry_from, entry_to) */
    struct share share;
    int entry_from, entry_to;
    struct draft_plan drafts[DRAFT_PLANS_MOST];
    int n_drafts;
    struct plan_search search;    /* for other plans for the one of them; share 0: there is none */
    char *search_side;            /* owns: the path of its side file; NULL: there is none */
    struct part_cost *part_costs; /* [entry_to] owns: with a search, of the first stage */
    struct plan other;            /* that is run for some texts; this stage runs its entries [other_from, other_to) */
    int other_from, other_to;

    /* from[i] .. from[i+1]: shard i's part. */
    int heads_from[MAX_SHARDS + 1]; /* query heads */
    int ff_from[MAX_SHARDS + 1];    /* rows of the MLP */
    int out_from[MAX_SHARDS + 1];   /* rows of what is added to x */
    int vocab_from[MAX_SHARDS + 1]; /* ids */
    int kv_from, kv_to;             /* KV heads of this shard */

    struct side_file side_files[DRAFT_PLANS_MOST]; /* of the served plan, or of those for drafts */
    int n_side_files;
    float *norm_side[SIDE_EXITS_MOST]; /* [n_embd] of each of their exits that is here */
    /* Their blocks, an entry each with a cache of its own: of the plans for drafts, or all among which a search
     * chooses. Entry i reads what side_at[i] of the served plan's entries leave. */
    struct plan sides;
    int side_at[SIDE_EXITS_MOST];
    struct block *blocks; /* [n_blocks + SIDE_EXITS_MOST] owns; only the parts that this stage's entries name are
                             filled */
    float *norm_out;      /* [n_embd], with the head */
    float *rope_factors;  /* [d_head/2] divisors of the frequencies (Llama 3); NULL: none */
    struct weights embed; /* all rows: first stage, shard 0 */
    struct weights head;  /* this shard's rows, where one is; a view of embed where both are here and tied */
    struct listed_head listed[DRAFT_PLANS_MOST + 1];
    int n_listed;
    size_t n_bytes;    /* memory that a load takes, of the device if there is one: panels and float tensors */
    size_t body_bytes; /* what a pass streams without the head (an embedding is only looked up) */
    size_t head_bytes;
    double multiply_adds;      /* of one row through body and head */
    uint64_t hash;             /* of the tensor directory and the first bytes of each tensor */
    uint64_t vocab_hash;       /* of the tokens and their types */
    bool any_float, any_quant; /* formats of this share's products */
    bool requantize;           /* matrices of more bits become Q4_1 (requantize.h) */
    uint8_t *memory;           /* owns: one mapping of n_bytes */
};

/* E_MODEL: not a model that runs here (the error names format or architecture), or not one that the plan fits.
 * E_LAYOUT: more stages than entries of the plan, or more shards than heads. */
int model_open(struct model *m, const struct model_config *c, const struct kernels *k, struct err *err);
void model_close(struct model *m);
/* When all is loaded: its files are not read again. */
void model_close_files(struct model *m);

/* Opens the side file at `path`, which one of m's plans names, unless it is open. E_MODEL: it is none. */
int model_open_side(struct model *m, const char *path, struct side_file **out, struct err *err);
/* Exits of all of them, and so blocks behind the model's own. */
int model_n_side_exits(const struct model *m);
/* That a plan's list of ids has; NULL: it has no list. */
struct listed_head *model_listed(struct model *m, const struct plan *p);

/* Everything that this share keeps. The caller calls pieces_free after an error too. */
struct pieces;
int model_pieces(struct model *m, struct pieces *p, struct err *err);

/* Of the mapping: whole huge pages. */
static inline size_t model_memory_bytes(const struct model *m)
{
    const size_t huge_page = 2 << 20;
    return (m->n_bytes + huge_page - 1) / huge_page * huge_page;
}

static inline bool model_first(const struct model *m)
{
    return m->share.stage == 0;
}
static inline bool model_last(const struct model *m)
{
    return m->share.stage == m->share.n_stages - 1;
}
static inline bool model_has_head(const struct model *m)
{
    return model_last(m) || m->n_drafts > 0;
}

#endif
