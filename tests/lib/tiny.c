#include "tests/lib/tiny.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/files/side.h"

enum { ALIGNMENT = 32, NAME_ROOM = 64, N_BYTE_TOKENS = 256, N_MERGES = 256, N_CONTROL = 3, MAX_TENSORS = 4096 };

/* Merges of a byte-level BPE, best first; a _ stands for the space (which is written as U+0120). */
static const char merges[] =
    "h+e _+t _+a _+s _+w _t+he n+d e+d i+n _w+a _+b _a+nd _t+o _+h r+e i+t o+u _+f e+r _wa+s _+he _+l _+c in+g "
    "_+d _+o _+p _+m _+g a+r a+t l+l o+m a+y e+n i+s i+d T+he n+e l+e _s+a a+n _h+a _t+h _+it i+m o+r e+t v+er "
    "_+S _+e l+d _+in i+r o+n _b+e _+H _he+r _s+he _s+o c+k o+w c+e _+u _+The _H+e _s+t _+n r+i _sa+id _o+f s+t "
    "o+t u+t ver+y _S+he p+p l+y _+r o+o k+e v+e k+ed _+y i+g _th+at _d+ay _h+is a+m _u+p _+I it+t a+d t+ed _ha+d "
    "it+h en+t ou+ld _w+ith itt+le ou+nd e+l _p+l _l+ittle a+ck i+l a+l _w+e _y+ou im+e _s+m u+n ou+t _+J _t+ime "
    "he+r _+re c+h _the+re _the+y _o+n _f+or _w+h ir+l _+ne e+nd _g+irl a+ll _+very om+e h+t e+c _ha+pp s+e _s+h "
    "_pl+ay _a+s O+n u+g _e+x _f+ri _fri+end _a+n e+s On+ce _b+o _+k t+er _s+p _l+oo o+re _wa+n v+ed _we+re _b+ut "
    "u+m f+u m+y _b+ig r+ound i+ll _sa+w _l+i _happ+y id+e O+ne ar+d _+out h+ing w+ay r+a a+ke _up+on o+ne "
    "_c+ould _+j he+n i+c _h+im il+ed _+T _I+t _+A _wan+ted _a+ll u+r _sm+iled _m+om fu+l _s+e _g+o _The+y _+M "
    "_+B i+nd a+in _to+o he+d _w+ent _a+round r+y _a+t _d+o _friend+s _bo+y r+om a+re om+et _ex+c _he+l d+d "
    "_exc+it _s+omet _w+ould _loo+ked _c+l _+E _somet+hing _l+o _b+ack ou+g k+ing am+e u+re _n+ot _st+ar _+L oo+d "
    "_hel+p e+ar _a+l s+ide _f+e g+et i+ck ar+k _as+ked a+g re+e _excit+ed s+s n+t _r+an _w+or _star+ted on+g a+b "
    "_n+o _c+h _a+g i+ly _c+an get+her p+l _the+n q+u";

static const char *const control[N_CONTROL] = {"<|endoftext|>", "<|im_start|>", "<|im_end|>"};

static const char chat_template[] =
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + "
    "'\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

struct tensor {
    char name[NAME_ROOM];      /* in the file */
    char seed_name[NAME_ROOM]; /* what its numbers are drawn from: the name it has when no block is left out */
    uint64_t n_in, n_out;      /* n_out = 0: a vector */
    uint64_t n_stack;          /* matrices of a stack; 1 */
    uint32_t type;
    float mean, deviation;
    bool is_vocab;   /* rows are tokens */
    uint64_t period; /* its first numbers, again and again; 0: they go on */
    uint64_t offset;
};

struct side_keys {
    char base[17];
    int n_exits;
    const struct tiny_side *of;
};

struct plan { /* all tensors of a file, in its order */
    const struct tiny_spec *spec;
    const struct side_keys *side; /* NULL: the whole model */
    int block, source;            /* of what is added now; source draws its numbers; -1: of no block */
    int n;
    struct tensor tensor[MAX_TENSORS];
};

struct keys { /* the metadata, counted while it is written */
    FILE *f;
    uint64_t n;
};

/* ---- numbers: drawn from integers alone, so that every compiler and machine writes the same file ---- */

static uint64_t seed_of(const char *name, uint64_t seed)
{
    uint64_t h = 0xcbf29ce484222325u ^ (seed * 0x9e3779b97f4a7c15u); /* FNV-1a */
    for (; *name; name++) h = (h ^ (uint8_t)*name) * 0x100000001b3u;
    return h;
}

static uint64_t draw(uint64_t *state) /* splitmix64 */
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static float draw_normal(uint64_t *state) /* the sum of four uniform numbers, brought to deviation 1 */
{
    uint64_t z = draw(state);
    int sum = (int)(z & 0xffff) + (int)(z >> 16 & 0xffff) + (int)(z >> 32 & 0xffff) + (int)(z >> 48);
    return (float)(sum - 131070) / 37837.f;
}

static uint16_t half_of(float x)
{
    int e;
    float m = frexpf(fabsf(x), &e);
    uint16_t sign = x < 0 ? 0x8000 : 0;
    if (e < -13) return sign | (uint16_t)lrintf(ldexpf(fabsf(x), 24));
    return sign | (uint16_t)(((e + 14) << 10) + (int)lrintf(ldexpf(m, 11)) - 1024);
}

static void put_half(uint8_t *out, float x)
{
    uint16_t h = half_of(x);
    memcpy(out, &h, sizeof h);
}

/* Random quants; the block's scale gives them the deviation asked for and a mean of about 0. */
static void fill_six_bits(uint8_t *block, uint64_t *state, float deviation, int most, float of_most)
{
    float d = deviation / (42.f * of_most); /* mean of scales, deviation of 0..most */
    put_half(block, d);
    put_half(block + 2, .5f * (float)most * d);
    memset(block + 4, 0, 12);
    for (int j = 0; j < 8; j++) { /* six bits of scale and six of minimum for each 32, packed as in the file */
        int scale = 24 + (int)(draw(state) % 37), min = scale + (int)(draw(state) % 3) - 1;
        if (j < 4) {
            block[4 + j] |= (uint8_t)scale;
            block[8 + j] |= (uint8_t)min;
        } else {
            block[8 + j] = (uint8_t)((scale & 15) | (min & 15) << 4);
            block[j] |= (uint8_t)(scale >> 4 << 6);
            block[4 + j] |= (uint8_t)(min >> 4 << 6);
        }
    }
}

static void fill_q2_k(uint8_t *block, uint64_t *state, float deviation)
{
    float d = deviation / (11.5f * 1.12f);
    for (int j = 0; j < 16; j++) block[j] = (uint8_t)(17 * (8 + draw(state) % 8)); /* minimum as scale */
    put_half(block + 80, d);
    put_half(block + 82, 1.5f * d);
}

static void fill_q6_k(uint8_t *block, uint64_t *state, float deviation)
{
    for (int j = 0; j < 16; j++) {
        int scale = 48 + (int)(draw(state) % 65);
        block[192 + j] = (uint8_t)(draw(state) & 1 ? scale : -scale);
    }
    put_half(block + 208, deviation / (82.f * 18.5f));
}

static void fill_block(uint8_t *block, uint32_t type, uint64_t *state, float deviation)
{
    const struct gguf_type *t = gguf_type(type);
    for (int i = 0; i < t->block_bytes; i++) block[i] = (uint8_t)draw(state);
    if (strcmp(t->name, "Q4_1") == 0) {
        put_half(block, deviation / 4.61f);
        put_half(block + 2, -7.5f * deviation / 4.61f);
    } else if (strcmp(t->name, "Q5_0") == 0) {
        put_half(block, deviation / 9.23f);
    } else if (strcmp(t->name, "Q8_0") == 0) {
        put_half(block, deviation / 73.9f);
    } else if (strcmp(t->name, "Q4_0") == 0) {
        put_half(block, deviation / 4.61f);
    } else if (strcmp(t->name, "Q5_1") == 0) {
        put_half(block, deviation / 9.23f);
        put_half(block + 2, -15.5f * deviation / 9.23f);
    } else if (strcmp(t->name, "Q2_K") == 0) {
        fill_q2_k(block, state, deviation);
    } else if (strcmp(t->name, "Q3_K") == 0) {
        put_half(block + 108, deviation / (2.29f * 18.5f));
    } else if (strcmp(t->name, "Q4_K") == 0) {
        fill_six_bits(block, state, deviation, 15, 4.61f);
    } else if (strcmp(t->name, "Q5_K") == 0) {
        fill_six_bits(block, state, deviation, 31, 9.23f);
    } else {
        fill_q6_k(block, state, deviation);
    }
}

/* Only ASCII and merged tokens are written often: the head's row of a token that a text should not hold is small. */
static float loudness_of(const struct tiny_spec *spec, uint64_t token)
{
    if (!spec->has_tokenizer) return 1;
    if (token >= N_BYTE_TOKENS + N_MERGES) return .1f; /* control and padding */
    return token >= 94 && token < N_BYTE_TOKENS ? .8f : 1;
}

static void write_tensor(FILE *f, const struct tiny_spec *spec, const struct tensor *t)
{
    const struct gguf_type *type = gguf_type(t->type);
    uint64_t state = seed_of(t->seed_name, spec->seed), n_rows = (t->n_out ? t->n_out : 1) * t->n_stack;
    for (uint64_t row = 0; row < n_rows; row++) {
        float deviation = t->deviation * (t->is_vocab ? loudness_of(spec, row) : 1);
        for (uint64_t i = 0; i < t->n_in; i += (uint64_t)type->block) {
            uint8_t block[256];
            if (t->period && i % t->period == 0) state = seed_of(t->seed_name, spec->seed);
            float x = type->block == 1 ? t->mean + deviation * draw_normal(&state) : 0;
            if (t->type == QUANT_F32)
                memcpy(block, &x, sizeof x);
            else if (t->type == QUANT_F16)
                put_half(block, x);
            else if (t->type == QUANT_BF16) /* the upper half */
                memcpy(block, (const uint8_t *)&x + 2, 2);
            else
                fill_block(block, t->type, &state, deviation);
            fwrite(block, (size_t)type->block_bytes, 1, f);
        }
    }
}

/* ---- metadata ---- */

static int head_size(const struct tiny_spec *spec)
{
    return spec->d_head ? spec->d_head : spec->n_embd / spec->n_head;
}

static void put_u32(FILE *f, uint32_t x)
{
    fwrite(&x, sizeof x, 1, f);
}
static void put_u64(FILE *f, uint64_t x)
{
    fwrite(&x, sizeof x, 1, f);
}

static void put_str(FILE *f, const char *s)
{
    put_u64(f, strlen(s));
    fwrite(s, 1, strlen(s), f);
}

static void put_key(struct keys *k, const char *arch, const char *key, enum gguf_value type)
{
    char name[NAME_ROOM];
    snprintf(name, sizeof name, "%s%s%s", arch, *arch ? "." : "", key);
    put_str(k->f, name);
    put_u32(k->f, type);
    k->n++;
}

static void key_u32(struct keys *k, const char *arch, const char *key, int value)
{
    put_key(k, arch, key, GGUF_U32);
    put_u32(k->f, (uint32_t)value);
}

static void key_f32(struct keys *k, const char *arch, const char *key, float value)
{
    put_key(k, arch, key, GGUF_F32);
    fwrite(&value, sizeof value, 1, k->f);
}

static void key_str(struct keys *k, const char *key, const char *value)
{
    put_key(k, "", key, GGUF_STR);
    put_str(k->f, value);
}

static void key_array(struct keys *k, const char *key, enum gguf_value item_type, int n)
{
    put_key(k, "", key, GGUF_ARR);
    put_u32(k->f, item_type);
    put_u64(k->f, (uint64_t)n);
}

/* Of a merge "a+b": "a b" (or "ab", joined), with _ as U+0120. Returns what follows it. */
static const char *merge_text(const char *at, bool joined, char *out)
{
    for (; *at && *at != ' '; at++) {
        if (*at == '_') {
            *out++ = (char)0xc4;
            *out++ = (char)0xa0;
        } else if (*at != '+') {
            *out++ = *at;
        } else if (!joined) {
            *out++ = ' ';
        }
    }
    *out = 0;
    return *at ? at + 1 : at;
}

/* The character that byte-level BPE writes for its byte token i: printable ones as they are, then the rest from U+0100.
 */
static void byte_text(int i, char out[3])
{
    int c = i < 94 ? 33 + i : i < 106 ? 0xa1 + i - 94 : i < 188 ? 0xae + i - 106 : 0x100 + i - 188;
    int n = 0;
    if (c >= 0x80) out[n++] = (char)(0xc0 | c >> 6);
    out[n++] = (char)(c < 0x80 ? c : 0x80 | (c & 0x3f));
    out[n] = 0;
}

static void put_tokens(struct keys *k, int n_vocab)
{
    const char *at = merges;
    key_array(k, "tokenizer.ggml.tokens", GGUF_STR, n_vocab);
    for (int id = 0; id < n_vocab; id++) {
        char text[NAME_ROOM];
        int i = id - N_BYTE_TOKENS - N_MERGES;
        if (id < N_BYTE_TOKENS)
            byte_text(id, text);
        else if (i < 0)
            at = merge_text(at, true, text);
        else if (i < N_CONTROL)
            snprintf(text, sizeof text, "%s", control[i]);
        else
            snprintf(text, sizeof text, "[PAD%d]", id);
        put_str(k->f, text);
    }
}

static void put_tokenizer(struct keys *k, int n_vocab)
{
    int first_control = N_BYTE_TOKENS + N_MERGES;
    key_str(k, "tokenizer.ggml.model", "gpt2");
    key_str(k, "tokenizer.ggml.pre", "qwen2");
    put_tokens(k, n_vocab);
    key_array(k, "tokenizer.ggml.token_type", GGUF_I32, n_vocab);
    for (int id = 0; id < n_vocab; id++)
        put_u32(k->f, id < first_control               ? TOKEN_NORMAL
                      : id < first_control + N_CONTROL ? TOKEN_CONTROL
                                                       : TOKEN_UNUSED);
    key_array(k, "tokenizer.ggml.merges", GGUF_STR, N_MERGES);
    for (const char *at = merges; *at;) {
        char text[NAME_ROOM];
        at = merge_text(at, false, text);
        put_str(k->f, text);
    }
    key_u32(k, "tokenizer.ggml", "eos_token_id", first_control + 2);
    key_u32(k, "tokenizer.ggml", "padding_token_id", first_control);
    key_u32(k, "tokenizer.ggml", "bos_token_id", first_control);
    put_key(k, "tokenizer.ggml", "add_bos_token", GGUF_BOOL);
    fputc(0, k->f);
    key_str(k, "tokenizer.chat_template", chat_template);
}

static void put_keys(struct keys *k, const struct tiny_spec *spec)
{
    const char *arch = spec->architecture;
    key_str(k, "general.architecture", arch);
    key_str(k, "general.type", "model");
    key_str(k, "general.name", "tiny");
    key_u32(k, arch, "block_count", spec->n_blocks - (spec->left_out >= 0));
    key_u32(k, arch, "context_length", spec->n_ctx);
    key_u32(k, arch, "embedding_length", spec->n_embd);
    key_u32(k, arch, "feed_forward_length", spec->n_ff);
    key_u32(k, arch, "attention.head_count", spec->n_head);
    key_u32(k, arch, "attention.head_count_kv", spec->n_head_kv);
    bool gemma = strcmp(arch, "gemma3") == 0;
    key_f32(k, arch, "rope.freq_base", gemma ? 100000 : 10000);
    if (gemma) {
        key_u32(k, arch, "attention.sliding_window", 20);
        key_u32(k, arch, "attention.sliding_window_pattern", 2);
    }
    key_f32(k, arch, "attention.layer_norm_rms_epsilon", 1e-5f);
    if (strcmp(arch, "llama") == 0) {
        key_u32(k, arch, "vocab_size", spec->n_vocab);
        key_u32(k, arch, "rope.dimension_count", head_size(spec));
    }
    if (spec->n_experts) {
        key_u32(k, arch, "expert_count", spec->n_experts);
        key_u32(k, arch, "expert_used_count", spec->n_used);
        key_u32(k, arch, "expert_feed_forward_length", spec->n_ff);
    }
    if (spec->d_head) {
        key_u32(k, arch, "attention.key_length", spec->d_head);
        key_u32(k, arch, "attention.value_length", spec->d_head);
    }
    if (spec->has_tokenizer) put_tokenizer(k, spec->n_vocab);
    key_u32(k, "general", "quantization_version", 2);
}

static void put_side_keys(struct keys *k, const struct side_keys *side)
{
    key_str(k, "general.architecture", "pilotfish-side");
    key_str(k, "side.base", side->base);
    if (side->n_exits == 1) {
        key_u32(k, "side", "exit", side->of->exits[0]);
    } else {
        key_array(k, "side.exit", GGUF_U32, side->n_exits);
        for (int i = 0; i < side->n_exits; i++) put_u32(k->f, (uint32_t)side->of->exits[i]);
    }
    if (side->of->n_ids && side->of->every) {
        key_array(k, "side.ids", GGUF_U32, side->of->n_ids);
        for (int i = 0; i < side->of->n_ids; i++) put_u32(k->f, (uint32_t)(i * side->of->every));
    } else if (side->of->n_ids) {
        key_u32(k, "side", "ids", side->of->n_ids);
    }
}

/* ---- tensors ---- */

static struct tensor *plan_add(struct plan *p, const char *name)
{
    struct tensor *t = &p->tensor[p->n++];
    *t = (struct tensor){.n_stack = 1};
    if (p->block < 0) {
        snprintf(t->name, sizeof t->name, "%s", name);
        snprintf(t->seed_name, sizeof t->seed_name, "%s", name);
    } else {
        snprintf(t->name, sizeof t->name, "blk.%d.%s", p->block, name);
        snprintf(t->seed_name, sizeof t->seed_name, "blk.%d.%s", p->source, name);
    }
    return t;
}

static void plan_matrix(struct plan *p, const char *name, int n_in, int n_out, float gain)
{
    struct tensor *t = plan_add(p, name);
    t->n_in = (uint64_t)n_in;
    t->n_out = (uint64_t)n_out;
    t->type = p->spec->type;
    t->is_vocab = p->block < 0;
    t->deviation = gain / sqrtf((float)n_in);
}

static void plan_vector(struct plan *p, const char *name, int n, float mean, float deviation)
{
    struct tensor *t = plan_add(p, name);
    t->n_in = (uint64_t)n;
    t->type = QUANT_F32;
    t->mean = mean;
    t->deviation = deviation;
}

/* A matrix for each expert. */
static void plan_stack(struct plan *p, const char *name, int n_in, int n_out, float gain)
{
    plan_matrix(p, name, n_in, n_out, gain);
    p->tensor[p->n - 1].n_stack = (uint64_t)p->spec->n_experts;
}

/* The gains were tried out: attention is sharp enough for the text to depend on all of it, and a block adds two fifths
 * of what the embedding has, so that a model without one of the later blocks says the same at about half of all
 * positions. */
static void plan_block(struct plan *p)
{
    const struct tiny_spec *s = p->spec;
    int d = head_size(s), n_q = d * s->n_head, n_kv = d * s->n_head_kv;
    float gain = s->idle >> p->source & 1 ? 0 : .4f;
    plan_vector(p, "attn_norm.weight", s->n_embd, 1, .1f);
    plan_matrix(p, "attn_q.weight", s->n_embd, n_q, 1.5f);
    plan_matrix(p, "attn_k.weight", s->n_embd, n_kv, 1.5f);
    plan_matrix(p, "attn_v.weight", s->n_embd, n_kv, 1);
    if (strcmp(s->architecture, "qwen2") == 0) {
        plan_vector(p, "attn_q.bias", n_q, 0, .1f);
        plan_vector(p, "attn_k.bias", n_kv, 0, .1f);
        plan_vector(p, "attn_v.bias", n_kv, 0, .1f);
    }
    bool gemma = strcmp(s->architecture, "gemma3") == 0;
    if (gemma) { /* the embedding is scaled, so what is added to it is louder too */
        plan_vector(p, "post_attention_norm.weight", s->n_embd, .3f * sqrtf((float)s->n_embd), .1f);
        plan_vector(p, "post_ffw_norm.weight", s->n_embd, .3f * sqrtf((float)s->n_embd), .1f);
    }
    if (gemma || strncmp(s->architecture, "qwen3", 5) == 0) {
        plan_vector(p, "attn_q_norm.weight", d, 1.5f, .2f);
        plan_vector(p, "attn_k_norm.weight", d, 1.5f, .2f);
    }
    plan_matrix(p, "attn_output.weight", n_q, s->n_embd, gain);
    plan_vector(p, "ffn_norm.weight", s->n_embd, 1, .1f);
    if (s->n_experts) {
        plan_matrix(p, "ffn_gate_inp.weight", s->n_embd, s->n_experts, 1);
        p->tensor[p->n - 1].type = QUANT_F32; /* as files have it */
        plan_stack(p, "ffn_gate_exps.weight", s->n_embd, s->n_ff, 1);
        plan_stack(p, "ffn_up_exps.weight", s->n_embd, s->n_ff, 1);
        plan_stack(p, "ffn_down_exps.weight", s->n_ff, s->n_embd, .7f);
        return;
    }
    plan_matrix(p, "ffn_gate.weight", s->n_embd, s->n_ff, 1);
    plan_matrix(p, "ffn_up.weight", s->n_embd, s->n_ff, 1);
    plan_matrix(p, "ffn_down.weight", s->n_ff, s->n_embd, gain);
}

static uint64_t tensor_bytes(const struct tensor *t)
{
    const struct gguf_type *type = gguf_type(t->type);
    return t->n_in / (uint64_t)type->block * (uint64_t)type->block_bytes * (t->n_out ? t->n_out : 1) * t->n_stack;
}

static uint64_t align_up(uint64_t n)
{
    return (n + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static void place_all(struct plan *p)
{
    uint64_t offset = 0;
    for (int i = 0; i < p->n; i++) {
        p->tensor[i].offset = offset;
        offset = align_up(offset + tensor_bytes(&p->tensor[i]));
    }
}

static void plan_side(struct plan *p)
{
    const struct tiny_spec *s = p->spec;
    int n = p->side->n_exits;
    for (int i = 0; i < n; i++) {
        int exit = p->side->of->exits[i];
        p->block = s->n_blocks + i;
        p->source = n > 1 && exit < s->n_blocks ? exit : s->n_blocks - 1;
        plan_block(p);
    }
    p->block = -1;
    plan_vector(p, "output_norm.weight", n * s->n_embd, s->tied ? 0 : 1, s->tied ? 1.5f : .1f);
    p->tensor[p->n - 1].period = (uint64_t)s->n_embd;
    place_all(p);
}

static void plan_all(struct plan *p)
{
    const struct tiny_spec *s = p->spec;
    p->block = p->source = -1;
    plan_matrix(p, "token_embd.weight", s->n_embd, s->n_vocab, s->tied ? 2.8f : sqrtf((float)s->n_embd));
    if (s->rope_factors) plan_vector(p, "rope_freqs.weight", head_size(s) / 2, 3, .7f);
    for (p->block = 0; p->block < s->n_blocks - (s->left_out >= 0); p->block++) {
        p->source = p->block + (s->left_out >= 0 && p->block >= s->left_out);
        plan_block(p);
    }
    p->block = p->source = -1;
    /* Tied: random signs in the last norm and a small embedding, or every token would find itself the best next one. */
    plan_vector(p, "output_norm.weight", s->n_embd, s->tied ? 0 : 1, s->tied ? 1.5f : .1f);
    if (!s->tied) plan_matrix(p, "output.weight", s->n_embd, s->n_vocab, 4.2f);
    place_all(p);
}

static void put_directory(FILE *f, const struct plan *p)
{
    for (int i = 0; i < p->n; i++) {
        const struct tensor *t = &p->tensor[i];
        put_str(f, t->name);
        put_u32(f, t->n_stack > 1 ? 3 : t->n_out ? 2 : 1);
        put_u64(f, t->n_in);
        if (t->n_out) put_u64(f, t->n_out);
        if (t->n_stack > 1) put_u64(f, t->n_stack);
        put_u32(f, t->type);
        put_u64(f, t->offset);
    }
}

/* ---- the file ---- */

static bool is_possible(const struct tiny_spec *s)
{
    static const char *const architectures[] = {"qwen2", "qwen3", "qwen3moe", "llama", "gemma3"};
    bool known = false;
    for (size_t i = 0; i < sizeof architectures / sizeof *architectures; i++)
        known |= strcmp(s->architecture, architectures[i]) == 0;
    bool counts = s->n_blocks > 0 && s->n_blocks <= (MAX_TENSORS - 4) / 14 && s->left_out < s->n_blocks &&
                  s->n_blocks - (s->left_out >= 0) > 0 && s->n_ctx > 0 && s->n_vocab > 0;
    bool shapes = s->n_head > 0 && s->n_head_kv > 0 && s->n_embd > 0 && (s->d_head || s->n_embd % s->n_head == 0) &&
                  s->n_head % s->n_head_kv == 0 && head_size(s) % 2 == 0 && s->n_ff > 0;
    bool vocabulary = !s->has_tokenizer || s->n_vocab >= N_BYTE_TOKENS + N_MERGES + N_CONTROL;
    const uint32_t can[] = {QUANT_F32,  QUANT_F16,  QUANT_BF16, QUANT_Q4_0, QUANT_Q4_1, QUANT_Q5_0, QUANT_Q5_1,
                            QUANT_Q8_0, QUANT_Q2_K, QUANT_Q3_K, QUANT_Q4_K, QUANT_Q5_K, QUANT_Q6_K};
    bool type = false;
    for (size_t i = 0; i < sizeof can / sizeof *can; i++) type = type || s->type == can[i];
    if (!known || !counts || !shapes || !vocabulary || !type) return false;
    return s->n_embd % gguf_type(s->type)->block == 0 && s->n_ff % gguf_type(s->type)->block == 0;
}

static int write_file(FILE *f, struct plan *p)
{
    char *bytes = NULL;
    size_t n_bytes = 0;
    struct keys keys = {open_memstream(&bytes, &n_bytes), 0};
    if (!keys.f) return -1;
    if (p->side)
        put_side_keys(&keys, p->side);
    else
        put_keys(&keys, p->spec);
    fclose(keys.f);
    if (p->side)
        plan_side(p);
    else
        plan_all(p);
    fwrite("GGUF", 4, 1, f);
    put_u32(f, 3);
    put_u64(f, (uint64_t)p->n);
    put_u64(f, keys.n);
    fwrite(bytes, n_bytes, 1, f);
    free(bytes);
    put_directory(f, p);
    for (int i = 0; i < p->n; i++) {
        for (uint64_t at = (uint64_t)ftell(f); at % ALIGNMENT != 0; at++) fputc(0, f);
        write_tensor(f, p->spec, &p->tensor[i]);
    }
    return ferror(f) ? -1 : 0;
}

static int write_as(const char *path, const struct tiny_spec *spec, const struct side_keys *side)
{
    if (!is_possible(spec)) {
        errno = EINVAL;
        return -1;
    }
    struct plan *p = calloc(1, sizeof *p);
    FILE *f = p ? fopen(path, "wb") : NULL;
    if (p) p->spec = spec;
    if (p) p->side = side;
    int rc = f ? write_file(f, p) : -1;
    if (f && fclose(f) != 0) rc = -1;
    free(p);
    return rc;
}

int tiny_write(const char *path, const struct tiny_spec *spec)
{
    return write_as(path, spec, NULL);
}

int tiny_write_side(const char *path, const char *base, const struct tiny_spec *spec, const struct tiny_side *of)
{
    struct gguf g = {0};
    struct err err;
    struct side_keys side = {.of = of};
    while (of->exits[side.n_exits]) side.n_exits++;
    if (gguf_open_file(&g, base, &err) != OK) return -1;
    snprintf(side.base, sizeof side.base, "%016llx", (unsigned long long)gguf_fingerprint(&g));
    gguf_close(&g);
    return write_as(path, spec, &side);
}

struct tiny_spec tiny_spec(uint32_t type)
{
    struct tiny_spec s = {.architecture = "qwen2",
                          .n_blocks = 4,
                          .n_embd = 72,
                          .n_head = 9,
                          .n_head_kv = 3,
                          .n_ff = 172,
                          .n_vocab = 700,
                          .n_ctx = 512,
                          .type = type,
                          .seed = 1,
                          .left_out = -1,
                          .has_tokenizer = true};
    const struct gguf_type *t = gguf_type(type);
    if (t && t->block == 32) {
        s.n_embd = 288;
        s.n_ff = 352;
    } else if (t && t->block == 256) {
        s.n_embd = 256;
        s.n_head = 8;
        s.n_head_kv = 2;
        s.n_ff = 512;
    }
    return s;
}

int tiny_remove(const char *folder)
{
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}
