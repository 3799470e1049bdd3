#include "worker/engine/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "proto/files/gguf_blocks.h"
#include "proto/files/gguf_open.h"
#include "proto/layout.h"
#include "proto/prefix_hash.h"
#include "worker/engine/other_plans.h"
#include "worker/engine/pieces.h"

/* ---- tensors ---- */

/* Of every expert of a block this shard's rows. */
static int add_experts(struct model *m, struct pieces *p, int i_block, struct err *err)
{
    const struct shape *s = &m->shape;
    struct block *b = &m->blocks[i_block];
    int r = m->share.shard, n_ff = s->n_ff, n = s->n_embd;
    const struct gguf_tensor *gate = pieces_stack(p, "ffn_gate_exps.weight", n, n_ff, s->n_experts, err),
                             *up = gate ? pieces_stack(p, "ffn_up_exps.weight", n, n_ff, s->n_experts, err) : NULL,
                             *down = up ? pieces_stack(p, "ffn_down_exps.weight", n_ff, n, s->n_experts, err) : NULL;
    if (!down) return E_MODEL;
    if (!b->experts && !(b->experts = calloc((size_t)s->n_experts, sizeof *b->experts)))
        return err_set(err, E_LAYOUT, "out of memory for %d experts", s->n_experts);
    const struct matrix_rows router = {"ffn_gate_inp.weight", n, s->n_experts, 0, s->n_experts, &b->router};
    int rc = pieces_add_matrix(p, &router, err);
    if (rc == OK) b->router.type = (enum quant)p->list[p->n - 1].tensor->type; /* never to fewer bits */
    for (int k = 0; k < s->n_experts && rc == OK; k++) {
        struct expert *x = &b->experts[k];
        int f0 = k * n_ff + m->ff_from[r], f1 = k * n_ff + m->ff_from[r + 1];
        rc = pieces_add_rows(p, gate, f0, f1, &x->gate, err);
        if (rc == OK) rc = pieces_add_rows(p, up, f0, f1, &x->up, err);
        if (rc == OK) rc = pieces_add_rows(p, down, k * n + m->out_from[r], k * n + m->out_from[r + 1], &x->down, err);
    }
    return rc;
}

static int add_matrices(struct model *m, struct pieces *p, int i_block, enum plan_part part, struct err *err)
{
    const struct shape *s = &m->shape;
    struct block *b = &m->blocks[i_block];
    int r = m->share.shard, d = s->d_head, n_q = s->n_head * d, n_kv = s->n_head_kv * d;
    int q0 = m->heads_from[r] * d, q1 = m->heads_from[r + 1] * d, k0 = m->kv_from * d, k1 = m->kv_to * d;
    int f0 = m->ff_from[r], f1 = m->ff_from[r + 1], o0 = m->out_from[r], o1 = m->out_from[r + 1];
    const struct matrix_rows matrices[] = {
        {"attn_q.weight", s->n_embd, n_q, q0, q1, &b->q},
        {"attn_k.weight", s->n_embd, n_kv, k0, k1, &b->k},
        {"attn_v.weight", s->n_embd, n_kv, k0, k1, &b->v},
        {"attn_output.weight", n_q, s->n_embd, o0, o1, &b->o},
        {"ffn_gate.weight", s->n_embd, s->n_ff, f0, f1, &b->gate},
        {"ffn_up.weight", s->n_embd, s->n_ff, f0, f1, &b->up},
        {"ffn_down.weight", s->n_ff, s->n_embd, o0, o1, &b->down},
    };
    enum { N = sizeof matrices / sizeof *matrices, N_ATTENTION = N - 3 }; /* the last three are one MLP's */
    int rc = OK, from = part & PART_ATTENTION ? 0 : N_ATTENTION,
        to = part & PART_MLP && !s->n_experts ? N : N_ATTENTION;
    for (int i = from; i < to && rc == OK; i++) rc = pieces_add_matrix(p, &matrices[i], err);
    return rc;
}

static int add_vectors(struct model *m, struct pieces *p, int i_block, enum plan_part part, struct err *err)
{
    const struct shape *s = &m->shape;
    struct block *b = &m->blocks[i_block];
    int r = m->share.shard, d = s->d_head, n_q = s->n_head * d, n_kv = s->n_head_kv * d;
    int q0 = m->heads_from[r] * d, q1 = m->heads_from[r + 1] * d, k0 = m->kv_from * d, k1 = m->kv_to * d;
    const struct vector_part vectors[] = {
        {"attn_norm.weight", s->n_embd, 0, s->n_embd, &b->norm_attn, false},
        {"attn_q.bias", n_q, q0, q1, &b->bias_q, true},
        {"attn_k.bias", n_kv, k0, k1, &b->bias_k, true},
        {"attn_v.bias", n_kv, k0, k1, &b->bias_v, true},
        {"attn_q_norm.weight", d, 0, d, &b->norm_q, true},
        {"attn_k_norm.weight", d, 0, d, &b->norm_k, true},
        {"post_attention_norm.weight", s->n_embd, 0, s->n_embd, &b->norm_attn_out, true},
        {"ffn_norm.weight", s->n_embd, 0, s->n_embd, &b->norm_mlp, false},
        {"post_ffw_norm.weight", s->n_embd, 0, s->n_embd, &b->norm_mlp_out, true},
    };
    enum { N = sizeof vectors / sizeof *vectors, N_ATTENTION = N - 2 }; /* the last two are the MLP's */
    int rc = OK, from = part & PART_ATTENTION ? 0 : N_ATTENTION, to = part & PART_MLP ? N : N_ATTENTION;
    for (int i = from; i < to && rc == OK; i++) rc = pieces_add_vector(p, &vectors[i], err);
    return rc;
}

/* Whether this stage runs this block of the side files. */
static bool has_side(const struct model *m, int i_exit)
{
    int block = m->shape.n_blocks + i_exit;
    bool serves = m->plan.side && m->entry_to == m->plan.n_entries && m->plan.entries[m->entry_to - 1].block == block;
    for (int i = 0; i < m->sides.n_entries; i++) serves = serves || m->sides.entries[i].block == block;
    return serves;
}

static bool is_of_side(const struct model *m, const struct piece *p)
{
    bool found = false;
    for (int i = 0; i < m->n_side_files && !found; i++) {
        const struct gguf *g = &m->side_files[i].side.file;
        found = p->tensor >= g->tensors && p->tensor < g->tensors + g->n_tensors;
    }
    return found;
}

/* named: the block's number in its file. */
static int add_block(struct model *m, struct pieces *p, int i_block, int named, enum plan_part part, struct err *err)
{
    const struct shape *s = &m->shape;
    m->blocks[i_block].n_window = s->n_window && (named + 1) % s->n_pattern ? s->n_window : 0;
    p->block = named;
    int rc = add_matrices(m, p, i_block, part, err);
    if (rc == OK && s->n_experts && part & PART_MLP) rc = add_experts(m, p, i_block, err);
    if (rc == OK) rc = add_vectors(m, p, i_block, part, err);
    p->block = -1;
    return rc;
}

/* How often a pass of this stage runs a part of a block. */
static int n_runs(const struct model *m, int block, enum plan_part part)
{
    int n = 0;
    for (int i = m->entry_from; i < m->entry_to; i++)
        n += m->plan.entries[i].block == block && m->plan.entries[i].part & part;
    return n;
}

/* The parts of a block that this stage runs; 0: none. */
static enum plan_part parts_of(const struct model *m, int block)
{
    return (enum plan_part)((n_runs(m, block, PART_ATTENTION) ? PART_ATTENTION : 0) |
                            (n_runs(m, block, PART_MLP) ? PART_MLP : 0));
}

/* In the order in which a pass first reads them. */
static int add_blocks(struct model *m, struct pieces *p, struct err *err)
{
    int rc = OK;
    bool *seen = calloc((size_t)m->shape.n_blocks, sizeof *seen);
    if (!seen) return err_set(err, E_LAYOUT, "out of memory for %d blocks", m->shape.n_blocks);
    for (int i = m->entry_from; i < m->entry_to && rc == OK; i++) {
        int block = m->plan.entries[i].block;
        if (block >= m->shape.n_blocks || seen[block]) continue; /* of the side file, or added */
        rc = add_block(m, p, block, block, parts_of(m, block), err);
        seen[block] = true;
    }
    free(seen);
    return rc;
}

static int add_side(struct model *m, struct pieces *p, const struct side_file *f, int i_exit, struct err *err)
{
    int n = m->shape.n_embd, at = i_exit * n, n_blocks = m->shape.n_blocks;
    const struct vector_part norm = {
        "output_norm.weight", f->side.n_exits * n, at, at + n, &m->norm_side[f->first + i_exit], false};
    p->file = &f->side.file;
    int rc = add_block(m, p, n_blocks + f->first + i_exit, n_blocks + i_exit, PART_BOTH, err);
    if (rc == OK) rc = pieces_add_vector(p, &norm, err);
    p->file = &m->file;
    return rc;
}

static int add_sides(struct model *m, struct pieces *p, struct err *err)
{
    int rc = OK;
    for (const struct side_file *f = m->side_files; f < m->side_files + m->n_side_files; f++)
        for (int i = 0; i < f->side.n_exits && rc == OK; i++)
            if (has_side(m, f->first + i)) rc = add_side(m, p, f, i, err);
    return rc;
}

static const char *head_name(const struct model *m)
{
    return m->shape.tied ? "token_embd.weight" : "output.weight";
}

static bool embeds(const struct model *m)
{
    return model_first(m) && m->share.shard == 0;
}

/* A tied head whose rows begin at a panel of the embedding that is here too is a view of it. */
static int add_head(struct model *m, struct pieces *p, struct err *err)
{
    const struct shape *s = &m->shape;
    int from = m->vocab_from[m->share.shard], to = m->vocab_from[m->share.shard + 1];
    m->head = (struct weights){.n_in = s->n_embd, .n_out = to - from};
    if (s->tied && embeds(m)) return OK;
    return pieces_add_matrix(p, &(struct matrix_rows){head_name(m), s->n_embd, s->n_vocab, from, to, &m->head}, err);
}

static int add_listed(struct model *m, struct pieces *p, struct listed_head *l, struct err *err)
{
    const struct gguf_tensor *t = pieces_stack(p, head_name(m), m->shape.n_embd, m->shape.n_vocab, 1, err);
    int from = l->from[m->share.shard], to = l->from[m->share.shard + 1];
    return t ? pieces_add_listed(p, t, l->ids, from, to, &l->head, err) : E_MODEL;
}

int model_pieces(struct model *m, struct pieces *p, struct err *err)
{
    const struct shape *s = &m->shape;
    int rc = OK, half = s->d_head / 2;
    const struct matrix_rows embed = {"token_embd.weight", s->n_embd, s->n_vocab, 0, s->n_vocab, &m->embed};
    const struct vector_part factors = {"rope_freqs.weight", half, 0, half, &m->rope_factors, true},
                             norm = {"output_norm.weight", s->n_embd, 0, s->n_embd, &m->norm_out, false};
    *p = (struct pieces){.file = &m->file, .requantize = m->requantize, .block = -1};
    if (embeds(m)) rc = pieces_add_matrix(p, &embed, err);
    if (rc == OK) rc = pieces_add_vector(p, &factors, err);
    if (rc == OK) rc = add_blocks(m, p, err);
    if (rc == OK) rc = add_sides(m, p, err);
    if (rc == OK && model_has_head(m)) rc = pieces_add_vector(p, &norm, err);
    if (rc == OK && model_has_head(m)) rc = add_head(m, p, err);
    for (int i = 0; i < m->n_listed && rc == OK && model_has_head(m); i++) rc = add_listed(m, p, &m->listed[i], err);
    return rc;
}

/* What a file has beyond what is computed with would change the numbers, so it must be refused: of the blocks that this
 * share runs whole, and of no block. */
static int check_all_used(const struct model *m, const struct pieces *p, struct err *err)
{
    static const char *const of_no_block[] = {"token_embd.weight", "rope_freqs.weight", "output_norm.weight",
                                              "output.weight"};
    bool *used = calloc(m->file.n_tensors + 1, sizeof *used);
    if (!used) return err_set(err, E_LAYOUT, "out of memory for %zu tensors", m->file.n_tensors);
    for (int i = 0; i < p->n; i++)
        if (!is_of_side(m, &p->list[i])) used[p->list[i].tensor - m->file.tensors] = true;
    int rc = OK;
    for (size_t i = 0; i < m->file.n_tensors && rc == OK; i++) {
        struct gguf_str name = m->file.tensors[i].name;
        int block = gguf_block_of(name, m->shape.n_blocks);
        bool elsewhere = block >= 0 && parts_of(m, block) != PART_BOTH;
        for (size_t k = 0; k < sizeof of_no_block / sizeof *of_no_block; k++)
            elsewhere = elsewhere || gguf_str_is(name, of_no_block[k]);
        if (!used[i] && !elsewhere)
            rc = err_set(err, E_MODEL, "%s: tensor %s has no place in the architecture %s", m->file.path,
                         gguf_show(name).s, m->shape.arch);
    }
    free(used);
    return rc;
}

/* Nor may a side file have more, in the blocks of exits that are here, and of no block. */
static int check_side_used(const struct model *m, const struct side_file *f, const struct pieces *p, struct err *err)
{
    const struct gguf *g = &f->side.file;
    for (size_t i = 0; i < g->n_tensors && (m->sides.n_entries || m->entry_to == m->plan.n_entries); i++) {
        int i_exit = gguf_block_of(g->tensors[i].name, m->shape.n_blocks + f->side.n_exits) - m->shape.n_blocks;
        bool used = i_exit >= 0 && !has_side(m, f->first + i_exit);
        for (int k = 0; k < p->n && !used; k++) used = p->list[k].tensor == &g->tensors[i];
        if (!used)
            return err_set(err, E_MODEL, "%s: tensor %s has no place in a side file of %s", g->path,
                           gguf_show(g->tensors[i].name).s, m->file.path);
    }
    return OK;
}

/* ---- the cut ---- */

/* Stages take entries by weights, but each at least one. */
static int cut_by_weights(struct model *m, const char *text, struct err *err)
{
    int weights[MAX_SHARDS], from[MAX_SHARDS + 1];
    int rc = layout_read_share(text, "stages", m->share.n_stages, weights, err);
    if (rc != OK) return rc;
    layout_cut(from, m->plan.n_entries, m->share.n_stages, weights, 1);
    m->entry_from = from[m->share.stage];
    m->entry_to = from[m->share.stage + 1];
    return OK;
}

/* Stages take entries by bytes, so that each streams alike; the head counts for the last one. */
static int cut_stages(struct model *m, const struct model_config *c, struct err *err)
{
    int n = m->plan.n_entries, n_stages = m->share.n_stages;
    bool is_plain = !c->plan;
    if (n_stages > n)
        return err_set(err, E_LAYOUT, "%s: --pp %d, but the %s has %d %s: use --pp %d or less", m->file.path, n_stages,
                       is_plain ? "model" : "plan", n, is_plain ? "blocks" : "entries", n);
    if (c->stage_share) return cut_by_weights(m, c->stage_share, err);
    struct block_bytes *bytes = gguf_bytes_of_blocks(&m->file, m->shape.n_blocks, &m->side_files[0].side);
    uint64_t *upto = malloc(((size_t)n + 1) * sizeof *upto); /* bytes of the first i entries */
    if (!bytes || !upto) {
        free(bytes);
        free(upto);
        return err_set(err, E_LAYOUT, "out of memory for %d plan entries", n);
    }
    upto[0] = 0;
    for (int i = 0; i < n; i++) upto[i + 1] = upto[i] + entry_bytes(&m->plan.entries[i], bytes);
    uint64_t total = plan_bytes(&m->file, &m->plan, bytes);
    free(bytes);
    int from = 0;
    for (int stage = 0; stage < n_stages; stage++) {
        int to = from + 1, left = n_stages - 1 - stage; /* each later stage needs an entry too */
        uint64_t goal = total / (uint64_t)n_stages * (uint64_t)(stage + 1);
        while (to < n - left && (stage == n_stages - 1 || (upto[to] + upto[to + 1]) / 2 <= goal)) to++;
        if (stage == m->share.stage) {
            m->entry_from = from;
            m->entry_to = to;
        }
        from = to;
    }
    free(upto);
    return OK;
}

/* Of whole units, the last one perhaps less; weights NULL: from[i] = unit * floor(n_units * i / n_shards). */
static void cut(int *from, int n, int unit, int n_shards, const int *weights)
{
    int n_units = (n + unit - 1) / unit;
    if (weights) layout_cut(from, n_units, n_shards, weights, 0);
    for (int i = 0; i < n_shards; i++) {
        from[i] = (weights ? from[i] : (int)((int64_t)n_units * i / n_shards)) * unit;
        if (from[i] > n) from[i] = n;
    }
    from[n_shards] = n;
}

/* A shard without heads would be one that only waits. */
static int check_heads(const struct model *m, const char *text, struct err *err)
{
    for (int i = 0; i < m->share.n_shards; i++)
        if (m->heads_from[i] == m->heads_from[i + 1])
            return err_set(err, E_LAYOUT,
                           "%s: --shard-share %.100s gives shard %d none of %d heads: give it a greater weight",
                           m->file.path, text, i, m->shape.n_head);
    return OK;
}

static int cut_shards(struct model *m, const char *text, struct err *err)
{
    const struct shape *s = &m->shape;
    int n = m->share.n_shards, r = m->share.shard, list[MAX_SHARDS], *weights = text ? list : NULL;
    int rc = text ? layout_read_share(text, "shards", n, list, err) : OK;
    if (rc != OK) return rc;
    if (n > s->n_head)
        return err_set(err, E_LAYOUT, "%s: --tp %d, but the model has %d heads: use --tp %d or less", m->file.path, n,
                       s->n_head, s->n_head);
    const struct gguf_tensor *down =
        gguf_tensor(&m->file, s->n_experts ? "blk.0.ffn_down_exps.weight" : "blk.0.ffn_down.weight");
    bool quantized = down && !quant_is_float((enum quant)down->type);
    cut(m->heads_from, s->n_head, 1, n, weights);
    cut(m->ff_from, s->n_ff, quantized ? BLOCK : 1, n, weights);
    cut(m->out_from, s->n_embd, PANEL, n, weights);
    cut(m->vocab_from, s->n_vocab, HEAD_CHUNK, n, weights);
    for (int i = 0; i < m->n_listed; i++) cut(m->listed[i].from, m->listed[i].n_ids, HEAD_CHUNK, n, weights);
    rc = check_heads(m, text ? text : "", err);
    if (rc != OK) return rc;
    int group = s->n_head / s->n_head_kv;
    m->kv_from = m->heads_from[r] / group;
    m->kv_to = (m->heads_from[r + 1] - 1) / group + 1;
    return OK;
}

/* ---- open and close ---- */

/* Of the head, those that a pass of the served plan reads here. */
static int n_head_rows(struct model *m)
{
    const struct listed_head *listed = model_listed(m, &m->plan);
    int shard = m->share.shard, from = m->vocab_from[shard], to = m->vocab_from[shard + 1];
    if (!model_has_head(m)) return 0;
    if (listed) return listed->from[shard + 1] - listed->from[shard];
    if (m->plan.n_ids && m->plan.n_ids < to) to = m->plan.n_ids;
    return to > from ? to - from : 0;
}

static void count_bytes(struct model *m, const struct pieces *p, const struct kernels *k,
                        const struct device_table *device)
{
    enum quant head = m->shape.tied && embeds(m) ? m->embed.type : m->head.type;
    for (int i = 0; i < p->n; i++) {
        const struct piece *piece = &p->list[i];
        size_t n = piece_bytes(piece, k, device);
        m->n_bytes += n;
        if (!m->plan.side && is_of_side(m, piece)) continue; /* of drafts */
        if (piece->matrix == &m->embed || piece->matrix == &m->head || piece->listed) continue;
        double share = piece->tensor->dim[2] > 1 ? (double)m->shape.n_used / m->shape.n_experts : 1; /* of experts */
        int block = gguf_block_of(piece->tensor->name, m->shape.n_blocks);
        if (block >= 0) share *= n_runs(m, block, gguf_is_of_mlp(piece->tensor->name) ? PART_MLP : PART_ATTENTION);
        m->body_bytes += (size_t)((double)n * share);
        if (piece->matrix) m->multiply_adds += share * piece->matrix->n_in * piece->matrix->n_out;
    }
    m->head_bytes = matrix_bytes(k, device, head, m->shape.n_embd, n_head_rows(m));
    m->multiply_adds += (double)m->shape.n_embd * n_head_rows(m);
}

static void note_formats(struct model *m, const struct pieces *p)
{
    for (int i = 0; i < p->n; i++) {
        if (!p->list[i].matrix || p->list[i].matrix == &m->embed) continue;
        bool is_float = quant_is_float(p->list[i].matrix->type);
        m->any_float |= is_float;
        m->any_quant |= !is_float;
    }
    if (!model_has_head(m) || !m->shape.tied) return;
    bool is_float = quant_is_float(pieces_kept_type(p, gguf_tensor(&m->file, "token_embd.weight")));
    m->any_float |= is_float;
    m->any_quant |= !is_float;
}

/* A prompt may hold any token. */
static int check_rows(const struct model *m, struct err *err)
{
    const struct gguf_kv *tokens = gguf_find(&m->file, "tokenizer.ggml.tokens");
    if (!tokens || tokens->n_items <= (uint64_t)m->shape.n_vocab) return OK;
    return err_set(err, E_MODEL, "%s: %llu tokens, but token_embd.weight has %d rows: fetch the model again",
                   m->file.path, (unsigned long long)tokens->n_items, m->shape.n_vocab);
}

/* The factors of Llama 3 divide. */
static int check_factors(const struct model *m, struct err *err)
{
    const struct gguf_tensor *t = gguf_tensor(&m->file, "rope_freqs.weight");
    const uint8_t *factors = t ? gguf_row(t, 0) : NULL;
    for (int i = 0; t && i < m->shape.d_head / 2; i++) {
        float factor;
        memcpy(&factor, factors + (size_t)i * sizeof factor, sizeof factor);
        if (!(factor > 0 && factor < 1e9f))
            return err_set(err, E_MODEL, "%s: factor %d of rope_freqs.weight is %g", m->file.path, i, (double)factor);
    }
    return OK;
}

/* What tensors say of the shape. */
static int read_vocabulary(struct model *m, struct err *err)
{
    const struct gguf_tensor *embed = gguf_tensor(&m->file, "token_embd.weight");
    if (!embed || embed->dim[1] < 1 || embed->dim[1] > 1 << 24)
        return err_set(err, E_MODEL, "%s: no usable tensor token_embd.weight", m->file.path);
    m->shape.n_vocab = (int)embed->dim[1];
    m->shape.tied = !gguf_tensor(&m->file, "output.weight");
    return check_rows(m, err);
}

static int read_plan(struct model *m, const char *text, struct err *err)
{
    if (!text) return plan_plain(&m->plan, m->shape.n_blocks, err);
    struct side_file *f = NULL;
    int rc = plan_read(&m->plan, text, m->shape.n_blocks, err);
    if (rc == OK && m->plan.side) rc = model_open_side(m, m->plan.side, &f, err);
    if (rc == OK && f) rc = plan_join_side(&m->plan, &f->side, m->hash, err);
    return rc == OK ? OK : err_wrap(err, "%s", m->file.path);
}

int model_n_side_exits(const struct model *m)
{
    int n = 0;
    for (int i = 0; i < m->n_side_files; i++) n += m->side_files[i].side.n_exits;
    return n;
}

int model_open_side(struct model *m, const char *path, struct side_file **out, struct err *err)
{
    struct side_file *f = m->side_files;
    while (f < m->side_files + m->n_side_files && strcmp(f->side.file.path, path)) f++;
    *out = f;
    if (f < m->side_files + m->n_side_files) return OK;
    *f = (struct side_file){.first = model_n_side_exits(m)}; /* a plan has one: there is room */
    int rc = side_open(&f->side, path, err);
    if (rc != OK) return rc;
    m->n_side_files++;
    if (model_n_side_exits(m) <= SIDE_EXITS_MOST) return OK;
    return err_set(err, E_MODEL, "%.200s: more than %d exits, with those of the side files before", path,
                   SIDE_EXITS_MOST);
}

struct listed_head *model_listed(struct model *m, const struct plan *p)
{
    for (struct listed_head *l = m->listed; p->ids && l < m->listed + m->n_listed; l++)
        if (l->n_ids == p->n_ids && !memcmp(l->ids, p->ids, (size_t)l->n_ids * sizeof *l->ids)) return l;
    return NULL;
}

static int add_list(struct model *m, const struct plan *p, struct err *err)
{
    if (!p->ids || model_listed(m, p)) return OK;
    int last = p->ids[p->n_ids - 1];
    if (last >= m->shape.n_vocab)
        return err_set(err, E_MODEL, "%s: a plan's list of ids has %d, but the model has 0 to %d", m->file.path, last,
                       m->shape.n_vocab - 1);
    size_t n_bytes = (size_t)p->n_ids * sizeof *p->ids;
    struct listed_head *l = &m->listed[m->n_listed];
    if (!(l->ids = malloc(n_bytes))) return err_set(err, E_LAYOUT, "out of memory for a list of ids");
    memcpy(l->ids, p->ids, n_bytes);
    l->n_ids = p->n_ids;
    m->n_listed++;
    return OK;
}

/* The lists of ids that plans have. */
static int find_listed(struct model *m, struct err *err)
{
    int rc = add_list(m, &m->plan, err);
    for (int i = 0; i < m->n_drafts && rc == OK; i++) rc = add_list(m, &m->drafts[i].plan, err);
    return rc;
}

int model_open(struct model *m, const struct model_config *c, const struct kernels *k, struct err *err)
{
    *m = (struct model){.share = c->share, .requantize = c->requantize};
    struct pieces p = {0};
    int rc = gguf_open(&m->file, c->path, err);
    if (rc != OK) return rc;
    m->hash = gguf_fingerprint(&m->file);
    rc = shape_read(&m->shape, &m->file, err);
    if (rc == OK) rc = read_vocabulary(m, err);
    if (rc == OK && !(m->blocks = calloc((size_t)m->shape.n_blocks + SIDE_EXITS_MOST, sizeof *m->blocks)))
        rc = err_set(err, E_LAYOUT, "out of memory for %d blocks", m->shape.n_blocks);
    if (rc == OK) rc = read_plan(m, c->plan, err);
    if (rc == OK) rc = cut_stages(m, c, err);
    if (rc == OK && c->draft_plans) rc = draft_plans_open(m, c->draft_plans, err);
    if (rc == OK) rc = find_listed(m, err);
    if (rc == OK) rc = cut_shards(m, c->shard_share, err);
    if (rc == OK) rc = model_pieces(m, &p, err);
    if (rc == OK) rc = check_all_used(m, &p, err);
    for (int i = 0; i < m->n_side_files && rc == OK; i++) rc = check_side_used(m, &m->side_files[i], &p, err);
    if (rc == OK) rc = check_factors(m, err);
    if (rc == OK) {
        note_formats(m, &p);
        count_bytes(m, &p, k, c->device);
        m->vocab_hash = gguf_vocab_hash(&m->file);
    }
    pieces_free(&p);
    if (rc != OK) model_close(m);
    return rc;
}

void model_close_files(struct model *m)
{
    gguf_close(&m->file);
    for (int i = 0; i < m->n_side_files; i++) gguf_close(&m->side_files[i].side.file);
}

void model_close(struct model *m)
{
    if (!m) return;
    gguf_close(&m->file);
    plan_free(&m->plan);
    for (int i = 0; i < DRAFT_PLANS_MOST; i++) plan_free(&m->drafts[i].plan);
    for (int i = 0; i < m->n_listed; i++) free(m->listed[i].ids);
    free(m->part_costs);
    plan_free(&m->other);
    plan_free(&m->sides);
    free(m->search_side);
    for (int i = 0; i < DRAFT_PLANS_MOST; i++) side_close(&m->side_files[i].side);
    for (int i = 0; m->blocks && i < m->shape.n_blocks + SIDE_EXITS_MOST; i++) free(m->blocks[i].experts);
    free(m->blocks);
    if (m->memory) munmap(m->memory, model_memory_bytes(m));
    *m = (struct model){0};
}
