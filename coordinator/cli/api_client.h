/* api_client.h -- the client's side of OpenAI's API: streams of a server, over libcurl. One thread, which waits here.
 *
 *   api_begin(path, body) ──▶ api_client_step ... ──▶ watch.event(arg, object), for each event of the stream
 *                                                └──▶ watch.over(arg, why), once: OK after the server's [DONE]
 *
 * Without a body it is a GET whose whole reply is one event. `why` is E_USAGE where the server refused, with its own
 * message, and E_FAIL where it cannot be reached or ended in the middle. Streams run beside each other. A watch may
 * begin streams, but ends none.
 */
#ifndef COORDINATOR_CLI_API_CLIENT_H
#define COORDINATOR_CLI_API_CLIENT_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "coordinator/cli/options.h"

struct api_client;
struct api_stream;

struct api_watch {
    void (*event)(void *arg, json_t *event); /* borrowed until it returns */
    void (*over)(void *arg, const struct err *why);
    void *arg;
};

struct api_part { /* what an event of an answer has, borrowed from it; NULL: none of that */
    const json_t *text;
    const char *end;        /* finish_reason */
    json_t *usage, *drafts; /* drafts: metrics.speculative_decoding */
};

/* By --url, --api-key and --api-key-file. E_USAGE: what of them is wrong. */
int api_client_open(struct api_client **out, const struct options *o, struct err *err);
/* Ends all streams. NULL is fine. */
void api_client_close(struct api_client *c);

/* The server's first model. E_FAIL or E_USAGE: why there is none. */
int api_client_model(struct api_client *c, char *to, size_t size, struct err *err);

/* Takes body (NULL: a GET). NULL: memory is out. */
struct api_stream *api_begin(struct api_client *c, const char *path, json_t *body, const struct api_watch *watch);
/* Hangs up, without a call of over; after over it is not valid any more. */
void api_end(struct api_stream *s);
/* Waits at most so long for something to happen, and less after a signal. */
int api_client_step(struct api_client *c, int wait_ms, struct err *err);

/* Of a chat or of a completion. */
struct api_part api_part_of(const json_t *event);
/* A number of usage or drafts; 0: there is none. */
uint64_t api_count(const json_t *object, const char *key);

#endif
