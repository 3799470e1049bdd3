/* backoff.h -- how long to sleep before polling again, where nothing can wake the thread: MPI has no file descriptor.
 *
 * First a few polls without sleeping, then sleeps that grow by an eighth each: a message is seen late by at most about
 * an eighth of the time that it took to come. After a second of silence sleeps may be ten times as long, so an idle
 * rank takes almost no CPU time.
 */
#ifndef PROTO_BACKOFF_H
#define PROTO_BACKOFF_H

enum { BACKOFF_MIN_US = 5, BACKOFF_MAX_US = 200, BACKOFF_SILENCE_US = 1000000, BACKOFF_SILENT = 10 };

struct backoff {
    int n_looks; /* polls without a sleep since the last message */
    int us;      /* the last sleep */
    int all_us;  /* sum of the sleeps, until it is BACKOFF_SILENCE_US */
};

static inline void backoff_reset(struct backoff *b)
{
    *b = (struct backoff){0};
}

/* Microseconds to sleep; 0: poll again at once, which happens max_looks times. Few of them are right where ranks share
 * cores. */
static inline int backoff_next(struct backoff *b, int max_looks, int max_us)
{
    if (b->n_looks < max_looks) {
        b->n_looks++;
        return 0;
    }
    b->us = b->us ? b->us + b->us / 8 + 1 : BACKOFF_MIN_US;
    if (b->all_us >= BACKOFF_SILENCE_US)
        max_us *= BACKOFF_SILENT;
    else
        b->all_us += b->us;
    if (b->us > max_us) b->us = max_us;
    return b->us;
}

#endif
