#include "worker/engine/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "proto/prefix_hash.h"
#include "worker/engine/check.h"
#include "worker/engine/requantize.h"

/* A tensor, or rows of it, that this share keeps. The matrices of a stack count their rows on. */
struct piece {
    const struct gguf_tensor *tensor;
    int row_from, row_to;
    struct weights *matrix; /* one of the two */
    float **vector;
};

struct pieces {
    struct piece *list;
    int n, room;
};

enum { ALIGN = 64, HUGE_PAGE = 2 << 20 };

static size_t align_up(size_t n, size_t to)
{
    return (n + to - 1) / to * to;
}

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

/* A stack of matrices: one, where it is no stack. NULL: err says why not. */
static const struct gguf_tensor *need_stack(const struct model *m, const char *name, int n_in, int n_out, int n_stack,
                                            struct err *err)
{
    const struct gguf_tensor *t = gguf_tensor(&m->file, name);
    if (!t) {
        err_set(err, E_MODEL, "%s: no tensor %s", m->file.path, name);
        return NULL;
    }
    if (t->dim[3] != 1 || t->dim[2] != (uint64_t)n_stack || t->dim[0] != (uint64_t)n_in ||
        t->dim[1] != (uint64_t)n_out) {
        err_set(err, E_MODEL, "%s: %s is [%llu, %llu, %llu], expected [%d, %d, %d]", m->file.path, name,
                (unsigned long long)t->dim[2], (unsigned long long)t->dim[1], (unsigned long long)t->dim[0], n_stack,
                n_out, n_in);
        return NULL;
    }
    if (kernels_supports((int)t->type)) return t;
    char all[256] = "";
    for (int i = 0; kernels_format(i); i++)
        snprintf(all + strlen(all), sizeof all - strlen(all), " %s", gguf_type(*kernels_format(i))->name);
    err_set(err, E_MODEL, "%s: %s has the format %s, which is not supported;%s are", m->file.path, name,
            gguf_type(t->type)->name, all);
    return NULL;
}

static const struct gguf_tensor *need_tensor(const struct model *m, const char *name, int n_in, int n_out,
                                             struct err *err)
{
    return need_stack(m, name, n_in, n_out, 1, err);
}

static int add_piece(struct pieces *p, struct piece piece, struct err *err)
{
    if (p->n == p->room) {
        int room = p->room ? 2 * p->room : 64;
        struct piece *list = realloc(p->list, (size_t)room * sizeof *list);
        if (!list) return err_set(err, E_LAYOUT, "out of memory for a list of tensors");
        p->list = list;
        p->room = room;
    }
    p->list[p->n++] = piece;
    return OK;
}

/* The format in which a matrix is kept. */
static enum quant kept_type(const struct model *m, const struct gguf_tensor *t)
{
    enum quant type = (enum quant)t->type;
    bool small = type == QUANT_Q4_0 || type == QUANT_Q4_K || type == QUANT_Q2_K;
    return m->requantize && !small && t->dim[0] % BLOCK == 0 ? QUANT_Q4_1 : type;
}

static int add_rows(struct model *m, struct pieces *p, const struct gguf_tensor *t, int from, int to, struct weights *w,
                    struct err *err)
{
    w->type = kept_type(m, t);
    w->n_in = (int)t->dim[0];
    w->n_out = to - from;
    return add_piece(p, (struct piece){.tensor = t, .row_from = from, .row_to = to, .matrix = w}, err);
}

/* Rows [from, to) of a matrix [n_out, n_in]. */
static int add_matrix(struct model *m, struct pieces *p, const char *name, int n_in, int n_out, int from, int to,
                      struct weights *w, struct err *err)
{
    const struct gguf_tensor *t = need_tensor(m, name, n_in, n_out, err);
    return t ? add_rows(m, p, t, from, to, w, err) : E_MODEL;
}

static int add_vector(struct model *m, struct pieces *p, const char *name, int n, int from, int to, float **v,
                      bool optional, struct err *err)
{
    if (optional && !gguf_tensor(&m->file, name)) return OK;
    const struct gguf_tensor *t = need_tensor(m, name, n, 1, err);
    if (!t) return E_MODEL;
    if (t->type != QUANT_F32) return err_set(err, E_MODEL, "%s: %s is not F32", m->file.path, name);
    return add_piece(p, (struct piece){.tensor = t, .row_from = from, .row_to = to, .vector = v}, err);
}

/* Of every expert of a block this shard's rows. */
static int add_experts(struct model *m, struct pieces *p, int i_block, struct err *err)
{
    const struct shape *s = &m->shape;
    struct block *b = &m->blocks[i_block];
    int r = m->share.shard, n_ff = s->n_ff, n = s->n_embd;
    char names[4][64];
    static const char *const parts[] = {"gate_inp", "gate_exps", "up_exps", "down_exps"};
    for (int i = 0; i < 4; i++) snprintf(names[i], sizeof names[i], "blk.%d.ffn_%s.weight", i_block, parts[i]);
    const struct gguf_tensor *gate = need_stack(m, names[1], n, n_ff, s->n_experts, err),
                             *up = gate ? need_stack(m, names[2], n, n_ff, s->n_experts, err) : NULL,
                             *down = up ? need_stack(m, names[3], n_ff, n, s->n_experts, err) : NULL;
    if (!down) return E_MODEL;
    if (!b->experts && !(b->experts = calloc((size_t)s->n_experts, sizeof *b->experts)))
        return err_set(err, E_LAYOUT, "out of memory for %d experts", s->n_experts);
    int rc = add_matrix(m, p, names[0], n, s->n_experts, 0, s->n_experts, &b->router, err);
    if (rc == OK) b->router.type = (enum quant)gguf_tensor(&m->file, names[0])->type; /* never to fewer bits */
    for (int k = 0; k < s->n_experts && rc == OK; k++) {
        struct expert *x = &b->experts[k];
        int f0 = k * n_ff + m->ff_from[r], f1 = k * n_ff + m->ff_from[r + 1];
        rc = add_rows(m, p, gate, f0, f1, &x->gate, err);
        if (rc == OK) rc = add_rows(m, p, up, f0, f1, &x->up, err);
        if (rc == OK) rc = add_rows(m, p, down, k * n + m->out_from[r], k * n + m->out_from[r + 1], &x->down, err);
    }
    return rc;
}

static int add_block(struct model *m, struct pieces *p, int i_block, struct err *err)
{
    const struct shape *s = &m->shape;
    struct block *b = &m->blocks[i_block];
    int r = m->share.shard, d = s->d_head;
    int q0 = m->heads_from[r] * d, q1 = m->heads_from[r + 1] * d, k0 = m->kv_from * d, k1 = m->kv_to * d;
    int f0 = m->ff_from[r], f1 = m->ff_from[r + 1], o0 = m->out_from[r], o1 = m->out_from[r + 1];
    int n_q = s->n_head * d, n_kv = s->n_head_kv * d;
    b->n_window = s->n_window && (i_block + 1) % s->n_pattern ? s->n_window : 0;
    struct {
        const char *name;
        int n_in, n_out, from, to;
        struct weights *w;
    } matrices[] = {
        {"attn_q.weight", s->n_embd, n_q, q0, q1, &b->q},
        {"attn_k.weight", s->n_embd, n_kv, k0, k1, &b->k},
        {"attn_v.weight", s->n_embd, n_kv, k0, k1, &b->v},
        {"attn_output.weight", n_q, s->n_embd, o0, o1, &b->o},
        {"ffn_gate.weight", s->n_embd, s->n_ff, f0, f1, &b->gate},
        {"ffn_up.weight", s->n_embd, s->n_ff, f0, f1, &b->up},
        {"ffn_down.weight", s->n_ff, s->n_embd, o0, o1, &b->down},
    };
    struct {
        const char *name;
        int n, from, to;
        float **v;
        bool optional;
    } vectors[] = {
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
    char name[128];
    int rc = OK;
    size_t n_matrices = sizeof matrices / sizeof *matrices - (s->n_experts ? 3 : 0); /* the last three are one MLP's */
    for (size_t i = 0; i < n_matrices && rc == OK; i++) {
        snprintf(name, sizeof name, "blk.%d.%s", i_block, matrices[i].name);
        rc = add_matrix(m, p, name, matrices[i].n_in, matrices[i].n_out, matrices[i].from, matrices[i].to,
                        matrices[i].w, err);
    }
    if (rc == OK && s->n_experts) rc = add_experts(m, p, i_block, err);
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors && rc == OK; i++) {
        snprintf(name, sizeof name, "blk.%d.%s", i_block, vectors[i].name);
        rc = add_vector(m, p, name, vectors[i].n, vectors[i].from, vectors[i].to, vectors[i].v, vectors[i].optional,
                        err);
    }
    return rc;
}

/* Everything this share keeps, in the order in which a pass reads it. */
static int list_pieces(struct model *m, struct pieces *p, struct err *err)
{
    const struct shape *s = &m->shape;
    int rc = OK, r = m->share.shard;
    bool embeds = model_first(m) && r == 0;
    if (embeds) rc = add_matrix(m, p, "token_embd.weight", s->n_embd, s->n_vocab, 0, s->n_vocab, &m->embed, err);
    if (rc == OK)
        rc = add_vector(m, p, "rope_freqs.weight", s->d_head / 2, 0, s->d_head / 2, &m->rope_factors, true, err);
    if (rc != OK) return rc;
    bool *seen = calloc((size_t)s->n_blocks, sizeof *seen);
    if (!seen) return err_set(err, E_LAYOUT, "out of memory for %d blocks", s->n_blocks);
    for (int i = m->entry_from; i < m->entry_to && rc == OK; i++) {
        int block = m->plan.entries[i].block;
        if (!seen[block]) rc = add_block(m, p, block, err);
        seen[block] = true;
    }
    free(seen);
    if (rc != OK || !model_last(m)) return rc;
    rc = add_vector(m, p, "output_norm.weight", s->n_embd, 0, s->n_embd, &m->norm_out, false, err);
    if (rc != OK) return rc;
    /* A tied head whose rows begin at a panel of the embedding that is here too is a view of it. */
    int from = m->vocab_from[r], to = m->vocab_from[r + 1];
    m->head = (struct weights){.n_in = s->n_embd, .n_out = to - from};
    if (s->tied && embeds) return OK;
    return add_matrix(m, p, s->tied ? "token_embd.weight" : "output.weight", s->n_embd, s->n_vocab, from, to, &m->head,
                      err);
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
            rc = err_set(err, E_MODEL, "%s: tensor %.*s has no place in the architecture %s", m->file.path,
                         name.n < 64 ? (int)name.n : 64, name.s, m->shape.arch);
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
static int cut_stages(struct model *m, const struct gguf_tensor *head, struct err *err)
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
    uint64_t total = upto[n] + head->n_bytes;
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

/* ---- open, load, close ---- */

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

static size_t matrix_bytes(const struct kernels *k, enum quant type, int n_in, int n_rows)
{
    return (size_t)((n_rows + PANEL - 1) / PANEL) * k->panel_bytes(type, n_in);
}

static size_t piece_bytes(const struct piece *p, const struct kernels *k)
{
    int n_rows = p->row_to - p->row_from;
    if (p->vector) return align_up((size_t)n_rows * sizeof(float), ALIGN);
    return matrix_bytes(k, p->matrix->type, p->matrix->n_in, n_rows);
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
    bool is_float = quant_is_float(kept_type(m, gguf_tensor(&m->file, "token_embd.weight")));
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

int model_open(struct model *m, const char *path, const struct share *share, bool requantize, const struct kernels *k,
               struct err *err)
{
    *m = (struct model){.share = *share, .requantize = requantize};
    struct pieces p = {0};
    int rc = gguf_open(&m->file, path, err);
    if (rc != OK) return rc;
    rc = shape_read(&m->shape, &m->file, err);
    if (rc != OK) goto out;

    const struct gguf_tensor *embed = gguf_tensor(&m->file, "token_embd.weight");
    const struct gguf_tensor *head = gguf_tensor(&m->file, "output.weight");
    if (!embed || embed->dim[1] < 1 || embed->dim[1] > 1 << 24) {
        rc = err_set(err, E_MODEL, "%s: no usable tensor token_embd.weight", path);
        goto out;
    }
    m->shape.n_vocab = (int)embed->dim[1];
    m->shape.tied = !head;
    m->blocks = calloc((size_t)m->shape.n_blocks, sizeof *m->blocks);
    if (!m->blocks) {
        rc = err_set(err, E_LAYOUT, "out of memory for %d blocks", m->shape.n_blocks);
        goto out;
    }
    rc = plan_plain(&m->plan, m->shape.n_blocks, err);
    if (rc == OK) rc = check_rows(m, err);
    if (rc == OK) rc = cut_stages(m, head ? head : embed, err);
    if (rc == OK) rc = cut_shards(m, err);
    if (rc == OK) rc = list_pieces(m, &p, err);
    if (rc == OK) rc = check_all_used(m, &p, err);
    if (rc == OK) rc = check_factors(m, err);
    if (rc != OK) goto out;
    note_formats(m, &p);
    count_bytes(m, &p, k);
    m->hash = fingerprint(m);
    m->vocab_hash = gguf_vocab_hash(&m->file);
out:
    free(p.list);
    if (rc != OK) model_close(m);
    return rc;
}

struct packing {
    const struct piece *piece;
    const struct kernels *k; /* NULL: the numbers are looked at, and not kept */
    _Atomic bool bad;        /* some are no weights */
    struct pool *pool;
    struct requantizer *requantizers; /* [n_threads]; NULL: no matrix changes its format */
};

static void requantizers_close(struct requantizer *r, int n)
{
    for (int i = 0; r && i < n; i++) requantizer_close(&r[i]);
    free(r);
}

/* One a thread, for any matrix of the list. NULL: out of memory. */
static struct requantizer *requantizers_open(const struct pieces *p, const struct kernels *k, int n_threads)
{
    size_t n_panel = 0;
    int n_in = 0;
    for (int i = 0; i < p->n; i++) {
        if (!p->list[i].matrix) continue;
        size_t n = k->panel_bytes((enum quant)p->list[i].tensor->type, p->list[i].matrix->n_in);
        if (n > n_panel) n_panel = n;
        if (p->list[i].matrix->n_in > n_in) n_in = p->list[i].matrix->n_in;
    }
    struct requantizer *r = calloc((size_t)n_threads, sizeof *r);
    for (int i = 0; r && i < n_threads; i++)
        if (!requantizer_open(&r[i], n_panel, n_in)) {
            requantizers_close(r, n_threads);
            return NULL;
        }
    return r;
}

/* Each thread packs, and so first touches, the panels that it will read. */
static void pack_part(void *arg, int i_thread)
{
    struct packing *job = arg;
    const struct piece *p = job->piece;
    enum quant type = (enum quant)p->tensor->type;
    int n_in = (int)p->tensor->dim[0];
    int n_rows = p->row_to - p->row_from, from, to;
    pool_part((n_rows + PANEL - 1) / PANEL, i_thread, pool_threads(job->pool), &from, &to);
    for (int panel = from; panel < to; panel++) {
        const void *rows[PANEL];
        for (int i = 0; i < PANEL; i++) {
            int row = panel * PANEL + i;
            rows[i] = row < n_rows ? gguf_row(p->tensor, (uint64_t)(p->row_from + row)) : NULL;
            if (rows[i] && !check_row(type, rows[i], n_in)) job->bad = true;
        }
        if (!job->k) continue;
        if (p->matrix->type != type) requantizer_run(&job->requantizers[i_thread], job->k, rows, type, n_in);
        job->k->pack(p->matrix->panels + (size_t)panel * p->matrix->panel_bytes, rows, p->matrix->type,
                     p->matrix->n_in);
    }
}

/* Packs a matrix, or only looks at it. */
static int pack(struct packing *job, const char *path, struct err *err)
{
    struct gguf_str name = job->piece->tensor->name;
    bool vector = job->piece->vector;
    job->bad = false;
    if (vector)
        job->bad = !check_row(QUANT_F32, job->piece->tensor->data, (int)job->piece->tensor->dim[0]);
    else
        pool_run(job->pool, pack_part, job);
    if (!job->bad) return OK;
    return err_set(err, E_MODEL,
                   "%s: tensor %s has a number that is no weight (not finite, or beyond %g): the file is "
                   "damaged: fetch it again",
                   path, gguf_show(name).s, (double)WEIGHT_MOST);
}

int model_check(struct model *m, struct pool *pool, const struct watch *watch, struct err *err)
{
    struct pieces p = {0};
    int rc = list_pieces(m, &p, err);
    for (int i = 0; i < p.n && rc == OK; i++) {
        watch_show(watch, "checked", "tensors", (uint64_t)i, (uint64_t)p.n);
        rc = pack(&(struct packing){.piece = &p.list[i], .pool = pool}, m->file.path, err);
        gguf_release(&m->file, p.list[i].tensor);
    }
    watch_show(watch, NULL, NULL, 0, 0);
    free(p.list);
    return rc;
}

int model_load(struct model *m, const struct kernels *k, struct pool *pool, const struct watch *watch, struct err *err)
{
    struct pieces p = {0};
    struct requantizer *requantizers = NULL;
    int rc = list_pieces(m, &p, err);
    if (rc != OK) goto out;
    if (m->requantize && !(requantizers = requantizers_open(&p, k, pool_threads(pool)))) {
        rc = err_set(err, E_LAYOUT, "out of memory to requantize %s", m->file.path);
        goto out;
    }
    m->memory = mmap(NULL, align_up(m->n_bytes, HUGE_PAGE), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (m->memory == MAP_FAILED) {
        m->memory = NULL;
        rc = err_set(err, E_LAYOUT, "%s: no memory for %zu MiB of weights", m->file.path, m->n_bytes >> 20);
        goto out;
    }
    madvise(m->memory, align_up(m->n_bytes, HUGE_PAGE), MADV_HUGEPAGE); /* 5-8 % of a pass; a refusal costs only that */
    uint8_t *at = m->memory;
    for (int i = 0; i < p.n; i++) {
        struct piece *piece = &p.list[i];
        if (piece->matrix) {
            piece->matrix->panel_bytes = k->panel_bytes(piece->matrix->type, piece->matrix->n_in);
            piece->matrix->panels = at;
        }
        rc = pack(&(struct packing){piece, k, false, pool, requantizers}, m->file.path, err);
        if (rc != OK) goto out;
        if (piece->vector) {
            *piece->vector = (float *)at;
            memcpy(at, piece->tensor->data + (size_t)piece->row_from * sizeof(float),
                   (size_t)(piece->row_to - piece->row_from) * sizeof(float));
        }
        at += piece_bytes(piece, k);
        gguf_release(&m->file, piece->tensor);
        watch_show(watch, "loading", NULL, (uint64_t)(at - m->memory), m->n_bytes);
    }
    if (model_last(m) && !m->head.panels) { /* tied: vocab_from is a multiple of 1024, so the view begins at a panel */
        m->head.type = m->embed.type;
        m->head.panel_bytes = m->embed.panel_bytes;
        m->head.panels = m->embed.panels + (size_t)(m->vocab_from[m->share.shard] / PANEL) * m->embed.panel_bytes;
    }
    gguf_close(&m->file);
out:
    requantizers_close(requantizers, pool_threads(pool));
    free(p.list);
    return rc;
}

void model_close(struct model *m)
{
    if (!m) return;
    gguf_close(&m->file);
    plan_free(&m->plan);
    for (int i = 0; m->blocks && i < m->shape.n_blocks; i++) free(m->blocks[i].experts);
    free(m->blocks);
    if (m->memory) munmap(m->memory, align_up(m->n_bytes, HUGE_PAGE));
    *m = (struct model){0};
}
