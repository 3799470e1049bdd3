/* routes.h -- which path is answered by what: keys, methods, and the replies that need no model to run. */
#ifndef COORDINATOR_SERVE_ROUTES_H
#define COORDINATOR_SERVE_ROUTES_H

#include "coordinator/runtime.h"
#include "coordinator/serve/calls.h"
#include "coordinator/serve/keys.h"
#include "coordinator/serve/page.h"

struct server { /* what a request may need; the command owns it */
    struct runtime *s;
    struct prompt_encoder encoder;
    struct keys keys;
    const char *model; /* its name for clients */
    const char *fingerprint;
    time_t began;
    struct calls *calls; /* NULL: the models are not loaded yet */
    const char *closed;  /* why no request is taken any more; NULL: they are */
    struct counts counts;
    struct page page;
};

/* The state of the cluster, for the page: a new reference; NULL when memory is out. */
json_t *server_state(const struct server *v);

/* Replies, now or later. */
void route(struct server *v, struct exchange *x);

#endif
