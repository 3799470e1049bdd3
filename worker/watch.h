/* watch.h -- who is told how far a long work is: a line on the terminal (main.c), or the coordinator (worker.c). */
#ifndef WORKER_WATCH_H
#define WORKER_WATCH_H

#include <stddef.h>
#include <stdint.h>

struct watch { /* zeroed: nobody */
    /* unit NULL: bytes, for percent. what NULL: the line goes, for something else is to be printed. */
    void (*show)(void *arg, const char *what, const char *unit, uint64_t done, uint64_t total);
    void *arg;
};

static inline void watch_show(const struct watch *w, const char *what, const char *unit, uint64_t done, uint64_t total)
{
    if (w->show) w->show(w->arg, what, unit, done, total);
}

#endif
