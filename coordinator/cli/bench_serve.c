#include "coordinator/cli/bench_serve.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/cli/api_body.h"
#include "coordinator/cli/api_client.h"
#include "coordinator/cli/interrupt.h"
#include "coordinator/cli/progress.h"
#include "coordinator/cli/serve_report.h"
#include "coordinator/text/json_text.h"
#include "coordinator/text/read_text.h"
#include "proto/clock.h"
#include "proto/prefix_hash.h"

enum { WAIT_MS = 100 };

struct bench;

struct asked { /* one request */
    struct bench *bench;
    struct api_stream *stream; /* NULL: it has not begun, or is over */
    struct served served;
    uint64_t due_ns; /* after the start */
    uint64_t n_told; /* tokens, by the server's usage; 0: it reports none */
    bool lost;       /* memory is out */
};

struct bench {
    const struct options *o;
    struct api_client *client;
    struct goodput limits;
    json_t **rows; /* [n_rows] owns: of --prompts */
    int n_rows, n, n_begun, n_running, n_over;
    struct asked *asked; /* [n] owns */
    char model[512];
    struct err first_failure; /* code OK: none failed */
    struct progress progress;
};

/* ---- the prompts ---- */

static int add_row(struct bench *b, const char *place, int i_line, const char *line, size_t n, struct err *err)
{
    json_error_t bad;
    json_t *row = json_loadb(line, n, JSON_ALLOW_NUL, &bad);
    json_t **more = realloc(b->rows, ((size_t)b->n_rows + 1) * sizeof *more);
    if (more) b->rows = more;
    if (more && json_is_object(row)) {
        b->rows[b->n_rows++] = row;
        return OK;
    }
    int rc = more ? err_set(err, E_USAGE, "%s:%d: not a JSON object%s%s (each line must be one)", place, i_line,
                            row ? "" : ": ", row ? "" : bad.text)
                  : err_set(err, E_FAIL, "no memory for the prompts");
    json_decref(row);
    return rc;
}

static int read_rows(struct bench *b, struct err *err)
{
    FILE *f;
    const char *place;
    char *bytes = NULL;
    size_t n = 0;
    int rc = text_open(b->o->prompts_file, stdin, &f, &place, err);
    if (rc != OK) return rc;
    rc = text_read_plain(f, place, &bytes, &n, err);
    if (f != stdin) fclose(f);
    int i_line = 1;
    for (size_t at = 0; rc == OK && at < n; i_line++) {
        const char *end = memchr(bytes + at, '\n', n - at);
        size_t n_line = end ? (size_t)(end - bytes) - at : n - at, i = 0;
        while (i < n_line && strchr(" \t", bytes[at + i])) i++;
        if (i < n_line) rc = add_row(b, place, i_line, bytes + at, n_line, err);
        at += n_line + 1;
    }
    if (rc == OK && !b->n_rows) rc = err_set(err, E_USAGE, "%s: no prompts in it", place);
    free(bytes);
    return rc;
}

/* Its prompt: "messages", "turns" (the first), "prompt" or "text", as for generate --prompts. NULL: it has none, or
 * memory is out. *path: where it goes. */
static json_t *body_of(const struct bench *b, json_t *row, const char **path)
{
    json_t *messages = json_object_get(row, "messages"), *text = json_array_get(json_object_get(row, "turns"), 0);
    if (!text) text = json_object_get(row, "prompt");
    if (!text) text = json_object_get(row, "text");
    bool chat = messages || !b->o->raw;
    if (!messages && !text) return NULL;
    *path = chat ? "/v1/chat/completions" : "/v1/completions";
    json_t *body = json_pack("{ss sb s{sb}}", "model", b->model, "stream", 1, "stream_options", "include_usage", 1);
    int lost = api_body_put(body, b->o) | api_body_put_row(body, row);
    if (b->o->ignore_eos) lost |= json_object_set_new(body, "ignore_eos", json_true());
    if (messages)
        lost |= json_object_set(body, "messages", messages);
    else if (chat)
        lost |= json_object_set_new(body, "messages", json_pack("[{ss sO}]", "role", "user", "content", text));
    else
        lost |= json_object_set(body, "prompt", text);
    return json_unless(lost, body);
}

/* ---- a request ---- */

static void take_part(struct asked *a)
{
    struct served *s = &a->served;
    uint64_t now = clock_now_ns();
    if (s->n_parts >= s->n_room) {
        int n_room = 2 * s->n_room + 64;
        uint64_t *more = realloc(s->parts_ns, (size_t)n_room * sizeof *more);
        a->lost |= !more;
        if (!more) return;
        s->parts_ns = more;
        s->n_room = n_room;
    }
    if (s->n_parts) s->parts_ns[s->n_parts - 1] = now - s->last_ns;
    if (!s->n_parts++) s->first_ns = now;
    s->last_ns = now;
}

static void on_event(void *arg, json_t *event)
{
    struct asked *a = arg;
    const struct api_part p = api_part_of(event);
    if (p.text) take_part(a);
    if (p.usage) {
        a->served.n_prompt = api_count(p.usage, "prompt_tokens");
        a->n_told = api_count(p.usage, "completion_tokens");
    }
    if (!p.drafts) return;
    a->served.n_drafts = api_count(p.drafts, "num_spec_steps");
    a->served.n_drafted = api_count(p.drafts, "num_draft_tokens");
    a->served.n_accepted = api_count(p.drafts, "num_accepted_draft_tokens");
}

static void on_over(void *arg, const struct err *why)
{
    struct asked *a = arg;
    struct bench *b = a->bench;
    struct err empty;
    a->stream = NULL;
    b->n_running--;
    b->n_over++;
    if (why->code == OK && (!a->served.n_parts || a->lost)) {
        err_set(&empty, E_FAIL, "%s", a->lost ? "no memory for its times" : "an answer without text");
        why = &empty;
    }
    a->served.n_tokens = a->n_told ? a->n_told : (uint64_t)a->served.n_parts;
    a->served.done = why->code == OK;
    a->served.failed = !a->served.done;
    if (a->served.failed && b->first_failure.code == OK) b->first_failure = *why;
}

static int begin(struct bench *b, struct asked *a, struct err *err)
{
    const struct api_watch watch = {on_event, on_over, a};
    const char *path = NULL;
    json_t *body = body_of(b, b->rows[b->n_begun % b->n_rows], &path);
    if (!path)
        return err_set(err, E_USAGE,
                       "%s: prompt %d: no \"messages\", no \"turns\": [\"...\"], no \"prompt\" and no \"text\"",
                       b->o->prompts_file, b->n_begun % b->n_rows + 1);
    a->served.begun_ns = clock_now_ns();
    a->stream = body ? api_begin(b->client, path, body, &watch) : NULL;
    if (!a->stream) return err_set(err, E_FAIL, "no memory for %d requests", b->n);
    b->n_begun++;
    b->n_running++;
    return OK;
}

/* ---- all requests ---- */

/* Exponential gaps, from the seed: the same times each time. */
static void set_times(struct bench *b)
{
    uint64_t h = prefix_hash_mix(b->o->seed < 0 ? 0 : (uint64_t)b->o->seed);
    double at = 0;
    for (int i = 0; i < b->n && isfinite(b->o->request_rate); i++) {
        h = prefix_hash_mix(h + 1);
        at -= log(((double)(h >> 11) + 1) * 0x1p-53) / (double)b->o->request_rate;
        b->asked[i].due_ns = (uint64_t)(at * 1e9);
    }
}

static bool has_place(const struct bench *b)
{
    return b->n_begun < b->n && (!b->o->max_concurrency || b->n_running < b->o->max_concurrency);
}

/* Until the next one is due, if it may begin then. */
static int wait_ms(const struct bench *b, uint64_t start_ns)
{
    if (!has_place(b)) return WAIT_MS;
    uint64_t due = start_ns + b->asked[b->n_begun].due_ns, now = clock_now_ns();
    uint64_t ms = due > now ? (due - now + 999999) / 1000000 : 0;
    return ms < WAIT_MS ? (int)ms : WAIT_MS;
}

static int run_all(struct bench *b, uint64_t start_ns, struct err *err)
{
    int rc = OK;
    while (rc == OK && b->n_over < b->n && !interrupt_came()) {
        while (rc == OK && has_place(b) && clock_now_ns() >= start_ns + b->asked[b->n_begun].due_ns)
            rc = begin(b, &b->asked[b->n_begun], err);
        if (rc == OK) rc = api_client_step(b->client, wait_ms(b, start_ns), err);
        progress_show(&b->progress, "requests", "answered", (uint64_t)b->n_over, (uint64_t)b->n, clock_now_ns());
    }
    progress_clear(&b->progress);
    return rc;
}

static int put(json_t *out, enum format format, struct err *err)
{
    const char *name;
    const json_t *value;
    if (!out || format == FORMAT_JSONL) return json_put_line(out, JSON_REAL_PRECISION(9), stdout, err);
    json_object_foreach(out, name, value)
    {
        if (json_is_real(value))
            printf("%-30s %12.2f\n", name, json_real_value(value));
        else
            printf("%-30s %12lld\n", name, (long long)json_integer_value(value));
    }
    json_decref(out);
    return OK;
}

static int conclude(const struct bench *b, double seconds, bool interrupted, struct err *err)
{
    struct served *all = calloc((size_t)b->n, sizeof *all);
    if (!all) return err_set(err, E_FAIL, "out of memory");
    for (int i = 0; i < b->n; i++) all[i] = b->asked[i].served;
    int n_failed = 0, n_good = served_good(all, b->n, &b->limits);
    for (int i = 0; i < b->n; i++) n_failed += all[i].failed;
    int rc = put(served_json(all, b->n, seconds, &b->limits), b->o->format, err);
    free(all);
    if (rc != OK) return rc;
    if (interrupted)
        return err_set(err, E_INTERRUPT, "interrupted: %d of %d requests were answered, %d failed",
                       b->n_over - n_failed, b->n, n_failed);
    if (n_failed)
        return err_set(err, E_FAIL, "%d of %d requests failed, the first: %.800s", n_failed, b->n,
                       b->first_failure.text);
    double percent = 100.0 * n_good / b->n;
    if (percent >= (double)b->o->min_goodput) return OK;
    return err_set(err, E_CHECK, "%.1f %% of the requests kept --goodput %s: --min-goodput is %g", percent,
                   b->o->goodput, (double)b->o->min_goodput);
}

static int measure(struct bench *b, struct err *err)
{
    struct interrupt i;
    b->n = b->o->num_prompts ? b->o->num_prompts : b->n_rows;
    b->asked = calloc((size_t)b->n, sizeof *b->asked);
    if (!b->asked) return err_set(err, E_FAIL, "no memory for %d requests", b->n);
    for (int k = 0; k < b->n; k++) b->asked[k].bench = b;
    set_times(b);
    progress_init(&b->progress);
    interrupt_open(&i);
    uint64_t start_ns = clock_now_ns();
    int rc = run_all(b, start_ns, err);
    double seconds = (double)(clock_now_ns() - start_ns) * 1e-9;
    bool interrupted = b->n_over < b->n;
    interrupt_close(&i);
    return rc == OK ? conclude(b, seconds, interrupted, err) : rc;
}

int command_bench_serve(const struct options *o, struct err *err)
{
    struct bench b = {.o = o};
    int rc = goodput_read(&b.limits, o->goodput, err);
    if (rc == OK) rc = api_client_open(&b.client, o, err);
    if (rc == OK) rc = read_rows(&b, err);
    if (rc == OK) rc = api_client_model(b.client, b.model, sizeof b.model, err);
    if (rc == OK) rc = measure(&b, err);
    api_client_close(b.client);
    for (int i = 0; i < b.n && b.asked; i++) free(b.asked[i].served.parts_ns);
    for (int i = 0; i < b.n_rows; i++) json_decref(b.rows[i]);
    free(b.asked);
    free(b.rows);
    return rc;
}
