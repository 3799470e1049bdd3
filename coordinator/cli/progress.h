/* progress.h -- the progress of a long task: one line on a terminal, overwritten again and again, and removed before
 * anything else is written there.
 *
 *   request 3 of 10; reading the prompt: 1024 of 2829 tokens, 25 s left
 *
 * It appears only after a while, and never without a terminal. The time left is shown for tasks of over 10 s. A zeroed
 * struct shows nothing. The clock comes in with each call.
 */
#ifndef COORDINATOR_CLI_PROGRESS_H
#define COORDINATOR_CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct progress_phase {
    const char *what; /* borrowed as long as it is shown; NULL: none */
    const char *unit; /* NULL: what is counted is shown in percent */
    uint64_t from, done, total;
    uint64_t start_ns, changed_ns;
};

struct progress {
    FILE *out; /* borrowed; NULL: no terminal */
    struct progress_phase outer, inner;
    uint64_t drawn_ns;
    bool drawn;
};

/* Standard error, if that is a terminal. */
void progress_init(struct progress *p);

/* `done` of `total` are done; total 0: unknown. A new phase begins, and with it its clock, if `what` differs from the
 * last call's, or less is done. */
void progress_show(struct progress *p, const char *what, const char *unit, uint64_t done, uint64_t total,
                   uint64_t now_ns);
/* Sets the task of which the following phases are parts: "request 3 of 10" for i = 2; `what` alone for n = 0. NULL:
 * none. */
void progress_within(struct progress *p, const char *what, int i, int n, uint64_t now_ns);
/* Removes the line; the next progress_show draws it again. */
void progress_clear(struct progress *p);
/* The phase is over: removes the line, unless it is a part of a task that may go on at once. */
void progress_part_over(struct progress *p);

#endif
