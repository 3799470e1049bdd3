#include "coordinator/cli/api_client.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/serve/keys.h"
#include "proto/show.h"

enum { LINE_MOST = 16 << 20, CONNECT_S = 10, KEY_ROOM = 512 };

struct api_client {
    CURLM *multi;
    struct curl_slist *headers; /* of every request */
    char url[1024];             /* without a slash or /v1 at its end */
    struct api_stream *first;
};

struct api_stream {
    struct api_client *client;
    CURL *easy;
    struct api_watch watch;
    bool is_get, done, broken; /* done: [DONE] came; broken: a line is too long, or memory is out */
    char *bytes;               /* owns: [n] what no event was made of yet */
    size_t n, room;
    struct err refused; /* by an event of the stream; code OK: none */
    char why[CURL_ERROR_SIZE];
    struct api_stream *next, **link;
};

/* ---- what comes ---- */

/* Both OpenAI's {"error": {"message"}} and others' {"error": "..."}. */
static const char *message_of(const json_t *reply)
{
    const json_t *error = json_object_get(reply, "error");
    const char *text = json_string_value(json_is_object(error) ? json_object_get(error, "message") : error);
    return text ? text : json_string_value(json_object_get(reply, "message"));
}

static void take_event(struct api_stream *s, const char *text, size_t n)
{
    json_t *event = json_loadb(text, n, JSON_ALLOW_NUL, NULL);
    if (json_object_get(event, "error")) {
        const char *why = message_of(event);
        err_set(&s->refused, E_USAGE, "%s", why ? show_name(why).s : "the server sends an error without a message");
    } else if (event) {
        s->watch.event(s->watch.arg, event);
    }
    json_decref(event);
}

/* "data: {...}" or "data: [DONE]"; comments and blank lines mean nothing. */
static void take_line(struct api_stream *s, const char *line, size_t n)
{
    static const char data[] = "data:";
    if (n < sizeof data - 1 || memcmp(line, data, sizeof data - 1)) return;
    line += sizeof data - 1;
    n -= sizeof data - 1;
    while (n && *line == ' ') line++, n--;
    while (n && line[n - 1] == '\r') n--;
    if (n == 6 && !memcmp(line, "[DONE]", 6))
        s->done = true;
    else
        take_event(s, line, n);
}

static long status_of(const struct api_stream *s)
{
    long status = 0;
    curl_easy_getinfo(s->easy, CURLINFO_RESPONSE_CODE, &status);
    return status;
}

static bool keep(struct api_stream *s, const char *bytes, size_t n)
{
    if (s->n + n > LINE_MOST) return false;
    if (s->n + n > s->room) {
        size_t room = 2 * (s->n + n);
        char *more = realloc(s->bytes, room);
        if (!more) return false;
        s->bytes = more;
        s->room = room;
    }
    memcpy(s->bytes + s->n, bytes, n);
    s->n += n;
    return true;
}

static size_t on_bytes(char *bytes, size_t one, size_t n, void *arg)
{
    struct api_stream *s = arg;
    size_t from = 0;
    s->broken = !keep(s, bytes, one * n);
    if (s->broken) return 0;
    if (s->is_get || status_of(s) != 200) return n;
    for (char *end; (end = memchr(s->bytes + from, '\n', s->n - from)); from = (size_t)(end - s->bytes) + 1)
        take_line(s, s->bytes + from, (size_t)(end - s->bytes) - from);
    memmove(s->bytes, s->bytes + from, s->n -= from);
    return n;
}

/* ---- the end of a stream ---- */

static int refused_with(const struct api_stream *s, struct err *why)
{
    long status = status_of(s);
    json_t *reply = json_loadb(s->bytes, s->n, JSON_ALLOW_NUL, NULL);
    const char *message = message_of(reply);
    int code = status >= 500 ? E_FAIL : E_USAGE;
    err_set(why, code, "%s: %ld%s%s", s->client->url, status, message ? ": " : "",
            message         ? show_name(message).s
            : status == 404 ? ": no server of OpenAI's API answers there"
                            : "");
    json_decref(reply);
    return code;
}

static int why_over(struct api_stream *s, CURLcode curl, struct err *why)
{
    const char *url = s->client->url;
    *why = (struct err){.code = OK};
    if (s->broken) return err_set(why, E_FAIL, "%s: the server sends a line of over 16 MiB, or memory is out", url);
    if (curl == CURLE_OK && status_of(s) != 200) return refused_with(s, why);
    if (s->refused.code != OK) return err_set(why, s->refused.code, "%s", s->refused.text);
    if (s->done || (curl == CURLE_OK && s->is_get)) return OK;
    const char *detail = *s->why ? s->why : curl_easy_strerror(curl);
    if (status_of(s) == 0) return err_set(why, E_FAIL, "%s: no answer: %s", url, detail);
    return err_set(why, E_FAIL, "%s: the server ended in the middle of an answer%s%s", url, curl ? ": " : "",
                   curl ? detail : "");
}

void api_end(struct api_stream *s)
{
    if (!s) return;
    *s->link = s->next;
    if (s->next) s->next->link = s->link;
    curl_multi_remove_handle(s->client->multi, s->easy);
    curl_easy_cleanup(s->easy);
    free(s->bytes);
    free(s);
}

static void finish(struct api_stream *s, CURLcode curl)
{
    struct err why;
    struct api_watch watch = s->watch;
    if (why_over(s, curl, &why) == OK && s->is_get) take_event(s, s->bytes, s->n);
    api_end(s);
    watch.over(watch.arg, &why);
}

int api_client_step(struct api_client *c, int wait_ms, struct err *err)
{
    int n_running, n_left;
    CURLMcode rc = curl_multi_poll(c->multi, NULL, 0, wait_ms, NULL); /* no longer than a new stream lets it */
    if (rc == CURLM_OK) rc = curl_multi_perform(c->multi, &n_running);
    if (rc != CURLM_OK) return err_set(err, E_FAIL, "%s: %s", c->url, curl_multi_strerror(rc));
    for (CURLMsg *m; (m = curl_multi_info_read(c->multi, &n_left));) {
        struct api_stream *s = NULL;
        CURLcode result = m->data.result; /* m goes with the stream */
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &s);
        finish(s, result);
    }
    return OK;
}

/* ---- an event ---- */

static json_t *object_in(const json_t *object, const char *key)
{
    json_t *value = json_object_get(object, key);
    return json_is_object(value) ? value : NULL;
}

struct api_part api_part_of(const json_t *event)
{
    const json_t *choice = json_array_get(json_object_get(event, "choices"), 0);
    const json_t *text = json_object_get(json_object_get(choice, "delta"), "content");
    if (!json_string_length(text)) text = json_object_get(choice, "text");
    return (struct api_part){.text = json_string_length(text) ? text : NULL,
                             .end = json_string_value(json_object_get(choice, "finish_reason")),
                             .usage = object_in(event, "usage"),
                             .drafts = object_in(json_object_get(event, "metrics"), "speculative_decoding")};
}

uint64_t api_count(const json_t *object, const char *key)
{
    return (uint64_t)json_integer_value(json_object_get(object, key));
}

/* ---- a stream begins ---- */

static bool set_up(struct api_stream *s, const char *url, const char *body)
{
    CURL *e = s->easy;
    bool set = !curl_easy_setopt(e, CURLOPT_URL, url) && !curl_easy_setopt(e, CURLOPT_HTTPHEADER, s->client->headers);
    set = set && !curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_bytes) && !curl_easy_setopt(e, CURLOPT_WRITEDATA, s);
    set = set && !curl_easy_setopt(e, CURLOPT_PRIVATE, s) && !curl_easy_setopt(e, CURLOPT_ERRORBUFFER, s->why);
    set = set && !curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L) && !curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 1L);
    set = set && !curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_S);
    return set && (!body || !curl_easy_setopt(e, CURLOPT_COPYPOSTFIELDS, body));
}

struct api_stream *api_begin(struct api_client *c, const char *path, json_t *body, const struct api_watch *watch)
{
    char url[1200];
    char *text = body ? json_dumps(body, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
    struct api_stream *s = calloc(1, sizeof *s);
    bool made = s && (text || !body) && (s->easy = curl_easy_init());
    json_decref(body);
    if (made) {
        *s = (struct api_stream){.client = c, .easy = s->easy, .watch = *watch, .is_get = !text};
        snprintf(url, sizeof url, "%s%s", c->url, path);
        made = set_up(s, url, text) && !curl_multi_add_handle(c->multi, s->easy);
        if (!made) curl_easy_cleanup(s->easy);
    }
    free(text);
    if (!made) {
        free(s);
        return NULL;
    }
    s->link = &c->first;
    s->next = c->first;
    if (s->next) s->next->link = &s->next;
    return c->first = s;
}

/* ---- the server ---- */

struct model_asked {
    char *to;
    size_t size;
    bool found, over;
    struct err why;
};

static void on_models(void *arg, json_t *reply)
{
    struct model_asked *m = arg;
    const char *id = json_string_value(json_object_get(json_array_get(json_object_get(reply, "data"), 0), "id"));
    if (!id) return;
    snprintf(m->to, m->size, "%s", id);
    m->found = true;
}

static void on_models_over(void *arg, const struct err *why)
{
    struct model_asked *m = arg;
    m->why = *why;
    m->over = true;
}

int api_client_model(struct api_client *c, char *to, size_t size, struct err *err)
{
    struct model_asked m = {.to = to, .size = size};
    const struct api_watch watch = {on_models, on_models_over, &m};
    if (!api_begin(c, "/v1/models", NULL, &watch)) return err_set(err, E_FAIL, "out of memory");
    int rc = OK;
    while (rc == OK && !m.over) rc = api_client_step(c, 1000, err);
    if (rc == OK && m.why.code != OK) *err = m.why, rc = m.why.code;
    return rc != OK || m.found ? rc : err_set(err, E_FAIL, "%s: the server names no model at /v1/models", c->url);
}

static bool add_header(struct api_client *c, const char *name, const char *value)
{
    char line[KEY_ROOM + 64];
    snprintf(line, sizeof line, "%s: %s", name, value);
    struct curl_slist *more = curl_slist_append(c->headers, line);
    if (more) c->headers = more;
    return more;
}

/* Authorization, with --api-key or the first of --api-key-file; none without. */
static int add_key(struct api_client *c, const struct options *o, struct err *err)
{
    char bearer[KEY_ROOM];
    struct keys keys = {0};
    int rc = keys_read(&keys, o->api_key, o->api_key_file, err);
    if (rc == OK && keys.n) {
        bool fits = snprintf(bearer, sizeof bearer, "Bearer %s", keys.list[0]) < KEY_ROOM;
        if (!fits) rc = err_set(err, E_USAGE, "--api-key: a key of over %d bytes", KEY_ROOM - 8);
        if (fits && !add_header(c, "Authorization", bearer)) rc = err_set(err, E_FAIL, "out of memory");
    }
    keys_free(&keys);
    return rc;
}

static int read_url(struct api_client *c, const char *url, struct err *err)
{
    size_t n = strlen(url);
    bool known = !strncmp(url, "http://", 7) || !strncmp(url, "https://", 8);
    CURLU *parsed = curl_url();
    known = known && n < sizeof c->url && parsed && !curl_url_set(parsed, CURLUPART_URL, url, 0);
    curl_url_cleanup(parsed);
    if (!known) return err_set(err, E_USAGE, "--url %s: must be http://HOST:PORT", show_name(url).s);
    while (n && url[n - 1] == '/') n--;
    if (n > 3 && !memcmp(url + n - 3, "/v1", 3)) n -= 3;
    snprintf(c->url, sizeof c->url, "%.*s", (int)n, url);
    return OK;
}

int api_client_open(struct api_client **out, const struct options *o, struct err *err)
{
    struct api_client *c = calloc(1, sizeof *c);
    if (!c) return err_set(err, E_FAIL, "out of memory");
    int rc = read_url(c, o->url, err);
    if (rc == OK) rc = add_key(c, o, err);
    bool made = rc == OK && !curl_global_init(CURL_GLOBAL_DEFAULT) && (c->multi = curl_multi_init()) &&
                add_header(c, "Content-Type", "application/json") && add_header(c, "Expect", "");
    if (rc == OK && !made) rc = err_set(err, E_FAIL, "cannot start libcurl: out of memory");
    if (rc == OK)
        *out = c;
    else
        api_client_close(c);
    return rc;
}

void api_client_close(struct api_client *c)
{
    if (!c) return;
    while (c->first) api_end(c->first);
    if (c->multi) curl_multi_cleanup(c->multi);
    curl_slist_free_all(c->headers);
    free(c);
}
