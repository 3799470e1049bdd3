/* stop.h -- stops: texts at which a generation ends, also inside a token. Each request has its own
 * (request.settings.stops). Pure. */
#ifndef COORDINATOR_TEXT_STOP_H
#define COORDINATOR_TEXT_STOP_H

#include "coordinator/decode/seq.h"
#include "coordinator/text/tokenizer.h"

enum { STOP_MOST_BYTES = 4096 };

struct stops {
    const char *const *texts; /* borrowed; none is empty or longer than STOP_MOST_BYTES */
    int n;
    const struct tokenizer *t;
};

/* A copy with its texts in one block, for free(); NULL: no memory. */
struct stops *stops_copy(const struct stops *stops);

/* Whether the last id completes a stop, so that the text ends. */
bool stop_reached(const struct stops *stops, const struct seq *s);

/* Where the first stop begins that is completed by the last n_new of n bytes; n: there is none. */
size_t stop_find(const struct stops *stops, const char *text, size_t n, size_t n_new);
/* The text of the generated tokens from the i-th on: malloc'd, in *text; NULL: no memory. Returns its length. */
size_t stop_text_from(const struct tokenizer *t, const struct seq *s, int i, char **text);
/* How many of n bytes, which end where the sequence ends, belong to the answer: a stop does not. */
size_t stop_cut(const struct seq *s, const char *text, size_t n);

/* The whole answer as it is shown: stop_text_from and stop_cut. */
size_t stop_answer(const struct tokenizer *t, const struct seq *s, char **text);

/* How many of the last bytes may still become a stop, and are not shown yet. stops NULL: none. */
size_t stop_held(const struct stops *stops, const char *text, size_t n);

#endif
