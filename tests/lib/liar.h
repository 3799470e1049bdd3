/* liar.h -- a worker that lies in one field of one message: the real worker_run behind a mailbox that changes what it
 * posts.
 *
 *   worker_run ──▶ liar's mailbox: decode, change the field, encode ──▶ the mailbox of its place
 *
 * As a thread it lies to a real coordinator in this process (test_liars), as a rank to one over MPI (lying_ranks.sh).
 */
#ifndef TESTS_LIB_LIAR_H
#define TESTS_LIB_LIAR_H

#include "proto/layout.h"
#include "proto/mailbox.h"
#include "proto/wire.h"

enum { N_LIES = 4 };
extern const char *const lie_values[N_LIES]; /* "0", "-1", "2^31" (of an int32_t the greatest), "NaN" */

/* One field, and what becomes of a text whose worker says each value: '.' the right ids, '?' any text (the value is
 * possible and cannot be known to be a lie), a digit: the exit code, one line. '-': there is no such value. */
struct lie {
    enum tag tag;
    const char *field;
    char ends[N_LIES + 1];
};
extern const struct lie lies[];
extern const size_t n_lies;

const struct lie *lie_find(const char *message, const char *field); /* NULL: no such field */
int lie_peer(const struct lie *l, const struct layout *layout);     /* who must tell it */

struct liar {
    struct mailbox base;
    struct mailbox *inner; /* borrowed */
    const struct lie *lie;
    int i_value;
    struct wire_arena in, out; /* owns */
};
int liar_open(struct liar *liar, struct mailbox *inner, const struct lie *lie, int i_value, struct err *err);
void liar_close(struct liar *liar);

#endif
