#include "coordinator/serve/page.h"

#include <stdlib.h>
#include <string.h>

#include "coordinator/serve/calls.h"
#include "proto/clock.h"

static const unsigned char page[] = {
#include "page_bytes.inc"
};

void page_reply(struct exchange *x)
{
    char *copy = malloc(sizeof page);
    if (copy) memcpy(copy, page, sizeof page);
    const struct http_header policy = {
        "Content-Security-Policy",
        "default-src 'self'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
        "frame-ancestors 'none'"};
    exchange_reply(x, 200, "text/html; charset=utf-8", copy, sizeof page, policy);
}

void page_watch(struct page *p, struct exchange *x)
{
    struct refusal why;
    if (!p->n) p->timeline = (struct timeline){0};
    if (p->n < WATCHERS_MOST) {
        p->watchers[p->n++] = x;
        exchange_stream(x);
        return;
    }
    refuse(&why, 429, NULL, "%d pages are open already", p->n);
    exchange_refuse(x, &why);
}

bool page_is_watched(const struct page *p)
{
    return p->n > 0;
}

void page_message(struct page *p, int group, const struct message *m, uint64_t now_ns)
{
    if (p->n) timeline_message(&p->timeline, group, m, now_ns);
}

void page_tell(struct page *p, json_t *state)
{
    int lost = json_object_set_new(state, "spans", timeline_take(&p->timeline, clock_now_ns()));
    char *text = !lost ? json_dumps(state, JSON_COMPACT | JSON_REAL_PRECISION(6)) : NULL;
    json_decref(state);
    for (int i = 0; text && i < p->n; i++) {
        exchange_write(p->watchers[i], "data: ", 6);
        exchange_write(p->watchers[i], text, strlen(text));
        exchange_write(p->watchers[i], "\n\n", 2);
    }
    free(text);
}

void page_over(struct page *p, const struct exchange *x)
{
    for (int i = 0; i < p->n; i++)
        if (p->watchers[i] == x) p->watchers[i--] = p->watchers[--p->n];
}

void page_close(struct page *p)
{
    for (int i = 0; i < p->n; i++) exchange_end(p->watchers[i]);
}
