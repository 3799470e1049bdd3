/* stop.h -- texts at which a generation ends, wherever the borders of its tokens lie: those of its request
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

/* The text ends with its last id: a stop is complete. */
bool stop_reached(const struct stops *stops, const struct seq *s);

/* Where the first stop begins that is complete within the last n_new of n bytes; n: there is none. */
size_t stop_find(const struct stops *stops, const char *text, size_t n, size_t n_new);
/* Tokens from the i-th generated one on, as text: malloc'd, in *text; NULL when memory is out. */
size_t stop_text_from(const struct tokenizer *t, const struct seq *s, int i, char **text);
/* Of text from some token to the end: what belongs to the answer. A stop does not. */
size_t stop_cut(const struct seq *s, const char *text, size_t n);

/* Both: the answer as people see it. */
size_t stop_answer(const struct tokenizer *t, const struct seq *s, char **text);

/* How many of the last bytes may become a stop yet: not to be shown. NULL: there are no stops. */
size_t stop_held(const struct stops *stops, const char *text, size_t n);

#endif
