/* serve_report.h -- what bench serve measured, in sums and percentiles, under the names of vLLM's `bench serve`. Pure.
 */
#ifndef COORDINATOR_CLI_SERVE_REPORT_H
#define COORDINATOR_CLI_SERVE_REPORT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "proto/err.h"

struct served { /* one request; times are of one clock */
    bool done;  /* the whole answer came */
    bool failed;
    uint64_t begun_ns, first_ns, last_ns; /* last: of its last part */
    uint64_t *parts_ns;                   /* [n_parts] owns: between two parts; n_parts - 1 of them count */
    int n_parts, n_room;
    uint64_t n_prompt, n_tokens, n_drafts, n_drafted, n_accepted;
};

enum served_time { SERVED_TTFT, SERVED_TPOT, SERVED_E2EL, N_SERVED_TIMES };

struct goodput { /* ms; negative: none */
    double ms[N_SERVED_TIMES];
    bool any;
};

/* "ttft:500,tpot:50"; NULL: no limits. E_USAGE: with what is wrong. */
int goodput_read(struct goodput *out, const char *text, struct err *err);
/* Requests that were done within the limits. */
int served_good(const struct served *served, int n, const struct goodput *limits);
/* Of all that were done; NULL when memory is out. */
json_t *served_json(const struct served *served, int n, double seconds, const struct goodput *limits);

#endif
