#include "worker/engine/shape.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum experts { EXPERTS_NEVER, EXPERTS_MAYBE, EXPERTS_ALWAYS };

struct arch {
    const char *name;
    bool rope_neox;
    bool gemma;
    enum experts experts;
};
/* llama files hold q and k rows permuted so that neighbours pair up; the others' pair halves. */
static const struct arch archs[] = {
    {"llama", false, false, EXPERTS_MAYBE},    {"qwen2", true, false, EXPERTS_NEVER},
    {"qwen3", true, false, EXPERTS_NEVER},     {"gemma3", true, true, EXPERTS_NEVER},
    {"qwen3moe", true, false, EXPERTS_ALWAYS},
};

/* ---- keys under the architecture's name ---- */

enum use {
    READ,       /* below */
    READ_GEMMA, /* the same, of gemma3 alone */
    IDLE,       /* changes no number here */
    FIXED       /* is one of two values, which change nothing; no others are built */
};

/* What is not here may change the numbers, so a file that has it is refused. Names: llama.cpp's llama-arch.cpp. */
static const struct {
    const char *suffix;
    enum use use;
    double values[2];
} keys[] = {
    {"block_count", READ, {0}},
    {"context_length", READ, {0}},
    {"embedding_length", READ, {0}},
    {"feed_forward_length", READ, {0}},
    {"attention.head_count", READ, {0}},
    {"attention.head_count_kv", READ, {0}},
    {"attention.key_length", READ, {0}},
    {"attention.value_length", READ, {0}},
    {"attention.layer_norm_rms_epsilon", READ, {0}},
    {"attention.scale", READ, {0}},
    {"attention.sliding_window", READ, {0}},
    {"attention.sliding_window_pattern", READ_GEMMA, {0}},
    {"rope.dimension_count", READ, {0}},
    {"rope.freq_base", READ, {0}},
    {"rope.freq_base_swa", READ_GEMMA, {0}},
    {"rope.scaling.type", READ, {0}},
    {"rope.scaling.factor", READ, {0}},
    {"rope.scale_linear", READ, {0}},
    {"expert_count", READ, {0}},
    {"expert_used_count", READ, {0}},
    {"expert_feed_forward_length", READ, {0}},

    {"vocab_size", IDLE, {0}},
    {"tensor_data_layout", IDLE, {0}},
    {"pooling_type", IDLE, {0}},
    {"rope.scaling.finetuned", IDLE, {0}},
    {"rope.scaling.original_context_length", IDLE, {0}},

    {"attention.causal", FIXED, {1, 1}},
    {"attention.clamp_kqv", FIXED, {0, 0}},
    {"attention.max_alibi_bias", FIXED, {0, 0}},
    {"attention.output_scale", FIXED, {0, 1}},
    {"attention.shared_kv_layers", FIXED, {0, 0}},
    {"attention.temperature_scale", FIXED, {0, 0}},
    {"attention.value_scale", FIXED, {0, 1}},
    {"attn_logit_softcapping", FIXED, {0, 0}},
    {"embedding_scale", FIXED, {0, 1}},
    {"expert_gating_func", FIXED, {0, 1}}, /* softmax */
    {"expert_group_count", FIXED, {0, 1}},
    {"expert_group_used_count", FIXED, {0, 1}},
    {"expert_shared_count", FIXED, {0, 0}},
    {"expert_shared_feed_forward_length", FIXED, {0, 0}},
    {"expert_weights_norm", FIXED, {1, 1}},
    {"expert_weights_scale", FIXED, {0, 1}},
    {"final_logit_softcapping", FIXED, {0, 0}},
    {"interleave_moe_layer_step", FIXED, {0, 1}},
    {"leading_dense_block_count", FIXED, {0, 0}},
    {"logit_scale", FIXED, {0, 1}},
    {"moe_every_n_layers", FIXED, {0, 1}},
    {"nextn_predict_layers", FIXED, {0, 0}},
    {"residual_scale", FIXED, {0, 1}},
    {"rope.scaling.attn_factor", FIXED, {1, 1}},
    {"router_logit_softcapping", FIXED, {0, 0}},
    {"use_parallel_residual", FIXED, {0, 0}},
};
enum { N_KEYS = sizeof keys / sizeof *keys, KEY_ROOM = 128 };

static int check_key(const struct gguf *g, const struct arch *arch, struct gguf_str suffix, struct err *err)
{
    char key[KEY_ROOM];
    double value = 0;
    int i = 0;
    while (i < N_KEYS && !gguf_str_is(suffix, keys[i].suffix)) i++;
    if (i == N_KEYS || (keys[i].use == READ_GEMMA && !arch->gemma))
        return err_set(err, E_MODEL, "%s.%s is not known here, and may change the numbers", arch->name,
                       gguf_show(suffix).s);
    if (keys[i].use != FIXED) return OK;
    snprintf(key, sizeof key, "%s.%s", arch->name, keys[i].suffix);
    int rc = gguf_read_float(g, key, &value, err);
    if (rc != OK || value == keys[i].values[0] || value == keys[i].values[1]) return rc;
    return err_set(err, E_MODEL, "%s %g is not supported; %g is", key, value, keys[i].values[1]);
}

static int check_keys(const struct gguf *g, const struct arch *arch, struct err *err)
{
    size_t n = strlen(arch->name);
    int rc = OK;
    for (size_t i = 0; i < g->n_kv && rc == OK; i++) {
        struct gguf_str key = g->kv[i].key;
        if (key.n > n && key.s[n] == '.' && memcmp(key.s, arch->name, n) == 0)
            rc = check_key(g, arch, (struct gguf_str){key.s + n + 1, key.n - n - 1}, err);
    }
    return rc;
}

static void key_of(const struct shape *s, const char *suffix, char key[KEY_ROOM])
{
    snprintf(key, KEY_ROOM, "%s.%s", s->arch, suffix);
}

static bool has(const struct shape *s, const struct gguf *g, const char *suffix)
{
    char key[KEY_ROOM];
    key_of(s, suffix, key);
    return gguf_find(g, key);
}

struct int_key {
    const char *suffix;
    int max, fallback; /* from 1 to max; the fallback (0: none) where the key is absent */
};

static int read_int(const struct shape *s, const struct gguf *g, struct int_key k, int *out, struct err *err)
{
    char key[KEY_ROOM];
    int64_t v = k.fallback;
    key_of(s, k.suffix, key);
    int rc = gguf_read_int(g, key, &v, err);
    if (rc != OK) return rc;
    if (v == 0 && !gguf_find(g, key)) return err_set(err, E_MODEL, "no %s", key);
    if (v < 1 || v > k.max) return err_set(err, E_MODEL, "%s is %lld, expected 1 to %d", key, (long long)v, k.max);
    *out = (int)v;
    return OK;
}

/* *out stays as it is where the key is absent. */
static int read_float(const struct shape *s, const struct gguf *g, const char *suffix, double *out, struct err *err)
{
    char key[KEY_ROOM];
    key_of(s, suffix, key);
    return gguf_read_float(g, key, out, err);
}

/* ---- parts ---- */

/* NULL: err says why not. */
static const struct arch *read_arch(struct shape *s, const struct gguf *g, struct err *err)
{
    struct gguf_str name = {NULL, 0};
    if (gguf_read_str(g, "general.architecture", &name, err) != OK) return NULL;
    if (!name.s) {
        err_set(err, E_MODEL, "no general.architecture: not a language model");
        return NULL;
    }
    for (size_t i = 0; i < sizeof archs / sizeof *archs; i++) {
        if (!gguf_str_is(name, archs[i].name)) continue;
        snprintf(s->arch, sizeof s->arch, "%s", archs[i].name);
        s->rope_neox = archs[i].rope_neox;
        return &archs[i];
    }
    char all[256] = "";
    for (size_t i = 0; i < sizeof archs / sizeof *archs; i++)
        snprintf(all + strlen(all), sizeof all - strlen(all), " %s", archs[i].name);
    err_set(err, E_MODEL, "architecture %s is not supported;%s are", gguf_show(name).s, all);
    return NULL;
}

/* How many times slower positions turn. Old files have rope.scale_linear, and a factor alone is linear (llama.cpp). */
static int read_rope_scale(struct shape *s, const struct gguf *g, struct err *err)
{
    char key[KEY_ROOM];
    struct gguf_str type = {"linear", 6};
    double factor = 0;
    key_of(s, "rope.scaling.type", key);
    int rc = gguf_read_str(g, key, &type, err);
    if (rc == OK) rc = read_float(s, g, "rope.scale_linear", &factor, err);
    if (rc == OK) rc = read_float(s, g, "rope.scaling.factor", &factor, err);
    if (rc != OK) return rc;
    bool linear = gguf_str_is(type, "linear");
    if (!linear && !gguf_str_is(type, "none"))
        return err_set(err, E_MODEL, "rotary positions scaled by %s are not supported; linear is", gguf_show(type).s);
    s->rope_scale = linear && factor != 0 ? factor : 1;
    return OK;
}

static int read_rope(struct shape *s, const struct gguf *g, struct err *err)
{
    int n_rot = 0;
    s->rope_base = 10000;
    int rc = read_float(s, g, "rope.freq_base", &s->rope_base, err);
    if (rc == OK) rc = read_rope_scale(s, g, err);
    if (rc == OK) rc = read_int(s, g, (struct int_key){"rope.dimension_count", 1 << 20, s->d_head}, &n_rot, err);
    if (rc != OK) return rc;
    if (!(s->rope_base > 1 && s->rope_base < 1e12) || !(s->rope_scale >= 1 && s->rope_scale < 1e6))
        return err_set(err, E_MODEL, "rotary base %g, scaling factor %g", s->rope_base, s->rope_scale);
    if (n_rot != s->d_head)
        return err_set(err, E_MODEL, "rotary positions over %d of %d dimensions are not supported", n_rot, s->d_head);
    return OK;
}

/* Experts (Mixtral: 2401.04088). Of an architecture that has more to them nothing may be left out. */
static int read_experts(struct shape *s, const struct gguf *g, const struct arch *arch, struct err *err)
{
    char key[KEY_ROOM];
    int64_t n = 0;
    key_of(s, "expert_count", key);
    int rc = gguf_read_int(g, key, &n, err);
    if (rc != OK || (arch->experts != EXPERTS_ALWAYS && n == 0)) return rc;
    if (arch->experts == EXPERTS_NEVER)
        return err_set(err, E_MODEL, "experts in %s are not supported; in llama and qwen3moe they are", s->arch);
    rc = read_int(s, g, (struct int_key){"expert_count", 4096, 0}, &s->n_experts, err);
    if (rc == OK) rc = read_int(s, g, (struct int_key){"expert_used_count", s->n_experts, 0}, &s->n_used, err);
    if (rc == OK) rc = read_int(s, g, (struct int_key){"expert_feed_forward_length", 1 << 22, s->n_ff}, &s->n_ff, err);
    return rc;
}

/* Which blocks see a window: the number of blocks of which the last sees all, or a list that says it of each. */
static int read_pattern(struct shape *s, const struct gguf *g, struct err *err)
{
    char key[KEY_ROOM];
    key_of(s, "attention.sliding_window_pattern", key);
    const struct gguf_kv *kv = gguf_find(g, key);
    if (!kv || kv->type != GGUF_ARR || kv->item_type == GGUF_STR)
        return read_int(s, g, (struct int_key){"attention.sliding_window_pattern", 1000, 6}, &s->n_pattern, err);
    uint64_t n = 0;
    while (n < kv->n_items && gguf_item_int(kv, n)) n++;
    bool regular = kv->n_items == (uint64_t)s->n_blocks && n++ < kv->n_items;
    for (uint64_t i = 0; regular && i < kv->n_items; i++) regular = !gguf_item_int(kv, i) == ((i + 1) % n == 0);
    if (!regular) return err_set(err, E_MODEL, "%s must say that of every n blocks the last sees all", key);
    s->n_pattern = (int)n;
    return OK;
}

/* Gemma 3 (2503.19786, section 2.1): five blocks of six see a window only, with rotary positions of their own; the
 * embedding is scaled. */
static int read_gemma(struct shape *s, const struct gguf *g, struct err *err)
{
    s->gelu = true;
    s->embed_scale = sqrtf((float)s->n_embd);
    if (s->n_blocks == 62) s->q_scale = 1.0f / sqrtf((float)(s->n_embd / s->n_head)); /* the 27B alone */
    s->rope_base_local = 10000;
    int rc = read_float(s, g, "rope.freq_base_swa", &s->rope_base_local, err);
    if (rc == OK && !(s->rope_base_local > 1 && s->rope_base_local < 1e12))
        rc = err_set(err, E_MODEL, "rotary base %g of local blocks", s->rope_base_local);
    return rc == OK ? read_pattern(s, g, err) : rc;
}

/* Where all blocks see a window, and the engine has none of that kind, texts are as long as the window at most. */
static int read_window(struct shape *s, const struct gguf *g, const struct arch *arch, struct err *err)
{
    char key[KEY_ROOM];
    int64_t window = 0;
    key_of(s, "attention.sliding_window", key);
    int rc = gguf_read_int(g, key, &window, err);
    if (rc != OK || window == 0) return rc;
    if (window < 0 || window > 1 << 30) return err_set(err, E_MODEL, "%s is %lld", key, (long long)window);
    if (arch->gemma)
        s->n_window = (int)window;
    else
        s->n_ctx = gguf_context(g); /* the engine has no such windows, so no text goes beyond one */
    return OK;
}

static int read_heads(struct shape *s, const struct gguf *g, struct err *err)
{
    int d_value = 0;
    if (!has(s, g, "attention.key_length") && s->n_embd % s->n_head)
        return err_set(err, E_MODEL, "%d dimensions do not divide among %d heads", s->n_embd, s->n_head);
    int d_default = s->n_embd / s->n_head;
    int rc = read_int(s, g, (struct int_key){"attention.head_count_kv", s->n_head, s->n_head}, &s->n_head_kv, err);
    if (rc == OK) rc = read_int(s, g, (struct int_key){"attention.key_length", 1 << 20, d_default}, &s->d_head, err);
    if (rc == OK) rc = read_int(s, g, (struct int_key){"attention.value_length", 1 << 20, s->d_head}, &d_value, err);
    if (rc != OK) return rc;
    if (s->n_head % s->n_head_kv)
        return err_set(err, E_MODEL, "%d query heads on %d KV heads", s->n_head, s->n_head_kv);
    if (s->d_head < 2 || s->d_head > 1024 || s->d_head % 2)
        return err_set(err, E_MODEL, "heads of %d dimensions", s->d_head);
    if (d_value != s->d_head)
        return err_set(err, E_MODEL, "keys of %d dimensions, values of %d: not supported", s->d_head, d_value);
    return OK;
}

static int read_sizes(struct shape *s, const struct gguf *g, struct err *err)
{
    const struct {
        const char *suffix;
        int max, *out;
    } sizes[] = {
        {"block_count", 10000, &s->n_blocks},          {"embedding_length", 1 << 20, &s->n_embd},
        {"attention.head_count", 1 << 16, &s->n_head}, {"feed_forward_length", 1 << 22, &s->n_ff},
        {"context_length", 1 << 30, &s->n_ctx},
    };
    int rc = OK;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes && rc == OK; i++)
        rc = read_int(s, g, (struct int_key){sizes[i].suffix, sizes[i].max, 0}, sizes[i].out, err);
    return rc == OK ? read_heads(s, g, err) : rc;
}

static int read_all(struct shape *s, const struct gguf *g, struct err *err)
{
    double eps = 1e-5, scale = 0;
    const struct arch *arch = read_arch(s, g, err);
    int rc = arch ? check_keys(g, arch, err) : E_MODEL;
    if (rc == OK) rc = read_sizes(s, g, err);
    if (rc == OK) rc = read_float(s, g, "attention.layer_norm_rms_epsilon", &eps, err);
    if (rc != OK) return rc;
    s->eps = (float)eps;
    if (!(s->eps >= 0 && s->eps < 1)) return err_set(err, E_MODEL, "norm epsilon %g", eps);
    s->embed_scale = 1;
    s->q_scale = 1.0f / sqrtf((float)s->d_head);
    rc = read_rope(s, g, err);
    if (rc == OK) rc = read_experts(s, g, arch, err);
    if (rc == OK && arch->gemma) rc = read_gemma(s, g, err);
    if (rc == OK) rc = read_window(s, g, arch, err);
    if (rc == OK) rc = read_float(s, g, "attention.scale", &scale, err);
    if (rc == OK && scale != 0 && !(fabs(scale - (double)s->q_scale) < 1e-5 * (double)s->q_scale))
        rc = err_set(err, E_MODEL, "%s.attention.scale %g is not supported; %g is", s->arch, scale, (double)s->q_scale);
    return rc;
}

int shape_read(struct shape *s, const struct gguf *g, struct err *err)
{
    return read_all(s, g, err) == OK ? OK : err_wrap(err, "%s", g->path);
}
