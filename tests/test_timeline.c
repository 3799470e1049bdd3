/* What the page draws of the cluster, from messages as they are sent and come. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "coordinator/serve/timeline.h"

enum { MOST = 6, DRAFTER = -1, TAKEN_MS = 100 };
static const uint64_t ms = 1000000;

struct seen { /* at_ms 0: the end. took_ms: of verdicts and drafts; a verdict with 0 is a refusal */
    int at_ms, group;
    enum tag tag;
    uint32_t job;
    int n_rows;
    uint32_t took_ms;
};

static const struct {
    const char *what;
    struct seen seen[MOST];
    const char *spans;
} rows[] = {
    {"a draft took as long as it says", {{50, DRAFTER, TAG_DRAFT, 0, 5, 20}}, "[[\"draft\",70.0,50.0,5]]"},
    {"a draft without rows is none", {{50, DRAFTER, TAG_DRAFT, 0, 0, 20}}, "[]"},
    {"a verify flies until its verdict, and its pass ends there",
     {{10, 0, TAG_VERIFY, 7, 4, 0}, {60, 0, TAG_VERDICT, 7, 9, 30}},
     "[[\"flight\",90.0,40.0,4],[\"verify\",70.0,40.0,9]]"},
    {"a verdict that refuses ends a flight, and is of no pass",
     {{10, 0, TAG_VERIFY, 7, 4, 0}, {60, 0, TAG_VERDICT, 7, 0, 0}},
     "[[\"flight\",90.0,40.0,4]]"},
    {"what the leader does by itself has no flight", {{60, 0, TAG_VERDICT, 0, 1, 30}}, "[[\"verify\",70.0,40.0,1]]"},
    {"verdicts of one pass are one",
     {{60, 0, TAG_VERDICT, 0, 8, 30}, {60, 0, TAG_VERDICT, 0, 8, 30}, {90, 0, TAG_VERDICT, 0, 8, 30}},
     "[[\"verify\",70.0,40.0,8],[\"verify\",40.0,10.0,8]]"},
    {"groups have flights of one number at once",
     {{10, 0, TAG_VERIFY, 7, 4, 0},
      {20, 1, TAG_VERIFY, 7, 3, 0},
      {60, 0, TAG_VERDICT, 7, 0, 0},
      {70, 1, TAG_VERDICT, 7, 0, 0}},
     "[[\"flight\",90.0,40.0,4],[\"flight\",80.0,30.0,3]]"},
    {"each group numbers its jobs, and has its passes",
     {{10, 0, TAG_VERIFY, 7, 4, 0}, {60, 1, TAG_VERDICT, 7, 8, 30}, {60, 0, TAG_VERDICT, 0, 8, 30}},
     "[[\"verify\",70.0,40.0,8],[\"verify\",70.0,40.0,8]]"},
    {"a verdict that was not awaited has no flight",
     {{10, 0, TAG_VERIFY, 7, 4, 0}, {60, 0, TAG_VERDICT, 7 + FLIGHTS_MOST, 8, 30}},
     "[[\"verify\",70.0,40.0,8]]"},
};

static void put(struct timeline *t, const struct seen *s)
{
    struct message m = {.tag = s->tag};
    size_t n = (size_t)s->n_rows;
    if (s->tag == TAG_VERIFY) m.verify = (struct part){.job = s->job, .n_rows = n};
    if (s->tag == TAG_DRAFT) m.draft = (struct draft){.n_rows = n, .us = 1000 * s->took_ms};
    if (s->tag == TAG_VERDICT)
        m.verdict = (struct verdict){.job = s->job,
                                     .status = s->took_ms ? VERDICT_OK : VERDICT_STALE,
                                     .computed_us = 1000 * s->took_ms,
                                     .pass_rows = (uint32_t)s->n_rows};
    timeline_message(t, s->group, &m, (uint64_t)s->at_ms * ms);
}

static void has_spans(struct timeline *t, const char *what, const char *spans)
{
    json_t *list = timeline_take(t, TAKEN_MS * ms);
    char *text = json_dumps(list, JSON_COMPACT);
    if (strcmp(text, spans) != 0) fail_msg("%s: %s, not %s", what, text, spans);
    free(text);
    json_decref(list);
}

static void messages_become_spans(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct timeline *t = calloc(1, sizeof *t);
        for (const struct seen *s = rows[i].seen; s < rows[i].seen + MOST && s->at_ms; s++) put(t, s);
        has_spans(t, rows[i].what, rows[i].spans);
        has_spans(t, rows[i].what, "[]"); /* each is taken once */
        free(t);
    }
}

static void what_does_not_fit_is_left_out(void **state)
{
    (void)state;
    struct timeline *t = calloc(1, sizeof *t);
    for (int i = 0; i < SPANS_MOST + 1; i++) put(t, &(struct seen){50, DRAFTER, TAG_DRAFT, 0, 5, 20});
    json_t *list = timeline_take(t, TAKEN_MS * ms);
    assert_int_equal(json_array_size(list), SPANS_MOST);
    json_decref(list);
    free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_become_spans),
        cmocka_unit_test(what_does_not_fit_is_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
