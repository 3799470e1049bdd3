#include "proto/files/hf_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/show.h"

/* ---- names ---- */

struct names {
    const char *theirs, *ours; /* without what stands before: "model.layers.7.", "blk.7." */
};

static const struct names of_model[] = {
    {"model.embed_tokens.weight", "token_embd.weight"},
    {"model.norm.weight", "output_norm.weight"},
    {"lm_head.weight", "output.weight"},
};

static const struct names of_block[] = {
    {"input_layernorm.weight", "attn_norm.weight"},
    {"self_attn.q_proj.weight", "attn_q.weight"},
    {"self_attn.q_proj.bias", "attn_q.bias"},
    {"self_attn.k_proj.weight", "attn_k.weight"},
    {"self_attn.k_proj.bias", "attn_k.bias"},
    {"self_attn.v_proj.weight", "attn_v.weight"},
    {"self_attn.v_proj.bias", "attn_v.bias"},
    {"self_attn.o_proj.weight", "attn_output.weight"},
    {"self_attn.q_norm.weight", "attn_q_norm.weight"},
    {"self_attn.k_norm.weight", "attn_k_norm.weight"},
    {"mlp.gate_proj.weight", "ffn_gate.weight"},
    {"mlp.up_proj.weight", "ffn_up.weight"},
    {"mlp.down_proj.weight", "ffn_down.weight"},
    {"mlp.gate.weight", "ffn_gate_inp.weight"},
    {"block_sparse_moe.gate.weight", "ffn_gate_inp.weight"},
};
static const struct names norms[] = {{"post_attention_layernorm.weight", "ffn_norm.weight"}};
static const struct names gemma_norms[] = {
    {"post_attention_layernorm.weight", "post_attention_norm.weight"},
    {"pre_feedforward_layernorm.weight", "ffn_norm.weight"},
    {"post_feedforward_layernorm.weight", "post_ffw_norm.weight"},
};

/* A tensor for each expert there, one for all here. */
static const struct names of_experts[] = {
    {"mlp.experts.%lld.gate_proj.weight", "ffn_gate_exps.weight"},
    {"mlp.experts.%lld.up_proj.weight", "ffn_up_exps.weight"},
    {"mlp.experts.%lld.down_proj.weight", "ffn_down_exps.weight"},
    {"block_sparse_moe.experts.%lld.w1.weight", "ffn_gate_exps.weight"},
    {"block_sparse_moe.experts.%lld.w3.weight", "ffn_up_exps.weight"},
    {"block_sparse_moe.experts.%lld.w2.weight", "ffn_down_exps.weight"},
};
#define N(list) (sizeof(list) / sizeof *(list))

enum { NAME_ROOM = 160 };

/* ---- walking ---- */

/* Calls `use` with each tensor of the files that has a name here, in the order of a GGUF file. */
typedef int use_fn(void *arg, struct safetensor *t, const char *ours);

struct user {
    const struct safetensors *weights;
    use_fn *use;
    void *arg;
};

static int walk_names(const struct user *u, const struct names *list, size_t n, const char *theirs, const char *ours)
{
    int rc = OK;
    for (size_t i = 0; i < n && rc == OK; i++) {
        char name[NAME_ROOM], our_name[NAME_ROOM];
        snprintf(name, sizeof name, "%s%s", theirs, list[i].theirs);
        snprintf(our_name, sizeof our_name, "%s%s", ours, list[i].ours);
        struct safetensor *t = safetensors_find(u->weights, name);
        if (t) rc = u->use(u->arg, t, our_name);
    }
    return rc;
}

static int walk(const struct hf_shape *s, const struct safetensors *weights, use_fn *use, void *arg)
{
    const struct user u = {weights, use, arg};
    size_t n_model = N(of_model) - (s->head == HF_HEAD_TIED);
    int rc = walk_names(&u, of_model, n_model, "", "");
    for (int64_t i = 0; i < s->n_blocks && rc == OK; i++) {
        char theirs[64], ours[64];
        snprintf(theirs, sizeof theirs, "model.layers.%lld.", (long long)i);
        snprintf(ours, sizeof ours, "blk.%lld.", (long long)i);
        rc = walk_names(&u, of_block, N(of_block), theirs, ours);
        if (rc != OK) break;
        rc = s->gemma ? walk_names(&u, gemma_norms, N(gemma_norms), theirs, ours)
                      : walk_names(&u, norms, N(norms), theirs, ours);
    }
    return rc;
}

static bool ends_in(const char *name, const char *end)
{
    size_t n = strlen(name), n_end = strlen(end);
    return n >= n_end && strcmp(name + n - n_end, end) == 0;
}

static int unsupported(const struct safetensor *t, const char *path, struct err *err)
{
    return err_set(err, E_MODEL, "%s: tensor %s is %s; BF16, F16 and F32 are supported", path, t->name, t->dtype);
}

/* 0: the rows stay as they are. */
static uint64_t rope_permuted_rows(const struct hf_shape *s, const char *ours)
{
    bool turns = strstr(ours, "attn_q.") || strstr(ours, "attn_k.");
    return s->rope_permuted && turns ? (uint64_t)s->d_head : 0;
}

/* ---- vectors ---- */

static float of_half(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = h >> 10 & 31, fraction = h & 1023, bits;
    float x;
    if (exponent == 0) {
        x = (float)fraction * 0x1p-24f;
        return sign ? -x : x;
    }
    bits = sign | (exponent == 31 ? 255u : exponent + 112) << 23 | fraction << 13;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static float element(const struct safetensor *t, uint64_t i)
{
    float x;
    uint16_t half;
    if (t->type == GGUF_TYPE_F32) {
        memcpy(&x, t->data + i * sizeof x, sizeof x);
        return x;
    }
    memcpy(&half, t->data + i * sizeof half, sizeof half);
    if (t->type == GGUF_TYPE_F16) return of_half(half);
    uint32_t bits = (uint32_t)half << 16;
    memcpy(&x, &bits, sizeof x);
    return x;
}

struct vectors {
    struct gguf_writer *w;
    const struct hf_shape *s;
    const char *path;
    struct err *err;
};

static int write_vector(void *arg, struct safetensor *t, const char *ours)
{
    const struct vectors *v = arg;
    if (t->n_dims != 1) return OK;
    if (t->type < 0) return unsupported(t, v->path, v->err);
    uint64_t n = t->dim[0], rope_permuted = rope_permuted_rows(v->s, ours);
    if (rope_permuted && n % rope_permuted)
        return err_set(v->err, E_MODEL, "%s: tensor %s is no whole heads", v->path, t->name);
    float *out = gguf_put_vector(v->w, ours, n), added = v->s->gemma && ends_in(ours, "norm.weight") ? 1 : 0;
    for (uint64_t i = 0; out && i < n; i++) out[i] = element(t, gguf_row_in_file(rope_permuted, i)) + added;
    t->used = true;
    return OK;
}

int hf_write_vectors(struct gguf_writer *w, const struct hf_shape *s, struct safetensors *weights, const char *path,
                     struct err *err)
{
    return walk(s, weights, write_vector, &(struct vectors){w, s, path, err});
}

/* ---- matrices ---- */

struct matrices {
    struct gguf *g; /* the lists have room for all */
    const struct hf_shape *s;
    struct safetensors *weights;
    size_t n_chunks, n_names;
    struct err *err;
};

/* Of [n_out, n_in]. */
static int add_matrix(void *arg, struct safetensor *t, const char *ours)
{
    struct matrices *m = arg;
    struct gguf *g = m->g;
    if (t->n_dims == 1) return OK;
    if (t->type < 0) return unsupported(t, g->path, m->err);
    uint64_t rope_permuted = rope_permuted_rows(m->s, ours);
    if (t->n_dims != 2 || (rope_permuted && t->dim[0] % rope_permuted))
        return err_set(m->err, E_MODEL, "%s: tensor %s of %d dimensions, %llu rows: not what %s has", g->path, t->name,
                       t->n_dims, (unsigned long long)t->dim[0], m->s->arch);
    char *name = g->names + NAME_ROOM * m->n_names++;
    snprintf(name, NAME_ROOM, "%s", ours);
    g->tensors[g->n_tensors++] = (struct gguf_tensor){
        .name = {name, strlen(name)},
        .n_dims = 2,
        .dim = {t->dim[1], t->dim[0], 1, 1},
        .type = (uint32_t)t->type,
        .data = t->data,
        .n_bytes = t->n_bytes,
        .rope_permuted = rope_permuted,
    };
    t->used = true;
    return OK;
}

static int add_experts_of(struct matrices *m, int64_t i_block, const struct names *names)
{
    struct gguf *g = m->g;
    struct gguf_tensor *stack = NULL;
    for (int64_t i = 0; i < m->s->n_experts; i++) {
        char name[NAME_ROOM], suffix[64];
        snprintf(suffix, sizeof suffix, names->theirs, (long long)i);
        snprintf(name, sizeof name, "model.layers.%lld.%s", (long long)i_block, suffix);
        struct safetensor *t = safetensors_find(m->weights, name);
        if (!t && i == 0) return OK; /* it is of another architecture */
        if (!t) return err_set(m->err, E_MODEL, "%s: no tensor %s", g->path, name);
        if (i == 0) {
            char ours[NAME_ROOM];
            snprintf(ours, sizeof ours, "blk.%lld.%s", (long long)i_block, names->ours);
            int rc = add_matrix(m, t, ours);
            if (rc != OK) return rc;
            stack = &g->tensors[g->n_tensors - 1];
            stack->n_dims = 3;
            stack->dim[2] = (uint64_t)m->s->n_experts;
            stack->n_bytes *= (size_t)m->s->n_experts;
            stack->row_chunks = g->row_chunks + m->n_chunks;
            stack->chunk_rows = stack->dim[1];
        }
        if (t->n_dims != 2 || t->dim[1] != stack->dim[0] || t->dim[0] != stack->dim[1] || t->type != (int)stack->type)
            return err_set(m->err, E_MODEL, "%s: tensor %s is not like that of expert 0", g->path, name);
        g->row_chunks[m->n_chunks++] = t->data;
        t->used = true;
    }
    return OK;
}

static int add_experts(struct matrices *m)
{
    int rc = OK;
    for (int64_t block = 0; m->s->n_experts && block < m->s->n_blocks; block++)
        for (size_t i = 0; i < N(of_experts) && rc == OK; i++) rc = add_experts_of(m, block, &of_experts[i]);
    return rc;
}

static int check_all_used(const struct matrices *m)
{
    for (size_t i = 0; i < m->weights->n; i++) {
        const struct safetensor *t = &m->weights->list[i];
        bool idle = ends_in(t->name, "rotary_emb.inv_freq") ||
                    (m->s->head == HF_HEAD_TIED && strcmp(t->name, "lm_head.weight") == 0);
        if (!t->used && !idle)
            return err_set(m->err, E_MODEL, "%s: tensor %s has no place in the architecture %s", m->g->path,
                           show_name(t->name).s, m->s->arch);
    }
    return OK;
}

int hf_add_matrices(struct gguf *g, const struct hf_shape *s, struct safetensors *weights, struct err *err)
{
    struct matrices m = {g, s, weights, 0, 0, err};
    size_t n = weights->n + 1; /* no list is longer */
    struct gguf_tensor *tensors = realloc(g->tensors, (g->n_tensors + n) * sizeof *tensors);
    if (tensors) g->tensors = tensors;
    g->row_chunks = malloc(n * sizeof *g->row_chunks);
    g->names = malloc(n * NAME_ROOM);
    if (!tensors || !g->row_chunks || !g->names)
        return err_set(err, E_LAYOUT, "%s: no memory for its directory", g->path);
    if (s->head == HF_HEAD_OWN && !safetensors_find(weights, "lm_head.weight"))
        return err_set(err, E_MODEL, "%s: no tensor lm_head.weight, though tie_word_embeddings is false", g->path);
    int rc = walk(s, weights, add_matrix, &m);
    if (rc == OK) rc = add_experts(&m);
    return rc == OK ? check_all_used(&m) : rc;
}
