/* spec_bench.h -- the sweep of bench spec and simulate: the same texts, written in several ways at every point.
 *
 *   for each point:  begin ─▶ each way: warm-up ─▶ repeat times, text by text: every way once, in turns ─▶ rows
 *
 * Ways: plain, sequential drafts of each length of --baseline (the best in hindsight gets the row), pilotfish (the
 * default). Each way has a draft profile of its own. A backend writes a text: in virtual time (simulate.c), or by the
 * cluster (bench_spec.c). A row is written as soon as its point is done. Every text is checked: all ways must write the
 * same, unless the rule is lossy, and a synthetic text is known.
 */
#ifndef COORDINATOR_CLI_SPEC_BENCH_H
#define COORDINATOR_CLI_SPEC_BENCH_H

#include "coordinator/cli/progress.h"
#include "coordinator/cli/spec_rows.h"
#include "coordinator/cli/trace.h"
#include "proto/policy.h"

enum { SPEC_PROMPT = 16 };       /* ids of a synthetic prompt */
struct spec_text {               /* that is to be written */
    int i;                       /* -1 - k: warm-up text k */
    int i_curve;                 /* of a synthetic pair */
    int32_t prompt[SPEC_PROMPT]; /* room for a synthetic one */
};

struct spec_backend {
    const char *source; /* of its rows: simulated, timed, measured */
    int n_ctx;
    /* A point begins; it is borrowed until the next one does. *n_texts: those that count. */
    int (*begin)(void *arg, const struct options *point, int *n_texts, struct err *err);
    /* What is asked for by default. Its prompt is borrowed until the text is done. */
    void (*request)(void *arg, struct spec_text *text, struct request *out);
    /* Writes a text that waits, and adds to `use` what is not in the text's own statistics: big_ns, little_ns, bytes,
     * rtt_ms. trace: gets its messages; NULL: none does. */
    int (*write)(void *arg, struct seq *s, struct draft_profile *profile, struct spec_use *use, struct trace *trace,
                 struct err *err);
    void *arg;
};

/* The request of a synthetic text. */
void spec_synthetic_request(const struct options *point, struct spec_text *text, struct request *out);

/* E_CHECK: a text is not the big model's own. */
int spec_bench(const struct options *o, const struct spec_backend *backend, struct progress *progress, struct err *err);

#endif
