/* progress.h -- how far something is that takes long: one line on a terminal, written over and over, and gone before
 * anything else is written there.
 *
 *   request 3 of 10; reading the prompt: 1024 of 2829 tokens, 25 s left
 *
 * It comes after a while only, and without a terminal never. The time left stands there for whatever takes over 10 s. A
 * zeroed struct shows nothing. The clock comes in with each call.
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

/* done of total are done; total 0: nobody knows of how many. The clock of a phase begins where `what` is another one
 * than before, or less is done. */
void progress_show(struct progress *p, const char *what, const char *unit, uint64_t done, uint64_t total,
                   uint64_t now_ns);
/* What all that is shown from now on is a part of: "request 3 of 10" for i = 2; `what` alone for n = 0. NULL: of
 * nothing. */
void progress_within(struct progress *p, const char *what, int i, int n, uint64_t now_ns);
/* The line goes; the next progress_show brings it back. */
void progress_clear(struct progress *p);
/* What was shown is over: the line goes, unless it is a part of something that may go on at once. */
void progress_part_over(struct progress *p);

#endif
