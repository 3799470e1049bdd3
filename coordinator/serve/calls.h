/* calls.h -- the requests of completions and chats while they are answered.
 *
 *   calls_begin ──read (ask.h)──▶ admitted? ──job_submit, a seq for each choice──▶ job's watch: tokens, done
 *        │refused                     │the queue is full                                │
 *        ▼                            ▼                                                 ▼
 *   a reply with the error      429, Retry-After           a stream of parts, or one reply when all choices are done
 *
 * Slots are shared: a free one goes to the request that has the fewest of them, and of equals to the one that has
 * waited longest for its next choice.
 *
 * A client that goes takes its choices with it (calls_over): they are cancelled at once, and what of them is in flight
 * is dropped. A call lives until its exchange is over and all its choices are done. Called on the loop; what the job
 * calls (tokens, done) never steps the job.
 */
#ifndef COORDINATOR_SERVE_CALLS_H
#define COORDINATOR_SERVE_CALLS_H

#include "coordinator/job.h"
#include "coordinator/serve/ask.h"
#include "coordinator/serve/counts.h"
#include "coordinator/serve/http.h"

struct calls;
struct page;

struct calls_config {
    struct job *job; /* all are borrowed */
    struct ask_from from;
    const char *fingerprint;
    int n_ctx;
    int n_slots;
    int n_queued;  /* choices that wait, at most; those of one request may pass it together */
    int timeout_s; /* 0: none */
    struct counts *counts;
    struct page *page;
};

int calls_open(struct calls **out, const struct calls_config *config, struct err *err);
/* After the job is closed. NULL is fine. */
void calls_close(struct calls *c);

/* Answers the exchange, now or later. */
void calls_begin(struct calls *c, enum ask_kind kind, struct exchange *x);
/* http_config.over, for an exchange of calls_begin. */
void calls_over(struct calls *c, struct exchange *x);

/* Gives free slots to what waits. To be called after each turn of the loop: no watch may. */
void calls_go_on(struct calls *c);
/* Every second: signs of life to streams that wait, and --timeout. */
void calls_look(struct calls *c);
/* Those of which nothing has begun are refused; no more are taken. */
void calls_drain(struct calls *c, const char *why);
/* All end as they are, with the error. lost: the job is not stepped any more. */
void calls_end(struct calls *c, const char *why, bool lost);
bool calls_idle(const struct calls *c);
struct calls_load {
    int n_running, n_waiting; /* choices */
    uint64_t n_tokens;        /* of those that run */
};
struct calls_load calls_load(const struct calls *c);
/* OK, or why the job cannot go on. */
int calls_error(const struct calls *c, struct err *err);

/* Replies with it. */
void exchange_refuse(struct exchange *x, const struct refusal *why);
/* Takes the reference; NULL: memory was out. */
void exchange_reply_json(struct exchange *x, int status, json_t *value);

#endif
