/* page.h -- the live page, and the streams of server-sent events that it watches. */
#ifndef COORDINATOR_SERVE_PAGE_H
#define COORDINATOR_SERVE_PAGE_H

#include <jansson.h>

#include "coordinator/serve/http.h"
#include "coordinator/serve/timeline.h"

enum { WATCHERS_MOST = 32 };

struct page { /* zeroed to begin with */
    struct exchange *watchers[WATCHERS_MOST];
    int n;
    struct timeline timeline; /* while it is watched */
};

/* The page itself: HTML that loads nothing else. */
void page_reply(struct exchange *x);

/* A stream that gets what page_tell sends; 429 if too many watch. */
void page_watch(struct page *p, struct exchange *x);
bool page_is_watched(const struct page *p);
/* A message of the job's, see timeline_message. */
void page_message(struct page *p, int group, const struct message *m, uint64_t now_ns);
/* With the timeline since the last time. Takes the reference. */
void page_tell(struct page *p, json_t *state);
void page_over(struct page *p, const struct exchange *x); /* http_config.over, for any exchange */
void page_close(struct page *p);                          /* ends the streams */

#endif
