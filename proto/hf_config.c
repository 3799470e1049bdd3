#include "proto/hf_parts.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "proto/gguf_parts.h"

/* Of transformers' model types those that an architecture of the engine (worker/engine/shape.c) can be. */
static const struct type {
    const char *model_type, *arch;
    bool pairs_halves, gemma;
    const char *experts; /* the key of their number; NULL: has none */
} types[] = {
    {"llama", "llama", true, false, NULL},
    {"mistral", "llama", true, false, NULL},
    {"mixtral", "llama", true, false, "num_local_experts"},
    {"qwen2", "qwen2", false, false, NULL},
    {"qwen3", "qwen3", false, false, NULL},
    {"qwen3_moe", "qwen3moe", false, false, "num_experts"},
    {"gemma3_text", "gemma3", false, true, NULL},
};
enum { N_TYPES = sizeof types / sizeof *types, MOST_BLOCKS = 10000 };

struct reading {
    struct hf_shape *s;
    struct gguf_writer *w;
    const json_t *config;
    const char *path;
    struct err *err;
};

/* ---- values ---- */

static struct gguf_shown shown(const json_t *string)
{
    return gguf_show((struct gguf_str){json_string_value(string), json_string_length(string)});
}

static void key_of(const struct reading *r, const char *suffix, char key[128])
{
    snprintf(key, 128, "%s.%s", r->s->arch, suffix);
}

static void write_int(const struct reading *r, const char *suffix, int64_t value)
{
    char key[128];
    key_of(r, suffix, key);
    gguf_put_u32(r->w, key, (uint32_t)value);
}

static void write_float(const struct reading *r, const char *suffix, double value)
{
    char key[128];
    key_of(r, suffix, key);
    gguf_put_f32(r->w, key, (float)value);
}

static double number_or(const json_t *object, const char *name, double fallback)
{
    const json_t *value = json_object_get(object, name);
    return json_is_number(value) ? json_number_value(value) : fallback;
}

/* fallback 0: it must be there. What is too large for the engine, shape_read refuses. */
static int read_int(const struct reading *r, const char *name, int64_t fallback, int64_t *out)
{
    const json_t *value = json_object_get(r->config, name);
    if (!value || json_is_null(value)) {
        *out = fallback;
        return fallback ? OK : err_set(r->err, E_MODEL, "%s: no %s", r->path, name);
    }
    *out = json_integer_value(value);
    if (json_is_integer(value) && *out >= 1 && *out <= INT32_MAX) return OK;
    return err_set(r->err, E_MODEL, "%s: %s is not a number from 1 to 2147483647", r->path, name);
}

static bool is_true(const json_t *object, const char *name)
{
    return json_is_true(json_object_get(object, name));
}

/* ---- parts ---- */

/* NULL: err says why not. */
static const struct type *read_type(const struct reading *r)
{
    const json_t *name = json_object_get(r->config, "model_type");
    char all[256] = "";
    for (int i = 0; i < N_TYPES; i++) {
        if (json_is_string(name) && strcmp(json_string_value(name), types[i].model_type) == 0) return &types[i];
        snprintf(all + strlen(all), sizeof all - strlen(all), " %s", types[i].model_type);
    }
    if (json_is_string(name))
        err_set(r->err, E_MODEL, "%s: model_type %s is not supported;%s are", r->path, shown(name).s, all);
    else
        err_set(r->err, E_MODEL, "%s: no model_type; it must be one of%s", r->path, all);
    return NULL;
}

/* What would change the numbers and is not built must be refused, not ignored. */
static int refuse_others(const struct reading *r, const struct type *type)
{
    const char *const activation = type->gemma ? "gelu_pytorch_tanh" : "silu";
    const json_t *given = json_object_get(r->config, type->gemma ? "hidden_activation" : "hidden_act");
    if (json_is_string(given) && strcmp(json_string_value(given), activation) != 0)
        return err_set(r->err, E_MODEL, "%s: activation %s is not supported; %s is", r->path, shown(given).s,
                       activation);
    if (json_is_object(json_object_get(r->config, "quantization_config")))
        return err_set(r->err, E_MODEL,
                       "%s: weights that are quantized already (quantization_config) are not supported; give the "
                       "original in BF16 or F16, or a GGUF file",
                       r->path);
    static const char *const refused[] = {"use_bidirectional_attention", "attn_logit_softcapping",
                                          "final_logit_softcapping"};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        const json_t *value = json_object_get(r->config, refused[i]);
        if (json_is_true(value) || json_is_number(value))
            return err_set(r->err, E_MODEL, "%s: %s is not supported", r->path, refused[i]);
    }
    return OK;
}

static int read_sizes(const struct reading *r, const struct type *type)
{
    struct hf_shape *s = r->s;
    int64_t n_ff = 0;
    int rc = read_int(r, "num_hidden_layers", 0, &s->n_blocks);
    if (rc == OK) rc = read_int(r, "hidden_size", 0, &s->n_embd);
    if (rc == OK) rc = read_int(r, "num_attention_heads", 0, &s->n_head);
    if (rc == OK) rc = read_int(r, "num_key_value_heads", s->n_head, &s->n_head_kv);
    if (rc == OK) rc = read_int(r, "intermediate_size", 0, &n_ff);
    if (rc == OK) rc = read_int(r, "vocab_size", 0, &s->n_vocab);
    if (rc == OK && s->n_blocks > MOST_BLOCKS)
        rc = err_set(r->err, E_MODEL, "%s: num_hidden_layers is %lld, %d is the most", r->path, (long long)s->n_blocks,
                     MOST_BLOCKS);
    if (rc != OK) return rc;
    int64_t d_head = type->gemma ? 256 : s->n_embd / s->n_head;
    rc = read_int(r, "head_dim", d_head ? d_head : 1, &s->d_head);
    write_int(r, "block_count", s->n_blocks);
    write_int(r, "embedding_length", s->n_embd);
    write_int(r, "feed_forward_length", n_ff);
    write_int(r, "attention.head_count", s->n_head);
    write_int(r, "attention.head_count_kv", s->n_head_kv);
    write_int(r, "attention.key_length", s->d_head);
    write_int(r, "attention.value_length", s->d_head);
    write_float(r, "attention.layer_norm_rms_epsilon", number_or(r->config, "rms_norm_eps", 1e-6));
    double part = number_or(r->config, "partial_rotary_factor", 1);
    write_int(r, "rope.dimension_count", part > 0 && part <= 1 ? (int64_t)(part * (double)s->d_head) : 0);
    return rc;
}

/* Where every block sees a window only, and the engine has none, texts are as long as the window at most. */
static int read_context(const struct reading *r, const struct type *type)
{
    int64_t n, window;
    int rc = read_int(r, "max_position_embeddings", type->gemma ? 131072 : 0, &n);
    if (rc == OK) rc = read_int(r, "sliding_window", INT32_MAX, &window);
    if (rc != OK) return rc;
    bool qwen = strncmp(type->model_type, "qwen", 4) == 0;
    bool all = !type->gemma && (!qwen || is_true(r->config, "use_sliding_window"));
    write_int(r, "context_length", all && window < n ? window : n);
    if (type->gemma && window < INT32_MAX) write_int(r, "attention.sliding_window", window);
    return OK;
}

/* Gemma 3: which blocks see all; the others are named "sliding_attention". */
static int read_pattern(const struct reading *r)
{
    const json_t *layers = json_object_get(r->config, "layer_types");
    int64_t pattern = 0;
    int rc = read_int(
        r, json_object_get(r->config, "sliding_window_pattern") ? "sliding_window_pattern" : "_sliding_window_pattern",
        6, &pattern);
    if (rc != OK) return rc;
    for (int64_t i = 0; json_is_array(layers) && i < r->s->n_blocks; i++) {
        const char *name = json_string_value(json_array_get(layers, (size_t)i));
        bool full = name && strcmp(name, "full_attention") == 0;
        if (full != ((i + 1) % pattern == 0))
            return err_set(r->err, E_MODEL, "%s: layer_types must have a full_attention every %lld blocks", r->path,
                           (long long)pattern);
    }
    write_int(r, "attention.sliding_window_pattern", pattern);
    return OK;
}

static int read_gemma(const struct reading *r, const json_t *local_rope)
{
    const struct hf_shape *s = r->s;
    double scale = s->n_blocks == 62 ? (double)(s->n_embd / s->n_head) : (double)s->d_head; /* see shape.c */
    if (number_or(r->config, "query_pre_attn_scalar", scale) != scale)
        return err_set(r->err, E_MODEL, "%s: query_pre_attn_scalar %g is not supported; of this shape %g is", r->path,
                       number_or(r->config, "query_pre_attn_scalar", 0), scale);
    double base = number_or(r->config, "rope_local_base_freq", 10000);
    write_float(r, "rope.freq_base_swa", number_or(local_rope, "rope_theta", base));
    return read_pattern(r);
}

/* x > 1 with x^n = base, by products alone: every machine has the same, which pow does not promise. */
static double root(double base, int64_t n)
{
    double low = 1, high = base;
    for (int step = 0; step < 100; step++) {
        double middle = (low + high) / 2, power = 1;
        for (int64_t i = 0; i < n && power < base; i++) power *= middle;
        if (power < base)
            low = middle;
        else
            high = middle;
    }
    return high;
}

/* Llama 3.1's rotary factors: long waves turn slower by `factor`, short ones not, those between in between. */
static int write_factors(const struct reading *r, const json_t *rope, double base)
{
    double factor = number_or(rope, "factor", 8), low = number_or(rope, "low_freq_factor", 1),
           high = number_or(rope, "high_freq_factor", 4),
           n_before = number_or(rope, "original_max_position_embeddings", 8192);
    if (!(factor >= 1 && factor < 1e6 && low > 0 && high > low && n_before > 0 && base > 1 && base < 1e12))
        return err_set(r->err, E_MODEL, "%s: rope_scaling of llama3 with impossible factors", r->path);
    int64_t n = r->s->d_head / 2;
    if (n < 1 || n > 4096)
        return err_set(r->err, E_MODEL, "%s: heads of %lld dimensions", r->path, (long long)r->s->d_head);
    float *factors = gguf_put_vector(r->w, "rope_freqs.weight", (size_t)n);
    double wave = 2 * M_PI, longer = root(base, n);
    for (int64_t i = 0; factors && i < n; i++, wave *= longer) {
        double smooth = (n_before / wave - low) / (high - low);
        if (wave < n_before / high)
            factors[i] = 1;
        else if (wave > n_before / low)
            factors[i] = (float)factor;
        else
            factors[i] = (float)(1 / ((1 - smooth) / factor + smooth));
    }
    return OK;
}

/* Older files have rope_theta and rope_scaling, newer ones rope_parameters; there each kind of block may have its own. */
static int read_rope(const struct reading *r, const struct type *type)
{
    const json_t *parameters = json_object_get(r->config, "rope_parameters");
    const json_t *rope = parameters ? parameters : json_object_get(r->config, "rope_scaling");
    const json_t *local = json_object_get(parameters, "sliding_attention");
    if (json_object_get(parameters, "full_attention")) rope = json_object_get(parameters, "full_attention");
    double base = number_or(r->config, "rope_theta", type->gemma ? 1e6 : 1e4);
    base = number_or(rope, "rope_theta", base);
    write_float(r, "rope.freq_base", base);
    const json_t *kind = json_object_get(rope, "rope_type");
    if (!kind) kind = json_object_get(rope, "type");
    const char *name = json_is_string(kind) ? json_string_value(kind) : "default";
    char key[128];
    int rc = OK;
    if (strcmp(name, "llama3") == 0) {
        rc = write_factors(r, rope, base);
    } else if (strcmp(name, "default") != 0) { /* shape_read refuses those that it does not know */
        key_of(r, "rope.scaling.type", key);
        gguf_put_text(r->w, key, name);
        write_float(r, "rope.scaling.factor", number_or(rope, "factor", 1));
    }
    return rc == OK && type->gemma ? read_gemma(r, local) : rc;
}

static int read_experts(const struct reading *r, const struct type *type)
{
    int64_t n_used, n_ff;
    if (!type->experts) return OK;
    int rc = read_int(r, type->experts, 0, &r->s->n_experts);
    if (rc == OK) rc = read_int(r, "num_experts_per_tok", 0, &n_used);
    if (rc == OK) rc = read_int(r, "moe_intermediate_size", -1, &n_ff);
    if (rc != OK) return rc;
    bool mixtral = strcmp(type->model_type, "mixtral") == 0;
    if (!mixtral && !is_true(r->config, "norm_topk_prob"))
        return err_set(r->err, E_MODEL,
                       "%s: experts whose weights do not add up to 1 (norm_topk_prob false) are not "
                       "supported",
                       r->path);
    if (!mixtral && (number_or(r->config, "decoder_sparse_step", 1) != 1 ||
                     json_array_size(json_object_get(r->config, "mlp_only_layers")) > 0))
        return err_set(r->err, E_MODEL, "%s: blocks without experts among others with them are not supported", r->path);
    write_int(r, "expert_count", r->s->n_experts);
    write_int(r, "expert_used_count", n_used);
    if (n_ff > 0 && !mixtral) write_int(r, "expert_feed_forward_length", n_ff);
    return OK;
}

int hf_read_config(struct hf_shape *s, struct gguf_writer *w, const struct hf_file *file, struct err *err)
{
    json_t *config = hf_json(file, err);
    if (!config) return E_MODEL;
    struct reading r = {s, w, config, file->path, err};
    const struct type *type = read_type(&r);
    int rc = type ? OK : E_MODEL;
    if (rc == OK) {
        s->arch = type->arch;
        s->pairs_halves = type->pairs_halves;
        s->gemma = type->gemma;
        const json_t *tied = json_object_get(config, "tie_word_embeddings");
        s->head = json_is_boolean(tied) ? (json_is_true(tied) ? HF_HEAD_TIED : HF_HEAD_OWN) : HF_HEAD_UNSAID;
        gguf_put_text(w, "general.architecture", s->arch);
        rc = refuse_others(&r, type);
    }
    if (rc == OK) rc = read_sizes(&r, type);
    if (rc == OK) rc = read_context(&r, type);
    if (rc == OK) rc = read_rope(&r, type);
    if (rc == OK) rc = read_experts(&r, type);
    json_decref(config);
    return rc;
}
