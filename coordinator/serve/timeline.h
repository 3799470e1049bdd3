/* timeline.h -- what the cluster did lately, for the page: drafts, flights and verifies, from the messages as the
 * coordinator sends and receives them. Pure, and for drawing only.
 *
 *   draft    a drafter computed so many rows
 *   flight   a verify of so many rows, from its sending to its verdict
 *   verify   a pass of the big model, of so many rows
 *
 * Computations are drawn as if they had ended when their answer came. What does not fit between two takes is left out.
 */
#ifndef COORDINATOR_SERVE_TIMELINE_H
#define COORDINATOR_SERVE_TIMELINE_H

#include <jansson.h>

#include "coordinator/cli/pass_seen.h"
#include "proto/layout.h"

enum { SPANS_MOST = 1024, FLIGHTS_MOST = 256 };
enum span_kind { SPAN_DRAFT, SPAN_FLIGHT, SPAN_VERIFY };

struct timeline { /* zeroed to begin with */
    struct span {
        enum span_kind kind;
        uint64_t from_ns, to_ns;
        int n_rows;
    } spans[SPANS_MOST];
    int n;
    struct flight_seen { /* sent_ns 0: none */
        int n_rows;
        uint32_t job;
        uint64_t sent_ns;
    } flights[GROUPS_MOST][FLIGHTS_MOST]; /* by job, of which each group has its own */
    struct pass_seen last[GROUPS_MOST];
};

/* Sent to, or received from, a verifier of the group; -1: a drafter. */
void timeline_message(struct timeline *t, int group, const struct message *m, uint64_t now_ns);
/* The spans since the last take, each as [kind, began, ended, rows], in ms before now: a new reference; NULL when
 * memory is out. */
json_t *timeline_take(struct timeline *t, uint64_t now_ns);

#endif
