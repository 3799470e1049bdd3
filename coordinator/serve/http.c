#include "coordinator/serve/http.h"

#include <errno.h>
#include <microhttpd.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "coordinator/serve/listen.h"

enum {
    CONNECTIONS_MOST = 1000,
    BLOCK = 1 << 14,
    PATIENCE_S = 60,
    LOOK_MS = 1000,
    DRAINED_MOST = 4 * BODY_MOST /* of a body that is not kept */
};
static const size_t bodies_most = 16 * (size_t)BODY_MOST; /* of all exchanges */

struct connection { /* of TCP */
    struct http *h;
    uv_poll_t poll; /* while an exchange waits: for the client's end */
    int fd;
    bool polls;         /* `poll` is open */
    bool reading;       /* a request is due, or on its way */
    uint64_t due_ms;    /* by when it must be there */
    struct exchange *x; /* NULL: none */
    struct connection *next, **link;
};

struct exchange {
    struct http *h;
    struct connection *c;
    struct MHD_Connection *mhd;
    char *method, *path; /* owns */
    char *body;          /* owns */
    size_t n_body, body_room, n_drained;
    int refused;
    bool asked, suspended, streams, ended, dropped;
    bool replied;       /* the reply is known, or begun */
    bool takes_interim; /* a word before the reply: HTTP/1.1 */
    struct MHD_Response *reply;
    int status;
    char *out; /* owns: of a stream; [at, n) is not taken yet */
    size_t out_at, n_out, out_room;
    void *owner;
};

struct http {
    struct http_config c;
    struct MHD_Daemon *mhd;
    uv_loop_t *loop;
    uv_poll_t poll;
    uv_timer_t wait, looks;
    uv_prepare_t prepare;
    struct connection *connections;
    int n_exchanges;
    size_t n_body; /* of all exchanges */
    bool resumed;  /* an exchange was, since libmicrohttpd last ran: without threads it does not notice */
    bool stopped;
    char address[300];
};

/* ---- libmicrohttpd on the loop ---- */

static void run(struct http *h)
{
    h->resumed = false;
    if (!h->stopped) MHD_run(h->mhd);
}

static void on_poll(uv_poll_t *handle, int status, int events)
{
    (void)status, (void)events; /* MHD finds out */
    run(handle->data);
}

static void on_wait(uv_timer_t *handle)
{
    run(handle->data);
}

/* Before the loop waits: how long libmicrohttpd lets it. */
static void on_prepare(uv_prepare_t *handle)
{
    struct http *h = handle->data;
    MHD_UNSIGNED_LONG_LONG ms;
    if (!h->stopped && (h->resumed || MHD_get_timeout(h->mhd, &ms) == MHD_YES))
        uv_timer_start(&h->wait, on_wait, h->resumed ? 0 : ms, 0);
    else
        uv_timer_stop(&h->wait);
}

static void resume(struct exchange *x)
{
    if (!x->suspended) return;
    x->suspended = false;
    x->h->resumed = true;
    MHD_resume_connection(x->mhd);
}

static void suspend(struct exchange *x)
{
    x->suspended = true;
    MHD_suspend_connection(x->mhd);
}

/* ---- connections ---- */

static void await_request(struct connection *c)
{
    c->reading = true;
    c->due_ms = uv_now(c->h->loop) + PATIENCE_S * 1000;
}

static void on_look(uv_timer_t *handle)
{
    struct http *h = handle->data;
    for (struct connection *c = h->connections; c; c = c->next)
        if (c->reading && uv_now(h->loop) >= c->due_ms) shutdown(c->fd, SHUT_RDWR);
}

static void on_client_left(uv_poll_t *handle, int status, int events);

/* It sends no more. Whether it still reads only a write can tell: one that does not answers it with a reset. False:
 * nothing can be written that it would not take for the reply. */
static bool probe(struct exchange *x)
{
    static const char comment[] = ":\n\n", interim[] = "HTTP/1.1 100 Continue\r\n\r\n";
    const size_t n = sizeof interim - 1;
    if (x->streams) return exchange_write(x, comment, sizeof comment - 1);
    if (x->replied) return true; /* which is such a write */
    return x->takes_interim && send(x->c->fd, interim, n, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)n;
}

static void on_client_left(uv_poll_t *handle, int status, int events)
{
    struct connection *c = handle->data;
    struct pollfd now = {.fd = c->fd};
    bool half = events & UV_DISCONNECT && poll(&now, 1, 0) == 0; /* no error, no hang-up */
    (void)status;
    uv_poll_stop(handle);
    if (!c->x) return;
    if (half && probe(c->x))
        uv_poll_start(handle, UV_PRIORITIZED, on_client_left); /* only for a reset */
    else
        exchange_drop(c->x);
}

static void free_connection(uv_handle_t *handle)
{
    free(handle->data);
}

static void open_connection(struct http *h, struct MHD_Connection *mhd, void **socket_context)
{
    struct connection *c = calloc(1, sizeof *c);
    *socket_context = c;
    if (!c) return;
    c->h = h;
    c->fd = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    socket_watch_peer(c->fd, PATIENCE_S);
    c->polls = uv_poll_init(h->loop, &c->poll, c->fd) == 0;
    c->poll.data = c;
    c->link = &h->connections;
    c->next = h->connections;
    if (c->next) c->next->link = &c->next;
    h->connections = c;
    await_request(c);
}

static void close_connection(struct connection *c)
{
    if (!c) return;
    *c->link = c->next;
    if (c->next) c->next->link = c->link;
    if (c->polls)
        uv_close((uv_handle_t *)&c->poll, free_connection);
    else
        free(c);
}

static void on_connection(void *arg, struct MHD_Connection *mhd, void **socket_context,
                          enum MHD_ConnectionNotificationCode code)
{
    if (code == MHD_CONNECTION_NOTIFY_STARTED)
        open_connection(arg, mhd, socket_context);
    else
        close_connection(*socket_context);
}

/* ---- a request comes in ---- */

static void count_body(struct exchange *x, size_t n)
{
    x->h->n_body += n - x->body_room;
    x->body_room = n;
}

static void drop_body(struct exchange *x, int status)
{
    free(x->body);
    x->body = NULL;
    x->n_body = 0;
    count_body(x, 0);
    x->refused = status;
}

static bool reserve_body(struct exchange *x, size_t n)
{
    size_t room = x->body_room ? x->body_room : BLOCK;
    while (room < n) room *= 2;
    if (room == x->body_room) return true;
    if (x->h->n_body + room - x->body_room > bodies_most) return false;
    char *more = realloc(x->body, room);
    if (!more) return false;
    x->body = more;
    count_body(x, room);
    return true;
}

/* False: there is too much of it even to be thrown away. */
static bool take_body(struct exchange *x, const char *bytes, size_t n)
{
    if (!x->refused && x->n_body + n > BODY_MOST) drop_body(x, MHD_HTTP_CONTENT_TOO_LARGE);
    if (!x->refused && !reserve_body(x, x->n_body + n)) drop_body(x, MHD_HTTP_SERVICE_UNAVAILABLE);
    if (x->refused) return (x->n_drained += n) <= DRAINED_MOST;
    memcpy(x->body + x->n_body, bytes, n);
    x->n_body += n;
    return true;
}

static struct exchange *new_exchange(struct http *h, struct MHD_Connection *mhd, const char *path, const char *method)
{
    struct connection *c = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
    struct exchange *x = c && c->polls ? calloc(1, sizeof *x) : NULL;
    if (!x) return NULL;
    *x = (struct exchange){.h = h, .c = c, .mhd = mhd, .method = strdup(method), .path = strdup(path)};
    if (x->method && x->path) {
        c->x = x;
        h->n_exchanges++;
        return x;
    }
    free(x->method);
    free(x->path);
    free(x);
    return NULL;
}

/* A body that is too long need not be sent if its client waits for a word, and is not read if it has no end. */
static bool is_hopeless(const struct exchange *x)
{
    const char *length = exchange_header(x, MHD_HTTP_HEADER_CONTENT_LENGTH);
    unsigned long long n = length ? strtoull(length, NULL, 10) : 0;
    return n > DRAINED_MOST || (n > BODY_MOST && exchange_header(x, MHD_HTTP_HEADER_EXPECT));
}

/* What came is not kept while the reply is made. */
static void ask(struct exchange *x)
{
    x->asked = true;
    x->c->reading = false;
    uv_poll_start(&x->c->poll, UV_DISCONNECT, on_client_left);
    x->h->c.request(x->h->c.arg, x);
    drop_body(x, x->refused);
}

static enum MHD_Result on_access(void *arg, struct MHD_Connection *mhd, const char *path, const char *method,
                                 const char *version, const char *bytes, size_t *n_bytes, void **context)
{
    struct exchange *x = *context;
    if (!x) {
        *context = x = new_exchange(arg, mhd, path, method);
        if (!x) return MHD_NO;
        x->takes_interim = !strcmp(version, MHD_HTTP_VERSION_1_1);
        if (!is_hopeless(x)) return MHD_YES;
        x->refused = MHD_HTTP_CONTENT_TOO_LARGE;
    } else if (*n_bytes) {
        bool more = take_body(x, bytes, *n_bytes);
        *n_bytes = 0;
        return more ? MHD_YES : MHD_NO;
    }
    if (!x->asked) ask(x);
    if (x->dropped) return MHD_NO;
    if (!x->reply) {
        suspend(x);
        return MHD_YES;
    }
    struct MHD_Response *reply = x->reply;
    x->reply = NULL;
    enum MHD_Result queued = MHD_queue_response(mhd, (unsigned)x->status, reply);
    MHD_destroy_response(reply);
    return queued;
}

static void on_completed(void *arg, struct MHD_Connection *mhd, void **context, enum MHD_RequestTerminationCode code)
{
    struct exchange *x = *context;
    (void)arg, (void)mhd, (void)code;
    if (!x) return;
    struct connection *c = x->c;
    if (x->asked) x->h->c.over(x->h->c.arg, x);
    uv_poll_stop(&c->poll);
    c->x = NULL;
    drop_body(x, 0);
    x->h->n_exchanges--;
    if (x->reply) MHD_destroy_response(x->reply);
    free(x->out);
    free(x->method);
    free(x->path);
    free(x);
    *context = NULL;
    await_request(c);
}

/* ---- the reply ---- */

void exchange_reply(struct exchange *x, int status, const char *type, char *body, size_t n, struct http_header extra)
{
    if (body) x->reply = MHD_create_response_from_buffer(n, body, MHD_RESPMEM_MUST_FREE);
    if (!x->reply) {
        free(body);
        exchange_drop(x);
        return;
    }
    x->replied = true;
    x->status = status;
    MHD_add_response_header(x->reply, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    if (extra.name) MHD_add_response_header(x->reply, extra.name, extra.value);
    resume(x);
}

static ssize_t give(void *arg, uint64_t pos, char *to, size_t most)
{
    struct exchange *x = arg;
    size_t n = x->n_out - x->out_at;
    (void)pos;
    if (x->dropped) return MHD_CONTENT_READER_END_WITH_ERROR;
    if (!n && x->ended) return MHD_CONTENT_READER_END_OF_STREAM;
    if (!n) {
        suspend(x);
        return 0;
    }
    if (n > most) n = most;
    memcpy(to, x->out + x->out_at, n);
    x->out_at += n;
    if (x->out_at == x->n_out) x->out_at = x->n_out = 0;
    return (ssize_t)n;
}

void exchange_stream(struct exchange *x)
{
    x->streams = true;
    x->reply = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK, give, x, NULL);
    if (!x->reply) {
        exchange_drop(x);
        return;
    }
    x->status = MHD_HTTP_OK;
    MHD_add_response_header(x->reply, MHD_HTTP_HEADER_CONTENT_TYPE, "text/event-stream");
    MHD_add_response_header(x->reply, MHD_HTTP_HEADER_CACHE_CONTROL, "no-cache");
    resume(x);
}

static bool reserve_out(struct exchange *x, size_t n)
{
    if (x->out_at) memmove(x->out, x->out + x->out_at, x->n_out -= x->out_at);
    x->out_at = 0;
    if (x->n_out + n > STREAM_MOST) return false;
    size_t room = x->out_room ? x->out_room : BLOCK;
    while (room < x->n_out + n) room *= 2;
    char *more = room > x->out_room ? realloc(x->out, room) : x->out;
    if (!more) return false;
    x->out = more;
    x->out_room = room;
    return true;
}

bool exchange_write(struct exchange *x, const char *bytes, size_t n)
{
    if (x->dropped) return false;
    if (x->n_out + n > x->out_room && !reserve_out(x, n)) {
        exchange_drop(x);
        return false;
    }
    memcpy(x->out + x->n_out, bytes, n);
    x->n_out += n;
    resume(x);
    return true;
}

void exchange_end(struct exchange *x)
{
    x->ended = true;
    resume(x);
}

void exchange_drop(struct exchange *x)
{
    x->dropped = true;
    shutdown(x->c->fd, SHUT_RDWR);
    resume(x);
}

/* ---- what was asked ---- */

const char *exchange_method(const struct exchange *x)
{
    return x->method;
}

const char *exchange_path(const struct exchange *x)
{
    return x->path;
}

const char *exchange_header(const struct exchange *x, const char *name)
{
    return MHD_lookup_connection_value(x->mhd, MHD_HEADER_KIND, name);
}

const char *exchange_query(const struct exchange *x, const char *name)
{
    return MHD_lookup_connection_value(x->mhd, MHD_GET_ARGUMENT_KIND, name);
}

const char *exchange_body(const struct exchange *x, size_t *n)
{
    *n = x->n_body;
    return x->body ? x->body : "";
}

int exchange_refused(const struct exchange *x)
{
    return x->refused;
}

int exchange_status(const struct exchange *x)
{
    return x->status;
}

void exchange_set_owner(struct exchange *x, void *owner)
{
    x->owner = owner;
}

void *exchange_owner(const struct exchange *x)
{
    return x->owner;
}

/* ---- open, close ---- */

static int start(struct http *h, int fd, struct err *err)
{
    h->mhd = MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, on_access, h,
                              MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT, sockets_most(CONNECTIONS_MOST),
                              MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)PATIENCE_S, MHD_OPTION_NOTIFY_COMPLETED,
                              on_completed, h, MHD_OPTION_NOTIFY_CONNECTION, on_connection, h, MHD_OPTION_END);
    if (h->mhd) return OK;
    close(fd);
    return err_set(err, E_FAIL, "%s: the HTTP server cannot be started: %s", h->address, strerror(errno));
}

int http_open(struct http **out, const struct http_config *config, uv_loop_t *loop, struct err *err)
{
    int fd = -1;
    struct http *h = calloc(1, sizeof *h);
    if (!h) return err_set(err, E_FAIL, "out of memory");
    h->c = *config;
    h->loop = loop;
    int rc = listen_on(config->host, config->port, &fd, h->address, sizeof h->address, err);
    if (rc == OK) rc = start(h, fd, err);
    if (rc != OK) {
        free(h);
        return rc;
    }
    h->poll.data = h->wait.data = h->looks.data = h->prepare.data = h;
    uv_poll_init(loop, &h->poll, MHD_get_daemon_info(h->mhd, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd);
    uv_timer_init(loop, &h->wait);
    uv_timer_init(loop, &h->looks);
    uv_prepare_init(loop, &h->prepare);
    uv_poll_start(&h->poll, UV_READABLE, on_poll);
    uv_timer_start(&h->looks, on_look, LOOK_MS, LOOK_MS);
    uv_prepare_start(&h->prepare, on_prepare);
    *out = h;
    return OK;
}

const char *http_address(const struct http *h)
{
    return h->address;
}

bool http_idle(const struct http *h)
{
    return h->n_exchanges == 0;
}

void http_stop(struct http *h)
{
    if (!h || h->stopped) return;
    for (struct connection *c = h->connections; c; c = c->next)
        if (c->x) exchange_drop(c->x);
    h->stopped = true;
    uv_poll_stop(&h->poll);
    MHD_stop_daemon(h->mhd);
}

void http_free(struct http *h)
{
    free(h);
}
