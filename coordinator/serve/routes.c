#include "coordinator/serve/routes.h"

#include <stdlib.h>
#include <string.h>

#include "coordinator/cli/marks.h"
#include "coordinator/serve/page.h"
#include "coordinator/text/json_text.h"

typedef void handler(struct server *v, struct exchange *x);

static void reply_refusal(struct exchange *x, int status, const char *param, const char *text)
{
    struct refusal why;
    refuse(&why, status, param, "%s", text);
    exchange_refuse(x, &why);
}

/* ---- what the server is ---- */

static void get_health(struct server *v, struct exchange *x)
{
    if (v->closed)
        reply_refusal(x, 503, NULL, v->closed);
    else if (!v->calls)
        reply_refusal(x, 503, NULL, "the models are being loaded");
    else
        exchange_reply_json(x, 200, json_pack("{ss}", "status", "ok"));
}

static void get_metrics(struct server *v, struct exchange *x)
{
    const struct options *o = &v->s->o;
    struct counts_now now = {.model = v->model, .o = o, .n_slots = o->parallel, .ready = v->calls && !v->closed};
    const char *names = exchange_query(x, "names");
    bool own = !names || !strcmp(names, "pilotfish"), vllm = !names || !strcmp(names, "vllm");
    char *text = NULL;
    size_t n = 0;
    if (!own && !vllm) {
        reply_refusal(x, 400, "names", "names: must be pilotfish or vllm; left out, both");
        return;
    }
    if (v->calls) {
        struct calls_load load = calls_load(v->calls);
        now.n_running = load.n_running;
        now.n_waiting = load.n_waiting;
        now.job = v->s->job;
    }
    FILE *f = open_memstream(&text, &n);
    if (f && own) counts_put(&v->counts, &now, f);
    if (f && vllm) counts_put_vllm(&v->counts, &now, f);
    if (f && fclose(f)) {
        free(text);
        text = NULL;
    }
    exchange_reply(x, 200, "text/plain; version=0.0.4; charset=utf-8", text, n, (struct http_header){0});
}

static json_t *model_json(const struct server *v)
{
    return json_pack("{ss ss sI ss ss si}", "id", v->model, "object", "model", "created", (json_int_t)v->began,
                     "owned_by", "pilotfish", "root", v->model, "max_model_len", v->s->info.n_ctx);
}

static void get_models(struct server *v, struct exchange *x)
{
    exchange_reply_json(x, 200, json_pack("{ss s[o]}", "object", "list", "data", model_json(v)));
}

static void get_model(struct server *v, struct exchange *x)
{
    struct refusal why;
    const char *name = exchange_path(x) + strlen("/v1/models/");
    if (!strcmp(name, v->model)) {
        exchange_reply_json(x, 200, model_json(v));
        return;
    }
    refuse(&why, 404, "model", "there is no such model here, only %s", v->model);
    why.code = "model_not_found";
    exchange_refuse(x, &why);
}

/* Names that "speculative.plan" may have, or depths that "speculative.depth" may. */
static json_t *plans_json(const struct options *o, bool depths)
{
    json_t *list = json_array();
    int lost = 0;
    for (int i = 0; i < o->n_draft_plans && o->drafter == DRAFTER_PLAN; i++) {
        size_t n;
        int depth = plan_depth(options_draft_plan(o, i, &n));
        if (depths && depth && options_find_draft_plan(o, NULL, 0, depth) == i)
            lost |= json_array_append_new(list, json_integer(depth));
        if (!depths && options_is_new_name(o, i))
            lost |= json_array_append_new(list, json_stringn(o->draft_plans[i], n));
    }
    return json_unless(lost, list);
}

static void get_props(struct server *v, struct exchange *x)
{
    const struct options *o = &v->s->o;
    static const char *const accepts[ACCEPT_N] = {"exact", "sample", "bild"};
    static const char *const drafters[] = {
        [DRAFTER_NONE] = "none", [DRAFTER_LITTLE] = "little", [DRAFTER_SUFFIX] = "suffix", [DRAFTER_PLAN] = "plan"};
    const struct template *chat = &v->encoder.chat;
    struct gguf_str bos = tokenizer_bos(v->s->big_t);
    json_t *params =
        json_pack("{sf si sf sf si ss}", "temperature", (double)o->temp, "top_k", o->top_k, "top_p", (double)o->top_p,
                  "min_p", (double)o->min_p, "n_predict", o->n_predict, "speculative.accept", accepts[o->accept]);
    json_t *props = json_pack(
        "{s{si so} si ss so so ss ss si so so si si si si}", "default_generation_settings", "n_ctx", v->s->info.n_ctx,
        "params", params, "total_slots", o->parallel, "model_alias", v->model, "chat_template",
        json_text(chat->source.s ? chat->source.s : "", chat->source.n), "bos_token", json_text(bos.s, bos.n),
        "build_info", "pilotfish " PILOTFISH_VERSION, "drafter", drafters[o->drafter], "drafters",
        layout_n_drafters(&v->s->launch->layout), "draft_plans", plans_json(o, false), "draft_depths",
        plans_json(o, true), "groups", o->groups, "tp", o->tp, "pp", o->pp, "workers", v->s->info.n_workers);
    exchange_reply_json(x, 200, json_unless(marks_json(o, props), props));
}

static json_t *workers_json(const struct server *v)
{
    json_t *list = json_array();
    int lost = 0;
    for (int i = 0; i < v->s->info.n_workers; i++) {
        struct job_worker w;
        job_worker(v->s->job, i, &w);
        lost |= json_array_append_new(list, json_pack("{si ss si si si si so sI sf}", "rank", w.rank, "role",
                                                      w.role == ROLE_DRAFTER ? "drafter" : "verifier", "group", w.group,
                                                      "stage", w.stage, "shard", w.shard, "threads", w.n_threads,
                                                      "host", json_text(w.host, strlen(w.host)), "weights_bytes",
                                                      (json_int_t)w.weights_bytes, "rtt_ms", (double)w.rtt_ns * 1e-6));
    }
    return json_unless(lost, list);
}

json_t *server_state(const struct server *v)
{
    const struct stats *t = &v->counts.total;
    struct calls_load load = calls_load(v->calls);
    return json_pack("{ss si si si sI sI sI sI so}", "model", v->model, "running", load.n_running, "waiting",
                     load.n_waiting, "slots", v->s->o.parallel, "tokens", (json_int_t)(t->n_tokens + load.n_tokens),
                     "drafted", (json_int_t)t->n_drafted, "accepted", (json_int_t)t->n_accepted, "verifies",
                     (json_int_t)t->n_verifies, "workers", workers_json(v));
}

/* ---- text and tokens ---- */

/* "prompt" (vLLM's) has what every prompt has, "content" (llama.cpp's) only what is asked for; and each server has its
 * name for that. */
static int tokenize(struct server *v, json_t *body, int32_t **ids, size_t *n, struct refusal *why)
{
    struct err err;
    json_t *messages = json_object_get(body, "messages"), *content = json_object_get(body, "content");
    const json_t *prompt = json_object_get(body, "prompt"), *text = content ? content : prompt;
    bool whole = !content;
    int n_ids = 0, rc = ask_flag(body, "add_special", &whole, why);
    if (rc == OK) rc = ask_flag(body, "add_special_tokens", &whole, why);
    if (rc != OK) return rc;
    if (!!messages + !!content + !!prompt != 1)
        return refuse(why, 400, "content", "one of \"content\", \"prompt\" and \"messages\" is needed");
    if (messages) {
        rc = prompt_encode_messages(&v->encoder, messages, ids, &n_ids, &err);
        *n = (size_t)n_ids;
        return rc == OK ? OK : refuse_for(why, "messages", &err);
    }
    if (!json_is_string(text)) return refuse(why, 400, content ? "content" : "prompt", "the prompt must be a text");
    const struct tokenizer_text in = {json_string_value(text),     json_string_length(text), NULL, true, whole,
                                      4 * (size_t)v->s->info.n_ctx};
    rc = tokenizer_encode(v->s->big_t, &in, ids, n, &err);
    return rc == OK ? OK : refuse_for(why, content ? "content" : "prompt", &err);
}

/* An id, or with its text beside it (llama.cpp's). */
static json_t *token_json(const struct server *v, int32_t id, bool with_piece)
{
    struct gguf_str piece = tokenizer_piece(v->s->big_t, id, true);
    return with_piece ? json_pack("{si so}", "id", (int)id, "piece", json_text(piece.s, piece.n)) : json_integer(id);
}

static void post_tokenize(struct server *v, struct exchange *x)
{
    struct refusal why;
    bool with_pieces = false;
    int32_t *ids = NULL;
    size_t n_body, n = 0;
    const char *bytes = exchange_body(x, &n_body);
    json_t *body = ask_object(bytes, n_body, &why), *list = NULL;
    int rc = body ? ask_flag(body, "with_pieces", &with_pieces, &why) : E_USAGE, lost = 0;
    if (rc == OK) rc = tokenize(v, body, &ids, &n, &why);
    if (rc == OK) list = json_array();
    for (size_t i = 0; i < n && list; i++) lost |= json_array_append_new(list, token_json(v, ids[i], with_pieces));
    if (rc == OK)
        exchange_reply_json(x, 200,
                            json_unless(lost, json_pack("{so sI si}", "tokens", list, "count", (json_int_t)n,
                                                        "max_model_len", v->s->info.n_ctx)));
    else
        exchange_refuse(x, &why);
    free(ids);
    json_decref(body);
}

static int detokenize(struct server *v, const json_t *body, char **text, size_t *n_text, struct refusal *why)
{
    const json_t *tokens = json_object_get(body, "tokens"), *id;
    int n_vocab = tokenizer_n_vocab(v->s->big_t);
    size_t i;
    if (!json_is_array(tokens)) return refuse(why, 400, "tokens", "tokens: must be a list");
    FILE *f = open_memstream(text, n_text);
    if (!f) return refuse(why, 500, NULL, "out of memory");
    int rc = OK;
    json_array_foreach(tokens, i, id)
    {
        json_int_t k = json_integer_value(id);
        if (!json_is_integer(id) || k < 0 || k >= n_vocab)
            rc = refuse(why, 400, "tokens", "tokens: each must be a whole number from 0 to %d", n_vocab - 1);
        struct gguf_str piece = rc == OK ? tokenizer_piece(v->s->big_t, (int32_t)k, true) : (struct gguf_str){"", 0};
        fwrite(piece.s, 1, piece.n, f);
    }
    if (fclose(f) && rc == OK) rc = refuse(why, 500, NULL, "out of memory");
    return rc;
}

static void post_detokenize(struct server *v, struct exchange *x)
{
    struct refusal why;
    char *text = NULL;
    size_t n_body, n = 0;
    const char *bytes = exchange_body(x, &n_body);
    json_t *body = ask_object(bytes, n_body, &why);
    if (body && detokenize(v, body, &text, &n, &why) == OK) {
        json_t *whole = json_text(text, n);
        exchange_reply_json(x, 200, json_pack("{sO so}", "content", whole, "prompt", whole));
    } else {
        exchange_refuse(x, &why);
    }
    free(text);
    json_decref(body);
}

static void post_completions(struct server *v, struct exchange *x)
{
    calls_begin(v->calls, ASK_COMPLETIONS, x);
}

static void post_chat(struct server *v, struct exchange *x)
{
    calls_begin(v->calls, ASK_CHAT, x);
}

static void get_page(struct server *v, struct exchange *x)
{
    (void)v;
    page_reply(x);
}

static void get_events(struct server *v, struct exchange *x)
{
    page_watch(&v->page, x);
}

/* ---- the table ---- */

enum needs { NOTHING, KEY, MODEL }; /* MODEL: a key, and models that are loaded */

static const struct {
    const char *method, *path; /* a path that ends in a star stands for all below */
    enum needs needs;
    handler *handle;
} routes[] = {
    {"POST", "/v1/chat/completions", MODEL, post_chat},
    {"POST", "/v1/completions", MODEL, post_completions},
    {"GET", "/v1/models", MODEL, get_models},
    {"GET", "/v1/models/*", MODEL, get_model},
    {"GET", "/", NOTHING, get_page},
    {"GET", "/events", MODEL, get_events},
    {"GET", "/health", NOTHING, get_health},
    {"GET", "/metrics", KEY, get_metrics},
    {"GET", "/props", MODEL, get_props},
    {"POST", "/tokenize", MODEL, post_tokenize},
    {"POST", "/detokenize", MODEL, post_detokenize},
};

static bool matches(const char *path, const char *pattern)
{
    size_t n = strlen(pattern);
    if (pattern[n - 1] != '*') return !strcmp(path, pattern);
    return !strncmp(path, pattern, n - 1) && path[n - 1];
}

static bool has_method(const char *method, const char *wanted)
{
    return !strcmp(method, wanted) || (!strcmp(method, "HEAD") && !strcmp(wanted, "GET"));
}

static int check(const struct server *v, const struct exchange *x, enum needs needs, struct refusal *why)
{
    if (needs != NOTHING && !keys_allow(&v->keys, exchange_header(x, "Authorization"))) {
        refuse(why, 401, NULL, "a key is needed that is one of this server's: Authorization: Bearer KEY");
        why->code = "invalid_api_key";
        return E_USAGE;
    }
    if (exchange_refused(x) == 413)
        return refuse(why, 413, NULL, "the body is too large: at most %d MiB", BODY_MOST >> 20);
    if (exchange_refused(x)) return refuse(why, 503, NULL, "too many requests are on their way");
    if (needs == MODEL && v->closed) return refuse(why, 503, NULL, "%s", v->closed);
    if (needs == MODEL && !v->calls) return refuse(why, 503, NULL, "the models are being loaded");
    return OK;
}

void route(struct server *v, struct exchange *x)
{
    struct refusal why;
    const char *path = exchange_path(x), *method = exchange_method(x);
    refuse(&why, 404, NULL, "there is nothing at this path (OpenAI's begin with /v1); docs/api.md lists what there is");
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
        if (!matches(path, routes[i].path)) continue;
        if (!has_method(method, routes[i].method)) {
            refuse(&why, 405, NULL, "%s is for %s only", routes[i].path, routes[i].method);
            why.allow = routes[i].method;
        } else if (check(v, x, routes[i].needs, &why) == OK) {
            routes[i].handle(v, x);
            return;
        }
        break;
    }
    exchange_refuse(x, &why);
}
