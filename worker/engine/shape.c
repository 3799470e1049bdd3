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

static int need_int(const struct shape *s, const struct gguf *g, const char *suffix, int max, int *out, struct err *err)
{
    char key[128];
    snprintf(key, sizeof key, "%s.%s", s->arch, suffix);
    int64_t v;
    if (!gguf_get_int(g, key, &v)) return err_set(err, E_MODEL, "%s: no %s", g->path, key);
    if (v < 1 || v > max)
        return err_set(err, E_MODEL, "%s: %s is %lld, expected 1 to %d", g->path, key, (long long)v, max);
    *out = (int)v;
    return OK;
}

static double float_or(const struct shape *s, const struct gguf *g, const char *suffix, double fallback)
{
    char key[128];
    snprintf(key, sizeof key, "%s.%s", s->arch, suffix);
    double v;
    return gguf_get_float(g, key, &v) ? v : fallback;
}

/* NULL: err says why not. */
static const struct arch *read_arch(struct shape *s, const struct gguf *g, struct err *err)
{
    struct gguf_str name;
    if (!gguf_get_str(g, "general.architecture", &name)) {
        err_set(err, E_MODEL, "%s: no general.architecture: not a language model", g->path);
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
    err_set(err, E_MODEL, "%s: architecture %.*s is not supported;%s are", g->path, name.n > 40 ? 40 : (int)name.n,
            name.s, all);
    return NULL;
}

/* What would change the numbers and is not built must be refused, not ignored. */
static int read_rope(struct shape *s, const struct gguf *g, struct err *err)
{
    char key[128];
    struct gguf_str type = {"none", 4};
    s->rope_base = float_or(s, g, "rope.freq_base", 10000.0);
    s->rope_scale = 1;
    snprintf(key, sizeof key, "%s.rope.scaling.type", s->arch);
    gguf_get_str(g, key, &type);
    bool linear = gguf_str_is(type, "linear");
    if (!linear && !gguf_str_is(type, "none"))
        return err_set(err, E_MODEL, "%s: rotary positions scaled by %.*s are not supported; linear is", g->path,
                       type.n > 40 ? 40 : (int)type.n, type.s);
    if (linear) s->rope_scale = float_or(s, g, "rope.scaling.factor", 1);
    if (!(s->rope_base > 1 && s->rope_base < 1e12) || !(s->rope_scale >= 1 && s->rope_scale < 1e6))
        return err_set(err, E_MODEL, "%s: rotary base %g, scaling factor %g", g->path, s->rope_base, s->rope_scale);
    int64_t n_rot = s->d_head;
    snprintf(key, sizeof key, "%s.rope.dimension_count", s->arch);
    if (gguf_get_int(g, key, &n_rot) && n_rot != s->d_head)
        return err_set(err, E_MODEL, "%s: rotary positions over %lld of %d dimensions are not supported", g->path,
                       (long long)n_rot, s->d_head);
    return OK;
}

/* Experts (Mixtral: 2401.04088). Of an architecture that has more to them nothing may be left out. */
static int read_experts(struct shape *s, const struct gguf *g, const struct arch *arch, struct err *err)
{
    char key[128];
    int64_t n = 0;
    snprintf(key, sizeof key, "%s.expert_count", s->arch);
    if (arch->experts != EXPERTS_ALWAYS && (!gguf_get_int(g, key, &n) || n == 0)) return OK;
    if (arch->experts == EXPERTS_NEVER)
        return err_set(err, E_MODEL, "%s: experts in %s are not supported; in llama and qwen3moe they are", g->path,
                       s->arch);
    int rc = need_int(s, g, "expert_count", 4096, &s->n_experts, err);
    if (rc == OK) rc = need_int(s, g, "expert_used_count", s->n_experts, &s->n_used, err);
    snprintf(key, sizeof key, "%s.expert_feed_forward_length", s->arch);
    if (rc == OK && gguf_find(g, key)) rc = need_int(s, g, "expert_feed_forward_length", 1 << 22, &s->n_ff, err);
    double scale = float_or(s, g, "expert_weights_scale", 1);
    if (rc == OK && scale != 1 && scale != 0)
        return err_set(err, E_MODEL, "%s: experts weighed by %g are not supported", g->path, scale);
    return rc;
}

/* Gemma 3 (2503.19786, section 2.1): five blocks of six see a window only, with rotary positions of their own; the
 * embedding is scaled. */
static int read_gemma(struct shape *s, const struct gguf *g, struct err *err)
{
    char key[128];
    int64_t v = 6;
    s->gelu = true;
    s->embed_scale = sqrtf((float)s->n_embd);
    if (s->n_blocks == 62) s->q_scale = 1.0f / sqrtf((float)(s->n_embd / s->n_head)); /* the 27B alone */
    if (float_or(s, g, "final_logit_softcapping", 0) > 0)
        return err_set(err, E_MODEL, "%s: capped logits are not supported", g->path);
    s->rope_base_local = float_or(s, g, "rope.freq_base_swa", 10000.0);
    if (!(s->rope_base_local > 1 && s->rope_base_local < 1e12))
        return err_set(err, E_MODEL, "%s: rotary base %g of local blocks", g->path, s->rope_base_local);
    snprintf(key, sizeof key, "%s.attention.sliding_window", s->arch);
    if (!gguf_find(g, key)) return OK;
    int rc = need_int(s, g, "attention.sliding_window", 1 << 30, &s->n_window, err);
    snprintf(key, sizeof key, "%s.attention.sliding_window_pattern", s->arch);
    if (rc == OK && gguf_find(g, key) && !gguf_get_int(g, key, &v)) v = 0;
    if (rc == OK && (v < 1 || v > 1000)) return err_set(err, E_MODEL, "%s: %s is not a number of blocks", g->path, key);
    s->n_pattern = (int)v;
    return rc;
}

int shape_read(struct shape *s, const struct gguf *g, struct err *err)
{
    const struct arch *arch = read_arch(s, g, err);
    int rc = arch ? need_int(s, g, "block_count", 10000, &s->n_blocks, err) : E_MODEL;
    if (rc == OK) rc = need_int(s, g, "embedding_length", 1 << 20, &s->n_embd, err);
    if (rc == OK) rc = need_int(s, g, "attention.head_count", 1 << 16, &s->n_head, err);
    if (rc == OK) rc = need_int(s, g, "feed_forward_length", 1 << 22, &s->n_ff, err);
    if (rc == OK) rc = need_int(s, g, "context_length", 1 << 30, &s->n_ctx, err);
    if (rc != OK) return rc;

    int64_t v = s->n_head;
    char key[128];
    snprintf(key, sizeof key, "%s.attention.head_count_kv", s->arch);
    gguf_get_int(g, key, &v);
    if (v < 1 || v > s->n_head || s->n_head % v)
        return err_set(err, E_MODEL, "%s: %d query heads on %lld KV heads", g->path, s->n_head, (long long)v);
    s->n_head_kv = (int)v;
    v = s->n_embd / s->n_head;
    snprintf(key, sizeof key, "%s.attention.key_length", s->arch);
    if (!gguf_get_int(g, key, &v) && s->n_embd % s->n_head)
        return err_set(err, E_MODEL, "%s: %d dimensions do not divide among %d heads", g->path, s->n_embd, s->n_head);
    if (v < 2 || v > 1024 || v % 2) return err_set(err, E_MODEL, "%s: heads of %lld dimensions", g->path, (long long)v);
    s->d_head = (int)v;
    snprintf(key, sizeof key, "%s.attention.value_length", s->arch);
    gguf_get_int(g, key, &v);
    if (v != s->d_head)
        return err_set(err, E_MODEL, "%s: keys of %d dimensions, values of %lld: not supported", g->path, s->d_head,
                       (long long)v);
    s->eps = (float)float_or(s, g, "attention.layer_norm_rms_epsilon", 1e-5);
    if (!(s->eps >= 0 && s->eps < 1)) return err_set(err, E_MODEL, "%s: norm epsilon %g", g->path, s->eps);
    s->embed_scale = 1;
    s->q_scale = 1.0f / sqrtf((float)s->d_head);
    rc = read_rope(s, g, err);
    if (rc == OK) rc = read_experts(s, g, arch, err);
    return rc == OK && arch->gemma ? read_gemma(s, g, err) : rc;
}
