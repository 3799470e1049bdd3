#include "coordinator/cli/chat_url.h"

#include <string.h>

#include "coordinator/cli/api_body.h"
#include "coordinator/cli/api_client.h"
#include "coordinator/cli/interrupt.h"
#include "coordinator/cli/stats.h"
#include "coordinator/cli/talk.h"
#include "coordinator/text/json_text.h"
#include "proto/clock.h"

enum { WAIT_MS = 100 };

struct cost {
    uint64_t n_answers, n_tokens, n_drafted, n_accepted;
    uint64_t until_first_ns, writing_ns; /* summed */
};

struct chat_url {
    const struct options *o;
    struct api_client *client;
    struct talk talk;
    json_t *messages; /* owns: the conversation */
    char model[512];
    struct cost total;
};

struct answer {
    const struct chat_url *chat;
    json_t *text; /* owns: a string */
    json_t *usage, *metrics;
    char end[32];
    int n_parts;
    bool over, lost; /* lost: memory is out */
    uint64_t asked_ns, first_ns, last_ns;
    struct err why;
};

/* ---- what the server sends ---- */

static void take_text(struct answer *a, const char *text, size_t n)
{
    size_t had = json_string_length(a->text);
    char *both = malloc(had + n);
    a->lost = !both;
    if (!both) return;
    memcpy(both, json_string_value(a->text), had);
    memcpy(both + had, text, n);
    a->lost = json_string_setn(a->text, both, had + n) != 0;
    free(both);
    a->last_ns = clock_now_ns();
    if (!a->n_parts++) a->first_ns = a->last_ns;
    if (a->chat->o->format == FORMAT_JSONL) return;
    fwrite(text, 1, n, stdout);
    fflush(stdout);
}

static void keep(json_t **to, json_t *value)
{
    if (!value) return;
    json_decref(*to);
    *to = json_incref(value);
}

static void on_event(void *arg, json_t *event)
{
    struct answer *a = arg;
    const struct api_part p = api_part_of(event);
    if (p.text) take_text(a, json_string_value(p.text), json_string_length(p.text));
    if (p.end) snprintf(a->end, sizeof a->end, "%s", p.end);
    keep(&a->usage, p.usage);
    keep(&a->metrics, p.drafts);
}

static void on_over(void *arg, const struct err *why)
{
    struct answer *a = arg;
    a->why = *why;
    a->over = true;
}

/* ---- what it took ---- */

static struct cost cost_of(const struct answer *a)
{
    struct cost c = {.n_answers = 1,
                     .n_tokens = a->usage ? api_count(a->usage, "completion_tokens") : (uint64_t)a->n_parts,
                     .n_drafted = api_count(a->metrics, "num_draft_tokens"),
                     .n_accepted = api_count(a->metrics, "num_accepted_draft_tokens")};
    if (a->n_parts) c.until_first_ns = a->first_ns - a->asked_ns;
    if (a->n_parts) c.writing_ns = a->last_ns - a->first_ns;
    return c;
}

static void add(struct cost *to, const struct cost *c)
{
    to->n_answers += c->n_answers;
    to->n_tokens += c->n_tokens;
    to->n_drafted += c->n_drafted;
    to->n_accepted += c->n_accepted;
    to->until_first_ns += c->until_first_ns;
    to->writing_ns += c->writing_ns;
}

/* As this side sees it, the way over the network included. */
static void put_cost(const struct cost *c, FILE *to)
{
    double n_after = c->n_tokens > c->n_answers ? (double)(c->n_tokens - c->n_answers) : 0;
    fprintf(to, "%llu tokens, %.1f token/s, first token %.2f s", (unsigned long long)c->n_tokens,
            stats_ratio(n_after, (double)c->writing_ns * 1e-9),
            stats_ratio((double)c->until_first_ns * 1e-9, (double)c->n_answers));
    if (c->n_drafted)
        fprintf(to, ", %llu of %llu drafts accepted", (unsigned long long)c->n_accepted,
                (unsigned long long)c->n_drafted);
    fputc('\n', to);
}

/* ---- one turn ---- */

static int put_json(struct chat_url *c, const struct answer *a, struct err *err)
{
    char name[16];
    snprintf(name, sizeof name, "%d", c->talk.n_turns);
    json_t *line = json_pack("{ss sO ss ss sO? sO?}", "id", name, "text", a->text, "end", a->end, "model", c->model,
                             "usage", a->usage, "speculative_decoding", a->metrics);
    return json_put_line(line, 0, stdout, err);
}

static int show(struct chat_url *c, const struct answer *a, bool interrupted, struct err *err)
{
    struct cost cost = cost_of(a);
    add(&c->total, &cost);
    if (c->o->format == FORMAT_JSONL) return put_json(c, a, err);
    if (a->n_parts) fputc('\n', stdout);
    if (fflush(stdout) || ferror(stdout)) return err_set(err, E_FAIL, "standard output: the answer is not written");
    if (interrupted) fputs("interrupted; ", stderr);
    put_cost(&cost, stderr);
    return OK;
}

static json_t *body_of(const struct chat_url *c)
{
    json_t *body = json_pack("{ss sO sb s{sb}}", "model", c->model, "messages", c->messages, "stream", 1,
                             "stream_options", "include_usage", 1);
    return json_unless(api_body_put(body, c->o), body);
}

static int ask(struct chat_url *c, struct answer *a, bool *interrupted, struct err *err)
{
    const struct api_watch watch = {on_event, on_over, a};
    struct interrupt i;
    json_t *body = body_of(c);
    struct api_stream *s = body ? api_begin(c->client, "/v1/chat/completions", body, &watch) : NULL;
    if (!s) return err_set(err, E_FAIL, "out of memory");
    interrupt_open(&i);
    int rc = OK;
    while (rc == OK && !a->over && !a->lost && !interrupt_came()) rc = api_client_step(c->client, WAIT_MS, err);
    *interrupted = rc == OK && !a->over && interrupt_came();
    interrupt_close(&i);
    if (!a->over) api_end(s);
    if (*interrupted) snprintf(a->end, sizeof a->end, "aborted");
    return rc == OK && a->lost ? err_set(err, E_FAIL, "no memory for the answer") : rc;
}

static int add_message(struct chat_url *c, const char *role, const char *text, size_t n, struct err *err)
{
    int lost = json_array_append_new(c->messages, json_pack("{ss so}", "role", role, "content", json_text(text, n)));
    return lost ? err_set(err, E_FAIL, "no memory for the conversation") : OK;
}

/* The text that has come is shown; if it ends in an error, the line of it is not complete. */
static int conclude(struct chat_url *c, struct answer *a, bool interrupted, struct err *err)
{
    if (a->why.code == OK) {
        int rc = show(c, a, interrupted, err);
        const char *text = json_string_value(a->text);
        return rc == OK ? add_message(c, "assistant", text, json_string_length(a->text), err) : rc;
    }
    json_array_remove(c->messages, json_array_size(c->messages) - 1);
    if (a->n_parts && c->o->format == FORMAT_TEXT) fputc('\n', stdout), fflush(stdout);
    if (a->why.code == E_USAGE) return talk_refuse(&c->talk, a->why.text, err);
    *err = a->why;
    return err->code;
}

static int turn(void *arg, const char *text, size_t n_text, struct err *err)
{
    struct chat_url *c = arg;
    struct answer a = {.chat = c, .text = json_string(""), .asked_ns = clock_now_ns()};
    bool interrupted = false;
    int rc = a.text ? add_message(c, "user", text, n_text, err) : err_set(err, E_FAIL, "out of memory");
    if (rc == OK) rc = ask(c, &a, &interrupted, err);
    if (rc == OK) rc = conclude(c, &a, interrupted, err);
    json_decref(a.text);
    json_decref(a.usage);
    json_decref(a.metrics);
    return rc;
}

/* ---- the conversation ---- */

static void forget(void *arg)
{
    const struct chat_url *c = arg;
    size_t n_system = c->o->system ? 1 : 0;
    while (json_array_size(c->messages) > n_system) json_array_remove(c->messages, n_system);
}

static void put_stats(void *arg)
{
    const struct chat_url *c = arg;
    fprintf(stderr, "%llu answers of %s; ", (unsigned long long)c->total.n_answers, c->model);
    put_cost(&c->total, stderr);
}

int command_chat_url(const struct options *o, struct err *err)
{
    struct chat_url c = {.o = o, .messages = json_array()};
    int rc = c.messages ? api_client_open(&c.client, o, err) : err_set(err, E_FAIL, "out of memory");
    if (rc == OK) rc = api_client_model(c.client, c.model, sizeof c.model, err);
    if (rc == OK && o->system) rc = add_message(&c, "system", o->system, strlen(o->system), err);
    c.talk = (struct talk){o->format == FORMAT_JSONL, turn, forget, put_stats, &c, NULL, 0, 0};
    if (rc == OK) rc = talk_run(&c.talk, err);
    api_client_close(c.client);
    json_decref(c.messages);
    return rc;
}
