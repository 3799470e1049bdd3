#include "worker/engine/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "proto/files/gguf_open.h"
#include "proto/prefix_hash.h"
#include "worker/engine/pieces.h"

/* ---- tensors ---- */

/* "blk.7.attn_q.weight" is of block 7; -1: of no block of this model. */
static int block_of(const struct model *m, struct gguf_str name)
{
    size_t at = 4;
    int i_block = 0;
    if (name.n < 6 || memcmp(name.s, "blk.", 4) != 0) return -1;
    for (; at < name.n && name.s[at] >= '0' && name.s[at] <= '9' && i_block < m->shape.n_blocks; at++)
        i_block = 10 * i_block + name.s[at] - '0';
    bool number = at > 4 && (name.s[4] != '0' || at == 5) && at + 1 < name.n && name.s[at] == '.';
    return number && i_block < m->shape.n_blocks ? i_block : -1;
}

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

static int add_matrices(struct model *m, struct pieces *p, int i_block, struct err *err)
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
    int rc = OK;
    size_t n = sizeof matrices / sizeof *matrices - (s->n_experts ? 3 : 0); /* the last three are one MLP's */
    for (size_t i = 0; i < n && rc == OK; i++) rc = pieces_add_matrix(p, &matrices[i], err);
    return rc;
}

static int add_vectors(struct model *m, struct pieces *p, int i_block, struct err *err)
{
    const struct shape *s = &m->shape;
    struct block *b = &m->blocks[i_block];
    int r = m->share.shard, d = s->d_head, n_q = s->n_head * d, n_kv = s->n_head_kv * d;
    int q0 = m->heads_from[r] * d, q1 = m->heads_from[r + 1] * d, k0 = m->kv_from * d, k1 = m->kv_to * d;
    const struct vector_part vectors[] = {
        {"attn_norm.weight", s->n_embd, 0, s->n_embd, &b->norm_attn, false},
        {"ffn_norm.weight", s->n_embd, 0, s->n_embd, &b->norm_mlp, false},
        {"attn_q.bias", n_q, q0, q1, &b->bias_q, true},
        {"attn_k.bias", n_kv, k0, k1, &b->bias_k, true},
        {"attn_v.bias", n_kv, k0, k1, &b->bias_v, true},
        {"attn_q_norm.weight", d, 0, d, &b->norm_q, true},
        {"attn_k_norm.weight", d, 0, d, &b->norm_k, true},
        {"post_attention_norm.weight", s->n_embd, 0, s->n_embd, &b->norm_attn_out, true},
        {"post_ffw_norm.weight", s->n_embd, 0, s->n_embd, &b->norm_mlp_out, true},
    };
    int rc = OK;
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors && rc == OK; i++)
        rc = pieces_add_vector(p, &vectors[i], err);
    return rc;
}

static int add_block(struct model *m, struct pieces *p, int i_block, struct err *err)
{
    const struct shape *s = &m->shape;
    m->blocks[i_block].n_window = s->n_window && (i_block + 1) % s->n_pattern ? s->n_window : 0;
    p->block = i_block;
    int rc = add_matrices(m, p, i_block, err);
    if (rc == OK && s->n_experts) rc = add_experts(m, p, i_block, err);
    if (rc == OK) rc = add_vectors(m, p, i_block, err);
    p->block = -1;
    return rc;
}

static int add_blocks(struct model *m, struct pieces *p, struct err *err)
{
    int rc = OK;
    bool *seen = calloc((size_t)m->shape.n_blocks, sizeof *seen);
    if (!seen) return err_set(err, E_LAYOUT, "out of memory for %d blocks", m->shape.n_blocks);
    for (int i = m->entry_from; i < m->entry_to && rc == OK; i++) {
        int block = m->plan.entries[i].block;
        if (!seen[block]) rc = add_block(m, p, block, err);
        seen[block] = true;
    }
    free(seen);
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
    if (rc == OK && model_last(m)) rc = pieces_add_vector(p, &norm, err);
    if (rc == OK && model_last(m)) rc = add_head(m, p, err);
    return rc;
}

/* What a file has beyond what is computed with would change the numbers, so it must be refused: of this share's
 * blocks, and of no block. */
static int check_all_used(const struct model *m, const struct pieces *p, struct err *err)
{
    static const char *const of_no_block[] = {"token_embd.weight", "rope_freqs.weight", "output_norm.weight",
                                              "output.weight"};
    bool *used = calloc(m->file.n_tensors + (size_t)m->shape.n_blocks + 1, sizeof *used), *own;
    if (!used) return err_set(err, E_LAYOUT, "out of memory for %zu tensors", m->file.n_tensors);
    own = used + m->file.n_tensors;
    for (int i = 0; i < p->n; i++) used[p->list[i].tensor - m->file.tensors] = true;
    for (int i = m->entry_from; i < m->entry_to; i++) own[m->plan.entries[i].block] = true;
    int rc = OK;
    for (size_t i = 0; i < m->file.n_tensors && rc == OK; i++) {
        struct gguf_str name = m->file.tensors[i].name;
        int block = block_of(m, name);
        bool elsewhere = block >= 0 && !own[block];
        for (size_t k = 0; k < sizeof of_no_block / sizeof *of_no_block; k++)
            elsewhere = elsewhere || gguf_str_is(name, of_no_block[k]);
        if (!used[i] && !elsewhere)
            rc = err_set(err, E_MODEL, "%s: tensor %s has no place in the architecture %s", m->file.path,
                         gguf_show(name).s, m->shape.arch);
    }
    free(used);
    return rc;
}

/* ---- the cut ---- */

/* bytes[n_blocks] of each block's tensors. The caller frees it; NULL: out of memory. */
static uint64_t *block_bytes(const struct model *m)
{
    uint64_t *bytes = calloc((size_t)m->shape.n_blocks, sizeof *bytes);
    for (size_t i = 0; bytes && i < m->file.n_tensors; i++) {
        int block = block_of(m, m->file.tensors[i].name);
        if (block >= 0) bytes[block] += m->file.tensors[i].n_bytes;
    }
    return bytes;
}

/* Stages take entries by bytes, so that each streams alike; the head counts for the last one. */
static int cut_stages(struct model *m, struct err *err)
{
    int n = m->plan.n_entries, n_stages = m->share.n_stages;
    if (n_stages > n)
        return err_set(err, E_LAYOUT, "%s: --pp %d, but the model has %d blocks: use --pp %d or less", m->file.path,
                       n_stages, n, n);
    uint64_t *bytes = block_bytes(m), *upto = malloc(((size_t)n + 1) * sizeof *upto); /* bytes of the first i entries */
    if (!bytes || !upto) {
        free(bytes);
        free(upto);
        return err_set(err, E_LAYOUT, "out of memory for %d plan entries", n);
    }
    upto[0] = 0;
    for (int i = 0; i < n; i++) upto[i + 1] = upto[i] + bytes[m->plan.entries[i].block];
    free(bytes);
    uint64_t total = upto[n] + gguf_tensor(&m->file, head_name(m))->n_bytes;
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

/* from[i] = unit * floor(n_units * i / n_shards), the last one n. */
static void cut_even(int *from, int n, int unit, int n_shards)
{
    int n_units = (n + unit - 1) / unit;
    for (int i = 0; i < n_shards; i++) from[i] = (int)((int64_t)n_units * i / n_shards) * unit;
    from[n_shards] = n;
}

static int cut_shards(struct model *m, struct err *err)
{
    const struct shape *s = &m->shape;
    int n = m->share.n_shards, r = m->share.shard;
    if (n > s->n_head)
        return err_set(err, E_LAYOUT, "%s: --tp %d, but the model has %d heads: use --tp %d or less", m->file.path, n,
                       s->n_head, s->n_head);
    const struct gguf_tensor *down =
        gguf_tensor(&m->file, s->n_experts ? "blk.0.ffn_down_exps.weight" : "blk.0.ffn_down.weight");
    bool quantized = down && !quant_is_float((enum quant)down->type);
    cut_even(m->heads_from, s->n_head, 1, n);
    cut_even(m->ff_from, s->n_ff, quantized ? BLOCK : 1, n);
    cut_even(m->out_from, s->n_embd, PANEL, n);
    cut_even(m->vocab_from, s->n_vocab, HEAD_CHUNK, n);
    int group = s->n_head / s->n_head_kv;
    m->kv_from = m->heads_from[r] / group;
    m->kv_to = (m->heads_from[r + 1] - 1) / group + 1;
    return OK;
}

/* ---- open and close ---- */

/* Names the model by its directory and the first bytes of each tensor: two trainings of one architecture differ. */
static uint64_t fingerprint(const struct model *m)
{
    uint64_t h = m->file.n_tensors;
    for (size_t i = 0; i < m->file.n_tensors; i++) {
        const struct gguf_tensor *t = &m->file.tensors[i];
        for (size_t k = 0; k < t->name.n; k++) h = prefix_hash_next(h, (uint8_t)t->name.s[k]);
        for (int k = 0; k < 4; k++) h = prefix_hash_mix(h ^ t->dim[k]);
        h = prefix_hash_next(h, (int32_t)t->type);
        for (size_t k = 0; k < 64 && k < t->n_bytes; k++) h = prefix_hash_next(h, t->data[k]);
    }
    return h;
}

static void count_bytes(struct model *m, const struct pieces *p, const struct kernels *k)
{
    bool view = model_last(m);
    for (int i = 0; i < p->n; i++) {
        const struct piece *piece = &p->list[i];
        size_t n = piece_bytes(piece, k);
        m->n_bytes += n;
        if (piece->matrix == &m->head) {
            m->head_bytes = n;
            view = false;
        } else if (piece->matrix != &m->embed) {
            double share =
                piece->tensor->dim[2] > 1 ? (double)m->shape.n_used / m->shape.n_experts : 1; /* of experts */
            m->body_bytes += (size_t)((double)n * share);
            if (piece->matrix) m->multiply_adds += share * piece->matrix->n_in * piece->matrix->n_out;
        }
    }
    if (view) m->head_bytes = matrix_bytes(k, m->embed.type, m->head.n_in, m->head.n_out);
    m->multiply_adds += (double)m->head.n_in * m->head.n_out;
}

static void note_formats(struct model *m, const struct pieces *p)
{
    for (int i = 0; i < p->n; i++) {
        if (!p->list[i].matrix || p->list[i].matrix == &m->embed) continue;
        bool is_float = quant_is_float(p->list[i].matrix->type);
        m->any_float |= is_float;
        m->any_quant |= !is_float;
    }
    if (!model_last(m) || !m->shape.tied) return;
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
    for (int i = 0; t && i < m->shape.d_head / 2; i++) {
        float factor;
        memcpy(&factor, t->data + (size_t)i * sizeof factor, sizeof factor);
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

int model_open(struct model *m, const char *path, const struct share *share, bool requantize, const struct kernels *k,
               struct err *err)
{
    *m = (struct model){.share = *share, .requantize = requantize};
    struct pieces p = {0};
    int rc = gguf_open(&m->file, path, err);
    if (rc != OK) return rc;
    rc = shape_read(&m->shape, &m->file, err);
    if (rc == OK) rc = read_vocabulary(m, err);
    if (rc == OK && !(m->blocks = calloc((size_t)m->shape.n_blocks, sizeof *m->blocks)))
        rc = err_set(err, E_LAYOUT, "out of memory for %d blocks", m->shape.n_blocks);
    if (rc == OK) rc = plan_plain(&m->plan, m->shape.n_blocks, err);
    if (rc == OK) rc = cut_stages(m, err);
    if (rc == OK) rc = cut_shards(m, err);
    if (rc == OK) rc = model_pieces(m, &p, err);
    if (rc == OK) rc = check_all_used(m, &p, err);
    if (rc == OK) rc = check_factors(m, err);
    if (rc == OK) {
        note_formats(m, &p);
        count_bytes(m, &p, k);
        m->hash = fingerprint(m);
        m->vocab_hash = gguf_vocab_hash(&m->file);
    }
    pieces_free(&p);
    if (rc != OK) model_close(m);
    return rc;
}

void model_close(struct model *m)
{
    if (!m) return;
    gguf_close(&m->file);
    plan_free(&m->plan);
    for (int i = 0; m->blocks && i < m->shape.n_blocks; i++) free(m->blocks[i].experts);
    free(m->blocks);
    if (m->memory) munmap(m->memory, model_memory_bytes(m));
    *m = (struct model){0};
}
