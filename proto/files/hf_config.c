#include "proto/files/hf_parts.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "proto/show.h"

/* Of transformers' model types those that an architecture of the engine (worker/engine/shape.c) can be. */
static const struct type {
    const char *model_type, *arch;
    bool rope_permuted, gemma;
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

static struct shown_name shown(const json_t *string)
{
    return show_bytes(json_string_value(string), json_string_length(string));
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

static int other_type(const struct reading *r, const char *name, const json_t *value, const char *expected)
{
    static const char *const names[] = {"object", "array", "string", "integer", "real", "true", "false", "null"};
    return err_set(r->err, E_MODEL, "%s: %s has type %s, expected %s", r->path, name, names[json_typeof(value)],
                   expected);
}

/* *out stays as it is where there is no such number: null is none. */
static int read_number(const struct reading *r, const json_t *object, const char *name, double *out)
{
    const json_t *value = json_object_get(object, name);
    if (!value || json_is_null(value)) return OK;
    if (!json_is_number(value)) return other_type(r, name, value, "a number");
    *out = json_number_value(value);
    return OK;
}

/* fallback 0: it must be there. What is too large for the engine, shape_read refuses. */
static int read_int(const struct reading *r, const char *name, int64_t fallback, int64_t *out)
{
    const json_t *value = json_object_get(r->config, name);
    if (!value || json_is_null(value)) {
        *out = fallback;
        return fallback ? OK : err_set(r->err, E_MODEL, "%s: no %s", r->path, name);
    }
    if (!json_is_integer(value)) return other_type(r, name, value, "an integer");
    *out = json_integer_value(value);
    if (*out >= 1 && *out <= INT32_MAX) return OK;
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

/* Keys that are read below, and those that change no number here. A * stands for the rest. */
static const char *const known_keys[] = {
    "model_type",
    "hidden_size",
    "num_attention_heads",
    "num_key_value_heads",
    "num_hidden_layers",
    "intermediate_size",
    "vocab_size",
    "head_dim",
    "rms_norm_eps",
    "partial_rotary_factor",
    "max_position_embeddings",
    "sliding_window",
    "use_sliding_window",
    "layer_types",
    "rope_theta",
    "rope_scaling",
    "rope_parameters",
    "tie_word_embeddings",
    "num_experts_per_tok",
    "moe_intermediate_size",
    "norm_topk_prob",
    "decoder_sparse_step",
    "mlp_only_layers",
    /* tensors say it too */
    "attention_bias",
    "mlp_bias",
    "qkv_bias",
    /* of training, of generation, of the library */
    "max_window_layers",
    "pretraining_tp",
    "initializer_*",
    "router_aux_loss_coef",
    "router_jitter_noise",
    "attention_dropout",
    "hidden_dropout",
    "resid_pdrop",
    "embd_pdrop",
    "attn_pdrop",
    "use_cache",
    "output_*",
    "return_dict*",
    "use_return_dict",
    "unsloth_*",
    "id2label",
    "label2id",
    "num_labels",
    "temperature",
    "top_k",
    "top_p",
    "typical_p",
    "max_length",
    "min_length",
    "num_beams",
    "num_beam_groups",
    "num_return_sequences",
    "length_penalty",
    "repetition_penalty",
    "do_sample",
    "early_stopping",
    "is_decoder",
    "model_max_length",
    "*_token_id",
    "_*",
};
static const char *const known_gemma_keys[] = {"sliding_window_pattern", "rope_local_base_freq",
                                               "query_pre_attn_scalar"};
static const char *const factors_of_one[] = {"logit_scale", "logits_scaling", "embedding_multiplier",
                                             "residual_multiplier"};
#define N(list) (sizeof(list) / sizeof *(list))

static bool key_matches(const char *key, const char *pattern)
{
    size_t n = strlen(pattern), n_key = strlen(key);
    if (pattern[0] == '*') return n_key >= n - 1 && strcmp(key + n_key - (n - 1), pattern + 1) == 0;
    return pattern[n - 1] == '*' ? strncmp(key, pattern, n - 1) == 0 : strcmp(key, pattern) == 0;
}

static bool is_listed(const char *key, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (key_matches(key, list[i])) return true;
    return false;
}

/* null, false, 0, words and lists of words: a thing that is off, or a name. */
static bool changes_nothing(const json_t *value)
{
    if (json_is_number(value)) return json_number_value(value) == 0;
    bool words = json_is_array(value);
    for (size_t i = 0; words && i < json_array_size(value); i++) words = json_is_string(json_array_get(value, i));
    return words || json_is_null(value) || json_is_false(value) || json_is_string(value);
}

/* What would change the numbers and is not built must be refused, not ignored: so is what is not known. */
static int check_keys(const struct reading *r, const struct type *type)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)r->config, key, value)
    {
        bool known = is_listed(key, known_keys, N(known_keys)) || changes_nothing(value) ||
                     (type->gemma && is_listed(key, known_gemma_keys, N(known_gemma_keys))) ||
                     (type->experts && strcmp(key, type->experts) == 0) ||
                     (is_listed(key, factors_of_one, N(factors_of_one)) && json_number_value(value) == 1);
        if (!known)
            return err_set(
                r->err, E_MODEL,
                "%s: %s is not known here, and may change the numbers; if it does not, take it out of the file",
                r->path, show_name(key).s);
    }
    return OK;
}

static int refuse_others(const struct reading *r, const struct type *type)
{
    const char *const activation = type->gemma ? "gelu_pytorch_tanh" : "silu";
    const json_t *given = json_object_get(r->config, type->gemma ? "hidden_activation" : "hidden_act");
    if (given && !json_is_null(given) && !json_is_string(given))
        return other_type(r, type->gemma ? "hidden_activation" : "hidden_act", given, "a string");
    if (json_is_string(given) && strcmp(json_string_value(given), activation) != 0)
        return err_set(r->err, E_MODEL, "%s: activation %s is not supported; %s is", r->path, shown(given).s,
                       activation);
    static const char *const quantized[] = {"quantization_config", "quantization"};
    for (int i = 0; i < 2; i++)
        if (json_is_object(json_object_get(r->config, quantized[i])))
            return err_set(
                r->err, E_MODEL,
                "%s: weights that are quantized already (%s) are not supported; give the original in BF16 or "
                "F16, or a GGUF file",
                r->path, quantized[i]);
    static const char *const switches[] = {"use_sliding_window", "tie_word_embeddings", "norm_topk_prob"};
    for (size_t i = 0; i < N(switches); i++) {
        const json_t *value = json_object_get(r->config, switches[i]);
        if (value && !json_is_boolean(value) && !json_is_null(value))
            return other_type(r, switches[i], value, "true or false");
    }
    return check_keys(r, type);
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
    double eps = 1e-6, part = 1;
    if (rc == OK) rc = read_number(r, r->config, "rms_norm_eps", &eps);
    if (rc == OK) rc = read_number(r, r->config, "partial_rotary_factor", &part);
    if (rc == OK) rc = read_number(r, json_object_get(r->config, "rope_parameters"), "partial_rotary_factor", &part);
    write_float(r, "attention.layer_norm_rms_epsilon", eps);
    write_int(r, "rope.dimension_count", part > 0 && part <= 1 ? (int64_t)(part * (double)s->d_head) : 0);
    return rc;
}

/* Whether some blocks see a window. */
static int read_layers(const struct reading *r, bool *some)
{
    const json_t *layers = json_object_get(r->config, "layer_types"), *layer;
    size_t i;
    if (layers && !json_is_null(layers) && !json_is_array(layers))
        return other_type(r, "layer_types", layers, "a list");
    json_array_foreach(layers, i, layer)
    {
        const char *name = json_string_value(layer);
        bool slides = name && strcmp(name, "sliding_attention") == 0;
        if (!slides && (!name || strcmp(name, "full_attention") != 0))
            return err_set(r->err, E_MODEL,
                           "%s: layer_types has %s; full_attention and sliding_attention are supported", r->path,
                           name ? shown(layer).s : "what is no string");
        *some = *some || slides;
    }
    return OK;
}

/* Where every block sees a window only, and the engine has none, texts are as long as the window at most. */
static int read_context(const struct reading *r, const struct type *type)
{
    int64_t n, window;
    int rc = read_int(r, "max_position_embeddings", type->gemma ? 131072 : 0, &n);
    if (rc == OK) rc = read_int(r, "sliding_window", INT32_MAX, &window);
    if (rc != OK) return rc;
    bool qwen = strncmp(type->model_type, "qwen", 4) == 0, some = false;
    rc = read_layers(r, &some);
    if (rc != OK) return rc;
    bool all = !type->gemma && (!qwen || some || is_true(r->config, "use_sliding_window"));
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
    double given = scale, base = 10000;
    int rc = read_number(r, r->config, "query_pre_attn_scalar", &given);
    if (rc == OK) rc = read_number(r, r->config, "rope_local_base_freq", &base);
    if (rc == OK) rc = read_number(r, local_rope, "rope_theta", &base);
    if (rc != OK) return rc;
    if (given != scale)
        return err_set(r->err, E_MODEL, "%s: query_pre_attn_scalar %g is not supported; of this shape %g is", r->path,
                       given, scale);
    write_float(r, "rope.freq_base_swa", base);
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
    double factor = 8, low = 1, high = 4, n_before = 8192;
    int rc = read_number(r, rope, "factor", &factor);
    if (rc == OK) rc = read_number(r, rope, "low_freq_factor", &low);
    if (rc == OK) rc = read_number(r, rope, "high_freq_factor", &high);
    if (rc == OK) rc = read_number(r, rope, "original_max_position_embeddings", &n_before);
    if (rc != OK) return rc;
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

/* *name: static or of the object. */
static int read_rope_type(const struct reading *r, const json_t *rope, const char **name)
{
    static const char *const known[] = {"rope_theta",
                                        "rope_type",
                                        "type",
                                        "factor",
                                        "low_freq_factor",
                                        "high_freq_factor",
                                        "full_attention",
                                        "sliding_attention",
                                        "partial_rotary_factor",
                                        "original_max_position_embeddings"};
    const json_t *kind = json_object_get(rope, "rope_type"), *factor = json_object_get(rope, "factor");
    const char *key;
    json_t *value;
    if (rope && !json_is_null(rope) && !json_is_object(rope)) return other_type(r, "rope_scaling", rope, "an object");
    if (!kind) kind = json_object_get(rope, "type");
    if (!kind && factor && !json_is_null(factor))
        return err_set(r->err, E_MODEL, "%s: rotary positions are scaled by a factor without a rope_type", r->path);
    if (kind && !json_is_string(kind)) return other_type(r, "rope_type", kind, "a string");
    *name = kind ? json_string_value(kind) : "default";
    bool supported = strcmp(*name, "default") == 0 || strcmp(*name, "linear") == 0 || strcmp(*name, "llama3") == 0;
    json_object_foreach((json_t *)(uintptr_t)rope, key, value)
    {
        if (supported && !is_listed(key, known, N(known)) && !changes_nothing(value))
            return err_set(r->err, E_MODEL, "%s: %s of rotary positions is not known here, and may change the numbers",
                           r->path, show_name(key).s);
    }
    return OK;
}

/* Older files have rope_theta and rope_scaling, newer ones rope_parameters; there each kind of block may have its
 * own. */
static int read_rope(const struct reading *r, const struct type *type)
{
    const json_t *parameters = json_object_get(r->config, "rope_parameters");
    const json_t *rope = parameters ? parameters : json_object_get(r->config, "rope_scaling");
    const json_t *local = json_object_get(parameters, "sliding_attention");
    if (json_object_get(parameters, "full_attention")) rope = json_object_get(parameters, "full_attention");
    double base = type->gemma ? 1e6 : 1e4, factor = 1;
    const char *name, *local_name = "default";
    char key[128];
    int rc = read_rope_type(r, rope, &name);
    if (rc == OK && local) rc = read_rope_type(r, local, &local_name);
    if (rc == OK && strcmp(local_name, "default") != 0)
        rc = err_set(r->err, E_MODEL, "%s: scaled rotary positions of local blocks are not supported", r->path);
    if (rc == OK) rc = read_number(r, r->config, "rope_theta", &base);
    if (rc == OK) rc = read_number(r, rope, "rope_theta", &base);
    if (rc == OK) rc = read_number(r, rope, "factor", &factor);
    if (rc != OK) return rc;
    write_float(r, "rope.freq_base", base);
    if (strcmp(name, "llama3") == 0) {
        rc = write_factors(r, rope, base);
    } else if (strcmp(name, "default") != 0) { /* shape_read refuses those that it does not know */
        key_of(r, "rope.scaling.type", key);
        gguf_put_text(r->w, key, name);
        write_float(r, "rope.scaling.factor", factor);
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
    double step = 1;
    rc = read_number(r, r->config, "decoder_sparse_step", &step);
    if (rc != OK) return rc;
    if (!mixtral && (step != 1 || json_array_size(json_object_get(r->config, "mlp_only_layers")) > 0))
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
        s->rope_permuted = type->rope_permuted;
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
