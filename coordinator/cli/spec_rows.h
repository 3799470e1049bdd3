/* spec_rows.h -- the rows of bench spec and simulate: what one way to write the texts costs at one point of a sweep; as
 * a table for people, CSV, or JSON lines. The fields are described in docs/bench-spec.schema.json. Pure but for the
 * writing.
 *
 *   token/s        tokens behind each text's first / the time from first to last, summed over the texts; of several
 *                  runs of a text the median time counts
 *   over plain,    the ratio of two ways' token/s of the same texts
 *   over sequential
 *   intervals      95 %, over the texts: Student's t on a jackknife (leave one text out)
 */
#ifndef COORDINATOR_CLI_SPEC_ROWS_H
#define COORDINATOR_CLI_SPEC_ROWS_H

#include <jansson.h>
#include <stdio.h>

#include "coordinator/cli/options.h"
#include "coordinator/decode/seq.h"

enum spec_mode { SPEC_PLAIN, SPEC_SEQUENTIAL, SPEC_PILOTFISH };
extern const char *const spec_mode_names[];
enum { SURVIVAL = 8, TEXTS_MOST = SYNTHETIC_PROMPTS };

struct spec_use {                       /* of texts, summed */
    double whole_ns, big_ns, little_ns; /* from start to end; computing in it */
    double bytes_up, bytes_down;        /* to the verifiers, from them */
    double n_tokens, n_verifies, n_drafted, n_accepted;
    double n_right[SURVIVAL + 1], n_tried[SURVIVAL + 1]; /* [j]: drafts whose first j tokens were right; of so many */
    double rtt_ms, n_rtts;
};

struct spec_cost { /* of one way at one point */
    enum spec_mode mode;
    int draft_max; /* 0: plain */
    int n_texts;
    double ns[TEXTS_MOST];       /* from a text's first token to its last */
    double n_tokens[TEXTS_MOST]; /* behind the first */
    struct spec_use use;
};

struct spec_interval {
    double mean, low, high; /* NaN: unknown */
};
/* Of token/s; over other's, if that is not NULL. */
struct spec_interval spec_speed(const struct spec_cost *c, const struct spec_cost *other);

/* Adds what a done text says of itself. */
void spec_use_add(struct spec_use *use, const struct seq *s);

struct spec_row {                                      /* borrows all */
    const struct options *point;                       /* with one value of each option */
    const char *source;                                /* simulated, timed, measured */
    const struct spec_cost *cost, *plain, *sequential; /* sequential NULL: none was run */
};
void spec_rows_head(enum format format, FILE *to);
int spec_row_put(const struct spec_row *r, enum format format, FILE *to, struct err *err);
/* A new reference; NULL when memory is out. */
json_t *spec_row_json(const struct spec_row *r);
/* Whether this line, of a file, is a row of the same mode and settings. */
bool spec_row_is(const struct spec_row *r, const json_t *line);

#endif
