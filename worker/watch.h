/* watch.h -- where progress of a long task goes: to a line on the terminal (main.c) or the coordinator (worker.c). */
#ifndef WORKER_WATCH_H
#define WORKER_WATCH_H

#include <stddef.h>
#include <stdint.h>

struct watch { /* zeroed: nowhere */
    /* unit NULL: bytes, shown in percent. what NULL: remove the line, because something else will be printed. */
    void (*show)(void *arg, const char *what, const char *unit, uint64_t done, uint64_t total);
    void *arg;
};

static inline void watch_show(const struct watch *w, const char *what, const char *unit, uint64_t done, uint64_t total)
{
    if (w->show) w->show(w->arg, what, unit, done, total);
}

#endif
