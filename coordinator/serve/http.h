/* http.h -- HTTP/1.1 on the coordinator's loop: connections and exchanges. One thread; no JSON, no model.
 *
 *   client ──request, whole──▶ http_config.request(x) ──▶ exchange_reply(x)                      a whole reply
 *                                                     └─▶ exchange_stream(x), _write ..., _end   a reply in parts
 *   the reply is sent, or its client is gone ──▶ http_config.over(x); x is not valid any more
 *
 * libmicrohttpd parses and writes; its epoll descriptor is polled by libuv (MHD_run never blocks). An exchange that
 * waits for its reply is suspended there, and a poll of its own finds that its client has closed: one that sends no
 * more, but reads, is answered (HTTP/1.0 without a stream: taken for gone). Bounds: a request that is not whole in
 * PATIENCE_S, or a client that takes nothing for so long, is cut off; a body of more than BODY_MOST is read but not
 * kept (refused is 413), and so is one for which all bodies together have no room (503); more than STREAM_MOST unread
 * bytes of a streamed reply end it. TCP keep-alive finds clients that vanished.
 */
#ifndef COORDINATOR_SERVE_HTTP_H
#define COORDINATOR_SERVE_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

#include "proto/err.h"

enum { BODY_MOST = 16 << 20, STREAM_MOST = 1 << 20 };

struct http;
struct exchange;

struct http_config {
    const char *host; /* a name or an address; all are borrowed */
    int port;         /* 0: any free one */
    void (*request)(void *arg, struct exchange *x);
    void (*over)(void *arg, struct exchange *x);
    void *arg;
};

/* Listens. E_FAIL: with the address, and why not. */
int http_open(struct http **out, const struct http_config *config, uv_loop_t *loop, struct err *err);
const char *http_address(const struct http *h); /* "127.0.0.1:8080" */
bool http_idle(const struct http *h);           /* no exchange is left */
/* Drops all exchanges, and stops; the loop still runs. NULL is fine. */
void http_stop(struct http *h);
void http_free(struct http *h); /* after the loop is closed; NULL is fine */

/* Of a request. NULL: it has none such. Borrowed until it is over, the body until http_config.request returns. */
const char *exchange_method(const struct exchange *x);
const char *exchange_path(const struct exchange *x);
const char *exchange_header(const struct exchange *x, const char *name);
const char *exchange_query(const struct exchange *x, const char *name);
const char *exchange_body(const struct exchange *x, size_t *n);
int exchange_refused(const struct exchange *x); /* the status for a body that was not kept; 0: it was */
int exchange_status(const struct exchange *x);  /* of the reply; 0: there is none */

void exchange_set_owner(struct exchange *x, void *owner);
void *exchange_owner(const struct exchange *x); /* NULL unless it was set */

struct http_header {
    const char *name, *value; /* copied; NULL: none */
};

/* Once for each exchange. Takes body (malloc'd); NULL drops the connection: memory was out. */
void exchange_reply(struct exchange *x, int status, const char *type, char *body, size_t n, struct http_header extra);
/* Or: the head of a stream of text/event-stream, whose parts follow, from anywhere on the loop. */
void exchange_stream(struct exchange *x);
/* Copies. False: its client reads too slowly, or memory is out; the exchange is being dropped. */
bool exchange_write(struct exchange *x, const char *bytes, size_t n);
void exchange_end(struct exchange *x);
/* Closes the connection. */
void exchange_drop(struct exchange *x);

#endif
