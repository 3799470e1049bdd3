#include "coordinator/serve/ask.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/cli/option_rules.h"
#include "coordinator/cli/row_options.h"
#include "coordinator/cli/settings.h"
#include "proto/show.h"

static int out_of_memory(struct refusal *why)
{
    return refuse(why, 500, NULL, "out of memory");
}

/* ---- what cannot be honoured ---- */

static bool is_text(const json_t *value, const char *text)
{
    return json_is_string(value) && !strcmp(json_string_value(value), text);
}

static bool is_null(const json_t *value)
{
    return !value || json_is_null(value);
}

/* It asks for nothing. */
static bool is_idle(const json_t *value)
{
    if (json_is_array(value)) return json_array_size(value) == 0;
    if (json_is_object(value)) return json_object_size(value) == 0;
    if (json_is_number(value)) return json_number_value(value) == 0;
    return is_null(value) || json_is_false(value) || is_text(value, "");
}

static bool is_one(const json_t *value)
{
    return is_idle(value) || (json_is_number(value) && json_number_value(value) == 1);
}

static bool is_text_format(const json_t *value)
{
    return is_idle(value) || is_text(json_object_get(value, "type"), "text");
}

static bool is_no_choice(const json_t *value)
{
    return is_idle(value) || is_text(value, "none") || is_text(value, "auto");
}

static bool is_text_alone(const json_t *value)
{
    return is_idle(value) || (json_array_size(value) == 1 && is_text(json_array_get(value, 0), "text"));
}

static const struct {
    const char *key;
    bool (*idle)(const json_t *value);
    const char *what;
} unsupported[] = {
    {"tools", is_idle, "tools"},
    {"functions", is_idle, "functions"},
    {"tool_choice", is_no_choice, "tools"},
    {"logit_bias", is_idle, "a bias of tokens"},
    {"presence_penalty", is_idle, "penalties"},
    {"frequency_penalty", is_idle, "penalties"},
    {"repetition_penalty", is_one, "penalties"},
    {"repeat_penalty", is_one, "penalties"}, /* llama.cpp's */
    {"suffix", is_idle, "text after the answer"},
    {"best_of", is_one, "the best of several answers"},
    {"response_format", is_text_format, "a format of the answer"},
    {"modalities", is_text_alone, "anything but text"},
    {"audio", is_idle, "sound"},
};

static int refuse_unsupported(json_t *body, struct refusal *why)
{
    for (size_t i = 0; i < sizeof unsupported / sizeof *unsupported; i++) {
        const char *key = unsupported[i].key;
        if (!unsupported[i].idle(json_object_get(body, key)))
            return refuse(why, 400, key, "%s: there is no support for %s here", key, unsupported[i].what);
    }
    return OK;
}

/* ---- fields ---- */

static int take_flag(const json_t *value, const char *param, bool *out, struct refusal *why)
{
    if (is_null(value)) return OK;
    if (!json_is_boolean(value)) return refuse(why, 400, param, "%s: must be true or false", param);
    *out = json_is_true(value);
    return OK;
}

int ask_flag(const json_t *in, const char *key, bool *out, struct refusal *why)
{
    return take_flag(json_object_get(in, key), key, out, why);
}

static int take_count(const json_t *in, const char *key, int low, int high, int *out, struct refusal *why)
{
    const json_t *value = json_object_get(in, key);
    if (is_null(value)) return OK;
    json_int_t n = json_integer_value(value);
    if (!json_is_integer(value) || n < low || n > high)
        return refuse(why, 400, key, "%s: must be a whole number from %d to %d", key, low, high);
    *out = (int)n;
    return OK;
}

/* "logprobs" is a flag in a chat, with a count beside it, and a count in a completion. */
static int take_logprobs(struct ask *a, const json_t *body, struct refusal *why)
{
    int n = -1, rc;
    bool chat = a->kind == ASK_CHAT;
    const json_t *count = json_object_get(body, chat ? "top_logprobs" : "logprobs");
    rc = chat ? ask_flag(body, "logprobs", &a->logprobs, why) : OK;
    if (rc == OK) rc = take_count(body, chat ? "top_logprobs" : "logprobs", 0, TOP_MOST, &n, why);
    if (rc != OK) return rc;
    if (chat && n > 0 && !a->logprobs)
        return refuse(why, 400, "top_logprobs", "top_logprobs: needs \"logprobs\": true");
    if (!chat) a->logprobs = count && n >= 0;
    a->settings.n_top = n > 0 ? n : 0;
    return OK;
}

static int take_shape(struct ask *a, json_t *body, struct refusal *why)
{
    json_t *options = json_object_get(body, "stream_options");
    a->n_each = 1;
    if (!is_idle(options) && !json_is_object(options))
        return refuse(why, 400, "stream_options", "stream_options: must be an object");
    int rc = ask_flag(body, "stream", &a->stream, why);
    if (rc == OK) rc = take_count(body, "n", 1, CHOICES_MOST, &a->n_each, why);
    if (rc == OK) rc = ask_flag(options, "include_usage", &a->with_usage, why);
    return rc == OK ? take_logprobs(a, body, why) : rc;
}

static int check_model(const json_t *body, const struct ask_from *from, struct refusal *why)
{
    const json_t *model = json_object_get(body, "model");
    if (is_null(model) || is_text(model, from->model)) return OK;
    if (!json_is_string(model)) return refuse(why, 400, "model", "model: must be a name");
    refuse(why, 404, "model", "there is no model %s here, only %s", show_name(json_string_value(model)).s, from->model);
    why->code = "model_not_found";
    return E_USAGE;
}

/* ---- settings ---- */

/* Names of "speculative", and llama.cpp's; and what they are among options. */
static const struct {
    const char *key, *option;
} speculative[] = {{"accept", "accept"},  {"n_max", "draft_max"},   {"fallback", "fallback"},
                   {"p_min", "fallback"}, {"rollback", "rollback"}, {"rollback_rule", "rollback_rule"}};
enum { N_SPECULATIVE = sizeof speculative / sizeof *speculative };

/* What "speculative" says by this name, or else the key with a dot, as llama.cpp spells it; `param` becomes that key. */
static json_t *speculative_value(const json_t *body, const char *key, char param[32])
{
    json_t *value = json_object_get(json_object_get(body, "speculative"), key);
    snprintf(param, 32, "speculative.%s", key);
    return value ? value : json_object_get(body, param);
}

/* The body with those of "speculative" as options beside the others. Clients give both names of a length, for servers
 * of all times: the newer one counts, as OpenAI says. NULL: no memory. */
static json_t *row_of(json_t *body)
{
    json_t *row = json_copy(body);
    int lost = 0;
    if (!is_null(json_object_get(body, "max_completion_tokens"))) json_object_del(row, "max_tokens");
    if (json_integer_value(json_object_get(body, "top_k")) == -1) /* vLLM's: all */
        lost |= json_object_set_new(row, "top_k", json_integer(0));
    for (int i = 0; i < N_SPECULATIVE; i++) {
        char param[32];
        json_t *value = speculative_value(body, speculative[i].key, param);
        if (value) lost |= json_object_set(row, speculative[i].option, value);
    }
    if (!lost) return row;
    json_decref(row);
    return NULL;
}

/* An option's name becomes the field's that set it, as the client knows it. */
static void name_field(const json_t *body, struct refusal *why)
{
    char param[32], field[32] = "";
    for (int i = 0; i < N_SPECULATIVE; i++)
        if (!strcmp(why->param, speculative[i].option) && speculative_value(body, speculative[i].key, param))
            strcpy(field, param);
    if (*field) strcpy(why->param, field);
}

/* The first field that is wrong also by itself; "": they are so together. */
static void find_culprit(const struct options *run, json_t *row, char *param, size_t room)
{
    const char *key;
    json_t *value;
    struct options ignored;
    struct err err;
    json_object_foreach(row, key, value)
    {
        json_t *alone = row_option(key) ? json_pack("{sO}", key, value) : NULL;
        bool wrong = alone && !*param && row_options(&ignored, run, alone, &err) != OK;
        if (wrong) snprintf(param, room, "%s", key);
        json_decref(alone);
    }
}

/* There it counts as no limit. */
static int refuse_zero(json_t *row, struct refusal *why)
{
    const char *key;
    json_t *value;
    json_object_foreach(row, key, value)
    {
        bool counts = row_option(key) && row_option(key) == option_named("n-predict");
        if (counts && json_is_integer(value) && json_integer_value(value) == 0)
            return refuse(why, 400, key, "%s: must be at least 1; left out, the answer ends by itself", key);
    }
    return OK;
}

static int take_stops(struct ask *a, const struct options *own, const struct ask_from *from, struct refusal *why)
{
    if (option_origin(own, "stop") != FROM_ROW) return OK;
    a->stops = stops_copy(&(struct stops){own->stops, own->n_stops, from->encoder->tokenizer});
    return a->stops ? OK : out_of_memory(why);
}

/* run: the options of the server, as they are for this request. */
static int take_options(struct ask *a, json_t *row, const struct options *run, const struct ask_from *from,
                        struct refusal *why)
{
    struct options own;
    struct err err;
    char param[sizeof why->param] = "";
    int n_top = a->settings.n_top, rc = refuse_zero(row, why);
    if (rc != OK) return rc;
    if (row_options(&own, run, row, &err) != OK) {
        if (err.code == E_USAGE) find_culprit(run, row, param, sizeof param);
        return refuse_for(why, param, &err);
    }
    rc = take_stops(a, &own, from, why);
    if (rc != OK) return rc;
    a->settings = settings_of(&own, from->encoder->tokenizer, a->stops ? a->stops : from->stops);
    a->settings.n_top = n_top;
    if (option_origin(&own, "seed") == FROM_DEFAULT) a->settings.sampler.seed = from->seed;
    return OK;
}

struct listed {
    char s[256];
};

static void list_add(struct listed *l, const char *text, int n)
{
    size_t at = strlen(l->s);
    snprintf(l->s + at, sizeof l->s - at, "%s%.*s", at ? ", " : "", n, text);
}

static int n_plans(const struct options *o)
{
    return o->drafter == DRAFTER_PLAN ? o->n_draft_plans : 0;
}

static int refuse_plan(const char *param, const char *asked, const struct options *o, struct refusal *why)
{
    struct listed names = {""};
    for (int i = 0; i < n_plans(o); i++) {
        size_t n;
        options_draft_plan(o, i, &n);
        if (options_is_new_name(o, i)) list_add(&names, o->draft_plans[i], (int)n);
    }
    return refuse(why, 400, param, "%s: there is no plan %s here, only %s%snone", param, show_name(asked).s, names.s,
                  *names.s ? " and " : "");
}

/* The plan that drafts, by its name: one that the server has, or none. */
static int take_plan(bool *drafts, int *i_plan, const json_t *body, const struct options *o, struct refusal *why)
{
    char param[32];
    const json_t *value = speculative_value(body, "plan", param);
    if (is_null(value)) return OK;
    if (n_plans(o) && is_text(value, "none")) *drafts = false;
    if (is_text(value, "none")) return OK;
    const char *asked = json_string_value(value);
    if (!asked) return refuse(why, 400, param, "%s: must be a name", param);
    int found = n_plans(o) && *asked ? options_find_draft_plan(o, asked, strlen(asked), 0) : -1;
    if (found < 0) return refuse_plan(param, asked, o, why);
    *i_plan = found;
    return OK;
}

/* The exit that drafts, of the plan that the request names, or of any. */
static int take_depth(int *i_plan, const json_t *body, const struct options *o, struct refusal *why)
{
    char param[32], ignored[32];
    const json_t *value = speculative_value(body, "depth", param);
    const char *plan = json_string_value(speculative_value(body, "plan", ignored));
    size_t n = plan ? strlen(plan) : 0;
    json_int_t depth = json_integer_value(value);
    struct listed depths = {""};
    if (is_null(value)) return OK;
    if (!json_is_integer(value) || depth < 1 || depth > INT_MAX)
        return refuse(why, 400, param, "%s: must be a number of blocks", param);
    int found = n_plans(o) ? options_find_draft_plan(o, plan, n, (int)depth) : -1;
    if (found >= 0) *i_plan = found;
    if (found >= 0) return OK;
    for (int i = 0; i < n_plans(o); i++) {
        char digits[16];
        size_t n_name;
        int its = plan_depth(options_draft_plan(o, i, &n_name));
        snprintf(digits, sizeof digits, "%d", its);
        if (its && options_find_draft_plan(o, plan, n, its) == i) list_add(&depths, digits, (int)strlen(digits));
    }
    return refuse(why, 400, param, "%s: there is no exit behind %d blocks here, only %s", param, (int)depth,
                  *depths.s ? depths.s : "none");
}

/* vLLM's "min_tokens": no token ends the answer before. Clients that measure ask so for answers of one length. */
static int take_ends(struct ask *a, const json_t *body, struct refusal *why)
{
    bool ignored = false;
    int n_least = 0, most = a->settings.n_predict, rc = ask_flag(body, "ignore_eos", &ignored, why);
    if (rc == OK) rc = take_count(body, "min_tokens", 0, INT_MAX, &n_least, why);
    if (rc != OK) return rc;
    bool whole = most && n_least >= most;
    if (n_least && !whole && !ignored)
        return refuse(why, 400, "min_tokens",
                      "min_tokens: an answer may have ends (0) or none before max_tokens (as much as that) here");
    if (ignored || whole) a->settings.n_end_ids = 0;
    return OK;
}

/* A request without drafts is one to a server with --no-draft. */
static int take_settings(struct ask *a, json_t *body, const struct ask_from *from, struct refusal *why)
{
    bool drafts = true;
    char param[32];
    struct options run = *from->o;
    const json_t *inside = json_object_get(body, "speculative");
    if (!is_idle(inside) && !json_is_object(inside))
        return refuse(why, 400, "speculative", "speculative: must be an object");
    const json_t *drafting = speculative_value(body, "draft", param);
    int rc = take_flag(drafting, param, &drafts, why);
    if (rc == OK) rc = take_plan(&drafts, &run.draft_plan, body, from->o, why);
    if (rc == OK && drafts) rc = take_depth(&run.draft_plan, body, from->o, why);
    if (rc != OK) return rc;
    if (!drafts) run.no_draft = true, run.drafter = DRAFTER_NONE;
    json_t *row = row_of(body);
    rc = row ? take_options(a, row, &run, from, why) : out_of_memory(why);
    json_decref(row);
    if (rc != OK) name_field(body, why);
    if (rc == OK) rc = take_ends(a, body, why);
    return rc;
}

/* ---- prompts ---- */

static int take_id_list(const struct prompt_encoder *e, const json_t *list, const char *param, struct ask_prompt *out,
                        struct refusal *why)
{
    struct err err;
    size_t n = json_array_size(list), i;
    const json_t *id;
    int n_vocab = tokenizer_n_vocab(e->tokenizer);
    if (prompt_check_length(e, n, &err) != OK) return refuse_for(why, param, &err);
    out->ids = calloc(n, sizeof *out->ids);
    if (!out->ids) return out_of_memory(why);
    json_array_foreach(list, i, id)
    {
        json_int_t k = json_integer_value(id);
        if (!json_is_integer(id) || k < 0 || k >= n_vocab)
            return refuse(why, 400, param, "%s: a token must be a whole number from 0 to %d", param, n_vocab - 1);
        out->ids[i] = (int32_t)k;
    }
    out->n_ids = (int)n;
    return OK;
}

static int take_ids(const struct prompt_encoder *e, const json_t *prompt, const char *param, struct ask_prompt *out,
                    struct refusal *why)
{
    struct err err;
    if (json_is_array(prompt)) return take_id_list(e, prompt, param, out, why);
    if (!json_is_string(prompt)) return refuse(why, 400, param, "%s: must be a text, or a list of tokens", param);
    int rc =
        prompt_encode_plain(e, json_string_value(prompt), json_string_length(prompt), &out->ids, &out->n_ids, &err);
    return rc == OK ? OK : refuse_for(why, param, &err);
}

/* Its own text, also where it was given as ids. */
static int take_echo(const struct prompt_encoder *e, const json_t *prompt, struct ask_prompt *p, struct refusal *why)
{
    FILE *f = open_memstream(&p->text, &p->n_text);
    if (!f) return out_of_memory(why);
    if (json_is_string(prompt)) fwrite(json_string_value(prompt), 1, json_string_length(prompt), f);
    for (int i = 0; i < p->n_ids && !json_is_string(prompt); i++) {
        struct gguf_str piece = tokenizer_piece(e->tokenizer, p->ids[i], true);
        fwrite(piece.s, 1, piece.n, f);
    }
    return fclose(f) ? out_of_memory(why) : OK;
}

/* One prompt, or a list of them. */
static int take_prompts(struct ask *a, const json_t *body, const struct ask_from *from, struct refusal *why)
{
    const json_t *given = json_object_get(body, "prompt"), *first = json_array_get(given, 0);
    bool several = first && !json_is_integer(first), echo = false;
    size_t n = several ? json_array_size(given) : 1;
    int rc = ask_flag(body, "echo", &echo, why);
    if (rc != OK) return rc;
    if (is_null(given)) return refuse(why, 400, "prompt", "prompt: there is none");
    if (echo && a->logprobs)
        return refuse(why, 400, "echo", "echo: there are no log-probabilities of a prompt here; leave logprobs out");
    if (n * (size_t)a->n_each > CHOICES_MOST)
        return refuse(why, 400, "prompt", "%zu prompts, n %d: at most %d answers for one request", n, a->n_each,
                      CHOICES_MOST);
    a->prompts = calloc(n, sizeof *a->prompts);
    if (!a->prompts) return out_of_memory(why);
    for (; (size_t)a->n_prompts < n && rc == OK; a->n_prompts++) {
        const json_t *prompt = several ? json_array_get(given, (size_t)a->n_prompts) : given;
        struct ask_prompt *p = &a->prompts[a->n_prompts];
        rc = take_ids(from->encoder, prompt, "prompt", p, why);
        if (rc == OK && echo) rc = take_echo(from->encoder, prompt, p, why);
    }
    return rc;
}

static int take_messages(struct ask *a, const json_t *body, const struct ask_from *from, struct refusal *why)
{
    struct err err;
    a->prompts = calloc(1, sizeof *a->prompts);
    if (!a->prompts) return out_of_memory(why);
    a->n_prompts = 1;
    int rc = prompt_encode_messages(from->encoder, json_object_get(body, "messages"), &a->prompts->ids,
                                    &a->prompts->n_ids, &err);
    return rc == OK ? OK : refuse_for(why, "messages", &err);
}

/* ---- the whole ---- */

json_t *ask_object(const char *body, size_t n, struct refusal *why)
{
    json_error_t bad;
    json_t *object = json_loadb(body, n, JSON_ALLOW_NUL, &bad);
    if (json_is_object(object)) return object;
    refuse(why, 400, NULL, "the body must be a JSON object%s%s", object ? "" : ": ", object ? "" : bad.text);
    json_decref(object);
    return NULL;
}

int ask_read(struct ask *out, enum ask_kind kind, const char *body, size_t n, const struct ask_from *from,
             struct refusal *why)
{
    *out = (struct ask){.kind = kind};
    json_t *object = ask_object(body, n, why);
    if (!object) return E_USAGE;
    int rc = check_model(object, from, why);
    if (rc == OK) rc = refuse_unsupported(object, why);
    if (rc == OK) rc = take_shape(out, object, why);
    if (rc == OK) rc = take_settings(out, object, from, why);
    if (rc == OK) rc = (kind == ASK_CHAT ? take_messages : take_prompts)(out, object, from, why);
    json_decref(object);
    return rc;
}

void ask_free(struct ask *a)
{
    for (int i = 0; i < a->n_prompts; i++) {
        free(a->prompts[i].ids);
        free(a->prompts[i].text);
    }
    free(a->prompts);
    free(a->stops);
    *a = (struct ask){0};
}
